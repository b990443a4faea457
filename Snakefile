# The map of the workflow: what all rules use, one file of rules a family, targets.
#
# results/<family>/<stage>/<condition>/seed<seed>…        what a stage makes
# results/tables/<family>_<table>.parquet                 what a reader counts with
# results/figures/<family>_<figure>.pdf|png|svg           what a reader looks at
# logs/…                                                  a job's log and its timing
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


rule all:
    input:
        lambda wildcards: [path for name in config["families"] for path in TARGETS[name]],


include: "rules/common.smk"
include: "rules/data.smk"


for name in FAMILIES:
    if (CHECKOUT / f"rules/{name}.smk").exists():  # a family that trains nothing has tables and figures alone

        include: f"rules/{name}.smk"


include: "rules/outputs.smk"


# A job goes by the configuration of the run's first process, and refuses other rules and other code than were planned.
export_plan(
    config,
    rules={each.name: RULES[family_of(each.name, FAMILIES)] for each in workflow.rules},
    code={each.name: each.params.get("code") for each in workflow.rules if "code" in each.params.keys()},
    module_name=MODULE,
    is_first=workflow.is_main_process,
)
