"""Rule memory_layer_activations_figure: what a few examples retrieve."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.slots import activations_figure
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    save(activations_figure(read_tables(this.input.activations), plotting), this.output, plotting, this.made_by)
