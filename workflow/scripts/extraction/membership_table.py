"""Rule extraction_membership_table: how well scores tell which windows a model was trained on."""

from memorization.extraction.analysis.tables import memberships
from memorization.files import read_arrays, read_table, read_tables
from memorization.job import job

with job(snakemake) as this:
    windows, arrays = map(read_table, this.input.windows), map(read_arrays, this.input.tokens)
    table = memberships(read_tables(this.input.scores), windows, arrays, **this.settings("settings"))
    this.write_table(table, this.output.membership)
