"""Rule memory_layer_loss_figure: loss against steps."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import loss_figure
from memorization.plotting import save

with job(snakemake) as this:
    comparisons, plotting = this.settings("settings")["comparisons"], this.settings("plotting")
    save(loss_figure(read_tables(this.input.losses), comparisons, plotting), this.output, plotting, this.made_by)
