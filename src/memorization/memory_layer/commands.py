"""Commands of the family: what a checkpoint holds, its keys in another form, and how it answers one item.

Other commands import this too: nothing here imports torch before it is needed.
"""

import argparse
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path

import yaml

from memorization.configuration import ConfigurationError, check, merged, with_defaults
from memorization.files import DamagedFile, read_made_by
from memorization.new_files import check_new
from memorization.provenance import ROOT


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the commands of the family."""
    parser = subparsers.add_parser(
        "inspect",
        help="print what a checkpoint holds, and how it differs from another or from a condition's model",
        description="Print the tensors of a checkpoint: a safetensors file, a file of torch.save, or a folder of "
        "torch.distributed.checkpoint. No code in it is run.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    parser.add_argument(
        "--pattern", metavar="PATTERN", nargs="+", default=[], help="print what these would match in `freeze`"
    )
    parser.add_argument("--against", metavar="OTHER", type=Path, help="compare with another checkpoint")
    parser.add_argument(
        "--condition", metavar="NAME", help="compare with the model of a condition of the configuration"
    )
    parser.add_argument(
        "--configfile", "--configfiles", metavar="FILE", type=Path, nargs="+", default=[], help="overlays"
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="print the shape of every intermediate for one batch, and the first tensor that does not fit, in the "
        "model of --condition, or of the condition that the checkpoint says it is of",
    )
    parser.set_defaults(
        run=lambda options: inspect(
            options.checkpoint,
            options.pattern,
            options.against,
            configured_condition(options.condition, options.configfile) if options.condition else None,
            options.trace,
        )
    )

    _add_convert(subparsers)
    _add_show(subparsers)


def _add_convert(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="write a checkpoint whose memories have flat keys, or a router: the same function",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="of a condition of memory_layer")
    parser.add_argument("to", metavar="TO", type=Path, help="the safetensors file that is written")
    parser.add_argument("--keys", choices=("flat", "router"), default="flat", help="(%(default)s)")
    parser.set_defaults(run=lambda options: convert(options.checkpoint, options.to, options.keys))


def _add_show(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("show", help="print how a run answers an item, and which slots it retrieves")
    parser.add_argument("condition", metavar="CONDITION")
    parser.add_argument("seed", metavar="SEED", type=int)
    parser.add_argument("item", metavar="ITEM", help="a split and an item, as in the records, such as train/123456")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder of a run (%(default)s)")
    parser.set_defaults(run=lambda options: show(options.condition, options.seed, options.item, options.results))


def inspect(
    checkpoint: Path,
    patterns: Iterable[str] = (),
    against: Path | None = None,
    condition: Mapping | None = None,
    trace: bool = False,
) -> None:
    """Print what a checkpoint holds.

    Parameters
    ----------
    checkpoint : as ``layer_loading.read_state`` takes it
    patterns : of ``freezing.freeze``; what each matches is printed
    against : another checkpoint, whose differences are printed
    condition : settings of ``model.build``; where its model's tensors have other names or shapes is printed
    trace : whether to print what a model computes for one batch; of ``condition``, else of the checkpoint's own

    Raises
    ------
    FileNotFoundError, ValueError
        If a checkpoint cannot be read, or does not say of which condition it is and none is given.
    """
    import torch

    from memorization.memory_layer import inspection
    from memorization.memory_layer.model import build
    from memorization.training.layer_loading import read_state

    state = read_state(checkpoint)
    found = inspection.contents(state)
    print(found.to_string(index=False))
    print(f"{len(found)} tensors, {found['elements'].sum():,} elements, {found['bytes'].sum():,} bytes")
    for pattern in patterns:
        names = inspection.matched(state, pattern)
        elements = sum(state[name].numel() for name in names)
        print(f"\npattern {pattern}: {len(names)} tensors, {elements:,} elements", *names, sep="\n  ")
    compared = {} if against is None else {str(against): read_state(against)}
    if condition is not None:
        with torch.device("meta"):
            compared["the condition's model"] = build(condition, *inspection.sizes(state, checkpoint)).state_dict()
    for other, there in compared.items():
        rows = inspection.differences(state, there)
        print(f"\nagainst {other}: {len(rows)} tensors differ")
        for name, difference, detail in rows.itertuples(index=False):
            print(f"  {name}: {difference} ({detail})")
    if trace:
        vocabulary, length = inspection.sizes(state, checkpoint)
        of = condition or _own_condition(checkpoint, "; give it by --condition NAME")
        model = build(of, vocabulary, length)
        if condition is None:
            _set_keys(model, of, _converted_to(checkpoint))
        tokens = inspection.batch(vocabulary, length)
        traced = inspection.trace(model, tokens, state)
        print(f"\ntrace of {tuple(tokens.shape)} tokens:", traced.steps.to_string(index=False), sep="\n")
        print(f"first mismatch: {traced.mismatch}" if traced.mismatch else "every tensor fits the model")


def convert(checkpoint: Path, to: Path, keys: str) -> None:
    """Write a checkpoint of the family with its memories' keys in another form.

    Parameters
    ----------
    checkpoint : that says of which condition it is
    to : the file that is written
    keys : as ``conversion.converted`` takes it

    Raises
    ------
    FileExistsError
        If ``to`` is there already.
    ValueError
        As ``conversion.converted``.
    """
    from memorization.memory_layer.conversion import converted
    from memorization.training.checkpoints import write_tensors
    from memorization.training.layer_loading import read_state

    check_new(to)
    state = converted(_own_condition(checkpoint), read_state(checkpoint), keys, checkpoint)
    write_tensors(to, state, read_made_by(checkpoint) | {"converted": keys})
    print(f"{to}: the model of {checkpoint} with {keys} keys")


def show(condition: str, seed: int, item: str, results: Path) -> None:
    """Print an item's text, its answer, what the run says token by token, and the slots of the largest weights.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such run or item, or its data set is not there, or is not the one that it was trained on.
    """
    import numpy as np

    from memorization.files import noted_inputs, read_arrays, read_table
    from memorization.memory_layer.evaluation.tables import activations_table, by_token
    from memorization.memory_layer.training import Facts, restored
    from memorization.training.checkpoints import read_tensors

    folder = results / "memory_layer/checkpoints" / condition / f"seed{seed}"
    found = sorted(folder.glob("step*.safetensors"), key=lambda path: int(path.stem.removeprefix("step")))
    if not found:
        raise FileNotFoundError(f"{folder}: no checkpoint of {condition}, seed {seed}")
    settings, form = _own_condition(found[-1]), _converted_to(found[-1])
    if form is not None:
        raise ValueError(f"{found[-1]}: its keys were converted to {form}; allowed: a checkpoint as it was trained")
    dataset = f"memory_layer/datasets/{settings['dataset']}/seed{seed}"
    (tokens,) = noted_inputs(found[-1], f"{dataset}_tokens.npz", results)
    texts = results / f"{dataset}.parquet"
    if not texts.is_file():
        raise FileNotFoundError(f"{texts}: no such file; it has the texts of {tokens}")
    if _apart_from_contents(texts) != _apart_from_contents(tokens):
        raise ValueError(f"{texts}: not made together with {tokens}; make both again")
    data = read_table(str(texts))
    rows = np.flatnonzero(data["split"] + "/" + data["item"] == item)
    if not len(rows):
        first = data["split"].iloc[0] + "/" + data["item"].iloc[0]
        raise ValueError(f"{item}: no item of {settings['dataset']}; items are named such as {first}")
    facts = Facts(read_arrays(str(tokens)), "cpu")
    model = restored(settings, facts, read_tensors(found[-1]))
    row = data.iloc[rows[0]]
    print(f"text: {row['text']!r}\nanswer: {row['text'][row['answer_start'] : row['answer_end']]!r}")
    by_place = by_token(model, facts, rows)
    said = "".join(facts.arrays["pieces"][by_place["given"]])
    print(f"the likeliest tokens, each given the true ones before it: {said!r}")
    print(by_place[["position", "right", "probability", "rank", "entropy"]].round(4).to_string(index=False))
    slots = activations_table(model, facts, rows, data["item"].to_numpy(), {})
    print(
        slots[["position", "layer", "head", "slot", "score", "weight"]][slots["rank"] == 0]
        .round(4)
        .to_string(index=False)
    )


def configured_condition(name: str, configfiles: Iterable[Path]) -> dict:
    """A condition of the default configuration with overlays, completed by the defaults.

    Raises
    ------
    ConfigurationError
        If there is none of that name, or an overlay or the family's section has a mistake.
    """
    from memorization.memory_layer.conditions import MemoryLayer

    overlay = reduce(merged, map(_overlay, configfiles), {})
    config = with_defaults(overlay, ROOT.parent / "config", [MemoryLayer.name]) | {"families": [MemoryLayer.name]}
    check(config, ROOT.parent / "workflow/schemas", [MemoryLayer.name], strict=False)
    return MemoryLayer(config[MemoryLayer.name]).condition(name)


def _overlay(path: Path) -> dict:
    try:
        overlay = yaml.safe_load(path.read_text("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(overlay, dict | None):
        raise ConfigurationError(f"{path}: a {type(overlay).__name__}; allowed: keys with values")
    return overlay or {}


def _converted_to(checkpoint: Path) -> str | None:
    """The form of the keys of a checkpoint that was converted, by the command or by the rule."""
    made_by = read_made_by(checkpoint)
    return made_by.get("converted", made_by.get("wildcards", {}).get("form"))


def _set_keys(model, condition: Mapping, form: str | None) -> None:
    """Give a condition's model keys of the form that its checkpoint was converted to, if it was."""
    from memorization.memory_layer.conversion import CONVERSIONS, FORMS
    from memorization.memory_layer.model import memories

    for n, memory in memories(model).items() if form in CONVERSIONS else ():
        if FORMS[type(memory)] != form:
            model.layers[n].feed_forward = CONVERSIONS[form](memory, condition["key_dim"])


def _apart_from_contents(path: Path) -> dict:
    """What made a file, but for the digest of its contents: the same of all files of one job."""
    return {name: value for name, value in read_made_by(path).items() if name != "sha256"}


def _own_condition(checkpoint: Path, hint: str = "") -> dict:
    try:
        condition = read_made_by(checkpoint)["params"]["condition"]
    except (OSError, DamagedFile, KeyError, TypeError) as error:
        raise ValueError(f"{checkpoint}: does not say of which condition it is{hint}") from error
    if not isinstance(condition, dict) or "memory_layers" not in condition:
        raise ValueError(f"{checkpoint}: is of no condition of memory_layer{hint}")
    return condition
