# The map of the workflow: shared settings, a file of rules for each family, targets.
#
# results/<family>/<stage>/<condition>/seed<seed>…        files of a stage; the target <family>_<stage> asks for all
# results/tables/<family>_<table>.parquet                 tables (docs/reference/tables.md)
# results/figures/<family>_<figure>.pdf|png|svg           figures
# logs/…                                                  log and timing of each job
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


rule all:
    input:
        lambda wildcards: [path for name in config["families"] for path in TARGETS[name]],


include: "rules/checkout.smk"
include: f"{PLACE}/rules/common.smk"
include: f"{PLACE}/rules/data.smk"


for name in FAMILIES:
    if (CHECKOUT / f"rules/{name}.smk").exists():  # a family that trains nothing has only tables and figures

        include: f"{PLACE}/rules/{name}.smk"


include: f"{PLACE}/rules/outputs.smk"


# Jobs use the configuration of the run's first process. Other rules or code than planned are an error.
export_plan(
    config,
    rules={each.name: RULES[family_of(each.name, FAMILIES)] for each in workflow.rules},
    code={each.name: each.params.get("code") for each in workflow.rules if "code" in each.params.keys()},
    module_name=MODULE,
    is_first=workflow.is_main_process,
)
