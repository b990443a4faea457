"""``make test FAMILY=…`` runs a family's own tests, and its part of the shared ones."""

import pytest
from command_line import ROOT
from selection import NAMES, is_of


@pytest.mark.parametrize("family", NAMES)
def test_a_family_has_its_own_tests_and_its_part_of_the_shared_ones(family):
    for name in NAMES:
        its_own = name == family
        assert is_of(family, f"tests/{name}/test_{family}.py::test_{family}[{family}]") == its_own
        assert is_of(family, f"tests/rules/test_{name}.py::test_{family}") == its_own
        assert is_of(family, f"tests/test_captions.py::test_a_caption[{name}]") == its_own
        assert is_of(family, f"tests/test_captions.py::test_a_caption[{name}_loss.rst]") == its_own
        assert is_of(family, f"tests/test_trust.py::test_no_source[src/memorization/{name}/data.py]") == its_own
    assert not is_of(family, "tests/test_files.py::test_a_file_is_whole[table]")


@pytest.mark.parametrize("family", NAMES)
def test_files_of_a_family_are_run_by_its_name(family):
    own = [*(ROOT / f"tests/{family}").glob("test_*.py"), ROOT / f"tests/rules/test_{family}.py"]
    assert all(path.is_file() and is_of(family, f"{path.relative_to(ROOT)}::test_a") for path in own)


def test_make_asks_for_the_family_by_its_whole_name():
    assert "$(BIN)/pytest $(if $(FAMILY),--family=$(FAMILY))" in (ROOT / "Makefile").read_text()
