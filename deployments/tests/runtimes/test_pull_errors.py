"""Which failures of a pull are final, by what registries, Docker and containerd say."""

import pytest

from deployments.runtimes.pull_errors import is_final

IMAGE = "registry.test/team/train:1"
FINAL = [
    "manifest for registry.test/team/train:1 not found: manifest unknown: manifest unknown",
    "pull access denied for team/train, repository does not exist or may require 'docker login'",
    "no matching manifest for linux/arm64/v8 in the manifest list entries",
    'Get "https://registry.test/v2/team/train/manifests/1": no basic auth credentials',
    "unauthorized: authentication required",
    "denied: requested access to the resource is denied",
    "error parsing HTTP 404 response body: repository name not known to registry: name unknown",
    f'rpc error: code = NotFound desc = failed to pull and unpack image "{IMAGE}":'
    f' failed to resolve reference "{IMAGE}": {IMAGE}: not found',
    "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to"
    " https://registry.test/token: 401 Unauthorized",
    "unexpected status from HEAD request to https://registry.test/v2/x: 403 Forbidden",
]
PASSING = [
    "",
    'Get "https://registry.test/v2/": dial tcp: lookup registry.test on 10.0.0.2: no such host',
    "dial tcp: lookup registry.test on 10.0.0.2:53: server misbehaving",
    "dial tcp 10.0.0.2:443: connect: connection refused",
    "dial tcp 10.0.0.2:443: i/o timeout",
    "net/http: TLS handshake timeout",
    "net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
    "context deadline exceeded",
    "read: connection reset by peer",
    "unexpected EOF",
    "received unexpected HTTP status: 503 Service Unavailable",
    "toomanyrequests: You have reached your unauthenticated pull rate limit.",
    "failed to authorize: failed to fetch oauth token: unexpected status from GET request to"
    " https://registry.test/token: 503 Service Unavailable: access denied",
    "unexpected status code 429: unauthorized clients may not pull as often",
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
    "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
    "error parsing HTTP 500 response body: invalid character '<': \"<html>not found</html>\"",
    'Get "https://registry.test/v2/denied/not-found/manifests/1": EOF',
]


@pytest.mark.parametrize("said", FINAL)
def test_a_registry_that_refuses_the_image_is_final(said: str):
    assert is_final(said, IMAGE)


@pytest.mark.parametrize("said", PASSING)
def test_all_that_may_be_over_the_next_time_is_not(said: str):
    assert not is_final(said, IMAGE)


@pytest.mark.parametrize("image", ["registry.test/denied/not-found:1", "not-found", "x@sha256:0"])
def test_words_in_a_name_decide_nothing(image: str):
    assert not is_final(f"failed to do request for {image}: EOF", image)
    assert is_final(f"manifest for {image} not found", image)


@pytest.mark.parametrize("image", ["timeout/503", "registry.test/no-such-host:429"])
def test_nor_do_those_in_the_name_of_an_image_that_is_not_there(image: str):
    assert is_final(f"pull access denied for {image}, repository does not exist", image)
