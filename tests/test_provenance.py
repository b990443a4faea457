import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memorization import provenance
from memorization.families import FAMILIES
from memorization.provenance import ROOT, canonical, code_digest, digest, generator, rules_digest

SCRIPTS = ROOT.parent / "workflow/scripts"


@pytest.fixture
def source(tmp_path):
    def write(text):
        path = tmp_path / "module.py"
        path.write_text(text)
        return digest({"module": path})

    return write


@pytest.fixture
def seen(monkeypatch) -> dict[str, Path]:
    """The sources, by name, of which a digest is made meanwhile."""
    sources = {}
    monkeypatch.setattr(provenance, "digest", lambda given: sources.update(given) or "")
    return sources


def test_comments_docstrings_and_layout_do_not_count(source):
    plain = source('def f(x):\n    return {"a": x}\n')
    assert source('"""Doc."""\n# why\ndef f(x):\n    """Doc."""\n\n    return {\n        "a": x,\n    }\n') == plain
    assert source('def f(x):\n    return {"a": -x}\n') != plain
    assert source('def f(x):\n    return {"b": x}\n') != plain
    assert source('class A:\n    """Doc."""\n') == source('class A:\n    """Other."""\n')


def test_no_version_of_python_has_a_digest_of_its_own(source):
    """Pinned: 3.11, 3.12 and 3.13 give this; ``ast.unparse`` and ``ast.dump`` write this source in two ways."""
    assert source("def f(x: int) -> str:\n    return f\"{x['a'] if 0 else None} {x!r:>8}\"\n") == "799de39aba58"


def test_names_and_contents_count_and_where_they_lie_does_not(tmp_path):
    def written(folder, **texts):
        paths = {}
        for name, text in texts.items():
            paths[name] = tmp_path / folder / f"{len(paths)}.py"
            paths[name].parent.mkdir(exist_ok=True)
            paths[name].write_text(text)
        return digest(paths)

    plain = written("one", a="x = 1", b="x = 2")
    assert written("another", b="x = 2", a="x = 1") == plain  # in another folder, file names in another order
    assert written("one", a="x = 2", b="x = 1") != plain
    assert written("one", a="x = 1", c="x = 2") != plain
    assert written("one", a="x = 1") != plain


DIGESTS = """
import sys
from pathlib import Path
from memorization.provenance import ROOT, code_digest, rules_digest
checkout, other = map(Path, sys.argv[1:])
assert ROOT == checkout / "src", ROOT
scripts = sorted((other / "workflow/scripts").rglob("*.py"))
print(*(code_digest(str(script)) for script in scripts))
print(rules_digest((str(checkout / "rules/data.smk"), str(checkout / "Snakefile")), ("memorization.families",)))
"""


def test_a_checkout_has_the_same_digests_through_whatever_links_it_is_reached(tmp_path):
    """The package by a link whose name sorts before or after that of the scripts': neither paths nor order count."""
    found, checkouts = set(), {name: tmp_path / name / ROOT.parent.name for name in ("before", "scripts", "zlink")}
    for name in checkouts:
        (tmp_path / name).symlink_to(ROOT.parent.parent)
    for name in ("before", "zlink"):
        checkout = checkouts[name]
        result = subprocess.run(
            [sys.executable, "-c", DIGESTS, str(checkout), str(checkouts["scripts"])],
            env=os.environ | {"PYTHONPATH": f"{checkout}/src"},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(result.stdout)
    scripts = sorted(SCRIPTS.rglob("*.py"))
    shared = (str(ROOT.parent / "Snakefile"), str(ROOT.parent / "rules/data.smk"))
    assert found == {
        " ".join(code_digest(str(script)) for script in scripts)
        + f"\n{rules_digest(shared, ('memorization.families',))}\n"
    }


def test_comments_in_rules_do_not_count(tmp_path):
    def rules(text):
        path = tmp_path / "a.smk"
        path.write_text(text)
        return rules_digest.__wrapped__((str(path),), ())

    plain = rules('rule a:\n    output: "b"\n    params: code=f("c")\n')
    assert rules('# why\n\nrule a:\n    output: "b" # here\n\n    params: code=f("c")\n') == plain
    assert rules('rule a:\n    output: "b"\n    params: code=f("d")\n') != plain


def test_rules_count_with_what_they_import(seen):
    rules_digest.__wrapped__((), ("memorization.family",))
    assert seen["memorization.configuration"] == ROOT / "memorization/configuration.py"
    assert "memorization" in seen


@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_the_rules_of_a_family_import_no_other(seen, family):
    rules_digest.__wrapped__((), (f"memorization.{family}.conditions",))
    assert f"memorization.{family}.conditions" in seen
    others = {f"memorization.{other.name}" for other in FAMILIES if other.name != family}
    assert not others & seen.keys()


def test_no_module_is_left_out_of_what_is_imported():
    """As those of a folder without ``__init__.py`` would be: an edit of them would make nothing stale."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "memorization").rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    assert provenance._imports().modules == names


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*/train.py")), ids=lambda path: path.parent.name)
def test_a_training_s_script_counts_with_all_that_it_imports_and_nothing_else(seen, script):
    code_digest.__wrapped__(str(script))
    assert seen["script"] == script
    imported = {name.removeprefix("memorization.") for name in seen}
    assert imported >= {"training", "training.fit", "training.checkpoints", "job", "files", "provenance"}
    assert not imported & {"plotting", "statistics", "records", "configuration", "family", "families"}
    assert not [name for name in imported if name.endswith((".figures", ".conditions", ".measures", ".evaluation"))]


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*/*_figure.py")), ids=lambda path: path.stem)
def test_a_figure_s_script_counts_with_how_it_looks_and_not_with_what_trained(seen, script):
    code_digest.__wrapped__(str(script))
    assert "memorization.plotting" in seen
    assert not seen.keys() & {"memorization.models.decoder", "memorization.training.fit"}


@pytest.mark.parametrize(
    "line",
    [
        "import memorization.random_sequences.figures",
        "from memorization.random_sequences import figures",
        "from memorization.random_sequences.figures import curves_figure",
        "def f():\n    from memorization.random_sequences import figures as pictures",
    ],
)
def test_every_way_to_import_counts(tmp_path, seen, line):
    (tmp_path / "script.py").write_text(line)
    code_digest.__wrapped__(str(tmp_path / "script.py"))
    assert seen["memorization.random_sequences.figures"] == ROOT / "memorization/random_sequences/figures.py"
    assert seen["memorization.random_sequences"] == ROOT / "memorization/random_sequences/__init__.py"
    assert "memorization.plotting" in seen


def test_equal_values_have_one_canonical_form():
    assert canonical({"b": 1.0, "a": [0.5, "x"]}) == canonical({"a": [0.50, "x"], "b": 1})
    assert canonical({"a": 0.1}) != canonical({"a": 0.2})


def test_random_streams_are_kept_apart_by_their_names():
    def numbers(*names):
        return generator(*names).random(5)

    np.testing.assert_array_equal(numbers("a", 1, "draws"), numbers("a", 1, "draws"))
    assert not np.array_equal(numbers("a", 1, "draws"), numbers("a", 2, "draws"))
    assert not np.array_equal(numbers("a", 1, "draws"), numbers("a", 1, "sequences"))
    assert not np.array_equal(numbers("a", 11), numbers("a1", 1))
    np.testing.assert_array_equal(numbers("a", 5), numbers("a", np.int64(5)))
    with pytest.raises(TypeError):
        numbers("a", 0.5)
