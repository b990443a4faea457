"""Rule zipf_curves_figure: loss or accuracy of single sequences against presentations."""

from memorization.files import read_tables
from memorization.job import job
from memorization.plotting import save
from memorization.random_sequences.figures import curves_figure

with job(snakemake) as this:
    (conditions, ranks), plotting = this.settings("selection"), this.settings("plotting")
    table = read_tables(this.input.runs)
    figure = curves_figure(table, this.wildcards.measure, conditions, ranks, plotting)
    save(figure, this.output, plotting, this.made_by)
