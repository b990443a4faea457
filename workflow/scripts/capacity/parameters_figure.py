"""Rule capacity_parameters_figure: bits against the number of parameters."""

from memorization.capacity.figures import parameters_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    models, plotting = this.settings("settings")["models"], this.settings("plotting")
    save(parameters_figure(read_tables(this.input.runs), models, plotting), this.output, plotting, this.made_by)
