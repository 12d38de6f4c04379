"""Checks the URL of an S3 server before a volume of one of its buckets is offered, or fetched."""

from clusters.endpoints.attachment import BadUrl, check_address, check_host, split_url

SCHEMES = ("https", "http")


def why_not(url: str, *, trusted: bool) -> str | None:
    """Why a volume may not have this URL, as a sentence; None where it may. A tenant's leads to no
    address at which a tenant may attach no endpoint. Resolves the name, which takes time: call it
    outside transactions."""
    try:
        parts = split_url(url)
        if parts.scheme not in SCHEMES or parts.path not in ("", "/"):
            raise BadUrl("Give https://host or https://host:port.")
        check_host(parts)
        if not trusted:
            check_address(parts)
    except BadUrl as fault:
        return str(fault)
    return None
