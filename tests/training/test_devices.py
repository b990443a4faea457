import pytest
import torch
from torch.nn import functional as F

from memorization.models.decoder import Decoder
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


@pytest.mark.parametrize(
    ("device", "given", "taken"), [("auto", {}, False), ("cuda", {}, True), ("auto", {"SLURM_JOB_GPUS": "0"}, True)]
)
def test_in_a_slurm_job_without_gpus_auto_leaves_those_of_the_node_alone(monkeypatch, device, given, taken):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"SLURM_JOB_ID": "7"} | given).items():
        monkeypatch.setenv(name, value)
    done = []
    monkeypatch.setattr("memorization.training.devices.take_slots", lambda *gpus: done.append(gpus))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert set_up(device, threads=1) == ("cuda" if taken else "cpu")
    assert bool(done) == taken


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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bfloat16_is_for_maps_attention_and_activation_alone(precision):
    model, seen = Decoder(3, 2, 6, n_layers=1, n_heads=2, d_model=8), {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
    tokens = torch.zeros(4, 6, dtype=torch.long)
    with autocast("cpu", precision):
        loss = F.cross_entropy(model(tokens).transpose(1, 2), tokens)
    layer, low = "layers.0", getattr(torch, precision)
    stream = ["token_embedding", layer, f"{layer}.attention_norm", f"{layer}.feed_forward_norm", "final_norm"]
    assert {seen[name][1].dtype for name in stream} | {loss.dtype} == {torch.float32}
    maps = [f"{layer}.{name}" for name in ("attention.qkv", "attention.output", "feed_forward.up", "feed_forward.down")]
    assert {seen[name][1].dtype for name in [*maps, "head"]} == {low}
    after = [f"{layer}.attention.output", f"{layer}.feed_forward.down"]  # attention and activation
    assert {seen[name][0].dtype for name in after} == {low}


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="precision: 'float16' is not one of float32, bfloat16"):
        autocast("cpu", "float16")


def test_streams_are_named():
    def numbers(*names):
        seed_torch(*names)
        return torch.rand(4)

    assert torch.equal(numbers("toy", 0), numbers("toy", 0))
    assert not torch.equal(numbers("toy", 0), numbers("toy", 1))
