"""What made a result: its code, and its streams of random numbers.

Imported when the Snakefile is read: nothing here may import torch.
"""

import ast
import json
import operator
import tokenize
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

import grimp
import numpy as np

PACKAGE = "memorization"
ROOT = Path(__file__).parents[1]


def digest(sources: Mapping[str, Path]) -> str:
    """Digest of what Python sources say, in any version of Python: comments, docstrings and layout do not count.

    Parameters
    ----------
    sources : paths by name; names and contents count, where the files lie does not
    """
    total = sha256()
    for name in sorted(sources):
        total.update(name.encode() + b"\0" + _says(sources[name].read_text("utf-8")).encode() + b"\0")
    return total.hexdigest()[:12]


@cache
def code_digest(script: str) -> str:
    """Digest of a script and of all that it imports from the package, however deep.

    Equal exactly when none of that code has changed. Reads sources, runs none of them.
    """
    modules = imported(ast.parse(Path(script).read_text("utf-8"))) & _imports().modules
    return digest({"script": Path(script)} | _with_imports(modules))


def imported(tree: ast.AST) -> set[str]:
    """All module names that a source's imports may mean: ``from a import b`` gives a and a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def rules_digest(files: tuple[str, ...], modules: tuple[str, ...]) -> str:
    """Digest of what makes jobs and their parameters: rule files, and the package's modules that they import.

    Comments and empty lines of the files do not count.

    Parameters
    ----------
    files : paths
    modules : names; what these import counts too
    """
    total = sha256()
    for path in sorted(map(Path, files), key=lambda path: path.name):
        total.update(path.name.encode() + b"\0")
        with path.open(encoding="utf-8") as lines:
            for token in tokenize.generate_tokens(lines.readline):
                if token.type not in (tokenize.COMMENT, tokenize.NL):
                    total.update(token.string.encode() + b"\0")
    return digest(_with_imports(set(modules))) + total.hexdigest()[:12]


def canonical(value) -> str:
    """JSON with sorted keys and 1.0 written as 1: equal text exactly for equal values."""
    plain = json.loads(json.dumps(value), parse_float=lambda x: int(float(x)) if float(x).is_integer() else float(x))
    return json.dumps(plain, sort_keys=True)


def generator(*names: str | int) -> np.random.Generator:
    """A random stream of its own for what ``names`` name, such as ``("laptop", 3, "draws")``.

    Name the data set, the seed and the purpose; name the condition only for what belongs to it
    alone, so that conditions are compared on the same data.
    """
    plain = tuple(name if isinstance(name, str) else operator.index(name) for name in names)
    entropy = int.from_bytes(sha256(repr(plain).encode()).digest()[:16])
    return np.random.default_rng(np.random.SeedSequence(entropy))


@cache
def _says(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    return repr(_plain(tree))


def _plain(node):
    """A syntax tree without its empty fields, of which each version of Python has others."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return type(node).__name__, *fields


@cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def _with_imports(modules: set[str]) -> dict[str, Path]:
    """The sources, by name, of modules, of all that they import from the package, and of the packages around these."""
    modules = modules.union(*map(_imports().find_upstream_modules, modules))
    parents = {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}
    return {name: _source(name) for name in modules | parents}


def _source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
