"""docs/performance.md has two writers: run.py its ratios, gpu.py its section on GPUs; neither touches the other's."""

import platform
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/performance.md"
GPUS = "## On a GPU\n"


def write(page: Path = PAGE, ratios: str | None = None, gpus: str | None = None) -> None:
    """Replace the part of a page that is given; ``gpus`` without its heading."""
    old_ratios, heading, old_gpus = page.read_text().partition(GPUS)
    parts = [old_ratios if ratios is None else ratios]
    if gpus is not None or heading:
        parts.append(GPUS + "\n" + (old_gpus if gpus is None else gpus).strip())
    page.write_text("\n\n".join(part.rstrip() for part in parts) + "\n")


def has_gpus(page: Path = PAGE) -> bool:
    """Whether a page has a section on GPUs."""
    return GPUS in page.read_text()


def machine() -> str:
    """The name of this machine's processor, and its cores."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()
