"""Rule prompt_capacity_dimension_figure: what a vector holds by its width."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures import dimension_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = dimension_figure(read_table(this.input.capacity), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
