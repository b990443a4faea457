"""Rule extraction_sample: a page of windows and how a model goes on with them."""

from memorization.extraction.samples import samples_page
from memorization.files import read_table
from memorization.job import job
from memorization.text_files import write_text

with job(snakemake) as this:
    page = samples_page(read_table(this.input.prompts), **this.settings("samples"), made_by=this.made_by)
    write_text(this.output.page, page)
