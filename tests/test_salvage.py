import json
import random
import re
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


OTHER_TEXT = [
    "[INFO] it's {odd",
    "at 2024-01-01 10:00:00,123 - loss: 0.5",
    "[2024-01-01] step 3",
    "Traceback (most recent call last):",
    '  File "x.py", line 3',
    "x = [1, 2]",
    '"unclosed',
    "{'a': 1}",
    "done }",
]
TRICKY = ["", "a", "}{", "[1]", "x,]", '"q"', "two\nlines", "ü{[", '{"a": 1}']


def drawn_value(drawn, depth=0):
    kind = drawn.choice((int, str, None, dict, list, dict, list) if depth < 3 else (int, str, None))
    if kind is dict:
        return {f"{drawn.choice('ab:')}{i}": drawn_value(drawn, depth + 1) for i in range(drawn.randrange(4))}
    if kind is list:
        return [drawn_value(drawn, depth + 1) for _ in range(drawn.randrange(4))]
    return {int: drawn.choice([0, 12, -3, 1.5, 1e9]), str: drawn.choice(TRICKY), None: drawn.choice([None, True])}[kind]


def drawn_file(drawn, other_text):
    """Documents of one or several lines behind one another, also among other text, and where each begins and ends."""
    text, places = "", []
    for _ in range(drawn.randrange(1, 6)):
        if drawn.random() < 0.4 and other_text:
            text += "\n" * (text[-1:] not in ("\n", "")) + drawn.choice(other_text) + "\n"
        else:
            value = drawn_value(drawn)
            value = value if isinstance(value, dict | list) else [value]
            document = json.dumps(value, indent=drawn.choice([None, None, 1, 2]), ensure_ascii=drawn.random() < 0.5)
            places.append((len(text), len(text) + len(document)))
            text += document + drawn.choice(["", "", " ", "\n", "\n", "\r\n", "\n\n"])
    return text, places


def without_dropped(content, dropped):
    """What is left of a file when what was said to be dropped is blanked out, by line or by byte as it was said."""
    begins = [0, *(i + 1 for i, byte in enumerate(content) if byte == ord("\n")), len(content) + 1]
    left = bytearray(content)
    for said in dropped:
        unit, first, last, size = re.fullmatch(
            r"(line|byte)s? (\d+)(?: to (\d+))?: (?:not whole JSON|may be part of .*?)(?: \((\d+) bytes?\))?", said
        ).groups()
        first, last = int(first), int(last or first)
        place = slice(begins[first - 1], begins[last] - 1) if unit == "line" else slice(first, last + 1)
        assert content[place].strip()
        assert size is None or int(size) == len(content[place].strip())
        left[place] = b" " * len(content[place])
    return bytes(left)


def check_what_is_said(content, found):
    left = without_dropped(content, found.dropped)
    assert re.sub(rb"\s", b"", left).decode() == re.sub(r"\s", "", "".join(found.texts))


def is_subsequence(some, all_of_it):
    rest = iter(all_of_it)
    return all(each in rest for each in some)


@pytest.mark.parametrize("other_text", [[], OTHER_TEXT, [*OTHER_TEXT, "[12] loaded", "[0, 1] [INFO] x"]])
def test_all_documents_behind_one_another_and_among_other_text_are_kept(other_text):
    for seed in range(300):
        text, places = drawn_file(random.Random(seed), other_text)
        if places:
            found = module.salvage(text.encode())
            assert found.texts == [text[begin:end] for begin, end in places]
            check_what_is_said(text.encode(), found)


@pytest.mark.parametrize("other_text", [[], OTHER_TEXT])
def test_of_files_cut_off_at_each_byte_all_that_was_whole_is_kept_and_no_more(other_text):
    partly = 0
    for seed in range(40):
        text, places = drawn_file(random.Random(seed), other_text)
        content = text.encode()
        for cut in range(1, len(content)):
            found = module.salvage(content[:cut])
            whole = [text[begin:end] for begin, end in places if len(text[:end].encode()) <= cut]
            if whole or not found.texts:
                assert found.texts == whole, content[:cut]
                if whole:
                    check_what_is_said(content[:cut], found)
            else:
                (kept,) = found.texts
                partly += 1
                assert is_beginning(json.loads(kept), json.loads(text[slice(*places[0])])), content[:cut]
    assert partly > 100


@pytest.mark.parametrize("wrong", [b"\0", b"\xff", b" ", b""])
@pytest.mark.parametrize("other_text", [[], OTHER_TEXT])
def test_of_files_damaged_at_any_byte_whole_documents_alone_are_kept(wrong, other_text):
    """Where a document is whole. A sign less may leave another document, which nobody can know."""
    kept = total = 0
    for seed in range(40):
        drawn = random.Random(seed)
        text, places = drawn_file(drawn, other_text)
        content = text.encode()
        places = [(len(text[:begin].encode()), len(text[:end].encode())) for begin, end in places]
        for at in drawn.sample([i for begin, end in places for i in range(begin, end)], k=min(40, 2 * len(places))):
            damaged = content[:at] + wrong + content[at + 1 :]
            found = module.salvage(damaged)
            shift = len(wrong) - 1
            pieces = [damaged[begin + shift * (begin > at) : end + shift * (end > at)] for begin, end in places]
            texts = [piece.decode(errors="surrogateescape") for piece in pieces]
            intact = [t for t, (begin, end) in zip(texts, places, strict=True) if not begin <= at < end]
            if is_subsequence(found.texts, texts):
                check_what_is_said(damaged, found)
                kept, total = kept + len([each for each in found.texts if each in intact]), total + len(intact)
            else:
                (part,) = found.texts  # the first one's members, where none is whole
                begin, end = places[0]
                assert begin <= at < end, damaged
                if wrong.strip() and at > begin:  # a bracket or a comma less may make it another document
                    assert is_within(json.loads(part), json.loads(content[begin:end])), damaged
    assert kept > 0.9 * total


PART = "may be part of something larger"


@pytest.mark.parametrize(
    ("content", "kept", "said"),
    [
        (b'{"a":1}{"a":2}{"a":3}', ['{"a":1}', '{"a":2}', '{"a":3}'], []),
        (b'{"a":1}{"a":2}\n{"a":', ['{"a":1}', '{"a":2}'], ["bytes 15 to 19: not whole"]),
        (b'{"a":1}{"a":\x00}{"a":3}', ['{"a":1}', '{"a":3}'], ["bytes 7 to 13: not whole"]),
        (b"[1]\na\nb\n\n[2]\n{", ["[1]", "[2]"], ["lines 2 to 3: not whole (3 bytes)", "line 6: not whole (1 byte)"]),
        (b'INFO: go\n{"a":1}\nINFO: no\n', ['{"a":1}'], ["line 1: not whole (8 bytes)", "line 3: not whole (8 bytes)"]),
        ('ü\n{"a":"ü"}[1]é'.encode(), ['{"a":"ü"}'], ["bytes 0 to 1: not whole", "bytes 13 to 17: not whole"]),
        (b'{"a":1}\n{\n "b": [\n  [2]\n ]\n}\n[3]\n', ['{"a":1}', '{\n "b": [\n  [2]\n ]\n}', "[3]"], []),
        (b'{"a":1}\n{\n "b": [\n  [2]\x00\n ]\n}\n[3]\n', ['{"a":1}', "[3]"], ["lines 2 to 6: not whole (21 bytes)"]),
        (b'{"a":1}\n{"a":2}\0\0\0', ['{"a":1}', '{"a":2}'], ["bytes 15 to 17: not whole"]),
        (b'1\n"two"\nthree\n4\n5', ["1", '"two"', "4"], ["line 3: not whole (5 bytes)", f"line 5: {PART} (1 byte)"]),
        (b'{\n "a": 1\n}\nx', ['{\n "a": 1\n}'], ["byte 12: not whole"]),
        (b'{"a":1}xyz', ['{"a":1}'], ["bytes 7 to 9: not whole"]),
        (b'{"a": [1,', ['{"a": [1]}'], ["cut off at byte 9"]),
        (b'{"a": [1]', ['{"a": [1]}'], ["cut off at byte 9"]),
    ],
)  # fmt: skip
def test_what_was_dropped_is_said_by_its_place(content, kept, said):
    found = module.salvage(content)
    assert found.texts == kept
    assert found.dropped == [each.replace("not whole", "not whole JSON") for each in said]


@pytest.mark.parametrize(
    "broken",
    [
        b'{\n "a": [\n  []\0\n  []',  # damaged and cut off
        b'{\n "a": [\n  0\0\n  0\n ',
        b'{"a": \0} [\n [\n  3\n ]',
        b'{"a": \0}[1][2]", "b": 3}',  # in a string whose beginning is lost
        b'{"a": "}[1][2]',
        b'\0\n "a"',  # a key
        b'{\n "a": [\n  2\n ]}\n "b": 3\n}',  # a bracket instead of a comma
        b"[[2], 3] [4, 5]]",
        b"\n [\n  2\n ]\n]",  # a bracket is lost
        b"{\n [\n  2\n ],\n [\n  3\n ]\n]",
    ],
)
def test_parts_of_a_broken_document_are_no_documents(broken):
    content = b"[1]\n" + broken
    found = module.salvage(content)
    assert found.texts == ["[1]"]
    check_what_is_said(content, found)


@pytest.mark.parametrize("content", ["\n".join(OTHER_TEXT), "[INFO] [1, 2] loaded\n[INFO] {", "3 epochs", '"b": 2}'])
def test_nothing_is_found_in_other_text(content):
    assert module.salvage(content.encode()).texts == []


OBJECTS = ['{"a": 1}', '{"b": [1, {"c": "}, {"}]}', "[2, []]", "{}", '{"d": "x: {\\"y\\": 1}"}']


def separated(before, between, behind=""):
    """Documents with text before, between and behind them, and where each of them ends."""
    text, ends = "", []
    for number, each in enumerate(OBJECTS):
        text += before.format(number) + each
        ends.append(len(text))
        text += between * (number < len(OBJECTS) - 1)
    return text + behind, ends


SEPARATED = [
    ("", ","),
    ("", ", "),
    ("", ",\n", ",\n"),
    ("", "\n,"),
    ("", "\x1e"),
    ("\x1e", "\n", "\n"),
    ("\x1e", ""),
]


@pytest.mark.parametrize("signs", SEPARATED)
def test_documents_that_more_than_space_separates_are_kept_up_to_a_cut(signs):
    text, ends = separated(*signs)
    found = module.salvage(text.encode())
    assert (found.texts, found.dropped) == (OBJECTS, [])
    for cut in range(ends[1], len(text)):
        found = module.salvage(text[:cut].encode())
        assert found.texts == OBJECTS[: sum(end <= cut for end in ends)], text[:cut]
        rest = text[max(end for end in ends if end <= cut) : cut].strip(", \n\x1e")
        assert len(found.dropped) == bool(rest)


@pytest.mark.parametrize("signs", SEPARATED)
@pytest.mark.parametrize("wrong", ["\0", "x"])
def test_damage_in_one_of_them_costs_that_one_alone(signs, wrong):
    text, ends = separated(*signs)
    for damaged in range(1, len(OBJECTS)):
        at = ends[damaged] - 1 if OBJECTS[damaged] == "{}" else ends[damaged] - len(OBJECTS[damaged]) + 1
        found = module.salvage(f"{text[:at]}{wrong}{text[at:]}".encode())
        assert found.texts == OBJECTS[:damaged] + OBJECTS[damaged + 1 :], damaged
        (said,) = found.dropped
        assert "not whole JSON" in said


LABELS = ["prefix: ", "2024-01-01 10:00:00,123 [INFO] worker[3] - ", "{}:", "INFO ", "data:", "true story, "]


@pytest.mark.parametrize("label", LABELS)
def test_an_object_behind_other_text_in_its_line_is_kept_and_the_other_text_said(label):
    objects = [each for each in OBJECTS if each.startswith("{")]
    lines = [label.replace("{}", str(n)) + each for n, each in enumerate(objects)]
    content = "\n".join([*lines, lines[0][:-1], f"{lines[0]} and more", objects[0], ""])
    found = module.salvage(content.encode())
    assert found.texts == [*objects, objects[0]]
    check_what_is_said(content.encode(), found)


@pytest.mark.parametrize(
    "content",
    [
        '{"a": 1}, {"b": 2}]',  # what an array holds of which the beginning is lost
        "[1], {}, 2]\n",
        '{\n x": {"a": 1}\n',
        '1, {"a": 1}\n',
        'true, null, {"a": 1}\n',
        '[12], 3 loaded, {"a": 1} too\n',
        '\0 {"a": 1}\n',
    ],
)
def test_what_may_be_part_of_a_document_is_no_document_because_of_what_separates_it(content):
    assert module.salvage(content.encode()).texts in ([], [content.partition(", ")[0]])


def test_a_mark_of_the_byte_order_is_left_out_and_counted():
    mark = b"\xef\xbb\xbf"
    assert salvage(mark + LINES).values == RECORDS
    assert salvage(mark + ARRAY).values == [RECORDS]
    assert module.salvage(mark + b"[1,2,\x003,4]").dropped == ["bytes 7 to 10: not whole JSON"]
    assert module.salvage('["ü",2,\x003,4]'.encode()).dropped == ["bytes 7 to 10: not whole JSON"]


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
        b"[\x00" + b"][1" * 10**5 + b"x",
        b'{"a":\x00' + b"}{" * 10**5,
        b"[\n" + b'{"b":1},\n' * 10**5,
        b"x" * 10**6 + b"\n1,\n[]\nx,\n" * 10**5,
        b"{\n}\n" * 10**5 + b"]",
        b"{}" * 10**5 + b"]",
        b"]{\n" * 10**5,
        b"[1,\n" * 10**5,
        b"[\n]x\n" * 10**5,
        b'{"a":1},' * 10**5 + b"x",
        b'x: {"a":\n' * 10**5,
        b"[x] " * 10**5 + b"{",
        b'\x1e{"a":' * 10**5,
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
    assert "log.salvaged.jsonl: kept 7 lines, dropped 1 piece\n  line 8: not whole JSON (" in printed
    kept = (tmp_path / "log.salvaged.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == RECORDS[:7]
    assert path.read_bytes() == LINES[:-20]


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\x00" * 50, b"[" * 5000, b"no JSON at all\nnor here"])
def test_a_file_in_which_nothing_is_whole_is_refused(tmp_path, capsys, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert main(["salvage", str(path)]) == 1
    assert "x.json: no whole document in it stands by itself" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert main(["salvage", str(tmp_path / "none.json")]) == 1


def test_what_is_recovered_takes_the_place_of_nothing(tmp_path, capsys):
    (tmp_path / "x.json").write_bytes(ARRAY[:-1])
    (tmp_path / "table.csv").write_bytes(b"a\n1\n")
    (tmp_path / "x.salvaged.json").write_bytes(b"{}")
    for arguments, to in ((["--to", str(tmp_path / "table.csv")], "table.csv"), ([], "x.salvaged.json")):
        before = (tmp_path / to).read_bytes()
        assert main(["salvage", str(tmp_path / "x.json"), *arguments]) == 1
        said = f"{tmp_path / to}: already exists; allowed: another path by --to"
        assert capsys.readouterr().err == f"memorization: {said}\n"
        assert (tmp_path / to).read_bytes() == before


def test_the_damaged_file_is_never_written_over(tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_bytes(ARRAY[:-1])
    assert main(["salvage", str(path), "--to", str(path)]) == 1
    assert "is the damaged file itself" in capsys.readouterr().err
    assert path.read_bytes() == ARRAY[:-1]
