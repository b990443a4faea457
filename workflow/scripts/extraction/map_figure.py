"""Rule extraction_map_figure: probability of extraction along documents."""

from memorization.extraction.figures.probes import map_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = map_figure(read_tables(this.input.runs), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
