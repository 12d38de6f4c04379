"""Follows a list from page to page by the Link header."""

from typing import Any

from organizations.tests.people import JsonClient


def all_rows(client: JsonClient, path: str) -> list[dict[str, Any]]:
    """The rows of every page in turn; `path` has a limit in its query string."""
    rows: list[dict[str, Any]] = []
    url: str | None = path
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.content
        rows += response.json()
        link = response.headers.get("Link")
        url = link[1 : link.index(">")] if link else None
    return rows
