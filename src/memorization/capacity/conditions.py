"""The family's part of the configuration: its conditions, what cannot go together, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.capacity.data import batch_mb
from memorization.configuration import ConfigurationError, named
from memorization.family import Family, Figure, Table
from memorization.models.shape import TRAINING, decoder_flops, decoder_parameters


class Capacity(Family):
    """The section ``capacity``."""

    name = "capacity"

    @property
    def tables(self) -> list[Table]:
        settings = {key: self.section[key] for key in ("sequences", "models", "comparisons")}
        return [self.pooled("bits", "records", "runs"), self.findings(lambda: settings, bits="bits")]

    @property
    def figures(self) -> list[Figure]:
        comparisons = self.section["comparisons"]
        compared = sorted({name for each in comparisons for name in each["conditions"]})
        return [
            Figure("sequences", lambda: {"runs": self.runs("bits", sorted(self.section["sequences"]))}),
            Figure(
                "parameters",
                lambda: {"runs": self.runs("bits", sorted(self.section["models"]))},
                lambda: {"models": self.section["models"]},
            ),
            Figure("training", lambda: {"runs": self.runs("bits", compared)}, lambda: {"comparisons": comparisons}),
        ]

    def parameters(self, name: str) -> int:
        """How many parameters a condition's model has."""
        model, data = self.condition(name), self.dataset(name)
        sizes = {key: model[key] for key in ("n_layers", "d_model", "d_ff")}
        return decoder_parameters(data["alphabet"] + 1, data["alphabet"], data["length"], **sizes)

    def forward_flops(self, name: str) -> float:
        """Floating-point operations of a forward pass on one sequence: those of matrix products."""
        model, data = self.condition(name), self.dataset(name)
        maps = 4 + 2 * model["d_ff"] / model["d_model"]  # qkv and output, feed-forward
        return decoder_flops(data["alphabet"], data["length"], model["n_layers"], model["d_model"], maps)

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``: a step is on all sequences, a recorded step a forward pass over them."""
        seeds, steps = len(self.seeds(name)), self.condition(name)["steps"]
        recorded = self.section["evaluation"]["n_records"] + self.section["evaluation"]["n_late"]  # at most
        passes = self.dataset(name)["count"] * (TRAINING * steps + recorded)
        flops = seeds * passes * self.forward_flops(name)
        return {"jobs": seeds, "parameters": self.parameters(name), "steps": steps, "flops": flops}

    def check(self) -> None:
        for data in self.section["datasets"]:
            different = data["alphabet"] ** data["length"]
            if data["count"] > different:
                raise ConfigurationError(
                    f"{self.name}.datasets[{data['name']}].count: {data['count']}, but {data['alphabet']} symbols make "
                    f"{different} sequences of length {data['length']}; allowed: 1 to {different}"
                )
        for name in self.names:
            self._check_model(name)
        for key in ("sequences", "models"):
            self.check_conditions(self.section[key], key)
        for comparison in self.section["comparisons"]:
            self.check_conditions(comparison["conditions"], f"comparisons[{comparison['name']}].conditions")
        self._check_sequences()

    def _check_model(self, name: str) -> None:
        where, condition = f"{self.name}.conditions[{name}]", self.condition(name)
        data = named(self.section["datasets"], condition["dataset"], f"{where}.dataset")
        if condition["d_model"] % condition["n_heads"]:
            raise ConfigurationError(
                f"{where}.d_model: {condition['d_model']} is not divisible by n_heads, {condition['n_heads']}"
            )
        sizes = {key: data[key] for key in ("count", "length", "alphabet")}
        least = batch_mb(**sizes, **{key: condition[key] for key in ("n_layers", "d_model", "d_ff")})
        if condition["mem_mb"] < least:
            raise ConfigurationError(
                f"{where}.mem_mb: {condition['mem_mb']}, but a batch of all {data['count']} sequences takes about "
                f"{least}; allowed: {least} or more, or a smaller dataset"
            )

    def _check_sequences(self) -> None:
        """That the conditions of the figure against K have as many parameters, on data sets that differ in K alone."""
        seen: dict[int, str] = {}
        of_first = None
        for name in self.section["sequences"]:
            data = self.dataset(name)
            kind = (data["length"], data["alphabet"], self.parameters(name))
            if kind != (of_first := of_first or kind):
                raise ConfigurationError(
                    f"{self.name}.sequences: {name} has another length, alphabet or number of parameters than "
                    f"{self.section['sequences'][0]}; allowed: conditions that differ in how many sequences there are"
                )
            other = seen.setdefault(data["count"], name)
            if other != name:
                raise ConfigurationError(
                    f"{self.name}.sequences: {other} and {name} have {data['count']} sequences; allowed: each another "
                    "number"
                )
