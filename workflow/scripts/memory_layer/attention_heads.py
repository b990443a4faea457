"""Rule memory_layer_attention_heads: a picture of each attention head for each example of a run."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.memory_layer.figures.attention import save_pictures

with job(snakemake) as this:
    of_run = read_table(this.input.attention), read_arrays(this.input.attention_examples)
    save_pictures(this.output.pictures, *of_run, this.settings("plotting"), this.made_by)
