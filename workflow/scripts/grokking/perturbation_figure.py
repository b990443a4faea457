"""Rule grokking_perturbation_figure: how far perturbed runs drift."""

from memorization.files import read_tables
from memorization.grokking.task.figures import perturbation_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = perturbation_figure(read_tables(this.input.perturbation), conditions=conditions, plotting=plotting)
    save(figure, this.output, plotting, this.made_by)
