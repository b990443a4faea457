"""The family's part of the configuration: its conditions, what cannot go together, its tables and figures.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, named, names
from memorization.family import Family, Figure, Files, Table, pooled_tables
from memorization.grokking.dynamics.recorded import check_recorded
from memorization.grokking.task.equations import batch_size, equation_count, is_prime, train_size
from memorization.model_files import noted
from memorization.models.shape import TRAINING, decoder_flops, decoder_parameters

LENGTH, SPECIALS = 5, 3  # tokens of the input <eos> a ∘ b =, and those that are no numbers


class Grokking(Family):
    """The section ``grokking``."""

    name = "grokking"

    @property
    def recorded(self) -> list[str]:
        """The names of conditions from elsewhere, of which there are fingerprints alone."""
        return names(self.section["recorded"])

    @property
    def compared(self) -> list[str]:
        """The names of all conditions with fingerprints: those that are trained, and those from elsewhere."""
        return [*self.names, *self.recorded]

    def recorded_run(self, name: str, seed: int | str) -> dict:
        """The file of a run from elsewhere, with its digest; the run of file number i is that of seed i."""
        entry = named(self.section["recorded"], name, "grokking.recorded")
        path = entry["fingerprints"][int(seed)]
        return {"path": path, "record_every": entry.get("record_every")} | noted(path)

    def seeds(self, name: str) -> list[int]:
        """As ``Family.seeds``; of a condition from elsewhere as many as it has files."""
        if name in self.recorded:
            return list(range(len(named(self.section["recorded"], name, "grokking.recorded")["fingerprints"])))
        return super().seeds(name)

    def perturbation(self, name: str) -> dict:
        """A perturbation by its name."""
        return named(self.section["perturbations"], name, "grokking.perturbations")

    def split(self, name: str, seed: int | str) -> dict:
        """The data set of a run's split, and its seed: the data set's, or the run's own."""
        data = self.dataset(name)
        return {"dataset": data["name"], "seed": int(seed) if data["split_seed"] == "run" else data["split_seed"]}

    def equations(self, dataset: str) -> dict:
        """What makes a data set what it is: not where its seed comes from."""
        data = named(self.section["datasets"], dataset, "grokking.datasets")
        return {key: value for key, value in data.items() if key != "split_seed"}

    def evaluation(self, name: str) -> dict:
        """What of a condition its evaluation uses."""
        return {key: self.condition(name)[key] for key in ("dataset", "batch_size", "weight_decay")}

    @property
    def perturbed_runs(self) -> list[dict]:
        """Every perturbed run: condition, seed, perturbation."""
        return [
            {"condition": name, "seed": seed, "perturbation": each}
            for name in self.section["perturbed"]["conditions"]
            for each in names(self.section["perturbations"])
            for seed in self.seeds(name)[: self.section["perturbed"]["seeds"]]
        ]

    @property
    def tables(self) -> list[Table]:
        compared = sorted(self.compared)
        return [
            self.pooled("history", "transitions", "records", "runs", spectra=compared, residuals=compared),
            Table(
                "distances",
                lambda: {"spectra": self.runs("spectra", compared)},
                lambda: {"conditions": self.compared},
                tables=("distances", "tests", "swaps"),
            ),
            Table(
                "perturbation",
                lambda: {
                    "perturbed": Files("perturbed", self.perturbed_runs),
                    "references": Files("trajectory", self.perturbed_runs),
                },
                lambda: {
                    "runs": [
                        run | {"perturbation": self.perturbation(run["perturbation"])} for run in self.perturbed_runs
                    ],
                    "embedding": self.section["embedding"],
                    "growth_window": self.section["perturbed"]["growth_window"],
                },
            ),
            self._findings(),
        ]

    def _findings(self) -> Table:
        trajectories = self.runs("trajectory")
        names = ("transitions", "history", "records", "spectra", "distances", "tests", "residuals", "perturbation")
        return self.findings(
            lambda: {
                "runs": [[run["condition"], run["seed"]] for run in trajectories.wildcards],
                "conditions": self.names,
                "recorded": self.recorded,
                "embedding": self.section["embedding"],
                "dmd": self.section["dmd"],
            },
            trajectories=trajectories,
            **{name: name for name in names},
        )

    @property
    def figures(self) -> list[Figure]:
        def settings() -> dict:
            return {"conditions": self.names}

        def compared() -> dict:
            return {"conditions": self.compared}

        reading, embedding = self.section["fingerprint"]["source"], self.section["embedding"]
        return [
            Figure("accuracy", lambda: {"history": self.runs("history")}, settings),
            Figure("spectrum", lambda: {"spectra": self.runs("spectra", sorted(self.compared))}, compared),
            Figure(
                "fingerprint",
                lambda: {
                    "trajectories": self.first_seeds("trajectory", self.compared),
                    "transitions": self.first_seeds("transitions", self.names),
                },
                lambda: {"recorded": self.recorded, "reading": reading, "embedding": embedding},
            ),
            Figure("distances", lambda: pooled_tables("distances", "tests"), compared),
            Figure(
                "residual",
                lambda: {
                    "residuals": self.runs("residuals", sorted(self.compared)),
                    "transitions": self.runs("transitions"),
                },
                compared,
            ),
            Figure("perturbation", lambda: pooled_tables("perturbation"), settings),
        ]

    def training_size(self, name: str) -> dict[str, float]:
        """As ``Family.training_size``, as if no run ended before its last step, of the plain decoder on all tokens.

        A step is a forward pass and, at twice its cost, a backward pass over a batch; what is recorded, forward passes
        over all equations and over the probes. Computing the answer alone, trainings take a third of it.
        """
        model, data, every = self.condition(name), self.dataset(name), self.section["evaluation"]["every"]
        tokens, count = data["p"] + SPECIALS, equation_count(data["p"], data["operator"])
        shape = {key: model[key] for key in ("n_layers", "d_model")}
        perturbed = sum(run["condition"] == name for run in self.perturbed_runs)
        runs = len(self.seeds(name))
        steps = runs * model["steps"] + perturbed * self.section["perturbed"]["steps"]
        batch = batch_size(train_size(data["p"], data["operator"], data["train_fraction"]), model["batch_size"])
        probes, fingerprint = 2, self.section["fingerprint"]  # of either split
        recorded = count / every + probes * fingerprint["probe_size"] / fingerprint["record_every"]
        return {
            "jobs": runs + perturbed,
            "parameters": decoder_parameters(
                tokens, tokens, LENGTH, **shape, positions="sinusoidal", norm="after", bias=False
            ),
            "steps": model["steps"],
            "flops": steps * (TRAINING * batch + recorded) * decoder_flops(tokens, LENGTH, **shape),
        }

    def check(self) -> None:
        for data in self.section["datasets"]:
            _check_dataset(data, self.section["fingerprint"]["probe_size"])
        for name in self.names:
            self._check_condition(name)
        for name in self.section["perturbed"]["conditions"]:
            named(self.section["conditions"], name, "grokking.perturbed.conditions")
        self._check_centring()
        self._check_dmd()
        self._check_residual()
        self._check_perturbed()
        for entry in self.section["recorded"]:
            self._check_recorded(**entry)

    def _check_condition(self, name: str) -> None:
        where, settings = f"grokking.conditions[{name}]", self.condition(name)
        named(self.section["datasets"], settings["dataset"], f"{where}.dataset")
        if settings["d_model"] % settings["n_heads"]:
            raise ConfigurationError(
                f"{where}.d_model: {settings['d_model']} is not divisible by n_heads, {settings['n_heads']}"
            )
        if settings["min_steps"] > settings["steps"]:
            raise ConfigurationError(
                f"{where}.min_steps: {settings['min_steps']}; allowed: 0 to {settings['steps']}, its steps"
            )
        if name in self.section["perturbed"]["conditions"] and self.section["perturbed"]["steps"] > settings["steps"]:
            raise ConfigurationError(
                f"grokking.perturbed.steps: {self.section['perturbed']['steps']}; {name} allows {settings['steps']} or "
                f"less, its steps"
            )

    def _check_dmd(self) -> None:
        dmd, every = self.section["dmd"], self.section["fingerprint"]["record_every"]
        first, last = dmd["window"]
        if first >= last:
            raise ConfigurationError(
                f"grokking.dmd.window: {dmd['window']}; allowed: [first, last] with first below last"
            )
        for name in self.names:
            recorded = self._surely_recorded(name)
            if last > recorded:
                raise ConfigurationError(
                    f"grokking.dmd.window: it ends at step {last}; {name} allows {recorded} or less, the last step of "
                    f"its min_steps at which record_every records"
                )
        snapshots = last // every - -(-first // every) + 1
        _check_decomposition("grokking.dmd", dmd, self.section["embedding"]["n_quantiles"], snapshots, "its window")

    def _check_residual(self) -> None:
        residual = self.section["residual"]
        _check_decomposition(
            "grokking.residual", residual, self.section["embedding"]["n_quantiles"], residual["length"], "its stretches"
        )
        shortest = min(self._surely_recorded(name) for name in self.names)
        snapshots = shortest // self.section["fingerprint"]["record_every"] + 1
        if residual["length"] > snapshots:
            raise ConfigurationError(
                f"grokking.residual.length: {residual['length']} snapshots; allowed: 2 to {snapshots}, those of the "
                f"least min_steps"
            )

    def _check_perturbed(self) -> None:
        for each in self.section["perturbations"]:
            if each["kind"] == "round_off" and each["epsilon"]:
                raise ConfigurationError(
                    f"grokking.perturbations[{each['name']}].epsilon: {each['epsilon']}; round_off allows 0 alone: it "
                    f"leaves the weights as they are"
                )
        perturbed, every = self.section["perturbed"], self.section["fingerprint"]["record_every"]
        window, most = perturbed["growth_window"], perturbed["steps"]
        if window % every or window > most:
            raise ConfigurationError(
                f"grokking.perturbed.growth_window: {window}; allowed: multiples of record_every, {every}, up to "
                f"{most}, the steps of perturbed runs"
            )

    def _check_recorded(self, name: str, fingerprints: list[str], record_every: int | None = None) -> None:
        if name in self.names:
            raise ConfigurationError(f"grokking.recorded: {name} is a condition too; names must differ")
        every, window = self.section["fingerprint"]["record_every"], self.section["dmd"]["window"]
        for path in fingerprints:
            try:
                check_recorded(path, record_every, every, window, self.section["residual"]["length"])
            except ValueError as error:
                raise ConfigurationError(f"grokking.recorded[{name}].fingerprints: {error}") from error

    def _check_centring(self) -> None:
        for part in ("dmd", "residual"):
            for where, key in (("embedding", "n_quantiles"), ("fingerprint", "probe_size")):
                if self.section[part]["center_mode"] == "per_snapshot_mean" and self.section[where][key] == 1:
                    raise ConfigurationError(
                        f"grokking.{part}.center_mode: per_snapshot_mean leaves nothing of snapshots of one value; "
                        f"allowed with {where}.{key} of 2 or more"
                    )

    def _surely_recorded(self, name: str) -> int:
        """The last step that every run of a condition records, whenever it generalizes."""
        every = self.section["fingerprint"]["record_every"]
        return self.condition(name)["min_steps"] // every * every


def _check_dataset(data: dict, probe_size: int) -> None:
    where, p, operator = f"grokking.datasets[{data['name']}]", data["p"], data["operator"]
    if operator == "/" and not is_prime(p):
        raise ConfigurationError(f"{where}.p: {p} is not prime; the operator / allows primes alone")
    n_train = train_size(p, operator, data["train_fraction"])
    smaller = min(n_train, equation_count(p, operator) - n_train)
    if smaller < 1:
        raise ConfigurationError(f"{where}.train_fraction: {data['train_fraction']} leaves a split empty")
    if probe_size > smaller:
        raise ConfigurationError(
            f"grokking.fingerprint.probe_size: {probe_size}; "
            f"allowed: 1 to {smaller}, the smaller split of {data['name']}"
        )


def _check_decomposition(where: str, keys: dict, n_quantiles: int, snapshots: int, of_what: str) -> None:
    delays, rank = keys["n_delays"], keys["k_mode"]
    if delays >= snapshots:
        raise ConfigurationError(
            f"{where}.n_delays: {delays}; the {snapshots} snapshots of {of_what} allow 1 to {snapshots - 1}"
        )
    most = min(delays * n_quantiles, snapshots - delays)
    if rank > most:
        raise ConfigurationError(
            f"{where}.k_mode: {rank}; {snapshots} snapshots of {n_quantiles} quantiles with {delays} delays allow 1 to "
            f"{most}"
        )
