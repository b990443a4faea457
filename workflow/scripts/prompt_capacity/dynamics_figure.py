"""Rule prompt_capacity_dynamics_figure: loss, norm and angle of prompts as they are trained."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.plotting import save
from memorization.prompt_capacity.figures.training import dynamics_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = dynamics_figure(list(map(read_arrays, this.input.runs)), this.settings("settings"), plotting)
    save(figure, this.output, plotting, this.made_by)
