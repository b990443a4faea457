"""Rule extraction_evaluate: the tables of a run, and the source's CSV and report."""

from memorization.csv_files import write_with_csv
from memorization.extraction.analysis.rates import rates
from memorization.extraction.evaluation import Evaluated, joined
from memorization.extraction.source_format import report, source_table
from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.text_files import write_text

with job(snakemake) as this:
    found, small = (joined(list(map(read_arrays, paths))) for paths in (this.input.shards, this.input.small))
    packing = next(map(read_arrays, this.input.packing), None)
    data, about = (read_table(this.input.windows), read_arrays(this.input.tokens), packing), this.settings("about")
    run = Evaluated(*data, this.settings("lengths"), about | {"seed": this.seed})
    prompts, scores = run.prompts(found), run.scores(found, small)
    source = source_table(prompts, scores)
    write_with_csv(prompts, this.output, "prompts", this.made_by)
    write_with_csv(scores, this.output, "scores", this.made_by)
    this.write_table(rates(prompts), this.output.rates)
    write_with_csv(source, this.output, "source", this.made_by)
    write_text(this.output.source_txt, report(source))
