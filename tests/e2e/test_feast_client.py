"""Feast's own Python client, pointed at the sidecar.

What the client computes on its own side: with Feast 0.67 and `online_store: {type: remote}`, nothing. It sends what it
was asked for, on-demand feature views and services (by name) included, in one POST /get-online-features, and the
server computes them; `FeatureStore.get_online_features` only turns the answer into protos, and drops the event
timestamps. It reads the registry by itself, for `get_feature_service` and the like: names and tags, no values.
(Clients of other versions read stored columns through `OnlineStore.online_read`, view by view, and run on-demand
views themselves. Such a client must be returned the inputs, so that AllowInternal inputs stop it there.)

The token goes as `Authorization: Bearer` from `auth: {type: oidc, token: …}`; `token_env_var` or FEAST_OIDC_TOKEN would do
as well, and so does a client secret (test_provider.py).
"""

import pytest
from support import columns, read

ROWS = [{"customer_id": n, "basket_total": 10.0 * n, "coupon": "x"} for n in (1, 2, 5, 9999)]
# without `labels`: this client fails on an empty list, whoever sends it
STORED = [
    "customer_profile:ssn", "customer_profile:age", "customer_profile:income", "customer_profile:vip",
    "customer_activity:recent_amounts", "customer_activity:recent_codes", "customer_activity:attrs",
    "customer_activity:last_seen", "num:edge__big", "num:ratio", "num:f32",
]


def test_the_client_reads_unchanged(store, sidecar, feast, idp):
    asked = [
        (STORED, [{"customer_id": row["customer_id"]} for row in ROWS], False),
        (STORED, [{"customer_id": row["customer_id"]} for row in ROWS], True),
        ([*STORED, "checkout_risk:basket_to_income", "email_parts:email_domain"], ROWS, True),
    ]

    def answers(client):
        got = [client.get_online_features(f, rows, full_feature_names=full).to_dict() for f, rows, full in asked]
        service = client.get_feature_service("pair_service")
        got.append(
            client.get_online_features(
                service, [{"buyer_id": 1, "seller_id": 2}], full_feature_names=True
            ).to_dict()
        )
        return got

    through, direct = answers(store(sidecar.port, idp.token())), answers(store(feast.port))
    assert through == direct
    assert through[0]["ssn"][:2] == ["001-01-0007", "002-02-0014"]
    body = {"features": STORED, "entities": {"customer_id": [row["customer_id"] for row in ROWS]}}
    assert set(through[0]) == set(columns(read(feast.port, body).body))


def test_the_client_gets_what_is_left(store, sidecar, idp):
    client = store(sidecar.port, idp.token("restricted-filter"))
    got = client.get_online_features(STORED, [{"customer_id": 1}]).to_dict()
    assert not {"ssn", "age", "income"} & set(got)
    assert got["vip"] == [False] and got["edge__big"] == [9007199254740994]


def test_the_client_is_told_why(store, sidecar, idp):
    with pytest.raises(RuntimeError, match="FEATURES_REFUSED.*customer_profile:ssn"):
        store(sidecar.port, idp.token("restricted")).get_online_features(STORED[:1], [{"customer_id": 1}])
    with pytest.raises(RuntimeError, match="Access token has expired"):
        store(sidecar.port, idp.token(age=7200)).get_online_features(STORED[:1], [{"customer_id": 1}])
