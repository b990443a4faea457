"""Rule extraction_attack_table: rates over seeds, fits of copies, and paired differences."""

from memorization.extraction.analysis.tables import attack_tables
from memorization.files import read_tables
from memorization.job import job

with job(snakemake) as this:
    this.write_tables(attack_tables(read_tables(this.input.prompts), **this.settings("settings")))
