import numpy as np
import pandas as pd
import pytest

from memorization.extraction.analysis.pairs import difference_table, pooled_differences

PAIRS = [{"name": "mamba less neox", "conditions": ["mamba", "neox"]}]
WINDOWS = [("a", "planted", 1), ("b", "planted", 4), ("c", "planted", 4), ("d", "planted", 0), ("x", "control", 0)]
EXACT = {"mamba": [1, 1, 1, 0, 0], "neox": [1, 0, 1, 0, 0]}
RUN = {"mamba": [16, 16, 16, 2, 0], "neox": [16, 4, 16, 0, 1]}
P_Z = {"mamba": [1, 0.1, 0.1, 0, 0.01], "neox": [0.1, 0.0001, 0.1, 0, 0]}


def prompts(seed=0):
    tables = []
    for model in EXACT:
        table = pd.DataFrame(WINDOWS, columns=["window", "role", "copies"])
        with np.errstate(divide="ignore"):
            table["log_p_z"] = np.log(P_Z[model])
        table["scheme"] = np.where(table["role"] == "planted", "planted", "uniform")
        tables.append(table.assign(model=model, exact=np.array(EXACT[model], bool), matched_run=RUN[model]))
    where = {"seed": seed, "protocol": "fixed_start", "prefix_length": 8, "suffix_length": 16}
    return pd.concat(tables).assign(**where).sample(frac=1, random_state=seed)


def cell(table, copies, role="planted"):
    return table[(table["copies"] == copies) & (table["role"] == role)].iloc[0]


def test_the_same_windows_are_compared():
    row = cell(difference_table(prompts(), PAIRS), 4)
    assert (row["n"], row["only_first"], row["only_second"]) == (2, 1, 0)
    assert row["exact"] == 0.5
    assert row["matched_run"] == 6
    assert row["log10_p_z"] == pytest.approx(1.5)  # between 3 and 0


def test_all_windows_are_those_that_were_trained_on():
    table = difference_table(prompts(), PAIRS)
    row = cell(table, -1)
    assert row["n"] == 3
    assert row["exact"] == pytest.approx(1 / 3)
    assert row["log10_p_z"] == pytest.approx(1)  # the median of 1, 3 and 0
    assert set(table.loc[table["role"] == "control", "copies"]) == {0}


def test_two_impossible_suffixes_do_not_differ_and_one_differs_without_end():
    table = difference_table(prompts(), PAIRS)
    assert cell(table, 0)["log10_p_z"] == 0
    assert cell(table, 0, "control")["log10_p_z"] == np.inf


def test_the_other_order_is_the_negative():
    table = difference_table(prompts(), [{"name": "", "conditions": ["neox", "mamba"]}])
    row = cell(table, 4)
    assert (row["exact"], row["matched_run"], row["only_second"]) == (-0.5, -6, 1)
    assert row["log10_p_z"] == pytest.approx(-1.5)


def test_windows_that_one_condition_lacks_are_left_out():
    rows = prompts()
    rows = rows[~((rows["model"] == "neox") & (rows["window"] == "b"))]
    assert cell(difference_table(rows, PAIRS), 4)["n"] == 1


def test_other_copies_are_refused():
    rows = prompts()
    rows.loc[(rows["model"] == "neox") & (rows["window"] == "a"), "copies"] = 2
    with pytest.raises(ValueError, match="mamba less neox: copies differ between mamba and neox"):
        difference_table(rows, PAIRS)


def test_seeds_are_pooled_with_the_same_weight_and_an_interval_over_windows():
    less = prompts(1)
    less = less[less["window"] != "c"]
    both = pd.concat([prompts(0), less])
    row = cell(pooled_differences(both, PAIRS), -1)
    assert (row["n_seeds"], row["n"]) == (2, 5)
    assert row["exact"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert 0 <= row["low"] < row["exact"] < row["high"] <= 1
    assert difference_table(both, PAIRS)["seed"].nunique() == 2


def test_counts_are_whole_numbers():
    for make in (difference_table, pooled_differences):
        assert make(prompts(), PAIRS)[["copies", "prefix_length", "n", "only_first"]].dtypes.eq(int).all()


def test_rows_say_how_their_windows_were_sampled():
    for make in (difference_table, pooled_differences):
        of_role = make(prompts(), PAIRS).groupby("role")["scheme"].unique()
        assert {role: schemes.tolist() for role, schemes in of_role.items()} == {
            "control": ["uniform"],
            "planted": ["planted"],
        }


def test_texts_of_an_unknown_number_of_copies_count_once():
    unknown = prompts().assign(copies=-1)
    table = difference_table(unknown, PAIRS)
    assert (table["copies"] == -1).all()
    assert table["n"].sum() == len(unknown) / 2
