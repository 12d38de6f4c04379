"""A Pod's output as its kubelet sends it, without the kubelet's own errors."""

import re
from collections.abc import Iterator

# A kubelet whose container is gone answers 200, and this in place of the log.
# A program may write "rpc error: code = Unavailable" itself: only what containerd and CRI-O say of
# a container that is gone is the kubelet's.
_ERROR = re.compile(
    rb"(unable to retrieve container logs for |failed to try resolving symlinks in path "
    rb"|failed to create fsnotify watcher|rpc error: code = NotFound desc = "
    rb"(an error occurred when try to find|could not find) container )[^\n]*\n?"
)
_LONGEST = 4096  # bytes of such an error


def without_errors(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, or nothing where all that there is is a kubelet's error."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) > _LONGEST or not _ERROR.fullmatch(first):
            yield first
            yield from pieces
            return
