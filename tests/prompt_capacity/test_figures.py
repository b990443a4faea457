import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.collections import PathCollection
from sections import FOLDER, complete

from memorization.prompt_capacity.capacity import layouts_table
from memorization.prompt_capacity.figures.capacity import (
    dimension_figure,
    layout_figure,
    length_figure,
    survival_figure,
)
from memorization.prompt_capacity.figures.shared import hues, shades
from memorization.prompt_capacity.figures.training import dynamics_figure, samples_figure

STYLE = complete()["style"]
FIGURES = yaml.safe_load((FOLDER / "families/prompt_capacity.yaml").read_text())["prompt_capacity"]["figures"]
LAYOUTS = ["prefix", "infix", "infix_masked", "solo"]
SETTINGS = {"conditions": ["small", "wide"], "layouts": LAYOUTS, "asked": ["prefix", "infix", "suffix"]}
WIDTHS = {"small": 64, "wide": 128}
LEVEL = {"prefix": 1.0, "infix": 0.8, "infix_masked": 0.9, "solo": 0.5, "offset1": 0.7}


def look(figure):
    return STYLE | FIGURES[figure]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].texts]


def thick(ax, linestyle="-"):
    """Means over seeds, in the order of drawing."""
    return [line for line in ax.lines if line.get_linewidth() == 1.6 and line.get_linestyle() == linestyle]


def circles(ax):
    return np.concatenate([each.get_offsets().data for each in ax.collections if isinstance(each, PathCollection)])


def drawn(figure):
    """A figure once it is laid out, without an error."""
    figure.draw_without_rendering()
    return figure


def memorization(layouts=LAYOUTS, ks=(1, 2), lengths=(4, 8), seeds=(0, 1), kinds=("text", "random"), of=("small",)):
    """Exact up to 4 tokens a vector; each seed and each of three trials gains a bit more than the last."""
    rows = []
    for condition in of:
        for seed in seeds:
            for layout in layouts:
                for k in ks:
                    for length in lengths:
                        for kind in kinds:
                            row = {"condition": condition, "seed": seed, "layout": layout, "kind": kind}
                            row |= {"d_model": WIDTHS[condition], "prompt_length": k, "length": length}
                            for trial in range(3 if kind == "text" else 1):
                                gain = 10 * k + length + seed + trial + 100 * (kind == "random")
                                row |= {"trial": trial, "text": 0, "exact": length <= 4 * k, "accuracy": 4 * k / 8}
                                row |= {"net_gain_bits": gain, "bits_per_dimension": gain / k / WIDTHS[condition]}
                                cost = LEVEL[layout] * (1 + seed + trial)
                                row |= {"perplexity": np.exp(cost), "nll_bits": cost * length}
                                rows.append(row | {"converged": trial == 0})
    return pd.DataFrame(rows)


def test_a_layout_has_one_hue_in_all_figures_and_longer_prompts_are_darker():
    found = hues(SETTINGS, look("length"))
    assert list(found) == [*LAYOUTS, "suffix"]
    assert len(set(found.values())) == 5
    looks = shades([8, 1, 2, 8], found["infix"])
    assert list(looks) == [1, 2, 8]
    assert np.all(np.diff([sum(each.color) for each in looks.values()]) < 0)
    assert len({each.marker for each in looks.values()}) == 3
    assert shades([3], found["infix"])[3].color == found["infix"]


def test_lengths_have_a_column_a_layout_a_row_a_measure_and_a_line_a_length_of_prompts():
    figure = drawn(length_figure(memorization(of=("small", "wide")), SETTINGS, look("length")))
    axes = np.array(figure.axes).reshape(3, 4)
    assert [ax.get_title().split("\n")[0] for ax in axes[0]] == LAYOUTS
    exact, _, gain = axes[:, 1]
    one, two = (each.get_xydata() for each in thick(exact))
    np.testing.assert_allclose(one, [[4, 1], [8, 0]])
    np.testing.assert_allclose(two, [[4, 1], [8, 1]])
    np.testing.assert_allclose(thick(gain)[1].get_ydata(), [25.5, 29.5])
    np.testing.assert_allclose(thick(gain, "--")[0].get_ydata(), [114.5, 118.5])
    assert legend(figure) == ["k = 1", "k = 2", "text", "random tokens"]
    assert [text.get_text() for text in axes[-1, 0].get_xticklabels()] == ["4", "8"]


@pytest.mark.parametrize(
    "few", [{"seeds": (0,)}, {"layouts": ["offset1"]}, {"ks": (1,)}, {"kinds": ("text",)}, {"lengths": (4,)}]
)
def test_lengths_are_drawn_of_little(few):
    table = memorization(**few)
    figure = drawn(length_figure(table, SETTINGS | {"layouts": list(table["layout"].unique())}, look("length")))
    assert len(figure.axes) == 3 * table["layout"].nunique()
    assert ("random tokens" in legend(figure)) == ("random" in set(table["kind"]))


def survival():
    rows = []
    for row in memorization().to_dict("records"):
        kept = {name: row[name] for name in ("condition", "seed", "layout", "kind", "trial", "prompt_length", "length")}
        for bits, share in ((32, 1.0), (4, 0.5), (2, -3.0)):
            gains = {"gain_bits": 20 * share + 7, "net_gain_bits": 20 * share}
            rows.append(kept | gains | {"bits": bits, "exact": float(row["exact"] and bits > 2)})
    return pd.DataFrame(rows)


def test_survival_is_of_the_longest_text_that_is_mostly_exact():
    figure = drawn(survival_figure(survival(), SETTINGS, look("survival")))
    kept, *_, exact = figure.axes
    assert legend(figure) == ["k = 1, 4 tokens", "k = 2, 8 tokens"]
    for line in thick(kept):
        np.testing.assert_allclose(line.get_xydata(), [[2, -3], [4, 0.5], [32, 1]])
    np.testing.assert_allclose(thick(exact)[0].get_ydata(), [0, 1, 1])
    assert kept.get_xlim()[0] > kept.get_xlim()[1]  # bits fall to the right
    assert kept.get_ylim()[0] == -1


def test_survival_of_texts_of_which_none_is_exact_is_that_of_the_shortest():
    table = survival()
    table = table[(table["seed"] == 0) & (table["layout"] == "solo")].assign(exact=0.0)
    table.loc[table["prompt_length"] == 1, "net_gain_bits"] = -1.0  # nothing that could be kept
    figure = drawn(survival_figure(table, SETTINGS, look("survival")))
    assert legend(figure) == ["k = 1, 4 tokens", "k = 2, 4 tokens"]
    lost, held = thick(figure.axes[0])
    assert np.isnan(np.asarray(lost.get_ydata(), float)).all()
    np.testing.assert_allclose(held.get_ydata(), [-3, 0.5, 1])


def test_layouts_are_compared_in_pairs_around_zero():
    table = layouts_table(memorization(kinds=("text",), seeds=(0, 1, 2)))
    figure = drawn(layout_figure(table, SETTINGS, look("layout")))
    infix, masked, _ = figure.axes
    titles = ["infix − prefix", "infix_masked − infix", "solo − prefix"]
    assert [ax.get_title() for ax in figure.axes] == titles
    points = [line for line in infix.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose([line.get_ydata()[0] for line in points], -0.2 * 3)
    assert all(line.get_markerfacecolor() == line.get_color() for line in points)  # p of 9 trials
    assert [text.get_text() for text in infix.texts] == ["prefix is better", "infix is better"]
    assert next(line.get_ydata()[0] for line in masked.lines) > 0
    np.testing.assert_allclose(infix.get_ylim()[0], -infix.get_ylim()[1])


def test_differences_of_few_trials_have_open_marks_and_pairs_are_turned_round():
    settings = SETTINGS | {"layouts": ["infix", "prefix", "offset1"]}
    table = layouts_table(memorization(["infix", "prefix", "offset1"], kinds=("text",), seeds=(0,), ks=(1,)))
    infix, offset = drawn(layout_figure(table, settings, look("layout"))).axes
    assert [infix.get_title(), offset.get_title()] == ["infix − prefix", "offset1 − prefix"]
    points = [line for line in infix.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose([line.get_ydata()[0] for line in points], -0.4)
    assert {line.get_markerfacecolor() for line in points} == {"white"}
    ends = np.concatenate([each.get_segments()[0][:, 1] for each in infix.collections])
    assert np.all(ends < 0)


def points_of(ax):
    """The marks of cells."""
    return [line for line in ax.lines if len(line.get_xdata()) == 1]


def test_cells_of_which_most_pairs_have_converged_are_not_drawn_among_others():
    """At 4 tokens all, at 8 one of three trials, of solo and prefix two."""
    table = memorization(kinds=("text",))
    more = table["layout"].isin(["solo", "prefix"]) & (table["trial"] == 1)
    table["converged"] |= (table["length"] == 4) | more
    infix, masked, solo = drawn(layout_figure(layouts_table(table), SETTINGS, look("layout"))).axes
    for ax in (infix, masked):
        assert [text.get_text() for text in ax.get_xticklabels()] == ["8"]
        assert len(points_of(ax)) == 2  # lengths of prompts
    assert points_of(solo) == []
    assert solo.get_title() == "solo − prefix"


def test_half_of_the_pairs_converged_are_not_most():
    table = memorization(["prefix", "infix"], kinds=("text",)).query("trial < 2").assign(converged=True)
    table.loc[(table["length"] == 4) & (table["trial"] == 0), "converged"] = False
    (ax,) = drawn(layout_figure(layouts_table(table), SETTINGS, look("layout"))).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["4"]


def test_where_most_pairs_of_all_cells_have_converged_all_are_drawn():
    table = layouts_table(memorization(kinds=("text",)).assign(converged=True))
    for ax in drawn(layout_figure(table, SETTINGS, look("layout"))).axes:
        assert [text.get_text() for text in ax.get_xticklabels()] == ["4", "8"]
        assert len(points_of(ax)) == 4


def test_one_layout_has_nothing_to_be_compared_with():
    table = layouts_table(memorization(["infix"]))
    (ax,) = drawn(layout_figure(table, SETTINGS | {"layouts": ["infix"]}, look("layout"))).axes
    assert "nothing to compare" in ax.texts[0].get_text()


def test_widths_are_compared_on_lengths_that_all_models_have():
    small, wide = memorization(), memorization(ks=(1,), lengths=(4, 8, 32), of=("wide",))
    table = pd.concat([wide, small[small["length"] == 4]])
    horizon = table[(table["layout"] == "prefix") & (table["prompt_length"] == 1)].assign(horizon=5.0)
    of_one = horizon[horizon["condition"] == "small"]
    assert len(drawn(dimension_figure(table, of_one, SETTINGS, look("dimension"))).axes) == 2
    figure = drawn(dimension_figure(table, horizon, SETTINGS, look("dimension")))
    gain, per_dimension, horizons = figure.axes
    assert figure.get_suptitle() == "k = 1, texts of 4 tokens"
    assert [text.get_text() for text in gain.get_xticklabels()] == ["64\nsmall", "128\nwide"]
    np.testing.assert_allclose(sorted(set(circles(gain)[:, 1])), [15, 16])
    np.testing.assert_allclose(max(circles(per_dimension)[:, 1]), 16 / 64)
    np.testing.assert_allclose(circles(horizons)[:, 1], 5)
    assert legend(figure) == LAYOUTS


def test_a_width_of_one_seed_without_horizon_is_drawn():
    table = memorization(["offset1"], ks=(2,), seeds=(0,))
    settings = SETTINGS | {"layouts": ["offset1"]}
    assert len(drawn(dimension_figure(table, None, settings, look("dimension"))).axes) == 2


def cell(length, steps=3, layouts=("prefix", "infix"), longest=9):
    """Two prompts of two vectors a layout, one of text; the first layout ends at a loss of 0.1."""
    n = 2 * len(layouts)
    losses = np.linspace(4, 0.1, longest)[:, None] * np.ones(n)
    recorded = np.array([0, 1, 8])[:steps]
    cosine = np.broadcast_to(np.array([1.0, 0.5, 0.0])[:steps, None, None], (steps, n, 2))
    return {
        "losses": losses.astype(np.float32),
        "step": recorded,
        "norm": np.broadcast_to(np.arange(1.0, steps + 1)[:, None, None], (steps, n, 2)),
        "cosine": cosine,
        "layout": np.repeat(layouts, 2),
        "kind": np.array(["text", "random"] * len(layouts)),
        "prompt_length": np.array(2),
        "length": np.array(length),
    }


def test_dynamics_have_a_column_a_length_and_a_line_a_layout():
    figure = drawn(dynamics_figure([cell(4), cell(8), cell(4), cell(8)], SETTINGS, look("dynamics")))
    axes = np.array(figure.axes).reshape(3, 2)
    assert [ax.get_title() for ax in axes[0]] == ["4 tokens", "8 tokens"]
    assert legend(figure) == ["prefix", "infix"]
    loss, norm, angle = (thick(ax)[0].get_xydata() for ax in axes[:, 0])
    np.testing.assert_allclose(loss[[0, 2]], [[0, 4], [8, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(norm[:, 1], [1, 2, 3])
    np.testing.assert_allclose(angle[:, 1], [0, 60, 90])
    assert figure.get_suptitle() == "small, k = 2"


def test_dynamics_of_a_seed_that_ended_early_have_a_mean_as_far_as_all_were_trained():
    cells = [cell(4, layouts=["offset1"]), cell(4, 2, ["offset1"])]
    loss, *_ = drawn(dynamics_figure(cells, SETTINGS | {"layouts": ["offset1"]}, look("dynamics"))).axes
    assert thick(loss)[0].get_xdata().tolist() == [0, 1]


def generalization(conditions=("small",), seeds=(0, 1), sizes=(50, 200)):
    rows = []
    for condition in conditions:
        for seed in seeds:
            for layout, level in (("prefix", 0.2), ("suffix", 0.6)):
                row = {"condition": condition, "seed": seed}
                rows.append(row | {"layout": "none", "training_samples": 0, "budget": "none", "updates": 0})
                rows[-1] |= {"exact": 0.05, "complies": 0.5}
                for size in sizes:
                    for budget, updates, more in (("epochs", 3 * size, 0.0), ("updates", 300, 0.1)):
                        of = {"layout": layout, "training_samples": size, "budget": budget, "updates": updates}
                        rows.append(row | of | {"exact": level + more + size / 1000, "complies": 1.0})
    return pd.DataFrame(rows)


def test_samples_have_a_line_a_layout_and_budget_over_the_model_without_a_prompt():
    figure = drawn(samples_figure(generalization(), SETTINGS, look("samples")))
    exact, complies = figure.axes
    np.testing.assert_allclose(thick(exact)[0].get_xydata(), [[50, 0.25], [200, 0.4]])
    np.testing.assert_allclose(thick(exact, "--")[1].get_ydata(), [0.75, 0.9])
    (without,) = [line for line in exact.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(without.get_ydata(), 0.05)
    assert legend(figure) == ["prefix", "suffix", "fixed epochs", "300 updates", "without P"]
    assert [text.get_text() for text in complies.get_xticklabels()] == ["50", "200"]


def test_samples_have_a_row_a_model_and_one_size_is_drawn():
    table = generalization(("wide", "small"), (0,), (50,))
    figure = drawn(samples_figure(table[table["budget"] != "epochs"], SETTINGS, look("samples")))
    assert [ax.get_title() for ax in figure.axes] == ["small", "small", "wide", "wide"]
    assert legend(figure) == ["prefix", "suffix", "300 updates", "without P"]
