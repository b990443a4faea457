import json

import pytest

from memorization.__main__ import main
from memorization.salvage import salvage

RECORDS = [{"step": i, "loss": 0.5 / (i + 1), "text": "ü, {[" * i, "deep": {"a": [i, {"b": None}]}} for i in range(8)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RECORDS).encode()
DOCUMENT = json.dumps({"name": "x", "runs": RECORDS, "end": True}, indent=1, ensure_ascii=False).encode()
ARRAY = json.dumps(RECORDS, ensure_ascii=False).encode()


@pytest.mark.parametrize("content", [LINES, DOCUMENT, ARRAY, b"3\n", b'"x"', b"[]"])
def test_what_is_whole_is_kept_as_it_is(content):
    found = salvage(content)
    assert not found.dropped
    assert found.values == (RECORDS if content is LINES else [json.loads(content)])


def test_lines_cut_off_anywhere_give_the_whole_lines_before():
    ends = [i for i, byte in enumerate(LINES) if byte == ord("\n")]
    for cut in range(ends[1] + 1, len(LINES), 7):
        found = salvage(LINES[:cut])
        lines = sum(end <= cut for end in ends)
        assert found.values == RECORDS[:lines]
        assert bool(found.dropped) == (cut not in {end + offset for end in ends for offset in (0, 1)})


def test_a_damaged_line_is_dropped_by_its_number():
    for wrong in (b"\x00", b"\xff", b"}"):
        damaged = LINES.split(b"\n")
        damaged[3] = damaged[3][:10] + wrong + damaged[3][11:]
        found = salvage(b"\n".join(damaged))
        assert found.values == RECORDS[:3] + RECORDS[4:]
        assert [line.split(":")[0] for line in found.dropped] == ["line 4"]


@pytest.mark.parametrize("content", [DOCUMENT, ARRAY])
def test_a_document_cut_off_anywhere_gives_its_whole_members_and_nothing_else(content):
    before = -1
    for cut in range(3, len(content), 5):
        found = salvage(content[:cut])
        assert found.dropped
        if not found.values:
            continue
        (value,) = found.values
        rows = value if content is ARRAY else value.get("runs", [])
        *first, last = rows or [None]
        assert first == RECORDS[: len(first)]
        if last is not None:  # the last may lack members, but has none that is not its own
            expected = RECORDS[len(first)]
            assert all(key in expected for key in last)
            assert all(last[key] == expected[key] for key in ("step", "loss", "text") if key in last)
        assert len(first) >= before
        before = len(first)
    assert before == len(RECORDS) - 1


def test_damage_inside_an_array_of_objects_costs_that_object_alone():
    for row in range(1, 7):
        at = ARRAY.index(f'{{"step": {row},'.encode()) + 12
        found = salvage(ARRAY[:at] + b"\x00\x01" + ARRAY[at + 2 :])
        (value,) = found.values
        assert value == RECORDS[:row] + RECORDS[row + 1 :]
        assert len(found.dropped) == 1
        assert found.dropped[0].startswith("byte ")


def test_the_command_writes_what_is_whole_and_says_what_it_dropped(tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    path.write_bytes(LINES[:-20])
    assert main(["salvage", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "log.salvaged.jsonl: kept 7 lines, dropped 1" in printed
    assert "line 8:" in printed
    kept = (tmp_path / "log.salvaged.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == RECORDS[:7]
    assert path.read_bytes() == LINES[:-20]


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"no JSON at all\nnor here"])
def test_a_file_in_which_nothing_is_whole_is_refused(tmp_path, capsys, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert main(["salvage", str(path)]) == 1
    assert "x.json: nothing in it is whole" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert main(["salvage", str(tmp_path / "none.json")]) == 1


def test_the_damaged_file_is_never_written_over(tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_bytes(ARRAY[:-1])
    assert main(["salvage", str(path), "--to", str(path)]) == 1
    assert "is the damaged file itself" in capsys.readouterr().err
    assert path.read_bytes() == ARRAY[:-1]
