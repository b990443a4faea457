"""Rule capacity_training_figure: bits per parameter against steps."""

from memorization.capacity.figures import training_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    comparisons, plotting = this.settings("settings")["comparisons"], this.settings("plotting")
    figure = training_figure(read_tables(this.input.runs), comparisons, plotting)
    save(figure, this.output, plotting, this.made_by)
