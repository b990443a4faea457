"""A family of experiments: its conditions, and the tables and figures made from them.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from memorization.configuration import named, names, seeds


@dataclass(frozen=True)
class Files:
    """Files of one kind.

    Attributes
    ----------
    kind : the key under which the family's rules have the pattern of the path
    wildcards : for each file, the values of the wildcards by name
    family : the family that makes the files; None for the family that declares this. Only comparisons name another
    """

    kind: str
    wildcards: Sequence[Mapping[str, object]]
    family: str | None = None

    def paths(self, patterns: Mapping[str, Mapping[str, str]], family: str) -> list[str]:
        """The paths of the files.

        Parameters
        ----------
        patterns : of paths, by family and kind, from the rules
        family : the family that declares these files
        """
        pattern = patterns[self.family or family][self.kind]
        return [pattern.format(**wildcards) for wildcards in self.wildcards]


def pooled_tables(*names: str) -> dict[str, Files]:
    """Inputs by name: tables of the family that declares them."""
    return {name: Files(f"{name}_table", [{}]) for name in names}


@dataclass(frozen=True)
class Table:
    """One or several ``results/tables/<family>_<table>.parquet``, made by the rule ``<family>_<name>_table``.

    Attributes
    ----------
    name : part of the rule's name
    inputs : returns the rule's inputs by name
    settings : returns what the script needs from the configuration
    tables : the names of the tables; by default ``name``
    has_csv : whether each table is also written as CSV, to open by hand, by the output ``<table>_csv``
    script : below workflow/scripts; by default ``<family>/<name>_table.py``
    """

    name: str
    inputs: Callable[[], dict[str, Files]]
    settings: Callable[[], Mapping] = dict
    tables: tuple[str, ...] = ()
    has_csv: bool = False
    script: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        return self.tables or (self.name,)

    @property
    def outputs(self) -> dict[str, str]:
        """The names of the files behind ``<family>_``, by the name of the output."""
        formats = {"": ".parquet"} | ({"_csv": ".csv"} if self.has_csv else {})
        return {f"{name}{ending}": f"{name}{suffix}" for name in self.files for ending, suffix in formats.items()}


@dataclass(frozen=True)
class Figure:
    """``results/figures/<family>_<name>.pdf``, png and svg, which the rule ``<family>_<name>_figure`` makes.

    Attributes
    ----------
    name : of the figure, and of its settings under ``<family>.figures``
    inputs : returns the rule's inputs by name; takes the wildcards
    settings : returns what the script needs from the configuration; takes the wildcards
    wildcards : regular expressions by name, for what may follow the figure's name in a file name
    is_target : whether the family's target includes it
    script : below workflow/scripts; by default ``<family>/<name>_figure.py``
    caption : in workflow/report; by default ``<family>_<name>.rst``
    environment : the conda environment in envs/ that its script needs
    """

    name: str
    inputs: Callable[..., dict[str, Files]]
    settings: Callable[..., Mapping] = dict
    wildcards: Mapping[str, str] = field(default_factory=dict)
    is_target: bool = True
    script: str | None = None
    caption: str | None = None
    environment: str = "analysis"

    @property
    def stem(self) -> str:
        """The name followed by its wildcards, as in file names."""
        return self.name + "".join(f"{{{name}}}" for name in self.wildcards)


class Family:
    """A family of experiments; each family is a subclass.

    Parameters
    ----------
    section : the family's section of the configuration
    others : by name, the families before it in the list of all, for families that compare others
    first_seed : the first seed where the configuration counts seeds

    Attributes
    ----------
    name : the same in rules, scripts, package, configuration, schema, tests and docs
    apart : keys of a condition that do not change its training: its name, its seeds, its requests from a cluster
    """

    name: ClassVar[str]
    apart: ClassVar[tuple[str, ...]] = ("name", "seeds", "mem_mb", "runtime")

    def __init__(self, section: dict, others: Mapping[str, "Family"] | None = None, first_seed: int = 0):
        self.section, self.others, self.first_seed = section, others or {}, first_seed

    def seeds(self, name: str) -> list[int]:
        """The seeds of a condition: its own, or those of the section."""
        return seeds(self.condition(name) if "seeds" in self.condition(name) else self.section, self.first_seed)

    @property
    def names(self) -> list[str]:
        """The names of its conditions, in the order of the configuration."""
        return names(self.section.get("conditions", []))

    def condition(self, name: str) -> dict:
        """A condition by its name, completed by the defaults."""
        return self.section["defaults"] | named(self.section["conditions"], name, f"{self.name}.conditions")

    @property
    def datasets(self) -> dict[str, dict]:
        """The data sets by their names."""
        return {data["name"]: data for data in self.section["datasets"]}

    def dataset(self, name: str) -> dict:
        """The data set of a condition. Equal data sets have equal items."""
        return named(self.section["datasets"], self.condition(name)["dataset"], f"{self.name}.datasets")

    def settings(self, name: str) -> dict:
        """All settings that change a condition's training."""
        return {key: value for key, value in self.condition(name).items() if key not in self.apart}

    def request(self, name: str, key: str, attempt: int) -> int:
        """What a job of a condition requests from a cluster: ``mem_mb`` or ``runtime``, times its attempt."""
        return self.condition(name)[key] * attempt

    def check(self) -> None:
        """Check what no schema can.

        Raises
        ------
        ConfigurationError
            One line that names the key.
        """

    def runs(self, kind: str, conditions: Iterable[str] | None = None) -> Files:
        """Files of one kind, of all runs of some conditions (by default of all), sorted if none are named."""
        conditions = sorted(self.names) if conditions is None else conditions
        return Files(
            kind, [{"condition": name, "seed": seed} for name in conditions for seed in sorted(self.seeds(name))]
        )

    def first_seeds(self, kind: str, conditions: Iterable[str]) -> Files:
        """Files of one kind, of the first seed of each condition."""
        return Files(kind, [{"condition": name, "seed": self.seeds(name)[0]} for name in conditions])

    def pooled(self, *kinds: str, **others: Iterable[str]) -> Table:
        """A table for each kind of file, with the rows of all runs.

        Parameters
        ----------
        kinds : of files that every run has
        others : by kind, the conditions that have such files, if not all have them
        """
        of = dict.fromkeys(kinds) | others
        return Table(
            "runs",
            lambda: {kind: self.runs(kind, conditions) for kind, conditions in of.items()},
            tables=tuple(of),
            script="pool_runs.py",
        )

    def findings(self, settings: Callable[[], Mapping] = dict, **tables: str | Files) -> Table:
        """The table of what the family found.

        Parameters
        ----------
        settings : as in ``Table``
        tables : inputs by name: a table of the family's, by its own name, or files
        """
        files = {name: pooled_tables(of)[of] if isinstance(of, str) else of for name, of in tables.items()}
        return Table("findings", lambda: files, settings, has_csv=True)

    @property
    def tables(self) -> list[Table]:
        return []

    @property
    def figures(self) -> list[Figure]:
        return []

    def training_size(self, name: str) -> dict[str, float] | None:
        """The size of a condition's trainings, counted from the configuration; None if nothing is trained.

        Returns
        -------
        ``jobs`` and ``flops`` of all seeds together, ``parameters`` of the model, ``steps`` of one run.
        """
        return None

    def check_conditions(self, conditions: Iterable[str], key: str) -> None:
        """Check that the names under a key are names of conditions."""
        for name in conditions:
            named(self.section["conditions"], name, f"{self.name}.{key}")


def family_of(rule: str, families: Iterable[str]) -> str | None:
    """The family that a rule's name begins with, after a module's prefix; None for a rule of several families."""
    of = [name for name in families if f"_{name}_" in f"_{rule}_"]
    of = [name for name in of if not any(f"_{name}_" in f"_{other}_" and name != other for other in of)]  # part of it
    return of[0] if len(of) == 1 else None
