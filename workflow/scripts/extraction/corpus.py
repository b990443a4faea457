"""Rule extraction_corpus: windows of this machine's Python, background text, and the tokenizer of both."""

from memorization.extraction.corpus import corpus
from memorization.extraction.windows import as_arrays, documents_as_arrays
from memorization.job import job

with job(snakemake) as this:
    made = corpus(this.settings("dataset"))
    this.write_table(made.windows, this.output.windows)
    this.write_arrays(as_arrays(made.tokens, made.tokenizer, made.vocabulary), this.output.tokens)
    this.write_arrays(documents_as_arrays(made.background, made.planted), this.output.background)
    this.write_table(made.documents, this.output.documents)
