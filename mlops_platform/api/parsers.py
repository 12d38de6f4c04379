"""JSON as the contract wants it: finite numbers, not too many values nor too deep, no NULs or lone
surrogates."""

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
MOST_VALUES = 100_000  # a bulk of 1,000 submits has about 20,000
_UNSOUND = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text takes neither
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # never looks back


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
            if len(text) > MOST_VALUES:
                _refuse_too_many(text)
            value = json.loads(
                text,
                parse_float=_decimal,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not valid JSON: {_why(error)}") from None
        if "\\u" in text or text.count("[") + text.count("{") > DEEPEST:
            _check(value, text)
        return value


def _refuse_too_many(text: str) -> None:
    """400 where the text has more values than any call takes, before they are made."""
    if _begun(text) > MOST_VALUES and _begun(_STRING.sub("", text)) > MOST_VALUES:
        raise ParseError(f"The body has more than {MOST_VALUES:,} values.")


def _begun(text: str) -> int:
    """How many values the text's punctuation begins; that in strings counts too."""
    return text.count(",") + text.count("[") + text.count("{")


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


def _check(value: Any, text: str) -> None:
    """400 for a value, read from `text`, that is too deep or has what no column can.

    Goes from level to level, and calls no function for each value: there may be very many.
    """
    escaped = "\\u" in text  # UTF-8 has no surrogates and JSON no bare NULs, only escapes make them
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise ParseError(f"The body is nested more than {DEEPEST} deep.")
        objects = [each for each in level if each.__class__ is dict]
        lists = [each for each in level if each.__class__ is list]
        inner = [each for values in lists for each in values]
        inner += [each for values in objects for each in values.values()]
        if escaped:
            names = [name for values in objects for name in values]
            if any(each.__class__ is str and _UNSOUND.search(each) for each in (*level, *names)):
                raise ParseError("Text must not contain NUL characters or lone surrogates.")
        level = inner
        depth += bool(objects or lists)
