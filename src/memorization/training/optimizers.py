"""The optimizers that a condition may name, and how their learning rate moves."""

import math

import torch
from torch import nn

OPTIMIZERS = ("adamw", "muon")


def build_optimizer(
    name: str, model: nn.Module, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> "torch.optim.Optimizer | Muon":
    """The optimizer of a model's parameters; its rate is set at each step (``set_learning_rate``).

    Parameters
    ----------
    name : ``adamw`` (Loshchilov & Hutter 2019), which without weight decay is Adam; or ``muon`` (Jordan 2024) for the
        matrices of attention and feed-forward layers, with AdamW for all else
    weight_decay : decoupled, on all parameters
    betas : of Adam's moments

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer: {name!r} is not one of {', '.join(OPTIMIZERS)}")
    adamw = {"betas": betas, "eps": 1e-8, "weight_decay": weight_decay, "fused": True}
    if name == "adamw":
        return torch.optim.AdamW(model.parameters(), **adamw)
    return Muon(model, weight_decay, adamw)


class Muon:
    """Muon for the matrices of attention and feed-forward layers, and AdamW for the rest, in one.

    Muon's updates are scaled to the root mean square of Adam's (0.2 √max(rows, columns), Liu et al. 2025), so that one
    learning rate serves both.

    Parameters
    ----------
    model : whose parameters it moves
    weight_decay : of the matrices
    adamw : options of the others' AdamW
    """

    def __init__(self, model: nn.Module, weight_decay: float, adamw: dict):
        matrices, others = [], []
        for name, parameter in model.named_parameters():
            inner = {"attention", "feed_forward"} & set(name.split("."))
            (matrices if inner and parameter.dim() == 2 else others).append(parameter)
        self.muon = torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(others, **adamw)
        self.n_matrices = len(matrices)

    @property
    def param_groups(self) -> list[dict]:
        return [*self.muon.param_groups, *self.adamw.param_groups]

    def zero_grad(self) -> None:
        self.muon.zero_grad()
        self.adamw.zero_grad()

    def step(self) -> None:
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict:
        """As torch's: the others' parameters are counted on behind the matrices."""
        matrices, others = self.muon.state_dict(), self.adamw.state_dict()
        behind = {index + self.n_matrices: values for index, values in others["state"].items()}
        groups = [*matrices["param_groups"], *others["param_groups"]]
        return {"state": matrices["state"] | behind, "param_groups": groups}

    def load_state_dict(self, state: dict) -> None:
        """Take up ``state_dict``'s."""
        n, values = self.n_matrices, state["state"]
        parts = {index: values[index] for index in values if index < n}
        behind = {index - n: values[index] for index in values if index >= n}
        matrices, others = state["param_groups"]
        self.muon.load_state_dict({"state": parts, "param_groups": [matrices]})
        self.adamw.load_state_dict({"state": behind, "param_groups": [others]})


def set_learning_rate(optimizer: "torch.optim.Optimizer | Muon", rate: float) -> None:
    """The rate of the optimizer's next step, of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(n: int, peak: float, last: int, warmup: int = 0, decay: int = 0, shape: str = "linear") -> float:
    """The rate of optimizer step n, counted from 1.

    Parameters
    ----------
    n : the step
    peak : the rate where it neither rises nor falls
    last : the last step of the training
    warmup : steps over which it rises by ``peak / warmup`` a step, from 0 at the first
    decay : steps at the end over which it falls, so that the step after the last would have 0; 0 for a constant rate
    shape : of the fall: ``linear``, or ``cosine`` (Loshchilov & Hutter 2017)
    """
    rising = min((n - 1) / warmup, 1.0) if warmup else 1.0
    falling = min((last - n + 1) / decay, 1.0) if decay else 1.0
    if shape == "cosine":
        falling = (1 - math.cos(math.pi * falling)) / 2
    return peak * rising * falling
