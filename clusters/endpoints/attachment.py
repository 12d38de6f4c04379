"""Checks the address and credentials of an endpoint before anything is written.

A tenant may attach only machines of the tenant: by TLS, with credentials, and at no address of this
host or of machines that only this host can reach (address_policy.py). An operator may attach this
host too. Nothing here uses the database; resolving names takes time, so call it outside
transactions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from clusters.endpoints.address_policy import Unresolvable, refusal, resolve
from clusters.endpoints.kubeconfig import BadKubeconfig, parse
from clusters.endpoints.tls import BadCertificate, read_tls

LONGEST_URL = 300
DEFAULT_NAMESPACE = "default"
TLS_FIELDS = ("ca", "cert", "key")
OPERATORS_ONLY = (
    "Only an operator may attach unix:// and ssh://; give tcp://host:port, with ca, cert and key."
)

NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a DNS label
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_VISIBLE = re.compile("[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Attachment:
    """An endpoint that has been checked, and is not written yet."""

    url: str
    trusted: bool
    namespace: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class BadEndpoint(ValueError):  # noqa: N818 - it has sentences for users
    """Why an endpoint is refused: sentences by the field at fault, without secrets."""

    def __init__(self, **faults: str) -> None:
        super().__init__(" ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = faults


class BadUrl(ValueError):  # noqa: N818 - it is a sentence for users
    """Why a URL is refused, as a sentence."""


def docker_endpoint(given: Mapping[str, str], *, trusted: bool = False) -> Attachment:
    """A Docker engine at `url` with `ca`, `cert` and `key`; raises BadEndpoint."""
    url = given["url"]
    try:
        parts = split_url(url)
        _check_docker(parts, trusted=trusted)
        if not trusted:
            missing = [name for name in TLS_FIELDS if not given.get(name)]
            if missing:
                raise BadEndpoint(**dict.fromkeys(missing, "This field is required."))
            check_address(parts)
    except BadUrl as fault:
        raise BadEndpoint(url=str(fault)) from None
    if parts.scheme != "tcp" and any(given.get(name) for name in TLS_FIELDS):
        raise BadEndpoint(url="Certificates are for tcp:// only.")
    try:
        tls = read_tls(*(given.get(name, "") for name in TLS_FIELDS))
    except BadCertificate as fault:
        raise BadEndpoint(**{fault.field: str(fault)}) from None
    if tls.cert and not tls.ca:
        raise BadEndpoint(ca="A certificate is shown only to whom a CA vouches for: give it too.")
    return Attachment(url.rstrip("/"), trusted, secrets=tls.as_secrets())


def kubernetes_endpoint(
    kubeconfig: str, namespace: str = "", *, trusted: bool = False
) -> Attachment:
    """The API server of the kubeconfig's current context; raises BadEndpoint.

    The namespace is the given one, else that of the context, else `default`.
    """
    try:
        read = parse(kubeconfig)
        parts = split_url(read.url)
        _check_https(parts)
        if not trusted:
            check_address(parts)
    except BadKubeconfig as fault:
        raise BadEndpoint(kubeconfig=str(fault)) from None
    except BadUrl as fault:
        raise BadEndpoint(kubeconfig=f"server of the cluster: {fault}") from None
    namespace = namespace or read.namespace or DEFAULT_NAMESPACE
    if not NAMESPACE.fullmatch(namespace):
        raise BadEndpoint(kubeconfig="namespace of the context is no DNS label.")
    return Attachment(read.url.rstrip("/"), trusted, namespace, read.as_secrets())


def split_url(url: str) -> SplitResult:
    """Raises BadUrl."""
    if len(url) > LONGEST_URL or not _VISIBLE.fullmatch(url):
        raise BadUrl(f"A URL of at most {LONGEST_URL} visible ASCII characters is required.")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise BadUrl("It is no URL.") from None
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadUrl("It must not have a query or a fragment.")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise BadUrl("It must not have a user name or a password.")
    return parts


def _check_docker(parts: SplitResult, *, trusted: bool) -> None:
    if parts.scheme == "tcp":
        check_host(parts)
        if parts.port is None or parts.path not in ("", "/"):
            raise BadUrl("Give tcp://host:port.")
    elif not trusted:
        raise BadUrl(OPERATORS_ONLY if parts.scheme in ("unix", "ssh") else "Give tcp://host:port.")
    elif parts.scheme == "unix":
        if parts.netloc or not parts.path.startswith("/"):
            raise BadUrl("Give unix:///path/of/the/socket.")
    elif parts.scheme == "ssh":
        check_host(parts)
        if parts.path not in ("", "/") or not re.fullmatch(r"[\w.][\w.-]*", parts.username or "x"):
            raise BadUrl("Give ssh://user@host or ssh://user@host:port.")
    else:
        raise BadUrl("Give tcp://host:port, unix:///path or ssh://user@host.")


def _check_https(parts: SplitResult) -> None:
    if parts.scheme != "https":
        raise BadUrl("Give https://host:port; plain HTTP is not used.")
    check_host(parts)


def check_host(parts: SplitResult) -> None:
    """Raises BadUrl."""
    if not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise BadUrl("It has no host, or one that is neither a name nor an address.")


def check_address(parts: SplitResult) -> None:
    """Refuse a host unless the policy allows all of its addresses.

    A name is refused with one sentence: which names the platform's own resolver knows, and where
    they lead, is not for tenants to find out.
    """
    host = parts.hostname or ""
    try:
        addresses = resolve(host)
    except Unresolvable:
        addresses = []
    reasons = [refusal(address) for address in addresses]
    if addresses == [host] and reasons[0]:
        raise BadUrl(reasons[0])
    if not addresses or any(reasons):
        raise BadUrl(
            f"{host[:100]} does not resolve, or leads to where only an operator may attach."
        )
