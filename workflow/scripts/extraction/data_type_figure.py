"""Rule extraction_data_type_figure: exact reproduction by data type."""

from memorization.extraction.figures.rates import data_type_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = data_type_figure(read_tables(this.input.runs), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
