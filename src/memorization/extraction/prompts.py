"""Where the prompts of a window lie: which tokens a model is given, and which it has to go on with.

Read by what draws figures, too: nothing here may import torch.
"""

from collections.abc import Sequence
from typing import NamedTuple

PROTOCOLS = ("fixed_start", "fixed_suffix")


class Prompt(NamedTuple):
    """A prefix and the suffix after it, as token offsets in a window.

    Attributes
    ----------
    protocol : ``fixed_start``: the prefix begins where the window does; ``fixed_suffix``: the suffix begins where that
        of the longest prefix does
    prefix_length, suffix_length : in tokens
    start, suffix_start, end : the prefix is ``tokens[start:suffix_start]``, the suffix ``tokens[suffix_start:end]``
    """

    protocol: str
    prefix_length: int
    suffix_length: int
    start: int
    suffix_start: int
    end: int

    @property
    def cut(self) -> tuple[int, int, int]:
        """What a model is asked; the longest prompt is the same in both protocols."""
        return self.start, self.suffix_start, self.end


def prompts(lengths: Sequence[Sequence[int]]) -> list[Prompt]:
    """The prompts of a window: all of ``fixed_start`` in the order of ``lengths``, then all of ``fixed_suffix``.

    Parameters
    ----------
    lengths : pairs of prefix and suffix, in tokens

    Raises
    ------
    ValueError
        If there is none, one is not positive, or a prefix stands twice: it names a prompt.
    """
    if not lengths:
        raise ValueError("lengths: there is no pair of a prefix and a suffix")
    for prefix, suffix in lengths:
        if min(prefix, suffix) < 1:
            raise ValueError(f"lengths: [{prefix}, {suffix}], but a prefix and a suffix have at least 1 token")
    prefixes = [prefix for prefix, _ in lengths]
    if len(set(prefixes)) < len(prefixes):
        raise ValueError(f"lengths: a prefix stands twice in {prefixes}")
    behind = max(prefixes)
    from_start = [Prompt("fixed_start", n, k, 0, n, n + k) for n, k in lengths]
    to_suffix = [Prompt("fixed_suffix", n, k, behind - n, behind, behind + k) for n, k in lengths]
    return from_start + to_suffix


def longest_prompt(lengths: Sequence[Sequence[int]]) -> Prompt:
    """The prompt with the longest prefix, which both protocols have."""
    return max(prompts(lengths), key=lambda prompt: (prompt.prefix_length, prompt.protocol == "fixed_start"))


def tokens_needed(lengths: Sequence[Sequence[int]]) -> int:
    """How many tokens a window has at least, so that all its prompts lie in it."""
    return max(prompt.end for prompt in prompts(lengths))
