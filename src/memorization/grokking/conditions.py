"""The family's part of the configuration: its conditions with their defaults, and what cannot go together.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, named, names, seeds
from memorization.grokking.equations import equation_count, is_prime, train_size

MEMORY = 1000  # megabytes that a job takes before its data


def condition(section: dict, name: str) -> dict:
    """A condition of the configuration by its name, with the defaults for what it does not say."""
    return section["defaults"] | named(section["conditions"], name, "grokking.conditions")


def dataset(section: dict, name: str) -> dict:
    """A data set of the configuration by its name."""
    return named(section["datasets"], name, "grokking.datasets")


def perturbation(section: dict, name: str) -> dict:
    """A perturbation of the configuration by its name."""
    return named(section["perturbations"], name, "grokking.perturbations")


def split_seed(section: dict, name: str, seed: int | str) -> int:
    """The seed of the split that a run of a condition is trained on: the data set's, or the run's own."""
    wanted = dataset(section, condition(section, name)["dataset"])["split_seed"]
    return int(seed) if wanted == "run" else wanted


def equations_settings(section: dict, name: str) -> dict:
    """What makes a data set what it is: not where its seed comes from."""
    return {key: value for key, value in dataset(section, name).items() if key != "split_seed"}


def training_settings(section: dict, name: str) -> dict:
    """What makes a condition's training what it is: not its name or what it asks of a cluster."""
    return {key: value for key, value in condition(section, name).items() if key not in ("name", "runtime")}


def evaluation_settings(section: dict, name: str) -> dict:
    """What of a condition its evaluation uses."""
    return {key: condition(section, name)[key] for key in ("dataset", "batch_size", "weight_decay")}


def perturbed_runs(section: dict, perturbed: str, reference: str) -> list[dict]:
    """Every perturbed run: ``condition``, ``seed``, ``perturbation``, and the two paths by their patterns."""
    return [
        {
            "condition": name,
            "seed": seed,
            "perturbation": each,
            "perturbed": perturbed.format(condition=name, seed=seed, perturbation=each["name"]),
            "reference": reference.format(condition=name, seed=seed),
        }
        for name in section["perturbed"]["conditions"]
        for each in section["perturbations"]
        for seed in seeds(section)
    ]


def run_memory(section: dict, name: str) -> int:
    """Megabytes that training a run takes: its weights and losses at each checkpoint, and their copies."""
    settings, data = condition(section, name), dataset(section, condition(section, name)["dataset"])
    weights = 12 * settings["n_layers"] * settings["d_model"] ** 2 + 2 * (data["p"] + 3) * settings["d_model"]
    kept = weights + equation_count(data["p"], data["operator"])
    return MEMORY + kept * 4 * 6 * (section["evaluation"]["checkpoints"] + 2) // 10**6


def table_memory(section: dict) -> int:
    """Megabytes that the table of all runs' records takes."""
    rows = sum(
        equation_count(data["p"], data["operator"]) * (section["evaluation"]["checkpoints"] + 2)
        for data in (dataset(section, condition(section, name)["dataset"]) for name in names(section["conditions"]))
    )
    return MEMORY + rows * len(seeds(section)) * 1000 // 10**6


def check(section: dict) -> None:
    """What no schema can say of the section.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    for data in section["datasets"]:
        _check_dataset(data, section["fingerprint"]["probe_size"])
    for name in names(section["conditions"]):
        _check_condition(section, name)
    for name in section["perturbed"]["conditions"]:
        named(section["conditions"], name, "grokking.perturbed.conditions")
    _check_centring(section)
    _check_dmd(section)
    _check_residual(section)
    _check_perturbed(section)


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


def _check_condition(section: dict, name: str) -> None:
    where, settings = f"grokking.conditions[{name}]", condition(section, name)
    named(section["datasets"], settings["dataset"], f"{where}.dataset")
    if settings["d_model"] % settings["n_heads"]:
        raise ConfigurationError(
            f"{where}.d_model: {settings['d_model']} is not divisible by n_heads, {settings['n_heads']}"
        )
    if settings["min_steps"] > settings["steps"]:
        raise ConfigurationError(
            f"{where}.min_steps: {settings['min_steps']}; allowed: 0 to {settings['steps']}, its steps"
        )
    if name in section["perturbed"]["conditions"] and section["perturbed"]["steps"] > settings["steps"]:
        raise ConfigurationError(
            f"grokking.perturbed.steps: {section['perturbed']['steps']}; {name} allows {settings['steps']} or less, "
            f"its steps"
        )


def _check_dmd(section: dict) -> None:
    dmd, every = section["dmd"], section["fingerprint"]["record_every"]
    first, last = dmd["window"]
    if first >= last:
        raise ConfigurationError(f"grokking.dmd.window: {dmd['window']}; allowed: [first, last] with first below last")
    for name in names(section["conditions"]):
        recorded = _surely_recorded(section, name)
        if last > recorded:
            raise ConfigurationError(
                f"grokking.dmd.window: it ends at step {last}; {name} allows {recorded} or less, the last step of its "
                f"min_steps at which record_every records"
            )
    snapshots = last // every - -(-first // every) + 1
    _check_decomposition("grokking.dmd", dmd, section["embedding"]["n_quantiles"], snapshots, "its window")


def _check_residual(section: dict) -> None:
    residual = section["residual"]
    _check_decomposition(
        "grokking.residual", residual, section["embedding"]["n_quantiles"], residual["length"], "its stretches"
    )
    shortest = min(_surely_recorded(section, name) for name in names(section["conditions"]))
    snapshots = shortest // section["fingerprint"]["record_every"] + 1
    if residual["length"] > snapshots:
        raise ConfigurationError(
            f"grokking.residual.length: {residual['length']} snapshots; allowed: 2 to {snapshots}, those of the least "
            f"min_steps"
        )


def _check_perturbed(section: dict) -> None:
    for each in section["perturbations"]:
        if each["kind"] == "round_off" and each["epsilon"]:
            raise ConfigurationError(
                f"grokking.perturbations[{each['name']}].epsilon: {each['epsilon']}; round_off allows 0 alone: it "
                f"leaves the weights as they are"
            )
    perturbed, every = section["perturbed"], section["fingerprint"]["record_every"]
    window, most = perturbed["growth_window"], perturbed["steps"]
    if window % every or window > most:
        raise ConfigurationError(
            f"grokking.perturbed.growth_window: {window}; allowed: multiples of record_every, {every}, up to {most}, "
            f"the steps of perturbed runs"
        )


def _check_centring(section: dict) -> None:
    for part in ("dmd", "residual"):
        for where, key in (("embedding", "n_quantiles"), ("fingerprint", "probe_size")):
            if section[part]["center_mode"] == "per_snapshot_mean" and section[where][key] == 1:
                raise ConfigurationError(
                    f"grokking.{part}.center_mode: per_snapshot_mean leaves nothing of snapshots of one value; allowed "
                    f"with {where}.{key} of 2 or more"
                )


def _surely_recorded(section: dict, name: str) -> int:
    """The last step that every run of a condition records, whenever it generalizes."""
    every = section["fingerprint"]["record_every"]
    return condition(section, name)["min_steps"] // every * every


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
