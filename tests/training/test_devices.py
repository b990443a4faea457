import pytest
import torch

from memorization.training.devices import DeviceError, autocast, seed_torch, set_up


def test_auto_takes_a_gpu_where_there_is_one():
    assert set_up("auto", threads=1) == ("cuda" if torch.cuda.is_available() else "cpu")
    assert set_up("cpu", threads=1) == "cpu"
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_a_gpu_that_is_not_there_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device: cuda, but torch sees no GPU here; allowed are auto, cpu, cuda"):
        set_up("cuda", threads=1)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_whoever_may_run_on_a_gpu_takes_a_slot_before_torch_looks_for_gpus(monkeypatch, device):
    done = []
    monkeypatch.setattr("memorization.training.devices.take_slots", lambda *given: done.append(given))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(done.append("looks")) or True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert set_up(device, threads=1, gpus=2, gpu_share=3) == ("cpu" if device == "cpu" else "cuda")
    assert done[:2] == ([] if device == "cpu" else [(2, 3), "looks"])


def test_fewer_gpus_than_asked_for_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("memorization.training.devices.take_slots", lambda *given: [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="gpus: 2, but torch sees 1 here"):
        set_up("auto", threads=1, gpus=2)


def test_float32_is_float32():
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    set_up("cpu", threads=1)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_products_are_in_the_precision_that_is_asked_for():
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    for precision, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16)]:
        with autocast("cpu", precision):
            assert layer(x).dtype == dtype
    with pytest.raises(ValueError, match="precision: 'float16' is not one of float32, bfloat16"):
        autocast("cpu", "float16")


def test_streams_are_named():
    def numbers(*names):
        seed_torch(*names)
        return torch.rand(4)

    assert torch.equal(numbers("zipf", 0), numbers("zipf", 0))
    assert not torch.equal(numbers("zipf", 0), numbers("zipf", 1))
