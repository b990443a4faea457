"""Rule zipf_comparison_figure: how models, heads, layers and position embeddings differ."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.zipf.figures import comparison_figure

with job(snakemake) as this:
    table, plotting = read_tables(this.input.runs), this.settings("plotting")
    figure = comparison_figure(table, this.settings("settings")["comparisons"], plotting)
    save(figure, this.output, plotting, this.made_by)
