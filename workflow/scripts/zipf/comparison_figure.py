"""Rule zipf_comparison_figure: how models, heads, layers and position embeddings differ."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.zipf.figures import comparison_figure

with job(snakemake) as this:
    table = read_tables(this.input.runs)
    figure = comparison_figure(table, this.settings("comparisons"), this.settings("plotting"))
    save(figure, this.output, this.made_by)
