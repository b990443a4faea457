"""The atlas alone reads other families' files: which, its configuration says."""

import numpy as np
from sections import complete

from memorization.families import FAMILIES
from memorization.records import records


def built():
    config, families = complete("smoke"), {}
    for kind in FAMILIES:
        families[kind.name] = kind(config[kind.name], others=dict(families))
    return families


def test_a_comparison_is_drawn_from_the_records_of_the_families_alone(draw, given):
    inputs, families = {}, built()
    for entry in families["atlas"].section["comparison"]:
        for run in families[entry["family"]].runs("records", [entry["condition"]]).wildcards:
            exposures = np.tile([0, 1, 10, 100], 2)
            columns = dict.fromkeys(("step", "last_exposure_step"), exposures) | {"exposures": exposures}
            columns |= {"recall": 1 - 0.5 / (1 + exposures), "nll_bits": 8 / (1 + exposures), "n_tokens": 8}
            columns |= {"item": np.repeat(["set0/rank0", "set0/rank40"], 4), "phase": "train", "arm": "toy"}
            table = records(**run, family=entry["family"], chance=0.5, exact=False, prior_bits=8, **columns)
            folder = f"results/{entry['family']}/evaluations/{run['condition']}/seed{run['seed']}"
            inputs |= given(f"{folder}/records.parquet", table)
    svg = draw("atlas_comparison_figure", "atlas_comparison", inputs, as_in_a_run=True)
    for entry in families["atlas"].section["comparison"]:
        assert f"{entry['family']}: {entry['condition']}" in svg
