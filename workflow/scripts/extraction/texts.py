"""Rule extraction_texts: windows of texts from elsewhere, by the tokenizer of the models that are attacked."""

from memorization.extraction.texts import windows_of
from memorization.extraction.windows import as_arrays
from memorization.job import job
from memorization.models.pretrained_models import n_ids, tokenizer_of
from memorization.provenance import generator

with job(snakemake) as this:
    settings = this.settings("dataset")
    tokenizer, rng = tokenizer_of(settings["tokenizer"]), generator("extraction", settings["name"], "windows")
    windows, tokens = windows_of(settings, tokenizer, rng)
    this.write_table(windows, this.output.windows)
    this.write_arrays(as_arrays(tokens, tokenizer.to_str(), n_ids(tokenizer)), this.output.tokens)
