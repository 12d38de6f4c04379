"""A Pod's output as its kubelet sends it, without the kubelet's own errors."""

import re
from collections.abc import Iterator

# A kubelet whose container is gone answers 200, and this in place of the log.
_ERROR = re.compile(
    rb"(unable to retrieve container logs for |failed to try resolving symlinks in path "
    rb"|failed to create fsnotify watcher|rpc error: code = )[^\n]*\n?"
)


def without_errors(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, or nothing where all that there is is a kubelet's error."""
    first = b""
    for piece in pieces:
        first += piece
        if not _ERROR.fullmatch(first):
            yield first
            yield from pieces
            return
