"""Rule associative_memory_attention_figure: the maps A(n) and B of a trained memory."""

from memorization.associative_memory.figures import attention_figure
from memorization.associative_memory.model import attention
from memorization.job import job
from memorization.plotting import save
from memorization.training.checkpoints import read_tensors

with job(snakemake) as this:
    state, plotting = read_tensors(this.input.checkpoint[0]), this.settings("plotting")
    maps = attention(state["model.attention_logits"]).numpy(), state["model.memory_logits"].softmax(dim=-1).numpy()
    figure = attention_figure(*maps, **this.settings("settings"), plotting=plotting)
    save(figure, this.output, plotting, this.made_by)
