import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import memory_layer_facts
import pytest
import torch
import yaml
from command_line import ROOT

from memorization.__main__ import main
from memorization.configuration import ConfigurationError
from memorization.files import read_made_by, write_arrays, write_table
from memorization.memory_layer import commands, inspection
from memorization.memory_layer.model import build
from memorization.models.memory_layer_conversion import RouterMemory
from memorization.training.checkpoints import read_tensors, write_tensors

CONDITION = {
    "n_layers": 2, "n_heads": 2, "d_model": 8, "positions": "learned", "init_std": 0.02, "arm": "memory",
    "memory_layers": [-1], "shared_pool": False, "keys": "product", "n_keys": 4, "memory_heads": 2, "top_k": 2,
    "key_dim": 4, "query_norm": "none", "gate": True, "value_update": "dense",
}  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of the family, as a rule writes it."""
    torch.manual_seed(0)
    path = tmp_path / "step1.safetensors"
    write_tensors(path, build(CONDITION, vocabulary=11, length=6).state_dict(), {"params": {"condition": CONDITION}})
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*arguments)``: the exit status, what is printed, and the error, of a configuration with two conditions."""
    conditions = {"same": CONDITION, "more_keys": CONDITION | {"n_keys": 5}}
    monkeypatch.setattr(commands, "configured_condition", lambda name, files: conditions[name])

    def inspect(*arguments):
        status = main(["inspect", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err

    return inspect


def test_a_checkpoint_is_printed_with_its_sizes(checkpoint, run):
    status, lines, error = run(checkpoint)
    assert (status, error) == (0, "")
    rows = [line.split() for line in lines]
    assert rows[0] == ["name", "shape", "type", "elements", "bytes"]
    assert ["layers.1.feed_forward.values.weight", "(16,", "8)", "float32", "128", "512"] in rows
    elements = sum(parameter.numel() for parameter in build(CONDITION, 11, 6).parameters())
    assert lines[-1] == f"{len(lines) - 2} tensors, {elements:,} elements, {4 * elements:,} bytes"


def test_what_patterns_match_is_printed(checkpoint, run):
    _, lines, _ = run(checkpoint, "--pattern", "*.values", "layers.9")
    begin = lines.index("pattern *.values: 1 tensors, 128 elements")
    assert lines[begin + 1] == "  layers.1.feed_forward.values.weight"
    assert lines[-1] == "pattern layers.9: 0 tensors, 0 elements"


def test_what_differs_from_another_checkpoint_is_printed(checkpoint, run, tmp_path):
    model = build(CONDITION | {"n_layers": 3}, vocabulary=11, length=6)
    write_tensors(tmp_path / "other.safetensors", model.state_dict(), {})
    _, lines, _ = run(checkpoint, "--against", tmp_path / "other.safetensors")
    differing = lines[next(n for n, line in enumerate(lines) if line.startswith(f"against {tmp_path}")) + 1 :]
    assert any(line.startswith("  head.weight: values (largest difference") for line in differing)
    assert "  layers.1.feed_forward.values.weight: extra ((16, 8))" in differing
    assert "  layers.2.feed_forward.values.weight: missing ((16, 8))" in differing
    _, lines, _ = run(checkpoint, "--against", checkpoint)
    assert lines[-1] == f"against {checkpoint}: 0 tensors differ"


def test_what_differs_from_a_condition_s_model_is_printed(checkpoint, run):
    _, lines, _ = run(checkpoint, "--condition", "more_keys")
    assert lines[lines.index("against the condition's model: 2 tensors differ") + 1 :] == [
        "  layers.1.feed_forward.keys: shape ((2, 2, 4, 2), there (2, 2, 5, 2))",
        "  layers.1.feed_forward.values.weight: shape ((16, 8), there (25, 8))",
    ]
    assert run(checkpoint, "--condition", "same")[1][-1] == "against the condition's model: 0 tensors differ"


def test_a_trace_is_of_the_checkpoint_s_own_condition_or_of_the_one_that_is_named(checkpoint, run):
    _, lines, _ = run(checkpoint, "--trace")
    assert "trace of (2, 6) tokens:" in lines
    assert ["layers.1.feed_forward", "softmax", "(2,", "6,", "2,", "2)"] in [line.split() for line in lines]
    assert lines[-1] == "every tensor fits the model"
    _, lines, _ = run(checkpoint, "--trace", "--condition", "more_keys")
    expected = "layers.1.feed_forward.keys: (2, 2, 5, 2) in the model, (2, 2, 4, 2) in the checkpoint"
    assert lines[-1] == f"first mismatch: {expected}"


def test_what_cannot_be_inspected_is_an_error_in_a_line(checkpoint, run, tmp_path):
    write_tensors(tmp_path / "silent.safetensors", build(CONDITION, 11, 6).state_dict(), {"rule": "some"})
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"params": {"condition": CONDITION}})
    for arguments, message in (
        (["absent"], "absent: no such file"),
        ([tmp_path / "silent.safetensors", "--trace"], "does not say of which condition it is; give it by --condition"),
        ([tmp_path / "other.safetensors", "--trace"], "has no token_embedding.weight"),
        ([checkpoint, "--against", tmp_path], "no folder of torch.distributed.checkpoint"),
    ):
        status, _, error = run(*arguments)
        assert status == 1
        assert message in error
        assert error.count("\n") == 1


def test_a_condition_is_that_of_the_configuration_with_overlays(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    conditions = yaml.safe_load((ROOT / "config/families/memory_layer.yaml").read_text())["memory_layer"]["conditions"]
    name = conditions[0]["name"]
    overlay.write_text("memory_layer:\n  defaults: {n_layers: 7}\n")
    assert commands.configured_condition(name, [])["n_layers"] != 7
    assert commands.configured_condition(name, [overlay])["n_layers"] == 7
    with pytest.raises(ConfigurationError, match=rf"memory_layer\.conditions: there is no 'absent'; allowed: .*{name}"):
        commands.configured_condition("absent", [overlay])
    overlay.write_text("memory_layer:\n  defaults: {n_layers: many}\n")
    with pytest.raises(ConfigurationError, match=r"memory_layer\.defaults\.n_layers: 'many'"):
        commands.configured_condition(name, [overlay])


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you …")])
def test_a_lack_of_memory_is_one_line_and_another_error_is_none(checkpoint, run, monkeypatch, error):
    """A small file of torch.save may hold an expanded tensor of any size."""
    monkeypatch.setattr(inspection, "differences", Mock(side_effect=error))
    status, _, said = run(checkpoint, "--against", checkpoint)
    assert (status, said) == (1, "memorization: the command needs more memory than there is\n")
    monkeypatch.setattr(inspection, "differences", Mock(side_effect=RuntimeError("a mistake in the code")))
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        run(checkpoint, "--against", checkpoint)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"memory_layer: {defaults: [", "is no YAML (while parsing a flow node"),
        (b"- memory_layer\n", "a list; allowed: keys with values"),
        (b"memory_layer", "a str; allowed: keys with values"),
        (b"\xff", "is no YAML ("),
    ],
)
def test_an_overlay_that_is_no_configuration_is_one_line(checkpoint, tmp_path, capsys, content, said):
    (tmp_path / "overlay.yaml").write_bytes(content)
    arguments = ["inspect", str(checkpoint), "--condition", "memory", "--configfile", str(tmp_path / "overlay.yaml")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"memorization: {tmp_path / 'overlay.yaml'}: {said}")
    assert error.count("\n") == 1


def test_commands_of_others_need_no_torch_for_this_one():
    code = "import sys, memorization.memory_layer.commands; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


@pytest.mark.parametrize("keys", ["flat", "router"])
def test_a_converted_checkpoint_computes_the_same(checkpoint, tmp_path, keys):
    assert main(["convert", str(checkpoint), str(tmp_path / "to.safetensors"), "--keys", keys]) == 0
    before, after = (read_tensors(path) for path in (checkpoint, tmp_path / "to.safetensors"))
    name = "layers.1.feed_forward." + ("keys" if keys == "flat" else "router.weight")
    assert after[name].shape == ((2, 16, 4) if keys == "flat" else (32, 8))
    assert torch.equal(after["layers.1.feed_forward.values.weight"], before["layers.1.feed_forward.values.weight"])
    model = build(CONDITION | {"keys": "flat"}, vocabulary=11, length=6)
    if keys == "flat":
        model.load_state_dict(after)
    else:
        model.layers[1].feed_forward = RouterMemory(8, 16, 2, 2)
        model.load_state_dict(after)
    original = build(CONDITION, vocabulary=11, length=6)
    original.load_state_dict(before)
    tokens = torch.arange(6)[None]
    torch.testing.assert_close(model(tokens), original(tokens))


def test_a_router_becomes_flat_keys_again(checkpoint, tmp_path, capsys):
    router, flat, again = (tmp_path / f"{name}.safetensors" for name in ("router", "flat", "again"))
    assert main(["convert", str(checkpoint), str(router), "--keys", "router"]) == 0
    assert main(["convert", str(router), str(flat), "--keys", "flat"]) == 0
    assert main(["convert", str(flat), str(again), "--keys", "router"]) == 0
    first, last = (read_tensors(path) for path in (router, again))
    assert first.keys() == last.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(last[name], tensor)
    assert main(["convert", str(flat), str(tmp_path / "none.safetensors")]) == 1
    assert f"{flat}: its keys are flat already" in capsys.readouterr().err


@pytest.mark.parametrize("forms", [["flat"], ["router"], ["router", "flat"]], ids="-".join)
def test_a_trace_of_a_converted_checkpoint_is_of_the_model_with_its_keys(checkpoint, run, tmp_path, forms):
    for n, form in enumerate(forms):
        checkpoint, source = tmp_path / f"{n}.safetensors", checkpoint
        assert main(["convert", str(source), str(checkpoint), "--keys", form]) == 0
    assert run(checkpoint, "--trace")[1][-1] == "every tensor fits the model"
    assert run(checkpoint, "--trace", "--condition", "same")[1][-1].startswith("first mismatch: layers.1.feed_forward.")
    of_rule = {"params": {"condition": CONDITION}, "wildcards": {"form": form}}  # as the rule notes it
    write_tensors(tmp_path / "rule.safetensors", read_tensors(checkpoint), of_rule)
    assert run(tmp_path / "rule.safetensors", "--trace")[1][-1] == "every tensor fits the model"


def test_a_conversion_takes_the_place_of_nothing(checkpoint, tmp_path, capsys):
    before = checkpoint.read_bytes()
    (tmp_path / "table.parquet").write_bytes(b"x")
    for to in (checkpoint, tmp_path / "table.parquet", tmp_path):
        assert main(["convert", str(checkpoint), str(to)]) == 1
        assert capsys.readouterr().err == f"memorization: {to}: already exists; allowed: another path\n"
    assert (checkpoint.read_bytes(), (tmp_path / "table.parquet").read_bytes()) == (before, b"x")


def test_what_has_no_keys_is_not_converted(tmp_path, capsys):
    dense = CONDITION | {"arm": "none"}
    path = tmp_path / "dense.safetensors"
    write_tensors(path, build(dense, vocabulary=11, length=6).state_dict(), {"params": {"condition": dense}})
    assert main(["convert", str(path), str(tmp_path / "to.safetensors")]) == 1
    assert "its arm, none, has no keys to convert" in capsys.readouterr().err
    assert not (tmp_path / "to.safetensors").exists()


def test_show_names_what_is_not_there(tmp_path, capsys):
    assert main(["show", "memory", "0", "train/1", "--results", str(tmp_path)]) == 1
    assert "no checkpoint of memory, seed 0" in capsys.readouterr().err


DATASET = "results/memory_layer/datasets/pairs/seed0"
TRAINED = "results/memory_layer/checkpoints/memory/seed0/step1.safetensors"


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Path:
    """A folder with a data set and a checkpoint that notes it, as rules write them."""
    monkeypatch.chdir(tmp_path)
    Path(DATASET).parent.mkdir(parents=True)
    Path(TRAINED).parent.mkdir(parents=True)
    make_data()
    made_from = {f"{DATASET}_tokens.npz": read_made_by(f"{DATASET}_tokens.npz")}
    made = memory_layer_facts.facts()
    model = build(memory_layer_facts.CONDITION, made.vocabulary, made.length)
    params = {"condition": memory_layer_facts.CONDITION}
    write_tensors(TRAINED, model.state_dict(), {"params": params, "made_from": made_from})
    return tmp_path


def make_data(**change) -> None:
    made_by = {"rule": "some", "params": {"dataset": change}}
    write_table(f"{DATASET}.parquet", memory_layer_facts.table(**change), made_by)
    write_arrays(f"{DATASET}_tokens.npz", memory_layer_facts.arrays(**change), made_by)


def show(capsys) -> tuple[int, str, str]:
    item = memory_layer_facts.table().iloc[0]
    status = main(["show", "memory", "0", f"{item['split']}/{item['item']}"])
    return status, *capsys.readouterr()


def test_show_prints_the_answer_of_a_run(trained, capsys):
    status, printed, error = show(capsys)
    assert (status, error) == (0, "")
    assert printed.startswith(f"text: {memory_layer_facts.table()['text'].iloc[0]!r}\n")


def other_data() -> None:
    make_data(size=50)


def other_texts() -> None:
    """Made again without the tokens."""
    tokens = Path(f"{DATASET}_tokens.npz").read_bytes()
    make_data(size=50)
    Path(f"{DATASET}_tokens.npz").write_bytes(tokens)


def convert_in_place() -> None:
    assert main(["convert", TRAINED, TRAINED.replace("step1", "step2")]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_data, f"{TRAINED}: made of another {DATASET}_tokens.npz than is there now; make it again"),
        (other_texts, f"{DATASET}.parquet: not made together with {DATASET}_tokens.npz; make both again"),
        (
            lambda: Path(f"{DATASET}.parquet").unlink(),
            f"{DATASET}.parquet: no such file; it has the texts of {DATASET}_tokens.npz",
        ),
        (
            lambda: Path(f"{DATASET}_tokens.npz").unlink(),
            f"{DATASET}_tokens.npz: no such file; {TRAINED} was made of it",
        ),
        (
            convert_in_place,
            f"{TRAINED.replace('step1', 'step2')}: its keys were converted to flat; allowed: a checkpoint as it was "
            "trained",
        ),
    ],
    ids=["data", "texts", "no texts", "no tokens", "converted"],
)
def test_show_puts_no_files_of_different_runs_together(trained, capsys, change, said):
    change()
    capsys.readouterr()
    assert show(capsys) == (1, "", f"memorization: {said}\n")
