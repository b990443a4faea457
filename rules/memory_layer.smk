# memory_layer: what a product-key memory stores.
#
# data and tokens (a data set, a seed) -> train (a condition, a seed, a step) -> evaluate -> tables, figures
# With shards above 1, jobs of rule answer each evaluate a share of the data set, for evaluate.
# A condition with pretrained.condition starts from a checkpoint of that condition.
MEMORY_LAYER = FAMILIES["memory_layer"]
MEMORY_LAYER_DATA = "results/memory_layer/datasets/{dataset}/seed{seed}.parquet"
MEMORY_LAYER_TOKENS = "results/memory_layer/datasets/{dataset}/seed{seed}_tokens.npz"
MEMORY_LAYER_CHECKPOINT = "results/memory_layer/checkpoints/{condition}/seed{seed}/step{step}.safetensors"
MEMORY_LAYER_TRAJECTORY = "results/memory_layer/trajectories/{condition}/seed{seed}/step{step}.npz"
MEMORY_LAYER_PART = "results/memory_layer/answers/{condition}/seed{seed}/shard{shard}.parquet"
MEMORY_LAYER_USE = "results/memory_layer/answers/{condition}/seed{seed}/shard{shard}_use.npz"
FILES["memory_layer"] = {
    kind: f"results/memory_layer/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in MEMORY_LAYER.evaluations
}
MEMORY_LAYER_STAGES = {
    stage: {
        kind: f"results/memory_layer/{folder}/{{condition}}/seed{{seed}}/{kind}.parquet"
        for kind in MEMORY_LAYER.stages[stage]
    }
    for stage, folder in (
        ("ablate_slots", "ablations"),
        ("ablate_parts", "ablations"),
        ("intervene", "interventions"),
        ("route", "routing"),
        ("attend", "attention"),
    )
}
for kinds_of_files in MEMORY_LAYER_STAGES.values():
    FILES["memory_layer"] |= kinds_of_files
FILES["memory_layer"][
    "attention_examples"
] = "results/memory_layer/attention/{condition}/seed{seed}/examples.npz"

for kind in MEMORY_LAYER.data_kinds:  # an edited generator makes its own data stale

    rule:
        name:
            f"memory_layer_{kind}"
        output:
            table=MEMORY_LAYER_DATA,
            tokens=MEMORY_LAYER_TOKENS,
            consistency="results/memory_layer/datasets/{dataset}/seed{seed}_consistency.parquet",
        log:
            "logs/memory_layer/datasets/{dataset}/seed{seed}.log",
        benchmark:
            "logs/memory_layer/datasets/{dataset}/seed{seed}.timing.tsv"
        wildcard_constraints:
            dataset="|".join(name for name, data in MEMORY_LAYER.datasets.items() if data["kind"] == kind),
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["mem_mb"] * attempt,
            runtime=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["runtime"] * attempt,
        params:
            dataset=lambda wildcards: canonical(MEMORY_LAYER.data_settings(wildcards.dataset)),
            script=f"memory_layer/{kind}.py",  # the line below is evaluated when the job runs, after the loop
            code=code_digest(f"{SCRIPTS}/memory_layer/{kind}.py"),
        message:
            "memory_layer: making the data set {wildcards.dataset}, seed {wildcards.seed}"
        script:
            "../workflow/scripts/{params.script}"


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


rule memory_layer_answer:
    input:
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=lambda wildcards: MEMORY_LAYER_CHECKPOINT.format(
            **MEMORY_LAYER.checkpoint(wildcards.condition, wildcards.seed)
        ),
    output:
        tokens=MEMORY_LAYER_PART,
        use=MEMORY_LAYER_USE,
    log:
        "logs/memory_layer/answer/{condition}/seed{seed}/shard{shard}.log",
    benchmark:
        "logs/memory_layer/answer/{condition}/seed{seed}/shard{shard}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        shards=lambda wildcards: MEMORY_LAYER.condition(wildcards.condition)["shards"],
        code=code_digest(f"{SCRIPTS}/memory_layer/answer.py"),
    message:
        "memory_layer: answers of {wildcards.condition}, seed {wildcards.seed}, share {wildcards.shard}"
    script:
        "../workflow/scripts/memory_layer/answer.py"


rule memory_layer_evaluate:
    input:
        table=lambda wildcards: MEMORY_LAYER_DATA.format(
            dataset=MEMORY_LAYER.condition(wildcards.condition)["dataset"], seed=wildcards.seed
        ),
        tokens=rules.memory_layer_train.input.tokens,
        before=rules.memory_layer_train.input.before,
        checkpoint=lambda wildcards: MEMORY_LAYER_CHECKPOINT.format(**MEMORY_LAYER.checkpoint(**wildcards)),
        trajectory=lambda wildcards: MEMORY_LAYER_TRAJECTORY.format(**MEMORY_LAYER.checkpoint(**wildcards)),
        parts=lambda wildcards: [
            MEMORY_LAYER_PART.format(**each) for each in MEMORY_LAYER.shards(**wildcards)
        ],
        uses=lambda wildcards: [MEMORY_LAYER_USE.format(**each) for each in MEMORY_LAYER.shards(**wildcards)],
    output:
        **{kind: FILES["memory_layer"][kind] for kind in MEMORY_LAYER.evaluations},
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
        earlier=lambda wildcards: canonical(MEMORY_LAYER.earlier(wildcards.condition)),
        n_examples=MEMORY_LAYER.section["evaluation"]["n_examples"],
        code=code_digest(f"{SCRIPTS}/memory_layer/evaluate.py"),
    message:
        "memory_layer: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/evaluate.py"


rule memory_layer_convert:
    input:
        checkpoint=lambda wildcards: MEMORY_LAYER_CHECKPOINT.format(
            **MEMORY_LAYER.checkpoint(wildcards.condition, wildcards.seed)
        ),
    output:
        checkpoint="results/memory_layer/converted/{condition}/seed{seed}/{form}.safetensors",
    log:
        "logs/memory_layer/convert/{condition}/seed{seed}/{form}.log",
    benchmark:
        "logs/memory_layer/convert/{condition}/seed{seed}/{form}.timing.tsv"
    wildcard_constraints:
        form="flat|router",
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/memory_layer/convert.py"),
    message:
        "memory_layer: {wildcards.form} keys for {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/convert.py"


rule memory_layer_ablate_slots:
    input:
        table=rules.memory_layer_evaluate.input.table,
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=rules.memory_layer_evaluate.input.checkpoint,
    output:
        **MEMORY_LAYER_STAGES["ablate_slots"],
    log:
        "logs/memory_layer/ablate_slots/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/ablate_slots/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        ablation=canonical(MEMORY_LAYER.stage("ablate_slots")),
        code=code_digest(f"{SCRIPTS}/memory_layer/ablate_slots.py"),
    message:
        "memory_layer: ablating the slots of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/ablate_slots.py"


rule memory_layer_ablate_parts:
    input:
        table=rules.memory_layer_evaluate.input.table,
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=rules.memory_layer_evaluate.input.checkpoint,
    output:
        **MEMORY_LAYER_STAGES["ablate_parts"],
    log:
        "logs/memory_layer/ablate_parts/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/ablate_parts/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        ablation=canonical(MEMORY_LAYER.stage("ablate_parts")),
        code=code_digest(f"{SCRIPTS}/memory_layer/ablate_parts.py"),
    message:
        "memory_layer: ablating parts of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/ablate_parts.py"


rule memory_layer_intervene:
    input:
        table=rules.memory_layer_evaluate.input.table,
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=rules.memory_layer_evaluate.input.checkpoint,
    output:
        **MEMORY_LAYER_STAGES["intervene"],
    log:
        "logs/memory_layer/intervene/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/intervene/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        intervention=canonical(MEMORY_LAYER.stage("intervene")),
        code=code_digest(f"{SCRIPTS}/memory_layer/intervene.py"),
    message:
        "memory_layer: swapping slots of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/intervene.py"


rule memory_layer_route:
    input:
        table=rules.memory_layer_evaluate.input.table,
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=rules.memory_layer_evaluate.input.checkpoint,
    output:
        **MEMORY_LAYER_STAGES["route"],
    log:
        "logs/memory_layer/route/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/route/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        routing=canonical(MEMORY_LAYER.stage("route")),
        code=code_digest(f"{SCRIPTS}/memory_layer/route.py"),
    message:
        "memory_layer: the routing of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/route.py"


rule memory_layer_attend:
    input:
        table=rules.memory_layer_evaluate.input.table,
        tokens=rules.memory_layer_train.input.tokens,
        checkpoint=rules.memory_layer_evaluate.input.checkpoint,
    output:
        **MEMORY_LAYER_STAGES["attend"],
        attention_examples=FILES["memory_layer"]["attention_examples"],
        attention_json="results/memory_layer/attention/{condition}/seed{seed}/examples.json",
    log:
        "logs/memory_layer/attend/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/attend/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: MEMORY_LAYER.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY_LAYER.settings(wildcards.condition)),
        attention=canonical(MEMORY_LAYER.stage("attend")),
        code=code_digest(f"{SCRIPTS}/memory_layer/attend.py"),
    message:
        "memory_layer: the attention of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/attend.py"


rule memory_layer_attention_heads:
    input:
        attention=FILES["memory_layer"]["attention"],
        attention_examples=FILES["memory_layer"]["attention_examples"],
    output:
        pictures=directory("results/memory_layer/attention/{condition}/seed{seed}/heads"),
    log:
        "logs/memory_layer/attention_heads/{condition}/seed{seed}.log",
    benchmark:
        "logs/memory_layer/attention_heads/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: MEMORY_LAYER.section["outputs"]["runtime"] * attempt,
    params:
        plotting=canonical(config["style"] | MEMORY_LAYER.section["figures"]["attention"]),
        code=code_digest(f"{SCRIPTS}/memory_layer/attention_heads.py"),
    message:
        "memory_layer: a picture of each attention head of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/memory_layer/attention_heads.py"
