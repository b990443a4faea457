import json
import re

import pytest
import torch
from safetensors import safe_open

from memorization.files import DamagedFile
from memorization.training.checkpoints import Unfinished, read_tensors, restore, training_state, write_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.zeros(0, dtype=torch.int64)}


def trained(steps, model=None, optimizer=None):
    torch.manual_seed(0)
    model = model or torch.nn.Linear(4, 4)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_tensors_come_back_with_what_made_them(tmp_path):
    write_tensors(tmp_path / "x.safetensors", TENSORS, {"rule": "some"})
    back = read_tensors(tmp_path / "x.safetensors")
    assert back.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        made_by = json.loads(file.metadata()["made_by"])
    assert made_by["rule"] == "some"
    assert re.fullmatch("[0-9a-f]{64}", made_by["sha256"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_equal_tensors_are_equal_bytes(tmp_path):
    for n in range(8):
        write_tensors(tmp_path / str(n), dict(reversed(TENSORS.items())) if n % 2 else TENSORS, {"a": 1, "b": 2})
    assert len({(tmp_path / str(n)).read_bytes() for n in range(8)}) == 1


def test_a_module_that_stands_in_two_places_comes_back(tmp_path):
    shared = torch.nn.Linear(3, 3)
    model = torch.nn.Sequential(shared, shared)
    write_tensors(tmp_path / "x", model.state_dict(), {})
    back = read_tensors(tmp_path / "x")
    assert back.keys() == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert torch.equal(back["1.weight"], shared.weight)


@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
def test_a_damaged_checkpoint_is_named_and_refused(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-4]
    elif damage == "flip":
        content[-20] ^= 1
    else:
        content = b"something else"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"x\.safetensors: damaged"):
        read_tensors(path)


def test_an_absent_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_tensors(tmp_path / "absent.safetensors")


def test_training_goes_on_from_its_state_to_the_same_bits():
    whole, _ = trained(6)
    state = {name: tensor.clone() for name, tensor in training_state(*trained(3)).items()}
    model, optimizer = trained(0)
    restore(model, optimizer, state | {"of_somebody_else": torch.zeros(1)})
    resumed, _ = trained(3, model, optimizer)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)


def test_an_unfinished_checkpoint_is_found_by_its_key_alone_and_deleted_with_stale_ones(tmp_path):
    stale, other = Unfinished(tmp_path / "x.npz.aaaa.unfinished", 0), Unfinished(tmp_path / "y.npz.bbbb.unfinished", 0)
    mine = Unfinished(tmp_path / "x.npz.cccc.unfinished", 3600)
    stale.save(TENSORS)
    other.save(TENSORS)
    assert mine.load() is None
    assert not mine.due()
    assert stale.due()
    mine.save(TENSORS)
    assert torch.equal(mine.load()["a"], TENSORS["a"])
    mine.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["y.npz.bbbb.unfinished"]


def test_a_damaged_unfinished_checkpoint_is_named_and_the_job_begins_anew(tmp_path, capsys):
    unfinished = Unfinished(tmp_path / "x.npz.cccc.unfinished", 0)
    unfinished.path.write_bytes(b"half of it")
    assert unfinished.load() is None
    assert "x.npz.cccc.unfinished: damaged" in capsys.readouterr().out
