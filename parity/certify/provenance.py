"""What a certificate's code and config were: SHA-256 of their files, which `verify` compares again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from converter.files import file_digest
from converter.files.unpickle import one_line
from parity.errors import ParityInputError
from twins.namespaces import FOLDERS

NAMESPACE = "ccnet-parity"
"""Of signatures: one for another purpose does not hold here."""
SIGNATURE = ".sig"
LARGEST_KEY = 1 << 20


def list_sources(specs: Iterable[str], config: Path | None) -> dict[str, str]:
    """Path -> SHA-256 of the files that `specs` name, of the user's modules beside them, and of a config and its bases.

    Paths are as seen from the working directory where they are below it. To be called once the code has run.
    """
    roots = {path.parent for path in map(_file_of, specs) if path is not None}
    found = {path for path in map(_file_of, specs) if path is not None}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and any(root in Path(file).parents for root in roots) and _is_users(Path(file)):
            found.add(Path(file))
    if config is not None:
        from paddleseg_port.configs import check_config

        found |= set(check_config(config))
    return {_shown(path): file_digest(path) for path in sorted(found) if path.is_file()}


def _file_of(spec: str) -> Path | None:
    """The file of `module:function` or `file.py:function`."""
    place = spec.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place).resolve()
    file = getattr(sys.modules.get(place), "__file__", None)
    return Path(file) if file else None


def _is_users(path: Path) -> bool:
    """Whether a module is neither installed nor the toolkit's."""
    return path.suffix == ".py" and "site-packages" not in path.parts and not str(path).startswith(FOLDERS)


def _shown(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if Path.cwd() in path.parents else str(path)


def find_changes(content: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    """What of a certificate's `content` is no longer so: source files and versions, each in words."""
    changes = []
    for name, digest in content.get("sources", {}).items():
        path = Path(name)
        if not path.is_file():
            changes.append(f"{one_line(name)} is not there")
        elif file_digest(path) != digest:
            changes.append(f"{one_line(name)} was changed")
    then, now = content["environment"].get("versions", {}), environment["versions"]
    for package, version in then.items():
        if now.get(package) != version:
            changes.append(f"{one_line(package)} is {now.get(package)}, was {one_line(str(version))}")
    return changes


def sign(path: Path, key: Path) -> Path:
    """Sign the file at `path` with an SSH key; the signature stands beside it. Raises ParityInputError if it fails."""
    if key.is_file() and key.stat().st_size > LARGEST_KEY:
        raise ParityInputError(f"--sign {key}: is no key; it has more than {LARGEST_KEY} bytes")
    signature = path.with_name(path.name + SIGNATURE)
    signature.unlink(missing_ok=True)
    _run(["-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path)], b"", f"--sign {key}")
    return signature


def find_signer(path: Path, signers: Path) -> str:
    """Who of `signers` (ssh-keygen's ALLOWED SIGNERS) signed the file at `path`.

    Raises ParityInputError if nobody did, or what was signed was something else.
    """
    signature = path.with_name(path.name + SIGNATURE)
    if not signature.is_file():
        raise ParityInputError(f"{signature}: no such file; a certificate is signed by certify --sign")
    option = f"--signers {signers}"
    found = _run(["-Y", "find-principals", "-s", str(signature), "-f", str(signers)], b"", option)
    signer = found.splitlines()[0]
    arguments = ["-Y", "verify", "-f", str(signers), "-I", signer, "-n", NAMESPACE, "-s", str(signature)]
    _run(arguments, path.read_bytes(), option)
    return signer


def _run(arguments: list[str], given: bytes, option: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - arguments are no shell's
            ["ssh-keygen", *arguments],  # noqa: S607 - wherever OpenSSH is
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        raise ParityInputError(f"{option}: there is no ssh-keygen; install OpenSSH") from None
    except subprocess.TimeoutExpired:
        raise ParityInputError(f"{option}: ssh-keygen did not end; a key with a passphrase needs ssh-agent") from None
    if ended.returncode:
        said = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
        raise ParityInputError(f"{option}: {one_line(said[-1] if said else 'ssh-keygen failed')}")
    return ended.stdout.decode(errors="replace")
