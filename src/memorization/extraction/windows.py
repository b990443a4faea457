"""The windows of a data set as files hold them: a table beside the tokens, and the tokenizer that made these.

Knows nothing of torch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tokenizers import Tokenizer


def as_arrays(tokens: np.ndarray, tokenizer: str, vocabulary: int) -> dict[str, np.ndarray]:
    """What stands beside the table: ``tokens`` (n, length), ``tokenizer``, its JSON in UTF-8, and ``vocabulary``."""
    text = np.frombuffer(tokenizer.encode(), np.uint8)
    return {"tokens": tokens, "tokenizer": text, "vocabulary": np.array(vocabulary)}


def tokenizer_text(arrays: Mapping[str, np.ndarray]) -> str:
    """The tokenizer of ``as_arrays``, JSON."""
    return arrays["tokenizer"].tobytes().decode()


def tokenizer_of(arrays: Mapping[str, np.ndarray]) -> Tokenizer:
    """The tokenizer of ``as_arrays``."""
    return Tokenizer.from_str(tokenizer_text(arrays))


def documents_as_arrays(background: np.ndarray, planted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``background``; and of documents ``planted``, the tokens one behind the other, where each ``ends``, ``names``."""
    ends = np.cumsum([len(tokens) for tokens in planted.values()])
    tokens = np.concatenate(list(planted.values())).astype(np.int32)
    return {"background": background, "planted": tokens, "ends": ends, "names": np.array(list(planted))}


def planted_documents(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The documents of ``documents_as_arrays``, tokens by name."""
    parts = np.split(arrays["planted"], arrays["ends"][:-1])
    return dict(zip(arrays["names"].tolist(), parts, strict=True))


def decoded(tokenizer: Tokenizer, rows: Sequence[Sequence[int]]) -> list[str]:
    """Texts of tokens. Bytes that are no UTF-8, as at a cut through a character, become U+FFFD."""
    return tokenizer.decode_batch([[int(token) for token in row] for row in rows], skip_special_tokens=False)


def followed(windows: pd.DataFrame, n_controls: int) -> np.ndarray:
    """Rows of the windows that are continued and followed: all but controls, and of these ``n_controls``, evenly."""
    controls = np.flatnonzero(windows["role"] == "control")
    some = controls[np.linspace(0, len(controls) - 1, min(n_controls, len(controls))).round().astype(int)]
    return np.sort(np.concatenate([np.flatnonzero(windows["role"] != "control"), some]))


def copies_in(windows: pd.DataFrame, packing: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """How often each window was trained on: by a seed's packing, or as the table knows, -1 for unknown."""
    return windows["copies"].to_numpy() if packing is None else packing["copies"]


def schemes(windows: pd.DataFrame) -> np.ndarray:
    """How windows were sampled: ``planted``, as many of each number of copies, or ``uniform``, of all texts: (n,)."""
    return np.where(windows["role"] == "planted", "planted", "uniform")
