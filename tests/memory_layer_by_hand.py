"""Models whose answers depend on what their memories hold, and what is done to them by hand, for several test files."""

import copy

import numpy as np
import torch
from memory_layer_facts import CONDITION, KINDS, arrays, facts

from memorization.memory_layer.intervention.answered import answered, total_weights
from memorization.memory_layer.model import answer_logits, build, memories
from memorization.memory_layer.training import Facts

FACTS, ROWS = facts(), np.arange(40)
OF_MEMORIES = ("flat", "memory", "batch_norm", "rope", "sinusoidal", "shared_pool")


def made(name):
    """An untrained model whose answers depend on what its memories hold, and its layer with the last memory."""
    torch.manual_seed(5)
    model = build(CONDITION | KINDS[name], FACTS.vocabulary, FACTS.length).eval()
    with torch.no_grad():
        for memory in memories(model).values():
            memory.values.weight *= 20
            memory.keys *= 4
    return model, max(memories(model))


def kept_of(model, layer):
    """What is kept of some rows, as if each token's answer were right."""
    kept = answered(model, FACTS, ROWS, layer)
    log_p = logits_of(model).log_softmax(dim=-1).max(dim=-1).values
    return kept._replace(target=kept.given, nll_bits=-log_p.double().numpy() / np.log(2))


def logits_of(model, data=FACTS):
    """Of the answers' tokens of ``ROWS``."""
    tokens, at, columns, lengths, _ = data.batch(ROWS)
    with torch.no_grad():
        return answer_logits(model, tokens, at, columns, lengths)[0]


def by_hand(model, layer, kind, i, j):
    """A copy of the model with two slots swapped, weight by weight; whole keys as the values of this layer alone."""
    model = copy.deepcopy(model)
    memory = memories(model)[layer]
    with torch.no_grad():
        if kind == "half_keys":
            for half, one, other in ((0, i // 8, j // 8), (1, i % 8, j % 8)):
                for head in range(memory.n_heads):
                    keys = memory.keys[head, half]
                    keys[one], keys[other] = keys[other].clone(), keys[one].clone()
        else:
            values = memory.values.weight
            values[i], values[j] = values[j].clone(), values[i].clone()
    return model


def answers_by_hand(model, rows):
    """The likeliest token at each place of each row's answer, {(row, position): token}, by the model's own forward."""
    tokens, _, _, lengths, _ = FACTS.batch(rows)
    assert len(set(lengths.tolist())) == 1
    with torch.no_grad():
        given = model(tokens).argmax(dim=-1)
    places = {int(row): FACTS.labels[row].nonzero()[:, 0].tolist() for row in rows}
    return {
        (row, n): int(given[at, column - 1])
        for at, (row, columns) in enumerate(places.items())
        for n, column in enumerate(columns)
    }


def retrieved_pair(model, layer):
    """Two slots of which many tokens retrieve the first or second."""
    i, j = np.argsort(-total_weights(answered(model, FACTS, ROWS, layer)))[:2]
    return int(i), int(j)


@torch.no_grad()
def answered_facts(model):
    """Facts that a model answers all right: the answers are those that it gives."""
    found = arrays() | {"tokens": arrays()["tokens"].astype(np.int64)}
    for column in range(1, found["tokens"].shape[1]):
        given = model(torch.from_numpy(found["tokens"][:, :column]))[:, -1].argmax(-1).numpy()
        of_answer = found["labels"][:, column]
        found["tokens"][of_answer, column] = given[of_answer]
    return Facts(found, "cpu")
