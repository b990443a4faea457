import argparse
import bz2
import collections
import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from command_line import ROOT

from memorization.pickles import Record, RefusedPickle, read_pickle

VALUES = {
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "swapped": np.arange(3, dtype=">i4"),
    "truths": np.array([True, False]),
    "scalar": np.array(2.5),
    "none": np.zeros((0, 3), np.uint8),
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "many": np.arange(1000, dtype=np.int16),
    "text": np.array(["a", "bc"]),
    "bytes": np.array([b"a", b"bc"]),
    "number": np.float32(3.5),
    "integer": np.int64(-7),
    "tensor": torch.arange(6.0).reshape(2, 3).T,
    "bits": torch.tensor([True, False]),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "type": torch.float32,
    "size": torch.Size([1, 2]),
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(list, {"z": [1]}),
    "options": argparse.Namespace(lr=0.1),
    "plain": [1, 2.0, "three", b"four", None, True, {5}, (6,), 1j, bytearray(b"7"), frozenset({8}), range(9), b""],
    "keys": {(1, ("a", 2.0)): {frozenset({3}): slice(1, None)}},
}


def saved(value, protocol=2, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol, **options)
    return file.getvalue()


def old_form(value, protocol=2) -> bytes:
    return saved(value, protocol, _use_new_zipfile_serialization=False)


FORMS = {"pickle": pickle.dumps, "archive": saved, "old form": old_form}


def written(tmp_path, value, protocol=4, form=pickle.dumps) -> Path:
    path = tmp_path / "some.pkl"
    path.write_bytes(value if isinstance(value, bytes) else form(value, protocol=protocol))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_tensors_and_plain_values_are_read_as_they_were(tmp_path, form, protocol):
    found = read_pickle(written(tmp_path, VALUES, protocol, FORMS[form]))
    trusted = pickle.loads(pickle.dumps(VALUES, protocol=protocol))
    assert found.keys() == VALUES.keys()
    for name in (name for name, value in VALUES.items() if isinstance(value, np.ndarray)):
        np.testing.assert_array_equal(found[name], VALUES[name])
        assert found[name].dtype == trusted[name].dtype  # numpy may make it native
    for name in ("tensor", "bits", "parameter"):
        assert torch.equal(found[name], VALUES[name])
    for name in ("number", "integer", "type", "size", "default", "options", "plain", "keys"):
        assert found[name] == VALUES[name]
        assert type(found[name]) is type(VALUES[name])
    assert type(found["ordered"]) is dict
    assert found["ordered"] == VALUES["ordered"]
    found["array"][0] = 9  # not read-only


READ_AS = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}
READ_AS |= {getattr(torch, name): torch.float32 for name in dir(torch) if name.startswith("float8_")}
OF_NUMPY = "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
COMPLEX = torch.complex(torch.arange(6.0), torch.arange(6.0) - 2).reshape(2, 3)
COUNTED = torch.arange(24.0).reshape(2, 3, 4)
with warnings.catch_warnings(action="ignore"):  # both are little used
    HALF = COMPLEX.to(torch.complex32)
    QUANTIZED = torch._empty_affine_quantized([2], scale=0.1, zero_point=0, dtype=torch.qint8)
TENSORS = {
    "0-d": torch.tensor(2.5),
    "empty": torch.zeros(0),
    "empty, of two axes": torch.zeros(3, 0),
    "empty view": COUNTED[:, :0],
    "transposed": COUNTED.transpose(0, 2),
    "with an offset": COUNTED[1:, 1],
    "with a step": COUNTED[:, ::2, 1::2],
    "0-d view": COUNTED[1, 2, 3],
    "expanded": COUNTED[0, 0].expand(5, 4),
    "overlapping": COUNTED.as_strided((5, 3), (1, 2), 2),
    "trained": torch.ones(2, requires_grad=True),
    "conj": COMPLEX.conj(),
    "conj, 0-d": COMPLEX[0, 1].conj(),
    "conj, empty": COMPLEX[:0].conj(),
    "conj, transposed": COMPLEX.T.conj(),
    "conj, of double precision": COMPLEX.to(torch.complex128)[1].conj(),
    "conj, of half precision": HALF.conj(),
    "conj, expanded": COMPLEX[0].conj().expand(4, 3),
    "neg": COMPLEX.conj().imag,
    "neg, with a step": COMPLEX.conj().imag[:, ::2],
    "neg, of integers": torch._neg_view(torch.arange(3)),
    "neg, of bfloat16": torch._neg_view(torch.arange(3).bfloat16()),
    "neg and conj": torch._neg_view(COMPLEX.conj()),
} | {
    str(dtype): torch.arange(-3, 4).to(torch.uint8).to(dtype).reshape(1, 7)
    for dtype in (*(getattr(torch, name) for name in OF_NUMPY.split()), *READ_AS)
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_every_kind_have_their_values(tmp_path, form, kind):
    found = read_pickle(written(tmp_path, [TENSORS[kind], TENSORS[kind]], 2, FORMS[form]))
    expected = TENSORS[kind].detach().resolve_conj().resolve_neg()
    expected = expected.to(READ_AS.get(expected.dtype, expected.dtype))
    for tensor in found:
        np.testing.assert_array_equal(tensor.numpy(), expected.numpy(), strict=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", READ_AS, ids=str)
def test_types_that_numpy_lacks_are_read_exactly(tmp_path, form, dtype):
    """Every pattern of bits of one number."""
    of_one = dtype.itemsize // (2 if dtype.is_complex else 1)
    patterns = torch.tensor(range(256**of_one), dtype=torch.int32).to(torch.int16 if of_one == 2 else torch.uint8)
    patterns = patterns.repeat_interleave(2) if dtype.is_complex else patterns
    found = read_pickle(written(tmp_path, patterns.view(dtype), 2, FORMS[form]))
    back = found.to(dtype)
    same = (back.view(patterns.dtype) == patterns).reshape(len(found), -1).all(1)
    assert (same | found.isnan()).all()  # which of them it is, one that is no number need not keep
    assert same.sum() > len(found) / 2
    if dtype is torch.bfloat16:
        np.testing.assert_array_equal(found.numpy(), (patterns.to(torch.int32) << 16).view(torch.float32).numpy())


@pytest.mark.parametrize("form", ["archive", "old form"])
def test_views_of_a_storage_share_it(tmp_path, form):
    whole = torch.arange(6.0, dtype=torch.bfloat16)
    found = read_pickle(
        written(tmp_path, {"whole": whole, "part": whole[2:4], "turned": whole.view(2, 3).T}, 2, FORMS[form])
    )
    found["whole"][3] = 9
    assert found["part"].tolist() == [2, 9]
    assert found["turned"].tolist() == [[0, 9], [1, 4], [2, 5]]


@pytest.mark.parametrize("form", FORMS)
def test_state_dicts_are_read_as_dicts(tmp_path, form):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ModuleDict({"of": torch.nn.Linear(3, 1)})
    )
    model[:2](torch.ones(4, 2)).sum().backward()
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    checkpoint["nested"] = collections.OrderedDict(inner=collections.OrderedDict(model=model.state_dict()))
    assert checkpoint["model"]._metadata
    found = read_pickle(written(tmp_path, checkpoint, 2, FORMS[form]))
    assert type(found["model"]) is type(found["nested"]) is type(found["nested"]["inner"]["model"]) is dict
    for state in (found["model"], found["nested"]["inner"]["model"]):
        assert list(state) == list(checkpoint["model"])
        assert all(torch.equal(state[name], checkpoint["model"][name]) for name in state)
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], checkpoint["optimizer"]["state"][0]["exp_avg"])
    assert found["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]


class Sum(torch.Tensor):
    pass


def with_an_attribute(value):
    value.unit = "nats"
    return value


MORE_THAN_NUMBERS = {
    "sparse": (torch.eye(2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
    "quantized": (
        QUANTIZED,
        r"torch\.(_utils\._rebuild_qtensor|per_tensor_affine|QInt8Storage)",
    ),
    "of no device": (torch.ones(2, device="meta"), "torch._utils._rebuild_meta_tensor"),
    "of a subclass": (torch.ones(2).as_subclass(Sum), "torch._tensor._rebuild_from_type"),
    "with an attribute": (with_an_attribute(torch.ones(2)), "torch._tensor._rebuild_from_type"),
    "parameter": (
        with_an_attribute(torch.nn.Parameter(torch.ones(2))),
        "torch._utils._rebuild_parameter_with_state",
    ),
    "state dict": (with_an_attribute(collections.OrderedDict(a=1)), "the state of a dict"),
    "of 4 bits": (torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "of type float4_e2m1fn_x2"),
    "of bits": (torch.zeros(2, dtype=torch.uint8).view(torch.bits8), "of type bits8"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", MORE_THAN_NUMBERS)
def test_tensors_that_are_more_than_numbers_are_refused_by_name(tmp_path, form, kind):
    value, name = MORE_THAN_NUMBERS[kind]
    with pytest.raises(RefusedPickle, match=f"some.pkl: .*{name}") as error:
        read_pickle(written(tmp_path, value, 2, FORMS[form]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_stands_behind_a_pickle_is_told(tmp_path, first, protocol):
    pickled = FORMS[first]({"a": torch.ones(2)}, protocol=protocol)
    others = [form({"b": torch.ones(3)}, protocol=2) for form in FORMS.values()]
    others += [pickle.dumps([1], protocol=n) for n in range(6)]
    others += [others[0][:40], pickle.dumps(Hostile(os.system, "false"))]  # cut off; refused by itself
    for rest in others:
        if first == "archive" and rest.startswith(b"PK"):
            continue  # see below
        with pytest.raises(
            RefusedPickle, match=f"has {len(rest)} bytes more behind it, the beginning of another pickle;"
        ):
            read_pickle(written(tmp_path, pickled + rest))
    for rest in (b"\n", b"\0" * 5000, b"some words", b"\x80"):
        with pytest.raises(RefusedPickle, match=f"has {len(rest)} bytes more behind it; allowed: one pickle"):
            read_pickle(written(tmp_path, pickled + rest))


def test_an_archive_behind_another_is_told(tmp_path):
    first = saved({"a": 1})
    with pytest.raises(RefusedPickle, match=f"has {len(first)} bytes more before it, the beginning of another pickle;"):
        read_pickle(written(tmp_path, first + saved({"b": 1})))


def test_what_stands_behind_a_pickle_in_its_frame_is_told(tmp_path):
    frame = pickle.NONE + pickle.STOP + pickle.dumps(1, protocol=2)
    content = pickle.PROTO + b"\4" + pickle.FRAME + struct.pack("<Q", len(frame)) + frame
    assert pickle.loads(content) is None
    with pytest.raises(
        RefusedPickle, match=f"has {len(frame) - 2} bytes more behind it, the beginning of another pickle;"
    ):
        read_pickle(written(tmp_path, content))


@pytest.mark.parametrize("form", FORMS)
def test_files_cut_off_anywhere_are_refused_in_one_line(tmp_path, form):
    content = FORMS[form]({"a": torch.arange(3.0), "b": "c"}, protocol=2)
    for end in range(0, len(content), 1 + len(content) // 200):
        with pytest.raises(RefusedPickle, match=r"some\.pkl: ") as error:
            read_pickle(written(tmp_path, content[:end]))
        assert "\n" not in str(error.value)


def zipped(compression=zipfile.ZIP_STORED, **members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return file.getvalue()


def written_by(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


PICKLED = pickle.dumps(VALUES)
MEMBERS = {"a/data.pkl": pickle.dumps(1), "a/version": b"3"}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (gzip.compress(PICKLED), "is compressed by gzip; unpack it first"),
        (bz2.compress(PICKLED), "is compressed by bzip2; unpack it first"),
        (lzma.compress(PICKLED), "is compressed by xz; unpack it first"),
        *((zlib.compress(PICKLED, level), "is compressed by zlib; unpack it first") for level in (1, 3, 6, 9)),
        (b"\x28\xb5\x2f\xfd\x04\x00", "is compressed by zstd; unpack it first"),
        (written_by(lambda file: np.save(file, np.ones(2))), "is an npy file; numpy.load"),
        (written_by(lambda file: np.savez(file, a=np.ones(2))), "is an npz archive; numpy.load"),
        (written_by(lambda file: np.savez_compressed(file, a=np.ones(2))), "is an npz archive; numpy.load"),
        (written_by(pd.DataFrame({"a": [1]}).to_parquet), "is a Parquet file; pandas.read_parquet"),
        (safetensors.torch.save({"a": torch.ones(2)}), "is a safetensors file; safetensors"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file; h5py"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a pointer of Git LFS; git lfs pull",
        ),
        (tarred(), "is a tar archive, such as torch.save wrote"),
        (zipped(readme=b"a"), r"is a zip archive that torch.save did not write \(readme\)"),
        (zipped(), "is a zip archive that torch.save did not write"),
        (zipped(**MEMBERS, **{"a/constants.pkl": b"N."}), "is a zip archive that torch.save did not write"),
        (zipped(zipfile.ZIP_DEFLATED, **MEMBERS), "is an archive of torch.save that was compressed again"),
        (zipped(**MEMBERS, **{"a/byteorder": b"big"}), "has big-endian numbers"),
        (
            zipped(**MEMBERS | {"a/data.pkl": pickle.dumps(1) * 2}),
            "has 5 bytes more behind the pickle in it, the beginning of",
        ),
    ],
)
def test_other_formats_are_named(tmp_path, content, name):
    with pytest.raises(RefusedPickle, match=f"some.pkl: {name}") as error:
        read_pickle(written(tmp_path, content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_tensors_of_a_gpu_are_read_on_the_cpu(tmp_path, monkeypatch, form):
    """As a GPU writes them: the same bytes, but for the location that the storage names."""
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    path = written(tmp_path, {"weight": torch.arange(3.0)}, 2, FORMS[form])
    monkeypatch.undo()
    assert b"cuda:0" in path.read_bytes()
    found = read_pickle(path)["weight"]
    assert found.device.type == "cpu"
    assert found.tolist() == [0, 1, 2]


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda mark: Hostile(os.system, f"touch {mark}"), "posix.system"),
        (lambda mark: [1, {"deep": (Hostile(open, str(mark), "w"),)}], "(_?io.open|builtins.open)"),
        (lambda mark: Hostile(eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"),
        (lambda mark: Hostile(getattr, "text", "encode"), "builtins.getattr"),
        (lambda mark: np.array([Hostile(os.system, f"touch {mark}")], dtype=object), "the numpy type O8"),
        (lambda mark: Hostile(torch.load, str(mark)), "torch.serialization.load"),
        (
            lambda mark: Hostile(torch.storage._load_from_bytes, old_form(Hostile(os.system, f"touch {mark}"))),
            "(posix.system|torch.storage._load_from_bytes)",
        ),
        (lambda mark: np.ma.masked_array([1]), "numpy.ma"),
        (lambda mark: Path("x"), "pathlib"),
        (lambda mark: collections.Counter("abc"), "collections.Counter"),
        (lambda mark: b"\x80\x04\x95\x00\x00", "damaged, or no pickle"),
        (lambda mark: b"", "damaged, or no pickle"),
        (lambda mark: pickle.dumps(VALUES)[:-40], "damaged, or no pickle"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_anything_else_is_refused_by_name_and_not_run(tmp_path, make, name, form):
    mark = tmp_path / "was run"
    path = written(tmp_path, make(mark), form=FORMS[form])
    with pytest.raises(RefusedPickle, match=f"some.pkl: .*{name}") as error:
        read_pickle(path)
    assert not mark.exists()
    assert "\n" not in str(error.value)


class Plain:
    def __init__(self, value):
        self.value = value


class Loud:
    """What runs something when it is made, and when its state is set."""

    def __init__(self, mark):
        self.mark = mark

    def __new__(cls, mark):
        Path(mark).touch()
        return super().__new__(cls)

    def __getnewargs__(self):
        return (self.mark,)

    def __setstate__(self, state):
        Path(state["mark"]).touch()


OWN = {(__name__, "Plain"), (__name__, "Loud"), ("pathlib", "PosixPath"), ("pathlib._local", "PosixPath")}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_objects_of_classes_that_are_known_are_read_as_what_the_pickle_says_of_them(tmp_path, protocol):
    value = {"of": Plain([1, torch.Size([2])]), "path": Path("a/b"), Plain(3): 4}
    found = read_pickle(written(tmp_path, value, protocol), OWN)
    plain, path = found["of"], found["path"]
    (key,) = (key for key in found if isinstance(key, Record))
    assert (plain.name, plain.arguments, plain.state) == ("Plain", (), {"value": [1, torch.Size([2])]})
    assert (path.name, path.arguments, path.state) == ("PosixPath", ("a", "b"), None)
    assert (key.state, found[key]) == ({"value": 3}, 4)


def test_no_code_of_a_known_class_is_run_and_other_classes_are_refused_beside_it(tmp_path):
    mark = tmp_path / "was_run"
    loud = Loud(str(mark))
    mark.unlink()
    path = written(tmp_path, [loud, Plain(1)], 4)
    assert not mark.exists()
    first, second = read_pickle(path, OWN)
    assert (first.arguments, first.state) == ((str(mark),), {"mark": str(mark)})
    assert second.state == {"value": 1}
    assert not mark.exists()
    for records in ((), OWN - {(__name__, "Plain")}):
        with pytest.raises(RefusedPickle, match=rf"some\.pkl: refers to .*{__name__}\.(Loud|Plain)"):
            read_pickle(path, records)
    path = written(tmp_path, [Plain(Hostile(os.system, f"touch {mark}"))], 4)
    with pytest.raises(RefusedPickle, match=r"posix\.system"):
        read_pickle(path, OWN)
    assert not mark.exists()


class Made(Hostile):
    """What is made by a call and then given a state."""

    def __init__(self, function, *arguments, state):
        self.call = function, arguments, state


reconstruct = np.array(0).__reduce__()[0]
scalar = np.float32(0).__reduce__()[0]
from_buffer = np._core.numeric._frombuffer
rebuild = torch._utils._rebuild_tensor_v2
ADDRESS = struct.pack("Q", 0x4141414141414141)
MANY, SO_MANY = 10**12, 10**18


def an_array(shape, dtype, content):
    return Made(reconstruct, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content))


def a_dtype(name, *state):
    return Made(np.dtype, name, False, True, state=state)


def typed(tensor):
    return tensor._typed_storage()


def a_storage(tensor):
    return Hostile(torch.storage._load_from_bytes, old_form(typed(tensor)))


def opened(*names) -> bytes:
    """A file of torch.save before 1.6 that asks for storages by these names, and ends before their numbers."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=2)
    pickler.persistent_id = lambda value: value.call[0] if isinstance(value, Hostile) else None
    pickler.dump([Hostile(name) for name in names])
    return old_form(None).split(pickle.dumps(None, protocol=2))[0] + file.getvalue()


def an_archive(content, **storages) -> bytes:
    names = {f"a/data/{key}": numbers for key, numbers in storages.items()}
    return zipped(**{"a/data.pkl": saved_pickle(content)}, **names)


def saved_pickle(value) -> bytes:
    """The pickle in an archive."""
    with zipfile.ZipFile(io.BytesIO(saved(value))) as archive:
        return archive.read("archive/data.pkl")


def overlapping(times) -> bytes:
    """An archive whose members are one and the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        archive.writestr("a/data/0", bytes(10**5))
        archive.filelist += [archive.filelist[1]] * times
    return file.getvalue()


def files_in_files(times):
    """A storage's file whose second pickle reads a storage's file twice, whose second pickle …: 2^times when read."""
    first, rest = old_form(typed(torch.ones(2))).split(pickle.dumps(1001, protocol=2))
    content, read = first + pickle.dumps(1001, protocol=2) + rest, named("torch.storage", "_load_from_bytes")
    for _ in range(times):
        once = read + pickle.BINBYTES + struct.pack("<I", len(content)) + content + pickle.BINPUT + b"\0"
        again = read + pickle.BINGET + b"\0"
        calls = b"".join(call + pickle.TUPLE1 + pickle.REDUCE + pickle.POP for call in (once, again))
        content = first + pickle.PROTO + b"\2" + calls + pickle.dumps(1001, protocol=2)[2:] + rest
    return Hostile(torch.storage._load_from_bytes, content)


def without_objects(fields):
    """A type of objects that says that it has none."""
    return a_dtype("V8", 3, "|", None, tuple(fields), fields, 8, 1, 0)


def doubled(times):
    """A tuple of twice a tuple of twice a tuple …: 2^times when written out, a few bytes in a pickle."""
    value = ()
    for _ in range(times):
        value = (value, value)
    return value


def a_nested_key():
    """A tuple in a tuple in a tuple …, deeper than the stack of the hash function, as the key of a dict."""
    return pickle.EMPTY_DICT + pickle.EMPTY_TUPLE + 10**6 * pickle.TUPLE1 + pickle.NONE + pickle.SETITEM + pickle.STOP


def named(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def an_append_that_calls():
    """Memory by way of what stands as ``append`` in a Namespace."""
    options = named("argparse", "Namespace") + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    append = pickle.EMPTY_DICT + pickle.BINUNICODE + b"\6\0\0\0append" + named("builtins", "bytearray")
    return options + append + pickle.SETITEM + pickle.BUILD + b"I1000000000000\n" + pickle.APPEND + pickle.STOP


CRASHES = {  # what a pickle could do to the process that reads it, and what it is told
    "objects in a buffer": (Hostile(np.ndarray, (1,), np.dtype(object), ADDRESS), "the numpy type O8"),
    "numbers in a buffer": (Hostile(np.ndarray, (1,), np.dtype("i8"), bytes(8)), "calls numpy.ndarray"),
    "memory of nobody": (Hostile(np.ndarray, (10,), np.dtype("i8")), "calls numpy.ndarray"),
    "a new array": (named("numpy", "ndarray") + b"(I9\n" + b"t\x85\x81.", "calls numpy.ndarray"),
    "objects by bytes": (an_array((1,), np.dtype(object), ADDRESS), "the numpy type O8"),
    "objects by a state": (an_array((1,), without_objects({"x": (np.dtype(object), 0)}), ADDRESS), "the numpy type"),
    "fields": (np.zeros(2, [("a", "f4"), ("b", "i4")]), "the numpy type V8"),
    "a type of types": (Hostile(np.dtype, [("a", "O")]), "the numpy type"),
    "a state with fields": (a_dtype("i8", 3, "|", None, ("x",), {"x": (int, 0)}, 8, 1, 0), "with fields"),
    "a state of another size": (a_dtype("S2", 3, "|", None, None, None, SO_MANY, 1, 0), "with fields"),
    "a short state": (a_dtype("i8", 3), "with fields"),
    "too few bytes": (an_array((1000,), np.dtype("f8"), bytes(8)), "has 8 bytes for an array of float64"),
    "too many bytes": (an_array((), np.dtype("f8"), bytes(16)), "has 16 bytes"),
    "a size beyond counting": (an_array((2**62, 4), np.dtype("f8"), b""), "an array of shape"),
    "nothing, beyond counting": (an_array((0, 2**62, 2**62), np.dtype("f8"), b""), "an array of shape"),
    "a negative size": (an_array((-1, -1), np.dtype("f8"), bytes(8)), "an array of shape"),
    "dimensions beyond counting": (an_array((1,) * 99, np.dtype("b1"), b"\1"), "an array of shape"),
    "no type": (an_array((1,), None, bytes(8)), "an array of type <NoneType>"),
    "no bytes": (an_array((1,), np.dtype("i8"), [1]), "an array of shape"),
    "truth beyond one": (an_array((2,), np.dtype("b1"), b"\x80\x80"), "truth values other than"),
    "no state": (Made(reconstruct, np.ndarray, (0,), b"b", state={"shape": 3}), "the state of an array"),
    "a large beginning": (Hostile(reconstruct, np.ndarray, (MANY,), b"b"), "an array of kind"),
    "a kind of its own": (Hostile(reconstruct, dict, (0,), b"b"), "an array of kind"),
    "a state twice": (Made(scalar, np.dtype("f8"), bytes(8), state=(1,)), "the state of a float64"),
    "a number of too few bytes": (Hostile(scalar, np.dtype("f8"), b"1"), "has 1 bytes"),
    "a number of an object": (Hostile(scalar, np.dtype("O"), ADDRESS), "the numpy type O8"),
    "a number of nothing": (Hostile(scalar, "f8", bytes(8)), "an array of type f8"),
    "a buffer too short": (Hostile(from_buffer, bytes(8), np.dtype("f8"), (9,), "C"), "has 8 bytes"),
    "a buffer of another": (Hostile(from_buffer, np.zeros(1), np.dtype("f8"), (1,), "C"), "an array of shape"),
    "a tensor too long": (Hostile(rebuild, a_storage(torch.ones(3)), 0, (10**5,), (1,), False, {}), "has 12 bytes"),
    "a tensor far off": (Hostile(rebuild, a_storage(torch.ones(3)), SO_MANY, (3,), (1,), False, {}), "has 12 bytes"),
    "a tensor before": (Hostile(rebuild, a_storage(torch.ones(3)), -5, (3,), (1,), False, {}), "a tensor of shape"),
    "a tensor backwards": (Hostile(rebuild, a_storage(torch.ones(3)), 2, (3,), (-1,), False, {}), "a tensor of shape"),
    "a tensor of no storage": (Hostile(rebuild, [1], 0, (1,), (1,), False, {}), "a tensor in a list"),
    "no storage": (Hostile(torch.storage._load_from_bytes, old_form({"a": 1})), "refers to a dict in a tensor"),
    "a tensor in a namespace": (
        Hostile(rebuild, argparse.Namespace(made={(None, False, False): torch.ones(1)}), 0, (1,), (1,), False, {}),
        "a tensor in a Namespace",
    ),
    "a tensor of more than a tensor can have": (
        Hostile(rebuild, a_storage(torch.ones(3)), 0, (2**40, 2**40), (0, 0), False, {}),
        "a tensor of shape",
    ),
    "a tensor of unknown bits": (
        Hostile(rebuild, a_storage(torch.ones(3)), 0, (1,), (1,), False, {}, {"meta": True}),
        "unknown properties of a tensor",
    ),
    "a tensor of no type": (
        Hostile(torch._utils._rebuild_tensor_v3, a_storage(torch.ones(3)), 0, (1,), (1,), False, {}, doubled(50)),
        "a tensor of type <tuple>",
    ),
    "a tensor of two types": (
        Hostile(torch._utils._rebuild_tensor_v3, a_storage(torch.ones(3)), 0, (1,), (1,), False, {}, torch.uint16),
        "a tensor of type uint16",
    ),
    "a truth of a tensor beyond one": (
        old_form(torch.tensor([3], dtype=torch.uint8)).replace(b"ByteStorage", b"BoolStorage"),
        "truth values other than",
    ),
    "files in files": (files_in_files(60), "refers to torch.storage._load_from_bytes"),
    "an archive in a pickle": (
        Hostile(torch.storage._load_from_bytes, saved(torch.ones(2))),
        "refers to a NoneType in a tensor",
    ),
    "bytes behind a storage": (
        Hostile(torch.storage._load_from_bytes, old_form(typed(torch.ones(2))) + b"N."),
        "2 bytes more behind a storage",
    ),
    **{
        f"{name}, in the {form}": (FORMS[form]([value]), message)
        for form in ("archive", "old form")
        for name, value, message in [
            ("a tensor too long", Hostile(rebuild, typed(torch.ones(3)), 0, (9,), (1,), False, {}), "has 12 bytes"),
            (
                "a tensor far off",
                Hostile(rebuild, typed(torch.ones(3)), SO_MANY, (3,), (1,), False, {}),
                "has 12 bytes",
            ),
            ("a tensor before", Hostile(rebuild, typed(torch.ones(3)), -5, (3,), (1,), False, {}), "a tensor of shape"),
            ("a storage of many", Hostile(torch.FloatStorage, MANY), "calls _StorageType"),
            ("a file", a_storage(torch.ones(3)), "refers to torch.storage._load_from_bytes"),
        ]
    },
    "memory by storages": (
        opened(*(("storage", torch.FloatStorage, str(n), "cpu", MANY) for n in range(3))),
        "torch.save before 1.6, cut off",
    ),
    "memory by many storages": (
        opened(*(("storage", torch.FloatStorage, str(n), "cpu", 50) for n in range(10**4))),
        "torch.save before 1.6, cut off",
    ),
    "a storage of two sizes": (
        opened(*(("storage", torch.FloatStorage, "0", "cpu", n) for n in (1, 2))),
        "gives two sizes for one storage",
    ),
    "a storage of a negative size": (opened(("storage", torch.FloatStorage, "0", "cpu", -1)), "outside of the file"),
    "a part of a storage": (
        opened(("storage", torch.FloatStorage, "0", "cpu", 1, ("1", 0, 1))),
        "outside of the file",
    ),
    "a module": (opened(("module", torch.float32, "x.py", "source")), "outside of the file"),
    "a storage of another kind": (opened(("storage", torch.float32, "0", "cpu", 1)), "outside of the file"),
    "a storage that is missing": (an_archive(torch.ones(2)), "damaged, or no pickle"),
    "a storage too short": (an_archive(torch.ones(2), **{"0": b"1234567"}), "has 7 bytes for a storage of 2 numbers"),
    "members of an archive in each other": (overlapping(10**4), "that was compressed again"),
    "memory by bytes": (Hostile(bytes, MANY), "calls bytes"),
    "memory by bytearray": (Hostile(bytearray, MANY), "calls bytearray"),
    "memory by list": (Hostile(list, range(MANY)), "calls list"),
    "memory by append": (an_append_that_calls(), "puts items into a Namespace"),
    "memory by the memo": (b"N" + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + b"0" + b"(" + b".", "damaged"),
    "the stack of the hash": (a_nested_key(), "nested tuples"),
    "a message without an end": (an_array(doubled(50), np.dtype("f8"), bytes(8)), "an array of shape <tuple>"),
    "a message of two lines": (Hostile(np.dtype, "f8\nf8\n" * 999), "the numpy type f8 f8"),
    "an extension": (pickle.EXT1 + b"\1" + pickle.STOP, "the extension 1"),
    "a persistent id": (b"Pid\n.", "outside of the file"),
    "a state of a maker": (named("_codecs", "encode") + b"N}X\x0c\0\0\0__defaults__N" + b"s\x86b.", "state of a func"),
    "a state of a class": (named("argparse", "Namespace") + b"N}X\1\0\0\0aNs\x86b.", "sets the state of a type"),
    "a state of a list": (b"]}b.", "sets the state of a list"),
    "an old instance": (b"(" + pickle.INST + b"argparse\nNamespace\n.", "makes an object"),
    "items of a number": (b"I1\nI2\na.", "puts items into a int"),
    "keys of a list": (b"]I1\nI2\ns.", "puts items into a list"),
}
READ_ALL = """
import resource, sys
from pathlib import Path
from memorization.pickles import RefusedPickle, read_pickle
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.stem, "read as", type(read_pickle(path)), sep=": ", flush=True)
    except RefusedPickle as error:
        print(path.stem, error, sep=": ", flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process says of all of ``CRASHES``, by name; of what ends it and what follows, nothing."""
    folder = tmp_path_factory.mktemp("crashes")
    for name, (value, _) in CRASHES.items():
        content = value if isinstance(value, bytes) else pickle.dumps({"some": [value]}, protocol=2)
        (folder / f"{name}.pkl").write_bytes(content)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", READ_ALL, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in result.stderr
    return dict(line.split(": ", 1) for line in result.stdout.splitlines())


@pytest.mark.parametrize("name", CRASHES)
def test_what_could_crash_the_process_or_fill_its_memory_is_refused(told, name):
    assert f"{name}.pkl: " in told[name]
    assert CRASHES[name][1] in told[name]


@pytest.mark.parametrize("name", ["a state of a class", "a state of a maker", "a state with fields"])
def test_a_refused_state_leaves_no_trace(tmp_path, name):
    """Classes, functions and numpy's types are those of the whole process."""
    with pytest.raises(RefusedPickle):
        read_pickle(written(tmp_path, CRASHES[name][0], protocol=2))
    assert not hasattr(argparse.Namespace, "a")
    assert read_pickle(written(tmp_path, VALUES, protocol=2))["bits"].tolist() == [True, False]  # by the default
    assert np.dtype("i8") == np.int64


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bits", [{}, {"neg": True}, {"conj": True}, {"conj": True, "neg": True}])
def test_tensors_of_one_storage_are_views_however_wide_and_many_they_are(tmp_path, form, bits):
    """A number that stands once in a file stands once in memory."""
    storage = a_storage(COMPLEX) if form == "pickle" else typed(COMPLEX)
    wide = [Hostile(rebuild, storage, 1, (MANY,), (0,), False, {}, bits) for _ in range(3)]
    found = read_pickle(written(tmp_path, wide, 2, FORMS[form]))
    expected = {0: 1 - 1j, 1: -1 + 1j}[bits.get("neg", False)]
    expected = expected.conjugate() if "conj" in bits else expected
    assert [each[-1].item() for each in found] == [expected] * 3
    assert len({each.data_ptr() for each in found}) == 1
