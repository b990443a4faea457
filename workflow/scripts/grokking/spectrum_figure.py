"""Rule grokking_spectrum_figure: eigenvalues beside those of surrogates."""

from memorization.files import read_tables
from memorization.grokking.dynamics.figures import spectrum_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    figure = spectrum_figure(read_tables(this.input.spectra), conditions=conditions, plotting=plotting)
    save(figure, this.output, plotting, this.made_by)
