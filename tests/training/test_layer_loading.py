import json
import os
import pickle
from hashlib import sha256

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from memorization.training.checkpoints import read_tensors, write_tensors
from memorization.training.distributed import launch
from memorization.training.layer_loading import load_layers, read_state
from memorization.training.sharded_checkpoints import load_sharded

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


class Memory(nn.Module):
    def __init__(self, slots):
        super().__init__()
        self.keys = nn.Parameter(torch.randn(2, 3))
        self.values = nn.Embedding(slots, 2)


def tree(layers, seed=0, slots=5, container="layers", memories=()):
    """A module with embedding and layers, each attn (a linear map) and, in some, memory."""
    torch.manual_seed(seed)
    stack = [nn.ModuleDict({"attn": nn.Linear(2, 2)}) for _ in range(layers)]
    for layer in memories:
        stack[layer]["memory"] = Memory(slots)
    return nn.ModuleDict({"embedding": nn.Embedding(4, 2), container: nn.ModuleList(stack)})


def within(name, module):
    return nn.ModuleDict({name: module})


def tensors(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def loaded(model, source, mappings):
    """The names of the model's tensors that the checkpoint has changed, by the names of what is there now."""
    before, state = tensors(model), tensors(source)
    made = load_layers(model, state, mappings)
    after, copies = model.state_dict(), {copy["target"]: copy["source"] for copy in made["copies"]}
    for name in after:
        assert torch.equal(after[name], state[copies[name]] if name in copies else before[name]), name
    return copies


def test_layers_go_by_number_and_range_from_the_checkpoint_to_the_model():
    copies = loaded(within("model", tree(12, 1)), within("model", tree(8)), {"layer_mappings": {"0-5": "0-5", 6: 10}})
    expected = {n: n for n in range(6)} | {10: 6}
    assert copies == {
        f"model.layers.{target}.attn.{kind}": f"model.layers.{source}.attn.{kind}"
        for target, source in expected.items()
        for kind in ("weight", "bias")
    }


def test_a_range_may_be_shifted_and_read_in_any_order():
    copies = loaded(tree(4, 1), tree(3), {"layer_mappings": {"0-1": "2-3", "2": "0"}})
    assert {source.split(".")[1] + target.split(".")[1] for target, source in copies.items()} == {"02", "13", "20"}


@pytest.mark.parametrize("outer", [lambda module: module, lambda module: within("transformer", module)])
@pytest.mark.parametrize("container", ["layers", "h", "blocks"])
def test_layers_are_found_wherever_the_trees_have_them(container, outer):
    copies = loaded(tree(3, 1), outer(tree(3, container=container)), {"layer_mappings": {"1": "2"}})
    assert {target for target in copies} == {"layers.2.attn.weight", "layers.2.attn.bias"}
    assert all(f"{container}.1.attn" in source for source in copies.values())


def test_of_several_stacks_those_of_one_name_are_taken():
    source, model = (nn.ModuleDict({"encoder": tree(2, seed), "decoder": tree(2, seed + 1)}) for seed in (0, 7))
    copies = loaded(model, source, {"layer_mappings": {"0": "1"}})
    assert {target.split(".")[0]: name.split(".")[0] for target, name in copies.items()} == {
        "encoder": "encoder",
        "decoder": "decoder",
    }
    with pytest.raises(ValueError, match=r"checkpoint: encoder\.layers\.<n>, decoder.*; of the model: layers\.<n>;"):
        load_layers(tree(2), tensors(source), {"layer_mappings": {"0": "1"}})


def test_an_optimizer_s_state_is_no_layer():
    state = tensors(within("model", tree(2)))
    state |= {f"optimizer.{name}.exp_avg": tensor for name, tensor in state.items()}
    assert len(load_layers(tree(2, 1), state, {"layer_mappings": {"0": "0"}})["copies"]) == 2


@pytest.mark.parametrize(
    ("mappings", "expected"),
    [
        ({"embedding.weight": "embedding.weight"}, {"embedding.weight": "embedding.weight"}),
        ({"embedding": "embedding"}, {"embedding.weight": "embedding.weight"}),
        (
            {"layers.0.memory.*": "layers.1.memory.*"},
            {f"layers.1.memory.{name}": f"layers.0.memory.{name}" for name in ("keys", "values.weight")},
        ),
        (
            {"layers.0.memory.": "layers.1.memory"},
            {f"layers.1.memory.{name}": f"layers.0.memory.{name}" for name in ("keys", "values.weight")},
        ),
        ({"*.memory.keys": "*.memory.keys"}, {f"layers.{n}.memory.keys": f"layers.{n}.memory.keys" for n in (0, 2)}),
        (
            {"*.0.memory.values": "*.2.memory.values"},
            {"layers.2.memory.values.weight": "layers.0.memory.values.weight"},
        ),
        ({"*.2.*.keys": "layers.1.memory.keys"}, {"layers.1.memory.keys": "layers.2.memory.keys"}),
    ],
)
def test_components_go_by_name_module_or_pattern(mappings, expected):
    source, model = tree(3, memories=(0, 2)), tree(3, 1, memories=(0, 1, 2))
    assert loaded(model, source, {"component_mappings": mappings}) == expected


def test_the_mappings_of_the_specification_go_together():
    source, model = (within("model", tree(12, seed, memories=of)) for seed, of in ((0, (0,)), (1, (0, 1))))
    mappings = {
        "layer_mappings": {"0-5": "0-5", "6": "10"},
        "component_mappings": {
            "model.layers.0.memory.*": "model.layers.1.memory.*",
            "*.memory.keys": "*.memory.keys",
        },
    }
    copies = loaded(model, source, mappings)
    assert copies["model.layers.1.memory.keys"] == copies["model.layers.0.memory.keys"] == "model.layers.0.memory.keys"
    assert len(copies) == 7 * 2 + 2 * 2  # a copy that two mappings name is one


LAYERS, COMPONENTS = "layer_mappings", "component_mappings"


@pytest.mark.parametrize(
    ("mappings", "message"),
    [
        ({LAYERS: {"0": "0"}, COMPONENTS: {"layers.0.memory": "layers.2.memory"}}, r"layers.0.memory.values.weight has "
         r"shape \(5, 2\), layers.2.memory.values.weight of the model \(6, 2\)"),
        ({LAYERS: {"0-1": "0-1", "3": "2"}}, "'3': '2': the checkpoint has no layer 3; it has 0, 1, 2"),
        ({LAYERS: {"1": "0", "2": "3"}}, "the model has no layers.3.attn.weight, for layers.2.attn.weight of"),
        ({LAYERS: {"1": "1", "2": "1"}}, r"layers.1.attn.weight is written twice, by layers.1.attn.weight "
         r"\(layer_mappings: '1': '1'\) and layers.2.attn.weight"),
        ({LAYERS: {"1": "1"}, COMPONENTS: {"*.2.attn": "*.1.attn"}}, "layers.1.attn.weight is written twice"),
        ({COMPONENTS: {"embedding": "embedding", "*.attn.weight": "layers.1.attn.weight"}}, "is written twice"),
        ({COMPONENTS: {"embedding": "embedding", "head": "head"}}, "'head' matches nothing in the checkpoint"),
        ({COMPONENTS: {"layer": "layer"}}, "'layer' matches nothing"),
        ({COMPONENTS: {"embedding": "token_embedding"}}, "the model has no token_embedding.weight, for emb"),
        ({COMPONENTS: {"*.attn": "*.*.attn"}}, r"2 \* for 1; allowed: as many, or none"),
        ({LAYERS: {"0-2": "0-1"}}, "3 layers for 2; they must be as many"),
        ({LAYERS: {"2-0": "0-2"}}, "'2-0' is no layer; allowed: a number such as 6, or a range such as 0-5"),
        ({LAYERS: {"all": "all"}}, "'all' is no layer"),
        ({"layers": {"0": "0"}}, "load_layers: layers; allowed: layer_mappings, component_mappings"),
        ({LAYERS: {}}, "load_layers: no mapping; allowed"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_is_refused_in_a_line_before_anything_is_copied(mappings, message):
    source, model = tree(3, memories=(0,)), tree(3, 1, memories=(0,))
    model["layers"][2]["memory"] = Memory(6)
    before = tensors(model)
    with pytest.raises(ValueError, match=message) as error:
        load_layers(model, tensors(source), mappings)
    assert "\n" not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_layer_that_is_a_target_gets_all_of_its_tensors():
    source = tensors(tree(2))
    without = {name: tensor for name, tensor in source.items() if name != "layers.1.attn.bias"}
    mappings, model = {"layer_mappings": {"1": "0"}}, tree(2, 1)
    before = tensors(model)
    with pytest.raises(
        ValueError, match=r"the checkpoint has nothing for layers\.0\.attn\.bias of the model; name"
    ) as error:
        load_layers(model, without, mappings)
    assert str(error.value).startswith("layer_mappings: '1': '0': ")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    load_layers(model, without, mappings | {"component_mappings": {"layers.0.attn.bias": "layers.0.attn.bias"}})
    assert torch.equal(model.state_dict()["layers.0.attn.bias"], source["layers.0.attn.bias"])


def test_layers_of_one_model_are_exchanged():
    model = tree(2)
    before = tensors(model)
    load_layers(model, model.state_dict(), {"layer_mappings": {"0": "1", "1": "0"}})
    for name, tensor in model.state_dict().items():
        swapped = name.replace("layers.0", "x").replace("layers.1", "layers.0").replace("x", "layers.1")
        assert torch.equal(tensor, before[swapped])


def test_a_tensor_of_two_names_is_written_twice_only_by_different_numbers():
    source, model = tree(2, memories=(0, 1)), tree(2, 1, memories=(0, 1))
    model["layers"][1]["memory"].values = model["layers"][0]["memory"].values
    mappings = {LAYERS: {"0-1": "0-1"}}
    with pytest.raises(
        ValueError, match=r"layers.1.memory.values.weight, which is layers.0.memory.values.weight, is wri"
    ):
        load_layers(model, tensors(source), mappings)
    source["layers"][1]["memory"].values = source["layers"][0]["memory"].values
    load_layers(model, tensors(source), mappings)
    assert torch.equal(model["layers"][1]["memory"].values.weight, source["layers"][0]["memory"].values.weight)


def test_every_copy_is_reported_and_the_report_written(tmp_path):
    source, model = tree(2).half(), tree(2, 1)
    before = model["layers"][1]["attn"].weight.detach().clone()
    save_file(tensors(source), tmp_path / "x.safetensors")
    made = load_layers(model, tmp_path / "x.safetensors", {LAYERS: {"0": "1"}}, report=tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == made
    assert made["checkpoint"] == str(tmp_path / "x.safetensors")
    weight, bias = sorted(made["copies"], key=lambda copy: copy["target"], reverse=True)
    numbers = source["layers"][0]["attn"].weight.detach()
    assert weight == {
        "source": "layers.0.attn.weight",
        "target": "layers.1.attn.weight",
        "shape": [2, 2],
        "dtype": "float32",
        "sha256": sha256(numbers.numpy().tobytes()).hexdigest(),
        "change": pytest.approx((numbers - before).norm().item(), rel=1e-6),
    }
    assert bias["shape"] == [2]
    assert model["layers"][1]["attn"].weight.dtype == torch.float32
    assert model["layers"][1]["attn"].weight.requires_grad


STATE = {
    "model": {"layers.0.weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.bfloat16) / 3},
    "step": torch.tensor(7),
}
FLAT = {"model.layers.0.weight": STATE["model"]["layers.0.weight"], "model.half": STATE["model"]["half"]}
FLAT |= {"step": STATE["step"]}
OTHERS = {"epoch": 3, "groups": [{"lr": 0.1}], "name": "a"}
WRITERS = {
    "of this workflow": lambda path: write_tensors(path, FLAT, {"rule": "some"}),
    "safetensors": lambda path: save_file(FLAT, path),
    "torch.save": lambda path: torch.save(STATE | OTHERS, path),
    "torch.save before 1.6": lambda path: torch.save(STATE | OTHERS, path, _use_new_zipfile_serialization=False),
    "a folder": lambda path: dcp.save(STATE | OTHERS, checkpoint_id=path, no_dist=True),
}


@pytest.mark.parametrize("form", WRITERS)
def test_tensors_of_every_form_are_read_with_names_joined_by_dots(tmp_path, form):
    WRITERS[form](tmp_path / "x")
    found = read_state(tmp_path / "x")
    assert found.keys() == FLAT.keys()
    for name, tensor in FLAT.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def metadata_of(change):
    """Write a folder, and its description changed by a function of it."""

    def write(path, mark):
        WRITERS["a folder"](path)
        file = path / ".metadata"
        description = pickle.loads(file.read_bytes())
        file.write_bytes(pickle.dumps(change(description, mark) or description))

    return write


def set_size(description, _):
    description.state_dict_metadata["step"].size = torch.Size([10**15])


def leave_the_folder(description, _):
    for info in description.storage_data.values():
        info.relative_path = "../x/" + info.relative_path


def cut_off(path, _):
    WRITERS["a folder"](path)
    file = path / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-1000])


def flipped(path, _):
    WRITERS["of this workflow"](path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def hostile_items(path, mark):
    """What is no tensor lies in pickles of its own, which torch reads without care."""
    dcp.save(STATE | {"own": Hostile(mark)}, checkpoint_id=path, no_dist=True)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path, mark: torch.save({"a": Hostile(mark)}, path), "x: refers to posix.system"),
        (lambda path, mark: path.write_bytes(pickle.dumps(Hostile(mark))), "x: refers to posix.system"),
        (lambda path, mark: path.write_bytes(b"something else"), "x: damaged, or no pickle"),
        (lambda path, mark: path.mkdir(), "x: no folder of torch.distributed.checkpoint, which has .metadata"),
        (lambda path, mark: None, "x: no such file"),
        (lambda path, mark: torch.save(OTHERS, path), "x: has no tensors"),
        (lambda path, mark: save_file({}, path), "x: has no tensors"),
        (flipped, "x: damaged .its contents do not match their digest"),
        (metadata_of(lambda description, mark: Hostile(mark)), r"x/\.metadata: refers to posix.system"),
        (metadata_of(lambda description, mark: {"a": 1}), r"x: its \.metadata is not of torch.distributed.checkpoint"),
        (metadata_of(set_size), r"x: has 1 numbers of step, which has shape \(1000000000000000,\)"),
        (metadata_of(leave_the_folder), "lies in no file of the folder"),
        (cut_off, r"x: __0_0.distcp, which has a shard of \S+, is cut off or missing"),
    ],
)
def test_what_is_damaged_or_would_run_something_is_refused_in_a_line(tmp_path, write, message):
    mark = tmp_path / "was_run"
    write(tmp_path / "x", mark)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        read_state(tmp_path / "x")
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_of_a_folder_tensors_alone_are_read(tmp_path):
    mark = tmp_path / "was_run"
    hostile_items(tmp_path / "x", mark)
    assert read_state(tmp_path / "x").keys() == FLAT.keys()
    assert not mark.exists()
    dcp_to_torch_save(tmp_path / "x", tmp_path / "y")  # so it would have been run
    assert mark.exists()


def test_a_folder_that_is_not_of_the_model_is_refused_before_anything_is_loaded(tmp_path):
    dcp.save(tensors(tree(2)), checkpoint_id=tmp_path / "x", no_dist=True)
    deep, wide = tree(3, 1), tree(2, 1)
    wide["layers"][1]["attn"] = nn.Linear(2, 3)
    for model, message in (
        (deep, "x: has no layers.2.attn.weight, which the model has"),
        (wide, r"x: layers.1.attn.weight has shape \(2, 2\), in the model \(3, 2\)"),
    ):
        before = tensors(model)
        with pytest.raises(ValueError, match=message):
            load_sharded(model, tmp_path / "x")
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


SHARDED = '''
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from memorization.training.checkpoints import write_tensors
from memorization.training.layer_loading import load_layers
from memorization.training.sharded_checkpoints import load_sharded


def model(seed):
    """Its parameters are shared out: of 5 rows, 3 and 2."""
    torch.manual_seed(seed)
    made = torch.nn.Sequential()
    made.layers = torch.nn.Sequential(*(torch.nn.Linear(3, 5) for _ in range(3)))
    made.register_buffer("scale", torch.randn(2))
    return fully_shard(made, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))


def whole(module):
    state = module.state_dict().items()
    return {name: each.full_tensor() if isinstance(each, DTensor) else each.clone() for name, each in state}


def take_part(folder, device, progress, keep_last):
    """Save, load what two and what one process saved, and load layers; the first one writes what each then has."""
    folder, first = Path(folder), model(1)
    dcp.save(first.state_dict(), checkpoint_id=folder / "two")
    found = {"saved": whole(first)}
    for name in ("two", "one"):
        other = model(2)
        assert {each.to_local().shape[0] for each in other.parameters()} == {3 - dist.get_rank()}
        load_sharded(other, folder / name)
        found[name] = whole(other)
    found["before"] = whole(other)
    load_layers(other, folder / "two", {"layer_mappings": {"0": "1"}})
    found["layers"] = whole(other)
    if dist.get_rank() == 0:
        for name, state in found.items():
            write_tensors(folder / f"{name}.safetensors", state, {})
'''


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_what_any_number_of_processes_saved_is_read_and_loaded_by_any_number(tmp_path, monkeypatch):
    (tmp_path / "sharded.py").write_text(SHARDED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def model(seed):
        torch.manual_seed(seed)
        made = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(3, 5) for _ in range(3))})
        made.register_buffer("scale", torch.randn(2))
        return made

    alone = model(3)
    dcp.save(alone.state_dict(), checkpoint_id=tmp_path / "one", no_dist=True)
    arguments = {"folder": str(tmp_path), "device": "cpu", "progress": {}}
    launch({"module": "sharded", "function": "take_part", "arguments": arguments}, world_size=2)
    saved, two, one, before, layers = (
        read_tensors(tmp_path / f"{name}.safetensors") for name in ("saved", "two", "one", "before", "layers")
    )
    assert equal(saved, tensors(model(1)))
    assert len(list((tmp_path / "two").glob("*.distcp"))) == 2
    assert equal(two, saved)
    assert equal(one, tensors(alone))
    for kind in ("weight", "bias"):
        before[f"layers.1.{kind}"] = saved[f"layers.0.{kind}"]
    assert equal(layers, before)

    assert equal(read_state(tmp_path / "two"), saved)
    dcp_to_torch_save(tmp_path / "two", tmp_path / "two.pt")
    assert equal(read_state(tmp_path / "two.pt"), saved)
    here = model(4)
    load_sharded(here, tmp_path / "two")
    assert equal(tensors(here), saved)
