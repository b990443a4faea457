"""Rule grokking_enumerate: the equations of a data set, and which of them are trained on."""

import numpy as np

from memorization.grokking.task.equations import equations, split_equations, train_size
from memorization.job import job
from memorization.provenance import generator

with job(snakemake) as this:
    dataset = this.settings("dataset")
    p, operator = dataset["p"], dataset["operator"]
    table, n_train = equations(p, operator), train_size(p, operator, dataset["train_fraction"])
    rng = generator("grokking", dataset["name"], this.seed, "split")
    train = split_equations(table, n_train, dataset["split"], rng)
    this.write_arrays({"p": np.array(p), "equations": table, "train": train}, this.output.equations)
