# What every rule file uses, and the random sequences that several families memorize.
# Functions live in the package, where they are tested.
import sys

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError

import memorization.grokking.conditions
from memorization.associative_memory.conditions import MemoryConditions
from memorization.configuration import (
    ConfigurationError,
    check,
    check_plotting,
    export_environment,
    figure_settings,
    names,
    seeds,
)
from memorization.plan import CodeChanged, export_plan, planned_configuration
from memorization.provenance import canonical, code_digest, rules_digest
from memorization.zipf.conditions import ZipfConditions

export_environment(workflow.basedir)
planned = dict(planned_configuration(config, workflow.is_main_process))
config.clear()  # of what was added since the run was planned, too
config |= planned

try:
    check(
        config,
        schemas=f"{workflow.basedir}/workflow/schemas",
        cross_checks={
            "plotting": check_plotting,
            "associative_memory": MemoryConditions.check_section,
            "zipf": ZipfConditions.check_section,
            "grokking": memorization.grokking.conditions.check,
        },
    )
    # Families of conditions on random sequences: data sets, models, switches from one set to the next.
    ZIPF = ZipfConditions(config["zipf"])
    MEMORY = MemoryConditions(config["associative_memory"])
except ConfigurationError as error:
    raise WorkflowError(str(error))

SCRIPTS = f"{workflow.basedir}/workflow/scripts"
# What training asks for a GPU: with auto, where the command line says how many there are.
GPU = int(config["device"] == "cuda" or (config["device"] == "auto" and "gpu" in workflow.global_resources))


# On a cluster each job has the GPUs that it asks for: --resources gpu=2 is about this machine alone.
resource_scopes:
    gpu="local",


wildcard_constraints:
    condition="[a-z][a-z0-9_]*",
    dataset="[a-z][a-z0-9_]*",
    perturbation="[a-z][a-z0-9_]*",
    seed="[0-9]+",
    step="[0-9]+",


SEQUENCES = {"zipf": ZIPF, "associative_memory": MEMORY}
SEQUENCES_FILE = "results/{family}/sequences/{dataset}/seed{seed}"


rule random_sequences:
    output:
        sequences=f"{SEQUENCES_FILE}.npz",
    log:
        "logs/{family}/sequences/{dataset}/seed{seed}.log",
    benchmark:
        "logs/{family}/sequences/{dataset}/seed{seed}.timing.tsv"
    wildcard_constraints:
        family="|".join(SEQUENCES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        dataset=lambda wildcards: canonical(SEQUENCES[wildcards.family].datasets[wildcards.dataset]),
        code=code_digest(f"{SCRIPTS}/random_sequences/sample.py"),
    message:
        "{wildcards.family}: sampling the sequences of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/random_sequences/sample.py"


rule following_sequences:
    input:
        earlier=lambda wildcards: expand(
            f"{SEQUENCES_FILE}{{ending}}.npz",
            ending=["", *(f"_{wildcards.kind}{number}" for number in range(1, int(wildcards.number)))],
            **wildcards,
        ),
    output:
        sequences=f"{SEQUENCES_FILE}_{{kind}}{{number}}.npz",
    log:
        "logs/{family}/sequences/{dataset}/seed{seed}_{kind}{number}.log",
    benchmark:
        "logs/{family}/sequences/{dataset}/seed{seed}_{kind}{number}.timing.tsv"
    wildcard_constraints:
        family="|".join(SEQUENCES),
        kind="resample|forget",
        number="[1-9][0-9]*",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=code_digest(f"{SCRIPTS}/random_sequences/follow.py"),
    message:
        "{wildcards.family}: sampling set {wildcards.number} of {wildcards.dataset} to {wildcards.kind}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/random_sequences/follow.py"
