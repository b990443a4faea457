"""Nothing from outside is run: what the sources call, and what the readers do with files that would run something."""

import ast
import io
import os
import pickle
import re
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from command_line import ROOT
from snakemake.parser import parse

from memorization.configuration import ConfigurationError, check
from memorization.families import complete, configured
from memorization.files import DamagedFile, read_arrays, read_table
from memorization.pickles import RefusedPickle, read_pickle
from memorization.training.checkpoints import read_tensors

FOLDERS = ("src", "workflow", "benchmarks", "docs", "rules")
SOURCES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
EXEMPT = {
    ROOT / "src/memorization/pickles.py": {"pickle._Unpickler"},  # of which it makes one that refuses: test_pickles.py
    ROOT / "src/memorization/training/worker.py": {
        "runpy.run_module"
    },  # as python -m, of what distributed.launch names
}
SHORT = {"np": "numpy", "pd": "pandas", "sp": "subprocess", "builtins": "", "_pickle": "pickle", "cPickle": "pickle"}
NEVER = re.compile(  # not even named
    r"""(pickle|marshal|dill|cloudpickle)\.(loads?|Unpickler|_loads?|_Unpickler) | joblib\.load | pandas\.read_pickle
      | shelve\.\w+ | eval | exec | __import__ | runpy\.\w+ | os\.(system|popen|exec\w+|spawn\w+|posix_spawnp?)
      | subprocess\.(getoutput|getstatusoutput) | torch\.hub\.\w+ | torch\.jit\.load
      | yaml\.((unsafe|full)_load(_all)?|(Unsafe|Full|)Loader|CLoader) | shell""",
    re.VERBOSE,
)
DEMANDED = {  # calls that are safe with an argument alone
    "torch.load": ("weights_only", "True"),
    "numpy.load": ("allow_pickle", "False"),
    "numpy.savez": ("allow_pickle", "False"),
    "numpy.savez_compressed": ("allow_pickle", "False"),
    "yaml.load": ("Loader", r"(.*\.)?C?SafeLoader"),
    "yaml.load_all": ("Loader", r"(.*\.)?C?SafeLoader"),
}
FROM_HUBS = re.compile(r"(.*\.)?(from_pretrained|load_dataset|hf_hub_download|snapshot_download)")
PINNED = re.compile(r"'[0-9a-f]{40}'|pinned\(\w+\)")  # memorization.hub.pinned refuses anything but a commit
FORBIDDEN_IN_CALLS = ("shell", "trust_remote_code")  # but where they are False


def distrusted(source: str) -> list[str]:
    """What a source names or calls that may run what a file from elsewhere, or a value, says."""
    tree = ast.parse(source)
    stands_for = dict(SHORT)  # names as they are used -> what they were imported as
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            stands_for |= {word.asname: word.name for word in node.names if word.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            stands_for |= {word.asname or word.name: f"{node.module}.{word.name}" for word in node.names}

    def name_of(node: ast.expr) -> str:
        first, *rest = ast.unparse(node).split(".")
        for _ in range(2):  # import numpy as n; import _pickle as p
            first, *more = [*stands_for.get(first, first).split("."), *rest]
            rest = more
        return ".".join(filter(None, [first, *rest]))

    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and NEVER.fullmatch(name_of(node)):
            found.append(name_of(node))
        if isinstance(node, ast.ImportFrom) and any(word.name == "*" for word in node.names):
            found.append(f"from {node.module} import *")
        if not isinstance(node, ast.Call):
            continue
        name, words = name_of(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in DEMANDED:
            word, value = DEMANDED[name]
            if not re.fullmatch(value, words.get(word, "")):
                found.append(f"{name} without {word}={value}")
        if FROM_HUBS.fullmatch(name) and not PINNED.fullmatch(words.get("revision", "")):
            found.append(f"{name} without the revision of a commit")
        found += [f"{name} with {word}" for word in FORBIDDEN_IN_CALLS if words.get(word, "False") != "False"]
        if name.startswith("subprocess.") and None in words:
            found.append(f"{name} with what nobody can see here")
    return found


def as_python(path) -> str:
    """A file of rules as Snakemake itself turns it into Python, so that any form of a rule is seen."""
    reader = SimpleNamespace(sourcecache=SimpleNamespace(open=lambda _: path.open()))
    return parse(SimpleNamespace(get_path_or_uri=lambda secret_free: str(path)), reader, {})[0]


def ways_to_run(source: str) -> set[str]:
    """How the rules of a file run: script, shellcmd, run, …; Snakemake marks all of them as ``run`` besides."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            decorators = {ast.unparse(way).split("(")[0].removeprefix("workflow.") for way in node.decorator_list}
            if "run" in decorators:
                found |= decorators & WAYS or {"run"}
    return found


WAYS = {"norun", "script", "shellcmd", "notebook", "wrapper", "cwl", "template_engine"}


@pytest.mark.parametrize("path", [*SOURCES, *RULES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_a_file_says(path):
    found = distrusted(as_python(path) if path in RULES else path.read_text())
    assert [name for name in found if name not in EXEMPT.get(path, ())] == []


COMMIT = "0123456789" * 4
DISTRUSTED = f"""
pickle.load(f)
from pickle import loads as read; read(f)
import _pickle as p; p.loads(f)
pickle.Unpickler(f).load()
read = {{"pkl": pickle.load}}
torch.load(f)
torch.load(f, weights_only=False)
torch.load(f, weights_only=trusted)
from torch import load; load(f)
import torch as t; t.load(f)
torch.hub.load(name, "model")
np.load(f)
np.load(f, allow_pickle=True)
import numpy; numpy.load(f, allow_pickle=True)
from numpy import load as read; read(f)
pd.read_pickle(f)
import pandas; pandas.read_pickle(f)
eval(text)
builtins.exec(text)
os.system(text)
yaml.load(f)
yaml.load(f, Loader=yaml.Loader)
yaml.unsafe_load(f)
yaml.full_load(f)
subprocess.run(text, shell=True)
subprocess.run(text, shell=how)
subprocess.run(text, **how)
subprocess.getoutput(text)
from subprocess import getoutput; getoutput(text)
from pickle import *
shell("echo")
AutoModel.from_pretrained(name)
AutoModel.from_pretrained(name, revision=None)
AutoModel.from_pretrained(name, revision="main")
AutoModel.from_pretrained(name, revision=chosen)
AutoModel.from_pretrained(name, revision="{COMMIT}", trust_remote_code=True)
from datasets import load_dataset as read; read(name)
"""
TRUSTED = f"""
pickle.dump(value, f)
torch.load(f, weights_only=True)
np.load(f, allow_pickle=False)
yaml.load(f, Loader=SafeLoader)
import yaml; yaml.load(f, Loader=yaml.CSafeLoader)
yaml.safe_load(f)
json.load(f)
re.compile(text)
model.eval()
subprocess.run([program, text], shell=False)
AutoModel.from_pretrained(name, revision="{COMMIT}")
AutoModel.from_pretrained(name, revision="{COMMIT}", trust_remote_code=False)
"""


@pytest.mark.parametrize("line", DISTRUSTED.strip().split("\n"))
def test_the_check_sees_what_it_is_there_for(line):
    assert distrusted(line)


@pytest.mark.parametrize("line", TRUSTED.strip().split("\n"))
def test_the_check_lets_pass_what_runs_nothing(line):
    assert not distrusted(line)


def test_rules_run_scripts_alone_so_no_value_reaches_a_shell():
    assert set().union(*(ways_to_run(as_python(path)) for path in RULES)) == {"script", "norun"}  # norun: a target


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("shellcmd", 'shell: "echo {input}"'),
        ("shellcmd", 'shell:\n        """\n        echo {input:q}\n        """'),
        ("run", "run: print(input)"),
        ("run", "run:\n        print(input)"),
        ("wrapper", 'wrapper: "v1/bio/x"'),
        ("script", 'script: "x.py"'),
    ],
)
def test_every_form_of_a_rule_is_seen(tmp_path, way, text):
    path = tmp_path / "some.smk"
    path.write_text(f'rule some:\n    input: "a"\n    {text}\n')
    assert ways_to_run(as_python(path)) == {way}


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


@pytest.mark.parametrize("tag", ["python/object/apply:os.system [touch x]", "python/name:os.system"])
def test_a_schema_cannot_name_objects(tmp_path, tag):
    (tmp_path / "config.schema.yaml").write_text(f"const: !!{tag}\n")
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        check({"families": []}, tmp_path, [])


def test_no_yaml_here_runs_python():
    """Snakemake runs Python in a configuration or profile with ``__use_yte__``, as docs/troubleshooting.md says."""
    paths = [path for ending in ("yaml", "yml") for path in ROOT.rglob(f"*.{ending}")]
    own = [path for path in paths if not path.relative_to(ROOT).parts[0].startswith((".", "studies", "results"))]
    assert ROOT / "config/config.yaml" in own
    assert [path for path in own if "__use_yte__" in path.read_text()] == []


def test_names_in_a_configuration_cannot_leave_the_folder():
    config = complete({})
    for family in (name for name, section in config.items() if isinstance(section, dict) and "datasets" in section):
        for name in ("../../outside", "/tmp/x", "a b", "$(touch x)", ""):
            data = [config[family]["datasets"][0] | {"name": name}]
            with pytest.raises(ConfigurationError, match=rf"{family}\.datasets"):
                configured(config | {family: config[family] | {"datasets": data}})
