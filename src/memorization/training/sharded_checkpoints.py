"""Reads folders of ``torch.distributed.checkpoint``, whichever number of processes wrote them, without running them.

Such a folder has a pickle, ``.metadata``, that says which shard of which tensor lies where. torch runs it, and whatever
is not a tensor, as any pickle: so does ``format_utils.dcp_to_torch_save``. Here the pickle is read as data, and tensors
alone are read of the folder.
"""

import math
import re
import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from memorization.pickles import Record, read_pickle

DCP = "torch.distributed.checkpoint"
OF_METADATA = (
    "Metadata", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata", "BytesStorageMetadata",
    "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
)  # fmt: skip
RECORDS = {
    *((f"{DCP}.metadata", name) for name in OF_METADATA),
    (f"{DCP}.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    *((module, f"{system}Path") for module in ("pathlib", "pathlib._local") for system in ("Posix", "Windows")),
}


def read_sharded(folder: str | Path) -> dict[str, Tensor]:
    """All tensors of a folder, each whole, on the CPU, in this process alone; what is no tensor is left out.

    Returns
    -------
    By name, nested names joined by dots: as ``format_utils.dcp_to_torch_save`` writes them.

    Raises
    ------
    ValueError
        If the folder is damaged, or asks for anything but tensors; one line.
    """
    reader = Reader(folder)
    state = {name: torch.empty(of.size, dtype=of.properties.dtype) for name, of in reader.tensors.items()}
    reader.load(state, no_dist=True)
    return state


def load_sharded(model: nn.Module, folder: str | Path) -> None:
    """Load all of a model's parameters and buffers, each process the shards that it holds.

    A model that is distributed over processes (FSDP2, or any ``DTensor``) is loaded by all of them together, whatever
    the number of processes that saved the folder. In a model that is not, every process gets all of it.

    Parameters
    ----------
    model : its tensors are overwritten in place
    folder : has each of them under its name in ``model.state_dict()``; what it has besides is left alone

    Raises
    ------
    ValueError
        If a name is missing, a shape is another, or as in ``read_sharded``; nothing is loaded.
    """
    reader, state = Reader(folder), model.state_dict()
    for name, tensor in state.items():
        if name not in reader.tensors:
            raise ValueError(f"{folder}: has no {name}, which the model has")
        if tensor.shape != (size := reader.tensors[name].size):
            raise ValueError(f"{folder}: {name} has shape {tuple(size)}, in the model {tuple(tensor.shape)}")
    reader.load(state)


class Reader(FileSystemReader):
    """torch's reader of a folder, with a description that was read as data.

    Parameters
    ----------
    folder : of ``torch.distributed.checkpoint.save``

    Attributes
    ----------
    tensors : what the folder says of each tensor: its size, its type, its shards

    Raises
    ------
    ValueError
        If it is damaged, or asks for anything else; one line.
    """

    def __init__(self, folder: str | Path):
        super().__init__(folder)
        self.folder = Path(folder)
        if not (self.folder / ".metadata").is_file():
            raise ValueError(f"{folder}: no folder of {DCP}, which has .metadata")
        found = read_pickle(self.folder / ".metadata", RECORDS)
        try:
            entries = _state(found, "Metadata")
            self.tensors = {
                name: _tensor(entry)
                for name, entry in entries["state_dict_metadata"].items()
                if entry.name == "TensorStorageMetadata"
            }
            stored = {
                MetadataIndex(**_state(index, "MetadataIndex")): _StorageInfo(**_state(info, "_StorageInfo"))
                for index, info in entries["storage_data"].items()
            }
            self.stored = {index: info for index, info in stored.items() if index.fqn in self.tensors}
            for name, tensor in self.tensors.items():
                self._check(name, tensor)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{folder}: its .metadata is not of {DCP} ({type(error).__name__}: {error})") from error

    def read_metadata(self, *args, **kwargs) -> Metadata:
        """The description of the tensors alone."""
        return Metadata(dict(self.tensors), storage_data=dict(self.stored), storage_meta=StorageMeta())

    def load(self, state: dict[str, Tensor], no_dist: bool = False) -> None:
        """Read into tensors, in place."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
                dcp.load(state, storage_reader=self, no_dist=no_dist)
        except Exception as error:  # torch's own name the processes, in many lines, and not always the folder
            cause = " ".join(str(error).split())[-300:]
            raise ValueError(f"{self.folder}: damaged, or no tensors ({cause})") from error

    def _check(self, name: str, tensor: TensorStorageMetadata) -> None:
        """That the shards are as many numbers as the tensor, in files of this folder that are long enough."""
        itemsize, total = tensor.properties.dtype.itemsize, 0
        for chunk in tensor.chunks:
            count = math.prod(chunk.sizes)
            info, total = self.stored.get(MetadataIndex(name, chunk.offsets)), total + count
            if info is None or info.transform_descriptors or not re.fullmatch(r"[\w-]+\.distcp", info.relative_path):
                raise ValueError(f"{self.folder}: a shard of {name} lies in no file of the folder, or is compressed")
            path = self.folder / info.relative_path
            end = info.offset + info.length
            if not path.is_file() or path.stat().st_size < end or info.length < count * itemsize:
                raise ValueError(
                    f"{self.folder}: {info.relative_path}, which has a shard of {name}, is cut off or missing"
                )
        if total != math.prod(tensor.size):
            raise ValueError(f"{self.folder}: has {total} numbers of {name}, which has shape {tuple(tensor.size)}")


def _state(record: Record, name: str):
    if record.name != name:
        raise TypeError(f"{record.name} in place of {name}")
    return record.state


def _tensor(record: Record) -> TensorStorageMetadata:
    of = _state(record, "TensorStorageMetadata")
    dtype, *_ = _state(of["properties"], "TensorProperties")
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"{dtype} is no type of tensors")
    chunks = [_state(chunk, "ChunkStorageMetadata") for chunk in of["chunks"]]
    chunks = [ChunkStorageMetadata(torch.Size(each["offsets"]), torch.Size(each["sizes"])) for each in chunks]
    return TensorStorageMetadata(TensorProperties(dtype=dtype), torch.Size(of["size"]), chunks)
