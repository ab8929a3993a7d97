"""Foreign ports: renamed and re-nested, PaddleSeg's own, and those that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from converter.errors import InputError
from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.port import load_port, load_port_weights
from parity.networks.user import users_code
from parity.pairing.match import match_port, read_mapping
from parity.pairing.propose import pair_modules
from tests.optional import needs_paddleseg
from tests.parity.small_twins import INPUTS, make_twins

SPEC = "tests.parity.renamed_port:"


@pytest.fixture(scope="module")
def ours():
    return make_twins()[0]


def test_renamed_port_is_given_the_weights_paired_and_passes(ours):
    port = load_port(SPEC + "build")
    pairing, summary = match_port(ours, port, None)
    assert summary["copied"]
    assert not summary["different"]
    assert pairing.origin == "proposal"
    again, summary = match_port(ours, port, None)
    assert not summary["copied"]
    assert again.pairs["head.attention"] == "cca"
    assert again.pairs["backbone.stage3.1.spatial.conv"] == "res4.1.spatial.conv"
    report = compare_models(ours, port, INPUTS, pairs=again)
    assert report, report.summary


def test_fault_of_a_renamed_port_is_pinned(ours):
    port = load_port(SPEC + "build_wrong")
    pairing, _ = match_port(ours, port, None)
    report = compare_models(ours, port, INPUTS, pairs=pairing)
    assert [guilty.path for guilty in report.guilty] == ["head.refine.activation"]


def test_one_wrong_weight_of_a_loaded_port_is_named(ours):
    port = load_port(SPEC + "build")
    match_port(ours, port, None)
    weight = port.cca.v.weight
    weight.set_value(weight * 1.0001)
    pairing, summary = match_port(ours, port, None)
    assert summary["different"] == ["head.attention.value.weight"]
    report = compare_models(ours, port, INPUTS, pairs=pairing, weights=summary)
    assert {guilty.path for guilty in report.guilty} == {"head.attention.value"}


@pytest.mark.parametrize(
    ("spec", "line"), [("tests.parity.official_port:build_raising", True), (SPEC + "build", False)]
)
def test_what_the_port_raises_names_it(ours, spec, line):
    port = load_port(spec)
    match_port(ours, port, None)
    if not line:  # called as it cannot be: none of its lines is to blame
        port.forward = None
    with (
        pytest.raises(ParityInputError, match=f"--port {spec}: cannot run it") as raised,
        users_code({"--port": spec}, "run it"),
    ):
        compare_models(ours, port, {"odd": INPUTS["odd"]}, dtypes=["float64"])
    assert ("official_port.py:" in str(raised.value)) is line


def test_what_torch_raises_is_not_the_ports(ours, monkeypatch):
    port = load_port(SPEC + "build")
    match_port(ours, port, None)
    monkeypatch.setattr(ours.head, "recurrence", "two")
    with pytest.raises(TypeError), users_code({"--port": SPEC + "build"}, "run it"):
        compare_models(ours, port, {"odd": INPUTS["odd"]}, dtypes=["float64"])


def test_mapping_of_whole_parts(ours):
    port = load_port(SPEC + "build")
    mapping = {
        "backbone.stem": "entry.0",
        "backbone.pool": "entry.1",
        "backbone.stage1": "entry.2",
        "backbone.stage2": "entry.3",
        "backbone.stage3": "res4",
        "backbone.stage4": "res5",
        "head.reduce": "conv_in",
        "head.attention": "cca",
        "head.attention.query": "cca.q",
        "head.attention.key": "cca.k",
        "head.attention.value": "cca.v",
        "head.refine": "conv_out",
        "head.fuse": "out.0",
        "head.classifier": "out.1",
        "auxiliary_head.fuse": "deep_supervision.0",
        "auxiliary_head.classifier": "deep_supervision.1",
    }
    pairing, summary = match_port(ours, port, mapping)
    assert pairing.origin == "mapping"
    assert not pairing.uncovered
    report = compare_models(ours, port, INPUTS, pairs=pairing, dtypes=["float64"])
    assert report, report.summary
    assert summary["copied"]


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"head.nonsense": "cca"}, "torch network has no module 'head.nonsense'"),
        ({"head.attention": "nonsense"}, "Paddle network has no module 'nonsense'"),
        ({"head.attention.query": "conv_in.norm"}, "is a conv layer, conv_in.norm a norm layer"),
    ],
)
def test_wrong_mappings_are_refused(ours, mapping, said):
    with pytest.raises(ParityInputError, match=said):
        match_port(ours, load_port(SPEC + "build"), mapping)


def test_gaps_fail_and_can_be_accepted(ours):
    port = load_port(SPEC + "build")
    match_port(ours, port, None)
    pairing = replace(match_port(ours, port, {"head.reduce": "conv_in"})[0], uncovered=("head.fuse",))
    report = compare_models(ours, port, INPUTS, pairs=pairing, dtypes=["float64"])
    assert not report
    assert any("no counterpart" in problem for problem in report.problems)
    assert compare_models(ours, port, INPUTS, pairs=pairing, dtypes=["float64"], accept=["*"])


def test_a_twin_with_a_few_other_names_is_paired_by_path_and_proposal(ours):
    port = make_twins()[1]
    attention = port.head.attention
    for old, new in {"query": "q", "key": "k", "value": "v"}.items():
        attention.__dict__[old] = getattr(attention, old)  # for the forward pass
        attention._sub_layers[new] = attention._sub_layers.pop(old)
    pairing = pair_modules(torch_modules(ours), paddle_modules(port))
    assert pairing.origin == "path, the rest by proposal"
    assert pairing.pairs["head.attention.key"] == "head.attention.k"
    assert not pairing.uncovered
    assert compare_models(ours, port, INPUTS, dtypes=["float64"])
    attention.k.weight.set_value(attention.k.weight * 1.0001)
    report = compare_models(ours, port, INPUTS, dtypes=["float64"])
    assert {one.path for one in report.guilty} == {"head.attention.key"}


@needs_paddleseg
def test_paddlesegs_own_ccnet_is_not_the_official_network(ours):
    from paddleseg.models import CCNet, ResNet101_vd

    paddle.seed(0)
    port = CCNet(num_classes=19, backbone=ResNet101_vd(output_stride=8), backbone_indices=(2, 3), recurrence=2)
    pairing = pair_modules(torch_modules(ours), paddle_modules(port))
    assert pairing.uncovered
    report = compare_models(ours, port, {"small": INPUTS["odd"]}, pairs=pairing, dtypes=["float64"], mode="free")
    assert not report
    assert report.failures
    assert report.problems


def test_equal_weights_in_two_places_are_ambiguous():
    ours = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    ours[1].load_state_dict(ours[0].state_dict())
    first, second = paddle.nn.Conv2D(3, 3, 1), paddle.nn.Conv2D(3, 3, 1)
    for layer in (first, second):
        layer.weight.set_value(ours[0].weight.detach().numpy())
        layer.bias.set_value(ours[0].bias.detach().numpy())
    theirs = paddle.nn.LayerDict({"b": first, "a": second})
    pairing = pair_modules(torch_modules(ours), paddle_modules(theirs))
    assert set(pairing.ambiguous) == {"0", "1"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nonsense", "package.module:function"),
        ("no_such_module:build", "ModuleNotFoundError"),
        (SPEC + "no_such_function", "AttributeError"),
        (SPEC + "build_nothing", "returned a int"),
    ],
)
def test_unusable_ports_are_refused(spec, said):
    with pytest.raises(ParityInputError, match=said) as caught:
        load_port(spec)
    assert "\n" not in str(caught.value)


def test_port_weights_must_fit(tmp_path):
    port = load_port(SPEC + "build")
    path = tmp_path / "port.pdparams"
    paddle.save(port.state_dict(), str(path))
    load_port_weights(load_port(SPEC + "build"), path)
    state = {name: tensor.numpy() for name, tensor in port.state_dict().items()}
    state["extra"] = np.zeros(3, np.float32)
    paddle.save(state, str(path))
    with pytest.raises(ParityInputError, match="unexpected"):
        load_port_weights(port, path)


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": 1}'])
def test_unreadable_mappings_are_refused(tmp_path, content):
    path = tmp_path / "pairs.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not a readable mapping"):
        read_mapping(path)
    path.write_text(json.dumps({"a": "b"}))
    assert read_mapping(path) == {"a": "b"}
