"""Rule memory_layer_parameters_figure: exact match against parameters, all and those that a token uses."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import parameters_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    save(
        parameters_figure(read_tables(this.input.parameters), conditions, plotting), this.output, plotting, this.made_by
    )
