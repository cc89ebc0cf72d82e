"""tagwarden's own issuer: what unmodified clients make of it, and who else takes its tokens. That these clients get a token and
query with it is in test_oauth_clients.py."""

import json
import subprocess

import jwt
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from issuer import pair, policy, refresh
from openid import trusting
from support import AUDIENCE, READ, ask, assert_error, columns, read

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
SSN = {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1]}}


@pytest.fixture(autouse=True)
def over_loopback(monkeypatch):
    """authlib insists on https otherwise."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def assert_age(answer):
    assert answer.status == 200, f"{answer.status} {answer.body[:300]}"
    assert columns(answer.body)["age"]["values"] == "[19]"


def assert_service(port, token):
    assert_age(read(port, AGE, token))
    assert assert_error(read(port, SSN, token), 403, "FEATURES_REFUSED")["refused"] == ["customer_profile:ssn"]


def unauthorized(port, token):
    assert_error(read(port, AGE, token), 401, "UNAUTHORIZED")


def metadata(sidecar, name="openid-configuration"):
    answer = requests.get(f"{sidecar.issuer}/.well-known/{name}", timeout=20)
    assert answer.status_code == 200
    return answer.json()


def test_the_metadata_is_valid(issuing):
    for name in ("openid-configuration", "oauth-authorization-server"):
        found = AuthorizationServerMetadata(metadata(issuing, name))
        found.validate()
        assert found["issuer"] == issuing.issuer
        assert all(found[at].startswith(f"{issuing.issuer}/") for at in found if at.endswith("_endpoint"))


def test_its_tokens_verify_by_its_key_set(issuing):
    """As a library verifies them that knows nothing but the discovery document."""
    token = issuing.clients["scoring"].token(issuing.port)
    found = metadata(issuing)
    key = jwt.PyJWKClient(found["jwks_uri"]).get_signing_key_from_jwt(token)
    algorithms = found["id_token_signing_alg_values_supported"]
    claims = jwt.decode(token, key, algorithms=algorithms, audience=AUDIENCE, issuer=issuing.issuer)
    assert (claims["client_id"], claims["groups"]) == ("scoring", ["scoring"])
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"


def session(issuing, name="scoring", **options):
    """authlib, told of nothing but the discovery document."""
    client = issuing.clients[name]
    endpoints = {name: value for name, value in metadata(issuing).items() if name.endswith("_endpoint")}
    return OAuth2Session(client.name, client.secret, **endpoints, **options)


def test_authlib_refreshes_by_itself(issuing):
    access, first = issuing.clients["scoring"].pair(issuing.port)
    updates = []

    def update(token, refresh_token=None, access_token=None):
        updates.append((token["access_token"], token["refresh_token"], refresh_token))

    token = {"access_token": access, "refresh_token": first, "token_type": "Bearer", "expires_at": 1}
    with session(issuing, token=token, update_token=update) as client:
        for _ in range(2):  # the second finds a token that holds
            answer = client.post(f"{issuing.issuer}{READ}", json=AGE, timeout=20)
            assert answer.status_code == 200, answer.text
        [(new, second, old)] = updates
        assert old == first and second != first and new != access
        # and when it is told to
        third = client.refresh_token(client.metadata["token_endpoint"])
        assert third["refresh_token"] not in (first, second)
    assert_service(issuing.port, third["access_token"])


def test_authlib_introspects_and_revokes(issuing):
    client = issuing.clients["scoring"]
    by_secret = client.token(issuing.port)
    access, fresh = client.pair(issuing.port)
    with session(issuing) as own, session(issuing, "batch") as other:
        at = own.metadata["introspection_endpoint"]
        told = own.introspect_token(at, by_secret).json()
        assert (told["active"], told["client_id"], told["iss"]) == (True, "scoring", issuing.issuer)
        told = own.introspect_token(at, fresh, token_type_hint="refresh_token").json()
        assert (told["active"], told["token_type"]) == (True, "refresh_token")
        for token in (by_secret, fresh):
            assert other.introspect_token(at, token).json() == {"active": False}

        at_end = own.metadata["revocation_endpoint"]
        for token in (by_secret, fresh):  # another's is ended as far as it may know, and goes on
            assert other.revoke_token(at_end, token).status_code == 200
            assert own.introspect_token(at, token).json()["active"] is True
        for token in (by_secret, fresh):
            answer = own.revoke_token(at_end, token)
            assert answer.status_code == 200, answer.text
            assert own.introspect_token(at, token).json() == {"active": False}
    # the access token goes with its refresh token
    for token in (by_secret, access):
        unauthorized(issuing.port, token)
    assert_error(refresh(issuing.port, fresh), 401, "INVALID_REFRESH_TOKEN")


def test_the_feast_client_gets_its_token_by_itself(store, issuing):
    client = store(
        issuing.port, auth_discovery_url=f"{issuing.issuer}/.well-known/openid-configuration",
        client_id="scoring", client_secret=issuing.clients["scoring"].secret,
    )
    rows = [{"customer_id": 1}]
    assert client.get_online_features(AGE["features"], rows).to_dict() == {"customer_id": [1], "age": [19]}
    with pytest.raises(RuntimeError, match="FEATURES_REFUSED.*customer_profile:ssn"):
        client.get_online_features(SSN["features"], rows)


def curl(*arguments):
    """The status and the body."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )
    assert done.returncode == 0, f"curl: {done.returncode} {done.stderr.decode()}"
    body, status = done.stdout.decode().rsplit("\n", 1)
    return int(status), body


def query_by_key(issuing, key, body=AGE, *more):
    json_type = ["--header", "Content-Type: application/json"]
    return curl(*more, *json_type, "--header", f"X-API-Key: {key}", "--data", json.dumps(body), issuing.issuer + READ)


def test_curl_with_an_api_key(issuing):
    key = issuing.clients["scoring"].key
    status, body = query_by_key(issuing, key)
    assert (status, columns(body.encode())["age"]["values"]) == (200, "[19]")
    status, body = query_by_key(issuing, key, SSN)
    assert (status, json.loads(body)["error"]["code"]) == (403, "FEATURES_REFUSED")
    # one letter of its secret part is another
    wrong = key[:-2] + ("A" if key[-2] != "A" else "B") + key[-1]
    status, body = query_by_key(issuing, wrong)
    assert (status, json.loads(body)["error"]["code"]) == (401, "UNAUTHORIZED")


def test_another_tagwarden_trusts_it_by_discovery(issuing, start_sidecar, feast):
    """A resource server that knows its name alone. It does not hear of revocations: that is for those who share the store."""
    auth = "issuers:\n" + trusting(issuing, "require_typ: at+jwt")
    other = start_sidecar("by-discovery", feast.port, auth=auth, policy=policy(issuing.issuer))
    client = issuing.clients["scoring"]
    access, fresh = client.pair(issuing.port)
    for token in (client.token(issuing.port), access):
        assert_service(other.port, token)
    for token in (fresh, client.key, client.secret):
        unauthorized(other.port, token)
    answer = ask(other.port, "POST", READ, AGE, [("X-API-Key", client.key)])
    assert_error(answer, 401, "UNAUTHORIZED")
    assert_error(ask(other.port, "POST", "/oauth/token", {}), 404, "NOT_FOUND")


def test_a_refresh_token_that_is_introspected_is_no_access_token(issuing, start_sidecar, feast, folder):
    """Our access tokens are JWS, so that what comes to an introspecting sidecar's judge is anything but one of them."""
    client = issuing.clients["scoring"]
    secret = folder / "own-introspection-secret"
    secret.write_text(client.secret + "\n")
    introspection = f"{{url: {issuing.issuer}/oauth/introspect, client_id: scoring, secret_file: {secret}}}"
    other = start_sidecar(
        "introspecting", feast.port, auth=f"opaque: {{introspection: {introspection}}}\n", policy=policy(issuing.issuer)
    )
    access, fresh = client.pair(issuing.port)
    assert client.introspect(issuing.port, fresh)["active"] is True
    unauthorized(other.port, fresh)
    # it was asked, and said so
    asked = 'tagwarden_cache_requests_total{cache="opaque",result="miss"} 1'
    assert asked in ask(other.metrics, "GET", "/metrics").body.decode().splitlines()
    for token in (access, client.key):
        unauthorized(other.port, token)
    # it was a good one, and being asked about it used nothing up
    assert_service(issuing.port, pair(refresh(issuing.port, fresh))[0])


def test_no_secret_is_in_anything_that_is_written_or_told(start_issuer):
    """At the level that says most, over every way in which something secret comes or goes, HTTP/2 too."""
    sidecar = start_issuer("canary", "scoring", "batch", arguments=["--log-level", "trace"])
    port, client = sidecar.port, sidecar.clients["scoring"]
    canary = "tw_s1_Canary-0123456789_abcdefghijklmnopqrstuvw01"
    secrets = {"canary": canary}
    for name, of in sidecar.clients.items():
        secrets |= {f"secret of {name}": of.secret, f"key of {name}": of.key}
    [pem] = (sidecar.folder / "keys").glob("*.pem")
    secrets["signing key"] = pem.read_text().splitlines()[1]
    told = []  # every answer but those that give a token

    def keep(answer, status):
        assert answer.status == status, f"{answer.status} {answer.body[:300]}"
        told.append(answer.body + repr(answer.headers).encode())

    token, (access, fresh) = client.token(port), client.pair(port)
    newer = pair(refresh(port, fresh))
    newest = pair(refresh(port, newer[1]))
    http2 = ["--http2-prior-knowledge"]
    who = ["--user", f"{client.name}:{client.secret}", "--data", "grant_type=client_credentials"]
    status, body = curl(*http2, *who, f"{sidecar.issuer}/oauth/token")
    assert status == 200, body
    by_http2 = json.loads(body)["access_token"]
    secrets |= {"token": token, "first": access, "second": newer[0], "third": newest[0], "over HTTP/2": by_http2}
    secrets |= {"first refresh": fresh, "second refresh": newer[1], "third refresh": newest[1]}

    for good in (token, access, by_http2):
        keep(read(port, AGE, good), 200)
    keep(read(port, SSN, token), 403)
    for more in ([], http2):
        status, body = query_by_key(sidecar, client.key, SSN, *more)
        told.append(body.encode())
        assert status == 403, body
        bearer = ["--header", f"Authorization: Bearer {by_http2}", "--header", "Content-Type: application/json"]
        status, body = curl(*more, *bearer, "--data", json.dumps(AGE), sidecar.issuer + READ)
        told.append(body.encode())
        assert status == 200, body
    keep(ask(port, "GET", "/v1/who-am-i", token=token), 200)

    batch = sidecar.clients["batch"]
    batch.secret, right = canary, batch.secret
    keep(batch.grant(port), 401)
    keep(batch.form(port, "/oauth/introspect", token=token), 401)
    keep(batch.form(port, "/oauth/revoke", token=fresh), 401)
    batch.secret = right
    keep(client.form(port, "/oauth/token", grant_type="refresh_token", refresh_token=canary), 400)
    keep(client.form(port, "/oauth/token", grant_type=canary), 400)
    keep(client.form(port, "/oauth/token", grant_type="client_credentials", client_secret=client.secret), 400)
    keep(batch.form(port, "/oauth/token", grant_type="refresh_token", refresh_token=newest[1]), 400)
    keep(ask(port, "POST", "/api/v1/auth/token", {"api_key": canary}), 401)
    keep(ask(port, "POST", "/api/v1/auth/token", {"api_key": [client.key]}), 400)
    twice = f'{{"api_key": "{client.key}", "api_key": "{client.key}"}}'.encode()
    keep(ask(port, "POST", "/api/v1/auth/token", twice), 400)
    plain = [("Content-Type", "text/plain")]
    keep(ask(port, "POST", "/api/v1/auth/token", f"api_key={client.key}".encode(), plain), 400)
    keep(read(port, AGE, canary), 401)
    keep(read(port, AGE, client.key), 401)
    keep(read(port, AGE, newest[1]), 401)
    keep(read(port, AGE, token + "x"), 401)
    keep(ask(port, "POST", READ, AGE, [("X-API-Key", canary)]), 401)
    keep(read(port, AGE, token, [("X-API-Key", client.key)]), 401)
    keep(ask(port, "GET", f"/{token}?token={client.key}"), 404)
    keep(client.revoke(port, token), 200)
    keep(read(port, AGE, token), 401)
    keep(refresh(port, fresh), 401)  # a second use: the family is over
    keep(refresh(port, newest[1]), 401)
    keep(read(port, AGE, newest[0]), 401)
    keep(ask(sidecar.metrics, "GET", "/metrics"), 200)
    keep(ask(sidecar.metrics, "GET", "/readyz"), 200)
    keep(ask(sidecar.admin, "GET", "/status"), 200)
    sidecar.stop()

    places = {"answers": b"\n".join(told), "log": sidecar.process.log.read_bytes(), "audit": sidecar.audit.read_bytes()}
    places |= {name: (sidecar.folder / name).read_bytes() for name in ("clients.yaml", "data/tokens.redb")}
    assert b'"TRACE"' in places["log"] and b"a refresh token was used twice" in places["log"]
    assert places["audit"].count(b"\n") >= 5
    # of a token its signature is enough to find it by; of what is longer than a line, a piece
    needles = {name: secret.rsplit(".", 1)[-1].encode() for name, secret in secrets.items()}
    found = [(name, place) for name, needle in needles.items() for place, text in places.items() if needle in text]
    assert not found, found
