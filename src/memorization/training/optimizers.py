"""The optimizers that a condition may name, and how their learning rate moves."""

import math

import torch
from torch import nn

OPTIMIZERS = ("adamw", "muon")


def build_optimizer(
    name: str, model: nn.Module, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> "torch.optim.Optimizer | Joint":
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
    return muon(model, weight_decay, adamw)


class Joint:
    """Several optimizers, each of its own parameters, as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict:
        """As torch's: the parameters are counted on from one optimizer to the next."""
        state: dict = {"state": {}, "param_groups": []}
        for optimizer, first in zip(self.optimizers, self._firsts(), strict=True):
            of_one = optimizer.state_dict()
            state["state"] |= {first + index: values for index, values in of_one["state"].items()}
            state["param_groups"] += of_one["param_groups"]
        return state

    def load_state_dict(self, state: dict) -> None:
        """Take up ``state_dict``'s."""
        groups = iter(state["param_groups"])
        ends = [*self._firsts()[1:], float("inf")]
        for optimizer, first, end in zip(self.optimizers, self._firsts(), ends, strict=True):
            values = {index - first: of for index, of in state["state"].items() if first <= index < end}
            own = [next(groups) for _ in optimizer.param_groups]
            optimizer.load_state_dict({"state": values, "param_groups": own})

    def _firsts(self) -> list[int]:
        """How many parameters there are before each optimizer's."""
        counts = [sum(len(group["params"]) for group in optimizer.param_groups) for optimizer in self.optimizers]
        return [sum(counts[:n]) for n in range(len(counts))]


def muon(model: nn.Module, weight_decay: float, adamw: dict) -> Joint:
    """Muon for the matrices of attention and feed-forward layers, and AdamW for the rest.

    Muon's updates are scaled to the root mean square of Adam's (0.2 √max(rows, columns), Liu et al. 2025), so that one
    learning rate serves both.

    Parameters
    ----------
    model : whose parameters it moves
    weight_decay : of the matrices
    adamw : options of the others' AdamW
    """
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        inner = {"attention", "feed_forward"} & set(name.split("."))
        (matrices if inner and parameter.dim() == 2 else others).append(parameter)
    of_matrices = torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Joint(of_matrices, torch.optim.AdamW(others, **adamw))


def set_learning_rate(optimizer: "torch.optim.Optimizer | Joint", rate: float) -> None:
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
