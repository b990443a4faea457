"""What no schema can say of the family's section: values that cannot go together, names that are none.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, named
from memorization.model_checks import check_ids, check_models, check_rows, check_tokenizer_of_data
from memorization.model_family import ModelFamily
from memorization.model_files import architecture_of, max_length_of
from memorization.prompt_capacity.layouts import MASKED, layout_name, place_of_text
from memorization.text_columns import check_text_file, check_text_source


def check_family(family: ModelFamily) -> None:
    """All checks.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    section = family.section
    check_models(family)
    for data in section["datasets"]:
        _check_data(family, data["name"])
    for task in section["tasks"]:
        _check_task(family, task["name"])
    for name in family.models:
        _check_model(family, name)
    _check_layouts(family)
    bits = section["memorization"]["quantization"]
    if section["generalization"]["epochs"] is None and not section["generalization"]["updates"]:
        raise ConfigurationError(f"{family.name}.generalization.updates: none, and no epochs; allowed: one of the two")
    if 32 not in bits:
        raise ConfigurationError(f"{family.name}.memorization.quantization: {bits}; allowed: 32, all bits, among them")


def _check_data(family: ModelFamily, name: str) -> None:
    where, data = f"{family.name}.datasets[{name}]", family.data_settings(name)
    if data["kind"] == "python":
        task = data["task"]
        if task is not None and named(family.section["tasks"], task, f"{where}.task")["kind"] != "rule":
            raise ConfigurationError(f"{where}.task: {task} is of kind questions; allowed: of kind rule")
        return
    check_tokenizer_of_data(data, where)
    check_text_source(data, where)
    if data["path"] is not None:
        check_text_file(data["path"], {"text": data["text"]}, where)


def _check_task(family: ModelFamily, name: str) -> None:
    where, task = f"{family.name}.tasks[{name}]", family.task_settings(name)
    if task["kind"] == "questions":
        check_text_source(task, where)
        for path in filter(None, (task["path"], task["test_path"])):
            check_text_file(path, {"question": "question", "answer": "answer"}, where)
        of, other = ("repository", "test_split") if task["path"] else ("path", "test_path")
        if task[other] is not None:
            raise ConfigurationError(f"{where}.{other}: allowed with {of} alone")


def _check_model(family: ModelFamily, name: str) -> None:
    trained = name in family.names
    where = f"{family.name}.{'conditions' if trained else 'pretrained'}[{name}]"
    condition, section = family.condition(name), family.section
    data = named(section["datasets"], condition["dataset"], f"{where}.dataset")
    if condition["task"] is not None:
        named(section["tasks"], condition["task"], f"{where}.task")
    if trained:
        if data["kind"] != "python":
            raise ConfigurationError(f"{where}.dataset: {data['name']} is of kind texts; allowed: of kind python")
        if condition["d_model"] % (2 * condition["n_heads"]):
            raise ConfigurationError(
                f"{where}.d_model: {condition['d_model']} is not divisible by twice n_heads, {2 * condition['n_heads']}"
            )
        check_rows(condition, data, where)
        rank = section["progressive"]["rank"]
        if condition["progressive"] and rank is not None and rank > condition["d_model"]:
            raise ConfigurationError(
                f"{family.name}.progressive.rank: {rank}; allowed: null, or at most the d_model of {name}, "
                f"{condition['d_model']}"
            )
    elif data["kind"] == "python":
        raise ConfigurationError(f"{where}.dataset: {data['name']} is of kind python; allowed: of kind texts")
    else:
        check_ids(family, name, where)
    _check_progressive(family, name, where)
    most = condition["max_length"] if trained else max_length_of(condition["model"])
    longest = _longest(family, condition)
    if most is not None and longest > most:
        raise ConfigurationError(
            f"{where}: takes at most {most} tokens, but P, ID and text have {longest}; allowed: shorter ones"
        )


def _check_progressive(family: ModelFamily, name: str, where: str) -> None:
    grown, condition = family.section["progressive"], family.condition(name)
    if condition["progressive"] and grown["prompt_length"] not in condition["prompt_lengths"]:
        raise ConfigurationError(
            f"{where}.prompt_lengths: without {grown['prompt_length']}, progressive.prompt_length; allowed: with it, "
            "or progressive: false"
        )


def _longest(family: ModelFamily, condition: dict) -> int:
    """The most tokens of a row of a model: P, ID and text."""
    settings, grown = family.section["memorization"], family.section["progressive"]
    found = max(condition["prompt_lengths"]) + settings["id_length"] + max(condition["lengths"])
    tuned = settings["tuning"]
    if family.is_tuned:
        found = max(found, tuned["prompt_length"] + settings["id_length"] + tuned["length"])
    if condition["progressive"]:
        found = max(found, grown["prompt_length"] + settings["id_length"] + grown["max_length"])
    return found


def _check_layouts(family: ModelFamily) -> None:
    section, id_length = family.section, family.section["memorization"]["id_length"]
    known, grown = section["memorization"]["layouts"], section["progressive"]["layouts"]
    for key, layouts in (("memorization", known), ("progressive", grown)):
        for layout in layouts:
            try:
                place_of_text(layout, id_length)
            except ValueError as error:
                why = str(error).removeprefix("layout: ")
                raise ConfigurationError(f"{family.name}.{key}.layouts: {why}") from error
    blind = [name for name in family.pretrained if architecture_of(family.condition(name)["model"]) == "mamba"]
    for key in ("memorization", "progressive", "generalization"):
        if blind and MASKED in section[key]["layouts"]:
            raise ConfigurationError(
                f"{family.name}.{key}.layouts: {MASKED}, but {blind[0]} is a Mamba, without attention to be masked; "
                "allowed: other layouts"
            )
    for layout in grown:
        if layout not in known:
            raise ConfigurationError(
                f"{family.name}.progressive.layouts: {layout_name(layout)} is none of memorization.layouts, whose "
                f"learning rates it takes; allowed: {', '.join(map(layout_name, known))}"
            )
