from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, HASHES, KINDS, PAIRS, PROBLEMS, arrays, facts, table

from memorization.memory_layer.model import build, memories
from memorization.memory_layer.routing import retrievals
from memorization.memory_layer.routing.places import NONE, counted, places
from memorization.memory_layer.routing.run import collect, route_tables
from memorization.memory_layer.trained_run import TrainedRun

FACTS = facts()
SETTINGS = {"n_texts": 40, "n_places": 400, "n_pairs": 30, "n_slots": 20, "n_clusters": 2, "n_permutations": 9}


def model_of(of=FACTS, **change):
    torch.manual_seed(0)
    return build(CONDITION | change, of.vocabulary, of.length)


@pytest.mark.parametrize("kind", ["memory", "flat", "batch_norm", "rope", "peers", "shared_pool"])
def test_retrievals_are_what_each_memory_retrieves_of_a_text_alone(kind, monkeypatch):
    monkeypatch.setattr(retrievals, "PLACES", 3 * FACTS.length)
    model, rows = model_of(**KINDS[kind]).eval(), np.array([3, 70, 8, 9])
    read = {}
    for n, memory in memories(model).items():
        memory.register_forward_pre_hook(lambda module, inputs, n=n: read.__setitem__(n, inputs[0]))
    parts = list(retrievals.retrievals(model, FACTS, rows))
    assert len(parts) == 2
    found = {n: [np.concatenate([part[n][k] for part in parts]) for k in range(3)] for n in parts[0]}
    assert found.keys() == memories(model).keys()
    done = 0
    for row in rows:
        length = int(FACTS.lengths[row])
        with torch.no_grad():
            model(FACTS.tokens[[row], :length])
        for n, memory in memories(model).items():
            scores, slots = memory.retrieve(read[n][0])
            assert found[n][2][done : done + length].tolist() == slots.tolist()
            np.testing.assert_allclose(found[n][0][done : done + length], scores.detach(), rtol=1e-4, atol=1e-6)
            weights = scores.softmax(-1).detach()
            np.testing.assert_allclose(found[n][1][done : done + length], weights, rtol=1e-4)
        done += length
    assert done == len(found[n][0])


def test_what_is_collected_does_not_depend_on_the_parts(monkeypatch):
    """Weights in other batches differ by rounding; the slots of the pool's places do not."""
    model, rows = model_of(memory_layers=[0, 1]), np.arange(11)
    of = places(FACTS.arrays, rows)
    layers = {layer: counted(of, layer == 1) for layer in (0, 1)}
    pools = {layer: some[::3] for layer, some in layers.items()}
    found = collect(model, FACTS, rows, of, layers, pools)
    (every,) = retrievals.retrievals(model, FACTS, rows)
    monkeypatch.setattr(retrievals, "PLACES", 2 * FACTS.length)
    in_parts = collect(model, FACTS, rows, of, layers, pools)
    for layer in (0, 1):
        slots = every[layer][2]
        np.testing.assert_array_equal(found[layer].slots, slots[pools[layer]])
        np.testing.assert_array_equal(in_parts[layer].slots, found[layer].slots)
        np.testing.assert_allclose(in_parts[layer].weights, found[layer].weights, rtol=1e-5)
        np.testing.assert_array_equal(in_parts[layer].moments["count"], found[layer].moments["count"])
        counts = np.bincount(slots[layers[layer], 1].ravel(), minlength=64)
        np.testing.assert_array_equal(found[layer].moments["count"][1], counts)
        for by, tally in found[layer].tallies.items():
            pd.testing.assert_frame_equal(in_parts[layer].tallies[by], tally, rtol=1e-5)
            labels = of[by].to_numpy()[layers[layer]]
            assert set(tally["label"]) == set(labels[labels != NONE])


def tables_of(seed=3, change=CONDITION, data=PAIRS):
    of = arrays(**data)
    model = model_of(facts(**data), **change)
    return route_tables(
        TrainedRun(CONDITION | change, table(**data), of, model.state_dict(), "some", seed, "cpu"), SETTINGS
    )


@pytest.fixture(scope="module")
def both():
    """The tables of a model with a memory in each of its two layers."""
    return tables_of(change={"memory_layers": [0, 1]})


@pytest.mark.parametrize(("layer", "kind", "n"), [(0, "texts", 40 * 12), (1, "answers", 40 * 6)])
def test_tables_of_a_layer_are_of_the_places_that_count_there(both, layer, kind, n):
    of_layer = {name: each[each["layer"] == layer] for name, each in both.items() if name != "repeating_digits"}
    assert all(set(each["places"]) == {kind} for each in of_layer.values())
    routing, keys = of_layer["routing"], of_layer["key_statistics"]
    assert routing.loc[routing["by"] == "type", "n"].sum() == n * 2
    first = 0 if layer == 0 else 6
    assert set(routing.loc[routing["by"] == "text_position", "label"]) == {str(each) for each in range(first, 12)}
    assert set(routing.loc[routing["by"] == "answer_position", "label"]) == {str(each) for each in range(6)}
    positions = routing[(routing["by"] == "text_position") & (routing["head"] == 1)]
    assert positions["slots"].sum() == keys.loc[keys["head"] == 1, "n_text_positions"].sum()
    assert keys["count"].sum() == n * 2 * 3
    assert keys["weight"].sum() == pytest.approx(n * 2)
    information = of_layer["routing_information"]
    some, every = (set(information.loc[information["label"] == label, "n"]) for label in ("answer_position", "token"))
    assert (some == every) == (kind == "answers")  # of the pool
    assert set(of_layer["occurrences"]["split"]) == {"train"}
    assert set(information["label"]) == {"type", "token", "next", "text_position", "answer_position"}


def test_all_tables_are_of_the_run(both):
    assert set(both["repeating_digits"]["split"]) == {"train", "new", "novel"}
    for one in both.values():
        assert (one["condition"] == "some").all()
        assert (one["seed"] == 3).all()
        assert len(one)


def test_the_last_layer_is_routed_alike_whether_or_not_another_one_is(both):
    """Places, pairs and shuffles of a layer do not depend on the other layers."""
    model = model_of(memory_layers=[0, 1])
    state = {name: each for name, each in model.state_dict().items() if not name.startswith("layers.0.feed_forward.")}
    alone = model_of()
    alone.load_state_dict(state, strict=False)
    found = route_tables(TrainedRun(CONDITION, table(), arrays(), alone.state_dict(), "some", 3, "cpu"), SETTINGS)[
        "consistency"
    ]
    last = both["consistency"].query("layer == 1")
    assert found["n"].tolist() == last["n"].tolist()
    assert found["same_text"].tolist() == last["same_text"].tolist()


def test_a_seed_of_a_data_set_gives_its_tables():
    for one, other in zip(tables_of().values(), tables_of().values(), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert not tables_of()["occurrences"]["item"].equals(tables_of(seed=4)["occurrences"]["item"])


@pytest.mark.parametrize("data", [HASHES, PROBLEMS], ids=["hashes", "problems"])
def test_other_texts_have_all_tables_but_that_of_digits(data):
    found = tables_of(change={"memory_layers": [0, 1]}, data=data)
    assert {name for name, each in found.items() if each.empty} == {"repeating_digits"}
    assert "word" in set(found["consistency"]["likeness"])


def test_without_a_memory_tables_are_empty_and_of_the_same_form():
    full, empty = tables_of(), tables_of(change={"arm": "none"})
    for name, one in empty.items():
        assert one.empty
        assert one.dtypes.to_dict() == full[name].dtypes.to_dict()


def test_every_pair_of_types_is_compared_once(both):
    overlap = both["routing_overlap"]
    assert len(overlap) == 2 * 2
    assert {tuple(pair) for pair in overlap[["type", "other"]].values} == set(combinations(["digit", "punctuation"], 2))
