# zipf: transformers on random sequences that are seen with Zipf frequencies.
#
# sequences -> train (a condition, a seed, a step) -> evaluate, swap -> tables, figures
# A condition with switches is trained on its first set by its model's training, and goes on from its checkpoint.
ZIPF_RUN = "results/zipf/evaluations/{condition}/seed{seed}"
ZIPF_CHECKPOINT = "results/zipf/checkpoints/{condition}/seed{seed}/step{step}.safetensors"
ZIPF_TABLES = {
    **dict.fromkeys(["by_sequence", "summary", "records", "runs"], ZIPF.names),
    **({"swap": ZIPF.switches} if ZIPF.switches else {}),
}


rule zipf:
    input:
        expand("results/figures/zipf_{figure}.pdf", figure=["loss", "accuracy", "comparison"]),
        expand("results/figures/zipf_{figure}.pdf", figure=["switch", "swap"] if ZIPF.switches else []),
        expand("results/tables/zipf_{table}.parquet", table=ZIPF_TABLES),


rule zipf_train:
    input:
        sequences=lambda wildcards: ZIPF.sequence_files(
            wildcards.condition, wildcards.seed, int(wildcards.step)
        ),
        begin=lambda wildcards: ZIPF.checkpoint_files(
            wildcards.condition, wildcards.seed, int(wildcards.step)
        ),
    output:
        checkpoint=ZIPF_CHECKPOINT,
        trajectory="results/zipf/trajectories/{condition}/seed{seed}/step{step}.npz",
    log:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: lambda wildcards: ZIPF.condition(wildcards.condition)["gpus"]
    resources:
        mem_mb=lambda wildcards: ZIPF.training_memory(wildcards.condition),
        runtime=lambda wildcards: ZIPF.condition(wildcards.condition)["runtime"],
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
        sequences=lambda wildcards: ZIPF.sequence_files(wildcards.condition, wildcards.seed),
        trajectories=lambda wildcards: expand(
            "results/zipf/trajectories/{condition}/seed{seed}/step{step}.npz",
            step=ZIPF.trainings(wildcards.condition),
            **wildcards,
        ),
    output:
        by_sequence=f"{ZIPF_RUN}/by_sequence.parquet",
        summary=f"{ZIPF_RUN}/summary.parquet",
        records=f"{ZIPF_RUN}/records.parquet",
        runs=f"{ZIPF_RUN}/runs.parquet",
    log:
        "logs/zipf/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/zipf/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: ZIPF.run_memory(wildcards.condition),
        runtime=lambda wildcards: ZIPF.run_minutes(wildcards.condition),
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
        before=lambda wildcards: ZIPF.checkpoint_files(
            wildcards.condition, wildcards.seed, ZIPF.condition(wildcards.condition)["steps"]
        ),
        after=lambda wildcards: ZIPF_CHECKPOINT.format(
            step=ZIPF.condition(wildcards.condition)["steps"], **wildcards
        ),
    output:
        swap=f"{ZIPF_RUN}/swap.parquet",
    log:
        "logs/zipf/swap/{condition}/seed{seed}.log",
    benchmark:
        "logs/zipf/swap/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: ZIPF.run_memory(wildcards.condition),
        runtime=lambda wildcards: ZIPF.condition(wildcards.condition)["runtime"],
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(ZIPF.settings(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/zipf/swap.py"),
    message:
        "zipf: swapping parts of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/zipf/swap.py"


rule zipf_table:
    input:
        runs=lambda wildcards: expand(
            f"{ZIPF_RUN}/{wildcards.table}.parquet",
            condition=sorted(ZIPF_TABLES[wildcards.table]),
            seed=sorted(ZIPF.seeds),
        ),
    output:
        table="results/tables/zipf_{table}.parquet",
    log:
        "logs/tables/zipf_{table}.log",
    benchmark:
        "logs/tables/zipf_{table}.timing.tsv"
    wildcard_constraints:
        table="|".join(ZIPF_TABLES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=ZIPF.table_memory(ZIPF.names),
        runtime=ZIPF.table_minutes(ZIPF.names),
    params:
        code=code_digest(f"{SCRIPTS}/zipf/table.py"),
    message:
        "zipf: collecting the table {wildcards.table}"
    script:
        "../workflow/scripts/zipf/table.py"


rule zipf_curves_figure:
    input:
        runs=lambda wildcards: expand(
            f"{ZIPF_RUN}/by_sequence.parquet",
            condition=ZIPF.selection(wildcards.selection)[0],
            seed=ZIPF.seeds,
        ),
    output:
        pdf="results/figures/zipf_{measure}{selection}.pdf",
        png="results/figures/zipf_{measure}{selection}.png",
        svg=report(
            "results/figures/zipf_{measure}{selection}.svg",
            caption="../workflow/report/sequence_curves.rst",
            category="zipf",
            labels={"figure": "{measure}{selection}"},
        ),
    log:
        "logs/figures/zipf_{measure}{selection}.log",
    benchmark:
        "logs/figures/zipf_{measure}{selection}.timing.tsv"
    wildcard_constraints:
        measure="loss|accuracy",
        selection="(_[a-z0-9_]+)?",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=ZIPF.table_memory(ZIPF.names),
        runtime=ZIPF.table_minutes(ZIPF.names),
    params:
        selection=lambda wildcards: canonical(ZIPF.selection(wildcards.selection)),
        plotting=canonical(figure_settings(config["plotting"], "zipf_curves")),
        code=code_digest(f"{SCRIPTS}/zipf/curves_figure.py"),
    message:
        "zipf: drawing zipf_{wildcards.measure}{wildcards.selection}"
    script:
        "../workflow/scripts/zipf/curves_figure.py"


rule zipf_comparison_figure:
    input:
        runs=expand(
            f"{ZIPF_RUN}/summary.parquet",
            condition=sorted({name for each in ZIPF.section["comparisons"] for name in each["conditions"]}),
            seed=ZIPF.seeds,
        ),
    output:
        pdf="results/figures/zipf_comparison.pdf",
        png="results/figures/zipf_comparison.png",
        svg=report(
            "results/figures/zipf_comparison.svg",
            caption="../workflow/report/zipf_comparison.rst",
            category="zipf",
            labels={"figure": "comparison"},
        ),
    log:
        "logs/figures/zipf_comparison.log",
    benchmark:
        "logs/figures/zipf_comparison.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=ZIPF.table_memory(ZIPF.names),
        runtime=ZIPF.table_minutes(ZIPF.names),
    params:
        comparisons=canonical(ZIPF.section["comparisons"]),
        plotting=canonical(figure_settings(config["plotting"], "zipf_comparison")),
        code=code_digest(f"{SCRIPTS}/zipf/comparison_figure.py"),
    message:
        "zipf: drawing zipf_comparison"
    script:
        "../workflow/scripts/zipf/comparison_figure.py"


rule zipf_switch_figure:
    input:
        runs=lambda wildcards: expand(
            f"{ZIPF_RUN}/summary.parquet",
            condition=sorted({*ZIPF.shown_switches("switch"), *ZIPF.switched_models}),
            seed=ZIPF.seeds,
        ),
    output:
        pdf="results/figures/zipf_switch.pdf",
        png="results/figures/zipf_switch.png",
        svg=report(
            "results/figures/zipf_switch.svg",
            caption="../workflow/report/zipf_switch.rst",
            category="zipf",
            labels={"figure": "switch"},
        ),
    log:
        "logs/figures/zipf_switch.log",
    benchmark:
        "logs/figures/zipf_switch.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=ZIPF.table_memory(ZIPF.names),
        runtime=ZIPF.table_minutes(ZIPF.names),
    params:
        switches=canonical(ZIPF.section["switches"]),
        plotting=canonical(figure_settings(config["plotting"], "zipf_switch")),
        code=code_digest(f"{SCRIPTS}/zipf/switch_figure.py"),
    message:
        "zipf: drawing zipf_switch"
    script:
        "../workflow/scripts/zipf/switch_figure.py"


rule zipf_swap_figure:
    input:
        runs=lambda wildcards: expand(
            f"{ZIPF_RUN}/swap.parquet", condition=ZIPF.shown_switches("swap"), seed=ZIPF.seeds
        ),
    output:
        pdf="results/figures/zipf_swap.pdf",
        png="results/figures/zipf_swap.png",
        svg=report(
            "results/figures/zipf_swap.svg",
            caption="../workflow/report/zipf_swap.rst",
            category="zipf",
            labels={"figure": "swap"},
        ),
    log:
        "logs/figures/zipf_swap.log",
    benchmark:
        "logs/figures/zipf_swap.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=ZIPF.table_memory(ZIPF.names),
        runtime=ZIPF.table_minutes(ZIPF.names),
    params:
        conditions=canonical(ZIPF.switches),
        plotting=canonical(figure_settings(config["plotting"], "zipf_swap")),
        code=code_digest(f"{SCRIPTS}/zipf/swap_figure.py"),
    message:
        "zipf: drawing zipf_swap"
    script:
        "../workflow/scripts/zipf/swap_figure.py"
