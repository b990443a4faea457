import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from memorization.files import DamagedFile, read_arrays, read_table, read_tables, whole, write_arrays, write_table

MADE_BY = {"rule": "some", "code": "abc"}


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail():
        with whole(path) as part:
            (tmp_path / "x.txt.part").write_text("half")
            assert part == f"{path}.part"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_come_back_and_say_what_made_them(tmp_path):
    path = tmp_path / "x.npz"
    write_arrays(path, {"a": np.arange(5), "b": np.zeros((2, 0))}, MADE_BY)
    back = read_arrays(path)
    np.testing.assert_array_equal(back["a"], np.arange(5))
    assert back["b"].shape == (2, 0)
    assert json.loads(str(back["made_by"])) == MADE_BY


def test_tables_come_back_and_say_what_made_them(tmp_path):
    path = tmp_path / "x.parquet"
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    write_table(path, table, MADE_BY)
    pd.testing.assert_frame_equal(read_table(path), table, check_dtype=False)
    assert read_tables([path, path], ["a"])["a"].tolist() == [1, 2, 1, 2]
    assert json.loads(pq.read_schema(path).metadata[b"made_by"]) == MADE_BY


@pytest.mark.parametrize("kind", ["npz", "parquet"])
@pytest.mark.parametrize("damage", ["cut", "flip", "other", "empty"])
def test_a_damaged_file_is_named_and_refused(tmp_path, kind, damage):
    path = tmp_path / f"x.{kind}"
    values = np.random.default_rng(0).integers(0, 2**62, 4000)
    if kind == "npz":
        write_arrays(path, {"a": values}, MADE_BY)
    else:
        write_table(path, pd.DataFrame({"a": values}), MADE_BY)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2] ^= 1
    else:
        content = b"something else" if damage == "other" else b""
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"x\.{kind}: damaged .*delete it and run again"):
        (read_arrays if kind == "npz" else read_table)(path)


def test_no_pickle_is_read(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(DamagedFile):
        read_arrays(path)
