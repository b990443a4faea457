"""What the configuration says of a mistake, without Snakemake: the way of rules/common.smk."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml
from command_line import SMOKE
from tokenizers import Tokenizer, models

from memorization.configuration import ConfigurationError, merged
from memorization.families import complete, configured


@cache
def smoke() -> dict:
    return yaml.safe_load(SMOKE.read_text())


def refusal(change: Mapping) -> str:
    """The line by which a change of the smoke configuration is refused."""
    with pytest.raises(ConfigurationError) as error:
        configured(complete(merged(smoke(), change)))
    (line,) = str(error.value).splitlines()
    return line


def model_folder(path: Path, words: str = "ab", **config) -> str:
    """A model in a folder, as far as the configuration looks; its path."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "gpt_neox", "vocab_size": 9} | config))
    vocabulary = {word: n for n, word in enumerate(words)}
    Tokenizer(models.WordLevel(vocabulary, unk_token=words[0])).save(str(path / "tokenizer.json"))
    (path / "model.safetensors").write_bytes(b"weights")
    return str(path)
