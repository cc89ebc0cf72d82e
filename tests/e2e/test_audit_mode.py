"""`enforcement: audit` and `shadow` in front of a real Feast: nobody notices, and the records say what would be."""

import json
import urllib.request

import pytest
from conftest import POLICY
from support import read, wait_for
from test_feast_client import ROWS, STORED

KEYS = {"customer_id": [1, 2, 5, 9999]}
BODIES = [
    {"features": STORED, "entities": KEYS},
    {"features": STORED, "entities": KEYS, "full_feature_names": True},
    {"feature_service": "pair_service", "entities": {"buyer_id": [1], "seller_id": [2]}, "full_feature_names": True},
]


@pytest.fixture(scope="module")
def suspended(start_sidecar, feast, folder):
    """Enforcement is suspended; the candidate has no role for anybody."""
    candidate = folder / "candidate.yaml"
    candidate.write_text(POLICY.replace("client_id: ", "client_id: no-"))
    assert candidate.read_text() != POLICY
    return start_sidecar("suspended", feast.port, extra=f"enforcement: audit\nshadow: {{policies: {candidate}}}\n")


def test_the_client_reads_as_without_it_whoever_asks(store, suspended, feast, idp):  # noqa: F811
    plain = [{"customer_id": row["customer_id"]} for row in ROWS]
    asked = [(STORED, plain), ([*STORED, "checkout_risk:basket_to_income", "email_parts:email_domain"], ROWS)]

    def answers(client):
        return [client.get_online_features(f, rows, full_feature_names=True).to_dict() for f, rows in asked]

    direct = answers(store(feast.port))
    for group in ("restricted", "restricted-filter", "nobody-knows-them"):
        assert answers(store(suspended.port, idp.token(group))) == direct, group


@pytest.mark.parametrize("body", BODIES, ids=lambda body: json.dumps(body)[:60])
def test_answers_are_those_of_feast_byte_for_byte(suspended, feast, idp, body):
    for group in ("restricted", "nobody-knows-them"):
        through, direct = read(suspended.port, body, idp.token(group)), read(feast.port, body)
        assert (through.status, through.body) == (direct.status, direct.body), group


def test_the_records_say_what_would_be(suspended, idp):
    before = len(suspended.audit.read_text().splitlines())
    body = {"features": ["customer_profile:ssn"], "entities": {"customer_id": [1]}}
    assert read(suspended.port, body, idp.token("restricted")).status == 200
    lines = wait_for(lambda: suspended.audit.read_text().splitlines()[before:], "an audit line")
    line = json.loads(lines[0])
    assert (line["decision"], line["enforcement"], line["status"]) == ("refused", "audit", 200)
    assert line["refused"][0]["feature"] == "customer_profile:ssn"
    # What both refuse is no disagreement; what one permits is.
    assert read(suspended.port, {**body, "features": STORED[-1:]}, idp.token("restricted")).status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{suspended.metrics}/metrics") as answer:
        metrics = answer.read().decode().splitlines()
    narrower = next(m for m in metrics if m.startswith('tagwarden_shadow_disagreements_total{change="narrower"}'))
    assert float(narrower.split()[-1]) > 0
    assert "tagwarden_audit_mode 1" in metrics
