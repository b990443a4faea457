"""The family's part of the configuration: which conditions of other families stand side by side.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError
from memorization.family import Family, Figure, Files, Table


class Atlas(Family):
    """The section ``atlas``, which trains nothing: it reads the records of the families that stand before it."""

    name = "atlas"

    @property
    def tables(self) -> list[Table]:
        return [Table("findings", self._records, self._compared, has_csv=True)]

    @property
    def figures(self) -> list[Figure]:
        return [Figure("comparison", self._records, self._compared)]

    def check(self) -> None:
        for entry in self.section["comparison"]:
            if entry["family"] not in self.others:
                raise ConfigurationError(
                    f"atlas.comparison: there is no family {entry['family']!r}; allowed: {', '.join(self.others)}"
                )

    def _compared(self) -> dict:
        return {"conditions": [[entry["family"], entry["condition"]] for entry in self.section["comparison"]]}

    def _records(self) -> dict[str, Files]:
        """A named input a family, since the paths of each are its own; checked when it is asked for.

        An overlay for another family alone may not have these conditions, and is none the worse.
        """
        self._check_data()
        compared: dict[str, list[str]] = {}
        for family, name in self._compared()["conditions"]:
            compared.setdefault(family, []).append(name)
        return {
            family: Files("records", self.others[family].runs("records", names).wildcards, family)
            for family, names in compared.items()
        }

    def _check_data(self) -> None:
        datasets = {}
        for family, name in self._compared()["conditions"]:
            if name not in self.others[family].names:
                allowed = ", ".join(self.others[family].names)
                raise ConfigurationError(f"atlas.comparison: there is no {name!r} in {family}; allowed: {allowed}")
            datasets[f"{name} of {family}"] = self.others[family].dataset(name)
        (first, data), *rest = datasets.items()
        for name, other in rest:
            if other != data:
                shown = ", ".join(f"{key}: {value}" for key, value in data.items())
                raise ConfigurationError(
                    f"atlas.comparison: {name} is on other data than {first}; allowed: conditions on {{{shown}}}"
                )
