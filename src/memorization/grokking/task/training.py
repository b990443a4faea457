"""Training on modular equations, recording the fingerprint of the run as it goes."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.grokking.task.equations import Batches, first_crossing
from memorization.grokking.task.model import answer_hidden, answer_logits, build, tokens
from memorization.grokking.task.perturbation import perturb
from memorization.models.decoder import Decoder
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.devices import seed_torch
from memorization.training.fit import Recorder, fit, log_spaced_steps
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate

SOURCES = ("log_prob", "logits", "hidden")
CHUNK = 1024  # equations evaluated at once


def train(
    settings: dict,
    data: Mapping[str, np.ndarray],
    batches: Batches,
    probes: Mapping[str, np.ndarray],
    seed: int,
    evaluation: dict,
    fingerprint: dict,
    device: str,
    unfinished: Unfinished,
    report_seconds: float,
    perturbation: dict | None = None,
    last_step: int | None = None,
) -> "Training":
    """Train a condition's model, recording accuracies, the answers to the probe, and some weights.

    Parameters
    ----------
    settings : n_layers, n_heads, d_model, optimizer, learning_rate, weight_decay, warmup, steps, stop_after,
        min_steps
    data : ``p``, ``equations`` (count, 3) and ``train`` (count,)
    batches : what is trained on at each step
    probes : ``equations.probe``'s rows of either split
    seed : of the initial weights, the same for conditions of one size
    evaluation : all equations are evaluated ``every`` so many steps, and at ``n_records`` log-spaced ones, where
        each equation's loss and all weights are kept too
    fingerprint : ``source``, ``token_index``, ``record_every``
    device, unfinished, report_seconds : where it runs, its checkpoint, its progress
    perturbation : ``kind``, ``epsilon`` of the change to the initial weights, none by default
    last_step : at most, ``steps`` by default; training stops ``stop_after`` steps after validation accuracy
        was first seen at 99%, though not before ``min_steps``, if that is earlier

    Returns
    -------
    The training after its last step.
    """
    training = Training(settings, data, batches, probes, seed, evaluation, fingerprint, device, perturbation)
    steps = last_step or settings["steps"]
    last = fit(
        training,
        training.record,
        training.recorder,
        steps,
        unfinished,
        report_seconds,
        # Where it stops is known only once it has generalized; until then it runs to the first step at which it may.
        stop=training.earliest_stop,
    )
    training.record(last, is_end=True)
    return training


class Training:
    """A model in training and what was recorded of it: a ``fit.Learner``."""

    def __init__(
        self,
        settings: dict,
        data: Mapping[str, np.ndarray],
        batches: Batches,
        probes: Mapping[str, np.ndarray],
        seed: int,
        evaluation: dict,
        fingerprint: dict,
        device: str,
        perturbation: dict | None = None,
    ):
        self.settings, self.fingerprint, self.batches = settings, fingerprint, batches
        seed_torch("grokking", seed, "initialization")
        self.model = build(settings, int(data["p"]))
        self.reverse = perturbation is not None and perturbation["kind"] == "round_off"
        if perturbation is not None:
            perturb(self.model, perturbation["kind"], perturbation["epsilon"], seed)
        self.model.to(device)
        self.optimizer = build_optimizer(settings["optimizer"], self.model, settings["weight_decay"], betas=(0.9, 0.98))
        self.a, self.b, self.c = torch.from_numpy(np.ascontiguousarray(data["equations"].T)).to(device)
        self.in_training, self.probes = data["train"], probes
        self.probe = torch.from_numpy(np.concatenate([probes["val"], probes["train"]])).to(device)
        self.record_steps = set(log_spaced_steps(settings["steps"], evaluation["n_records"]))
        self.evaluated = self.record_steps | set(range(0, settings["steps"] + 1, evaluation["every"]))
        count, probed = len(self.in_training), len(self.probe)
        n_weights = sum(parameter.numel() for parameter in self.model.parameters())
        self.recorder = Recorder(
            fingerprint_step=((), np.int64),
            fingerprint=((probed,), np.float32),
            step=((), np.int64),
            **{f"{name}_{split}": ((), np.float64) for name in ("accuracy", "loss") for split in ("train", "val")},
            checkpoint_step=((), np.int64),
            nll=((count,), np.float32),
            right=((count,), np.bool_),
            weights=((n_weights,), np.float32),
        )

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss of its batch before it, nats per equation."""
        rows = self.batches.rows(n)
        rows = torch.from_numpy(rows[::-1].copy() if self.reverse else rows).to(self.a.device)
        rate, steps, warmup = (self.settings[key] for key in ("learning_rate", "steps", "warmup"))
        set_learning_rate(self.optimizer, learning_rate(n, rate, steps, warmup))
        loss = F.cross_entropy(answer_logits(self.model, self.a[rows], self.b[rows]), self.c[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def record(self, n: int, is_end: bool = False) -> None:
        """Record what is due after step n; at the end also what the other runs' grid has no place for."""
        if n % self.fingerprint["record_every"] == 0 and not is_end:
            self.recorder.append(fingerprint_step=n, fingerprint=self._readings())
        if n in self.evaluated if not is_end else self.recorder.last("checkpoint_step") != n:
            nll, right = evaluate(self.model, self.a, self.b, self.c)
            if self.recorder.last("step") != n:
                parts = {"train": self.in_training, "val": ~self.in_training}
                means = {f"accuracy_{split}": right[part].mean() for split, part in parts.items()}
                means |= {f"loss_{split}": nll[part].mean(dtype=np.float64) for split, part in parts.items()}
                self.recorder.append(step=n, **means)
            if n in self.record_steps or is_end:
                weights = nn.utils.parameters_to_vector(self.model.parameters()).detach().cpu().numpy()
                self.recorder.append(checkpoint_step=n, nll=nll, right=right, weights=weights)

    def earliest_stop(self, done: int) -> int:
        """The first step after which training may stop, as far as what was recorded up to step ``done`` tells."""
        reached = first_crossing(self.recorder["step"], self.recorder["accuracy_val"])
        if reached is None:
            reached = min((n for n in self.evaluated if n > done), default=self.settings["steps"])
        return min(self.settings["steps"], max(self.settings["min_steps"], reached + self.settings["stop_after"]))

    def trajectory(self) -> dict[str, np.ndarray]:
        """What was recorded, but for the weights.

        ``fingerprint_step`` (T,), ``val`` and ``train`` (T, probe_size) float32, the readings of the probes
        ``probe_val`` and ``probe_train``, rows of the equations; ``step`` (E,) with ``accuracy_train``,
        ``accuracy_val``, ``loss_train``, ``loss_val``, nats per equation; ``checkpoint_step`` (K,) with ``nll``
        (K, count) in nats and ``right`` (K, count); ``parameters``, the number of weights.
        """
        arrays = {name: array for name, array in self.recorder.arrays().items() if name != "weights"}
        readings, size = arrays.pop("fingerprint"), len(self.probes["val"])
        arrays |= {"val": readings[:, :size].copy(), "train": readings[:, size:].copy()}
        arrays |= {f"probe_{split}": rows for split, rows in self.probes.items()}
        return arrays | {"parameters": np.array(sum(parameter.numel() for parameter in self.model.parameters()))}

    def weights(self) -> dict[str, Tensor]:
        """All weights at the checkpoints, ``step<step>.<name>``."""
        named, kept = dict(self.model.named_parameters()), {}
        for step, row in zip(self.recorder["checkpoint_step"], self.recorder["weights"], strict=True):
            parts = torch.from_numpy(row).split([parameter.numel() for parameter in named.values()])
            for (name, parameter), part in zip(named.items(), parts, strict=True):
                kept[f"step{step}.{name}"] = part.reshape(parameter.shape)
        return kept

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)

    def _readings(self) -> np.ndarray:
        a, b, c = (axis[self.probe] for axis in (self.a, self.b, self.c))
        return readings(self.model, a, b, c, self.fingerprint["source"], self.fingerprint["token_index"])


@torch.no_grad()
def readings(decoder: Decoder, a: Tensor, b: Tensor, c: Tensor, source: str, token_index: int) -> np.ndarray:
    """A number an equation, of what the model makes of its input at a position.

    Parameters
    ----------
    a, b, c : (n,) int64
    source : ``log_prob`` of the correct answer c, its ``logits``, or the norm of the ``hidden`` state
    token_index : the position of the input ``<eos> a ∘ b =``, from -5 to -1, at which = stands

    Returns
    -------
    (n,) float32.
    """
    if token_index == -1:
        hidden = answer_hidden(decoder, a, b)
    else:
        hidden = decoder.hidden(tokens(a, b, decoder.token_embedding.num_embeddings - 3))[:, token_index]
    if source == "hidden":
        return hidden.norm(dim=-1).float().cpu().numpy()
    logits = decoder.head(hidden)
    values = logits.log_softmax(-1) if source == "log_prob" else logits
    return values.gather(1, c[:, None])[:, 0].float().cpu().numpy()


@torch.no_grad()
def evaluate(decoder: Decoder, a: Tensor, b: Tensor, c: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Loss of all equations in nats and whether the likeliest token is the answer: (n,) float32, (n,) bool."""
    nll, right = [], []
    for rows in zip(*(axis.split(CHUNK) for axis in (a, b, c)), strict=True):
        logits = answer_logits(decoder, *rows[:2])
        nll.append(F.cross_entropy(logits, rows[2], reduction="none"))
        right.append(logits.argmax(-1) == rows[2])
    return torch.cat(nll).float().cpu().numpy(), torch.cat(right).cpu().numpy()
