"""Rule prompt_capacity_texts: texts from elsewhere, by the tokenizer of the models that prompts are trained for."""

from memorization.job import job
from memorization.models.pretrained_models import n_ids, tokenizer_of
from memorization.prompt_capacity.reading import texts_of
from memorization.prompt_capacity.texts import as_arrays, tokenized

with job(snakemake) as this:
    settings = this.settings("dataset")
    tokenizer = tokenizer_of(settings["tokenizer"])
    documents = tokenized(texts_of(settings), tokenizer, settings["limit"])
    this.write_arrays(as_arrays(documents, tokenizer.to_str(), n_ids(tokenizer)), this.output.texts)
