"""Rule atlas_exposure_table: after how many exposures each run recalls an item."""

from memorization.atlas.exposures import exposure_table
from memorization.atlas.inputs import read_kind
from memorization.csv_files import write_with_csv
from memorization.job import job

with job(snakemake) as this:
    table = exposure_table(read_kind(this.input, "records"), **this.settings("settings"))
    write_with_csv(table, this.output, "exposure", this.made_by)
