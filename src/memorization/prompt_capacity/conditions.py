"""The family's part of the configuration: base models that are trained or from elsewhere, texts, tasks, what is made.

Imported when the Snakefile is read: nothing here may import torch.
"""

import platform
from collections.abc import Iterable

from memorization.configuration import named
from memorization.family import Family, Figure, Files, Table, pooled_tables
from memorization.model_family import ModelFamily
from memorization.model_files import TOKENIZER, noted
from memorization.prompt_capacity.checks import check_family
from memorization.prompt_capacity.layouts import layout_name

CELLS = ("memorization", "survival", "vectors")  # tables of a cell: a model, a seed, a k and a length
OF_IDS = ("batch_size", "id_length", "id_method")
DRAWN = ("trials", "random_trials", *OF_IDS)
GROWING = ("init", "beta2", "weight_decay", "score_first_token", "batch_rows")
PROMPTS = (*GROWING, "stop_perplexity", "evaluate_every")


class PromptCapacity(ModelFamily):
    """The section ``prompt_capacity``."""

    name = "prompt_capacity"
    apart = (*Family.apart, "prompt_lengths", "lengths", "progressive", "task")

    @property
    def models(self) -> list[str]:
        """As ``ModelFamily.models``, but one's own before those of the default: some figures are of the first alone."""
        return [*self.pretrained, *self.names]

    def task_settings(self, task: str) -> dict:
        """The settings of a task, completed."""
        found = named(self.section["tasks"], task, f"{self.name}.tasks")
        return found if found["kind"] == "rule" else self.section["question_defaults"] | found

    def corpus_settings(self, dataset: str) -> dict:
        """What a data set of kind python is made of: the text is that of this Python."""
        data = self.data_settings(dataset)
        task = self.task_settings(data["task"]) if data["task"] else None
        return data | {"task": task, "python": platform.python_version()}

    def text_settings(self, dataset: str) -> dict:
        """What is read of texts from elsewhere, with the digests of files."""
        data = self.data_settings(dataset)
        read = {key: data[key] for key in data if key not in ("start_index", "stride")}
        return read | noted(data["path"], f"{data['tokenizer']}/{TOKENIZER}")

    def questions(self, name: str) -> dict:
        """What a model is asked: its task, with the digest of a file."""
        task = self.task_settings(self.condition(name)["task"])
        return task if task["kind"] == "rule" else task | noted(task["path"], task["test_path"])

    def settings(self, name: str) -> dict:
        """As ``Family.settings``, of the training of a base model; of a model from elsewhere, its files' digests."""
        found = super().settings(name)
        if name in self.pretrained:
            return found | noted(found["model"])
        return found | {"architecture": "llama"}

    def drawn(self, name: str) -> dict:
        """Which documents of a data set the groups of trials have: other purposes have others."""
        data, settings = self.dataset(name), self.section["memorization"]
        place = {key: data.get(key) for key in ("start_index", "stride")}
        of_groups = {"n_trials": settings["trials"], "group_size": settings["batch_size"]}
        alike = [other for other in self.models if self.of_data(other) == self.of_data(name)]
        longest = max(length for other in alike for length in self.condition(other)["lengths"])
        return of_groups | {"longest": longest, "place": place, "first_seed": min(self.seeds(name))}

    def first_trained_run(self, condition: str) -> list[dict]:
        """As ``trained_run``, of its first seed, for which the learning rates of all are chosen."""
        return self.trained_run(condition, self.seeds(condition)[0])

    @property
    def is_tuned(self) -> bool:
        """Whether learning rates are chosen among several."""
        return len(self.section["memorization"]["learning_rates"]) > 1

    def memorized(self, name: str) -> dict:
        """The settings of a model's cells that are not of the measures."""
        keys = (*DRAWN, *PROMPTS, "layouts", "learning_rates", "steps", "n_records", "control_texts", "quantization")
        return {key: self.section["memorization"][key] for key in keys} | self.drawn(name)

    def tuned(self, name: str) -> dict:
        """The settings of the choice of learning rates."""
        keys = (*OF_IDS, *PROMPTS, "layouts", "learning_rates", "tuning")
        return {key: self.section["memorization"][key] for key in keys} | self.drawn(name)

    def grown(self, name: str) -> dict:
        """The settings of texts that grow."""
        keys = (*OF_IDS, *GROWING, "learning_rates")
        found = {key: self.section["memorization"][key] for key in keys} | self.drawn(name)
        return found | self.section["progressive"]

    def cells(self, name: str, seeds: Iterable[int] | None = None) -> list[dict]:
        """The wildcards of a model's cells."""
        condition = self.condition(name)
        return [
            {"condition": name, "seed": seed, "k": k, "length": length}
            for seed in sorted(self.seeds(name) if seeds is None else seeds)
            for k in condition["prompt_lengths"]
            for length in condition["lengths"]
        ]

    @property
    def progressive(self) -> list[str]:
        """The models whose texts are grown."""
        return [name for name in self.models if self.condition(name)["progressive"]]

    @property
    def generalizing(self) -> list[str]:
        """The models with a task."""
        return [name for name in self.models if self.condition(name)["task"]]

    @property
    def asked(self) -> list[dict]:
        """The wildcards of the trainings for tasks."""
        layouts = [layout_name(layout) for layout in self.section["generalization"]["layouts"]]
        return [
            {"condition": name, "seed": seed, "layout": layout}
            for name in sorted(self.generalizing)
            for seed in sorted(self.seeds(name))
            for layout in layouts
        ]

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``: of the base models, which see each row once."""
        data = self.dataset(name)
        return self.size_of_rows(name, data["tokens"] // data["row_length"])

    def check(self) -> None:
        check_family(self)

    @property
    def tables(self) -> list[Table]:
        every = sorted(self.models)
        cells = [cell for name in every for cell in self.cells(name)]
        runs = [{"condition": name, "seed": seed} for name in every for seed in sorted(self.seeds(name))]
        pooled = {kind: Files(kind, cells) for kind in CELLS}
        pooled |= {kind: Files(kind, runs) for kind in ("records", "runs")}
        if self.progressive:
            pooled["horizon"] = Files("horizon", [run for run in runs if run["condition"] in self.progressive])
        if self.generalizing:
            pooled["generalization"] = Files("generalization", self.asked)
        if self.is_tuned:
            pooled["rates"] = Files("rates", [{"condition": name} for name in every])
        found = {name: name for name in ("capacity", "layouts", "survival", "memorization")}
        found |= {name: name for name in ("horizon", "generalization") if name in pooled}
        of_cells = pooled_tables("memorization")
        grown = pooled_tables("horizon") if self.progressive else {}
        return [
            Table("runs", lambda: pooled, tables=tuple(pooled), script="pool_runs.py"),
            Table("capacity", lambda: of_cells | grown),
            Table("layouts", lambda: of_cells),
            Table("summary", lambda: of_cells, has_csv=True),
            self.findings(**found),
        ]

    @property
    def figures(self) -> list[Figure]:
        every = [
            self._figure("length", "memorization"),
            self._figure("survival", "survival"),
            self._figure("layout", "layouts"),
            Figure("dynamics", lambda: {"runs": Files("trajectory", self._first_cells())}, lambda: self._drawn),
            self._figure("dimension", "memorization", *(["horizon"] if self.progressive else [])),
        ]
        return [*every, self._figure("samples", "generalization")] if self.generalizing else every

    def _figure(self, name: str, *tables: str) -> Figure:
        return Figure(name, lambda: pooled_tables(*tables), lambda: self._drawn)

    def _first_cells(self) -> list[dict]:
        """Of all seeds of the first model the cells of its longest prompt."""
        name = self.models[0]
        longest = max(self.condition(name)["prompt_lengths"])
        return [cell for cell in self.cells(name) if cell["k"] == longest]

    @property
    def _drawn(self) -> dict:
        """What all figures take: the models and the layouts in their order."""
        return {
            "conditions": self.models,
            "layouts": [layout_name(layout) for layout in self.section["memorization"]["layouts"]],
            "asked": [layout_name(layout) for layout in self.section["generalization"]["layouts"]],
        }
