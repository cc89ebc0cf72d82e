"""OAuth clients as people use them, unmodified: each gets a token by client credentials and queries with it."""

import json
import subprocess
from collections import namedtuple

import pytest
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from openid import trusting
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session
from support import READ

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}

# `clients`: how a client says who it is -> its name and secret
TokenServer = namedtuple("TokenServer", "token_url clients sidecar_port")


@pytest.fixture(scope="module")
def provider_server(start_provider, start_sidecar, feast):
    provider = start_provider("for-clients")
    policy = f"""\
version: 1
roles: {{service: {{}}}}
bindings:
  - {{roles: [service], when: {{iss: "{provider.issuer}", client_id: [scoring, scoring-post]}}}}
"""
    sidecar = start_sidecar("clients", feast.port, auth="issuers:\n" + trusting(provider), policy=policy)
    clients = {
        "client_secret_basic": ("scoring", "secret-of-scoring"),
        "client_secret_post": ("scoring-post", "secret-of-scoring-post"),
    }
    return TokenServer(f"{provider.issuer}/token", clients, sidecar.port)


@pytest.fixture(scope="module")
def own_server(issuing):
    """The sidecar's own issuer."""
    client = issuing.clients["scoring"]
    clients = dict.fromkeys(["client_secret_basic", "client_secret_post"], (client.name, client.secret))
    return TokenServer(f"{issuing.issuer}/oauth/token", clients, issuing.port)


@pytest.fixture(params=["provider_server", "own_server"])
def server(request):
    """Whoever issues tokens to clients."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["client_secret_basic", "client_secret_post"])
def method(request):
    return request.param


@pytest.fixture(autouse=True)
def over_loopback(monkeypatch):
    """Both libraries insist on https otherwise."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def url(server):
    return f"http://127.0.0.1:{server.sidecar_port}{READ}"


def assert_age(answer):
    assert answer["metadata"]["feature_names"] == ["customer_id", "age"], answer
    assert [column["values"] for column in answer["results"]] == [[1], [19]]


def test_authlib(server, method):
    name, secret = server.clients[method]
    with AuthlibSession(name, secret, token_endpoint_auth_method=method) as session:
        token = session.fetch_token(server.token_url, grant_type="client_credentials")
        assert token["token_type"].lower() == "bearer" and token["expires_in"] > 0
        answer = session.post(url(server), json=AGE, timeout=20)
    assert answer.status_code == 200, answer.text
    assert_age(answer.json())


def test_requests_oauthlib(server, method):
    name, secret = server.clients[method]
    with OAuth2Session(client=BackendApplicationClient(client_id=name)) as session:
        if method == "client_secret_basic":
            token = session.fetch_token(server.token_url, auth=HTTPBasicAuth(name, secret))
        else:
            token = session.fetch_token(server.token_url, client_secret=secret, include_client_id=True)
        assert token["token_type"].lower() == "bearer" and token["expires_in"] > 0
        answer = session.post(url(server), json=AGE, timeout=20)
    assert answer.status_code == 200, answer.text
    assert_age(answer.json())


def curl(*arguments):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )
    assert done.returncode == 0, f"curl: {done.returncode} {done.stderr.decode()} {done.stdout[:500]}"
    return json.loads(done.stdout)


def test_curl(server, method):
    name, secret = server.clients[method]
    if method == "client_secret_basic":
        who = ["--user", f"{name}:{secret}"]
    else:
        who = ["--data-urlencode", f"client_id={name}", "--data-urlencode", f"client_secret={secret}"]
    token = curl(*who, "--data", "grant_type=client_credentials", server.token_url)
    assert token["token_type"].lower() == "bearer" and token["expires_in"] > 0
    assert_age(curl(
        "--oauth2-bearer", token["access_token"], "--header", "Content-Type: application/json",
        "--data", json.dumps(AGE), url(server),
    ))
