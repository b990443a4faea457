"""How large a study is, counted from its configuration: jobs, parameters, steps, FLOPs and GPU hours by condition.

    python benchmarks/study_size.py config/paper.yaml

prints the table of docs/cluster.md. Nothing is trained and nothing is measured; only the loops over sequences are
counted, which is where a training's time goes.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml
from flops import PEAK, TRAINING, transformer_flops

from memorization.associative_memory import training as memory
from memorization.associative_memory.conditions import MemoryConditions
from memorization.data.sequences import zipf_probabilities
from memorization.random_sequences import training
from memorization.zipf import models as transformer
from memorization.zipf.conditions import ZipfConditions

ROOT = Path(__file__).parents[1]
GPU, UTILIZATION = "NVIDIA A100-SXM4-80GB", 0.2  # in float32, and the share of its peak that is assumed


def distinct(data: dict, draws: int) -> float:
    """How many distinct sequences ``draws`` draws hold on average: a step costs those alone."""
    return float(-np.expm1(draws * np.log1p(-zipf_probabilities(data["count"], data["exponent"]))).sum())


def memory_flops(condition: dict, data: dict) -> float:
    """Of a forward pass on a sequence: its queries, and its scores with all that is stored, or the readout's."""
    length, heads = data["length"], condition["n_heads"]
    if condition["form"] == "linear_readout":
        return 2 * length * heads * (length + condition["n_units"])
    stored = distinct(data, condition["memory_size"])
    return 2 * length * (heads * length + (heads + 2) * stored)


def zipf_flops(condition: dict, data: dict) -> float:
    return transformer_flops(condition, data["length"])


FAMILIES = {
    "zipf": (ZipfConditions, transformer.build, training.sizes, zipf_flops),
    "associative_memory": (MemoryConditions, memory.build, memory.sizes, memory_flops),
}


def sizes(family: str, section: dict) -> list[dict]:
    """A row a condition: jobs, parameters, steps of a run (from the switch on, where it has one), FLOPs of all runs.

    A step is a forward pass and, at twice its cost, a backward pass over the distinct sequences of a batch; a recorded
    step is a forward pass over the set that is trained on and a part of those before it. What is frozen is counted
    as if it were not.
    """
    kind, build, count, forward = FAMILIES[family]
    conditions, rows = kind(section), []
    for name in conditions.names:
        condition, data = conditions.condition(name), conditions.dataset(name)
        trainings, at = conditions.trainings(name), condition.get("at", [])
        steps = condition["steps"] - (at[0] if at else 0)
        before = range(1 if at else 0, len(trainings) + (1 if at else 0))  # sets of before, by training
        whole = sum(1 + sets / section["evaluation"]["train_stride"] for sets in before)  # sets a recorded step
        recorded = section["evaluation"]["checkpoints"] * data["count"] * whole
        passes = TRAINING * steps * distinct(data, condition["batch_size"]) + recorded
        rows.append(
            {
                "condition": f"{family}: {name}",
                "jobs": len(conditions.seeds) * len(trainings),
                "parameters": int(count(build(condition, data["length"]))["parameters"]),
                "steps": steps,
                "flops": len(conditions.seeds) * passes * forward(condition, data),
            }
        )
    return rows


def line(row: dict) -> str:
    """A row of the table."""
    hours = row["flops"] / (PEAK[GPU][0] * 1e12 * UTILIZATION) / 3600
    counts = " | ".join(f"{row[key]:,}" if key in row else "" for key in ("jobs", "parameters", "steps"))
    told = f"{hours:.0f}" if hours >= 1 else f"{hours:.1g}"
    return f"| {row['condition']} | {counts} | {row['flops']:.1e} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overlay", type=Path, help="such as config/paper.yaml")
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    overlay = yaml.safe_load(parser.parse_args().overlay.read_text())
    print("| condition | jobs | parameters | steps | FLOPs, all seeds | GPU hours, all seeds |")
    print("|---|---|---|---|---|---|")
    for row in table(config, overlay):
        print(line(row))


def table(config: dict, overlay: dict) -> list[dict]:
    """The rows of all families, and their sum."""
    rows = [row for family in FAMILIES for row in sizes(family, merged(config[family], overlay.get(family, {})))]
    return [*rows, {"condition": "**all**"} | {key: sum(row[key] for row in rows) for key in ("jobs", "flops")}]


def merged(below: dict, above: dict) -> dict:
    """As Snakemake merges an overlay: mappings key by key, everything else replaced."""
    both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(above[key], dict)}
    return below | above | both


if __name__ == "__main__":
    main()
