"""The links that every page has at its top."""

from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse

PAGES = (
    ("Home", "console:home"),
    ("Deployments", "console:deployments"),
    ("Submit", "console:submit"),
    ("Organizations", "console:organizations"),
)
"""What each is called, and the name of its URL."""


class Link(NamedTuple):
    text: str
    address: str
    is_here: bool


def links(request: HttpRequest) -> list[Link]:
    """Marked is the one whose address the present page's begins with, the longest of them."""
    addresses = [(text, reverse(name)) for text, name in PAGES]
    here = [address for _, address in addresses if request.path.startswith(address)]
    longest = max(here, key=len, default="")
    return [Link(text, address, address == longest) for text, address in addresses]
