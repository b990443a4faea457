"""The family's part of the configuration: models that are trained or from elsewhere, their texts, tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

import platform
from collections.abc import Iterable
from hashlib import sha256

from memorization.extraction.checks import check_family
from memorization.extraction.prompts import longest_prompt, tokens_needed
from memorization.extraction.sizes import packed_rows
from memorization.family import Family, Figure, Files, Table, pooled_tables
from memorization.hub import split_name
from memorization.model_family import ModelFamily
from memorization.model_files import TOKENIZER, architecture_of, contents, noted
from memorization.provenance import canonical

OF_ALL = ("rates", "scores")  # of every run; of those that are trained here also records and runs
CORPUS = ("data_types", "vocabulary", "per_type", "controls", "background", "held_out", "leak_ngram")
STAGES = ("near_verbatim", "interference", "map")
OF_RUNS = ("prompts", "map")  # long tables, left in their runs' files
ATTACK = ("intervals", "fits")
DIFFERENCES = ("difference", "difference_intervals")
# The tables of which the findings are made.
FOUND = ("rates", "scores", "fits", "difference", "membership", "forecast", "interference", "near_verbatim")


class Extraction(ModelFamily):
    """The section ``extraction``."""

    name = "extraction"
    apart = (*Family.apart, "shards", "small", "pair", "stages")

    def condition(self, name: str) -> dict:
        """A model by its name, completed by the defaults."""
        found = super().condition(name)
        if name in self.pretrained:
            return found | {"architecture": found["architecture"] or architecture_of(found["model"])}
        return found

    def seeds(self, name: str) -> list[int]:
        """As ``Family.seeds``; a model from elsewhere counts as of seed 0."""
        return [0] if name in self.pretrained else super().seeds(name)

    def corpus_settings(self, dataset: str) -> dict:
        """What windows and background of a data set of kind python are made of: the text is that of this Python."""
        data = self.data_settings(dataset)
        found = {key: data[key] for key in CORPUS} | {"window": tokens_needed(data["lengths"])}
        return found | {"python": platform.python_version()}

    def text_settings(self, dataset: str) -> dict:
        """What windows of texts are made of, with the digests of the files from elsewhere."""
        data = self.data_settings(dataset)
        files = noted(data["path"], f"{data['tokenizer']}/{TOKENIZER}")
        window = tokens_needed(data.pop("lengths"))
        return data | files | {"window": window}

    def scored(self, name: str) -> dict:
        """The longest prompt of a model, which is followed in training: tokens of its ``prefix`` and ``suffix``."""
        prompt = longest_prompt(self.dataset(name)["lengths"])
        return {"prefix": prompt.prefix_length, "suffix": prompt.suffix_length}

    def settings(self, name: str) -> dict:
        """As ``Family.settings``, with the digests of a model from elsewhere."""
        found = super().settings(name)
        return found | noted(found["model"]) if name in self.pretrained else found

    def runs_of(self, name: str) -> list[dict]:
        """The wildcards of a model's runs."""
        return [{"condition": name, "seed": seed} for seed in sorted(self.seeds(name))]

    def attack(self, name: str) -> dict:
        """The settings of the attack on a model."""
        return self.section["attack"] | {"lengths": self.dataset(name)["lengths"]}

    def asked(self, name: str) -> dict:
        """Of the settings of the attack those that the other stages need."""
        return {key: self.attack(name)[key] for key in ("lengths", "temperature", "top_k", "batch_tokens")}

    def about(self, name: str) -> dict:
        """What tables say of a model: its name, and the commit of one of the hub or a digest of one of a folder."""
        if name in self.names:
            return {"model": name, "revision": ""}
        model = self.condition(name)["model"]
        digests = canonical(contents(model))
        revision = sha256(digests.encode()).hexdigest()[:12] if contents(model) else split_name(model)[1]
        return {"model": name, "revision": revision}

    def shards(self, condition: str, seed: int | str) -> list[dict]:
        """The wildcards of the shares of a run's attack."""
        number = self.condition(condition)["shards"]
        return [{"condition": condition, "seed": seed, "shard": n} for n in range(number)]

    def small(self, condition: str, seed: int | str) -> list[dict]:
        """The shares of the attack on the smaller model of a run; none without one, or where it has no such seed."""
        name = self.condition(condition)["small"]
        return self.shards(name, seed) if name and int(seed) in self.seeds(name) else []

    def twins(self, condition: str, seed: int | str) -> list[dict]:
        """Runs of a condition that did not train on windows which this one did, each for another group of them.

        The first seed that leaves out group 0, 1 and 2, but the group that this one leaves out itself.
        """
        firsts = {each % 3: each for each in reversed(self.seeds(condition))}
        return [{"condition": condition, "seed": firsts[group]} for group in sorted(firsts) if group != int(seed) % 3]

    def at_stage(self, stage: str) -> list[str]:
        """The models that a stage besides the attack is of."""
        return [name for name in self.models if stage in self.condition(name)["stages"]]

    @property
    def known(self) -> list[str]:
        """The models of which it is known how often they were trained on their windows."""
        data = {name: self.dataset(name) for name in self.models}
        of_texts = [name for name in self.pretrained if data[name]["kind"] == "texts" and data[name]["copies"]]
        return [*self.names, *of_texts]

    @property
    def forecasts(self) -> list[list[str]]:
        """``sizes`` of models that are trained here."""
        return [pair for pair in self.sizes if {*pair} <= {*self.names}]

    @property
    def pairs(self) -> list[dict]:
        """``conditions``, a model and the one that it is compared with, and a ``name`` for both."""
        every = [(name, self.condition(name)["pair"]) for name in self.models]
        return [{"name": f"{name} − {other}", "conditions": [name, other]} for name, other in every if other]

    @property
    def sizes(self) -> list[list[str]]:
        """The smaller and the larger model of an architecture."""
        return [[self.condition(name)["small"], name] for name in self.models if self.condition(name)["small"]]

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``: each row is seen once."""
        return self.size_of_rows(name, packed_rows(self.dataset(name)))

    def check(self) -> None:
        check_family(self)

    def _of(self, kind: str, conditions: Iterable[str]) -> Files:
        """Files of one kind, of all runs of some models, sorted."""
        return Files(kind, [run for name in sorted(conditions) for run in self.runs_of(name)])

    @property
    def tables(self) -> list[Table]:
        of: dict[str, Iterable[str]] = dict.fromkeys(OF_ALL, self.models)
        of |= dict.fromkeys(("records", "runs"), self.names)
        of |= {stage: self.at_stage(stage) for stage in STAGES if stage not in OF_RUNS}
        of = {kind: conditions for kind, conditions in of.items() if conditions}
        pooled = {kind: self._of(kind, conditions) for kind, conditions in of.items()}
        prompts, pairs = {"prompts": self._of("prompts", self.models)}, {"pairs": self.pairs}
        every = [
            Table("runs", lambda: pooled, tables=tuple(pooled), script="pool_runs.py"),
            Table("attack", lambda: prompts, lambda: pairs, ATTACK + DIFFERENCES if self.pairs else ATTACK),
        ]
        if self.known:
            datasets = sorted({self.condition(name)["dataset"] for name in self.known})
            of_data = {kind: Files(kind, [{"dataset": name} for name in datasets]) for kind in ("windows", "tokens")}
            scores = {"scores": self._of("scores", self.known)} | of_data
            names = {data: [name for name in self.known if self.of_data(name)["dataset"] == data] for data in datasets}
            every.append(Table("membership", lambda: scores, lambda: {"datasets": names}))
        if self.forecasts:
            sizes = {"sizes": self.forecasts}
            every.append(Table("forecast", lambda: pooled_tables("records"), lambda: sizes))
        made = {name for table in every for name in table.files}
        found = {name: name for name in FOUND if name in made}
        return [*every, self.findings(lambda: pairs | {"sizes": self.sizes}, **found)]

    @property
    def figures(self) -> list[Figure]:
        known = [name for name in self.models if name in self.known]
        every = [
            self._figure("copies", "rates", known),
            self._figure("prefix", "rates", self.models),
            self._figure("size", "rates", self.models),
            self._figure("data_type", "rates", self.models),
            self._figure("interference", "interference", self.at_stage("interference")),
            self._figure("near_verbatim", "near_verbatim", self.at_stage("near_verbatim")),
            self._map_figure(),
        ]
        every += [
            self._table_figure("membership", known),
            self._table_figure("difference", self.pairs),
            self._table_figure("forecast", self.forecasts),
        ]
        return [figure for figure in every if figure]

    def _figure(self, name: str, kind: str, conditions: list[str]) -> Figure | None:
        """A figure of the runs of some models."""
        files = self._of(kind, conditions)
        return Figure(name, lambda: {"runs": files}, lambda: self._drawn) if conditions else None

    def _table_figure(self, name: str, of: list) -> Figure | None:
        """A figure of the pooled table of its name, if there is anything that it is of."""
        return Figure(name, lambda: pooled_tables(name), lambda: self._drawn) if of else None

    def _map_figure(self) -> Figure | None:
        """Of the first seed of each model."""
        conditions = self.at_stage("map")
        files = self.first_seeds("map", conditions)
        return Figure("map", lambda: {"runs": files}, lambda: self._drawn) if conditions else None

    @property
    def _drawn(self) -> dict:
        """What all figures take: the models in the order of their legends, their architectures, and the pairs."""
        architectures = {name: self.condition(name)["architecture"] for name in self.models}
        return {"conditions": self.models, "architectures": architectures, "pairs": self.pairs}
