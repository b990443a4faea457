"""A dense associative memory read through attention maps, and a readout without a memory.

The memory is exact and does not grow with the queue: equal sequences are one row with a count, whose logarithm is
added to its score, and all positions of a batch are scored in one matrix product.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

SCORES = 20_000_000  # (batch, positions, stored) that are held at once; longer sequences go position by position


class AssociativeMemory(nn.Module):
    """Predicts the next bit of a sequence from its first n bits and a queue of the last sequences stored.

    With bits ζ = ±1: φ̂ = Σ_{i ≤ n} A_i(n) ζ_i is compared with φ_μ = B χ_μ of the stored χ_μ;
    π_μ = softmax_μ(η φ̂·φ_μ), and the next bit is +1 with probability Σ π_μ over the stored μ in which it is, mixed
    with a uniform guess of weight ε, so that no loss is infinite. A(n) and B are softmaxes of logits that start
    as N(0, init_std²). An empty memory guesses; with n = 0 a memory tells the shares of first bits.
    A modern Hopfield network (Ramsauer et al. 2020, arXiv 2008.02217) whose queries are parts of sequences.

    Parameters
    ----------
    length : N, bits of a sequence
    n_heads : H, attention maps
    memory_size : M, sequences that the queue holds; the oldest fall out
    eta : η, inverse temperature of the retrieval
    epsilon : ε in (0, 1), weight of the uniform guess
    init_std : of the logits

    Attributes
    ----------
    attention_logits : (length, n_heads, length); row n weighs the first n bits, the rest is not used
    memory_logits : (n_heads, length)

    Raises
    ------
    ValueError
        If a size is below 1, eta is not positive, or epsilon not between 0 and 1; in its methods, if sequences are no
        (batch, length) of 0 and 1.
    """

    def __init__(
        self,
        length: int,
        n_heads: int,
        memory_size: int,
        eta: float,
        epsilon: float = 1e-6,
        init_std: float = 0.1,
    ):
        super().__init__()
        _check_sizes(length=length, n_heads=n_heads, memory_size=memory_size)
        if not eta > 0:
            raise ValueError(f"eta: {eta} is not positive")
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon: {epsilon} is not between 0 and 1")
        self.length, self.memory_size, self.eta, self.epsilon = length, memory_size, eta, epsilon
        self.attention_logits = nn.Parameter(init_std * torch.randn(length, n_heads, length))
        self.memory_logits = nn.Parameter(init_std * torch.randn(n_heads, length))
        self.register_buffer("distinct", torch.zeros(memory_size, -(-length // 8), dtype=torch.uint8))  # packed bits
        self.register_buffer("queue", torch.full((memory_size,), -1, dtype=torch.int32))  # a row of distinct; -1: empty
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))  # how many sequences ever
        self.register_load_state_dict_post_hook(_count_again)
        self._count()

    @property
    def attention(self) -> Tensor:
        """A(n), (length, n_heads, length): row n is a distribution over the first n bits; row 0 is 0."""
        return attention(self.attention_logits)

    @property
    def memory_map(self) -> Tensor:
        """B, (n_heads, length): a distribution over bits in each row."""
        return self.memory_logits.softmax(dim=-1)

    def contents(self) -> tuple[Tensor, Tensor]:
        """The distinct sequences in the queue (distinct, length) uint8, and how often each stands in it (distinct,)."""
        return self._sequences, self._counts

    def append(self, sequences: Tensor) -> None:
        """Store (batch, length) of 0 and 1, the first first; the oldest fall out where the queue is full."""
        _check_bits(sequences, self.length)
        packed = np.packbits(sequences.cpu().numpy().astype(np.uint8), axis=1)[-self.memory_size :]
        start = int(self.stored) + len(sequences) - len(packed)
        places = (start + np.arange(len(packed))) % self.memory_size
        left = self._queue[places]
        np.subtract.at(self._in_queue, left[left >= 0], 1)
        self._rows = {key: row for key, row in self._rows.items() if self._in_queue[row]}
        keys = [sequence.tobytes() for sequence in packed]
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        free = np.flatnonzero(self._in_queue == 0)[: len(new)]
        rows = np.append(free, len(self._in_queue) + np.arange(len(new) - len(free)))
        self._in_queue = np.append(self._in_queue, np.zeros(len(new) - len(free), np.int64))
        self._rows |= dict(zip(new, map(int, rows), strict=True))
        self._queue[places] = [self._rows[key] for key in keys]
        np.add.at(self._in_queue, self._queue[places], 1)
        bits = np.frombuffer(b"".join(new), np.uint8).reshape(-1, packed.shape[1])
        self._distinct[rows] = bits
        device = self.queue.device
        self.distinct[torch.from_numpy(rows).to(device)] = torch.from_numpy(bits.copy()).to(device)
        self.queue[torch.from_numpy(places).to(device)] = torch.from_numpy(self._queue[places]).to(device)
        self.stored += len(sequences)
        self._show()

    def log_probabilities(self, sequences: Tensor) -> Tensor:
        """Of each true bit given those before it: (batch, length) of 0 and 1 -> (batch, length) nats, at most 0."""
        _check_bits(sequences, self.length)
        stored, counts = self.contents()
        dtype, uniform = self.memory_logits.dtype, math.log(0.5)
        if not len(stored):
            return torch.full(sequences.shape, uniform, dtype=dtype, device=sequences.device)
        signs, patterns = _signs(sequences, dtype), _signs(stored, dtype) @ self.memory_map.T
        queries = torch.einsum("bi,nhi->nbh", signs, self.attention)
        log_counts = counts.to(dtype).log()
        step = max(1, SCORES // max(1, len(sequences) * len(stored)))
        chunks = []
        for n in range(0, self.length, step):
            part = queries[n : n + step]
            scores = torch.addmm(log_counts, part.flatten(0, 1), patterns.T, alpha=self.eta)
            scores = scores.view(*part.shape[:2], len(stored))
            chunks.append(LogShare.apply(scores, stored.T[n : n + step], sequences.T[n : n + step]))
        share = torch.cat(chunks).T
        return torch.logaddexp(share + math.log1p(-self.epsilon), torch.full_like(share, math.log(self.epsilon / 2)))

    def _count(self) -> None:
        """What stands beside the buffers, on the CPU: the same, rows by their bits, how often the queue has each."""
        self._queue, self._distinct = self.queue.cpu().numpy().copy(), self.distinct.cpu().numpy().copy()
        self._in_queue = np.bincount(self._queue[self._queue >= 0])
        self._rows = {self._distinct[row].tobytes(): int(row) for row in np.flatnonzero(self._in_queue)}
        self._show()

    def _show(self) -> None:
        rows = np.flatnonzero(self._in_queue)
        bits = np.unpackbits(self._distinct[rows], axis=1, count=self.length)
        self._sequences = torch.from_numpy(bits).to(self.queue.device)
        self._counts = torch.from_numpy(self._in_queue[rows]).to(self.queue.device)


def _count_again(memory: AssociativeMemory, _) -> None:
    memory._count()


class LinearReadout(nn.Module):
    """The same queries read by a mixture of logistic units instead of a memory: an interpretation of the second form.

    v_n = A(n) ζ_{≤n}, P(next bit = +1) = Σ_m p_m σ(v_n·B_m + c_m) over m = 1 … n_units, p = softmax(w).

    Parameters
    ----------
    length, n_heads, init_std : as in ``AssociativeMemory``; all weights start as N(0, init_std²)
    n_units : R

    Attributes
    ----------
    attention_logits : (length, n_heads, length), as in ``AssociativeMemory``
    weights, biases, mixture_logits : B (n_units, n_heads), c (n_units,), w (n_units,)

    Raises
    ------
    ValueError
        As ``AssociativeMemory``.
    """

    def __init__(self, length: int, n_heads: int, n_units: int, init_std: float = 0.1):
        super().__init__()
        _check_sizes(length=length, n_heads=n_heads, n_units=n_units)
        self.length = length
        self.attention_logits = nn.Parameter(init_std * torch.randn(length, n_heads, length))
        self.weights = nn.Parameter(init_std * torch.randn(n_units, n_heads))
        self.biases = nn.Parameter(init_std * torch.randn(n_units))
        self.mixture_logits = nn.Parameter(init_std * torch.randn(n_units))

    @property
    def attention(self) -> Tensor:
        """As ``AssociativeMemory.attention``."""
        return attention(self.attention_logits)

    def append(self, sequences: Tensor) -> None:
        """Nothing: what it knows is in its weights."""

    def log_probabilities(self, sequences: Tensor) -> Tensor:
        """Of each true bit given those before it: (batch, length) of 0 and 1 -> (batch, length) nats, at most 0."""
        _check_bits(sequences, self.length)
        signs = _signs(sequences, self.weights.dtype)
        logits = torch.einsum("bi,nhi->bnh", signs, self.attention) @ self.weights.T + self.biases
        units = nn.functional.logsigmoid(signs[..., None] * logits)
        return (units + self.mixture_logits.log_softmax(dim=0)).logsumexp(dim=-1)


class LogShare(torch.autograd.Function):
    """Log of the share of exp(score) that belongs to the stored whose bit is the true one; -∞ where none is.

    The sums over either bit are made apart: the share of an unlikely bit is as exact in float32 as that of a likely
    one, while one minus the other's is not. Shares that underflow, below 1e-38, count as none.
    """

    @staticmethod
    def forward(context, scores: Tensor, stored: Tensor, true: Tensor) -> Tensor:
        """(positions, batch, stored) scores, (positions, stored) and (positions, batch) bits -> (positions, batch)."""
        weights = (scores - scores.amax(dim=-1, keepdim=True)).exp_()
        is_bit = torch.stack([1 - stored, stored], dim=-1).to(scores.dtype)  # (positions, stored, 2)
        sums = torch.bmm(weights, is_bit)
        true = nn.functional.one_hot(true.long(), 2).bool()
        right, wrong = sums[true].view(scores.shape[:2]), sums[~true].view(scores.shape[:2])
        right = right.masked_fill(right < torch.finfo(right.dtype).tiny, 0)
        context.save_for_backward(weights, is_bit, true, right, wrong)
        return right.log() - (right + wrong).log()

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None, None]:
        weights, is_bit, true, right, wrong = context.saved_tensors
        total = right + wrong
        of_right = (wrong / total / right).masked_fill(right == 0, 0)  # 1 / right - 1 / total, without cancellation
        factors = torch.where(true, of_right[..., None], -1 / total[..., None]) * gradient[..., None]
        return torch.bmm(factors, is_bit.transpose(1, 2)).mul_(weights), None, None


def attention(logits: Tensor) -> Tensor:
    """Softmax of row n of (length, n_heads, length) over its first n entries; the others, and row 0, are 0."""
    length = len(logits)
    seen = torch.ones(length, length, dtype=torch.bool, device=logits.device).tril(-1)[:, None, :]
    weights = logits.masked_fill(~seen, torch.finfo(logits.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~seen, 0)


def _signs(sequences: Tensor, dtype: torch.dtype) -> Tensor:
    return sequences.to(dtype) * 2 - 1


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: {size} is less than 1")


def _check_bits(sequences: Tensor, length: int) -> None:
    if sequences.dim() != 2 or sequences.shape[1] != length:
        raise ValueError(f"sequences of shape {tuple(sequences.shape)}; allowed: (batch, {length})")
    if not ((sequences == 0) | (sequences == 1)).all():
        raise ValueError("sequences: their bits are 0 and 1")
