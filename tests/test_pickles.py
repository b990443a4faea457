import argparse
import collections
import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import ROOT

from memorization.pickles import RefusedPickle, read_pickle

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
    "half": torch.ones(2, dtype=torch.bfloat16),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "type": torch.float32,
    "size": torch.Size([1, 2]),
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(list, {"z": [1]}),
    "options": argparse.Namespace(lr=0.1),
    "plain": [1, 2.0, "three", b"four", None, True, {5}, (6,), 1j, bytearray(b"7"), frozenset({8}), range(9), b""],
    "keys": {(1, ("a", 2.0)): {frozenset({3}): slice(1, None)}},
}


def written(tmp_path, value, protocol=4) -> Path:
    path = tmp_path / "some.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_tensors_and_plain_values_are_read_as_they_were(tmp_path, protocol):
    path = written(tmp_path, VALUES, protocol)
    found, trusted = read_pickle(path), pickle.loads(path.read_bytes())
    assert found.keys() == VALUES.keys()
    for name in (name for name, value in VALUES.items() if isinstance(value, np.ndarray)):
        np.testing.assert_array_equal(found[name], VALUES[name])
        assert found[name].dtype == trusted[name].dtype  # numpy may make it native
    for name in ("tensor", "bits", "half", "parameter"):
        assert torch.equal(found[name], VALUES[name])
    for name in ("number", "integer", "type", "size", "ordered", "default", "options", "plain", "keys"):
        assert found[name] == VALUES[name]
        assert type(found[name]) is type(VALUES[name])
    found["array"][0] = 9  # not read-only


def test_tensors_of_a_gpu_are_read_on_the_cpu(tmp_path, monkeypatch):
    """As a GPU writes them: the same bytes, but for the location that the storage names."""
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    path = written(tmp_path, {"weight": torch.arange(3.0)})
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


def inner(value) -> bytes:
    """A hostile pickle where torch expects the bytes of a storage."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


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
            lambda mark: Hostile(torch.storage._load_from_bytes, inner(Hostile(os.system, f"touch {mark}"))),
            "posix.system",
        ),
        (lambda mark: np.ma.masked_array([1]), "numpy.ma"),
        (lambda mark: Path("x"), "pathlib"),
        (lambda mark: collections.Counter("abc"), "collections.Counter"),
        (lambda mark: b"\x80\x04\x95\x00\x00", "damaged, or no pickle"),
        (lambda mark: b"", "damaged, or no pickle"),
        (lambda mark: pickle.dumps(VALUES)[:-40], "damaged, or no pickle"),
    ],
)
def test_anything_else_is_refused_by_name_and_not_run(tmp_path, make, name):
    mark = tmp_path / "was run"
    path = written(tmp_path, make(mark))
    with pytest.raises(RefusedPickle, match=f"some.pkl: .*{name}") as error:
        read_pickle(path)
    assert not mark.exists()
    assert "\n" not in str(error.value)


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


def a_storage(tensor):
    return Hostile(torch.storage._load_from_bytes, inner(tensor.storage()))


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
    "no storage": (Hostile(torch.storage._load_from_bytes, inner({"a": 1})), "refers to a dict in a tensor"),
    "memory by bytes": (Hostile(bytes, MANY), "calls bytes"),
    "memory by bytearray": (Hostile(bytearray, MANY), "calls bytearray"),
    "memory by list": (Hostile(list, range(MANY)), "calls list"),
    "memory by append": (an_append_that_calls(), "puts items into a Namespace"),
    "memory by the memo": (b"N" + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + b"0" + b"(" + b".", "damaged"),
    "the stack of the hash": (a_nested_key(), "tuples in each other"),
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
