"""How alike two token sequences are that are not the same: edit distance and BLEU.

Figures read what is made of this: nothing here may import torch.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

ORDER = 4  # of the longest n-grams of BLEU


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """The fewest tokens to insert, delete or replace that make one of the other (Levenshtein 1966).

    Parameters
    ----------
    one, other : token ids
    """
    one, other = np.asarray(one), np.asarray(other)
    places = np.arange(len(other) + 1)
    row = places
    for n, token in enumerate(one, 1):
        best = np.empty_like(row)
        best[0] = n
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (other != token))  # deleted; replaced or kept
        row = np.minimum.accumulate(best - places) + places  # or inserted, any number in a row
    return int(row[-1])


def bleu(generated: Sequence[int], target: Sequence[int]) -> float:
    """Sentence BLEU-4 of tokens against one reference, from 0 to 1.

    Papineni et al. 2002 (aclanthology.org/P02-1040) with Lin and Och's smoothing (2004, aclanthology.org/C04-1072):
    counts of two tokens and more are both raised by 1. Orders longer than the generated sequence count for nothing.

    Parameters
    ----------
    generated, target : token ids
    """
    generated, target = np.asarray(generated).tolist(), np.asarray(target).tolist()
    if not generated:
        return 0.0
    precisions = []
    for order in range(1, min(ORDER, len(generated)) + 1):
        found, wanted = _n_grams(generated, order), _n_grams(target, order)
        raised = order > 1
        precisions.append(((found & wanted).total() + raised) / (found.total() + raised))
    if not precisions[0]:
        return 0.0
    brevity = min(0.0, 1 - len(target) / len(generated))
    return math.exp(brevity + sum(map(math.log, precisions)) / len(precisions))


def _n_grams(tokens: list[int], order: int) -> Counter:
    return Counter(zip(*(tokens[n:] for n in range(order)), strict=False))
