"""Writes the REST reference, docs/reference/rest/, from the platform's own OpenAPI document.

One page for each tag lists its calls, and one page lists the bodies that they share. The pages are
written anew with each build and are not part of the repository.
"""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

Document = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


def openapi_document() -> Document:
    """The document that /swagger.json answers, made without a server."""
    import django

    django.setup()
    from mlops_platform.documents import swagger

    return swagger()


def cell(text: object) -> str:
    """A text as the cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell(value) for value in row) + " |"
    yield ""


def anchor(name: str) -> str:
    return "body-" + name.lower()


def type_of(schema: Document) -> str:
    """A schema in a few words: its type, its format, its choices, or a link to its body."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "allOf" in schema:
        words = type_of(schema["allOf"][0])
        return words + ", or null" if schema.get("x-nullable") else words
    if schema.get("type") == "array":
        return f"array of {type_of(schema['items'])}"
    words = str(schema.get("type", "any"))
    if "format" in schema:
        words += f", {schema['format']}"
    if "enum" in schema:
        words = "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-nullable"):
        words += ", or null"
    return words


def meaning_of(schema: Document) -> str:
    """A field's description, with its bounds and its default."""
    bounds = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "maxLength": "at most {} characters",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
        "default": "`{}` by default",
    }
    said = [text.format(json.dumps(schema[key])) for key, text in bounds.items() if key in schema]
    description = str(schema.get("description", "")).strip()
    return " ".join([description, f"({', '.join(said)})" if said else ""]).strip()


def fields(schema: Document) -> Iterator[str]:
    required = schema.get("required", [])
    rows: list[tuple[object, ...]] = [
        (f"`{name}`", type_of(field), "yes" if name in required else "", meaning_of(field))
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield from table(("field", "type", "required", "meaning"), rows)


def example(value: object) -> Iterator[str]:
    yield "```json"
    yield json.dumps(value, indent=2, ensure_ascii=False)
    yield "```"
    yield ""


def answers(call: Document) -> Iterator[str]:
    """The call's answers: of an error its code, of any other its body."""
    rows: list[tuple[object, ...]] = []
    for status, answer in sorted(call["responses"].items()):
        shown = answer.get("examples", {}).get("application/json")
        code = shown.get("code") if isinstance(shown, dict) else None
        schema = answer.get("schema")
        if code:
            content = f"error, code `{code}`"
        elif schema is None:
            content = ""
        elif "properties" in schema:
            content = ", ".join(f"`{name}`" for name in schema["properties"])
        else:
            content = type_of(schema)
        when = answer.get("description") or HTTPStatus(int(status)).phrase
        rows.append((status, when, content))
    yield from table(("answer", "when", "body"), rows)


def operation(title: str, call: Document, shared: list[Document]) -> Iterator[str]:
    """One call: what it does, its role, its parameters, its body, its answers."""
    yield f"({call['operationId']})="
    yield f"## `{title}`"
    yield ""
    yield f"**{call.get('summary', '').rstrip('.')}.** {call.get('description', '')}"
    yield ""
    if role := call.get("x-role"):
        yield f"Role: {role}"
        yield ""
    elif call.get("security") == []:
        yield "Needs no login."
        yield ""
    parameters = [*shared, *call.get("parameters", [])]
    rows: list[tuple[object, ...]] = [
        (
            f"`{parameter['name']}`",
            parameter["in"],
            type_of(parameter),
            "yes" if parameter.get("required") else "",
            meaning_of(parameter),
        )
        for parameter in parameters
        if parameter["in"] != "body"
    ]
    if rows:
        yield from table(("parameter", "in", "type", "required", "meaning"), rows)
    for parameter in parameters:
        if parameter["in"] == "body":
            yield f"Body: {type_of(parameter['schema'])}"
            yield ""
            yield from fields(parameter["schema"])
    yield from answers(call)


def tag_page(document: Document, tag: Document) -> str:
    """The page of one tag: all of its calls."""
    lines = [f"# {tag['name'].capitalize()}", "", tag["description"], ""]
    for path, methods in document["paths"].items():
        for method in METHODS:
            call = methods.get(method)
            if call and tag["name"] in call["tags"]:
                title = f"{method.upper()} {document['basePath']}{path}"
                lines += operation(title, call, methods.get("parameters", []))
    return "\n".join(lines)


def bodies_page(document: Document) -> str:
    """The page of the bodies that calls take and answer."""
    lines = ["# Bodies of requests and answers", "", "What calls take and answer, by name.", ""]
    for name, schema in sorted(document["definitions"].items()):
        lines += [f"({anchor(name)})=", f"## {name}", ""]
        if "description" in schema:
            lines += [schema["description"], ""]
        lines += fields(schema)
        if "example" in schema:
            lines += example(schema["example"])
    return "\n".join(lines)


def index_page(document: Document) -> str:
    """The first page: every call with its summary, by tag."""
    lines = [
        "# Every call",
        "",
        "Made from the document that `/swagger.json` answers. [Using the API](../api.md) says what "
        "all calls have in common.",
        "",
    ]
    for tag in document["tags"]:
        rows: list[tuple[object, ...]] = [
            (
                f"[`{method.upper()} {document['basePath']}{path}`](#{call['operationId']})",
                call.get("summary", ""),
            )
            for path, methods in document["paths"].items()
            for method in METHODS
            if (call := methods.get(method)) and tag["name"] in call["tags"]
        ]
        lines += [f"## {tag['name'].capitalize()}", "", *table(("call", "does"), rows)]
    pages = [*(tag["name"] for tag in document["tags"]), "bodies"]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *pages, "```", ""])


def write_pages(app: Sphinx) -> None:
    """Writes the pages that have changed, so that a second build need not read the others again."""
    document = openapi_document()
    pages = {tag["name"]: tag_page(document, tag) for tag in document["tags"]}
    pages |= {"bodies": bodies_page(document), "index": index_page(document)}
    folder = Path(app.srcdir, "reference", "rest")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
