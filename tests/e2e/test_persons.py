"""Persons with credentials of their own, opaque tokens, and what of a provider is no access token."""

import pytest
from openid import OPAQUE, trusting
from support import AUDIENCE, assert_error, columns, read, wait_for

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
SSN = {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1]}}


@pytest.fixture(scope="module")
def services(start_provider):
    """The provider of services."""
    return start_provider("services")


@pytest.fixture(scope="module")
def people(start_provider):
    """The provider at which persons log in."""
    return start_provider("people")


@pytest.fixture(scope="module")
def policy(services, people):
    # each sees what the other does not
    return f"""\
version: 1
roles:
  service: {{tags: {{pii: Deny}}}}
  analyst: {{tags: {{"class=raw": Deny}}}}
  signed-in: {{}}
bindings:
  - {{roles: [service], when: {{iss: "{services.issuer}", client_id: scoring}}}}
  - {{roles: [analyst], when: {{iss: "{people.issuer}", groups: analysts}}}}
"""


@pytest.fixture(scope="module")
def wide_policy(policy, services):
    """For what is no access token: it binds by what an id token has too, and the introspection of a refresh token."""
    return policy + f"""\
  - {{roles: [signed-in], when: {{iss: "{services.issuer}", sub: alice}}}}
"""


@pytest.fixture(scope="module")
def sidecar(start_sidecar, feast, services, people, policy):
    auth = "issuers:\n" + trusting(services) + trusting(people, "require_typ: at+jwt")
    return start_sidecar("persons", feast.port, auth=auth, policy=policy)


@pytest.fixture(scope="module")
def opaque_sidecar(start_sidecar, feast, services, wide_policy, folder):
    secret = folder / "introspection-secret"
    secret.write_text("secret-of-tagwarden\n")
    introspection = f"{{url: {services.issuer}/token/introspection, client_id: tagwarden, secret_file: {secret}}}"
    auth = "issuers:\n" + trusting(services) + f"opaque: {{introspection: {introspection}, ttl: 1s, negative_ttl: 1s}}\n"
    return start_sidecar("opaque", feast.port, auth=auth, policy=wide_policy)


def assert_reads(sidecar, token, body, value):
    answer = read(sidecar.port, body, token)
    assert answer.status == 200, f"{answer.status} {answer.body[:300]}"
    [name] = body["features"]
    assert columns(answer.body)[name.split(":")[1]]["values"] == value


def assert_service(sidecar, token):
    assert_reads(sidecar, token, AGE, "[19]")
    assert_error(read(sidecar.port, SSN, token), 403, "FEATURES_REFUSED")


def assert_analyst(sidecar, token):
    assert_reads(sidecar, token, SSN, '["001-01-0007"]')
    assert_error(read(sidecar.port, AGE, token), 403, "FEATURES_REFUSED")


def test_a_person_has_the_view_of_a_person(sidecar, services, people):
    alice = people.login("alice")
    assert_analyst(sidecar, alice["access_token"])
    assert_service(sidecar, services.service_token())
    # a person who logs in just as well, and is in no group that the policy knows
    assert_error(read(sidecar.port, SSN, people.login("bob")["access_token"]), 403, "FORBIDDEN")
    fresh = people.refresh(alice["refresh_token"])["access_token"]
    assert fresh != alice["access_token"]
    assert_analyst(sidecar, fresh)


def test_the_feast_client_speaks_for_a_person(store, sidecar, services, people, monkeypatch):
    monkeypatch.setenv("PERSONS_TOKEN", people.login("alice")["access_token"])
    client, rows = store(sidecar.port, token_env_var="PERSONS_TOKEN"), [{"customer_id": 1}]
    got = client.get_online_features(SSN["features"], rows).to_dict()
    assert got == {"customer_id": [1], "ssn": ["001-01-0007"]}
    with pytest.raises(RuntimeError, match="FEATURES_REFUSED.*customer_profile:age"):
        client.get_online_features(AGE["features"], rows)
    # the variable is read anew for each request
    monkeypatch.setenv("PERSONS_TOKEN", people.login("bob")["access_token"])
    with pytest.raises(RuntimeError, match="FORBIDDEN"):
        client.get_online_features(SSN["features"], rows)


def test_a_service_cannot_claim_a_person(sidecar, services, people):
    """Its provider gives it the group, and it is another's: the group counts from the provider of persons alone. There a
    service has none; nor is the name of a service worth anything there."""
    elsewhere = services.login("carol")["access_token"]  # a person in that group, by the wrong provider
    for token in (services.service_token("pretender"), people.service_token("scoring"), elsewhere):
        for body in (AGE, SSN):
            assert_error(read(sidecar.port, body, token), 403, "FORBIDDEN")
    assert_analyst(sidecar, people.login("carol")["access_token"])


def test_an_id_token_is_no_access_token(sidecar, start_sidecar, feast, services, people, wide_policy):
    # both providers: one by the audience alone, one by `typ` too
    for provider in (services, people):
        person = provider.login("alice")
        assert_error(read(sidecar.port, SSN, person["id_token"]), 401, "UNAUTHORIZED")
    # an audience that the id token has: `require_typ` alone stands in the way, and without it nothing does
    by_audience = trusting(services).replace(f"[{AUDIENCE}]", f"[{AUDIENCE}, notebook]")
    id_token = services.login("alice")["id_token"]
    careless = start_sidecar("careless", feast.port, auth="issuers:\n" + by_audience, policy=wide_policy)
    assert_reads(careless, id_token, SSN, '["001-01-0007"]')
    by_typ = f"issuers:\n{by_audience}  require_typ: at+jwt\n"
    strict = start_sidecar("strict", feast.port, auth=by_typ, policy=wide_policy)
    assert_error(read(strict.port, SSN, id_token), 401, "UNAUTHORIZED")
    assert_reads(strict, services.login("alice")["access_token"], SSN, '["001-01-0007"]')


def test_a_refresh_token_is_no_access_token(sidecar, opaque_sidecar, services):
    """This provider's introspection calls it active, and says of its kind nothing at all."""
    person = services.login("alice", OPAQUE)
    assert_reads(opaque_sidecar, person["access_token"], SSN, '["001-01-0007"]')
    for port in (sidecar.port, opaque_sidecar.port):
        assert_error(read(port, SSN, person["refresh_token"]), 401, "UNAUTHORIZED")
    # it was a good one
    assert_reads(opaque_sidecar, services.refresh(person["refresh_token"])["access_token"], SSN, '["001-01-0007"]')


def test_opaque_tokens_are_introspected(sidecar, opaque_sidecar, services):
    token = services.service_token(resource=OPAQUE)
    assert "." not in token
    assert_service(opaque_sidecar, token)
    assert_service(opaque_sidecar, services.service_token())  # a JWT, by the keys
    assert_error(read(opaque_sidecar.port, AGE, services.service_token("batch", OPAQUE)), 403, "FORBIDDEN")
    assert_error(read(opaque_sidecar.port, AGE, token[:-1] + "~"), 401, "UNAUTHORIZED")
    assert_error(read(sidecar.port, AGE, token), 401, "UNAUTHORIZED")  # nobody there says what it is worth


def test_a_revoked_token_is_refused(opaque_sidecar, services):
    token, other = services.service_token(resource=OPAQUE), services.service_token(resource=OPAQUE)
    person = services.login("alice", OPAQUE)
    for good in (token, other, person["access_token"]):
        assert_reads(opaque_sidecar, good, AGE, "[19]")
    services.post("/token/revocation", {"token": token}, ("scoring", "secret-of-scoring"))
    # with the refresh token goes all that came of that login
    services.post("/token/revocation", {"token": person["refresh_token"], "client_id": "notebook"})
    for revoked in (token, person["access_token"]):
        answer = wait_for(
            lambda: (got := read(opaque_sidecar.port, AGE, revoked)).status != 200 and got, "the end of `ttl`", 20
        )
        assert_error(answer, 401, "UNAUTHORIZED")
    assert_reads(opaque_sidecar, other, AGE, "[19]")
