import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sections import complete, plotting

from memorization.atlas.figures.comparison import LN2, comparison_figure

PLOTTING = plotting(complete(), "atlas", "comparison")
CONDITIONS = [["one", "small"], ["two", "small"], ["two", "large"]]


def records(ranks=(0, 50, 200)):
    """Recall rises with exposures, in its own way in each condition, seed and group of ranks; loss is what is left."""
    rows = []
    for number, (family, condition) in enumerate(CONDITIONS):
        for seed in range(3):
            for rank in ranks:
                for exposures in (0, 1, 10, 100):
                    recall = 0.5 + 0.1 * number + 0.01 * seed + 0.1 * (rank > 9) + 0.05 * np.log10(max(1, exposures))
                    rows.append((family, condition, seed, f"set0/rank{rank}", exposures, 20, recall, 20 * (1 - recall)))
    columns = ["family", "condition", "seed", "item", "exposures", "n_tokens", "recall", "nll_bits"]
    return pd.DataFrame(rows, columns=columns)


def means(ax):
    return {line.get_label(): line for line in ax.lines if line.get_linewidth() == 1.6}


def test_conditions_of_several_families_are_lines_against_exposures_by_how_frequent_sequences_are():
    figure = comparison_figure(records(), CONDITIONS, PLOTTING)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["ranks 0–9", "ranks 10–99", "ranks 100 and up"]
    assert "accuracy" in figure.axes[0].get_ylabel()
    assert "nats per bit" in figure.axes[3].get_ylabel()
    assert figure.axes[3].get_xlabel() == "exposures of the sequence"
    for column, more in enumerate((0, 0.1, 0.1)):
        lines = means(figure.axes[column])
        assert list(lines) == ["one: small", "two: small", "two: large"]
        for number, line in enumerate(lines.values()):
            assert line.get_xdata().tolist() == [1, 10, 100]  # never without an exposure
            recall = 0.51 + 0.1 * number + more + np.array([0, 0.05, 0.1])
            assert line.get_ydata().tolist() == pytest.approx(recall)  # over seeds
            loss = means(figure.axes[3 + column])[line.get_label()]
            assert loss.get_ydata().tolist() == pytest.approx((1 - recall) * LN2)  # per bit of the suffix
    thin = [line for line in figure.axes[0].lines if line.get_linewidth() == 0.6]
    assert len(thin) == 3 * 3


def test_chance_is_drawn_the_first_condition_is_black_and_each_has_its_colour():
    figure = comparison_figure(records(), CONDITIONS, PLOTTING)
    for ax, chance in zip(figure.axes, [0.5] * 3 + [LN2] * 3, strict=True):
        assert any(np.allclose(line.get_ydata(), chance) for line in ax.lines)
        colours = [to_hex(line.get_color()) for line in means(ax).values()]
        assert colours[0] == to_hex("black")
        assert len(set(colours)) == 3
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["one: small", "two: small", "two: large", "chance (the Bayes floor is 0)"]


def test_exposures_are_averaged_in_bins_of_each_seed():
    table = records(ranks=(0,))
    table = pd.concat([table, table.assign(exposures=table["exposures"] * 1.05, recall=table["recall"] + 0.2)])
    line = means(comparison_figure(table, CONDITIONS, PLOTTING).axes[0])["one: small"]
    assert line.get_xdata().tolist() == pytest.approx([1, 10, 100])
    assert line.get_ydata().tolist() == pytest.approx([0.61, 0.66, 0.71])


def test_a_sequence_counts_once_in_a_bin_however_often_it_is_recorded():
    table = records(ranks=(0, 1))
    often = table[(table["item"] == "set0/rank0") & (table["exposures"] == 10)]
    table = pd.concat([table, *[often] * 5])
    table.loc[table["item"] == "set0/rank0", "recall"] += 0.2
    line = means(comparison_figure(table, CONDITIONS, PLOTTING).axes[0])["one: small"]
    assert line.get_ydata().tolist() == pytest.approx([0.61, 0.66, 0.71])


def test_a_small_set_has_the_panels_that_it_fills():
    figure = comparison_figure(records(ranks=(0, 50)), CONDITIONS, PLOTTING)
    assert [ax.get_title() for ax in figure.axes] == ["ranks 0–9", "ranks 10–99", "", ""]
