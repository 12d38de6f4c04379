"""The sentences of what is not ready: since when, and what the runtime says of it."""

from collections.abc import Mapping
from typing import Any

from deployments.reasons.preemption import moment_in_words

Details = Mapping[str, Any]


def with_message(sentence: str, details: Details) -> str:
    """The sentence, and the runtime's message, if there is one."""
    said = str(details.get("said") or "").rstrip(".")
    return f"{sentence}: {said}." if said else f"{sentence}."


def not_ready(details: Details) -> str:
    """Of a deployment that starts, or, with `since`, that was ready before."""
    if not details.get("since"):
        return with_message("It runs, but is not ready yet", details)
    since = moment_in_words(details["since"])
    return with_message(f"It runs, but has not been ready since {since}", details)


def not_alive(details: Details) -> str:
    since = moment_in_words(details["since"])
    return with_message(f"It was not ready any more from {since} on, for too long", details)


def image_pull_delayed(details: Details) -> str:
    since = f" since {moment_in_words(details['since'])}" if details.get("since") else ""
    tries = f", in {details['tries']} tries" if details.get("tries", 1) > 1 else ""
    failed = with_message(f"Its image could not be pulled{since}{tries}", details)
    if not details.get("retry_at"):
        return f"{failed} It is tried again."
    return f"{failed} The next try is at {moment_in_words(details['retry_at'])}."
