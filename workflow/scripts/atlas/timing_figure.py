"""Rule atlas_timing_figure: recall against steps since the last exposure."""

from memorization.atlas.figures.curves import timing_figure
from memorization.atlas.inputs import read_kind
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting, curves = this.settings("plotting"), read_table(this.input.exposure)
    figure = timing_figure(read_kind(this.input, "records"), curves, this.settings("settings")["conditions"], plotting)
    save(figure, this.output, plotting, this.made_by)
