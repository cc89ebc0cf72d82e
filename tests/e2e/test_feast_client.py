"""Feast's own Python client, pointed at the sidecar.

What the client computes on its own side: with Feast 0.67 and `online_store: {type: remote}`, nothing. It sends what it
was asked for, on-demand feature views and services (by name) included, in one POST /get-online-features, and the
server computes them; `FeatureStore.get_online_features` only turns the answer into protos, and drops the event
timestamps. It reads the registry by itself, for `get_feature_service` and the like: names and tags, no values.
(Clients of other versions read stored columns through `OnlineStore.online_read`, view by view, and run on-demand
views themselves. Such a client must be returned the inputs, so that AllowInternal inputs stop it there.)

The token goes as `Authorization: Bearer` from `auth: {type: oidc, token: …}`; `token_env_var`, a client secret or
FEAST_OIDC_TOKEN would do as well. The registry is the applied repository's own file, read in place: a copy of an
applied repository must never be applied.
"""

import pytest
from feast import FeatureStore, RepoConfig
from feast.permissions.client.http_auth_requests_wrapper import HttpSessionManager
from support import columns, read

ROWS = [{"customer_id": n, "basket_total": 10.0 * n, "coupon": "x"} for n in (1, 2, 5, 9999)]
# without `labels`: this client fails on an empty list, whoever sends it
STORED = [
    "customer_profile:ssn", "customer_profile:age", "customer_profile:income", "customer_profile:vip",
    "customer_activity:recent_amounts", "customer_activity:recent_codes", "customer_activity:attrs",
    "customer_activity:last_seen", "num:edge__big", "num:ratio", "num:f32",
]


@pytest.fixture
def store(feast_repo):
    """store(port, token=None): a client of the server at that port."""

    def make(port, token=None):
        HttpSessionManager.close_session()  # one for the whole process, kept by the kind of authentication alone
        return FeatureStore(
            config=RepoConfig(
                project="shop",
                provider="local",
                registry=str(feast_repo.folder / "data" / "registry.db"),
                online_store={"type": "remote", "path": f"http://127.0.0.1:{port}"},
                offline_store={"type": "dask"},
                auth={"type": "oidc", "token": token} if token else {"type": "no_auth"},
                entity_key_serialization_version=3,
            )
        )

    yield make
    HttpSessionManager.close_session()


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
