"""Checks that every result on disk is whole, and what the present configuration and code would make.

Each file says what made it, and has the digests of its inputs. Snakemake's own notes in ``.snakemake/`` are not read,
so that a colleague's results or an archive can be audited. A file is

missing
    not on disk.
damaged
    not whole, or without a note of what made it. A figure has no digest: damage is found if its format shows it.
stale
    made with other parameters, code, inputs or wildcards.
of another run
    made from inputs with other contents than those on disk.
downstream
    made from a file that is not fresh.
fresh
    none of these.

The device and the versions of packages make nothing stale, as in the workflow.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from memorization.figure_files import read_figure_made_by
from memorization.files import DamagedFile, read_arrays, read_made_by, read_table, refusing_damage
from memorization.job import _decoded
from memorization.provenance import ROOT, canonical

STATES = ("fresh", "missing", "damaged", "stale", "of another run", "downstream")
NOTHING = object()  # in place of a missing value
SHOWN = 3  # most differences that are printed for a file
LONGEST = 60  # most characters that are printed of a value


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
    findings = audit(planned_files(targets, configfiles), directory)
    counts = Counter(finding.state for finding in findings)
    for finding in findings:
        if finding.state != "fresh":
            print(finding)
    print(f"{len(findings)} files:", ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))
    return int(counts["fresh"] < len(findings))


def planned_files(targets: Iterable[str], configfiles: Iterable[Path]) -> list[Planned]:
    """All files that this checkout's workflow would make for targets, inputs before what is made from them.

    This is a dry run of Snakemake in an empty folder, because even a dry run writes into its folder. Existing files do
    not matter: each input is another rule's output.

    Raises
    ------
    ValueError
        One line, if the configuration has a mistake or no rule makes a target.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import ApiError, RuleException, WorkflowError
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    output = OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False)
    try:
        with TemporaryDirectory() as folder, SnakemakeApi(output) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(),
                config_settings=ConfigSettings(configfiles=list(configfiles)),
                snakefile=ROOT.parent / "Snakefile",
                workdir=Path(folder),
            )
            workflow.dag(DAGSettings(targets=set(targets))).execute_workflow(executor="dryrun")
            layers = workflow._workflow.dag.toposorted()
            jobs = (job for layer in layers for job in sorted(layer, key=lambda job: [*map(str, job.output)]))
            return [file for job in jobs if job.is_script for file in _outputs(job)]
    except (ApiError, WorkflowError, RuleException) as error:
        raise ValueError(_one_line(error)) from error


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
        findings[file.path] = _finding(file, directory / file.path, findings, digests)
    return list(findings.values())


def _finding(file: Planned, path: Path, findings: dict[str, Finding], digests: dict[str, str]) -> Finding:
    if not path.exists():
        return Finding(file.path, "missing")
    if not path.is_file():
        return Finding(file.path, "damaged", "no file")
    try:
        made_by, noted = _read(path)
    except DamagedFile as error:
        why = re.sub(r"^damaged \((.*)\); delete it.*", r"\1", str(error).removeprefix(f"{path}: "))
        return Finding(file.path, "damaged", why)
    if "sha256" in made_by:  # a figure has none, but is no input either
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
    return Finding(file.path, "fresh")


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


def _read(path: Path) -> tuple[dict, dict[str, str]]:
    """What made a file, and the digests of all its inputs by path; the whole file is read."""
    with refusing_damage(path):
        if path.suffix in (".pdf", ".png", ".svg"):
            made_by = read_figure_made_by(path)
        elif path.suffix == ".json":
            made_by = _read_json(path)
        elif path.suffix == ".html":
            made_by = _read_page(path)
        elif path.suffix == ".txt":
            made_by = read_made_by(path.with_suffix(".parquet"))
        elif path.suffix == ".csv":
            made_by = _read_csv(path)
        elif path.suffix in READERS:
            READERS[path.suffix](path)
            made_by = read_made_by(path)
        else:
            raise DamagedFile(path, f"no {path.suffix} says what made it")
        direct = {name: entry["sha256"] for name, entry in made_by.get("made_from", {}).items()}
        noted = made_by.get("made_from_earlier", {}) | direct
        return made_by, {name: str(digest) for name, digest in noted.items()}


def _read_json(path: Path) -> dict:
    """What made a JSON file: it says so, or ``config.json`` beside it does, of a tokenizer that takes no other keys."""
    found = json.loads(path.read_text("utf-8"))
    beside = path.with_name("config.json")
    return found["made_by"] if "made_by" in found else json.loads(beside.read_text("utf-8"))["made_by"]


def _read_page(path: Path) -> dict:
    """What made a page: its ``meta`` element ``made_by`` says so."""
    head, text = _Head(), path.read_text("utf-8")
    head.feed(text)
    if not text.endswith("</html>\n"):
        raise DamagedFile(path, "not a whole page")
    return json.loads(head.made_by)


class _Head(HTMLParser):
    made_by = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta" and dict(attrs).get("name") == "made_by":
            self.made_by = dict(attrs)["content"]


def _read_csv(path: Path) -> dict:
    """What made a CSV: it is what the Parquet file beside it holds, which says so."""
    from memorization.csv_files import csv_text

    beside = path.with_suffix(".parquet")
    if path.read_bytes().decode("utf-8") != csv_text(read_table(str(beside))):
        raise DamagedFile(path, f"it is not what {beside.name} holds")
    return read_made_by(beside)


def _read_tensors(path: Path) -> None:
    from memorization.training.checkpoints import read_tensors  # imports torch, which takes seconds

    read_tensors(path)


READERS = {".npz": read_arrays, ".parquet": read_table, ".safetensors": _read_tensors}  # they check the digest


def _differences(made_by: dict, file: Planned) -> Iterator[str]:
    """How a file differs from what is planned."""
    for name in ("wildcards", "params"):
        yield from _unequal(name, made_by.get(name, NOTHING), getattr(file, name))
    inputs = made_by.get("made_from", {}).keys()
    for how, paths in (("without", file.inputs - inputs), ("also from", inputs - file.inputs)):
        if paths:
            yield f"inputs: made {how} {_some(sorted(paths))}"
    yield from _unequal("code", made_by.get("code", NOTHING), file.code)


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
