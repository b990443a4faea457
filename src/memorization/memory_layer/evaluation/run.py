"""All tables of a run, from its checkpoint, its trajectory and its data set."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.evaluation import tables
from memorization.memory_layer.evaluation.chains import hops_table, questions_of
from memorization.memory_layer.evaluation.decoding import given_answers
from memorization.memory_layer.evaluation.errors import errors_table
from memorization.memory_layer.evaluation.retention import forgetting_table
from memorization.memory_layer.model import build, memories
from memorization.memory_layer.training import Facts, evaluate, passes_of
from memorization.models.decoder import Decoder


def run_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    trajectory: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    pretrained: str | None,
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
    n_examples : rows of each split whose retrievals are kept
    name, seed : the run
    device : where it is evaluated
    shards : what ``shard`` gives of all rows, if other jobs have made it
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model = build(condition, facts.vocabulary, facts.length).to(device)
    model.load_state_dict(state)
    shards = shards or [shard(model, facts, condition["train_on"])]
    tokens = pd.concat([part for part, _ in shards], ignore_index=True)
    use = {layer: sum(part[str(layer)] for _, part in shards) for layer in memories(model)}
    by_fact = tables.by_fact(tokens, data, facts)
    steps = int(trajectory["step"].max())
    exposures, last = passes_of(condition, facts, seed).exposures(steps)
    trained = np.isin(facts.split, condition["train_on"])
    examples = np.concatenate([facts.rows(split)[:n_examples] for split in sorted(set(facts.split))])
    activations = tables.activations_table(model, facts, examples, data["item"].to_numpy(), run)
    about = run | {"arm": condition["arm"]}
    others = np.where((facts.copies > 0) & (pretrained is not None), "before_switch", "held_out")
    phase = np.where(trained, "after_switch" if pretrained else "train", others)
    exact = float(by_fact["exact"][trained].mean())
    no_text = data["prior_bits"].notna().to_numpy()[tokens["row"]]  # long texts are not decoded
    given = given_answers(model, facts, tokens[no_text], questions_of(data))
    dataset = {"dataset": condition["dataset"], "arm": condition["arm"]}
    return {
        "records": tables.fact_records(by_fact, exposures, last, phase, about | {"step": steps}),
        "runs": tables.run_row(trajectory, about),
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
    model: Decoder, facts: Facts, train_on: Sequence[str], number: int = 0, of: int = 1
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A share of the rows' answers: ``tables.by_token``, and by layer how the trained ones use its slots, (2, n_slots).

    Parameters
    ----------
    train_on : the splits that are trained
    number, of : which share, from 0, of how many; their tables stand one below the other, their use adds up
    """
    rows = np.array_split(np.arange(len(facts)), of)[number]
    trained = rows[np.isin(facts.split[rows], train_on) & (facts.copies[rows] > 0)]
    _, _, use = evaluate(model, facts, trained)
    return tables.by_token(model, facts, rows), {str(layer): each for layer, each in use.items()}
