"""The strict configuration: a mistake is one line that names the key and its allowed values.

Imported when the Snakefile is read: nothing here may import torch.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry


def _is(kind) -> Callable[[object, object], bool]:
    return lambda _, value: isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


# 3.0 is no integer; .nan, and what is too large for a float, are no numbers
TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is(int), "number": _is(int | float)})


def _complete(_, wanted, value, schema):
    """The schema keyword ``complete``: every property must be there, as defaults fill in what an overlay leaves out."""
    for name in schema["properties"] if wanted and isinstance(value, Mapping) else ():
        if name not in value:
            yield ValidationError(name)


Validator = validators.extend(Draft202012Validator, {"complete": _complete}, type_checker=TYPES)


class ConfigurationError(ValueError):
    """A configuration with a mistake; the message names the key and its allowed values."""


def with_defaults(config: Mapping, folder: str | Path, families: Iterable[str]) -> dict:
    """A configuration, completed by ``config.yaml`` and ``families/<family>.yaml``.

    Parameters
    ----------
    config : an overlay, or nothing
    folder : of the YAML files
    families : names
    """
    paths = [Path(folder) / "config.yaml", *(Path(folder) / f"families/{name}.yaml" for name in families)]
    complete: dict = {}
    for path in paths:
        complete |= yaml.safe_load(path.read_text("utf-8"))
    return merged(complete, config)


def merged(below: Mapping, above: Mapping) -> dict:
    """Merge as Snakemake merges an overlay: mappings key by key, everything else is replaced."""
    both = {
        key: merged(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping)
    }
    return {**below, **above, **both}


def check(config: Mapping, schemas: str | Path, families: Iterable[str], strict: bool = True) -> None:
    """Check a configuration against ``config.schema.yaml``, and each section against its family's schema.

    ``Family.check`` then checks which values can go together.

    Parameters
    ----------
    config : complete, as ``with_defaults`` gives it
    schemas : folder of JSON Schemas, ``<family>.schema.yaml`` describes that family's file
    families : names
    strict : whether an unknown section is an error; it is none where another workflow includes this one

    Raises
    ------
    ConfigurationError
        One line, such as ``<family>.seeds: 0 is less than the minimum of 1``.
    """
    families, registry = list(families), _registry(Path(schemas))
    shared = registry.contents("config.schema.yaml")
    allowed = [*shared["properties"], *families]
    unknown = [key for key in sorted(config, key=str) if key not in allowed]
    if unknown and strict:
        raise ConfigurationError(f"{unknown[0]}: unknown section; allowed: {', '.join(sorted(allowed))}")
    parts = [(shared, {key: config[key] for key in shared["properties"] if key in config})]
    parts += [(registry.contents(f"{name}.schema.yaml"), {name: config[name]}) for name in families]
    for schema, part in parts:
        error = best_match(Validator(schema, registry=registry).iter_errors(part))
        if error is not None:
            raise ConfigurationError(_explain(part, error))
    for name in families:
        _check_names(name, config[name])
        _check_limits(name, config[name].get("figures", {}))
    for name in config["families"]:
        if name not in families:
            raise ConfigurationError(f"families: there is no {name!r}; allowed: {', '.join(families)}")


def names(entries: list[dict]) -> list[str]:
    """The names in a list of ``{name: …}``, in its order."""
    return [entry["name"] for entry in entries]


def named(entries: list[dict], name: str, where: str) -> dict:
    """The entry of that name in a list of ``{name: …}``; ``where`` is the key of the list, for the message."""
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise ConfigurationError(f"{where}: there is no {name!r}; allowed: {', '.join(names(entries))}")


def seeds(section: dict, first: int = 0) -> list[int]:
    """The seeds of a section: the list, or as many as it counts, from ``first`` on."""
    wanted = section["seeds"]
    return wanted if isinstance(wanted, list) else list(range(first, first + wanted))


def export_environment(checkout: str | Path) -> None:
    """Let every job import the package, installed or not, and use one thread unless the user sets another number.

    A job runs in its own process, on a cluster on another machine. It reads the rule files again, so it sets
    this environment too.
    """
    paths = [f"{checkout}/src", *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # Otherwise glibc returns each large tensor to the system and requests it again: a quarter of a training's time.
    for setting in ("MMAP_THRESHOLD", "TRIM_THRESHOLD"):
        os.environ.setdefault(f"MALLOC_{setting}_", str(10**9))


@cache
def _registry(schemas: Path) -> Registry:
    """All schemas of a folder, read once rather than for each reference to them."""
    files = sorted(schemas.glob("*.schema.yaml"))
    return Registry().with_contents((path.name, yaml.safe_load(path.read_text("utf-8"))) for path in files).crawl()


def _explain(value, error: ValidationError) -> str:
    key = ""
    for step in error.absolute_path:
        value = value[step]
        key += f".{step}" if isinstance(step, str) else f"[{_name(value, step)}]"
    key = key.removeprefix(".")
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = next(name for name in error.instance if name not in allowed)
        return f"{key}.{unknown}: unknown key; allowed: {', '.join(sorted(allowed))}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{key}.{missing}: missing"
    if error.validator == "complete":
        return f"{key}.{error.message}: missing".removeprefix(".")
    if error.validator == "type" and isinstance(error.instance, str) and _is_quoted(error):
        return (
            f"{key}: {error.instance!r} is text: Snakemake hands on nested values of --config as text; write them into "
            "a file and name it by --configfile"
        )
    if error.validator == "enum":
        return f"{key}: {error.instance!r} is not allowed; allowed: {', '.join(map(str, error.validator_value))}"
    if (description := (error.parent or error).schema.get("description")) is not None:
        return f"{key}: {error.instance!r}; allowed: {description}"
    if error.validator == "type" and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE]\d+|[+-]?\d+[eE][+-]?\d+", str(error.instance)):
        return f"{key}: {error.instance!r} is text to YAML, not a number; write 1.0e-3 for 1e-3"
    return f"{key}: {error.message}"


def _is_quoted(error: ValidationError) -> bool:
    """Whether a text would have the expected type without its quotes."""
    try:
        plain = yaml.safe_load(error.instance)
    except yaml.YAMLError:
        return False
    return not isinstance(plain, str) and Validator({"type": error.validator_value}).is_valid(plain)


def _name(value, index: int) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name.isprintable() else str(index)


def _check_names(section: str, value: Mapping) -> None:
    for key, entries in value.items():
        if isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries):
            twice = [name for name, count in Counter(names(entries)).items() if count > 1]
            if twice:
                raise ConfigurationError(f"{section}.{key}: named twice: {', '.join(twice)}; names must differ")


def _check_limits(section: str, figures: Mapping) -> None:
    """Check that limits of axes rise."""
    for figure, keys in figures.items():
        for key, value in keys.items():
            if isinstance(value, list) and None not in value and value[0] >= value[1]:
                where = f"{section}.figures.{figure}.{key}"
                raise ConfigurationError(f"{where}: {value}; allowed: [low, high] with low below high")
