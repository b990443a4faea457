"""Rule grokking_spectrum: the DMD spectrum of a run, and those of its surrogates."""

from memorization.files import read_arrays
from memorization.grokking.spectra import spectrum
from memorization.job import job

with job(snakemake) as this:
    embedding, dmd = read_arrays(this.input.embedding), this.settings("dmd")
    table = spectrum(embedding["steps"], embedding["snapshots"], this.wildcards.condition, this.seed, dmd)
    this.write_table(table, this.output.spectrum)
