# What every rule file uses. Functions live in the package, where they are tested.
import sys

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError

import memorization.grokking.conditions
import memorization.zipf.conditions
from memorization.configuration import (
    ConfigurationError,
    check,
    check_plotting,
    export_environment,
    figure_settings,
    names,
    seeds,
)
from memorization.provenance import canonical, code_digest

export_environment(workflow.basedir)

try:
    check(
        config,
        schemas=f"{workflow.basedir}/workflow/schemas",
        cross_checks={
            "plotting": check_plotting,
            "grokking": memorization.grokking.conditions.check,
            "zipf": memorization.zipf.conditions.check,
        },
    )
except ConfigurationError as error:
    raise WorkflowError(str(error))

SCRIPTS = f"{workflow.basedir}/workflow/scripts"
GPU = 1 if config["device"] == "cuda" else 0


wildcard_constraints:
    condition="[a-z][a-z0-9_]*",
    dataset="[a-z][a-z0-9_]*",
    perturbation="[a-z][a-z0-9_]*",
    seed="[0-9]+",
    step="[0-9]+",
