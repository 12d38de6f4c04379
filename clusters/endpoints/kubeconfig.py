"""Reads the parts of a kubeconfig that this platform uses: address, CA and credentials.

A kubeconfig may name programs to run and files to read, which would be those of this host. So a
field that is not known to be harmless is refused, and only the fields listed here are kept.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clusters.endpoints.tls import BadCertificate, Tls, read_tls
from mlops_platform.api import plain_yaml
from mlops_platform.api.plain_yaml import BadYaml

LONGEST = 64 * 1024
MOST_NODES = 2000  # of YAML; one context with its cluster and user has about 40
LONGEST_TOKEN = 16 * 1024

_MINIFY = "give one context, as `kubectl config view --raw --flatten --minify` does"
_INLINE = "paste the data in, as `kubectl config view --raw --flatten` does"
_KNOWN = {
    "cluster": {"server", "certificate-authority-data", "disable-compression", "extensions"},
    "user": {"client-certificate-data", "client-key-data", "token", "extensions"},
    "context": {"cluster", "user", "namespace", "extensions"},
}
_REFUSED = {
    "certificate-authority": f"names a file, which is not here: {_INLINE}.",
    "client-certificate": f"names a file, which is not here: {_INLINE}.",
    "client-key": f"names a file, which is not here: {_INLINE}.",
    "tokenFile": "names a file, which is not here: give the token itself.",
    "exec": "names a program to run, which is never done here: use a token or a certificate.",
    "auth-provider": "needs a plugin, which is not run here: use a token or a certificate.",
    "username": "is not taken: use a token or a certificate.",
    "password": "is not taken: use a token or a certificate.",
    "insecure-skip-tls-verify": "is not taken: give certificate-authority-data.",
    "tls-server-name": "is not taken: the certificate must be for the server's own name.",
    "proxy-url": "is not taken: the server is called directly.",
    "as": "is not taken: the credentials must be for the account itself.",
    "as-uid": "is not taken: the credentials must be for the account itself.",
    "as-groups": "is not taken: the credentials must be for the account itself.",
    "as-user-extra": "is not taken: the credentials must be for the account itself.",
}


class BadKubeconfig(ValueError):  # noqa: N818 - it is a sentence for users
    """A sentence that names the field at fault and contains no secret."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The fields that are used. `url` has not been checked against the address policy."""

    url: str
    namespace: str  # the context's, empty where it has none
    tls: Tls
    token: str = field(default="", repr=False)

    def as_secrets(self) -> dict[str, str]:
        return {**self.tls.as_secrets(), "token": self.token}


def parse(text: str) -> Kubeconfig:
    """The current context's cluster and user; raises BadKubeconfig."""
    config = _mapping(_yaml(text), "The kubeconfig")
    name = config.get("current-context")
    if not name or not isinstance(name, str):
        raise BadKubeconfig("current-context is missing.")
    context = _entry(config, "context", name)
    cluster = _entry(config, "cluster", _name_in(context, "cluster"))
    user = _entry(config, "user", _name_in(context, "user"))
    server = cluster.get("server")
    if not isinstance(server, str):
        raise BadKubeconfig("server of the cluster is missing.")
    if "certificate-authority-data" not in cluster:
        raise BadKubeconfig("certificate-authority-data of the cluster is missing.")
    token = _token(user)
    tls = _tls(cluster, user)
    if not token and not tls.cert:
        raise BadKubeconfig(
            "The user has neither a token nor client-certificate-data and client-key-data."
        )
    return Kubeconfig(server, _text(context, "namespace"), tls, token)


def _yaml(text: str) -> Any:
    try:
        return plain_yaml.read(text, most_bytes=LONGEST, most_values=MOST_NODES)
    except BadYaml as error:
        said = str(error)
        if said == plain_yaml.too_many(MOST_NODES):
            said = f"{said.removesuffix('.')}: {_MINIFY}."
        raise BadKubeconfig(said) from None


def _entry(config: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    """`{kind: …}` of the entry of that name in its list, without empty values.

    Raises BadKubeconfig for each field that is not known to be harmless.
    """
    entries = config.get(f"{kind}s")
    if not isinstance(entries, list):
        raise BadKubeconfig(f"{kind}s is no list.")
    found = [each for each in entries if isinstance(each, dict) and each.get("name") == name]
    if len(found) != 1:
        many = "more than one" if found else "no"
        raise BadKubeconfig(f"There is {many} {kind} named {name[:100]!r}.")
    given = _mapping(found[0].get(kind), f"{kind} {name[:100]!r}")
    entry = {str(key): value for key, value in given.items() if value not in (None, "", False)}
    for key in entry:
        if key not in _KNOWN[kind]:
            reason = _REFUSED.get(key, "is not known, and may change how one connects.")
            raise BadKubeconfig(f"{key[:100]} of the {kind} {reason}")
    return entry


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> Tls:
    fields = {
        "ca": (cluster, "certificate-authority-data"),
        "cert": (user, "client-certificate-data"),
        "key": (user, "client-key-data"),
    }
    given = {name: _decoded(entry, key) for name, (entry, key) in fields.items()}
    try:
        return read_tls(**given)
    except BadCertificate as fault:
        raise BadKubeconfig(f"{fields[fault.field][1]}: {fault}") from None


def _decoded(entry: Mapping[str, Any], key: str) -> str:
    """The PEM text of a base64 field; empty without the field."""
    try:
        return base64.b64decode(re.sub(r"\s", "", _text(entry, key)), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise BadKubeconfig(f"{key} is not PEM in base64.") from None


def _token(user: Mapping[str, Any]) -> str:
    token = _text(user, "token")
    if token and (len(token) > LONGEST_TOKEN or not re.fullmatch("[\x21-\x7e]+", token)):
        raise BadKubeconfig("token of the user is no bearer token.")
    return token


def _name_in(context: Mapping[str, Any], kind: str) -> str:
    if not (name := _text(context, kind)):
        raise BadKubeconfig(f"{kind} of the context is missing.")
    return name


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise BadKubeconfig(f"{key} is no text: put it in quotes.")
    return value


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise BadKubeconfig(f"{what} is no mapping.")
    return value
