"""A family's section of the configuration: its data sets, its models, and its switches from one set to the next.

Imported when the Snakefile is read: nothing here may import torch.
"""

from itertools import pairwise

from memorization.configuration import ConfigurationError, named, names, seeds
from memorization.data.sequences import KEPT_EVERY, largest_exponent

RANKS = {"low": range(0, 10), "mid": range(30, 40), "high": range(60, 70)}  # selections by file name
HOW = ("name", "steps", "runtime", "model", "kind", "at")  # not what makes a training what it is


class Conditions:
    """The conditions of a family: models, and switches that go on from a model's training with another set.

    Parameters
    ----------
    section : the family's part of the configuration
    """

    family: str

    def __init__(self, section: dict):
        self.section = section
        self.models, self.switches = names(section["models"]), names(section["switches"])
        self.datasets = {data["name"]: data for data in section["datasets"]}
        self.seeds = seeds(section)

    @classmethod
    def check_section(cls, section: dict) -> None:
        """``check`` of a family's section, in the form in which ``configuration.check`` wants it."""
        cls(section).check()

    @property
    def switched_models(self) -> list[str]:
        """The models that have switches."""
        return list(dict.fromkeys(switch["model"] for switch in self.section["switches"]))

    @property
    def names(self) -> list[str]:
        return [*self.models, *self.switches]

    def condition(self, name: str) -> dict:
        """A condition with the defaults for what it does not say; a switch has its model's settings for the rest."""
        if name in self.switches:
            switch = named(self.section["switches"], name, f"{self.family}.switches")
            return self.condition(switch["model"]) | switch
        entries = [*self.section["models"], *self.section["switches"]]
        return self.section["defaults"] | named(entries, name, f"{self.family}.models")

    def dataset(self, name: str) -> dict:
        """The data set of a condition."""
        return named(self.section["datasets"], self.condition(name)["dataset"], f"{self.family}.datasets")

    def settings(self, name: str) -> dict:
        """What makes a condition's training what it is: not its name, how far it goes or what it asks of a cluster."""
        return {key: value for key, value in self.condition(name).items() if key not in HOW}

    def trainings(self, name: str) -> list[int]:
        """The steps to which a condition is trained, a training a set; a switch's first set is its model's."""
        condition = self.condition(name)
        return [*condition.get("at", [])[1:], condition["steps"]]

    def begin(self, name: str, step: int) -> tuple[str, int] | None:
        """The condition and the step from which a training to ``step`` goes on; None from the beginning."""
        switched = self._switched(name, step)
        if not switched:
            return None
        return self.condition(name)["model"] if len(switched) == 1 else name, switched[-1]

    def sequence_files(self, name: str, seed: str, step: int | None = None) -> list[str]:
        """The files of a condition's sets, in their order: all, or those up to what a training to ``step`` is on."""
        condition = self.condition(name)
        folder = f"results/{self.family}/sequences/{condition['dataset']}"
        switched = self._switched(name, condition["steps"] if step is None else step)
        endings = ["", *(f"_{condition['kind']}{number}" for number in range(1, len(switched) + 1))]
        return [f"{folder}/seed{seed}{ending}.npz" for ending in endings]

    def checkpoint_files(self, name: str, seed: str, step: int) -> list[str]:
        """The checkpoint from which a training to ``step`` goes on, if any."""
        begin = self.begin(name, step)
        return [f"results/{self.family}/checkpoints/{begin[0]}/seed{seed}/step{begin[1]}.safetensors"] if begin else []

    def selection(self, text: str) -> tuple[list[str], list[int]]:
        """What a file name such as ``zipf_loss_medium_low`` selects, from what stands behind ``zipf_loss``.

        Returns
        -------
        conditions : the one that is named, or the configuration's panels
        ranks : ``low`` 0–9, ``mid`` 30–39 or ``high`` 60–69, or the configuration's ranks
        """
        name, _, ending = text.rpartition("_")
        if ending not in RANKS:
            name, ending = text, ""
        name = name.removeprefix("_")
        model = named(self.section["models"], name, f"{self.family}.models")["name"] if name else None
        conditions = [model] if model else self.section["panels"]
        ranks = list(RANKS[ending]) if ending else self.section["ranks"]
        self._check_ranks(conditions, ranks, f"{self.family}_…{text}" if text else f"{self.family}.ranks")
        return conditions, ranks

    def shown_switches(self, figure: str) -> list[str]:
        """The switches, of which a figure wants at least one."""
        if not self.switches:
            raise ConfigurationError(f"{self.family}.switches: none; allowed for {self.family}_{figure}: one or more")
        return self.switches

    def run_memory(self, name: str) -> int:
        """Megabytes that training or evaluating a run takes: its losses at each bit, several times over."""
        return 1000 + self._recorded(name) * self.dataset(name)["length"] * 40 // 10**6

    def table_memory(self, conditions: list[str]) -> int:
        """Megabytes that a table of these conditions' runs takes."""
        return 1000 + len(self.seeds) * sum(map(self._recorded, conditions)) * 400 // 10**6

    def run_minutes(self, name: str) -> int:
        """Minutes that evaluating a run may take, at most: measured at 12 s a million recorded losses on one core."""
        return 10 + self._recorded(name) // 10**6

    def table_minutes(self, conditions: list[str]) -> int:
        """Minutes that a table or a figure of these conditions' runs may take, at most."""
        return 10 + len(self.seeds) * sum(map(self._recorded, conditions)) // 10**6

    def check(self) -> None:
        """What no schema can say of the section.

        Raises
        ------
        ConfigurationError
            One line that names the key.
        """
        for name in sorted(set(self.models) & set(self.switches)):
            raise ConfigurationError(f"{self.family}.switches[{name}].name: a model has that name; names must differ")
        for data in self.section["datasets"]:
            self._check_length(data, 1, "")
            most = largest_exponent(data["count"])
            if not data["exponent"] <= most:  # nan neither
                raise ConfigurationError(
                    f"{self.family}.datasets[{data['name']}].exponent: {data['exponent']} makes the rarest of "
                    f"{data['count']} sequences rarer than a float64 can tell; allowed: 0 to {most}"
                )
        for name in self.models:
            where = f"{self.family}.models[{name}]"
            named(self.section["datasets"], self.condition(name)["dataset"], f"{where}.dataset")
            if name.split("_")[-1] in RANKS:
                raise ConfigurationError(
                    f"{where}.name: the endings {', '.join(RANKS)} are taken by selections of ranks"
                )
        for switch in self.section["switches"]:
            where = f"{self.family}.switches[{switch['name']}]"
            named(self.section["models"], switch["model"], f"{where}.model")
            steps = [*switch["at"], switch["steps"]]
            if any(later <= step for step, later in pairwise(steps)):
                raise ConfigurationError(f"{where}.at: {switch['at']}; allowed: rising steps below steps, {steps[-1]}")
            data = self.dataset(switch["name"])
            self._check_length(data, len(steps), f" in {len(steps)} sets of {where}")
            stride = self.section["evaluation"]["train_stride"]
            if switch["kind"] == "forget" and not any(rank % KEPT_EVERY for rank in range(0, data["count"], stride)):
                raise ConfigurationError(
                    f"{self.family}.evaluation.train_stride: {stride} records none of the sequences that are new in "
                    f"{where}, which keeps every {KEPT_EVERY}th; allowed: below {data['count']}, no multiple of "
                    f"{KEPT_EVERY}"
                )
        self.check_models(self.section["panels"], "panels")
        self._check_ranks(self.section["panels"], self.section["ranks"], f"{self.family}.ranks")

    def check_models(self, conditions: list[str], key: str) -> None:
        """That the conditions which stand under a key are models."""
        for name in conditions:
            named(self.section["models"], name, f"{self.family}.{key}")

    def _switched(self, name: str, step: int) -> list[int]:
        """The steps of the switches before ``step``; a condition with switches has at least one."""
        at = self.condition(name).get("at", [])
        switched = [each for each in at if each < step]
        if at and not switched:
            raise ConfigurationError(
                f"{self.family}.switches[{name}]: step {step} is its model's; allowed: {at[0] + 1} or more"
            )
        return switched

    def _check_length(self, data: dict, sets: int, of: str) -> None:
        least = (data["count"] * sets - 1).bit_length()
        if data["length"] < least:
            raise ConfigurationError(
                f"{self.family}.datasets[{data['name']}].length: {data['length']} bits cannot tell "
                f"{data['count'] * sets} sequences{of} apart; allowed: {least} or more"
            )

    def _recorded(self, name: str) -> int:
        count, evaluation = self.dataset(name)["count"], self.section["evaluation"]
        some = evaluation["checkpoints"] * (count // evaluation["train_stride"] + evaluation["head"])
        sets = 1 + len(self.condition(name).get("at", []))
        return sum((some + 2 * count) * number for number in range(1, sets + 1)) if sets > 1 else some + count

    def _check_ranks(self, conditions: list[str], ranks: list[int], where: str) -> None:
        counts = [self.dataset(name)["count"] for name in conditions]
        head, stride = self.section["evaluation"]["head"], self.section["evaluation"]["train_stride"]
        there = [rank for rank in ranks if rank < max(counts)]
        if not there or (where == f"{self.family}.ranks" and there != ranks):
            raise ConfigurationError(f"{where}: rank {max(ranks)}; allowed: ranks 0 to {max(counts) - 1}")
        for rank in there:
            if rank >= head and rank % stride:
                raise ConfigurationError(
                    f"{where}: rank {rank} is recorded at the end alone; allowed: ranks below evaluation.head, {head}, "
                    f"or multiples of evaluation.train_stride, {stride}"
                )
