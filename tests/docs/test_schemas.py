"""docs/schemas: valid schemas, one a kind of output, that refuse what is none, and tell of every field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.parity.made_reports import make_report
from tests.schemas import FOLDER, SUBCOMMANDS, assert_valid, name_schema, read_schema, validate_output

NAMES = sorted(path.name.partition("-")[0] for path in FOLDER.glob("*.schema.json"))


def report() -> Any:
    return json.loads(json.dumps(make_report(healthy=False)[0].to_json(), allow_nan=False))


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas_and_know_their_name_and_version(name):
    schema = read_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:ccnet-parity:{name}:1"
    assert f"[{name}-1]({name}-1.schema.json)" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_command_has_one():
    known = {name_schema(words) for words in (["ccnet-convert"], ["ccnet-eval"], ["ccnet-seg"], ["ccnet-parity", "a"])}
    assert known | set(SUBCOMMANDS.values()) | {"inspection", "difference"} == set(NAMES)


def test_a_report_is_valid():
    assert_valid(report(), "report")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("guilty"), "'guilty' is a required property"),
        (lambda content: content.update(passed="yes"), r"\$.passed: 'yes' is not of type 'boolean'"),
        (lambda content: content["layers"][3].update(shape="2×3"), r"\$.layers\[3\].shape"),
        (lambda content: content["guilty"][0].pop("sentence"), r"\$.guilty\[0\]: 'sentence' is a required property"),
        (lambda content: content["environment"]["switches"].update(torch={"tf32_matmul": "off"}), "tf32_matmul"),
        (lambda content: content.update(undocumented=1), "'undocumented' was unexpected"),
    ],
)
def test_what_is_no_report_is_refused(change, said):
    content = copy.deepcopy(report())
    change(content)
    with pytest.raises(AssertionError, match=said):
        assert_valid(content, "report")


def test_readers_may_meet_fields_of_a_later_version():
    """Within a version fields are added; the published schema lets them pass."""
    Draft202012Validator(read_schema("report")).validate({**report(), "new": 1})


def test_the_runner_holds_outputs_to_them():
    validate_output(["ccnet-parity", "doctor"], "no JSON")
    validate_output(["ccnet-parity", "doctor", "--json"], "")
    with pytest.raises(AssertionError, match=r"examination: docs/schemas/examination-1\.schema\.json"):
        validate_output(["/bin/ccnet-parity", "doctor", "--json"], "{}")
