"""Which keys a target gets, and refusals that say what is possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import InputError
from converter.target import CANONICAL, OWN_FORMATS, choose_target, explain_misfit
from families import FAMILIES, get_family
from families.differences import list_differences

PAIRS = [(one, other) for one in FAMILIES for other in FAMILIES if one != other]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("ending", [".pth", ".pdparams", ".safetensors"])
def test_another_networks_keys_are_refused(one: str, other: str, ending: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_target(Path(f"out{ending}"), get_family(one), keys=other)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert message.startswith(f"out{ending}: {one} weights are of another network than {other}'s (")
    for difference in list_differences(get_family(one).architecture, get_family(other).architecture):
        assert difference in message
    assert "the nearest that is possible" in message


def test_why_official_weights_are_not_paddlesegs() -> None:
    message = explain_misfit(get_family("official"), get_family("paddleseg"))
    for trait in (
        "stem 64-64-128, not 32-32-64",
        "shortcut strided, not average-pooled",
        "max-pooling ceil, not floor",
        "activation of fuse leaky_relu, not relu",
        "convolution of fuse without bias, not with bias",
    ):
        assert trait in message
    assert message.endswith(
        "the nearest that is possible is the Paddle twin of official: "
        "a .pdparams target without --to paddleseg, for models_paddle"
    )


def test_why_mmseg_weights_are_not_pure_pytorchs() -> None:
    assert "dilation of stages 3 and 4 half in the first block, not the same in every block" in explain_misfit(
        get_family("mmseg"), get_family("pure_pytorch")
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_own_keys_go_into_the_frameworks_formats(family: str) -> None:
    chosen = get_family(family)
    for ending in (".pth", ".pdparams", ".safetensors"):
        path = Path(f"out{ending}")
        assert choose_target(path, chosen, keys=CANONICAL).keys == CANONICAL
        if ending[1:] in OWN_FORMATS[chosen.framework]:
            assert choose_target(path, chosen, keys=family).keys == family
        else:
            with pytest.raises(InputError, match=f"{family}'s own keys go into .* or .safetensors"):
                choose_target(path, chosen, keys=family)


def test_unknown_keys() -> None:
    with pytest.raises(InputError, match=r"unknown family 'nonsense'; known: .*, or canonical"):
        choose_target(Path("out.pth"), get_family("official"), keys="nonsense")


def test_names_in_a_file() -> None:
    name = "head.fuse.norm.running_mean"
    assert choose_target(Path("out.pdparams"), get_family("official")).rename(name) == "head.fuse.norm._mean"
    assert choose_target(Path("out.pth"), get_family("paddleseg")).rename(name) == name


def test_where_a_manifest_is_written() -> None:
    assert [path.name for path in choose_target(Path("out.pdparams"), get_family("mmseg")).files] == [
        "out.pdparams",
        "out.manifest.json",
    ]
    assert [path.name for path in choose_target(Path("out.pth"), get_family("mmseg")).files] == ["out.pth"]
