import numpy as np
import pandas as pd
import pytest
import yaml

from memorization.plotting import save
from memorization.provenance import ROOT
from memorization.zipf.figures import LN2, comparison_figure, curves_figure, summary

PLOTTING = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["plotting"]


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
    figure = curves_figure(table, measure, ["a", "b"], [0, 2], PLOTTING)
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


def test_curves_follow_the_chosen_ranks_over_the_steps(table):
    ax = curves_figure(table, "loss", ["a"], [1], PLOTTING).axes[0]
    mean = next(line for line in ax.lines if line.get_linewidth() == 1.6)
    assert mean.get_xdata().tolist() == [2, 20, 200]
    assert mean.get_ydata().tolist() == pytest.approx([LN2 / 2, LN2 / 11, LN2 / 101])


def test_comparison_shows_each_condition_its_floor_and_chance(table):
    figure = comparison_figure(table, [{"name": "one", "conditions": ["a", "b"]}], PLOTTING)
    loss, accuracy = figure.axes
    p = np.array([0.5, 0.3, 0.2])
    floor = -(p * np.log(p)).sum() / 8
    assert any(np.allclose(line.get_ydata(), floor) for line in loss.lines)
    assert any(np.allclose(line.get_ydata(), LN2) for line in loss.lines)
    assert [text.get_text() for text in accuracy.get_legend().texts] == ["a", "b"]


def test_summary_weights_losses_by_frequency_whatever_was_recorded(table):
    table["loss"] = table["rank"].astype(float)
    whole, part = summary(table), summary(table[table["rank"] != 1])
    assert whole["loss"].iloc[0] == pytest.approx(0.3 + 2 * 0.2)
    assert part["loss"].iloc[0] == pytest.approx(2 * 0.2 / 0.7)


def test_a_figure_is_written_alike_each_time_and_says_what_made_it(table, tmp_path):
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = {ext: str(tmp_path / folder / f"x.{ext}") for ext in ("pdf", "png", "svg")}
        save(curves_figure(table, "loss", ["a"], [0], PLOTTING), paths, PLOTTING, {"code": "abcdef"})
        contents.append([(tmp_path / folder / f"x.{ext}").read_bytes() for ext in paths])
        assert len(list((tmp_path / folder).iterdir())) == 3
    assert contents[0] == contents[1]
    assert all(b"abcdef" in content for content in contents[0][1:])
