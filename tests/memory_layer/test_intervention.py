import copy
import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, arrays, facts, table

from memorization.memory_layer.intervention import changes, predictions
from memorization.memory_layer.intervention.changes import content, exchanged, injected, replaced, swapped
from memorization.memory_layer.intervention.kept import answers_after_swap, keep, largest, total_weights
from memorization.memory_layer.intervention.run import intervention_tables
from memorization.memory_layer.intervention.shares import NONE, contents_of, kind_shares, pair_shares, pooled_shares
from memorization.memory_layer.intervention.substitutes import (
    clusters_of,
    correlation_over_seeds,
    correlation_table,
    dissimilarity,
    impact_of,
    interaction,
    kept_matrix,
    mean_silhouette,
    substitutes_table,
)
from memorization.memory_layer.intervention.swaps import examples_of, kinds_of, most_used, swap_table
from memorization.memory_layer.model import answer_logits, build, memories

FACTS, DATA, WHO, ROWS = facts(), table(), {"condition": "some", "seed": 3}, np.arange(40)
SETTINGS = {"n_slots": 5, "n_examples": 9, "n_permutations": 9}
PRODUCT = ("memory", "batch_norm", "rope", "sinusoidal", "shared_pool", "peer", "peers")
OF_MEMORIES = ("flat", *PRODUCT)


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
    kept = keep(model, FACTS, ROWS, layer)
    log_p = logits_of(model).log_softmax(dim=-1).max(dim=-1).values
    return kept._replace(target=kept.given, nll_bits=-log_p.double().numpy() / np.log(2))


def logits_of(model):
    tokens, at, columns, lengths, _ = FACTS.batch(ROWS)
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
            for pool in [memory.values] + ([memory.down] if hasattr(memory, "down") else []):
                pool.weight[i], pool.weight[j] = pool.weight[j].clone(), pool.weight[i].clone()
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
    i, j = np.argsort(-total_weights(keep(model, FACTS, ROWS, layer)))[:2]
    return int(i), int(j)


def all_changes(memory):
    slots = torch.zeros(1, memory.n_heads, memory.top_k, dtype=torch.int64)
    weights = torch.full(slots.shape, 1 / memory.top_k)
    kinds = ["values", *dict.fromkeys(("keys", kinds_of(memory)[1]))]
    new = {"mean": changes.mean_content(memory), "other": content(memory, 2), "zero": 0 * content(memory, 2)}
    found = {f"swap_{kind}": (swapped, kind, 1, 10) for kind in kinds}
    found |= {f"replace_{name}": (replaced, 1, each) for name, each in new.items()}
    found["inject"] = (injected, (slice(0, 1),), slots, weights)
    return found


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_every_bit_comes_back_also_after_an_error(name):
    model, layer = made(name)
    memory, before = memories(model)[layer], copy.deepcopy(model.state_dict())
    attributes, logits = set(memory.__dict__), logits_of(model)
    for change, *arguments in all_changes(memory).values():
        with pytest.raises(RuntimeError, match=r"^stop$"), change(memory, *arguments):
            raise RuntimeError("stop")
        assert set(memory.__dict__) == attributes
        assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
        assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_every_change_does_something_inside(name):
    model, layer = made(name)
    logits, (i, j) = logits_of(model), retrieved_pair(model, layer)
    memory = memories(model)[layer]
    for kind in ("values", "keys", kinds_of(memory)[1]):
        with swapped(memory, kind, i, j):
            assert not torch.allclose(logits_of(model), logits, atol=1e-3)
    with replaced(memory, i, content(memory, j)):
        assert torch.equal(memory.values.weight[i], memory.values.weight[j])
        assert not torch.allclose(logits_of(model), logits, atol=1e-3)


@pytest.mark.parametrize("name", ["memory", "flat", "peer", "rope"])
def test_identity_and_double_swaps_change_no_bit(name):
    model, layer = made(name)
    memory, logits, (i, j) = memories(model)[layer], logits_of(model), retrieved_pair(model, layer)
    for kind in ("values", "keys", kinds_of(memory)[1]):
        with swapped(memory, kind, i, i):
            assert torch.equal(logits_of(model), logits)
        with swapped(memory, kind, i, j), swapped(memory, kind, i, j):
            assert torch.equal(logits_of(model), logits)
        with swapped(memory, kind, i, j), swapped(memory, kind, j, i):
            assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", ["memory", "flat", "peer"])
def test_slots_that_no_example_retrieves_change_no_bit(name):
    model, layer = made(name)
    memory, logits = memories(model)[layer], logits_of(model)
    unused = np.flatnonzero(np.bincount(keep(model, FACTS, ROWS, layer).slots.flatten(), minlength=64) == 0)
    i, j = (int(each) for each in unused[:2])
    for kind in ("values", "keys"):
        with swapped(memory, kind, i, j):
            assert torch.equal(logits_of(model), logits)
    for new in (content(memory, j), changes.mean_content(memory), 100 + content(memory, i)):
        with replaced(memory, i, new):
            assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", ["memory", "flat", "peer", "rope"])
def test_whole_keys_swapped_are_values_swapped(name):
    model, layer = made(name)
    memory, (i, j) = memories(model)[layer], retrieved_pair(model, layer)
    found = []
    for kind in ("values", "keys"):
        with swapped(memory, kind, i, j):
            found.append(logits_of(model))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", ["keys", "half_keys"])
def test_swaps_of_keys_permute_what_is_retrieved(kind):
    memory = memories(made("memory")[0])[1]
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    scores, slots = memory.retrieve(x)
    with swapped(memory, kind, 11, 50):
        found = memory.retrieve(x)
    torch.testing.assert_close(found[0], scores)
    pairs = [(1, 6), (3, 2)]  # 11 = 1·8 + 3 and 50 = 6·8 + 2
    plain = {n: n for n in range(64)} | {11: 50, 50: 11}
    if kind == "half_keys":
        of = [{one: other, other: one} for one, other in pairs]
        plain = {n: of[0].get(n // 8, n // 8) * 8 + of[1].get(n % 8, n % 8) for n in range(64)}
    assert found[1].tolist() == [[[plain[n] for n in head] for head in row] for row in slots.tolist()]
    assert torch.equal(exchanged(memory, kind, slots, 11, 50), found[1])


def test_an_injected_position_retrieves_what_it_is_given_and_others_what_they_did():
    model, layer = made("memory")
    memory, x = memories(model)[layer], torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    slots, weights = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    with torch.no_grad():
        before = memory(x)
        with injected(memory, (1, 4), slots, weights):
            after = memory(x)
        values = memory.values.weight
        pooled = 0.5 * values[1] + 0.3 * values[2] + 0.2 * values[3] + values[4]
        torch.testing.assert_close(after[1, 4], memory.output(x[1, 4], pooled))
    others = torch.ones(3, 7, dtype=torch.bool)
    others[1, 4] = False
    assert torch.equal(after[others], before[others])


def test_flat_keys_have_no_halves_and_kinds_have_names():
    memory = memories(made("flat")[0])[1]
    with pytest.raises(ValueError, match=r"^half_keys: flat keys have no halves"), swapped(memory, "half_keys", 0, 1):
        pass
    with pytest.raises(ValueError, match=r"^kind: 'value' is not one of values, keys, half_keys"):
        swapped(memory, "value", 0, 1).__enter__()


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_answers_after_a_swap_are_those_of_a_model_swapped_by_hand(name):
    model, layer = made(name)
    memory, kept, (i, j) = memories(model)[layer], kept_of(model, layer), retrieved_pair(model, layer)
    assert (kept.residual is None) == (name in ("rope", "shared_pool"))
    changed, tokens = 0, np.flatnonzero(((kept.slots == i) | (kept.slots == j)).flatten(1).any(dim=1).numpy())
    for kind in kinds_of(memory):
        hand = answers_by_hand(by_hand(model, layer, kind, i, j), ROWS)
        found, bits = answers_after_swap(model, FACTS, kept, tokens, kind, i, j)
        assert found.tolist() == [hand[kept.row[token], kept.position[token]] for token in tokens]
        with swapped(memory, kind, i, j):
            log_p = logits_of(model).log_softmax(dim=-1)[tokens, kept.target[tokens]]
        np.testing.assert_allclose(bits, -log_p / np.log(2), rtol=1e-4, atol=1e-5)
        changed += (found != kept.given[tokens]).sum()
    assert changed


def test_the_largest_weight_is_summed_over_heads():
    kept = keep(*made("memory")[:1], FACTS, ROWS, 1)
    totals = Counter()
    for token, slot in enumerate(largest(kept)):
        sums = Counter()
        for one, weight in zip(
            kept.slots[token].flatten().tolist(), kept.weights[token].flatten().tolist(), strict=True
        ):
            sums[one] += weight
        assert sums[int(slot)] == pytest.approx(max(sums.values()))
        totals.update(sums)
    np.testing.assert_allclose(total_weights(kept), [totals[n] for n in range(max(totals) + 1)], rtol=1e-5)
    hand = answers_by_hand(made("memory")[0], ROWS)
    assert kept.given.tolist() == [hand[place] for place in zip(kept.row, kept.position, strict=True)]


@pytest.mark.parametrize("name", ["memory", "rope"])
def test_the_swap_matrix_is_that_of_a_plain_loop(name):
    """Swap by hand, run the whole model, and count, pair by pair."""
    model, layer = made(name)
    kept = kept_of(model, layer)
    found = swap_table(model, FACTS, kept, 4, WHO)
    sums = found[["partner_share", "own_share", "neither_share"]].sum(axis=1)
    np.testing.assert_allclose(sums, found["n"] > 0)
    examples = examples_of(kept)
    slots = most_used(kept, examples, 4).tolist()
    of = {slot: examples.index[examples["slot"] == slot].tolist() for slot in slots}
    content_at = {}
    for slot, position in itertools.product(slots, range(6)):
        counts = Counter(int(kept.target[t]) for t in of[slot] if kept.position[t] == position)
        if counts:
            content_at[slot, position] = min(counts, key=lambda token, c=counts: (-c[token], token))
    changed, rows = 0, 0
    for kind, (i, j) in itertools.product(kinds_of(memories(model)[layer]), itertools.permutations(slots, 2)):
        swapped_by_hand = by_hand(model, layer, kind, i, j)
        hand, log_p = answers_by_hand(swapped_by_hand, ROWS), logits_of(swapped_by_hand).log_softmax(dim=-1)
        for position in sorted({int(kept.position[t]) for t in of[i]}):
            tokens = [t for t in of[i] if kept.position[t] == position]
            after = {t: hand[kept.row[t], position] for t in tokens}
            (row,) = found.query(
                "kind == @kind and slot == @i and partner == @j and position == @position"
            ).itertuples()
            assert row.n_examples == len(tokens)
            assert row.kept == pytest.approx(np.mean([after[t] == kept.given[t] for t in tokens]))
            bits = [-log_p[t, kept.target[t]].item() / np.log(2) - kept.nll_bits[t] for t in tokens]
            assert row.nll_change_bits == pytest.approx(np.mean(bits), rel=1e-3, abs=1e-4)
            partner = content_at.get((j, position))
            told = [t for t in tokens if partner not in (None, kept.given[t])]
            assert row.n == len(told)
            changed, rows = changed + sum(after[t] != kept.given[t] for t in tokens), rows + 1
            if told:
                assert row.partner_share == pytest.approx(np.mean([after[t] == partner for t in told]))
                assert row.own_share == pytest.approx(np.mean([after[t] == kept.given[t] for t in told]))
    assert rows == len(found)
    assert changed


def outcomes(rng, n, n_slots, n_positions, n_tokens):
    slot = rng.integers(n_slots, size=n)
    partner = (slot + rng.integers(1, n_slots, size=n)) % n_slots
    position, own, after = (rng.integers(most, size=n) for most in (n_positions, n_tokens, n_tokens))
    columns = {"slot": slot, "partner": partner, "position": position, "own": own, "after": after}
    return pd.DataFrame(columns | {"change": rng.random(n)})


def test_chance_is_the_mean_over_all_other_slots():
    rng = np.random.default_rng(1)
    table = outcomes(rng, 400, 5, 2, 4)
    here, elsewhere = rng.integers(-1, 4, size=(2, 5, 2))
    found = pair_shares(table, here, elsewhere)
    for row in found.itertuples():
        of = table.query("slot == @row.slot and partner == @row.partner and position == @row.position")
        for contents, n, share, chance in (
            (here, row.n, row.partner_share, row.chance),
            (elsewhere, row.n_elsewhere, row.elsewhere_share, row.elsewhere_chance),
        ):
            wanted = contents[row.partner, row.position]
            told = of[(of["own"] != wanted) & (wanted != NONE)]
            assert n == len(told)
            others = [contents[m, row.position] for m in range(5) if m not in (row.slot, row.partner)]
            hits = [each.after == m for each in told.itertuples() for m in others if m not in (NONE, each.own)]
            if n:
                assert share == pytest.approx((told["after"] == wanted).mean())
            assert chance == pytest.approx(np.mean(hits) if hits else np.nan, nan_ok=True)
    assert found["chance"].notna().any()
    some = found[found["n"] > 0]
    np.testing.assert_allclose(some[["partner_share", "own_share", "neither_share"]].sum(axis=1), 1)
    np.testing.assert_allclose(some["excess"], some["partner_share"] - some["chance"])
    pooled = pooled_shares(found, ["position"]).set_index("position")
    for position, part in some.groupby("position"):
        expected = (part["partner_share"] * part["n"]).sum() / part["n"].sum()
        assert pooled.loc[position, "partner_share"] == pytest.approx(expected)
        of = table[table["position"] == position]
        assert pooled.loc[position, "kept"] == pytest.approx((of["after"] == of["own"]).mean())
        assert pooled.loc[position, "nll_change_bits"] == pytest.approx(of["change"].mean())


def test_contents_are_the_commonest_answers_here_and_at_other_positions():
    slot, position = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0, 1])
    here, elsewhere = contents_of(slot, position, np.array([3, 2, 5, 5, 1, 1]), 3, 2)
    assert here.tolist() == [[2, 5], [1, 1], [NONE, NONE]]
    assert elsewhere.tolist() == [[5, 2], [NONE, NONE], [NONE, NONE]]


def swap_of(kept, **columns):
    """A table ``swap`` of one position from a matrix of what is kept."""
    rows = [
        {**WHO, "kind": "values", "layer": 1, "slot": 10 * i, "partner": 10 * j, "position": 0, "n_examples": 4, "n": 0}
        | {"kept": kept[i, j], "nll_change_bits": -kept[i, j], "n_elsewhere": 0}
        for i, j in itertools.permutations(range(len(kept)), 2)
    ]
    nothing = ("partner_share", "own_share", "neither_share", "chance", "elsewhere_share", "elsewhere_chance")
    return pd.DataFrame(rows).assign(**dict.fromkeys(nothing, np.nan), **columns)


def test_planted_substitutes_are_found_and_shuffled_ones_are_not():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 4)[rng.permutation(12)]
    kept = np.where(group[:, None] == group, 0.9, 0.2) + 0.05 * rng.random((12, 12))
    found = substitutes_table(swap_of(kept), 99, rng)
    assert found["slot"].tolist() == [10 * n for n in range(12)]
    assert found["clusters"].unique().tolist() == [3]
    assert len({(g, c) for g, c in zip(group, found["cluster"], strict=True)}) == 3
    assert found["p"].unique() == found["smallest_p"].unique() == [0.01]
    in_order = found.sort_values("place")
    assert in_order["cluster"].is_monotonic_increasing
    assert sorted(found["place"]) == list(range(12))
    np.testing.assert_allclose(found["kept"], [np.delete(kept[n], n).mean() for n in range(12)])
    of_noise = [substitutes_table(swap_of(rng.random((12, 12))), 19, rng)["p"].iloc[0] for _ in range(8)]
    assert 0.25 < np.mean(of_noise) < 0.8


def test_what_a_slot_loses_to_all_is_no_cluster():
    rng = np.random.default_rng(2)
    effect, pair = rng.random(9), rng.random((9, 9))
    distances = np.where(np.eye(9), 0, effect[:, None] + effect + (pair + pair.T) / 9)
    without = np.where(np.eye(9), 0, (pair + pair.T) / 9)
    np.testing.assert_allclose(interaction(distances), interaction(without), atol=1e-12)
    i, j = np.triu_indices(9, 1)
    design = np.eye(9)[i] + np.eye(9)[j]
    fitted = design @ np.linalg.lstsq(design, distances[i, j])[0]
    left = distances[i, j] - fitted
    np.testing.assert_allclose(interaction(distances)[i, j], left - left.min(), atol=1e-12)
    assert clusters_of(np.zeros((3, 3)), 9, rng)["clusters"] == 1


def test_silhouettes_are_their_plain_formula():
    rng = np.random.default_rng(3)
    points, labels = rng.random(9), np.array([1, 1, 2, 2, 2, 3, 1, 2, 2])
    distances = np.abs(points[:, None] - points)
    widths = []
    for n in range(9):
        own = [distances[n, m] for m in range(9) if m != n and labels[m] == labels[n]]
        if not own:
            widths.append(0)
            continue
        a = np.mean(own)
        b = min(np.mean(distances[n, labels == other]) for other in set(labels) - {labels[n]})
        widths.append((b - a) / max(a, b))
    assert mean_silhouette(distances, labels) == pytest.approx(np.mean(widths))


def test_dissimilarity_is_what_both_directions_lose():
    kept = np.array([[0, 0.5, 1.0], [0.7, 0, 0.2], [0.4, 0.0, 0]])
    matrix = kept_matrix(swap_of(kept))
    assert matrix.index.tolist() == matrix.columns.tolist() == [0, 10, 20]
    np.testing.assert_allclose(dissimilarity(matrix), [[0, 0.4, 0.3], [0.4, 0, 0.9], [0.3, 0.9, 0]])


def test_ablation_and_swap_are_correlated_over_slots():
    kept = np.repeat(np.linspace(1, 0, 8)[:, None], 8, axis=1)
    kept[5] = 1.0
    ablation = pd.DataFrame({"slot": np.arange(0, 80, 10)[::-1], "layer": 1, "mode": "value_zero"})
    ablation["nll_change_bits"] = np.arange(8)[::-1] ** 2 / 10
    other = ablation.assign(mode="slot_mask", nll_change_bits=0.0)
    impact = impact_of(pd.concat([ablation, other]), "value_zero")
    found = correlation_table(swap_of(kept), impact)
    ranks = pd.Series(1 - kept[:, 0]).rank(), pd.Series(np.arange(8)).rank()
    assert found["measure"].tolist() == ["answers", "bits"]
    assert found["rho"].tolist() == pytest.approx([np.corrcoef(*ranks)[0, 1]] * 2)
    assert found["n"].tolist() == [8, 8]
    assert (found["low"] < found["rho"]).all()
    assert (found["rho"] < found["high"]).all()
    seeds = pd.concat([found.assign(seed=seed, rho=0.1 * seed) for seed in range(3)])
    mean, low, high = correlation_over_seeds(seeds)["some", "values", 1, "bits"]
    assert (mean, mean - low) == pytest.approx((0.1, high - mean))


@pytest.mark.parametrize("name", ["memory", "flat", "rope", "peers"])
def test_predictions_are_those_of_a_model_changed_by_hand(name):
    model, layer = made(name)
    kept = keep(model, FACTS, ROWS, layer)
    items = np.array([f"item {n}" for n in range(len(FACTS))])
    found = predictions.predictions_table(model, FACTS, kept, items, 5, np.random.default_rng(0), WHO)
    pieces, slots = FACTS.arrays["pieces"], largest(kept)
    place = {(items[row], n): t for t, (row, n) in enumerate(zip(kept.row, kept.position, strict=True))}
    assert len(found.drop_duplicates(["item", "position"])) > 1
    for one in found.itertuples():
        token = place[one.item, one.position]
        assert (one.slot, one.before, one.target) == (
            slots[token], pieces[kept.given[token]], pieces[kept.target[token]],
        )  # fmt: skip
        assert one.partner not in (one.before, one.target)
        assert one.kind == {one.partner: "partner", one.before: "own"}.get(one.after, "neither")
        others = [
            pieces[kept.target[t]]
            for t in range(len(slots))
            if kept.position[t] == one.position
            and slots[t] != one.slot
            and pieces[kept.target[t]] not in (one.before, one.target)
        ]
        assert one.chance == pytest.approx(np.mean([each == one.after for each in others]))
        if one.intervention in ("swap_values", "swap_half_keys", "replace_other", "replace_zero"):
            kind = one.intervention.removeprefix("swap_")
            hand = by_hand(model, layer, kind, one.slot, one.partner_slot) if "swap" in one.intervention else None
            if hand is None:
                hand, memory = copy.deepcopy(model), memories(model)[layer]
                of = memories(hand)[layer]
                scale = one.intervention == "replace_other"
                with torch.no_grad():
                    of.values.weight[one.slot] = memory.values.weight[one.partner_slot] * scale
                    if hasattr(memory, "down"):
                        of.down.weight[one.slot] = memory.down.weight[one.partner_slot] * scale
            row = int(one.item.split()[1])
            tokens, _, columns, _, targets = FACTS.batch([row])
            with torch.no_grad():
                logits = hand(tokens)[0, columns[one.position] - 1]
            assert pieces[int(logits.argmax())] == one.after
            bits = -logits.log_softmax(-1)[targets[one.position]].item() / np.log(2)
            assert one.nll_after_bits == pytest.approx(bits, rel=1e-4, abs=1e-4)
    whole = found[found["intervention"] == "swap_keys"]
    assert whole["after"].tolist() == found.loc[found["intervention"] == "swap_values", "after"].tolist()


def test_an_injected_example_reads_what_its_partner_does():
    model, layer = made("memory")
    kept, memory = keep(model, FACTS, ROWS, layer), memories(model)[layer]
    items = np.arange(len(FACTS)).astype(str)
    found = predictions.predictions_table(model, FACTS, kept, items, 8, np.random.default_rng(0), WHO)
    found = found[found["intervention"] == "inject"]
    assert (found["kind"] != "own").any()
    for row in found.itertuples():
        token = np.flatnonzero((kept.row == int(row.item)) & (kept.position == row.position))[0]
        partners = np.flatnonzero((kept.position == row.position) & (largest(kept) == row.partner_slot))
        given = set()
        for partner in partners:
            with torch.no_grad():
                read = memory.read(kept.inner[token][None], kept.weights[partner][None], kept.slots[partner][None])
                logits = model.head(model.final_norm(kept.residual[token] + read))
            given.add(FACTS.arrays["pieces"][int(logits.argmax())])
        assert row.after in given


def test_shares_of_kinds():
    table = pd.DataFrame({"kind": ["own", "own", "partner", "neither"], "chance": [0.0, 0.1, 0.1, 0.2], "of": 1})
    found = kind_shares(table, ["of"]).iloc[0]
    assert found[["partner", "own", "neither", "chance", "n"]].tolist() == [0.25, 0.5, 0.25, 0.1, 4]


@pytest.mark.parametrize("name", ["memory", "peers", "none"])
def test_a_run_has_all_tables_and_twice_the_same(name):
    model, _ = made(name) if name != "none" else (build(CONDITION | KINDS[name], FACTS.vocabulary, FACTS.length), 0)
    impact = pd.DataFrame({"layer": 1, "slot": np.arange(64), "impact_bits": 0.5})
    condition = CONDITION | KINDS[name]
    arguments = (DATA, arrays(), model.state_dict(), impact, SETTINGS, "some", 3, "cpu")
    first = intervention_tables(condition, *arguments)
    second = intervention_tables(condition, *arguments) if name == "memory" else first
    assert list(first) == ["swap", "substitutes", "predictions", "swap_correlation", "control"]
    for key, each in first.items():
        pd.testing.assert_frame_equal(each, second[key])
        assert (each["condition"] == "some").all()
    layers = set(memories(model))
    assert set(first["predictions"]["layer"]) == layers
    if layers:
        assert set(first["predictions"]["split"]) == {"train"}
        assert first["predictions"].groupby(["layer", "intervention"]).size().between(5, 9).all()
    empty = first["swap"] if name == "none" else first["swap"].iloc[:0]
    assert empty.dtypes.to_dict() == first["swap"].dtypes.to_dict()
    assert substitutes_table(empty, 9, np.random.default_rng(0)).columns.tolist() == list(first["substitutes"])
    assert correlation_table(empty, impact)["rho"].dtype == float


def test_where_nothing_is_right_there_is_no_matrix():
    model, layer = made("memory")
    kept = kept_of(model, layer)
    found = swap_table(model, FACTS, kept._replace(target=kept.given + 1), 4, WHO)
    assert found.empty
    assert found["kept"].dtype == float
    assert found["slot"].dtype == int
