"""Below which folders of the nodes operators may offer volumes, from the environment."""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

# A container that writes there may do anything on the node, or it sees what is not its own.
NEVER = frozenset({"bin", "boot", "dev", "etc", "lib", "proc", "root", "run", "sbin", "sys", "usr"})


def host_roots(env: Mapping[str, str]) -> tuple[str, ...]:
    """What VOLUME_HOST_ROOTS says; none where no folder of a node may be offered."""
    roots = []
    for text in (each.strip() for each in env.get("VOLUME_HOST_ROOTS", "").split(",")):
        if not text:
            continue
        root = text.removesuffix("/")
        parts = root.split("/")[1:]
        is_plain = all(part not in {"", ".", ".."} for part in parts)
        if not root.startswith("/") or not is_plain or parts[0] in NEVER:
            raise ImproperlyConfigured(
                f"VOLUME_HOST_ROOTS has {text[:60]!r}; give folders such as /srv/data, none of the "
                "system's."
            )
        roots.append(root)
    return tuple(roots)
