"""Besides the attack: text that is nearly verbatim, windows behind other text, and maps of whole documents."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.extraction.model import opened
from memorization.extraction.near_verbatim import lower_bound, mass
from memorization.extraction.probes import behind, sliding
from memorization.extraction.prompts import longest_prompt
from memorization.extraction.windows import copies_in, schemes
from memorization.models.language_model import LanguageModel
from memorization.provenance import generator

KINDS = ["window", "role", "data_type", "copies", "scheme"]


class AttackedRun:
    """A run as the stages see it.

    Parameters
    ----------
    model : what is attacked
    windows, arrays : of the data set
    packing : of the run's seed; None of a model from elsewhere
    settings : of the attack
    about : ``condition``, ``architecture``, ``seed``, columns of every table
    dataset : its name, of the random streams: all conditions have the same windows
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        packing: Mapping[str, np.ndarray] | None,
        settings: Mapping,
        about: Mapping,
        dataset: str,
    ):
        self.model, self.settings, self.about, self.dataset = model, settings, about, dataset
        self.tokens, self.prompt = arrays["tokens"], longest_prompt(settings["lengths"])
        self.windows = windows.assign(copies=copies_in(windows, packing), scheme=schemes(windows))

    @classmethod
    def opened(
        cls,
        condition: Mapping,
        states: Sequence[Mapping[str, Tensor]],
        windows: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        packings: Sequence[Mapping[str, np.ndarray]],
        settings: Mapping,
        run: tuple[str, int],
        device: str,
    ) -> "AttackedRun":
        """A run with its model as ``model.opened`` gives it; no ``packings`` of one from elsewhere."""
        about = {"condition": run[0], "architecture": condition["architecture"], "seed": run[1]}
        model, packing = opened(condition, states, arrays, device), next(iter(packings), None)
        return cls(model, windows, arrays, packing, settings, about, condition["dataset"])

    def sample(self, n_windows: int, purpose: str) -> np.ndarray:
        """Rows of windows: as many of each number of copies as it goes, at random; all but controls."""
        rng, groups = generator("extraction", self.dataset, purpose), self.windows[self.windows["role"] != "control"]
        order = groups.sample(frac=1, random_state=rng.integers(2**32))
        place = order.groupby("copies").cumcount()
        return np.sort(order.index[np.lexsort((order["copies"], place))[:n_windows]].to_numpy())

    def near_verbatim(self, n_windows: int, substitutes: int, exact: bool) -> pd.DataFrame:
        """The probability of suffixes within Hamming distance 1, a row a window, behind the longest prefix.

        Parameters
        ----------
        n_windows : how many windows
        substitutes : the likeliest tokens a place that the bound has
        exact : whether ``mass`` is computed, which takes a pass for each token that sampling can give at each place

        Returns
        -------
        DataFrame: the run; ``window``, ``role``, ``data_type``, ``copies``, ``scheme``; ``p_z`` of the true suffix,
        ``mass`` of all within distance 1 (NaN where not ``exact``), and ``bound``, the part of it that the
        ``substitutes`` have.
        """
        rows = self.sample(n_windows, "near verbatim")
        options = {key: self.settings[key] for key in ("temperature", "top_k", "batch_tokens")}
        prompt, found = self.prompt, []
        for row in rows:
            cut = self.tokens[row, : prompt.suffix_start], self.tokens[row, prompt.suffix_start : prompt.end]
            p_z, bound = lower_bound(self.model, *cut, **options, substitutes=substitutes)
            of_all = mass(self.model, *cut, **options)[1] if exact else np.nan
            found.append((p_z, of_all, bound))
        return self._table(rows).assign(**dict(zip(("p_z", "mass", "bound"), np.transpose(found), strict=True)))

    def interference(self, n_windows: int, distances: list[int]) -> pd.DataFrame:
        """The attack with the longest prefix behind other windows' tokens, a row a window and number of tokens.

        The other tokens are of controls of other documents, or where there are none of other windows that are not
        attacked; the same for all conditions, and the last ones of fewer are the last ones of more.

        Returns
        -------
        DataFrame: the run; ``window``, ``role``, ``data_type``, ``copies``, ``scheme``; ``distance``, tokens
        before the window; ``exact``, ``matched_run``, ``log_p_z``.
        """
        rows = self.sample(n_windows, "interference")
        fillers = self._fillers(rows, max(distances))
        parts = []
        for distance in distances:
            found = behind(self.model, self.tokens[rows], fillers[:, fillers.shape[1] - distance :], self.settings)
            parts.append(self._table(rows).assign(distance=distance, **found))
        return pd.concat(parts, ignore_index=True)

    def _fillers(self, rows: np.ndarray, most: int) -> np.ndarray:
        """Tokens of other windows, (rows, at least ``most``)."""
        rng, length = generator("extraction", self.dataset, "fillers"), self.tokens.shape[1]
        others = np.setdiff1d(np.flatnonzero(self.windows["role"] == "control"), rows)
        if not len(others):
            others = np.setdiff1d(np.arange(len(self.tokens)), rows)
        documents, parts = self.windows["document"].to_numpy(), []
        for row in rows:
            elsewhere = others[documents[others] != documents[row]]
            if not len(elsewhere):  # few windows: whatever others there are
                elsewhere = np.setdiff1d(np.arange(len(self.tokens)), row)
            parts.append(self.tokens[rng.choice(elsewhere, -(-most // length) or 1)].ravel())
        return np.stack(parts)

    def map(self, documents: Mapping[str, np.ndarray], n_documents: int, max_tokens: int, stride: int) -> pd.DataFrame:
        """How likely each part of whole documents is drawn after its prefix alone, a row a place.

        Parameters
        ----------
        documents : tokens of those that windows are of, by name
        n_documents : of each type; those with the most copies of windows among those of at most ``max_tokens``
        max_tokens : see above
        stride : tokens from one place to the next

        Returns
        -------
        DataFrame: the run; ``document``, ``data_type``; ``start`` of the prefix, in tokens; ``log10_p_z``; ``exact``;
        ``copies`` of the planted window that the prompt overlaps most (0: none), and ``distance`` in tokens from it.
        """
        parts = []
        for row in self._documents(documents, n_documents, max_tokens).itertuples():
            sampling = (self.settings[key] for key in ("temperature", "top_k", "batch_tokens"))
            sizes = self.prompt.prefix_length, self.prompt.suffix_length, stride
            found = sliding(self.model, documents[row.document], *sizes, *sampling)
            planted = self.windows[(self.windows["document"] == row.document) & (self.windows["copies"] > 0)]
            starts, begins = found["start"][:, None], planted["start"].to_numpy()
            ends = np.minimum(starts + self.prompt.end, begins + self.tokens.shape[1])
            shared = ends - np.maximum(starts, begins)  # tokens of the prompt and of each window
            most = shared.argmax(axis=1)
            distance = found["start"] - begins[most]
            copies = np.where(shared.max(axis=1) > 0, planted["copies"].to_numpy()[most], 0)
            part = {"document": row.document, "data_type": row.data_type, "start": found["start"]}
            part |= {"log10_p_z": found["log_p_z"] / np.log(10), "exact": found["exact"]}
            parts.append(pd.DataFrame(dict(self.about) | part | {"copies": copies, "distance": distance}))
        return pd.concat(parts, ignore_index=True)

    def _documents(self, documents: Mapping[str, np.ndarray], n_documents: int, max_tokens: int) -> pd.DataFrame:
        sizes = {name: len(tokens) for name, tokens in documents.items()}
        planted = self.windows[self.windows["copies"] > 0]
        small = planted[planted["document"].map(sizes).fillna(np.inf) <= max_tokens]
        if not len(small):
            raise ValueError(f"map: no planted document has at most {max_tokens} tokens; allowed: a larger max_tokens")
        totals = small.groupby(["data_type", "document"], as_index=False)["copies"].sum()
        totals = totals.sort_values(["data_type", "copies"], ascending=[True, False], kind="stable")
        return totals.groupby("data_type").head(n_documents)

    def _table(self, rows: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(dict(self.about) | {name: self.windows[name].to_numpy()[rows] for name in KINDS})
