import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from sections import complete, plotting

from memorization.grokking.dynamics.figures import (
    distances_figure,
    eigenvalues_figure,
    fingerprint_figure,
    residual_figure,
    spectrum_figure,
)
from memorization.grokking.dynamics.spectra import FINGERPRINT, run_distances
from memorization.grokking.task.figures import accuracy_figure, perturbation_figure
from memorization.plotting import save, style

CONFIG = complete()
CONDITIONS = ["wd_1", "wd_2"]
NAMES = ["round_off", "relative_tenth"]  # of perturbations
RUNS = [(condition, seed) for condition in CONDITIONS for seed in range(3)]


def settings(name):
    return plotting(CONFIG, "grokking", name)


def history():
    rows = [
        (*run, step, 1 - 1 / (1 + step), min(step, 100) / 200 + run[1] / 10, 1 / 97)
        for run in RUNS
        for step in (0, 10, 100)
    ]
    rows += [("wd_1", 0, 200, 1.0, 1.0, 1 / 97)]  # where one seed alone goes on
    return pd.DataFrame(rows, columns=["condition", "seed", "step", "accuracy_train", "accuracy_val", "chance"])


def transitions():
    rows = [(*run, 10.0, 100.0 if run[0] == "wd_2" else np.nan, 1 / 97) for run in RUNS]
    return pd.DataFrame(rows, columns=["condition", "seed", "memorized_step", "generalized_step", "chance"])


def spectra():
    rng, rows = np.random.default_rng(0), []
    for condition, seed in RUNS:
        for data, draws in ((FINGERPRINT, 1), ("phase_randomised", 4), ("white_noise", 4)):
            for draw in range(draws):
                shift = 0.05 * (condition == "wd_2") * (data == FINGERPRINT)
                moduli = np.sort(0.95 - shift + 0.02 * rng.random(3))[::-1]
                values = moduli * np.exp([0, 0.3j, -0.3j])
                for mode, value in enumerate(values):
                    rows.append((condition, seed, data, draw, mode, value.real, value.imag, moduli[mode], 1 / 3))
    columns = ["condition", "seed", "data", "draw", "mode", "real", "imag", "modulus", "amplitude"]
    return pd.DataFrame(rows, columns=columns)


def ratios_of(ratio):
    rows = [
        (data, draw, measure, "wd_1 wd_2", ratio if data == FINGERPRINT else 1.0, 0.2, 0.1, 0.5, 0.25)
        for data, draws in ((FINGERPRINT, 1), ("phase_randomised", 4), ("white_noise", 4))
        for draw in range(draws)
        for measure in ("plain", "weighted")
    ]
    columns = ["data", "draw", "measure", "conditions", "ratio", "p", "smallest_p"]
    return pd.DataFrame(rows, columns=[*columns, "p_within_seeds", "smallest_p_within_seeds"])


def perturbed(reached=True):
    rows = []
    for name, size in zip(NAMES, (1e-6, 1e-1), strict=True):
        for seed in range(3):
            for step in range(0, 101, 2):
                value = size * np.exp(step / 50) * (step > 0)
                crossing = 80.0 + seed if reached and seed else np.nan
                rows.append(
                    ("wd_2", seed, name, step, value, value, value, 0.02 if step % 20 == 0 else np.nan, crossing, 90.0)
                )
    columns = ["condition", "seed", "perturbation", "step", "weight_distance", "rms_change", "fingerprint_distance"]
    return pd.DataFrame(rows, columns=[*columns, "growth_rate", "generalized_step", "reference_generalized_step"])


def entries(figure):
    """Labels of a figure's legend, and what stands before them."""
    legend = figure.legends[0]
    return {text.get_text(): line for text, line in zip(legend.texts, legend.get_lines(), strict=True)}


def crossings(ax):
    """Steps of the marks above a panel, of training and of validation."""
    marks = [line for line in ax.lines if line.get_marker() == "o" and not line.get_clip_on()]
    rings = [line.get_markerfacecolor() == "white" for line in marks]
    steps = [line.get_xdata()[0] for line in marks]
    return tuple([step for step, ring in zip(steps, rings, strict=True) if ring is kind] for kind in (True, False))


def test_accuracy_has_both_splits_their_mean_and_chance():
    figure = accuracy_figure(history(), conditions=CONDITIONS, plotting=settings("accuracy"))
    assert [ax.get_title(loc="left") for ax in figure.axes] == CONDITIONS
    ax = figure.axes[0]
    assert ax.get_xscale() == "linear"
    assert any(np.allclose(line.get_ydata(), 1 / 97) for line in ax.lines)
    train, validation = (line for line in ax.lines if line.get_linewidth() == 1.6)
    assert validation.get_xdata().tolist() == [0, 10, 100]  # as far as all seeds go
    assert validation.get_ydata().tolist() == pytest.approx([0.1, 0.15, 0.6])
    assert train.get_color() != validation.get_color()
    assert len([line for line in ax.lines if line.get_linewidth() == 0.6]) == 6
    assert crossings(ax) == ([100] * 3, [200])  # one seed alone generalizes
    assert crossings(figure.axes[1]) == ([100] * 3, [])
    marks = {"first 99% of training right", "first 99% of validation right"}
    assert entries(figure).keys() == {"training", "validation", "chance, 1/p"} | marks


def test_a_legend_has_no_marks_of_what_no_run_reached():
    table = history().assign(accuracy_val=0.5)
    figure = accuracy_figure(table, conditions=CONDITIONS, plotting=settings("accuracy"))
    assert "first 99% of training right" in entries(figure)
    assert "first 99% of validation right" not in entries(figure)


def test_the_fingerprint_has_a_line_a_quantile_and_its_crossings():
    steps, levels = np.arange(0, 20, 2), np.array([0.1, 0.5, 0.9])
    embedded = [(steps, levels, np.outer(steps, levels) - 5)] * 2
    runs = transitions().iloc[[0, 3]]
    figure = fingerprint_figure(embedded, runs, [], "log_prob", "val", settings("fingerprint"))
    one, two, scale = figure.axes
    assert (one.get_title(loc="left"), two.get_title(loc="left")) == ("wd_1, seed 0", "wd_2, seed 0")
    assert len([line for line in one.lines if len(line.get_xdata()) == 10]) == 3
    lines = [[line for line in ax.lines if len(line.get_xdata()) == 2] for ax in (one, two)]
    assert [line.get_linestyle() for line in lines[0]] == [":", "-"]  # a guess looks unlike a crossing
    assert lines[0][0].get_ydata()[0] == pytest.approx(-np.log(97))
    upright = [[line.get_xdata()[0] for line in panel if line.get_clip_on()][1:] for panel in lines]
    assert upright == [[10], [10, 100]]  # the first never generalized
    assert (crossings(one), crossings(two)) == (([10], []), ([10], [100]))
    assert "nats" in one.get_ylabel()
    assert "validation probe" in scale.get_ylabel()


def test_a_training_from_elsewhere_has_a_panel_of_its_own_unit_and_no_crossings():
    steps, levels = np.arange(0, 20, 2), np.array([0.1, 0.5, 0.9])
    embedded = [(steps, levels, scale * np.outer(steps, levels)) for scale in (1, 2, 100)]
    about = (transitions().iloc[[0, 3]], ["mine"], "log_prob", "val")
    one, two, other, scale = fingerprint_figure(embedded, *about, settings("fingerprint")).axes
    assert other.get_title(loc="left") == "mine, seed 0"
    assert other.get_ylabel() == "reading"
    assert len(other.lines) == 3  # quantiles; neither a crossing nor a guess
    assert one.get_ylim() == two.get_ylim() != other.get_ylim()
    assert "validation" not in scale.get_ylabel()
    rows = [(name, 0, step, 0, 0.1, 0.5) for name in ("wd_1", "mine") for step in (10, 100, 200)]
    table = pd.DataFrame(rows, columns=["condition", "seed", "step", "first_step", "residual", "unexplained"])
    known = transitions()[:1]
    figure = residual_figure(table, known, conditions=["wd_1", "mine"], plotting=settings("residual"))
    assert crossings(figure.axes[0]) == ([10], [])
    assert crossings(figure.axes[2]) == ([], [])
    assert [line.get_ydata().tolist() for line in figure.axes[2].lines] == [[0.1] * 3]


def test_residuals_have_a_line_a_seed_in_both_units_and_their_crossings():
    rows = [(*run, step, 0, 0.1 * (1 + run[1]), 0.5) for run in RUNS for step in (10, 100, 200)]
    table = pd.DataFrame(rows, columns=["condition", "seed", "step", "first_step", "residual", "unexplained"])
    figure = residual_figure(table, transitions(), conditions=CONDITIONS, plotting=settings("residual"))
    assert len(figure.axes) == 4
    assert "share" in figure.axes[0].get_ylabel()
    assert "unit" in figure.axes[1].get_ylabel()
    courses = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert [line.get_ydata()[0] for line in courses] == pytest.approx([0.1, 0.2, 0.3])
    colours = [to_hex(line.get_color()) for line in courses]
    assert len(set(colours)) == 3
    assert [to_hex(entries(figure)[f"seed {seed}"].get_color()) for seed in range(3)] == colours
    assert "first 99% of training right" in entries(figure)
    generalized = figure.axes[2]
    assert crossings(generalized) == ([10] * 3, [100] * 3)
    heights = {tuple(line.get_transform().transform((0, 1))) for line in generalized.lines if not line.get_clip_on()}
    assert len(heights) == 3  # a row a seed
    marked = [line for line in generalized.lines if line.get_marker() == "o" and line.get_clip_on()]
    assert [line.get_ydata()[0] for line in marked] == pytest.approx([0.1, 0.2, 0.3])


def test_spectra_stand_beside_their_surrogates_and_the_unit_circle():
    figure = spectrum_figure(spectra(), conditions=CONDITIONS, plotting=settings("spectrum"))
    planes, polars, orders = figure.axes[:2], figure.axes[2:4], figure.axes[4:]
    for ax in planes + polars:
        counts = sorted(len(points.get_offsets()) for points in ax.collections)
        assert counts == [3 * 2, 3 * 4 * 2, 3 * 4 * 2]  # Im λ ≥ 0 of three seeds, and of four draws each
    assert all(np.hypot(*ax.lines[0].get_data()) == pytest.approx(1) for ax in planes)
    for polar in polars:
        own = polar.collections[-1].get_offsets()
        assert sorted(set(own[:, 0].round(6))) == pytest.approx([0, 0.3])
        assert own[:, 1].max() < 1
    for order in orders:
        assert len(order.collections) == 2  # bands of the surrogates
        assert len([line for line in order.lines if line.get_marker() == "o"]) == 3  # a seed each
        assert order.get_ylim()[0] == 0
    labels = {"fingerprint", "phase-randomised", "white noise", "unit circle, |λ| = 1"}
    assert entries(figure).keys() == labels


def test_distances_are_a_matrix_and_ratios_with_their_p():
    distances = run_distances(spectra())
    figure = distances_figure(distances, ratios_of(4.0), conditions=CONDITIONS, plotting=settings("distances"))
    matrix = figure.axes[0].images[0].get_array()
    assert matrix.shape == (6, 6)
    assert matrix[0, 3:].min() > matrix[0, :3].max()
    assert matrix.mask.tolist() == np.eye(6, dtype=bool).tolist()  # a run and itself
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == CONDITIONS
    ratios = figure.axes[2]
    told = "p = 0.2 over all runs (least possible 0.1), p = 0.5 within seeds (least possible 0.25)"
    assert entries(figure).keys() == {f"all modes alike: {told}", f"modes by amplitude: {told}"}
    assert any(np.allclose(line.get_ydata(), 1) for line in ratios.lines)
    assert max(points.get_offsets()[:, 1].max() for points in ratios.collections) == 4


def test_distances_say_which_test_there_is_not():
    distances, look = run_distances(spectra()), settings("distances")
    part = ratios_of(2.0).assign(p_within_seeds=np.nan, smallest_p_within_seeds=np.nan)
    figure = distances_figure(distances, part, conditions=CONDITIONS, plotting=look)
    assert "all modes alike: p = 0.2 over all runs (least possible 0.1)" in entries(figure)
    figure = distances_figure(distances, part[:0], conditions=CONDITIONS, plotting=look)
    assert "all modes alike: too few seeds for a test" in entries(figure)
    with style(look):
        FigureCanvasAgg(figure).draw()


def test_perturbations_have_drifts_growth_and_crossings():
    figure = perturbation_figure(perturbed(), conditions=["wd_0", *CONDITIONS], plotting=settings("perturbation"))
    assert [part.get_suptitle() for part in figure.subfigs] == ["wd_2"]
    weights, readings, _, growth, generalized = figure.axes
    assert weights.get_yscale() == "log"
    mean = [line for line in readings.lines if line.get_linewidth() == 1.6]
    assert [line.get_ydata()[0] for line in mean] == pytest.approx([1e-6 * np.exp(0.04), 1e-1 * np.exp(0.04)])
    assert any(np.allclose(line.get_ydata(), 20) for line in growth.lines)  # per 1000 steps
    assert [label.get_text() for label in generalized.get_yticklabels()] == ["unperturbed", *NAMES]
    points = [line for line in generalized.lines if line.get_marker() == "o"]
    assert sorted(line.get_xdata()[0] for line in points) == [81, 81, 82, 82, 90, 90, 90]
    missed = [line.get_xdata()[0] for line in generalized.lines if line.get_marker() == ">"]
    assert missed == [100, 100]  # where their runs ended
    joined = [line for line in generalized.lines if len(line.get_xdata()) == 3]
    assert [line.get_xdata().tolist() for line in joined] == [[90, 100, 100], [90, 81, 81], [90, 82, 82]]
    assert list(entries(figure)) == [*NAMES, "99% not reached by then"]


def test_the_legend_has_a_triangle_only_where_a_run_missed():
    table = perturbed().assign(generalized_step=80.0)
    figure = perturbation_figure(table, conditions=CONDITIONS, plotting=settings("perturbation"))
    assert list(entries(figure)) == NAMES


def test_a_perturbation_of_nothing_can_be_drawn():
    nothing = perturbed().assign(weight_distance=0.0, rms_change=0.0, fingerprint_distance=0.0, growth_rate=np.nan)
    figure = perturbation_figure(nothing, conditions=CONDITIONS, plotting=settings("perturbation"))
    with style(settings("perturbation")):
        FigureCanvasAgg(figure).draw()


def test_one_run_s_eigenvalues_have_the_unit_circle():
    values = np.array([0.9, 0.5 + 0.5j, 0.5 - 0.5j])
    ax = eigenvalues_figure(values, "wd_1/seed0", CONFIG["style"]).axes[0]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.stack([values.real, values.imag], axis=1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Re λ", "Im λ")


def test_a_figure_is_written_alike_each_time(tmp_path):
    tables, look = (run_distances(spectra()), ratios_of(2.0)), settings("distances")
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = {ext: str(tmp_path / folder / f"x.{ext}") for ext in ("pdf", "png", "svg")}
        save(distances_figure(*tables, conditions=CONDITIONS, plotting=look), paths, look, {"code": "abcdef"})
        contents.append([(tmp_path / folder / f"x.{ext}").read_bytes() for ext in paths])
    assert contents[0] == contents[1]
