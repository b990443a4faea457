# grokking: modular arithmetic, from memorizing to generalizing, seen in the spectrum of training.
#
# equations (a data set, a split) -> train (a condition, a seed), recording its fingerprint
#   -> evaluate; embed -> spectrum, residual; perturb (a perturbation, a condition, a seed) -> tables, figures
from memorization.grokking.conditions import condition as grokking_condition
from memorization.grokking.conditions import equations_settings, perturbation, split_seed
from memorization.grokking.conditions import run_memory as grokking_run_memory
from memorization.grokking.conditions import table_memory as grokking_table_memory
from memorization.grokking.conditions import training_settings as grokking_training_settings

GROKKING = config["grokking"]


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
