"""Rule memory_layer_repeating_digits_figure: whether numbers whose digits repeat use other slots, or other recall."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.routing import repeating_digits_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    table = read_tables(this.input.repeating_digits)
    save(repeating_digits_figure(table, conditions, plotting), this.output, plotting, this.made_by)
