"""Rule memory_layer_value_norms_figure: norms of values against how often their slots are retrieved."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.slots import value_norms_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = value_norms_figure(read_tables(this.input.value_norms), conditions, plotting)
    save(figure, this.output, plotting, this.made_by)
