"""Models and tokenizers from elsewhere that are named in the configuration, looked at before any job starts.

Imported when the Snakefile is read: nothing here may import torch or transformers.
"""

import json
from collections.abc import Mapping
from functools import cache
from hashlib import file_digest
from pathlib import Path

from memorization.configuration import ConfigurationError
from memorization.hub import split_name
from memorization.models.language_model_size import NAMES
from memorization.models.token_ids import same_ids

CONFIG, TOKENIZER, WEIGHTS, INDEX = "config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"
OF_HUB = "name@commit of the hub, the commit 40 hexadecimal digits"
OF_MODELS = f"a folder with {CONFIG}, {TOKENIZER} and {WEIGHTS} (or {INDEX}), or {OF_HUB}"


def check_model(name: str, where: str) -> None:
    """Refuse what is neither a folder with a model and its tokenizer nor a name of the hub with a commit.

    Parameters
    ----------
    name : see above
    where : the key of the configuration, for the message

    Raises
    ------
    ConfigurationError
    """
    folder = Path(name)
    if not folder.is_dir():
        check_hub(name, where, OF_MODELS)
        return
    for file in (CONFIG, TOKENIZER):
        _json(folder / file, where, OF_MODELS)
    if (folder / WEIGHTS).is_file():
        return
    parts = _json(folder / INDEX, where, OF_MODELS, missing=f"{folder / WEIGHTS}: there is no such file")
    for part in sorted(set(parts.get("weight_map", {}).values())):
        if not (folder / part).is_file():
            raise ConfigurationError(f"{where}: {folder / part}: there is no such file, but {INDEX} names it")


def check_tokenizer(model: str, where: str) -> None:
    """Refuse a folder whose tokenizer has ids that its model has no embedding of; models of the hub are let pass.

    Raises
    ------
    ConfigurationError
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    tokenizer, config = (_json(folder / file, where, OF_MODELS) for file in (TOKENIZER, CONFIG))
    known = tokenizer.get("model", {}).get("vocab", {})
    ids = list(known.values()) if isinstance(known, Mapping) else list(range(len(known)))
    ids += [token["id"] for token in tokenizer.get("added_tokens", ())]
    size = config.get("vocab_size")
    if not ids or not isinstance(size, int) or max(ids) >= size:
        raise ConfigurationError(
            f"{where}: {folder}: {TOKENIZER} has {max(ids, default=-1) + 1} ids, and {CONFIG} a vocab_size of {size}; "
            "allowed: at least as many as ids"
        )


def check_tokenizer_file(name: str, where: str) -> None:
    """Refuse what is neither a folder with a tokenizer nor a name of the hub with a commit.

    Raises
    ------
    ConfigurationError
    """
    allowed = f"a folder with {TOKENIZER}, or {OF_HUB}"
    if Path(name).is_dir():
        _json(Path(name) / TOKENIZER, where, allowed)
    else:
        check_hub(name, where, allowed)


def noted(*found: str | Path | None) -> dict[str, dict[str, str]]:
    """``contents`` of several under that key, to be noted among a job's parameters; nothing where there are none."""
    digests = {path: digest for name in found if name for path, digest in contents(name).items()}
    return {"contents": digests} if digests else {}


def check_hub(name: str, where: str, allowed: str) -> None:
    """Refuse what is no name of the hub with a commit.

    Parameters
    ----------
    name : what is looked at
    where : the key of the configuration, for the message
    allowed : what it may be, for the message

    Raises
    ------
    ConfigurationError
    """
    try:
        repository, _ = split_name(name)
    except ValueError as error:
        missing = "" if "@" in name else "there is no such folder, and no commit behind a name; "
        raise ConfigurationError(f"{where}: {name!r}: {missing}allowed: {allowed}") from error
    if not repository or repository.startswith((".", "/", "~")) or repository.count("/") > 1:
        raise ConfigurationError(f"{where}: {name!r} is no name of the hub; allowed: {allowed}")


def architecture_of(model: str) -> str | None:
    """What a folder's ``config.json`` says that it is (``pretrained_models.architecture``); None if it does not."""
    kind = _config_of(model).get("model_type")
    return NAMES.get(kind, kind)


def max_length_of(model: str) -> int | None:
    """The most tokens that a folder's model takes; None where it takes any number, as Mamba, or is of the hub."""
    config = _config_of(model)
    return None if config.get("model_type") == "mamba" else config.get("max_position_embeddings")


def same_tokenizer(first: str | Path, second: str | Path, where: str) -> bool:
    """``same_ids`` of the ``tokenizer.json`` of two folders.

    Raises
    ------
    ConfigurationError
        If one is no tokenizer; one line that begins with ``where``.
    """
    from tokenizers import Tokenizer

    if Path(first) == Path(second):
        return True
    tokenizers = []
    for path in (Path(folder) / TOKENIZER for folder in (first, second)):
        try:
            tokenizers.append(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare exceptions
            raise ConfigurationError(f"{where}: {path} cannot be read as a tokenizer ({one_line(error)})") from error
    return same_ids(*tokenizers)


def contents(name: str | Path) -> dict[str, str]:
    """What local files a result depends on: the sha256 by path, read again where a file has changed.

    Parameters
    ----------
    name : a file, or a model's folder (of which those files that are read); of a name of the hub nothing, as its
        commit says it all
    """
    path = Path(name)
    if path.is_dir():
        paths = sorted({*(path / file for file in (CONFIG, TOKENIZER, INDEX)), *path.glob("*.safetensors")})
    else:
        paths = [path]
    there = [(each, each.stat()) for each in paths if each.is_file()]
    return {str(each): _digest(each, stat.st_mtime_ns, stat.st_size) for each, stat in there}


def one_line(error: Exception) -> str:
    """What a library says, for the one line of a message."""
    return " ".join(str(error).split())[:200]


def _config_of(model: str) -> Mapping:
    """What a folder's ``config.json`` holds; nothing where there is none that can be read."""
    try:
        config = json.loads((Path(model) / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, Mapping) else {}


def _json(path: Path, where: str, allowed: str, missing: str | None = None) -> Mapping:
    if not path.is_file():
        raise ConfigurationError(f"{where}: {missing or f'{path}: there is no such file'}; allowed: {allowed}")
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{where}: {path} is no JSON ({one_line(error)})") from error
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: {path} is no JSON object")
    return value


@cache
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
