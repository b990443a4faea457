"""Causal language models and their tokenizers from elsewhere: of a folder in Hugging Face's format, or of its hub."""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer

from memorization.hub import hub_file, pinned, split_name
from memorization.models.language_model import LanguageModel
from memorization.models.language_model_size import NAMES
from memorization.models.mamba_mixer import use_scan
from memorization.models.token_ids import same_ids

DTYPES = ("float32", "bfloat16", "float16")
OF_FOLDERS = "0" * 40  # a folder has no commits: transformers looks for none there


def load(name: str, device: str, dtype: str) -> LanguageModel:
    """A model with its weights, which are read from safetensors alone, in evaluation.

    A Mamba computes with our scan, or on a GPU with the kernels of mamba-ssm where these are installed.

    Parameters
    ----------
    name : a folder as ``save_pretrained`` writes it, with ``tokenizer.json``, or ``name@commit`` of the hub
    device : where it is to be
    dtype : of its weights, and of what it computes; one of ``DTYPES``

    Raises
    ------
    ValueError
        If it cannot be loaded, its weights are not those of its configuration (transformers would draw the missing
        ones), or it has fewer embeddings than its tokenizer has ids; one line.
    """
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise ValueError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    vocabulary = n_ids(tokenizer_of(name))
    place, revision = _place(name)
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            place,
            revision=pinned(revision),
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # libraries raise many kinds
        raise ValueError(
            f"{name}: cannot be loaded ({_line(error)}); allowed: a causal language model that transformers has, its "
            "weights in model.safetensors"
        ) from error
    wrong = sorted({str(key) for kind in ("missing_keys", "mismatched_keys") for key in loaded[kind]})
    if wrong:
        raise ValueError(f"{name}: {len(wrong)} weights are not those of its config.json; one is {wrong[0]}")
    n_embeddings = model.get_input_embeddings().num_embeddings
    if vocabulary > n_embeddings:
        raise ValueError(f"{name}: its tokenizer has {vocabulary} ids, but the model {n_embeddings} embeddings")
    use_scan(model, "mamba_ssm" if device == "cuda" and find_spec("mamba_ssm") else "own")
    return LanguageModel(model.to(device), vocabulary, device)


def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of a model, or of a folder with ``tokenizer.json``; it neither pads nor cuts off.

    Raises
    ------
    ValueError
        If there is none; one line.
    """
    path = _file(name, "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"{path}: cannot be read as a tokenizer ({_line(error)})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def check_ids(name: str, tokenizer: Tokenizer, dataset: str) -> None:
    """That a model's tokenizer gives the ids of a data set's.

    Parameters
    ----------
    name : of the model, as in ``load``
    tokenizer : of the data set
    dataset : its name, for the message

    Raises
    ------
    ValueError
        If it gives others, or there is none; one line.
    """
    if not same_ids(tokenizer_of(name), tokenizer):
        raise ValueError(
            f"{name}: its tokenizer gives other ids than the one of the data set {dataset}; allowed: models of one "
            "tokenizer, or a data set of its own"
        )


def n_ids(tokenizer: Tokenizer) -> int:
    """How many token ids a tokenizer has: the largest and one more, added tokens included.

    Ids beyond are padding of the embedding; of Pythia's 50,304 they are 27.
    """
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def architecture(name: str) -> str:
    """What kind of model it is: ``neox`` (Pythia is one), ``mamba``, ``llama``, or as transformers calls it.

    Raises
    ------
    ValueError
        If its ``config.json`` is missing or does not say; one line.
    """
    path = _file(name, "config.json")
    try:
        kind = json.loads(path.read_text("utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: has no model_type ({_line(error)})") from error
    return NAMES.get(kind, kind)


def _place(name: str) -> tuple[str, str]:
    """What transformers is to be given: the folder or the hub's name, and the commit."""
    return (name, OF_FOLDERS) if Path(name).is_dir() else split_name(name)


def _file(name: str, file: str) -> Path:
    if not Path(name).is_dir():
        return hub_file(name, file)
    path = Path(name) / file
    if not path.is_file():
        raise ValueError(f"{name}: has no {file}")
    return path


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
