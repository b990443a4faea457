"""Nothing from outside is run: what the sources call, and what the readers do with files that would run something."""

import ast
import io
import os
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
import torch
import yaml
from command_line import ROOT

from memorization.configuration import ConfigurationError, check
from memorization.files import DamagedFile, read_arrays, read_table
from memorization.pickles import RefusedPickle, read_pickle
from memorization.training.checkpoints import read_tensors

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")])
UNPICKLERS = (
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "pd.read_pickle",
)
RUNNERS = ("eval", "exec", "os.system", "os.popen", "marshal.loads", "shelve.open", "runpy.run_path", "yaml.load")
WITH = {  # calls that are safe with an argument alone
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "np.savez": ("allow_pickle", False),
}


def calls(source: str):
    """Each call of a source: its dotted name and its keyword arguments that are constants."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            constants = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            yield ast.unparse(node.func), constants, {word.arg for word in node.keywords}


def distrusted(source: str) -> list[str]:
    """What a source calls that may run what a file from elsewhere says."""
    found = []
    for name, constants, words in calls(source):
        if name in UNPICKLERS + RUNNERS or constants.get("shell") or constants.get("trust_remote_code"):
            found.append(name)
        elif name in WITH and constants.get(WITH[name][0]) is not WITH[name][1]:
            found.append(f"{name} without {WITH[name][0]}={WITH[name][1]}")
        elif name.endswith(("from_pretrained", "load_dataset", "hf_hub_download", "snapshot_download")):
            found += [] if "revision" in words else [f"{name} without a revision"]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_a_file_says(path):
    assert distrusted(path.read_text()) == []


DISTRUSTED = """
pickle.load(f)
torch.load(f)
torch.load(f, weights_only=False)
np.load(f)
np.load(f, allow_pickle=True)
pd.read_pickle(f)
eval(text)
yaml.load(f)
subprocess.run(text, shell=True)
AutoModel.from_pretrained(name)
AutoModel.from_pretrained(name, revision="1", trust_remote_code=True)
"""


@pytest.mark.parametrize("line", DISTRUSTED.split("\n")[1:-1])
def test_the_check_sees_what_it_is_there_for(line):
    assert len(distrusted(line)) == 1


def test_values_of_shell_commands_are_quoted():
    for path in (ROOT / "rules").glob("*.smk"):
        for command in re.findall(r"^    shell:\n((?:        .*\n)+)", path.read_text(), re.MULTILINE):
            assert all(value.endswith(":q") for value in re.findall(r"\{([^}]*)\}", command)), command


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def hostile_files(folder, mark):
    """Files that run something where they are read as what they are."""
    pickled = pickle.dumps({"weights": Hostile(mark)})
    (folder / "a.pkl").write_bytes(pickled)
    torch.save({"weights": Hostile(mark)}, folder / "a.pt")
    np.savez(folder / "a.npz", array=np.array([Hostile(mark)], dtype=object))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("../outside", pickled)
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    return sorted(path for path in folder.iterdir() if path.stem == "a")


@pytest.mark.parametrize("read", [read_pickle, read_arrays, read_table, read_tensors])
def test_archives_and_pickles_with_a_callable_are_refused_by_name_by_every_reader(tmp_path, read):
    folder, mark = tmp_path / "given", tmp_path / "was run"
    folder.mkdir()
    for path in hostile_files(folder, mark):
        with pytest.raises((RefusedPickle, DamagedFile), match=re.escape(str(path))):
            read(str(path))
        assert not mark.exists(), path.name
    assert not (tmp_path / "outside").exists()
    assert len(list(folder.iterdir())) == 5


def test_a_configuration_cannot_name_objects_or_leave_the_folder(tmp_path):
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("zipf: !!python/object/apply:os.system [touch x]")
    section = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for name in ("../../outside", "/tmp/x", "a b", "$(touch x)", ""):
        section["zipf"]["datasets"][0]["name"] = name
        with pytest.raises(ConfigurationError, match=r"zipf\.datasets"):
            check(section, ROOT / "workflow/schemas", {})
