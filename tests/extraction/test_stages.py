import numpy as np
import pandas as pd
import pytest
import torch
from extraction_models import known_windows, tiny

from memorization.extraction import stages
from memorization.extraction.attack import attack
from memorization.extraction.prompts import prompts
from memorization.extraction.stages import AttackedRun

N, PREFIX, LENGTH = 13, 6, 10
LENGTHS = [[3, 4], [PREFIX, 4]]
SETTINGS = {
    "lengths": LENGTHS, "temperature": 0.9, "top_k": 8, "min_k": 0.2, "window_min": 5, "batch_tokens": 60,
}  # fmt: skip
COPIES = np.array([0, 0, 0, 1, 1, 1, 8, 8, 8, 64, 0, 0, 0], np.int32)  # the last three are controls
RUN = ["condition", "architecture", "seed"]
KINDS = ["window", "role", "data_type", "copies", "scheme"]
PLACES = [("a", 0), ("a", 5), ("a", 40), ("b", 2), ("b", 13), ("c", 0), ("c", 20), ("c", 30), ("d", 1), ("e", 3)]
PLACES += [("e", 30), ("f", 0), ("f", 20)]


def table():
    """Windows side by side in documents; of two data types."""
    documents, starts = zip(*PLACES, strict=True)
    columns = {"window": [f"w{n:02}" for n in range(N)], "document": documents, "start": starts, "copies": -1}
    columns["data_type"] = ["code" if name in "abcf" else "prose" for name in documents]
    return pd.DataFrame(columns).assign(role=["planted"] * 10 + ["control"] * 3)


@pytest.fixture(scope="module")
def tokens():
    """Every other window is one that the one model goes on with."""
    of_both = [known_windows(tiny(architecture), N, 3, LENGTH) for architecture in ("neox", "mamba")]
    return np.where(np.arange(N)[:, None] % 2, *of_both)


def of(architecture, tokens, condition="some", windows=None):
    about = {"condition": condition, "architecture": architecture, "seed": 1}
    run = table() if windows is None else windows, {"tokens": tokens}, {"copies": COPIES}
    return AttackedRun(tiny(architecture), *run, SETTINGS, about, "local")


@pytest.fixture(scope="module", params=["neox", "mamba"])
def run(request, tokens):
    return of(request.param, tokens)


def plain(run):
    """The longest prompt's results of the attack itself, by window."""
    found = attack(run.model, run.tokens, SETTINGS, np.zeros(N, bool))
    place = next(n for n, prompt in enumerate(prompts(LENGTHS)) if prompt.prefix_length == PREFIX)
    return pd.DataFrame(
        {name: found[name][:, place] for name in ("exact", "matched_run", "log_p_z")}, table()["window"]
    )


@pytest.mark.parametrize("n_windows", [2, 4, 6, 9])
def test_a_sample_has_as_many_windows_of_each_number_of_copies_as_it_goes(run, n_windows):
    rows = run.sample(n_windows, "some purpose")
    assert rows.tolist() == sorted({*rows})
    assert len(rows) == n_windows
    taken = pd.Series(COPIES[rows]).value_counts().reindex([0, 1, 8, 64], fill_value=0)
    there = pd.Series({0: 3, 1: 3, 8: 3, 64: 1})
    assert taken[taken < there].min() + 1 >= taken.max()  # none has two more than one that has windows left
    assert rows.max() < 10  # no control


def test_a_sample_may_be_all_windows_but_controls(run):
    assert run.sample(100, "some purpose").tolist() == list(range(10))


def test_samples_are_the_same_for_all_conditions_and_others_for_another_stage(tokens):
    one, other = of("neox", tokens), of("mamba", tokens, "another")
    rows = one.sample(4, "interference")
    assert rows.tolist() == other.sample(4, "interference").tolist()
    assert any(rows.tolist() != one.sample(4, f"purpose {n}").tolist() for n in range(5))


def test_a_window_behind_nothing_is_attacked_as_ever(run):
    found, expected = run.interference(7, [0]), plain(run)
    assert list(found) == [*RUN, *KINDS, "distance", "exact", "matched_run", "log_p_z"]
    expected = expected.loc[found["window"]]
    assert found["exact"].tolist() == expected["exact"].tolist()
    assert found["matched_run"].tolist() == expected["matched_run"].tolist()
    np.testing.assert_allclose(found["log_p_z"], expected["log_p_z"], rtol=1e-5)
    assert np.isfinite(found["log_p_z"]).any()
    windows = table().assign(copies=COPIES, scheme="planted")
    assert found[KINDS].equals(windows.loc[run.sample(7, "interference"), KINDS].reset_index(drop=True))


@pytest.fixture
def fillers(monkeypatch):
    """The tokens that stood before windows, a table a distance."""
    seen, real = [], stages.behind

    def spied(model, tokens, filler, settings):
        seen.append(filler)
        return real(model, tokens, filler, settings)

    monkeypatch.setattr(stages, "behind", spied)
    return seen


def whole_windows(filler, tokens):
    """Rows of the windows whose last tokens, or all, a filler of 23 ends with."""
    ends = [(slice(0, 3), slice(LENGTH - 3, LENGTH)), (slice(3, 13), slice(LENGTH)), (slice(13, 23), slice(LENGTH))]
    return [
        {row for row in range(N) if np.array_equal(filler[here], tokens[row, of_window])} for here, of_window in ends
    ]


def test_windows_behind_other_text_are_asked_with_it_before_them(run, fillers):
    found, rows = run.interference(5, [0, 4, 23]), run.sample(5, "interference")
    assert found["distance"].tolist() == np.repeat([0, 4, 23], 5).tolist()
    assert [each.shape for each in fillers] == [(5, 0), (5, 4), (5, 23)]
    for number, row in enumerate(rows):
        text = np.concatenate([fillers[2][number], run.tokens[row]]).astype(np.int64)
        logits = run.model.logits(torch.from_numpy(text)[None])[0]
        right = [int(logits[23 + at - 1].argmax()) == text[23 + at] for at in range(PREFIX, LENGTH)]
        of_row = found[found["distance"] == 23].iloc[number]
        assert of_row["exact"] == all(right)
        assert of_row["matched_run"] == [*right, False].index(False)


def test_what_stands_nearest_to_a_window_is_the_same_at_all_distances(run, fillers):
    run.interference(5, [23, 4, 11])
    np.testing.assert_array_equal(fillers[1], fillers[0][:, -4:])
    np.testing.assert_array_equal(fillers[2], fillers[0][:, -11:])


def test_what_stands_before_a_window_are_controls_of_other_documents(run, fillers):
    """Of document e are a planted window, 9, and the first control, 10."""
    rows = run.sample(6, "interference")
    run.interference(6, [23])
    assert 9 in rows
    for row, filler in zip(rows, fillers[0], strict=True):
        allowed = {11, 12} if row == 9 else {10, 11, 12}
        assert all(found & allowed for found in whole_windows(filler, run.tokens)), row
    assert len({tuple(filler) for filler in fillers[0]}) > 1


def test_where_there_are_no_controls_other_windows_that_are_not_attacked_stand_before_one(tokens, fillers):
    run = of("neox", tokens, windows=table().assign(role="text"))
    rows = run.sample(4, "interference")
    run.interference(4, [23])
    documents = [name for name, _ in PLACES]
    for row, filler in zip(rows, fillers[0], strict=True):
        allowed = {other for other in range(N) if other not in rows and documents[other] != documents[row]}
        assert all(found & allowed for found in whole_windows(filler, tokens)), row


def test_where_all_windows_are_attacked_any_other_one_stands_before_a_window(tokens, fillers):
    run = of("neox", tokens, windows=table().assign(role="text"))
    assert len(run.interference(N, [0, 23])) == 2 * N
    for row, filler in enumerate(fillers[1]):
        assert all(found - {row} for found in whole_windows(filler, tokens)), row


def test_other_text_is_the_same_for_all_conditions(tokens, fillers):
    for run in (of("neox", tokens), of("mamba", tokens, "another")):
        run.interference(5, [23])
    np.testing.assert_array_equal(*fillers)


def test_near_verbatim_text_is_at_least_as_likely_as_the_text_and_its_bound(run):
    found, expected = run.near_verbatim(6, 2, exact=True), plain(run)
    assert list(found) == [*RUN, *KINDS, "p_z", "mass", "bound"]
    assert found[RUN].drop_duplicates().to_numpy().tolist() == [["some", run.about["architecture"], 1]]
    np.testing.assert_allclose(found["p_z"], np.exp(expected["log_p_z"].loc[found["window"]]), rtol=1e-4)
    assert (found["p_z"] <= found["bound"]).all()
    assert (found["bound"] <= found["mass"] * (1 + 1e-9)).all()
    assert (found["p_z"] < found["bound"]).any()
    assert (found["bound"] < found["mass"]).any()
    every = run.near_verbatim(6, run.model.vocabulary - 1, exact=True)
    np.testing.assert_allclose(every["bound"], every["mass"])


def test_where_the_mass_takes_too_many_passes_the_bound_stands_alone(run):
    found, exact = run.near_verbatim(3, 2, exact=False), run.near_verbatim(3, 2, exact=True)
    assert found["mass"].isna().all()
    pd.testing.assert_frame_equal(found.drop(columns="mass"), exact.drop(columns="mass"))


SIZES = {"a": 70, "b": 60, "c": 90, "d": 30, "e": 50, "f": 40}


@pytest.fixture(scope="module")
def documents(tokens):
    """Windows where the table says, other tokens around them."""
    rng = np.random.default_rng(0)
    found = {name: rng.integers(40, size=size).astype(np.int32) for name, size in SIZES.items()}
    for row, (name, start) in enumerate(PLACES):
        found[name][start : start + LENGTH] = tokens[row]
    return found


def test_a_map_asks_all_along_a_document_each_prefix_alone(run, documents):
    found = run.map(documents, 1, 1000, 7)
    assert list(found) == [*RUN, "document", "data_type", "start", "log10_p_z", "exact", "copies", "distance"]
    part = found[found["document"] == "c"]
    assert part["start"].tolist() == list(range(0, 81, 7))
    for row in part.itertuples():
        text = documents["c"][None, row.start : row.start + LENGTH]
        expected = attack(run.model, text, SETTINGS | {"lengths": [[PREFIX, 4]]}, np.zeros(1, bool))
        assert row.exact == expected["exact"][0, 0]
        assert row.log10_p_z == pytest.approx(expected["log_p_z"][0, 0] / np.log(10), rel=1e-4)


def test_a_map_says_which_planted_window_a_prompt_overlaps_most(run, documents):
    for row in run.map(documents, 9, 1000, 1).itertuples():
        nearest = copies = overlap = None
        for (name, start), count in zip(PLACES, COPIES, strict=True):
            if name != row.document or not count:
                continue
            shared = len({*range(start, start + LENGTH)} & {*range(row.start, row.start + LENGTH)})
            if nearest is None or abs(row.start - start) < abs(nearest):
                nearest = row.start - start
            if shared and (overlap is None or shared > overlap):
                copies, overlap = count, shared
        assert row.copies == (copies or 0), row
        assert row.distance == nearest, row


def test_documents_of_a_map_are_those_with_the_most_copies_that_are_short_enough(run, documents):
    def chosen(*arguments):
        return run.map(documents, *arguments, 20)["document"].drop_duplicates().tolist()

    assert chosen(1, 1000) == ["c", "e"]  # 1 + 8 + 8 of code, 64 of prose
    assert chosen(2, 1000) == ["c", "b", "e", "d"]
    assert chosen(1, 80) == ["b", "e"]
    assert chosen(9, 1000) == ["c", "b", "e", "d"]  # a and f hold nothing that was trained on
    with pytest.raises(ValueError, match=r"^map: no planted document has at most 29 tokens; allowed: a larger max_tok"):
        chosen(1, 29)
