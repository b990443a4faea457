"""State on disk in safetensors: what others build on, and what an unfinished job goes on from."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from memorization.files import DamagedFile, atomic_write, content_digest, read_made_by, refusing_damage, to_json


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], made_by: dict) -> None:
    """Tensors in safetensors, with what made them and a digest of the contents as JSON in the metadata.

    Tensors that share memory (a module that stands in several places) are written once for each name.
    """
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    made_by = made_by | {"sha256": _digest(tensors)}
    with atomic_write(path) as part:  # one entry of metadata: safetensors writes several in an order that changes
        save_file(tensors, part, {"made_by": to_json(made_by)})


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of ``write_tensors``, on the CPU.

    Raises
    ------
    DamagedFile
        If the file is cut off, or its contents are not those that were written.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with refusing_damage(path):
        tensors = load_file(path)
        if read_made_by(path).get("sha256") != _digest(tensors):
            raise DamagedFile(path, "its contents do not match their digest")
    return tensors


def training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that training goes on from: ``model.<name>`` and ``optimizer.<index>.<name>``."""
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    return state


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Put ``training_state`` back, in copies; other names in ``state`` are left alone."""
    model.load_state_dict(
        {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    )
    values: dict[int, dict] = {}
    for name, tensor in state.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            values.setdefault(int(index), {})[key] = tensor.clone()  # the optimizer would go on in the one it is given
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})


class Unfinished:
    """The checkpoint of a job that may be killed: written from time to time, deleted when the job is done.

    Parameters
    ----------
    path : keyed by all that the job depends on (``Job.unfinished``); others of the same target are stale
    every : seconds between two checkpoints
    """

    def __init__(self, path: str, every: float):
        self.path, self.every, self.last = Path(path), every, time.monotonic()

    def load(self) -> dict[str, Tensor] | None:
        """The state of the last checkpoint, or None where there is none that is whole."""
        if not self.path.exists():
            return None
        try:
            return read_tensors(self.path)
        except DamagedFile as error:
            print(f"{error}: starting from the beginning", flush=True)
            return None

    def due(self) -> bool:
        return time.monotonic() - self.last >= self.every

    def save(self, state: Mapping[str, Tensor]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(self.path, state, {})
        self.last = time.monotonic()

    def delete(self) -> None:
        """Delete this checkpoint and stale ones of the same target."""
        target = self.path.name.rsplit(".", 2)[0]
        for path in self.path.parent.glob(f"{target}.*.unfinished*"):
            path.unlink(missing_ok=True)  # another attempt at the job may be gone before this one


def _digest(tensors: Mapping[str, Tensor]) -> str:
    return content_digest(
        (name, f"{tensor.dtype} {tuple(tensor.shape)}", tensor.reshape(-1).view(torch.uint8).numpy())
        for name, tensor in tensors.items()
    )
