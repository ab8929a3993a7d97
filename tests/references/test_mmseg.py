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
from tests.references.twins import FRAMEWORKS, PROBES, Array, Twin, digest

FLOAT64_LIMIT = 1e-11
"""Of the greatest magnitude of the reference's output."""
FLOAT32_LIMIT = 4
"""Times the reference's own distance from its float64 output, the greatest of its inputs."""

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


@pytest.fixture(scope="module", params=[(network, framework) for network in NETWORKS for framework in FRAMEWORKS])
def twin(request: pytest.FixtureRequest) -> tuple[str, Twin]:
    network, framework = request.param
    state = make_state_dict(network, 0)
    plan = detect(state, path=network).plan
    assert (plan.family.name, plan.depth, plan.num_classes) == ("mmseg", NETWORKS[network], 19)
    tensors = {name: array for _, name, array in execute(plan, state)}
    return network, Twin.build(framework, "mmseg", tensors, num_classes=19, recurrence=2, depth=plan.depth)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_keys_are_mmsegs(network: str) -> None:
    assignments, shapes = expected_tensors(get_family("mmseg"), depth=NETWORKS[network], num_classes=19)
    expected = {item.source: () if item.target is None else shapes[item.target] for item in assignments}
    expected["decode_head.cca.gamma.scale"] = ()
    assert expected == {key: shape for key, shape, _ in load_manifest(network)}


@pytest.mark.parametrize("size", SIZES)
def test_float64(twin: tuple[str, Twin], size: tuple[int, int]) -> None:
    network, model = twin
    actual = comparable(model.run(make_image((1, 3, *size), 0)))
    for output in OUTPUTS:
        expected = golden(network, size, "float64", output)
        assert actual[output].shape == expected.shape
        assert np.abs(actual[output] - expected).max() <= FLOAT64_LIMIT * np.abs(expected).max(), output


@pytest.mark.parametrize("size", SIZES)
def test_float32(twin: tuple[str, Twin], size: tuple[int, int]) -> None:
    network, model = twin
    actual = comparable(model.run(make_image((1, 3, *size), 0).astype(np.float32)))
    for output in OUTPUTS:
        own = max(
            np.abs(golden(network, one, "float32", output) - golden(network, one, "float64", output)).max()
            for one in SIZES
        )
        assert np.abs(actual[output] - golden(network, size, "float64", output)).max() <= FLOAT32_LIMIT * own, output


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
