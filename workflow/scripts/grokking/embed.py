"""Rule grokking_embed: the quantile embedding of a run's fingerprint."""

from memorization.files import read_arrays
from memorization.grokking.fingerprint import levels, quantile_embedding
from memorization.job import job

with job(snakemake) as this:
    trajectory, embedding = read_arrays(this.input.trajectory), this.settings("embedding")
    quantiles = levels(embedding["n_quantiles"])
    snapshots = quantile_embedding(trajectory[embedding["probe_split"]], quantiles)
    arrays = {"steps": trajectory["fingerprint_step"], "quantiles": quantiles, "snapshots": snapshots}
    this.write_arrays(arrays, this.output.embedding)
