import os
import pickle
import re
from hashlib import sha256
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch

from memorization.__main__ import main
from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.files import read_made_by, read_table, write_arrays, write_table
from memorization.random_sequences.measures import evaluate, sequence_records
from memorization.records import RECORD
from memorization.zipf import older_results

COUNT, LENGTH = 40, 12


def older(folder, name="run", args=None, entries=None, metrics=None, **change):
    """A run as the older scripts wrote it: every tenth sequence evaluated, numbered 0 to 3, the rest zeros.

    ``entries`` are changes of logs by number, ``metrics`` those of the first entry's.
    """
    rng = np.random.default_rng(0)
    sets = [torch.from_numpy(rng.integers(0, 2, (COUNT, LENGTH))) for _ in range(2)]
    logs = []
    for epoch in range(4):
        padded = {key: np.zeros(COUNT) for key in ("logsoftmaxloss", "accuracy")} | {
            "sequence_rank": np.zeros(COUNT, int)
        }
        for i in range(4):
            padded["sequence_rank"][i], padded["logsoftmaxloss"][i] = i, 0.5 + i / 10 + epoch
            padded["accuracy"][i] = 0.6 + i / 10
        appearances = [rng.integers(0, COUNT, 8) for _ in range(5)]
        logs.append(
            {"epoch": epoch, "num_apppearances": np.arange(COUNT) * 1.0 * epoch, "appearances": appearances}
            | {"test_metrics": padded | {"length": 50}, "train_loss": 0.3, "lr": 1e-3}
        )
    logs[0]["test_metrics"] |= metrics or {}
    for number, entry in (entries or {}).items():
        logs[number] |= entry
    args = {"K": COUNT, "seed": 7, "sequence_sampling_distribution": "zipf"} if args is None else args
    record = {"args": args, "logs": logs, "model": {"weight": torch.ones(2)}}
    stored = {"sequences": sets, "switch_start_iter": [[0] * COUNT, [2] * COUNT]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pkl").write_bytes(pickle.dumps(change.get("record", record)))
    (folder / f"{name}_sequences.pkl").write_bytes(pickle.dumps(stored | change.get("stored", {})))


def test_older_results_are_read_with_true_ranks_steps_and_sets(tmp_path, capsys):
    older(tmp_path / "old", "one")
    older(tmp_path / "old/below/deeper", "two", args={"seed": None, "sequence_sampling_distribution": "uniform"})
    read = [
        tmp_path / "old" / f"{name}{end}" for name in ("one", "below/deeper/two") for end in (".pkl", "_sequences.pkl")
    ]
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    assert "2 runs, 32 rows" in capsys.readouterr().out
    table = read_table(str(tmp_path / "new/zipf_by_sequence.parquet"))
    one = table[table["condition"] == "one"]
    assert set(table["condition"]) == {"one", "below/deeper/two"}
    assert set(one["seed"]) == {7}
    assert one["rank"].tolist() == [0, 10, 20, 30] * 4
    assert one["step"].tolist() == np.repeat([0, 5, 10, 15], 4).tolist()
    assert one["set"].tolist() == [0] * 8 + [1] * 8
    assert one["phase"].tolist() == ["train"] * 8 + ["after_switch"] * 8
    assert one["exposures"].tolist() == [rank * epoch for epoch in range(4) for rank in (0, 10, 20, 30)]
    assert one["loss"].tolist() == pytest.approx([0.5 + i / 10 + epoch for epoch in range(4) for i in range(4)])
    assert one["suffix_loss"].isna().all()
    assert (one["last_exposure_step"] == -1).all()
    assert one["switch_start_step"].tolist() == [0] * 8 + [10] * 8
    uniform = table[table["condition"] == "below/deeper/two"]
    sets = [each.numpy() for each in pickle.loads((tmp_path / "old/one_sequences.pkl").read_bytes())["sequences"]]
    for rows, exponent in ((one, 1.0), (uniform, 0.0)):  # the first bit, which is not predicted, is in neither
        p = zipf_probabilities(COUNT, exponent)
        of_first_bit = np.array([[p[bits[:, 0] == bit].sum() for bit in bits[:, 0]] for bits in sets])
        floor = (np.log(of_first_bit) - np.log(p)) / (LENGTH - 1)
        assert rows["floor"].tolist() == pytest.approx(floor[rows["set"], rows["rank"]].tolist())
        assert set(rows["length"]) == {LENGTH - 1}
        assert (rows["ceiling"] * (LENGTH - 1) % 0.5).tolist() == pytest.approx([0] * 16)
    records = read_table(str(tmp_path / "new/zipf_records.parquet"))
    assert list(records) == list(RECORD)
    assert set(records["n_tokens"]) == set(records["prior_bits"]) == {LENGTH - 1}
    assert records["nll_bits"].tolist() == pytest.approx((table["loss"] * (LENGTH - 1) / np.log(2)).tolist())
    assert records["recall"].tolist() == pytest.approx(table["accuracy"].tolist())
    made_by = read_made_by(tmp_path / "new/zipf_records.parquet")
    assert made_by["command"] == "import-results"
    assert made_by["read"] == {str(path): sha256(path.read_bytes()).hexdigest() for path in read}


RUN = "zipf/evaluations/resample/seed2/by_sequence.parquet"
SETS = ("zipf/sequences/small/seed2.npz", "zipf/sequences/small/seed2_resample1.npz")


def run_with_a_switch(results, exponent=1.0):
    """A run as the workflow leaves it: the table of a condition's rows, and the two sets that it was made of."""
    rng = np.random.default_rng(1)
    sets = np.stack([sample_sequences(COUNT, LENGTH, rng) for _ in range(2)])
    p = zipf_probabilities(COUNT, exponent)
    entries = [(step, number, rank) for step in (30, 33, 50) for number in (0, 1) for rank in range(COUNT)]
    step, number, rank = (np.array(column) for column in zip(*entries, strict=True))
    counts = {"exposures": step * 3 + rank, "last_exposure_step": step - rank % 3}
    nll = rng.exponential(0.6, (len(step), LENGTH)).astype(np.float32)
    weighted = {"weighted_step": np.array([30, 33, 50]), "weighted_loss": np.zeros(3)}
    trajectory = {"step": step, "set": number, "rank": rank, "nll": nll} | counts | weighted
    run = {"condition": "resample", "architecture": "decoder", "seed": 2}
    table, _ = evaluate([trajectory], sets, p, 1, run)
    files = {}
    for path, sequences in zip(SETS, sets, strict=True):
        sampled = {"params": {"dataset": {"exponent": exponent}}} if path == SETS[0] else {}
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        write_arrays(str(results / path), {"sequences": sequences, "probabilities": p}, sampled)
        files[f"results/{path}"] = read_made_by(results / path)
    digests = {path: of["sha256"] for path, of in files.items()}
    files["results/zipf/trajectories/resample/seed2/step50.npz"] = {"sha256": "of no file that is read"}
    (results / RUN).parent.mkdir(parents=True)
    write_table(str(results / RUN), table, {"made_from": files, "made_from_earlier": digests})
    return table


def export(folder, results="results"):
    return main(["export-results", "resample/seed2", str(folder / "old"), "--results", str(folder / results)])


@pytest.mark.parametrize("exponent", [0, 1.0, 1.5])
def test_what_is_exported_is_imported_alike(tmp_path, exponent):
    table = run_with_a_switch(tmp_path / "results", exponent)
    assert export(tmp_path) == 0
    stored = pickle.loads((tmp_path / "old/resample_seed2_sequences.pkl").read_bytes())
    assert [each.shape for each in stored["sequences"]] == [(COUNT, LENGTH)] * 2
    assert stored["switch_start_iter"] == [0, 30]
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    again = read_table(str(tmp_path / "new/zipf_by_sequence.parquet"))
    pd.testing.assert_frame_equal(again, table)
    records = read_table(str(tmp_path / "new/zipf_records.parquet"))
    pd.testing.assert_frame_equal(records, sequence_records(table, "zipf", "transformer").reset_index(drop=True))


EARLIER = {"exposures": "presentations", "last_exposure_step": "last_presentation", "architecture": "model"}


def test_what_was_written_before_columns_were_renamed_is_read_alike(tmp_path):
    table = run_with_a_switch(tmp_path / "results")
    of_run = tmp_path / "results" / RUN
    write_table(str(of_run), table.rename(columns=EARLIER), read_made_by(of_run))
    assert export(tmp_path) == 0
    path = tmp_path / "old/resample_seed2.pkl"
    record = pickle.loads(path.read_bytes())
    for log in record["logs"]:
        assert not {*EARLIER.values()} & log["test_metrics"].keys()
        log["test_metrics"] = {EARLIER.get(name, name): values for name, values in log["test_metrics"].items()}
    path.write_bytes(pickle.dumps(record))
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "new/zipf_by_sequence.parquet")), table)


def made_again(path, length=LENGTH + 4):
    rng = np.random.default_rng(5)
    arrays = {"sequences": sample_sequences(COUNT, length, rng), "probabilities": zipf_probabilities(COUNT, 1.0)}
    write_arrays(str(path), arrays, read_made_by(path))


def note(results, **change):
    """Change what a run says that it was made of."""
    path = results / RUN
    write_table(str(path), read_table(str(path)), read_made_by(path) | change)


MADE_OF_ANOTHER = "by_sequence.parquet: made of another .*/{} than is there now; make it again"


@pytest.mark.parametrize("results", ["results", "archive/of 2026"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: made_again(results / SETS[0]), MADE_OF_ANOTHER.format(SETS[0])),
        (lambda results: made_again(results / SETS[0], LENGTH), MADE_OF_ANOTHER.format(SETS[0])),
        (lambda results: made_again(results / SETS[1]), MADE_OF_ANOTHER.format(SETS[1])),
        (lambda results: [made_again(results / path) for path in SETS], MADE_OF_ANOTHER.format(SETS[0])),
        (
            lambda results: note(results, made_from_earlier={f"results/{SETS[1]}": "of a training with others"}),
            MADE_OF_ANOTHER.format(SETS[1]),
        ),
        (
            lambda results: note(results, made_from={f"results/{SETS[0]}": {}}, made_from_earlier={}),
            MADE_OF_ANOTHER.format(SETS[0]),
        ),
        (
            lambda results: note(results, made_from={}, made_from_earlier={}),
            "by_sequence.parquet: does not say that it was made of zipf/sequences/",
        ),
        (lambda results: (results / SETS[1]).unlink(), f"/{SETS[1]}: no such file; .*by_sequence.parquet was made of"),
        (lambda results: (results / SETS[0]).write_bytes(b"cut off"), f"/{SETS[0]}: damaged"),
    ],
)
def test_a_run_is_exported_with_the_sequences_that_it_was_made_of_or_not_at_all(
    tmp_path, capsys, monkeypatch, results, change, message
):
    run_with_a_switch(tmp_path / results)
    monkeypatch.chdir(tmp_path)
    change(tmp_path / results)
    assert export(tmp_path, results) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.search(message, printed), printed
    assert str(tmp_path / results) in printed
    assert not (tmp_path / "old").exists()


def test_sequences_are_looked_for_in_the_folder_that_was_named(tmp_path, monkeypatch):
    table = run_with_a_switch(tmp_path / "archive/of 2026")
    run_with_a_switch(tmp_path / "results")
    for path in SETS:
        made_again(tmp_path / "results" / path)
    monkeypatch.chdir(tmp_path)
    assert export(tmp_path, "archive/of 2026") == 0
    assert main(["import-results", "old", "--to", "new"]) == 0
    pd.testing.assert_frame_equal(read_table("new/zipf_by_sequence.parquet"), table)


@pytest.mark.parametrize("name", ["resample_seed2.pkl", "resample_seed2_sequences.pkl"])
def test_an_export_takes_the_place_of_nothing(tmp_path, capsys, name):
    run_with_a_switch(tmp_path / "results")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / name).write_bytes(b"of years ago")
    assert export(tmp_path) == 1
    assert f"{name}: already exists; allowed: a folder without it" in capsys.readouterr().err
    assert [path.read_bytes() for path in (tmp_path / "old").iterdir()] == [b"of years ago"]


OTHERWISE = r"run.pkl, or its _sequences.pkl: not as the older scripts wrote it \(.+\)"
MEASURED = ("sequence_rank", "logsoftmaxloss", "accuracy")
WHOLE, ANY = "allowed: whole numbers from 0 on", "allowed: numbers from 0 on"
SHARE = "allowed: numbers from 0 to 1, shares and not percent"
ALLOWED = {
    "sequence_rank": "allowed: whole numbers from 0 to 39",
    "logsoftmaxloss": ANY,
    "accuracy": SHARE,
    "set": "allowed: whole numbers from 0 to 0",
    "exposures": WHOLE,
    "last_exposure_step": WHOLE,
    "suffix_loss": ANY,
    "suffix_accuracy": SHARE,
}
WRONG = [
    *((key, value, shown) for key in ALLOWED for value, shown in ((-1, "-1"), (-0.1, "-0.1"), (np.inf, "inf"))),
    *((key, np.nan, "nan") for key in ALLOWED if not key.startswith("suffix")),  # that one may be empty
    *((key, 0.5, "0.5") for key in ("sequence_rank", "set", "exposures", "last_exposure_step")),
    *(
        (key, value, shown)
        for key in ("accuracy", "suffix_accuracy")
        for value, shown in ((50.0, "50.0"), (1.01, "1.01"))
    ),
    ("sequence_rank", COUNT, "40"),
    ("set", 1, "1"),
]


def with_one(key, value):
    """Values that can be, and in their midst one that cannot."""
    values = list(range(COUNT)) if key == "sequence_rank" else [0] * COUNT
    return np.array([*values[:20], value, *values[21:]])


def distinct():
    return sample_sequences(COUNT, LENGTH, np.random.default_rng(3)).astype(int)


def repeated(row, other):
    sequences = distinct()
    sequences[row] = sequences[other]
    return sequences


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"metrics": {key: with_one(key, value)}}, f"{key}: {shown}; {ALLOWED[key]}") for key, value, shown in WRONG),
        ({"metrics": {"accuracy": np.zeros(COUNT, complex)}}, "epoch 0: accuracy: complex128; allowed: numbers from"),
        ({"metrics": {"accuracy": ["some"] * COUNT}}, "epoch 0: accuracy: str_; allowed: numbers from 0 to 1"),
        ({"metrics": {"accuracy": np.zeros(3)}}, "epoch 0: test_metrics: lengths .*accuracy 3; allowed: one length"),
        ({"metrics": {"set": np.zeros(3)}}, "epoch 0: test_metrics: lengths .*set 3; allowed: one length"),
        ({"metrics": dict.fromkeys(MEASURED, ())}, "test_metrics: lengths sequence_rank 0, .*; allowed: one length, 1"),
        ({"metrics": {"accuracy": 0.5}}, "epoch 0: accuracy: missing"),
        ({"metrics": {"sequence_rank": [3] * COUNT}}, "epoch 0: sequence_rank: 3 occurs twice; allowed: each"),
        ({"metrics": {"set": [0] * COUNT}}, "epoch 0: sequence_rank: 0 occurs twice; allowed: each sequence once"),
        ({"entries": {3: {"epoch": 1}}}, r"run.pkl: logs\[1\], logs\[3\]: epochs 1 and 1, both step 5; allowed: each"),
        (
            {"entries": {2: {"appearances": [0] * 15}, 3: {"appearances": [0] * 10}}},
            r"run.pkl: logs\[2\], logs\[3\]: epochs 2 and 3, both step 30; allowed: each once",
        ),
        *(
            ({"entries": {1: {"epoch": value}}}, f"run.pkl: epoch: {value}; allowed: whole numbers from 0 on")
            for value in (0.5, -1, np.nan)
        ),
        *(
            ({"entries": {0: {"num_apppearances": [value] * COUNT}}}, f"num_apppearances: {value}; allowed: whole")
            for value in (0.5, -1, np.inf)
        ),
        ({"entries": {0: {"num_apppearances": [1] * 9}}}, r"num_apppearances: \(9,\); allowed: \(40,\), as sequences"),
        *(
            ({"args": {"seed": value}}, f"run.pkl: args: seed: {shown}; allowed: whole numbers from 0 on")
            for value, shown in ((1.5, "1.5"), (-1, "-1"), (np.nan, "nan"), (1e300, r"1e\+300"), ("abc", "str_"))
        ),
        ({"args": {"condition": 3}}, "run.pkl: args: condition: int; allowed: text"),
        ({"record": {"args": {}}}, "run.pkl: logs: missing"),
        (
            {"record": {"args": {}, "logs": [{"epoch": 0, "test_metrics": {}}]}},
            "run.pkl: logs: no entry has test_metrics",
        ),
        ({"record": [1]}, "run.pkl: args: missing"),
        *(
            ({"args": {"exponent": value}}, f"run.pkl: args: exponent: {shown}; allowed: numbers from 0 to 189.7")
            for value, shown in ((400.0, "400.0"), (-1, "-1"), (np.nan, "nan"), ("1", "str_"))
        ),
        *(
            (
                {"stored": {"switch_start_iter": [0, value]}},
                f"switch_start_iter: {value}; allowed: whole numbers from 0",
            )
            for value in (2.5, -3)
        ),
        *(
            (
                {"stored": {"sequences": [distinct(), repeated(*rows)]}},
                f"sequences: {shown} of set 1 are equal; allowed",
            )
            for rows, shown in (((0, 1), "0 and 1"), ((37, 4), "4 and 37"), ((8, 39), "8 and 39"))
        ),
        ({"stored": {"sequences": [distinct() * 2 - 1, repeated(2, 5) * 2 - 1]}}, "2 and 5 of set 1 are equal"),
        ({"stored": {"sequences": [distinct() * 2 - 1, distinct()]}}, "values other than bits; allowed: 0 and 1, or"),
        (
            {"stored": {"switch_start_iter": [3, 5]}},
            r"run_sequences.pkl: switch_start_iter: \[3, 5\]; allowed: a rising",
        ),
        (
            {"stored": {"sequences": [np.zeros(3)]}},
            r"run_sequences.pkl: sequences: \[\(3,\)\]; allowed: arrays \(K, N\)",
        ),
        ({"stored": {"sequences": [np.full((COUNT, LENGTH), 7)] * 2}}, "run_sequences.pkl: sequences: values other"),
        ({"stored": {"sequences": None}}, OTHERWISE),
        ({"stored": {"switch_start_iter": 0}}, OTHERWISE),
        ({"stored": {"switch_start_iter": [[]]}}, OTHERWISE),
        ({"record": {"args": None, "logs": []}}, OTHERWISE),
        ({"record": {"args": {}, "logs": None}}, OTHERWISE),
        ({"record": {"args": {}, "logs": [1]}}, OTHERWISE),
        ({"record": {"args": {}, "logs": [{"epoch": 0, "test_metrics": [1]}]}}, OTHERWISE),
        ({"args": {"seed": [1, 2]}}, OTHERWISE),
        *(  # small files
            ({"stored": {"sequences": [huge] * 2}}, "_sequences.pkl: sequences: .*, of which the file has [0-9]+ bytes")
            for huge in (torch.zeros(1).expand(10**7, 10**6), torch.zeros(10**5).as_strided((10**4, 10**4), (1, 1)))
        ),
        ({"metrics": {"accuracy": torch.zeros(1).expand(10**13)}}, "epoch 0: accuracy: .*, of which the file has 4 b"),
        ({"stored": {"switch_start_iter": [torch.zeros(1).expand(10**13), 2]}}, "switch_start_iter: .*of which the fi"),
        ({"args": {"exponent": torch.zeros(1).expand(10**13)}}, "args: exponent: .*, of which the file has 4 bytes"),
    ],
)
def test_a_pair_that_is_not_what_it_should_be_is_one_line_and_writes_nothing(tmp_path, capsys, change, message):
    older(tmp_path / "old", **change)
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.search(message, printed), printed
    assert not (tmp_path / "new").exists()


def test_what_needs_more_memory_than_there_is_is_one_line(tmp_path, capsys, monkeypatch):
    older(tmp_path / "old")
    monkeypatch.setattr(older_results, "by_sequence", Mock(side_effect=MemoryError))
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 1
    said = f"{tmp_path}/old/run.pkl, or its _sequences.pkl: does not fit into memory"
    assert capsys.readouterr().err == f"memorization: {said}\n"
    assert not (tmp_path / "new").exists()


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_pickle_is_not_run_by_the_command(tmp_path, capsys):
    older(tmp_path / "old")
    (tmp_path / "old/run.pkl").write_bytes(pickle.dumps({"args": {}, "logs": [Hostile(tmp_path / "mark")]}))
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 1
    assert "run.pkl: refers to posix.system; allowed: numpy arrays" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            [("a", "run", {"condition": "x"}), ("b", "run", {"condition": "x"})],
            "/a/run.pkl, .*/b/run.pkl: both are of x",
        ),
        ([("", "x", {}), ("b", "run", {"condition": "x"})], "/b/run.pkl, .*/x.pkl: both are of x, seed 0"),
        ([("", n, {"condition": "x", "seed": s}) for n, s in (("m", 3), ("n", 4), ("o", 3))], "/m.pkl, .*/o.pkl: both"),
        (
            [("", "m", {"condition": "x", "seed": None}), ("", "n", {"condition": "x", "seed": 0})],
            "/m.pkl, .*/n.pkl: b",
        ),
    ],
)
def test_a_run_that_is_in_two_pairs_is_refused_and_both_are_named(tmp_path, capsys, pairs, message):
    for folder, name, args in pairs:
        older(tmp_path / "old" / folder, name, args)
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.search(message, printed), printed
    assert not (tmp_path / "new").exists()


def test_runs_that_differ_in_seed_or_folder_are_others(tmp_path, capsys):
    for folder, seed in (("a", 0), ("b", 0)):
        older(tmp_path / "old" / folder, "run", {"seed": seed})
        older(tmp_path / "old" / folder, "named", {"condition": "x", "seed": seed + (folder == "b")})
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    assert "4 runs" in capsys.readouterr().out


def rule_made(path):
    write_table(str(path), pd.DataFrame({"a": [1]}), {"rule": "zipf_table"})


@pytest.mark.parametrize("name", ["zipf_by_sequence.parquet", "zipf_records.parquet"])
@pytest.mark.parametrize(
    "make",
    [
        rule_made,
        lambda path: pd.DataFrame({"a": [1]}).to_parquet(path),
        lambda path: path.write_bytes(b"something"),
        lambda path: path.write_bytes(b""),
    ],
)
def test_an_import_takes_the_place_of_nothing_but_an_earlier_import(tmp_path, capsys, make, name):
    older(tmp_path / "old")
    target = tmp_path / "new" / name
    command = ["import-results", str(tmp_path / "old"), "--to", str(target.parent)]
    assert main(command) == 0
    first = target.read_bytes()
    assert main(command) == 0
    assert target.read_bytes() == first
    other = next(path for path in target.parent.iterdir() if path != target)
    other.unlink()
    make(target)
    content = target.read_bytes()
    capsys.readouterr()
    assert main(command) == 1
    assert capsys.readouterr().err.endswith(
        f"{target}: exists and was not made by import-results; allowed for --to: another folder\n"
    )
    assert target.read_bytes() == content
    assert not other.exists()


@pytest.mark.parametrize("to", ["results/tables", "results/imported/../tables", "link"])
def test_nothing_is_imported_to_where_rules_make_their_tables(tmp_path, capsys, monkeypatch, to):
    monkeypatch.chdir(tmp_path)
    older(tmp_path / "old")
    (tmp_path / "results/imported").mkdir(parents=True)
    (tmp_path / "link").symlink_to("results/tables")
    assert main(["import-results", "old", "--to", to]) == 1
    printed = capsys.readouterr().err
    assert printed == f"memorization: --to: {to}: the workflow's own tables are made there; allowed: another folder\n"
    assert not (tmp_path / "results/tables").exists()


def test_folders_and_runs_that_are_not_there_are_named(tmp_path, capsys):
    assert main(["import-results", str(tmp_path / "none")]) == 1
    assert "none: no such folder" in capsys.readouterr().err
    assert main(["import-results", str(tmp_path)]) == 1
    assert "no <name>.pkl with a <name>_sequences.pkl beside it" in capsys.readouterr().err
    run_with_a_switch(tmp_path / "results")
    assert main(["export-results", "medium/seed0", str(tmp_path / "o"), "--results", str(tmp_path / "results")]) == 1
    assert "runs that are there: resample/seed2" in capsys.readouterr().err
