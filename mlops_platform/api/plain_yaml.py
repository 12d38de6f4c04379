"""Reads YAML that users send: plain data of bounded size and depth, without aliases, which can
exceed any bound."""

import re
from typing import Any

import yaml

DEEPEST = 20
LONGEST_NUMBER = 100

_LONG_NUMBER = re.compile(rf"[-+0-9_:.]{{{LONGEST_NUMBER},}}").fullmatch


class BadYaml(ValueError):  # noqa: N818 - it is a sentence for users
    """A sentence that contains nothing of the text, which may have a secret."""


def read(text: str, *, most_bytes: int, most_values: int) -> Any:
    """The data; raises BadYaml."""
    if len(text.encode(errors="replace")) > most_bytes:
        raise BadYaml(f"It may have {most_bytes // 1024} KiB at most.")
    try:
        _measure(text, most_values)
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except BadYaml:
        raise
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError):
        raise BadYaml("It is not valid YAML.") from None


def too_many(most_values: int) -> str:
    return f"It has more than {most_values} values."


def _measure(text: str, most_values: int) -> None:
    """Raises BadYaml for what takes long to read, before it has been read."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise BadYaml("It has a YAML alias: write the value out.")
        if depth > DEEPEST:
            raise BadYaml(f"It is nested more than {DEEPEST} deep.")
        if nodes > most_values:
            raise BadYaml(too_many(most_values))
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _LONG_NUMBER(event.value):
            raise BadYaml(f"A number in it has more than {LONGEST_NUMBER} digits.")
