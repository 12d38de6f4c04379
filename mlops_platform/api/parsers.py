"""JSON as the contract wants it: finite numbers, no deep nesting, no NULs or lone surrogates."""

import codecs
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

DEEPEST = 32
_UNSOUND = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text takes neither


class StrictJSONParser(BaseParser):
    """Parses UTF-8 JSON; decimals come as `Decimal`: 0.1 cores are 100 millicores exactly."""

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            text = codecs.decode(stream.read(), "utf-8")
            value = json.loads(
                text,
                parse_float=_decimal,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not valid JSON: {_why(error)}") from None
        _check(value, 0)
        return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        raise ValueError("A number is out of every range") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values for one name: whichever were taken, the caller may have meant the other."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("An object has a name twice")
    return members


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8."
    return f"{error}."


def _check(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise ParseError(f"The body is nested more than {DEEPEST} deep.")
    if isinstance(value, str):
        if _UNSOUND.search(value):
            raise ParseError("Text must not hold NUL characters or lone surrogates.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
