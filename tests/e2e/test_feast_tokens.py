"""Tokens and headers on the wire: who is let in, what is told to those who are not, and what goes upstream."""

import gzip
import json

import pytest
from support import READ, ask, assert_error, columns, read, send_raw

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}

# what proxies and applications take a caller's identity from, and what changes a request's meaning
SPOOFED = [
    ("X-Forwarded-User", "spoofed-full"),
    ("X-Forwarded-Email", "spoofed-full"),
    ("X-Forwarded-Preferred-Username", "spoofed-full"),
    ("X-Forwarded-Groups", "spoofed-full"),
    ("X-Remote-User", "spoofed-full"),
    ("Remote-User", "spoofed-full"),
    ("X-Auth-User", "spoofed-full"),
    ("X_Auth_User", "spoofed-full"),
    ("X-Auth-Request-User", "spoofed-full"),
    ("X-User", "spoofed-full"),
    ("X-Tagwarden-Role", "full"),
    ("X-Tagwarden-Decision-Id", "spoofed-id"),
    ("Forwarded", "for=spoofed;host=spoofed;proto=https"),
    ("X-Forwarded-For", "spoofed"),
    ("X-Forwarded-Host", "spoofed"),
    ("X-Original-URL", "/push-spoofed"),
    ("X-Rewrite-URL", "/push-spoofed"),
    ("Cookie", "session=spoofed"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-HTTP-Method", "DELETE"),
    ("X-Method-Override", "DELETE"),
]
NEVER_UPSTREAM = {
    "authorization", "proxy-authorization", "cookie", "x-api-key",
    "x-http-method-override", "x-http-method", "x-method-override",
}


def challenge(answer):
    scheme, _, rest = answer.header("www-authenticate").partition(" ")
    assert scheme == "Bearer"
    return rest


def test_no_token(sidecar):
    answer = read(sidecar.port, AGE)
    assert_error(answer, 401, "UNAUTHORIZED")
    assert challenge(answer) == 'realm="tagwarden"'


BAD = {
    "garbage": lambda idp: "garbage",
    "three dots of garbage": lambda idp: "a.b.c",
    "another audience": lambda idp: idp.token(aud="other"),
    "no audience": lambda idp: idp.token(aud=None),
    "another issuer": lambda idp: idp.token(iss="https://idp.test"),
    "no expiry": lambda idp: idp.token(exp=None),
    "not yet": lambda idp: idp.token(nbf=4102444800),
    "an unknown key": lambda idp: idp.token(kid="other"),
    "the other key's name": lambda idp: idp.token(kid="ec-1"),
    "no signature": lambda idp: idp.token().rsplit(".", 1)[0] + ".",
    "alg none": lambda idp: idp.token(algorithm="none", key="", kid="rsa-1"),
    "the public key as a secret": lambda idp: hs256(idp),
    "an algorithm that is not listed": lambda idp: idp.token(algorithm="RS512"),
    "another's signature": lambda idp: idp.token("full").rsplit(".", 1)[0] + "." + idp.token("x").rsplit(".", 1)[1],
    "expired, and not signed": lambda idp: idp.token(age=7200).rsplit(".", 1)[0] + "." + "A" * 342,
}


def hs256(idp):
    """Key confusion: HS256 with the text of the public key as its secret (PyJWT itself refuses to make one)."""
    import base64
    import hashlib
    import hmac

    _, payload, _ = idp.token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa-1","typ":"JWT"}').rstrip(b"=").decode()
    mac = hmac.new(idp.public_pem(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_bad_tokens_are_told_one_thing(sidecar, idp):
    messages = {}
    for what, make in BAD.items():
        answer = read(sidecar.port, AGE, make(idp))
        assert answer.status == 401, f"{what}: {answer.status} {answer.body[:200]!r}"
        messages[what] = assert_error(answer, 401, "UNAUTHORIZED")["message"]
        assert challenge(answer) == 'realm="tagwarden", error="invalid_token"', what
    assert len(set(messages.values())) == 1, messages


def test_an_expired_token_is_told_so(sidecar, idp):
    answer = read(sidecar.port, AGE, idp.token(age=7200))
    error = assert_error(answer, 401, "TOKEN_EXPIRED")
    assert error["message"] == "Access token has expired"
    assert challenge(answer).startswith('realm="tagwarden", error="invalid_token"')


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_good_tokens(sidecar, idp, algorithm):
    answer = read(sidecar.port, AGE, idp.token(algorithm=algorithm, aud=["other", "feature-server"]))
    assert answer.status == 200, answer.body
    assert columns(answer.body)["age"]["values"] == "[19]"


def test_one_credential_a_request(sidecar, idp):
    token = idp.token()
    two = [("Authorization", f"Bearer {token}")]
    assert_error(read(sidecar.port, AGE, token, two), 401, "UNAUTHORIZED")
    assert_error(read(sidecar.port, AGE, token, [("X-API-Key", "tw_k1_x")]), 401, "UNAUTHORIZED")
    assert_error(read(sidecar.port, AGE, None, [("Authorization", f"Basic {token}")]), 401, "UNAUTHORIZED")
    assert_error(read(sidecar.port, AGE, None, [("X-Authorization", f"Bearer {token}")]), 401, "UNAUTHORIZED")
    folded = f"POST {READ} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    folded += f"Authorization: Bearer x\r\nauthorization: Bearer {token}\r\n\r\n"
    assert send_raw(sidecar.port, folded.encode()).status == 401


def test_a_caller_without_a_role(sidecar, idp):
    for token in (idp.token("nobody"), idp.token("FULL"), idp.token(client_id=None), idp.token(client_id=["other"])):
        assert_error(read(sidecar.port, AGE, token), 403, "FORBIDDEN")


def test_spoofed_identity_changes_nothing(sidecar, idp):
    assert_error(read(sidecar.port, AGE, None, SPOOFED), 401, "UNAUTHORIZED")
    assert_error(read(sidecar.port, AGE, idp.token("nobody"), SPOOFED), 403, "FORBIDDEN")
    error = assert_error(read(sidecar.port, AGE, idp.token("restricted"), SPOOFED), 403, "FEATURES_REFUSED")
    assert error["decision_id"] != "spoofed-id"
    assert_error(ask(sidecar.port, "POST", "/push", AGE, SPOOFED, idp.token()), 404, "NOT_FOUND")


def test_what_goes_upstream(recorder, idp):
    """The request is the sidecar's own: its headers, and a body of the known fields alone."""
    body = AGE | {"foo": 1, "project": "spoofed", "full_feature_names": False}
    token = idp.token()
    answer = ask(recorder.sidecar.port, "POST", READ + "?x=spoofed", body, SPOOFED, token)
    assert answer.status == 200, answer.body
    assert columns(answer.body)["age"]["values"] == "[19]"

    [(method, path, headers, sent)] = recorder.seen
    assert (method, path) == ("POST", READ)
    names = [name for name, _ in headers]
    assert len(set(names)) == len(names), f"a header goes twice: {names}"
    assert not NEVER_UPSTREAM & set(names)
    assert not [name for name in names if name.startswith("x-tagwarden-") or "_" in name]
    text = repr(headers).encode() + sent
    assert b"spoofed" not in text and token.encode() not in text
    assert dict(headers)["host"] == f"127.0.0.1:{recorder.port}"
    assert dict(headers)["content-type"] == "application/json"
    sent = json.loads(sent)
    assert set(sent) <= {"features", "entities", "full_feature_names", "include_feature_view_version_metadata"}
    assert (sent["features"], sent["entities"]) == (AGE["features"], AGE["entities"])


def test_refusals_never_reach_the_upstream(recorder, idp):
    port, body = recorder.sidecar.port, {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1]}}
    assert_error(read(port, body), 401, "UNAUTHORIZED")
    assert_error(read(port, body, idp.token("nobody")), 403, "FORBIDDEN")
    assert_error(read(port, body, idp.token("restricted")), 403, "FEATURES_REFUSED")
    assert_error(read(port, body, idp.token("restricted-filter")), 403, "FEATURES_REFUSED")
    assert recorder.seen == []


def test_refused_features_are_not_asked_for(recorder, idp):
    body = {"features": ["customer_profile:ssn", "customer_profile:age"], "entities": {"customer_id": [1]}}
    answer = read(recorder.sidecar.port, body, idp.token("internal-filter"))
    assert answer.status == 200, answer.body
    [(_, _, _, sent)] = recorder.seen
    assert json.loads(sent)["features"] == ["customer_profile:age"]


def test_a_compressed_body_is_not_read(sidecar, recorder, idp):
    """Feast would parse the bytes as they are; what two sides read differently is not passed on."""
    for port in (sidecar.port, recorder.sidecar.port):
        for body, coding in ((gzip.compress(json.dumps(AGE).encode()), "gzip"), (json.dumps(AGE).encode(), "gzip")):
            answer = read(port, body, idp.token(), [("Content-Encoding", coding)])
            assert_error(answer, 415, "UNSUPPORTED")
    assert recorder.seen == []
