"""Converting for a port: every tensor of both sides once, and back bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from converter.back import convert_back
from converter.errors import InputError
from converter.files import Reading, read_checkpoint
from parity.conversion.convert import PortConversion, convert_for_port
from parity.errors import ParityInputError
from parity.options import Options
from tests.parity.conversion import networks
from twins.standin import make_state_dict, save_state_dict

HERE = networks.__name__


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the user's own reference."""
    path = tmp_path_factory.mktemp("own") / "own.pth"
    torch.manual_seed(0)
    reference = networks.build_reference()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter)
    torch.save(reference.state_dict(), path)
    return path


def convert(source: Path, target: Path, port: str, *, reference: str | None = "build_reference") -> PortConversion:
    named = None if reference is None else f"{HERE}:{reference}"
    return convert_for_port(Options(source=source, reference=named, port=f"{HERE}:{port}"), target)


def test_packed_tied_and_transposed(source: Path, tmp_path: Path) -> None:
    conversion = convert(source, tmp_path / "mine.pdparams", "build_port")
    written = read_checkpoint(tmp_path / "mine.pdparams").tensors
    port = networks.build_port()
    assert written.keys() == port.state_dict().keys()
    own = torch.load(source, weights_only=True)
    packed = own["attention.in_proj_weight"].numpy()
    for n, name in enumerate("qkv"):
        assert np.array_equal(written[f"attend.{name}_proj.weight"], packed[n * 8 : n * 8 + 8].T)
    assert np.array_equal(written["words.weight"], own["classifier.weight"].numpy())
    assert written["gain"].shape == (1,)
    assert conversion.manifest.reference == f"{HERE}:build_reference"
    assert conversion.manifest.family is None
    assert [entry["source"] for entry in conversion.manifest.dropped] == ["positions"]
    assert "limits: the port's own constant" in conversion.manifest.notes[0]


def test_back_bit_for_bit(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "mine.pdparams", "build_port")
    convert_back(tmp_path / "mine.pdparams", tmp_path / "back.pth")
    expected, actual = (torch.load(path, weights_only=True) for path in (source, tmp_path / "back.pth"))
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype
        assert actual[name].shape == tensor.shape, name
        assert torch.equal(actual[name], tensor)


def test_back_from_another_file(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "mine.pdparams", "build_port")
    data = bytearray((tmp_path / "mine.pdparams").read_bytes())
    data[-20] ^= 1
    (tmp_path / "mine.pdparams").write_bytes(data)
    with pytest.raises(InputError, match=r"describes another file than mine\.pdparams"):
        convert_back(tmp_path / "mine.pdparams", tmp_path / "back.pth")
    with pytest.raises(InputError, match=r"go into a \.pth or \.safetensors"):
        convert_back(tmp_path / "mine.pdparams", tmp_path / "back.pdparams")
    assert not (tmp_path / "back.pth").exists()


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("build_larger", "2 of the port without one in the reference: extra.weight, extra.bias"),
        ("build_half", "of bfloat16, which a file would round"),
        (
            "build_random_buffer",
            "1 buffer has no counterpart on the other side, and not the value of a newly",
        ),
    ],
)
def test_what_is_left_over_in_the_port(source: Path, tmp_path: Path, port: str, words: str) -> None:
    with pytest.raises(ParityInputError, match=words):
        convert(source, tmp_path / "mine.pdparams", port)
    assert not list(tmp_path.iterdir())


def test_what_is_left_over_in_the_file(tmp_path: Path) -> None:
    """Statistics are no constants, although they are buffers, and equal those of a new network."""
    torch.save(networks.build_batch().state_dict(), tmp_path / "own.pth")
    for port in ("build_statistics_forgotten", "build_statistics_never_given"):
        with pytest.raises(ParityInputError, match=r"2 of own.pth without a counterpart in the port: norm.run"):
            convert(tmp_path / "own.pth", tmp_path / "mine.pdparams", port, reference="build_batch")
    assert [path.name for path in tmp_path.iterdir()] == ["own.pth"]


def test_a_changed_constant(source: Path, tmp_path: Path) -> None:
    state = torch.load(source, weights_only=True)
    state["positions"] += 1
    torch.save(state, tmp_path / "own.pth")
    with pytest.raises(ParityInputError, match="not the value of a newly built network: positions"):
        convert(tmp_path / "own.pth", tmp_path / "mine.pdparams", "build_port")


def test_files_that_are_in_the_way(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"into a \.pdparams or \.safetensors"):
        convert(source, tmp_path / "mine.pth", "build_port")
    (tmp_path / "mine.manifest.json").write_text("{}")
    with pytest.raises(InputError, match="exists; pass --force"):
        convert(source, tmp_path / "mine.pdparams", "build_port")


def test_a_port_without_the_auxiliary_head(tmp_path: Path) -> None:
    save_state_dict(tmp_path / "official.pth", make_state_dict("official", depth=18))
    options = Options(source=tmp_path / "official.pth", port=f"{HERE}:build_without_auxiliary", layer_by_layer=True)
    with pytest.raises(ParityInputError, match="--without-auxiliary is for a port without the auxiliary head"):
        convert_for_port(options, tmp_path / "mine.pdparams")
    options = replace(options, reading=Reading(without_auxiliary=True))
    conversion = convert_for_port(options, tmp_path / "mine.pdparams", check=True)
    assert conversion.manifest.auxiliary is False
    assert conversion.manifest.reversible is False
    assert conversion


def test_the_users_word_on_scales(tmp_path: Path) -> None:
    """Of a fork whose scales are folded already: they are copied as they are."""
    save_state_dict(tmp_path / "official.pth", make_state_dict("official", depth=18))
    port = "tests.parity.renamed_port:build"
    options = Options(source=tmp_path / "official.pth", port=port, abn_semantics="plain")
    manifest = convert_for_port(options, tmp_path / "mine.pdparams").manifest
    assert {entry["operation"] for entry in manifest.tensors} == {"copy"}
    assert manifest.scales == "plain"
