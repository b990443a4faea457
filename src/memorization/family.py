"""What a family of experiments is: its conditions, and the tables and figures that are made of them.

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
    kind : by which the rules of a family know the pattern of the path
    wildcards : of each file, the values by name
    family : whose files they are; None for those of the family that asks, as all do but those that compare families
    """

    kind: str
    wildcards: Sequence[Mapping[str, object]]
    family: str | None = None

    def paths(self, patterns: Mapping[str, Mapping[str, str]], family: str) -> list[str]:
        """The paths.

        Parameters
        ----------
        patterns : by family and kind, as the rules have them
        family : that asks
        """
        pattern = patterns[self.family or family][self.kind]
        return [pattern.format(**wildcards) for wildcards in self.wildcards]


@dataclass(frozen=True)
class Table:
    """``results/tables/<family>_<table>.parquet`` of one table or several, made by the rule ``<family>_<name>_table``.

    Attributes
    ----------
    name : of the rule
    inputs : the rule's inputs by name, when they are asked for
    settings : what its script needs of the configuration, when it is asked for
    tables : the names of the tables; by default that of the rule
    has_csv : whether each is written as CSV too, for people, by the output ``<table>_csv``
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
    inputs : the rule's inputs by name, when they are asked for; takes the wildcards
    settings : what its script needs of the configuration, when it is asked for; takes the wildcards
    wildcards : regular expressions by name, of what a file name may hold behind the figure's name
    is_target : whether the family's target wants it
    script : below workflow/scripts; by default ``<family>/<name>_figure.py``
    caption : in workflow/report; by default ``<family>_<name>.rst``
    environment : in envs, what its script needs
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
        """The name with the wildcards behind it, as it stands in file names."""
        return self.name + "".join(f"{{{name}}}" for name in self.wildcards)


class Family:
    """A family of experiments, of which a subclass a family says what is its own.

    Parameters
    ----------
    section : the family's part of the configuration
    others : families by name that stand before it in the list of all; those that compare families look at them
    first_seed : where counts of seeds begin

    Attributes
    ----------
    name : as in all its places: rules, scripts, package, configuration, schema, tests, docs
    apart : the keys of a condition that do not say what its training is: its name, its seeds, requests of a cluster
    """

    name: ClassVar[str]
    apart: ClassVar[tuple[str, ...]] = ("name", "seeds", "mem_mb", "runtime")

    def __init__(self, section: dict, others: Mapping[str, "Family"] | None = None, first_seed: int = 0):
        self.section, self.others, self.first_seed = section, others or {}, first_seed

    def seeds(self, name: str) -> list[int]:
        """The seeds of a condition, which may have others than the section."""
        return seeds(self.condition(name) if "seeds" in self.condition(name) else self.section, self.first_seed)

    @property
    def names(self) -> list[str]:
        """Of its conditions, in the order in which they stand."""
        return names(self.section.get("conditions", []))

    def condition(self, name: str) -> dict:
        """A condition by its name, with the defaults for what it does not say."""
        return self.section["defaults"] | named(self.section["conditions"], name, f"{self.name}.conditions")

    def dataset(self, name: str) -> dict:
        """The data set of a condition: equal data sets have equal items."""
        return named(self.section["datasets"], self.condition(name)["dataset"], f"{self.name}.datasets")

    def settings(self, name: str) -> dict:
        """What makes a condition's training what it is."""
        return {key: value for key, value in self.condition(name).items() if key not in self.apart}

    def request(self, name: str, key: str, attempt: int) -> int:
        """What an attempt at a job of a condition asks of a cluster: ``mem_mb`` or ``runtime``, more each time."""
        return self.condition(name)[key] * attempt

    def check(self) -> None:
        """What no schema can say of the section.

        Raises
        ------
        ConfigurationError
            One line that names the key.
        """

    def runs(self, kind: str, conditions: Iterable[str] | None = None) -> Files:
        """Files of a kind of all runs of some conditions; by default of all, in an order that changes nothing."""
        conditions = sorted(self.names) if conditions is None else conditions
        return Files(
            kind, [{"condition": name, "seed": seed} for name in conditions for seed in sorted(self.seeds(name))]
        )

    def first_seeds(self, kind: str, conditions: Iterable[str]) -> Files:
        """Files of a kind of the first run of each condition."""
        return Files(kind, [{"condition": name, "seed": self.seeds(name)[0]} for name in conditions])

    def pooled(self, *kinds: str, **others: Iterable[str]) -> Table:
        """A table for each kind of file that every run has, the runs' rows one below the other.

        Parameters
        ----------
        kinds : of files that all conditions' runs have
        others : conditions by kind, of files that only these have
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
        files = {name: Files(f"{of}_table", [{}]) if isinstance(of, str) else of for name, of in tables.items()}
        return Table("findings", lambda: files, settings, has_csv=True)

    @property
    def tables(self) -> list[Table]:
        return []

    @property
    def figures(self) -> list[Figure]:
        return []

    def training_size(self, name: str) -> dict[str, float] | None:
        """How large the trainings of a condition are, counted from the configuration; None where nothing is trained.

        Returns
        -------
        ``jobs`` of all seeds; ``parameters`` of the model; ``steps`` of a run; ``flops`` of all seeds.
        """
        return None

    def check_conditions(self, conditions: Iterable[str], key: str) -> None:
        """That the names which stand under a key are those of conditions."""
        for name in conditions:
            named(self.section["conditions"], name, f"{self.name}.{key}")


def family_of(rule: str, families: Iterable[str]) -> str | None:
    """The family whose name a rule's begins with, behind a module's prefix or not; None for a rule of several."""
    of = [name for name in families if f"_{name}_" in f"_{rule}_"]
    of = [name for name in of if not any(f"_{name}_" in f"_{other}_" and name != other for other in of)]  # part of it
    return of[0] if len(of) == 1 else None
