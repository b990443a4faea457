"""``python -m memorization COMMAND``: commands on results, apart from Snakemake."""

import argparse
import importlib
import sys
from importlib.util import find_spec

from memorization.families import FAMILIES

SHARED = (  # each has add(subparsers), as a family's ``commands`` has
    "memorization.audit",
    "memorization.findings_command",
    "memorization.salvage",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command. An error that a user can fix is one line, with exit status 1 (2 for wrong arguments)."""
    parser = argparse.ArgumentParser("memorization", description="What is done with results outside of the workflow.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    of_families = [f"memorization.{family.name}.commands" for family in FAMILIES]
    for module in (*SHARED, *filter(find_spec, of_families)):
        importlib.import_module(module).add(subparsers)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except (OSError, ValueError) as error:
        print(f"memorization: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):  # as torch says it
            raise
        print("memorization: the command needs more memory than there is", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
