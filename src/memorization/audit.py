"""Checks that every result on disk is whole, and what the present configuration and code would make.

Each file says what made it, and has the digests of its inputs. Snakemake's own notes in ``.snakemake/`` are not read,
so that a colleague's results or an archive can be audited. A file is

missing
    not on disk.
damaged
    not whole, or without a note of what made it.
stale
    made with other parameters, code, inputs or wildcards, or converted since.
of another run
    made from inputs with other contents than those on disk.
downstream
    made from a file that is not fresh.
fresh
    none of these.

The device and the versions of packages make nothing stale, as in the workflow.

Tables, arrays and weights have a digest of their contents, which are read and compared. CSV, text, pages and JSON have
none: they are compared with what follows from other results, the CSV always, the others where the ``audited`` module of
their family says how. Of a figure and of a model's ``config.json`` only the form and the note of what made them are
looked at: a change that leaves both whole is not found.
"""

import argparse
import importlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from memorization.families import FAMILIES
from memorization.files import DamagedFile, refusing_damage
from memorization.job import _decoded
from memorization.made_by_notes import READERS, read_note
from memorization.provenance import ROOT, canonical

STATES = ("fresh", "missing", "damaged", "stale", "of another run", "downstream")
NOTHING = object()  # in place of a missing value
SHOWN = 3  # most differences that are printed for a file
LONGEST = 60  # most characters that are printed of a value
UNREADABLE = (DamagedFile, FileNotFoundError, MemoryError)


@dataclass(frozen=True)
class Planned:
    """A file that the workflow would make: its path, and the note that it would have."""

    path: str
    code: str
    params: dict
    wildcards: dict
    inputs: frozenset[str]


@dataclass(frozen=True)
class Finding:
    """The state of a file, one of ``STATES``, and why; ``causes``, the files that make it ``downstream``."""

    path: str
    state: str
    why: str = ""
    causes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.path, self.state, self.why]))


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "audit",
        help="say which results are not what the present configuration and code would make, or not whole",
        description="Look at every file that Snakemake would make for TARGET, at what it says of itself and at all of "
        "its contents, and say which are not fresh, and why. Makes nothing and writes nothing.",
    )
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="rules or files (all)")
    parser.add_argument("--directory", "-d", metavar="DIR", type=Path, default=Path(), help="where the results lie")
    parser.add_argument(
        "--configfile", "--configfiles", metavar="FILE", type=Path, nargs="+", default=[], help="overlays"
    )
    parser.set_defaults(run=lambda options: run(options.targets, options.directory, options.configfile))


def run(targets: Iterable[str], directory: Path, configfiles: Iterable[Path]) -> int:
    """Print a line for each file that is not fresh, causes first, and the number of files in each state.

    Returns
    -------
    The exit status: 0 if all are fresh, 1 if any is not.
    """
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory}: no such folder")
    findings = audit(planned_files(targets, configfiles, directory), directory)
    counts = Counter(finding.state for finding in findings)
    for finding in findings:
        if finding.state != "fresh":
            print(finding)
    print(f"{len(findings)} files:", ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))
    return int(counts["fresh"] < len(findings))


def planned_files(targets: Iterable[str], configfiles: Iterable[Path], directory: Path) -> list[Planned]:
    """All files that this checkout's workflow would make for targets, inputs before what is made from them.

    This is a dry run of Snakemake in another folder, because even a dry run writes into its folder. There nothing is
    made; it has links to what the configuration names in ``directory``, to which relative paths are relative.

    Raises
    ------
    ValueError
        One line, if the configuration has a mistake or no rule makes a target.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import ApiError, RuleException, WorkflowError
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    output, configfiles = OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False), list(configfiles)
    try:
        with TemporaryDirectory() as folder, SnakemakeApi(output) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(),
                config_settings=ConfigSettings(configfiles=configfiles),
                snakefile=ROOT.parent / "Snakefile",
                workdir=_linked(Path(folder), directory.resolve(), _texts_of(configfiles)),
            )
            workflow.dag(DAGSettings(targets=set(targets))).execute_workflow(executor="dryrun")
            layers = workflow._workflow.dag.toposorted()
            jobs = (job for layer in layers for job in sorted(layer, key=lambda job: [*map(str, job.output)]))
            return [file for job in jobs if job.is_script for file in _outputs(job)]
    except (ApiError, WorkflowError, RuleException) as error:
        raise ValueError(_one_line(error)) from error


def _texts_of(configfiles: Iterable[Path]) -> set[str]:
    """All texts in the configuration's files, any of which may be a path. Snakemake says which cannot be read."""
    texts, config = set(), ROOT.parent / "config"
    for path in (config / "config.yaml", *config.glob("families/*.yaml"), *configfiles):
        try:
            values = [yaml.safe_load(path.read_text("utf-8"))]
        except (OSError, ValueError, yaml.YAMLError):
            continue
        for value in values:  # which grows meanwhile
            if isinstance(value, dict | list):
                values += value.values() if isinstance(value, dict) else value
            elif isinstance(value, str):
                texts.add(value)
    return texts


def _linked(folder: Path, directory: Path, names: Iterable[str]) -> Path:
    """A folder in ``folder`` with links to those of the relative paths ``names`` that are there in ``directory``.

    It lies as deep as ``directory``, so that paths may begin with ``..``.
    """
    root, place = os.path.abspath(folder), os.path.abspath(f"{folder}/{directory}")
    os.makedirs(place)
    for name in sorted({os.path.normpath(name) for name in names if not os.path.isabs(name)}):  # folders first
        there, link = os.path.normpath(directory / name), os.path.normpath(f"{place}/{name}")
        if os.path.exists(there) and link.startswith(f"{root}/") and not os.path.exists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(there, link)
    return Path(place)


def audit(planned: Iterable[Planned], directory: Path) -> list[Finding]:
    """The state of each file.

    Parameters
    ----------
    planned : inputs before what is made from them
    directory : their paths are relative to it
    """
    findings: dict[str, Finding] = {}
    digests: dict[str, str] = {}  # of the files on disk, by path
    for file in planned:
        findings[file.path] = _finding(file, directory, findings, digests)
    return list(findings.values())


def _finding(file: Planned, directory: Path, findings: dict[str, Finding], digests: dict[str, str]) -> Finding:
    path = directory / file.path
    if not path.exists():
        return Finding(file.path, "missing")
    if not path.is_file():
        return Finding(file.path, "damaged", "no file")
    try:
        made_by, noted = read_note(path)
    except UNREADABLE as error:
        return Finding(file.path, "damaged", _why(error, path))
    if path.suffix in READERS:  # others have no digest
        digests[file.path] = made_by["sha256"]
    differences = list(_differences(made_by, file))
    if differences:
        return Finding(file.path, "stale", _some(differences, "; "))
    for name, digest in sorted(noted.items()):
        if digests.get(name, digest) != digest:
            why = f"made from other contents of {name} ({digest[:12]}, now {digests[name][:12]})"
            return Finding(file.path, "of another run", why)
    causes = {cause: None for name in sorted(file.inputs & findings.keys()) for cause in _causes(findings[name])}
    if causes:
        first, *others = causes
        why = f"made from {first}, which is {findings[first].state}" + f", and {len(others)} more" * bool(others)
        return Finding(file.path, "downstream", why, tuple(causes))
    try:
        _check_text(file, directory, made_by)
    except UNREADABLE as error:
        return Finding(file.path, "damaged", _why(error, path))
    return Finding(file.path, "fresh")


def _why(error: Exception, path: Path) -> str:
    """Why a file cannot be read, or one that it is compared with, without what is to be done about it."""
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, FileNotFoundError):
        return f"{error.filename or error}, which it is compared with, is missing"
    return re.sub(r"damaged \((.*)\); delete it.*", r"\1", str(error).removeprefix(f"{path}: "))


def _causes(finding: Finding) -> tuple[str, ...]:
    return finding.causes or (finding.path,) * (finding.state != "fresh")


def _outputs(job) -> Iterator[Planned]:
    """The files that a job of Snakemake would make."""
    params = dict(job.params.items())
    code, script = params.pop("code"), params.pop("script", None)
    names = {str(path): name for name, path in job.output.items()}
    for path in map(str, job.output):
        inputs = job.input[names[path]] if script == "pool_runs.py" else job.input  # as Job.pool_tables notes them
        yield Planned(
            path=path,
            code=code,
            params={name: _decoded(value) for name, value in params.items()},
            wildcards=dict(job.wildcards.items()),
            inputs=frozenset(map(str, inputs)),
        )


def _check_text(file: Planned, directory: Path, made_by: dict) -> None:
    """Compare a text with what present code makes of other results, if its family says how.

    Raises
    ------
    DamagedFile
        If it is another, or something that it is compared with cannot be read.
    """
    path = directory / file.path
    for family in FAMILIES:
        module = f"memorization.{family.name}.audited"
        if path.suffix in READERS or not file.path.startswith(f"results/{family.name}/") or not find_spec(module):
            continue
        for pattern, text_of in importlib.import_module(module).TEXTS.items():
            if not path.match(pattern):
                continue
            with refusing_damage(path):
                expected = text_of(path, made_by, [directory / name for name in sorted(file.inputs)])
                if path.read_bytes().decode("utf-8") != expected:
                    raise DamagedFile(path, "it is not what follows from the other results")


def _differences(made_by: dict, file: Planned) -> Iterator[str]:
    """How a file differs from what is planned."""
    for name in ("wildcards", "params"):
        yield from _unequal(name, made_by.get(name, NOTHING), getattr(file, name))
    inputs = made_by.get("made_from", {}).keys()
    for how, paths in (("without", file.inputs - inputs), ("also from", inputs - file.inputs)):
        if paths:
            yield f"inputs: made {how} {_some(sorted(paths))}"
    yield from _unequal("code", made_by.get("code", NOTHING), file.code)
    yield from _unequal("converted", made_by.get("converted", NOTHING), NOTHING)  # noted by a command, not by a rule


def _unequal(where: str, then, now) -> Iterator[str]:
    """The keys at which two nested values differ, with both values."""
    if _text(then) == _text(now):
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            yield from _unequal(f"{where}.{key}", then.get(key, NOTHING), now.get(key, NOTHING))
    elif isinstance(then, list) and isinstance(now, list):
        for n, pair in enumerate(zip_longest(then, now, fillvalue=NOTHING)):
            yield from _unequal(f"{where}[{n}]", *pair)
    else:
        yield f"{where}: {_short(then)} in the file, {_short(now)} now"


def _text(value) -> str:
    return "nothing" if value is NOTHING else canonical(value)


def _short(value) -> str:
    text = _text(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _some(texts: list[str], between: str = ", ") -> str:
    rest = len(texts) - SHOWN
    return between.join(texts[:SHOWN]) + f", and {rest} more" * (rest > 0)


def _one_line(error: Exception) -> str:
    """An error of Snakemake in one line; for this workflow's own errors, their message only."""
    own = re.search(r"\bConfigurationError: (.*)", str(error))  # as Snakemake quotes it from an input function
    return own[1] if own else " ".join(str(error).split())
