"""From planned tensors to target arrays: dtypes, rounding and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from converter import TARGET_DTYPES, ConverterError, InputError, convert_tensors, execute, make_plan, to_paddle
from families import canonical_shapes, get_family
from models_paddle import build_ccnet as build_paddle
from models_paddle.weights import load_weights as load_into_paddle
from models_torch import build_ccnet as build_torch
from models_torch.weights import load_weights as load_into_torch
from tests.converter.checkpoints import assert_same_bits, make_tensors


@pytest.mark.parametrize("dtype", TARGET_DTYPES)
@pytest.mark.parametrize("source_dtype", ["float16", "float32", "float64"])
def test_dtypes_and_order(source_dtype: str, dtype: str) -> None:
    tensors = make_tensors(dtype=source_dtype)
    plan = make_plan(tensors, "official")
    converted = convert_tensors(tensors, dtype=dtype)
    assert list(converted) == list(canonical_shapes(plan.family.architecture, num_classes=19, depth=18))
    wanted = source_dtype if dtype == "keep" else dtype
    for step, name in plan.transfers:
        value = tensors[step.source]
        if step.operation == "fold":
            value = np.abs(value.astype(np.float64)) + np.float64(np.float32(1e-5))
        assert_same_bits(converted[name], value.astype(wanted), name)


@pytest.mark.parametrize("key", ["conv1.weight", "bn1.weight"])
@pytest.mark.parametrize(("source_dtype", "dtype"), [("float32", "float16"), ("float64", "float32")])
def test_overflow_is_refused(key: str, source_dtype: str, dtype: str) -> None:
    tensors = make_tensors(dtype=source_dtype)
    tensors[key].flat[3] = -2 * float(np.finfo(dtype).max)
    with pytest.raises(ConverterError) as caught:
        convert_tensors(tensors, dtype=dtype)
    message = str(caught.value)
    assert message.startswith(f"{key}: values up to ")
    assert message.endswith(f" do not fit {dtype}; choose a wider --dtype")


def test_the_greatest_value_that_fits() -> None:
    tensors = make_tensors()
    tensors["conv1.weight"].flat[3] = np.finfo(np.float16).max
    assert convert_tensors(tensors, dtype="float16")["backbone.stem.0.conv.weight"].max() == np.finfo(np.float16).max


def test_an_incomplete_checkpoint_is_refused() -> None:
    tensors = make_tensors()
    del tensors["conv1.weight"]
    with pytest.raises(InputError, match=r"checkpoint: not a complete official checkpoint: 1 missing: conv1.weight"):
        convert_tensors(tensors)


def test_one_tensor_is_made_at_a_time() -> None:
    tensors = make_tensors()
    arrays = execute(make_plan(tensors, "official"), tensors)
    next(arrays)
    del tensors["head.cca.gamma"]
    with pytest.raises(KeyError):
        list(arrays)


@pytest.mark.parametrize("family", ["official", "pure_pytorch"])
def test_both_twins_load_the_result(family: str) -> None:
    converted = convert_tensors(make_tensors(family))
    assert get_family(family).name == family
    load_into_paddle(build_paddle(family, depth=18), {to_paddle(name): value for name, value in converted.items()})
    load_into_torch(build_torch(family, depth=18), dict(converted))
