"""Rule grokking_residual_figure: what Hankel-DMD leaves of stretches of training."""

from memorization.files import read_tables
from memorization.grokking.dynamics.figures import residual_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = residual_figure(
        read_tables(this.input.residuals), read_tables(this.input.transitions), conditions=conditions, plotting=plotting
    )
    save(figure, this.output, plotting, this.made_by)
