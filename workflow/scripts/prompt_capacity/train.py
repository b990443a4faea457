"""Rule prompt_capacity_train: train a base model on text, each row once."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.prompt_capacity.training import base_learner, train
from memorization.text_learner import write_model
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    texts, rows = read_arrays(this.input.texts), read_arrays(this.input.rows)["rows"]
    learner = base_learner(this.settings("condition"), rows, int(texts["vocabulary"]), this.seed, this.device)
    unfinished = Unfinished(this.unfinished(this.output.model), this.progress["checkpoint_seconds"])
    state = train(learner, unfinished, this.progress["report_seconds"])
    write_model(learner.model, texts["tokenizer"].tobytes().decode(), this.output, this.made_by)
    write_tensors(this.output.model, state, this.made_by)
    unfinished.delete()
