"""What `write_pdparams` writes, Paddle, plain pickle and this package's reader read, bit for bit."""

from __future__ import annotations

import io
import pickle
import pickletools
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.files import write_pdparams
from converter.files.pdparams import read_pdparams
from tests.converter.checkpoints import Array, assert_same_tensors

PADDLE_DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?")
DTYPES = (*PADDLE_DTYPES, "u4", "u8")
MATRIX = np.arange(24, dtype=np.float32).reshape(4, 6)
LAYOUTS = {
    "scalar": np.array(-2.5, np.float32),
    "empty": np.empty(0, np.float32),
    "empty_matrix": np.empty((3, 0, 2), np.float32),
    "fortran": np.asfortranarray(MATRIX),
    "transposed": MATRIX.T,
    "strided": MATRIX[1::2, ::-3],
    "expanded": np.broadcast_to(np.float32(3), (2, 3)),
    "read_only": np.frombuffer(MATRIX.tobytes(), np.float32),
    "unaligned": np.frombuffer(b"\0" + MATRIX.tobytes(), np.float32, offset=1, count=24),
    "special": np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32),
    "ünïcode.✓": MATRIX,
    "": MATRIX,
}


def write(path: Path, arrays: dict[str, Array]) -> Path:
    with path.open("wb") as file:
        write_pdparams(file, arrays.items())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "written.pdparams"


def of_all_dtypes(codes: tuple[str, ...]) -> dict[str, Array]:
    return {code: np.arange(6).reshape(2, 3).astype(code) for code in codes}


@pytest.mark.parametrize("arrays", [of_all_dtypes(DTYPES), LAYOUTS], ids=["dtypes", "layouts"])
def test_pickle_and_the_reader_read_it(path: Path, arrays: dict[str, Array]) -> None:
    write(path, arrays)
    assert_same_tensors(pickle.loads(path.read_bytes()), arrays)
    assert_same_tensors(read_pdparams(path), arrays)


@pytest.mark.parametrize("arrays", [of_all_dtypes(PADDLE_DTYPES), LAYOUTS], ids=["dtypes", "layouts"])
def test_paddle_reads_it(path: Path, arrays: dict[str, Array]) -> None:
    write(path, arrays)
    assert_same_tensors(paddle.load(str(path), return_numpy=True), arrays)
    tensors = paddle.load(str(path))
    assert all(isinstance(tensor, paddle.Tensor) for tensor in tensors.values())
    assert_same_tensors({name: tensor.numpy() for name, tensor in tensors.items()}, arrays)


@given(
    arrays=st.dictionaries(
        st.text(max_size=5), hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, min_side=0)), max_size=4
    )
)
def test_any_arrays(path: Path, arrays: dict[str, Array]) -> None:
    write(path, arrays)
    assert_same_tensors(pickle.loads(path.read_bytes()), arrays)
    assert_same_tensors(read_pdparams(path), arrays)


def test_big_endian_arrays_are_written_little_endian(path: Path) -> None:
    write(path, {"w": MATRIX.astype(">f4")})
    assert_same_tensors(read_pdparams(path), {"w": MATRIX})


@pytest.mark.parametrize("shape", [(256, 0), (65536, 0), (1 << 31, 0), (0, 1 << 40)])
def test_large_dimensions(path: Path, shape: tuple[int, ...]) -> None:
    arrays = {"w": np.empty(shape, np.float32)}
    write(path, arrays)
    assert pickle.loads(path.read_bytes())["w"].shape == shape
    assert_same_tensors(read_pdparams(path), arrays)


@pytest.mark.parametrize("dtype", ["c8", "O", "S3", "U3", "M8[s]", np.longdouble, [("a", "f4")]])
def test_what_is_no_number_is_not_written(dtype: Any) -> None:
    with pytest.raises(TypeError, match="cannot store an array of dtype"):
        write_pdparams(io.BytesIO(), [("w", np.zeros(2, dtype))])


def test_names_that_numpy_1_and_2_both_have(path: Path) -> None:
    write(path, of_all_dtypes(DTYPES))
    content = path.read_bytes()
    opcodes = list(pickletools.genops(content))
    assert {argument for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"} == {
        "numpy ndarray",
        "numpy dtype",
        "numpy.core.multiarray _reconstruct",
    }
    assert not any(opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") for opcode, *_ in opcodes)
    assert max(opcode.proto for opcode, *_ in opcodes) == 4
    assert content[:2] == pickle.PROTO + b"\x04"


def test_one_array_is_alive_at_a_time() -> None:
    earlier: list[weakref.ref[Array]] = []

    def arrays() -> Iterator[tuple[str, Array]]:
        for index in range(4):
            assert all(reference() is None for reference in earlier)
            array = np.full(1000, index, np.float32)
            earlier.append(weakref.ref(array))
            yield f"w{index}", array
            del array

    write_pdparams(io.BytesIO(), arrays())
    assert len(earlier) == 4


def test_each_array_is_written_before_the_next_is_made() -> None:
    class Counted(io.BytesIO):
        written = 0

        def write(self, data: Any) -> int:
            self.written += memoryview(data).nbytes
            return super().write(data)

    file = Counted()

    def arrays() -> Iterator[tuple[str, Array]]:
        for index in range(3):
            assert file.written >= index * 4000
            yield f"w{index}", np.zeros(1000, np.float32)

    write_pdparams(file, arrays())
    assert len(pickle.loads(file.getvalue())) == 3
