"""Rule grokking_fingerprint_figure: the quantiles of one run of each condition against steps."""

from memorization.files import read_arrays, read_table
from memorization.grokking.figures import fingerprint_figure
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    conditions, seed, plotting = this.settings("conditions"), this.params["seed"], this.settings("plotting")
    embeddings = [read_arrays(path) for path in this.input.embeddings]
    titles = [f"{condition}, seed {seed}" for condition in conditions]
    table = read_table(this.input.transitions)
    runs = table[table["seed"] == seed].set_index("condition").loc[conditions]
    panels = dict(zip(titles, embeddings, strict=True))
    figure = fingerprint_figure(panels, runs, this.settings("reading"), this.params["probe_split"], plotting)
    save(figure, this.output, plotting, this.made_by)
