"""Rule memory_layer_usage_figure: how many slots are used, and how evenly, during training."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.slots import usage_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    save(usage_figure(read_tables(this.input.usage), conditions, plotting), this.output, plotting, this.made_by)
