"""What the platform answers, as objects with attributes.

A record keeps the answer as it came. So a field that a newer platform adds can be read by its name,
and one that an older platform lacks raises AttributeError when it is read, not before. The
annotations of a subclass say which fields there are; a field annotated with `datetime` or with
another record is converted when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from mlops.transport import Transport

_WORD = re.compile(r"[A-Za-z]+")
_KINDS: dict[str, type[Record]] = {}


class Caller(Protocol):
    """What a record and a call know of their client."""

    transport: Transport
    deployments: Any


class Record(Mapping[str, Any]):
    """One object of an answer: `record.name`, `record["name"]`, `dict(record)`.

    The mapping has the fields as JSON has them; attributes are converted.
    """

    _client: Caller | None
    _data: dict[str, Any]
    _shown: ClassVar[tuple[str, ...]] = ("name", "status", "state", "id")

    def __init__(self, data: Mapping[str, Any], client: Caller | None = None) -> None:
        self._data = dict(data)
        self._client = client

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _KINDS[cls.__name__] = cls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._data:
            raise AttributeError(f"This {type(self).__name__} has no field {name!r}.")
        return self._converted(self._data[name], self._annotation(name))

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._data]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._data == other._data

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._data.get("id")))

    def __repr__(self) -> str:
        shown = [str(self._data[name]) for name in self._shown if self._data.get(name)]
        return f"<{' '.join([type(self).__name__, *shown])}>"

    def _repr_html_(self) -> str:
        """How a notebook shows the record: a table of its fields."""
        rows = (
            f"<tr><th>{escape(name)}</th><td>{escape(_cell(value))}</td></tr>"
            for name, value in self._data.items()
        )
        return f"<b>{escape(repr(self))}</b><table>{''.join(rows)}</table>"

    @classmethod
    def _annotation(cls, name: str) -> str:
        for each in cls.__mro__:
            found = get_annotations(each).get(name)
            if found is not None:
                return str(found)
        return ""

    def _converted(self, value: Any, annotation: str) -> Any:
        if isinstance(value, str):
            return read_time(value) if "datetime" in annotation else value
        if isinstance(value, list):
            return [self._converted(each, annotation) for each in value]
        if isinstance(value, dict) and not annotation.startswith("dict"):
            kinds = (_KINDS[word] for word in _WORD.findall(annotation) if word in _KINDS)
            return next(kinds, Record)(value, self._client)
        return value


class RecordList(list[Any]):
    """Records that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        if not all(isinstance(each, Record) for each in self) or not self:
            return escape(repr(list(self)))
        names = [name for name, value in self[0].items() if not isinstance(value, (dict, list))]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = (
            "<tr>" + "".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in names) + "</tr>"
            for row in self
        )
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def read_time(text: str) -> datetime:
    """A time of the API, RFC 3339 in UTC, as an aware datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
