import pytest
import torch
from memorization.training.loop import TrainingError, log_spaced_steps, run

from memorization.training.checkpoints import Unfinished


def test_steps_are_run_in_order_with_progress_and_checkpoints(tmp_path, capsys):
    done, kept = [], Unfinished(tmp_path / "x.a.unfinished", 0)

    def step(n):
        done.append(n)
        return torch.tensor(0.5)

    run(step, 2, 5, kept, lambda n: {"step": torch.tensor(n)}, report_seconds=0)
    assert done == [3, 4, 5]
    assert int(kept.load()["step"]) == 4  # none of the last step: the job's outputs follow
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 3/5  loss 0.5000")
    assert lines[-1].startswith("step 5/5")
    assert all("steps/s" in line and line.endswith("s left") for line in lines)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    kept = Unfinished(tmp_path / "x.a.unfinished", 0)
    losses = {1: 0.5, 2: 0.4, 3: float("nan"), 4: 0.3}
    with pytest.raises(TrainingError, match="step 3: the loss is nan"):
        run(lambda n: torch.tensor(losses[n]), 0, 4, kept, lambda n: {"step": torch.tensor(n)}, report_seconds=3600)
    assert int(kept.load()["step"]) == 2


@pytest.mark.parametrize("broken", [2, 4])
def test_a_state_that_is_no_number_is_never_kept(tmp_path, broken):
    kept = Unfinished(tmp_path / "x.a.unfinished", 0)

    def state(n):
        return {"step": torch.tensor(n), "weight": torch.tensor([1.0, float("inf") if n >= broken else 1.0])}

    with pytest.raises(TrainingError, match=f"step {broken}: not finite: weight"):
        run(lambda n: torch.tensor(0.5), 0, 4, kept, state, report_seconds=3600)
    assert int(kept.load()["step"]) == broken - 1


def test_steps_are_spaced_evenly_in_their_logarithm():
    assert log_spaced_steps(1000, 4) == [0, 1, 10, 100, 1000]
    steps = log_spaced_steps(2500, 40)
    assert steps[0] == 0
    assert steps[-1] == 2500
    assert steps == sorted(set(steps))
    assert len(steps) <= 41
    assert log_spaced_steps(1, 40) == [0, 1]
