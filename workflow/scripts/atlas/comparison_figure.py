"""Rule atlas_comparison_figure: conditions of several families side by side."""

from memorization.atlas.figures.comparison import comparison_figure
from memorization.atlas.inputs import read_kind
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    figure = comparison_figure(read_kind(this.input, "records"), this.settings("settings")["conditions"], plotting)
    save(figure, this.output, plotting, this.made_by)
