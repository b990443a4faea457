"""Rule grokking_distances_figure: distances between the spectra of runs."""

from memorization.files import read_tables
from memorization.grokking.dynamics.figures import distances_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = distances_figure(
        read_tables(this.input.distances), read_tables(this.input.tests), conditions=conditions, plotting=plotting
    )
    save(figure, this.output, plotting, this.made_by)
