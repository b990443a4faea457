"""Rule associative_memory_comparison_figure: the transformer of zipf beside the memory."""

from memorization.associative_memory.figures import comparison_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    table = read_tables([*this.input.transformer, *this.input.memory])
    save(comparison_figure(table, this.settings("conditions"), plotting), this.output, plotting, this.made_by)
