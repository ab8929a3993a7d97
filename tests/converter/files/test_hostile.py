"""Pickles made to run code: every one is refused by name and none has any effect."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from converter import InputError, read_checkpoint
from tests.converter.checkpoints import refusal
from tests.converter.pickles import (
    WRITERS,
    array,
    build,
    call,
    document,
    dotted,
    mapping,
    named,
    storage,
    tensor,
    tuple_of,
    value,
)

MARKER = "executed"
TOUCH = value(f"touch {MARKER}")
SYSTEM = named("os", "system")


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    name, writer = WRITERS[request.param]
    return lambda content: writer(tmp_path / name, content)


def inst(module: str, name: str, *arguments: bytes) -> bytes:
    return pickle.MARK + b"".join(arguments) + pickle.INST + f"{module}\n{name}\n".encode()


def new_object(cls: bytes, *arguments: bytes) -> bytes:
    return cls + tuple_of(*arguments) + pickle.NEWOBJ


GETATTR_CHAIN = call(call(named("builtins", "getattr"), named("posix", "__dict__"), value("get")), value("system"))

HOSTILE: dict[str, tuple[bytes, list[str]]] = {
    "os.system": (call(SYSTEM, TOUCH), ["os.system"]),
    "in a list": (b"]" + call(SYSTEM, TOUCH) + b"a", ["os.system"]),
    "as a key": (b"}" + call(SYSTEM, TOUCH) + b"Ns", ["os.system"]),
    "beside weights": (mapping({"w": array(), "x": call(SYSTEM, TOUCH)}), ["os.system"]),
    "popped at once": (call(SYSTEM, TOUCH) + b"0}", ["os.system"]),
    "builtins.eval": (call(named("builtins", "eval"), value(f"open({MARKER!r}, 'w')")), ["builtins.eval"]),
    "exec of Python 2": (call(named("__builtin__", "execfile"), TOUCH), ["__builtin__.execfile"]),
    "never called": (mapping({"f": SYSTEM}), ["os.system"]),
    "INST": (inst("os", "system", TOUCH), ["os.system"]),
    "OBJ": (pickle.MARK + SYSTEM + TOUCH + pickle.OBJ, ["os.system"]),
    "NEWOBJ": (new_object(named("subprocess", "Popen"), TOUCH), ["subprocess.Popen"]),
    "BUILD": (build(call(named("subprocess", "Popen")), mapping({"a": SYSTEM})), ["subprocess.Popen", "os.system"]),
    "BUILD of attributes": (build(call(named("collections", "OrderedDict")), mapping({"f": SYSTEM})), ["os.system"]),
    "results called": (
        call(GETATTR_CHAIN, TOUCH) + b"0" + call(SYSTEM, TOUCH),
        ["builtins.getattr", "posix.__dict__", "os.system"],
    ),
    "several": (
        tuple_of(call(SYSTEM, TOUCH), call(named("builtins", "exec"), TOUCH), named("shutil", "rmtree"), SYSTEM),
        ["os.system", "builtins.exec", "shutil.rmtree"],
    ),
    "arguments of the allowed": (
        tuple_of(call(named("collections", "OrderedDict"), call(SYSTEM, TOUCH)), named("os", "remove")),
        ["os.system", "os.remove"],
    ),
    "dotted name": (
        call(dotted("collections", "OrderedDict.fromkeys"), value("a")),
        ["collections.OrderedDict.fromkeys"],
    ),
    "dotted module": (call(dotted("os.path", "os.system"), TOUCH), ["os.path.os.system"]),
    "parent of the allowed": (dotted("collections", "OrderedDict.__class__"), ["collections.OrderedDict.__class__"]),
    "name of two lines": (dotted("os", "system\nok"), [r"'os.system\nok'"]),
    "name that no text can hold": (dotted("os", "\ud800"), [r"'os.\ud800'"]),
    "the reader itself": (named("converter.files.pth", "_view"), ["converter.files.pth._view"]),
    "copyreg": (named("copyreg", "_reconstructor"), ["copyreg._reconstructor"]),
}


def listed(message: str) -> list[str]:
    """The names that a refusal gives."""
    return message.partition("does not need: ")[2].rpartition("; save only")[0].split(", ")


@pytest.mark.parametrize("name", HOSTILE)
def test_every_global_is_listed_and_none_is_called(write: Callable[[bytes], Path], name: str) -> None:
    content, expected = HOSTILE[name]
    assert [name for name in listed(refusal(write(content))) if not name.startswith("numpy.")] == expected
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_none_is_called_in_metadata_either(tmp_path: Path, container: str, name: str) -> None:
    """Metadata of foreign classes may be left out; then the weights are read as they are, and nothing else is done."""
    file_name, writer = WRITERS[container]
    content = mapping({"meta": HOSTILE[name][0], "state_dict": mapping({"w": tensor()})})
    path = writer(tmp_path / file_name, content)
    with suppress(InputError):
        np.testing.assert_array_equal(read_checkpoint(path).tensors["w"], [[1, 2], [3, 4]])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "INST", "OBJ", "results called"])
def test_the_same_pickles_are_no_empty_threat(name: str) -> None:
    content = HOSTILE[name][0].replace(named("posix", "__dict__"), dotted("posix", "__dict__"))
    pickle.loads(document(content))
    assert Path(MARKER).exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_whole_objects_saved_by_torch(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Conv2d(1, 1, 1), path, _use_new_zipfile_serialization=zipped)
    assert "torch.nn.modules.conv.Conv2d" in listed(refusal(path))
    torch.save({"w": torch.ones(1), "best": np.float64(0.8)}, path)
    assert any(name.endswith(".multiarray.scalar") for name in listed(refusal(path)))
    torch.save({"w": torch.ones(1, dtype=torch.complex64), "s": torch.eye(2).to_sparse()}, path)
    assert listed(refusal(path))[0] == "torch.ComplexFloatStorage"
    assert "torch._utils._rebuild_sparse_tensor" in refusal(path)


@pytest.mark.parametrize("name", WRITERS)
def test_arrays_of_objects(tmp_path: Path, name: str) -> None:
    file_name, writer = WRITERS[name]
    objects = pickle.dumps(np.array([print, {}], dtype=object), protocol=2)[2:-1]
    assert "print" in refusal(writer(tmp_path / file_name, mapping({"w": objects})))
    if name == "legacy":  # which needs a storage
        return
    words = pickle.dumps(np.array(["road", None], dtype=object), protocol=2)[2:-1]
    assert "array dtype 'O8' is not a number's" in refusal(writer(tmp_path / file_name, mapping({"w": words})))


POISON = {
    "storage type": build(named("torch", "FloatStorage"), value({"dtype": "<f8"})),
    "storage type, as slots": build(named("torch", "FloatStorage"), value((None, {"dtype": "<f8"}))),
    "function": build(named("torch._utils", "_rebuild_tensor_v2"), value((None, {"__defaults__": (1,)}))),
    "function's attributes": build(named("torch._utils", "_rebuild_tensor_v2"), value({"x": 1})),
    "class": build(named("collections", "OrderedDict"), value({"get": 5})),
}


@pytest.mark.parametrize("name", POISON)
def test_no_file_changes_how_the_next_is_read(tmp_path: Path, name: str) -> None:
    hostile, honest = tmp_path / "hostile.pth", tmp_path / "honest.pth"
    torch.save({"w": torch.arange(4.0)}, honest)
    WRITERS["zip"][1](hostile, POISON[name] + b"0" + mapping({"w": tensor()}))
    np.testing.assert_array_equal(read_checkpoint(hostile).tensors["w"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_checkpoint(honest).tensors["w"], [0, 1, 2, 3])


def test_attributes_do_not_reach_the_dictionary(write: Callable[[bytes], Path]) -> None:
    items = mapping(dict.fromkeys(("items", "values", "get", "pop"), pickle.NONE))
    refusal(write(build(call(named("collections", "OrderedDict")), items)))


def test_persistent_ids(tmp_path: Path) -> None:
    path = tmp_path / "weights.pdparams"
    path.write_bytes(document(mapping({"w": storage()})))
    assert "torch.FloatStorage" in refusal(path)
    path.write_bytes(document(mapping({"w": value("0") + pickle.BINPERSID})))
    assert "a persistent id where none belongs" in refusal(path)
    path.write_bytes(document(pickle.PERSID + b"0\n"))
    assert "a persistent id where none belongs" in refusal(path)


def test_nothing_is_written_beside_the_file(write: Callable[[bytes], Path]) -> None:
    path = write(call(SYSTEM, TOUCH))
    refusal(path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("key", [(1 << 61) * 3, -(1 << 60), 1e300, (0, (1 << 70,))])
def test_keys_that_can_be_made_to_collide(key: object, tmp_path: Path) -> None:
    """60,000 multiples of 2⁶¹ − 1, which all hash to 0, take hours."""
    for content in ({key: 0}, {key}, frozenset([key])):
        (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": content}, protocol=4))
        with pytest.raises(InputError, match="a very large number"):
            read_checkpoint(tmp_path / "a.pdparams")


def test_a_tensor_of_more_dimensions_than_an_array_can_have(tmp_path: Path) -> None:
    torch.save({"w": torch.ones([1] * 33)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="a tensor of 33 dimensions"):
        read_checkpoint(tmp_path / "a.pth")
