"""How the values of a memory move: all of them, the rows that were retrieved, or the few that a batch uses alone."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from memorization.memory_layer.model import Retrieved, memories, pools
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import PEER
from memorization.training.optimizers import Joint


def value_parameters(model: Decoder) -> list[nn.Parameter]:
    """The vectors of the slots that train, each once."""
    modules = memories(model).values()
    found = [memory.values.weight for memory in modules]
    found += [memory.down.weight for memory in modules if isinstance(memory, PEER)]
    return [parameter for parameter in dict.fromkeys(found) if parameter.requires_grad]


class ValueOptimizer(Joint):
    """AdamW for a model's parameters, and Adam without decay, at a rate of its own, for the values of its memories.

    With ``dense`` updates Adam's momentum moves every row at every step, those that are no longer read too. With
    ``rows`` and ``top_t`` it moves the rows of a sparse gradient alone (torch's SparseAdam); others keep their bits.

    Parameters
    ----------
    model : its parameters that train
    condition : learning_rate, value_rate, weight_decay, betas, clip, value_update
    """

    def __init__(self, model: Decoder, condition: Mapping):
        self.values = value_parameters(model)
        own = {id(parameter) for parameter in self.values}
        self.rest = [each for each in model.parameters() if each.requires_grad and id(each) not in own]
        self.clip, betas, optimizers, self.rates = condition["clip"], tuple(condition["betas"]), [], []
        if self.rest:
            decay = condition["weight_decay"]
            optimizers.append(torch.optim.AdamW(self.rest, betas=betas, weight_decay=decay, fused=True))
            self.rates.append(condition["learning_rate"])
        if self.values:
            dense = condition["value_update"] == "dense"
            kind, options = (torch.optim.AdamW, {"weight_decay": 0.0, "fused": True}) if dense else (SparseAdam, {})
            optimizers.append(kind(self.values, betas=betas, **options))
            self.rates.append(condition["value_rate"])
        if not optimizers:
            raise ValueError("freeze: nothing is left to train")
        super().__init__(*optimizers)

    def set_share(self, share: float) -> None:
        """The rates of the next step: this share of the highest of each."""
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = share * rate

    def clip_gradients(self) -> None:
        """Scale the gradient of the values, and that of the rest, to a norm of at most ``clip``."""
        for parameters in (self.values, self.rest):
            clip_gradients(parameters, self.clip)


class SparseAdam(torch.optim.SparseAdam):
    """torch's, which counts steps in a number: a state that was read from a file has them in a tensor."""

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        for values in self.state.values():
            values["step"] = int(values["step"])


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> None:
    """Scale gradients, sparse ones too, together to a norm of at most ``most``."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    norm = torch.stack([_values(gradient).norm() for gradient in gradients]).norm()
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        _values(gradient).mul_(scale)


def coalesce(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the entries of a row in each sparse gradient."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()


def counts_of(retrieved: Sequence[Retrieved], n_slots: int, of_pool: Iterable[int]) -> Tensor:
    """How often each slot of a pool was retrieved, by the layers that read it: (n_slots,) int64."""
    return sum(
        torch.bincount(each.slots.flatten(), minlength=n_slots) for each in retrieved if each.layer in set(of_pool)
    )


def layers_of_pools(model: Decoder) -> dict[int, list[int]]:
    """Of each pool, named by its first layer, the layers that read it."""
    read = memories(model)
    return {first: [n for n in read if read[n].values is values] for first, values in pools(model).items()}


class TopT:
    """Which rows a batch may move: the t with the highest tf-idf of its retrievals (Lin et al. 2025, arXiv 2510.15103).

    A slot i that the batch retrieves c_i times scores c_i/Σc · ln((|B| + 1)/(df_i + 1)), where df_i of the |B|
    background batches retrieve it: rows that the batch uses and others do not.

    Parameters
    ----------
    t : rows of each pool that move in a step
    batches : |B|
    df : (n_slots,), of the background batches those that retrieve a slot
    """

    def __init__(self, t: int, batches: int, df: Tensor):
        self.t, self.batches, self.df = t, batches, df

    def scores(self, counts: Tensor) -> Tensor:
        """tf-idf of all slots: (n_slots,) counts -> the same shape."""
        tf = counts / counts.sum()
        return tf * torch.log((self.batches + 1) / (self.df + 1.0))

    def rows(self, counts: Tensor) -> Tensor:
        """The rows that move, at most t, only ones that were retrieved: ascending."""
        retrieved = counts.nonzero().flatten()
        best = self.scores(counts)[retrieved].topk(min(self.t, len(retrieved))).indices
        return retrieved[best].sort().values


def keep_rows(parameter: nn.Parameter, rows: Tensor) -> None:
    """Leave in a coalesced sparse gradient the entries of some rows alone."""
    gradient = parameter.grad
    kept = torch.isin(gradient.indices()[0], rows)
    parameter.grad = torch.sparse_coo_tensor(
        gradient.indices()[:, kept], gradient.values()[kept], gradient.shape, is_coalesced=True, check_invariants=False
    )


def _values(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else gradient
