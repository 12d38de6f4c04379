"""Requests made to cost much: a body full of names, many parameters, text that is slow to read.

The same table serves the test that bounds the work of a refusal (test_cheap_refusals.py) and the
benchmark that measures it (benchmarks/refusals.py).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from deployments.api.body.fields import Items
from mlops_platform.tests.equipment.routes import Route

MOST_BYTES = 1024 * 1024 - 64  # of a body: the limit, with a little room for what is around a value
_HERE = "the-value-stands-here"


@dataclass(frozen=True)
class Hostile:
    """A request, without its path: what is hostile about it, and what it sends."""

    what: str
    body: bytes = b""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def _filled(start: str, one: str, end: str, separator: str = ",") -> Callable[[int], str]:
    """JSON of a given size: `one` again and again, with its number for each `#`."""

    def make(size: int) -> str:
        room = size - len(start) - len(end)
        width = len((one.replace("#", "123456") + separator).encode())
        parts = (one.replace("#", str(number)) for number in range(max(room // width, 1)))
        return start + separator.join(parts) + end

    return make


def _text(one: str, start: str = "", end: str = "") -> Callable[[int], str]:
    return _filled(f'"{start}', one, f'{end}"', "")


# Each takes a size in bytes and gives a JSON value of about that size.
VALUES: dict[str, Callable[[int], str]] = {
    "letters": _text("x"),
    "marks": _text("\u0301\u0316", "a"),  # to be sorted, and by an algorithm of quadratic time
    "ligatures": _text("\ufdfa"),  # each becomes 18 letters
    "dots": _text("a."),
    "dashes": _text("a-", end="!"),
    "slashes": _text("a/"),
    "digits": _text("1"),
    "escapes": _text("\\u00e4"),
    "an address": _text("a.", "a@"),
    "a time": _text("0", "2026-03-01T09:00:00."),
    "zeros": _filled("[", "0", "]"),
    "words": _filled("[", '"x"', "]"),
    "numbered words": _filled("[", '"#"', "]"),
    "fractions": _filled("[", "1.5", "]"),
    "long numbers": _filled("[", "1" * 4000, "]"),
    "empty lists": _filled("[", "[]", "]"),
    "empty objects": _filled("[", "{}", "]"),
    "names": _filled("{", '"n#":0', "}"),
    "names of text": _filled("{", '"n#":""', "}"),
    "long names": _filled("{", f'"{"x" * 1000}#":0', "}"),
    "one long name": lambda size: f'{{"{"x" * (size - 8)}":0}}',
    "a long number": _filled("", "1", "", ""),
    "a long fraction": _filled("0.", "1", "", ""),
    "a vast number": lambda _: "1e999999",
    "deep lists": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "deep objects": lambda size: '{"a":' * (size // 6) + "0" + "}" * (size // 6),
}

# Of a kubeconfig, in at most 64 KiB.
YAML = {
    "flow lists": "[" + "[]," * 20_000 + "]",
    "flow maps": "{" + "a: b, " * 10_000 + "}",
    "a list": "- a\n" * 16_000,
    "a list of lists": "- - a\n" * 10_000,
    "deep lists": "[" * 60_000,
    "deep blocks": "- " * 30_000,
    "keys": "? " * 30_000,
    "pairs": "".join(f"k{number}: v\n" for number in range(7_000)),
    "anchors": "".join(f"- &a{number} x\n" for number in range(5_000)),
    "aliases": "a: &a [x]\n" + "b: *a\n" * 10_000,
    "base 60": "a: " + "1:" * 30_000 + "1",
    "digits": "a: " + "1" * 60_000,
    "octal": "a: 0" + "7" * 60_000,
    "binary": "a: 0b" + "1" * 60_000,
    "hex": "a: 0x" + "f" * 60_000,
    "underscores": "a: 1" + "_" * 60_000,
    "a fraction": "a: " + "1" * 30_000 + "." + "1" * 30_000,
    "comments": "#\n" * 30_000,
    "blanks": "a:" + " " * 60_000 + "b",
    "lines": "a: b" + "\n" * 60_000 + " c",
    "a folded text": "a: >\n" + " x\n" * 20_000,
    "escapes": 'a: "' + "\\x41" * 15_000 + '"',
    "quotes": "a: '" + "''" * 30_000 + "'",
    "documents": "---\n" * 15_000,
    "directives": "%A b\n" * 12_000,
    "tags": "- !t x\n" * 9_000,
    "merges": "<<: {" + "a: b, " * 10_000 + "}",
    "contexts": "current-context: x\ncontexts:\n" + "- {name: y}\n" * 5_000,
    "marks": "a: " + "\u0301\u0316" * 15_000,
}
PEM = {
    "many certificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 480,
    "a long certificate": "-----BEGIN CERTIFICATE-----\n" + "A" * 32_000 + "\n-----END CERTIFICATE",
    "many beginnings": "-----BEGIN CERTIFICATE-----\n" * 1100,
}

_QUERY = 4000  # bytes: gunicorn answers no longer request line
QUERIES = {
    "many parameters": "&".join(f"{number}=1" for number in range(_QUERY // 6)),
    "too many parameters": "&" * _QUERY,
    "one parameter often": "&".join(["limit=1"] * (_QUERY // 8)),
    "a long name": "x" * (_QUERY - 2) + "=1",
    **{
        f"{name}: {what}": f"{name}={text}"
        for name in ("limit", "cursor", "ordering", "status", "owner", "created_after", "since")
        for what, text in {
            "letters": "x" * _QUERY,
            "digits": "1" * _QUERY,
            "marks": "%CC%81%CC%96" * (_QUERY // 12),
            "a list": ",".join(["name"] * (_QUERY // 5)),
            "deep lists": "WyJb" * (_QUERY // 4),  # base64 of brackets
        }.items()
    },
}
HEADERS = {
    "Accept": [",".join(["a/b;q=0.1"] * 800), "*/*;" + "a=b;" * 2000, "a" * 8000],
    "Content-Type": ["application/json;" + "a=b;" * 2000, "a/" * 4000],
    "Authorization": ["Bearer " + "a." * 4000, "Bearer " * 1000, "Bearer a.b." + "x" * 8000],
    "Idempotency-Key": ["x" * 8000, "\u00e4" * 4000],
    "Cookie": ["a=b;" * 2000],
    "X-Forwarded-For": ["1.2.3.4," * 1000],
    "X-Request-ID": ["x" * 8000],
    "Accept-Encoding": ["gzip;q=0.1," * 700],
    "If-None-Match": ['"x",' * 2000],
    "Range": ["bytes=0-0," * 800],
}


def hostile_requests(
    route: Route, sound: dict[str, Any], *, size: int = MOST_BYTES, thorough: bool = True
) -> Iterator[Hostile]:
    """What is worth trying on a route; `sound` is a body that it would take.

    Bodies have `size` bytes. With `thorough` each field is also tried alone.
    """
    for what, query in QUERIES.items():
        yield Hostile(f"query: {what}", json.dumps(sound).encode(), query)
    for name, texts in HEADERS.items():
        for number, text in enumerate(texts):
            yield Hostile(f"{name} {number}", json.dumps(sound).encode(), headers={name: text})
    if route.serializer is not None:
        serializer: Any = route.serializer()
        for what, text in _bodies(serializer, sound, size):
            yield Hostile(what, text.encode())
        for what, text in _bodies_with_one_field(serializer, sound, size) if thorough else ():
            yield Hostile(what, text.encode())


def _bodies(
    serializer: serializers.Serializer, sound: dict[str, Any], size: int
) -> Iterator[tuple[str, str]]:
    """(What is hostile, JSON text)."""
    for what, make in VALUES.items():
        yield f"a body of {what}", make(size)
        yield f"all fields: {what}", _in_all_fields(serializer, make, size)
    for path, each in _fields(serializer):
        for what, text in {**YAML, **PEM}.items() if path[-1] in _READ_DEEPLY else ():
            fixed = json.dumps(text, ensure_ascii=False)
            yield f"{'.'.join(path)}: {what}", _with(sound, path, _always(fixed), size)
        if isinstance(each, Items):
            for what, text in _items(each, sound[path[-1]][0], size).items():
                yield _list_of(path[-1], each, what, text, size)


def _bodies_with_one_field(
    serializer: serializers.Serializer, sound: dict[str, Any], size: int
) -> Iterator[tuple[str, str]]:
    for what, make in VALUES.items():
        yield f"an unknown name of {what}", _with(sound, ("x",), make, size)
        yield f"beside what is sound: {what}", _merged(sound, make, size)
    for path, each in _fields(serializer):
        for what, make in VALUES.items():
            yield f"{'.'.join(path)}: {what}", _with(sound, path, make, size)
        if isinstance(each, Items):
            for what, text in _items_with_one_field(each, size).items():
                yield _list_of(path[-1], each, what, text, size)


_READ_DEEPLY = {"kubeconfig", "ca", "cert", "key"}


def _fields(
    serializer: serializers.Serializer, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in serializer.fields.items():
        yield (*path, name), each
        if isinstance(each, serializers.Serializer):
            yield from _fields(each, (*path, name))


def _with(
    sound: dict[str, Any], path: tuple[str, ...], make: Callable[[int], str], size: int
) -> str:
    """The sound body with that value at the path."""
    body = json.loads(json.dumps(sound))
    inner = body
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = _HERE
    around = json.dumps(body)
    return around.replace(f'"{_HERE}"', make(size - len(around)))


def _always(text: str) -> Callable[[int], str]:
    return lambda _: text


def _in_all_fields(
    serializer: serializers.Serializer, make: Callable[[int], str], size: int
) -> str:
    names = list(serializer.fields) or ["x"]
    value = make(size // len(names) - 100)
    return "{" + ",".join(f'"{name}":{value}' for name in names) + "}"


def _merged(sound: dict[str, Any], make: Callable[[int], str], size: int) -> str:
    around = json.dumps(sound)
    value = make(size - len(around))
    if not value.startswith("{") or around == "{}":
        return value
    return f"{around[:-1]},{value[1:]}"


def _items(items: Items, sound: dict[str, Any], size: int) -> dict[str, str]:
    """One of as many items as may be, each with a share of the body."""
    unknown = "{" + ",".join(f'"n{number}":0' for number in range(95)) + "}"
    each = {"empty": "{}", "unknown names": unknown, "null": "null", "sound": json.dumps(sound)}
    return each | {f"of {what}": make(size // items.most - 2) for what, make in VALUES.items()}


def _items_with_one_field(items: Items, size: int) -> dict[str, str]:
    needed: dict[str, Any] = {"cluster_id": "x", "image": "x"}
    needed |= {"required_cpu": 1, "required_ram": 1, "required_gpu": 0}
    each = {}
    for name in items.child.fields:  # type: ignore[attr-defined]  # a serializer
        around = json.dumps({**needed, name: _HERE})
        room = max(size // items.most - len(around), 8)
        for what, make in VALUES.items():
            each[f"{name}: {what}"] = around.replace(f'"{_HERE}"', make(room))
    return each


def _list_of(name: str, items: Items, what: str, one: str, size: int) -> tuple[str, str]:
    count = min(items.most, size // (len(one.encode()) + 1))
    return f"{count} items, {what}", f'{{"{name}":[{",".join([one] * count)}]}}'
