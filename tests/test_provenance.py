import numpy as np
import pytest

from memorization import provenance
from memorization.provenance import ROOT, canonical, code_digest, digest, generator, rules_digest

SCRIPTS = ROOT.parent / "workflow/scripts"


@pytest.fixture
def source(tmp_path):
    def write(text):
        path = tmp_path / "module.py"
        path.write_text(text)
        return digest([path])

    return write


def test_comments_docstrings_and_layout_do_not_count(source):
    plain = source('def f(x):\n    return {"a": x}\n')
    assert source('"""Doc."""\n# why\ndef f(x):\n    """Doc."""\n\n    return {\n        "a": x,\n    }\n') == plain
    assert source('def f(x):\n    return {"a": -x}\n') != plain
    assert source('def f(x):\n    return {"b": x}\n') != plain
    assert source('class A:\n    """Doc."""\n') == source('class A:\n    """Other."""\n')


def test_no_version_of_python_has_a_digest_of_its_own(source):
    """Pinned: 3.11, 3.12 and 3.13 give this; ``ast.unparse`` and ``ast.dump`` write this source in two ways."""
    assert source("def f(x: int) -> str:\n    return f\"{x['a'] if 0 else None} {x!r:>8}\"\n") == "df677d376e9c"


def test_comments_in_rules_do_not_count(tmp_path):
    def rules(text):
        path = tmp_path / "a.smk"
        path.write_text(text)
        return rules_digest([str(path)])

    plain = rules('rule a:\n    output: "b"\n    params: code=f("c")\n')
    assert rules('# why\n\nrule a:\n    output: "b" # here\n\n    params: code=f("c")\n') == plain
    assert rules('rule a:\n    output: "b"\n    params: code=f("d")\n') != plain


def test_rules_count_with_what_they_import(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(provenance, "digest", lambda paths: seen.extend(paths) or "")
    rules_digest([])
    assert ROOT / "memorization/provenance.py" in seen


def test_a_script_counts_with_all_that_it_imports(tmp_path, monkeypatch):
    def modules(name):
        seen = []
        monkeypatch.setattr(provenance, "digest", lambda paths: seen.extend(paths) or "")
        code_digest.__wrapped__(str(SCRIPTS / name))
        return {str(path.relative_to(ROOT.parent)) for path in seen}

    train, figure = modules("zipf/train.py"), modules("zipf/curves_figure.py")
    for module in ("zipf/models", "zipf/training", "models/decoder", "training/loop", "data/sequences", "job", "files"):
        assert f"src/memorization/{module}.py" in train
    assert "workflow/scripts/zipf/train.py" in train
    assert "src/memorization/training/__init__.py" in train
    for module in (
        "plotting",
        "statistics",
        "records",
        "configuration",
        "zipf/figures",
        "random_sequences/measures",
        "random_sequences/figures",
    ):
        assert f"src/memorization/{module}.py" not in train
    assert "src/memorization/plotting.py" in figure
    assert "src/memorization/models/decoder.py" not in figure


@pytest.mark.parametrize(
    "line",
    [
        "import memorization.zipf.figures",
        "from memorization.zipf import figures",
        "from memorization.zipf.figures import curves_figure",
        "def f():\n    from memorization.zipf import figures as pictures",
    ],
)
def test_every_way_to_import_counts(tmp_path, monkeypatch, line):
    seen = []
    monkeypatch.setattr(provenance, "digest", lambda paths: seen.extend(paths) or "")
    (tmp_path / "script.py").write_text(line)
    code_digest.__wrapped__(str(tmp_path / "script.py"))
    assert ROOT / "memorization/zipf/figures.py" in seen
    assert ROOT / "memorization/plotting.py" in seen


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
