"""A page of samples: how a model goes on with windows, beside the true text."""

import json
from collections.abc import Mapping
from html import escape

import pandas as pd

STYLE = """
body {font: 15px/1.45 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222}
table {border-collapse: collapse; width: 100%; table-layout: fixed}
th, td {text-align: left; vertical-align: top; border-top: 1px solid #ccc; padding: .5em .7em}
th:first-child, td:first-child {width: 6em}
pre {white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: 13px/1.4 ui-monospace, monospace}
.given {color: #666}
.same {background: #cfe8fb}
.other {background: #fde3c1}
"""
HOW = (
    "Each row is a window: the text that the model is given, how the window goes on, and how the model does, the "
    "likeliest token at each step. Blue is reproduced, up to the first difference; orange is not. Copies are how often "
    "the window stood in training; controls never did."
)


def samples_page(prompts: pd.DataFrame, per_copies: int, made_by: Mapping) -> str:
    """A page in HTML, which needs no other file.

    Parameters
    ----------
    prompts : rows of ``prompts`` of a run; those that were continued, behind the longest prefix, are shown
    per_copies : windows of each data type and number of copies, the first ones
    made_by : what made it, kept in its head

    Returns
    -------
    HTML, in which texts are escaped.
    """
    shown = prompts[(prompts["protocol"] == "fixed_start") & (prompts["continuation"] != "")]
    shown = shown[shown["prefix_length"] == shown["prefix_length"].max()]
    shown = shown.sort_values("copies", ascending=False, kind="stable")
    shown = shown[shown.groupby(["data_type", "role", "copies"]).cumcount() < per_copies]
    run = f"{prompts['model'].iloc[0]}, seed {prompts['seed'].iloc[0]}"
    parts = [_section(kind, rows) for kind, rows in shown.groupby("data_type")]
    noted = escape(json.dumps(made_by, sort_keys=True), quote=True)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Samples of {escape(run)}</title>\n'
        f'<meta name="made_by" content="{noted}">\n<style>{STYLE}</style></head>\n'
        f"<body><h1>Samples of {escape(run)}</h1>\n<p>{HOW}</p>\n{''.join(parts)}</body></html>\n"
    )


def _section(kind: str, rows: pd.DataFrame) -> str:
    head = "<tr><th>copies</th><th>given</th><th>true</th><th>the model</th></tr>\n"
    lines = "".join(_row(row) for row in rows.itertuples())
    return f"<h2>{escape(kind)}</h2>\n<table>\n{head}{lines}</table>\n"


def _row(row) -> str:
    copies = "control" if row.role == "control" else "unknown" if row.copies < 0 else str(row.copies)
    same = _common(row.suffix, row.continuation)
    cells = [
        f'<pre class="given">{escape(row.prefix)}</pre>',
        _marked(row.suffix, same),
        _marked(row.continuation, same),
    ]
    return f"<tr><td>{copies}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _marked(text: str, same: int) -> str:
    rest = f'<span class="other">{escape(text[same:])}</span>' if text[same:] else ""
    return f'<pre><span class="same">{escape(text[:same])}</span>{rest}</pre>'


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
