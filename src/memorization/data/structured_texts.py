"""Records drawn at random, written as JSON, CSV, XML and plain tables.

Each document has a schema and a layout of its own, and its values are mostly numbers, dates and identifiers: few
stretches of a dozen tokens stand twice.
"""

import csv
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from xml.etree import ElementTree

import numpy as np

from memorization.provenance import generator

RECORDS = (12, 40)  # a document, the least and the most
FIELDS = (4, 8)  # a record

WORDS = {
    "first": (
        "Ada Akira Amina Anders Beatriz Bruno Carmen Chidi Clara Dalia Dmitri Elena Emeka Esther Fatima Felix "
        "Freya Giulia Hana Hugo Ines Ivan Jamal Joana Kaito Karin Lars Leila Lucia Mateo Maya Miriam Nadia "
        "Niko Olga Omar Paolo Priya Quinn Rafael Rosa Samir Sofia Tariq Thea Uma Viktor Wanda Xavier Yara "
        "Yusuf Zoe"
    ),
    "last": (
        "Abara Almeida Becker Bianchi Castro Chen Costa Dahl Diaz Dupont Eriksen Farouk Fischer Garcia Haddad "
        "Hansen Ibrahim Ivanov Jansen Kaya Kimura Klein Kovacs Kumar Larsen Lopez Marino Mbeki Moreau Nakata "
        "Novak Okafor Olsen Petrov Popescu Qureshi Ramos Rossi Sato Schmidt Silva Tanaka Torres Ueda Vargas "
        "Virtanen Weber Wong Yilmaz Zhang"
    ),
    "city": (
        "Accra Adelaide Almaty Antwerp Baku Bergen Bogota Brno Cairo Cardiff Cusco Dakar Delft Dublin Essen "
        "Fes Genoa Ghent Graz Hanoi Havana Izmir Jaipur Kobe Krakow Lagos Leeds Lima Lisbon Lyon Malmo "
        "Mendoza Minsk Nairobi Nantes Odense Osaka Oslo Porto Quito Riga Rouen Santiago Seville Split Tampere "
        "Tunis Turin Utrecht Vilnius Windhoek York"
    ),
    "street": ("Abbey Birch Canal Chapel Dock Elm Forge Garden Harbour Hill Kiln Lake Market Mill Oak Park Quay River"),
    "thing": (
        "amber anchor arc basin beacon birch bolt brass bridge cable cedar chain clamp cobalt copper coral "
        "crane delta dial drum ember falcon filter flint frame gasket gear granite harbor hinge indigo iron "
        "ivory jade lantern latch lever linen maple marble meadow mesh nickel onyx orbit panel pearl pine "
        "pivot plate prism pulley quartz rail relay ridge rotor saddle sensor shaft shell signal silver slate "
        "socket spindle spring steel summit switch teal timber tin topaz valve velvet walnut washer wedge "
        "willow winch zinc"
    ),
    "status": "open closed pending shipped active paused failed retired draft",
    "team": "finance legal logistics marketing payroll research sales security support training",
}
LISTS = {name: words.split() for name, words in WORDS.items()}


def structured_texts(count: int) -> dict[str, str]:
    """Documents by name, always the same ones; a smaller count gives the first of them."""
    texts = {}
    for n in range(count):
        rng = generator("structured_texts", n, "document")
        kind, layout = _one(rng, list(KINDS)), list(LAYOUTS)[n % len(LAYOUTS)]
        fields = KINDS[kind].split()
        chosen = rng.permutation(fields)[: rng.integers(FIELDS[0], FIELDS[1] + 1)].tolist()
        names = _renamed(chosen, rng)
        records = [
            {name: VALUES[field](rng) for name, field in zip(names, chosen, strict=True)}
            for _ in range(rng.integers(RECORDS[0], RECORDS[1] + 1))
        ]
        texts[f"{kind}_{n:03d}.{layout}"] = LAYOUTS[layout](kind, records, rng)
    return texts


def _one(rng: np.random.Generator, values):
    return values[rng.integers(len(values))]


def _word(name: str, rng: np.random.Generator) -> str:
    return _one(rng, LISTS[name])


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(map(str, rng.integers(0, 10, count)))


def _date(rng: np.random.Generator) -> str:
    return (date(1975, 1, 1) + timedelta(days=int(rng.integers(18_000)))).isoformat()


def _decimal(low: float, high: float, digits: int) -> Callable[[np.random.Generator], float]:
    return lambda rng: round(float(rng.uniform(low, high)), digits)


VALUES: dict[str, Callable[[np.random.Generator], str | int | float]] = {
    "id": lambda rng: int(rng.integers(1000, 10**7)),
    "name": lambda rng: f"{_word('first', rng)} {_word('last', rng)}",
    "email": lambda rng: (
        f"{_word('first', rng)}.{_word('last', rng)}{rng.integers(100)}@{_word('thing', rng)}.org".lower()
    ),
    "phone": lambda rng: f"+{rng.integers(20, 99)} {_digits(rng, 3)} {_digits(rng, 6)}",
    "city": lambda rng: _word("city", rng),
    "address": lambda rng: f"{rng.integers(1, 400)} {_word('street', rng)} Street, {_word('city', rng)}",
    "born": _date,
    "date": _date,
    "time": lambda rng: f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}",
    "status": lambda rng: _word("status", rng),
    "team": lambda rng: _word("team", rng),
    "item": lambda rng: f"{_word('thing', rng)} {_word('thing', rng)}",
    "note": lambda rng: " ".join(_word("thing", rng) for _ in range(rng.integers(3, 7))),
    "code": lambda rng: f"{_word('thing', rng)[:3].upper()}-{_digits(rng, 4)}-{_one(rng, 'ABCDEFGH')}",
    "quantity": lambda rng: int(rng.integers(1, 500)),
    "price": _decimal(0.5, 2000, 2),
    "salary": lambda rng: int(rng.integers(200, 1500)) * 100,
    "weight": _decimal(0.01, 90, 3),
    "latitude": _decimal(-60, 70, 4),
    "longitude": _decimal(-180, 180, 4),
    "temperature": _decimal(-30, 45, 1),
    "pressure": _decimal(950, 1050, 2),
    "host": lambda rng: ".".join(map(str, rng.integers(1, 255, 4))),
    "digest": lambda rng: rng.bytes(6).hex(),
    "bytes": lambda rng: int(rng.integers(100, 10**6)),
}
KINDS = {
    "customers": "id name email phone city address born status note",
    "employees": "id name email team city born salary code phone",
    "orders": "id date name item quantity price status code address",
    "stations": "code city latitude longitude date time temperature pressure",
    "parts": "code item weight price quantity digest status note",
    "requests": "date time host status bytes digest name code",
}


def _renamed(fields: list[str], rng: np.random.Generator) -> list[str]:
    """Fields as this document spells them: as they are, in capitals, cut to three letters."""
    spelling = rng.integers(4)
    if spelling < 2:
        return fields
    return [field.upper() for field in fields] if spelling == 2 else [field[:3] for field in fields]


def _json(kind: str, records: list[dict], rng: np.random.Generator) -> str:
    """A list of objects: indented, one a line, or as tight as it goes."""
    form = rng.integers(3)
    if form == 0:
        return json.dumps({kind: records}, indent=int(rng.integers(1, 5))) + "\n"
    separators = (",", ":") if form == 1 else (", ", ": ")
    return "".join(json.dumps(record, separators=separators) + "\n" for record in records)


def _csv(_: str, records: list[dict], rng: np.random.Generator) -> str:
    text = io.StringIO()
    quoting = _one(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC))
    rows = csv.DictWriter(text, list(records[0]), delimiter=_one(rng, ",;\t"), quoting=quoting, lineterminator="\n")
    rows.writeheader()
    rows.writerows(records)
    return text.getvalue()


def _xml(kind: str, records: list[dict], rng: np.random.Generator) -> str:
    """Values as attributes, or as elements."""
    root, as_attributes, tag = ElementTree.Element(kind), rng.integers(2), _one(rng, ("row", "r", kind[:-1]))
    for record in records:
        element = ElementTree.SubElement(root, tag, {})
        for name, value in record.items():
            if as_attributes:
                element.set(name, str(value))
            else:
                ElementTree.SubElement(element, name).text = str(value)
    ElementTree.indent(root, " " * int(rng.integers(0, 3)))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _table(_: str, records: list[dict], rng: np.random.Generator) -> str:
    """Columns as wide as their widest value, with or without bars."""
    names, bar = list(records[0]), _one(rng, ("  ", " | "))
    rows = [names, *([str(value) for value in record.values()] for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [bar.join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]]) + "\n"


LAYOUTS = {"json": _json, "csv": _csv, "xml": _xml, "txt": _table}
