# associative_memory: a dense associative memory that predicts the next bit of the sequences in its queue.
#
# sequences -> train (a condition, a seed, a step) -> evaluate -> tables, figures; switches as in data.smk
ASSOCIATIVE_MEMORY = FAMILIES["associative_memory"]
ASSOCIATIVE_TRAJECTORY = "results/associative_memory/trajectories/{condition}/seed{seed}/step{step}.npz"
FILES["associative_memory"] = {
    kind: f"results/associative_memory/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in ("by_sequence", "summary", "records", "runs")
} | {"checkpoint": "results/associative_memory/checkpoints/{condition}/seed{seed}/step{step}.safetensors"}


rule associative_memory_train:
    input:
        sequences=lambda wildcards: [
            SEQUENCES.format(family="associative_memory", seed=wildcards.seed, **each)
            for each in ASSOCIATIVE_MEMORY.sets(wildcards.condition, int(wildcards.step))
        ],
        before=lambda wildcards: [
            FILES["associative_memory"]["checkpoint"].format(seed=wildcards.seed, **each)
            for each in ASSOCIATIVE_MEMORY.trained_before(wildcards.condition, int(wildcards.step))
        ],
    output:
        checkpoint=FILES["associative_memory"]["checkpoint"],
        trajectory=ASSOCIATIVE_TRAJECTORY,
    log:
        "logs/associative_memory/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/associative_memory/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: ASSOCIATIVE_MEMORY.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: ASSOCIATIVE_MEMORY.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(ASSOCIATIVE_MEMORY.settings(wildcards.condition)),
        evaluation=canonical(ASSOCIATIVE_MEMORY.section["evaluation"]),
        code=code_digest(f"{SCRIPTS}/associative_memory/train.py"),
    message:
        "associative_memory: training {wildcards.condition}, seed {wildcards.seed}, to step {wildcards.step}"
    script:
        "../workflow/scripts/associative_memory/train.py"


rule associative_memory_evaluate:
    input:
        sequences=lambda wildcards: [
            SEQUENCES.format(family="associative_memory", seed=wildcards.seed, **each)
            for each in ASSOCIATIVE_MEMORY.sets(wildcards.condition)
        ],
        trajectories=lambda wildcards: expand(
            ASSOCIATIVE_TRAJECTORY, step=ASSOCIATIVE_MEMORY.trainings(wildcards.condition), **wildcards
        ),
    output:
        **{kind: FILES["associative_memory"][kind] for kind in ("by_sequence", "summary", "records", "runs")},
    log:
        "logs/associative_memory/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/associative_memory/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: ASSOCIATIVE_MEMORY.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: ASSOCIATIVE_MEMORY.request(wildcards.condition, "runtime", attempt),
    params:
        condition=lambda wildcards: canonical(ASSOCIATIVE_MEMORY.columns(wildcards.condition)),
        train_stride=ASSOCIATIVE_MEMORY.section["evaluation"]["train_stride"],
        code=code_digest(f"{SCRIPTS}/associative_memory/evaluate.py"),
    message:
        "associative_memory: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/associative_memory/evaluate.py"
