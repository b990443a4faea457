import numpy as np
import pandas as pd
import pytest
from sections import complete

from memorization.memory_layer.figures.intervention import INTERVENTIONS, predictions_figure, swap_figure

PLOTTING = complete()["style"]
NAMES, SLOTS = ["memory", "one_head"], [7, 3, 5]
KEPT = {(7, 3): 0.1, (7, 5): 0.9, (3, 7): 0.2, (3, 5): 0.3, (5, 7): 0.8, (5, 3): 0.4}


@pytest.fixture
def swap():
    """Two conditions, seeds, kinds, layers and positions; the last layer of seed 0 keeps ``KEPT``, others nothing."""
    rows = []
    for name in NAMES:
        for seed, kind, layer, position in np.ndindex(2, 2, 2, 2):
            for (slot, partner), kept in KEPT.items():
                row = {"condition": name, "seed": seed, "kind": ("values", "half_keys")[kind], "layer": layer}
                row |= {"slot": slot, "partner_slot": partner, "position": position, "n_examples": 2}
                row |= {"kept_share": kept if seed == 0 and layer == 1 else 0.0, "n": 1 + position, "own_share": 0.5}
                row |= {"partner_share": 0.3 + 0.1 * seed + 0.1 * position * layer, "neither_share": 0.2, "chance": 0.1}
                row |= {
                    "n_elsewhere": 1,
                    "nll_change_bits": 0.0,
                    "elsewhere_share": 0.2 + 0.02 * kind,
                    "elsewhere_chance": 0.1,
                }
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def substitutes(swap):
    keys = ["condition", "seed", "kind", "layer", "slot"]
    of = swap[keys].drop_duplicates()
    places, clusters = {7: 2, 3: 0, 5: 1}, {7: 1, 3: 0, 5: 1}
    return of.assign(place=of["slot"].map(places), cluster=of["slot"].map(clusters), clusters=2, p=0.25)


def test_swaps_are_those_of_the_last_layer_in_the_order_of_clusters(swap, substitutes):
    figure = swap_figure(swap, substitutes, NAMES, PLOTTING | {"palette": "viridis"})
    heat, other, excess = figure.axes[:3]
    assert heat.get_title() == "memory, swap of values\n2 clusters, p = 0.25"
    assert other.get_title() == "memory, swap of half-keys\n2 clusters, p = 0.25"
    values = np.ma.filled(heat.collections[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(values, [[np.nan, 0.3, 0.2], [0.4, np.nan, 0.8], [0.1, 0.9, np.nan]])
    assert [line.get_ydata()[0] for line in heat.lines if line.get_xdata()[0] == 0] == [1]  # 3 | 5, 7
    means = [line for line in excess.lines if line.get_linewidth() == 1.6]
    here, elsewhere = means[:2]
    np.testing.assert_allclose(here.get_xydata(), [[0, 0.25], [1, 0.35]])
    assert (here.get_linestyle(), elsewhere.get_linestyle()) == ("-", "--")
    np.testing.assert_allclose(elsewhere.get_ydata(), 0.1)
    np.testing.assert_allclose(means[3].get_ydata(), 0.12)
    assert [text.get_text() for text in figure.legends[0].texts][:2] == ["swap of values", "swap of half-keys"]


def test_a_matrix_too_small_for_clusters_says_so(swap, substitutes):
    figure = swap_figure(swap, substitutes.assign(p=np.nan), NAMES[:1], PLOTTING | {"palette": "viridis"})
    assert figure.axes[0].get_title() == "memory, swap of values\ntoo few slots to cluster"


def test_predictions_are_stacked_shares_with_a_circle_a_seed_and_the_control_last():
    rows = []
    for name in NAMES:
        for seed, partner in ((0, 1), (1, 3)):
            for intervention in ("swap_values", "inject"):
                kinds = ["partner"] * partner + ["neither"] * 2 + ["own"] * (5 - partner)
                rows += [
                    {"condition": name, "seed": seed, "intervention": intervention, "kind": kind, "chance": 0.2}
                    for kind in kinds
                ]
    one = {"condition": "memory", "seed": 0, "own_share": 0.0, "neither_share": 0.0, "chance": 0.1, "n": 9}
    control = [
        one | {"keys": "product", "intervention": each, "partner_share": 1.0} for each in ("swap_values", "inject")
    ]
    control += [one | {"keys": "flat", "intervention": "swap_values", "partner_share": 0.0}]
    control += [one | {"keys": "product", "intervention": "matrix_values", "partner_share": 0.0}]
    colours = PLOTTING | {"palette": "colorblind"}
    figure = predictions_figure(pd.DataFrame(rows), pd.DataFrame(control), NAMES, colours)
    assert [ax.get_title() for ax in figure.axes] == [*NAMES, "by construction"]
    assert [each.get_text() for each in figure.axes[0].get_yticklabels()] == [
        INTERVENTIONS["swap_values"], INTERVENTIONS["inject"],
    ]  # fmt: skip
    partner, neither, own = figure.axes[0].containers
    np.testing.assert_allclose([bar.get_width() for bar in partner], 2 / 7)
    np.testing.assert_allclose([(bar.get_x(), bar.get_width()) for bar in neither], [(2 / 7, 2 / 7)] * 2)
    np.testing.assert_allclose([(bar.get_x(), bar.get_width()) for bar in own], [(4 / 7, 3 / 7)] * 2)
    left, right, chance = figure.axes[0].collections
    np.testing.assert_allclose(sorted(left.get_offsets()[:, 0]), [1 / 7, 1 / 7, 3 / 7, 3 / 7])
    np.testing.assert_allclose(sorted(right.get_offsets()[:, 0]), [3 / 7, 3 / 7, 5 / 7, 5 / 7])
    np.testing.assert_allclose([segment[0, 0] for segment in chance.get_segments()], 0.2)
    np.testing.assert_allclose([bar.get_width() for bar in figure.axes[2].containers[0]], 1)
