"""The family's part of the configuration: its conditions, what cannot go together, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import file_digest
from pathlib import Path

from memorization.configuration import ConfigurationError, named
from memorization.family import Family, Figure, Files, Table
from memorization.memory_layer import sizes
from memorization.memory_layer.data import kinds
from memorization.memory_layer.data.tokens import FILE as TOKENIZER_FILE
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
FOUND = (
    "recall",
    "value_norms",
    "parameters",
    "forgetting",
    "hops",
    "ablation_shares",
    "ablation_parts",
    "cuts",
    "swap",
)
FOUND += ("predictions", "control", "swap_correlation", "routing_information", "consistency", "clusters")
FOUND += ("repeating_digits", "attention")  # the tables of which the findings are made
NUMBERS = ("digit_lookup", "synthetic_qa")  # kinds of pairs of numbers
DECODED = (*NUMBERS, "two_hop", "hash_hop")  # kinds whose answers are no texts
MODEL = ("n_layers", "n_heads", "d_model", "positions", "arm", "memory_layers", "shared_pool", "keys", "n_keys")
MODEL += ("memory_heads", "key_dim", "query_norm", "gate")  # what the shapes of a model's tensors depend on
OF_RUNS = ("impact", "part_answers", "occurrences")  # long tables, left in their runs' files


class MemoryLayer(Family):
    """The section ``memory_layer``."""

    name = "memory_layer"
    apart = (*Family.apart, "shards")
    stages = STAGES
    evaluations = (*OF_ALL, "errors", "hops", *OF_SLOTS, "forgetting")

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._shapes: dict[str, tuple[int, int, float]] = {}

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
        return data | _contents([path for path in map(Path, files) if path.is_file()])

    def settings(self, name: str) -> dict:
        """As ``Family.settings``, with the digest of a checkpoint from elsewhere that the condition starts from."""
        path = Path((self.condition(name)["pretrained"] or {}).get("path", ""))
        files = sorted(path.glob("*")) if path.name and path.is_dir() else [path] * path.is_file()
        return super().settings(name) | _contents(files)

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``; a text counts as long as the longest of its data set, a token as a character."""
        condition, (vocabulary, length, answer) = self.condition(name), self._shape(self.condition(name)["dataset"])
        seeds, flops = len(self.seeds(name)), sizes.forward_flops(condition, vocabulary, length, answer)
        total = seeds * TRAINING * condition["steps"] * condition["batch_size"] * flops
        parameters = sizes.parameters(condition, vocabulary, length)
        return {"jobs": seeds, "parameters": parameters, "steps": condition["steps"], "flops": total}

    def _shape(self, name: str) -> tuple[int, int, float]:
        """Of a data set, a small one made for the purpose: the vocabulary, the longest text, the mean answer."""
        if name not in self._shapes:
            data = self.datasets[name]
            data = data | {key: min(data[key], 500) for key in ("num_samples", "eval_samples") if key in data}
            table = kinds.make(data, generator(self.name, name, self.first_seed, "data"))
            answer = float((table["answer_end"] - table["answer_start"]).mean())
            self._shapes[name] = len(kinds.characters(data)) + 1, int(table["text"].str.len().max()), answer
        return self._shapes[name]

    def check(self) -> None:
        for data in self.section["datasets"]:
            kinds.check(data, f"{self.name}.datasets[{data['name']}]")
        for name in self.names:
            self._check_condition(name)
        for key in ("frequency", "retention", "errors"):
            self.check_conditions(self.section[key], key)
        self._check_stages()
        for comparison in self.section["comparisons"]:
            self.check_conditions(comparison["conditions"], f"comparisons[{comparison['name']}].conditions")
        for name in self.section["retention"]:
            if not self.condition(name)["pretrained"] or self.condition(name)["train_on"] != ["new"]:
                raise ConfigurationError(
                    f"{self.name}.retention: {name}; allowed: conditions with pretrained that train on [new]"
                )
        for key, allowed in (("frequency", ["synthetic_qa"]), ("errors", DECODED)):
            for name in self.section[key]:
                kind = self.dataset(name)["kind"]
                if kind not in allowed:
                    raise ConfigurationError(
                        f"{self.name}.{key}: {name} is of {kind}; allowed: of {', '.join(allowed)}"
                    )

    def _check_stages(self) -> None:
        for key in dict.fromkeys(section for section, _ in SETTINGS.values()):
            names, where = self.section[key]["conditions"], f"{self.name}.{key}.conditions"
            self.check_conditions(names, f"{key}.conditions")
            for name in names if key != "attention" else ():
                if self.condition(name)["arm"] != "memory":
                    raise ConfigurationError(f"{where}: {name}; allowed: conditions of the arm memory")
        self._check_sizes()
        if "slot_mask" not in self.section["ablation"]["modes"]:
            raise ConfigurationError(f"{self.name}.ablation.modes: slot_mask is missing, which the figure draws")
        routing = self.section["routing"]
        if 2 * routing["n_clusters"] > routing["n_slots"]:
            raise ConfigurationError(
                f"{self.name}.routing.n_clusters: {routing['n_clusters']}; allowed: at most half of n_slots, "
                f"{routing['n_slots']}"
            )

    def _check_sizes(self) -> None:
        """That no stage asks for more slots than a condition's memory has."""
        for key, settings in (
            ("ablation", ("max_cut", "groups")),
            ("intervention", ("n_slots",)),
            ("routing", ("n_clusters",)),
        ):
            for name in self.section[key]["conditions"]:
                condition = self.condition(name)
                most = sizes.slots(condition) - (condition["top_k"] + 1 if key == "ablation" else 0)
                for setting in settings:
                    value = self.section[key][setting]
                    if max(value if isinstance(value, list) else [value]) > most:
                        raise ConfigurationError(
                            f"{self.name}.{key}.{setting}: {value}; allowed with {name}, of "
                            f"{sizes.slots(condition)} slots: at most {most}"
                        )

    def _check_condition(self, name: str) -> None:
        where, condition = f"{self.name}.conditions[{name}]", self.condition(name)
        data = named(self.section["datasets"], condition["dataset"], f"{where}.dataset")
        trained = kinds.trained(data)
        for split in condition["train_on"]:
            if split not in trained:
                raise ConfigurationError(f"{where}.train_on: {split!r}; allowed: {', '.join(trained)}")
        if condition["d_model"] % condition["n_heads"]:
            raise ConfigurationError(
                f"{where}.d_model: {condition['d_model']} is not divisible by n_heads, {condition['n_heads']}"
            )
        if condition["key_dim"] % 2 and condition["keys"] == "product":
            raise ConfigurationError(f"{where}.key_dim: {condition['key_dim']} is odd; allowed: an even number")
        most = condition["n_keys"] if condition["keys"] == "product" else sizes.slots(condition)
        if condition["top_k"] > most:
            limit = "n_keys" if condition["keys"] == "product" else "its slots"
            raise ConfigurationError(f"{where}.top_k: {condition['top_k']} is above {limit}; allowed: 2 to {most}")
        n_layers = condition["n_layers"]
        for layer in condition["memory_layers"]:
            if not -n_layers <= layer < n_layers:
                raise ConfigurationError(f"{where}.memory_layers: {layer}; allowed: {-n_layers} to {n_layers - 1}")
        if condition["positions"] == "rope" and condition["d_model"] // condition["n_heads"] % 2:
            raise ConfigurationError(
                f"{where}.positions: rope with heads of {condition['d_model'] // condition['n_heads']}; allowed: of an "
                "even width"
            )
        if condition["value_update"] != "dense" and condition["arm"] not in sizes.MEMORIES:
            raise ConfigurationError(
                f"{where}.value_update: {condition['value_update']}; allowed with arm {condition['arm']}: dense"
            )
        if condition["arm"] == "peer" and condition["keys"] == "flat":
            raise ConfigurationError(f"{where}.keys: flat; allowed with arm peer: product")
        if condition["warmup"] >= condition["steps"]:
            raise ConfigurationError(
                f"{where}.warmup: {condition['warmup']}; allowed: fewer than steps, {condition['steps']}"
            )
        self._check_pretrained(where, condition)

    def _check_pretrained(self, where: str, condition: Mapping) -> None:
        of = condition["pretrained"] or {}
        if of and ("condition" in of) == ("path" in of):
            raise ConfigurationError(f"{where}.pretrained: allowed: one of condition, path")
        if "path" in of and "step" in of:
            raise ConfigurationError(f"{where}.pretrained.step: {of['step']}; allowed with condition, not with path")
        if "path" in of and not Path(of["path"]).exists():
            raise ConfigurationError(f"{where}.pretrained.path: there is no {of['path']}; allowed: a checkpoint")
        seen, name = [], of.get("condition")
        while name is not None:
            named(self.section["conditions"], name, f"{where}.pretrained.condition")
            if name in seen:
                raise ConfigurationError(f"{where}.pretrained: {' <- '.join([*seen, name])} is a circle")
            if of.get("step", 0) > self.condition(name)["steps"]:
                raise ConfigurationError(
                    f"{where}.pretrained.step: {of['step']}; allowed: 1 to the last of {name}, "
                    f"{self.condition(name)['steps']}"
                )
            if not seen and "mappings" not in of:
                self._check_same_model(where, condition, name)
            seen.append(name)
            of = self.condition(name)["pretrained"] or {}
            name = of.get("condition")

    def _check_same_model(self, where: str, condition: Mapping, of: str) -> None:
        """That a condition that takes all of another's checkpoint has its data set and its model."""
        for key in ("dataset", *MODEL):
            if condition[key] != self.condition(of)[key]:
                raise ConfigurationError(
                    f"{where}.pretrained: {of} has another {key}, {self.condition(of)[key]}; allowed without mappings: "
                    "the same"
                )

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
            self._figure("retention", ["recall", "forgetting"], retention),
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


def _contents(paths: list[Path]) -> dict[str, dict[str, str]]:
    """``contents``, the digest of each file by its path; nothing without files."""
    return {"contents": {str(path): _digest(path, path.stat().st_mtime_ns) for path in paths}} if paths else {}


@cache
def _digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
