"""Rule memory_layer_attend: where each attention head looks, and its probabilities for examples."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.memory_layer.attention import attend, write_documents
from memorization.memory_layer.trained_run import TrainedRun
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    made = read_table(this.input.table), read_arrays(this.input.tokens), read_tensors(this.input.checkpoint)
    run = TrainedRun(this.settings("condition"), *made, this.wildcards.condition, this.seed, this.device)
    table, examples = attend(run, this.settings("attention"))
    this.write_table(table, this.output.attention)
    this.write_arrays(examples, this.output.attention_examples)
    write_documents(this.output.attention_json, examples, this.made_by)
