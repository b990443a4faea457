"""Rule grokking_perturbation_table: distances of perturbed runs from their references."""

import pandas as pd

from memorization.files import read_arrays
from memorization.grokking.dynamics.deviations import perturbation_table
from memorization.job import job

with job(snakemake) as this:
    settings = this.settings("settings")
    runs = zip(this.input.perturbed, this.input.references, settings["runs"], strict=True)
    tables = [
        perturbation_table(
            read_arrays(perturbed), read_arrays(reference), settings["embedding"], settings["growth_window"], **run
        )
        for perturbed, reference, run in runs
    ]
    this.write_table(pd.concat(tables, ignore_index=True), this.output.perturbation)
