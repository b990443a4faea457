"""Rule prompt_capacity_generalize: prompts for a task in one layout, by number of examples and of updates."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.prompt_capacity.chat import format_of
from memorization.prompt_capacity.frozen import unchanged
from memorization.prompt_capacity.generalizing import QuestionLearner, fitting, generalization_table, generalize, split
from memorization.prompt_capacity.layouts import layout_of
from memorization.prompt_capacity.reading import questions_of
from memorization.prompt_capacity.texts import Pool
from memorization.training.checkpoints import Unfinished, read_tensors, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, settings, task = (this.settings(name) for name in ("condition", "generalization", "task"))
    pool, states = Pool(read_arrays(this.input.texts)), list(map(read_tensors, this.input.model))
    unfinished = Unfinished(this.unfinished(this.output.generalization), this.progress["checkpoint_seconds"])
    with unchanged(condition, states, pool.vocabulary, pool.tokenizer, this.device) as model:
        form = format_of(condition.get("model"), pool.tokenizer, model.end)
        sets = [each and fitting(model, form, each, settings) for each in questions_of(task, settings)]
        questions = split(sets[0], settings, this.seed, task["name"], sets[1])
        learner = QuestionLearner(model, form, questions, settings, layout_of(this.wildcards.layout), this.seed)
        generalize(learner, unfinished, this.progress["report_seconds"])
        run = {"condition": this.wildcards.condition, "seed": this.seed, "task": task["name"]}
        table = generalization_table(learner, questions.test, run)
    this.write_table(table, this.output.generalization)
    write_tensors(this.output.prompts, {"prompts": learner.best}, this.made_by)
    unfinished.delete()
