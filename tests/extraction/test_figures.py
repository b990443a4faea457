import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.collections import PathCollection
from sections import FOLDER, complete

from memorization.extraction.figures.comparison import difference_figure, forecast_figure, membership_figure
from memorization.extraction.figures.probes import interference_figure, map_figure, near_verbatim_figure
from memorization.extraction.figures.rates import copies_figure, data_type_figure, prefix_figure, size_figure
from memorization.extraction.figures.shared import looks

STYLE = complete()["style"]
FIGURES = yaml.safe_load((FOLDER / "families/extraction.yaml").read_text())["extraction"]["figures"]
ARCHITECTURES = {"mamba_m": "mamba", "neox_m": "neox", "neox_s": "neox"}  # sorted, as a job has it
SETTINGS = {"conditions": ["neox_s", "neox_m", "mamba_m"], "architectures": ARCHITECTURES}
SIZES = {"neox_s": 2e5, "neox_m": 1e6, "mamba_m": 1.1e6}
LEVEL = {"neox_s": 0.1, "neox_m": 0.3, "mamba_m": 0.5}


def look(figure):
    return STYLE | FIGURES[figure]


def line(ax, label):
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return found


def legend(figure):
    return [text.get_text() for text in figure.legends[0].texts]


def points(ax):
    """Where the circles and dots of a panel stand."""
    return np.concatenate([each.get_offsets().data for each in ax.collections if isinstance(each, PathCollection)])


def drawn(figure):
    """A figure once it is laid out, without an error."""
    figure.draw_without_rendering()
    return figure


def cell(condition, seed, copies, exact, **others):
    row = {"architecture": ARCHITECTURES.get(condition), "model": condition, "parameters": SIZES.get(condition, 1e6)}
    row |= {"seed": seed, "data_type": "all", "role": "planted", "copies": copies, "scheme": "planted"}
    row |= {"protocol": "fixed_start", "prefix_length": 48, "suffix_length": 16, "n_windows": 12}
    return row | {"exact": exact, "matched_run": 16 * exact} | others


@pytest.fixture
def rates():
    """Three models of two seeds, of 0, 1 and 4 copies and controls, over all windows in two schemes."""
    rows = []
    for name, level in LEVEL.items():
        for seed in (0, 1):
            for data_type in ("all", "code", "prose"):
                of = {"data_type": data_type}
                for copies in (0, 1, 4):
                    rows.append(cell(name, seed, copies, level * copies / 4 + 0.02 * seed * (copies > 0), **of))
                rows.append(cell(name, seed, 0, 0.05, role="control", n_windows=100, **of))
                for protocol in ("fixed_start", "fixed_suffix"):
                    for prefix in (8, 48):
                        share = (level + 0.02 * seed) * prefix / 48
                        of_prompt = of | {"protocol": protocol, "prefix_length": prefix, "n_windows": 24}
                        rows.append(cell(name, seed, -1, share, scheme="uniform", **of_prompt))
                        rows.append(cell(name, seed, -1, 1.5 * share, scheme="by_copies", **of_prompt))
    return pd.DataFrame(rows)


@pytest.fixture
def texts():
    """Two models from elsewhere, one seed each, texts of two types and unknown copies."""
    rows = []
    for name, share in (("neox_s", 0.01), ("mamba_m", 0.02)):
        for data_type in ("all", "ArXiv", "FreeLaw"):
            for prefix in (150, 900):
                of = {"data_type": data_type, "role": "text", "scheme": "uniform", "prefix_length": prefix}
                rows.append(cell(name, 0, -1, share, **of | {"suffix_length": 50, "n_windows": 360}))
    return pd.DataFrame(rows)


def test_a_model_looks_the_same_whichever_models_a_table_has():
    every = looks(SETTINGS, look("copies"))
    assert list(every) == SETTINGS["conditions"]
    some = looks(SETTINGS, look("copies"), pd.DataFrame({"condition": ["mamba_m", "neox_s"]}))
    assert some == {name: every[name] for name in ("neox_s", "mamba_m")}


def test_an_architecture_has_a_hue_and_its_larger_models_are_darker():
    names = [f"{of}_{size}" for of in ("pythia", "mamba") for size in range(5)]
    settings = {"conditions": names, "architectures": {name: name.split("_")[0] for name in names}}
    found = looks(settings, look("copies"))
    assert len({(each.color, each.linestyle) for each in found.values()}) == 10
    for architecture in ("pythia", "mamba"):
        of = [found[name] for name in names if name.startswith(architecture)]
        assert np.all(np.diff([sum(each.color) for each in of]) < 0)
        assert len({each.linestyle for each in of}) == 5
        assert of[-1].linestyle == "-"
        assert len({each.marker for each in of}) == 1


def test_lines_stand_over_doublings_of_copies_and_windows_of_none_stand_apart(rates):
    exact, matched = drawn(copies_figure(rates, SETTINGS, look("copies"))).axes
    np.testing.assert_allclose(line(exact, "neox_m").get_xydata(), [[0, 0.085], [2, 0.31]])
    np.testing.assert_allclose(line(matched, "mamba_m").get_ydata(), [16 * 0.135, 16 * 0.51])
    assert [text.get_text() for text in exact.get_xticklabels()] == ["0", "1", "4"]
    assert exact.get_xticks()[0] < -1
    circles = points(exact)
    np.testing.assert_allclose(circles[:, 1], 0)
    assert circles[:, 0].max() < -0.6
    dotted = [each for each in exact.lines if each.get_linestyle() == ":"]
    np.testing.assert_allclose([each.get_ydata()[0] for each in dotted], 0.05)
    assert "n = 12 windows" in exact.get_xlabel()


def test_the_legend_says_what_is_drawn_and_no_more(rates):
    every = legend(copies_figure(rates, SETTINGS, look("copies")))
    assert every == [*SETTINGS["conditions"], "controls, never trained on", "0 copies, a circle a seed"]
    one = rates[(rates["model"] == "neox_m") & (rates["copies"] > 0)]
    assert legend(drawn(copies_figure(one, SETTINGS, look("copies")))) == ["neox_m"]


def test_a_model_without_a_seed_is_drawn_with_those_that_it_has(rates):
    rates = rates[(rates["model"] != "mamba_m") | (rates["seed"] == 0)]
    exact, _ = drawn(copies_figure(rates, SETTINGS, look("copies"))).axes
    np.testing.assert_allclose(line(exact, "mamba_m").get_ydata(), [0.125, 0.5])
    np.testing.assert_allclose(line(exact, "neox_m").get_ydata(), [0.085, 0.31])


def test_texts_of_unknown_copies_are_points_apart_from_the_longest_prefix(texts, rates):
    exact, _ = drawn(copies_figure(texts, SETTINGS, look("copies"))).axes
    assert [text.get_text() for text in exact.get_xticklabels()] == ["unknown"]
    np.testing.assert_allclose(points(exact)[:, 1], [0.01, 0.02])
    assert exact.get_ylabel().startswith("50 tokens after 900")
    assert exact.get_ylim()[1] < 0.03
    both = pd.concat([texts[texts["model"] == "mamba_m"], rates[rates["model"] == "neox_m"]])
    exact, _ = drawn(copies_figure(both, SETTINGS, look("copies"))).axes
    assert [text.get_text() for text in exact.get_xticklabels()] == ["0", "1", "4", "unknown"]


def test_prefixes_stand_in_a_panel_a_protocol(rates, texts):
    start, suffix = drawn(prefix_figure(rates, SETTINGS, look("prefix"))).axes
    np.testing.assert_allclose(line(start, "mamba_m").get_xydata(), [[8, 0.51 / 6], [48, 0.51]])
    np.testing.assert_allclose(line(suffix, "neox_s").get_xydata(), [[8, 0.11 / 6], [48, 0.11]])
    assert suffix.get_xticks().tolist() == [8, 48]
    start, _ = drawn(prefix_figure(texts, SETTINGS, look("prefix"))).axes
    np.testing.assert_allclose(line(start, "mamba_m").get_ydata(), 0.02)


def test_sizes_stand_in_a_panel_a_scheme_with_a_line_an_architecture(rates, texts):
    figure = drawn(size_figure(rates, SETTINGS, look("size")))
    uniform, by_copies = figure.axes
    assert legend(figure) == ["neox", "mamba"]
    means = [each.get_xydata() for each in uniform.lines if each.get_linewidth() == 1.6]
    np.testing.assert_allclose(means[0], [[2e5, 0.11], [1e6, 0.31]])
    np.testing.assert_allclose(means[1], [[1.1e6, 0.51]])
    thick = [each.get_ydata() for each in by_copies.lines if each.get_linewidth() == 1.6]
    np.testing.assert_allclose(thick[0], [0.165, 0.465])
    assert uniform.get_xscale() == "log"
    assert len(drawn(size_figure(texts, SETTINGS, look("size"))).axes) == 1


def test_data_types_have_a_panel_each_against_copies(rates):
    code, prose = drawn(data_type_figure(rates, SETTINGS, look("data_type"))).axes
    assert [ax.get_title() for ax in (code, prose)] == ["code", "prose"]
    np.testing.assert_allclose(line(prose, "neox_m").get_ydata(), [0.085, 0.31])


def test_data_types_of_unknown_copies_have_a_row_each(texts):
    (ax,) = drawn(data_type_figure(texts, SETTINGS, look("data_type"))).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ArXiv", "FreeLaw"]
    places = points(ax)
    np.testing.assert_allclose(places[:, 0], [0.01, 0.01, 0.02, 0.02])
    np.testing.assert_allclose(np.round(places[:, 1]), [0, 1, 0, 1])


def membership():
    columns = ["condition", "seed", "score", "copies", "auc", "tpr_at_1_fpr"]
    rows = []
    for name in ("neox_s", "neox_m"):
        for seed in (0, 1):
            for score in ("blind", "lira", "small_large_ratio", "loss"):
                if (name, score) != ("neox_s", "small_large_ratio"):
                    level = 0.5 if score == "blind" else 0.6
                    rows.append((name, seed, score, -1, level + 0.01 * seed, 0.02))
                    rows += [(name, seed, score, copies, level + 0.1 * seed + copies / 40, 0.02) for copies in (1, 8)]
    return pd.DataFrame(rows, columns=columns).assign(n_members=96, n_non_members=1000)


def test_scores_are_rows_in_an_order_of_their_own_beside_lines_of_guessing():
    figure = drawn(membership_figure(membership(), SETTINGS, look("membership")))
    auc, tpr, loss, lira = figure.axes
    names = [text.get_text().split("\n")[0] for text in auc.get_yticklabels()]
    assert names == ["loss", "loss of the small", "LiRA", "blind: the text alone,"]
    bars = {round(float(each.get_ydata()[0]), 2): each.get_xdata()[0] for each in auc.lines if each.get_marker() == "|"}
    np.testing.assert_allclose(list(bars.values()), [0.605, 0.605, 0.505, 0.605, 0.605, 0.605, 0.505])
    assert len(bars) == 7
    guessing = [[each.get_xdata()[0] for each in ax.lines if each.get_linestyle() == ":"] for ax in (auc, tpr)]
    assert guessing == [[0.5], [0.01]]
    np.testing.assert_allclose(line(loss, "neox_m").get_xydata(), [[0, 0.675], [3, 0.85]])
    assert lira.get_title().startswith("LiRA")


def test_membership_is_drawn_without_reference_models_and_without_copies():
    table = membership()
    axes = drawn(membership_figure(table[table["score"] != "lira"], SETTINGS, look("membership"))).axes
    assert len(axes) == 3
    axes = drawn(membership_figure(table[table["copies"] < 0], SETTINGS, look("membership"))).axes
    assert len(axes) == 2


def differences():
    rows = []
    for comparison, first, second in (("a", "mamba_m", "neox_m"), ("b", "mamba_m", "neox_s")):
        for seed in (0, 1):
            cells = [(0, "fixed_start", 48, 0.0), (2, "fixed_start", 48, 0.2), (8, "fixed_start", 48, -0.3)]
            cells += [(-1, protocol, prefix, 0.1) for protocol in ("fixed_start", "fixed_suffix") for prefix in (8, 48)]
            for copies, protocol, prefix, value in cells:
                row = {"comparison": comparison, "first": first, "second": second, "seed": seed, "role": "planted"}
                row |= {"protocol": protocol, "prefix_length": prefix, "suffix_length": 16, "copies": copies, "n": 12}
                rows.append(row | {"exact": value + 0.1 * seed * (copies != 0)})
    return pd.DataFrame(rows)


def test_differences_stand_around_zero_with_the_names_of_who_gives_more():
    axes = drawn(difference_figure(differences(), SETTINGS, look("difference"))).axes
    assert len(axes) == 4
    np.testing.assert_allclose(line(axes[2], "a").get_xydata(), [[1, 0.25], [3, -0.25]])
    np.testing.assert_allclose(line(axes[3], "fixed_suffix").get_xydata(), [[8, 0.15], [48, 0.15]])
    assert [text.get_text() for text in axes[0].texts] == ["mamba_m more", "neox_s more"]
    assert [text.get_text() for text in axes[2].texts] == ["mamba_m more", "neox_m more"]
    assert axes[0].get_ylim()[0] == -axes[0].get_ylim()[1]


def test_differences_of_texts_of_unknown_copies_are_drawn():
    table = differences()
    left, *_ = drawn(difference_figure(table[table["copies"] < 0], SETTINGS, look("difference"))).axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["unknown"]


def test_forecasts_by_the_small_model_stand_behind_those_by_earlier_steps():
    rows = []
    for seed in (0, 1):
        for predictor, share, precision, recall in (
            ("neox_m", 0.0, 0.3, 0.3),  # before the first step: an axis of logarithms has no place for it
            ("neox_m", 0.01, np.nan, 0.0),
            ("neox_m", 0.1, 0.8, 0.4),
            ("neox_m", 0.5, 0.9, 0.7),
            ("neox_s", 1.0, 0.95, 0.3),
        ):
            row = {"condition": "neox_m", "predictor": predictor, "share_of_training": share, "seed": seed}
            rows.append(row | {"n_items": 96, "precision": precision, "recall": recall, "base_rate": 0.4})
    precision, recall = drawn(forecast_figure(pd.DataFrame(rows), SETTINGS, look("forecast"))).axes
    np.testing.assert_allclose(line(precision, "neox_m").get_xydata(), [[0.1, 0.8], [0.5, 0.9]])
    np.testing.assert_allclose(line(recall, "neox_m").get_xydata(), [[0.01, 0], [0.1, 0.4], [0.5, 0.7]])
    (small,) = [each for each in recall.lines if each.get_marker() == "_"]
    assert small.get_xdata()[0] > 1
    np.testing.assert_allclose(small.get_ydata(), 0.3)
    (base,) = [each for each in precision.lines if each.get_linestyle() == ":"]
    np.testing.assert_allclose(base.get_ydata(), 0.4)


def test_interference_stands_at_even_places_and_leaves_out_what_was_not_trained_on():
    rows = []
    for name, level in (("neox_m", 2), ("mamba_m", 1)):
        for distance, exact in ((0, level + 1), (64, level), (256, 0)):
            for window in range(4):
                row = {"condition": name, "seed": 0, "window": window, "distance": distance, "matched_run": 8}
                rows.append(row | {"role": "planted", "copies": 2, "exact": window < exact})
                rows.append(row | {"role": "planted", "copies": 0, "exact": False, "window": 10 + window})
                rows.append(row | {"role": "control", "copies": 0, "exact": False, "window": 20 + window})
    exact, matched = drawn(interference_figure(pd.DataFrame(rows), SETTINGS, look("interference"))).axes
    np.testing.assert_allclose(line(exact, "neox_m").get_xydata(), [[0, 0.75], [1, 0.5], [2, 0]])
    np.testing.assert_allclose(line(matched, "mamba_m").get_ydata(), 8)
    assert [text.get_text() for text in exact.get_xticklabels()] == ["0", "64", "256"]
    assert "n = 4 windows" in exact.get_xlabel()


def extraction_map(conditions):
    rows = []
    for name in conditions:
        for document, data_type, copies in (("b", "prose", [0, 4, 4, 0, 2]), ("a", "code", [0, 0])):
            for place, number in enumerate(copies):
                row = {"condition": name, "seed": 0, "document": document, "data_type": data_type, "start": 8 * place}
                rows.append(row | {"log10_p_z": -np.inf if place == 0 else -place, "copies": number})
    return pd.DataFrame(rows)


def test_the_map_has_a_row_a_document_and_marks_where_windows_are_planted():
    top, bottom, bar = drawn(map_figure(extraction_map(["mamba_m", "neox_m"]), SETTINGS, look("map"))).axes
    assert [top.get_title(), bottom.get_title()] == ["neox_m", "mamba_m"]
    assert [text.get_text() for text in top.get_yticklabels()] == ["a (code)", "b (prose)"]
    short, long = (np.asarray(each.get_array()).ravel() for each in top.collections)
    np.testing.assert_allclose(short, [-20, -1])
    np.testing.assert_allclose(long, [-20, -1, -2, -3, -4])
    assert [each.get_xdata().tolist() for each in top.lines] == [[8, 24], [32, 40]]
    assert [text.get_text() for text in top.texts] == ["4", "2"]
    assert "log₁₀" in bar.get_ylabel()


def test_a_map_of_three_models_has_three_panels():
    figure = drawn(map_figure(extraction_map(SETTINGS["conditions"]), SETTINGS, look("map")))
    assert [ax.get_title() for ax in figure.axes[:-1]] == SETTINGS["conditions"]


def test_nearly_verbatim_mass_stands_over_the_probability_and_a_bound_where_there_is_no_mass():
    table = pd.DataFrame(
        {
            "condition": ["neox_m", "neox_m", "mamba_m"],
            "seed": 0,
            "p_z": [1e-4, 0.0, 1e-3],
            "mass": [1e-2, 1e-8, np.nan],
            "bound": [5e-3, 1e-9, 1e-1],
        }
    )
    figure = drawn(near_verbatim_figure(table, SETTINGS, look("near_verbatim")))
    near, seen = figure.axes
    dots = [each for each in near.lines if each.get_linestyle() == "None"]
    np.testing.assert_allclose(dots[0].get_xydata(), [[-4, -2], [-20, -8]])
    np.testing.assert_allclose(dots[1].get_xydata(), [[-3, -1]])
    assert [each.get_fillstyle() for each in dots] == ["full", "none"]
    np.testing.assert_allclose(seen.lines[0].get_xydata(), [[-2, 0.5], [-8, 0.1]])
    assert "lower bound of the mass" in legend(figure)
    assert len(drawn(near_verbatim_figure(table[2:], SETTINGS, look("near_verbatim"))).axes) == 1
