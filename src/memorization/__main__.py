"""The command line beside Snakemake's: ``python -m memorization COMMAND``, what is done with results by hand."""

import argparse
import importlib
import sys

COMMANDS = ("salvage", "zipf.commands", "grokking.commands")  # modules, each with add(subparsers)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what a user can mend is one line, and an exit status of 1 (2 for wrong arguments)."""
    parser = argparse.ArgumentParser("memorization", description="What is done with results outside of the workflow.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        importlib.import_module(f"memorization.{module}").add(subparsers)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError) as error:
        print(f"memorization: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
