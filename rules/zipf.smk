# zipf: transformers on random sequences with Zipf frequencies.
#
# sequences -> train (a condition, a seed, a step) -> evaluate, swap -> tables, figures
# The training of its condition trains a switch on its first set; the switch branches from that checkpoint.
ZIPF = FAMILIES["zipf"]
ZIPF_CHECKPOINT = "results/zipf/checkpoints/{condition}/seed{seed}/step{step}.safetensors"
ZIPF_TRAJECTORY = "results/zipf/trajectories/{condition}/seed{seed}/step{step}.npz"
FILES["zipf"] = {
    kind: f"results/zipf/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in ("by_sequence", "summary", "records", "runs", "swap")
}


rule zipf_train:
    input:
        sequences=lambda wildcards: [
            SEQUENCES.format(family="zipf", seed=wildcards.seed, **each)
            for each in ZIPF.sets(wildcards.condition, int(wildcards.step))
        ],
        before=lambda wildcards: [
            ZIPF_CHECKPOINT.format(seed=wildcards.seed, **each)
            for each in ZIPF.trained_before(wildcards.condition, int(wildcards.step))
        ],
    output:
        checkpoint=ZIPF_CHECKPOINT,
        trajectory=ZIPF_TRAJECTORY,
    log:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: lambda wildcards: ZIPF.condition(wildcards.condition)["gpus"]
    resources:
        mem_mb=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "runtime", attempt),
        gpu=lambda wildcards: GPU * ZIPF.condition(wildcards.condition)["gpus"],
    params:
        condition=lambda wildcards: canonical(ZIPF.settings(wildcards.condition)),
        evaluation=canonical(ZIPF.section["evaluation"]),
        code=code_digest(f"{SCRIPTS}/zipf/train.py"),
    message:
        "zipf: training {wildcards.condition}, seed {wildcards.seed}, to step {wildcards.step}"
    script:
        "../workflow/scripts/zipf/train.py"


rule zipf_evaluate:
    input:
        sequences=lambda wildcards: [
            SEQUENCES.format(family="zipf", seed=wildcards.seed, **each)
            for each in ZIPF.sets(wildcards.condition)
        ],
        trajectories=lambda wildcards: expand(
            ZIPF_TRAJECTORY, step=ZIPF.trainings(wildcards.condition), **wildcards
        ),
    output:
        **{kind: FILES["zipf"][kind] for kind in ("by_sequence", "summary", "records", "runs")},
    log:
        "logs/zipf/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/zipf/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "runtime", attempt),
    params:
        architecture=lambda wildcards: ZIPF.condition(wildcards.condition)["architecture"],
        arm=lambda wildcards: ZIPF.arm(wildcards.condition),
        train_stride=ZIPF.section["evaluation"]["train_stride"],
        code=code_digest(f"{SCRIPTS}/zipf/evaluate.py"),
    message:
        "zipf: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/zipf/evaluate.py"


rule zipf_swap:
    input:
        sequences=rules.zipf_evaluate.input.sequences,
        before=lambda wildcards: [
            ZIPF_CHECKPOINT.format(seed=wildcards.seed, **each)
            for each in ZIPF.trained_before(
                wildcards.condition, ZIPF.condition(wildcards.condition)["steps"]
            )
        ],
        after=lambda wildcards: ZIPF_CHECKPOINT.format(
            step=ZIPF.condition(wildcards.condition)["steps"], **wildcards
        ),
    output:
        swap=FILES["zipf"]["swap"],
    log:
        "logs/zipf/swap/{condition}/seed{seed}.log",
    benchmark:
        "logs/zipf/swap/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: ZIPF.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(ZIPF.settings(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/zipf/swap.py"),
    message:
        "zipf: swapping parts of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/zipf/swap.py"
