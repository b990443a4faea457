import argparse
import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from memorization.pickles import RefusedPickle, read_pickle

VALUES = {
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "objects": np.array([{1: 2}, None], dtype=object),
    "text": np.array(["a", "bc"]),
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
    "plain": [1, 2.0, "three", b"four", None, True, {5}, (6,), 1j],
}


def written(tmp_path, value, protocol=4) -> Path:
    path = tmp_path / "some.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_tensors_and_plain_values_are_read_as_they_were(tmp_path, protocol):
    found = read_pickle(written(tmp_path, VALUES, protocol))
    assert found.keys() == VALUES.keys()
    for name in ("array", "fortran", "objects", "text"):
        np.testing.assert_array_equal(found[name], VALUES[name])
        assert found[name].dtype == VALUES[name].dtype
    for name in ("tensor", "bits", "half", "parameter"):
        assert torch.equal(found[name], VALUES[name])
    for name in ("number", "integer", "type", "size", "ordered", "default", "options", "plain"):
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
        (lambda mark: np.array([Hostile(os.system, f"touch {mark}")], dtype=object), "posix.system"),
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
