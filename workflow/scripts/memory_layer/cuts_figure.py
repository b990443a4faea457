"""Rule memory_layer_cuts_figure: how many slots an answer rests on."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.ablation import cuts_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    save(cuts_figure(read_tables(this.input.cuts), conditions, plotting), this.output, plotting, this.made_by)
