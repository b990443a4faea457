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
    for name, size in (("round_off", 1e-6), ("relative_tenth", 1e-1)):
        for seed in range(3):
            for step in range(0, 101, 2):
                value = size * np.exp(step / 50) * (step > 0)
                crossing = 80.0 + seed if reached and seed else np.nan
                rows.append(
                    ("wd_2", seed, name, step, value, value, value, 0.02 if step % 20 == 0 else np.nan, crossing, 90.0)
                )
    columns = ["condition", "seed", "perturbation", "step", "weight_distance", "rms_change", "fingerprint_distance"]
    return pd.DataFrame(rows, columns=[*columns, "growth_rate", "generalized_step", "reference_generalized_step"])


def legend_entries(figure):
    return zip(figure.legends[0].texts, figure.legends[0].get_lines(), strict=True)


def test_accuracy_has_both_splits_their_mean_and_chance():
    figure = accuracy_figure(history(), conditions=CONDITIONS, plotting=settings("accuracy"))
    assert [ax.get_title() for ax in figure.axes] == CONDITIONS
    ax = figure.axes[0]
    assert any(np.allclose(line.get_ydata(), 1 / 97) for line in ax.lines)
    train, validation = (line for line in ax.lines if line.get_linewidth() == 1.6)
    assert validation.get_xdata().tolist() == [10, 100]  # as far as all seeds go
    assert validation.get_ydata().tolist() == pytest.approx([0.15, 0.6])
    assert train.get_color() != validation.get_color()
    assert len([line for line in ax.lines if line.get_linewidth() == 0.6]) == 6
    assert {text.get_text() for text in figure.legends[0].texts} == {"training", "validation", "chance, 1/p"}


def test_the_fingerprint_has_a_line_a_quantile_and_its_crossings():
    steps, levels = np.arange(0, 20, 2), np.array([0.1, 0.5, 0.9])
    embedded = [(steps, levels, np.outer(steps, levels) - 5)] * 2
    runs = transitions().iloc[[0, 3]]
    figure = fingerprint_figure(embedded, runs, "log_prob", "val", settings("fingerprint"))
    one, two = figure.axes[:2]
    assert (one.get_title(), two.get_title()) == ("wd_1, seed 0", "wd_2, seed 0")
    assert len([line for line in one.lines if len(line.get_xdata()) == 10]) == 3
    lines = [[line for line in ax.lines if len(line.get_xdata()) == 2] for ax in (one, two)]
    assert all(line.pop().get_ydata()[0] == pytest.approx(-np.log(97)) for line in lines)
    upright = [[line.get_xdata()[0] for line in panel] for panel in lines]
    assert upright == [[10], [10, 100]]  # the first never generalized
    assert "nats" in one.get_ylabel()
    assert "validation probe" in one.get_ylabel()


def test_residuals_have_a_line_a_seed_in_both_units():
    rows = [(*run, step, 0, 0.1 * (1 + run[1]), 0.5) for run in RUNS for step in (10, 20, 30)]
    table = pd.DataFrame(rows, columns=["condition", "seed", "step", "first_step", "residual", "unexplained"])
    figure = residual_figure(table, transitions(), conditions=CONDITIONS, plotting=settings("residual"))
    assert len(figure.axes) == 4
    assert "share" in figure.axes[0].get_ylabel()
    assert "unit" in figure.axes[2].get_ylabel()
    courses = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert [line.get_ydata()[0] for line in courses] == pytest.approx([0.1, 0.2, 0.3])
    colours = [to_hex(line.get_color()) for line in courses]
    assert len(set(colours)) == 3
    entries = {text.get_text(): to_hex(line.get_color()) for text, line in legend_entries(figure)}
    assert [entries[f"seed {seed}"] for seed in range(3)] == colours
    assert "99% of training right" in entries


def test_spectra_stand_beside_their_surrogates_and_the_unit_circle():
    figure = spectrum_figure(spectra(), conditions=CONDITIONS, plotting=settings("spectrum"))
    planes, orders = figure.axes[:2], figure.axes[2:]
    for plane, order in zip(planes, orders, strict=True):
        circle = plane.lines[0]
        assert np.hypot(*circle.get_data()) == pytest.approx(1)
        counts = sorted(len(points.get_offsets()) for points in plane.collections)
        assert counts == [3 * 2, 3 * 4 * 2, 3 * 4 * 2]  # Im λ ≥ 0 of three seeds, and of four draws each
        assert len(order.collections) == 2  # bands of the surrogates
    labels = {text.get_text() for text in figure.legends[0].texts}
    assert labels == {"fingerprint", "phase-randomised", "white noise", "unit circle"}


def test_distances_are_a_matrix_and_ratios_with_their_p():
    distances = run_distances(spectra())
    figure = distances_figure(distances, ratios_of(4.0), conditions=CONDITIONS, plotting=settings("distances"))
    matrix = figure.axes[0].images[0].get_array()
    assert matrix.shape == (6, 6)
    assert matrix[0, 3:].min() > matrix[0, :3].max()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == CONDITIONS
    ratios = figure.axes[2]
    assert [text.get_text() for text in ratios.texts] == ["0.2; 0.5", "0.2; 0.5"]
    assert "at least 0.1; 0.25" in ratios.get_title()
    assert any(np.allclose(line.get_ydata(), 1) for line in ratios.lines)
    assert max(points.get_offsets()[:, 1].max() for points in ratios.collections) == 4


def test_perturbations_have_drifts_growth_and_crossings():
    figure = perturbation_figure(perturbed(), conditions=["wd_0", *CONDITIONS], plotting=settings("perturbation"))
    assert len(figure.axes) == 6
    weights, readings, _, growth, reached, legend = figure.axes
    assert weights.get_yscale() == "log"
    mean = [line for line in readings.lines if line.get_linewidth() == 1.6]
    assert [line.get_ydata()[0] for line in mean] == pytest.approx([1e-6 * np.exp(0.04), 1e-1 * np.exp(0.04)])
    assert any(np.allclose(line.get_ydata(), 20) for line in growth.lines)  # per 1000 steps
    points = [line for line in reached.lines if line.get_marker() == "o"]
    assert [np.nansum(line.get_ydata()) for line in points] == [163, 163]
    assert "▲: not by 100" in reached.get_ylabel()
    missed = [len(line.get_xdata()) for line in reached.lines if line.get_marker() == "^"]
    assert missed == [1, 1]
    assert [text.get_text() for text in legend.get_legend().texts] == ["round_off", "relative_tenth", "unperturbed"]


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
