"""Rule memory_layer_key_statistics_figure: how evenly slots are used, how their weight varies, whether they cluster."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.routing import key_statistics_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    tables = read_tables(this.input.key_statistics), read_tables(this.input.clusters)
    save(key_statistics_figure(*tables, conditions, plotting), this.output, plotting, this.made_by)
