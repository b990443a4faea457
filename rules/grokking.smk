# grokking: modular arithmetic, from memorizing to generalizing, seen in the spectrum of training.
#
# equations (a data set, a split) -> train (a condition, a seed), recording its fingerprint
#   -> evaluate, spectrum, residual; perturb (a perturbation, a condition, a seed) -> tables, figures
# recorded (a condition from elsewhere, a file a seed) -> spectrum, residual -> tables, figures
GROKKING = FAMILIES["grokking"]
GROKKING_EQUATIONS = "results/grokking/equations/{dataset}/seed{seed}.npz"
GROKKING_EVALUATED = {
    kind: f"results/grokking/evaluations/{{condition}}/seed{{seed}}/{kind}.parquet"
    for kind in ("history", "transitions", "records", "runs")
}
FILES["grokking"] = GROKKING_EVALUATED | {
    "trajectory": "results/grokking/trajectories/{condition}/seed{seed}.npz",
    "perturbed": "results/grokking/perturbed/{perturbation}/{condition}/seed{seed}.npz",
    "spectra": "results/grokking/spectra/{condition}/seed{seed}.parquet",
    "residuals": "results/grokking/residuals/{condition}/seed{seed}.parquet",
}


rule grokking_enumerate:
    output:
        equations=GROKKING_EQUATIONS,
    log:
        "logs/grokking/equations/{dataset}/seed{seed}.log",
    benchmark:
        "logs/grokking/equations/{dataset}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        dataset=lambda wildcards: canonical(GROKKING.equations(wildcards.dataset)),
        code=code_digest(f"{SCRIPTS}/grokking/enumerate.py"),
    message:
        "grokking: making the equations of {wildcards.dataset}, split {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/enumerate.py"


rule grokking_train:
    input:
        equations=lambda wildcards: GROKKING_EQUATIONS.format(
            **GROKKING.split(wildcards.condition, wildcards.seed)
        ),
    output:
        trajectory=FILES["grokking"]["trajectory"],
        weights="results/grokking/weights/{condition}/seed{seed}.safetensors",
    log:
        "logs/grokking/train/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/train/{condition}/seed{seed}.timing.tsv"
    wildcard_constraints:
        condition="|".join(GROKKING.names),
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: GROKKING.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: GROKKING.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(GROKKING.settings(wildcards.condition)),
        evaluation=canonical(GROKKING.section["evaluation"]),
        fingerprint=canonical(GROKKING.section["fingerprint"]),
        code=code_digest(f"{SCRIPTS}/grokking/train.py"),
    message:
        "grokking: training {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/train.py"


rule grokking_recorded:
    output:
        trajectory=FILES["grokking"]["trajectory"],
    log:
        "logs/grokking/recorded/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/recorded/{condition}/seed{seed}.timing.tsv"
    wildcard_constraints:
        condition="|".join(GROKKING.recorded) or "(?!)",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        run=lambda wildcards: canonical(GROKKING.recorded_run(wildcards.condition, wildcards.seed)),
        code=code_digest(f"{SCRIPTS}/grokking/recorded.py"),
    message:
        "grokking: reading the fingerprint of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/recorded.py"


rule grokking_perturb:
    input:
        equations=rules.grokking_train.input.equations,
        weights=rules.grokking_train.output.weights,
    output:
        trajectory=FILES["grokking"]["perturbed"],
    log:
        "logs/grokking/perturb/{perturbation}/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/perturb/{perturbation}/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: GROKKING.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: GROKKING.request(wildcards.condition, "runtime", attempt),
        gpu=GPU,
    params:
        condition=lambda wildcards: canonical(GROKKING.settings(wildcards.condition)),
        perturbation=lambda wildcards: canonical(GROKKING.perturbation(wildcards.perturbation)),
        last_step=GROKKING.section["perturbed"]["steps"],
        evaluation=canonical(GROKKING.section["evaluation"]),
        fingerprint=canonical(GROKKING.section["fingerprint"]),
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
        **GROKKING_EVALUATED,
    log:
        "logs/grokking/evaluate/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/evaluate/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: GROKKING.request(wildcards.condition, "mem_mb", attempt),
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        condition=lambda wildcards: canonical(GROKKING.evaluation(wildcards.condition)),
        code=code_digest(f"{SCRIPTS}/grokking/evaluate.py"),
    message:
        "grokking: evaluating {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/evaluate.py"


rule grokking_spectrum:
    input:
        trajectory=FILES["grokking"]["trajectory"],
    output:
        spectrum=FILES["grokking"]["spectra"],
    log:
        "logs/grokking/spectrum/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/spectrum/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        embedding=canonical(GROKKING.section["embedding"]),
        dmd=canonical(GROKKING.section["dmd"]),
        code=code_digest(f"{SCRIPTS}/grokking/spectrum.py"),
    message:
        "grokking: the spectrum of {wildcards.condition}, seed {wildcards.seed}, and of its surrogates"
    script:
        "../workflow/scripts/grokking/spectrum.py"


rule grokking_residual:
    input:
        trajectory=FILES["grokking"]["trajectory"],
    output:
        residuals=FILES["grokking"]["residuals"],
    log:
        "logs/grokking/residual/{condition}/seed{seed}.log",
    benchmark:
        "logs/grokking/residual/{condition}/seed{seed}.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        embedding=canonical(GROKKING.section["embedding"]),
        residual=canonical(GROKKING.section["residual"]),
        code=code_digest(f"{SCRIPTS}/grokking/residual.py"),
    message:
        "grokking: sliding residuals of {wildcards.condition}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/grokking/residual.py"
