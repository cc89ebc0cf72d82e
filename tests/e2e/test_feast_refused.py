"""Callers that may not see everything: what is refused, what is cut, and that no refused value is anywhere.

`restricted_read` looks for every ssn and address of the data in the raw bytes of each answer.
"""

import yaml
from conftest import TAGWARDEN, run
from support import assert_error, columns, read, wait_for

PROFILE = ["customer_profile:ssn", "customer_profile:vip", "customer_profile:email"]
RISK = {"customer_id": [1, 2], "basket_total": [100.0, 50.0], "coupon": ["x", "y"]}
PAIR = {"feature_service": "pair_service", "entities": {"buyer_id": [1], "seller_id": [2]}, "full_feature_names": True}


def of(features, ids=(1, 2), **more):
    return {"features": features, "entities": {"customer_id": list(ids)}, **more}


def values(answer, filtered):
    """The columns of a cut answer, name -> raw text of its values."""
    assert answer.status == 200, answer.body[:300]
    assert answer.header("x-tagwarden-filtered") == str(filtered)
    return {name: column["values"] for name, column in columns(answer.body).items()}


def refused(answer):
    return sorted(assert_error(answer, 403, "FEATURES_REFUSED")["refused"])


def test_a_query_with_a_refused_feature_fails_whole(restricted_read):
    answer = restricted_read("restricted", of(PROFILE))
    assert refused(answer) == ["customer_profile:email", "customer_profile:ssn"]
    assert answer.header("x-tagwarden-filtered") is None


def test_what_is_permitted_is_as_feast_gives_it(restricted_read, feast):
    body = of(["customer_profile:vip", "customer_profile:country", "num:edge__big"])
    answer = restricted_read("restricted", body)
    assert answer.status == 200 and answer.header("x-tagwarden-filtered") in (None, "0")
    assert columns(answer.body) == columns(read(feast.port, body).body)


def test_refused_features_are_cut(restricted_read):
    got = values(restricted_read("restricted-filter", of(PROFILE)), 2)
    assert got == {"customer_id": "[1,2]", "vip": "[false,false]"}


def test_refused_features_are_cut_under_full_names(restricted_read):
    got = values(restricted_read("restricted-filter", of(PROFILE, full_feature_names=True)), 2)
    assert got == {"customer_id": "[1,2]", "customer_profile__vip": "[false,false]"}


def test_nothing_left_is_a_refusal(restricted_read):
    answer = restricted_read("restricted-filter", of(["customer_profile:ssn", "customer_profile:age"]))
    assert refused(answer) == ["customer_profile:age", "customer_profile:ssn"]


def test_denied_and_unknown_read_alike(restricted_read):
    names = ["customer_profile:age", "customer_profile:nope", "nope:nope", "customer_profile:ssn"]
    answers = [restricted_read("restricted", of([name])) for name in names]
    texts = {
        answer.body.decode().replace(name, "NAME").replace(answer.header("x-tagwarden-decision-id"), "ID")
        for name, answer in zip(names, answers)
    }
    assert [refused(answer) for answer in answers] == [[name] for name in names]
    assert len(texts) == 1, texts
    got = values(restricted_read("restricted-filter", of(["customer_profile:nope", "customer_profile:vip"])), 1)
    assert set(got) == {"customer_id", "vip"}


def test_an_ambiguous_name_is_judged_among_permitted_ones(restricted_read):
    """Both would be called num__edge__big; the refused one (-1) is never asked for, so the other comes unmixed."""
    body = of(["num:edge__big", "num__edge:big"], ids=[1], full_feature_names=True)
    assert values(restricted_read("restricted-filter", body), 1) == {
        "customer_id": "[1]", "num__edge__big": "[9007199254740994]"
    }
    assert refused(restricted_read("restricted", body)) == ["num__edge:big"]


def test_latest_is_the_feature_itself(restricted_read):
    ref = "customer_profile@latest:ssn"
    assert refused(restricted_read("restricted", of([ref]))) == [ref]


def test_a_service_with_a_refused_member_fails_whole_and_by_its_own_name(restricted_read):
    for service, entities in (("crm_service", {"customer_id": [1]}), ("risk_service", RISK)):
        answer = restricted_read("restricted", {"feature_service": service, "entities": entities})
        assert refused(answer) == [service]
        assert b"customer_profile" not in answer.body


def test_refused_members_of_a_service_are_cut(restricted_read):
    crm = {"feature_service": "crm_service", "entities": {"customer_id": [1]}}
    assert values(restricted_read("restricted-filter", crm), 4) == {
        "customer_id": "[1]", "vip": "[false]", "country": '["US"]'
    }
    risk = {"feature_service": "risk_service", "entities": RISK, "full_feature_names": True}
    assert values(restricted_read("restricted-filter", risk), 3) == {
        "customer_id": "[1,2]", "customer_profile__vip": "[false,false]", "customer_activity__txn_count_7d": "[1,2]",
        "checkout_risk__avg_txn": "[10.5,10.5]",
    }


def test_a_service_with_aliases(restricted_read):
    """Feast takes it by name alone: what may be computed is cut from the answer, a denied member ends it."""
    assert values(restricted_read("internal-filter", PAIR), 1) == {
        "buyer_id": "[1]", "seller_id": "[2]", "buyer__age": "[19]", "seller__age": "[20]"
    }
    assert refused(restricted_read("restricted-filter", PAIR)) == ["pair_service"]
    assert refused(restricted_read("restricted", PAIR)) == ["pair_service"]


def test_a_denied_feature_denies_what_is_derived_from_it(restricted_read):
    body = {"features": ["checkout_risk:basket_to_income"], "entities": RISK}
    assert refused(restricted_read("restricted", body)) == ["checkout_risk:basket_to_income"]
    body["features"].append("customer_profile:country")
    assert set(values(restricted_read("restricted-filter", body), 1)) == {"customer_id", "country"}


def test_an_internal_feature_may_be_used(restricted_read):
    """The domain is computed from the address, which this caller may not see."""
    answer = restricted_read("restricted", of(["email_parts:email_domain"]))
    assert answer.status == 200
    assert columns(answer.body)["email_domain"]["values"] == '["example.test","example.test"]'
    assert refused(restricted_read("restricted", of(["customer_profile:email"]))) == ["customer_profile:email"]


def test_cleared_inputs_clear_a_derived_feature(restricted_read, feast):
    """Both outputs carry a tag that the role denies; one has reviewed inputs alone."""
    body = {"features": ["checkout_risk:avg_txn"], "entities": RISK}
    answer = restricted_read("reviewer", body)
    assert answer.status == 200, answer.body
    assert columns(answer.body) == columns(read(feast.port, body).body)
    body["features"].append("checkout_risk:basket_to_income")
    assert refused(restricted_read("reviewer", body)) == ["checkout_risk:basket_to_income"]


def test_request_fields_are_their_callers(restricted_read):
    body = {"features": ["request_only:basket_x2"], "entities": {"basket_total": [21.0], "coupon": ["x"]}}
    answer = restricted_read("restricted", body)
    assert answer.status == 200
    assert columns(answer.body)["basket_x2"]["values"] == "[42.0]"


def test_a_value_among_the_entities_opens_nothing(restricted_read):
    """Feast does not take a stored feature from its caller, so that giving one is not supplying it."""
    body = {"features": ["checkout_risk:basket_to_income"], "entities": RISK | {"income": [1.0, 1.0], "age": [1, 1]}}
    assert refused(restricted_read("restricted", body)) == ["checkout_risk:basket_to_income"]
    body = {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1], "ssn": ["1"]}}
    assert refused(restricted_read("restricted", body)) == ["customer_profile:ssn"]


def test_a_hundred_entities(restricted_read, feast):
    names = ["customer_profile:age", "customer_profile:income", "customer_activity:txn_amount_7d"]
    body = of([*names, "customer_activity:last_merchant"], ids=range(1, 101))
    got = values(restricted_read("restricted-filter", body), 3)
    direct = columns(read(feast.port, of(names[2:], ids=range(1, 101))).body)
    assert got == {name: column["values"] for name, column in direct.items()}


def test_the_rest_registry_gives_the_same_catalogue(feast_repo, catalogue, folder):
    """Imported from the running registry server as from the dump: the same features and bundles."""
    server = feast_repo.serve_registry(folder / "registry.log")
    try:
        url = f"http://127.0.0.1:{server.port}/api/v1?project=shop"
        run(TAGWARDEN, "catalogue", "import", "feast", url, "-o", folder / "from-rest.yaml")
    finally:
        server.stop()
    dumped, fetched = (yaml.safe_load(path.read_text()) for path in (catalogue, folder / "from-rest.yaml"))
    for feature in (*dumped["features"].values(), *fetched["features"].values()):
        for key, value in (feature or {}).items():  # lists of names: the registry's order says nothing
            feature[key] = sorted(value) if isinstance(value, list) else value
    assert fetched["features"] == dumped["features"]
    assert fetched.get("bundles") == dumped.get("bundles")
    assert "pii" in dumped["features"]["customer_profile:ssn"]["tags"]


def test_no_value_and_no_token_is_logged(restricted_read, sidecar, idp, secrets):
    token = idp.token("full")
    read(sidecar.port, of(PROFILE, ids=range(1, 101)), token)
    decision = restricted_read("restricted", of(PROFILE)).header("x-tagwarden-decision-id").encode()
    wait_for(lambda: decision in sidecar.audit.read_bytes(), "the line of the refusal in the audit log", 10)
    for log in (sidecar.audit, sidecar.process.log):
        text = log.read_bytes()
        assert not [secret for secret in secrets if secret in text], f"{log.name} holds values"
        assert token.encode() not in text and token.rsplit(".", 1)[1].encode() not in text
