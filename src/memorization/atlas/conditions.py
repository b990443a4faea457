"""The family's part of the configuration: which conditions of other families stand side by side.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, names
from memorization.family import Family, Figure, Files, Table, pooled_tables


class Atlas(Family):
    """The section ``atlas``, which trains nothing: it reads the records of the families that stand before it."""

    name = "atlas"

    @property
    def tables(self) -> list[Table]:
        return [
            Table("exposure", lambda: self._records("exposure"), lambda: self._conditions("exposure"), has_csv=True),
            Table("summary", lambda: self._pooled() | pooled_tables("exposure"), has_csv=True),
            Table(
                "findings",
                lambda: self._compared() | pooled_tables("exposure", "summary"),
                lambda: self._conditions("comparison"),
                has_csv=True,
            ),
        ]

    @property
    def figures(self) -> list[Figure]:
        def exposed() -> dict[str, Files]:
            return self._records("exposure") | pooled_tables("exposure")

        return [
            Figure("comparison", self._compared, lambda: self._conditions("comparison")),
            Figure("exposure", exposed, lambda: self._conditions("exposure")),
            Figure("timing", exposed, lambda: self._conditions("exposure")),
            Figure("bits", lambda: pooled_tables("summary")),
            Figure("forgetting", lambda: pooled_tables("summary")),
        ]

    def check(self) -> None:
        for key in ("comparison", "exposure"):
            for entry in self.section[key]:
                if entry["family"] not in self.others:
                    raise ConfigurationError(
                        f"atlas.{key}: there is no family {entry['family']!r}; allowed: {', '.join(self.others)}"
                    )

    def _conditions(self, key: str) -> dict:
        return {"conditions": [[entry["family"], entry["condition"]] for entry in self.section[key]]}

    def _pooled(self) -> dict[str, Files]:
        """The tables that families write alike, of each that has both."""
        kinds = ("records", "runs")
        tables = {
            name: [file for table in family.tables for file in table.files] for name, family in self.others.items()
        }
        return {
            f"{name}_{kind}": Files(f"{kind}_table", [{}], name)
            for name, files in tables.items()
            if {*kinds} <= {*files}
            for kind in kinds
        }

    def _records(self, key: str) -> dict[str, Files]:
        """Records of conditions of other families, none of switches or of untrained models; checked when asked for.

        An overlay for another family alone may not have these conditions, and is none the worse.
        """
        chosen: dict[str, list[str]] = {}
        for family, name in self._conditions(key)["conditions"]:
            conditions = names(self.others[family].section.get("conditions", []))
            if name not in conditions:
                allowed = ", ".join(conditions)
                raise ConfigurationError(f"atlas.{key}: there is no {name!r} in {family}; allowed: {allowed}")
            chosen.setdefault(family, []).append(name)
        return {
            f"{family}_records": Files("records", self.others[family].runs("records", names).wildcards, family)
            for family, names in chosen.items()
        }

    def _compared(self) -> dict[str, Files]:
        """The records of conditions that are on equal data."""
        records, datasets = self._records("comparison"), {}
        for family, name in self._conditions("comparison")["conditions"]:
            datasets[f"{name} of {family}"] = self.others[family].dataset(name)
        (first, data), *rest = datasets.items()
        for name, other in rest:
            if other != data:
                shown = ", ".join(f"{key}: {value}" for key, value in data.items())
                raise ConfigurationError(
                    f"atlas.comparison: {name} is on other data than {first}; allowed: conditions on {{{shown}}}"
                )
        return records
