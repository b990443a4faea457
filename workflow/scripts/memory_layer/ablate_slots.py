"""Rule memory_layer_ablate_slots: what is lost with each slot, and how many slots an answer rests on."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.memory_layer.ablation.run import slot_tables
from memorization.memory_layer.trained_run import TrainedRun
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    made = read_table(this.input.table), read_arrays(this.input.tokens), read_tensors(this.input.checkpoint)
    run = TrainedRun(this.settings("condition"), *made, this.wildcards.condition, this.seed, this.device)
    this.write_tables(slot_tables(run, this.settings("ablation")))
