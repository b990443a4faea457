"""What the families that memorize random sequences have in common: data sets, switches between sets, figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from itertools import pairwise

import numpy as np

from memorization.configuration import ConfigurationError, named, names
from memorization.data.sequences import KEPT_EVERY, largest_exponent, zipf_probabilities
from memorization.family import Family, Figure, Files
from memorization.models.shape import TRAINING

RANKS = {"low": range(0, 10), "mid": range(30, 40), "high": range(60, 70)}  # selections by file name
SWITCH = ("condition", "kind", "switch_steps", "steps")  # keys of a switch that its training's state already holds
SELECTION = {"selection": "(_[a-z0-9_]+)?"}


class SequenceFamily(Family):
    """A family whose conditions are trained on random sequences, and may be switched to another set.

    A *switch* is a condition that goes on from another's training with another set of sequences.
    """

    apart = (*Family.apart, *SWITCH)

    @property
    def names(self) -> list[str]:
        return [*self.first_set, *self.switches]

    @property
    def first_set(self) -> list[str]:
        """The conditions that are trained on one set, from the beginning."""
        return names(self.section["conditions"])

    @property
    def switches(self) -> list[str]:
        return names(self.section["switches"])

    @property
    def switch_settings(self) -> list[dict]:
        """The switches, without what a cluster is asked for."""
        keys = ("name", "condition", "kind", "switch_steps", "steps")
        return [{key: switch[key] for key in keys} for switch in self.section["switches"]]

    @property
    def switched(self) -> list[str]:
        """The conditions from which switches go on."""
        return list(dict.fromkeys(switch["condition"] for switch in self.section["switches"]))

    def condition(self, name: str) -> dict:
        if name in self.switches:
            switch = named(self.section["switches"], name, f"{self.name}.switches")
            return self.condition(switch["condition"]) | switch
        entries = [*self.section["conditions"], *self.section["switches"]]
        return self.section["defaults"] | named(entries, name, f"{self.name}.conditions")

    def trainings(self, name: str) -> list[int]:
        """The steps to which a condition is trained, a training a set; a switch's first set is its condition's."""
        condition = self.condition(name)
        return [*condition.get("switch_steps", [])[1:], condition["steps"]]

    def trained_before(self, name: str, step: int) -> list[dict]:
        """The training, a condition and a step, that one to ``step`` goes on from; none from the beginning."""
        switched = self._switched(name, step)
        if not switched:
            return []
        return [{"condition": self.condition(name)["condition"] if len(switched) == 1 else name, "step": switched[-1]}]

    def sets(self, name: str, step: int | None = None) -> list[dict]:
        """The sets of a condition by data set and ending, in their order: all, or those of a training to ``step``."""
        condition = self.condition(name)
        switched = self._switched(name, condition["steps"] if step is None else step)
        endings = ["", *(f"_{condition['kind']}{number}" for number in range(1, len(switched) + 1))]
        return [{"dataset": condition["dataset"], "ending": ending} for ending in endings]

    def selection(self, text: str) -> tuple[list[str], list[int]]:
        """What a file name such as ``<family>_loss_medium_low`` selects, from what stands behind ``<family>_loss``.

        Returns
        -------
        conditions : the one that is named, or the configuration's panels
        ranks : ``low`` 0–9, ``mid`` 30–39 or ``high`` 60–69, or the configuration's ranks
        """
        name, _, ending = text.rpartition("_")
        if ending not in RANKS:
            name, ending = text, ""
        name = name.removeprefix("_")
        if name:
            self.check_conditions([name], "conditions")
        conditions = [name] if name else self.section["panels"]
        ranks = list(RANKS[ending]) if ending else self.section["ranks"]
        self._check_ranks(conditions, ranks, f"{self.name}_…{text}" if text else f"{self.name}.ranks")
        return conditions, ranks

    @property
    def figures(self) -> list[Figure]:
        return [
            *map(self._curves, ("loss", "accuracy")),
            Figure(
                "switch",
                lambda: {"runs": self.runs("summary", sorted({*self.shown_switches("switch"), *self.switched}))},
                lambda: {"switches": self.section["switches"], "marks": self.marks},
                is_target=bool(self.switches),
                script="random_sequences/switch_figure.py",
            ),
        ]

    @property
    def marks(self) -> dict[str, dict[str, int]]:
        """By what happens then, the steps after a switch that its figure marks, by switch."""
        return {}

    def shown_switches(self, figure: str) -> list[str]:
        """The switches, of which a figure wants at least one."""
        if not self.switches:
            raise ConfigurationError(f"{self.name}.switches: none; allowed for {self.name}_{figure}: one or more")
        return self.switches

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``; of a switch, the steps from its first switch on.

        A step is a forward pass and, at twice its cost, a backward pass over the distinct sequences of a batch; a
        recorded step is a forward pass over the set that is trained on and a part of those before it. What is frozen
        counts as if it were not.
        """
        condition, data, evaluation = self.condition(name), self.dataset(name), self.section["evaluation"]
        trainings, switch_steps = self.trainings(name), condition.get("switch_steps", [])
        steps = condition["steps"] - (switch_steps[0] if switch_steps else 0)
        first = 1 if switch_steps else 0
        sets_before = range(first, len(trainings) + first)  # by training
        sets = sum(1 + count / evaluation["train_stride"] for count in sets_before)  # a recorded step
        recorded = (evaluation["n_records"] + evaluation["n_late"]) * data["count"] * sets  # at most
        passes = TRAINING * steps * distinct(data, condition["batch_size"]) + recorded
        seeds = len(self.seeds(name))
        return {
            "jobs": seeds * len(trainings),
            "parameters": self.parameters(name),
            "steps": steps,
            "flops": seeds * passes * self.forward_flops(name),
        }

    def parameters(self, name: str) -> int:
        """How many parameters a condition's model has."""
        raise NotImplementedError

    def forward_flops(self, name: str) -> float:
        """Floating-point operations of a forward pass on one sequence: those of matrix products."""
        raise NotImplementedError

    def check(self) -> None:
        for name in sorted({*self.first_set} & {*self.switches}):
            raise ConfigurationError(f"{self.name}.switches[{name}].name: a condition has that name; names must differ")
        for data in self.section["datasets"]:
            self._check_length(data, 1, "")
            most = largest_exponent(data["count"])
            if not data["exponent"] <= most:  # nan neither
                raise ConfigurationError(
                    f"{self.name}.datasets[{data['name']}].exponent: {data['exponent']} makes the rarest of "
                    f"{data['count']} sequences rarer than a float64 can tell; allowed: 0 to {most}"
                )
        for name in self.first_set:
            where = f"{self.name}.conditions[{name}]"
            named(self.section["datasets"], self.condition(name)["dataset"], f"{where}.dataset")
            if name.split("_")[-1] in RANKS:
                raise ConfigurationError(
                    f"{where}.name: the endings {', '.join(RANKS)} are taken by selections of ranks"
                )
        for switch in self.section["switches"]:
            self._check_switch(switch)
        self.check_conditions(self.section["panels"], "panels")
        self._check_ranks(self.section["panels"], self.section["ranks"], f"{self.name}.ranks")

    def _curves(self, measure: str) -> Figure:
        def inputs(selection: str) -> dict[str, Files]:
            return {"runs": self.runs("by_sequence", self.selection(selection)[0])}

        def settings(selection: str) -> dict:
            conditions, ranks = self.selection(selection)
            return {"measure": measure, "conditions": conditions, "ranks": ranks}

        script, caption = "random_sequences/curves_figure.py", "sequence_curves.rst"
        return Figure(measure, inputs, settings, wildcards=SELECTION, script=script, caption=caption)

    def _switched(self, name: str, step: int) -> list[int]:
        """The steps of the switches before ``step``; a condition with switches has at least one."""
        switch_steps = self.condition(name).get("switch_steps", [])
        switched = [each for each in switch_steps if each < step]
        if switch_steps and not switched:
            raise ConfigurationError(
                f"{self.name}.switches[{name}]: step {step} is that of {self.condition(name)['condition']}; "
                f"allowed: {switch_steps[0] + 1} or more"
            )
        return switched

    def _check_switch(self, switch: dict) -> None:
        where = f"{self.name}.switches[{switch['name']}]"
        named(self.section["conditions"], switch["condition"], f"{where}.condition")
        steps = [*switch["switch_steps"], switch["steps"]]
        if any(later <= step for step, later in pairwise(steps)):
            raise ConfigurationError(
                f"{where}.switch_steps: {switch['switch_steps']}; allowed: rising steps below steps, {steps[-1]}"
            )
        data = self.dataset(switch["name"])
        self._check_length(data, len(steps), f" in {len(steps)} sets of {where}")
        stride = self.section["evaluation"]["train_stride"]
        if switch["kind"] == "forget" and not any(rank % KEPT_EVERY for rank in range(0, data["count"], stride)):
            raise ConfigurationError(
                f"{self.name}.evaluation.train_stride: {stride} records none of the sequences that are new in "
                f"{where}, which keeps every {KEPT_EVERY}th; allowed: below {data['count']}, no multiple of "
                f"{KEPT_EVERY}"
            )
        missing = {*self.seeds(switch["name"])} - {*self.seeds(switch["condition"])}
        if missing:
            allowed = ", ".join(map(str, self.seeds(switch["condition"])))
            raise ConfigurationError(
                f"{where}.seeds: {min(missing)}; allowed: those of {switch['condition']}, {allowed}"
            )

    def _check_length(self, data: dict, sets: int, of: str) -> None:
        least = (data["count"] * sets - 1).bit_length()
        if data["length"] < least:
            raise ConfigurationError(
                f"{self.name}.datasets[{data['name']}].length: {data['length']} bits cannot tell "
                f"{data['count'] * sets} sequences{of} apart; allowed: {least} or more"
            )

    def _check_ranks(self, conditions: list[str], ranks: list[int], where: str) -> None:
        counts = [self.dataset(name)["count"] for name in conditions]
        head, stride = self.section["evaluation"]["head"], self.section["evaluation"]["train_stride"]
        there = [rank for rank in ranks if rank < max(counts)]
        if not there or (where == f"{self.name}.ranks" and there != ranks):
            raise ConfigurationError(f"{where}: rank {max(ranks)}; allowed: ranks 0 to {max(counts) - 1}")
        for rank in there:
            if rank >= head and rank % stride:
                raise ConfigurationError(
                    f"{where}: rank {rank} is recorded at the end alone; allowed: ranks below evaluation.head, {head}, "
                    f"or multiples of evaluation.train_stride, {stride}"
                )


def distinct(data: dict, draws: int) -> float:
    """How many distinct sequences ``draws`` draws from a data set hold on average: a step costs those alone."""
    p = zipf_probabilities(data["count"], data["exponent"])
    with np.errstate(divide="ignore"):  # of a single sequence, which every draw holds
        return float(-np.expm1(draws * np.log1p(-p)).sum())
