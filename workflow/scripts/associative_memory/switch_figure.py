"""Rule associative_memory_switch_figure: old and new sets around the switch and eviction."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.random_sequences.figures import switch_figure

with job(snakemake) as this:
    marks = {"old sequences have left the queue": this.settings("evictions")}
    plotting = this.settings("plotting")
    figure = switch_figure(read_tables(this.input.runs), this.settings("switches"), plotting, marks)
    save(figure, this.output, plotting, this.made_by)
