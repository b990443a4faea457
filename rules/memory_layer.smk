# memory_layer: what a product-key memory stores.
#
# data (a data set, a seed) -> tokens -> train (a condition, a seed, a step) -> evaluate -> tables, figures
# A condition with pretrained.condition starts from a checkpoint of that condition.
MEMORY_LAYER = FAMILIES["memory_layer"]
MEMORY_LAYER_DATA = "results/memory_layer/datasets/{dataset}/seed{seed}.parquet"
MEMORY_LAYER_TOKENS = "results/memory_layer/tokens/{dataset}/seed{seed}.npz"
MEMORY_LAYER_CHECKPOINT = "results/memory_layer/checkpoints/{condition}/seed{seed}/step{step}.safetensors"
MEMORY_LAYER_TRAJECTORY = "results/memory_layer/trajectories/{condition}/seed{seed}/step{step}.npz"
FILES["memory_layer"] = {
    kind: f"results/memory_layer/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in MEMORY_LAYER.evaluations
}

for kind in MEMORY_LAYER.data_kinds:  # an edited generator makes its own data stale

    rule:
        name:
            f"memory_layer_{kind}"
        output:
            table=MEMORY_LAYER_DATA,
        log:
            "logs/memory_layer/datasets/{dataset}/seed{seed}.log",
        benchmark:
            "logs/memory_layer/datasets/{dataset}/seed{seed}.timing.tsv"
        wildcard_constraints:
            dataset="|".join(name for name, data in MEMORY_LAYER.datasets.items() if data["kind"] == kind),
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["mem_mb"] * attempt,
            runtime=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["runtime"] * attempt,
        params:
            dataset=lambda wildcards: canonical(MEMORY_LAYER.datasets[wildcards.dataset]),
            script=f"memory_layer/{kind}.py",  # the line below is evaluated when the job runs, after the loop
            code=code_digest(f"{SCRIPTS}/memory_layer/{kind}.py"),
        message:
            "memory_layer: making the data set {wildcards.dataset}, seed {wildcards.seed}"
        script:
            "../workflow/scripts/{params.script}"


rule memory_layer_tokens:
    input:
        table=MEMORY_LAYER_DATA,
    output:
        tokens=MEMORY_LAYER_TOKENS,
        consistency="results/memory_layer/tokens/{dataset}/seed{seed}_consistency.parquet",
    log:
        "logs/memory_layer/tokens/{dataset}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/tokens/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["runtime"] * attempt,
    params:
        dataset=lambda wildcards: canonical(MEMORY_LAYER.datasets[wildcards.dataset]),
        code=code_digest(f"{SCRIPTS}/memory_layer/tokens.py"),
    message:
        "memory_layer: tokens of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/tokens.py"


rule memory_layer_train:
    input:
        tokens=lambda wildcards: MEMORY_LAYER_TOKENS.format(
            dataset=MEMORY_LAYER.condition(wildcards.condition)["dataset"], seed=wildcards.seed
        ),
        before=lambda wildcards: [
            MEMORY_LAYER_CHECKPOINT.format(**each)
            for each in MEMORY_LAYER.pretrained(wildcards.condition, wildcards.seed)
        ],
    output:
        checkpoint=MEMORY_LAYER_CHECKPOINT,
        trajectory=MEMORY_LAYER_TRAJECTORY,
    log:
        "logs/memory_layer/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/memory_layer/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        evaluation=canonical(
            {key: MEMORY_LAYER.section["evaluation"][key] for key in ("n_records", "n_items")}
        ),
        code=code_digest(f"{SCRIPTS}/memory_layer/train.py"),
    message:
        "memory_layer: training {wildcards.condition}, seed {wildcards.seed}, to step {wildcards.step}"
    script:
        "../workflow/scripts/memory_layer/train.py"


rule memory_layer_evaluate:
    input:
        table=lambda wildcards: MEMORY_LAYER_DATA.format(
            dataset=MEMORY_LAYER.condition(wildcards.condition)["dataset"], seed=wildcards.seed
        ),
        tokens=rules.memory_layer_train.input.tokens,
        before=rules.memory_layer_train.input.before,
        checkpoint=lambda wildcards: MEMORY_LAYER_CHECKPOINT.format(**MEMORY_LAYER.checkpoint(**wildcards)),
        trajectory=lambda wildcards: MEMORY_LAYER_TRAJECTORY.format(**MEMORY_LAYER.checkpoint(**wildcards)),
    output:
        **FILES["memory_layer"],
    log:
        "logs/memory_layer/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        n_examples=MEMORY_LAYER.section["evaluation"]["n_examples"],
        code=code_digest(f"{SCRIPTS}/memory_layer/evaluate.py"),
    message:
        "memory_layer: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/evaluate.py"
