"""The figures that are drawn from tables alone, by their names."""

from memorization.grokking.figures import accuracy_figure, perturbation_figure, residual_figure
from memorization.grokking.spectral_figures import distances_figure, spectrum_figure

FIGURES = {
    "accuracy": accuracy_figure,
    "spectrum": spectrum_figure,
    "distances": distances_figure,
    "residual": residual_figure,
    "perturbation": perturbation_figure,
}
