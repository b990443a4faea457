"""The family's part of the configuration: its conditions, and what cannot go together.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError
from memorization.random_sequences.conditions import Conditions

ARMS = {"decoder": "transformer", "one_layer_attention": "one_layer_attention"}  # of the records, by architecture


class ZipfConditions(Conditions):
    """The section ``zipf``."""

    family = "zipf"

    def settings(self, name: str) -> dict:
        return {"freeze": "none"} | super().settings(name)

    def arm(self, name: str) -> str:
        """What kind of model a condition is, in the records."""
        return ARMS[self.condition(name)["architecture"]]

    def check(self) -> None:
        super().check()
        for name in self.models:
            self._check_model(name)
        for comparison in self.section["comparisons"]:
            self.check_models(comparison["conditions"], f"comparisons[{comparison['name']}].conditions")

    def training_memory(self, name: str) -> int:
        """Megabytes that training takes: each of its processes records all losses."""
        return self.run_memory(name) * self.condition(name)["gpus"]

    def _check_model(self, name: str) -> None:
        where, model = f"zipf.models[{name}]", self.condition(name)
        if model["d_model"] % model["n_heads"]:
            raise ConfigurationError(
                f"{where}.d_model: {model['d_model']} is not divisible by n_heads, {model['n_heads']}"
            )
        if model["positions"] == "rope" and model["d_model"] // model["n_heads"] % 2:
            raise ConfigurationError(f"{where}.positions: rope needs an even d_model / n_heads")
        if model["architecture"] == "one_layer_attention" and (model["n_layers"], model["positions"]) != (1, "learned"):
            raise ConfigurationError(f"{where}: one_layer_attention has n_layers: 1 and positions: learned")
