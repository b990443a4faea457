# Shared by all rule files. Functions are in the package, where they are tested.
import sys
from pathlib import Path

# This checkout, even if another Snakefile includes this one or uses it as a module.
CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
sys.path.insert(0, f"{CHECKOUT}/src")

from snakemake.exceptions import WorkflowError

from memorization.configuration import ConfigurationError, export_environment
from memorization.families import complete, configured
from memorization.family import family_of
from memorization.plan import export_plan, planned_configuration
from memorization.provenance import canonical, code_digest, rules_digest

export_environment(CHECKOUT)
MODULE = workflow.modifier.namespace or ""
# Whether all of the configuration is this workflow's. It is not if another Snakefile includes this one.
ALONE = bool(MODULE) or Path(workflow.main_snakefile).resolve() == (CHECKOUT / "Snakefile").resolve()
try:
    config = planned_configuration(complete(config, CHECKOUT), MODULE, workflow.is_main_process)
    FAMILIES = configured(config, CHECKOUT, strict=ALONE)
except ConfigurationError as error:
    raise WorkflowError(str(error))

SCRIPTS = f"{CHECKOUT}/workflow/scripts"
# The digest of each family's rules; of None, that of rules which several families share.
SHARED = [
    f"{CHECKOUT}/Snakefile",
    *(f"{CHECKOUT}/rules/{name}.smk" for name in ("checkout", "common", "data", "outputs")),
]
IMPORTED = ["configuration", "family", "plan", "provenance"]
RULES = {
    name: rules_digest(
        tuple(SHARED + [path for path in [f"{CHECKOUT}/rules/{name}.smk"] if Path(path).exists()]),
        tuple(f"memorization.{part}" for part in [*IMPORTED, f"{name}.conditions"]),
    )
    for name in FAMILIES
}
RULES[None] = canonical(RULES)
# How many GPUs a training requests: with auto, 1 if the command line says how many there are.
GPU = int(config["device"] == "cuda" or (config["device"] == "auto" and "gpu" in workflow.global_resources))
FILES = {}  # by family and kind, the path patterns of the inputs of tables and figures
TARGETS = {}  # by family, all tables and figures of its target


# --resources gpu=2 counts the GPUs of this machine only; on a cluster each job gets the GPUs that it requests.
resource_scopes:
    gpu="local",


wildcard_constraints:
    condition="[a-z][a-z0-9_]*",
    dataset="[a-z][a-z0-9_]*",
    perturbation="[a-z][a-z0-9_]*",
    seed="[0-9]+",
    step="[0-9]+",
