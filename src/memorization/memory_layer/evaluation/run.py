"""All tables of a run, from its checkpoint, its trajectory and its data set."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.memory_layer.evaluation import tables
from memorization.memory_layer.evaluation.chains import hops_table, questions_of
from memorization.memory_layer.evaluation.decoding import given_answers
from memorization.memory_layer.evaluation.errors import errors_table
from memorization.memory_layer.evaluation.retention import forgetting_table
from memorization.memory_layer.model import Retrieved, memories
from memorization.memory_layer.training import Facts, SlotUse, followed_rows, passes_of, restored
from memorization.models.decoder import Decoder

DECODED = 2000  # rows of each group of each split that are decoded; of texts, which have no prior, none


def run_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    trajectory: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    pretrained: str | None,
    earlier: Sequence[Mapping],
    n_examples: int,
    name: str,
    seed: int,
    device: str,
    shards: Sequence[tuple[pd.DataFrame, Mapping[str, np.ndarray]]] = (),
) -> dict[str, pd.DataFrame]:
    """The tables of a run, by name.

    Parameters
    ----------
    condition : its settings
    data, arrays : its data set, as a table and as tokens
    trajectory, state : ``training.train``'s, at the last step
    pretrained : the checkpoint that it started from, if it did
    earlier : the trainings that led to it, as far as they are the workflow's: ``dataset``, ``train_on``,
        ``batch_size``, ``step``
    n_examples : rows of each split whose retrievals are kept
    name, seed : the run
    device : where it is evaluated
    shards : what ``shard`` gives of all rows, if other jobs have made it
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model = restored(condition, facts, state)
    shards = shards or [shard(model, facts, condition)]
    tokens = pd.concat([part for part, _ in shards], ignore_index=True)
    use = {layer: sum(part[str(layer)] for _, part in shards) for layer in memories(model)}
    by_fact = tables.by_fact(tokens, data, facts)
    steps = int(trajectory["step"].max())
    trained, trainings = np.isin(facts.split, condition["train_on"]), [*earlier, {**condition, "step": steps}]
    exposures, last, begin = np.zeros(len(facts), np.int64), np.zeros(len(facts), np.int64), 0
    for each in trainings:  # steps count from the first one on
        if each["dataset"] == condition["dataset"]:
            more, when = passes_of(each, facts, seed).exposures(each["step"])
            exposures, last = exposures + more, np.where(more > 0, begin + when, last)
        begin += each["step"]
    examples = np.concatenate([facts.rows(split)[:n_examples] for split in sorted(set(facts.split))])
    activations = tables.activations_table(model, facts, examples, data["item"].to_numpy(), run)
    about = run | {"arm": condition["arm"]}
    others = np.where(exposures > 0, "before_switch", "held_out")
    phase = np.where(trained, "after_switch" if pretrained else "train", others)
    exact = float(by_fact["exact"][trained].mean())
    decoded = np.intersect1d(followed_rows(facts, DECODED), np.flatnonzero(data["prior_bits"].notna()))
    given = given_answers(model, facts, tokens[tokens["row"].isin(decoded)], questions_of(data))
    dataset = {"dataset": condition["dataset"], "arm": condition["arm"]}
    return {
        "records": tables.fact_records(by_fact, exposures, last, phase, about | {"step": begin}),
        "runs": tables.run_row(trajectory, condition, facts, about),
        "recall": tables.recall_table(by_fact, tokens, facts.split, exposures, run | dataset),
        "history": tables.history_table(trajectory, facts, run),
        "losses": tables.losses_table(trajectory["loss"], run),
        "logits": tables.logits_table(tokens, facts, run),
        "calibration": tables.calibration_table(tokens, facts.split, run),
        "usage": tables.usage_table(trajectory, run),
        "value_norms": tables.norms_table(model, use, run),
        "activations": activations,
        "errors": errors_table(by_fact, given, data, arrays, run),
        "hops": hops_table(given, data, arrays, run),
        "parameters": tables.parameters_table(condition, facts, tables.distinct_slots(activations), exact, run),
        "forgetting": forgetting_table(condition, facts, by_fact, pretrained, seed, device, run),
    }


def shard(
    model: Decoder, facts: Facts, condition: Mapping, number: int = 0, of: int = 1
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A share of the rows' answers: ``tables.by_token``, and by layer how the trained ones use its slots, (2, n_slots).

    Parameters
    ----------
    condition : its settings
    number, of : which share, from 0, of how many; their tables stand one below the other, their use adds up
    """
    rows = np.array_split(np.arange(len(facts)), of)[number]
    use, trained = SlotUse(model), facts.trained(condition)

    def watch(row: np.ndarray, retrieved: Sequence[Retrieved]) -> None:
        use.add(retrieved, torch.from_numpy(np.isin(row, trained)).to(facts.device))

    tokens = tables.by_token(model, facts, rows, watch)
    return tokens, {str(layer): each for layer, each in use.of_layer.items()}
