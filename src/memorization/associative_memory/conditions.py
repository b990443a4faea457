"""The family's part of the configuration: its conditions, and what cannot go together.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, named
from memorization.random_sequences.conditions import Conditions

UNUSED = {"queue": ("n_units",), "linear_readout": ("eta", "memory_size", "epsilon")}  # settings, by form


class MemoryConditions(Conditions):
    """The section ``associative_memory``."""

    family = "associative_memory"

    def settings(self, name: str) -> dict:
        settings = super().settings(name)
        return {key: value for key, value in settings.items() if key not in UNUSED[settings["form"]]}

    @property
    def evictions(self) -> dict[str, int]:
        """By switch, the steps after it until no sequence from before it is in the queue; none without a queue."""
        conditions = {name: self.condition(name) for name in self.switches}
        return {
            name: -(-each["memory_size"] // each["batch_size"])
            for name, each in conditions.items()
            if each["form"] == "queue"
        }

    def told(self, name: str) -> dict:
        """What tables tell of a condition in each row; a linear readout has no temperature and no memory."""
        condition = self.condition(name)
        queue = condition["form"] == "queue"
        return {
            "condition": name,
            "model": "associative_memory" if queue else "linear_readout",
            "n_heads": condition["n_heads"],
            "eta": condition["eta"] if queue else 0,
            "memory_size": condition["memory_size"] if queue else 0,
        }

    def run_memory(self, name: str) -> int:
        condition, data = self.condition(name), self.dataset(name)
        if condition["form"] == "linear_readout":
            return super().run_memory(name)
        stored = min(data["count"] * (1 + len(condition.get("at", []))), condition["memory_size"])
        scores = min(condition["batch_size"] * data["length"] * stored, 20_000_000) * 4 * 8
        return super().run_memory(name) + (condition["memory_size"] * data["length"] + scores) // 10**6

    def check(self) -> None:
        super().check()
        for entry in self.section["models"]:
            form = self.condition(entry["name"])["form"]
            for key in sorted(entry.keys() & {*UNUSED[form]}):
                where = f"associative_memory.models[{entry['name']}].{key}"
                raise ConfigurationError(f"{where}: form {form} has no {key}; allowed: other keys")
        self._check_axis("heads", "n_heads")
        self._check_axis("etas", "eta")
        self.check_models(self.section["comparison"]["memory"], "comparison.memory")
        shown, bits = self.section["attention"]["condition"], self.section["attention"]["bits"]
        self.check_models([shown], "attention.condition")
        if self.condition(shown)["form"] != "queue":
            raise ConfigurationError(
                f"associative_memory.attention.condition: {shown} has no map B; allowed: conditions of form: queue"
            )
        if max(bits) >= self.dataset(shown)["length"]:
            raise ConfigurationError(
                f"associative_memory.attention.bits: {max(bits)}; allowed: 1 to {self.dataset(shown)['length'] - 1}"
            )

    def beside(self, zipf: Conditions) -> str:
        """The model of zipf that the comparison shows, which an overlay for this family alone may not have.

        Raises
        ------
        ConfigurationError
            One line, if it has the name of a condition beside it, or is on other sequences.
        """
        comparison = self.section["comparison"]
        model = named(zipf.section["models"], comparison["zipf"], "associative_memory.comparison.zipf")["name"]
        if model in comparison["memory"]:
            raise ConfigurationError(
                f"associative_memory.comparison.memory: {model} is the model of zipf too, and lines are told apart by "
                "name; allowed: conditions of other names"
            )
        data = zipf.dataset(model)
        for name in comparison["memory"]:
            if self.dataset(name) != data:
                shown = ", ".join(f"{key}: {value}" for key, value in data.items())
                raise ConfigurationError(
                    f"associative_memory.comparison.memory: {name} is on other sequences than {model} of zipf; "
                    f"allowed: conditions on {{{shown}}}"
                )
        return model

    def _check_axis(self, key: str, x: str) -> None:
        """That the conditions of a figure's column are queues on one data set, each with another ``x``."""
        where = f"associative_memory.{key}"
        self.check_models(self.section[key], key)
        seen = {}
        for name in self.section[key]:
            condition = self.condition(name)
            if condition["form"] != "queue":
                raise ConfigurationError(
                    f"{where}: {name} is a {condition['form']}; allowed: conditions of form: queue"
                )
            if condition[x] in seen:
                raise ConfigurationError(
                    f"{where}: {seen[condition[x]]} and {name} have {x}: {condition[x]}; allowed: each another {x}"
                )
            seen[condition[x]] = name
        if len({self.condition(name)["dataset"] for name in self.section[key]}) > 1:
            raise ConfigurationError(f"{where}: they are on several data sets; allowed: conditions on one")
