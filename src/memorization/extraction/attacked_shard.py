"""A share of the attack on a run: what its model says of some windows, as arrays."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from memorization.extraction.attack import attack, verify
from memorization.extraction.passes import window_nll
from memorization.extraction.windows import followed, tokenizer_of
from memorization.models.language_model import LanguageModel
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished


class Shard:
    """The windows of a share, and the settings of their attack.

    Parameters
    ----------
    windows, arrays : of the data set
    settings : of ``attack.attack`` and ``verify``; ``n_controls`` that are continued
    shard, shards : which share, of how many
    seed : of the sample that is verified
    """

    def __init__(
        self,
        windows: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        settings: Mapping,
        shard: int,
        shards: int,
        seed: int,
    ):
        self.rows = np.array_split(np.arange(len(windows)), shards)[shard]
        self.windows, self.tokens = windows.iloc[self.rows], arrays["tokens"][self.rows]
        self.tokenizer, self.settings, self.names = tokenizer_of(arrays), settings, ("extraction", seed, shard)
        self.generated = np.isin(self.rows, followed(windows, settings["n_controls"]))

    def attack(
        self, model: LanguageModel, unfinished: Unfinished | None = None, report_seconds: float = 60
    ) -> dict[str, np.ndarray]:
        """What ``attack.attack`` gives; ``rows`` of the windows; ``lowercase_nll`` (n,) float64, nats per token
        (of a text in lower case that is longer than the model takes, its beginning); and
        the number of ``parameters``.
        """
        found = attack(model, self.tokens, self.settings, self.generated, unfinished, report_seconds)
        lower = [each.ids for each in self.tokenizer.encode_batch(self._lower(), add_special_tokens=False)]
        losses = window_nll(model, [np.array(ids[: model.max_length]) for ids in lower], self.settings["batch_tokens"])
        size = sum(parameter.numel() for parameter in model.model.parameters())
        return found | {"rows": self.rows, "lowercase_nll": losses, "parameters": np.array(size)}

    def verify(self, model: LanguageModel, found: Mapping[str, np.ndarray]) -> None:
        """Generate a sample of prompts, to check the decision of one pass. ``ValueError`` where they differ."""
        rng, names = generator(*self.names, "verify"), self.windows["window"].tolist()
        number = verify(model, self.tokens, names, found["matched_run"], self.settings, rng)
        print(f"generated {number} prompts token by token: all as in one pass", flush=True)

    def exact_in_float32(self, model: LanguageModel) -> np.ndarray:
        """Whether prompts are exact, of a sample of windows: (n, prompts), NaN of all others.

        Only prompts that begin where the windows do are asked, which takes one pass.

        Parameters
        ----------
        model : the one that is attacked in half precision, in float32
        """
        number = min(self.settings["verify_generate"], len(self.rows))
        sample = np.sort(generator(*self.names, "float32").choice(len(self.rows), number, replace=False))
        found = attack(model, self.tokens[sample], self.settings, np.zeros(number, bool))
        exact = np.full((len(self.rows), found["exact"].shape[1]), np.nan)
        exact[sample] = np.where(found["matched_run"] >= 0, found["exact"], np.nan)
        return exact

    def _lower(self) -> list[str]:
        return [text.lower() for text in self.windows["text"]]


def attacked(
    shard: Shard,
    opened: Callable[[str], LanguageModel],
    condition: Mapping,
    unfinished: Unfinished | None = None,
    report_seconds: float = 60,
) -> dict[str, np.ndarray]:
    """A share attacked and checked.

    Parameters
    ----------
    shard : the windows
    opened : the model, given the type of its weights
    condition : its settings. In the ``dtype`` float32 a sample of prompts is generated too; in half precision, where
        two ways to compute differ, a sample of windows is attacked in float32 too
    unfinished, report_seconds : as in ``attack.attack``

    Returns
    -------
    What ``Shard.attack`` gives; ``exact_float32`` (n, prompts), NaN where not checked; and the ``architecture``.
    """
    dtype = condition.get("dtype", "float32")
    exact = None if dtype == "float32" else shard.exact_in_float32(opened("float32"))
    model = opened(dtype)
    found = shard.attack(model, unfinished, report_seconds)
    if exact is None:
        shard.verify(model, found)
        exact = np.full(found["exact"].shape, np.nan)
    else:
        checked = ~np.isnan(exact)
        print(f"{dtype} flips {(found['exact'] != exact)[checked].mean():.4f} of {checked.sum()} decisions", flush=True)
    return found | {"exact_float32": exact, "architecture": np.array(condition["architecture"])}
