# extraction: how much training text can be extracted from Mamba and from GPT-NeoX.
#
# corpus (a data set) -> pack (a seed) -> train (a condition, a seed) -> attack (shares of a run) -> evaluate -> tables
# texts (a data set from elsewhere) ----------------------------------> attack, with models from elsewhere
# Stages besides the attack: near_verbatim, interfere, map; of runs that are trained here: record; for readers: samples
EXTRACTION = FAMILIES["extraction"]
EXTRACTION_WINDOWS = "results/extraction/datasets/{dataset}/windows.parquet"
EXTRACTION_TOKENS = "results/extraction/datasets/{dataset}/windows.npz"
EXTRACTION_PACKING = "results/extraction/datasets/{dataset}/seed{seed}_packing.npz"
EXTRACTION_MODEL = "results/extraction/models/{condition}/seed{seed}/model.safetensors"
EXTRACTION_TRAJECTORY = "results/extraction/trajectories/{condition}/seed{seed}.npz"
EXTRACTION_SHARD = "results/extraction/attacks/{condition}/seed{seed}/shard{shard}.npz"
FILES["extraction"] = {
    kind: f"results/extraction/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in ("prompts", "scores", "rates", "records", "runs", "near_verbatim", "interference", "map")
} | {"windows": EXTRACTION_WINDOWS, "tokens": EXTRACTION_TOKENS}


rule extraction_corpus:
    output:
        windows=EXTRACTION_WINDOWS,
        tokens=EXTRACTION_TOKENS,
        background="results/extraction/datasets/{dataset}/background.npz",
        documents="results/extraction/datasets/{dataset}/documents.parquet",
    log:
        "logs/extraction/datasets/{dataset}.log",
    benchmark:
        "logs/extraction/datasets/{dataset}.timing.tsv"
    wildcard_constraints:
        dataset="|".join(EXTRACTION.datasets_of("python")) or "(?!)",
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: EXTRACTION.section["outputs"]["runtime"] * attempt,
    params:
        dataset=lambda wildcards: canonical(EXTRACTION.corpus_settings(wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/extraction/corpus.py"),
    message:
        "extraction: cutting windows of this machine's Python, {wildcards.dataset}"
    script:
        "../workflow/scripts/extraction/corpus.py"


rule extraction_texts:
    output:
        windows=EXTRACTION_WINDOWS,
        tokens=EXTRACTION_TOKENS,
    log:
        "logs/extraction/datasets/{dataset}.log",
    benchmark:
        "logs/extraction/datasets/{dataset}.timing.tsv"
    wildcard_constraints:
        dataset="|".join(EXTRACTION.datasets_of("texts")) or "(?!)",
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: EXTRACTION.section["outputs"]["runtime"] * attempt,
    params:
        dataset=lambda wildcards: canonical(EXTRACTION.text_settings(wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/extraction/texts.py"),
    message:
        "extraction: cutting windows of the texts of {wildcards.dataset}"
    script:
        "../workflow/scripts/extraction/texts.py"


rule extraction_pack:
    input:
        windows=rules.extraction_corpus.output.windows,
        tokens=rules.extraction_corpus.output.tokens,
        background=rules.extraction_corpus.output.background,
    output:
        packing=EXTRACTION_PACKING,
    log:
        "logs/extraction/pack/{dataset}/seed{seed}.log",
    benchmark:
        "logs/extraction/pack/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: EXTRACTION.section["outputs"]["runtime"] * attempt,
    params:
        copies=lambda wildcards: EXTRACTION.data_settings(wildcards.dataset)["copies"],
        row_length=lambda wildcards: EXTRACTION.data_settings(wildcards.dataset)["row_length"],
        code=code_digest(f"{SCRIPTS}/extraction/pack.py"),
    message:
        "extraction: planting windows of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/pack.py"


rule extraction_train:
    input:
        windows=lambda wildcards: EXTRACTION_WINDOWS.format(**EXTRACTION.of_data(wildcards.condition)),
        tokens=lambda wildcards: EXTRACTION_TOKENS.format(**EXTRACTION.of_data(wildcards.condition)),
        packing=lambda wildcards: EXTRACTION_PACKING.format(
            seed=wildcards.seed, **EXTRACTION.of_data(wildcards.condition)
        ),
    output:
        model=EXTRACTION_MODEL,
        config="results/extraction/models/{condition}/seed{seed}/config.json",
        tokenizer="results/extraction/models/{condition}/seed{seed}/tokenizer.json",
        trajectory=EXTRACTION_TRAJECTORY,
    log:
        "logs/extraction/train/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/train/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(EXTRACTION.settings(wildcards.condition)),
        scored=lambda wildcards: canonical(EXTRACTION.scored(wildcards.condition)),
        evaluation=canonical(EXTRACTION.section["evaluation"]),
        code=code_digest(f"{SCRIPTS}/extraction/train.py"),
    message:
        "extraction: training {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/train.py"


rule extraction_attack:
    input:
        windows=rules.extraction_train.input.windows,
        tokens=rules.extraction_train.input.tokens,
        model=lambda wildcards: [
            EXTRACTION_MODEL.format(**run)
            for run in EXTRACTION.trained_run(wildcards.condition, wildcards.seed)
        ],
    output:
        shard=EXTRACTION_SHARD,
    log:
        "logs/extraction/attack/{condition}/seed{seed}/shard{shard}.log",
    benchmark:
        "logs/extraction/attack/{condition}/seed{seed}/shard{shard}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(EXTRACTION.settings(wildcards.condition)),
        attack=lambda wildcards: canonical(EXTRACTION.attack(wildcards.condition)),
        shards=lambda wildcards: EXTRACTION.condition(wildcards.condition)["shards"],
        code=code_digest(f"{SCRIPTS}/extraction/attack.py"),
    message:
        "extraction: attacking {wildcards.condition}, seed {wildcards.seed}, share {wildcards.shard}"
    script:
        "../workflow/scripts/extraction/attack.py"


rule extraction_evaluate:
    input:
        windows=rules.extraction_train.input.windows,
        tokens=rules.extraction_train.input.tokens,
        packing=lambda wildcards: [
            EXTRACTION_PACKING.format(**run, **EXTRACTION.of_data(wildcards.condition))
            for run in EXTRACTION.trained_run(wildcards.condition, wildcards.seed)
        ],
        shards=lambda wildcards: [EXTRACTION_SHARD.format(**each) for each in EXTRACTION.shards(**wildcards)],
        small=lambda wildcards: [EXTRACTION_SHARD.format(**each) for each in EXTRACTION.small(**wildcards)],
    output:
        prompts=FILES["extraction"]["prompts"],
        prompts_csv="results/extraction/evaluations/{condition}/seed{seed}/prompts.csv",
        scores=FILES["extraction"]["scores"],
        scores_csv="results/extraction/evaluations/{condition}/seed{seed}/scores.csv",
        rates=FILES["extraction"]["rates"],
        source="results/extraction/evaluations/{condition}/seed{seed}/source.parquet",
        source_csv="results/extraction/evaluations/{condition}/seed{seed}/source.csv",
        source_txt="results/extraction/evaluations/{condition}/seed{seed}/source.txt",
    log:
        "logs/extraction/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
    params:
        about=lambda wildcards: canonical(EXTRACTION.about(wildcards.condition)),
        lengths=lambda wildcards: canonical(EXTRACTION.dataset(wildcards.condition)["lengths"]),
        code=code_digest(f"{SCRIPTS}/extraction/evaluate.py"),
    message:
        "extraction: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/evaluate.py"


rule extraction_record:
    input:
        windows=rules.extraction_train.input.windows,
        packing=rules.extraction_train.input.packing,
        trajectory=rules.extraction_train.output.trajectory,
        twins=lambda wildcards: [
            EXTRACTION_TRAJECTORY.format(**each) for each in EXTRACTION.twins(**wildcards)
        ],
        twin_packings=lambda wildcards: [
            EXTRACTION_PACKING.format(seed=each["seed"], **EXTRACTION.of_data(wildcards.condition))
            for each in EXTRACTION.twins(**wildcards)
        ],
    output:
        records=FILES["extraction"]["records"],
        runs=FILES["extraction"]["runs"],
    log:
        "logs/extraction/record/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/record/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: EXTRACTION.section["outputs"]["runtime"] * attempt,
    params:
        architecture=lambda wildcards: EXTRACTION.condition(wildcards.condition)["architecture"],
        batch_size=lambda wildcards: EXTRACTION.condition(wildcards.condition)["batch_size"],
        code=code_digest(f"{SCRIPTS}/extraction/record.py"),
    message:
        "extraction: records of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/record.py"


rule extraction_near_verbatim:
    input:
        windows=rules.extraction_train.input.windows,
        tokens=rules.extraction_train.input.tokens,
        packing=rules.extraction_evaluate.input.packing,
        model=rules.extraction_attack.input.model,
    output:
        near_verbatim=FILES["extraction"]["near_verbatim"],
    log:
        "logs/extraction/near_verbatim/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/near_verbatim/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(EXTRACTION.settings(wildcards.condition)),
        attack=lambda wildcards: canonical(EXTRACTION.asked(wildcards.condition)),
        stage=lambda wildcards: canonical(
            EXTRACTION.section["near_verbatim"] | {"exact": wildcards.condition in EXTRACTION.names}
        ),
        code=code_digest(f"{SCRIPTS}/extraction/near_verbatim.py"),
    message:
        "extraction: nearly verbatim text of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/near_verbatim.py"


rule extraction_interfere:
    input:
        windows=rules.extraction_train.input.windows,
        tokens=rules.extraction_train.input.tokens,
        packing=rules.extraction_evaluate.input.packing,
        model=rules.extraction_attack.input.model,
    output:
        interference=FILES["extraction"]["interference"],
    log:
        "logs/extraction/interfere/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/interfere/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(EXTRACTION.settings(wildcards.condition)),
        attack=lambda wildcards: canonical(EXTRACTION.asked(wildcards.condition)),
        stage=canonical(EXTRACTION.section["interference"]),
        code=code_digest(f"{SCRIPTS}/extraction/interfere.py"),
    message:
        "extraction: windows of {wildcards.condition}, seed {wildcards.seed}, behind other text"
    script:
        "../workflow/scripts/extraction/interfere.py"


rule extraction_map:
    input:
        windows=rules.extraction_train.input.windows,
        tokens=rules.extraction_train.input.tokens,
        background=lambda wildcards: rules.extraction_corpus.output.background.format(
            **EXTRACTION.of_data(wildcards.condition)
        ),
        packing=rules.extraction_evaluate.input.packing,
        model=rules.extraction_attack.input.model,
    output:
        map=FILES["extraction"]["map"],
    log:
        "logs/extraction/map/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/map/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: EXTRACTION.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(EXTRACTION.settings(wildcards.condition)),
        attack=lambda wildcards: canonical(EXTRACTION.asked(wildcards.condition)),
        stage=canonical(EXTRACTION.section["map"]),
        code=code_digest(f"{SCRIPTS}/extraction/map.py"),
    message:
        "extraction: the extraction map of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/map.py"


rule extraction_sample:
    input:
        prompts=FILES["extraction"]["prompts"],
    output:
        page=report(
            "results/extraction/samples/{condition}/seed{seed}.html",
            caption="../workflow/report/extraction_samples.rst",
            category="extraction",
            labels={"figure": "samples of {condition}, seed {seed}"},
        ),
    log:
        "logs/extraction/samples/{condition}/seed{seed}.log",
    benchmark:
        "logs/extraction/samples/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: EXTRACTION.section["outputs"]["mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: EXTRACTION.section["outputs"]["runtime"] * attempt,
    params:
        samples=canonical(EXTRACTION.section["samples"]),
        code=code_digest(f"{SCRIPTS}/extraction/sample.py"),
    message:
        "extraction: samples of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/extraction/sample.py"


TARGETS["extraction"] = [
    rules.extraction_sample.output.page.format(condition=name, seed=EXTRACTION.seeds(name)[0])
    for name in EXTRACTION.models
]
