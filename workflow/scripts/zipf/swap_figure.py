"""Rule zipf_swap_figure: old and new sets with parts of the model put back."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.zipf.figures import swap_figure

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = swap_figure(read_tables(this.input.runs), this.settings("conditions"), plotting)
    save(figure, this.output, plotting, this.made_by)
