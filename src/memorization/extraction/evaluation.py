"""What the attack on a run found, as tables: a row a prompt, and a row a window."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.extraction.metrics import zlib_bytes
from memorization.extraction.prompts import longest_prompt, prompts
from memorization.extraction.similarity import bleu, edit_distance
from memorization.extraction.windows import copies_in, decoded, schemes, tokenizer_of

FLOOR = 1e-6  # nats, of what is divided by


class Evaluated:
    """The windows of a run, to make tables of what the attack found.

    Parameters
    ----------
    windows, arrays : of the data set
    packing : of the run's seed; None of a model from elsewhere
    lengths : pairs of prefix and suffix
    about : ``model``, ``revision``, ``seed``
    """

    def __init__(
        self,
        windows: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        packing: Mapping[str, np.ndarray] | None,
        lengths: Sequence[Sequence[int]],
        about: Mapping,
    ):
        self.windows, self.about, self.asked = windows, about, prompts(lengths)
        self.longest = self.asked.index(longest_prompt(lengths))
        self.tokens, self.tokenizer = arrays["tokens"], tokenizer_of(arrays)
        self.copies = copies_in(windows, packing)

    def prompts(self, found: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """A row a window and prompt; of a fixed suffix, controls that are not continued have the longest.

        Parameters
        ----------
        found : of ``joined``

        Returns
        -------
        DataFrame: the run, with its ``parameters``; ``window``, ``role``, ``data_type``, ``copies``, ``scheme``
        (``planted``: as many windows of each number of copies; ``uniform``: all texts alike); ``protocol``,
        ``prefix_length``, ``suffix_length``; ``exact``, ``exact_float32`` (of half-precision models, where checked),
        ``matched_run``, ``biderman_score``, ``suffix_nll`` in nats per token, ``suffix_perplexity``, ``p_z``,
        ``log_p_z``; ``edit_distance``, as a share of the suffix, and ``bleu`` of the greedy continuation; ``prefix``,
        ``suffix``, ``continuation``, texts.
        """
        n, each = len(self.windows), len(self.asked)
        of_run = {"architecture": str(found["architecture"]), "model": self.about["model"]}
        of_run |= {"parameters": int(found["parameters"])} | {name: self.about[name] for name in ("revision", "seed")}
        of_window = {name: self.windows[name].to_numpy() for name in ("window", "role", "data_type")}
        of_window |= {"copies": self.copies}
        of_window["scheme"] = schemes(self.windows)
        kinds = ("protocol", "prefix_length", "suffix_length")
        table = pd.DataFrame(
            {name: np.repeat(values, each) for name, values in of_window.items()}
            | {name: np.tile([getattr(prompt, name) for prompt in self.asked], n) for name in kinds}
        )
        for place, (name, value) in enumerate(of_run.items()):
            table.insert(place, name, value)
        for name in ("exact", "exact_float32", "matched_run", "biderman_score", "suffix_nll"):
            table[name] = found[name].ravel()
        log_p_z = found["log_p_z"].ravel()
        table = table.assign(suffix_perplexity=np.exp(table["suffix_nll"]), p_z=np.exp(log_p_z), log_p_z=log_p_z)
        similar = _similarity(self.tokens, found["continuation"], self.asked)
        texts = _texts(self.tokenizer, self.tokens, self.asked)
        continued = _continued(self.tokenizer, found["continuation"], self.asked)
        table = table.assign(**similar, **texts, continuation=continued)
        return table[table["matched_run"] >= 0].reset_index(drop=True)

    def scores(self, found: Mapping[str, np.ndarray], small: Mapping[str, np.ndarray] | None) -> pd.DataFrame:
        """What a model says of whole windows, but their first tokens: a row a window.

        Parameters
        ----------
        found : of ``joined``
        small : the same of the smaller model; None without one

        Returns
        -------
        DataFrame: ``condition``, ``architecture``, ``seed``, ``window``, ``role``, ``data_type``, ``copies``;
        ``exact`` behind the longest prefix; ``nll`` in nats per token, ``perplexity``; ``zlib_bytes``;
        ``lowercase_nll``, of the text in lower case, by its tokens; ``lowercase_ratio`` (log-perplexity in lower case
        over that of the text), ``zlib_ratio`` (bits of the window over those of its zlib), ``small_large_ratio``
        (log-perplexity of the smaller model over this one's; NaN without one); ``window_min_perplexity``, ``min_k``,
        ``min_k_plus_plus``.
        """
        nll, sizes = found["nll"], np.array([zlib_bytes(text) for text in self.windows["text"]])
        bits, floored = nll * (self.tokens.shape[1] - 1) / np.log(2), np.maximum(nll, FLOOR)
        table = self.windows[["window", "role", "data_type"]].reset_index(drop=True).assign(copies=self.copies)
        run = {"condition": self.about["model"], "architecture": str(found["architecture"]), "seed": self.about["seed"]}
        for place, (name, value) in enumerate(run.items()):
            table.insert(place, name, value)
        return table.assign(
            exact=found["exact"][:, self.longest],
            nll=nll,
            perplexity=np.exp(nll),
            zlib_bytes=sizes,
            lowercase_nll=found["lowercase_nll"],
            lowercase_ratio=found["lowercase_nll"] / floored,
            zlib_ratio=bits / (8 * sizes),
            small_large_ratio=np.nan if small is None else small["nll"] / floored,
            **{name: found[name] for name in ("window_min_perplexity", "min_k", "min_k_plus_plus")},
        )


def joined(shards: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray] | None:
    """The shares of a run, one behind the other; None of none."""
    if not shards:
        return None
    return {
        name: np.concatenate([each[name] for each in shards]) if values.ndim else values
        for name, values in shards[0].items()
    }


def _texts(tokenizer, tokens: np.ndarray, asked: list) -> dict[str, list[str]]:
    """``prefix`` and ``suffix`` of each window and prompt; equal cuts are decoded once."""
    cuts = {(prompt.start, prompt.suffix_start) for prompt in asked} | {
        (prompt.suffix_start, prompt.end) for prompt in asked
    }
    of_cut = {(first, end): decoded(tokenizer, tokens[:, first:end]) for first, end in cuts}
    rows = range(len(tokens))
    return {
        "prefix": [of_cut[prompt.start, prompt.suffix_start][row] for row in rows for prompt in asked],
        "suffix": [of_cut[prompt.suffix_start, prompt.end][row] for row in rows for prompt in asked],
    }


def _continued(tokenizer, continuation: np.ndarray, asked: list) -> list[str]:
    """The text of each greedy continuation; nothing where there is none."""
    every = [
        row[place, : prompt.suffix_length] if row[place, 0] >= 0 else []
        for row in continuation
        for place, prompt in enumerate(asked)
    ]
    return decoded(tokenizer, every)


def _similarity(tokens: np.ndarray, continuation: np.ndarray, asked: list) -> dict[str, np.ndarray]:
    """``edit_distance`` and ``bleu`` of each window and prompt; NaN where nothing was generated."""
    shape = len(tokens), len(asked)
    found = {"edit_distance": np.full(shape, np.nan), "bleu": np.full(shape, np.nan)}
    for place, prompt in enumerate(asked):
        suffix, length = tokens[:, prompt.suffix_start : prompt.end], prompt.suffix_length
        for row in np.flatnonzero(continuation[:, place, 0] >= 0):
            generated, target = continuation[row, place, :length].tolist(), suffix[row].tolist()
            found["edit_distance"][row, place] = edit_distance(generated, target) / length
            found["bleu"][row, place] = bleu(generated, target)
    return {name: values.ravel() for name, values in found.items()}
