import json
import math

import numpy as np
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, PAIRS, arrays, facts, table

from memorization.memory_layer import attention
from memorization.memory_layer.attention import (
    CLASSES,
    attend,
    attention_table,
    documents,
    examples,
    looking,
    masses,
    probabilities,
    shown_rows,
    write_documents,
)
from memorization.memory_layer.head_classes import DIFFUSE, class_by_mass, head_class
from memorization.memory_layer.model import build
from memorization.memory_layer.trained_run import TrainedRun
from memorization.provenance import generator
from memorization.training.masking import answer_labels

FACTS, RUN = facts(), {"condition": "some", "seed": 3}
ROWS = np.array([0, 5, 61, 62, 80])
TWO = PAIRS | {
    "kind": "hash_hop", "num_samples": 4, "eval_samples": 1, "n_chains": 2, "hops": [1], "hash_length": 3,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": False, "n_queries": 2, "context": True,
    "labels": "final",
}  # fmt: skip


def model_of(of=FACTS, **change):
    torch.manual_seed(0)
    model = build(CONDITION | {"init_std": 0.5} | change, of.vocabulary, of.length)  # heads that look somewhere
    return model.eval()


@pytest.mark.parametrize("kind", ["memory", "rope", "sinusoidal", "shared_pool", "none"])
@torch.no_grad()
def test_probabilities_by_values_are_what_the_module_puts_out(kind):
    model = model_of(**KINDS[kind])
    tokens = FACTS.batch(ROWS)[0]
    read, given, seen = [], [], []
    for layer in model.layers:
        layer.attention.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        layer.attention.register_forward_hook(lambda _, inputs, output: given.append(output))
    with looking(model, lambda layer, p: seen.append((layer, p))):
        model(tokens)
    assert [layer for layer, _ in seen] == [0, 1]
    for layer, (_, p), x, output in zip(model.layers, seen, read, given, strict=True):
        value = layer.attention.qkv(x).unflatten(-1, (3, 2, -1))[:, :, 2].transpose(1, 2)
        mixed = (p @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(layer.attention.output(mixed), output, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(p, probabilities(layer.attention, x))
        torch.testing.assert_close(p.sum(-1), torch.ones(p.shape[:-1]))
        assert not p.triu(1).any()
        assert p[..., -1, :].max() > 0.2  # no even attention, which would hide an error


def test_nothing_looks_any_more_behind():
    model, seen = model_of(), []
    with pytest.raises(IndexError), looking(model, lambda layer, _: seen.append(layer)):
        model(FACTS.tokens[:1] + FACTS.vocabulary)
    with looking(model, lambda layer, _: seen.append(layer)):
        model(FACTS.tokens[:1])
    model(FACTS.tokens[:1])
    assert seen == [0, 1]


@pytest.mark.parametrize("entries", [1, 2**24])
@pytest.mark.parametrize("data", [PAIRS, TWO], ids=["pairs", "two answers in a text"])
def test_masses_are_those_of_a_plain_loop(data, entries, monkeypatch):
    monkeypatch.setattr(attention, "ENTRIES", entries)
    of = facts(**data)
    model, rows = model_of(of, positions="rope"), np.array([0, 3, 4])
    found, even, n = masses(model, of, rows)
    sums, count = np.zeros(found.shape), 0
    plain = np.zeros(5)
    for row in rows:
        labels, seen = of.labels[row].tolist(), []
        with torch.no_grad(), looking(model, lambda _, p, seen=seen: seen.append(p[0].double())):
            model(of.tokens[[row]])
        for column in np.flatnonzero(labels):
            place = column - 1
            sets = {
                "previous": [place - 1],
                "first": [0],
                "local": range(place - 3, place + 1),
                "key": [each for each in range(place + 1) if not labels[each]],
            }
            for layer, head in np.ndindex(2, 2):
                p = seen[layer][head, place].tolist()
                sums[layer, head] += [
                    *(sum(p[each] for each in sets[name]) for name in CLASSES),
                    -sum(each * math.log2(each) for each in p if each),
                ]
            plain += [*(len(sets[name]) / (place + 1) for name in CLASSES), math.log2(place + 1)]
            count += 1
    assert n == count
    np.testing.assert_allclose(found, sums / count, rtol=1e-5)
    np.testing.assert_allclose(even, plain / count, rtol=1e-6)


def test_planted_heads_have_their_classes(monkeypatch):
    """Layer 0: the previous token, the first one; layer 1: the last four alike, all but the answer alike."""
    answers = torch.zeros(14, dtype=torch.bool)
    answers[7:13] = True
    back = torch.arange(14)[:, None] - torch.arange(14)
    heads = [back == 1, (back >= 0) & (torch.arange(14) == 0), (back >= 0) & (back < 4), (back >= 0) & ~answers]
    heads = torch.stack(heads).float()
    heads[0, 0, 0] = 1
    heads /= heads.sum(-1, keepdim=True)
    model = model_of()
    of_layer = {id(layer.attention): heads[2 * n : 2 * n + 2] for n, layer in enumerate(model.layers)}
    monkeypatch.setattr(attention, "probabilities", lambda module, x: of_layer[id(module)].expand(len(x), -1, -1, -1))
    found = attention_table(model, FACTS, ROWS, RUN)
    assert found["class"].tolist() == ["previous token", "first token", "local", "key token"]
    assert found[["layer", "head"]].values.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert np.diag(found[["mass_previous", "mass_first", "mass_local", "mass_key"]]).tolist() == pytest.approx([1] * 4)
    assert found["excess"].tolist() == pytest.approx([1] * 4)
    np.testing.assert_allclose(found["entropy_bits"], [0, 0, 2, math.log2(7)], atol=1e-6)
    assert set(found["n"]) == {30}
    assert set(found["uniform_key"].round(6)) == {round(np.mean([7 / (7 + n) for n in range(6)]), 6)}


@pytest.mark.parametrize(
    ("mass", "uniform", "kind", "excess"),
    [
        ((0.6, 0.6, 0.9, 0.9), (0.1, 0.1, 0.4, 0.7), "previous token", 5 / 9),
        ((0.4, 0.6, 0.9, 0.9), (0.1, 0.1, 0.4, 0.7), "first token", 5 / 9),
        ((0.4, 0.4, 0.5, 0.9), (0.1, 0.1, 0.4, 0.7), "local", 1 / 6),
        ((0.1, 0.1, 0.45, 0.8), (0.1, 0.1, 0.4, 0.7), "key token", 1 / 3),
        ((0.1, 0.1, 0.42, 0.71), (0.1, 0.1, 0.4, 0.7), DIFFUSE, 1 / 30),  # as even attention has it
        ((0.49, 0.1, 0.49, 0.49), (0.1, 0.1, 0.4, 0.7), DIFFUSE, 0.39 / 0.9),
        ((0.1, 0.1, 0.2, 1.0), (0.1, 0.1, 0.4, 1.0), DIFFUSE, 0),  # nothing but the question before
    ],
)
def test_the_narrowest_class_with_half_of_the_mass_counts(mass, uniform, kind, excess):
    found = head_class(mass, uniform)
    assert found[0] == kind
    assert found[1] == pytest.approx(excess)


@pytest.mark.parametrize(
    ("mass", "kind"),
    [
        ((0.6, 0.1, 0.7, 0.3), "local"),
        ((0.6, 0.1, 0.7, 0.9), "key token"),
        ((0.6, 0.1, 0.6, 0.5), "previous token"),
        ((0.1, 0.5, 0.2, 0.5), "first token"),
        ((0.1, 0.2, 0.49, 0.4), DIFFUSE),
    ],
)
def test_the_largest_mass_counts_by_mass(mass, kind):
    assert class_by_mass(mass) == kind


def test_trained_splits_are_shown_first_and_trained_texts_of_them():
    of = facts()
    of.copies = np.where(np.arange(len(of)) == int(of.rows("new")[0]), 0, 1)
    rows = shown_rows(of, CONDITION | {"train_on": ["new", "train"]}, 2)
    assert of.split[rows].tolist() == ["new", "new", "train", "train", "novel", "novel"]
    assert rows[:2].tolist() == of.rows("new")[1:3].tolist()


def test_examples_are_of_a_text_without_padding():
    of = facts(**TWO)
    model, items = model_of(of), table(**TWO)["item"].to_numpy()
    rows = np.array([1, int(of.lengths.argmin())])
    found = examples(model, of, rows, items)
    assert found["item"].tolist() == items[rows].tolist()
    assert found["split"].tolist() == of.split[rows].tolist()
    for n, row in enumerate(rows):
        text = table(**TWO)["text"][row]
        assert "".join(found[f"tokens_{n}"]) == text
        (labels,) = answer_labels(
            [text], [np.stack([np.arange(len(text)), np.arange(len(text)) + 1], 1)], "hash_hop", labels="final"
        )
        assert found[f"answer_{n}"].tolist() == labels.tolist()
        seen = []
        with torch.no_grad(), looking(model, lambda _, p, seen=seen: seen.append(p[0])):
            model(of.tokens[[row]])
        whole = torch.stack(seen)[:, :, : len(text), : len(text)]
        np.testing.assert_allclose(found[f"probabilities_{n}"], whole, rtol=1e-4, atol=1e-6)
    assert not any(array.dtype == object for array in found.values())


def test_documents_say_the_same_in_plain_values(tmp_path):
    found = examples(model_of(), FACTS, ROWS[:2], table()["item"].to_numpy())
    path = tmp_path / "attention.json"
    write_documents(str(path), found, {"code": "abc"})
    read = json.loads(path.read_text())
    assert read["made_by"] == {"code": "abc"}
    assert read["examples"] == documents(found)
    assert [one["item"] for one in read["examples"]] == table()["item"][ROWS[:2]].tolist()
    for n, one in enumerate(read["examples"]):
        assert "".join(one["tokens"]) == table()["text"][ROWS[n]]
        assert one["answer"] == [False] * 7 + [True] * 6 + [False]
        assert [(head["layer"], head["head"]) for head in one["heads"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for head in one["heads"]:
            p = found[f"probabilities_{n}"][head["layer"], head["head"]]
            assert [len(row) for row in head["probabilities"]] == list(range(1, 15))
            for place, row in enumerate(head["probabilities"]):
                np.testing.assert_allclose(row, p[place, : place + 1], atol=5.1e-6)


@pytest.mark.parametrize("arm", ["memory", "none"])
def test_a_run_has_a_row_a_head_of_trained_texts_and_examples_of_each_split(arm):
    state = model_of(arm=arm).state_dict()
    settings = {"n_texts": 10, "n_examples": 1}
    of = CONDITION | {"arm": arm}, table(), arrays(), state, "some"
    found, shown = attend(TrainedRun(*of, 3, "cpu"), settings)
    again, _ = attend(TrainedRun(*of, 3, "cpu"), settings)
    other, _ = attend(TrainedRun(*of, 4, "cpu"), settings)
    assert found.equals(again)
    assert (found["mass_key"] != other["mass_key"]).any()
    assert set(found["n"]) == {60}
    assert found[["condition", "seed"]].drop_duplicates().values.tolist() == [["some", 3]]
    assert shown["split"].tolist() == ["train", "new", "novel"]
    assert "probabilities_2" in shown
    assert "probabilities_3" not in shown
    trained = generator("memory_layer", "pairs", 3, "attention", "texts").permutation(60)[:10]
    by_hand = attention_table(model_of(arm=arm), FACTS, np.sort(trained), RUN)
    np.testing.assert_allclose(found["mass_key"], by_hand["mass_key"])
