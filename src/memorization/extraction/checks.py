"""What no schema can say of the family's section: values that cannot go together, names that are none.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from memorization.configuration import ConfigurationError, named
from memorization.extraction.pile import PILE
from memorization.extraction.prompts import tokens_needed
from memorization.extraction.sizes import GROUPS, packed_rows, planted_copies
from memorization.model_checks import check_ids, check_models, check_rows, check_tokenizer_of_data
from memorization.model_family import ModelFamily
from memorization.model_files import max_length_of
from memorization.models.language_model_size import non_embedding
from memorization.text_columns import check_text_file, check_text_source

COLUMNS = ("text", "tokens", "data_type", "copies")  # keys of texts that name one
ALIKE = 0.1  # largest difference of the parameters of a pair, embedding and head apart, as a share of the first's


def check_family(family: ModelFamily) -> None:
    """All checks.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    check_models(family)
    for data in family.section["datasets"]:
        _check_data(family, data["name"])
    for name in family.names:
        _check_condition(family, name)
    for entry in family.section["pretrained"]:
        where = f"{family.name}.pretrained[{entry['name']}]"
        _check_length(family, entry["name"], where)
        check_ids(family, entry["name"], where)
        if family.condition(entry["name"])["architecture"] is None:
            raise ConfigurationError(f"{where}.architecture: missing; allowed: neox, mamba, llama, as config.json says")
    for name in family.models:
        _check_others(family, name)


def check_texts(settings: Mapping, where: str) -> None:
    """Refuse texts that are not there or have not the columns named; see ``texts.windows_of`` for the settings.

    Raises
    ------
    ConfigurationError
    """
    check_text_source(settings, where)
    if sum(settings.get(key) is not None for key in ("text", "tokens")) != 1:
        raise ConfigurationError(f"{where}: allowed: either text or tokens, the other null")
    if settings.get("data_types") and not settings.get("data_type"):
        raise ConfigurationError(f"{where}.data_types: needs data_type, the column that tells them")
    if (settings.get("data_type") or "").endswith("pile_set_name"):
        for name in settings.get("data_types") or ():
            if name not in PILE:
                raise ConfigurationError(f"{where}.data_types: {name!r} is not of the Pile; known: {', '.join(PILE)}")
    path = settings.get("path")
    if path is None:
        return
    for key in ("tokens", "copies"):
        if settings.get(key) is not None and Path(path).suffix == ".csv":
            raise ConfigurationError(f"{where}.{key}: {path} has only text; allowed: a .jsonl or .parquet file")
    check_text_file(path, {key: settings.get(key) for key in COLUMNS}, where)


def _check_data(family: ModelFamily, name: str) -> None:
    where = f"{family.name}.datasets[{name}]"
    data = family.data_settings(name)
    try:
        length = tokens_needed(data["lengths"])
    except ValueError as error:
        raise ConfigurationError(f"{where}.{error}") from error
    if data["kind"] == "texts":
        check_tokenizer_of_data(data, where)
        check_texts(data, where)
        return
    groups = GROUPS * len(data["copies"])
    if data["per_type"] % groups:
        raise ConfigurationError(
            f"{where}.per_type: {data['per_type']}; allowed: multiples of {groups}, for three groups with as many "
            f"windows of each of {len(data['copies'])} numbers of copies"
        )
    if data["row_length"] < 2 * length:
        raise ConfigurationError(
            f"{where}.row_length: {data['row_length']}; allowed: at least two windows, {2 * length}"
        )
    n_rows, planted = packed_rows(data), planted_copies(data)
    if max(data["copies"]) > n_rows or planted > n_rows * (data["row_length"] // length - 1):
        raise ConfigurationError(
            f"{where}.background: {data['background']} tokens make {n_rows} rows with the windows, too few for "
            f"{planted} copies, {max(data['copies'])} of one window; allowed: more background, longer rows, fewer "
            "copies"
        )
    if data["leak_ngram"] > length:
        raise ConfigurationError(f"{where}.leak_ngram: {data['leak_ngram']}; allowed: at most a window, {length}")


def _check_condition(family: ModelFamily, name: str) -> None:
    where, condition = f"{family.name}.conditions[{name}]", family.condition(name)
    data = named(family.section["datasets"], condition["dataset"], f"{where}.dataset")
    if data["kind"] != "python":
        raise ConfigurationError(f"{where}.dataset: {data['name']} is of kind {data['kind']}; allowed: of kind python")
    if condition["architecture"] == "neox" and condition["d_model"] % condition["n_heads"]:
        raise ConfigurationError(
            f"{where}.d_model: {condition['d_model']} is not divisible by n_heads, {condition['n_heads']}"
        )
    rotated = int(condition["rotary_share"] * condition["d_model"] / condition["n_heads"])
    if condition["architecture"] == "neox" and rotated > 1 and rotated % 2:
        raise ConfigurationError(
            f"{where}.rotary_share: turns {rotated} of a head's {condition['d_model'] // condition['n_heads']}; "
            "allowed: an even number"
        )
    check_rows(condition, data, where)
    longest = max(family.section["interference"]["distances"]) + tokens_needed(data["lengths"])
    if "interference" in condition["stages"] and longest > condition["max_length"]:
        raise ConfigurationError(
            f"{family.name}.interference.distances: with a window {longest} tokens, but {name} takes at most "
            f"{condition['max_length']}"
        )


def _check_length(family: ModelFamily, name: str, where: str) -> None:
    """That a model of a folder takes texts as long as a window, or as one behind other text."""
    condition, longest = family.condition(name), tokens_needed(family.dataset(name)["lengths"])
    most = max_length_of(condition["model"])
    if "interference" in condition["stages"]:
        longest += max(family.section["interference"]["distances"])
    if most is not None and longest > most:
        raise ConfigurationError(
            f"{where}.model: takes at most {most} tokens, but is asked for {longest}; allowed: shorter lengths in the "
            "data set, and shorter distances of interference"
        )


def _check_others(family: ModelFamily, name: str) -> None:
    """What a model says of others: that they exist and are of its data set, and that a pair is alike."""
    kind = "pretrained" if name in family.pretrained else "conditions"
    where, condition = f"{family.name}.{kind}[{name}]", family.condition(name)
    for key in ("small", "pair"):
        other = condition[key]
        if other is None:
            continue
        if other not in family.models or other == name:
            raise ConfigurationError(
                f"{where}.{key}: there is no other model {other!r}; allowed: {', '.join(family.models)}"
            )
        if family.condition(other)["dataset"] != condition["dataset"]:
            raise ConfigurationError(f"{where}.{key}: {other} has another dataset; allowed: one of the same")
        if key == "small" and family.condition(other)["architecture"] != condition["architecture"]:
            raise ConfigurationError(f"{where}.small: {other} is of another architecture; allowed: one of the same")
    if condition["pair"] and kind == "conditions" and condition["pair"] in family.names:
        _check_alike(where, condition, family.condition(condition["pair"]))
    if kind == "pretrained" and "map" in condition["stages"]:
        raise ConfigurationError(f"{where}.stages: map; allowed of a model from elsewhere: near_verbatim, interference")


def _check_alike(where: str, condition: Mapping, other: Mapping) -> None:
    one, two = non_embedding(condition), non_embedding(other)
    if abs(one - two) > ALIKE * one:
        raise ConfigurationError(
            f"{where}.pair: {other['name']} has {two} parameters besides embedding and head, this one {one}; allowed: "
            f"within {ALIKE:.0%}"
        )
