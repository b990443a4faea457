"""Rule prompt_capacity_layout_figure: layouts compared in pairs."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.capacity import layout_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = layout_figure(read_table(this.input.layouts), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
