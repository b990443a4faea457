"""The family's part of the configuration: its conditions, what cannot go together, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError
from memorization.family import Figure, Files, Table
from memorization.random_sequences.conditions import SequenceFamily, distinct

UNUSED = {"associative_memory": ("n_units",), "linear_readout": ("eta", "memory_size", "epsilon")}  # by architecture


class AssociativeMemory(SequenceFamily):
    """The section ``associative_memory``."""

    name = "associative_memory"

    def settings(self, name: str) -> dict:
        settings = super().settings(name)
        return {key: value for key, value in settings.items() if key not in UNUSED[settings["architecture"]]}

    @property
    def marks(self) -> dict[str, dict[str, int]]:
        """The steps after a switch until no sequence from before it is in the queue; none without a queue."""
        conditions = {name: self.condition(name) for name in self.switches if self._has_queue(name)}
        evictions = {name: -(-each["memory_size"] // each["batch_size"]) for name, each in conditions.items()}
        return {"old sequences have left the queue": evictions}

    def columns(self, name: str) -> dict:
        """What a condition is, in columns of its tables; a linear readout has no temperature and no memory: 0."""
        condition, queue = self.condition(name), self._has_queue(name)
        return {
            "condition": name,
            "architecture": condition["architecture"],
            "n_heads": condition["n_heads"],
            "eta": condition["eta"] if queue else 0,
            "memory_size": condition["memory_size"] if queue else 0,
        }

    @property
    def tables(self) -> list[Table]:
        since = {name: {label: steps[name]} for label, steps in self.marks.items() for name in steps}
        return [
            self.pooled("by_sequence", "summary", "records", "runs"),
            self.findings(
                lambda: {"switch_settings": self.switch_settings, "since": since},
                summary="summary",
                by_sequence="by_sequence",
            ),
        ]

    @property
    def figures(self) -> list[Figure]:
        heads, etas = self.section["heads"], self.section["etas"]
        return [
            *super().figures,
            Figure(
                "heads",
                lambda: {"runs": self.runs("summary", sorted({*heads, *etas}))},
                lambda: {"heads": heads, "etas": etas},
            ),
            Figure("attention", self._attention_inputs, self._attention_settings, environment="pipeline"),
        ]

    def parameters(self, name: str) -> int:
        """Those that a query reads: row n of the attention maps weighs n bits in each head."""
        model, length = self.condition(name), self.dataset(name)["length"]
        maps = model["n_heads"] * length * (length - 1) // 2
        if not self._has_queue(name):
            return maps + model["n_units"] * (model["n_heads"] + 2)
        return maps + model["n_heads"] * length

    def forward_flops(self, name: str) -> float:
        """Its queries, and its scores with all that is stored, or the readout's."""
        model, data = self.condition(name), self.dataset(name)
        length, heads = data["length"], model["n_heads"]
        if not self._has_queue(name):
            return 2 * length * heads * (length + model["n_units"])
        return 2 * length * (heads * length + (heads + 2) * distinct(data, model["memory_size"]))

    def check(self) -> None:
        super().check()
        for entry in self.section["conditions"]:
            architecture = self.condition(entry["name"])["architecture"]
            for key in sorted(entry.keys() & {*UNUSED[architecture]}):
                where = f"{self.name}.conditions[{entry['name']}].{key}"
                raise ConfigurationError(f"{where}: architecture {architecture} has no {key}; allowed: other keys")
        self._check_axis("heads", "n_heads")
        self._check_axis("etas", "eta")
        shown, bits = self.section["attention"]["condition"], self.section["attention"]["bits"]
        self.check_conditions([shown], "attention.condition")
        if not self._has_queue(shown):
            raise ConfigurationError(
                f"{self.name}.attention.condition: {shown} has no map B; allowed: conditions of architecture: "
                "associative_memory"
            )
        if max(bits) >= self.dataset(shown)["length"]:
            raise ConfigurationError(
                f"{self.name}.attention.bits: {max(bits)}; allowed: 1 to {self.dataset(shown)['length'] - 1}"
            )

    def _has_queue(self, name: str) -> bool:
        return self.condition(name)["architecture"] == "associative_memory"

    def _attention_inputs(self) -> dict[str, Files]:
        shown = self.section["attention"]["condition"]
        end = {"condition": shown, "seed": self.seeds(shown)[0], "step": self.condition(shown)["steps"]}
        return {"checkpoint": Files("checkpoint", [end])}

    def _attention_settings(self) -> dict:
        shown = self.section["attention"]["condition"]
        return {"bits": self.section["attention"]["bits"], "run": f"{shown}, seed {self.seeds(shown)[0]}"}

    def _check_axis(self, key: str, x: str) -> None:
        """That the conditions of a figure's column are memories on one data set, each with another ``x``."""
        where = f"{self.name}.{key}"
        self.check_conditions(self.section[key], key)
        seen = {}
        for name in self.section[key]:
            condition = self.condition(name)
            if not self._has_queue(name):
                raise ConfigurationError(
                    f"{where}: {name} is a {condition['architecture']}; allowed: conditions of architecture: "
                    "associative_memory"
                )
            if condition[x] in seen:
                raise ConfigurationError(
                    f"{where}: {seen[condition[x]]} and {name} have {x}: {condition[x]}; allowed: each another {x}"
                )
            seen[condition[x]] = name
        if len({self.condition(name)["dataset"] for name in self.section[key]}) > 1:
            raise ConfigurationError(f"{where}: they are on several data sets; allowed: conditions on one")
