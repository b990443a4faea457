"""A family whose models are trained here, ``conditions``, or come from elsewhere, ``pretrained``.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import named, names
from memorization.family import Family
from memorization.models import language_model_size
from memorization.models.shape import TRAINING


class ModelFamily(Family):
    """A family with models from elsewhere; each subclass completes its data sets by ``data_settings``."""

    @property
    def pretrained(self) -> list[str]:
        """The names of the models from elsewhere."""
        return names(self.section["pretrained"])

    @property
    def models(self) -> list[str]:
        """The names of all models, in the order of figures."""
        return [*self.names, *self.pretrained]

    def condition(self, name: str) -> dict:
        """A model by its name, completed by the defaults."""
        if name in self.pretrained:
            return self.section["pretrained_defaults"] | named(self.section["pretrained"], name, self.name)
        return super().condition(name)

    def dataset(self, name: str) -> dict:
        """The data set of a model, completed."""
        return self.data_settings(self.condition(name)["dataset"])

    def data_settings(self, dataset: str) -> dict:
        """The settings of a data set, completed; the tokenizer of texts is by default that of their first model."""
        data = named(self.section["datasets"], dataset, f"{self.name}.datasets")
        if data["kind"] == "python":
            return data
        data = self.section["text_defaults"] | data
        models = (each["model"] for each in self.section["pretrained"] if each["dataset"] == dataset)
        return data | {"tokenizer": data["tokenizer"] or next(models, None)}

    def datasets_of(self, kind: str) -> list[str]:
        """The names of the data sets of a kind."""
        return [data["name"] for data in self.section["datasets"] if data["kind"] == kind]

    def of_data(self, name: str) -> dict:
        """The wildcard of a model's data set."""
        return {"dataset": self.condition(name)["dataset"]}

    def trained_run(self, name: str, seed: int | str) -> list[dict]:
        """The wildcards of a run, if its model is trained here."""
        return [{"condition": name, "seed": seed}] if name in self.names else []

    def size_of_rows(self, name: str, n_rows: int) -> dict[str, float]:
        """As ``training_size``, of a condition that sees each of so many rows once."""
        condition, data, seeds = self.settings(name) | self.condition(name), self.dataset(name), len(self.seeds(name))
        flops = language_model_size.forward_flops(condition, data["vocabulary"], data["row_length"])
        return {
            "jobs": seeds,
            "parameters": language_model_size.parameters(condition, data["vocabulary"]),
            "steps": -(-n_rows // condition["batch_size"]),
            "flops": seeds * TRAINING * n_rows * flops,
        }
