"""Reads pickles and files of torch.save from elsewhere, without running the code in them.

A pickle is a program for a small stack machine. Two things are restricted here: what it may name, and how it may use
what it names, because a harmless name can do harm. ``numpy.ndarray``, called with a buffer from the pickle and the type
``object``, takes numbers for addresses; ``bytes``, called with 10¹², fills the memory. ``torch.load`` with
``weights_only`` restricts names only (it calls ``bytearray`` and ``torch.Tensor`` with any number), so this module
reads both forms of its files.
"""

import argparse
import collections
import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memorization import pickled_values
from memorization.pickled_values import ALLOWED, ARRAY, STORAGES, RefusedPickle, shown

WHOLE = int | None
CALLED = {  # the types of arguments with which a pickle may call these; makers check their own
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
NAMED = (bool, int, float, str, list, tuple, dict)  # what a defaultdict may make
PLAIN = {(kind.__module__, kind.__name__): kind for kind in (*CALLED, *NAMED)} | {("numpy", "ndarray"): ARRAY}
NESTED = 20  # nested tuples in a key: hashing more than the C stack holds crashes Python
OLD_FORM = tuple(pickle.dumps(0x1950A86A20F9469CFC6C, protocol) for protocol in range(6))  # how torch < 1.6 begins
OTHER_FORMATS = {  # first bytes of a file: what it is, and how to read it
    b"\x1f\x8b": "compressed by gzip; unpack it first (gzip -dc)",
    b"BZh": "compressed by bzip2; unpack it first (bzip2 -dc)",
    b"\xfd7zXZ\0": "compressed by xz; unpack it first (xz -dc)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it first (zstd -dc)",
    **dict.fromkeys((b"x\x01", b"x^", b"x\x9c", b"x\xda"), "compressed by zlib; unpack it first (zlib.decompress)"),
    b"\x93NUMPY": "an npy file; numpy.load reads it",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file; h5py reads it",
    b"PAR1": "a Parquet file; pandas.read_parquet reads it",
    b"version https://git-lfs": "a pointer of Git LFS; git lfs pull fetches the file",
}


@dataclass(eq=False)
class Record:
    """An object of a class that the caller of ``read_pickle`` knows: what the pickle says of it. No code of it is run.

    Attributes
    ----------
    name : of the class
    arguments : with which it is called
    state : that is set, if any
    """

    name: str
    arguments: tuple
    state: object = None


def read_pickle(path: str | Path, records: Collection[tuple[str, str]] = ()):
    """The contents of a pickle: numpy arrays and numbers, torch tensors (always on the CPU), plain values.

    ``pickle.load`` runs whatever a pickle names. Here a pickle can name only the makers of these values, and call them
    only as picklers do; anything else is an error before it is called. Arrays of objects and arrays with fields are
    errors too. Files of ``torch.save`` are read in the same way, both archives and the form before torch 1.6.

    Tensors have no gradients and no hooks. Numbers are conjugated or negated if a bit of the tensor says so. A type
    that numpy does not have, such as bfloat16, becomes float32 (or complex64), which has all its values. A storage
    becomes the tensor of its numbers. An ``OrderedDict`` becomes a dict. The versions of a state dict's modules
    (``_metadata``) are left out.

    Parameters
    ----------
    path : of the file
    records : classes, each its module and name, whose objects the pickle may hold besides, but for files of
        ``torch.save``; they become ``Record``s

    Raises
    ------
    RefusedPickle
        If it asks for anything else, has another format, does not end with the pickle, or cannot be read; one line.
    """
    content = Path(path).read_bytes()
    try:
        return _read(content, records)
    except RefusedPickle as error:
        raise RefusedPickle(f"{path}: {' '.join(str(error).split())}") from None
    except Exception as error:
        why = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        raise RefusedPickle(f"{path}: damaged, or no pickle ({why})") from error


def _read(content: bytes, records: Collection[tuple[str, str]]):
    if content.startswith((b"PK\3\4", b"PK\5\6")):
        return _read_archive(content)
    for beginning, what in OTHER_FORMATS.items():
        if content.startswith(beginning):
            raise RefusedPickle(f"is {what}")
    if content[257:262] == b"ustar":
        raise RefusedPickle("is a tar archive, such as torch.save wrote before torch 0.2; allowed: its later forms")
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8:
        raise RefusedPickle("is a safetensors file; safetensors.numpy.load_file reads it")
    file = io.BytesIO(content)
    value = _read_old_form(file) if content.startswith(OLD_FORM) else _next_value(file, records=records)
    _refuse(file.read(), "behind it")
    return value


def _next_value(
    file: io.BytesIO,
    stored: Callable[[str, int, int], bytes] | None = None,
    records: Collection[tuple[str, str]] = (),
):
    """The value of the pickle at the position of ``file``, which then is at the pickle's end."""
    unpickler = _Unpickler(file)
    unpickler.stored, unpickler.storages, unpickler.records = stored, {}, records
    value = unpickler.load()
    if frame := unpickler._unframer.current_frame:  # it was read whole, and may hold more than this pickle
        file.seek(-len(frame.read()), io.SEEK_CUR)
    return value


def _refuse(rest: bytes, where: str) -> None:
    """An error if there are bytes besides the pickle; it says whether they begin another one."""
    if not rest:
        return
    try:
        _next_value(io.BytesIO(rest))
        another = True
    except Exception:
        another = rest.startswith((b"PK\3\4", *(pickle.PROTO + bytes([n]) for n in range(2, 6))))
    what = ", the beginning of another pickle" if another else ""
    raise RefusedPickle(f"has {len(rest)} bytes more {where}{what}; allowed: one pickle a file")


def _read_archive(content: bytes):
    """The value in a file of torch.save since 1.6: a zip archive with a pickle, and a file for each storage."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise RefusedPickle(f"is a zip archive, as torch.save writes them, cut off or damaged ({error})") from None
    members = archive.infolist()
    names = [member.filename for member in members]
    if names and all(name.endswith(".npy") for name in names):
        raise RefusedPickle("is an npz archive; numpy.load reads it")
    roots = [name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1 or f"{roots[0]}constants.pkl" in names:  # that one is of TorchScript: a program
        raise RefusedPickle(f"is a zip archive that torch.save did not write ({shown(', '.join(names))})")
    if any(member.compress_type for member in members) or sum(member.file_size for member in members) > len(content):
        raise RefusedPickle("is an archive of torch.save that was compressed again; allowed: as torch.save writes it")
    _refuse(content[: min(member.header_offset for member in members)], "before it")
    _refuse(content[content.rindex(b"PK\5\6") + 22 :], "behind it")
    if f"{roots[0]}byteorder" in names and archive.read(f"{roots[0]}byteorder") != b"little":
        raise RefusedPickle("has big-endian numbers; allowed: little-endian ones")
    file = io.BytesIO(archive.read(f"{roots[0]}data.pkl"))
    value = _next_value(file, lambda key, *_: archive.read(f"{roots[0]}data/{key}"))
    _refuse(file.read(), "behind the pickle in it")
    return value


def _read_old_form(file: io.BytesIO):
    """The value in a file of torch.save before 1.6: several pickles, then the numbers of the storages.

    The pickles are a magic number, the version, facts about the machine, the value, and the names of the storages. For
    each name follow the count of its numbers (8 bytes) and the numbers (always little-endian). Only the value tells the
    size of a number, so the value is read twice.
    """
    sizes, room, cut_off = {}, len(file.getbuffer()), "is a file of torch.save before 1.6, cut off or damaged"

    def noted(key: str, count: int, itemsize: int) -> bytes:
        nonlocal room
        if key not in sizes:
            sizes[key], room = (count, itemsize), room - count * itemsize
        if sizes[key] != (count, itemsize):
            raise RefusedPickle("gives two sizes for one storage")
        if room < 0:
            raise RefusedPickle(cut_off)
        return bytes(count * itemsize)

    for _ in range(3):
        _next_value(file, noted)
    begin = file.tell()
    _next_value(file, noted)
    stored = {}
    for key in _next_value(file, noted):
        count, itemsize = sizes[key]
        told, stored[key] = file.read(8), file.read(count * itemsize)
        if told != struct.pack("<q", count) or len(stored[key]) < count * itemsize:
            raise RefusedPickle(cut_off)
    end = file.tell()
    file.seek(begin)
    value = _next_value(file, lambda key, *_: stored[key])
    file.seek(end)
    return value


@dataclass(frozen=True)
class _StorageType:
    """A placeholder for a class of torch's storages."""

    dtype: str


@dataclass(frozen=True)
class _RecordType:
    """A placeholder for a class whose objects become ``Record``s."""

    name: str


class _Unpickler(pickle._Unpickler):  # the one in Python: instructions of the one in C cannot be restricted
    stored: Callable[[str, int, int], bytes] | None  # in a file of torch.save: the bytes of a storage
    storages: dict  # by name, so that tensors share them
    records: Collection[tuple[str, str]]

    def find_class(self, module: str, name: str):
        if (module, name) in self.records:
            return _RecordType(name)
        module = module.replace("numpy._core", "numpy.core")  # numpy 1
        if module == "__builtin__":  # Python 2
            module, name = "builtins", {"xrange": "range", "unicode": "str", "long": "int"}.get(name, name)
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if (module, name) in MAKERS and not (self.stored and MAKERS[module, name] is _storage):  # no file in a file
            return MAKERS[module, name]
        if self.stored and module in ("torch", "torch.storage") and name in STORAGES:
            return _StorageType(STORAGES[name])
        if module == "torch":
            import torch

            if isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
        raise RefusedPickle(f"refers to {shown(module)}.{shown(name)}; allowed: {ALLOWED}")

    def persistent_load(self, name):
        """A storage; torch.save gives its type, its key, its device, and the count of its numbers."""
        import torch

        kinds = (str, _StorageType, str, str, int)
        found = self.stored and type(name) is tuple and tuple(map(type, name[:5])) == kinds
        if not found or name[0] != "storage" or name[4] < 0 or any(view is not None for view in name[5:]):
            raise RefusedPickle(f"refers to data outside of the file; allowed: {ALLOWED}")
        _, kind, key, _, count, *_ = name
        if (key, kind, count) not in self.storages:
            itemsize = getattr(torch, kind.dtype).itemsize
            content = self.stored(key, count, itemsize)
            if len(content) != count * itemsize:
                raise RefusedPickle(f"has {len(content)} bytes for a storage of {count} numbers of {kind.dtype}")
            self.storages[key, kind, count] = pickled_values.storage_of(content, kind.dtype)
        return self.storages[key, kind, count]

    def get_extension(self, code: int):
        raise RefusedPickle(f"refers to the extension {code}; allowed: {ALLOWED}")

    def load_call(self):
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.append(_called(maker, arguments))

    def load_other_call(self):
        raise RefusedPickle(f"makes an object in a way that no array or plain value needs; allowed: {ALLOWED}")

    def load_build(self):
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is np.ndarray:
            pickled_values.fill(value, state)
        elif isinstance(value, np.dtype):
            pickled_values.set_order(value, state)
        elif type(value) is Record and value.state is None:
            value.state = state
        elif type(value) is argparse.Namespace and type(state) is dict and all(type(name) is str for name in state):
            vars(value).update(state)
        elif not (type(value) is dict and type(state) is dict and state.keys() == {"_metadata"}):  # of a state dict
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


def _called(maker, arguments):
    if type(arguments) is tuple:
        if type(maker) is _RecordType:
            return Record(maker.name, arguments)
        if any(maker is each for each in MAKERS.values()):
            return maker(*arguments)
        kinds = CALLED.get(maker) if isinstance(maker, type) else None
        if kinds is not None and len(arguments) <= len(kinds) and all(map(isinstance, arguments, kinds)):
            if maker in (set, frozenset):
                _are_keys(*arguments)
            return maker(*arguments)
    name = ARRAY if maker is ARRAY else getattr(maker, "__name__", type(maker).__name__)
    raise RefusedPickle(f"calls {name} with arguments that no pickle of results has; allowed: {ALLOWED}")


def _is_a(kind: type, value) -> None:
    if not isinstance(value, kind):
        raise RefusedPickle(f"puts items into a {type(value).__name__}, not a {kind.__name__}; allowed: {ALLOWED}")


def _are_keys(values, depth: int = 0) -> None:
    if depth > NESTED:
        raise RefusedPickle(f"has a key of more than {NESTED} nested tuples; allowed: {ALLOWED}")
    for value in values:
        if isinstance(value, tuple):
            _are_keys(value, depth + 1)


def _storage(content: bytes):
    """What ``torch.storage._load_from_bytes`` makes: in a pickle, a storage is a file of torch.save before 1.6."""
    storage = None
    if type(content) is bytes and content.startswith(OLD_FORM):
        file = io.BytesIO(content)
        storage = _read_old_form(file)
        _refuse(file.read(), "behind a storage")
    if not pickled_values.is_storage(storage):
        raise RefusedPickle(f"refers to a {type(storage).__name__} in a tensor; allowed: {ALLOWED}")
    return storage


def _ordered_dict(items=()):
    """A plain dict; a pickle of Python 2 gives the items in the call."""
    if type(items) not in (list, tuple) or not all(type(item) is list and len(item) == 2 for item in items):
        raise RefusedPickle(f"calls OrderedDict with arguments that no pickle of results has; allowed: {ALLOWED}")
    _are_keys([key for key, _ in items])
    return dict(items)


MAKERS = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("numpy", "dtype"): pickled_values.dtype_of,
    ("numpy.core.multiarray", "_reconstruct"): pickled_values.empty_array,
    ("numpy.core.multiarray", "scalar"): pickled_values.scalar,
    ("numpy.core.numeric", "_frombuffer"): pickled_values.from_buffer,
    ("_codecs", "encode"): pickled_values.latin1,
    ("torch", "Size"): pickled_values.size_of,
    ("torch._utils", "_rebuild_tensor"): pickled_values.tensor,
    ("torch._utils", "_rebuild_tensor_v2"): pickled_values.tensor,
    ("torch._utils", "_rebuild_tensor_v3"): pickled_values.typed_tensor,
    ("torch._utils", "_rebuild_parameter"): pickled_values.parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
}
