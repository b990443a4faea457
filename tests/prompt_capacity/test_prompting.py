"""Prompts in the input of a frozen model: where they stand, that rows do not see each other, and PEFT as the oracle."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig, TrainableTokensConfig, get_peft_model
from prompt_capacity_models import VOCABULARY, layouts_of, learner, random_trials, tiny
from torch.nn import functional as F

from memorization.prompt_capacity.layouts import place_of_text
from memorization.prompt_capacity.memorizing import Cell
from memorization.prompt_capacity.prompting import (
    PromptEmbeddings,
    assemble,
    first_prompts,
    joined,
    subspaces,
    without_prompts,
)
from memorization.provenance import generator

# PEFT asks transformers what it calls by another name now.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
THREE = pytest.mark.parametrize("architecture", ["llama", "neox", "mamba"])
TRIALS, GROUP, LENGTH, K, WIDTH = 2, 2, 4, 3, 16
TRIAL = random_trials(TRIALS, GROUP, LENGTH)
IDS, TEXTS = torch.from_numpy(TRIAL.ids), torch.from_numpy(TRIAL.texts)


def rng(trial):
    return generator("test", trial, "prompt")


def prompts(n, k=K, seed=0):
    """Prompts as large as the embeddings of the tiny models."""
    return torch.from_numpy(0.4 * generator("test", seed, "prompts").standard_normal((n, k, WIDTH))).float()


def assembled(layout, ids=IDS, texts=TEXTS, k=K):
    trials, group = texts.shape[:2]
    return assemble(prompts(trials * group if layout == "solo" else trials, k), ids, texts, layout)


@pytest.mark.parametrize(
    ("layout", "order"),
    [("prefix", "P P P i j"), ("infix", "i j P P P"), ("infix_masked", "i j P P P"), ("solo", "P P P"),
     (0, "P P P i j"), (1, "i P P P j"), (2, "i j P P P")],
)  # fmt: skip
def test_rows_have_the_id_the_prompt_and_the_text_in_the_order_of_the_layout(layout, order):
    model, inputs = tiny(), assembled(layout)
    embeds, table = inputs.embedded(model.model.get_input_embeddings()), torch.from_numpy(model.embedding)
    of = prompts(TRIALS * GROUP if layout == "solo" else TRIALS)
    for row in range(TRIALS * GROUP):
        trial, text = divmod(row, GROUP)
        mine = of[row if layout == "solo" else trial]
        names = {"i": table[IDS[trial, text, 0]], "j": table[IDS[trial, text, 1]]}
        left = iter(mine)
        vectors = [next(left) if name == "P" else names[name] for name in order.split()]
        expected = torch.cat([torch.stack(vectors), table[TEXTS[trial, text]]])
        assert torch.equal(embeds[row], expected)
        assert inputs.tokens[row][inputs.scored[row]].tolist() == TEXTS[trial, text].tolist()
    assert inputs.masked.tolist() == [layout == "infix_masked"] * 4


def test_an_offset_of_0_is_prefix_and_of_the_id_s_length_infix():
    for offset, layout in ((0, "prefix"), (2, "infix")):
        one, other = vars(assembled(offset)), vars(assembled(layout))
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert [place_of_text(layout, 2) for layout in ("prefix", "infix", "infix_masked", "solo", 1)] == [0, 2, 2, 0, 1]


@pytest.mark.parametrize("offset", [-1, 3])
def test_a_prompt_inside_the_text_is_refused(offset):
    message = rf"^layout: P behind {offset} tokens, but the ID has 2; allowed: 0 to 2$"
    with pytest.raises(ValueError, match=message):
        place_of_text(offset, 2)
    with pytest.raises(ValueError, match=message):
        assembled(offset)


def test_an_unknown_layout_is_refused():
    message = r"^layout: 'suffix' is not one of prefix, infix, infix_masked, solo, or a number of tokens$"
    with pytest.raises(ValueError, match=message):
        assembled("suffix")


def test_another_number_of_prompts_than_the_layout_takes_is_refused():
    with pytest.raises(ValueError, match=r"^embeddings: 4 prompts, but prefix needs 2$"):
        assemble(prompts(4), IDS, TEXTS, "prefix")
    with pytest.raises(ValueError, match=r"^embeddings: 2 prompts, but solo needs 4$"):
        assemble(prompts(2), IDS, TEXTS, "solo")


def test_without_prompts_a_row_is_id_and_text_and_in_solo_the_beginning_token_and_text():
    found = without_prompts(IDS, TEXTS, "infix", 7)
    assert found.prompts is None
    assert found.tokens.tolist() == torch.cat([IDS, TEXTS], dim=2).reshape(4, -1).tolist()
    solo = without_prompts(IDS, TEXTS, "solo", 7)
    assert solo.tokens[:, 0].tolist() == [7] * 4
    assert solo.tokens[:, 1:].tolist() == TEXTS.reshape(4, -1).tolist()
    for each in (found, solo):
        assert each.tokens[each.scored].tolist() == TEXTS.flatten().tolist()


@THREE
def test_padding_and_the_rows_beside_it_change_no_logits(architecture):
    """Rows of all layouts together, and with rows much longer, against each row by itself."""
    model = tiny(architecture)
    parts = [assembled(layout) for layout in layouts_of(architecture)]
    longer = random_trials(1, 3, 4 * LENGTH, seed=1)
    parts.append(assembled("infix", torch.from_numpy(longer.ids), torch.from_numpy(longer.texts)))
    whole = joined(parts)
    logits, tokens = model.logits(whole)
    begin, row = 0, 0
    for part in parts:
        for n in range(len(part.tokens)):
            rows = torch.tensor([n])
            alone, its_tokens = model.logits(part.of(rows, part.prompts, part.owner[rows]))
            assert torch.equal(its_tokens, tokens[begin : begin + len(alone)])
            torch.testing.assert_close(alone, logits[begin : begin + len(alone)], rtol=0, atol=1e-5)
            assert torch.equal(whole.prompts[whole.owner[row]], part.prompts[part.owner[n]])
            begin, row = begin + len(alone), row + 1
    assert begin == len(logits)


@pytest.mark.parametrize(
    ("architecture", "layout"), [(each, layout) for each in ("llama", "neox", "mamba") for layout in layouts_of(each)]
)
def test_what_stands_behind_a_row_s_end_changes_nothing(architecture, layout):
    model, inputs = tiny(architecture), assembled(layout)
    whole = joined([inputs, assembled("infix", IDS, TEXTS.repeat(1, 1, 3))])
    tokens = whole.tokens.clone()
    tokens[: len(inputs.tokens), inputs.tokens.shape[1] :] = 9
    assert torch.equal(model.logits(replace(whole, tokens=tokens))[0], model.logits(whole)[0])


@THREE
def test_logits_are_those_of_a_plain_pass_over_one_row_at_a_time(architecture):
    model = tiny(architecture)
    for layout in layouts_of(architecture):
        if layout == "infix_masked":
            continue
        inputs = assembled(layout)
        embeds = inputs.embedded(model.model.get_input_embeddings())
        with torch.no_grad():
            rows = [model.model(inputs_embeds=row[None], use_cache=False).logits[0, -1 - LENGTH : -1] for row in embeds]
        torch.testing.assert_close(model.logits(inputs)[0], torch.cat(rows), rtol=0, atol=1e-5)


def hidden_states(model, inputs):
    """Those behind the last layer, of all positions."""
    found = []
    hook = model.model.base_model.register_forward_hook(lambda _, __, out: found.append(out.last_hidden_state))
    with torch.no_grad():
        model.logits(inputs)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("architecture", ["llama", "neox"])
def test_of_infix_masked_the_prompt_s_states_do_not_change_with_the_id_and_of_infix_they_do(architecture):
    """In both the text sees the ID; so does a masked prompt beside prompts that are not masked."""
    model, other = tiny(architecture), (IDS + 5) % VOCABULARY
    places, text = slice(2, 2 + K), slice(2 + K, None)
    for layout, same in (("infix_masked", True), ("infix", False)):
        one, two = (hidden_states(model, assembled(layout, ids)) for ids in (IDS, other))
        assert torch.equal(one[:, places], two[:, places]) == same
        assert not torch.allclose(one[:, text], two[:, text], atol=1e-3)
    with_others = [
        hidden_states(model, joined([assembled("infix_masked", ids), assembled("prefix", ids)]))[:4]
        for ids in (IDS, other)
    ]
    assert torch.equal(with_others[0][:, places], with_others[1][:, places])


def test_a_masked_prompt_stands_where_it_stands_in_infix():
    """Its place is that behind the ID: a prompt alone would have other positions, and other logits of the text."""
    model = tiny()
    masked, infix = (hidden_states(model, assembled(layout)) for layout in ("infix_masked", "infix"))
    assert torch.equal(masked[:, :2], infix[:, :2])  # the ID's own states
    assert not torch.allclose(masked[:, 2:], infix[:, 2:], atol=1e-3)


def of_peft(k=K, layout="prefix"):
    """A model as PEFT sees it, P its only trained parameter, and P."""
    base = copy.deepcopy(tiny().model)
    if layout == "infix":
        base.resize_token_embeddings(VOCABULARY + k, mean_resizing=False)
        indices = list(range(VOCABULARY, VOCABULARY + k))
        settings = TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=indices, target_modules=["embed_tokens"])
    else:
        settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=k, prompt_tuning_init="RANDOM")
    model = get_peft_model(base, settings).eval()
    (trained,) = [each for each in model.parameters() if each.requires_grad]
    assert trained.shape == (k, WIDTH)
    return model, trained


def peft_logits(model, layout, ids, texts):
    """PEFT's logits of the texts' tokens, (rows, length, VOCABULARY); without padding."""
    rows = texts.shape[0]
    if layout == "infix":
        new = torch.arange(VOCABULARY, VOCABULARY + K).expand(rows, -1)
        tokens = torch.cat([ids, new, texts], dim=1)
    else:
        tokens = torch.cat([ids, texts], dim=1) if layout == "prefix" else texts
    out = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return out[:, -1 - texts.shape[1] : -1, :VOCABULARY]


@pytest.mark.parametrize("layout", ["prefix", "infix", "solo"])
def test_logits_are_peft_s(layout):
    """A P that the texts of a group share; of solo one that a text has alone."""
    theirs, trained = of_peft(layout=layout)
    ids, texts = (IDS[:1, :1], TEXTS[:1, :1]) if layout == "solo" else (IDS[:1], TEXTS[:1])
    p = prompts(1)
    with torch.no_grad():
        trained.copy_(p[0])
        expected = peft_logits(theirs, layout, ids[0], texts[0])
    logits, _ = tiny().logits(assemble(p, ids, texts, layout))
    torch.testing.assert_close(logits.reshape(expected.shape), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["prefix", "infix", "solo"])
def test_a_step_is_peft_s_with_the_same_optimizer(layout):
    """The same gradient of the mean loss of a trial, and the same P after AdamW's steps."""
    theirs, trained = of_peft(layout=layout)
    trials = random_trials(1, 1 if layout == "solo" else GROUP, LENGTH)
    ids, texts = torch.from_numpy(trials.ids), torch.from_numpy(trials.texts)
    ours = learner(tiny(), trials, (layout,), K, 0.1, weight_decay=0.01)
    with torch.no_grad():
        trained.copy_(ours.first[0])
    optimizer = torch.optim.AdamW([trained], lr=0.1, betas=(0.9, 0.9), weight_decay=0.01)
    for n in range(1, 4):
        logits = peft_logits(theirs, layout, ids[0], texts[0])
        loss = F.cross_entropy(logits.flatten(0, 1), texts[0].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.step(n)
        assert ours.loss.item() == pytest.approx(loss.item(), abs=1e-5)
        torch.testing.assert_close(ours.embeddings.trained[0].grad, trained.grad, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours.embeddings()[0].detach(), trained.detach(), rtol=0, atol=1e-5)


def test_prompts_are_parameters_each_of_its_own():
    embeddings = PromptEmbeddings(3, K, WIDTH, lambda trial: np.full((K, WIDTH), trial))
    assert embeddings().shape == (3, K, WIDTH)
    assert embeddings().dtype == torch.float32
    assert embeddings([2, 0])[:, 0, 0].tolist() == [2, 0]
    embeddings([2, 0]).sum().backward()
    assert [each.grad is None for each in embeddings.trained] == [False, True, False]


def test_a_first_prompt_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"^init: trial 0 begins with \(2, 16\), not \(3, 16\)$"):
        PromptEmbeddings(1, K, WIDTH, lambda trial: np.zeros((2, WIDTH)))


def test_a_rank_keeps_prompts_around_the_first_inside_a_subspace():
    basis = subspaces(2, WIDTH, rng)
    embeddings = PromptEmbeddings(2, K, WIDTH, lambda trial: np.full((K, WIDTH), trial), 2, basis)
    assert torch.equal(embeddings(), torch.stack([torch.full((K, WIDTH), float(trial)) for trial in range(2)]))
    assert [each.shape for each in embeddings.trained] == [(K, 2)] * 2
    with torch.no_grad():
        embeddings.trained[1].copy_(torch.arange(6.0).reshape(K, 2))
    moved = embeddings()[1].detach().numpy() - 1
    np.testing.assert_allclose(moved, np.arange(6).reshape(K, 2) @ basis(1), rtol=1e-5, atol=1e-6)
    assert torch.equal(embeddings([1]).detach(), embeddings().detach()[1:])


def test_a_subspace_has_an_orthonormal_basis_which_is_the_trial_s():
    basis = subspaces(3, WIDTH, rng)
    assert basis(0).shape == (3, WIDTH)
    np.testing.assert_allclose(basis(0) @ basis(0).T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(basis(0), basis(0))
    assert not np.allclose(basis(0), basis(1))


def test_how_prompts_begin():
    embedding = 0.5 + 0.3 * generator("test", 0, "embedding").standard_normal((VOCABULARY, WIDTH))
    firsts = {
        name: first_prompts(name, embedding, 400, rng)
        for name in ("embedding_std", "sampled_tokens", "normal_0.1", "mean_embedding")
    }
    for each in firsts.values():
        assert each(0).shape == (400, WIDTH)
        assert each(0).dtype == np.float32
        np.testing.assert_array_equal(each(1), each(1))
    for name, deviation in (("embedding_std", embedding.std()), ("normal_0.1", 0.1)):
        assert firsts[name](0).mean() == pytest.approx(0, abs=0.02)
        assert firsts[name](0).std() == pytest.approx(deviation, rel=0.05)
        assert not np.array_equal(firsts[name](0), firsts[name](1))
    tokens = {tuple(row) for row in embedding.astype(np.float32)}
    assert {tuple(row) for row in firsts["sampled_tokens"](0)} == tokens
    np.testing.assert_allclose(firsts["mean_embedding"](0), np.tile(embedding.mean(axis=0), (400, 1)), rtol=1e-6)
    np.testing.assert_array_equal(firsts["mean_embedding"](0), firsts["mean_embedding"](1))


def test_an_unknown_beginning_is_refused():
    message = r"^init: 'zeros' is not one of embedding_std, sampled_tokens, normal_0\.1, mean_embedding$"
    with pytest.raises(ValueError, match=message):
        first_prompts("zeros", np.zeros((VOCABULARY, WIDTH)), K, rng)


def test_a_cell_has_a_prompt_a_group_and_of_solo_one_a_text():
    cell = Cell(random_trials(3, 2, LENGTH), ("prefix", "solo"), K)
    assert cell.layout_of == ["prefix"] * 3 + ["solo"] * 6
    assert cell.trial_of == [0, 1, 2, 0, 0, 1, 1, 2, 2]
    inputs = cell.inputs(prompts(9))
    assert inputs.owner.tolist() == [0, 0, 1, 1, 2, 2, *range(3, 9)]
    without = cell.without(7)
    assert torch.equal(without.tokens[without.scored], inputs.tokens[inputs.scored])
