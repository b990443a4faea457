import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from sections import complete

from memorization.memory_layer.figures.answers import (
    colours,
    errors_figure,
    frequency_figure,
    logits_figure,
    loss_figure,
    parameters_figure,
    recall_figure,
)
from memorization.memory_layer.figures.retention import retention_figure
from memorization.memory_layer.figures.slots import activations_figure, usage_figure, value_norms_figure

PLOTTING = complete()["style"] | {"palette": "colorblind"}
NAMES = ["memory", "dense"]
COMPARISONS = [{"name": "one", "conditions": ["memory"]}, {"name": "two", "conditions": NAMES}]
SEEDS = (0, 1)
EXACT = {"memory": {1: 0.2, 8: 0.9}, "dense": {1: 0.1, 8: 0.5}}


def rows(**columns):
    """A row for each condition and seed, with columns that are values or functions of both."""
    return [
        {"condition": name, "seed": seed}
        | {key: value(name, seed) if callable(value) else value for key, value in columns.items()}
        for name in NAMES
        for seed in SEEDS
    ]


@pytest.fixture
def recall():
    """Groups 1 and 8, of 1 and 8 items; seed 1 answers 0.02 more; val is never trained, new later."""
    table = rows(split="val", group=8, n=4, exact=0.01) + rows(split="new", group=1, n=5, exact=0.7)
    for group in (1, 8):
        table += rows(
            split="train", group=group, n=group, exact=lambda name, seed, g=group: EXACT[name][g] + 0.02 * seed
        )
    return pd.DataFrame(table).assign(exact_chance=0.001)


def lines_of(ax, label):
    """x and y of the line with this label."""
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return found.get_xydata().tolist()


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].texts]


def test_recall_has_a_panel_a_comparison_and_a_circle_a_seed_of_a_split(recall):
    figure = recall_figure(recall, COMPARISONS, PLOTTING)
    one, two = figure.axes
    assert [ax.get_title() for ax in (one, two)] == ["one", "two"]
    assert [label.get_text() for label in two.get_yticklabels()] == NAMES
    assert legend_of(figure) == ["train", "new", "val", "guessing"]
    of_train = colours(["train", "new", "val"], PLOTTING)["train"]
    circles = [each for each in two.collections if len(each.get_offsets()) == 2 and not len(each.get_facecolors())]
    circles = [each for each in circles if np.allclose(each.get_edgecolors()[0, :3], of_train)]
    memory = (0.2 + 8 * 0.9) / 9
    np.testing.assert_allclose(circles[0].get_offsets()[:, 0], [memory, memory + 0.02])
    np.testing.assert_allclose([line.get_xdata()[0] for line in one.lines[1::2]], 0.001)


def test_frequency_is_of_trained_facts_and_dashed_of_those_never_trained(recall):
    figure = frequency_figure(recall, NAMES, PLOTTING)
    (ax,) = figure.axes
    np.testing.assert_allclose(lines_of(ax, "memory"), [[1, 0.21], [8, 0.91]])
    np.testing.assert_allclose(lines_of(ax, "memory never"), [[8, 0.01]])
    assert ax.get_xticks().tolist() == [1, 8]
    assert legend_of(figure) == [*NAMES, "trained", "never trained"]


def test_loss_is_the_mean_of_seeds_by_step():
    losses = [
        each for step in (10, 20) for each in rows(step=step, loss=lambda name, seed, s=step: (1 + seed) * 10 / s)
    ]
    one, two = loss_figure(pd.DataFrame(losses), COMPARISONS, PLOTTING).axes
    assert lines_of(two, "dense") == [[10, 1.5], [20, 0.75]]
    assert [text.get_text() for text in one.get_legend().texts] == ["memory"]
    assert one.get_yscale() == "log"
    assert one.get_ylabel() == "loss of training,\nnats per answer token"


def forgetting(name, slope, seeds=SEEDS):
    overlap = np.linspace(0, 1, 100)
    lost = pd.DataFrame({"overlap": overlap, "nll_before_bits": 1.0, "nll_after_bits": 1 + slope * overlap})
    return [lost.assign(condition=name, seed=seed) for seed in seeds]


def history():
    """Of two groups of old facts, one of them three times as large; new ones are learned as they go."""
    parts = []
    for step in (0, 1, 10):
        parts += rows(split="train", group=1, step=step, exact=1 - step / 10, n=3)
        parts += rows(split="train", group=8, step=step, exact=1.0, n=1)
        parts += rows(split="new", group=1, step=step, exact=lambda name, seed, s=step: s / 10, n=2)
    return pd.DataFrame(parts)


def test_retention_sets_new_facts_against_old_ones_and_overlap_against_bits_lost(recall):
    lost = pd.concat(forgetting("memory", 4) + forgetting("dense", -2))
    figure = retention_figure(recall, lost, history(), NAMES, PLOTTING)
    frontier, foretold, new, remembered = figure.axes
    assert [ax.get_title() for ax in (new, remembered)] == ["new facts", "old facts"]
    thick = [line.get_xydata() for line in remembered.lines if line.get_linewidth() == 1.6]
    np.testing.assert_allclose(thick, [[[0, 1], [1, 0.925], [10, 0.25]]] * 2)
    thick = [line.get_xydata() for line in new.lines if line.get_linewidth() == 1.6]
    np.testing.assert_allclose(thick, [[[0, 0], [1, 0.1], [10, 1]]] * 2)
    old = (0.2 + 8 * 0.9) / 9
    np.testing.assert_allclose(frontier.collections[0].get_offsets(), [[0.7, old], [0.7, old + 0.02]])
    assert legend_of(figure) == ["memory, ρ = 1.00 [1.00, 1.00]", "dense, ρ = -1.00 [-1.00, -1.00]"]
    (bins,) = [line.get_xydata() for line in foretold.lines if line.get_marker() == "o"]
    assert len(bins) == 10
    np.testing.assert_allclose(bins[:, 1], 4 * bins[:, 0])


def test_a_condition_without_overlap_is_on_the_frontier_alone(recall):
    lost = pd.concat(
        forgetting("memory", 4, seeds=[0]) + [part.assign(overlap=np.nan) for part in forgetting("dense", 1)]
    )
    figure = retention_figure(recall, lost, history(), NAMES, PLOTTING)
    assert legend_of(figure) == ["memory, ρ = 1.00", "dense, no ρ"]
    assert [line.get_marker() for line in figure.axes[1].lines].count("s") == 0


def test_logits_are_means_of_all_items_and_thin_bins_of_confidence_are_left_out():
    logits = []
    for position in (0, 1):
        for group, n in ((1, 1), (8, 3)):
            value = {"probability": 0.1 * group, "entropy_bits": 2.0, "rank": 1.0 + position}
            logits += rows(split="train", group=group, position=position, n=n, **value)
    bins = rows(split="train", confidence_low=0.2, n=20, confidence=0.25, accuracy=lambda name, seed: 0.2 + 0.1 * seed)
    bins += rows(split="train", confidence_low=0.9, n=9, confidence=0.95, accuracy=0.1)
    probability, entropy, rank, calibration = logits_figure(
        pd.DataFrame(logits), pd.DataFrame(bins), NAMES, PLOTTING
    ).axes
    np.testing.assert_allclose(lines_of(probability, "dense"), [[0, 0.625], [1, 0.625]])
    np.testing.assert_allclose(lines_of(rank, "memory"), [[0, 1], [1, 2]])
    np.testing.assert_allclose(lines_of(calibration, "memory"), [[0.25, 0.25]])
    assert entropy.get_ylabel() == "entropy, bits"


def test_errors_are_stacked_to_one_and_a_kind_that_a_seed_lacks_counts_as_none():
    table = [row | {"kind": "correct", "share": 1.0 if row["seed"] else 0.4} for row in rows(split="train", group=2)]
    table += [row | {"kind": "malformed", "share": 0.6} for row in rows(split="train", group=2) if not row["seed"]]
    figure = errors_figure(pd.DataFrame(table), NAMES, PLOTTING)
    (ax,) = figure.axes
    correct, malformed = ax.containers
    assert legend_of(figure) == ["correct", "malformed"]
    np.testing.assert_allclose([(bar.get_x(), bar.get_width()) for bar in correct], [(0, 0.7)] * 2)
    np.testing.assert_allclose([(bar.get_x(), bar.get_width()) for bar in malformed], [(0.7, 0.3)] * 2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["memory, 2", "dense, 2"]


def test_parameters_have_a_colour_an_arm_all_of_them_left_and_active_ones_right():
    size = {"memory": 4e6, "dense": 2e6}
    table = pd.DataFrame(
        rows(
            arm=lambda name, _: f"arm of {name}",
            total=lambda name, _: size[name],
            active=1e5,
            exact=lambda name, seed: 0.5 + 0.1 * seed,
        )
    )
    figure = parameters_figure(table, NAMES, PLOTTING)
    total, active = figure.axes
    means = {to_rgb(line.get_color()): line.get_xydata().ravel().tolist() for line in total.lines}
    memory, dense = colours(["arm of memory", "arm of dense"], PLOTTING).values()
    assert means == {memory: [4e6, 0.55], dense: [2e6, 0.55]}
    assert active.lines[0].get_xdata() == [1e5]
    assert legend_of(figure) == ["arm of memory", "arm of dense"]
    assert total.get_xscale() == active.get_xscale() == "log"


def test_usage_is_that_on_trained_facts_with_a_line_style_a_layer():
    measures = {"kl_counts": 1.0, "kl_weights": 2.0, "gini": 0.5}
    table = []
    for step in (10, 0):
        for layer in (1, 3):
            table += rows(split="train", step=step, layer=layer, used=0.01 * step + 0.1 * layer, **measures)
            table += rows(split="val", step=step, layer=layer, used=1.0, **measures)
    figure = usage_figure(pd.DataFrame(table), ["memory"], PLOTTING)
    used, kl, _, gini = figure.axes
    drawn = [line for line in used.lines if line.get_label() == "memory"]
    np.testing.assert_allclose([line.get_ydata() for line in drawn], [[0.1, 0.2], [0.3, 0.4]])
    assert [line.get_linestyle() for line in drawn] == ["-", "--"]
    assert legend_of(figure) == ["memory", "layer 1", "layer 3"]
    assert lines_of(gini, "_child0")[0] == [0, 0.5]
    assert kl.get_ylabel() == "KL of counts\nfrom uniform, nats"


def test_norms_of_slots_that_are_never_retrieved_stand_apart():
    table = rows(slot=0, count=0, norm=lambda _, seed: 1.0 + seed) + rows(slot=1, count=100, norm=2.0)
    table += rows(slot=2, count=101, norm=4.0) + rows(slot=3, count=1000, norm=5.0)
    apart, ax = value_norms_figure(pd.DataFrame(table).assign(layer=1), NAMES, PLOTTING).axes
    np.testing.assert_allclose(lines_of(ax, "dense"), [[100, 3], [1000, 5]])
    assert apart.collections[0].get_offsets().tolist() == [[0, 1], [0, 2]]
    assert [label.get_text() for label in apart.get_xticklabels()] == ["never"]


def test_activations_show_the_largest_weight_the_slots_and_those_shared():
    row = {"condition": "memory", "layer": 1, "position": 5}
    table = [
        row | {"seed": seed, "split": "train", "item": item, "slot": slot, "weight": weight}
        for seed, item, slot, weight in (
            (0, "a", 1, 0.7),
            (0, "a", 2, 0.3),
            (0, "a", 1, 0.2),
            (0, "b", 1, 0.4),
            (1, "a", 9, 1.0),
        )
    ]
    figure = activations_figure(pd.DataFrame(table), PLOTTING | {"palette": "viridis"})
    largest, different, shared = figure.axes[:3]
    values = [ax.collections[0].get_array().ravel().tolist() for ax in (largest, different, shared)]
    assert values == [[0.7, 0.4], [2, 1], [1, 0.5, 0.5, 1]]
    assert [label.get_text() for label in largest.get_yticklabels()] == ["train a", "train b"]
    assert largest.get_title() == "memory\nlargest weight of a slot"
