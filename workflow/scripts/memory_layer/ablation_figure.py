"""Rule memory_layer_ablation_figure: what is lost with slots, groups of slots and parts."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.ablation import ablation_figure
from memorization.plotting import save

with job(snakemake) as this:
    tables = [read_tables(this.input[name]) for name in ("ablation", "ablation_positions", "impact", "ablation_parts")]
    plotting = this.settings("plotting")
    figure = ablation_figure(*tables, this.settings("settings")["conditions"], plotting)
    save(figure, this.output, plotting, this.made_by)
