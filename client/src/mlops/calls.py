"""Calls of the API as attributes of resources: each is one line in `resources.py`.

    class Nodes(Resource):
        list = Pages("/clusters/{cluster}/nodes", Node)
        cordon = Call("POST", "/clusters/{cluster}/nodes/{node}/cordon", Node, repeatable=True)

    client.nodes.cordon("gpu-east", "gpu-7")

The parts of the path come by position, as ids, names or records; everything else by name. It is
the body of a POST, PUT or PATCH, and the query of a GET or DELETE. `from_` stands for `from`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload
from urllib.parse import parse_qs, quote, urlsplit

from mlops.records import Record, RecordList

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from mlops.records import Caller

R = TypeVar("R", bound="Record | RecordList | None")
T = TypeVar("T", bound=Record)
S = TypeVar("S", bound="Described")
PAGE: Final = 1000
_PLACE = re.compile(r"\{(\w+)\}")
_NEXT = re.compile(r'<([^>]*)>;\s*rel="next"')


class Resource:
    """What a client offers for one kind of thing."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def __repr__(self) -> str:
        names = [name for name in dir(type(self)) if not name.startswith("_")]
        return f"<{type(self).__name__}: {', '.join(names)}>"


class Described:
    """A call as the API's document has it: method and path."""

    def __init__(self, method: str, path: str, query: tuple[str, ...] = ()) -> None:
        self.method = method
        self.path = f"/api{path}"
        self.places = _PLACE.findall(path)
        self.query = query
        self.name = ""

    def __set_name__(self, owner: type[Resource], name: str) -> None:
        self.name = f"{owner.__name__.lower()}.{name}"

    def filled(self, given: tuple[Any, ...]) -> str:
        """The path with ids and names in their places."""
        if len(given) != len(self.places):
            wanted = ", ".join(self.places) or "nothing"
            raise TypeError(f"{self.name} takes {wanted} by position, and got {len(given)}.")
        path = self.path
        for place, value in zip(self.places, given, strict=True):
            path = path.replace(f"{{{place}}}", quote(name_of(value), safe=""))
        return path

    def __repr__(self) -> str:
        return f"<{self.name}({', '.join([*self.places, '**fields'])}): {self.method} {self.path}>"


class Call(Described, Generic[R]):
    """A call with one answer. `repeatable`: made twice it does what it does once. `keyed`: it sends
    an `Idempotency-Key`, a random one unless `idempotency_key` is given."""

    def __init__(
        self,
        method: str,
        path: str,
        answer: type[R],
        *,
        repeatable: bool = False,
        keyed: bool = False,
        query: tuple[str, ...] = (),
    ) -> None:
        super().__init__(method, path, query)
        self.answer = answer
        self.repeatable = repeatable or keyed
        self.keyed = keyed

    @overload
    def __get__(self, resource: None, owner: type[Resource]) -> Call[R]: ...
    @overload
    def __get__(self, resource: Resource, owner: type[Resource]) -> BoundCall[R]: ...
    def __get__(self, resource: Resource | None, owner: type[Resource]) -> Call[R] | BoundCall[R]:
        return self if resource is None else BoundCall(self, resource._client)


class BoundCall(Generic[R]):
    """A call of one client."""

    def __init__(self, call: Call[R], client: Caller) -> None:
        self._call = call
        self._client = client
        self.__doc__ = f"{call.method} {call.path}"

    def __call__(self, *places: Any, idempotency_key: str | None = None, **fields: Any) -> R:
        call = self._call
        headers = {}
        if call.keyed:
            headers["Idempotency-Key"] = idempotency_key or _new_key()
        elif idempotency_key is not None:
            raise TypeError(f"{call.name} takes no idempotency key.")
        fields = {name.rstrip("_"): value for name, value in fields.items()}
        query = {name: fields.pop(name) for name in call.query if name in fields}
        body: dict[str, Any] | None = None
        if call.method in {"POST", "PUT", "PATCH"}:
            body = {name: _plain(value) for name, value in fields.items()}
        else:
            query |= fields
        answer = self._client.transport.call(
            call.method,
            call.filled(places),
            query,
            body,
            headers,
            repeatable=call.repeatable,
        )
        return _read(answer, call.answer, self._client)

    def __repr__(self) -> str:
        return repr(self._call)


class Pages(Described, Generic[T]):
    """A list, read page by page while it is iterated over."""

    def __init__(self, path: str, row: type[T]) -> None:
        super().__init__("GET", path)
        self.row = row

    @overload
    def __get__(self, resource: None, owner: type[Resource]) -> Pages[T]: ...
    @overload
    def __get__(self, resource: Resource, owner: type[Resource]) -> BoundPages[T]: ...
    def __get__(self, resource: Resource | None, owner: type[Resource]) -> Pages[T] | BoundPages[T]:
        return self if resource is None else BoundPages(self, resource._client)


class BoundPages(Generic[T]):
    """A list of one client."""

    def __init__(self, pages: Pages[T], client: Caller) -> None:
        self._pages = pages
        self._client = client
        self.__doc__ = f"GET {pages.path}"

    def __call__(self, *places: Any, at_most: int | None = None, **filters: Any) -> Rows[T]:
        return Rows(self._client, self._pages.filled(places), self._pages.row, filters, at_most)

    def __repr__(self) -> str:
        return repr(self._pages)


class Rows(Generic[T]):
    """The rows of a list. Each iteration reads them anew, a page when it is needed."""

    def __init__(
        self,
        client: Caller,
        path: str,
        row: type[T],
        filters: Mapping[str, Any],
        at_most: int | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._row = row
        self._filters = dict(filters)
        self._at_most = at_most

    def __iter__(self) -> Iterator[T]:
        left = self._at_most
        for page, _ in self.pages():
            for row in page:
                if left is not None and left <= 0:
                    return
                yield self._row(row, self._client)
                left = None if left is None else left - 1

    def pages(self) -> Iterator[tuple[list[dict[str, Any]], Mapping[str, str]]]:
        """Each page as JSON, with the headers of its answer. A page may be empty."""
        query = {"limit": min(PAGE, self._at_most or PAGE), **self._filters}
        while True:
            answer = self._client.transport.call("GET", self._path, query)
            yield json.loads(answer.data), answer.headers
            cursor = _next_cursor(answer.headers.get("Link", ""))
            if cursor is None:
                return
            query["cursor"] = cursor

    def first(self) -> T | None:
        """The first row, or None where there is none."""
        return next(iter(Rows(self._client, self._path, self._row, self._filters, 1)), None)

    def to_list(self) -> RecordList:
        """All rows, as a list that a notebook shows as a table."""
        return RecordList(self)

    def _repr_html_(self) -> str:
        shown = RecordList(Rows(self._client, self._path, self._row, self._filters, 100))
        return shown._repr_html_()

    def __repr__(self) -> str:
        return f"<rows of {self._path}: iterate over them>"


def _next_cursor(link: str) -> str | None:
    """The cursor alone: the address in the header is as a proxy shows it, and the token stays with
    the address of the client."""
    found = _NEXT.search(link)
    return parse_qs(urlsplit(found[1]).query)["cursor"][0] if found else None


def _read(answer: BaseHTTPResponse, kind: type[R], client: Caller) -> R:
    # What is read is what the call declares; a deletion that is done answers nothing.
    if kind is type(None) or not answer.data or answer.status == 404:
        return cast("R", None)
    content = json.loads(answer.data)
    if issubclass(kind, RecordList):
        return cast("R", kind(Record(each, client) for each in content))
    return cast("R", cast("type[Record]", kind)(content, client))


def name_of(value: Any) -> str:
    return str(value["id"]) if isinstance(value, Record) else str(value)


def _plain(value: Any) -> Any:
    """A value of a body as JSON has it: a record as its id, a time as text."""
    if isinstance(value, Record):
        return value["id"]
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _new_key() -> str:
    from uuid import uuid4  # submits alone need it

    return str(uuid4())
