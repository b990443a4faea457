import numpy as np
import pandas as pd
import pytest
from sections import complete, plotting

from memorization.associative_memory.figures import attention_figure, heads_figure

HEADS, ATTENTION = (plotting(complete(), "associative_memory", name) for name in ("heads", "attention"))


def summary():
    """Conditions that differ in H and in η; the last recorded step is a spike."""
    rows = [
        (f"heads_{n_heads}" if eta == 10 else f"eta_{eta}", n_heads, eta, seed, step, accuracy + seed / 100)
        for n_heads, eta in ((1, 10), (16, 10), (16, 100)) for seed in range(3)
        for step, accuracy in ((0, 0.5), (92, 0.8), (96, 0.8), (100, 0.1))
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["condition", "n_heads", "eta", "seed", "step", "suffix_accuracy"])
    return table.assign(weighted_loss=table["suffix_accuracy"] / 2, floor=0.13, set=0, switch_start_step=0)


def test_heads_and_temperatures_are_compared_at_the_end_each_seed_drawn():
    figure = heads_figure(summary(), ["heads_1", "heads_16"], ["heads_16", "eta_100"], HEADS)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["η = 10", "H = 16"]
    for ax, places in zip(figure.axes[:2], ([1, 16], [10, 100]), strict=True):
        bars = next(line for line in ax.lines if line.get_marker() == "_")
        assert bars.get_xdata().tolist() == places
        assert bars.get_ydata().tolist() == pytest.approx([0.81, 0.81])  # the median over the last tenth
        circles = ax.collections[0].get_offsets()
        assert sorted(y for _, y in circles) == pytest.approx(sorted([0.8, 0.81, 0.82] * 2))


def test_one_seed_is_enough():
    table = summary()
    heads_figure(table[table["seed"] == 0], ["heads_16"], ["heads_16"], HEADS)


def test_attention_says_whose_it_is_and_sorts_the_heads_by_what_they_read():
    memory_map = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    attention = np.repeat(memory_map[None], 3, axis=0)
    figure = attention_figure(attention, memory_map, [2], "heads_3, seed 4", ATTENTION)
    assert figure.get_suptitle() == "heads_3, seed 4"
    shown = [np.ma.filled(ax.images[0].get_array(), np.nan).tolist() for ax in figure.axes[:2]]
    assert shown[1] == memory_map[[1, 2, 0]].tolist()
    assert [row[:2] for row in shown[0]] == memory_map[[1, 2, 0], :2].tolist()
    assert np.isnan([row[2] for row in shown[0]]).all()
