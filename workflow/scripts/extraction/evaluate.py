"""Rule extraction_evaluate: the tables of a run, and the source's CSV and report."""

from memorization.extraction.analysis.rates import rates
from memorization.extraction.evaluation import Evaluated, joined
from memorization.extraction.source_format import report, source_table
from memorization.files import read_arrays, read_table
from memorization.findings import csv_text
from memorization.job import job
from memorization.text_files import write_text

with job(snakemake) as this:
    found, small = (joined(list(map(read_arrays, paths))) for paths in (this.input.shards, this.input.small))
    packing = next(map(read_arrays, this.input.packing), None)
    data, about = (read_table(this.input.windows), read_arrays(this.input.tokens), packing), this.settings("about")
    run = Evaluated(*data, this.settings("lengths"), about | {"seed": this.seed})
    prompts, scores = run.prompts(found), run.scores(found, small)
    source = source_table(prompts, scores)
    this.write_table(prompts, this.output.prompts)
    this.write_table(scores, this.output.scores)
    this.write_table(rates(prompts), this.output.rates)
    this.write_table(source, this.output.source)
    write_text(this.output.prompts_csv, csv_text(prompts))
    write_text(this.output.scores_csv, csv_text(scores))
    write_text(this.output.source_csv, csv_text(source))
    write_text(this.output.source_txt, report(source))
