"""Rule prompt_capacity_dimension_figure: what a vector holds by its width."""

from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.capacity import dimension_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    tables = {name: read_table(path) for name, path in this.input.items()}
    figure = dimension_figure(tables["memorization"], tables.get("horizon"), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
