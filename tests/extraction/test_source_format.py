import numpy as np
import pandas as pd
import pytest

from memorization.extraction.source_format import report, source_table

NAMES = [f"w{number}" for number in range(12)]


@pytest.fixture
def prompts():
    """Window 0 is reproduced, window 1 is not and was generated, the others were not generated."""
    longest = pd.DataFrame({"window": NAMES, "protocol": "fixed_start", "prefix_length": 48, "suffix_length": 16})
    longest = longest.assign(exact=[True] + 11 * [False], prefix="pre ", suffix="fix", continuation="")
    longest.loc[1, "continuation"] = "tend"
    others = [longest.assign(prefix_length=8, prefix="p"), longest.assign(protocol="fixed_suffix", prefix="q")]
    return pd.concat([*others, longest, longest.assign(suffix_length=8, suffix="f")], ignore_index=True)


@pytest.fixture
def scores():
    nll = 0.5 + np.arange(12) / 4
    scores = pd.DataFrame({"window": NAMES, "nll": nll, "perplexity": np.exp(nll), "lowercase_nll": 2.0})
    scores["exact"] = np.arange(12) == 0
    return scores.assign(zlib_bytes=100, small_large_ratio=np.where(np.arange(12) < 3, 1.5, np.nan))


def test_the_columns_are_the_source_s(prompts, scores):
    table = source_table(prompts, scores)
    assert list(table) == ["sample", "prompt", "suffix", "memorized", "PPL_XL", "PPL_S", "PPL_Lower", "Zlib"]
    assert table.loc[:2, "sample"].tolist() == ["pre fix", "pre tend", "pre "]
    assert table["memorized"].tolist() == [1] + 11 * [0]
    assert set(table["suffix"]) == {"fix"}


def test_perplexities_are_of_the_window(prompts, scores):
    row = source_table(prompts, scores).iloc[1]
    assert row["PPL_XL"] == pytest.approx(np.exp(0.75))
    assert row["PPL_S"] == pytest.approx(np.exp(0.75 * 1.5))
    assert row["PPL_Lower"] == pytest.approx(np.exp(2))
    assert row["Zlib"] == 100


def test_without_a_small_model_its_perplexity_is_unknown(prompts, scores):
    table = source_table(prompts, scores.assign(small_large_ratio=np.nan))
    assert table["PPL_S"].isna().all()
    part = report(table).split("======== top sample by ")[2]
    assert part.startswith("ratio of S and XL perplexities: ========\n")
    assert "score" not in part


def test_the_report_ranks_ten_samples_by_each_score(prompts, scores):
    table = source_table(prompts, scores).assign(sample=NAMES)
    parts = [part.split("========")[1].split("\n\n") for part in report(table).split("======== top sample by ")[1:]]
    ranked = [[entry.split("\n")[-1] for entry in part if "score=" in entry] for part in parts]
    assert ranked[0] == NAMES[:10]  # the cheapest first
    assert ranked[1] == NAMES[:3]  # all alike, in their order
    assert ranked[2] == NAMES[:10]
    assert ranked[3] == NAMES[:10]


def test_a_line_of_the_report_says_the_values_and_the_score(prompts, scores):
    text = report(source_table(prompts, scores))
    assert text.startswith("======== top sample by XL perplexity: ========\n1: PPL=1.649, score=-0.500\npre fix\n\n2: ")
    assert "1: PPL-XL=1.649, PPL-S=2.117, score=1.500\npre fix\n" in text
    assert "1: PPL-XL=1.649, PPL-XL-Lower=7.389, score=4.000\npre fix\n" in text
    assert "1: PPL-XL=1.649, Zlib=100.000, score=200.000\npre fix\n" in text


def test_a_window_that_costs_nothing_is_first_and_not_infinite(prompts, scores):
    scores.loc[5, ["nll", "perplexity"]] = [0.0, 1.0]
    table = source_table(prompts, scores).assign(sample=NAMES)
    assert "1: PPL-XL=1.000, Zlib=100.000, score=100000000.000\nw5\n" in report(table)
