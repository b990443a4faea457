"""Rule memory_layer_frequency_figure: exact match against exposures."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import frequency_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    save(frequency_figure(read_tables(this.input.recall), conditions, plotting), this.output, plotting, this.made_by)
