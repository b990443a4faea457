import json
import random
import time

import pytest

from memorization import salvage as module
from memorization.__main__ import main

RECORDS = [{"step": i, "loss": 0.5 / (i + 1), "text": "ü, {[" * i, "deep": {"a": [i, {"b": None}]}} for i in range(8)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RECORDS).encode()
DOCUMENT = json.dumps({"name": "x", "runs": RECORDS, "end": True}, indent=1, ensure_ascii=False).encode()
ARRAY = json.dumps(RECORDS, ensure_ascii=False).encode()
TREES = json.dumps(
    [{"id": 10 * i, "c": [{"id": 10 * i + j, "c": [[j], []]} for j in (1, 2, 3)]} for i in (1, 2, 3)]
).encode()
PAIRED = json.dumps({"a": [[], []], "b": [[], []], "c": 1}, indent=1).encode()
ODD = rb'{"big": 123456789012345678901234567890, "nan": NaN, "s": "\ud83d \"[, \\", "t": -Infinity, "u": [1e5, null]}'


def salvage(content):
    """What is recovered, read."""
    found = module.salvage(content)
    found.values = [json.loads(text) for text in found.texts]
    return found


def is_beginning(kept, original) -> bool:
    """Whether ``kept`` is the original, or one that ends earlier, and its last member likewise."""
    if isinstance(kept, dict) and isinstance(original, dict):
        kept, original = list(kept.items()), list(original.items())
        if kept and original[len(kept) - 1 :] and kept[-1][0] != original[len(kept) - 1][0]:
            return False
    if isinstance(kept, list | tuple) and isinstance(original, list | tuple) and len(kept) <= len(original):
        n = len(kept) - 1
        return not kept or (str(kept[:n]) == str(original[:n]) and is_beginning(kept[n], original[n]))
    return str(kept) == str(original)  # nan is not equal to itself


def is_within(kept, original) -> bool:
    """Whether ``kept`` is a beginning of the original and, if members are missing behind that, the last members."""
    kept_all, all_of_it = (list(x.items()) if isinstance(x, dict) else x for x in (kept, original))
    if type(kept) is not type(original) or not isinstance(all_of_it, list):
        return is_beginning(kept, original)
    return any(
        is_beginning(kept_all[:n], all_of_it[: len(kept_all)])
        and str(kept_all[n:]) == str(all_of_it[len(all_of_it) - len(kept_all) + n :])
        for n in range(len(kept_all) + 1)
    )


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


@pytest.mark.parametrize("content", [DOCUMENT, ARRAY, TREES, PAIRED, ODD, b"[1, [2, [3]], {}]"])
def test_what_is_kept_of_a_document_cut_off_or_damaged_anywhere_stood_there(content):
    original, drawn = json.loads(content), random.Random(0)
    for at in range(1, len(content), 1 + len(content) // 300):
        damages = [content[:at]]
        for wrong in (b"\x00", b"\xff", b"\xe2\x00\x00"):  # they stand in no document
            damages.append(content[:at] + wrong + content[at + len(wrong) :])
        if content[at] not in b"[]{}":  # a bracket that is lost, and a cut, can make up for each other
            damages.append(damages[1][: at + drawn.randrange(2, 40)])
        for damaged in damages:
            found = salvage(damaged)
            assert not found.lines, damaged
            assert found.dropped
            assert all(is_within(value, original) for value in found.values), (damaged, found)


def test_members_of_a_damaged_member_are_not_lifted():
    cut = b'[{"id":1,"children":[]},{"id":2,"children":[{"id":3,"x":1},{"id":4,"x":1},{"id":5'
    ids = [{"id": 1, "children": []}, {"id": 2, "children": [{"id": 3, "x": 1}, {"id": 4, "x": 1}]}]
    assert salvage(cut).values == [ids]
    inside = b'[{"id":1,"c":[]},{"id":2,"c":[{"id":3,"c":\x00},{"id":4,"c":[]}]},{"id":5,"c":[]}]'
    kept = [{"id": 1, "c": []}, {"id": 2, "c": [{"id": 3}]}, {"id": 5, "c": []}]
    assert salvage(inside).values == [kept]
    assert salvage(b"[1, 2, [3, \x00 4, 5]").values == [[1, 2, [3]]]  # two faults: the last bracket is not the first's


def test_lines_and_documents_are_told_apart():
    assert salvage(PAIRED).values == [json.loads(PAIRED)]
    for end in range(2, len(PAIRED)):
        assert not salvage(PAIRED[:end]).lines
    assert salvage(b'{"a": \n{"a":1}\n').values == [{"a": 1}]
    assert salvage(LINES[5:]).values == RECORDS[1:]
    assert salvage(b"null\n\nnull\n{").values == [None, None]
    assert salvage(b"11\n22").values == [11]  # it may have been 225
    assert salvage(LINES.replace(b"\n", b"\r\n")[:-9]).values == RECORDS[:-1]


def test_a_damaged_line_changes_no_other():
    drawn = random.Random(0)
    ends = [-1, *(i for i, byte in enumerate(LINES) if byte == ord("\n"))]
    for at in range(len(LINES)):
        wrong = drawn.choice(b'\x00\xff"{}[],:\\1e ')
        if at in ends or wrong == LINES[at]:
            continue
        row = sum(end < at for end in ends) - 1
        found = salvage(LINES[:at] + bytes([wrong]) + LINES[at + 1 :])
        damaged = len(found.values) == len(RECORDS)  # still JSON: what else it was, nobody can know
        assert found.values[:row] == RECORDS[:row]
        assert found.values[row + damaged :] == RECORDS[row + 1 :]
        assert len(found.dropped) == 1 - damaged


def test_a_mark_of_the_byte_order_is_left_out_and_counted():
    mark = b"\xef\xbb\xbf"
    assert salvage(mark + LINES).values == RECORDS
    assert salvage(mark + ARRAY).values == [RECORDS]
    assert module.salvage(mark + b"[1,2,\x003,4]").dropped == ["bytes 7 to 10: not whole"]
    assert module.salvage('["ü",2,\x003,4]'.encode()).dropped == ["bytes 7 to 10: not whole"]


def test_what_nests_too_deeply_is_dropped_and_the_rest_is_kept():
    deep = b"[" * 200_000
    assert salvage(b'{"a":1}\n' + deep + b"\n[3]").values == [{"a": 1}, [3]]
    assert salvage(b'{"a":1,"b":' + deep + b"]" * 200_000 + b',"c":2}').values == [{"a": 1, "c": 2}]
    assert salvage(b"[" * 5000).values == []


@pytest.mark.parametrize("content", [ODD, b'{"a": 1, "a": 1.50}', b"9" * 5000, rb'{"a": "x \ud83d"}', b"[NaN, 1E+2]"])
def test_what_is_kept_is_copied_as_it_was_written(tmp_path, content):
    for name, damaged in {"a": content + b"\n" + content + b'\n{"cut', "b": b"\n" + content + b"\r\n"}.items():
        (tmp_path / name).write_bytes(damaged)
        assert main(["salvage", str(tmp_path / name)]) == 0
        assert (tmp_path / f"{name}.salvaged").read_bytes() == (content + b"\n") * (2 if name == "a" else 1)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":"' + b"x" * 10**7,
        b'["\x00' + b'\\"' * 10**6,
        b'[{"a":' + b'{"b":1},' * 10**5,
        b'[\x00"",' + b'1],["",' * 10**5,
        b"[\x00" + b"[1," * 10**5,
        b"[" + b" " * 10**6 + b"x",
    ],
)
def test_no_kind_of_damage_takes_longer_than_its_length_asks_for(content):
    begun = time.process_time()
    salvage(content)
    assert time.process_time() - begun < 20  # a second; minutes if each member were tried to the end


def test_damage_inside_an_array_of_objects_costs_the_rest_of_that_object_alone():
    for row in range(1, 7):
        begin = ARRAY.index(f'{{"step": {row},'.encode())
        for at, kept in ((begin + 12, {"step": row}), (begin + 16, {"step": row}), (begin + 3, {})):
            found = salvage(ARRAY[:at] + b"\x00" + ARRAY[at + 1 :])
            (value,) = found.values
            assert value == RECORDS[:row] + [kept] * bool(kept) + RECORDS[row + 1 :]
            assert len(found.dropped) == 1
            assert found.dropped[0].startswith("bytes ")


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


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\x00" * 50, b"[" * 5000, b"no JSON at all\nnor here"])
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
