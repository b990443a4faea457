# zipf: transformers on random sequences that are seen with Zipf frequencies.
#
# sequences (a data set, a seed) -> train (a condition, a seed) -> evaluate -> tables, figures
from memorization.zipf.conditions import condition as zipf_condition
from memorization.zipf.conditions import dataset as zipf_dataset
from memorization.zipf.conditions import run_memory, table_memory, training_settings
from memorization.zipf.conditions import selection as zipf_selection

ZIPF = config["zipf"]
ZIPF_RUN = "results/zipf/evaluations/{condition}/seed{seed}"


rule zipf:
    input:
        expand("results/figures/zipf_{figure}.pdf", figure=["loss", "accuracy", "comparison"]),
        expand("results/tables/zipf_{table}.parquet", table=["by_sequence", "summary", "records", "runs"]),


rule zipf_sequences:
    output:
        sequences="results/zipf/sequences/{dataset}/seed{seed}.npz",
    log:
        "logs/zipf/sequences/{dataset}/seed{seed}.log",
    benchmark:
        "logs/zipf/sequences/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        dataset=lambda wildcards: canonical(zipf_dataset(ZIPF, wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/zipf/sequences.py"),
    message:
        "zipf: sampling the sequences of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/zipf/sequences.py"


rule zipf_train:
    input:
        sequences=lambda wildcards: "results/zipf/sequences/{dataset}/seed{seed}.npz".format(
            dataset=zipf_condition(ZIPF, wildcards.condition)["dataset"], seed=wildcards.seed
        ),
    output:
        checkpoint="results/zipf/checkpoints/{condition}/seed{seed}/step{step}.safetensors",
        trajectory="results/zipf/trajectories/{condition}/seed{seed}/step{step}.npz",
    log:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.log",
    benchmark:
        "logs/zipf/train/{condition}/seed{seed}/step{step}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: run_memory(ZIPF, wildcards.condition),
        runtime=lambda wildcards: zipf_condition(ZIPF, wildcards.condition)["runtime"],
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(training_settings(ZIPF, wildcards.condition)),
        evaluation=canonical(ZIPF["evaluation"]),
        code=code_digest(f"{SCRIPTS}/zipf/train.py"),
    message:
        "zipf: training {wildcards.condition}, seed {wildcards.seed}, to step {wildcards.step}"
    script:
        "../workflow/scripts/zipf/train.py"


rule zipf_evaluate:
    input:
        sequences=rules.zipf_train.input.sequences,
        trajectory=lambda wildcards: (
            "results/zipf/trajectories/{condition}/seed{seed}/step{step}.npz".format(
                step=zipf_condition(ZIPF, wildcards.condition)["steps"], **wildcards
            )
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
        mem_mb=lambda wildcards: run_memory(ZIPF, wildcards.condition),
        runtime=10,
    params:
        architecture=lambda wildcards: zipf_condition(ZIPF, wildcards.condition)["architecture"],
        train_stride=ZIPF["evaluation"]["train_stride"],
        code=code_digest(f"{SCRIPTS}/zipf/evaluate.py"),
    message:
        "zipf: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/zipf/evaluate.py"


rule zipf_table:
    input:
        runs=lambda wildcards: expand(
            f"{ZIPF_RUN}/{wildcards.table}.parquet",
            condition=sorted(names(ZIPF["models"])),
            seed=sorted(seeds(ZIPF)),
        ),
    output:
        table="results/tables/zipf_{table}.parquet",
    log:
        "logs/tables/zipf_{table}.log",
    benchmark:
        "logs/tables/zipf_{table}.timing.tsv"
    wildcard_constraints:
        table="by_sequence|summary|records|runs",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=table_memory(ZIPF, names(ZIPF["models"]), len(seeds(ZIPF))),
        runtime=10,
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
            condition=zipf_selection(ZIPF, wildcards.selection)[0],
            seed=seeds(ZIPF),
        ),
    output:
        pdf="results/figures/zipf_{measure}{selection}.pdf",
        png="results/figures/zipf_{measure}{selection}.png",
        svg=report(
            "results/figures/zipf_{measure}{selection}.svg",
            caption="../workflow/report/zipf_curves.rst",
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
        mem_mb=table_memory(ZIPF, names(ZIPF["models"]), len(seeds(ZIPF))),
        runtime=10,
    params:
        selection=lambda wildcards: canonical(zipf_selection(ZIPF, wildcards.selection)),
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
            condition=sorted({name for each in ZIPF["comparisons"] for name in each["conditions"]}),
            seed=seeds(ZIPF),
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
        mem_mb=table_memory(ZIPF, names(ZIPF["models"]), len(seeds(ZIPF))),
        runtime=10,
    params:
        comparisons=canonical(ZIPF["comparisons"]),
        plotting=canonical(figure_settings(config["plotting"], "zipf_comparison")),
        code=code_digest(f"{SCRIPTS}/zipf/comparison_figure.py"),
    message:
        "zipf: drawing zipf_comparison"
    script:
        "../workflow/scripts/zipf/comparison_figure.py"
