"""Paths that a request names: absolute ones, and those inside of a folder."""

from pathlib import PurePosixPath
from typing import Any

from mlops_platform.api.fields import Text

LONGEST_PATH = 1024
ABSOLUTE = "An absolute path such as /data, without .. in it."
INSIDE = "A path inside of the volume such as images/train, without .. in it."


def is_plain(path: str) -> bool:
    """Whether no part of it is empty, `.` or `..`, and it can be printed."""
    return path.isprintable() and all(part not in {"", ".", ".."} for part in path.split("/"))


def lies_in(path: str, root: str) -> bool:
    """Whether the path is the root or lies below it, as texts: links are not followed."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(root))


class AbsolutePath(Text):
    """`/data/train`; a slash at the end is dropped. Never `/` itself."""

    default_error_messages = {"malformed": ABSOLUTE}

    def __init__(self, *, max_length: int = LONGEST_PATH, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data).removesuffix("/")
        if not path.startswith("/") or not is_plain(path[1:]):
            self.fail("malformed")
        return path


class InnerPath(Text):
    """`images/train`, or empty: the whole volume."""

    default_error_messages = {"malformed": INSIDE}

    def __init__(self, *, max_length: int = LONGEST_PATH, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, allow_blank=True, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data).removesuffix("/")
        if path and not is_plain(path):
            self.fail("malformed")
        return path
