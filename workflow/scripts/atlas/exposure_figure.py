"""Rule atlas_exposure_figure: recall against exposures, and E50."""

from memorization.atlas.figures.curves import exposure_figure
from memorization.atlas.inputs import read_kind
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting, curves = this.settings("plotting"), read_table(this.input.exposure)
    figure = exposure_figure(
        read_kind(this.input, "records"), curves, this.settings("settings")["conditions"], plotting
    )
    save(figure, this.output, plotting, this.made_by)
