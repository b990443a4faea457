# Tables and figures of all families: loops over the declarations of each family.
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
