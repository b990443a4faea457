"""Rule extraction_train: train a language model on a seed's rows, following the planted windows."""

from memorization.extraction.training import initial_weights, train
from memorization.extraction.windows import followed, tokenizer_text
from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.text_learner import TextLearner, write_model
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, evaluation = this.settings("condition"), this.settings("evaluation")
    windows, packing = read_arrays(this.input.tokens), read_arrays(this.input.packing)
    rows = followed(read_table(this.input.windows), evaluation["n_controls"])
    vocabulary, weights = int(windows["vocabulary"]), initial_weights(this.seed)
    learner = TextLearner(condition, packing["rows"], vocabulary, weights, this.device)
    unfinished = Unfinished(this.unfinished(this.output.model), this.progress["checkpoint_seconds"])
    options = {"unfinished": unfinished, "report_seconds": this.progress["report_seconds"]}
    options |= {"n_records": evaluation["n_records"]} | this.settings("scored")
    state, trajectory = train(learner, windows["tokens"], rows, **options)
    this.write_arrays(trajectory, this.output.trajectory)
    write_model(learner.model, tokenizer_text(windows), this.output, this.made_by)
    write_tensors(this.output.model, state, this.made_by)
    unfinished.delete()
