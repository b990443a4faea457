"""Rule extraction_membership_figure: how well scores tell who was trained on."""

from memorization.extraction.figures.comparison import membership_figure
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = membership_figure(read_table(this.input.membership), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
