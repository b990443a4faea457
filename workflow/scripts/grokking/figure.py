"""Rule grokking_figure: one of the figures that are drawn from tables alone."""

from memorization.files import read_table
from memorization.grokking.drawing import FIGURES
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    tables, plotting = [read_table(path) for path in this.input.tables], this.settings("plotting")
    draw = FIGURES[this.wildcards.figure]
    figure = draw(*tables, conditions=this.settings("conditions"), plotting=plotting)
    save(figure, this.output, plotting, this.made_by)
