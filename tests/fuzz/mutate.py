"""Small damage to a file, drawn from a seed."""

from __future__ import annotations

import pickle
import random

from tests.converter.pickles import array, call, document, mapping, named, storage, tensor, tuple_of, value

INTERESTING = (b"\x00", b"\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"[" * 200, b'"', b"\n", b"1e999", b"-1", b"9" * 30)
GLOBALS = (
    *(("os", "system"), ("builtins", "eval"), ("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2")),
    *(("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct"), ("torch", "FloatStorage")),
    *(("torch", "Size"), ("torch", "device"), ("_codecs", "encode"), ("builtins", "set"), ("builtins", "complex")),
)
ODD = (
    None,
    True,
    -1,
    0,
    1 << 28,
    1 << 70,
    1.5,
    "w",
    "f4",
    "O",
    "",
    (),
    [],
    {},
    b"",
    (1, 2),
    ((),) * 9,
    "latin1",
    "x" * 999,
)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """`content` with one to eight changes: bits, bytes, pieces lost, doubled, moved or overwritten."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        at = draw.randrange(len(changed) + 1)
        piece = slice(at, at + draw.choice((1, 2, 4, 16, 200)))
        kind = draw.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del changed[piece]
        elif kind == 2:
            changed[at:at] = changed[piece] * draw.choice((1, 2, 50))
        elif kind == 3:
            changed[piece] = draw.choice(INTERESTING)
        elif kind == 4:
            del changed[at:]
        else:
            changed[at:at] = draw.randbytes(draw.choice((1, 4, 40)))
    return bytes(changed)


def make_pickle(draw: random.Random) -> bytes:
    """A pickle of a random tree of what checkpoints are made of, in wrong places."""
    return document(_term(draw, 5))


def _term(draw: random.Random, depth: int) -> bytes:
    def some(most: int = 4) -> list[bytes]:
        return [_term(draw, depth - 1) for _ in range(draw.randrange(most))]

    if depth == 0 or draw.random() < 0.2:
        return value(draw.choice(ODD))
    kind = draw.randrange(9)
    if kind < 3:
        return mapping({f"k{number}": item for number, item in enumerate(some(5))})
    if kind == 3:
        return call(named(*draw.choice(GLOBALS)), *some())
    if kind == 4:
        return array(draw.choice(ODD), draw.choice(("f4", "f8", "O", "V9", "M8", *ODD)), draw.choice((bytes(8), *ODD)))
    if kind == 5:
        held = storage(key=draw.choice(("0", *ODD)), count=draw.choice((4, *ODD)))
        return tensor(
            held, offset=draw.choice((0, *ODD)), shape=draw.choice(((2, 2), *ODD)), strides=draw.choice(((2, 1), *ODD))
        )
    if kind == 6:
        return tuple_of(*some())
    if kind == 7:
        return pickle.EMPTY_DICT + b"".join(some(2) + some(2)) + pickle.SETITEM
    return b"".join(some()) + draw.choice((pickle.BUILD, pickle.REDUCE, pickle.NEWOBJ, pickle.DUP, pickle.BINPERSID))
