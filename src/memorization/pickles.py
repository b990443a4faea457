"""Reading pickles that others have written, without running what stands in them."""

import argparse
import collections
import io
import pickle
import re
from pathlib import Path

import numpy as np

PLAIN = {  # what may be called or named, and nothing else
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("argparse", "Namespace"): argparse.Namespace,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    **{("builtins", kind.__name__): kind for kind in (bool, int, float, complex, str, bytes, bytearray)},
    **{("builtins", kind.__name__): kind for kind in (list, tuple, dict, set, frozenset, slice, range)},
}
ALLOWED = "numpy arrays and numbers, torch tensors, plain values and containers"


class RefusedPickle(ValueError):
    """A pickle that is damaged, or asks for what a file of results has no need of; its message names it."""


def read_pickle(path: str | Path):
    """What a pickle holds: numpy arrays and numbers, torch tensors (on the CPU, wherever they were), plain values.

    A pickle is a program: reading one with ``pickle.load`` runs whatever it names. Here it can name the makers of
    those values alone; anything else ends the reading before it is called.

    Raises
    ------
    RefusedPickle
        If it names anything else, or cannot be read; one line.
    """
    try:
        with open(path, "rb") as file:
            return _Unpickler(file).load()
    except FileNotFoundError:
        raise
    except RefusedPickle as error:
        raise RefusedPickle(f"{path}: {error}") from None
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RefusedPickle(f"{path}: damaged, or no pickle ({why})") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        makers = {
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy.core.multiarray", "scalar"): _scalar,
            ("numpy.core.numeric", "_frombuffer"): _from_buffer,
            ("_codecs", "encode"): _latin1,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch.storage", "_load_from_bytes"): _storage,
        }
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")  # numpy 1, Python 2
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if (module, name) in makers:
            return makers[module, name]
        if module == "torch":
            import torch

            if isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
            if name == "Size":
                return torch.Size
        raise RefusedPickle(f"refers to {module}.{name}; allowed: {ALLOWED}")

    def persistent_load(self, _):
        raise RefusedPickle(f"refers to data outside of the file; allowed: {ALLOWED}")


def _empty_array(kind, shape, dtype) -> np.ndarray:
    if kind is not np.ndarray:
        raise RefusedPickle(f"refers to an array of kind {kind}; allowed: {ALLOWED}")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def _scalar(dtype: np.dtype, value: bytes | object = b""):
    return np.frombuffer(value, dtype)[0] if isinstance(value, bytes) and dtype.kind != "O" else value


def _from_buffer(buffer, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order).copy(order)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise RefusedPickle(f"refers to the encoding {encoding}; allowed: latin1")
    return text.encode("latin1")


def _storage(content: bytes):
    import torch

    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise RefusedPickle(
            f"refers to {named[1] if named else 'more than numbers'} in a tensor; allowed: {ALLOWED}"
        ) from None


def _tensor(storage, offset: int, size: tuple, stride: tuple, *_):
    import torch

    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, size, stride)
