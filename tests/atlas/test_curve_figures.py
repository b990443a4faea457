"""Recall against exposures and time, of drawn items."""

import numpy as np
import pandas as pd
import pytest
from sections import complete, plotting

from memorization.atlas.exposures import Curve, exposure_table, recall_curve
from memorization.atlas.figures.curves import exposure_figure, timing_figure

CONDITIONS = [["one", "small"], ["one", "large"], ["two", "small"]]
CHANCE = {"one": 0.5, "two": 0.1}
MIDPOINTS = dict(zip(map(tuple, CONDITIONS), (8.0, 32.0, 4.0), strict=True))


@pytest.fixture(scope="module")
def drawn():
    """Records at their last step, and their curves; an item waits for as many steps as it was seen often."""
    parts = []
    for (family, condition), e50 in MIDPOINTS.items():
        for seed in range(3):
            rng = np.random.default_rng(seed)
            exposures = np.repeat(2 ** np.arange(8), 20)
            recall = rng.binomial(50, recall_curve(exposures, CHANCE[family], Curve(0.05, 2.0, e50))) / 50
            part = pd.DataFrame({"exposures": exposures, "recall": recall, "item": np.arange(160).astype(str)})
            run = {"family": family, "arm": "toy", "condition": condition, "seed": seed, "step": 1000, "nll_bits": 1.0}
            part = part.assign(**run, chance=CHANCE[family], last_exposure_step=1000 - exposures, phase="train")
            held_out = part.iloc[:3].assign(exposures=0, last_exposure_step=0, phase="held_out", item=["u", "v", "w"])
            parts += [part, held_out]
    records = pd.concat(parts, ignore_index=True)
    return records, exposure_table(records, CONDITIONS)


def places(ax):
    """Where the bars of means stand."""
    return [
        (x, y)
        for line in ax.lines
        if line.get_marker() == "_"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_a_panel_a_family_with_chance_points_and_fits_and_a_row_a_condition(drawn):
    figure = exposure_figure(*drawn, CONDITIONS, plotting(complete(), "atlas", "exposure"))
    one, two, rows = figure.axes
    assert [one.get_title(), two.get_title()] == ["one", "two"]
    for ax, chance, n in ((one, 0.5, 2), (two, 0.1, 1)):
        assert any(np.allclose(line.get_ydata(), chance) for line in ax.lines)
        assert [text.get_text() for text in ax.get_legend().texts][-2:] == ["chance", "items never seen"]
        assert len(ax.get_legend().texts) == n + 2
        unseen = [line for line in ax.lines if line.get_marker() == "D"]
        assert len(unseen) == n
        for line in unseen:  # at the left edge, a seed each: the held-out items are as the first three that were seen
            assert line.get_xdata().tolist() == [0.0] * 3
            assert len({*line.get_ydata()}) > 1
        assert min(x for x, _ in places(ax)) >= 1  # never without an exposure
        assert len([line for line in ax.lines if len(line.get_xdata()) == 100]) == 3 * n
    assert [label.get_text() for label in rows.get_yticklabels()] == ["one: small", "one: large", "two: small"]
    assert "E50" in rows.get_xlabel()
    found = [line.get_xdata()[0] for line in rows.lines]
    assert len(found) == 9
    np.testing.assert_allclose(found, np.repeat(list(MIDPOINTS.values()), 3), rtol=0.3)
    figure.canvas.draw()


def test_what_has_no_curve_says_so_and_a_bound_is_a_triangle(drawn):
    records, curves = drawn
    curves = curves.assign(e50_is=["at most"] * 3 + ["at least"] * 3 + ["no curve"] * 3)
    figure = exposure_figure(records, curves, CONDITIONS, plotting(complete(), "atlas", "exposure"))
    rows = figure.axes[-1]
    assert [line.get_marker() for line in rows.lines] == ["<"] * 3 + [">"] * 3
    assert [text.get_text() for text in rows.texts] == ["all items as often: no curve"]
    assert not [line for ax in figure.axes[:2] for line in ax.lines if len(line.get_xdata()) == 100]


def test_beyond_what_exposures_foretell_there_is_nothing_where_time_does_not_count(drawn):
    figure = timing_figure(*drawn, CONDITIONS, plotting(complete(), "atlas", "timing"))
    upper, lower = figure.axes[:2], figure.axes[2:]
    for ax in upper:  # who waits long was seen often, here
        points = sorted(places(ax))
        assert points[-1][1] > points[0][1] + 0.2
    for ax in lower:
        assert "since the last exposure" in ax.get_xlabel()
        assert np.abs([y for _, y in places(ax)]).max() < 0.1
    figure.canvas.draw()


def test_time_that_counts_is_seen_beyond_exposures(drawn):
    records, curves = drawn
    trained = records["phase"] == "train"
    waits = np.where(np.arange(len(records)) % 2, 0, 99)
    forgets = records.assign(
        last_exposure_step=records["step"] - waits, recall=records["recall"] - np.where(trained & (waits > 0), 0.2, 0)
    )
    figure = timing_figure(forgets, curves, CONDITIONS, plotting(complete(), "atlas", "timing"))
    for ax in figure.axes[2:]:
        by_wait = pd.DataFrame(places(ax)).groupby(0)[1].mean()
        assert by_wait.iloc[-1] < by_wait.iloc[0] - 0.15


def test_runs_without_a_midpoint_foretell_nothing(drawn):
    records, curves = drawn
    figure = timing_figure(
        records, curves.assign(e50_is="at most"), CONDITIONS, plotting(complete(), "atlas", "timing")
    )
    assert not [each for ax in figure.axes[2:] for each in places(ax)]
    assert [each for ax in figure.axes[:2] for each in places(ax)]
