"""What a file is that is no checkpoint, and what to give instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.files.unpickle import one_line

HEAD = 4096
"""Bytes by which a file is known."""

UNPACK = "unpack it and give the checkpoint in it"
AGAIN = "download it again, and look at the address in a browser"
BEGINNINGS: Mapping[bytes, str] = {
    b"version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, not the file it stands for; fetch that with git lfs pull"
    ),
    b"version https://hawser.github.com/spec/": (
        "a Git LFS pointer, not the file it stands for; fetch that with git lfs pull"
    ),
    b"\x1f\x8b": f"compressed by gzip; {UNPACK}",
    b"\x1f\x9d": f"compressed by compress; {UNPACK}",
    b"BZh": f"compressed by bzip2; {UNPACK}",
    b"\xfd7zXZ\x00": f"compressed by xz; {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed by zstd; {UNPACK}",
    b"\x04\x22\x4d\x18": f"compressed by lz4; {UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive; {UNPACK}",
    b"Rar!\x1a\x07": f"a RAR archive; {UNPACK}",
    b"PK\x05\x06": "an empty zip archive; download or pack it again",
    b"\x93NUMPY": "one NumPy array (.npy); give the .pth, .pdparams or .safetensors",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (as Keras saves); give the weights as .pth, .pdparams or .safetensors",
    b"GGUF": "a GGUF file; give the weights as .pth, .pdparams or .safetensors",
    b"\x89PNG": "a PNG picture; give a checkpoint",
    b"\xff\xd8\xff": "a JPEG picture; give a checkpoint",
    b"%PDF": "a PDF document; give a checkpoint",
    b"\x7fELF": "a program (ELF); give a checkpoint",
}
TAR_MAGIC = (257, b"ustar")
MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error", b"<body", b"<!--", b"<script", b"<meta")
PARAMETERS = (
    "the parameters of an exported Paddle model (.pdiparams), which stand there without names; "
    "give the .pdparams that training saved"
)
PROGRAM = "an exported network, not its weights; give the .pdparams or .pth that training saved"
MEMBERS: Mapping[str, str] = {
    "constants.pkl": "a TorchScript archive; load it with torch.jit.load and save its state_dict() with torch.save",
    ".npy": "a NumPy archive (.npz); give the .pth, .pdparams or .safetensors",
    "/Contents.json": "an exported program; give the weights as .pth, .pdparams or .safetensors",
    "serialized_exported_program.json": "a program of torch.export (.pt2); save its state_dict with torch.save",
    ".keras": "a Keras archive; give the weights as .pth, .pdparams or .safetensors",
}
"""By the ending of an entry's name."""
CHECKPOINTS = (".pth", ".pt", ".bin", ".ckpt", ".pdparams", ".safetensors", ".tar", ".zip", ".pkl", ".gz")
OPTIMISER = (
    "the state of an optimiser (.pdopt, or optimizer.state_dict()), not a network's weights; "
    "give the .pdparams or .pth that was saved with it"
)
ACCUMULATORS = re.compile(
    r"(_(velocity|moment[12]?|moment2_max|momentum|mean_square|mean_grad|inf_norm|beta[12]_pow_acc"
    r"|_avg_squared_grad|_avg_squared_update|squared|linear)_\d+)$"
)
"""As Paddle's optimisers call what they keep for a parameter."""


def name_kind(path: Path) -> str:
    """What the file at `path`, whose format no reader has, is: `a Git LFS pointer, …; fetch …`."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for beginning, kind in BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    offset, magic = TAR_MAGIC
    if head[offset : offset + len(magic)] == magic:
        return f"a tar archive; {UNPACK}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(MARKUP):
        title = re.search(rb"<title[^>]*>\s*([^<]{1,80})", head, re.IGNORECASE)
        named = f" ({one_line(title[1].decode('utf-8', 'replace').strip())})" if title else ""
        return f"an HTML or XML page{named}: a login, a warning or an error was downloaded; {AGAIN}"
    if not head.strip(b"\0"):
        return f"nothing but zeros at its beginning: a download or a copy that broke off; {AGAIN}"
    if path.suffix == ".pdiparams" or head[:16] == bytes(16):
        return PARAMETERS
    if text.startswith(b"{"):
        return _name_json(text)
    if path.suffix in (".pdmodel", ".onnx", ".pb", ".tflite", ".engine", ".trt"):
        return PROGRAM
    if _is_text(head):
        return f"text ({one_line(head[:40].decode('utf-8', 'replace').splitlines()[0])}…); {AGAIN}"
    return (
        "neither a torch, a safetensors nor a Paddle file, or a piece of one; "
        "give a whole .pth, .pdparams or .safetensors"
    )


def name_archive(names: Sequence[str]) -> str:
    """What a zip archive with entries of these names is, if not a checkpoint of torch's."""
    for name in names:
        for ending, kind in MEMBERS.items():
            if name.endswith(ending):
                return kind
    if any(name.endswith("/data.pkl") for name in names):
        return "a zip archive with a checkpoint's parts in another folder than torch's; save it again with torch"
    within = [name for name in names if name.endswith(CHECKPOINTS)]
    if within:
        return f"a zip archive that holds {one_line(within[0])}; {UNPACK}"
    return "a zip archive, but not one that torch.save wrote (no data.pkl); give a checkpoint"


def name_content(value: Any) -> str | None:
    """What a checkpoint without a state dict holds instead, if that is known."""
    if not isinstance(value, dict):
        return None
    return OPTIMISER if is_optimiser(value) else None


def is_optimiser(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary is an optimiser's state, torch's or Paddle's."""
    if {"state", "param_groups"} <= value.keys() or value.keys() & {"LR_Scheduler", "master_weights"}:
        return True
    return bool(value) and all(isinstance(name, str) and ACCUMULATORS.search(name) for name in value)


def _name_json(text: bytes) -> str:
    if b'"weight_map"' in text:
        return "an index of shards; let its name end in .index.json, and lie beside them"
    if b'"base_code"' in text or b'"program"' in text:
        return PROGRAM
    return f"JSON: a server's message, or a configuration; {AGAIN}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
