"""What runs hold, and what is left of old items, of made-up summaries."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from sections import complete, plotting

from memorization.atlas.figures.bits import ACTIVE, LITERATURE, MARKERS, bits_figure
from memorization.atlas.figures.forgetting import forgetting_figure


def summary(**change):
    """Three seeds of a plain family, of one with a sparse memory, and of one whose prior is not known."""
    rows = []
    for seed in range(3):
        of = {"arm": "toy", "seed": seed, "parameters": 100, "active": 100, "trainable": 100, "state_bits": 3200}
        of |= {"to_hold": 200.0, "bits": 100.0, "net_bits": 80.0 + seed, "lower_bound": ""}
        of |= {"old_recall": np.nan, "new_recall": 1.0}
        rows.append(of | {"family": "plain", "condition": "a"})
        sparse = {"family": "sparse", "condition": "b", "active": 20, "lower_bound": "still rising", "trainable": 25}
        rows.append(of | sparse | {"old_recall": 0.1 * seed, "new_recall": 0.9})
        rows.append(of | {"family": "text", "condition": "c", "bits": np.nan, "net_bits": np.nan})
    return pd.DataFrame(rows).assign(**change)


def points(ax):
    return {
        (line.get_marker(), line.get_fillstyle()): (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.lines
        if line.get_marker() not in ("None", None)
    }


def test_bits_stand_against_what_there_was_per_parameter_active_parameter_and_bit_of_state():
    figure = bits_figure(summary(), plotting(complete(), "atlas", "bits"))
    per_parameter, per_bit = figure.axes
    plain, sparse, *_ = MARKERS  # the second is a lower bound
    np.testing.assert_allclose(points(per_parameter)[plain, "full"], (2, 0.81))
    np.testing.assert_allclose(points(per_parameter)[sparse, "none"], (2, 0.81))
    np.testing.assert_allclose(points(per_parameter)[ACTIVE, "none"], (10, 4.05))
    np.testing.assert_allclose(points(per_bit)[plain, "full"], (200 / 3200, 81 / 3200))
    assert (ACTIVE, "none") not in points(per_bit)
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels[:2] == ["plain", "sparse"]  # and none of a family without a prior
    assert {text.get_text(): text.xy[1] for text in per_parameter.texts} == {
        k: high for k, (_, high) in LITERATURE.items()
    }
    assert any(
        np.array_equal(line.get_xdata(), line.get_ydata()) for line in per_bit.lines if len(line.get_xdata()) > 1
    )
    figure.canvas.draw()


def test_each_family_has_its_colour():
    figure = bits_figure(summary(), plotting(complete(), "atlas", "bits"))
    colours = {to_hex(line.get_color()) for line in figure.axes[1].lines if line.get_marker() in MARKERS}
    assert len(colours) == 2


def test_old_and_new_items_of_runs_with_both_a_row_a_condition():
    figure = forgetting_figure(summary(), plotting(complete(), "atlas", "forgetting"))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sparse: b (25% trainable)"]
    old, new = (line for line in ax.lines if line.get_marker() in ("o", "D"))
    np.testing.assert_allclose(old.get_xdata(), [0, 0.1, 0.2])
    assert new.get_xdata().tolist() == [0.9] * 3
    figure.canvas.draw()


def test_without_such_runs_there_is_an_empty_panel():
    figure = forgetting_figure(summary(old_recall=np.nan), plotting(complete(), "atlas", "forgetting"))
    assert figure.axes[0].get_yticklabels() == []
    figure.canvas.draw()
