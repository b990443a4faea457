"""What no schema can say of models that are trained here or come from elsewhere, for each ``ModelFamily``.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from memorization.configuration import ConfigurationError, named
from memorization.model_family import ModelFamily
from memorization.model_files import check_model, check_tokenizer, check_tokenizer_file, same_tokenizer


def check_models(family: ModelFamily) -> None:
    """That there are models, that their names differ, and that those from elsewhere have their files and a data set.

    Raises
    ------
    ConfigurationError
        As all functions here: one line that names the key.
    """
    section = family.section
    twice = {*family.names} & {*family.pretrained}
    if twice:
        raise ConfigurationError(f"{family.name}.pretrained: {min(twice)} is a condition too; names must differ")
    if not family.models:
        raise ConfigurationError(f"{family.name}.conditions: there is no model; allowed: one here or in pretrained")
    for entry in section["pretrained"]:
        where = f"{family.name}.pretrained[{entry['name']}]"
        check_model(entry["model"], f"{where}.model")
        check_tokenizer(entry["model"], f"{where}.model")
        named(section["datasets"], entry["dataset"], f"{where}.dataset")


def check_tokenizer_of_data(data: Mapping, where: str) -> None:
    """That texts from elsewhere have a tokenizer, their own or that of a model."""
    if data["tokenizer"] is None:
        raise ConfigurationError(f"{where}.tokenizer: none, and no model of pretrained has the data set")
    check_tokenizer_file(data["tokenizer"], f"{where}.tokenizer")


def check_ids(family: ModelFamily, name: str, where: str) -> None:
    """That a model from elsewhere gives the ids of its data set's tokenizer, where both are folders.

    Of what comes from the hub the job says so: ``pretrained_models.check_ids``.
    """
    model, data = family.condition(name)["model"], family.dataset(name)
    of_data = data.get("tokenizer")
    if not (of_data and Path(of_data).is_dir() and Path(model).is_dir()):
        return
    if not same_tokenizer(of_data, model, f"{where}.model"):
        raise ConfigurationError(
            f"{where}.model: its tokenizer gives other ids than {of_data}, that of the data set {data['name']}; "
            "allowed: models of one tokenizer, or a data set of its own"
        )


def check_rows(condition: Mapping, data: Mapping, where: str) -> None:
    """That a model takes the rows that it is trained on."""
    if condition["max_length"] < data["row_length"]:
        raise ConfigurationError(
            f"{where}.max_length: {condition['max_length']}; allowed: at least the row_length of {data['name']}, "
            f"{data['row_length']}"
        )
