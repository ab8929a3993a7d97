"""`.pdparams` files as Paddle and plain pickle write them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from converter import read_checkpoint
from converter.files.pdparams import PARAMETER_NAMES, SPLIT_ARRAYS, read_pdparams
from tests.converter.checkpoints import assert_same_tensors, read_or_refuse, refusal
from tests.converter.pickles import array, build, call, document, mapping, named, value

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
ARRAYS = {
    **{code: np.array([0, 1, 100]).astype(code) for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?")},
    "scalar": np.array(2.5, np.float32),
    "empty": np.empty((0, 3), np.float32),
    "fortran": np.asfortranarray(MATRIX),
    "strided": MATRIX[::2, 1::2],
    "special": np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pdparams"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_pickles(path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps(ARRAYS, protocol))
    assert_same_tensors(read_pdparams(path), ARRAYS)
    assert_same_tensors(read_checkpoint(path).tensors, ARRAYS)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_saved_by_paddle(path: Path, protocol: int) -> None:
    paddle.save(ARRAYS, str(path), protocol=protocol)
    assert_same_tensors(read_pdparams(path), ARRAYS)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_state_dicts_saved_by_paddle(path: Path, protocol: int) -> None:
    paddle.seed(0)
    layer = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.Linear(4, 2))
    paddle.save(layer.state_dict(), str(path), protocol=protocol)
    assert PARAMETER_NAMES in pickle.loads(path.read_bytes())
    checkpoint = read_checkpoint(path)
    assert (checkpoint.format, checkpoint.wrappers) == ("pdparams", ())
    assert_same_tensors(checkpoint.tensors, {name: value.numpy() for name, value in layer.state_dict().items()})


@pytest.mark.parametrize("protocol", [2, 3])
def test_names_of_numpy_2(path: Path, protocol: int) -> None:
    content = pickle.dumps(ARRAYS, protocol)
    names = content.replace(b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
    assert b"cnumpy._core.multiarray\n" in names
    path.write_bytes(names)
    assert_same_tensors(read_pdparams(path), ARRAYS)


def test_big_endian_arrays(path: Path) -> None:
    path.write_bytes(pickle.dumps({"w": MATRIX.astype(">f4")}))
    np.testing.assert_array_equal(read_pdparams(path)["w"], MATRIX)


def split(**changes: Any) -> dict[str, Any]:
    """A dictionary whose array was too large for protocols below 4: `paddle.save` splits it."""
    info = {"OriginShape": MATRIX.shape, "slices": ["w@@.0", "w@@.1"]}
    parts = {"w@@.0": MATRIX.reshape(-1)[:7], "w@@.1": MATRIX.reshape(-1)[7:]}
    return {**parts, "b": MATRIX[0], SPLIT_ARRAYS: {"w": info}, **changes}


def test_split_arrays(path: Path) -> None:
    path.write_bytes(pickle.dumps(split(), 2))
    assert_same_tensors(read_pdparams(path), {"w": MATRIX, "b": MATRIX[0]})
    np.testing.assert_array_equal(paddle.load(str(path), return_numpy=True)["w"], MATRIX)


DAMAGED_SPLITS = {
    "no table": 5,
    "no entry": {"w": 5},
    "no slices": {"w": {"OriginShape": (3, 4)}},
    "no shape": {"w": {"slices": ["w@@.0", "w@@.1"]}},
    "missing slice": {"w": {"OriginShape": (3, 4), "slices": ["w@@.0", "w@@.7"]}},
    "unused slice": {"w": {"OriginShape": (3, 4), "slices": ["w@@.0"]}},
    "empty": {"w": {"OriginShape": (0,), "slices": []}},
    "another shape": {"w": {"OriginShape": (5, 4), "slices": ["w@@.0", "w@@.1"]}},
}


@pytest.mark.parametrize("name", DAMAGED_SPLITS)
def test_damaged_tables_of_split_arrays(path: Path, name: str) -> None:
    path.write_bytes(pickle.dumps(split(**{SPLIT_ARRAYS: DAMAGED_SPLITS[name]}), 2))
    assert "split arrays" in refusal(path)


NO_PARAMETERS = {
    "a list": (value([1, 2]), "only a list"),
    "an array": (array(), "one tensor without a name"),
    "nothing in it": (b"}", "holds no state dict"),
    "a number": (mapping({"w": value(3)}), "only w (a int)"),
    "an optimiser's state": (mapping({"LR_Scheduler": mapping({"w": array()})}), "the state of an optimiser"),
    "a key that is no string": (b"}" + value(5) + array() + b"s", "not a string"),
    "an array without data": (
        mapping({"w": call(named("numpy.core.multiarray", "_reconstruct"))}),
        "w is a damaged array",
    ),
    "the class of arrays": (mapping({"w": named("numpy", "ndarray")}), "w is a damaged array"),
    "a dtype": (mapping({"w": call(named("numpy", "dtype"), value("f4"))}), "only w (a PickledDtype)"),
    "data too short": (mapping({"w": array((3,))}), "not a readable pickle"),
    "data that is no bytes": (mapping({"w": array(data=[0.5, 0.5])}), "not a readable pickle"),
    "negative shape": (mapping({"w": array((-2, -1))}), "not a readable pickle"),
    "state of three": (mapping({"w": build(array(), value((1, 2, 3)))}), "not a readable pickle"),
    "objects": (mapping({"w": array(code="O8", order="|")}), "array dtype 'O8' is not a number's"),
    "strings": (mapping({"w": array(code="S4", order="|")}), "array dtype 'S4' is not a number's"),
    "records": (mapping({"w": array(code="f4,f4")}), "array dtype 'f4,f4' is not a number's"),
    "complex": (mapping({"w": array(code="c8")}), "array dtype 'c8' is not a number's"),
    "long double": (mapping({"w": array(code="f16")}), "array dtype 'f16' is not a number's"),
    "unknown dtype": (mapping({"w": array(code="x\ny")}), "not a readable pickle"),
    "bytes by the number": (mapping({"w": call(named("__builtin__", "bytes"), value(1 << 40))}), "not a readable"),
    "another encoding": (mapping({"w": call(named("_codecs", "encode"), value("a"), value("utf-7"))}), "encoding"),
    "encoding of a list": (mapping({"w": call(named("_codecs", "encode"), value("a"), value([]))}), "encoding"),
}


@pytest.mark.parametrize("name", NO_PARAMETERS)
def test_what_is_no_dictionary_of_arrays(path: Path, name: str) -> None:
    content, expected = NO_PARAMETERS[name]
    path.write_bytes(document(content))
    assert expected in refusal(path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_damaged_bytes(path: Path, protocol: int) -> None:
    state = {"w": np.ones((2, 1), np.float32, order="F"), "b": np.arange(2), PARAMETER_NAMES: {"w": "conv2d_0.w_0"}}
    whole = pickle.dumps(state, protocol)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)
    for position in range(len(whole)):
        for flip in (0x01, 0x10, 0xFF):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
            read_or_refuse(path)
