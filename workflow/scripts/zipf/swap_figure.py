"""Rule zipf_swap_figure: old and new sets with parts of the model put back."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.zipf.figures import swap_figure

with job(snakemake) as this:
    table, plotting = read_tables(this.input.runs), this.settings("plotting")
    save(swap_figure(table, this.settings("settings")["conditions"], plotting), this.output, plotting, this.made_by)
