"""Examples: the table that every data set of the family is, whatever its kind, and what must hold for it.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import json
from collections.abc import Iterable, Mapping

# The columns that all kinds have; columns of the task follow them.
COLUMNS = {
    "text": "str",  # what the model sees, the answer included
    "answer_start": "int64",  # in characters, the first of the answer
    "answer_end": "int64",  # behind the last
    "split": "str",  # train, or one that is never trained: val, test, novel, eval
    "item": "str",  # unique within its split
    "copies": "int64",  # how often it stands in one pass of training; 0: never
    "bucket": "int64",  # exposures in a pass; of an item that is never trained: those that it would have had
    "chance": "float64",  # expected share of the answer's characters that guessing gets right; NaN for text
    "prior_bits": "float64",  # what the answer costs without having been seen, if all are alike; NaN for text
}


def examples(columns: Mapping[str, object]):
    """A DataFrame of examples, checked.

    Parameters
    ----------
    columns : those of ``COLUMNS`` and of the task, each with as many values as there are examples or a single one

    Raises
    ------
    ValueError
        If an answer is empty or ends behind its text, a name stands twice in a split, or an item is both trained and
        held out.
    """
    import pandas as pd

    table = pd.DataFrame({name: columns[name] for name in dict.fromkeys([*COLUMNS, *columns])}).astype(COLUMNS)
    start, end = table["answer_start"], table["answer_end"]
    wrong = (start < 0) | (start >= end) | (end > table["text"].str.len())
    if wrong.any():
        row = table[wrong].iloc[0]
        raise ValueError(f"{row['text']!r}: no answer at characters {row['answer_start']} to {row['answer_end']}")
    twice = table.duplicated(["split", "item"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"{row['split']}: {row['item']!r} stands there twice; allowed: each item once")
    is_trained = table["copies"] > 0
    check_disjoint(table["item"][is_trained], table["item"][~is_trained], "examples")
    return table


def check_disjoint(train: Iterable[str], novel: Iterable[str], where: str) -> None:
    """Refuse items that are both trained and held out.

    Parameters
    ----------
    train, novel : names of items, or their texts
    where : begins the message

    Raises
    ------
    ValueError
        One line that says how many, and names one of them.
    """
    both = sorted(set(train) & set(novel))
    if both:
        raise ValueError(
            f"{where}: {len(both)} in training are held out too, such as {both[0]!r}; allowed: sets that share none"
        )


def held_out(count: int, share: float) -> int:
    """How many of ``count`` items a share is: at least one, where the share is not 0."""
    return max(1, round(share * count)) if share else 0


def huggingface(table) -> str:
    """What ``datasets`` reads in a Parquet file's metadata, under ``huggingface``: the columns and their types.

    As ``datasets`` writes it itself, so that its features are the file's; see ``memorization.files.write_table``.

    Parameters
    ----------
    table : DataFrame of text, numbers and truth values
    """
    import pyarrow as pa

    schema = pa.Schema.from_pandas(table, preserve_index=False)
    features = {field.name: {"dtype": _dtype(field.type), "_type": "Value"} for field in schema}
    return json.dumps({"info": {"features": features}})


def _dtype(kind) -> str:
    """A type of pyarrow's by the name that ``datasets`` has for it."""
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
