"""Rule prompt_capacity_length_figure: recall and bits against the length of a text."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.capacity import length_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = length_figure(read_table(this.input.memorization), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
