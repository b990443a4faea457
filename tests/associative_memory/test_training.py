import numpy as np
import pytest
import torch
from sections import complete
from torch.utils.flop_counter import FlopCounterMode

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.associative_memory.training import Memory, build, sizes
from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.provenance import generator
from memorization.random_sequences.training import train
from memorization.training.checkpoints import Unfinished

COUNT, LENGTH, BATCH = 20, 16, 32
CONDITION = {
    "architecture": "associative_memory", "n_heads": 8, "eta": 10.0, "memory_size": 200, "epsilon": 1e-6,
    "init_std": 0.1, "learning_rate": 0.03,
}  # fmt: skip


def run(tmp_path, steps, before=None, kind=None, every=3600.0, **change):
    p = zipf_probabilities(COUNT, 1.0)
    sets = sample_sequences(COUNT, LENGTH, generator("test", 0, "sequences"))[None]
    if kind:
        sets = np.stack([sets[0], following_set(sets, kind, generator("test", 0, kind))])
    learner = Memory(CONDITION | change, LENGTH, 0, "cpu")
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    evaluation = {"n_records": 8, "n_late": 1, "head": 0, "train_stride": 1}
    state, trajectory = train(learner, sets, Batches(p, BATCH, "test", 0), steps, evaluation, unfinished, 3600, before)
    return learner, sets, state, trajectory


def test_a_step_predicts_before_it_stores_and_counts_repeats_of_the_batch():
    sequences = sample_sequences(4, LENGTH, np.random.default_rng(0))
    learner = Memory(CONDITION | {"learning_rate": 1e-9}, LENGTH, 0, "cpu")
    ranks = np.array([2, 0, 2, 2])
    assert learner.step(1, sequences, ranks).item() == np.float32(np.log(2))  # an empty memory
    stored, counts = learner.model.contents()
    assert {tuple(row): count for row, count in zip(stored.tolist(), counts.tolist(), strict=True)} == {
        tuple(sequences[0].tolist()): 1,
        tuple(sequences[2].tolist()): 3,
    }
    plain = -learner.model.log_probabilities(torch.from_numpy(sequences[[1, 0, 1]])).mean()
    assert abs(learner.step(1, sequences, np.array([1, 0, 1])) - plain) < 1e-6


@pytest.mark.parametrize("architecture", ["associative_memory", "linear_readout"])
def test_what_no_query_reads_is_no_parameter(architecture):
    model = Memory(CONDITION | {"architecture": architecture, "n_units": 6}, LENGTH, 0, "cpu").model
    others = [parameter.numel() for name, parameter in model.named_parameters() if name != "attention_logits"]
    read = int((model.attention > 0).sum()) + sum(others)
    assert sizes(model) == {"parameters": read, "trainable": read}


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    memory = AssociativeMemory(complete(scale)["associative_memory"])
    for name in memory.names:
        model = build(memory.condition(name), memory.dataset(name)["length"])
        assert memory.training_size(name)["parameters"] == sizes(model)["parameters"], name


@pytest.mark.parametrize("name", ["heads_4", "linear_readout"])
def test_a_forward_pass_takes_as_many_flops_as_torch_counts(name):
    section = complete()["associative_memory"]
    section["datasets"] = [{"name": "matched", "count": 300, "length": 48, "exponent": 0}]
    section["defaults"]["memory_size"] = 20000  # so that all of them are in it
    memory = AssociativeMemory(section)
    model, sequences = build(memory.condition(name), 48), torch.randint(0, 2, (300, 48))
    model.append(sequences)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.log_probabilities(sequences[:64])
    assert 64 * memory.forward_flops(name) == pytest.approx(counter.get_total_flops(), rel=0.05)


@pytest.mark.parametrize("architecture", ["associative_memory", "linear_readout"])
def test_both_architectures_learn_and_one_has_no_memory(tmp_path, architecture):
    learner, _, _, trajectory = run(tmp_path, 200, architecture=architecture, n_units=16)
    assert trajectory["weighted_loss"][-1] < trajectory["weighted_loss"][0] - 0.2
    assert any("queue" in name for name in learner.state()) == (architecture == "associative_memory")


def test_an_old_set_leaves_the_queue_after_as_many_steps_as_it_holds_batches(tmp_path):
    *_, before, _ = run(tmp_path, 50)
    for steps, left in ((56, True), (57, False)):  # 200 places are 6.25 batches of 32
        learner, sets, *_ = run(tmp_path, steps, before, "resample")
        stored = {tuple(row) for row in learner.model.contents()[0].tolist()}
        assert bool(stored & {tuple(row) for row in sets[0].tolist()}) == left


def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    *_, before, _ = run(tmp_path, 20)
    *_, expected_state, expected = run(tmp_path, 40, before, "forget")
    step = Memory.step

    def killed(self, n, sequences, ranks):
        killed.steps += 1
        if killed.steps == 15:
            raise KeyboardInterrupt
        return step(self, n, sequences, ranks)

    killed.steps = 0
    monkeypatch.setattr(Memory, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 40, before, "forget", every=0)
    monkeypatch.setattr(Memory, "step", step)
    *_, state, trajectory = run(tmp_path, 40, before, "forget", every=0)
    assert state.keys() == expected_state.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, expected_state[name]), name
    for name, rows in trajectory.items():
        np.testing.assert_array_equal(rows, expected[name])
