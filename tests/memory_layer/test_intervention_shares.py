import itertools

import numpy as np
import pandas as pd
import pytest

from memorization.memory_layer.intervention.shares import (
    ABLATED,
    NONE,
    contents_of,
    kind_shares,
    pair_shares,
    pooled_shares,
)
from memorization.memory_layer.intervention.substitutes import (
    clusters_of,
    correlation_table,
    dissimilarity,
    interaction,
    kept_matrix,
    substitutes_table,
)
from memorization.memory_layer.silhouettes import silhouette
from memorization.memory_layer.typed_tables import typed


def outcomes(rng, n, n_slots, n_positions, n_tokens):
    slot = rng.integers(n_slots, size=n)
    partner = (slot + rng.integers(1, n_slots, size=n)) % n_slots
    position, own, after = (rng.integers(most, size=n) for most in (n_positions, n_tokens, n_tokens))
    columns = {"slot": slot, "partner_slot": partner, "position": position, "own": own, "after": after}
    return pd.DataFrame(columns | {"change": rng.random(n)})


def test_chance_is_the_mean_over_all_other_slots():
    rng = np.random.default_rng(1)
    table = outcomes(rng, 400, 5, 2, 4)
    here, elsewhere = rng.integers(-1, 4, size=(2, 5, 2))
    found = pair_shares(table, here, elsewhere)
    for row in found.itertuples():
        of = table.query("slot == @row.slot and partner_slot == @row.partner_slot and position == @row.position")
        for contents, n, share, chance in (
            (here, row.n, row.partner_share, row.chance),
            (elsewhere, row.n_elsewhere, row.elsewhere_share, row.elsewhere_chance),
        ):
            wanted = contents[row.partner_slot, row.position]
            told = of[(of["own"] != wanted) & (wanted != NONE)]
            assert n == len(told)
            others = [contents[m, row.position] for m in range(5) if m not in (row.slot, row.partner_slot)]
            hits = [each.after == m for each in told.itertuples() for m in others if m not in (NONE, each.own)]
            if n:
                assert share == pytest.approx((told["after"] == wanted).mean())
            assert chance == pytest.approx(np.mean(hits) if hits else np.nan, nan_ok=True)
    assert found["chance"].notna().any()
    some = found[found["n"] > 0]
    np.testing.assert_allclose(some[["partner_share", "own_share", "neither_share"]].sum(axis=1), 1)
    np.testing.assert_allclose(some["excess"], some["partner_share"] - some["chance"])
    pooled = pooled_shares(found, ["position"]).set_index("position")
    for position, part in some.groupby("position"):
        expected = (part["partner_share"] * part["n"]).sum() / part["n"].sum()
        assert pooled.loc[position, "partner_share"] == pytest.approx(expected)
        of = table[table["position"] == position]
        assert pooled.loc[position, "kept_share"] == pytest.approx((of["after"] == of["own"]).mean())
        assert pooled.loc[position, "nll_change_bits"] == pytest.approx(of["change"].mean())


def test_contents_are_the_commonest_answers_here_and_at_other_positions():
    slot, position = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0, 1])
    here, elsewhere = contents_of(slot, position, np.array([3, 2, 5, 5, 1, 1]), 3, 2)
    assert here.tolist() == [[2, 5], [1, 1], [NONE, NONE]]
    assert elsewhere.tolist() == [[5, 2], [NONE, NONE], [NONE, NONE]]


def swap_of(kept, **columns):
    """A table ``swap`` of one position from a matrix of what is kept."""
    rows = [
        {"kind": "values", "layer": 1, "slot": 10 * i, "partner_slot": 10 * j, "position": 0, "n_examples": 4, "n": 0}
        | {"kept_share": kept[i, j], "nll_change_bits": -kept[i, j], "n_elsewhere": 0}
        for i, j in itertools.permutations(range(len(kept)), 2)
    ]
    nothing = ("partner_share", "own_share", "neither_share", "chance", "elsewhere_share", "elsewhere_chance")
    return pd.DataFrame(rows).assign(**dict.fromkeys(nothing, np.nan), **columns)


def test_planted_substitutes_are_found_and_shuffled_ones_are_not():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 4)[rng.permutation(12)]
    kept = np.where(group[:, None] == group, 0.9, 0.2) + 0.05 * rng.random((12, 12))
    found = substitutes_table(swap_of(kept), typed([], ABLATED), 99, rng)
    assert found["slot"].tolist() == [10 * n for n in range(12)]
    assert found["clusters"].unique().tolist() == [3]
    assert len({(g, c) for g, c in zip(group, found["cluster"], strict=True)}) == 3
    assert found["p"].unique() == found["smallest_p"].unique() == [0.01]
    in_order = found.sort_values("place")
    assert in_order["cluster"].is_monotonic_increasing
    assert sorted(found["place"]) == list(range(12))
    np.testing.assert_allclose(found["kept_share"], [np.delete(kept[n], n).mean() for n in range(12)])
    noise = [swap_of(rng.random((12, 12))) for _ in range(8)]
    of_noise = [substitutes_table(each, typed([], ABLATED), 19, rng)["p"].iloc[0] for each in noise]
    assert 0.25 < np.mean(of_noise) < 0.8


def test_what_a_slot_loses_to_all_is_no_cluster():
    rng = np.random.default_rng(2)
    effect, pair = rng.random(9), rng.random((9, 9))
    distances = np.where(np.eye(9), 0, effect[:, None] + effect + (pair + pair.T) / 9)
    without = np.where(np.eye(9), 0, (pair + pair.T) / 9)
    np.testing.assert_allclose(interaction(distances), interaction(without), atol=1e-12)
    i, j = np.triu_indices(9, 1)
    design = np.eye(9)[i] + np.eye(9)[j]
    fitted = design @ np.linalg.lstsq(design, distances[i, j])[0]
    left = distances[i, j] - fitted
    np.testing.assert_allclose(interaction(distances)[i, j], left - left.min(), atol=1e-12)
    assert clusters_of(np.zeros((3, 3)), 9, rng)["clusters"] == 1


def test_silhouettes_are_their_plain_formula():
    rng = np.random.default_rng(3)
    points, labels = rng.random(9), np.array([1, 1, 2, 2, 2, 3, 1, 2, 2])
    distances = np.abs(points[:, None] - points)
    widths = []
    for n in range(9):
        own = [distances[n, m] for m in range(9) if m != n and labels[m] == labels[n]]
        if not own:
            widths.append(0)
            continue
        a = np.mean(own)
        b = min(np.mean(distances[n, labels == other]) for other in set(labels) - {labels[n]})
        widths.append((b - a) / max(a, b))
    assert silhouette(distances, labels) == pytest.approx(widths)
    assert not silhouette(distances, np.ones(9)).any()


def test_dissimilarity_is_what_both_directions_lose():
    kept = np.array([[0, 0.5, 1.0], [0.7, 0, 0.2], [0.4, 0.0, 0]])
    matrix = kept_matrix(swap_of(kept))
    assert matrix.index.tolist() == matrix.columns.tolist() == [0, 10, 20]
    np.testing.assert_allclose(dissimilarity(matrix), [[0, 0.4, 0.3], [0.4, 0, 0.9], [0.3, 0.9, 0]])


def test_swap_and_ablation_are_correlated_over_slots():
    """What a swap and the ablation of the same slot break, measure by measure."""
    rng = np.random.default_rng(5)
    kept = np.repeat(np.linspace(1, 0, 8)[:, None], 8, axis=1)
    kept[5] = 1.0
    rows = [
        (1, 10 * n, ablation, rng.random(), rng.random()) for ablation in ("slot_mask", "value_zero") for n in range(8)
    ]
    ablated = pd.DataFrame(rows, columns=list(ABLATED))
    other_layer = ablated.assign(layer=0, kept_share=0.0)
    both = pd.concat([other_layer, ablated.sample(frac=1, random_state=0)])
    substitutes = substitutes_table(swap_of(kept), both, 9, rng)
    found = correlation_table(substitutes).set_index(["ablation", "measure"])
    assert len(found) == 4
    for ablation, of in ablated.groupby("ablation"):
        for measure, column, sign in (("answers", "kept_share", 1), ("bits", "nll_change_bits", -1)):
            ranks = pd.Series(sign * kept[:, 0]).rank(), of[column].reset_index(drop=True).rank()
            one = found.loc[(ablation, measure)]
            assert one["rho"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
            assert one["low"] < one["rho"] < one["high"]
            assert one["n"] == 8


def test_shares_of_kinds():
    table = pd.DataFrame({"kind": ["own", "own", "partner", "neither"], "chance": [0.0, 0.1, 0.1, 0.2], "of": 1})
    found = kind_shares(table, ["of"]).iloc[0]
    assert found[["partner_share", "own_share", "neither_share", "chance", "n"]].tolist() == [0.25, 0.5, 0.25, 0.1, 4]


def test_typed_tables_are_alike_with_rows_and_without():
    types = {"b": str, "a": float}
    some = typed([pd.DataFrame({"a": [1], "b": ["x"], "c": [0]}), pd.DataFrame({"b": ["y"], "a": [2]})], types)
    assert some.to_dict("list") == {"b": ["x", "y"], "a": [1.0, 2.0]}
    assert typed([], types).dtypes.to_dict() == some.dtypes.to_dict()
    run = {"condition": "some", "seed": 3}
    of_run, none = typed([some], types, run), typed([], types, run)
    assert of_run.iloc[1].to_dict() == run | {"b": "y", "a": 2.0}
    assert list(of_run) == ["condition", "seed", "b", "a"]
    assert none.empty
    assert none.dtypes.to_dict() == of_run.dtypes.to_dict()
