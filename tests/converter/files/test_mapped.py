"""Large values are read without a copy, and conversions take no memory that grows with the file."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import convert_file, read_checkpoint
from converter.errors import InputError
from converter.files.mapped import LARGE, MappedFile
from converter.files.write import FORMATS, write_tensors
from twins.standin import make_state_dict

CLASSES = 100_000
LITTLE = 12_000_000


@given(st.lists(st.tuples(st.integers(0, 3 * LARGE), st.booleans()), max_size=8), st.integers(1, 5 * LARGE))
def test_reads_what_a_file_reads(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], size: int
) -> None:
    path = tmp_path_factory.mktemp("mapped") / "file"
    content = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    mapped, plain = MappedFile(path), io.BytesIO(content)
    for number, is_a_place in steps:
        if is_a_place:
            place = min(number, size)
            assert mapped.seek(place) == plain.seek(place)
        else:
            assert bytes(mapped.read(number)) == plain.read(number)
            assert mapped.tell() == plain.tell()
    assert mapped.readline() == plain.readline()
    assert mapped.seek(0, io.SEEK_END) == size


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="empty: is empty; download or copy it again"):
        MappedFile(tmp_path / "empty")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    state = {"large": np.arange(float(LARGE)), "small": np.arange(3.0), "bytes": bytearray(LARGE)}
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps(state, protocol))
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found.tensors["large"], state["large"])
    np.testing.assert_array_equal(found.tensors["small"], state["small"])


def test_reading_copies_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.pdparams"
    write_tensors(path, "pdparams", {"a": np.zeros(5_000_000, np.float32)}.items())
    assert peak(lambda: read_checkpoint(path)) < 1_000_000


@pytest.mark.parametrize("ending", FORMATS)
def test_a_conversion_holds_no_large_tensor(tmp_path: Path, ending: str) -> None:
    source = tmp_path / "wide.pth"
    write_tensors(source, "pth", make_state_dict(depth=18, num_classes=CLASSES).items())
    assert source.stat().st_size > 4 * LITTLE
    assert peak(lambda: convert_file(source, tmp_path / f"out{ending}")) < LITTLE


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and NumPy held at most, above what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
