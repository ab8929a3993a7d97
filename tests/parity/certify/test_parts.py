"""Parts that a porter names: taken as they are, never replaced by the toolkit's, right ones without an alarm."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cityscapes.layout import decode, list_samples
from families import get_family
from models_paddle import paddle
from parity.certify.catalogue import GATES
from parity.certify.gate import Outcome
from parity.certify.parts.functions import read_parts
from parity.certify.parts.kit import Part
from parity.certify.parts.loaders import FunctionSource
from parity.certify.subject import Subject
from parity.errors import ParityInputError
from parity.mutants import functions
from parity.mutants.mutant import Mutant
from parity.mutants.run import Bench
from recipe.augmentation import Augmentation
from tests.parity.certify.cases import make_subject, outcome_of

OWN = "tests.parity.certify.own_parts:"
PORT = "tests.parity.renamed_port:build"
GIVEN = {
    "preprocessing": OWN + "preprocess",
    "loss": OWN + "loss",
    "optimiser": OWN + "optimiser",
    "metric": OWN + "miou",
}
NEEDS = {
    "validation data": "preprocessing was not given (--preprocess or --config)",
    "metric": "metric was not given (--metric or --config)",
    "loss": "loss was not given (--loss or --config)",
    "optimiser": "optimiser was not given (--optimiser or --config)",
    "learning rate": "schedule was not given (--schedule or --config)",
    "regularisation": "regularisation was not given (--optimiser or --config)",
    "training data": "loader was not given (--loader or --config)",
    "training": "loss was not given (--loss or --config)",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def bare(folder: Path) -> Subject:
    return make_subject(folder, port=PORT, size=(33, 49))


def judge(folder: Path, gate: str, **parts: str) -> Outcome:
    """`gate` of the toolkit's twin with some parts of another's: what stands around the part costs no time."""
    return outcome_of(gate, make_subject(folder, size=(33, 49), parts=parts))


@pytest.mark.parametrize("gate", NEEDS)
def test_a_part_that_was_not_given_is_not_replaced(gate: str, bare: Subject) -> None:
    outcome = outcome_of(gate, bare)
    assert outcome.verdict == "not run"
    assert outcome.reason == f"the port's own {NEEDS[gate]}"


def test_every_gate_says_what_it_exercises() -> None:
    assert all(gate.exercises for gate in GATES.values())


@pytest.mark.parametrize(
    ("gate", "part"),
    [("validation data", "preprocessing"), ("metric", "metric"), ("loss", "loss"), ("optimiser", "optimiser")],
)
def test_given_parts_are_what_runs(gate: str, part: str, folder: Path) -> None:
    outcome = judge(folder, gate, **{part: GIVEN[part]})
    assert outcome, outcome.reason
    assert GIVEN[part].replace(":", ".") in outcome.code["port"]
    assert "(own_parts.py:" in outcome.code["port"]
    assert outcome.code["reference"] == "toolkit"


def test_the_twins_parts_are_the_toolkits(folder: Path) -> None:
    assert outcome_of("loss", make_subject(folder)).code == {"port": "toolkit", "reference": "toolkit"}


def test_training_runs_the_ports_own_parts(folder: Path) -> None:
    subject = make_subject(folder, port="tests.parity.official_port:build_inline", parts=GIVEN, size=(33, 49))
    outcome = outcome_of("training", subject)
    assert outcome, outcome.reason
    assert outcome.code["port"].count("own_parts.py") == 2


@pytest.mark.parametrize(
    ("gate", "parts"),
    [
        ("loss", {"loss": "Loss"}),
        ("loss", {"loss": "make_loss"}),
        ("optimiser", {"optimiser": "in_groups"}),
        ("regularisation", {"optimiser": "in_groups"}),
        ("learning rate", {"schedule": "schedule"}),
        ("learning rate", {"schedule": "rate_of"}),
        ("learning rate", {"optimiser": "optimiser"}),
        ("learning rate", {"optimiser": "momentum", "schedule": "schedule"}),
        ("metric", {"metric": "confusion"}),
    ],
    ids=str,
)
def test_equivalents_pass(gate: str, parts: dict[str, str], folder: Path) -> None:
    outcome = judge(folder, gate, **{name: OWN + function for name, function in parts.items()})
    assert outcome, outcome.reason


def test_an_optimiser_of_one_rate_has_no_schedule(folder: Path) -> None:
    subject = make_subject(folder, port=PORT, parts={"optimiser": OWN + "constant"})
    outcome = outcome_of("learning rate", subject)
    assert outcome.verdict == "not run"
    assert "the port's own schedule was not given" in outcome.reason


def test_classes_that_do_not_occur_may_count_as_nothing_or_as_zero(folder: Path) -> None:
    """As in cityscapesScripts, or as in the official evaluation and PaddleSeg; but not as one."""
    for name in ("miou", "miou_of_all"):
        outcome = judge(folder, "metric", metric=OWN + name)
        assert outcome.verdict == "passed", outcome.reason
    outcome = judge(folder, "metric", metric=OWN + "miou_of_all_as_one")
    assert outcome.verdict == "failed"
    assert "some classes absent" in outcome.reason


def test_an_optimiser_that_takes_a_schedule_needs_none_of_its_own(folder: Path) -> None:
    assert judge(folder, "optimiser", optimiser=OWN + "momentum").verdict == "passed"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tests.parity.certify.own_parts:none", "--loss tests.parity.certify.own_parts:none"),
        ("nowhere.py:loss", "no such file"),
        (OWN + "RATE", "is a float, no function"),
    ],
)
def test_what_cannot_be_taken(spec: str, words: str) -> None:
    with pytest.raises(ParityInputError, match=words):
        read_parts({"loss": spec}, "port")


def test_a_users_error_names_its_line(tmp_path: Path) -> None:
    from parity.certify.run import Options, certify

    broken = tmp_path / "broken.py"
    broken.write_text("def loss(outputs, labels):\n    return outputs[7]\n")
    found = certify(Options(depth=18, report=tmp_path, gates=("loss",), parts={"loss": f"{broken}:loss"}))
    outcome: Any = next(outcome for outcome in found.outcomes if outcome.name == "loss")
    assert outcome.verdict == "failed"
    assert "IndexError" in outcome.reason
    assert "(broken.py:2)" in outcome.reason


@pytest.mark.parametrize("entry", [*functions.MUTANTS, *functions.EQUIVALENTS], ids=lambda entry: entry.name)
def test_a_mistake_in_a_function_fails_at_its_gate(entry: Mutant) -> None:
    """At none of the gates of parts before it; and a right one at none."""
    outcome = bench().certify(entry)
    assert outcome.caught != entry.is_equivalent, outcome.sentence
    assert outcome, (outcome.guilty, outcome.causes)


@cache
def bench() -> Bench:
    return Bench()


def augment(root: str, **changes: Any) -> Any:
    """A loader as a porter writes it, by the recipe's own augmentation, with a small crop."""
    samples = [decode(sample) for sample in list_samples(Path(root), "train")]
    own: dict[str, Any] = {"preprocessing": get_family("official").preprocessing, "crop": SMALL_CROP, **changes}
    rng = np.random.default_rng(7)
    for number in range(40):
        sample = samples[number % len(samples)]
        image, labels = Augmentation(**own)(sample.pixels, sample.label, rng)
        yield {"img": paddle.to_tensor(image[None]), "label": paddle.to_tensor(labels[None])}


SMALL_CROP = (97, 97)
LOADERS = {
    "right": ({}, ""),
    "scales": ({"scales": tuple(0.5 + step / 10 for step in range(16))}, "least scale"),
    "never mirrored": ({"mirror": False}, "mirrored"),
    "another family's pixels": ({"preprocessing": get_family("mmseg").preprocessing}, "values"),
    "crop": ({"crop": (65, 65)}, "65×65"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_is_judged_by_what_it_does_to_charts(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes, words = LOADERS[name]
    source = FunctionSource(lambda root: augment(root, **changes))
    source.size, source.shrunk, source.most = (128, 256), 8, 300
    subject = make_subject(tmp_path)
    monkeypatch.setitem(subject.__dict__, "port_kit", {**subject.port_kit, "loader": Part("my_loader", source)})
    outcome = outcome_of("training data", subject)
    assert bool(outcome) == (name == "right"), outcome.reason
    assert words in outcome.reason


def like_mmseg(root: str, least: float = 0.5) -> Any:
    """As mmsegmentation's pipeline does it, in OpenCV's terms: any scale, colours changed, then normalised, padded."""
    cv2 = pytest.importorskip("cv2")
    own, height, width = get_family("mmseg").preprocessing, 64, 128
    samples = [decode(sample) for sample in list_samples(Path(root), "train")]
    rng = np.random.default_rng(7)
    for number in range(800):
        sample, scale = samples[number % len(samples)], rng.uniform(least, 2.0)
        pixels = cv2.resize(sample.pixels[..., ::-1], None, fx=scale, fy=scale)
        labels = cv2.resize(sample.label, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        top, left = (
            int(rng.integers(max(side - crop, 0) + 1)) for side, crop in zip(labels.shape, (height, width), strict=True)
        )
        pixels, labels = (array[top : top + height, left : left + width] for array in (pixels, labels))
        if rng.random() < 0.5:
            pixels, labels = pixels[:, ::-1], labels[:, ::-1]
        if rng.random() < 0.5:
            pixels = np.clip(pixels + rng.uniform(-32, 32), 0, 255).astype(np.uint8)
        late, contrast = rng.random() < 0.5, rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
        if not late:
            pixels = np.clip(pixels * contrast, 0, 255).astype(np.uint8)
        levels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2HSV).astype(np.int64)
        if rng.random() < 0.5:
            levels[..., 1] = np.clip(levels[..., 1] * rng.uniform(0.5, 1.5), 0, 255)
        if rng.random() < 0.5:
            levels[..., 0] = (levels[..., 0] + rng.integers(-18, 18)) % 180
        pixels = cv2.cvtColor(levels.astype(np.uint8), cv2.COLOR_HSV2RGB)
        if late:
            pixels = np.clip(pixels * contrast, 0, 255).astype(np.uint8)
        image = np.zeros((height, width, 3), np.float32)
        image[: pixels.shape[0], : pixels.shape[1]] = (pixels - np.array(own.mean)) / np.array(own.deviation)
        target = np.full((height, width), 255, np.int64)
        target[: labels.shape[0], : labels.shape[1]] = labels
        yield image.transpose(2, 0, 1)[None], target[None]


@pytest.mark.parametrize("least", [0.5, 0.75])
def test_a_family_that_draws_any_scale_and_changes_colours(
    least: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = FunctionSource(lambda root: like_mmseg(root, least))
    source.size, source.shrunk, source.most = (128, 256), 8, 800
    subject = make_subject(tmp_path, family="mmseg")
    monkeypatch.setitem(subject.__dict__, "port_kit", {**subject.port_kit, "loader": Part("my_loader", source)})
    outcome = outcome_of("training data", subject)
    assert bool(outcome) == (least == 0.5), outcome.reason
    assert ("least scale" in outcome.reason) == (least != 0.5)


def test_mmsegmentations_mean_is_over_all_pixels(tmp_path: Path) -> None:
    for name, verdict in (("mean_over_all", "passed"), ("mean_over_counted", "failed")):
        subject = make_subject(tmp_path, family="mmseg", parts={"loss": OWN + name})
        outcome = outcome_of("loss", subject)
        assert outcome.verdict == verdict, outcome.reason
        if outcome.cause is not None:
            assert (
                "that of the official recipe, the mean cross-entropy over the pixels that are not" in outcome.cause.text
            )


def test_a_loader_that_gives_something_else(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    source = FunctionSource(lambda root: [np.zeros(3)])
    subject.__dict__["port_kit"] = {**subject.port_kit, "loader": Part("my_loader", source)}
    outcome = outcome_of("training data", subject)
    assert outcome.verdict == "not run"
    assert "gives (3,), not (N, C, H, W) and (N, H, W)" in outcome.reason
