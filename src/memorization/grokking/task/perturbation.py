"""A small change to the weights at the start of a training, and how far it carries them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from memorization.provenance import generator


@torch.no_grad()
def perturb(model: nn.Module, kind: str, epsilon: float, seed: int) -> None:
    """Change the weights in a random direction n of their own seed, the same for every ``epsilon``.

    Parameters
    ----------
    kind : ``relative`` adds ε ‖w‖ n / ‖n‖ to each tensor w; ``multiplicative`` makes it w (1 + ε n), n drawn
        from N(0, 1) for each weight; ``round_off`` changes nothing here: its batches are summed in another order
    """
    for name, weight in model.named_parameters():
        noise = torch.from_numpy(generator("grokking", seed, "perturbation", name).standard_normal(weight.shape))
        noise = noise.to(weight.dtype)
        if kind == "relative":
            weight += epsilon * weight.norm() * noise / noise.norm()
        elif kind == "multiplicative":
            weight *= 1 + epsilon * noise


def weight_distances(weights: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Distance of all weights from the reference's, over the length of the latter, at the steps that both have.

    Parameters
    ----------
    weights, reference : tensors by ``step<step>.<name>``

    Returns
    -------
    ``weight_step`` (K,) rising and ``weight_distance`` (K,).
    """
    squares: dict[int, dict[str, tuple[float, float]]] = {}
    for key in weights.keys() & reference.keys():
        step = int(key.split(".", 1)[0].removeprefix("step"))
        one, other = (np.asarray(side[key], np.float64) for side in (weights, reference))
        squares.setdefault(step, {})[key] = ((one - other) ** 2).sum(), (other**2).sum()
    steps = sorted(squares)
    totals = [np.sum([squares[step][key] for key in sorted(squares[step])], axis=0) for step in steps]
    return {
        "weight_step": np.array(steps, np.int64),
        "weight_distance": np.array([np.sqrt(moved / size) for moved, size in totals]),
    }
