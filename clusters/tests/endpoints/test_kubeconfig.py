"""Reading kubeconfigs."""

from typing import Any

import pytest
import yaml

from clusters.endpoints.kubeconfig import LONGEST, BadKubeconfig, parse
from clusters.tests.endpoints.pki import b64, config, kubeconfig, pem

CERTIFICATE = {
    "token": None,
    "client-certificate-data": b64(pem().cert),
    "client-key-data": b64(pem().key),
}


def test_a_token_is_taken():
    read = parse(kubeconfig())
    assert (read.url, read.namespace) == ("https://10.0.0.9:6443", "")
    assert read.as_secrets() == {
        "ca": pem().ca,
        "cert": "",
        "key": "",
        "token": "kube-token-hunter2",
    }


def test_a_certificate_is_taken():
    read = parse(kubeconfig(user=CERTIFICATE, context={"namespace": "ml"}))
    assert read.as_secrets() == {**pem()._asdict(), "token": ""}
    assert read.namespace == "ml"


def test_no_part_of_a_kubeconfig_is_shown():
    shown = repr(parse(kubeconfig(user={**CERTIFICATE, "token": "kube-token-hunter2"})))
    assert "hunter2" not in shown
    assert "PRIVATE" not in shown


def test_fields_without_effect_are_accepted():
    harmless: dict[str, Any] = {
        "cluster": {"insecure-skip-tls-verify": False, "extensions": [], "tls-server-name": ""},
        "user": {"exec": None, "username": ""},
        "top": {"preferences": {}, "extensions": [{"name": "x"}]},
    }
    assert parse(kubeconfig(**harmless)) == parse(kubeconfig())


def test_other_contexts_are_ignored():
    given = config()
    given["clusters"].append({"name": "evil", "cluster": {"proxy-url": "http://x"}})
    given["users"].append({"name": "evil", "user": {"exec": {"command": "rm"}}})
    assert parse(yaml.safe_dump(given)) == parse(kubeconfig())


REFUSED = [
    ("cluster", "certificate-authority", "/etc/passwd", "names a file"),
    ("cluster", "insecure-skip-tls-verify", True, "give certificate-authority-data"),
    ("cluster", "proxy-url", "http://10.0.0.1", "is called directly"),
    ("cluster", "tls-server-name", "x", "the server's own name"),
    ("cluster", "something-new", "x", "is not known"),
    ("user", "client-certificate", "/etc/passwd", "names a file"),
    ("user", "client-key", "/etc/passwd", "names a file"),
    ("user", "tokenFile", "/etc/passwd", "names a file"),
    ("user", "exec", {"command": "rm"}, "names a program to run"),
    ("user", "auth-provider", {"name": "gcp"}, "needs a plugin"),
    ("user", "username", "admin", "use a token"),
    ("user", "password", "hunter2", "use a token"),
    ("user", "as", "root", "for the account itself"),
    ("user", "as-uid", "0", "for the account itself"),
    ("user", "as-groups", ["system:masters"], "for the account itself"),
    ("user", "as-user-extra", {"x": ["y"]}, "for the account itself"),
    ("user", "something-new", "x", "is not known"),
    ("context", "something-new", "x", "is not known"),
]


@pytest.mark.parametrize(("kind", "key", "value", "said"), REFUSED)
def test_fields_that_reach_into_this_host_or_change_the_connection_are_refused(
    kind, key, value, said
):
    with pytest.raises(BadKubeconfig) as raised:
        parse(kubeconfig(**{kind: {key: value}}))
    assert str(raised.value).startswith(f"{key} of the {kind} ")
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


FAULTY = [
    ({"top": {"current-context": None}}, "current-context is missing."),
    ({"top": {"current-context": "nope"}}, "There is no context named 'nope'."),
    ({"top": {"current-context": 7}}, "current-context is missing."),
    ({"top": {"contexts": []}}, "There is no context named 'x'."),
    ({"top": {"users": {}}}, "users is no list."),
    ({"top": {"clusters": [7, "x", {"name": "c"}]}}, "cluster 'c' is no mapping."),
    (
        {"top": {"users": [{"name": "u", "user": {}}, {"name": "u"}]}},
        "more than one user named",
    ),
    ({"context": {"cluster": None}}, "cluster of the context is missing."),
    ({"context": {"cluster": "nope"}}, "There is no cluster named 'nope'."),
    ({"context": {"user": "nope"}}, "There is no user named 'nope'."),
    ({"context": {"namespace": 7}}, "namespace is no text"),
    ({"cluster": {"server": None}}, "server of the cluster is missing."),
    ({"cluster": {"server": 7}}, "server of the cluster is missing."),
    (
        {"cluster": {"certificate-authority-data": None}},
        "certificate-authority-data of the cluster is missing.",
    ),
    (
        {"cluster": {"certificate-authority-data": "!"}},
        "certificate-authority-data is not PEM in base64.",
    ),
    (
        {"cluster": {"certificate-authority-data": b64("x")}},
        "certificate-authority-data: It is no certificate in PEM form.",
    ),
    ({"user": {"token": None}}, "The user has neither a token nor client-certificate-data"),
    ({"user": {"token": "a\nb"}}, "token of the user is no bearer token."),
    ({"user": {"token": "x" * 20_000}}, "token of the user is no bearer token."),
    (
        {"user": {**CERTIFICATE, "client-key-data": None}},
        "client-key-data: The certificate's private key is missing.",
    ),
    (
        {"user": {**CERTIFICATE, "client-key-data": b64(pem("two").key)}},
        "client-key-data: It is not the certificate's key.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), FAULTY)
def test_missing_and_wrong_fields_are_named(changes, sentence):
    with pytest.raises(BadKubeconfig) as raised:
        parse(kubeconfig(**changes))
    assert sentence in str(raised.value)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
BROKEN = {
    "nothing": ("", "The kubeconfig is no mapping."),
    "a list": ("[]", "The kubeconfig is no mapping."),
    "a word": ("hunter2", "The kubeconfig is no mapping."),
    "a bomb": (BOMB, "It has a YAML alias: write the value out."),
    "deep": ("[" * 30_000, "It is nested more than 20 deep."),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(200)), "nested more than 20 deep"),
    "large": ("a: " + "x" * LONGEST, "It may have 64 KiB at most."),
    "large in bytes": ("ä" * (LONGEST // 2 + 1), "It may have 64 KiB at most."),
    "no YAML": ("token: hunter2: :\n  - [", "It is not valid YAML."),
    "two documents": ("a: 1\n---\nb: 2\n", "It is not valid YAML."),
    "an object": ("!!python/object/apply:os.system ['hunter2']", "It is not valid YAML."),
    "an odd key": ("? [a, b]\n: c\n", "It is not valid YAML."),
    "an odd date": ("2026-99-99", "It is not valid YAML."),
    "a long number": ("a: " + "1" * 60_000, "A number in it has more than 100 digits."),
    "many values": ("- a\n" * 2001, "It has more than 2000 values: give one context,"),
    "a control character": ("a: \x07", "It is not valid YAML."),
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN.values(), ids=BROKEN)
def test_the_error_for_a_text_that_is_no_kubeconfig_contains_none_of_it(text, sentence):
    with pytest.raises(BadKubeconfig) as raised:
        parse(text)
    assert sentence in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
