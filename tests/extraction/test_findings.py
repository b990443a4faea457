import numpy as np
import pandas as pd
import pytest

from memorization.extraction.findings import findings_table
from memorization.findings import COLUMNS

LEVEL = {"neox_s": 0.1, "neox_m": 0.3, "mamba_m": 0.5}
SIZES = {"neox_s": 2e5, "neox_m": 1e6, "mamba_m": 1.1e6}
PAIRS = [{"name": "mamba_m − neox_m", "conditions": ["mamba_m", "neox_m"]}]
COMPARED = {"comparison": "mamba_m − neox_m", "first": "mamba_m", "second": "neox_m"}
PLACE = {"protocol": "fixed_start", "prefix_length": 48, "suffix_length": 16}


def cell(model, seed, copies, exact, **others):
    row = {"architecture": model.split("_")[0], "model": model, "parameters": SIZES.get(model, 0), "revision": ""}
    row |= {"seed": seed, "data_type": "all", "role": "planted", "copies": copies, "scheme": "planted"} | PLACE
    row |= {"n_windows": 12, "exact": exact, "flipped": np.nan, "matched_run": 16 * exact}
    return row | {"extractable_10": exact + 0.01, "extractable_1000": exact + 0.2} | others


def rates(levels=LEVEL, seeds=(0, 1)):
    """Of the second seed all shares are larger by 0.04; shorter prefixes and the other protocol give less."""
    rows = []
    for model, level in levels.items():
        for seed in seeds:
            more = 0.04 * seed
            rows += [cell(model, seed, copies, level * copies / 8 + more) for copies in (0, 4, 8)]
            rows.append(cell(model, seed, 0, 0.01 + more, role="control", scheme="uniform"))
            for protocol, prefix, share in (("fixed_start", 8, 0.2), ("fixed_start", 48, 1), ("fixed_suffix", 48, 1)):
                where = {"protocol": protocol, "prefix_length": prefix}
                for data_type, times in (("all", 1), ("code", 0.5)):
                    of = where | {"data_type": data_type}
                    for scheme, factor in (("uniform", 1), ("by_copies", 1.4)):
                        exact = share * times * factor * level + more
                        rows.append(cell(model, seed, -1, exact, scheme=scheme, **of))
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def fits():
    rows = []
    for model, level in LEVEL.items():
        for seed in (0, 1):
            row = {"model": model, "seed": seed, "suffix_length": 16, "spearman": level + 0.1 * seed}
            row |= {"slope_copies": 2 + seed, "slope_prefix": 0.5, "copies_for_half": 16.0}
            rows += [row | {"protocol": "fixed_start"}, row | {"protocol": "fixed_suffix", "spearman": -1.0}]
            rows.append(row | {"protocol": "fixed_start", "suffix_length": 50, "copies_for_half": 64.0})
    return pd.DataFrame(rows).assign(scheme="planted")


def scores():
    """Of three seeds each of three windows is unseen in one and has 8 copies in the others, where it costs less."""
    rows = []
    for seed in (0, 1, 2):
        row = {"condition": "neox_m", "seed": seed}
        for number, window in enumerate("abc"):
            copies = 0 if number == seed else 8
            nll = 3 if number == seed else 1 + 0.1 * seed
            rows.append(row | {"window": window, "role": "planted", "copies": copies, "nll": nll})
        rows.append(row | {"window": "x", "role": "control", "copies": 0, "nll": 3 + 0.5 * seed})
    return pd.DataFrame(rows)


def difference():
    rows = []
    for seed in (0, 1):
        for copies, exact in ((-1, 0.2), (0, 0.0), (8, 0.4)):
            row = COMPARED | PLACE | {"seed": seed, "role": "planted", "copies": copies}
            row |= {"exact": exact + 0.1 * seed, "matched_run": 3 + seed}
            rows += [row, row | {"protocol": "fixed_suffix", "exact": 9.0}, row | {"prefix_length": 8, "exact": 9.0}]
        rows.append(row | {"role": "control", "copies": 0, "exact": 9.0})
    return pd.DataFrame(rows)


def membership():
    rows = []
    for score, auc in (("loss", 0.7), ("blind", 0.5)):
        for seed in (0, 1):
            row = {"condition": "neox_m", "seed": seed, "score": score, "copies": -1, "auc": auc + 0.1 * seed}
            row |= {"tpr_at_1_fpr": 0.2}
            rows += [row, row | {"copies": 2, "auc": auc - 0.1}, row | {"copies": 8, "auc": 1.0}]
    return pd.DataFrame(rows)


def forecast():
    """By the smaller model, by itself after 6, 45 and 90 of 100 steps."""
    rows = []
    for seed in (0, 1):
        for predictor, step, share in (
            ("neox_s", 100, 1.0),
            ("neox_m", 6, 0.06),
            ("neox_m", 45, 0.45),
            ("neox_m", 90, 0.9),
        ):
            row = {
                "condition": "neox_m",
                "predictor": predictor,
                "step": step,
                "share_of_training": share,
                "seed": seed,
            }
            precision = np.nan if step == 45 and seed else step / 100 - 0.2 * seed
            rows.append(row | {"precision": precision, "recall": step / 200, "base_rate": 0.25 + 0.1 * seed})
    return pd.DataFrame(rows)


def interference():
    """Of four windows those that are exact behind 0 and 64 tokens; one was never trained on."""
    rows = []
    for seed, of_distance in enumerate(({0: [1, 1, 0, 1], 64: [1, 0, 0, 1]}, {0: [1, 1, 1, 0], 64: [1, 1, 0, 0]})):
        for distance, exact in of_distance.items():
            for copies, value in zip((8, 1, -1, 0), exact, strict=True):
                rows.append(
                    {"condition": "mamba_m", "seed": seed, "copies": copies, "distance": distance, "exact": bool(value)}
                )
    return pd.DataFrame(rows)


def near_verbatim():
    columns = ("seed", "p_z", "mass", "bound")
    rows = [
        (0, 0.01, 0.1, 0.05),
        (0, 0.001, 0.001, 0.001),
        (0, 0.5, 0.5, 0.5),
        (1, 0.01, 1.0, 0.25),
        (1, 0.0, 0.3, 0.1),
    ]
    return pd.DataFrame(rows, columns=columns).assign(condition="mamba_m")


TABLES = {
    "rates": rates(), "scores": scores(), "fits": fits(), "difference": difference(), "membership": membership(),
    "forecast": forecast(), "interference": interference(), "near_verbatim": near_verbatim(),
}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    found = findings_table(TABLES, PAIRS, [["neox_s", "neox_m"]])
    assert tuple(found) == COLUMNS
    assert not found.duplicated(["finding", "condition"]).any()
    return found.set_index(["finding", "condition"])


def value(table, finding, condition):
    return table.loc[(finding, condition), "value"]


def test_levels_are_of_the_longest_prefix_by_copies(table):
    assert value(table, "exact, 8 copies", "mamba_m") == pytest.approx(0.5 + 0.02)
    assert value(table, "exact, 4 copies", "neox_m") == pytest.approx(0.15 + 0.02)
    assert value(table, "exact, 0 copies", "neox_m") == pytest.approx(0.02)
    row = table.loc[("exact, 8 copies", "neox_s")]
    assert (row["n"], row["unit"], row["seeds"]) == (2, "share of windows", "0:0.1 1:0.14")
    assert row["low"] < 0.1 < 0.14 < row["high"]


def test_controls_stand_apart_from_planted_windows_of_no_copies(table):
    assert value(table, "exact, controls", "neox_m") == pytest.approx(0.01 + 0.02)
    assert value(table, "tokens right in a row, controls", "neox_m") == pytest.approx(16 * 0.03)


def test_levels_are_of_both_ways_to_weigh_windows_and_of_each_data_type(table):
    assert value(table, "exact, uniform, all", "mamba_m") == pytest.approx(0.52)
    assert value(table, "exact, by copies, all", "mamba_m") == pytest.approx(0.72)
    assert value(table, "exact, uniform, code", "mamba_m") == pytest.approx(0.27)
    assert value(table, "drawn at least once in 10 draws with probability 1/2", "mamba_m") == pytest.approx(0.53)
    assert value(table, "drawn at least once in 1000 draws with probability 1/2", "mamba_m") == pytest.approx(0.72)


def test_prefixes_are_of_both_protocols(table):
    found = "exact, fixed {}, prefix of {}, suffix of 16"
    assert value(table, found.format("start", 8), "mamba_m") == pytest.approx(0.12)
    assert value(table, found.format("start", 48), "mamba_m") == pytest.approx(0.52)
    assert value(table, found.format("suffix", 48), "mamba_m") == pytest.approx(0.52)


def test_the_larger_model_of_an_architecture_is_compared_with_the_smaller_in_pairs(table):
    row = table.loc[("exact, uniform, all, difference", "neox_m - neox_s")]
    assert row["value"] == pytest.approx(0.2)
    assert row["high"] - row["low"] < 1e-9  # the same in both seeds
    assert not any("tenfold" in finding for finding, _ in table.index)  # of two sizes there is no slope


def test_three_sizes_have_a_slope():
    levels = {"neox_s": 0.1, "neox_m": 0.3, "neox_l": 0.5}
    sizes = {"neox_s": 1e5, "neox_m": 1e6, "neox_l": 1e7}
    of_sizes = rates(levels, seeds=[0]).assign(parameters=lambda rows: rows["model"].map(sizes))
    found = findings_table({"rates": of_sizes, "scores": scores(), "fits": fits()}, [], [])
    (row,) = found[found["finding"] == "exact per tenfold parameters"].to_dict("records")
    assert (row["condition"], row["n"]) == ("neox", 1)
    assert row["value"] == pytest.approx(0.2)


def test_fits_are_of_the_prompts_that_begin_with_the_window(table):
    assert value(table, "Spearman's correlation of copies and exact, suffix of 16", "neox_m") == pytest.approx(0.35)
    assert value(table, "log-odds of exact for a doubling of copies, suffix of 16", "neox_m") == 2.5
    assert value(table, "log-odds of exact for 16 tokens of prefix more, suffix of 16", "neox_m") == 0.5
    assert value(table, "copies for a rate of 1/2, suffix of 16", "neox_m") == 16
    assert value(table, "copies for a rate of 1/2, suffix of 50", "neox_m") == 64


def test_pairs_differ_by_copies_behind_the_longest_prefix(table):
    condition = "mamba_m - neox_m"
    assert value(table, "exact, all trained on, difference", condition) == pytest.approx(0.25)
    assert value(table, "exact, 8 copies, difference", condition) == pytest.approx(0.45)
    assert value(table, "exact, 0 copies, difference", condition) == pytest.approx(0.05)
    assert value(table, "tokens right in a row, difference", condition) == 3.5


def test_each_score_has_its_own_row(table):
    assert value(table, "AUC of loss", "neox_m") == pytest.approx(0.75)
    assert value(table, "AUC of blind", "neox_m") == pytest.approx(0.55)
    assert value(table, "members found at 1% false positives by loss", "neox_m") == pytest.approx(0.2)


def test_members_of_the_fewest_copies_have_rows_of_their_own(table):
    assert value(table, "AUC of loss, 2 copies", "neox_m") == pytest.approx(0.6)
    assert value(table, "members found at 1% false positives by loss, 2 copies", "neox_m") == pytest.approx(0.2)
    assert not any("AUC of loss, 8" in finding for finding, _ in table.index)


def test_memory_is_what_a_window_costs_less_than_without_it_by_copies_and_of_controls(table):
    row = table.loc[("counterfactual memorization, 8 copies", "neox_m")]
    assert (row["n"], row["unit"], row["seeds"]) == (3, "nats per token", "0:2 1:1.9 2:1.8")
    assert value(table, "counterfactual memorization, controls", "neox_m") == pytest.approx(0)
    assert table.loc[("counterfactual memorization, controls", "neox_m"), "seeds"] == "0:0.5 1:0.5 2:-1"
    assert not any("memorization, 0 copies" in finding for finding, _ in table.index)


def test_decisions_that_half_precision_flips_are_a_finding_where_they_were_checked(table):
    assert not any("float32" in finding for finding, _ in table.index)
    checked = rates().assign(flipped=np.nan)
    of_all = (checked["scheme"] == "uniform") & (checked["copies"] == -1) & (checked["model"] == "neox_s")
    checked.loc[of_all, "flipped"] = np.where(checked.loc[of_all, "prefix_length"] == 48, 0.02, 0.9)
    found = findings_table(TABLES | {"rates": checked}, PAIRS, [])
    (row,) = found[found["finding"] == "exact, decided otherwise in float32"].to_dict("records")
    assert (row["condition"], row["value"], row["unit"]) == ("neox_s", pytest.approx(0.02), "share of decisions")


def test_forecasts_are_of_the_smaller_model_and_of_half_of_the_training(table):
    assert value(table, "precision of neox_s", "neox_m") == pytest.approx(0.9)
    assert value(table, "recall of neox_s", "neox_m") == pytest.approx(0.5)
    assert value(table, "recall of 45 steps", "neox_m") == pytest.approx(0.225)
    row = table.loc[("precision of 45 steps", "neox_m")]
    assert (row["value"], row["n"]) == (0.45, 1)  # the other seed foretells nothing
    assert ("precision of 6 steps", "neox_m") not in table.index
    assert value(table, "memorized at the end", "neox_m") == pytest.approx(0.3)


def test_interference_is_of_windows_that_were_or_may_have_been_trained_on(table):
    assert value(table, "exact behind 0 tokens", "mamba_m") == pytest.approx((2 / 3 + 1) / 2)
    assert value(table, "exact behind 64 tokens", "mamba_m") == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert value(table, "exact behind 64 tokens less behind 0", "mamba_m") == pytest.approx(-1 / 3)
    assert ("exact behind 0 tokens less behind 0", "mamba_m") not in table.index


def test_nearly_verbatim_text_is_told_by_the_median_window_that_can_be_drawn(table):
    row = table.loc[("mass within one token over p_z, median", "mamba_m")]
    assert (row["value"], row["unit"]) == (1, "powers of ten")  # 0 and 2
    assert value(table, "lower bound as a share of the mass, median", "mamba_m") == pytest.approx((1 + 0.25) / 2)


def test_tables_that_there_are_not_have_no_findings():
    texts = rates({"neox_s": 0.1}, seeds=[0]).query("copies == -1 and scheme == 'uniform'").assign(role="text")
    no_fits = fits().assign(spearman=np.nan).iloc[:0]
    of_texts = scores().query("seed == 0").assign(role="text", copies=-1)
    found = findings_table({"rates": texts, "scores": of_texts, "fits": no_fits}, [], [])["finding"]
    assert "exact, uniform, all" in set(found)
    assert not found.str.contains("controls|copies|AUC|behind|precision|Spearman|counterfactual").any()
