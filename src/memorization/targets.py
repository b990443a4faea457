"""What the targets of a family's stages ask for, found by walking from the family's tables and figures to their data.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Callable, Iterable

from memorization.configuration import ConfigurationError


def stages(outputs: Iterable[str], family: str, results: str = "results/") -> list[str]:
    """The folders below ``results/<family>/`` that rules write into, in the order of the rules.

    Parameters
    ----------
    outputs : patterns of paths; in the family's place may stand a wildcard whose constraint lists families
    family : name
    results : the folder of all families, as the outputs have it
    """
    found = []
    for output in outputs:
        owner, *rest = output.removeprefix(results).split("/")
        owners = owner.removeprefix("{family,").removesuffix("}").split("|")
        if output.startswith(results) and family in owners and len(rest) > 1:
            found.append(rest[0])
    return list(dict.fromkeys(found))


def made_for(targets: Iterable[str], rules: Iterable) -> list[str]:
    """Everything that the jobs make which targets need, sorted.

    Parameters
    ----------
    targets : paths
    rules : of Snakemake
    """
    makers = [rule for rule in rules if rule.output]
    waiting, made, seen = list(targets), set(), set()
    while waiting:
        path = waiting.pop()
        if path in made or path in seen:
            continue
        seen.add(path)
        for rule in makers:
            if rule.is_producer(path):
                wildcards = rule.get_wildcards(path)
                made.update(map(str, rule.expand_output(wildcards)[0]))
                waiting += map(str, rule.expand_input(wildcards)[0])
    return sorted(made)


def files_below(folder: str, targets: Iterable[str], rules: Iterable, moved: Callable[[str], str] = str) -> list[str]:
    """All files in a folder that targets need.

    Parameters
    ----------
    folder : of a stage, ending with a slash
    targets : paths
    rules : of Snakemake
    moved : where a path is for the rules, if a module's prefix moves it; what is returned is not moved

    Raises
    ------
    ConfigurationError
        One line, if they need none: what is made on demand has no list of files.
    """
    place = moved(folder)
    found = [path for path in made_for(map(moved, targets), rules) if path.startswith(place)]
    if not found:
        raise ConfigurationError(
            f"{folder}: as configured, the family's target needs no file there; ask for one by name"
        )
    return [folder + path.removeprefix(place) for path in found]
