# Tables and figures of all families, in loops over what each declares; a target for each family, and for each of its
# stages; the gallery of all figures.
from memorization.captions import short_caption
from memorization.targets import files_below, stages

for family in FAMILIES.values():
    FILES.setdefault(family.name, {})
    TARGETS.setdefault(family.name, [])
    for table in family.tables:
        for name, ending in table.outputs.items():
            FILES[family.name][f"{name}_table"] = f"results/tables/{family.name}_{ending}"

for family in FAMILIES.values():
    for table in family.tables:
        source = table.script or f"{family.name}/{table.name}_table.py"
        tables = {name: FILES[family.name][f"{name}_table"] for name in table.outputs}
        TARGETS[family.name] += tables.values()

        rule:
            name:
                f"{family.name}_{table.name}_table"
            input:
                unpack(
                    lambda wildcards, family=family, table=table: {
                        name: files.paths(FILES, family.name) for name, files in table.inputs().items()
                    }
                ),
            output:
                **tables,
            log:
                f"logs/tables/{family.name}_{table.name}.log",
            benchmark:
                f"logs/tables/{family.name}_{table.name}.timing.tsv"
            conda:
                "../envs/analysis.yaml"
            threads: 1
            resources:
                mem_mb=lambda wildcards, attempt, family=family: family.section["outputs"]["mem_mb"] * attempt,
                runtime=lambda wildcards, attempt, family=family: family.section["outputs"]["runtime"]
                * attempt,
            params:
                settings=lambda wildcards, table=table: canonical(table.settings()),
                script=source,  # the line below is evaluated when the job runs, after the loop
                code=code_digest(f"{SCRIPTS}/{source}"),
            message:
                f"{family.name}: collecting {', '.join(table.files)}"
            script:
                "../workflow/scripts/{params.script}"

    for figure in family.figures:
        source = figure.script or f"{family.name}/{figure.name}_figure.py"
        stem = f"{family.name}_{figure.stem}"
        TARGETS[family.name] += [f"results/figures/{family.name}_{figure.name}.pdf"] * figure.is_target

        rule:
            name:
                f"{family.name}_{figure.name}_figure"
            input:
                unpack(
                    lambda wildcards, family=family, figure=figure: {
                        name: files.paths(FILES, family.name)
                        for name, files in figure.inputs(**wildcards).items()
                    }
                ),
            output:
                pdf=f"results/figures/{stem}.pdf",
                png=f"results/figures/{stem}.png",
                svg=report(
                    f"results/figures/{stem}.svg",
                    caption=f"../workflow/report/{figure.caption or f'{family.name}_{figure.name}.rst'}",
                    category=family.name,
                    labels={"figure": figure.stem},
                ),
            log:
                f"logs/figures/{stem}.log",
            benchmark:
                f"logs/figures/{stem}.timing.tsv"
            wildcard_constraints:
                **figure.wildcards,
            conda:
                f"../envs/{figure.environment}.yaml"
            threads: 1
            resources:
                mem_mb=lambda wildcards, attempt, family=family: family.section["outputs"]["mem_mb"] * attempt,
                runtime=lambda wildcards, attempt, family=family: family.section["outputs"]["runtime"]
                * attempt,
            params:
                settings=lambda wildcards, figure=figure: canonical(figure.settings(**wildcards)),
                plotting=canonical(config["style"] | family.section["figures"][figure.name]),
                script=source,  # the line below is evaluated when the job runs, after the loop
                code=code_digest(f"{SCRIPTS}/{source}"),
            message:
                f"{family.name}: drawing {family.name}_{figure.name}"
            script:
                "../workflow/scripts/{params.script}"

    rule:
        name:
            family.name
        input:
            TARGETS[family.name],

    for kind in ("tables", "figures"):

        rule:
            name:
                f"{family.name}_{kind}"
            input:
                [path for path in TARGETS[family.name] if path.startswith(f"results/{kind}/")],


MOVED = workflow.modifier.modify_path  # where this module's files are, if another Snakefile gives it a prefix
OUTPUTS = [str(output) for each in workflow.rules for output in each.output]
TAKEN = {each.name for each in workflow.rules}

for family in FAMILIES.values():
    for stage in stages(OUTPUTS, family.name, MOVED("results/")):
        if workflow.modifier.modify_rulename(f"{family.name}_{stage}") not in TAKEN:

            rule:
                name:
                    f"{family.name}_{stage}"
                input:
                    lambda wildcards, family=family.name, stage=stage: files_below(
                        f"results/{family}/{stage}/", TARGETS[family], workflow.rules, MOVED
                    ),


CAPTIONS = f"{CHECKOUT}/workflow/report"
GALLERY = {  # figures by family and file name
    name: {f"{name}_{figure.name}": figure for figure in FAMILIES[name].figures if figure.is_target}
    for name in config["families"]
}


rule gallery:
    input:
        [f"results/figures/{stem}.png" for figures in GALLERY.values() for stem in figures],
    output:
        page="results/gallery/README.md",
        pictures=[f"results/gallery/{stem}.png" for figures in GALLERY.values() for stem in figures],
    log:
        "logs/gallery.log",
    benchmark:
        "logs/gallery.timing.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        sections=lambda wildcards: canonical(
            [
                (
                    family,
                    [(stem, short_caption(CAPTIONS, family, figure)) for stem, figure in figures.items()],
                )
                for family, figures in GALLERY.items()
            ]
        ),
        code=code_digest(f"{SCRIPTS}/gallery.py"),
    message:
        "a small picture of every figure"
    script:
        "../workflow/scripts/gallery.py"
