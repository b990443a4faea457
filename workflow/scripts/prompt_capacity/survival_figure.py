"""Rule prompt_capacity_survival_figure: what is left of a prompt with fewer bits."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.capacity import survival_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = survival_figure(read_table(this.input.survival), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
