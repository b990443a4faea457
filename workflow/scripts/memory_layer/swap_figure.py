"""Rule memory_layer_swap_figure: what is kept when slots are swapped in pairs, and whose answer comes."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.intervention import swap_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    swap = read_tables(this.input.swap)
    substitutes = read_tables(this.input.substitutes)
    save(swap_figure(swap, substitutes, conditions, plotting), this.output, plotting, this.made_by)
