"""A frozen model: logits, greedy decoding by a cache or without, and that its weights stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prompt_capacity_models import SHAPE, VOCABULARY, layouts_of, learner, random_trials, tiny, words
from tokenizers import Tokenizer

from memorization.models.language_model import LanguageModel, build
from memorization.prompt_capacity.frozen import FrozenModel, opened, padding, unchanged
from memorization.prompt_capacity.memorizing import Cell
from memorization.prompt_capacity.prompting import Inputs, joined
from memorization.provenance import generator
from memorization.text_learner import write_model
from memorization.training.checkpoints import write_tensors

THREE = pytest.mark.parametrize("architecture", ["llama", "neox", "mamba"])
K, LENGTH, COUNT = 2, 4, 7
CONDITION = SHAPE | {"architecture": "llama"}
TOKENIZER = Tokenizer.from_str(words())


def prompts(n, seed=0):
    return torch.from_numpy(0.4 * generator("test", seed, "prompts").standard_normal((n, K, 16))).float()


def ragged(architecture):
    """Rows of all layouts and of several lengths before their first scored token."""
    parts = []
    for n, id_length in enumerate((2, 5, 3)):
        cell = Cell(random_trials(2, 2, LENGTH, id_length, seed=n), layouts_of(architecture), K)
        parts.append(cell.inputs(prompts(len(cell.layout_of), n)))
    return joined(parts)


def plainly(model: FrozenModel, inputs: Inputs, count: int) -> list[list[int]]:
    """Greedy decoding of a row at a time, all of it again for each token, without any cache.

    The mask of a row is written out by a loop over its positions.
    """
    table, rows = model.model.get_input_embeddings(), []
    for row, embeds in enumerate(inputs.embedded(table)):
        first = int(inputs.scored[row].nonzero()[0])
        so_far, found = embeds[:first], []
        for _ in range(count):
            options = {}
            if bool(inputs.masked[row]):
                n, begin = len(so_far), int(inputs.place[row])
                mask = torch.full((n, n), torch.finfo(torch.float32).min)
                for at in range(n):
                    sees_id = not begin <= at < begin + K
                    mask[at, 0 if sees_id else begin : at + 1] = 0
                options = {"attention_mask": mask[None, None]}
            logits = model.model(inputs_embeds=so_far[None], use_cache=False, **options).logits
            found.append(int(logits[0, -1, : model.vocabulary].argmax()))
            so_far = torch.cat([so_far, table.weight[found[-1:]]])
        rows.append(found)
    return rows


@THREE
def test_greedy_decoding_of_rows_of_several_lengths_and_layouts_is_that_of_a_row_alone_without_a_cache(architecture):
    model, inputs = tiny(architecture), ragged(architecture)
    lengths = (inputs.scored.cumsum(dim=1) == 0).sum(dim=1)
    assert len(set(lengths.tolist())) > 3
    assert bool(inputs.masked.any()) == (architecture != "mamba")
    with torch.no_grad():
        expected = plainly(model, inputs, COUNT)
    assert model.greedy(inputs, COUNT) == expected
    assert len({tuple(row) for row in expected}) > len(expected) // 2  # and they do not all say the same


@THREE
def test_what_is_scored_is_not_looked_at_in_decoding(architecture):
    model, inputs = tiny(architecture), ragged(architecture)
    other = replace(inputs, tokens=torch.where(inputs.scored, (inputs.tokens + 1) % VOCABULARY, inputs.tokens))
    assert model.greedy(inputs, COUNT) == model.greedy(other, COUNT)


@THREE
def test_an_answer_ends_before_the_token_that_ends_it_and_the_others_go_on(architecture):
    model, inputs = tiny(architecture), ragged(architecture)
    whole = model.greedy(inputs, COUNT)
    end = whole[0][2]
    expected = [row[: row.index(end)] if end in row else row for row in whole]
    lengths = {len(row) for row in expected}
    assert len(lengths) > 1
    assert model.greedy(inputs, COUNT, end) == expected


def test_decoding_stops_when_all_rows_have_ended(monkeypatch):
    model, inputs = tiny(), ragged("llama")
    one = inputs.of(torch.tensor([0]), inputs.prompts, inputs.owner[:1])
    (whole,) = model.greedy(one, COUNT)
    steps, forward = [], model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda **options: steps.append(1) or forward(**options))
    assert model.greedy(one, COUNT, whole[2]) == [whole[: whole.index(whole[2])]]
    assert len(steps) == whole.index(whole[2]) + 1


@THREE
def test_ids_that_the_tokenizer_does_not_have_are_never_generated(architecture):
    built = build(SHAPE | {"architecture": architecture}, VOCABULARY + 8)
    with torch.no_grad():
        built.get_output_embeddings().weight[VOCABULARY:] *= 10
    model, inputs = FrozenModel(LanguageModel(built, VOCABULARY)), ragged(architecture)
    beyond = FrozenModel(LanguageModel(built, VOCABULARY + 8))
    assert max(map(max, beyond.greedy(inputs, COUNT))) >= VOCABULARY
    assert max(map(max, model.greedy(inputs, COUNT))) < VOCABULARY
    assert model.logits(inputs)[0].shape == (int(inputs.scored.sum()), VOCABULARY)
    assert model.embedding.shape == (VOCABULARY, 16)


def test_texts_longer_than_the_model_takes_are_refused():
    model = tiny(max_length=9)
    inputs = Cell(random_trials(1, 1, 6, 2), ("prefix",), K).inputs(prompts(1))
    with pytest.raises(ValueError, match=r"^10 tokens with P, but the model takes at most 9$"):
        model.logits(inputs)
    fits = Cell(random_trials(1, 1, 5, 2), ("prefix",), K).inputs(prompts(1))
    assert len(model.logits(fits)[0]) == 5
    assert len(model.greedy(fits, 5)[0]) == 5
    with pytest.raises(ValueError, match=r"^4 tokens and 6 that follow, but the model takes at most 9$"):
        model.greedy(fits, 6)
    assert len(tiny("mamba", max_length=9).greedy(inputs, 20)[0]) == 20  # has no limit


def test_a_model_without_attention_cannot_be_masked():
    inputs = Cell(random_trials(1), ("infix_masked",), K).inputs(prompts(1))
    for call in (tiny("mamba").logits, lambda inputs: tiny("mamba").greedy(inputs, 2)):
        with pytest.raises(ValueError, match=r"^infix_masked: the model has no attention to be masked; allowed: "):
            call(inputs)


@THREE
def test_what_it_says_of_itself(architecture):
    model = tiny(architecture)
    assert (model.d_model, model.vocabulary, model.begin, model.end) == (16, VOCABULARY, 0, 0)
    assert model.max_length == (None if architecture == "mamba" else 64)
    assert model.has_attention == (architecture != "mamba")
    assert model.n_parameters == sum(each.numel() for each in model.model.parameters())
    np.testing.assert_array_equal(model.embedding, model.model.get_input_embeddings().weight)
    assert not any(each.requires_grad for each in model.model.parameters())


def test_tokens_of_begin_and_end_are_those_of_the_configuration():
    built = build(CONDITION, VOCABULARY)
    built.config.bos_token_id, built.config.eos_token_id = None, [7, 9]
    model = FrozenModel(LanguageModel(built, VOCABULARY))
    assert (model.begin, model.end) == (0, 7)


@THREE
def test_training_and_decoding_change_no_weight(architecture):
    model = tiny(architecture)
    before = model.digest()
    ours = learner(model, layouts=layouts_of(architecture), evaluate_every=1)
    for n in range(1, 6):
        ours.step(n)
    model.greedy(ours.inputs, 3)
    assert not torch.equal(ours.embeddings(), ours.first)
    assert model.digest() == before == tiny(architecture).digest()
    assert all(each.grad is None for each in model.model.parameters())


def test_a_digest_is_of_all_weights_and_their_names():
    model = tiny()
    before = model.digest()
    for weight in (model.model.get_input_embeddings().weight, model.model.model.norm.weight):
        with torch.no_grad():
            weight.view(-1)[3] += 1e-3
        assert model.digest() != before
        before = model.digest()
    assert tiny("neox").digest() != tiny("llama").digest()


def test_weights_that_have_changed_in_the_end_are_an_error():
    states = [tiny().model.state_dict()]
    with unchanged(CONDITION, states, VOCABULARY, TOKENIZER, "cpu") as model:
        assert model.digest() == tiny().digest()

    def changing():
        with unchanged(CONDITION, states, VOCABULARY, TOKENIZER, "cpu") as model, torch.no_grad():
            model.model.model.norm.weight[0] += 1e-3

    with pytest.raises(RuntimeError, match=r"^the weights of the frozen model have changed$"):
        changing()


def test_an_error_of_the_job_itself_is_not_hidden_by_that_of_the_weights():
    def failing():
        with unchanged(CONDITION, [tiny().model.state_dict()], VOCABULARY, TOKENIZER, "cpu"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        failing()


@THREE
def test_a_model_is_opened_with_the_tensors_given_or_from_a_folder(tmp_path, architecture):
    trained = tiny(architecture)
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter += 0.1
    states = [trained.model.state_dict()]
    inputs = ragged(architecture)
    here = opened(SHAPE | {"architecture": architecture}, states, VOCABULARY, TOKENIZER, "cpu")
    assert here.digest() == trained.digest()
    torch.testing.assert_close(here.logits(inputs)[0], trained.logits(inputs)[0], rtol=0, atol=0)
    paths = {"config": str(tmp_path / "config.json"), "tokenizer": str(tmp_path / "tokenizer.json")}
    write_model(trained.model, words(), paths, {})
    write_tensors(tmp_path / "model.safetensors", trained.model.state_dict(), {})
    other = Tokenizer.from_str(words().replace("w1", "v1"))
    of_folder = {"model": str(tmp_path), "dataset": "mine"}
    with pytest.raises(ValueError, match=r"gives other ids than the one of the data set mine; allowed: "):
        opened(of_folder | {"dtype": "float32"}, [], VOCABULARY, other, "cpu")
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", None)):
        elsewhere = opened(of_folder | {"dtype": dtype}, [], VOCABULARY, TOKENIZER, "cpu")
        logits = elsewhere.logits(inputs)[0]
        assert elsewhere.dtype == getattr(torch, dtype)
        assert logits.dtype == torch.float32
        if tolerance:
            torch.testing.assert_close(logits, trained.logits(inputs)[0], rtol=0, atol=tolerance)


def test_prompts_of_a_model_of_lower_precision_are_float32_and_trained():
    built = build(CONDITION, VOCABULARY).to(torch.bfloat16)
    ours, losses = learner(FrozenModel(LanguageModel(built, VOCABULARY)), rate=0.3), []
    for n in range(1, 11):
        ours.step(n)
        losses.append(ours.loss.clone())
    state = ours.state()
    assert {each.dtype for name, each in state.items() if name.startswith(("model.", "optimizer."))} == {torch.float32}
    assert (losses[-1] < losses[0]).all()


def test_rows_are_padded_behind_their_ends():
    assert padding([np.array([3, 4], np.int32), np.array([5, 6, 7])]).tolist() == [[3, 4, 0], [5, 6, 7]]
