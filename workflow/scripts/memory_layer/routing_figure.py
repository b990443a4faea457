"""Rule memory_layer_routing_figure: which slots token types and positions use, and whether like places share them."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.routing import routing_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    tables = read_tables(this.input.routing), read_tables(this.input.consistency)
    save(routing_figure(*tables, conditions, plotting), this.output, plotting, this.made_by)
