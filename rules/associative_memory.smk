# associative_memory: a dense associative memory that predicts the next bit of the sequences in its queue.
#
# sequences -> train (a condition, a seed, a step) -> evaluate -> tables, figures; switches as in zipf.
MEMORY_RUN = "results/associative_memory/evaluations/{condition}/seed{seed}"
MEMORY_CHECKPOINT = "results/associative_memory/checkpoints/{condition}/seed{seed}/step{step}.safetensors"
MEMORY_TABLES = ["by_sequence", "summary", "records", "runs"]


rule associative_memory:
    input:
        expand(
            "results/figures/associative_memory_{figure}.pdf",
            figure=["loss", "accuracy", "heads", "attention", "comparison"]
            + (["switch"] if MEMORY.switches else []),
        ),
        expand("results/tables/associative_memory_{table}.parquet", table=MEMORY_TABLES),


rule associative_memory_train:
    input:
        sequences=lambda wildcards: MEMORY.sequence_files(
            wildcards.condition, wildcards.seed, int(wildcards.step)
        ),
        begin=lambda wildcards: MEMORY.checkpoint_files(
            wildcards.condition, wildcards.seed, int(wildcards.step)
        ),
    output:
        checkpoint=MEMORY_CHECKPOINT,
        trajectory="results/associative_memory/trajectories/{condition}/seed{seed}/step{step}.npz",
    log:
        "logs/associative_memory/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/associative_memory/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: MEMORY.run_memory(wildcards.condition),
        runtime=lambda wildcards: MEMORY.condition(wildcards.condition)["runtime"],
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(MEMORY.settings(wildcards.condition)),
        evaluation=canonical(MEMORY.section["evaluation"]),
        code=code_digest(f"{SCRIPTS}/associative_memory/train.py"),
    message:
        "associative_memory: training {wildcards.condition}, seed {wildcards.seed}, to step {wildcards.step}"
    script:
        "../workflow/scripts/associative_memory/train.py"


rule associative_memory_evaluate:
    input:
        sequences=lambda wildcards: MEMORY.sequence_files(wildcards.condition, wildcards.seed),
        trajectories=lambda wildcards: expand(
            "results/associative_memory/trajectories/{condition}/seed{seed}/step{step}.npz",
            step=MEMORY.trainings(wildcards.condition),
            **wildcards,
        ),
    output:
        by_sequence=f"{MEMORY_RUN}/by_sequence.parquet",
        summary=f"{MEMORY_RUN}/summary.parquet",
        records=f"{MEMORY_RUN}/records.parquet",
        runs=f"{MEMORY_RUN}/runs.parquet",
    log:
        "logs/associative_memory/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/associative_memory/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: MEMORY.run_memory(wildcards.condition),
        runtime=lambda wildcards: MEMORY.run_minutes(wildcards.condition),
    params:
        condition=lambda wildcards: canonical(MEMORY.told(wildcards.condition)),
        train_stride=MEMORY.section["evaluation"]["train_stride"],
        code=code_digest(f"{SCRIPTS}/associative_memory/evaluate.py"),
    message:
        "associative_memory: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/associative_memory/evaluate.py"


rule associative_memory_table:
    input:
        runs=lambda wildcards: expand(
            f"{MEMORY_RUN}/{wildcards.table}.parquet",
            condition=sorted(MEMORY.names),
            seed=sorted(MEMORY.seeds),
        ),
    output:
        table="results/tables/associative_memory_{table}.parquet",
    log:
        "logs/tables/associative_memory_{table}.log",
    benchmark:
        "logs/tables/associative_memory_{table}.timing.tsv"
    wildcard_constraints:
        table="|".join(MEMORY_TABLES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        code=code_digest(f"{SCRIPTS}/associative_memory/table.py"),
    message:
        "associative_memory: collecting the table {wildcards.table}"
    script:
        "../workflow/scripts/associative_memory/table.py"


rule associative_memory_curves_figure:
    input:
        runs=lambda wildcards: expand(
            f"{MEMORY_RUN}/by_sequence.parquet",
            condition=MEMORY.selection(wildcards.selection)[0],
            seed=MEMORY.seeds,
        ),
    output:
        pdf="results/figures/associative_memory_{measure}{selection}.pdf",
        png="results/figures/associative_memory_{measure}{selection}.png",
        svg=report(
            "results/figures/associative_memory_{measure}{selection}.svg",
            caption="../workflow/report/sequence_curves.rst",
            category="associative_memory",
            labels={"figure": "{measure}{selection}"},
        ),
    log:
        "logs/figures/associative_memory_{measure}{selection}.log",
    benchmark:
        "logs/figures/associative_memory_{measure}{selection}.timing.tsv"
    wildcard_constraints:
        measure="loss|accuracy",
        selection="(_[a-z0-9_]+)?",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        selection=lambda wildcards: canonical(MEMORY.selection(wildcards.selection)),
        plotting=canonical(figure_settings(config["plotting"], "associative_memory_curves")),
        code=code_digest(f"{SCRIPTS}/associative_memory/curves_figure.py"),
    message:
        "associative_memory: drawing associative_memory_{wildcards.measure}{wildcards.selection}"
    script:
        "../workflow/scripts/associative_memory/curves_figure.py"


rule associative_memory_switch_figure:
    input:
        runs=lambda wildcards: expand(
            f"{MEMORY_RUN}/summary.parquet",
            condition=sorted({*MEMORY.shown_switches("switch"), *MEMORY.switched_models}),
            seed=MEMORY.seeds,
        ),
    output:
        pdf="results/figures/associative_memory_switch.pdf",
        png="results/figures/associative_memory_switch.png",
        svg=report(
            "results/figures/associative_memory_switch.svg",
            caption="../workflow/report/associative_memory_switch.rst",
            category="associative_memory",
            labels={"figure": "switch"},
        ),
    log:
        "logs/figures/associative_memory_switch.log",
    benchmark:
        "logs/figures/associative_memory_switch.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        switches=canonical(MEMORY.section["switches"]),
        evictions=canonical(MEMORY.evictions),
        plotting=canonical(figure_settings(config["plotting"], "associative_memory_switch")),
        code=code_digest(f"{SCRIPTS}/associative_memory/switch_figure.py"),
    message:
        "associative_memory: drawing associative_memory_switch"
    script:
        "../workflow/scripts/associative_memory/switch_figure.py"


rule associative_memory_heads_figure:
    input:
        runs=expand(
            f"{MEMORY_RUN}/summary.parquet",
            condition=sorted({*MEMORY.section["heads"], *MEMORY.section["etas"]}),
            seed=MEMORY.seeds,
        ),
    output:
        pdf="results/figures/associative_memory_heads.pdf",
        png="results/figures/associative_memory_heads.png",
        svg=report(
            "results/figures/associative_memory_heads.svg",
            caption="../workflow/report/associative_memory_heads.rst",
            category="associative_memory",
            labels={"figure": "heads"},
        ),
    log:
        "logs/figures/associative_memory_heads.log",
    benchmark:
        "logs/figures/associative_memory_heads.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        heads=canonical(MEMORY.section["heads"]),
        etas=canonical(MEMORY.section["etas"]),
        plotting=canonical(figure_settings(config["plotting"], "associative_memory_heads")),
        code=code_digest(f"{SCRIPTS}/associative_memory/heads_figure.py"),
    message:
        "associative_memory: drawing associative_memory_heads"
    script:
        "../workflow/scripts/associative_memory/heads_figure.py"


rule associative_memory_attention_figure:
    input:
        checkpoint=MEMORY_CHECKPOINT.format(
            condition=MEMORY.section["attention"]["condition"],
            seed=MEMORY.seeds[0],
            step=MEMORY.condition(MEMORY.section["attention"]["condition"])["steps"],
        ),
    output:
        pdf="results/figures/associative_memory_attention.pdf",
        png="results/figures/associative_memory_attention.png",
        svg=report(
            "results/figures/associative_memory_attention.svg",
            caption="../workflow/report/associative_memory_attention.rst",
            category="associative_memory",
            labels={"figure": "attention"},
        ),
    log:
        "logs/figures/associative_memory_attention.log",
    benchmark:
        "logs/figures/associative_memory_attention.timing.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        bits=canonical(MEMORY.section["attention"]["bits"]),
        plotting=canonical(figure_settings(config["plotting"], "associative_memory_attention")),
        code=code_digest(f"{SCRIPTS}/associative_memory/attention_figure.py"),
    message:
        "associative_memory: drawing associative_memory_attention"
    script:
        "../workflow/scripts/associative_memory/attention_figure.py"


rule associative_memory_comparison_figure:
    input:
        transformer=lambda wildcards: expand(
            "results/zipf/evaluations/{condition}/seed{seed}/by_sequence.parquet",
            condition=MEMORY.beside(ZIPF),
            seed=ZIPF.seeds,
        ),
        memory=expand(
            f"{MEMORY_RUN}/by_sequence.parquet",
            condition=MEMORY.section["comparison"]["memory"],
            seed=MEMORY.seeds,
        ),
    output:
        pdf="results/figures/associative_memory_comparison.pdf",
        png="results/figures/associative_memory_comparison.png",
        svg=report(
            "results/figures/associative_memory_comparison.svg",
            caption="../workflow/report/associative_memory_comparison.rst",
            category="associative_memory",
            labels={"figure": "comparison"},
        ),
    log:
        "logs/figures/associative_memory_comparison.log",
    benchmark:
        "logs/figures/associative_memory_comparison.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=MEMORY.table_memory(MEMORY.names),
        runtime=MEMORY.table_minutes(MEMORY.names),
    params:
        conditions=canonical([MEMORY.section["comparison"]["zipf"], *MEMORY.section["comparison"]["memory"]]),
        plotting=canonical(figure_settings(config["plotting"], "associative_memory_comparison")),
        code=code_digest(f"{SCRIPTS}/associative_memory/comparison_figure.py"),
    message:
        "associative_memory: drawing associative_memory_comparison"
    script:
        "../workflow/scripts/associative_memory/comparison_figure.py"
