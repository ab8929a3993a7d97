"""The modules of a network of either framework, described alike.

Tensors are in torch's layout and under torch's names on both sides: a Paddle `Linear`'s weight is shown (out, in), its
`_mean` as `running_mean`. Where one framework packs into one tensor what the other keeps in several (the projections of
`MultiHeadAttention`, the weights of `LSTM` and `GRU`), the whole is one leaf with torch's tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.bridge import CANONICAL_LEAVES
from twins.tensors import array_to_paddle, in_half_precision, paddle_to_array, paddle_to_torch

Array = np.ndarray[Any, Any]

KINDS: dict[str, str] = {
    "conv": "conv",
    "batchnorm": "norm",
    "syncbatchnorm": "norm",
    "groupnorm": "norm",
    "layernorm": "norm",
    "instancenorm": "norm",
    "embedding": "embedding",
    "linear": "linear",
    "multiheadattention": "attention",
    "lstm": "recurrent",
    "gru": "recurrent",
    "rnn": "recurrent",
    "birnn": "recurrent",
}
"""Beginning of a class name, in lower case -> kind of layer with parameters. All other leaves are plain."""
WHOLE = ("attention", "recurrent")
"""Kinds that are one leaf, whatever modules are inside."""
OTHER_LEAVES = {"instancenorm": {"scale": "weight"}, "prelu": {"_weight": "weight"}}
"""Beginning of the class of a Paddle layer that calls its tensors otherwise than torch -> its names -> torch's."""
COUNTER = "num_batches_tracked"
PARAMETRIZATIONS = "parametrizations"
"""Where torch keeps what it makes a layer's tensors of, as by a weight norm: the layer's own."""
FRAMEWORKS = ("torch", "paddle", "models_torch", "models_paddle")
"""Packages whose layers do what their names say, and no more: the frameworks, and our twins."""
PROBES = 3
"""Rows by which a layer is asked whether it is linear, and by what it multiplies."""
NEAR = 1e-3
"""Of the greatest element of their product."""


@dataclass(frozen=True)
class Place:
    """Where a tensor, or a part of it, is kept: `holder.attribute`, transposed there or not."""

    holder: Any
    attribute: str
    transposed: bool = False

    @property
    def tensor(self) -> Any:
        return getattr(self.holder, self.attribute)

    @property
    def is_own(self) -> bool:
        """Whether no file has it, so that a Paddle layer always keeps what it made for itself."""
        return self.attribute in getattr(self.holder, "_non_persistable_buffer_names_set", ())


@dataclass(frozen=True)
class ModuleInfo:
    """A module: its path, the object, kind ("conv", "norm", …, "plain", or "composite"), and own tensors.

    `tensors` are parameters and buffers as arrays of their own dtype; `places` tells where each is kept, in one piece
    or several along the first axis. `parameters` names those that are no buffers.
    """

    path: str
    module: Any
    kind: str
    order: int
    tensors: dict[str, Array] = field(repr=False)
    places: dict[str, tuple[Place, ...]] = field(repr=False)
    parameters: frozenset[str] = field(repr=False)

    @property
    def is_leaf(self) -> bool:
        return self.kind != "composite"

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def names(self) -> dict[str, str]:
        """Name -> attribute of the module, of the tensors that are its own, in one piece."""
        return {
            name: places[0].attribute
            for name, places in self.places.items()
            if len(places) == 1 and places[0].holder is self.module
        }

    def write(self, name: str, value: Array) -> None:
        """Set a Paddle layer's tensor from an array in torch's layout, whatever its dtype."""
        places, start = self.places[name], 0
        for place in places:
            size = place.tensor.shape[1 if place.transposed else 0] if len(places) > 1 else None
            part = value if size is None else value[start : start + size]
            start += size or 0
            own = part.T if place.transposed else part
            dtype = str(place.tensor.dtype).rpartition(".")[2]
            if dtype == "bfloat16":
                rounded = in_half_precision(own, dtype)  # Paddle 2 would cut the lower half off
                place.tensor.set_value(array_to_paddle(rounded).astype(dtype))
            else:
                place.tensor.set_value(np.array(own, dtype=dtype, order="C"))


def torch_modules(model: Any) -> dict[str, ModuleInfo]:
    """Path -> module, the network itself as "", in registration order; shared modules once. Of a recording, its own."""
    if not hasattr(model, "named_modules"):
        return dict(model.modules)
    found: dict[str, ModuleInfo] = {}
    for order, (path, module) in enumerate(model.named_modules()):
        if _is_inside_a_whole(path, found):
            continue
        kind = _kind(module, any(name != PARAMETRIZATIONS for name, _ in module.named_children()))
        recurse = kind in WHOLE or (kind != "composite" and hasattr(module, PARAMETRIZATIONS))
        parameters = dict(module.named_parameters(recurse=recurse))
        own = {**parameters, **dict(module.named_buffers(recurse=recurse))}
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in own.items() if not name.endswith(COUNTER)}
        kind = _kind_by_tensors(kind, tensors)
        places: dict[str, tuple[Place, ...]] = {name: (_torch_place(module, name),) for name in tensors}
        found[path] = ModuleInfo(path, module, kind, order, tensors, places, frozenset(parameters))
    return found


def paddle_modules(model: Any) -> dict[str, ModuleInfo]:
    """The same of a Paddle network, or of the recording of one."""
    if not hasattr(model, "named_sublayers"):
        return dict(model.modules)
    found: dict[str, ModuleInfo] = {}
    seen: set[int] = set()
    read: dict[int, Array] = {}
    for order, (path, layer) in enumerate(model.named_sublayers(include_self=True)):
        if id(layer) in seen or _is_inside_a_whole(path, found):
            continue
        seen.add(id(layer))
        kind = _kind(layer, any(True for _ in layer.children()))
        if kind == "plain" and _is_linear(layer):
            kind = "linear"
        places = _paddle_places(layer, kind)
        tensors = {name: _read(parts, read) for name, parts in places.items()}
        kind = _kind_by_tensors(kind, tensors)
        parameters = frozenset(n for n, parts in places.items() if not _is_buffer(parts[0]))
        found[path] = ModuleInfo(path, layer, kind, order, tensors, places, parameters)
    return found


def _is_inside_a_whole(path: str, found: Mapping[str, ModuleInfo]) -> bool:
    return any(around in found and found[around].is_leaf for around in _ancestors(path))


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


def _torch_place(module: Any, name: str) -> Place:
    path, _, leaf = name.rpartition(".")
    return Place(module.get_submodule(path), leaf)


def _paddle_places(layer: Any, kind: str) -> dict[str, tuple[Place, ...]]:
    if kind == "recurrent" or (kind == "attention" and hasattr(layer, "q_proj")):
        return WHOLE_PLACES[kind](layer)
    if kind == "attention":  # paddle.compat's, which packs as torch does
        return {
            name: (Place(_holder(layer, name), name.rpartition(".")[2]),)
            for name, tensor in layer.named_parameters()
            if tensor is not None
        }
    own = {**dict(layer._parameters), **dict(layer._buffers)}
    others = next((names for prefix, names in OTHER_LEAVES.items() if _descends(layer, prefix)), {})
    return {
        CANONICAL_LEAVES.get(name, others.get(name, name)): (
            Place(layer, name, kind == "linear" and tensor.ndim == 2 and _keeps_inputs_first(layer, tensor)),
        )
        for name, tensor in own.items()
        if tensor is not None and not {f"{name}_g", f"{name}_orig"} & own.keys()  # of which it is made anew
    }


def _holder(layer: Any, name: str) -> Any:
    for part in name.split(".")[:-1]:
        layer = getattr(layer, part)
    return layer


def _descends(layer: Any, prefix: str) -> bool:
    return any(base.__name__.lower().startswith(prefix) and _is_the_frameworks(base) for base in type(layer).__mro__)


def _keeps_inputs_first(layer: Any, weight: Any) -> bool:
    """Whether a linear Paddle layer multiplies by its weight as it is, (in, out), as `paddle.nn.Linear` does.

    `paddle.compat.nn.Linear` keeps torch's (out, in); of any class, the answer is what it makes of an input.
    """
    from models_paddle import paddle

    return type(layer) is paddle.nn.Linear or _multiplies_by(layer, weight)


def _is_linear(layer: Any) -> bool:
    """Whether a layer of an unknown class multiplies by its one matrix, in either order."""
    matrices = [tensor for tensor in layer._parameters.values() if tensor is not None and tensor.ndim == 2]
    return len(matrices) == 1 and any(_multiplies_by(layer, matrix) for matrix in (matrices[0], matrices[0].t()))


def _multiplies_by(layer: Any, matrix: Any) -> bool:
    """Whether the layer makes of random rows, less what it makes of zeros, their product with `matrix`."""
    from models_paddle import paddle

    rows = np.random.default_rng(0).standard_normal((PROBES, matrix.shape[0]))
    training = layer.training
    layer.eval()
    try:
        with paddle.no_grad():
            inputs = paddle.to_tensor(rows).astype(matrix.dtype)
            product = layer(inputs) - layer(paddle.zeros_like(inputs))
            expected = paddle.matmul(inputs, matrix)
            if product.shape != expected.shape:
                return False
            return bool((product - expected).abs().max() <= NEAR * expected.abs().max())
    except Exception:  # noqa: BLE001 - of another size, or whatever the user's class says of such an input
        return False
    finally:
        layer.training = training


def _attention_places(layer: Any) -> dict[str, tuple[Place, ...]]:
    projections = [layer.q_proj, layer.k_proj, layer.v_proj]
    places = {
        "in_proj_weight": tuple(Place(part, "weight", True) for part in projections),
        "in_proj_bias": tuple(Place(part, "bias") for part in projections),
        "out_proj.weight": (Place(layer.out_proj, "weight", True),),
        "out_proj.bias": (Place(layer.out_proj, "bias"),),
    }
    return {name: parts for name, parts in places.items() if all(part.tensor is not None for part in parts)}


def _recurrent_places(layer: Any) -> dict[str, tuple[Place, ...]]:
    """Paddle's gates stand in torch's order, and the names are torch's, but for those of a cell."""
    own = [name for name, _ in layer.named_parameters()]
    names = [name for name in own if "." not in name] or own
    return {name: (Place(_holder(layer, name), name.rpartition(".")[2]),) for name in names}


WHOLE_PLACES: dict[str, Callable[[Any], dict[str, tuple[Place, ...]]]] = {
    "attention": _attention_places,
    "recurrent": _recurrent_places,
}


def _read(places: tuple[Place, ...], known: dict[int, Array]) -> Array:
    """The tensor's values, in its own memory where torch is there to lend it; else `known` has a copy of each by its
    address, so that what is one tensor stays one."""
    if "torch" in sys.modules:
        parts = [paddle_to_torch(place.tensor) for place in places]
        arrays = [part.float().cpu().numpy() if part.dtype.itemsize < 4 else part.cpu().numpy() for part in parts]
    else:
        arrays = [known.setdefault(place.tensor.data_ptr(), _copied(place.tensor)) for place in places]
    arrays = [array.T if place.transposed else array for array, place in zip(arrays, places, strict=True)]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _copied(tensor: Any) -> Array:
    array: Array = paddle_to_array(tensor)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _is_buffer(place: Place) -> bool:
    return place.attribute in getattr(place.holder, "_buffers", ())


def _kind(module: Any, has_children: bool) -> str:
    for base in type(module).__mro__:
        name = base.__name__.lower()
        kind = next((kind for prefix, kind in KINDS.items() if name.startswith(prefix)), None)
        if kind == "recurrent" and name.endswith("cell"):  # one step of many
            return "composite" if has_children else "plain"
        if kind is not None and (not has_children or (kind in WHOLE and _is_the_frameworks(base))):
            return kind
    return "composite" if has_children else "plain"


def is_users_own(module: Any) -> bool:
    """Whether a layer is of a class of the user's, or has an activation, and so may do more than its kind says."""
    return type(module).__module__.partition(".")[0] not in FRAMEWORKS or bool(getattr(module, "_act", None))


def _is_the_frameworks(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "paddle")


def _kind_by_tensors(kind: str, tensors: Mapping[str, Array]) -> str:
    """A leaf of an unknown class that keeps running statistics is a norm."""
    vectors = {array.shape for array in tensors.values()}
    is_norm = kind == "plain" and {"running_mean", "running_var"} <= tensors.keys() and len(vectors) == 1
    return "norm" if is_norm else kind
