"""Rules <family>_loss_figure and <family>_accuracy_figure: single sequences against exposures."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.random_sequences.figures import curves_figure

with job(snakemake) as this:
    settings, plotting = this.settings("settings"), this.settings("plotting")
    figure = curves_figure(read_tables(this.input.runs), plotting=plotting, **settings)
    save(figure, this.output, plotting, this.made_by)
