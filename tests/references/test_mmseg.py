"""Both twins against mmsegmentation's own outputs (tests/golden/mmseg_eval.npz)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converter import detect
from converter.execute import execute
from converter.plan import expected_tensors
from families import get_family
from models_torch.ccnet import CCNet
from models_torch.weights import load_weights
from tests.golden.weights import GOLDEN, load_manifest, make_image, make_state_dict
from tests.references.twins import FLOAT32_LIMIT, FRAMEWORKS, PROBES, Array, Twin, digest, half_precision, rounding

FLOAT64_LIMIT = 1e-11
"""Of the greatest magnitude of the reference's output."""

NETWORKS = {"mmseg_r50_512x1024": 50, "mmseg_r101_769x769": 101}
SIZES = ((97, 97), (96, 112))
OUTPUTS = {
    "logits": "logits",
    "auxiliary_logits": "aux",
    **{probe: f"probe/layer{number}" for number, probe in enumerate(PROBES, start=1)},
}
GOLDENS = np.load(GOLDEN / "mmseg_eval.npz")


def golden(network: str, size: tuple[int, int], dtype: str, output: str) -> Array:
    return GOLDENS[f"{network}/1x3x{size[0]}x{size[1]}_{dtype}/{OUTPUTS[output]}"].astype(np.float64)


def comparable(outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: digest(value) if name in PROBES else value for name, value in outputs.items()}


@pytest.fixture(scope="module", params=NETWORKS)
def twins(request: pytest.FixtureRequest) -> tuple[str, dict[str, Twin]]:
    network = request.param
    state = make_state_dict(network, 0)
    plan = detect(state, path=network).plan
    assert (plan.family.name, plan.depth, plan.num_classes) == ("mmseg", NETWORKS[network], 19)
    tensors = {name: array for _, name, array in execute(plan, state)}
    size = {"num_classes": 19, "recurrence": 2, "depth": plan.depth}
    return network, {framework: Twin.build(framework, "mmseg", tensors, **size) for framework in FRAMEWORKS}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_keys_are_mmsegs(network: str) -> None:
    assignments, shapes = expected_tensors(get_family("mmseg"), depth=NETWORKS[network], num_classes=19)
    expected = {item.source: () if item.target is None else shapes[item.target] for item in assignments}
    expected["decode_head.cca.gamma.scale"] = ()
    assert expected == {key: shape for key, shape, _ in load_manifest(network)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("size", SIZES)
def test_float64(twins: tuple[str, dict[str, Twin]], size: tuple[int, int], framework: str) -> None:
    network, models = twins
    actual = comparable(models[framework].run(make_image((1, 3, *size), 0)))
    for output in OUTPUTS:
        expected = golden(network, size, "float64", output)
        assert actual[output].shape == expected.shape
        assert np.abs(actual[output] - expected).max() <= FLOAT64_LIMIT * np.abs(expected).max(), output


def rounding_of(twin: Twin, network: str, size: tuple[int, int]) -> dict[str, float]:
    """The `rounding` of its outputs."""
    exact = {output: golden(network, size, "float64", output) for output in OUTPUTS}
    return rounding(lambda images: comparable(twin.run(images)), make_image((1, 3, *size), 0), exact)


def recorded_rounding(network: str, size: tuple[int, int], output: str) -> float:
    """The reference's own, on the machine that recorded it."""
    return float(np.abs(golden(network, size, "float32", output) - golden(network, size, "float64", output)).max())


@pytest.mark.parametrize("size", SIZES)
def test_float32(twins: tuple[str, dict[str, Twin]], size: tuple[int, int]) -> None:
    """Each twin's rounding, by the other's and the reference's."""
    network, models = twins
    found = {framework: rounding_of(twin, network, size) for framework, twin in models.items()}
    for framework, other in (FRAMEWORKS, FRAMEWORKS[::-1]):
        for output in OUTPUTS:
            floor = max(recorded_rounding(network, size, output), found[other][output])
            assert found[framework][output] <= FLOAT32_LIMIT * floor, (framework, output)


@pytest.mark.parametrize("twins", ["mmseg_r50_512x1024"], indirect=True)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_half_precision_in_one_layer_is_seen(twins: tuple[str, dict[str, Twin]], framework: str) -> None:
    network, models = twins
    twin = models[framework]
    hook = half_precision(twin, twin.model.backbone.stage1[0].reduce.conv)
    found = rounding_of(twin, network, SIZES[0])
    hook.remove()
    for output in PROBES:
        assert found[output] > 2 * FLOAT32_LIMIT * recorded_rounding(network, SIZES[0], output)


def test_every_golden_array_is_compared() -> None:
    compared = {
        f"{network}/1x3x{height}x{width}_{dtype}/{output}"
        for network in NETWORKS
        for height, width in SIZES
        for dtype in ("float64", "float32")
        for output in OUTPUTS.values()
    }
    assert compared == set(GOLDENS)


@pytest.mark.parametrize("change", ["contracted_dilation", "pool_ceil_mode", "head_activation"])
def test_a_wrong_architecture_is_seen(change: str) -> None:
    right = get_family("mmseg").architecture
    wrong = {"contracted_dilation": False, "pool_ceil_mode": True, "head_activation": "leaky_relu"}[change]
    network, size = "mmseg_r50_512x1024", (96, 112)
    state = make_state_dict(network, 0)
    plan = detect(state, path=network).plan
    model = CCNet(replace(right, **{change: wrong}), num_classes=19, recurrence=2, depth=50)
    load_weights(model, {name: np.array(array) for _, name, array in execute(plan, state)})
    actual = Twin("torch", model).run(make_image((1, 3, *size), 0))["logits"]
    expected = golden(network, size, "float64", "logits")
    assert actual.shape != expected.shape or np.abs(actual - expected).max() > 1e-3
