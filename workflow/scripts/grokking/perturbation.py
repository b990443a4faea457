"""Rule grokking_perturbation: how far perturbed runs are from their references, in one table."""

import pandas as pd

from memorization.files import read_arrays
from memorization.grokking.deviations import perturbation_table
from memorization.job import job

with job(snakemake) as this:
    embedding, window = this.settings("embedding"), this.params["growth_window"]
    tables = [
        perturbation_table(
            read_arrays(run.pop("perturbed")), read_arrays(run.pop("reference")), embedding, window, **run
        )
        for run in this.settings("runs")
    ]
    this.write_table(pd.concat(tables, ignore_index=True), this.output.table)
