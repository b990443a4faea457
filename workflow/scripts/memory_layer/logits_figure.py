"""Rule memory_layer_logits_figure: probability, entropy and rank of the answer's tokens; calibration."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import logits_figure
from memorization.plotting import save

with job(snakemake) as this:
    tables = [read_tables(this.input.logits), read_tables(this.input.calibration)]
    plotting = this.settings("plotting")
    figure = logits_figure(*tables, this.settings("settings")["conditions"], plotting)
    save(figure, this.output, plotting, this.made_by)
