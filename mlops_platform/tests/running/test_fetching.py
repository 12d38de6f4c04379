"""FETCH_IMAGE: a fault stops the start by name."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.fetching import fetch_image


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("", ""),
        (" ", ""),
        ("mlops-platform", "mlops-platform"),
        ("r.org:5000/a/b:1", "r.org:5000/a/b:1"),
    ],
)
def test_an_image_may_be_named(given: str, image: str) -> None:
    assert fetch_image({"FETCH_IMAGE": given}) == image
    assert fetch_image({}) == ""


@pytest.mark.parametrize("given", ["two words", "-v", "docker://a", "a" * 300, "ä"])
def test_what_is_no_image_stops_the_start(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FETCH_IMAGE is"):
        fetch_image({"FETCH_IMAGE": given})
