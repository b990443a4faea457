"""Rule memory_layer_predictions_figure: whose answer is given under each intervention."""

from memorization.files import read_tables
from memorization.job import job
from memorization.memory_layer.figures.intervention import predictions_figure
from memorization.plotting import save

with job(snakemake) as this:
    conditions, plotting = this.settings("settings")["conditions"], this.settings("plotting")
    predictions = read_tables(this.input.predictions)
    control = read_tables(this.input.control)
    save(predictions_figure(predictions, control, conditions, plotting), this.output, plotting, this.made_by)
