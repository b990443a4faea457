"""Rule grokking_distances_table: distances between the spectra of runs, and permutation tests."""

from memorization.files import read_tables
from memorization.grokking.dynamics.spectra import distance_tests, run_distances, swap_tests
from memorization.job import job

with job(snakemake) as this:
    spectra, conditions = read_tables(this.input.spectra), this.settings("settings")["conditions"]
    distances = run_distances(spectra)
    this.write_table(distances, this.output.distances)
    this.write_table(distance_tests(distances, conditions), this.output.tests)
    this.write_table(swap_tests(spectra, conditions), this.output.swaps)
