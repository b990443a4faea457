import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from memorization.files import (
    DamagedFile,
    ForeignFile,
    atomic_write,
    read_arrays,
    read_made_by,
    read_table,
    read_tables,
    write_arrays,
    write_table,
)
from memorization.training.checkpoints import read_tensors, write_tensors

MADE_BY = {"rule": "some", "code": "abc"}


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path) as part:
            (tmp_path / "x.txt.part").write_text("half")
            assert part == f"{path}.part"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        fail()
    assert error.value.__notes__ == [f"while {path} was written"]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_come_back_and_say_what_made_them(tmp_path):
    path = tmp_path / "x.npz"
    write_arrays(path, {"a": np.arange(5), "b": np.zeros((2, 0))}, MADE_BY)
    back = read_arrays(path)
    assert back.keys() == {"a", "b"}
    np.testing.assert_array_equal(back["a"], np.arange(5))
    assert back["b"].shape == (2, 0)
    assert read_made_by(path).items() >= MADE_BY.items()


def test_tables_come_back_and_say_what_made_them(tmp_path):
    path = tmp_path / "x.parquet"
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, np.nan]})
    write_table(path, table, MADE_BY)
    pd.testing.assert_frame_equal(read_table(path), table)
    assert read_tables([path, path])["a"].tolist() == [1, 2, 1, 2]
    assert read_made_by(path).items() >= MADE_BY.items()


def test_an_absent_file_is_absent_not_damaged(tmp_path):
    for read in (read_arrays, read_table, read_made_by):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "absent.npz")


@pytest.mark.parametrize("length", [2**62, 2**40, 0])
def test_a_header_that_would_be_longer_than_its_file_is_damage(tmp_path, length):
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(DamagedFile, match=r"x\.safetensors: damaged"):
        read_made_by(tmp_path / "x.safetensors")


def written(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    values = np.arange(7) ** 5
    if kind == "npz":
        write_arrays(path, {"values": values}, MADE_BY)
        return path, lambda: read_arrays(path)["values"].tolist() == values.tolist()
    table = pd.DataFrame({"values": values, "names": "some"})
    write_table(path, table, MADE_BY)
    return path, lambda: read_table(path).equals(table)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_a_file_that_is_cut_off_or_another_is_named_and_refused(tmp_path, kind):
    path, same = written(tmp_path, kind)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1], b"something else", b""):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=rf"x\.{kind}: damaged .*delete it and run again"):
            same()


def saved_again(path):
    """As other tools do, which know nothing of what made it."""
    if path.suffix == ".npz":
        np.savez(path, values=read_arrays(path)["values"])
    elif path.suffix == ".parquet":
        pd.DataFrame(read_table(path).to_dict("list")).to_parquet(path)
    else:
        save_file(load_file(path), path)


@pytest.mark.parametrize(
    ("kind", "write", "read"),
    [
        ("npz", lambda path: write_arrays(path, {"values": np.arange(3)}, MADE_BY), read_arrays),
        ("parquet", lambda path: write_table(path, pd.DataFrame({"values": [1, 2]}), MADE_BY), read_table),
        ("safetensors", lambda path: write_tensors(path, {"values": torch.zeros(2)}, MADE_BY), read_tensors),
    ],
)
def test_a_file_saved_again_by_another_tool_is_whole_but_foreign(tmp_path, kind, write, read):
    path = tmp_path / f"x.{kind}"
    write(path)
    read(path)
    saved_again(path)
    for reads in (read, read_made_by):
        with pytest.raises(ForeignFile) as error:
            reads(path)
        assert str(error.value) == f"{path}: not made by this workflow, or saved again by another tool"


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_whatever_bit_is_flipped_a_file_is_read_right_or_refused_by_name(tmp_path, kind):
    path, same = written(tmp_path, kind)
    content, refused = path.read_bytes(), 0
    for n in range(0, len(content), 5):
        path.write_bytes(content[:n] + bytes([content[n] ^ 1 << n % 8]) + content[n + 1 :])
        try:
            right = same()
        except DamagedFile as error:
            right = str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
        assert right, n
    assert refused > len(content) / 5 / 4


def test_no_pickle_is_read(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(DamagedFile):
        read_arrays(path)
