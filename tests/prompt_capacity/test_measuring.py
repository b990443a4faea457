"""What a prompt holds: one pass against decoding, bits against plain loops, entries of few bits, censored steps."""

import numpy as np
import pytest
import torch
from prompt_capacity_models import VOCABULARY, layouts_of, learner, random_trials, tiny

from memorization.prompt_capacity import measuring
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.measuring import (
    control_gain,
    greedy_prefix,
    kinds_of,
    memorization_table,
    quantized,
    steps_to_most,
    survival_table,
    token_scores,
    vectors_table,
)
from memorization.prompt_capacity.memorizing import Cell, memorize
from memorization.prompt_capacity.prompting import Inputs
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished

THREE = pytest.mark.parametrize("architecture", ["llama", "neox", "mamba"])
LENGTH, K, GROUP = 4, 4, 2
BITS = [32, 16, 8, 4, 2]


class Made:
    """A cell of an architecture, trained so that some texts are right and some are not."""

    def __init__(self, architecture, tmp_path, steps=60, **change):
        self.model, layouts = tiny(architecture), layouts_of(architecture)
        self.learner = learner(self.model, random_trials(3, GROUP, LENGTH), layouts, K, **change)
        self.trained = memorize(self.learner, steps, 6, Unfinished(tmp_path / "x.a.unfinished", 3600), 3600)
        self.control = random_trials(5, 1, LENGTH, seed=9)
        rates = {layout_name(layout): 0.1 for layout in layouts}
        about = {"condition": "mine", "seed": 3, "learning_rates": rates}
        self.table = memorization_table(self.learner, self.trained, self.control, about)
        self.inputs = self.learner.cell.inputs(self.learner.best)
        self.without = self.learner.cell.without(0)


@pytest.fixture(scope="module", params=["llama", "neox", "mamba"])
def made(request, tmp_path_factory):
    return Made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def gap(tmp_path_factory):
    """A cell whose first tokens are neither trained nor scored."""
    return Made("llama", tmp_path_factory.mktemp("gap"), 150, score_first_token=False)


@torch.no_grad()
def plain_bits(model, inputs: Inputs) -> np.ndarray:
    """Of each scored token what it costs, one row and one token at a time, no row beside it: (rows, length)."""
    table, found = model.model.get_input_embeddings(), []
    for row, embeds in enumerate(inputs.embedded(table)):
        costs = []
        for at in inputs.scored[row].nonzero()[:, 0].tolist():
            options = {}
            if bool(inputs.masked[row]):
                begin, end = int(inputs.place[row]), int(inputs.place[row]) + inputs.prompts.shape[1]
                mask = torch.full((at, at), torch.finfo(torch.float32).min).triu(1)
                mask[begin:end, :begin] = torch.finfo(torch.float32).min
                options = {"attention_mask": mask[None, None]}
            logits = model.model(inputs_embeds=embeds[None, :at], use_cache=False, **options).logits[0, -1]
            costs.append(-logits.double().log_softmax(-1)[inputs.tokens[row, at]] / np.log(2))
        found.append(torch.stack(costs))
    return torch.stack(found).numpy()


@THREE
def test_scores_are_those_of_a_plain_loop_over_rows_and_tokens(monkeypatch, architecture):
    monkeypatch.setattr(measuring, "AT_ONCE", 5)  # the last pass has fewer
    model, cell = tiny(architecture), Cell(random_trials(3, GROUP, LENGTH), layouts_of(architecture), K)
    prompts = torch.from_numpy(0.4 * generator("test", 0, "p").standard_normal((len(cell.layout_of), K, 16))).float()
    for inputs in (cell.inputs(prompts), cell.without(7)):
        scores = token_scores(model, inputs)
        np.testing.assert_allclose(scores.nll / np.log(2), plain_bits(model, inputs), rtol=0, atol=1e-4)
        assert scores.right.dtype == bool
        greedy = np.array(model.greedy(inputs, 1))[:, 0]
        first = inputs.tokens[inputs.scored].reshape(len(greedy), -1)[:, 0].numpy()
        np.testing.assert_array_equal(scores.right[:, 0], greedy == first)


def test_a_greedy_prefix_ends_at_the_first_wrong_token():
    right = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    assert greedy_prefix(right).tolist() == [2, 0, 4, 0]


def test_prefix_and_exact_by_one_pass_are_those_of_decoding_token_by_token(made):
    texts = made.inputs.tokens[made.inputs.scored].reshape(-1, LENGTH).tolist()
    decoded = made.model.greedy(made.inputs, LENGTH)
    prefixes = [
        next((n for n in range(LENGTH) if said[n] != text[n]), LENGTH)
        for said, text in zip(decoded, texts, strict=True)
    ]
    assert made.table["greedy_prefix"].tolist() == prefixes
    assert made.table["exact"].tolist() == [said == text for said, text in zip(decoded, texts, strict=True)]
    assert len({*prefixes}) > 2
    assert {*made.table["exact"]} == {True, False}


def test_exact_is_accuracy_1_and_nothing_more(made):
    assert (made.table["exact"] <= made.table["accuracy"]).all()
    assert (made.table["exact"] == (made.table["accuracy"] == 1)).all()
    assert (made.table["greedy_prefix"] / LENGTH <= made.table["accuracy"]).all()


def test_without_the_first_token_accuracy_is_1_where_greedy_decoding_gives_nothing_back(gap):
    """The gap of the source, which neither trains nor scores the first token."""
    all_right = gap.table[gap.table["accuracy"] == 1]
    fooled = all_right[~all_right["exact"]]
    assert len(fooled) > 0
    assert (fooled["greedy_prefix"] == 0).all()  # nothing but the first token is wrong
    rows = fooled.index.tolist()
    texts = gap.inputs.tokens[gap.inputs.scored].reshape(-1, LENGTH)
    decoded = gap.model.greedy(gap.inputs, LENGTH)
    assert all(decoded[row][0] != texts[row, 0] for row in rows)
    assert all(decoded[row] != texts[row].tolist() for row in rows)
    bits = plain_bits(gap.model, gap.inputs)
    np.testing.assert_allclose(gap.table["nll_bits"], bits[:, 1:].sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(gap.table["perplexity"], 2 ** bits[:, 1:].mean(axis=1), rtol=1e-4)
    before = plain_bits(gap.model, gap.without)
    np.testing.assert_allclose(gap.table["nll_without_bits"], before[:, 1:].sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(gap.table["gain_bits"], (before - bits).sum(axis=1), atol=1e-3)


def test_bits_are_those_of_a_plain_loop(made):
    bits, before = plain_bits(made.model, made.inputs), plain_bits(made.model, made.without)
    table = made.table
    np.testing.assert_allclose(table["nll_bits"], bits.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(table["nll_without_bits"], before.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(table["perplexity"], 2 ** bits.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(table["gain_bits"], (before - bits).sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(table["gain_bits_without_first"], (before - bits)[:, 1:].sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(table["net_gain_bits"], table["gain_bits"] - table["control_bits"], rtol=1e-9)
    owner = made.inputs.owner.numpy()
    for prompt in range(made.learner.n_prompts):
        mine = table[owner == prompt]
        density = mine["net_gain_bits"].sum() / (K * 16)
        np.testing.assert_allclose(mine["bits_per_dimension"], density, rtol=1e-9)
    assert table["gain_bits"].mean() > 5


def plain_control(made, prompts) -> np.ndarray:
    """A text at a time, with its own ID; without P a solo text has the token that begins texts."""
    cell, kinds, found = made.learner.cell, kinds_of(made.learner.cell), []
    for prompt, layout in enumerate(cell.layout_of):
        gains = []
        for text in np.flatnonzero(made.control.kinds == kinds[prompt]):
            trial = type(made.control)(*(each[[text]] for each in vars(made.control).values()))
            alone = Cell(trial, (layout,), K)
            before, after = (
                plain_bits(made.model, each).sum() for each in (alone.without(0), alone.inputs(prompts[[prompt]]))
            )
            gains.append(before - after)
        found.append(np.mean(gains))
    return np.array(found)


def test_what_a_prompt_gains_on_texts_that_it_was_not_trained_on(made):
    cell, best = made.learner.cell, made.learner.best
    found = control_gain(made.model, cell, best, made.control)
    assert {*kinds_of(cell)} == {*made.control.kinds} == {"text", "random"}
    np.testing.assert_allclose(found, plain_control(made, best), rtol=0, atol=1e-3)
    owner = made.inputs.owner.numpy()
    np.testing.assert_allclose(made.table["control_bits"], found[owner])
    assert len({*found.round(3)}) == len(found)


def test_rows_are_named(made):
    cell, table = made.learner.cell, made.table
    assert len(table) == len(cell.layouts) * 3 * GROUP
    assert table["condition"].eq("mine").all()
    assert table["seed"].eq(3).all()
    for layout in cell.layouts:
        mine = table[table["layout"] == layout_name(layout)]
        assert mine["trial"].tolist() == [0, 0, 1, 1, 2, 2]
        assert mine["text"].tolist() == [0, 1] * 3
        assert mine["kind"].tolist() == ["text"] * 4 + ["random"] * 2
        assert made.inputs.tokens[mine.index][made.inputs.scored[mine.index]].tolist() == (
            cell.trials.texts.flatten().tolist()
        )
    sizes = {"d_model": 16, "prompt_length": K, "length": LENGTH, "batch_size": GROUP, "id_length": 2}
    assert all(table[name].eq(value).all() for name, value in (sizes | {"learning_rate": 0.1}).items())


def test_norms_and_the_angle_are_of_the_whole_prompt_and_of_the_best_iterate(made):
    owner, ours = made.inputs.owner.numpy(), made.learner
    for prompt in range(ours.n_prompts):
        first, best = (each[prompt].flatten().double().numpy() for each in (ours.first, ours.best))
        mine = made.table[owner == prompt]
        np.testing.assert_allclose(mine["norm_first"], np.sqrt((first**2).sum()), rtol=1e-5)
        np.testing.assert_allclose(mine["norm_best"], np.sqrt((best**2).sum()), rtol=1e-5)
        cosine = first @ best / np.sqrt((first**2).sum() * (best**2).sum())
        np.testing.assert_allclose(mine["angle"], np.degrees(np.arccos(cosine)), rtol=1e-4)


def test_vectors_have_a_row_each(made):
    found, ours = vectors_table(made.learner, made.table), made.learner
    assert found["vector"].tolist() == [*range(K)] * ours.n_prompts
    assert found["layout"].tolist() == [layout_name(each) for each in ours.cell.layout_of for _ in range(K)]
    assert found["trial"].tolist() == [each for each in ours.cell.trial_of for _ in range(K)]
    for row in (0, 5, len(found) - 1):
        first, best = (each.reshape(-1, 16)[row].double().numpy() for each in (ours.first, ours.best))
        cosine = first @ best / np.sqrt((first**2).sum() * (best**2).sum())
        of_row = found.loc[row]
        assert of_row["norm_first"] == pytest.approx(np.sqrt((first**2).sum()), rel=1e-5)
        assert of_row["norm_best"] == pytest.approx(np.sqrt((best**2).sum()), rel=1e-5)
        assert of_row["cosine"] == pytest.approx(cosine, rel=1e-4)
        assert of_row["angle"] == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-4)


def test_steps_of_a_run(made):
    owner, left = made.inputs.owner.numpy(), made.trained["left"]
    assert made.table["converged"].tolist() == (left >= 0)[owner].tolist()
    assert made.table["best_step"].tolist() == made.trained["best_step"][owner].tolist()
    expected = [60 if step < 0 else step for step in left]
    assert made.table["steps"].tolist() == [expected[prompt] for prompt in owner]
    assert made.table["steps_to_most"].isna().tolist() == (left < 0)[owner].tolist()
    assert not made.table["not_learned"].any()


def test_the_step_of_nine_tenths_of_the_fall_by_hand():
    """The losses of three trials in columns; the third has not converged, so its step is censored."""
    losses = np.array([[10.0, 4, 5], [6, 4, 4], [1.1, 1, 3], [0.9, 0.5, 2], [0, 0, 1]])
    found = steps_to_most(losses, np.array([4, 4, -1]))
    assert found[:2].tolist() == [3, 4]  # 10 - 9 = 1 is passed at 0.9; 4 - 3.6 = 0.4 at 0
    assert np.isnan(found[2])
    rising = np.array([[2.0], [3], [0.2], [0]])
    assert steps_to_most(rising, np.array([3])).tolist() == [2]


def test_a_trial_whose_loss_falls_by_less_than_a_hundredth_is_not_learned(made):
    trained, n = dict(made.trained), made.learner.n_prompts
    losses = np.full((60, n), 4.0, np.float32)
    losses[30:, 1], losses[7, 2] = 3.97, 3.9
    losses[-1] = 5
    about = {"condition": "mine", "seed": 3, "learning_rates": dict.fromkeys(made.table["layout"], 0.1)}
    found = memorization_table(made.learner, trained | {"losses": losses}, made.control, about)
    by_prompt = found.groupby(made.inputs.owner.numpy())["not_learned"].first()
    assert by_prompt.tolist() == [True, True, False] + [True] * (n - 3)


PROMPTS = torch.from_numpy(generator("test", 0, "quantized").standard_normal((3, 2, 400))).float()


def test_with_32_bits_prompts_are_themselves():
    assert quantized(PROMPTS, 32) is PROMPTS


@pytest.mark.parametrize("bits", [16, 8, 4, 3, 2])
def test_entries_of_few_bits_are_evenly_spaced_and_the_nearest(bits):
    found = quantized(PROMPTS, bits)
    assert found.dtype == torch.float32
    for vector, whole in zip(found.reshape(-1, 400), PROMPTS.reshape(-1, 400), strict=True):
        largest = whole.abs().max()
        step = largest / (2 ** (bits - 1) - 1)
        assert len(vector.unique()) <= 2**bits - 1
        np.testing.assert_allclose(vector / step, (vector / step).round(), atol=2e-3)
        assert (vector - whole).abs().max() <= step / 2 + 1e-6 * largest
        assert vector.abs().max() == largest
    assert torch.equal(quantized(-PROMPTS, bits), -found)


@pytest.mark.parametrize("bits", [16, 2])
@pytest.mark.parametrize("flushed", [False, True])  # jobs flush denormal numbers to 0
def test_a_vector_of_zeros_stays_one(flushed, bits):
    torch.set_flush_denormal(flushed)
    try:
        assert torch.equal(quantized(torch.zeros(1, 2, 4), bits), torch.zeros(1, 2, 4))
    finally:
        torch.set_flush_denormal(False)


def test_16_bits_change_an_entry_by_little_and_2_leave_three_values():
    assert (quantized(PROMPTS, 16) - PROMPTS).abs().max() < 1e-4
    assert len(quantized(PROMPTS[0, 0], 2).unique()) == 3


def test_what_survives_with_entries_of_fewer_bits(made):
    owner, ours = made.inputs.owner.numpy(), made.learner
    found, texts_of = survival_table(ours, BITS, made.control, made.table), np.bincount(owner)
    assert found["bits"].tolist() == [bits for bits in BITS for _ in range(ours.n_prompts)]
    before = plain_bits(made.model, made.without).sum(axis=1)
    by_prompt = made.table.groupby(owner)
    whole = found[found["bits"] == 32].reset_index(drop=True)
    np.testing.assert_allclose(whole["gain_bits"], by_prompt["gain_bits"].sum(), rtol=1e-6)
    np.testing.assert_allclose(whole["net_gain_bits"], by_prompt["net_gain_bits"].sum(), rtol=1e-5)
    np.testing.assert_allclose(whole["stored_share"], by_prompt["bits_per_dimension"].first() / 32, rtol=1e-5)
    np.testing.assert_allclose(whole["exact"], by_prompt["exact"].mean())
    for bits in (8, 2):
        inputs = ours.cell.inputs(quantized(ours.best, bits))
        after = plain_bits(made.model, inputs).sum(axis=1)
        mine = found[found["bits"] == bits].reset_index(drop=True)
        np.testing.assert_allclose(mine["gain_bits"], np.bincount(owner, before - after), atol=1e-2)
        said = made.model.greedy(inputs, LENGTH)
        texts = inputs.tokens[inputs.scored].reshape(-1, LENGTH).tolist()
        exact = np.array([one == other for one, other in zip(said, texts, strict=True)])
        np.testing.assert_allclose(mine["exact"], [exact[owner == n].mean() for n in range(ours.n_prompts)])
        of_control = control_gain(made.model, ours.cell, quantized(ours.best, bits), made.control)
        net = np.bincount(owner, before - after) - texts_of * of_control
        np.testing.assert_allclose(mine["net_gain_bits"], net, atol=1e-2)
        np.testing.assert_allclose(mine["stored_share"], mine["net_gain_bits"] / (bits * K * 16))
    assert {*texts_of} == {1, GROUP}  # of solo, and of the others
    assert whole["layout"].tolist() == [layout_name(each) for each in ours.cell.layout_of]
    assert whole["trial"].tolist() == ours.cell.trial_of
    coarse = plain_control(made, quantized(ours.best, 2))
    gained = (mine["gain_bits"] - mine["net_gain_bits"]) / texts_of  # of 2 bits
    np.testing.assert_allclose(gained, coarse, atol=1e-2)
    assert np.abs(coarse - made.table.groupby(owner)["control_bits"].first()).max() > 0.1  # of its own, not of 32 bits
    kept = found.groupby("bits")["gain_bits"].mean()
    assert kept[16] > 0.99 * kept[32]
    assert kept[2] < 0.7 * kept[32]


def test_scores_of_a_model_that_knows_nothing_are_uniform():
    """Weights of nothing: every token costs log2 of the vocabulary, with P and without."""
    model = tiny(init_std=1e-8)
    cell = Cell(random_trials(), ("prefix",), K)
    scores = token_scores(model, cell.inputs(torch.zeros(3, K, 16)))
    np.testing.assert_allclose(scores.nll, np.log(VOCABULARY), rtol=1e-5)
    assert control_gain(model, cell, torch.zeros(3, K, 16), random_trials(4, 1)) == pytest.approx(0, abs=1e-4)
