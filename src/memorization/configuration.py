"""The configuration: strict, and refused in one line that names the key and what it may be.

Imported when the Snakefile is read: nothing here may import torch.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match


def _is(kind) -> Callable[[object, object], bool]:
    return lambda _, value: isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


# 3.0 is no integer; .nan, and what is too large for a float, are no numbers
TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is(int), "number": _is(int | float)})
Validator = validators.extend(Draft202012Validator, type_checker=TYPES)


class ConfigurationError(ValueError):
    """A configuration that cannot be run; its message names the key and what it may be."""


def check(config: dict, schemas: str, cross_checks: Mapping[str, Callable[[dict], None]]) -> None:
    """Check every section of ``config`` against ``<schemas>/<section>.schema.yaml``, then its keys together.

    Parameters
    ----------
    config : sections by name
    schemas : folder of JSON Schemas
    cross_checks : by section, what no schema can say; each raises ConfigurationError

    Raises
    ------
    ConfigurationError
        One line, such as ``zipf.seeds: 0 is less than the minimum of 1``.
    """
    known = {path.name.removesuffix(".schema.yaml"): path for path in Path(schemas).glob("*.schema.yaml")}
    for section in sorted(config.keys() | known.keys(), key=str):
        if section not in known:
            raise ConfigurationError(f"{section}: unknown section; allowed: {', '.join(sorted(known))}")
        if section not in config:
            raise ConfigurationError(f"{section}: section missing")
        schema = yaml.safe_load(known[section].read_text())
        error = best_match(Validator(schema).iter_errors(config[section]))
        if error is not None:
            raise ConfigurationError(_explain(section, config[section], error))
        _check_names(section, config[section])
    for section, cross_check in cross_checks.items():
        cross_check(config[section])


def names(entries: list[dict]) -> list[str]:
    """The names in a list of ``{name: …}``, in the order in which they stand."""
    return [entry["name"] for entry in entries]


def named(entries: list[dict], name: str, where: str) -> dict:
    """The entry of that name in a list of ``{name: …}`` that stands at ``where`` in the configuration."""
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise ConfigurationError(f"{where}: there is no {name!r}; allowed: {', '.join(names(entries))}")


def seeds(section: dict) -> list[int]:
    """The seeds of a family: those that it lists, or 0, 1, … as many as it counts."""
    wanted = section["seeds"]
    return wanted if isinstance(wanted, list) else list(range(wanted))


def figure_settings(plotting: dict, figure: str) -> dict:
    """What of the section ``plotting`` a figure uses: the style of all, and its own keys."""
    return plotting["style"] | plotting[figure]


def check_plotting(section: dict) -> None:
    """Limits of axes must rise.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    for figure, keys in section.items():
        for key, value in keys.items():
            if isinstance(value, list) and None not in value and value[0] >= value[1]:
                raise ConfigurationError(f"plotting.{figure}.{key}: {value}; allowed: [low, high] with low below high")


def export_environment(basedir: str) -> None:
    """Let every job import the package, installed or not, and compute with one thread unless told otherwise.

    A job runs in a process of its own, on a cluster on another machine; the
    rule files are read again there, so the environment is set there too.
    """
    paths = [f"{basedir}/src", *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # glibc would give each large tensor back to the system and ask for it anew: a quarter of a training's time.
    for setting in ("MMAP_THRESHOLD", "TRIM_THRESHOLD"):
        os.environ.setdefault(f"MALLOC_{setting}_", str(10**9))


def _explain(section: str, value, error: ValidationError) -> str:
    key = section
    for step in error.absolute_path:
        value = value[step]
        key += f".{step}" if isinstance(step, str) else f"[{_name(value, step)}]"
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = next(name for name in error.instance if name not in allowed)
        return f"{key}.{unknown}: unknown key; allowed: {', '.join(sorted(allowed))}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{key}.{missing}: missing"
    if error.validator == "enum":
        return f"{key}: {error.instance!r} is not allowed; allowed: {', '.join(map(str, error.validator_value))}"
    if (told := (error.parent or error).schema.get("description")) is not None:
        return f"{key}: {error.instance!r}; allowed: {told}"
    if error.validator == "type" and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE]\d+|[+-]?\d+[eE][+-]?\d+", str(error.instance)):
        return f"{key}: {error.instance!r} is text to YAML, not a number; write 1.0e-3 for 1e-3"
    return f"{key}: {error.message}"


def _name(value, index: int) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name.isprintable() else str(index)


def _check_names(section: str, value) -> None:
    for key, entries in value.items() if isinstance(value, dict) else ():
        if isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries):
            twice = [name for name, count in Counter(names(entries)).items() if count > 1]
            if twice:
                raise ConfigurationError(f"{section}.{key}: named twice: {', '.join(twice)}; names must differ")
