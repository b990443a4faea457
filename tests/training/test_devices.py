import pytest
import torch

from memorization.training.devices import DeviceError, seed_torch, set_up


def test_auto_takes_a_gpu_where_there_is_one():
    assert set_up("auto", threads=1) == ("cuda" if torch.cuda.is_available() else "cpu")
    assert set_up("cpu", threads=1) == "cpu"
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_a_gpu_that_is_not_there_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device: cuda, but torch sees no GPU here; allowed are auto, cpu, cuda"):
        set_up("cuda", threads=1)


def test_streams_are_named():
    def numbers(*names):
        seed_torch(*names)
        return torch.rand(4)

    assert torch.equal(numbers("zipf", 0), numbers("zipf", 0))
    assert not torch.equal(numbers("zipf", 0), numbers("zipf", 1))
