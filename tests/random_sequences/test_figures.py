import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from sections import complete

from memorization.plotting import save, style
from memorization.random_sequences.figures import LN2, _looks, curves_figure, one_end, switch_figure

OPEN = [None, None]
CURVES = complete()["style"] | {"palette": "viridis", "exposures": OPEN, "loss": OPEN, "suffix_loss": [1e-4, 3.0]}
SWITCH = complete()["style"] | {"panel_width": 1.9, "step": [0, None], "suffix_loss": [-0.1, None]}


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
        "exposures",
        "loss",
        "accuracy",
        "suffix_loss",
        "suffix_accuracy",
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(floor=-np.log(p[table["rank"]]) / 8, ceiling=0.9, length=8, set=0, switch_start_step=0)


@pytest.mark.parametrize("measure", ["loss", "accuracy"])
def test_curves_have_labels_floors_and_chance(table, measure):
    figure = curves_figure(table, measure, ["a", "b"], [0, 2], CURVES)
    assert len(figure.axes) == 6
    assert [ax.get_title() for ax in figure.axes[:2]] == ["a", "b"]
    for ax in (figure.axes[0], figure.axes[2], figure.axes[4]):
        assert measure in ax.get_ylabel()
    assert figure.axes[4].get_xlabel() == "exposures of the sequence"
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
    bound = curves_figure(table, "loss", ["a", "b"], [0, 2], CURVES | {"loss": [0.1, None], "exposures": [3, 50]})
    assert bound.axes[1].get_ylim()[0] == 0.1
    assert bound.axes[1].get_ylim()[1] > 5
    assert bound.axes[5].get_xlim() == (3, 50)


def test_curves_follow_the_chosen_ranks_over_the_steps(table):
    ax = curves_figure(table, "loss", ["a"], [1], CURVES).axes[0]
    mean = next(line for line in ax.lines if line.get_linewidth() == 1.6)
    assert mean.get_xdata().tolist() == [2, 20, 200]
    assert mean.get_ydata().tolist() == pytest.approx([LN2 / 2, LN2 / 11, LN2 / 101])


def test_records_with_as_many_exposures_are_one_point_and_the_mean_is_over_all_seeds(table):
    again = table[table["step"] == 1].assign(step=2, loss=0.2)
    missing = (table["seed"] == 1) & (table["step"] == 1)  # the second seed begins later: its first bin is that of both
    ax = curves_figure(pd.concat([table[~missing], again]), "loss", ["a"], [1], CURVES).axes[0]
    first, second = (line for line in ax.lines if line.get_linewidth() == 0.6)
    assert first.get_xdata().tolist() == second.get_xdata().tolist() == [2, 20, 200]
    assert first.get_ydata().tolist() == pytest.approx([(LN2 / 2 + 0.2) / 2, LN2 / 11, LN2 / 101])
    assert second.get_ydata().tolist() == pytest.approx([0.2, LN2 / 11, LN2 / 101])


def test_the_end_is_the_median_over_the_last_tenth(table):
    late = pd.concat(
        [table[table["step"] == 100].assign(step=step, loss=loss) for step, loss in ((95, 0.3), (98, 0.1))]
    )
    ax = curves_figure(pd.concat([table, late]), "loss", ["a"], [0], CURVES).axes[2]
    assert {round(y, 9) for points in ax.collections for _, y in points.get_offsets()} == {0.1}


def test_the_floor_is_black_as_in_the_legend(table):
    figure = curves_figure(table, "loss", ["a"], [0, 1, 2], CURVES)
    floors = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [to_hex(line.get_color()) for line in floors] == ["#000000"] * 3
    assert [line.get_ydata()[0] for line in floors] == pytest.approx(table["floor"].unique().tolist())


def test_many_ranks_are_told_apart_by_colour_and_line():
    looks = _looks(list(range(10)), CURVES)
    assert len({(to_hex(look["color"]), str(look["linestyle"]), look["marker"]) for look in looks.values()}) == 10
    assert len({to_hex(look["color"]) for look in looks.values()}) == 5
    assert {look["linestyle"] for look in _looks(list(range(7)), CURVES).values()} == {"-"}


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


SWITCHES = [
    {"name": "one", "condition": "base", "switch_steps": [100], "steps": 120},
    {"name": "two", "condition": "base", "switch_steps": [100, 200], "steps": 220},
]


def totals():
    """Summaries in which accuracies tell the set: .9 of the first, .8 of the second, .7 of the third."""
    rows = [("base", seed, 0, step, 0.9) for seed in range(3) for step in (0, 10, 100)]
    for switch in SWITCHES:
        for begin, end, number in zip(
            switch["switch_steps"], [*switch["switch_steps"][1:], switch["steps"]], (1, 2), strict=False
        ):
            steps = (begin, begin + 5, end)
            rows += [
                (switch["name"], seed, each, step, 0.9 - each / 10)
                for seed in range(3) for each in range(number + 1) for step in steps
            ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["condition", "seed", "set", "step", "suffix_accuracy"])
    return table.assign(suffix_loss=table["suffix_accuracy"] / 2, switch_start_step=0)


def test_the_last_tenth_of_a_training_is_one_row_of_medians():
    rows = [(900, 0.5), (1899, 0.6), (1901, 0.7), (1950, 0.1), (2000, 0.9)]  # of a training from step 1000 on
    table = pd.DataFrame(rows, columns=["step", "loss"])
    table = table.assign(condition="a", seed=0, set=1, switch_start_step=1000)
    assert one_end(table, ["loss"])[["step", "loss"]].to_numpy().tolist() == [[900, 0.5], [1899, 0.6], [2000, 0.7]]


def test_a_switch_is_drawn_from_its_last_on_with_the_first_set_for_comparison():
    figure = switch_figure(totals(), SWITCHES, SWITCH, marks={"eviction": {"one": 7}})
    assert [ax.get_title() for ax in figure.axes[:2]] == ["one", "two"]
    assert "accuracy" in figure.axes[0].get_ylabel()
    assert "nats per bit" in figure.axes[2].get_ylabel()
    assert figure.axes[2].get_xlabel() == "steps since the switch"

    def means(ax):
        lines = [line for line in ax.lines if line.get_linewidth() == 1.6]
        return [(line.get_xdata().tolist(), round(line.get_ydata().tolist()[0], 9)) for line in lines]

    first = ([0, 10, 100], 0.9)
    assert means(figure.axes[0]) == [first, ([0, 5, 20], 0.9), ([0, 5, 20], 0.8)]
    assert means(figure.axes[1]) == [first, ([0, 5, 20], 0.9), ([0, 5, 20], 0.8), ([0, 5, 20], 0.7)]
    chance = [
        ax for ax in figure.axes if any(np.allclose(line.get_ydata(), c) for line in ax.lines for c in (0.5, LN2))
    ]
    assert len(chance) == 4
    assert any(np.allclose(line.get_ydata(), 0) for line in figure.axes[2].lines)
    marked = [any(np.allclose(line.get_xdata(), 7) for line in ax.lines) for ax in figure.axes]
    assert marked == [True, False, True, False]
    labels = {text.get_text() for text in figure.legends[0].texts}
    colours = [to_hex(handle.get_color()) for handle in figure.legends[0].legend_handles[:3]]
    assert len(set(colours)) == 3
    assert len(figure.axes[0].collections) == 2  # the first set, drawn for comparison, has no band
    assert labels >= {"new set", "set before it", "sets before that", "chance", "Bayes floor", "eviction"}
