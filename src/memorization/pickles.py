"""Reading pickles that others have written, without running what stands in them.

A pickle is a program for a small machine with a stack. Two things are bounded here: what it may name, and what it may
do with what it has named, since a harmless name can do harm: ``numpy.ndarray``, called with a buffer of the pickle's
own and the type ``object``, takes numbers for addresses; ``bytes``, called with 10¹², fills the memory.
"""

import argparse
import collections
import io
import math
import pickle
import re
import sys
from pathlib import Path

import numpy as np

ARRAY = "numpy.ndarray"  # stands for the class, which a pickle names and may not call
WHOLE = int | None
CALLED = {  # with what a pickle may call what it names; makers of arrays and tensors look for themselves
    collections.OrderedDict: (),
    collections.defaultdict: (type,),
    argparse.Namespace: (),
    bytes: (),
    bytearray: (bytes,),
    complex: (float, float),
    set: (list,),
    frozenset: (list,),
    slice: (WHOLE, WHOLE, WHOLE),
    range: (int, int, int),
}
NAMED = (bool, int, float, str, list, tuple, dict)  # what a defaultdict makes
PLAIN = {(kind.__module__, kind.__name__): kind for kind in (*CALLED, *NAMED)} | {("numpy", "ndarray"): ARRAY}
DTYPE = re.compile(r"[biufcSU][1-9]\d{0,8}")  # of bits and numbers, and of text: no addresses, no fields
NESTED = 20  # tuples in each other, of a key: hashing more than the C stack holds is a crash
ALLOWED = "numpy arrays of numbers and text, numbers, torch tensors, plain values and containers"


class RefusedPickle(ValueError):
    """A pickle that is damaged, or asks for what a file of results has no need of; its message names it."""


def read_pickle(path: str | Path):
    """What a pickle holds: numpy arrays and numbers, torch tensors (on the CPU, wherever they were), plain values.

    A pickle is a program: reading one with ``pickle.load`` runs whatever it names. Here it can name the makers of
    those values alone, and call them as picklers do; anything else ends the reading before it is called. Arrays of
    objects and of several fields are refused too.

    Raises
    ------
    RefusedPickle
        If it asks for anything else, or cannot be read; one line.
    """
    content = Path(path).read_bytes()
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except RefusedPickle as error:
        raise RefusedPickle(f"{path}: {' '.join(str(error).split())}") from None
    except Exception as error:
        why = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        raise RefusedPickle(f"{path}: damaged, or no pickle ({why})") from error


class _Unpickler(pickle._Unpickler):  # Python's own, not the one in C: that one's instructions cannot be bounded
    def find_class(self, module: str, name: str):
        module = module.replace("numpy._core", "numpy.core")  # numpy 1
        if module == "__builtin__":  # Python 2
            module, name = "builtins", {"xrange": "range", "unicode": "str", "long": "int"}.get(name, name)
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if (module, name) in MAKERS:
            return MAKERS[module, name]
        if module == "torch":
            import torch

            if isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
        raise RefusedPickle(f"refers to {_told(module)}.{_told(name)}; allowed: {ALLOWED}")

    def persistent_load(self, _):
        raise RefusedPickle(f"refers to data outside of the file; allowed: {ALLOWED}")

    def get_extension(self, code: int):
        raise RefusedPickle(f"refers to the extension {code}; allowed: {ALLOWED}")

    def load_call(self):
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.append(_called(maker, arguments))

    def load_other_call(self):
        raise RefusedPickle(f"makes an object as no array and no plain value is made; allowed: {ALLOWED}")

    def load_build(self):
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is np.ndarray:
            _fill(value, state)
        elif isinstance(value, np.dtype):
            _order(value, state)
        elif type(value) is argparse.Namespace and type(state) is dict and all(type(name) is str for name in state):
            vars(value).update(state)
        else:
            raise RefusedPickle(f"sets the state of a {type(value).__name__}; allowed: {ALLOWED}")

    def load_append(self):
        _is_a(list, self.stack[-2])
        super().load_append()

    def load_appends(self):
        _is_a(list, self.metastack[-1][-1])
        super().load_appends()

    def load_setitem(self):
        _is_a(dict, self.stack[-3])
        _are_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self):
        _is_a(dict, self.metastack[-1][-1])
        _are_keys(self.stack[::2])
        super().load_setitems()

    def load_additems(self):
        _is_a(set, self.metastack[-1][-1])
        _are_keys(self.stack)
        super().load_additems()

    def load_dict(self):
        _are_keys(self.stack[::2])
        super().load_dict()

    def load_frozenset(self):
        _are_keys(self.stack)
        super().load_frozenset()

    dispatch = pickle._Unpickler.dispatch | {
        code[0]: load
        for load, codes in {
            load_call: (pickle.REDUCE, pickle.NEWOBJ),
            load_other_call: (pickle.NEWOBJ_EX, pickle.INST, pickle.OBJ),
            load_build: (pickle.BUILD,),
            load_append: (pickle.APPEND,),
            load_appends: (pickle.APPENDS,),
            load_setitem: (pickle.SETITEM,),
            load_setitems: (pickle.SETITEMS,),
            load_additems: (pickle.ADDITEMS,),
            load_dict: (pickle.DICT,),
            load_frozenset: (pickle.FROZENSET,),
        }.items()
        for code in codes
    }


def _told(value) -> str:
    """What a message tells of a value, which may be made to have no end."""
    plain = isinstance(value, (str, int, np.dtype)) or (isinstance(value, tuple) and all(type(n) is int for n in value))
    return str(value)[:80] if plain else f"<{type(value).__name__}>"


def _called(maker, arguments):
    if type(arguments) is tuple:
        if any(maker is each for each in MAKERS.values()):
            return maker(*arguments)
        kinds = CALLED.get(maker) if isinstance(maker, type) else None
        if kinds is not None and len(arguments) <= len(kinds) and all(map(isinstance, arguments, kinds)):
            if maker in (set, frozenset):
                _are_keys(*arguments)
            return maker(*arguments)
    name = ARRAY if maker is ARRAY else getattr(maker, "__name__", type(maker).__name__)
    raise RefusedPickle(f"calls {name} as no pickle of results does; allowed: {ALLOWED}")


def _is_a(kind: type, value) -> None:
    if not isinstance(value, kind):
        raise RefusedPickle(f"puts items into a {type(value).__name__}, no {kind.__name__}; allowed: {ALLOWED}")


def _are_keys(values, depth: int = 0) -> None:
    if depth > NESTED:
        raise RefusedPickle(f"has a key of more than {NESTED} tuples in each other; allowed: {ALLOWED}")
    for value in values:
        if isinstance(value, tuple):
            _are_keys(value, depth + 1)


def _empty_array(kind, shape, _) -> np.ndarray:
    """What every pickled array begins as; its shape, type and content are set by ``_fill``."""
    if kind is not ARRAY or shape != (0,):
        raise RefusedPickle(f"refers to an array of kind {_told(kind)}; allowed: {ALLOWED}")
    return np.empty(0, np.int8)


def _fill(array: np.ndarray, state) -> None:
    """Give an empty array its state (version, shape, dtype, whether Fortran's order, bytes)."""
    if array.shape != (0,) or type(state) is not tuple or len(state) != 5:
        raise RefusedPickle(f"sets the state of an array that has one; allowed: {ALLOWED}")
    _, shape, dtype, fortran, content = state
    _check_content(content, dtype, shape)
    array.__setstate__((1, shape, dtype, fortran is True, content))


def _check_content(content, dtype, shape) -> None:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.names or dtype.subdtype:
        raise RefusedPickle(f"refers to an array of type {_told(dtype)}; allowed: {ALLOWED}")
    sizes = shape if type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape) else (-1,)
    extent = math.prod(n or 1 for n in sizes) * dtype.itemsize
    if type(content) not in (bytes, bytearray) or len(sizes) > 32 or not 0 < extent <= sys.maxsize:
        raise RefusedPickle(f"refers to an array of shape {_told(shape)}; allowed: {ALLOWED}")
    if math.prod(sizes) * dtype.itemsize != len(content):
        raise RefusedPickle(f"has {len(content)} bytes for an array of {dtype} of shape {shape}")
    if dtype.kind == "b" and content.translate(None, b"\0\1"):  # numpy counts true ones by their sum
        raise RefusedPickle("has truth values other than 0 and 1")


def _dtype(name, *_) -> np.dtype:
    if type(name) is not str or not DTYPE.fullmatch(name):
        raise RefusedPickle(f"refers to the numpy type {_told(name)}; allowed: {ALLOWED}")
    return np.dtype(name, copy=True)  # its own: a state of numpy's shared one would be everyone's


def _order(dtype: np.dtype, state) -> None:
    """Give a type its byte order, which is all that the state of a plain one tells besides its name."""
    _, _, *plain, flags = dtype.__reduce__()[2]
    if type(state) is not tuple or len(state) != 8 or list(state[2:7]) != plain or state[1] not in ("<", ">", "|", "="):
        raise RefusedPickle(f"refers to a numpy type with fields; allowed: {ALLOWED}")
    dtype.__setstate__((3, state[1], *plain, flags))


def _scalar(dtype, content=b"") -> np.generic:
    _check_content(content, dtype, ())
    return np.frombuffer(content, dtype)[0]


def _from_buffer(content, dtype, shape, order: str, axes: tuple | None = None) -> np.ndarray:
    _check_content(content, dtype, shape)
    if order == "K" and axes is not None:
        return np.frombuffer(content, dtype).reshape(shape).transpose(axes).copy("K")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy(order)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise RefusedPickle(f"refers to the encoding {_told(encoding)}; allowed: latin1")
    return text.encode("latin1")


def _storage(content: bytes):
    import torch

    try:
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise RefusedPickle(
            f"refers to {named[1] if named else 'more than numbers'} in a tensor; allowed: {ALLOWED}"
        ) from None
    if type(storage) is not torch.storage.TypedStorage:
        raise RefusedPickle(f"refers to a {type(storage).__name__} in a tensor; allowed: {ALLOWED}")
    return storage


def _tensor(storage, offset: int, size: tuple, stride: tuple, *_):
    import torch

    if type(storage) is not torch.storage.TypedStorage:
        raise RefusedPickle(f"refers to a tensor in a {type(storage).__name__}; allowed: {ALLOWED}")
    sound = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    if not sound or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        raise RefusedPickle(f"refers to a tensor of shape {_told(size)}; allowed: {ALLOWED}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    numbers = storage._untyped_storage
    if math.prod(size) and (last + 1) * storage.dtype.itemsize > numbers.nbytes():  # torch would add what lies behind
        raise RefusedPickle(f"has {numbers.nbytes()} bytes for a tensor of {storage.dtype} of shape {_told(size)}")
    return torch.empty(0, dtype=storage.dtype).set_(numbers, offset, size, stride)


def _size(numbers: tuple):
    import torch

    return torch.Size(numbers)


def _parameter(tensor, *_):
    return tensor


MAKERS = {
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _latin1,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
}
