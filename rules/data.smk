# Data that several families share: random sequences, and the sets that follow them at switches.
from memorization.random_sequences.conditions import SequenceFamily

SEQUENCE_FAMILIES = [name for name, family in FAMILIES.items() if isinstance(family, SequenceFamily)]
SEQUENCES = "results/{family}/sequences/{dataset}/seed{seed}{ending}.npz"


rule random_sequences:
    output:
        sequences="results/{family}/sequences/{dataset}/seed{seed}.npz",
    log:
        "logs/{family}/sequences/{dataset}/seed{seed}.log",
    benchmark:
        "logs/{family}/sequences/{dataset}/seed{seed}.timing.tsv"
    wildcard_constraints:
        family="|".join(SEQUENCE_FAMILIES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        dataset=lambda wildcards: canonical(FAMILIES[wildcards.family].datasets[wildcards.dataset]),
        code=code_digest(f"{SCRIPTS}/random_sequences/sample.py"),
    message:
        "{wildcards.family}: sampling the sequences of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/random_sequences/sample.py"


rule following_sequences:
    input:
        earlier=lambda wildcards: expand(
            SEQUENCES,
            ending=["", *(f"_{wildcards.kind}{number}" for number in range(1, int(wildcards.number)))],
            **wildcards,
        ),
    output:
        sequences="results/{family}/sequences/{dataset}/seed{seed}_{kind}{number}.npz",
    log:
        "logs/{family}/sequences/{dataset}/seed{seed}_{kind}{number}.log",
    benchmark:
        "logs/{family}/sequences/{dataset}/seed{seed}_{kind}{number}.timing.tsv"
    wildcard_constraints:
        family="|".join(SEQUENCE_FAMILIES),
        kind="resample|forget",
        number="[1-9][0-9]*",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        code=code_digest(f"{SCRIPTS}/random_sequences/follow.py"),
    message:
        "{wildcards.family}: sampling set {wildcards.number} of {wildcards.dataset} to {wildcards.kind}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/random_sequences/follow.py"
