import numpy as np
import pytest
import torch
from extraction_models import known_windows, tiny

from memorization.extraction import attack as attack_module
from memorization.extraction import passes
from memorization.extraction.attack import attack, verify
from memorization.extraction.metrics import (
    min_k,
    min_k_plus_plus,
    suffix_probability,
    window_min_perplexity,
)
from memorization.extraction.passes import Batches, window_nll
from memorization.extraction.prompts import PROTOCOLS, prompts
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished

N, LENGTH = 10, 24
LENGTHS = [[4, 6], [12, 6], [18, 6]]
SETTINGS = {
    "lengths": LENGTHS, "temperature": 0.8, "top_k": 5, "min_k": 0.2, "window_min": 7,
    "batch_tokens": 3 * LENGTH, "verify_generate": 1000,
}  # fmt: skip
NAMES = [f"code_{n:03}" for n in range(N)]


@pytest.fixture(scope="module", params=["neox", "mamba"])
def attacked(request):
    """A model, its windows, which of them are generated, and the attack."""
    model = tiny(request.param)
    tokens = known_windows(model, N, 4, LENGTH)
    generated = np.arange(N) % 5 != 0
    return model, tokens, generated, attack(model, tokens, SETTINGS, generated)


def rng():
    return generator("test", 0, "verify")


def test_prompts_are_decided_as_by_a_plain_loop_that_asks_one_by_one(attacked):
    model, tokens, generated, arrays = attacked
    decided = set()
    for row in range(N):
        for place, (_, prefix, k, start, _, end) in enumerate(prompts(LENGTHS)):
            text = torch.from_numpy(tokens[row, start:end].astype(np.int64))[None]
            suffix = text[0, prefix:].tolist()
            so_far, run, continuation = text[:, :prefix], 0, []
            for _ in range(k):
                token = int(model.logits(so_far)[0, -1].argmax())
                continuation.append(token)
                so_far = torch.cat([so_far, torch.tensor([[token]])], dim=1)
            while run < k and continuation[run] == suffix[run]:
                run += 1
            where = row, place
            if start and not generated[row]:  # asked only where the window begins
                assert arrays["matched_run"][where] == -1
                assert np.isnan(arrays["log_p_z"][where])
                continue
            assert arrays["exact"][where] == (run == k)
            assert arrays["matched_run"][where] == run
            logits = model.logits(text)[:, prefix - 1 : -1]
            nll = -np.mean([logits[0, n].log_softmax(-1)[token].item() for n, token in enumerate(suffix)])
            assert arrays["suffix_nll"][where] == pytest.approx(nll, rel=1e-4)
            p_z = suffix_probability(logits, text[:, prefix:], 0.8, 5).item()
            assert np.exp(arrays["log_p_z"][where]) == pytest.approx(p_z, rel=1e-4)
            if generated[row]:
                assert arrays["continuation"][where].tolist() == continuation
                assert arrays["biderman_score"][where] == pytest.approx(np.mean(np.equal(continuation, suffix)))
            else:
                assert (arrays["continuation"][where] == -1).all()
                assert np.isnan(arrays["biderman_score"][where])
            decided.add((bool(run == k), 0 < run < k))
    assert decided == {(True, False), (False, True), (False, False)}


def test_whole_windows_are_scored_but_for_their_first_token(attacked):
    model, tokens, _, arrays = attacked
    text = torch.from_numpy(tokens.astype(np.int64))
    logits = model.logits(text)[:, :-1]
    log_probs = logits.log_softmax(dim=-1).gather(-1, text[:, 1:, None])[..., 0]
    assert log_probs.shape == (N, LENGTH - 1)
    expected = {
        "nll": -log_probs.mean(dim=1),
        "min_k": min_k(log_probs, 0.2),
        "min_k_plus_plus": min_k_plus_plus(logits, text[:, 1:], 0.2),
        "window_min_perplexity": window_min_perplexity(-log_probs, 7),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(arrays[name], values, rtol=1e-4, err_msg=name)


def test_the_tokens_that_are_scored_are_the_suffix_and_no_other():
    """A model that is sure of one token a place: right but for the last of the prefix, and but for that after it."""
    tokens = np.arange(1, 11)[None]

    class Sure:
        vocabulary, device, max_length = 20, "cpu", None

        def __init__(self, wrong):
            self.wrong = wrong

        def logits(self, text):
            following = text + 1  # of token n at place n - 1
            following[:, self.wrong - 1] = 0
            return 100.0 * torch.nn.functional.one_hot(following, 20)

    settings = SETTINGS | {"lengths": [[4, 3]], "top_k": None}
    for wrong, run in ((3, 3), (4, 0), (6, 2), (7, 3)):  # the suffix is tokens 4, 5 and 6
        arrays = attack(Sure(wrong), tokens, settings, np.zeros(1, bool))  # both prompts begin where the window does
        assert arrays["matched_run"].tolist() == [[run, run]]
        assert arrays["exact"].tolist() == [[run == 3] * 2]
        assert arrays["suffix_nll"][0] == pytest.approx([0 if run == 3 else 100 / 3] * 2, abs=1e-4)


def test_one_window_at_once_gives_what_many_do(attacked):
    model, tokens, generated, arrays = attacked
    one = attack(model, tokens, SETTINGS | {"batch_tokens": 1}, generated)
    for name, values in arrays.items():
        if values.dtype == float:
            np.testing.assert_allclose(one[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(one[name], values, err_msg=name)


def test_only_what_is_not_exact_is_generated_and_each_prompt_once(attacked, monkeypatch):
    model, tokens, generated, arrays = attacked
    asked = []
    monkeypatch.setattr(attack_module, "greedy", lambda model, rows, prompt, batches: asked.append(len(rows)) or -2)
    attack(model, tokens, SETTINGS, generated)
    different = arrays["exact"][:, :5]  # the sixth prompt is the third
    np.testing.assert_array_equal(arrays["exact"][:, 2], arrays["exact"][:, 5])
    assert sum(asked) == (~different & generated[:, None]).sum()


def test_a_killed_attack_ends_in_the_same_bytes(attacked, tmp_path, monkeypatch, capsys):
    model, tokens, generated, arrays = attacked
    unfinished, calls = Unfinished(tmp_path / "x.a.unfinished", 0), []
    part = attack_module._attack_part

    def killed(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return part(*given)

    monkeypatch.setattr(attack_module, "_attack_part", killed)
    with pytest.raises(KeyboardInterrupt):
        attack(model, tokens, SETTINGS, generated, unfinished)
    again = attack(model, tokens, SETTINGS, generated, unfinished)
    assert len(calls) == 5  # four parts of at most three windows, one of them twice
    assert "going on after window 6, from " in capsys.readouterr().out
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        assert again[name].dtype == values.dtype
        assert again[name].tobytes() == values.tobytes(), name


def test_windows_too_short_for_their_prompts_are_refused(attacked):
    model, tokens, generated, _ = attacked
    with pytest.raises(ValueError, match=r"^lengths: prompts of 24 tokens, but windows have 23$"):
        attack(model, tokens[:, :23], SETTINGS, generated)


def test_windows_longer_than_a_model_takes_are_refused():
    with pytest.raises(ValueError, match="at most 128"):
        attack(tiny("neox"), np.zeros((2, 129), int), SETTINGS, np.zeros(2, bool))


def test_a_model_that_broke_is_no_result(attacked):
    _, tokens, generated, _ = attacked
    broken = tiny("neox")
    broken.model.get_output_embeddings().weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"^the model's losses are not all numbers$"):
        attack(broken, tokens, SETTINGS, generated)


def test_generation_agrees_with_the_pass(attacked):
    model, tokens, _, arrays = attacked
    assert (
        verify(model, tokens, NAMES, arrays["matched_run"], SETTINGS, rng()) == (arrays["matched_run"] >= 0).sum() == 56
    )
    assert verify(model, tokens, NAMES, arrays["matched_run"], SETTINGS | {"verify_generate": 7}, rng()) == 7


@pytest.mark.parametrize("right", [40, 3])
def test_half_of_what_is_checked_has_a_first_token_right_as_far_as_there_is_so_much(monkeypatch, right):
    """Of 400 prompts few are; 20 that are drawn from all of them alike would hold two."""
    tokens, matched_run, checked = np.arange(200 * 7).reshape(200, 7), np.zeros(400, int), []
    matched_run[np.linspace(0, 399, right).astype(int)] = 2
    matched_run[1::8] = -1  # not asked
    matched_run = matched_run.reshape(200, 2)

    def as_claimed(model, rows, prompt, batches):
        runs = matched_run[rows[:, 0] // 7, PROTOCOLS.index(prompt.protocol)]
        checked.extend(runs.tolist())
        return np.where(np.arange(3) < runs[:, None], rows[:, 4:], -5)

    monkeypatch.setattr(attack_module, "greedy", as_claimed)
    settings = SETTINGS | {"lengths": [[4, 3]], "verify_generate": 20}
    assert verify(tiny("neox"), tokens, [str(n) for n in range(200)], matched_run, settings, rng()) == 20
    assert len(checked) == 20
    assert set(checked) == {0, 2}
    assert min(10, (matched_run > 0).sum()) <= checked.count(2) < 16


def test_a_disagreement_names_the_window_and_the_prompt(attacked):
    model, tokens, _, arrays = attacked
    claimed = arrays["matched_run"].copy()
    claimed[3, 4] += 1 - 2 * (claimed[3, 4] > 0)
    with pytest.raises(ValueError, match=r"^window code_003, fixed_suffix, prefix of 12: generation .*; no tie, "):
        verify(model, tokens, NAMES, claimed, SETTINGS, rng())


def test_a_disagreement_over_two_tokens_as_likely_as_each_other_is_called_a_tie(attacked):
    _, tokens, _, _ = attacked
    tied = tiny("neox")
    tied.model.get_output_embeddings().weight.data.zero_()
    claimed = np.full((N, 6), 1)
    with pytest.raises(ValueError, match=r"; a tie of two tokens, the likeliest two logits at token \d+ are 0 apart$"):
        verify(tied, tokens, NAMES, claimed, SETTINGS, rng())


def fails_over(model, monkeypatch, rows):
    """A model that finds no memory for more than so many texts at once; how many it was given each time."""
    logits, given = model.logits, []

    def limited(tokens):
        given.append(len(tokens))
        if len(tokens) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
        return logits(tokens)

    monkeypatch.setattr(model, "logits", limited)
    return given


def test_batches_become_smaller_where_memory_does_not_do_and_say_so(attacked, monkeypatch, capsys):
    model, tokens, generated, arrays = attacked
    given = fails_over(model, monkeypatch, 2)
    smaller = attack(model, tokens, SETTINGS | {"batch_tokens": 9 * LENGTH}, generated)
    printed = capsys.readouterr().out
    assert "out of memory with 9 texts of 24 tokens: going on with 4\n" in printed
    assert "out of memory with 4 texts of 24 tokens: going on with 2\n" in printed
    assert printed.count("out of memory") == len([n for n in given if n > 2]) <= 4  # shorter texts try three once more
    np.testing.assert_array_equal(smaller["exact"], arrays["exact"])
    np.testing.assert_allclose(smaller["log_p_z"], arrays["log_p_z"], rtol=1e-4)


def test_a_large_vocabulary_leaves_room_for_fewer_texts_and_for_one_always():
    assert Batches(4096, 1024).rows(64) == 64
    assert Batches(4096, 2**17).rows(64) == 16
    assert Batches(4096, 2**28).rows(64) == 1


def test_no_pass_has_more_logits_than_fit(attacked, monkeypatch):
    model, tokens, generated, arrays = attacked
    logits, given = model.logits, []
    monkeypatch.setattr(model, "logits", lambda rows: given.append(rows.numel()) or logits(rows))
    monkeypatch.setattr(passes, "LOGITS", 2 * LENGTH * model.vocabulary)
    smaller = attack(model, tokens, SETTINGS | {"batch_tokens": 9 * LENGTH}, generated)
    window_nll(model, tokens, 9 * LENGTH)
    assert max(given) == 2 * LENGTH
    np.testing.assert_array_equal(smaller["exact"], arrays["exact"])


def test_no_memory_for_one_text_and_other_errors_are_raised(attacked, monkeypatch):
    model, tokens, generated, _ = attacked
    fails_over(model, monkeypatch, 0)
    with pytest.raises(RuntimeError, match="out of memory"):
        attack(model, tokens, SETTINGS, generated)
    monkeypatch.setattr(model, "logits", lambda tokens: tokens @ tokens)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        attack(model, tokens, SETTINGS, generated)


def test_the_loss_of_texts_of_many_lengths_equals_that_of_each_alone(attacked):
    model, tokens, _, arrays = attacked
    texts = [tokens[0, :5], tokens[1], tokens[2, :1], tokens[3, :5], tokens[4, :0], tokens[5, :9]]
    losses = window_nll(model, texts, 48)
    for text, loss in zip(texts, losses, strict=True):
        if len(text) < 2:
            assert np.isnan(loss)
            continue
        every = torch.from_numpy(text.astype(np.int64))[None]
        log_probs = model.logits(every)[0, :-1].log_softmax(-1)
        assert loss == pytest.approx(-np.mean([log_probs[n, token] for n, token in enumerate(text[1:])]), rel=1e-5)
    assert losses[1] == pytest.approx(arrays["nll"][1], rel=1e-5)
