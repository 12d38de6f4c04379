"""Tells pulls that can never succeed from those that may the next time, by what registries say.

A registry says that it has no such image, or that it denies access. All else may pass: names that
do not resolve, refused connections, time-outs, certificates, errors of the server, too many pulls,
a full disk. So what is not known to be final is tried again.
"""

import re

_FINAL = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|denied|unauthorized|forbidden"
    r"|authentication required|no basic auth|no matching manifest|no match for platform"
    r"|invalid reference format|cannot be used on this platform|unsupported (media|manifest)"
    r"|not implemented: media type",
    re.IGNORECASE,
)
# Some contain words of the above, as in "failed to authorize: ... 503 Service Unavailable".
_PASSING = re.compile(
    r"too ?many ?requests|\b(429|5\d\d) [A-Z]|(status|code)[^.]{0,20}?\b(429|5\d\d)\b"
    r"|no such host|server misbehaving|time-?out|timed out|deadline exceeded"
    r"|connection (refused|reset)|unexpected EOF",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://[^\s\"']+")


def is_final(said: str, image: str) -> bool:
    """Whether no later pull of the image can succeed. Names of images and addresses do not count,
    whatever words are in them."""
    rest = _URL.sub("", said)
    repository = re.sub(r"(@.*|:[^/]*)$", "", image)
    for name in (image, repository, repository.partition("/")[2]):
        if name:
            rest = rest.replace(name, "")
    return not _PASSING.search(rest) and bool(_FINAL.search(rest))
