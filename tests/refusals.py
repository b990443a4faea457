"""What the configuration says of a mistake, without Snakemake: the way of rules/common.smk."""

from collections.abc import Mapping
from functools import cache

import pytest
import yaml
from command_line import SMOKE

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
