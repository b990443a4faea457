"""Rule extraction_near_verbatim_figure: probability of the suffix, and of all within one token of it."""

from memorization.extraction.figures.probes import near_verbatim_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = near_verbatim_figure(read_tables(this.input.runs), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
