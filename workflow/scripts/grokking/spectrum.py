"""Rule grokking_spectrum: the DMD spectrum of a run's fingerprint, and those of its surrogates."""

from memorization.files import read_arrays
from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.spectra import spectrum
from memorization.job import job

with job(snakemake) as this:
    steps, _, snapshots = embed(read_arrays(this.input.trajectory), this.settings("embedding"))
    table = spectrum(steps, snapshots, this.wildcards.condition, this.seed, this.settings("dmd"))
    this.write_table(table, this.output.spectrum)
