import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from memorization.configuration import figure_settings
from memorization.plotting import save, style
from memorization.provenance import ROOT
from memorization.zipf.figures import LN2, comparison_figure, curves_figure

PLOTTING = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["plotting"]
CURVES, COMPARISON = (figure_settings(PLOTTING, name) for name in ("zipf_curves", "zipf_comparison"))


@pytest.fixture
def table():
    rows = []
    p = np.array([0.5, 0.3, 0.2])
    for condition in ("a", "b"):
        for seed in range(2):
            for step in (0, 1, 10, 100):
                for rank in range(3):
                    loss = LN2 / (1 + step)
                    rows.append((condition, seed, step, rank, step * (3 - rank), loss, 0.9, loss / 2, 0.95))
    columns = [
        "condition",
        "seed",
        "step",
        "rank",
        "presentations",
        "loss",
        "accuracy",
        "suffix_loss",
        "suffix_accuracy",
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(floor=-np.log(p[table["rank"]]) / 8, ceiling=0.9, length=8)


@pytest.mark.parametrize("measure", ["loss", "accuracy"])
def test_curves_have_labels_floors_and_chance(table, measure):
    figure = curves_figure(table, measure, ["a", "b"], [0, 2], CURVES)
    assert len(figure.axes) == 6
    assert [ax.get_title() for ax in figure.axes[:2]] == ["a", "b"]
    for ax in (figure.axes[0], figure.axes[2], figure.axes[4]):
        assert measure in ax.get_ylabel()
    assert figure.axes[4].get_xlabel() == "presentations of the sequence"
    chance = LN2 if measure == "loss" else 0.5
    assert any(np.allclose(line.get_ydata(), chance) for line in figure.axes[0].lines)
    if measure == "loss":
        floor = -np.log(0.5) / 8
        assert any(np.allclose(line.get_ydata(), floor) for line in figure.axes[0].lines)
        assert figure.axes[4].lines[0].get_ydata().tolist() == pytest.approx(table["floor"].unique().tolist())
    assert {text.get_text() for text in figure.legends[0].texts} >= {"rank 0", "rank 2", "chance"}


def test_limits_hold_all_that_is_drawn_unless_they_say_otherwise(table):
    table.loc[(table["condition"] == "b") & (table["step"] == 1), "loss"] = 5.0
    free = curves_figure(table, "loss", ["a", "b"], [0, 2], CURVES)
    assert free.axes[0].get_ylim()[1] > 5
    assert free.axes[1].get_ylim() == free.axes[0].get_ylim()
    bound = curves_figure(table, "loss", ["a", "b"], [0, 2], CURVES | {"loss": [0.1, None], "presentations": [3, 50]})
    assert bound.axes[1].get_ylim()[0] == 0.1
    assert bound.axes[1].get_ylim()[1] > 5
    assert bound.axes[5].get_xlim() == (3, 50)


def test_curves_follow_the_chosen_ranks_over_the_steps(table):
    ax = curves_figure(table, "loss", ["a"], [1], CURVES).axes[0]
    mean = next(line for line in ax.lines if line.get_linewidth() == 1.6)
    assert mean.get_xdata().tolist() == [2, 20, 200]
    assert mean.get_ydata().tolist() == pytest.approx([LN2 / 2, LN2 / 11, LN2 / 101])


@pytest.mark.parametrize(
    ("conditions", "ranks"), [(["a"], list(range(10))), (["a"], [0]), (["a", "b"], list(range(10)))]
)
def test_the_legend_lies_inside_the_figure(table, conditions, ranks):
    figure = curves_figure(table, "loss", conditions, ranks, CURVES)
    with style(CURVES):
        FigureCanvasAgg(figure).draw()
    legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= legend.x0 <= legend.x1 <= page.x1
    assert page.y0 <= legend.y0 <= legend.y1 <= page.y1
    assert legend.y1 <= min(ax.get_tightbbox().y0 for ax in figure.axes)


@pytest.fixture
def runs():
    rows = [
        (condition, seed, step, 0.7 / (1 + step) + 0.2, 0.2, 0.5 + seed * 0.1)
        for condition in ("a", "b", "c") for seed in range(3) for step in (0, 10, 100)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["condition", "seed", "step", "weighted_loss", "floor", "suffix_accuracy"])


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


def test_a_figure_is_written_alike_each_time_and_says_what_made_it(table, tmp_path):
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = {ext: str(tmp_path / folder / f"x.{ext}") for ext in ("pdf", "png", "svg")}
        save(curves_figure(table, "loss", ["a"], [0], CURVES), paths, CURVES, {"code": "abcdef"})
        contents.append([(tmp_path / folder / f"x.{ext}").read_bytes() for ext in paths])
        assert len(list((tmp_path / folder).iterdir())) == 3
    assert contents[0] == contents[1]
    assert all(b"abcdef" in content for content in contents[0][1:])
