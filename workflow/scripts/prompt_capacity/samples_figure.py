"""Rule prompt_capacity_samples_figure: right answers by number of examples."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.training import samples_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = samples_figure(read_table(this.input.generalization), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
