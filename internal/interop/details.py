"""Reads cards with python-vobject.

    details.py [--write] <cards.json >properties.json

Cards are a list of texts. Of each it prints what vobject makes of it, a list of
properties in the order of their names, or null if it refuses the card; and, with
--write, whether writing the card again gives the same text.
"""
import json
import sys

import vobject

structured = {
    "n": ("family", "given", "additional", "prefix", "suffix"),
    "adr": ("box", "extended", "street", "city", "region", "code", "country"),
}


def value(line):
    parts = structured.get(line.name.lower())
    if parts and not isinstance(line.value, str):
        return [getattr(line.value, part) for part in parts]
    return line.value


def properties(text):
    card = vobject.readOne(text)
    lines = [line for lines in card.contents.values() for line in lines if hasattr(line, "value")]
    return [
        {"name": line.name.upper(), "group": line.group or "", "params": line.params, "value": value(line)}
        for line in lines
    ]


def attempt(function, text):
    try:
        return function(text)
    except Exception:  # it has no one class of its own for a card that it cannot read
        return None


def same(text):
    return vobject.readOne(text).serialize(validate=False) == text


def read(text):
    return {
        "properties": attempt(properties, text),
        "same": "--write" in sys.argv and bool(attempt(same, text)),
    }


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout, default=str)
