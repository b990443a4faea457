"""Rule associative_memory_heads_figure: recall against the number of heads and the temperature."""

from memorization.associative_memory.figures import heads_figure
from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    settings, plotting = this.settings("settings"), this.settings("plotting")
    figure = heads_figure(read_tables(this.input.runs), settings["heads"], settings["etas"], plotting)
    save(figure, this.output, plotting, this.made_by)
