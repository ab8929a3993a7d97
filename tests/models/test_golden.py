"""Both twins against what the reference networks computed (tests/golden), module by module."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from converter import convert_tensors
from families import get_family
from tests.golden.weights import GOLDEN, make_image, make_state_dict
from tests.models.networks import PACKAGES, Probe, build_twin, module_at, probed
from tests.references.twins import FLOAT32_LIMIT, FRAMEWORKS, Array, Twin, digest, half_precision, rounding

FLOAT64_LIMIT = 1e-10
"""Of the greatest magnitude of the reference's tensor. In float32 the sharpest case rounds by up to 3e-3 of it, and
float64 rounds by 2**-29 of that, 6e-12, of which AVX-512 kernels make twice as much; this is 16 times it.
"""

HEADS = {"logits": ("head", 0), "dsn": ("auxiliary_head", 0)}
OUTPUTS = {"logits": "logits", "dsn": "auxiliary_logits"}
"""The reference's name of an output -> the twins'."""
PROBES: dict[str, Probe] = {
    "bn1#0": ("backbone.stem.0.norm", 0),
    "relu1#0": ("backbone.stem.0", 0),
    "relu2#0": ("backbone.stem.1", 0),
    "relu3#0": ("backbone.stem.2", 0),
    "maxpool#0": ("backbone.pool", 0),
    "layer1#0": ("backbone.stage1", 0),
    "layer2#0": ("backbone.stage2", 0),
    "layer3#0": ("backbone.stage3", 0),
    "layer4#0": ("backbone.stage4", 0),
    "head.conva#0": ("head.reduce", 0),
    "head.cca#0": ("head.attention", 0),
    "head.cca#1": ("head.attention", 1),
    "head.convb#0": ("head.refine", 0),
    "head.bottleneck#0": ("head", 0),
    "dsn#0": ("auxiliary_head", 0),
}
"""The reference's module and call -> the twins'."""

CASE = re.compile(r"(?:s0_)?(?P<shape>\dx3x\d+x\d+)(?:_r(?P<recurrence>\d))?_(?P<dtype>float\d\d)/logits")
FAMILIES = ("official", "pure_pytorch")
GOLDENS = {family: np.load(GOLDEN / f"{family}_eval.npz") for family in FAMILIES}


@dataclass(frozen=True)
class Case:
    """One run of a reference: `key` is the beginning of its arrays' names."""

    family: str
    key: str
    shape: tuple[int, ...]
    recurrence: int

    def golden(self, name: str, dtype: str = "float64") -> Array:
        return GOLDENS[self.family][f"{self.key}_{dtype}/{name}"]

    @property
    def probes(self) -> dict[str, Probe]:
        return {
            name: probe for name, probe in PROBES.items() if f"{self.key}_float64/probe/{name}" in GOLDENS[self.family]
        }


def _cases(family: str) -> Iterator[Case]:
    for match in filter(None, map(CASE.fullmatch, GOLDENS[family])):
        if match["dtype"] == "float64":
            shape = tuple(map(int, match["shape"].split("x")))
            key = match.string.removesuffix("_float64/logits")
            yield Case(family, key, shape, int(match["recurrence"] or 2))


CASES = {family: tuple(_cases(family)) for family in FAMILIES}


@functools.lru_cache(maxsize=1)
def reference_state(family: str) -> dict[str, Array]:
    return make_state_dict(family, 0)


@functools.lru_cache(maxsize=1)
def converted(family: str, dtype: str) -> dict[str, Array]:
    return convert_tensors(reference_state(family), family, dtype=dtype)


def build(framework: str, family: str, dtype: str) -> Twin:
    return build_twin(framework, family, converted(family, dtype), dtype, num_classes=19, recurrence=2, depth=101)


NETWORKS = [(family, framework) for family in FAMILIES for framework in FRAMEWORKS]


@pytest.fixture(scope="module", params=NETWORKS)
def exact(request: pytest.FixtureRequest) -> tuple[str, Twin]:
    family, framework = request.param
    return family, build(framework, family, "float64")


@pytest.fixture(scope="module", params=FAMILIES)
def rounded(request: pytest.FixtureRequest) -> tuple[str, dict[str, Twin]]:
    family = request.param
    return family, {framework: build(framework, family, "float32") for framework in FRAMEWORKS}


def run(twin: Twin, case: Case, dtype: str) -> dict[Probe, Array]:
    """Outputs of every module that has a golden."""
    twin.model.head.recurrence = case.recurrence
    with probed(twin, sorted({path for path, _ in PROBES.values()})) as found:
        twin.run(make_image(case.shape, 0).astype(dtype))
    return found


def distance(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual.astype(np.float64) - expected).max())


def relative(actual: Array, expected: Array) -> float:
    return distance(actual, expected) / float(np.abs(expected).max())


def test_float64(exact: tuple[str, Twin]) -> None:
    family, twin = exact
    for case in CASES[family]:
        actual, shifts = run(twin, case, "float64"), find_shifts(family, twin, case)
        for name, probe in HEADS.items():
            expected = case.golden(name) + shifts.get(probe, 0.0)
            assert relative(actual[probe], expected) <= FLOAT64_LIMIT, (case, name)
        for name, probe in case.probes.items():
            allowed = FLOAT64_LIMIT
            if probe in shifts:
                allowed += relative(digest(actual[probe] - shifts[probe]), digest(actual[probe]))
            assert relative(digest(actual[probe]), case.golden(f"probe/{name}")) <= allowed, (case, name)


def find_shifts(family: str, twin: Twin, case: Case) -> dict[Probe, Array]:
    """What Paddle's keeping an epsilon as a float32 makes of each module's output, by torch; none where torch does so.

    The official InPlaceABN has it as a C float, too; a BatchNorm of torch has 1e-5 itself.
    """
    epsilon = get_family(family).architecture.norm_epsilon
    if twin.framework == "torch" or float(np.float32(epsilon)) == epsilon:
        return {}
    other = build("torch", family, "float64")
    plain = run(other, case, "float64")
    for module in other.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = float(np.float32(epsilon))
    rounded = run(other, case, "float64")
    return {probe: rounded[probe] - plain[probe] for probe in plain}


def rounding_of(twin: Twin, case: Case) -> dict[str, float]:
    """The `rounding` of its outputs."""
    twin.model.head.recurrence = case.recurrence
    return rounding(twin.run, make_image(case.shape, 0), {OUTPUTS[name]: case.golden(name) for name in HEADS})


def recorded_rounding(case: Case) -> dict[str, float]:
    """The reference's own, on the machine that recorded it."""
    return {OUTPUTS[name]: distance(case.golden(name, "float32"), case.golden(name)) for name in HEADS}


def test_float32(rounded: tuple[str, dict[str, Twin]]) -> None:
    """Each twin's rounding, by the other's and the reference's."""
    family, twins = rounded
    for case in CASES[family]:
        recorded = recorded_rounding(case)
        found = {framework: rounding_of(twin, case) for framework, twin in twins.items()}
        for framework, other in (FRAMEWORKS, FRAMEWORKS[::-1]):
            for name, own in recorded.items():
                assert found[framework][name] <= FLOAT32_LIMIT * max(own, found[other][name]), (framework, case, name)


@pytest.mark.parametrize("rounded", ["official"], indirect=True)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_half_precision_in_one_layer_is_seen(framework: str, rounded: tuple[str, dict[str, Twin]]) -> None:
    """And all the more where the other twin makes the same mistake: the reference does not."""
    family, twins = rounded
    twin, case = twins[framework], CASES[family][0]
    hook = half_precision(twin, twin.model.head.reduce.conv)
    found, recorded = rounding_of(twin, case)["logits"], recorded_rounding(case)["logits"]
    hook.remove()
    (other,) = (rounding_of(twins[other], case)["logits"] for other in FRAMEWORKS if other != framework)
    assert found > 2 * FLOAT32_LIMIT * max(recorded, other)


def test_every_golden_array_is_compared() -> None:
    for family, cases in CASES.items():
        compared = {
            f"{case.key}_{dtype}/{name}" for case in cases for dtype in ("float64", "float32") for name in HEADS
        }
        compared |= {f"{case.key}_float64/probe/{name}" for case in cases for name in case.probes}
        # The float32 probes are samples of few values; the float32 logits stand for them.
        assert compared == {key for key in GOLDENS[family] if not re.search("^predict/|_float32/probe/", key)}
    assert CASES["official"][0].probes == PROBES


def mistake_recurrence(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin.model.head, "recurrence", 1)


def mistake_mask(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PACKAGES[twin.framework].attention, "self_mask", lambda size, like: 0.0)


def mistake_epsilon(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute = {"torch": "eps", "paddle": "_epsilon"}[twin.framework]
    monkeypatch.setattr(module_at(twin.model, "backbone.stem.0.norm"), attribute, 1.001e-5)


@pytest.mark.parametrize("exact", [("official", framework) for framework in FRAMEWORKS], indirect=True)
@pytest.mark.parametrize("mistake", [mistake_recurrence, mistake_mask, mistake_epsilon])
def test_a_mistake_is_seen(
    exact: tuple[str, Twin], mistake: Callable[[Twin, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    family, twin = exact
    case = CASES[family][0]
    twin.model.head.recurrence = case.recurrence
    mistake(twin, monkeypatch)
    actual = twin.run(make_image(case.shape, 0))["logits"]
    assert relative(actual, case.golden("logits")) > 10 * FLOAT64_LIMIT
