# prompt_capacity: how much one trained embedding holds.
#
# corpus (a data set) -> train (a base model, a seed) -> tune (learning rates) -> memorize (a k, a length) -> record, tables
# texts (a data set from elsewhere), models from elsewhere ------------------> memorize
# grow (texts token by token), generalize (a layout: questions of a task) take a base model, too
PROMPTS = FAMILIES["prompt_capacity"]
PROMPT_TEXTS = "results/prompt_capacity/datasets/{dataset}/texts.npz"
PROMPT_MODEL = "results/prompt_capacity/models/{condition}/seed{seed}/model.safetensors"
PROMPT_RATES = "results/prompt_capacity/rates/{condition}.parquet"
PROMPT_CELL = "results/prompt_capacity/cells/{condition}/seed{seed}/k{k}_length{length}"
FILES["prompt_capacity"] = (
    {kind: f"{PROMPT_CELL}/{kind}.parquet" for kind in ("memorization", "survival", "vectors")}
    | {
        kind: f"results/prompt_capacity/runs/{{condition}}/seed{{seed}}/{kind}.parquet"
        for kind in ("horizon", "records", "runs")
    }
    | {
        "rates": PROMPT_RATES,
        "trajectory": f"{PROMPT_CELL}/trajectory.npz",
        "generalization": "results/prompt_capacity/generalization/{condition}/seed{seed}/{layout}.parquet",
    }
)


wildcard_constraints:
    k="[0-9]+",
    length="[0-9]+",
    layout="[a-z_]+[0-9]*",


rule prompt_capacity_corpus:
    output:
        texts=PROMPT_TEXTS,
        rows="results/prompt_capacity/datasets/{dataset}/rows.npz",
    log:
        "logs/prompt_capacity/datasets/{dataset}.log",
    benchmark:
        "logs/prompt_capacity/datasets/{dataset}.timing.tsv"
    wildcard_constraints:
        dataset="|".join(PROMPTS.datasets_of("python")) or "(?!)",
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: PROMPTS.section["outputs"]["runtime"] * attempt,
    params:
        dataset=lambda wildcards: canonical(PROMPTS.corpus_settings(wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/corpus.py"),
    message:
        "prompt_capacity: text of this machine's Python, {wildcards.dataset}"
    script:
        "../workflow/scripts/prompt_capacity/corpus.py"


rule prompt_capacity_texts:
    output:
        texts=PROMPT_TEXTS,
    log:
        "logs/prompt_capacity/datasets/{dataset}.log",
    benchmark:
        "logs/prompt_capacity/datasets/{dataset}.timing.tsv"
    wildcard_constraints:
        dataset="|".join(PROMPTS.datasets_of("texts")) or "(?!)",
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: PROMPTS.section["outputs"]["runtime"] * attempt,
    params:
        dataset=lambda wildcards: canonical(PROMPTS.text_settings(wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/texts.py"),
    message:
        "prompt_capacity: reading the texts of {wildcards.dataset}"
    script:
        "../workflow/scripts/prompt_capacity/texts.py"


rule prompt_capacity_train:
    input:
        texts=lambda wildcards: PROMPT_TEXTS.format(**PROMPTS.of_data(wildcards.condition)),
        rows=lambda wildcards: rules.prompt_capacity_corpus.output.rows.format(
            **PROMPTS.of_data(wildcards.condition)
        ),
    output:
        model=PROMPT_MODEL,
        config="results/prompt_capacity/models/{condition}/seed{seed}/config.json",
        tokenizer="results/prompt_capacity/models/{condition}/seed{seed}/tokenizer.json",
    log:
        "logs/prompt_capacity/train/{condition}/seed{seed}.log",
    benchmark:
        "logs/prompt_capacity/train/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(PROMPTS.settings(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/train.py"),
    message:
        "prompt_capacity: training {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/prompt_capacity/train.py"


rule prompt_capacity_tune:
    input:
        texts=rules.prompt_capacity_train.input.texts,
        model=lambda wildcards: [
            PROMPT_MODEL.format(**run) for run in PROMPTS.first_trained_run(wildcards.condition)
        ],
    output:
        rates=PROMPT_RATES,
    log:
        "logs/prompt_capacity/tune/{condition}.log",
    benchmark:
        "logs/prompt_capacity/tune/{condition}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(PROMPTS.settings(wildcards.condition)),
        tuning=lambda wildcards: canonical(PROMPTS.tuned(wildcards.condition)),
        seed=lambda wildcards: PROMPTS.seeds(wildcards.condition)[0],
        code=code_digest(f"{SCRIPTS}/prompt_capacity/tune.py"),
    message:
        "prompt_capacity: choosing learning rates for {wildcards.condition}"
    script:
        "../workflow/scripts/prompt_capacity/tune.py"


rule prompt_capacity_memorize:
    input:
        texts=rules.prompt_capacity_train.input.texts,
        model=lambda wildcards: [
            PROMPT_MODEL.format(**run) for run in PROMPTS.trained_run(wildcards.condition, wildcards.seed)
        ],
        rates=lambda wildcards: [PROMPT_RATES.format(condition=wildcards.condition)] * PROMPTS.is_tuned,
    output:
        memorization=FILES["prompt_capacity"]["memorization"],
        survival=FILES["prompt_capacity"]["survival"],
        vectors=FILES["prompt_capacity"]["vectors"],
        trajectory=FILES["prompt_capacity"]["trajectory"],
        prompts=f"{PROMPT_CELL}/prompts.safetensors",
        log_txt=f"{PROMPT_CELL}/memorization.txt",
    log:
        "logs/prompt_capacity/memorize/{condition}/seed{seed}/k{k}_length{length}.log",
    benchmark:
        "logs/prompt_capacity/memorize/{condition}/seed{seed}/k{k}_length{length}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(PROMPTS.settings(wildcards.condition)),
        memorization=lambda wildcards: canonical(PROMPTS.memorized(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/memorize.py"),
    message:
        "prompt_capacity: {wildcards.length} tokens into {wildcards.k} vectors before {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/prompt_capacity/memorize.py"


rule prompt_capacity_grow:
    input:
        texts=rules.prompt_capacity_train.input.texts,
        model=rules.prompt_capacity_memorize.input.model,
        rates=rules.prompt_capacity_memorize.input.rates,
    output:
        horizon=FILES["prompt_capacity"]["horizon"],
    log:
        "logs/prompt_capacity/grow/{condition}/seed{seed}.log",
    benchmark:
        "logs/prompt_capacity/grow/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(PROMPTS.settings(wildcards.condition)),
        progressive=lambda wildcards: canonical(PROMPTS.grown(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/grow.py"),
    message:
        "prompt_capacity: texts that grow, {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/prompt_capacity/grow.py"


rule prompt_capacity_generalize:
    input:
        texts=rules.prompt_capacity_train.input.texts,
        model=rules.prompt_capacity_memorize.input.model,
    output:
        generalization=FILES["prompt_capacity"]["generalization"],
        prompts="results/prompt_capacity/generalization/{condition}/seed{seed}/{layout}.safetensors",
    log:
        "logs/prompt_capacity/generalize/{condition}/seed{seed}/{layout}.log",
    benchmark:
        "logs/prompt_capacity/generalize/{condition}/seed{seed}/{layout}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: PROMPTS.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(PROMPTS.settings(wildcards.condition)),
        task=lambda wildcards: canonical(PROMPTS.questions(wildcards.condition)),
        generalization=canonical(
            {name: value for name, value in PROMPTS.section["generalization"].items() if name != "layouts"}
        ),
        code=code_digest(f"{SCRIPTS}/prompt_capacity/generalize.py"),
    message:
        "prompt_capacity: a task by a prompt, {wildcards.layout}, {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/prompt_capacity/generalize.py"


rule prompt_capacity_record:
    input:
        trajectories=lambda wildcards: [
            FILES["prompt_capacity"]["trajectory"].format(**cell)
            for cell in PROMPTS.cells(wildcards.condition, [int(wildcards.seed)])
        ],
        tables=lambda wildcards: [
            FILES["prompt_capacity"]["memorization"].format(**cell)
            for cell in PROMPTS.cells(wildcards.condition, [int(wildcards.seed)])
        ],
    output:
        records=FILES["prompt_capacity"]["records"],
        runs=FILES["prompt_capacity"]["runs"],
    log:
        "logs/prompt_capacity/record/{condition}/seed{seed}.log",
    benchmark:
        "logs/prompt_capacity/record/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PROMPTS.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: PROMPTS.section["outputs"]["runtime"] * attempt,
    params:
        code=code_digest(f"{SCRIPTS}/prompt_capacity/record.py"),
    message:
        "prompt_capacity: records of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/prompt_capacity/record.py"
