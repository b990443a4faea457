"""Parts of a checkpoint, of this workflow or from elsewhere, put into a model: layers by number, parts by name."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from memorization.files import ForeignFile, atomic_write, read_made_by
from memorization.pickles import read_pickle
from memorization.training.checkpoints import read_tensors

KEYS = ("layer_mappings", "component_mappings")
LAYER = re.compile(r"((?:.*?\.)?(?:layers?|h|blocks?))\.(\d+)\.(.+)")  # model.layers.3.x, transformer.h.3.x, layers.3.x


@dataclass(frozen=True)
class Copy:
    """One tensor to copy: its name in the checkpoint, its name in the model, and the mapping that says so."""

    source: str
    target: str
    mapping: str


def load_layers(
    model: nn.Module,
    checkpoint: str | Path | Mapping[str, Tensor],
    mappings: Mapping[str, Mapping],
    report: str | Path | None = None,
) -> dict:
    """Copy what mappings name from a checkpoint into a model; leave all else in the model alone.

    All mappings read source → target: the key is of the checkpoint, the value of the model.

    ``layer_mappings``
        A layer's number (``"6": "10"``) or a range of as many (``"0-5": "0-5"``, ends included): all that is in the
        layer of the checkpoint, and all of that of the model. A layer is ``layers.<n>``, ``h.<n>`` or ``blocks.<n>``,
        wherever in the tree the layers are.
    ``component_mappings``
        A tensor's name, or a module's for all that is in it, or either with ``*`` for any text, dots included. A ``*``
        of the value is what the same ``*`` of the key stands for.

    A copy takes the type of the model's tensor. A model that is distributed over processes gets its shards; all of them
    call this.

    Parameters
    ----------
    model : its tensors are overwritten in place, all or none
    checkpoint : a path, as ``read_state`` takes it, or tensors by name
    mappings : see above; one of the two may be absent
    report : where to write what is returned, as JSON

    Returns
    -------
    ``checkpoint``, its path, and ``copies``, a list of dicts: ``source``, ``target``, ``shape``, ``dtype`` (of the
    model's tensor), ``sha256`` (of the checkpoint's numbers), and ``change``, the norm of the difference that it made.

    Raises
    ------
    ValueError
        One line, before anything is copied, if a mapping names nothing in the checkpoint, a target is not in the model,
        has another shape, or is written twice (by two sources; a copy that two mappings name is made once), or a layer
        that is a target keeps a tensor to which no mapping gives anything.
    """
    if isinstance(checkpoint, Mapping):
        where, state = "the checkpoint", {name: tensor.clone() for name, tensor in checkpoint.items()}  # may be targets
    else:
        where, state = str(checkpoint), read_state(checkpoint)
    unknown = [key for key in mappings if key not in KEYS]
    if unknown or not any(mappings.values()):
        raise ValueError(f"load_layers: {unknown[0] if unknown else 'no mapping'}; allowed: {', '.join(KEYS)}")
    targets = model.state_dict(keep_vars=True)
    copies = list(_layers(mappings.get("layer_mappings") or {}, state, targets, where))
    copies += _components(mappings.get("component_mappings") or {}, state, where)
    copies = list({(copy.source, copy.target): copy for copy in reversed(copies)}.values())[::-1]
    _check(copies, state, targets, where)
    _check_whole(mappings.get("layer_mappings") or {}, copies, targets, where)
    rows = [_copied(copy, state[copy.source], targets[copy.target]) for copy in copies]
    made = {"checkpoint": where, "copies": rows}
    if report is not None:
        with atomic_write(report) as part:
            Path(part).write_text(json.dumps(made, indent=1) + "\n")
    return made


def read_state(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, on the CPU, by name; nested names are joined by dots. No code in it is run.

    Parameters
    ----------
    path : a safetensors file (one of this workflow is compared with its digest), a file of ``torch.save``, or a folder
        of ``torch.distributed.checkpoint``

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged, asks for anything but tensors and plain values, or has no tensors. One line.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        from memorization.training.sharded_checkpoints import read_sharded  # takes a second to import

        state = read_sharded(path)
    else:
        state = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    if not state:
        raise ValueError(f"{path}: has no tensors")
    return state


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        read_made_by(path)
    except ForeignFile:
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: damaged ({' '.join(str(error).split())})") from error
    return read_tensors(path)


def _read_torch(path: Path) -> dict[str, Tensor]:
    read_pickle(path)  # refuses what torch lets pass (see there), but reads bfloat16 as float32
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: not read ({' '.join(str(error).split())[:200]})") from error
    return dict(_flat(content, ""))


def _flat(content, prefix: str) -> Iterable[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield prefix.removesuffix("."), content.detach()
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flat(value, f"{prefix}{name}.")


def _layers(mappings: Mapping, state: Mapping, targets: Mapping, where: str) -> Iterable[Copy]:
    """The copies of ``layer_mappings``."""
    of_source, of_target = (_by_layer(names) for names in (state, targets))
    for key, value in mappings.items():
        mapping = f"layer_mappings: {key!r}: {value!r}"
        sources, numbers = _numbers(key, mapping), _numbers(value, mapping)
        if len(sources) != len(numbers):
            raise ValueError(f"{mapping}: {len(sources)} layers for {len(numbers)}; they must be as many")
        stacks = _stacks(of_source, of_target, mapping)
        for source, number in zip(sources, numbers, strict=True):
            found = [(stack, rest) for stack in stacks for rest in of_source[stack].get(source, ())]
            if not found:
                there = sorted({n for stack in stacks for n in of_source[stack]})
                raise ValueError(f"{mapping}: {where} has no layer {source}; it has {', '.join(map(str, there))}")
            for stack, rest in found:
                yield Copy(f"{stack}.{source}.{rest}", f"{stacks[stack]}.{number}.{rest}", mapping)


def _by_layer(names: Iterable[str]) -> dict[str, dict[int, list[str]]]:
    """What stands behind ``layers.<n>.`` in names, by what stands before <n> and by n; not an optimizer's."""
    found: dict[str, dict[int, list[str]]] = {}
    for name in names:
        if (match := LAYER.fullmatch(name)) and not name.startswith("optim"):
            stack, number, rest = match.groups()
            found.setdefault(stack, {}).setdefault(int(number), []).append(rest)
    return found


def _stacks(of_source: Mapping, of_target: Mapping, mapping: str) -> dict[str, str]:
    """Which stack of layers of the checkpoint is which of the model's: that of the same name, or its only one."""
    same = {stack: stack for stack in of_source if stack in of_target}
    if same or (len(of_source) == len(of_target) == 1):
        return same or dict(zip(of_source, of_target, strict=True))
    told = (", ".join(f"{stack}.<n>" for stack in of) or "none" for of in (of_source, of_target))
    raise ValueError(f"{mapping}: layers of the checkpoint: {next(told)}; of the model: {next(told)}; which is which?")


def _numbers(text, mapping: str) -> range:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(text).strip())
    if not match or (match[2] and int(match[2]) < int(match[1])):
        raise ValueError(f"{mapping}: {text!r} is no layer; allowed: a number such as 6, or a range such as 0-5")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _components(mappings: Mapping, state: Mapping, where: str) -> Iterable[Copy]:
    """The copies of ``component_mappings``."""
    for key, value in mappings.items():
        mapping = f"component_mappings: {key!r}: {value!r}"
        if value.count("*") not in (0, key.count("*")):
            raise ValueError(f"{mapping}: {value.count('*')} * for {key.count('*')}; allowed: as many, or none")
        begin, *parts = value.removesuffix(".").split("*")
        pattern = re.compile("(.*)".join(map(re.escape, key.removesuffix(".").split("*"))) + r"(\..+)?")
        found = [(name, match.groups("")) for name in state if (match := pattern.fullmatch(name))]
        if not found:
            raise ValueError(f"{mapping}: {key!r} matches nothing in {where}")
        for name, (*stars, rest) in found:
            middle = "".join(star + part for star, part in zip(stars, parts, strict=False))
            yield Copy(name, f"{begin}{middle}{rest}", mapping)


def _check(copies: Iterable[Copy], state: Mapping, targets: Mapping, where: str) -> None:
    """That every target is there, has the shape of its source, and no other source; parts that are shared are one."""
    written: dict[int, Copy] = {}
    for copy in copies:
        if copy.target not in targets:
            raise ValueError(f"{copy.mapping}: the model has no {copy.target}, for {copy.source} of {where}")
        source, target = state[copy.source], targets[copy.target]
        if source.shape != target.shape:
            raise ValueError(
                f"{copy.mapping}: {copy.source} has shape {tuple(source.shape)}, {copy.target} of the model "
                f"{tuple(target.shape)}"
            )
        other = written.setdefault(id(target), copy)
        one = other.target == copy.target
        if other is not copy and (one or not torch.equal(source, state[other.source])):
            names = copy.target if one else f"{copy.target}, which is {other.target},"
            raise ValueError(
                f"{copy.mapping}: {names} is written twice, by {other.source} ({other.mapping}) and {copy.source}"
            )


def _check_whole(mappings: Mapping, copies: Iterable[Copy], targets: Mapping, where: str) -> None:
    """That a layer to which a whole one is mapped gets all of its tensors, by whatever mapping."""
    given = {copy.target for copy in copies}
    for key, value in mappings.items():
        mapping = f"layer_mappings: {key!r}: {value!r}"
        layers = {
            match.group(1, 2) for copy in copies if copy.mapping == mapping and (match := LAYER.fullmatch(copy.target))
        }
        for name in targets:
            if name not in given and (match := LAYER.fullmatch(name)) and match.group(1, 2) in layers:
                raise ValueError(
                    f"{mapping}: {where} has nothing for {name} of the model; name a source for it in "
                    "component_mappings"
                )


@torch.no_grad()
def _copied(copy: Copy, source: Tensor, target: Tensor) -> dict:
    new = source.to(target.device, target.dtype)
    if torch.distributed.is_initialized():
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(target, DTensor):
            new = distribute_tensor(new, target.device_mesh, target.placements)
    wide = torch.complex128 if target.is_complex() else torch.float64
    change = torch.linalg.vector_norm(new.to(wide) - target.to(wide))
    target.copy_(new)
    return {
        "source": copy.source,
        "target": copy.target,
        "shape": list(source.shape),
        "dtype": str(target.dtype).removeprefix("torch."),
        "sha256": sha256(source.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()).hexdigest(),
        "change": float(change.full_tensor() if hasattr(change, "full_tensor") else change),
    }
