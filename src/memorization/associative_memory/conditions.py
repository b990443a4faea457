"""The family's part of the configuration: its conditions, and what cannot go together.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError
from memorization.random_sequences.conditions import Conditions


class MemoryConditions(Conditions):
    """The section ``associative_memory``."""

    family = "associative_memory"

    def settings(self, name: str) -> dict:
        settings = super().settings(name)
        unused = ("n_units",) if settings["form"] == "queue" else ("eta", "memory_size", "epsilon")
        return {key: value for key, value in settings.items() if key not in unused}

    @property
    def evictions(self) -> int:
        """Steps from a switch until no sequence from before it is in the queue, the longest of all switches."""
        conditions = map(self.condition, self.switches)
        return max((-(-each["memory_size"] // each["batch_size"]) for each in conditions), default=0)

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
        for key in ("heads", "etas"):
            self.check_models(self.section[key], key)
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
