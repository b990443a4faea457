import numpy as np
import pandas as pd
import pytest

from memorization.extraction.analysis.membership import (
    auc,
    membership,
    membership_table,
    recall_at_errors,
    tpr_at_fpr,
)
from memorization.extraction.analysis.membership_scores import blind, counterfactual, lira

RNG = np.random.default_rng(0)


def test_auc_counts_pairs_and_half_of_the_ties():
    scores, member = np.array([3, 1, 2, 2, 0]), np.array([True, True, False, False, False])
    assert auc(scores, member) == pytest.approx((3 + 1) / 6)
    assert auc([1, 1, 1], [True, False, False]) == 0.5
    assert np.isnan(auc([1, 2], [True, True]))


def test_auc_is_that_of_all_pairs():
    scores, member = RNG.integers(0, 9, 60).astype(float), RNG.random(60) < 0.4
    scores[7] = np.nan
    won = [
        (one > other) + (one == other) / 2
        for one in scores[member & ~np.isnan(scores)]
        for other in scores[~member & ~np.isnan(scores)]
    ]
    assert auc(scores, member) == pytest.approx(np.mean(won))


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_the_true_positive_rate_is_the_best_of_all_thresholds_that_keep_to_the_false_positives(fpr):
    scores, member = RNG.integers(0, 900, 600).astype(float), RNG.random(600) < 0.3
    rates = [
        (scores[member] >= threshold).mean()
        for threshold in [*scores, 1000]
        if (scores[~member] >= threshold).mean() <= fpr
    ]
    assert tpr_at_fpr(scores, member, fpr) == max(rates)


def test_recall_counts_right_guesses_before_the_last_allowed_error():
    scores = np.array([9, 8, 7, 6, 5, 4, 3])
    right = np.array([True, False, True, False, True, False, True])
    assert recall_at_errors(scores, right, 1) == 1 / 4
    assert recall_at_errors(scores, right, 2) == 2 / 4
    assert recall_at_errors(scores, right, 3) == 3 / 4
    assert recall_at_errors(scores, right, 4) == 1  # there are not so many wrong ones
    assert recall_at_errors([1, 1], [True, False], 1) == 0
    assert np.isnan(recall_at_errors(scores, np.zeros(7, bool), 1))


def test_recall_is_that_of_a_list_of_guesses_read_from_the_top():
    """As the public benchmark counts: down to the last guess before the error that is one too many."""
    scores, right = RNG.permutation(300).astype(float), RNG.random(300) < 0.3
    for errors in (1, 7, 100):
        wrong = found = 0
        for guess in right[np.argsort(-scores)]:
            wrong += not guess
            if wrong == errors:
                break
            found += guess
        assert recall_at_errors(scores, right, errors) == found / right.sum()


def planted(condition="neox_s", seeds=(0, 1, 2), windows=("a", "b", "c"), controls=("x", "y")):
    """Window n is unseen in seed n; a seen window is cheaper by its copies."""
    rows = []
    for seed in seeds:
        for number, window in enumerate(windows):
            copies = 0 if number == seed else 2
            row = {"role": "planted", "copies": copies, "nll": 3 + 0.1 * seed + 0.01 * number - copies}
            rows.append(row | {"seed": seed, "window": window})
        for number, window in enumerate(controls):
            row = {"role": "control", "copies": 0, "nll": 3 + 0.1 * seed * (-1) ** number}
            rows.append(row | {"seed": seed, "window": window})
    scores = pd.DataFrame(rows).assign(condition=condition)
    ratios = ["zlib_ratio", "lowercase_ratio", "min_k", "min_k_plus_plus", "window_min_perplexity"]
    columns = dict.fromkeys(ratios, 1.0) | {"small_large_ratio": np.nan}
    return scores.assign(**columns, architecture="neox", exact=False)


def test_a_window_is_measured_against_the_model_that_never_saw_it():
    scores = planted().sample(frac=1, random_state=0)
    found = scores.assign(lira=lira(scores)).set_index(["window", "seed"])
    sigma = 0.1  # the standard deviation of 3, 3.1, 3.2
    assert found.loc[("a", 1), "lira"] == pytest.approx((3.0 - 1.1) / sigma)  # a is unseen in seed 0
    assert found.loc[("a", 2), "lira"] == pytest.approx((3.0 - 1.2) / sigma)
    assert found.loc[("c", 0), "lira"] == pytest.approx((3.22 - 1.02) / sigma)
    assert np.isnan(found.loc[("a", 0), "lira"])


def test_a_control_is_measured_against_the_next_seed():
    scores = planted()
    found = scores.assign(lira=lira(scores)).set_index(["window", "seed"])["lira"]
    np.testing.assert_allclose(found["x"], [1, 1, -2])
    np.testing.assert_allclose(found["y"], [-1, -1, 2])


OFFSETS = np.array([0, 2, -0.5])  # of seeds, in nats


def test_what_a_seed_says_of_all_windows_alike_changes_no_likelihood_ratio():
    scores = planted()
    moved = scores.assign(nll=scores["nll"] + OFFSETS[scores["seed"]])
    np.testing.assert_allclose(lira(moved), lira(scores), atol=1e-9)
    assert (counterfactual(moved) - counterfactual(scores)).abs().max() == pytest.approx(2.5)


def test_seeds_that_differ_as_a_whole_and_remember_nothing_tell_no_member():
    """Members have two out-models, controls one: offsets of seeds would tell them apart in part."""
    scores = planted(windows=[*"abc"], controls=[f"x{n}" for n in range(4)]).assign(nll=3.0)
    moved = scores.assign(nll=3 + OFFSETS[scores["seed"]])
    for seed in (0, 1, 2):
        run = moved["seed"] == seed
        member = membership(moved[run]).to_numpy()
        chosen = ~np.isnan(member)
        assert auc(lira(moved)[run][chosen], member[chosen] == 1) == 0.5
        assert auc(counterfactual(moved)[run][chosen], member[chosen] == 1) in (0.25, 0.75)


def test_a_window_is_remembered_by_what_it_costs_less_than_in_the_run_that_never_saw_it():
    scores = planted().sample(frac=1, random_state=0)
    found = scores.assign(gain=counterfactual(scores)).set_index(["window", "seed"])["gain"]
    assert found[("a", 1)] == pytest.approx(3.0 - 1.1)  # nats per token, of no deviation
    assert found[("c", 0)] == pytest.approx(3.22 - 1.02)
    assert np.isnan(found[("b", 1)])  # this run did not see it
    np.testing.assert_allclose(found["x"].sort_index(), [0.1, 0.1, -0.2])


def test_without_controls_seeds_are_not_centred_and_memory_is_measured_still():
    alone = planted(controls=())
    assert lira(alone).isna().all()
    assert counterfactual(alone).notna().sum() == 6
    assert counterfactual(planted(seeds=(0, 1))).isna().all()


def test_runs_one_below_another_keep_their_own_scores():
    two = pd.concat([planted(), planted("mamba_s").assign(nll=lambda rows: 2 * rows["nll"])])  # row labels stand twice
    shuffled = two.sample(frac=1, random_state=0)
    found = shuffled.assign(lira=lira(shuffled)).set_index(["condition", "window", "seed"])["lira"]
    assert found[("neox_s", "a", 1)] == pytest.approx((3.0 - 1.1) / 0.1)
    np.testing.assert_allclose(found["mamba_s"], found["neox_s"].reindex(found["mamba_s"].index))


def test_two_seeds_and_texts_have_no_likelihood_ratio():
    assert lira(planted(seeds=(0, 1))).isna().all()
    both = pd.concat([planted(seeds=(0, 1)), planted("mamba_s")], ignore_index=True)
    assert lira(both).notna().groupby(both["condition"]).any().tolist() == [True, False]
    texts = planted(windows=("t",), controls=()).assign(role="text", copies=4)
    beside = pd.concat([planted(), texts], ignore_index=True)
    assert lira(beside)[beside["role"] == "text"].isna().all()


def test_the_blind_baseline_finds_words_of_members_and_nothing_where_there_is_nothing():
    tokens, member = RNG.integers(0, 50, (300, 20)), np.arange(300) < 100
    assert abs(auc(blind(tokens, member, np.random.default_rng(1)), member) - 0.5) < 0.1
    tokens[member, 0] = 60
    assert auc(blind(tokens, member, np.random.default_rng(1)), member) > 0.95


def test_the_blind_baseline_has_not_seen_the_windows_that_it_judges():
    """Each window has tokens of its own: whoever looked at a window itself would tell them all."""
    tokens, member = np.arange(400).reshape(100, 4), np.arange(100) < 50
    odds = blind(tokens, member, np.random.default_rng(0))
    assert np.unique(np.round(odds, 9)).size <= 5
    assert abs(auc(odds, member) - 0.5) < 0.01


def test_too_few_windows_have_no_blind_baseline():
    assert np.isnan(blind(np.arange(12).reshape(4, 3), np.array([True, False, False, False]), RNG)).all()


def test_planted_windows_that_the_run_never_saw_are_neither():
    scores = planted(seeds=(0,))
    np.testing.assert_array_equal(membership(scores), [np.nan, 1, 1, 0, 0])


def test_texts_are_judged_where_nothing_is_planted():
    texts = pd.DataFrame({"condition": "hubble", "seed": 0, "role": "text", "copies": [0, 4, -1]})
    np.testing.assert_array_equal(membership(texts), [0, 1, np.nan])
    mixed = pd.concat([texts, planted("hubble", (0,))], ignore_index=True)
    assert membership(mixed)[:3].isna().all()


@pytest.fixture(scope="module")
def table():
    windows = [*(f"p{n}" for n in range(30)), *(f"c{n}" for n in range(120))]
    scores = []
    for seed in (0, 1, 2):
        copies = np.r_[np.where(np.arange(30) % 3 == seed, 0, 1 + (np.arange(30) >= 15)), np.zeros(120, int)]
        role = ["planted"] * 30 + ["control"] * 120
        nll = 3 - copies + 1e-3 * np.random.default_rng(seed).standard_normal(150)
        nll[-1] = 9.0
        rows = planted(seeds=(seed,), windows=windows, controls=()).assign(role=role, copies=copies, nll=nll)
        rows = rows.assign(exact=(copies == 2) | (nll == 9))  # and one control, the costliest
        scores.append(rows.assign(min_k=-nll, zlib_ratio=nll, lowercase_ratio=-nll))
    return membership_table(pd.concat(scores), windows, np.random.default_rng(3).integers(0, 30, (150, 8)))


def test_each_score_has_its_rows_by_copies_and_larger_speaks_for_membership(table):
    row = table.set_index(["seed", "score", "copies"]).loc[(0, "loss", -1)]
    assert (row["n_members"], row["n_non_members"]) == (20, 120)
    good = table[table["score"].isin(["loss", "min_k", "zlib_ratio", "lowercase_ratio", "lira"])]
    assert (good[["auc", "tpr_at_1_fpr"]] == 1).all(axis=None)
    loss = table[(table["score"] == "loss") & (table["seed"] == 0)]
    assert loss[["copies", "n_members"]].values.tolist() == [[-1, 20], [1, 10], [2, 10]]
    flat = table[table["score"].isin(["min_k_plus_plus", "window_min_perplexity"])]
    assert (flat["auc"] == 0.5).all()
    assert set(table.loc[table["score"] == "lira", "seed"]) == {0, 1, 2}


def test_recall_is_of_all_that_is_reproduced_whoever_is_a_member(table):
    """Ten windows of two copies and a control are; the control comes last, those of one copy are wrong guesses."""
    loss = table[(table["score"] == "loss") & (table["seed"] == 1)].set_index("copies")["recall_at_100_errors"]
    assert loss.to_dict() == {-1: 10 / 11, 1: 0, 2: 10 / 11}
    flat = table[(table["score"] == "min_k_plus_plus") & (table["copies"] == -1)]
    assert (flat["recall_at_100_errors"] == 0).all()


def test_rows_say_how_members_were_sampled(table):
    assert set(table["scheme"]) == {"planted"}
    texts = planted(seeds=(0,)).assign(role="text", copies=[0, 4, 4, 0, 0])
    found = membership_table(texts, list(texts["window"]), np.zeros((5, 3), int))
    assert set(found["scheme"]) == {"uniform"}


def test_a_score_that_a_run_does_not_have_has_no_row(table):
    assert "small_large_ratio" not in set(table["score"])
    assert "blind" in set(table["score"])
    alone = planted(seeds=(0,))
    found = membership_table(alone, list(alone["window"]), np.zeros((5, 3), int))
    assert "lira" not in set(found["score"])


def test_where_all_is_unknown_the_table_is_empty_and_has_its_columns(table):
    texts = planted(seeds=(0,)).assign(role="text", copies=-1)
    empty = membership_table(texts, list(texts["window"]), np.zeros((5, 3), int))
    assert len(empty) == 0
    assert list(empty) == list(table)
