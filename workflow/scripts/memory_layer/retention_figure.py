"""Rule memory_layer_retention_figure: what a second training learns and leaves."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.retention import retention_figure
from memorization.plotting import save

with job(snakemake) as this:
    tables = [read_tables(files) for files in (this.input.recall, this.input.forgetting, this.input.history)]
    plotting = this.settings("plotting")
    figure = retention_figure(*tables, this.settings("settings")["conditions"], plotting)
    save(figure, this.output, plotting, this.made_by)
