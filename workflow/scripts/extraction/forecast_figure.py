"""Rule extraction_forecast_figure: what foretells what is memorized at the end."""

from memorization.extraction.figures.comparison import forecast_figure
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = forecast_figure(read_table(this.input.forecast), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
