import numpy as np
import pandas as pd
import pytest
from sections import complete

from memorization.memory_layer.figures.ablation import ablation_figure, cuts_figure
from memorization.memory_layer.figures.shared import colours

PLOTTING = complete()["style"] | {"palette": "colorblind", "heat_palette": "viridis"}
NAMES = ["memory", "one_head"]
SEEDS = (0, 1)


def of_runs(rows):
    """Rows for each condition and seed: a function of both, or the same."""
    runs = [(name, seed) for name in NAMES for seed in SEEDS]
    return pd.DataFrame(
        [
            {"condition": name, "seed": seed} | row
            for name, seed in runs
            for row in (rows(name, seed) if callable(rows) else rows)
        ]
    )


def xy(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found.get_xydata()


@pytest.fixture(scope="module")
def tables():
    most = {"memory": [0.01, 0.01, 0.1, 20.0], "one_head": [5.0, 5.0, 5.0, 5.0]}
    slots = of_runs(
        lambda name, seed: [
            {"mode": mode, "layer": 1, "slot": slot, "most_bits": bits if mode == "slot_mask" else 30.0}
            for mode in ("slot_mask", "value_zero")
            for slot, bits in enumerate(most[name])
        ]
    )
    positions = of_runs(
        lambda name, seed: (
            [
                {
                    "mode": "slot_mask",
                    "layer": 1,
                    "slot": slot,
                    "position": position,
                    "n": n,
                    "nll_change_bits": bits + seed,
                }
                for slot, position, n, bits in [(7, 0, 10, 1.0), (7, 1, 1, 2.0), (9, 1, 100, 0.5), (8, 0, 1, 0.1)]
            ]
            + [{"mode": "value_zero", "layer": 1, "slot": 1, "position": 0, "n": 1000, "nll_change_bits": 9.0}]
        )
    )
    parts = of_runs(
        lambda name, seed: [
            {"part": part, "layer": layer, "number": k, "n": n, "exact_before": 0.9, "exact_after": now + seed / 10}
            for part, layer, k, n, now in [
                ("own_slots", 1, 1, 30, 0.8), ("own_slots", 1, 8, 30, 0.4), ("own_slots", 1, 8, 10, 0.0),
                ("random_slots", 1, 1, 30, 0.88), ("random_slots", 1, 8, 30, 0.86), ("memory", 1, -1, 30, 0.0),
                ("values_random", 1, -1, 30, 0.1), ("keys_random", 1, -1, 30, 0.2), ("values_zero", 1, -1, 30, 0.0),
                ("head", 0, 0, 30, 0.3), ("head", 0, 1, 30, 0.5), ("head", 1, 0, 30, 0.6),
            ]
        ]
    )  # fmt: skip
    impact = of_runs(
        lambda name, seed: [
            {"mode": mode, "layer": 1, "slot": slot, "split": "train", "item": item, "position": position}
            | {"nll_change_bits": bits + seed}
            for mode, slot, item, position, bits in [
                ("slot_mask", 7, "a", 0, 1.0), ("slot_mask", 7, "a", 1, 2.0), ("slot_mask", 7, "b", 0, 4.0),
                ("slot_mask", 9, "b", 1, 0.5), ("slot_mask", 9, "c", 1, 0.75), ("slot_mask", 8, "a", 0, -1.0),
                ("value_zero", 9, "a", 0, 50.0),
            ]
        ]
    )  # fmt: skip
    return slots, positions, impact, parts


@pytest.fixture(scope="module")
def panels_of(tables):
    return ablation_figure(*tables, NAMES, PLOTTING)


def test_slots_are_a_falling_share_by_the_most_that_they_cost(panels_of):
    shares = xy(panels_of.axes[0], "memory")
    at = dict(zip(shares[:, 0].round(4), shares[:, 1], strict=True))
    assert at[0.001] == 1
    assert {share for bits, share in at.items() if 0.011 < bits < 0.09} == {0.5}
    assert {share for bits, share in at.items() if 0.11 < bits < 19} == {0.25}
    assert shares[-1, 0] < 20
    assert xy(panels_of.axes[0], "one_head")[-1, 1] == 1


def test_own_slots_are_solid_and_random_ones_dashed_means_over_splits_and_seeds(panels_of):
    ax = panels_of.axes[1]
    np.testing.assert_allclose(xy(ax, "memory own_slots"), [[1, 0.85], [8, 0.35]])
    np.testing.assert_allclose(xy(ax, "memory random_slots"), [[1, 0.93], [8, 0.91]])
    looks = {line.get_label(): line.get_linestyle() for line in ax.lines}
    assert (looks["one_head own_slots"], looks["one_head random_slots"]) == ("-", "--")
    assert ax.get_xticks().tolist() == [1, 8]


def test_parts_have_a_row_each_and_heads_one_a_layer(panels_of):
    ax = panels_of.axes[2]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["memory", "its values", "its keys", "a head,\nlayer 0", "a head,\nlayer 1"]
    colour = colours(NAMES, PLOTTING)["memory"]
    circles = [each for each in ax.collections if len(each.get_edgecolors()) and each.get_offsets().shape[0] > 1]
    circles = [each for each in circles if np.allclose(each.get_edgecolors()[0, :3], colour)]
    of_rows = {round(float(each.get_offsets()[0, 1])): sorted(each.get_offsets()[:, 0]) for each in circles}
    np.testing.assert_allclose(of_rows[0], [0, 0.1])
    np.testing.assert_allclose(of_rows[3], [0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(of_rows[4], [0.6, 0.7])
    bars = [line.get_xdata()[0] for line in ax.lines if np.allclose(line.get_color(), colour)]
    np.testing.assert_allclose(bars, [0.05, 0.9, 0.15, 0.9, 0.25, 0.9, 0.45, 0.9, 0.65, 0.9])


def test_heat_maps_are_of_the_first_seed_and_the_slots_that_cost_most_in_all(panels_of):
    ax = panels_of.axes[3]
    assert ax.get_title() == "memory"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["9", "7", "8"]
    values = np.ma.filled(ax.collections[0].get_array().astype(float), np.nan).reshape(3, 2)
    np.testing.assert_allclose(values, [[np.nan, 0.5], [1.0, 2.0], [0.1, np.nan]])
    assert panels_of.axes[5].get_title() == "one_head"


def test_answers_are_those_that_lose_most_to_these_slots_ordered_by_slot(panels_of):
    ax = panels_of.axes[4]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["c", "b", "a"]
    values = np.ma.filled(ax.collections[0].get_array().astype(float), np.nan).reshape(3, 3)
    np.testing.assert_allclose(values, [[0.75, 0.5, np.nan], [np.nan, 4.0, 3.0], [np.nan, np.nan, -1.0]])


def test_of_many_answers_those_that_lose_most_are_drawn(tables):
    slots, positions, impact, parts = tables
    of_slot_7 = impact.drop_duplicates("condition")
    many = pd.concat([of_slot_7.assign(item=f"item {n}", nll_change_bits=n / 10) for n in range(40)])
    figure = ablation_figure(slots, positions, many, parts, NAMES, PLOTTING)
    drawn = [label.get_text() for label in figure.axes[4].get_xticklabels()]
    assert drawn == [f"item {n}" for n in range(39, 15, -1)]


def test_cuts_are_shares_that_are_wrong_and_means_by_exposures():
    table = of_runs(
        lambda name, seed: (
            [
                {"cut": cut + seed, "flipped": flipped, "exposures": exposures}
                for cut, flipped, exposures in [(1, True, 1), (2, True, 2), (4, True, 7), (6, False, 9)]
            ]
            if name == "memory"
            else [{"cut": 1, "flipped": True, "exposures": 50}]
        )
    )
    figure = cuts_figure(table, NAMES, PLOTTING)
    sizes, exposed = figure.axes
    shares = xy(sizes, "memory")
    assert shares[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(shares[:, 1], [0.125, 0.375, 0.5, 0.625, 0.75, 0.75, 0.75])
    np.testing.assert_allclose(xy(sizes, "one_head")[:, 1], 1)
    np.testing.assert_allclose(xy(exposed, "memory"), [[1, 1.5], [2, 2.5], [7, 4.5], [9, 6.5]])
    np.testing.assert_allclose(xy(exposed, "one_head"), [[50, 1]])
    circles = [line for line in exposed.lines if line.get_marker() == "o"]
    full, open_, *_ = [(line.get_xdata().tolist(), line.get_markerfacecolor()) for line in circles]
    assert full == ([1, 2, 7], circles[0].get_color())
    assert open_ == ([9], "white")
    assert [text.get_text() for text in figure.legends[0].texts][:-1] == NAMES


def test_figures_of_models_that_know_nothing_are_drawn(tables):
    """A condition without a row in any table, and no cut at all, as when no answer is exact."""
    figure = ablation_figure(*tables, [*NAMES, "peer"], PLOTTING)
    assert figure.axes[7].get_title() == "peer"
    none = pd.DataFrame({"condition": [], "seed": [], "cut": [], "flipped": [], "exposures": []})
    figure = cuts_figure(none, NAMES, PLOTTING)
    figure.canvas.draw()
    assert [ax.get_xscale() for ax in figure.axes] == ["log", "log"]
