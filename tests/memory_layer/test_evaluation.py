import math

import numpy as np
import pandas as pd
import pytest
from memory_layer_facts import CONDITION, KINDS, PAIRS, arrays, facts, table

from memorization.memory_layer import hash_hop
from memorization.memory_layer.evaluation import run, tables
from memorization.memory_layer.evaluation.chains import hops_table
from memorization.memory_layer.evaluation.errors import errors_table
from memorization.memory_layer.evaluation.run import run_tables
from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import FactLearner, evaluate, train
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished

FACTS, DATA, WHO = facts(), table(), {"condition": "some", "seed": 3}
HASHES = PAIRS | {
    "kind": "hash_hop", "num_samples": 4, "eval_samples": 2, "n_chains": 2, "hops": [2], "hash_length": 3,
    "alphabet": "alphanumeric", "hashes": "random", "chain_of_thought": True, "n_queries": 2, "context": True,
    "labels": "chain",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A learner at its end, its tensors, and what was recorded of it."""
    learner = FactLearner(CONDITION | {"memory_layers": [0, 1]}, FACTS, 3, "cpu")
    unfinished = Unfinished(tmp_path_factory.mktemp("trained") / "x.a.unfinished", 3600)
    return learner, *train(learner, {"n_records": 3, "n_items": 7}, 20, unfinished, 3600)


@pytest.fixture(scope="module")
def found(trained):
    learner, state, trajectory = trained
    return run_tables(learner.condition, DATA, arrays(), trajectory, state, None, [], 2, "some", 3, "cpu")


def made(kinds):
    """Tokens of answers of three, of rows of which each is right or wrong."""
    right = np.array(kinds)
    row = np.repeat(np.arange(len(right)), right.shape[1])
    target = np.arange(right.size)
    given = np.where(right.ravel(), target, -1)
    return pd.DataFrame({"row": row, "target": target, "given": given, "right": right.ravel(), "nll": 0.5})


def test_tokens_are_those_of_a_plain_loop(trained):
    learner = trained[0]
    rows = np.array([0, 65, 90])
    by_token = tables.by_token(learner.model, FACTS, rows).itertuples()
    for row in rows:
        tokens, _, columns, _, targets = FACTS.batch(np.array([row]))
        for position, (column, target) in enumerate(zip(columns.tolist(), targets.tolist(), strict=True)):
            p = learner.model(tokens)[0, column - 1].double().softmax(-1).tolist()
            one = next(by_token)
            assert (one.row, one.position, one.target, one.given) == (row, position, target, p.index(max(p)))
            assert one.right == (one.given == target)
            assert one.rank == 1 + sum(each > p[target] for each in p)
            assert one.nll == pytest.approx(-math.log(p[target]), rel=1e-4)
            assert (one.probability, one.confidence) == pytest.approx((p[target], max(p)), rel=1e-4)
            other = max(each for n, each in enumerate(p) if n != target)
            assert one.margin == pytest.approx(math.log(p[target] / other), rel=1e-4, abs=1e-5)
            assert one.entropy == pytest.approx(-sum(each * math.log2(each) for each in p), rel=1e-4)
    assert next(by_token, None) is None


def test_exact_is_all_tokens_and_recall_their_share():
    tokens = made([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]]).astype({"right": bool})
    by_fact = tables.by_fact(tokens, DATA, FACTS)
    assert by_fact["exact"].tolist() == [True, False, False, True]
    np.testing.assert_allclose(by_fact["recall"], [1, 2 / 3, 0, 1])
    np.testing.assert_allclose(by_fact["nll_bits"], 1.5 / math.log(2))
    np.testing.assert_allclose(by_fact["exact_chance"], 1 / 900_000)
    assert by_fact["item"].tolist() == DATA["item"].tolist()[:4]
    assert (by_fact["n_tokens"] == 3).all()


def test_calibration_error_by_hand():
    """Two tokens in the bin from 0.9, one of them right; one in that from 0.2, wrong; one of confidence 1, right."""
    tokens = pd.DataFrame({"confidence": [0.92, 0.98, 0.25, 1.0], "right": [True, False, False, True], "row": 0})
    mean = (0.92 + 0.98 + 1.0) / 3
    assert tables.calibration_error(tokens) == pytest.approx((3 * abs(mean - 2 / 3) + 0.25) / 4)
    bins = tables.calibration_table(tokens, np.array(["train"]), WHO)
    assert bins[["confidence_low", "n"]].values.tolist() == [[0.2, 1], [0.9, 3]]
    assert bins["accuracy"].tolist() == pytest.approx([0, 2 / 3])
    assert bins["confidence"].tolist() == pytest.approx([0.25, mean])


def test_recall_is_by_split_and_group(found):
    recall = found["recall"].set_index("split")
    assert recall["n"].to_dict() == {"new": 12, "novel": 20, "train": 60}
    records = found["records"]
    split = records["item"].str.split("/").str[0]
    for name in ("recall", "exact", "nll_bits", "exposures"):
        np.testing.assert_allclose(records[name].astype(float).groupby(split).mean(), recall[name])
    assert recall.loc["train", "exposures"] == pytest.approx(20 * 16 / 60)
    assert (recall["arm"] == "memory").all()


def test_records_are_of_every_fact_at_the_end(trained, found):
    records, runs = found["records"], found["runs"]
    assert list(records) == list(RECORD)
    assert list(runs) == list(RUN)
    assert len(records) == 92
    counts, last = trained[0].passes.exposures(20)
    assert records["exposures"].tolist() == counts.tolist()
    assert records["last_exposure_step"].tolist() == last.tolist()
    assert set(records["step"]) == {20}
    assert records["phase"].tolist() == ["train"] * 60 + ["held_out"] * 32
    assert runs["parameters"].item() == sum(each.numel() for each in trained[0].model.parameters())
    assert runs["state_bits"].item() == 32 * runs["trainable"].item()
    assert runs["active"].item() == found["parameters"]["active"].item() < runs["parameters"].item()
    assert runs["all_recorded"].all()


def test_phases_of_a_second_training(trained):
    _, state, trajectory = trained
    condition = CONDITION | {"memory_layers": [0, 1], "train_on": ["new"], "pretrained": {"path": "?"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "forgetting_table", lambda *_: pd.DataFrame())
        earlier = [{"dataset": "pairs", "train_on": ["train"], "batch_size": 60, "step": 3}]
        of = DATA, arrays(), trajectory, state, "?"
        found = run_tables(condition, *of, earlier, 2, "some", 3, "cpu")["records"]
        unknown = run_tables(condition, *of, [], 2, "some", 3, "cpu")["records"]
        other = run_tables(condition, *of, [earlier[0] | {"dataset": "other"}], 2, "some", 3, "cpu")["records"]
    assert found["phase"].tolist() == ["before_switch"] * 60 + ["after_switch"] * 12 + ["held_out"] * 20
    assert found["exposures"][:60].tolist() == [3] * 60
    assert set(found["last_exposure_step"][:60]) == {3}
    assert set(found["step"]) == {23}
    new = found[60:72]
    assert new["exposures"].between(26, 27).all()  # 20 steps of 16 of these 12
    assert new["last_exposure_step"].between(4, 23).all()
    assert not found["exposures"][72:].any()
    for without in (unknown, other):
        assert without["phase"].tolist() == ["held_out"] * 60 + ["after_switch"] * 12 + ["held_out"] * 20
        assert not without["exposures"][:60].any()


def test_logits_are_means_by_position(trained, found):
    logits = found["logits"]
    tokens = tables.by_token(trained[0].model, FACTS, np.arange(92))
    assert len(logits) == 3 * 6
    for one in logits.itertuples():
        part = tokens[(FACTS.split[tokens["row"]] == one.split) & (tokens["position"] == one.position)]
        assert one.n == len(part)
        assert one.accuracy == pytest.approx(part["right"].mean())
        assert (one.margin, one.entropy_bits) == pytest.approx((part["margin"].mean(), part["entropy"].mean()))


def test_history_is_of_the_followed_rows(trained, found):
    trajectory, history = trained[2], found["history"]
    assert set(history["n"]) == {7}
    assert sorted(set(history["step"])) == [0, 1, 4, 20]
    followed = FACTS.split[trajectory["rows"]] == "novel"
    end = history[(history["step"] == 20) & (history["split"] == "novel")].iloc[0]
    assert end["nll_bits"] == pytest.approx(trajectory["nll"][-1][followed].mean() / math.log(2))
    assert end["recall"] == pytest.approx((trajectory["right"][-1][followed] / 6).mean())
    assert end["exact"] == (trajectory["right"][-1][followed] == 6).mean()


@pytest.mark.parametrize("steps", [1, 20, 100, 250])
def test_losses_are_means_of_parts_that_hold_every_step(steps):
    loss = np.arange(1, steps + 1, dtype=np.float32)
    found = tables.losses_table(loss, WHO)
    assert len(found) == min(steps, 100)
    assert found["step"].iloc[-1] == steps
    first = 0
    for one in found.itertuples():
        assert one.loss == pytest.approx(loss[first : one.step].mean())
        first = one.step


def test_usage_and_norms_are_of_each_layer(trained, found):
    learner, _, trajectory = trained
    usage = found["usage"]
    of = usage[(usage["step"] == 4) & (usage["layer"] == 1) & (usage["split"] == "novel")].iloc[0]
    np.testing.assert_allclose(of[list(tables.USAGE)].astype(float), trajectory["use"][2, 1, 1])
    assert len(usage) == 4 * 2 * 3
    _, _, use = evaluate(learner.model, FACTS, np.arange(60))
    norms = found["value_norms"]
    assert len(norms) == 2 * 64
    for layer, memory in memories(learner.model).items():
        part = norms[norms["layer"] == layer]
        np.testing.assert_allclose(part["norm"], [row.norm().item() for row in memory.values.weight], rtol=1e-5)
        assert part["count"].tolist() == use[layer][0].tolist()
        assert part["weight"].sum() == pytest.approx(60 * 6 * 2, rel=1e-5)


def test_activations_are_what_the_first_rows_of_a_split_retrieve(trained, found):
    activations = found["activations"]
    assert len(activations) == 6 * 6 * 2 * 2 * 3  # rows, tokens, layers, heads, slots
    tokens, at, columns, lengths, _ = FACTS.batch(np.array([61]))
    _, retrieved = answer_logits(trained[0].model, tokens, at, columns, lengths)
    part = activations[(activations["split"] == "new") & (activations["item"] == DATA["item"][61])]
    for layer, scores, weights, slots in retrieved:
        for one in part[part["layer"] == layer].itertuples():
            place = one.position, one.head, one.rank
            assert one.slot == slots[place]
            assert (one.score, one.weight) == pytest.approx((scores[place].item(), weights[place].item()), rel=1e-4)


def test_sizes_count_the_slots_that_were_measured(found):
    size, activations = found["parameters"].iloc[0], found["activations"]
    keys = ["split", "item", "position", "layer"]
    distinct = np.mean([len(set(part)) for _, part in activations.groupby(keys)["slot"]])
    assert tables.distinct_slots(activations) == pytest.approx(distinct)
    assert size["active"] - size["active_measured"] == pytest.approx(2 * 16 * (6 - distinct))
    assert size["sparsity"] == pytest.approx(1 - size["active"] / size["total"])
    assert size["bytes"] == 4 * size["total"]
    assert size["exact"] == found["records"]["exact"][:60].mean()


@pytest.mark.parametrize("name", ["none", "dense_compute"])
def test_models_without_slots_have_the_tables_that_are_not_of_slots(tmp_path, name):
    condition = CONDITION | KINDS[name] | {"steps": 2, "warmup": 1}
    learner = FactLearner(condition, FACTS, 3, "cpu")
    unfinished = Unfinished(tmp_path / "x.a.unfinished", 3600)
    state, trajectory = train(learner, {"n_records": 2, "n_items": 3}, 2, unfinished, 3600)
    found = run_tables(condition, DATA, arrays(), trajectory, state, None, [], 2, "some", 3, "cpu")
    empty = {"usage", "value_norms", "activations", "forgetting", "hops"}
    assert {key for key, each in found.items() if each.empty} == empty
    assert found["parameters"]["active"].item() == found["parameters"]["active_measured"].item()


def test_errors_are_another_fact_or_unknown():
    answers = [(1, 2), (3, 4), (5, 6), (7, 8)]
    given = pd.Series([(1, 2), (1, 2), (5, 4), (5, 6)])
    by_fact = pd.DataFrame({"split": ["train"] * 3 + ["novel"], "group": 1})
    of = {"tokens": np.array([(0, *answer) for answer in answers]), "labels": np.array([[False, True, True]] * 4)}
    found = errors_table(by_fact, given, DATA, of, WHO)
    assert found[["split", "kind", "n", "share"]].values.tolist() == [
        ["novel", "other_fact", 1, 1.0],
        ["train", "correct", 1, 1 / 3],
        ["train", "other_fact", 1, 1 / 3],
        ["train", "unknown", 1, 1 / 3],
    ]
    assert errors_table(by_fact, given[:0], DATA, of, WHO).empty
    of_few = errors_table(by_fact, given[1:2].map(lambda _: (7, 8)), DATA, of, WHO)
    assert of_few["kind"].tolist() == ["other_fact"]  # the answer of a row that is not decoded


def chains(**change):
    """A data set of hashes: its table, and a function from given texts to the tables of errors and of hops."""
    data, of = table(**HASHES | change), arrays(**HASHES | change)
    numbers = {piece: n for n, piece in enumerate(of["pieces"])}

    def tables_of(texts):
        given = pd.Series(
            [
                tuple(numbers.get(text[place], of["pad"]) for place in np.flatnonzero(labels))
                for text, labels in zip(texts, of["labels"], strict=True)
            ]
        )
        by_fact = pd.DataFrame({"split": "all", "group": np.arange(len(data))})
        return errors_table(by_fact, given, data, of, WHO), hops_table(given, data, of, WHO)

    return data, tables_of


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("labels", ["chain", "final"])
def test_the_first_wrong_hash_of_a_chain_says_what_was_answered(context, labels):
    data, tables_of = chains(context=context, labels=labels)

    def kinds(texts):
        return tables_of(texts)[0]["kind"].tolist()

    assert kinds(data["text"]) == ["correct"] * len(data)
    n = data.index[data["kind"] != "link"][0]
    text = data["text"][n]
    start = text.find("CoT=True\n\n") + len("CoT=True\n\n") if context else 0
    line = text[start:].splitlines()[0]
    query, *way, last = line.split(" = ")  # A = B = 'C'
    other = text[start:].splitlines()[1] if context else data["text"][data.index[data["kind"] == "question"][2]]
    replaced = way[0] if labels == "chain" else last[1:-1]

    def kind(answer):
        place = start + line.index(replaced)
        return kinds([*data["text"][:n], text[:place] + answer + text[place + 3 :], *data["text"][n + 1 :]])[n]

    assert kind(query) == "intermediate"
    assert kind(last[1:-1] if labels == "chain" else way[0]) == "intermediate"
    assert kind(other[:3]) == "other_chain"
    assert kind("0z9") == "unknown"
    assert kind("a\nb") == kind("a'b") == "malformed"


def test_links_alone_have_errors_too():
    data, tables_of = chains(context=False, labels="final", chain_of_thought=False)
    n = data.index[data["kind"] == "link"][0]
    first, _, then = data["text"][n].strip().partition(" = ")
    place = data["text"][n].index(then.strip("'"))
    texts = data["text"].tolist()
    texts[n] = texts[n][:place] + "0z9" + texts[n][place + 3 :]
    kinds = tables_of(texts)[0]["kind"].tolist()
    assert kinds == ["correct"] * n + ["unknown"] + ["correct"] * (len(data) - n - 1)
    links = hash_hop.read_links("".join(data["text"][data["kind"] == "link"]))
    assert links[first] == then.strip("'")


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("labels", ["chain", "final"])
def test_hashes_are_scored_by_question_by_hop_and_at_the_end(context, labels):
    data, tables_of = chains(context=context, labels=labels)
    rows = data.index[(data["split"] == "eval") & (data["hops"] == 2)]
    texts = data["text"].tolist()
    every = tables_of(texts)[1]
    assert (every["accuracy"] == 1).all()
    hops, several = {"hop 1"} if labels == "chain" else set(), {"first query"} if context else set()
    assert set(every["asked"]) == {"query", "final"} | hops | several
    begin = texts[rows[0]].rfind("COMPLETION:") + 1
    place = texts[rows[0]].index("'", begin) + 1  # of its first question the last hash
    texts[rows[0]] = texts[rows[0]][:place] + "0z9" + texts[rows[0]][place + 3 :]
    found = tables_of(texts)[1].set_index(["hops", "asked"])
    n = {"query": len(rows) * (2 if context else 1)}
    for asked, wrong in (("query", 1), ("final", 1), ("hop 1", 0)):
        if (2, asked) in found.index:
            assert found.loc[(2, asked), "n"] == n["query"]
            assert found.loc[(2, asked), "accuracy"] == 1 - wrong / n["query"]
    left = HASHES["n_chains"] - np.arange(2)  # of the second question one chain less
    last = 1 / left if context else np.array([62.0**-3])
    on_the_way = last if labels == "chain" else 1
    assert found.loc[(2, "final"), "chance"] == pytest.approx(last.mean())
    assert found.loc[(2, "query"), "chance"] == pytest.approx((last * on_the_way).mean())
    if context:
        assert found.loc[(2, "first query"), "chance"] == pytest.approx((last * on_the_way)[0])
        assert found.loc[(2, "first query"), "accuracy"] == 1 - 2 / n["query"]
    few = pd.Series([()] * len(data), dtype=object).iloc[:0]
    assert hops_table(few, data, arrays(**HASHES | {"context": context, "labels": labels}), WHO).empty
    assert tables_of(data["text"])[1].columns.tolist() == hops_table(*no_chains()).columns.tolist()


def no_chains():
    return pd.Series(dtype=object), DATA, arrays(), WHO


def test_a_shard_without_rows_is_a_table_of_the_same_types(trained):
    learner = trained[0]
    none, some = (tables.by_token(learner.model, FACTS, np.arange(n)) for n in (0, 3))
    assert none.empty
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
