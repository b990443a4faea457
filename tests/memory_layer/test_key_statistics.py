import math

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, facts, table

from memorization.memory_layer.model import build, memories
from memorization.memory_layer.routing import repeating_digits
from memorization.memory_layer.routing.clusters import clustered, k_means
from memorization.memory_layer.routing.key_statistics import (
    clusters_table,
    key_norms,
    key_statistics_table,
    occurrences_table,
    vectors,
)
from memorization.memory_layer.routing.places import counted, places
from memorization.memory_layer.routing.repeating_digits import repeating_digits_table
from memorization.memory_layer.routing.retrievals import retrievals, slot_use
from memorization.memory_layer.routing.run import collect
from memorization.memory_layer.training import answers
from memorization.models.memory_layer_conversion import product_to_flat
from memorization.statistics import spearman

FACTS, DATA = facts(), table()
ROWS = np.array([2, 5, 6, 40])


def model_of(**change):
    torch.manual_seed(0)
    return build(CONDITION | change, FACTS.vocabulary, FACTS.length)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=["memory", "flat", "peers"])
def found(request):
    """The memories of a model, its key statistics, and all that they retrieve for some rows, by layer."""
    model = model_of(**KINDS[request.param])
    of, layers = places(FACTS.arrays, ROWS), memories(model)
    some = {layer: counted(of, layer == 1) for layer in layers}
    collected = collect(model, FACTS, ROWS, of, some, some)
    (every,) = retrievals(model, FACTS, ROWS)
    every = {layer: [each[some[layer]] for each in of_layer] for layer, of_layer in every.items()}
    tallies = {layer: each.tallies for layer, each in collected.items()}
    tables = [
        key_statistics_table(memory, collected[layer].moments, tallies[layer]).assign(layer=layer)
        for layer, memory in layers.items()
    ]
    here = {layer: of.iloc[each].reset_index(drop=True) for layer, each in some.items()}
    return layers, pd.concat(tables).set_index(["layer", "head", "slot"]), every, here, tallies


def test_key_statistics_are_those_of_a_plain_loop(found):
    layers, keys, every, of, _ = found
    assert len(keys) == sum(memory.n_heads * memory.n_slots for memory in layers.values())
    for layer, (scores, weights, slots) in every.items():
        for head in range(2):
            for slot in (*np.unique(slots[:, head])[:15], *set(range(64)) - set(np.unique(slots[:, head]).tolist())):
                one = keys.loc[(layer, head, slot)]
                here = slots[:, head] == slot
                w, s = (each[:, head][here].astype(float) for each in (weights, scores))
                assert one["count"] == here.sum()
                assert one["n_examples"] == of[layer]["row"][here.any(axis=1)].nunique()
                assert one["n_text_positions"] == of[layer]["text_position"][here.any(axis=1)].nunique()
                assert one["weight"] == pytest.approx(w.sum())
                names = ["weight_variance", "score_mean", "score_variance"]
                plain = [w.var(), s.mean(), s.var()] if here.any() else [np.nan] * 3
                np.testing.assert_allclose(one[names].astype(float), plain, rtol=1e-6, atol=1e-9)


def test_norms_are_those_of_the_keys(found):
    layers, keys, *_ = found
    for layer, memory in layers.items():
        flat = memory.keys if hasattr(memory, "keys") and memory.keys.ndim == 3 else None
        of_layer = keys.xs(layer)
        for head, slot in ((0, 0), (1, 9), (0, 63), (1, 40)):
            one = of_layer.loc[(head, slot)]
            if flat is not None:
                assert one["key_norm"] == pytest.approx(flat[head, slot].norm().item(), rel=1e-5)
                assert np.isnan(one["half_norm_1"])
                continue
            halves = memory.keys[head, 0, slot // 8], memory.keys[head, 1, slot % 8]
            assert one["key_norm"] == pytest.approx(torch.cat(halves).norm().item(), rel=1e-5)
            assert one["half_norm_1"] == pytest.approx(halves[0].norm().item(), rel=1e-5)
            assert one["half_norm_2"] == pytest.approx(halves[1].norm().item(), rel=1e-5)


def test_norms_of_product_keys_are_those_of_the_same_memory_with_flat_keys():
    (memory,) = memories(model_of()).values()
    flat = key_norms(product_to_flat(memory))["key_norm"]
    np.testing.assert_allclose(key_norms(memory)["key_norm"], flat, rtol=1e-5)


def test_occurrences_are_the_texts_where_a_slot_weighs_most(found):
    _, keys, every, of, tallies = found
    for layer, (_, weights, slots) in every.items():
        row_of = of[layer]["row"]
        weight = {
            slot: {row: weights[row_of == row][slots[row_of == row] == slot].sum() for row in ROWS}
            for slot in range(64)
        }
        most = sorted(weight, key=lambda slot, weight=weight: -sum(weight[slot].values()))[:4]
        part = occurrences_table(tallies[layer]["row"], DATA, 4)
        assert list(dict.fromkeys(part["slot"])) == most
        for slot, rows in part.groupby("slot"):
            held = {row: w for row, w in weight[slot].items() if w}
            assert rows["item"].tolist() == [DATA["item"][row] for row in sorted(held, key=lambda row: -held[row])]
            np.testing.assert_allclose(rows["weight"], sorted(held.values(), reverse=True), rtol=1e-6)
            assert set(rows["n_examples"]) == {len(held)}
            assert rows["count"].sum() == keys.xs((layer, slot), level=("layer", "slot"))["count"].sum()
        assert set(part["split"]) == {"train"}


def brute_force_silhouettes(x, labels):
    found = []
    for n, one in enumerate(x):
        means = {}
        for label in set(labels):
            others = [m for m in range(len(x)) if labels[m] == label and m != n]
            means[label] = np.mean([np.linalg.norm(one - x[m]) for m in others]) if others else None
        a = means.pop(labels[n])
        b = min(means.values())
        found.append(0 if a is None else (b - a) / max(a, b))
    return found


def test_clusters_have_the_silhouette_of_brute_force():
    x = rng().normal(size=(30, 4))
    labels = k_means(x, 4, rng(1))
    assert clustered(x, 4, rng(1)) == pytest.approx(np.mean(brute_force_silhouettes(x, labels)), rel=1e-8)
    assert clustered(np.zeros((4, 2)), 2, rng()) == 0


def test_k_means_finds_what_is_apart_and_a_fixed_point():
    centres = 20 * np.eye(3, 5)
    truth = rng().integers(0, 3, 60)
    x = centres[truth] + rng(1).normal(size=(60, 5))
    labels = k_means(x, 3, rng())
    assert all(len(set(labels[truth == one])) == 1 for one in range(3))
    assert len(set(labels)) == 3
    assert clustered(x, 3, rng()) > 0.8
    spread = rng(2).normal(size=(80, 5))
    labels = k_means(spread, 4, rng())
    means = np.stack([spread[labels == label].mean(axis=0) for label in range(4)])
    assert (((spread[:, None] - means) ** 2).sum(-1).argmin(1) == labels).all()
    assert set(k_means(np.ones((6, 2)), 3, rng())) == {0}


def test_clusters_that_are_planted_are_told_from_permuted_ones():
    (memory,) = memories(model_of(keys="flat")).values()
    draw, weights = rng(), np.ones((2, 64))
    weights[1, 20:] = 0
    with torch.no_grad():
        memory.keys[0] = torch.tensor(np.repeat(3 * draw.normal(size=(4, 8)), 16, axis=0) + draw.normal(size=(64, 8)))
        memory.keys[1] = torch.tensor(draw.normal(size=(64, 8)))
    found = clusters_table(memory, weights, 50, 4, 19, rng()).set_index(["of", "head"])
    assert found["n"].to_dict() == {("values", -1): 50, ("keys", 0): 50, ("keys", 1): 20}
    planted, random = found.loc[("keys", 0)], found.loc[("keys", 1)]
    assert planted["silhouette"] > planted["null_high"] + 0.1
    assert planted["p"] == planted["smallest_p"] == 1 / 20
    assert random["p"] > 0.05


def test_fewer_vectors_than_twice_the_clusters_have_a_row_without_a_silhouette():
    (memory,) = memories(model_of()).values()
    weights = np.zeros((2, 64))
    weights[0, :7], weights[1] = 1, 1  # head 0: halves 0 and 0 to 6, head 1: all 8
    found = clusters_table(memory, weights, 50, 4, 5, rng()).set_index(["of", "head"])
    assert found["n"].tolist() == [50, 1, 7, 8, 8]
    assert found["silhouette"].notna().tolist() == found["p"].notna().tolist() == [True, False, False, True, True]
    assert set(found["clusters"]) == {4}


def test_vectors_are_those_that_are_used_most():
    (memory,) = memories(model_of()).values()
    weights = np.zeros((2, 64))
    weights[0, [10, 3 * 8 + 2]] = 1, 2  # slots (1, 2) and (3, 2)
    weights[1, 5] = 5
    found = {(name, head): x for name, head, x in vectors(memory, weights, 2)}
    values, keys = memory.values.weight.detach().numpy(), memory.keys.detach().numpy()
    np.testing.assert_array_equal(found["values", -1].astype(np.float32), values[[5, 26]])
    np.testing.assert_array_equal(found["half_keys_1", 0].astype(np.float32), keys[0, 0, [3, 1]])
    np.testing.assert_array_equal(found["half_keys_2", 0].astype(np.float32), keys[0, 1, [2]])
    np.testing.assert_array_equal(found["half_keys_2", 1].astype(np.float32), keys[1, 1, [5]])


@pytest.mark.parametrize(
    ("text", "repeats", "run"), [("123456", 0, 1), ("111111", 5, 6), ("121212", 4, 1), ("122333", 3, 3)]
)
def test_repeating_digits(text, repeats, run):
    assert repeating_digits.repeats(text) == repeats
    assert repeating_digits.longest_run(text) == run


@pytest.mark.parametrize("kind", ["memory", "peers"])
def test_slot_use_is_that_of_a_plain_loop(kind, monkeypatch):
    model = model_of(**KINDS[kind])
    monkeypatch.setattr(type(FACTS), "batches", lambda facts, rows, *_: iter((rows[:2], rows[2:])))
    use = slot_use(model, FACTS, ROWS)
    assert use.index.tolist() == ROWS.tolist()
    for part, at, _, _, retrieved in answers(model, FACTS, ROWS):
        for n, row in enumerate(part):
            sets, bits = set(), []
            for layer, _, weights, slots in retrieved:
                sets |= {(layer, slot) for slot in slots[at == n].flatten().tolist()}
                bits += [-sum(w * math.log2(w) for w in head) for head in weights[at == n].flatten(0, 1).tolist()]
            assert use.loc[row, "n_slots"] == len(sets)
            assert use.loc[row, "weight_entropy_bits"] == pytest.approx(np.mean(bits), rel=1e-5)


def test_correlations_of_repeating_digits_are_by_split():
    rows = np.arange(len(DATA))
    use = pd.DataFrame(
        {"n_slots": 9.0 - DATA["key"].map(repeating_digits.repeats), "weight_entropy_bits": rng().random(len(rows))}
    )
    recalled = pd.DataFrame({"recall": 1.0, "nll_bits": rng(1).random(len(rows))})
    found = repeating_digits_table(DATA, use, recalled, rows)
    assert len(found) == 3 * 2 * 2 * 4
    of = found.set_index(["split", "entity", "measure", "against"])
    np.testing.assert_allclose(of.xs(("key", "repeats", "n_slots"), level=(1, 2, 3))["rho"], -1)
    assert of.xs("recall", level="against")["rho"].isna().all()
    train = (DATA["split"] == "train").to_numpy()
    plain = spearman(DATA["answer"][train].map(repeating_digits.longest_run), recalled["nll_bits"][train])
    one = of.loc[("train", "answer", "longest_run", "nll_bits")]
    assert (one["rho"], one["low"], one["high"], one["n"]) == (*plain, 60)
