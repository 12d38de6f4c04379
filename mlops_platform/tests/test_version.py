"""The version stands in one place; the changelog and the API's document agree with it."""

import re

from django.conf import settings
from rest_framework.test import APIClient

from mlops_platform import __version__


def released_versions() -> list[str]:
    text = (settings.BASE_DIR / "CHANGELOG.md").read_text()
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)


def test_the_version_is_the_latest_that_the_changelog_has_released() -> None:
    assert released_versions()[0] == __version__


def test_the_changelog_releases_each_version_once_and_the_latest_first() -> None:
    released = [tuple(map(int, version.split("."))) for version in released_versions()]
    assert released == sorted(set(released), reverse=True)


def test_the_document_of_the_api_names_the_version() -> None:
    assert APIClient().get("/swagger.json").json()["info"]["version"] == __version__
