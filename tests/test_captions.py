"""Captions as text."""

import pytest
import yaml
from command_line import ROOT, SMOKE

from memorization.captions import caption, short_caption, shortened
from memorization.families import complete, configured

FAMILIES = configured(complete(yaml.safe_load(SMOKE.read_text())))
FIGURES = [(family, figure) for family in FAMILIES.values() for figure in family.figures]


def test_a_caption_of_several_figures_is_rendered_for_the_one_that_asks(tmp_path):
    path = tmp_path / "both.rst"
    path.write_text(
        '{% if snakemake.rule.endswith("_loss") %}Loss{% else %}Accuracy{% endif %} of *items*,\na panel each.\n'
    )
    assert caption(path, "some_loss") == "Loss of *items*, a panel each."
    assert caption(path, "some_accuracy") == "Accuracy of *items*, a panel each."


def test_a_short_caption_has_the_first_sentence_and_how_to_read_it():
    whole = (
        "Loss (nats, .5 a bit) of runs. Thin lines are seeds. How to read it: lower is better; p < .05. *Dotted*: none."
    )
    assert shortened(whole) == "Loss (nats, .5 a bit) of runs. How to read it: lower is better; p < .05."
    assert shortened("Only one sentence.") == "Only one sentence."


@pytest.mark.parametrize(("family", "figure"), FIGURES, ids=lambda each: each.name)
def test_a_figure_has_a_caption_that_can_be_shortened(family, figure):
    text = short_caption(f"{ROOT}/workflow/report", family.name, figure)
    assert text.endswith(".")
    assert "{" not in text
    assert 5 <= len(text.split()) <= 110
