"""Rule memory_layer_attention_figure: the attention of every head for one example, of a condition's first seed."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.memory_layer.figures.attention import attention_figure
from memorization.plotting import save

with job(snakemake) as this:
    example, plotting = this.settings("settings")["example"], this.settings("plotting")
    of_run = read_table(this.input.attention[0]), read_arrays(this.input.attention_examples[0])
    save(attention_figure(*of_run, example, plotting), this.output, plotting, this.made_by)
