"""The family's part of the configuration: its conditions, what cannot go together, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError
from memorization.family import Figure, Table
from memorization.models.shape import decoder_flops, decoder_parameters
from memorization.random_sequences.conditions import SequenceFamily

ARMS = {"decoder": "transformer", "one_layer_attention": "one_layer_attention"}  # of the records, by architecture


class Zipf(SequenceFamily):
    """The section ``zipf``."""

    name = "zipf"

    def settings(self, name: str) -> dict:
        return {"freeze": "none"} | super().settings(name)

    def arm(self, name: str) -> str:
        """What kind of model a condition is, in the records."""
        return ARMS[self.condition(name)["architecture"]]

    @property
    def tables(self) -> list[Table]:
        swaps = {"swap": self.switches} if self.switches else {}
        of_conditions = {
            name: {key: self.condition(name)[key] for key in ("steps", "decay")} for name in self.first_set
        }
        settings = {
            "comparisons": self.section["comparisons"],
            "switch_settings": self.switch_settings,
            "trainings": of_conditions,
        }
        inputs = {"summary": "summary", "by_sequence": "by_sequence"} | dict.fromkeys(swaps, "swap")
        return [
            self.pooled("by_sequence", "summary", "records", "runs", **swaps),
            self.findings(lambda: settings, **inputs),
        ]

    @property
    def figures(self) -> list[Figure]:
        compared = sorted({name for each in self.section["comparisons"] for name in each["conditions"]})
        return [
            *super().figures,
            Figure(
                "comparison",
                lambda: {"runs": self.runs("summary", compared)},
                lambda: {"comparisons": self.section["comparisons"]},
            ),
            Figure(
                "swap",
                lambda: {"runs": self.runs("swap", self.shown_switches("swap"))},
                lambda: {"conditions": self.switches},
                is_target=bool(self.switches),
            ),
        ]

    def parameters(self, name: str) -> int:
        model, length = self.condition(name), self.dataset(name)["length"]
        if model["architecture"] == "one_layer_attention":
            d_model = model["d_model"]  # qkv 3, feed-forward 8, of maps; a norm; the head
            return 11 * d_model**2 + (3 + length + 8 + 2) * d_model + 2 * (d_model + 1)
        sizes = {key: model[key] for key in ("n_layers", "d_model", "positions")}
        return decoder_parameters(vocabulary=3, n_outputs=2, max_length=length, **sizes)

    def forward_flops(self, name: str) -> float:
        model, length = self.condition(name), self.dataset(name)["length"]
        maps = 11 if model["architecture"] == "one_layer_attention" else 12  # no output projection
        return decoder_flops(2, length, model["n_layers"], model["d_model"], maps)

    def check(self) -> None:
        super().check()
        for name in self.first_set:
            self._check_model(name)
        for comparison in self.section["comparisons"]:
            self.check_conditions(comparison["conditions"], f"comparisons[{comparison['name']}].conditions")

    def _check_model(self, name: str) -> None:
        where, model = f"zipf.conditions[{name}]", self.condition(name)
        if model["d_model"] % model["n_heads"]:
            raise ConfigurationError(
                f"{where}.d_model: {model['d_model']} is not divisible by n_heads, {model['n_heads']}"
            )
        if model["positions"] == "rope" and model["d_model"] // model["n_heads"] % 2:
            raise ConfigurationError(f"{where}.positions: rope needs an even d_model / n_heads")
        if model["architecture"] == "one_layer_attention" and (model["n_layers"], model["positions"]) != (1, "learned"):
            raise ConfigurationError(f"{where}: one_layer_attention has n_layers: 1 and positions: learned")
