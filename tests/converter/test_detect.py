"""Which family a checkpoint is of, and a refusal where that is not certain."""

from __future__ import annotations

import numpy as np
import pytest

from converter import InputError, detect
from families import FAMILIES
from tests.converter.checkpoints import Array, make_tensors, without

LEAVES = ("weight", "bias")
CLASSIFIERS = {
    "official": [f"{layer}.{leaf}" for layer in ("head.bottleneck.3", "dsn.3") for leaf in LEAVES],
    "pure_pytorch": [f"{layer}.{leaf}" for layer in ("head.bottleneck.4", "dsn.4") for leaf in LEAVES],
}


def refused(tensors: dict[str, Array], **options: str) -> str:
    with pytest.raises(InputError) as caught:
        detect(tensors, path="my.pth", **options)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert message.startswith("my.pth: ")
    return message


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_recognised(family: str) -> None:
    tensors = make_tensors(family)
    detection = detect(tensors, path="my.pth")
    assert detection.plan
    assert detection.plan.family.name == family
    transfers = len(detection.plan.transfers)
    assert detection.reason.startswith(f"all {transfers} tensors have its keys and shapes; ")
    _, has_no_place, telling = detection.reason.partition(", the next nearest, has no place for ")
    assert not has_no_place or telling in tensors


def test_what_tells_the_official_family() -> None:
    reason = detect(make_tensors(), path="my.pth").reason
    assert reason.endswith("pure_pytorch, the next nearest, has no place for head.bottleneck.3.weight")


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_a_damaged_checkpoint_is_of_the_nearest_family(family: str) -> None:
    tensors = without(make_tensors(family), ending=("gamma", "conv1.weight"))
    detection = detect(tensors, path="my.pth")
    assert detection.plan.family.name == family
    assert detection.reason == "nearest family (10 missing)"
    assert not detection.plan


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_without_classifiers_it_could_be_either(family: str) -> None:
    tensors = {
        key: value for key, value in make_tensors(family).items() if not any(c in key for c in CLASSIFIERS[family])
    }
    message = refused(tensors)
    assert "two families fit equally well" in message
    for candidate in FAMILIES:
        assert f"{candidate}: " in message
    assert message.count(": 4 missing") == 2
    assert message.endswith("; pass --family NAME")
    chosen = detect(tensors, path="my.pth", family=family)
    assert (chosen.plan.family.name, chosen.reason) == (family, "asked for by --family")
    assert list(chosen.plan.problems()) == ["missing"]


UNLIKE: dict[str, dict[str, Array]] = {
    "one tensor": {"w": np.ones(3, np.float32)},
    "another network": {f"encoder.{i}.weight": np.ones((4, 4), np.float32) for i in range(40)},
    "a backbone alone": {key: value for key, value in make_tensors().items() if key.startswith("layer1")},
    "shapes of another": {key: np.ones((2, 2, 2), np.float32) for key in make_tensors()},
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_like_no_family(name: str) -> None:
    message = refused(UNLIKE[name])
    assert "cannot tell its family" in message
    for candidate in FAMILIES:
        assert f"{candidate}: " in message


def test_unknown_family() -> None:
    assert refused(make_tensors(), family="mmdet") == (
        f"my.pth: unknown family 'mmdet'; known: {', '.join(sorted(FAMILIES))}"
    )


def test_a_family_asked_for_against_the_evidence() -> None:
    detection = detect(make_tensors(), path="my.pth", family="pure_pytorch")
    assert (len(detection.plan.missing), len(detection.plan.unexpected)) == (4, 4)


def test_values_are_checked_once_the_family_is_known() -> None:
    tensors = make_tensors()
    tensors["bn1.bias"] = np.full_like(tensors["bn1.bias"], np.nan)
    assert detect(tensors, path="my.pth").plan.problems() == {"not finite": ("bn1.bias",)}


def test_a_number_without_end_in_a_key() -> None:
    tensors = {**make_tensors(), f"layer3.{'9' * 5000}.conv1.weight": np.ones(1, np.float32)}
    assert len(detect(tensors, path="my.pth").plan.unexpected) == 1
