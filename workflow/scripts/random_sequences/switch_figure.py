"""Rule <family>_switch_figure: old and new sets of sequences around a switch."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.random_sequences.figures import switch_figure

with job(snakemake) as this:
    settings, plotting = this.settings("settings"), this.settings("plotting")
    figure = switch_figure(read_tables(this.input.runs), settings["switches"], plotting, settings["marks"])
    save(figure, this.output, plotting, this.made_by)
