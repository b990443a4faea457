"""The frame of every training, with a small learner in it."""

import math

import numpy as np
import pytest
import torch

from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.fit import Recorder, TrainingError, fit, log_spaced_steps, model_sizes


class Line:
    """A linear map that learns to sum its inputs by Adam, a batch a step; and what is recorded of it."""

    def __init__(self, losses=None):
        torch.manual_seed(0)
        self.model, self.losses = torch.nn.Linear(3, 1), losses or {}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.done = []
        self.recorder = Recorder(step=((), np.int64), weight=((3,), np.float32))

    def step(self, n):
        self.done.append(n)
        batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(n))
        loss = (self.model(batch)[:, 0] - batch.sum(dim=1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return torch.tensor(self.losses.get(n, loss.item()))

    def state(self):
        return training_state(self.model, self.optimizer)

    def restore(self, state):
        restore(self.model, self.optimizer, state)

    def record(self, n):
        self.recorder.append(step=n, weight=self.model.weight[0].detach())


def trained(tmp_path, learner=None, steps=12, every=3600.0, report_seconds=3600, **options):
    learner = learner or Line()
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    last = fit(learner, learner.record, learner.recorder, steps, unfinished, report_seconds, **options)
    return learner, last, unfinished


def assert_same(one, other):
    for name, tensor in one.state().items():
        assert torch.equal(tensor, other.state()[name]), name
    for name, rows in one.recorder.arrays().items():
        np.testing.assert_array_equal(rows, other.recorder[name])


def test_steps_are_made_in_order_and_each_is_recorded_with_the_first(tmp_path, capsys):
    learner, last, unfinished = trained(tmp_path, every=0, report_seconds=0, steps=5, first=2)
    assert last == 5
    assert learner.done == [3, 4, 5]
    assert learner.recorder["step"].tolist() == [2, 3, 4, 5]
    assert unfinished.load()["step"] == 4  # none of the last step: the job's outputs follow
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 3/5  loss ")
    assert lines[-1].startswith("step 5/5  loss ")
    assert all("steps/s" in line and line.endswith("s left") for line in lines)


@pytest.mark.parametrize("killed_at", [1, 2, 8, 12])
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, capsys, killed_at):
    unbroken, *_ = trained(tmp_path)

    class Killed(Line):
        def step(self, n):
            if n == killed_at:
                raise KeyboardInterrupt
            return super().step(n)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Killed(), every=0)
    resumed, last, _ = trained(tmp_path, every=0)
    assert last == 12
    assert resumed.done == list(range(max(killed_at, 1), 13))
    assert ("going on after step" in capsys.readouterr().out) == (killed_at > 1)  # else nothing was kept yet
    assert_same(resumed, unbroken)


def test_what_was_recorded_before_it_goes_on_is_not_recorded_again(tmp_path):
    trained(tmp_path, every=0, steps=6)
    resumed, *_ = trained(tmp_path, steps=6)
    assert resumed.done == [6]
    assert resumed.recorder["step"].tolist() == list(range(7))


@pytest.mark.parametrize(("crossed", "after", "last"), [(None, 3, 12), (5, 3, 8), (5, 0, 6), (11, 3, 12)])
def test_it_stops_at_the_first_step_at_which_it_may(tmp_path, crossed, after, last):
    def stop(n):
        """It may end ``after`` so many steps once it has crossed, which it looks at every 2 steps."""
        return crossed + after if crossed is not None and n >= crossed else n + 2

    learner, ended, _ = trained(tmp_path, stop=stop)
    assert ended == learner.done[-1] == learner.recorder["step"][-1] == last


def test_a_training_that_stopped_early_goes_on_from_its_last_step_with_none_left(tmp_path):
    def stop(n):
        return 7

    first, last, _ = trained(tmp_path, stop=stop, keep_last=True)
    again, other, _ = trained(tmp_path, stop=stop)
    assert (last, other) == (7, 7)
    assert again.done == []
    assert_same(again, first)


def test_the_last_step_is_kept_where_another_process_goes_on_from_it(tmp_path, capsys):
    kept, _, unfinished = trained(tmp_path, keep_last=True)
    assert unfinished.load()["step"] == 12
    capsys.readouterr()
    again, last, _ = trained(tmp_path)
    assert (again.done, last) == ([], 12)
    assert capsys.readouterr().out == f"going on after step 12, from {unfinished.path}\n"
    assert_same(again, kept)


@pytest.mark.parametrize("steps", [0, 3])
def test_no_step_to_make_is_refused(tmp_path, steps):
    with pytest.raises(ValueError, match=f"a training to step {steps} cannot go on from step 3"):
        trained(tmp_path, steps=steps, first=3)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="step 3: the loss is nan"):
        trained(tmp_path, Line({3: math.nan}), every=0)
    assert Unfinished(tmp_path / "x.a.unfinished", 0).load()["step"] == 2


@pytest.mark.parametrize("broken", [2, 12])
@pytest.mark.parametrize("where", ["model.bias", "recorded.weight"])
def test_a_state_that_is_no_number_is_never_kept(tmp_path, broken, where):
    class Broken(Line):
        def step(self, n):
            loss = super().step(n)
            if n == broken:
                (self.model.bias if where == "model.bias" else self.model.weight).data[:] = math.inf
            return loss

        def record(self, n):
            super().record(n)
            if where == "recorded.weight":
                self.model.weight.data.nan_to_num_(posinf=0)  # what was recorded was not finite, the model is

    with pytest.raises(TrainingError, match=f"step {broken}: not finite: {where}"):
        trained(tmp_path, Broken(), every=0)
    assert Unfinished(tmp_path / "x.a.unfinished", 0).load()["step"] == broken - 1


def test_a_recorder_s_arrays_are_their_parts_in_order():
    recorder = Recorder(step=((), np.int64), rows=((2,), np.float32))
    assert recorder.last("step") is None
    assert recorder["rows"].shape == (0, 2)
    assert recorder["rows"].dtype == np.float32
    rng, parts, steps = np.random.default_rng(0), [], []
    for n in range(20):
        parts.append(rng.random((n % 4, 2), np.float32))
        recorder.extend(rows=parts[-1])
        if n % 3 == 0:
            steps.append(n)
            recorder.append(step=n)
            assert recorder.last("step") == n
        if n == 7:
            np.testing.assert_array_equal(recorder["rows"], np.concatenate(parts))  # looked at meanwhile
    np.testing.assert_array_equal(recorder["rows"], np.concatenate(parts))
    assert recorder["step"].tolist() == steps
    assert recorder.arrays().keys() == {"step", "rows"}
    assert (recorder["step"].dtype, recorder["rows"].dtype) == (np.int64, np.float32)


def test_a_recorder_keeps_copies_of_what_it_is_given():
    recorder, row = Recorder(rows=((2,), np.float32)), np.zeros(2, np.float32)
    recorder.append(rows=row)
    row[:] = 1
    recorder.append(rows=row)
    assert recorder["rows"].tolist() == [[0, 0], [1, 1]]


def test_a_recorder_comes_back_and_goes_on():
    recorder = Recorder(step=((), np.int64), rows=((2,), np.float32))
    recorder.extend(step=[1, 2], rows=[[1, 2], [3, 4]])
    other = Recorder(step=((), np.int64), rows=((2,), np.float32))
    other.append(step=9, rows=[9, 9])
    other.restore(recorder.state() | {"another.step": torch.zeros(1)})
    other.append(step=3, rows=[5, 6])
    assert other["step"].tolist() == [1, 2, 3]
    assert other.last("rows").tolist() == [5, 6]
    assert recorder["step"].tolist() == [1, 2]  # what was restored elsewhere is its own


def test_appending_copies_no_row_that_is_there_already(monkeypatch):
    recorder, copied, concatenate = Recorder(rows=((2,), np.float32)), [], np.concatenate
    monkeypatch.setattr(np, "concatenate", lambda parts: copied.append(sum(map(len, parts))) or concatenate(parts))
    for n in range(1, 1001):
        recorder.append(rows=[n, n])
        recorder.last("rows")
        if n % 500 == 0:
            recorder.state()
    assert copied == [500, 1000]


def test_steps_are_spaced_evenly_in_their_logarithm():
    assert log_spaced_steps(1000, 4) == [0, 1, 10, 100, 1000]
    steps = log_spaced_steps(2500, 40)
    assert steps[0] == 0
    assert steps[-1] == 2500
    assert steps == sorted(set(steps))
    assert len(steps) <= 41
    assert log_spaced_steps(1, 40) == [0, 1]
    assert log_spaced_steps(0, 40) == [0]


def test_a_model_s_sizes_are_all_its_parameters_and_those_that_are_trained():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    model[0].requires_grad_(False)
    assert model_sizes(model) == {"parameters": 11, "trainable": 3}
