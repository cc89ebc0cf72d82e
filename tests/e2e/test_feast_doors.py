"""Feast's other doors, through the sidecar and beside it: vector search, vector stores, writes.

The real server on a repository of its own: what is written here is read by no other test. It ranks with a store of ours
(feast_search/ranking.py says why).
"""

import json

import pandas as pd
import pytest
from conftest import HERE, FeastRepo
from support import ask, assert_error, columns, read, wait_for

POLICY = """\
version: 1
roles:
  full: {}
  cutter: {mode: filter}
  writer: {writes: ["customer_profile:*", "stale_view:*"]}
  half: {writes: ["customer_profile:age"]}
  admin: {writes: ["**"]}
  restricted: {tags: {pii: AllowInternal}}
  keyless: {default: Deny, tags: {seen: Allow}}
bindings:
""" + "".join(
    f'  - {{roles: [{role}], when: {{iss: "https://idp.test/", client_id: {role}}}}}\n'
    for role in ("full", "cutter", "writer", "half", "admin", "restricted", "keyless")
) + """\
features:
  "customer_activity:*": {tags: [seen]}
"""

ROUTES = "routes:\n" + "".join(
    f'  - {{path: "{path}", methods: [{method}]}}\n'
    for method, path in [
        ("POST", "/search"), ("POST", "/retrieve-online-documents"), ("GET", "/v1/vector_stores"),
        ("GET", "/v1/vector_stores/{id}"), ("POST", "/v1/vector_stores/{id}/search"), ("POST", "/push"),
        ("POST", "/write-to-online-store"), ("POST", "/materialize"), ("POST", "/materialize-incremental"),
    ]
)

JSON = [("Content-Type", "application/json")]
SEARCH = {"features": ["customer_activity:txn_count_7d"], "query": [1.0, 0.0, 0.0, 0.0], "top_k": 3, "api_version": 2}


@pytest.fixture(scope="module")
def search_repo(folder):
    (folder / "doors").mkdir()
    return FeastRepo(folder / "doors", HERE / "feast_search")


@pytest.fixture(scope="module")
def direct(search_repo, folder):
    server = search_repo.serve(folder / "feast-doors.log")
    yield server.port
    server.stop()


@pytest.fixture(scope="module")
def doors(start_sidecar, direct):
    return start_sidecar("doors-sidecar", direct, policy=POLICY, extra=ROUTES)


@pytest.fixture
def post(doors, idp):
    """post(role, path, body): through the sidecar."""

    def send(role, path, body):
        return ask(doors.port, "POST", path, json.dumps(body).encode(), JSON, token=idp.token(role))

    return send


def beside(port, path, body):
    return ask(port, "POST", path, json.dumps(body).encode(), JSON)


def profile(customer, **changes):
    """A row of the profile, as a push sends it."""
    row = {
        "customer_id": customer, "ssn": "000-00-0000", "email": f"new{customer}@example.test", "income": 1.5, "age": 99,
        "vip": True, "country": "XX", "event_timestamp": "2026-11-01T00:00:00", "created": "2026-11-01T00:00:00",
    }
    return {name: [value] for name, value in (row | changes).items()}


def age(port, customer):
    body = {"features": ["customer_profile:age"], "entities": {"customer_id": [customer]}}
    return json.loads(columns(read(port, body).body)["age"]["values"])[0]


def test_a_search_is_what_feast_finds(post, direct):
    for body in (
        SEARCH,
        SEARCH | {"features": ["customer_activity:txn_count_7d", "customer_activity:attrs"], "query_string": "m-1"},
        SEARCH | {"include_feature_view_version_metadata": True},
        SEARCH | {"filters": {"type": "eq", "key": "txn_count_7d", "value": 10}},
        SEARCH | {"top_k": 0},
        {"features": ["customer_activity:embedding"], "query": [1, 0, 0, 0], "top_k": 2},
        {"features": [f"customer_activity:{name}" for name in ("embedding", "distance", "customer_id")],
         "query": [1, 0, 0, 0], "top_k": 2},
    ):
        for path in ("/search", "/retrieve-online-documents"):
            through, found = post("full", path, body), beside(direct, path, body)
            assert (through.status, found.status) == (200, 200), f"{body}: {through.body[:300]!r} {found.body[:300]!r}"
            assert columns(through.body) == columns(found.body), body
            metadata = [answer.json()["metadata"] for answer in (through, found)]
            assert metadata[0].get("feature_view_metadata") == metadata[1].get("feature_view_metadata"), body
    assert json.loads(columns(post("full", "/search", SEARCH).body)["distance"]["values"]), "this shows nothing"


def test_who_may_not_return_all_of_the_view_does_not_search_it(post):
    error = assert_error(post("restricted", "/search", SEARCH), 403, "FEATURES_REFUSED")
    assert error["refused"] == ["customer_activity"]
    asked = SEARCH | {"features": ["customer_activity:last_merchant"]}
    assert assert_error(post("restricted", "/search", asked), 403, "FEATURES_REFUSED")["refused"] == asked["features"]
    by_merchant = SEARCH | {"filters": {"type": "eq", "key": "ssn", "value": "001-01-0007"}}
    assert assert_error(post("full", "/search", by_merchant), 403, "FEATURES_REFUSED")["refused"] == ["ssn"]
    # a key that a caller may use and not see is not found for it
    assert set(columns(post("keyless", "/search", SEARCH).body)) == {"txn_count_7d", "distance"}
    more = SEARCH | {"features": [*SEARCH["features"], "customer_activity:nothing"]}
    cut = post("cutter", "/search", more)
    assert set(columns(cut.body)) == {"txn_count_7d", "distance", "customer_id"}
    assert cut.header("x-tagwarden-filtered") == "1"


def test_vector_stores(doors, direct, idp, post):
    def get(role, path):
        return ask(doors.port, "GET", path, token=idp.token(role))

    listed = ask(direct, "GET", "/v1/vector_stores")
    assert get("full", "/v1/vector_stores").body == listed.body
    (store,) = listed.json()["data"]
    assert store["name"] == "customer_activity"
    path = f"/v1/vector_stores/{store['id']}"
    assert get("restricted", path).json() == store
    assert_error(get("full", "/v1/vector_stores/vs_0"), 404, "UPSTREAM_FAILED")

    for names in (["txn_count_7d", "last_merchant"], ["last_merchant", "labels", "attrs"]):
        body = {"query": ["ab", "c"], "max_num_results": 2, "metadata": {"features_to_retrieve": names}}
        through, found = post("full", f"{path}/search", body), beside(direct, f"{path}/search", body)
        assert (through.status, found.status) == (200, 200), f"{through.body[:300]!r} {found.body[:300]!r}"
        assert through.json() == found.json()
        assert set(found.json()["data"][0]["attributes"]) == set(names)
    one = {"query": "abcd", "max_num_results": 1, "metadata": {"features_to_retrieve": ["txn_count_7d"]}}
    answers = post("full", f"{path}/search", one), beside(direct, f"{path}/search", one)
    seen, found = (answer.json()["data"][0] for answer in answers)
    assert json.loads(seen.pop("content")[0]["text"]) == found["attributes"], "a row without words"
    assert seen == {name: value for name, value in found.items() if name != "content"}
    hidden = post("keyless", f"{path}/search", one).json()["data"][0]
    assert hidden["file_id"] == f"{store['id']}_0" and hidden["attributes"] == found["attributes"]

    refused = assert_error(post("restricted", f"{path}/search", one), 403, "FEATURES_REFUSED")
    assert refused["refused"] == [store["id"]]
    missing = assert_error(post("restricted", "/v1/vector_stores/vs_0/search", {"query": "a"}), 403, "FEATURES_REFUSED")
    assert missing["refused"] == ["vs_0"]


def test_the_client_searches_through(store, doors, direct, idp):
    """Feast's Python client with `online_store: {type: remote}`."""
    features = ["customer_activity:txn_count_7d", "customer_activity:embedding"]
    asked = {"features": features, "query": [1.0, 0.0, 0.0, 0.0], "top_k": 2}
    through = store(doors.port, idp.token()).retrieve_online_documents_v2(**asked).to_dict()
    assert through == store(direct).retrieve_online_documents_v2(**asked).to_dict()
    with pytest.raises(Exception, match="FEATURES_REFUSED"):
        store(doors.port, idp.token("restricted")).retrieve_online_documents_v2(**asked)


def test_a_writer_pushes_and_others_do_not(post, direct):
    for role in ("full", "half", "restricted"):
        answer = post(role, "/push", {"push_source_name": "cust_push", "df": profile(101), "to": "online"})
        assert assert_error(answer, 403, "FEATURES_REFUSED")["refused"] == ["cust_push"]
    assert age(direct, 101) != 99
    answer = post("writer", "/push", {"push_source_name": "cust_push", "df": profile(101), "to": "online"})
    assert (answer.status, answer.body) == (200, b"")
    assert age(direct, 101) == 99
    unknown = post("writer", "/push", {"push_source_name": "nothing", "df": profile(101)})
    assert assert_error(unknown, 403, "FEATURES_REFUSED")["refused"] == ["nothing"]
    column = post("writer", "/push", {"push_source_name": "cust_push", "df": profile(101, age=98) | {"zzz": [1]}})
    assert assert_error(column, 403, "FEATURES_REFUSED")["refused"] == ["zzz"]
    assert age(direct, 101) == 99


def test_a_writer_writes_to_the_online_store(post, direct, doors, idp, store):
    body = {"feature_view_name": "customer_profile", "df": profile(102), "allow_registry_cache": False}
    error = assert_error(post("half", "/write-to-online-store", body), 403, "FEATURES_REFUSED")
    assert error["refused"] == ["customer_profile"]
    assert age(direct, 102) != 99
    answer = post("writer", "/write-to-online-store", body)
    assert (answer.status, answer.body) == (200, b"null")
    assert age(direct, 102) == 99
    # Feast's Python client, which names its timestamps by itself and leaves one of them empty
    frame = pd.DataFrame(profile(103, age=97))
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"])
    frame["created"] = pd.to_datetime(frame["created"])
    store(doors.port, idp.token("writer")).write_to_online_store("customer_profile", frame)
    assert age(direct, 103) == 97


def test_a_writer_materializes(post, direct):
    times = {"start_ts": "2020-01-01T00:00:00", "end_ts": "2026-12-01T00:00:00"}
    one = times | {"feature_views": ["stale_view"]}
    for role, body, names in (
        ("full", one, ["stale_view"]),
        ("writer", times, ["*"]),
        ("writer", times | {"feature_views": ["stale_view", "num"]}, ["num"]),
        ("writer", times | {"feature_views": ["nothing"]}, ["nothing"]),
    ):
        assert assert_error(post(role, "/materialize", body), 403, "FEATURES_REFUSED")["refused"] == names
    answer = post("writer", "/materialize", one)
    assert (answer.status, answer.body) == (200, b"null")

    def accepted():
        # 409 while the one before is on its way
        body = {"end_ts": "2026-12-02T00:00:00", "feature_views": ["stale_view"]}
        answer = post("writer", "/materialize-incremental?async=true", body)
        if answer.status == 409:
            assert_error(answer, 409, "UPSTREAM_FAILED")
            return None
        assert answer.status == 202, answer.body
        return answer.json()

    assert wait_for(accepted, "a materialization that is accepted", 60) == {
        "status": "accepted", "feature_views": ["stale_view"],
    }
    everything = post("admin", "/materialize-incremental", {"end_ts": "2026-12-03T00:00:00"})
    assert (everything.status, everything.body) == (200, b"null"), everything.body


def test_the_words_of_a_failing_write_stay_inside(post, direct):
    # without a column that Feast wants: it answers with the name of the column
    short = {"push_source_name": "cust_push", "df": {"customer_id": [104], "age": [1], "event_timestamp": ["2026-11-01"]}}
    told = beside(direct, "/push", short)
    assert told.status == 500 and b"ssn" in told.body
    answer = post("writer", "/push", short)
    assert_error(answer, 500, "UPSTREAM_FAILED")
    assert b"ssn" not in answer.body
