import zlib

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from memorization.extraction.evaluation import Evaluated, joined
from memorization.extraction.source_format import source_table
from memorization.extraction.windows import as_arrays

WORDS = ["amber", "Birch", "coral", "Delta", "ember", "flint", "grove", "hazel"]
TOKENS = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [6, 7, 6, 7, 6, 7]], np.int32)
LENGTHS = [[2, 2], [4, 2]]  # fixed start: 0-2-4 and 0-4-6; fixed suffix: 2-4-6 and 0-4-6 again
ABOUT = {"model": "some", "revision": "", "seed": 2}
PACKING = {"copies": np.array([8, 0, 0], np.int32)}
NEVER, NAN = [-1, -1], float("nan")
COLUMNS = [
    "architecture", "model", "parameters", "revision", "seed", "window", "role", "data_type", "copies", "scheme",
    "protocol", "prefix_length", "suffix_length", "exact", "exact_float32", "matched_run", "biderman_score",
    "suffix_nll", "suffix_perplexity", "p_z", "log_p_z", "edit_distance", "bleu", "prefix", "suffix", "continuation",
]  # fmt: skip
OF_WINDOWS = [
    "condition", "architecture", "seed", "window", "role", "data_type", "copies", "exact", "nll", "perplexity",
    "zlib_bytes", "lowercase_nll", "lowercase_ratio", "zlib_ratio", "small_large_ratio", "window_min_perplexity",
    "min_k", "min_k_plus_plus",
]  # fmt: skip
FOUND = {
    "architecture": np.array("mamba"),
    "parameters": np.array(1234),
    "exact": np.array([[True, False, False, False], [False] * 4, [False, True, True, True]]),
    "exact_float32": np.array([[1, 0, 0, 0], [NAN] * 4, [NAN] * 4]),
    "matched_run": np.array([[2, 1, 0, 1], [0, 0, 1, 0], [1, 2, 2, 2]]),
    "biderman_score": np.array([[1, 0.5, 0.5, 0.5], [NAN] * 4, [0.5, 1, 1, 1]]),
    "suffix_nll": np.array([[0.1, 1.0, 2.0, 1.0], [3.0, 4.0, 5.0, 4.0], [0.5, 0.0, 0.0, 0.0]]),
    "log_p_z": np.array([[-0.2, -3.0, -4.0, -3.0], [-np.inf, -900.0, -6.0, -900.0], [-1.0, 0.0, 0.0, 0.0]]),
    "continuation": np.array(
        [[[2, 3], [4, 0], [5, 5], [4, 0]], [NEVER] * 4, [[6, 6], [6, 7], [6, 7], [6, 7]]], np.int32
    ),
    "nll": np.array([2.0, 3.0, 0.0]),
    "lowercase_nll": np.array([2.5, NAN, 1.0]),
    "min_k": np.array([-4.0, -5.0, -0.1]),
    "min_k_plus_plus": np.array([-1.0, -2.0, 0.5]),
    "window_min_perplexity": np.array([7.0, 20.0, 1.0]),
}


def arrays():
    """A tokenizer of whole words: what it decodes is these, with a space between."""
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return as_arrays(TOKENS, tokenizer.to_str(), len(WORDS))


def windows(roles=("planted", "planted", "control"), copies=(-1, -1, 0)):
    names, texts = ["code_000", "code_001", "prose_000"], [" ".join(WORDS[token] for token in row) for row in TOKENS]
    table = pd.DataFrame({"window": names, "data_type": ["code", "code", "prose"], "role": roles})
    return table.assign(copies=copies, text=texts, document="some", start=0)


@pytest.fixture(scope="module")
def run():
    return Evaluated(windows(), arrays(), PACKING, LENGTHS, ABOUT)


@pytest.fixture(scope="module")
def prompts(run):
    return run.prompts(FOUND)


def of(prompts, window, protocol, prefix):
    rows = prompts.set_index(["window", "protocol", "prefix_length"])
    return rows.loc[(window, protocol, prefix)]


def test_a_row_stands_for_a_window_and_a_prompt_with_the_columns_in_their_order(prompts):
    assert list(prompts) == COLUMNS
    assert prompts["window"].tolist() == np.repeat(["code_000", "code_001", "prose_000"], 4).tolist()
    assert prompts["protocol"].tolist() == (["fixed_start"] * 2 + ["fixed_suffix"] * 2) * 3
    assert prompts["prefix_length"].tolist() == [2, 4, 2, 4] * 3
    assert set(prompts["suffix_length"]) == {2}
    one = prompts.iloc[0]
    assert one[["architecture", "model", "parameters", "revision", "seed"]].tolist() == ["mamba", "some", 1234, "", 2]


def test_copies_are_those_of_the_seed_and_the_scheme_says_how_windows_were_sampled(prompts):
    per_window = prompts.drop_duplicates("window").set_index("window")
    assert per_window["copies"].tolist() == [8, 0, 0]
    assert per_window["scheme"].tolist() == ["planted", "planted", "uniform"]
    assert per_window["role"].tolist() == ["planted", "planted", "control"]


def test_texts_from_elsewhere_have_the_copies_of_their_table_and_are_sampled_uniformly():
    table = windows(roles=["text"] * 3, copies=(5, -1, 0))
    found = Evaluated(table, arrays(), None, LENGTHS, ABOUT).prompts(FOUND).drop_duplicates("window")
    assert found["copies"].tolist() == [5, -1, 0]
    assert set(found["scheme"]) == {"uniform"}


def test_what_the_attack_found_stands_at_its_window_and_prompt(prompts):
    row = of(prompts, "prose_000", "fixed_start", 2)
    assert (row["exact"], row["matched_run"], row["biderman_score"], row["suffix_nll"]) == (False, 1, 0.5, 0.5)
    row = of(prompts, "code_000", "fixed_suffix", 2)
    assert (row["exact"], row["exact_float32"], row["matched_run"], row["suffix_nll"]) == (False, 0, 0, 2.0)
    assert of(prompts, "code_000", "fixed_start", 2)["exact"]
    assert prompts["exact"].dtype == bool
    assert prompts["exact_float32"].notna().sum() == 4


def test_probabilities_are_those_of_the_logarithms_down_to_none_at_all(prompts):
    assert of(prompts, "code_000", "fixed_start", 4)["p_z"] == pytest.approx(np.exp(-3))
    assert of(prompts, "code_000", "fixed_start", 4)["suffix_perplexity"] == pytest.approx(np.e)
    unlikely = of(prompts, "code_001", "fixed_start", 4)
    assert unlikely["p_z"] == 0
    assert unlikely["log_p_z"] == -900
    assert of(prompts, "code_001", "fixed_start", 2)["log_p_z"] == -np.inf
    assert of(prompts, "prose_000", "fixed_start", 4)["p_z"] == 1
    assert prompts["p_z"].dtype == np.float64


def test_texts_are_those_of_the_cuts_of_the_prompt(prompts):
    row = of(prompts, "code_000", "fixed_start", 2)
    assert (row["prefix"], row["suffix"], row["continuation"]) == ("amber Birch", "coral Delta", "coral Delta")
    row = of(prompts, "code_000", "fixed_suffix", 2)
    assert (row["prefix"], row["suffix"], row["continuation"]) == ("coral Delta", "ember flint", "flint flint")
    row = of(prompts, "code_000", "fixed_start", 4)
    assert (row["prefix"], row["continuation"]) == ("amber Birch coral Delta", "ember amber")


def test_prompts_that_were_not_asked_have_no_row(run):
    matched = FOUND["matched_run"].copy()
    matched[1, 2] = -1
    table = run.prompts(FOUND | {"matched_run": matched})
    assert len(table) == 11
    assert (table["matched_run"] >= 0).all()
    assert ("code_001", "fixed_suffix", 2) not in table.set_index(["window", "protocol", "prefix_length"]).index
    assert table.index.tolist() == list(range(11))


def test_continuations_are_compared_by_tokens_where_there_are_any(prompts):
    assert of(prompts, "code_000", "fixed_start", 2)[["edit_distance", "bleu"]].tolist() == [0, 1]
    row = of(prompts, "code_000", "fixed_suffix", 2)  # flint flint for ember flint: one of two replaced
    assert row["edit_distance"] == 0.5
    assert row["bleu"] == pytest.approx(np.sqrt(1 / 2 * 1 / 2))  # one of two words; 0 + 1 of 1 + 1 pairs
    missing = prompts[prompts["window"] == "code_001"]
    assert missing[["edit_distance", "bleu", "biderman_score"]].isna().all(axis=None)
    assert set(missing["continuation"]) == {""}
    assert prompts.loc[prompts["window"] != "code_001", ["edit_distance", "bleu"]].notna().all(axis=None)


def test_of_suffixes_of_several_lengths_a_shorter_one_is_not_padded():
    found = FOUND | {"continuation": np.array([[[2, -1], [4, 5], [4, -1], [4, 5]]] * 3, np.int32)}
    table = Evaluated(windows(), arrays(), PACKING, [[2, 1], [4, 2]], ABOUT).prompts(found)
    assert of(table, "code_000", "fixed_start", 2)["continuation"] == "coral"
    assert of(table, "code_000", "fixed_start", 2)["edit_distance"] == 0
    assert of(table, "code_000", "fixed_suffix", 2)["suffix"] == "ember"
    assert of(table, "code_001", "fixed_start", 2)["edit_distance"] == 1


def test_scores_are_over_the_whole_window(run):
    small = {"nll": np.array([3.0, 1.5, 0.25])}
    table = run.scores(FOUND, small)
    assert list(table) == OF_WINDOWS
    assert table[["condition", "architecture", "seed"]].drop_duplicates().to_numpy().tolist() == [["some", "mamba", 2]]
    assert table["window"].tolist() == ["code_000", "code_001", "prose_000"]
    assert table["copies"].tolist() == [8, 0, 0]
    first, text = table.iloc[0], "amber Birch coral Delta ember flint"
    size = len(zlib.compress(text.encode()))
    assert first["zlib_bytes"] == size
    assert first["perplexity"] == pytest.approx(np.exp(2))
    assert first["zlib_ratio"] == pytest.approx(2.0 * 5 / np.log(2) / (8 * size))  # five tokens are scored
    assert first["lowercase_ratio"] == 1.25
    assert first["small_large_ratio"] == 1.5
    assert table["lowercase_nll"].isna().tolist() == table["lowercase_ratio"].isna().tolist() == [False, True, False]
    for name in ("nll", "min_k", "min_k_plus_plus", "window_min_perplexity"):
        np.testing.assert_array_equal(table[name], FOUND[name])


def test_a_window_is_exact_where_it_is_behind_the_longest_prefix(run):
    assert run.scores(FOUND, None)["exact"].tolist() == [False, False, True]
    other_order = Evaluated(windows(), arrays(), PACKING, LENGTHS[::-1], ABOUT)
    assert other_order.scores(FOUND, None)["exact"].tolist() == [True, False, False]


def test_a_run_in_the_source_s_columns_says_what_its_tables_say(run, prompts):
    table = source_table(prompts, run.scores(FOUND, None))
    assert table["memorized"].tolist() == [0, 0, 1]
    assert table["sample"].iloc[2] == "grove hazel grove hazelgrove hazel"
    np.testing.assert_allclose(table["PPL_XL"], np.exp([2, 3, 0]))


def test_shares_of_a_run_stand_one_behind_the_other():
    per_prompt, of_run = np.arange(6).reshape(3, 2), np.array(1234)
    shares = [{"exact": per_prompt[:2], "parameters": of_run}, {"exact": per_prompt[2:], "parameters": of_run}]
    found = joined(shares)
    np.testing.assert_array_equal(found["exact"], per_prompt)
    assert found["parameters"] == 1234
    assert joined([]) is None


def test_what_is_divided_by_is_never_less_than_a_millionth_of_a_nat(run):
    last = run.scores(FOUND, {"nll": np.array([3.0, 1.5, 0.25])}).iloc[-1]
    assert last["nll"] == 0
    assert last["lowercase_ratio"] == pytest.approx(1e6)
    assert last["small_large_ratio"] == pytest.approx(0.25e6)
    assert last["zlib_ratio"] == 0


def test_without_a_smaller_model_there_is_no_ratio_to_it(run):
    assert run.scores(FOUND, None)["small_large_ratio"].isna().all()
