import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sections import complete, plotting

from memorization.zipf.figures import LN2, comparison_figure, swap_figure

COMPARISON, SWAP = (plotting(complete(), "zipf", name) for name in ("comparison", "swap"))


@pytest.fixture
def runs():
    rows = [
        (condition, seed, step, 0.7 / (1 + step) + 0.2, 0.2, 0.5 + seed * 0.1)
        for condition in ("a", "b", "c") for seed in range(3) for step in (0, 10, 100)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["condition", "seed", "step", "weighted_loss", "floor", "suffix_accuracy"])
    return table.assign(set=0, switch_start_step=0)


def test_comparison_shows_each_condition_its_floor_and_chance(runs):
    figure = comparison_figure(runs, [{"name": "one", "conditions": ["a", "b"]}], COMPARISON)
    loss, accuracy = figure.axes
    assert any(np.allclose(line.get_ydata(), 0.2) for line in loss.lines)
    assert any(np.allclose(line.get_ydata(), LN2) for line in loss.lines)
    assert [text.get_text() for text in accuracy.get_legend().texts] == ["a", "b"]
    mean = next(line for line in accuracy.lines if line.get_linewidth() == 1.6)
    assert mean.get_ydata().tolist() == pytest.approx([0.6, 0.6])
    assert len([line for line in accuracy.lines if line.get_linewidth() == 0.6]) == 6


def test_floors_that_differ_have_the_colours_of_their_conditions(runs):
    runs.loc[runs["condition"] == "b", "floor"] = 0.3
    loss = comparison_figure(runs, [{"name": "one", "conditions": ["a", "b"]}], COMPARISON).axes[0]
    for floor, condition in ((0.2, 0), (0.3, 1)):
        line = next(line for line in loss.lines if np.allclose(line.get_ydata(), floor))
        mean = [line for line in loss.lines if line.get_linewidth() == 1.6][condition]
        assert to_hex(line.get_color()) == to_hex(mean.get_color())


def test_conditions_of_one_panel_have_colours_of_their_own(runs):
    comparisons = [{"name": "one", "conditions": ["a", "b"]}, {"name": "two", "conditions": ["a", "b", "c"]}]
    for ax in comparison_figure(runs, comparisons, COMPARISON).axes[2:]:
        colours = [to_hex(line.get_color()) for line in ax.lines if line.get_linewidth() == 1.6]
        assert len(set(colours)) == len(colours)
        assert colours[0] == to_hex("black")


SWAPS = ("none", "attention", "mlp", "mlp_head", "all")


def swapped(conditions, before=0.0):
    """Accuracies that tell swap, set and seed; the models from before the switch differ by ``before`` a condition."""
    rows = [
        (condition, seed, swap, number, place / 10 + number / 100 + seed / 1000, before * i * (swap == "all"))
        for i, condition in enumerate(conditions) for seed in range(3)
        for place, swap in enumerate(SWAPS) for number in (0, 1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["condition", "seed", "swap", "set", "suffix_accuracy", "suffix_loss"])


def bars(ax):
    """The means by place, from left to right."""
    lines = [line for line in ax.lines if line.get_marker() == "_"]
    points = [(x, y, to_hex(line.get_color())) for line in lines for x, y in line.get_xydata()]
    return sorted(points)


def test_swaps_are_drawn_by_what_is_put_back_for_the_set_before_and_after_the_switch():
    figure = swap_figure(swapped("ab", before=0.1), ["a", "b"], SWAP)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["set before the switch", "set after it"]
    shown = [text.get_text() for text in figure.axes[2].get_xticklabels()]
    assert shown == ["nothing", "attention", "MLP", "MLP\nand head", "all"]
    for ax, number in zip(figure.axes[:2], (1, 2), strict=True):  # of sets 0, 1, 2
        assert [round(x) for x, *_ in bars(ax)] == sorted([0, 1, 2, 3, 4] * 2)
        means = [swap / 10 + number / 100 + 0.001 for swap in (0, 1, 2, 3, 4) for _ in "ab"]
        assert [y for _, y, _ in bars(ax)] == pytest.approx(means)
        circles = sorted(y for points in ax.collections[::2] for _, y in points.get_offsets())
        assert len(circles) == 30
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["a", "b", "chance", "Bayes floor"]


def test_a_model_that_conditions_go_on_from_is_drawn_once():
    figure = swap_figure(swapped("ab"), ["a", "b"], SWAP)
    for ax in figure.axes:
        *others, (x, _, colour) = bars(ax)
        assert (len(others), round(x, 9), colour) == (8, 4, "#000000")
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["a", "b", "the same in several conditions", "chance", "Bayes floor"]
