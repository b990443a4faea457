# The map of the workflow: configuration, one file of rules per family, targets.
#
# results/<family>/<stage>/<condition>/seed<seed>…        what a stage makes
# results/tables/<family>_<table>.parquet                 what a reader counts with
# results/figures/<family>_<figure>.pdf|png|svg           what a reader looks at
# logs/…                                                  a job's log and its timing
from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/zipf.smk"
include: "rules/associative_memory.smk"
include: "rules/grokking.smk"


rule all:
    default_target: True
    input:
        rules.zipf.input,
        rules.associative_memory.input,
        rules.grokking.input,


# A job goes by the configuration of the run's first process, and refuses other rules and other code than were planned.
try:
    export_plan(
        config,
        rules_digest(file.get_path_or_uri(secret_free=False) for file in workflow.included),
        {rule.name: dict(rule.params.items()) for rule in workflow.rules},
        workflow.is_main_process,
    )
except CodeChanged as error:
    raise WorkflowError(str(error))
