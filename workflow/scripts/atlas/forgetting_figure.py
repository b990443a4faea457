"""Rule atlas_forgetting_figure: what is left of old items."""

from memorization.atlas.figures.forgetting import forgetting_figure
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    save(forgetting_figure(read_table(this.input.summary), plotting), this.output, plotting, this.made_by)
