"""Puts parameters in the place of `{name}` in the texts of a template. `{{` and `}}` are braces."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from typing import Any

from mlops_platform.api.errors import Invalid

INDEX = "index"  # always there: the number of the member, from 0
MOST_BYTES = 16 * 1024 * 1024  # of all members' texts together
TOO_LARGE = f"With its parameters it is larger than {MOST_BYTES // 1024**2} MiB in all."
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_BRACE = "A brace stands for itself as {{ or }}."

Value = str | int | bool | Decimal
Parameters = Mapping[str, Value]


def combined(matrix: Mapping[str, list[Value]]) -> list[dict[str, Value]]:
    """Every combination; the last parameter changes fastest."""
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


def as_text(value: Value) -> str:
    """What a container gets: a text as it is, a number as it was sent, a boolean as JSON has it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def filled(template: Mapping[str, Any], parameters: Parameters, index: int) -> dict[str, Any]:
    """The body of a submit, with the parameters in its name, command, args and env, and as
    variables. A name without placeholders gets the index at its end. What is no text is left as it
    is: the submit refuses it.

    400 that names the field, and where in it, for a placeholder that is no parameter.
    """
    texts = {name: as_text(value) for name, value in parameters.items()}
    known = {**texts, INDEX: str(index)}
    body = dict(template)
    for field in ("command", "args"):
        if isinstance(template.get(field), list):
            body[field] = [
                _filled(each, known, field, f"element {number}")
                for number, each in enumerate(template[field])
            ]
    if isinstance(name := template.get("name"), str) and name:
        put = _filled(name, known, "name", "")
        body["name"] = put if _has_placeholder(name) else f"{put}-{index}"
    env = template.get("env", {})
    if isinstance(env, Mapping):
        body["env"] = {
            **{name: _filled(each, known, "env", str(name)) for name, each in env.items()},
            **texts,
        }
    return body


def refuse_env_of_parameters(template: Mapping[str, Any], names: Any) -> None:
    """400 where the template's env has a variable of a parameter's name."""
    env = template.get("env")
    both = sorted(set(names) & set(env)) if isinstance(env, Mapping) else []
    if both:
        raise Invalid({"template.env": f"{both[0][:50]} is a parameter: it is a variable already."})


def _filled(text: Any, known: Mapping[str, str], field: str, place: str) -> Any:
    if not isinstance(text, str) or ("{" not in text and "}" not in text):
        return text

    def put(match: re.Match[str]) -> str:
        part, name = match[0], match[1]
        if part in ("{{", "}}"):
            return part[0]
        if name is None:
            raise _fault(field, place, f"A single {part} at letter {match.start() + 1}. {_BRACE}")
        if name not in known:
            offered = ", ".join(sorted(known))
            why = f"{{{name[:50]}}} at letter {match.start() + 1} is no parameter of {offered}."
            raise _fault(field, place, f"{why} {_BRACE}")
        return known[name]

    return _PART.sub(put, text)


def _has_placeholder(text: str) -> bool:
    return any(match[1] is not None for match in _PART.finditer(text))


def _fault(field: str, place: str, why: str) -> Invalid:
    return Invalid({f"template.{field}": f"{place[:100]}: {why}" if place else why})


def size_of(body: Mapping[str, Any]) -> int:
    """About how many bytes the texts of a member's body have."""
    lists = (body.get("command"), body.get("args"))
    words = [each for one in lists if isinstance(one, list) for each in one]
    env = body.get("env")
    if isinstance(env, Mapping):
        words += [*env.keys(), *env.values()]
    return sum(len(each) for each in words if isinstance(each, str))
