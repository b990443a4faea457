# grokking: modular arithmetic, from memorizing to generalizing, seen in the spectrum of training.
#
# equations (a data set, a split) -> train (a condition, a seed), recording its fingerprint
#   -> evaluate; embed -> spectrum, residual; perturb (a perturbation, a condition, a seed) -> tables, figures
from memorization.grokking.conditions import condition as grokking_condition
from memorization.grokking.conditions import (
    equations_settings,
    evaluation_settings,
    perturbation,
    perturbed_runs,
    split_seed,
)
from memorization.grokking.conditions import run_memory as grokking_run_memory
from memorization.grokking.conditions import table_memory as grokking_table_memory
from memorization.grokking.conditions import training_settings as grokking_training_settings

GROKKING = config["grokking"]
GROKKING_RUN = "results/grokking/evaluations/{condition}/seed{seed}"
GROKKING_TABLES = {
    table: f"{GROKKING_RUN}/{table}.parquet" for table in ("history", "transitions", "records", "runs")
}
GROKKING_TABLES |= {
    "spectra": "results/grokking/spectra/{condition}/seed{seed}.parquet",
    "residuals": "results/grokking/residuals/{condition}/seed{seed}.parquet",
}
GROKKING_FIGURES = {  # drawn from these tables
    "accuracy": ["history"],
    "spectrum": ["spectra"],
    "distances": ["distances", "tests"],
    "residual": ["residuals", "transitions"],
    "perturbation": ["perturbation"],
}
GROKKING_PERTURBED = perturbed_runs(
    GROKKING,
    perturbed="results/grokking/perturbed/{perturbation}/{condition}/seed{seed}.npz",
    reference="results/grokking/trajectories/{condition}/seed{seed}.npz",
)


rule grokking:
    input:
        expand("results/figures/grokking_{figure}.pdf", figure=[*GROKKING_FIGURES, "fingerprint"]),
        expand(
            "results/tables/grokking_{table}.parquet", table=[*GROKKING_TABLES, "distances", "perturbation"]
        ),


rule grokking_equations:
    output:
        equations="results/grokking/equations/{dataset}/seed{seed}.npz",
    log:
        "logs/grokking/equations/{dataset}/seed{seed}.log",
    benchmark:
        "logs/grokking/equations/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        dataset=lambda wildcards: canonical(equations_settings(GROKKING, wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/grokking/equations.py"),
    message:
        "grokking: making the equations of {wildcards.dataset}, split {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/equations.py"


rule grokking_train:
    input:
        equations=lambda wildcards: "results/grokking/equations/{dataset}/seed{seed}.npz".format(
            dataset=grokking_condition(GROKKING, wildcards.condition)["dataset"],
            seed=split_seed(GROKKING, wildcards.condition, wildcards.seed),
        ),
    output:
        trajectory="results/grokking/trajectories/{condition}/seed{seed}.npz",
        weights="results/grokking/weights/{condition}/seed{seed}.safetensors",
    log:
        "logs/grokking/train/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/train/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: grokking_run_memory(GROKKING, wildcards.condition),
        runtime=lambda wildcards: grokking_condition(GROKKING, wildcards.condition)["runtime"],
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(grokking_training_settings(GROKKING, wildcards.condition)),
        evaluation=canonical(GROKKING["evaluation"]),
        fingerprint=canonical(GROKKING["fingerprint"]),
        code=code_digest(f"{SCRIPTS}/grokking/train.py"),
    message:
        "grokking: training {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/train.py"


rule grokking_perturb:
    input:
        equations=rules.grokking_train.input.equations,
        weights=rules.grokking_train.output.weights,
    output:
        trajectory="results/grokking/perturbed/{perturbation}/{condition}/seed{seed}.npz",
    log:
        "logs/grokking/perturb/{perturbation}/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/perturb/{perturbation}/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: grokking_run_memory(GROKKING, wildcards.condition),
        runtime=lambda wildcards: grokking_condition(GROKKING, wildcards.condition)["runtime"],
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(grokking_training_settings(GROKKING, wildcards.condition)),
        perturbation=lambda wildcards: canonical(perturbation(GROKKING, wildcards.perturbation)),
        until=GROKKING["perturbed"]["steps"],
        evaluation=canonical(GROKKING["evaluation"]),
        fingerprint=canonical(GROKKING["fingerprint"]),
        code=code_digest(f"{SCRIPTS}/grokking/perturb.py"),
    message:
        "grokking: training {wildcards.condition}, seed {wildcards.seed}, perturbed by {wildcards.perturbation}"
    script:
        "../workflow/scripts/grokking/perturb.py"


rule grokking_evaluate:
    input:
        equations=rules.grokking_train.input.equations,
        trajectory=rules.grokking_train.output.trajectory,
    output:
        history=f"{GROKKING_RUN}/history.parquet",
        transitions=f"{GROKKING_RUN}/transitions.parquet",
        records=f"{GROKKING_RUN}/records.parquet",
        runs=f"{GROKKING_RUN}/runs.parquet",
    log:
        "logs/grokking/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: grokking_run_memory(GROKKING, wildcards.condition),
        runtime=10,
    params:
        condition=lambda wildcards: canonical(evaluation_settings(GROKKING, wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/grokking/evaluate.py"),
    message:
        "grokking: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/evaluate.py"


rule grokking_embed:
    input:
        trajectory=rules.grokking_train.output.trajectory,
    output:
        embedding="results/grokking/embeddings/{condition}/seed{seed}.npz",
    log:
        "logs/grokking/embed/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/embed/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        embedding=canonical(GROKKING["embedding"]),
        code=code_digest(f"{SCRIPTS}/grokking/embed.py"),
    message:
        "grokking: embedding the fingerprint of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/embed.py"


rule grokking_spectrum:
    input:
        embedding=rules.grokking_embed.output.embedding,
    output:
        spectrum="results/grokking/spectra/{condition}/seed{seed}.parquet",
    log:
        "logs/grokking/spectrum/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/spectrum/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dmd=canonical(GROKKING["dmd"]),
        code=code_digest(f"{SCRIPTS}/grokking/spectrum.py"),
    message:
        "grokking: the spectrum of {wildcards.condition}, seed {wildcards.seed}, and of its surrogates"
    script:
        "../workflow/scripts/grokking/spectrum.py"


rule grokking_residual:
    input:
        embedding=rules.grokking_embed.output.embedding,
    output:
        residuals="results/grokking/residuals/{condition}/seed{seed}.parquet",
    log:
        "logs/grokking/residual/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/residual/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        residual=canonical(GROKKING["residual"]),
        code=code_digest(f"{SCRIPTS}/grokking/residual.py"),
    message:
        "grokking: sliding residuals of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/residual.py"


rule grokking_table:
    input:
        runs=lambda wildcards: expand(
            GROKKING_TABLES[wildcards.table],
            condition=sorted(names(GROKKING["conditions"])),
            seed=sorted(seeds(GROKKING)),
        ),
    output:
        table="results/tables/grokking_{table}.parquet",
    log:
        "logs/tables/grokking_{table}.log",
    benchmark:
        "logs/tables/grokking_{table}.timing.tsv"
    wildcard_constraints:
        table="|".join(GROKKING_TABLES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=grokking_table_memory(GROKKING),
        runtime=10,
    params:
        code=code_digest(f"{SCRIPTS}/grokking/table.py"),
    message:
        "grokking: collecting the table {wildcards.table}"
    script:
        "../workflow/scripts/grokking/table.py"


rule grokking_distances:
    input:
        spectra="results/tables/grokking_spectra.parquet",
    output:
        distances="results/tables/grokking_distances.parquet",
        tests="results/tables/grokking_tests.parquet",
        swaps="results/tables/grokking_swaps.parquet",
    log:
        "logs/tables/grokking_distances.log",
    benchmark:
        "logs/tables/grokking_distances.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        conditions=canonical(names(GROKKING["conditions"])),
        code=code_digest(f"{SCRIPTS}/grokking/distances.py"),
    message:
        "grokking: distances between spectra, and permutation tests"
    script:
        "../workflow/scripts/grokking/distances.py"


rule grokking_perturbation:
    input:
        perturbed=[run["perturbed"] for run in GROKKING_PERTURBED],
        references=sorted({run["reference"] for run in GROKKING_PERTURBED}),
    output:
        table="results/tables/grokking_perturbation.parquet",
    log:
        "logs/tables/grokking_perturbation.log",
    benchmark:
        "logs/tables/grokking_perturbation.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        runs=canonical(GROKKING_PERTURBED),
        embedding=canonical(GROKKING["embedding"]),
        growth_window=GROKKING["perturbed"]["growth_window"],
        code=code_digest(f"{SCRIPTS}/grokking/perturbation.py"),
    message:
        "grokking: how far perturbed runs are from their references"
    script:
        "../workflow/scripts/grokking/perturbation.py"


rule grokking_figure:
    input:
        tables=lambda wildcards: expand(
            "results/tables/grokking_{table}.parquet", table=GROKKING_FIGURES[wildcards.figure]
        ),
    output:
        pdf="results/figures/grokking_{figure}.pdf",
        png="results/figures/grokking_{figure}.png",
        svg=report(
            "results/figures/grokking_{figure}.svg",
            caption="../workflow/report/grokking.rst",
            category="grokking",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/figures/grokking_{figure}.log",
    benchmark:
        "logs/figures/grokking_{figure}.timing.tsv"
    wildcard_constraints:
        figure="|".join(GROKKING_FIGURES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        conditions=canonical(names(GROKKING["conditions"])),
        plotting=lambda wildcards: canonical(
            figure_settings(config["plotting"], f"grokking_{wildcards.figure}")
        ),
        code=code_digest(f"{SCRIPTS}/grokking/figure.py"),
    message:
        "grokking: drawing grokking_{wildcards.figure}"
    script:
        "../workflow/scripts/grokking/figure.py"


rule grokking_fingerprint_figure:
    input:
        embeddings=expand(
            rules.grokking_embed.output.embedding,
            condition=names(GROKKING["conditions"]),
            seed=seeds(GROKKING)[:1],
        ),
        transitions="results/tables/grokking_transitions.parquet",
    output:
        pdf="results/figures/grokking_fingerprint.pdf",
        png="results/figures/grokking_fingerprint.png",
        svg=report(
            "results/figures/grokking_fingerprint.svg",
            caption="../workflow/report/grokking.rst",
            category="grokking",
            labels={"figure": "fingerprint"},
        ),
    log:
        "logs/figures/grokking_fingerprint.log",
    benchmark:
        "logs/figures/grokking_fingerprint.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        conditions=canonical(names(GROKKING["conditions"])),
        seed=seeds(GROKKING)[0],
        reading=canonical(GROKKING["fingerprint"]["source"]),
        probe_split=GROKKING["embedding"]["probe_split"],
        plotting=canonical(figure_settings(config["plotting"], "grokking_fingerprint")),
        code=code_digest(f"{SCRIPTS}/grokking/fingerprint_figure.py"),
    message:
        "grokking: drawing grokking_fingerprint"
    script:
        "../workflow/scripts/grokking/fingerprint_figure.py"
