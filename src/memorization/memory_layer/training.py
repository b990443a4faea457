"""Training a condition's model on the answers of its data set, recording how it answers and which slots it uses."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.memory_layer.batches import Passes
from memorization.memory_layer.model import Retrieved, answer_logits, build, memories
from memorization.memory_layer.usage import USAGE, usage
from memorization.memory_layer.value_updates import (
    TopT,
    ValueOptimizer,
    coalesce,
    counts_of,
    keep_rows,
    layers_of_pools,
)
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import PEER, FlatKeyMemory
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.devices import autocast, seed_torch
from memorization.training.fit import Recorder, fit, log_spaced_steps, model_sizes
from memorization.training.freezing import freeze
from memorization.training.layer_loading import load_layers
from memorization.training.optimizers import learning_rate

ANSWERS = 8192  # tokens of answers that are evaluated at once
ENTRIES = 2**27  # scores of flat keys that are held at once: 512 MB
TEXTS = 8  # times as many tokens of texts


class Facts:
    """A data set's tokens, and the places of its answers.

    Parameters
    ----------
    arrays : ``tokens`` (n, longest), ``labels`` (n, longest) bool, ``lengths`` (n,), ``vocabulary``; ``split`` (n,)
        str, ``group`` (n,) int, ``copies`` (n,)
    device : where it is used
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], device: str):
        self.arrays, self.device = arrays, device
        self.vocabulary, self.length = int(arrays["vocabulary"]), arrays["tokens"].shape[1]
        self.tokens = torch.from_numpy(arrays["tokens"].astype(np.int64))
        self.labels = torch.from_numpy(arrays["labels"].astype(bool))
        self.lengths = torch.from_numpy(arrays["lengths"].astype(np.int64))
        self.split, self.group, self.copies = arrays["split"].astype(str), arrays["group"], arrays["copies"]

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, rows: np.ndarray | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of some rows: tokens, the places (rows, columns) of their answers' tokens, lengths, and these tokens."""
        rows = torch.as_tensor(rows)
        length = int(self.lengths[rows].max())
        tokens = self.tokens[rows, :length]
        at, columns = self.labels[rows, :length].nonzero(as_tuple=True)
        every = (tokens, at, columns, self.lengths[rows], tokens[at, columns])
        return tuple(each.to(self.device) for each in every)

    def batches(self, rows: np.ndarray, answers: int = ANSWERS) -> Iterator[np.ndarray]:
        """Some rows in parts of at most so many tokens of answers, and ``TEXTS`` times as many of texts."""
        longest = self.labels[torch.as_tensor(rows)].sum(dim=1).max() if len(rows) else 0
        most = max(1, min(answers // max(1, int(longest)), TEXTS * answers // self.length))
        yield from (rows[first : first + most] for first in range(0, len(rows), most))

    def rows(self, *splits: str) -> np.ndarray:
        """The rows of some splits."""
        return np.flatnonzero(np.isin(self.split, splits))

    def trained(self, condition: Mapping) -> np.ndarray:
        """The rows that a condition trains on."""
        return np.flatnonzero(np.isin(self.split, condition["train_on"]) & (self.copies > 0))


def passes_of(condition: Mapping, facts: Facts, seed: int) -> Passes:
    """The batches of a condition: of the splits that it trains on."""
    trained = np.where(np.isin(facts.split, condition["train_on"]), facts.copies, 0)
    return Passes(trained, condition["batch_size"], "memory_layer", condition["dataset"], seed, "order")


def start_of(condition: Mapping, before: Sequence[str]) -> str | None:
    """The path of the checkpoint that a condition starts from: one from outside, the one of the workflow, or None."""
    return (condition["pretrained"] or {}).get("path") or next(iter(before), None)


def restored(condition: Mapping, facts: Facts, state: Mapping[str, Tensor]) -> Decoder:
    """The model of a run, in evaluation, from its tensors."""
    model = build(condition, facts.vocabulary, facts.length)
    model.load_state_dict(state)
    return model.to(facts.device).eval()


def start(condition: Mapping, facts: Facts, seed: int, pretrained: str | None) -> Decoder:
    """The model that a training begins with: new, and what ``pretrained.mappings`` takes from a checkpoint, or all."""
    seed_torch("memory_layer", seed, "initialization")
    model = build(condition, facts.vocabulary, facts.length)
    if pretrained is not None:
        mappings = condition["pretrained"].get("mappings", {"component_mappings": {"*": "*"}})
        report = load_layers(model, pretrained, mappings)
        if "mappings" not in condition["pretrained"]:
            copied = {copy["target"] for copy in report["copies"]}
            missing = [name for name in model.state_dict() if name not in copied]
            if missing:
                raise ValueError(
                    f"{pretrained}: has no {missing[0]}, which the model has; say by pretrained.mappings what is taken"
                )
        print(f"started from {pretrained}: {len(report['copies'])} tensors", flush=True)
        print(*map(json.dumps, report["copies"]), sep="\n", flush=True)
    return model


class FactLearner:
    """A condition's model and optimizer on the answers of a split: a ``fit.Learner``.

    Parameters
    ----------
    condition : settings of ``model.build`` and ``ValueOptimizer``; train_on, batch_size, steps, warmup, freeze,
        precision, top_t, background
    facts : the data set
    seed : of the initial weights, the same for conditions of one model, and of the order of the facts
    device : where it runs
    pretrained : a checkpoint that it starts from; by default it does not
    """

    def __init__(self, condition: dict, facts: Facts, seed: int, device: str, pretrained: str | None = None):
        self.condition, self.facts, self.device = condition, facts, device
        self.model = start(condition, facts, seed, pretrained).to(device)
        freeze(self.model, condition["freeze"])
        norms = [each for each in self.model.modules() if isinstance(each, nn.BatchNorm1d)]
        self.frozen_norms = [norm for norm in norms if not any(each.requires_grad for each in norm.parameters())]
        self.optimizer = ValueOptimizer(self.model, condition)
        self.passes = passes_of(condition, facts, seed)
        self.top_t = self.background(seed) if condition["value_update"] == "top_t" else {}
        self.loss = torch.tensor(float("nan"))  # before the last step

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss before it, in nats per token of the answers."""
        steps, warmup = self.condition["steps"], self.condition["warmup"]
        self.optimizer.set_share(learning_rate(n + 1, 1.0, steps + 1, warmup, steps - warmup, "cosine"))
        tokens, rows, columns, lengths, answers = self.facts.batch(self.passes.batch(n))
        self.model.train()
        for norm in self.frozen_norms:
            norm.eval()
        with autocast(self.device, self.condition["precision"]):
            logits, retrieved = answer_logits(self.model, tokens, rows, columns, lengths, whole_texts=bool(self.top_t))
        loss = F.cross_entropy(logits.float(), answers)
        self.optimizer.zero_grad()
        loss.backward()
        coalesce(self.optimizer.values)
        self._keep_top_t(retrieved)
        self.optimizer.clip_gradients()
        self.optimizer.step()
        self.loss = loss.detach()
        return self.loss

    def background(self, seed: int) -> dict[int, TopT]:
        """Of each pool which rows a batch may move, against what batches of the other trained facts retrieve."""
        others = np.where(np.isin(self.facts.split, self.condition["train_on"]), 0, self.facts.copies)
        copies = others if others.any() else self.passes.copies
        batches = Passes(
            copies, self.condition["batch_size"], "memory_layer", self.condition["dataset"], seed, "background"
        )
        n_slots, number = next(iter(memories(self.model).values())).n_slots, self.condition["background"]
        df = {
            first: torch.zeros(n_slots, dtype=torch.int64, device=self.device) for first in layers_of_pools(self.model)
        }
        for n in range(1, number + 1):
            for first, counts in self.retrievals(batches.batch(n)).items():
                df[first] += counts > 0
        return {first: TopT(self.condition["top_t"], number, df[first]) for first in df}

    @torch.no_grad()
    def retrievals(self, rows: np.ndarray) -> dict[int, Tensor]:
        """How often some rows retrieve each slot in training, (n_slots,) of each pool."""
        self.model.eval()
        tokens, at, columns, lengths, _ = self.facts.batch(rows)
        _, retrieved = answer_logits(self.model, tokens, at, columns, lengths, whole_texts=True)
        return self._counts(retrieved)

    def _counts(self, retrieved: Sequence[Retrieved]) -> dict[int, Tensor]:
        n_slots = {n: memory.n_slots for n, memory in memories(self.model).items()}
        read = layers_of_pools(self.model)
        return {first: counts_of(retrieved, n_slots[first], of_pool) for first, of_pool in read.items()}

    def _keep_top_t(self, retrieved: Sequence[Retrieved]) -> None:
        if not self.top_t:
            return
        read = memories(self.model)
        for first, counts in self._counts(retrieved).items():
            rows = self.top_t[first].rows(counts)
            for vectors in (read[first].values, *([read[first].down] if isinstance(read[first], PEER) else [])):
                if vectors.weight.grad is not None:
                    keep_rows(vectors.weight, rows)

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


@torch.no_grad()
def answers(
    model: Decoder, facts: Facts, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, Tensor, Tensor, Tensor, list]]:
    """The model's answers, in parts of bounded size.

    Yields
    ------
    the rows of a part; of each token of their answers its row in the part, the logits (n, vocabulary) float32, and the
    token; what the memories retrieved.
    """
    model.eval()
    scored, last = [1], len(model.layers) - 1  # scores of a token of an answer: earlier layers have those of its text
    for n, memory in memories(model).items():
        if isinstance(memory, FlatKeyMemory):
            scored.append(memory.keys.shape[:2].numel() * (1 if n == last else TEXTS))
    for part in facts.batches(rows, min(ANSWERS, ENTRIES // max(scored))):
        tokens, at, columns, lengths, targets = facts.batch(part)
        logits, retrieved = answer_logits(model, tokens, at, columns, lengths)
        yield part, at, logits.float(), targets, retrieved


def evaluate(model: Decoder, facts: Facts, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """How a model answers some rows.

    Returns
    -------
    nll (n,) float32 nats, right (n,) tokens; use, by layer with a memory: (2, n_slots), how often each slot was
    retrieved and the sum of its weights.
    """
    nll, right = np.empty(len(rows), np.float32), np.empty(len(rows), np.int64)
    use, done = SlotUse(model), 0
    for part, at, logits, targets, retrieved in answers(model, facts, rows):
        here, done = slice(done, done + len(part)), done + len(part)
        losses = F.cross_entropy(logits, targets, reduction="none")
        zeros = torch.zeros(len(part), device=losses.device)
        nll[here] = zeros.index_add(0, at, losses).cpu()
        right[here] = zeros.index_add(0, at, (logits.argmax(dim=-1) == targets).float()).round().long().cpu()
        use.add(retrieved)
    return nll, right, use.of_layer


class SlotUse:
    """How often each slot of each memory of a model was retrieved, and the sum of its weights.

    Attributes
    ----------
    of_layer : by layer with a memory, (2, n_slots) float64
    """

    def __init__(self, model: Decoder):
        self.of_layer = {n: np.zeros((2, memory.n_slots)) for n, memory in memories(model).items()}

    def add(self, retrieved: Sequence[Retrieved], counted: Tensor | slice = slice(None)) -> None:
        """Count retrievals, of all places or of some."""
        for layer, _, weights, slots in retrieved:
            slot, n_slots = slots[counted].flatten(), self.of_layer[layer].shape[1]
            counts = torch.bincount(slot, minlength=n_slots).double()
            summed = torch.bincount(slot, weights[counted].flatten().double(), minlength=n_slots)
            self.of_layer[layer] += torch.stack([counts, summed]).cpu().numpy()


def followed_rows(facts: Facts, n_items: int) -> np.ndarray:
    """The first ``n_items`` rows of each group of each split, ascending."""
    keys = {(split, group) for split, group in zip(facts.split, facts.group, strict=True)}
    rows = [np.flatnonzero((facts.split == split) & (facts.group == group))[:n_items] for split, group in keys]
    return np.sort(np.concatenate(rows))


def train(
    learner: FactLearner, evaluation: Mapping, last: int, unfinished: Unfinished, report_seconds: float
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train to a step.

    Parameters
    ----------
    learner : what is trained
    evaluation : ``n_records`` log-spaced steps, of ``n_items`` rows of each group
    last : the step at which to stop, at most the condition's last
    unfinished, report_seconds : as in ``training.fit.fit``

    Returns
    -------
    The model's tensors; and of each recorded step ``step``; of the followed ``rows`` ``nll`` (…, n) float32 nats,
    ``right`` (…, n) tokens, ``exposures`` (…, n); ``loss`` (last,), of every step, nats per token; ``use``
    (…, layers with a memory, splits, ``USAGE``) of the slots, with ``use_layers`` and ``use_splits``; model sizes.
    """
    facts, steps = learner.facts, {*log_spaced_steps(learner.condition["steps"], evaluation["n_records"]), last}
    rows, layers = followed_rows(facts, evaluation["n_items"]), sorted(memories(learner.model))
    splits = sorted(set(facts.split))
    of_rows = {
        name: ((len(rows),), kind) for name, kind in (("nll", np.float32), ("right", np.int16), ("exposures", np.int32))
    }
    shape = (len(layers), len(splits), len(USAGE))
    recorder = Recorder(step=((), np.int64), loss=((), np.float32), use=(shape, np.float64), **of_rows)

    def record(n: int) -> None:
        if n:
            recorder.append(loss=float(learner.loss))
        if n not in steps:
            return
        nll, right = np.empty(len(rows), np.float32), np.empty(len(rows), np.int64)
        used = np.empty(shape)
        for k, split in enumerate(splits):
            of_split = facts.split[rows] == split
            nll[of_split], right[of_split], use = evaluate(learner.model, facts, rows[of_split])
            used[:, k] = [[usage(*use[layer])[name] for name in USAGE] for layer in layers] or np.empty((0, len(USAGE)))
        exposures = learner.passes.exposures(n)[0][rows]
        recorder.append(step=n, nll=nll, right=right, use=used, exposures=exposures)

    fit(learner, record, recorder, last, unfinished, report_seconds)
    state = {name: tensor.detach() for name, tensor in learner.model.state_dict().items()}
    about = {"rows": rows, "use_layers": np.array(layers, np.int64), "use_splits": np.array(splits)}
    return state, recorder.arrays() | about | model_sizes(learner.model)
