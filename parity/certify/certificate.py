"""The certificate: what was certified, where, by which gates, with what verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from converter.files import check_readable, file_digest
from converter.files.atomic import staged
from converter.files.documents import SHA256, Schema, nullable, read_document, record
from converter.files.unpickle import one_line
from parity.certify.catalogue import GATES
from parity.certify.gate import Outcome, finite
from parity.certify.provenance import find_changes, find_signer
from parity.environment.describe import describe_environment
from parity.errors import ParityInputError

FILE = "certificate.json"
VERDICTS = r"^(certified|not certified|incomplete|passed: \d+ of \d+ gates)$"
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": ["number", "null"]}
GATE: dict[str, Schema] = {
    "name": TEXT,
    "verdict": {"enum": ["passed", "failed", "not run", "not asked for"]},
    "measured": NUMBER,
    "limit": NUMBER,
    "reason": TEXT,
    "seconds": {"type": "number"},
    "code": {"type": "object"},
    "cause": nullable(
        record({"name": TEXT, "text": TEXT, "fix": TEXT, "residual": NUMBER, "proved": {"type": "boolean"}})
    ),
    "tried": {"type": "integer"},
    "facts": {"type": "array", "items": TEXT},
}
EXPLAINED = ("cause", "tried", "facts")
"""What entries of a gate that earlier versions wrote lack."""
FILE_ENTRY = record({"name": TEXT, "sha256": nullable(SHA256)}, more=True)
SCHEMA = record(
    {
        "verdict": {"type": "string", "pattern": VERDICTS},
        "source": FILE_ENTRY,
        "target": FILE_ENTRY,
        "gates": {"type": "array", "items": record(GATE, optional=EXPLAINED, more=True)},
        "date": TEXT,
        "sources": {"type": "object", "additionalProperties": SHA256},
        "environment": record({"versions": {"type": "object", "additionalProperties": nullable(TEXT)}}, more=True),
    },
    optional=("sources",),
    more=True,
)
"""What `verify` needs of a certificate."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """True if every gate that was asked for passed.

    `subject` says what was certified: source and target with their SHA-256, family, recurrence, depth, classes.
    """

    subject: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=describe_environment)
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def __bool__(self) -> bool:
        return self.verdict == "certified" or self.verdict.startswith("passed: ")

    @property
    def verdict(self) -> str:
        """`certified`, `not certified` (a gate failed), `incomplete` (a gate did not run), or `passed: 2 of 14 gates`
        where no other was asked for."""
        return judge([outcome.to_json() for outcome in self.outcomes])

    def to_json(self) -> dict[str, Any]:
        """The contract of certificate.json."""
        return {
            "verdict": self.verdict,
            **self.subject,
            "gates": [outcome.to_json() for outcome in self.outcomes],
            "details": {outcome.name: outcome.details() for outcome in self.outcomes},
            "curves": {
                name: [finite(value) for value in values]
                for outcome in self.outcomes
                for name, values in outcome.curves.items()
            },
            "settings": dict(self.settings),
            "environment": dict(self.environment),
            "date": self.date,
        }


def judge(gates: Sequence[Mapping[str, Any]]) -> str:
    """The verdict that these entries allow: certified only if every gate of the catalogue is there and passed."""
    verdicts = [gate["verdict"] for gate in gates]
    if "failed" in verdicts:
        return "not certified"
    passed, left_out = verdicts.count("passed"), verdicts.count("not asked for")
    if [gate["name"] for gate in gates] != list(GATES) or not passed or passed + left_out < len(gates):
        return "incomplete"
    return f"passed: {passed} of {len(gates)} gates" if left_out else "certified"


def describe_file(path: Path | None, standin: str) -> dict[str, Any]:
    """`{"name", "sha256"}` of a file; of weights that are in none, their digest."""
    if path is None:
        return {"name": "stand-in weights", "sha256": standin}
    return {"name": path.name, "sha256": file_digest(path)}


def write_certificate(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, whole or not at all."""
    with staged(path) as (temporary,):
        temporary.write_text(
            json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8"
        )


def read_certificate(path: Path) -> dict[str, Any]:
    """The content of a certificate. Raises InputError if the file is none, ParityInputError if it was changed."""
    content = read_document(path, SCHEMA, "certificate")
    gates = content["gates"]
    if content["verdict"] != judge(gates):
        raise ParityInputError(
            f"{path}: says {content['verdict']!r}, but its gates say {judge(gates)!r}; it was changed by hand"
        )
    return dict(content)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Whether a certificate speaks of a file; true if it does, certifies it, and nothing changed since.

    `changed` says what did: source files, configs and versions. `signer` is who signed it, where that was asked.
    """

    certificate: str
    weights: str
    role: str | None
    verdict: str
    sentence: str
    changed: tuple[str, ...] = ()
    signer: str | None = None

    def __bool__(self) -> bool:
        return self.role is not None and self.verdict == "certified" and not self.changed

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-parity verify --json`."""
        return {"verified": bool(self), **vars(self)}


def verify(path: Path, weights: Path, signers: Path | None = None) -> Verification:
    """Look for the SHA-256 of `weights` in the certificate at `path`, and for what changed since it was written.

    With `signers` (ssh-keygen's ALLOWED SIGNERS), one of them must have signed it: else raises ParityInputError.
    """
    content = read_certificate(path)
    signer = None if signers is None else find_signer(path, signers)
    check_readable(weights)
    digest = file_digest(weights)
    roles = [role for role in ("source", "target") if (content.get(role) or {}).get("sha256") == digest]
    role, verdict = (roles[0] if roles else None), content["verdict"]
    if role is None:
        names = one_line(content["target"]["name"])
        sentence = f"{path} does not speak of {weights}: its SHA-256 is {digest[:16]}…, that of another {names}"
    else:
        sentence = f"{path} speaks of {weights}, as its {role}: {verdict}, {one_line(content['date'])}"
    return Verification(
        certificate=str(path),
        weights=str(weights),
        role=role,
        verdict=verdict,
        sentence=sentence,
        changed=tuple(find_changes(content, describe_environment())),
        signer=signer,
    )
