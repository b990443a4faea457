"""Rule extraction_record: how a run's windows are remembered as it is trained."""

from memorization.extraction.recording import extraction_records, extraction_runs
from memorization.files import read_arrays, read_table
from memorization.job import job

with job(snakemake) as this:
    trajectory, packing = read_arrays(this.input.trajectory), read_arrays(this.input.packing)
    pairs = zip(this.input.twins, this.input.twin_packings, strict=True)
    twins = [tuple(map(read_arrays, pair)) for pair in pairs]
    run = this.params["architecture"], this.wildcards.condition, this.seed
    of_windows = trajectory, packing, twins, read_table(this.input.windows)
    this.write_table(extraction_records(*of_windows, *run, this.params["batch_size"]), this.output.records)
    this.write_table(extraction_runs(trajectory, *run), this.output.runs)
