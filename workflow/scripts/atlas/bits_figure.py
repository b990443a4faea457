"""Rule atlas_bits_figure: bits per parameter and per bit of trainable state."""

from memorization.atlas.figures.bits import bits_figure
from memorization.files import read_table
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    plotting = this.settings("plotting")
    save(bits_figure(read_table(this.input.summary), plotting), this.output, plotting, this.made_by)
