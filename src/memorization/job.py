"""The frame that every script runs in: its log, its settings, and how it writes what it makes.

The one module that knows Snakemake's object; everything else takes values and gives values.
"""

import json
import platform
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from memorization.files import read_made_by, read_tables, write_arrays, write_table
from memorization.plan import check_planned_code
from memorization.provenance import canonical, code_digest

PACKAGES = ("numpy", "torch", "pandas", "pyarrow", "safetensors", "matplotlib", "seaborn")


class Job:
    """What Snakemake hands a script, and how the script writes."""

    def __init__(self, snakemake):
        self.input, self.output, self.wildcards = snakemake.input, snakemake.output, snakemake.wildcards
        self.rule, self.threads, self.params = snakemake.rule, snakemake.threads, dict(snakemake.params.items())
        self.progress = snakemake.config["progress"]  # how it runs, not what it makes: no parameter
        self.device = snakemake.config["device"]  # as asked for, until the script settles on one
        self.gpu_share = snakemake.config["gpu_share"]
        self._of_inputs: dict[str, dict] = {}  # what they say of themselves, by path
        self.code = code_digest(sys.modules["__main__"].__file__)
        check_planned_code(self.rule, self.code)

    def settings(self, name: str):
        """A parameter that was handed on in canonical form."""
        return json.loads(self.params[name])

    @property
    def seed(self) -> int:
        return int(self.wildcards.seed)

    @property
    def made_by(self) -> dict:
        """What makes this job's results, of all of its inputs."""
        return self._made_from(self.input)

    def _made_from(self, inputs: Iterable[str]) -> dict:
        """What makes a result: code, parameters, versions and device; and what made the inputs that it is made of.

        ``made_from`` has what the inputs say of themselves, by path; ``made_from_earlier`` the digests of what these
        were made from, by path, and so on to the first: who wants to know more asks those files.
        """
        made_from, earlier = {}, {}
        for path in inputs:
            entry = self._of_inputs.setdefault(str(path), read_made_by(path)).copy()
            direct = {name: of["sha256"] for name, of in entry.pop("made_from", {}).items()}
            earlier |= entry.pop("made_from_earlier", {}) | direct
            made_from[str(path)] = entry
        params = {name: _decoded(value) for name, value in self.params.items() if name not in ("code", "script")}
        return {
            "rule": self.rule,
            "code": self.code,
            "params": params,
            "wildcards": dict(self.wildcards.items()),
            **self._runs_on(),
            "made_from": made_from,
            "made_from_earlier": earlier,
        }

    def unfinished(self, target: str) -> str:
        """Where a job keeps its checkpoint until it is done: beside ``target``, keyed by all that it depends on.

        No declared output, which Snakemake would delete when the job fails. The key is a digest of the code,
        the parameters, versions and device, and the inputs' contents, so that a stale one is never found.
        """
        key = sha256(canonical([self.code, self.params, self._runs_on()]).encode())
        for path in self.input:
            key.update(sha256(Path(path).read_bytes()).digest())
        return f"{target}.{key.hexdigest()[:12]}.unfinished"

    def _runs_on(self) -> dict:
        versions = {package: version(package) for package in PACKAGES if package in sys.modules}
        return {
            "versions": {"python": platform.python_version()} | versions,
            "device": self.device if "torch" in sys.modules else "cpu",
            "threads": self.threads,
        }

    def write_table(self, table, path: str) -> None:
        write_table(path, table, self.made_by)

    def write_tables(self, tables: Mapping) -> None:
        """Write to each output the table of its name."""
        for name, path in self.output.items():
            self.write_table(tables[name], path)

    def pool_tables(self) -> None:
        """Write for each output the tables of the input of that name, one below the other."""
        for name, path in self.output.items():
            write_table(path, read_tables(self.input[name]), self._made_from(self.input[name]))

    def write_arrays(self, arrays: Mapping, path: str) -> None:
        write_arrays(path, arrays, self.made_by)


@contextmanager
def job(snakemake) -> Iterator[Job]:
    """Send what a job prints to its log, and end the log of a failed one with why it failed."""
    log = Path(snakemake.log[0])
    with log.open("w", buffering=1) as out, redirect_stdout(out), redirect_stderr(out):
        try:
            this = Job(snakemake)
            print(this.rule, *(f"{name}={value}" for name, value in this.wildcards.items()), f"code={this.code}")
            yield this
        except BaseException:
            traceback.print_exc()
            raise


def _decoded(value):
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
