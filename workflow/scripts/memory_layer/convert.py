"""Rule memory_layer_convert: a run's last checkpoint with its memories' keys in another form."""

from memorization.job import job
from memorization.memory_layer.conversion import converted
from memorization.training.checkpoints import read_tensors, write_tensors

with job(snakemake) as this:
    source = this.input.checkpoint
    state = converted(this.settings("condition"), read_tensors(source), this.wildcards.form, source)
    write_tensors(this.output.checkpoint, state, this.made_by)
