"""Rule memory_layer_errors_figure: what is answered, right and wrong."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import errors_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    save(errors_figure(read_tables(this.input.errors), conditions, plotting), this.output, plotting, this.made_by)
