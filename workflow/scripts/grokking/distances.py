"""Rule grokking_distances: how far the spectra of runs are from each other, and permutation tests of it."""

from memorization.files import read_table
from memorization.grokking.spectra import distance_tests, run_distances, swap_tests
from memorization.job import job

with job(snakemake) as this:
    spectra, conditions = read_table(this.input.spectra), this.settings("conditions")
    distances = run_distances(spectra)
    this.write_table(distances, this.output.distances)
    this.write_table(distance_tests(distances, conditions), this.output.tests)
    this.write_table(swap_tests(spectra, conditions), this.output.swaps)
