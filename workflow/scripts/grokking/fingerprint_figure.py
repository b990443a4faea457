"""Rule grokking_fingerprint_figure: the quantiles of the first run of each condition against steps."""

from memorization.files import read_arrays, read_tables
from memorization.grokking.dynamics.figures import fingerprint_figure
from memorization.grokking.dynamics.fingerprint import embed
from memorization.job import job
from memorization.plotting import save

with job(snakemake) as this:
    settings, plotting = this.settings("settings"), this.settings("plotting")
    embedded = [embed(read_arrays(path), settings["embedding"]) for path in this.input.trajectories]
    runs, about = read_tables(this.input.transitions), (settings["recorded"], settings["reading"])
    figure = fingerprint_figure(embedded, runs, *about, settings["embedding"]["probe_split"], plotting)
    save(figure, this.output, plotting, this.made_by)
