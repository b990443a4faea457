"""Rule capacity_sequences_figure: bits against the number of sequences."""

from memorization.capacity.figures import sequences_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    save(sequences_figure(read_tables(this.input.runs), plotting), this.output, plotting, this.made_by)
