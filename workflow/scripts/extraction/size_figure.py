"""Rule extraction_size_figure: exact reproduction against parameters."""

from memorization.extraction.figures.rates import size_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = size_figure(read_tables(this.input.runs), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
