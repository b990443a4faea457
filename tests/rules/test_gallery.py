"""The rule gallery."""

import json
import re
from hashlib import sha256

import matplotlib.pyplot as plt
import pytest
import yaml
from command_line import SMOKE
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from snakemake.exceptions import WorkflowError

from memorization.families import complete, configured
from memorization.figure_files import read_figure_made_by

SECTIONS = {
    family.name: [f"{family.name}_{figure.name}" for figure in family.figures if figure.is_target]
    for family in configured(complete(yaml.safe_load(SMOKE.read_text()))).values()
}
STEMS = [stem for stems in SECTIONS.values() for stem in stems]


@pytest.fixture
def figures(tmp_path):
    """A png of each figure: wide ones, and at last a narrow one."""
    figure, axes = plt.subplots(figsize=(10, 3))
    axes.plot([0, 1, 0], label="a curve")
    axes.legend()
    figure.savefig(tmp_path / "drawn.png", dpi=200)
    plt.close(figure)
    drawn, inputs = Image.open(tmp_path / "drawn.png"), {}
    (tmp_path / "drawn").mkdir()
    for n, stem in enumerate(STEMS):
        note = PngInfo()
        note.add_text("Description", json.dumps({"rule": f"{stem}_figure", "code": f"code{n}"}))
        inputs[f"results/figures/{stem}.png"] = tmp_path / f"drawn/{stem}.png"
        size = (300, 90) if stem == STEMS[-1] else drawn.size
        drawn.resize(size).save(tmp_path / f"drawn/{stem}.png", pnginfo=note)
    return inputs


def test_the_gallery_shows_every_figure_small_with_its_caption_and_says_what_made_it(run_rule, figures):
    page = run_rule("gallery", "results/gallery/README.md", figures)
    text = page.read_text()
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in sections] == list(SECTIONS)
    for name, section in sections:
        assert f"(../../docs/{name}.md)" in section
        shown = re.findall(r"^### (\w+)\n\n!\[(\w+)\]\((\w+)\.png\)\n\n(\w.*)\n", section, re.MULTILINE)
        assert [row[:3] for row in shown] == [(stem, stem, stem) for stem in SECTIONS[name]]
        for row in shown:  # the caption is this figure's, where several share a text
            if row[0].endswith(("_loss", "_accuracy")):
                assert row[3].lower().startswith(row[0].rpartition("_")[2])
    assert max(map(len, text.splitlines()[:-1])) <= 120
    made_by = json.loads(re.fullmatch(r"<!-- made_by: (.*) -->", text.splitlines()[-1])[1])
    assert made_by["rule"] == "gallery"
    for n, stem in enumerate(STEMS):
        figure = f"results/figures/{stem}.png"
        digest = sha256(figures[figure].read_bytes()).hexdigest()
        assert made_by["made_from"][figure] == {"code": f"code{n}", "sha256": digest}
        picture = page.with_name(f"{stem}.png")
        noted = read_figure_made_by(picture)
        assert noted == made_by | {"made_from": {figure: made_by["made_from"][figure]}}
        with Image.open(picture) as image:
            assert image.mode == "P"
            assert image.size == ((300, 90) if stem == STEMS[-1] else (640, 192))
            darkest, lightest = image.convert("L").getextrema()
            assert darkest < 128  # axes are still to be seen
            assert lightest > 250
        assert picture.stat().st_size < 30_000


def test_the_gallery_of_the_same_figures_is_equal_to_the_byte(run_rule, figures):
    page = run_rule("gallery", "results/gallery/README.md", figures)
    first = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    assert len(first) == len(STEMS) + 1
    run_rule("gallery", "results/gallery/README.md", figures)
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == first


def test_the_gallery_has_the_families_of_the_configuration_alone(run_rule, figures):
    last = list(SECTIONS)[-1]
    page = run_rule("gallery", "results/gallery/README.md", figures, config={"families": [last]})
    assert re.findall(r"^## (\w+)$", page.read_text(), re.MULTILINE) == [last]
    assert {path.stem for path in page.parent.glob("*.png")} == set(SECTIONS[last])


def test_the_gallery_refuses_a_figure_that_does_not_say_what_made_it(run_rule, figures, tmp_path):
    first = f"results/figures/{STEMS[0]}.png"
    Image.new("RGB", (30, 30)).save(figures[first])
    with pytest.raises(WorkflowError):
        run_rule("gallery", "results/gallery/README.md", figures)
    log = (tmp_path / "logs/gallery.log").read_text().splitlines()
    assert log[-1].endswith(f"{first}: not made by this workflow, or saved again by another tool")
    assert not (tmp_path / "results/gallery/README.md").exists()
