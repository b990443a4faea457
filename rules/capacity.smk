# capacity: how many bits a transformer holds of uniformly random sequences.
#
# sequences (a data set, a seed) -> train (a condition, a seed), on all of them at each step -> evaluate
#   -> tables, figures
CAPACITY = FAMILIES["capacity"]
CAPACITY_SEQUENCES = "results/capacity/sequences/{dataset}/seed{seed}.npz"
FILES["capacity"] = {
    kind: f"results/capacity/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in ("bits", "records", "runs")
}


rule capacity_sample:
    output:
        sequences=CAPACITY_SEQUENCES,
    log:
        "logs/capacity/sequences/{dataset}/seed{seed}.log",
    benchmark:
        "logs/capacity/sequences/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        dataset=lambda wildcards: canonical(CAPACITY.datasets[wildcards.dataset]),
        code=code_digest(f"{SCRIPTS}/capacity/sample.py"),
    message:
        "capacity: sampling the sequences of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/capacity/sample.py"


rule capacity_train:
    input:
        sequences=lambda wildcards: CAPACITY_SEQUENCES.format(
            dataset=CAPACITY.condition(wildcards.condition)["dataset"], seed=wildcards.seed
        ),
    output:
        trajectory="results/capacity/trajectories/{condition}/seed{seed}.npz",
    log:
        "logs/capacity/train/{condition}/seed{seed}.log",
    benchmark:
        "logs/capacity/train/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: CAPACITY.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: CAPACITY.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(CAPACITY.settings(wildcards.condition)),
        evaluation=canonical(CAPACITY.section["evaluation"]),
        code=code_digest(f"{SCRIPTS}/capacity/train.py"),
    message:
        "capacity: training {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/capacity/train.py"


rule capacity_evaluate:
    input:
        trajectory=rules.capacity_train.output.trajectory,
    output:
        **FILES["capacity"],
    log:
        "logs/capacity/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/capacity/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: CAPACITY.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        dataset=lambda wildcards: canonical(CAPACITY.dataset(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/capacity/evaluate.py"),
    message:
        "capacity: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/capacity/evaluate.py"
