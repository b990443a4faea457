import numpy as np
import pytest
import torch
from extraction_models import known_windows, tiny

from memorization.extraction.attack import attack
from memorization.extraction.metrics import log_suffix_probability, teacher_forced_match
from memorization.extraction.probes import behind, sliding
from memorization.provenance import generator

SETTINGS = {
    "lengths": [[4, 8], [12, 8]], "temperature": 1.2, "top_k": 6, "min_k": 0.2, "window_min": 5, "batch_tokens": 60,
}  # fmt: skip


@pytest.fixture(scope="module", params=["neox", "mamba"])
def model(request):
    return tiny(request.param)


def plainly(model, text, prefix):
    """Whether greedy decoding gives the tokens of a text from ``prefix`` on, and log p_z of these."""
    text = torch.from_numpy(text.astype(np.int64))[None]
    logits = model.logits(text)[:, prefix - 1 : -1]
    log_p_z = log_suffix_probability(logits, text[:, prefix:], SETTINGS["temperature"], SETTINGS["top_k"])
    return bool(teacher_forced_match(logits, text[:, prefix:]).all()), log_p_z.item()


def test_behind_nothing_a_window_is_attacked_as_it_is(model):
    tokens = known_windows(model, 8, 4, 20)
    plain = attack(model, tokens, SETTINGS, np.zeros(8, bool))
    probed = behind(model, tokens, np.empty((8, 0), np.int32), SETTINGS)
    assert 0 < probed["exact"].sum() < 8
    for name in ("exact", "matched_run", "log_p_z"):
        np.testing.assert_array_equal(probed[name], plain[name][:, 1], err_msg=name)  # 12 + 8


def test_behind_other_tokens_the_suffix_of_the_longest_prompt_is_scored_after_all_of_them(model):
    windows = known_windows(model, 8, 4, 29)
    fillers, tokens = windows[:, :5], windows[:, 5:]  # together they are what the model goes on with
    probed = behind(model, tokens, fillers, SETTINGS)
    for row in range(8):
        exact, log_p_z = plainly(model, np.concatenate([fillers[row], tokens[row, :20]]), 17)
        assert probed["exact"][row] == exact
        assert probed["log_p_z"][row] == pytest.approx(log_p_z, rel=1e-4)
    assert probed["exact"][:4].all()
    assert (probed["matched_run"][:4] == 8).all()
    other = behind(model, tokens, (fillers + 1) % 40, SETTINGS)
    assert (other["log_p_z"] != probed["log_p_z"]).any()


def test_a_window_behind_more_than_a_model_takes_is_refused():
    tokens = np.zeros((2, 20), int)
    with pytest.raises(ValueError, match="texts of 129 tokens, but the model takes at most 128"):
        behind(tiny("neox"), tokens, np.zeros((2, 109), int), SETTINGS)
    with pytest.raises(ValueError, match=r"^lengths: a prompt of 20 tokens, but windows have 19$"):
        behind(tiny("neox"), tokens[:, 1:], np.zeros((2, 5), int), SETTINGS)


@pytest.mark.parametrize(("length", "starts"), [(30, [0, 7, 14]), (31, [0, 7, 14]), (36, [0, 7, 14, 21]), (15, [0])])
def test_each_prompt_of_a_document_is_alone(model, length, starts):
    rng = generator("test", 0, "document")
    known = known_windows(model, 2, 9, 15)[0]
    document = np.concatenate([known, rng.integers(40, size=length - 15)]).astype(np.int32)
    found = sliding(model, document, 9, 6, 7, 1.2, 6, batch_tokens=40)
    assert found["start"].tolist() == starts
    for start, exact, log_p_z in zip(starts, found["exact"], found["log_p_z"], strict=True):
        expected = plainly(model, document[start : start + 15], 9)
        assert exact == expected[0]
        assert log_p_z == pytest.approx(expected[1], rel=1e-4)
    assert found["exact"].tolist() == [True] + [False] * (len(starts) - 1)


def test_a_map_refuses_a_document_without_a_prompt_and_steps_of_nothing(model):
    with pytest.raises(ValueError, match=r"^document: 14 tokens, but a prompt has 15$"):
        sliding(model, np.zeros(14, int), 9, 6, 7, 1.0, None, 40)
    with pytest.raises(ValueError, match=r"^prefix 9, suffix 6, stride 0: each is at least 1 token$"):
        sliding(model, np.zeros(30, int), 9, 6, 0, 1.0, None, 40)
