"""What the family found, in numbers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.prompt_capacity.capacity import HALF, capacity_table, of_pair, of_shared_lengths, pairs_of

SHARE = "share of texts"
ANSWERS = "share of test questions"
PAIRS = {"log_perplexity": "log perplexity", "net_gain_bits": "net gain"}  # of which layouts are compared
FEWER_BITS = (8, 4, 2)


def findings_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All findings of the family. A seed's value is the mean over its trials.

    Parameters
    ----------
    tables : the pooled tables by name: ``memorization``, ``survival``, ``capacity``, ``layouts``, and ``horizon`` and
        ``generalization`` where there are any
    """
    findings = Findings()
    texts = _of_text(tables["memorization"])
    for (condition, layout), rows in texts.groupby(["condition", "layout"], sort=False):
        recall(findings, f"{condition}, {layout}", rows)
    held(findings, _of_text(tables["capacity"]), texts)
    random_tokens(findings, tables["memorization"])
    survival(findings, _of_text(tables["survival"]))
    differences(findings, tables["memorization"], tables["layouts"])
    if "horizon" in tables:
        horizon(findings, _of_text(tables["horizon"]))
    if "generalization" in tables:
        generalization(findings, tables["generalization"])
    return findings.table()


def _of_text(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "text"]


def by_seed(rows: pd.DataFrame, value: str) -> pd.Series:
    """The mean of a column over trials, by seed."""
    return rows.groupby("seed")[value].mean()


def vectors(k: int) -> str:
    """A number of vectors, as findings name it."""
    return f"k = {k}"


def recall(findings: Findings, name: str, rows: pd.DataFrame) -> None:
    """What is reproduced exactly by length of the prompt and of the text; how prompts were trained."""
    for (k, length), cell in rows.groupby(["prompt_length", "length"]):
        findings.add(f"exact, {vectors(k)}, {length} tokens", name, by_seed(cell, "exact"), SHARE)
        net = by_seed(cell, "net_gain_bits")
        findings.add(f"net gain, {vectors(k)}, {length} tokens", name, net, "bits a text")
    findings.add("gain on unseen texts", name, by_seed(rows, "control_bits"), "bits a text")
    findings.add("not learned", name, by_seed(rows, "not_learned"), "share of trials")
    findings.add("converged", name, by_seed(rows, "converged"), "share of trials")
    steps = by_seed(rows, "steps_to_most")
    findings.add("step with nine tenths of the fall of the loss, of those that converged", name, steps, "steps")
    growth = by_seed(rows.assign(growth=rows["norm_best"] / rows["norm_first"]), "growth")
    findings.add("norm of the best prompt over that of the first", name, growth, "ratio")


def held(findings: Findings, capacity: pd.DataFrame, texts: pd.DataFrame) -> None:
    """The longest text that is exact; the largest gain, also over lengths that all models have, to compare these."""
    for (condition, layout, k), rows in capacity.groupby(["condition", "layout", "prompt_length"], sort=False):
        name = f"{condition}, {layout}"
        findings.add(f"longest exact text, {vectors(k)}", name, by_seed(rows, "longest_exact"), "tokens")
        accurate = by_seed(rows, "longest_accurate")
        findings.add(f"longest text with 99% of the tokens right, {vectors(k)}", name, accurate, "tokens")
    shared = of_shared_lengths(texts)
    gains = {"all lengths": capacity}
    if texts["condition"].nunique() > 1 and len(shared):
        gains["lengths of all models"] = capacity_table(shared, None)
    for which, table in gains.items():
        for (condition, layout, k), rows in table.groupby(["condition", "layout", "prompt_length"], sort=False):
            name, of = f"{condition}, {layout}", f"{vectors(k)}, {which}"
            findings.add(f"largest net gain, {of}", name, by_seed(rows, "gain_bits"), "bits a text")
            findings.add(f"bits per dimension, {of}", name, by_seed(rows, "bits_per_dimension"), "bits per dimension")


def random_tokens(findings: Findings, memorization: pd.DataFrame) -> None:
    """What is held of random tokens, of which the model knows nothing."""
    rows = memorization[memorization["kind"] == "random"]
    cells = ["condition", "layout", "prompt_length", "length"]
    for (condition, layout, k, length), cell in rows.groupby(cells, sort=False):
        name, of = f"{condition}, {layout}", f"random tokens, {vectors(k)}, {length} tokens"
        findings.add(f"exact, {of}", name, by_seed(cell, "exact"), SHARE)
        findings.add(f"net gain, {of}", name, by_seed(cell, "net_gain_bits"), "bits a text")


def survival(findings: Findings, table: pd.DataFrame) -> None:
    """How much of the gain is left with fewer bits an entry, over texts of all lengths together."""
    for (condition, layout, k), rows in table.groupby(["condition", "layout", "prompt_length"], sort=False):
        gains = rows.groupby(["seed", "bits"])["net_gain_bits"].sum().unstack("bits")
        whole = gains[32].where(gains[32] > 0)
        for bits in (each for each in FEWER_BITS if each in gains):
            kept = f"gain kept at {bits} bits an entry, {vectors(k)}"
            findings.add(kept, f"{condition}, {layout}", gains[bits] / whole, "share of the gain at 32 bits")


def differences(findings: Findings, memorization: pd.DataFrame, layouts: pd.DataFrame) -> None:
    """How layouts differ on the same texts: over seeds; of the trials of all seeds together p of random signs.

    Without cells in which most pairs have converged in both layouts.
    """
    texts = _of_text(memorization).assign(log_perplexity=lambda table: np.log(table["perplexity"]))
    cells = texts.groupby(["condition", "prompt_length", "length", "layout", "seed"])[list(PAIRS)].mean()
    for layout, other in pairs_of(list(dict.fromkeys(texts["layout"]))):
        tested = of_pair(_of_text(layouts), layout, other)
        for (condition, metric), rows in tested[tested["metric"].isin(PAIRS)].groupby(["condition", "metric"]):
            rows = rows[rows["converged"] <= HALF]
            if rows.empty:
                continue
            name, unit = f"{condition}, {layout} - {other}", rows["unit"].iloc[0]
            values = cells.loc[condition, metric].unstack("layout")
            apart = values[layout] - values[other]
            wanted = pd.MultiIndex.from_frame(rows[["prompt_length", "length"]])
            apart = apart[apart.index.droplevel("seed").isin(wanted)]
            found = f"{PAIRS[metric]}, all k and lengths, difference"
            findings.add(found, name, apart.groupby("seed").mean(), unit)
            for row in rows.itertuples():
                of = f"{PAIRS[metric]}, {vectors(row.prompt_length)}, {row.length} tokens"
                findings.add(f"{of}, difference", name, apart.loc[row.prompt_length, row.length], unit)
                findings.add_value(f"{of}, p of random signs", name, row.p, row.n, "p")
            smallest = f"{PAIRS[metric]}, smallest p that there can be"
            findings.add_value(smallest, name, rows["smallest_p"].min(), int(rows["n"].max()), "p")


def horizon(findings: Findings, table: pd.DataFrame) -> None:
    """How long a text became that grew token by token."""
    for (condition, layout, k), rows in table.groupby(["condition", "layout", "prompt_length"], sort=False):
        name = f"{condition}, {layout}"
        findings.add(f"horizon, {vectors(k)}", name, by_seed(rows, "horizon"), "tokens")
        findings.add(f"horizon censored, {vectors(k)}", name, by_seed(rows, "censored"), "share of trials")


def generalization(findings: Findings, table: pd.DataFrame) -> None:
    """Right answers and answers in the format, by number of examples and of updates, without a prompt, and what a
    prompt adds to that.
    """
    for measure, of in {"exact": "right answers", "complies": "answers in the format"}.items():
        alone = table[table["layout"] == "none"]
        without = {condition: by_seed(rows, measure) for condition, rows in alone.groupby("condition", sort=False)}
        for condition, values in without.items():
            findings.add(f"{of}, without a prompt", condition, values, ANSWERS)
        trained = table[table["layout"] != "none"]
        cells = ["condition", "layout", "training_samples", "budget", "updates"]
        for (condition, layout, samples, budget, updates), rows in trained.groupby(cells, sort=False):
            spent = "fixed epochs" if budget == "epochs" else f"{updates} updates"
            name, values = f"{of}, {samples} examples, {spent}", by_seed(rows, measure)
            findings.add(name, f"{condition}, {layout}", values, ANSWERS)
            if condition in without:
                more = values - without[condition]
                findings.add(f"{name}, less those without a prompt", f"{condition}, {layout}", more, ANSWERS)
