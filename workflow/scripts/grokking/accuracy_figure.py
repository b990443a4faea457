"""Rule grokking_accuracy_figure: accuracies against steps."""

from memorization.files import read_tables
from memorization.grokking.task.figures import accuracy_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = accuracy_figure(read_tables(this.input.history), conditions=conditions, plotting=plotting)
    save(figure, this.output, plotting, this.made_by)
