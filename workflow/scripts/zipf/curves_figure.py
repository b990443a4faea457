"""Rule zipf_curves_figure: loss or accuracy of single sequences against presentations."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.zipf.figures import curves_figure

with job(snakemake) as this:
    table, ranks = read_tables(this.input.runs), this.settings("ranks")
    conditions = list(dict.fromkeys(table["condition"]))
    figure = curves_figure(table, this.wildcards.measure, conditions, ranks, this.settings("plotting"))
    save(figure, this.output, this.made_by)
