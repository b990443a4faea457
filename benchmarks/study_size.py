"""How large a study is, counted from its configuration: jobs, parameters, steps, FLOPs and GPU hours by condition.

    python benchmarks/study_size.py config/paper.yaml

prints the table of docs/reference/paper_scale.md; without an overlay it prints that of the default study. Nothing is
trained and nothing is measured: it counts what trainings compute, which takes most of a study's time.
"""

import argparse
from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import yaml
from peaks import PEAK

from memorization.configuration import ConfigurationError, merged
from memorization.families import complete, configured
from memorization.family import Family

GPU, UTILIZATION = "NVIDIA A100-SXM4-80GB", 0.2  # in float32, and the share of its peak that is assumed
HEAD = """| condition | jobs | parameters | steps | FLOPs, all seeds | GPU hours, all seeds |
|---|---|---|---|---|---|"""


def families(overlays: Iterable[Path]) -> Iterable[Family]:
    """The families of ``--configfile OVERLAY …``, where a later overlay wins over an earlier one."""
    config = reduce(merged, (yaml.safe_load(path.read_text()) for path in overlays), {})
    return configured(complete(config)).values()


def table(families: Iterable[Family]) -> list[dict]:
    """A row a condition that is trained: ``condition`` and its ``training_size``; and their sum."""
    sizes = [(f"{family.name}: {name}", family.training_size(name)) for family in families for name in family.names]
    rows = [{"condition": condition} | size for condition, size in sizes if size is not None]
    return [*rows, {"condition": "**all**"} | {key: sum(row[key] for row in rows) for key in ("jobs", "flops")}]


def line(row: dict) -> str:
    """A row of the table as it is printed."""
    counts = " | ".join(f"{row[key]:,}" if key in row else "" for key in ("jobs", "parameters", "steps"))
    hours = row["flops"] / (PEAK[GPU][0] * 1e12 * UTILIZATION) / 3600
    shown = f"{hours:.0f}" if hours >= 1 else f"{hours:.1g}"
    return f"| {row['condition']} | {counts} | {row['flops']:.1e} | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overlays", nargs="*", type=Path, help="such as config/paper.yaml")
    try:
        rows = table(families(parser.parse_args().overlays))
    except (ConfigurationError, OSError) as error:
        parser.error(str(error))
    print(HEAD, *map(line, rows), sep="\n")


if __name__ == "__main__":
    main()
