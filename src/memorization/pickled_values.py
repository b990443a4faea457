"""Makers of the arrays and tensors in pickles. They check their arguments before they make anything.

They replace the makers of numpy and torch, which trust their arguments.
"""

import math
import re
import sys

import numpy as np

ARRAY = "numpy.ndarray"  # a placeholder for the class, which a pickle names and may not call
DTYPE = re.compile(r"[biufcSU][1-9]\d{0,8}")  # truth values, numbers and text: no addresses, no fields
ALLOWED = "numpy arrays of numbers and text, numbers, torch tensors, plain values and containers"
STORAGES = {  # torch's classes that hold the numbers of tensors
    "UntypedStorage": "uint8",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "BoolStorage": "bool",
}
EIGHT_BITS = [f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")]
READ_AS = dict.fromkeys(("bfloat16", *EIGHT_BITS), "float32") | {"complex32": "complex64"}  # numpy has none of these
NUMBERS = {*STORAGES.values(), *READ_AS, "uint16", "uint32", "uint64"}


class RefusedPickle(ValueError):
    """A pickle that is damaged, or asks for something that no file of results needs; the message names it."""


def shown(value) -> str:
    """A value as text for a message, cut off because a pickle can make it endless."""
    plain = isinstance(value, (str, int, np.dtype)) or (isinstance(value, tuple) and all(type(n) is int for n in value))
    return str(value)[:80] if plain else f"<{type(value).__name__}>"


def empty_array(kind, shape, _) -> np.ndarray:
    """How every pickled array begins; ``fill`` sets its shape, type and content."""
    if kind is not ARRAY or shape != (0,):
        raise RefusedPickle(f"refers to an array of kind {shown(kind)}; allowed: {ALLOWED}")
    return np.empty(0, np.int8)


def fill(array: np.ndarray, state) -> None:
    """Set the state of an empty array: version, shape, dtype, whether in Fortran order, bytes."""
    if array.shape != (0,) or type(state) is not tuple or len(state) != 5:
        raise RefusedPickle(f"sets the state of an array that has one; allowed: {ALLOWED}")
    _, shape, dtype, fortran, content = state
    _check_content(content, dtype, shape)
    array.__setstate__((1, shape, dtype, fortran is True, content))


def _check_content(content, dtype, shape) -> None:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.names or dtype.subdtype:
        raise RefusedPickle(f"refers to an array of type {shown(dtype)}; allowed: {ALLOWED}")
    sizes = shape if type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape) else (-1,)
    extent = math.prod(n or 1 for n in sizes) * dtype.itemsize
    if type(content) not in (bytes, bytearray) or len(sizes) > 32 or not 0 < extent <= sys.maxsize:
        raise RefusedPickle(f"refers to an array of shape {shown(shape)}; allowed: {ALLOWED}")
    if math.prod(sizes) * dtype.itemsize != len(content):
        raise RefusedPickle(f"has {len(content)} bytes for an array of {dtype} of shape {shape}")
    if dtype.kind == "b" and content.translate(None, b"\0\1"):  # numpy counts true values by their sum
        raise RefusedPickle("has truth values other than 0 and 1")


def dtype_of(name, *_) -> np.dtype:
    if type(name) is not str or not DTYPE.fullmatch(name):
        raise RefusedPickle(f"refers to the numpy type {shown(name)}; allowed: {ALLOWED}")
    return np.dtype(name, copy=True)  # a copy, since its state may be set


def set_order(dtype: np.dtype, state) -> None:
    """Set the byte order of a type. The state of a plain type has nothing else beside its name."""
    _, _, *plain, flags = dtype.__reduce__()[2]
    if type(state) is not tuple or len(state) != 8 or list(state[2:7]) != plain or state[1] not in ("<", ">", "|", "="):
        raise RefusedPickle(f"refers to a numpy type with fields; allowed: {ALLOWED}")
    dtype.__setstate__((3, state[1], *plain, flags))


def scalar(dtype, content=b"") -> np.generic:
    _check_content(content, dtype, ())
    return np.frombuffer(content, dtype)[0]


def from_buffer(content, dtype, shape, order: str, axes: tuple | None = None) -> np.ndarray:
    _check_content(content, dtype, shape)
    if order == "K" and axes is not None:
        return np.frombuffer(content, dtype).reshape(shape).transpose(axes).copy("K")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy(order)


def latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise RefusedPickle(f"refers to the encoding {shown(encoding)}; allowed: latin1")
    return text.encode("latin1")


def size_of(numbers: tuple):
    import torch

    return torch.Size(numbers)


def parameter(tensor, *_):
    return tensor


def storage_of(content: bytes, dtype: str):
    """The tensor (count,) of all numbers in a storage; the tensors of the pickle are views of it.

    It keeps its conjugated, negated or converted numbers. They are made once for all tensors, since otherwise a
    small file could fill the memory.
    """
    import torch

    storage = _numbers(torch.tensor(np.frombuffer(content, np.uint8)), dtype)
    storage.made = {}
    return storage


def is_storage(value) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and hasattr(value, "made")  # which no pickle can set on a tensor


def tensor(storage, offset, size, stride, _requires_grad=False, _hooks=None, bits=None, dtype=None):
    """A part of a storage, as by ``torch._utils._rebuild_tensor`` and ``_rebuild_tensor_v2``.

    Parameters
    ----------
    offset, size, stride : in numbers
    bits : a dict with at most ``conj`` and ``neg``: whether the numbers are conjugated, and negated
    dtype : the type of the numbers, if the storage holds bytes
    """
    import torch

    if not is_storage(storage):
        raise RefusedPickle(f"refers to a tensor in a {type(storage).__name__}; allowed: {ALLOWED}")
    sound = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    sound = sound and all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
    if not sound or math.prod(n or 1 for n in size) > sys.maxsize // 16:  # bytes of the longest number
        raise RefusedPickle(f"refers to a tensor of shape {shown(size)}; allowed: {ALLOWED}")
    if bits is not None and (type(bits) is not dict or not bits.keys() <= {"conj", "neg"}):
        raise RefusedPickle("has unknown properties of a tensor; allowed: conj, neg")
    if not isinstance(dtype, torch.dtype | None):
        raise RefusedPickle(f"refers to a tensor of type {shown(dtype)}; allowed: {ALLOWED}")
    conj, neg = (bool(bits and bits.get(name)) for name in ("conj", "neg"))
    if (dtype, conj, neg) not in storage.made:
        numbers = _numbers(storage, str(dtype).removeprefix("torch.")) if dtype else storage
        numbers = numbers.conj().resolve_conj() if conj else numbers
        storage.made[dtype, conj, neg] = -numbers if neg else numbers
    numbers = storage.made[dtype, conj, neg]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) and last >= len(numbers):
        raise RefusedPickle(f"has {numbers.nbytes} bytes for a tensor of {numbers.dtype} of shape {shown(size)}")
    return numbers.as_strided(size, stride, offset)


def typed_tensor(storage, offset, size, stride, requires_grad, hooks, dtype, bits=None):
    """As by ``torch._utils._rebuild_tensor_v3``: a tensor of a type for which torch has no storages."""
    return tensor(storage, offset, size, stride, requires_grad, hooks, bits, dtype)


def _numbers(content, dtype: str):
    """Bytes (a tensor) as numbers of a type, or of the type that holds all its values."""
    import torch

    if dtype not in NUMBERS or content.dtype != torch.uint8:
        raise RefusedPickle(f"refers to a tensor of type {dtype}; allowed: {ALLOWED}")
    if dtype == "bool" and (content > 1).any():
        raise RefusedPickle("has truth values other than 0 and 1")
    kind = getattr(torch, dtype)
    return (
        content[: len(content) // kind.itemsize * kind.itemsize]
        .view(kind)
        .to(getattr(torch, READ_AS.get(dtype, dtype)))
    )
