"""Rule memory_layer_evaluate: how a run answers, which slots it retrieves, how large it is, what it lost."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.memory_layer.evaluation.run import run_tables
from memorization.memory_layer.training import start_of
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition = this.settings("condition")
    shards = [(read_table(part), read_arrays(use)) for part, use in zip(this.input.parts, this.input.uses, strict=True)]
    tables = run_tables(
        condition,
        read_table(this.input.table),
        read_arrays(this.input.tokens),
        read_arrays(this.input.trajectory),
        read_tensors(this.input.checkpoint),
        start_of(condition, this.input.before),
        this.settings("earlier"),
        this.params["n_examples"],
        this.wildcards.condition,
        this.seed,
        this.device,
        shards,
    )
    this.write_tables(tables)
