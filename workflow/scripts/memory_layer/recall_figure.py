"""Rule memory_layer_recall_figure: exact match at the end by condition, trained and never trained."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.answers import recall_figure
from memorization.plotting import save

with job(snakemake) as this:
    comparisons, plotting = this.settings("settings")["comparisons"], this.settings("plotting")
    save(recall_figure(read_tables(this.input.recall), comparisons, plotting), this.output, plotting, this.made_by)
