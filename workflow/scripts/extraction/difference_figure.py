"""Rule extraction_difference_figure: paired differences of two models."""

from memorization.extraction.figures.comparison import difference_figure
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = difference_figure(read_table(this.input.difference), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
