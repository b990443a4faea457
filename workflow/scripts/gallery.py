"""Rule gallery: a page with a small picture of every figure."""

from memorization.gallery import write_gallery
from memorization.job import job

with job(snakemake) as this:
    made_by = {"rule": this.rule, "code": this.code}
    write_gallery(this.settings("sections"), this.input, this.output.pictures, this.output.page, made_by)
