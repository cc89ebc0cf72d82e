"""Keys and tokens of a real OpenID provider: found, rotated under load, and gone for a while."""

import re

import pytest
from openid import Traffic, trusting
from support import ask, assert_error, columns, read, wait_for

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
SSN = {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1]}}


def policy(provider):
    return f"""\
version: 1
roles:
  service: {{tags: {{pii: Deny}}}}
bindings:
  - {{roles: [service], when: {{iss: "{provider.issuer}", client_id: [scoring, scoring-post]}}}}
"""


def assert_age(answer):
    assert answer.status == 200, f"{answer.status} {answer.body[:300]}"
    assert columns(answer.body)["age"]["values"] == "[19]"


def fetches(sidecar, result="ok"):
    """How often the keys were fetched."""
    text = ask(sidecar.metrics, "GET", "/metrics").body.decode()
    [count] = re.findall(rf'^tagwarden_jwks_fetches_total\{{[^}}]*result="{result}"[^}}]*\}} (\d+)$', text, re.M)
    return int(count)


@pytest.fixture(scope="module")
def provider(start_provider):
    return start_provider("openid")


@pytest.fixture
def trusting_sidecar(start_sidecar, feast):
    """trusting_sidecar(name, provider, *lines of the issuer): in front of Feast, its keys found by discovery."""

    def start(name, provider, *more, extra="", **options):
        auth = "issuers:\n" + trusting(provider, *more) + extra
        return start_sidecar(name, feast.port, auth=auth, policy=policy(provider), **options)

    return start


def test_the_keys_are_found_by_the_issuer_alone(trusting_sidecar, provider):
    sidecar = trusting_sidecar("discovery", provider)
    token = provider.service_token()
    assert_age(read(sidecar.port, AGE, token))
    error = assert_error(read(sidecar.port, SSN, token), 403, "FEATURES_REFUSED")
    assert error["refused"] == ["customer_profile:ssn"]
    # of the same provider, and without a role
    assert_error(read(sidecar.port, AGE, provider.service_token("batch")), 403, "FORBIDDEN")
    head, payload, _ = token.split(".")
    other = provider.service_token().split(".")[2]
    assert_error(read(sidecar.port, AGE, f"{head}.{payload}.{other}"), 401, "UNAUTHORIZED")


def test_the_feast_client_gets_its_token_by_itself(store, trusting_sidecar, provider):
    sidecar = trusting_sidecar("feast-oidc", provider)
    client = store(
        sidecar.port, auth_discovery_url=f"{provider.issuer}/.well-known/openid-configuration",
        client_id="scoring-post", client_secret="secret-of-scoring-post",
    )
    rows = [{"customer_id": 1}]
    assert client.get_online_features(AGE["features"], rows).to_dict() == {"customer_id": [1], "age": [19]}
    with pytest.raises(RuntimeError, match="FEATURES_REFUSED.*customer_profile:ssn"):
        client.get_online_features(SSN["features"], rows)


def test_keys_rotate_while_requests_flow(trusting_sidecar, provider):
    """The new key is published first and signs later, as it should be. Between the two nobody has to ask for keys."""
    sidecar = trusting_sidecar("rotation", provider)
    [old] = provider.keys
    new = provider.new_key()
    with Traffic(provider, lambda token: read(sidecar.port, AGE, token)) as traffic:
        traffic.each_had(old)
        provider.rotate([old, new])
        before = traffic.seen[0][old["kid"]]
        traffic.each_had(old, before + 10)
        assert fetches(sidecar) == 1
        provider.rotate([new, old])
        traffic.each_had(new)
    assert (fetches(sidecar), fetches(sidecar, "failed")) == (2, 0)


def test_a_key_signs_at_once_while_requests_flow(trusting_sidecar, provider):
    """The hard kind: the first token of the new key is the first that is heard of it. One fetch serves all who wait."""
    sidecar = trusting_sidecar("hard-rotation", provider)
    old, new = provider.keys[0], provider.new_key()
    with Traffic(provider, lambda token: read(sidecar.port, AGE, token)) as traffic:
        traffic.each_had(old)
        provider.rotate([new, *provider.keys])
        traffic.each_had(new)
    assert (fetches(sidecar), fetches(sidecar, "failed")) == (2, 0)


def test_tokens_of_a_removed_key_are_refused(trusting_sidecar, provider):
    """Those that were verified and are remembered too; from the next fetch on, which here a token of the new key causes."""
    sidecar = trusting_sidecar("removal", provider)
    cached, unseen = provider.service_token(), provider.service_token()
    assert_age(read(sidecar.port, AGE, cached))
    provider.rotate([provider.new_key()])
    assert_age(read(sidecar.port, AGE, cached))
    assert_age(read(sidecar.port, AGE, provider.service_token()))
    for token in (cached, unseen):
        assert_error(read(sidecar.port, AGE, token), 401, "UNAUTHORIZED")
    assert fetches(sidecar) == 2


def test_the_provider_dies_and_comes_back(trusting_sidecar, start_provider):
    provider = start_provider("dying")
    running, restarted = (trusting_sidecar(name, provider, "keys_folder: kept") for name in ("running", "restarted"))
    [old], new = provider.keys, provider.new_key()
    cached, unseen = provider.service_token(), provider.service_token()
    assert_age(read(running.port, AGE, cached))
    provider.kill()

    restarted.stop()
    restarted.start()  # ready, with the keys of before
    for sidecar in (running, restarted):
        for token in (cached, unseen, provider.token_of(old)):
            assert_age(read(sidecar.port, AGE, token))
    # of a key that nobody has seen: that cannot be judged now, which is no fault of the token
    answer = read(restarted.port, AGE, provider.token_of(new))
    assert_error(answer, 503, "KEYS_UNAVAILABLE")
    assert int(answer.header("retry-after")) >= 1

    provider.write_keys([new, old])
    provider.start()
    # this one was never told that the provider was away, and asks now
    assert_age(read(running.port, AGE, provider.service_token()))
    # this one finds out by itself
    token = provider.service_token()
    answer = wait_for(lambda: (got := read(restarted.port, AGE, token)).status == 200 and got, "the new key", 30)
    assert_age(answer)
    for sidecar in (running, restarted):
        assert_age(read(sidecar.port, AGE, cached))


def test_the_provider_is_away_at_the_start(trusting_sidecar, start_provider, folder):
    provider = start_provider("late")
    secret = folder / "late" / "introspection-secret"
    secret.write_text("secret-of-tagwarden\n")
    introspection = f"{{url: {provider.issuer}/token/introspection, client_id: tagwarden, secret_file: {secret}}}"
    provider.kill()
    sidecar = trusting_sidecar("early", provider, extra=f"opaque: {{introspection: {introspection}}}\n", ready=False)

    [key] = provider.keys
    for token in (provider.token_of(key), "opaque"):
        answer = read(sidecar.port, AGE, token)
        assert_error(answer, 503, "KEYS_UNAVAILABLE")
        assert int(answer.header("retry-after")) >= 1
        assert answer.header("www-authenticate") is None
    assert_error(read(sidecar.port, AGE), 401, "UNAUTHORIZED")
    ready = ask(sidecar.metrics, "GET", "/readyz")
    assert ready.status == 503
    said = ready.json()
    assert (said["ready"], said["checks"]["issuers_without_keys"]) == (False, [provider.issuer])

    provider.start()
    token = provider.service_token()

    def passes():
        answer = read(sidecar.port, AGE, token)
        if answer.status != 200:
            assert_error(answer, 503, "KEYS_UNAVAILABLE")
        return answer.status == 200 and answer

    assert_age(wait_for(passes, "the keys of a provider that came late", 30))
    ready = ask(sidecar.metrics, "GET", "/readyz")
    assert (ready.status, ready.json()["checks"]["issuers_without_keys"]) == (200, [])
