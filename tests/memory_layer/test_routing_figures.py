from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from sections import complete

from memorization.memory_layer.figures.attention import attention_figure, picture, save_pictures
from memorization.memory_layer.figures.routing import key_statistics_figure, repeating_digits_figure, routing_figure
from memorization.memory_layer.figures.shared import colours

PLOTTING = complete()["style"] | {"palette": "colorblind"}
HEAT = PLOTTING | {"palette": "viridis"}
NAMES = ["memory", "other"]


def rows(**columns):
    """A row for each condition, seed and head, with columns that are values or functions of these three."""
    return [
        {"condition": name, "seed": seed, "layer": 1, "head": head}
        | {key: value(n, seed, head) if callable(value) else value for key, value in columns.items()}
        for n, name in enumerate(NAMES)
        for seed in (0, 1)
        for head in (0, 1)
    ]


def circles(ax, name):
    """The values of the open circles of a condition, a list for each category."""
    colour = colours(NAMES, PLOTTING)[name]
    found = [each for each in ax.collections if isinstance(each, PathCollection)]
    found = [each for each in found if np.allclose(each.get_edgecolors()[0, :3], to_rgb(colour))]
    return [each.get_offsets()[:, 0].tolist() for each in sorted(found, key=lambda one: one.get_offsets()[0, 1])]


def grey(ax):
    """The ranges of what is shuffled, from the top."""
    found = [each for each in ax.collections if isinstance(each, LineCollection) and each.get_linewidths()[0] == 3.5]
    segments = [each.get_segments()[0] for each in found]
    return [segment[:, 0].tolist() for segment in sorted(segments, key=lambda one: one[0, 1])]


@pytest.fixture
def routing():
    table = []
    for label, bits in (("space", 2), ("digit", 4)):
        bits_of = lambda n, seed, head, bits=bits: bits + n + seed  # noqa: E731
        table += rows(by="type", label=label, entropy_bits=bits_of, ceiling_bits=8.0)
    for position in range(3):
        table += rows(by="answer_position", label=str(position), entropy_bits=position, ceiling_bits=8.0)
    return pd.DataFrame(table)


@pytest.fixture
def consistency():
    value = {"jaccard": lambda n, seed, head: 0.1 * n + 0.2 * seed + 0.02 * head, "null_jaccard": 0.05}
    value |= {"null_low": 0.01, "null_high": lambda n, seed, head: 0.1 + 0.1 * n}
    table = rows(likeness="word", token_type="all", **value) + rows(likeness="token", token_type="all", **value)
    return pd.DataFrame(table + rows(likeness="token", token_type="digit", **value | {"jaccard": 0.9}))


def test_routing_shows_types_positions_and_what_is_alike(routing, consistency):
    figure = routing_figure(routing, consistency, NAMES, PLOTTING)
    of_type, of_place, shared = figure.axes
    assert [label.get_text() for label in of_type.get_yticklabels()] == ["digit", "space"]
    np.testing.assert_allclose(circles(of_type, "memory"), [[16, 32], [4, 8]])
    np.testing.assert_allclose(circles(of_type, "other"), [[32, 64], [8, 16]])
    assert {
        line.get_xdata()[0] for line in of_type.lines if line.get_label() != "_" and line.get_color() == "0.35"
    } == {256}
    line = max(of_place.lines, key=lambda each: each.get_linewidth())
    assert line.get_xydata().tolist() == [[1, 1], [2, 2], [3, 4]]
    assert [label.get_text() for label in shared.get_yticklabels()] == ["this token", "the word so far"]
    np.testing.assert_allclose(circles(shared, "memory"), [[0.01, 0.21]] * 2)
    np.testing.assert_allclose(grey(shared), [[0.01, 0.1], [0.01, 0.2]] * 2)
    assert [text.get_text() for text in figure.legends[0].texts] == [*NAMES, "the most possible", "shuffled labels"]


def test_many_positions_are_drawn_in_bins(consistency):
    table = [
        rows(by="answer_position", label=str(n), entropy_bits=np.log2(n + 1), ceiling_bits=8.0) for n in range(120)
    ]
    table = pd.DataFrame(sum(table, rows(by="type", label="digit", entropy_bits=1.0, ceiling_bits=8.0)))
    table = table[(table["condition"] == "memory") | (table["by"] == "type") | table["label"].isin(["0", "1", "2"])]
    of_place = routing_figure(table, consistency, NAMES, PLOTTING).axes[1]
    line, short = (each for each in of_place.lines if each.get_linewidth() == 1.6)
    np.testing.assert_allclose(short.get_xydata(), [[1, 1], [2, 2], [3, 3]])
    assert len(line.get_xdata()) == 40
    np.testing.assert_allclose(line.get_xydata()[[0, 39]], [[2, 2], [119, 119]])


def test_key_statistics_are_of_slots_above_and_of_keys_below():
    table = []
    for slot, (count, weight) in enumerate([(0, 0.0), (10, 3.0), (10, 1.0), (0, 0.0)]):
        used = {"count": count, "weight": weight, "weight_variance": 0.04 if count else np.nan}
        table += rows(slot=slot, **used)
    table = pd.DataFrame(table)
    first = (table["slot"] == 3) & (table["head"] == 0)  # that a single head retrieves, once
    table.loc[first, ["count", "weight", "weight_variance"]] = [1, 0.5, 0.0]
    clusters = [
        *rows(of="half_keys_1", silhouette=lambda n, seed, head: 0.1 * head, null_low=-0.1, null_high=0.2),
        *rows(of="values", silhouette=lambda n, seed, head: 0.3 + 0.1 * seed, null_low=0.0, null_high=0.1),
        *rows(of="half_keys_2", silhouette=np.nan, null_low=np.nan, null_high=np.nan),  # too few
    ]
    ranked, never, varied, apart = key_statistics_figure(table, pd.DataFrame(clusters), NAMES, PLOTTING).axes
    line = max(ranked.lines, key=lambda each: each.get_linewidth())
    np.testing.assert_allclose(line.get_ydata(), [6 / 8.5, 2 / 8.5, 0.5 / 8.5])
    assert line.get_xdata()[0] == 1
    np.testing.assert_allclose(circles(never, "memory"), [[0.25, 0.25]])
    assert [label.get_text() for label in never.get_yticklabels()] == ["layer 1"]
    line = max(varied.lines, key=lambda each: each.get_linewidth())
    np.testing.assert_allclose(line.get_xydata(), [[10, 0.2]])
    assert [label.get_text() for label in apart.get_yticklabels()] == ["values", "first half keys"]
    np.testing.assert_allclose(circles(apart, "other"), [[0.3, 0.4], [0.05, 0.05]])
    np.testing.assert_allclose(grey(apart), [[0, 0.1], [0, 0.1], [-0.1, 0.2], [-0.1, 0.2]])


@pytest.fixture
def digits():
    table = []
    for n, against in enumerate(("n_slots", "weight_entropy_bits", "recall", "nll_bits")):
        for m, (entity, measure) in enumerate(product(("key", "answer"), ("repeats", "longest_run"))):
            rho = lambda name, seed, head, n=n, m=m: -0.2 + 0.1 * n + 0.02 * m + 0.01 * seed + 0.1 * name  # noqa: E731
            about = {"entity": entity, "measure": measure, "against": against}
            low, high = (lambda *of, rho=rho, d=d: rho(*of) + d for d in (-0.1, 0.2))
            table += rows(split="train", **about, rho=rho, low=low, high=high)
            table += rows(split="novel", **about, rho=0.9, low=0.8, high=0.95)
    table = pd.DataFrame(table).query("head == 0")
    table.loc[(table["against"] == "recall") & (table["condition"] == "other"), ["rho", "low", "high"]] = np.nan
    return table


def test_repeating_digits_have_a_panel_a_measure_and_an_interval_a_seed(digits):
    figure = repeating_digits_figure(digits, ["elsewhere", *NAMES], PLOTTING)
    titles = ["slots of an answer", "entropy of a head's weights", "recall", "bits of the answer"]
    assert [ax.get_title() for ax in figure.axes] == titles
    assert [text.get_text() for text in figure.legends[0].texts] == NAMES
    names = ["key, repeats", "key, longest run", "answer, repeats", "answer, longest run"]
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == names
    for n, ax in enumerate(figure.axes):
        for m, values in enumerate(circles(ax, "memory")):
            np.testing.assert_allclose(values, np.array([-0.2, -0.19]) + 0.1 * n + 0.02 * m)
        assert len(circles(ax, "other")) == (0 if titles[n] == "recall" else 4)
        ends = [
            part[:, 0] for each in ax.collections if isinstance(each, LineCollection) for part in each.get_segments()
        ]
        assert any(np.allclose(each, [-0.3 + 0.1 * n, 0.1 * n]) for each in ends)  # of key, repeats, memory, seed 0
        low, high = ax.get_xlim()
        assert low == -high
        assert [0, 0] in [list(line.get_xdata()) for line in ax.lines]


def test_without_pairs_of_numbers_panels_are_empty(digits):
    assert not any(circles(ax, "memory") for ax in repeating_digits_figure(digits[:0], NAMES, PLOTTING).axes)


@pytest.fixture
def heads():
    """A table of four heads, and two examples: one of four tokens, one of sixty."""
    draw = np.random.default_rng(0)
    examples = {"split": np.array(["train", "novel"]), "item": np.array(["12", "long"])}
    for n, length in enumerate((4, 60)):
        examples[f"probabilities_{n}"] = np.tril(draw.random((2, 2, length, length))).astype(np.float32)
        examples[f"tokens_{n}"] = np.array(["a", " ", "\n", "7"] * (length // 4))
        examples[f"answer_{n}"] = np.arange(length) > length - 3
    table = pd.DataFrame({"layer": [0, 0, 1, 1], "head": [0, 1, 0, 1], "entropy_bits": 1.5})
    table["class"] = ["previous token", "diffuse", "local", "key token"]
    for n, name in enumerate(("previous", "first", "local", "key")):
        table[f"mass_{name}"], table[f"uniform_{name}"] = 0.6 + n / 10, 0.1 + n / 10
    return table, examples


def test_the_grid_has_a_panel_a_head_with_its_class(heads):
    table, examples = heads
    figure = attention_figure(table, examples, 0, HEAT)
    *panels, bar = figure.axes
    assert figure.get_suptitle() == "train, 12"
    titles = [ax.get_title().splitlines()[1] for ax in panels]
    assert titles == [
        "previous token 0.60, even 0.10",
        "diffuse, 1.5 bits",
        "local 0.80, even 0.30",
        "key token 0.90, even 0.40",
    ]
    for ax, (layer, head) in zip(panels, np.ndindex(2, 2), strict=True):
        drawn = ax.images[0].get_array()
        np.testing.assert_array_equal(drawn.mask, np.triu(np.ones((4, 4), bool), 1))
        np.testing.assert_array_equal(drawn.filled(0), examples["probabilities_0"][layer, head])
        assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (0, 1)
    below = panels[2].get_xticklabels()
    assert [label.get_text() for label in below] == ["a", "␣", "↵", "7"]
    assert [label.get_fontweight() for label in below] == ["normal", "normal", "bold", "bold"]
    assert not len(panels[0].get_xticks())
    assert bar.get_ylabel() == "attention probability"


def test_long_texts_have_places_for_tokens(heads):
    panels = attention_figure(*heads, 1, HEAT).axes[:4]
    assert "a" not in [label.get_text() for label in panels[2].get_xticklabels()]
    examples = heads[1]
    figure = picture(examples["probabilities_1"][0, 0], examples["tokens_1"], examples["answer_1"], "one", HEAT)
    assert figure.axes[0].get_title() == "one"


def test_every_head_of_every_example_has_a_picture(heads, tmp_path):
    save_pictures(str(tmp_path / "pictures"), *heads, HEAT | {"dpi": 20}, {"code": "abc"})
    found = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert found == [f"example{n}_layer{layer}_head{head}.png" for n, layer, head in np.ndindex(2, 2, 2)]
    assert b"abc" in (tmp_path / "pictures" / found[0]).read_bytes()
