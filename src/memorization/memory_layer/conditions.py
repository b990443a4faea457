"""The family's part of the configuration: its conditions, their data and starts, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from memorization.family import Family, Figure, Files, Table
from memorization.memory_layer import sizes
from memorization.memory_layer.checks import DECODED, NUMBERS, check_family
from memorization.memory_layer.data import kinds
from memorization.memory_layer.data.tokens import FILE as TOKENIZER_FILE
from memorization.model_files import noted
from memorization.models.shape import TRAINING
from memorization.provenance import generator

OF_ALL = ("records", "runs", "recall", "history", "losses", "logits", "calibration", "parameters")
OF_SLOTS = ("usage", "value_norms", "activations")  # of conditions with a memory
STAGES = {  # after the evaluation, of the conditions that the configuration names: the tables of each rule
    "ablate_slots": ("impact", "ablation", "ablation_positions", "ablation_shares", "cuts"),
    "ablate_parts": ("part_answers", "ablation_parts"),
    "intervene": ("swap", "substitutes", "predictions", "swap_correlation", "control"),
    "route": (
        "routing",
        "routing_overlap",
        "routing_information",
        "consistency",
        "key_statistics",
        "occurrences",
        "clusters",
        "repeating_digits",
    ),
    "attend": ("attention",),
}
SETTINGS = {  # of each rule the section of the configuration, and what it needs of it
    "ablate_slots": ("ablation", ("modes", "n_items", "n_cuts", "max_cut")),
    "ablate_parts": ("ablation", ("groups", "n_items")),
    "intervene": ("intervention", ("n_slots", "n_examples", "n_permutations")),
    "route": ("routing", ("n_texts", "n_places", "n_pairs", "n_slots", "n_clusters", "n_permutations")),
    "attend": ("attention", ("n_texts", "n_examples")),
}
FOUND = (  # the tables of which the findings are made
    *("recall", "value_norms", "parameters", "forgetting", "hops"),
    *("ablation_shares", "ablation_parts", "cuts"),
    *("swap", "predictions", "control", "swap_correlation"),
    *("routing_information", "consistency", "clusters", "repeating_digits", "attention"),
)
OF_RUNS = ("impact", "part_answers", "occurrences")  # long tables, left in their runs' files


class MemoryLayer(Family):
    """The section ``memory_layer``."""

    name = "memory_layer"
    apart = (*Family.apart, "shards")
    stages = STAGES
    evaluations = (*OF_ALL, "errors", "hops", *OF_SLOTS, "forgetting")

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._shapes: dict[str, tuple[int, int, int, float]] = {}

    @property
    def data_kinds(self) -> list[str]:
        """The kinds of data sets that there are, each once."""
        return sorted({data["kind"] for data in self.section["datasets"]})

    @property
    def with_slots(self) -> list[str]:
        """The conditions that have a memory."""
        return [name for name in self.names if self.condition(name)["arm"] in sizes.MEMORIES]

    @property
    def tables(self) -> list[Table]:
        keys = ("comparisons", "frequency", "retention")
        others = dict.fromkeys(OF_SLOTS, sorted(self.with_slots)) | {"forgetting": sorted(self.section["retention"])}
        kinds_of = {name: self.dataset(name)["kind"] for name in sorted(self.names)}
        others["errors"] = [name for name, kind in kinds_of.items() if kind in DECODED]
        others["hops"] = [name for name, kind in kinds_of.items() if kind == "hash_hop"]
        for stage, tables in STAGES.items():
            others |= {name: sorted(self.analysed(stage)) for name in tables if name not in OF_RUNS}
        others = {kind: names for kind, names in others.items() if names}
        settings = {key: self.section[key] for key in keys}
        found = {name: name for name in FOUND if name in OF_ALL or name in others}
        return [self.pooled(*OF_ALL, **others), self.findings(lambda: settings, **found)]

    def checkpoint(self, condition: str, seed: int | str, step: int | None = None) -> dict:
        """The wildcards of a checkpoint of a condition, by default of its last step."""
        return {"condition": condition, "seed": seed, "step": step or self.condition(condition)["steps"]}

    def pretrained(self, name: str, seed: int | str) -> list[dict]:
        """The checkpoint, as ``checkpoint`` gives it, from which a condition starts, if it is one of the workflow's."""
        of = self.condition(name)["pretrained"] or {}
        return [self.checkpoint(of["condition"], seed, of.get("step"))] if "condition" in of else []

    def analysed(self, rule: str) -> list[str]:
        """The conditions that a rule of ``STAGES`` is of."""
        return self.section[SETTINGS[rule][0]]["conditions"]

    def stage(self, rule: str) -> dict:
        """The settings of a rule of ``STAGES``."""
        section, keys = SETTINGS[rule]
        return {key: self.section[section][key] for key in keys}

    def shards(self, condition: str, seed: int | str) -> list[dict]:
        """The wildcards of the shares of a run's evaluation; none where one job makes it."""
        number = self.condition(condition)["shards"]
        return [{"condition": condition, "seed": seed, "shard": n} for n in range(number) if number > 1]

    def earlier(self, name: str) -> list[dict]:
        """The trainings that a condition goes on from, the first one first: what each trained on, and how long."""
        found, keys = [], ("dataset", "train_on", "batch_size")
        of = self.condition(name)["pretrained"] or {}
        while "condition" in of:
            before = self.condition(of["condition"])
            found.insert(0, {key: before[key] for key in keys} | {"step": of.get("step") or before["steps"]})
            of = before["pretrained"] or {}
        return found

    def data_settings(self, dataset: str) -> dict:
        """The settings of a data set, and of the files from elsewhere that it is made of the contents' digests."""
        data = self.datasets[dataset]
        files = [path for path in (data.get("path"), Path(data["tokenizer"]) / TOKENIZER_FILE) if path]
        return data | noted(*(path for path in map(Path, files) if path.is_file()))

    def settings(self, name: str) -> dict:
        """As ``Family.settings``, with the digest of a checkpoint from elsewhere that the condition starts from."""
        path = Path((self.condition(name)["pretrained"] or {}).get("path", ""))
        files = sorted(path.rglob("*")) if path.name and path.is_dir() else [path]
        return super().settings(name) | noted(*(file for file in files if file.is_file()))

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``; a text counts as the longest of its data set, a token as a character."""
        condition = self.condition(name)
        vocabulary, length, read, answer = self._shape(condition["dataset"])
        seeds, flops = len(self.seeds(name)), sizes.forward_flops(condition, vocabulary, read, answer)
        total = seeds * TRAINING * condition["steps"] * condition["batch_size"] * flops
        parameters = sizes.parameters(condition, vocabulary, length)
        return {"jobs": seeds, "parameters": parameters, "steps": condition["steps"], "flops": total}

    def _shape(self, name: str) -> tuple[int, int, int, float]:
        """Of a data set, a small one made for the purpose: the vocabulary, the longest text, how much of it stands
        before the last token of an answer, the mean answer.
        """
        if name not in self._shapes:
            data = self.datasets[name]
            data = data | {key: min(data[key], 500) for key in ("num_samples", "eval_samples") if key in data}
            table = kinds.make(data, generator(self.name, name, self.first_seed, "data"))
            answer = float((table["answer_end"] - table["answer_start"]).mean())
            length, read = int(table["text"].str.len().max()), int(table["answer_end"].max()) - 1
            self._shapes[name] = len(kinds.characters(data)) + 1, length, read, answer
        return self._shapes[name]

    def check(self) -> None:
        check_family(self)

    @property
    def figures(self) -> list[Figure]:
        comparisons, retention = self.section["comparisons"], self.section["retention"]
        compared = [name for each in comparisons for name in each["conditions"]]
        first = comparisons[0]["conditions"]
        with_slots = [name for name in dict.fromkeys(compared) if name in self.with_slots]
        every = [
            self._figure("recall", ["recall"], compared, {"comparisons": comparisons}),
            self._figure("frequency", ["recall"], self.section["frequency"]),
            self._figure("loss", ["losses"], compared, {"comparisons": comparisons}),
            self._figure("retention", ["recall", "forgetting", "history"], retention),
            self._figure("logits", ["logits", "calibration"], first),
            self._figure("errors", ["errors"], self.section["errors"]),
            self._figure("parameters", ["parameters"], first),
            self._figure("usage", ["usage"], with_slots),
            self._figure("value_norms", ["value_norms"], with_slots),
            self._figure("activations", ["activations"], with_slots[:1]),
            self._ablation_figure(),
            self._stage_figure("cuts", "ablate_slots", ["cuts"]),
            self._stage_figure("swap", "intervene", ["swap", "substitutes"]),
            self._stage_figure("predictions", "intervene", ["predictions", "control"]),
            self._stage_figure("routing", "route", ["routing", "consistency"]),
            self._stage_figure("key_statistics", "route", ["key_statistics", "clusters"]),
            self._figure("repeating_digits", ["repeating_digits"], self._of_kind(self.analysed("route"), NUMBERS)),
            self._attention_figure(),
        ]
        return [figure for figure in every if all(files.wildcards for files in figure.inputs().values())]

    def _figure(self, name: str, tables: list[str], conditions: list[str], settings: Mapping | None = None) -> Figure:
        """A figure of the runs of some conditions."""
        inputs = {kind: self.runs(kind, sorted(set(conditions))) for kind in tables}
        settings = settings or ({} if name == "activations" else {"conditions": conditions})
        return Figure(name, lambda: inputs, lambda: settings)

    def _stage_figure(self, name: str, stage: str, tables: list[str]) -> Figure:
        """A figure of the conditions that a rule of ``STAGES`` is of."""
        return self._figure(name, tables, self.analysed(stage))

    def _of_kind(self, conditions: list[str], allowed: Sequence[str]) -> list[str]:
        """Of some conditions those whose data set is of these kinds."""
        return [name for name in conditions if self.dataset(name)["kind"] in allowed]

    def _ablation_figure(self) -> Figure:
        """Of all seeds, with the matrix of the first ones."""
        names = self.analysed("ablate_slots")
        of = self._stage_figure("ablation", "ablate_slots", ["ablation", "ablation_positions", "ablation_parts"])
        impact = Files("impact", [{"condition": name, "seed": self.seeds(name)[0]} for name in names])
        return Figure("ablation", lambda: of.inputs() | {"impact": impact}, of.settings)

    def _attention_figure(self) -> Figure:
        """Of the first condition's first seed."""
        first, settings = self.analysed("attend")[:1], {"example": 0}
        run = [{"condition": name, "seed": self.seeds(name)[0]} for name in first]
        inputs = {kind: Files(kind, run) for kind in ("attention", "attention_examples")}
        return Figure("attention", lambda: inputs, lambda: settings)
