"""The one spelling by which two references to the same image are compared."""

from collections.abc import Iterable

DOCKER_HUB = "docker.io"
_ITS_OTHER_NAMES = ("index.docker.io", "registry-1.docker.io")
MOST_OF_NODE = 1000  # names of one node's images; a node with more is known by the first of them
LONGEST = 400


def canonical(reference: str) -> str:
    """With its registry, and either its digest or its tag: `busybox` is
    `docker.io/library/busybox:latest`. Text that is no reference comes back as some text."""
    name, _, digest = reference.partition("@")
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = DOCKER_HUB, name
    if host in _ITS_OTHER_NAMES:
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    repository, _, tag = path.partition(":")
    return f"{host}/{repository}@{digest}" if digest else f"{host}/{repository}:{tag or 'latest'}"


def storable(references: Iterable[object]) -> tuple[str, ...]:
    """Each once, in their order, spelled that one way; without what is no name. A node may report
    anything."""
    names = {
        canonical(each)
        for each in references
        if isinstance(each, str)
        and 0 < len(each) <= LONGEST
        and each.isascii()
        and each.isprintable()
        and "<none>" not in each
    }
    return tuple(sorted(names)[:MOST_OF_NODE])
