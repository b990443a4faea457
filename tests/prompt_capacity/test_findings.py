import numpy as np
import pandas as pd
import pytest

from memorization.findings import COLUMNS
from memorization.prompt_capacity.capacity import capacity_table, layouts_table
from memorization.prompt_capacity.findings import findings_table

LEVEL = {"prefix": 1.0, "infix": 0.5, "infix_masked": 0.75}
WIDTHS = {"small": 4, "wide": 8}


def memorization():
    """Two seeds, the second gains 2 bits more; two trials of text, one exact at 4 tokens; ``wide`` has longer texts."""
    rows = []
    for condition, lengths in (("small", (4, 8)), ("wide", (4, 16))):
        for seed in (0, 1):
            for layout, level in LEVEL.items():
                for length in lengths:
                    for trial, kind in enumerate(("text", "text", "random")):
                        gain = length + 2 * seed + trial
                        row = {"condition": condition, "seed": seed, "layout": layout, "kind": kind, "trial": trial}
                        row |= {"text": 0, "d_model": WIDTHS[condition], "prompt_length": 1, "length": length}
                        row |= {"exact": length == 4 and not trial, "accuracy": 1.0 if length == 4 else 0.5}
                        row |= {"perplexity": np.exp(level * (1 + seed)), "nll_bits": 1.0}
                        row |= {"net_gain_bits": gain, "bits_per_dimension": gain / WIDTHS[condition]}
                        row |= {"control_bits": 3.0 + seed, "not_learned": trial == 1, "converged": not trial}
                        row |= {"steps_to_most": 50.0 + 10 * seed if not trial else np.nan}
                        rows.append(row | {"norm_first": 2.0, "norm_best": 6.0 + 2 * seed})
    return pd.DataFrame(rows)


def survival():
    rows = memorization()[["condition", "seed", "layout", "kind", "trial", "prompt_length", "length"]]
    gains = {32: 10.0, 8: 9.0, 2: -5.0}
    of_bits = {bits: gain * (1 + rows["seed"]) for bits, gain in gains.items()}
    return pd.concat([rows.assign(bits=each, net_gain_bits=net, gain_bits=net + 7) for each, net in of_bits.items()])


def horizon():
    rows = memorization().query("length == 4 and layout == 'prefix' and condition == 'small'")
    return rows.assign(horizon=3.0 + rows["trial"] + rows["seed"], censored=rows["trial"] == 1)


def generalization():
    rows = []
    for seed in (0, 1):
        for layout in ("prefix", "infix"):
            row = {"condition": "small", "seed": seed, "exact": 0.25, "complies": 0.5}
            rows.append(row | {"layout": "none", "training_samples": 0, "budget": "none", "updates": 0})
            row |= {"layout": layout, "training_samples": 50, "complies": 1.0}
            rows.append(row | {"budget": "epochs", "updates": 150, "exact": 0.5 + 0.25 * seed})
            rows.append(row | {"budget": "updates", "updates": 300, "exact": 0.75})
    return pd.DataFrame(rows)


def tables(table):
    found = {"memorization": table, "survival": survival(), "capacity": capacity_table(table, None)}
    return found | {"layouts": layouts_table(table)}


@pytest.fixture(scope="module")
def table():
    every = tables(memorization()) | {"horizon": horizon(), "generalization": generalization()}
    found = findings_table(every)
    assert tuple(found) == COLUMNS
    assert not found.duplicated(["finding", "condition"]).any()
    return found.set_index(["finding", "condition"])


def value(table, finding, condition):
    return table.loc[(finding, condition), "value"]


def test_what_is_held_is_by_model_and_layout_a_mean_over_trials_of_text_by_seed(table):
    assert value(table, "exact, k = 1, 4 tokens", "small, infix") == 0.5
    assert value(table, "exact, k = 1, 8 tokens", "small, infix") == 0
    row = table.loc[("net gain, k = 1, 4 tokens", "small, infix")]
    assert (row["value"], row["seeds"], row["n"]) == (5.5, "0:4.5 1:6.5", 2)
    assert value(table, "longest exact text, k = 1", "small, infix") == 2
    assert value(table, "longest text with 99% of the tokens right, k = 1", "small, infix") == 4
    assert value(table, "gain on unseen texts", "wide, prefix") == 3.5


def test_models_are_compared_on_lengths_that_all_have(table):
    assert value(table, "largest net gain, k = 1, all lengths", "wide, infix") == 17.5
    assert value(table, "largest net gain, k = 1, lengths of all models", "wide, infix") == 5.5
    assert value(table, "bits per dimension, k = 1, all lengths", "small, infix") == 9.5 / 4
    assert value(table, "bits per dimension, k = 1, lengths of all models", "small, infix") == 5.5 / 4


def test_how_prompts_were_trained_is_told(table):
    name = "small, infix_masked"
    assert value(table, "not learned", name) == 0.5
    assert value(table, "converged", name) == 0.5
    assert value(table, "step with nine tenths of the fall of the loss, of those that converged", name) == 55
    assert value(table, "norm of the best prompt over that of the first", name) == 3.5


def test_random_tokens_stand_apart(table):
    assert value(table, "net gain, random tokens, k = 1, 8 tokens", "small, prefix") == 11
    assert value(table, "exact, random tokens, k = 1, 4 tokens", "small, prefix") == 0


def test_bits_that_are_left_are_a_share_of_the_gain_with_all(table):
    assert value(table, "gain kept at 8 bits an entry, k = 1", "small, infix") == 0.9
    assert value(table, "gain kept at 2 bits an entry, k = 1", "small, infix") == -0.5
    assert ("gain kept at 4 bits an entry, k = 1", "small, infix") not in table.index


def test_layouts_differ_in_pairs_over_seeds_with_p_of_all_trials(table):
    name = "small, infix - prefix"
    row = table.loc[("log perplexity, k = 1, 4 tokens, difference", name)]
    assert row["value"] == pytest.approx(-0.75)
    assert row["seeds"] == "0:-0.5 1:-1"
    assert value(table, "log perplexity, all k and lengths, difference", name) == pytest.approx(-0.75)
    assert value(table, "log perplexity, k = 1, 4 tokens, p of random signs", name) == 2 / 2**4
    assert table.loc[("log perplexity, smallest p that there can be", name), "value"] == 2 / 2**4
    assert table.loc[("log perplexity, smallest p that there can be", name), "n"] == 4
    masked = value(table, "log perplexity, k = 1, 4 tokens, difference", "small, infix_masked - infix")
    assert masked == pytest.approx(0.375)
    assert not any("infix_masked - prefix" in condition for _, condition in table.index)


def test_cells_of_which_most_pairs_have_converged_are_no_findings_of_layouts():
    """At 4 tokens three of four pairs have, and are apart three times as far; otherwise half of the pairs."""
    rows = memorization()
    early = (rows["length"] == 4) & (rows["condition"] == "small")
    rows["converged"] |= early & (rows["seed"] == 0)
    rows["perplexity"] **= 1 + 2 * early
    found = findings_table(tables(rows)).set_index(["finding", "condition"])
    name = "small, infix - prefix"
    for measure in ("log perplexity", "net gain"):
        of = [finding for finding, condition in found.index if condition == name and finding.startswith(measure)]
        assert not any("4 tokens" in finding for finding in of)
        assert sum("8 tokens" in finding for finding in of) == 2  # difference and p
    assert value(found, "log perplexity, all k and lengths, difference", name) == pytest.approx(-0.75)
    assert value(found, "log perplexity, k = 1, 8 tokens, difference", name) == pytest.approx(-0.75)
    assert value(found, "log perplexity, k = 1, 4 tokens, difference", "wide, infix - prefix") == pytest.approx(-0.75)
    assert value(found, "exact, k = 1, 4 tokens", "small, infix") == 0.5


def test_a_model_of_which_most_pairs_have_converged_everywhere_has_no_findings_of_layouts():
    rows = memorization()
    rows["converged"] |= rows["condition"] == "small"
    found = findings_table(tables(rows)).set_index(["finding", "condition"])
    assert {condition.split(",")[0] for _, condition in found.index if " - " in condition} == {"wide"}
    assert value(found, "converged", "small, infix") == 1


def test_horizons_are_of_text_and_tell_how_many_are_censored(table):
    assert value(table, "horizon, k = 1", "small, prefix") == 4
    assert value(table, "horizon censored, k = 1", "small, prefix") == 0.5


def test_answers_are_told_by_layout_examples_and_budget(table):
    assert value(table, "right answers, without a prompt", "small") == 0.25
    more = table.loc[("right answers, 50 examples, fixed epochs, less those without a prompt", "small, infix")]
    assert (more["value"], more["seeds"]) == (0.375, "0:0.25 1:0.5")
    assert value(table, "right answers, 50 examples, fixed epochs", "small, infix") == 0.625
    assert value(table, "right answers, 50 examples, 300 updates", "small, infix") == 0.75
    assert value(table, "answers in the format, 50 examples, 300 updates", "small, prefix") == 1


def test_one_model_one_layout_one_seed_and_no_random_tokens_have_findings_too():
    few = memorization().query("condition == 'small' and layout == 'infix' and seed == 0 and kind == 'text'")
    found = findings_table(tables(few)).set_index(["finding", "condition"])
    assert value(found, "exact, k = 1, 4 tokens", "small, infix") == 0.5
    assert not any("lengths of all models" in finding or "random" in finding for finding, _ in found.index)
    assert not any(" - " in condition for _, condition in found.index)
