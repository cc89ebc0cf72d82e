"""Every exchange that was recorded of chalkpy and a Chalk deployment, again, by a caller who may have everything: through
tagwarden it gets what it gets without, but for the forms that cannot be checked."""

import pytest
from chalk_doors import ENGINE

ONE, TWO = {"user.id": 1}, {"user.id": [1, 2]}
ALL_OPTIONS = {
    "now": "=__import__('datetime').datetime(2026, 1, 1, tzinfo=__import__('datetime').timezone.utc)",
    "staleness": {"=User.name": "1h"}, "tags": ["team:x"], "required_resolver_tags": ["fast"], "correlation_id": "corr-1",
    "query_name": "adhoc", "query_name_version": "1", "meta": {"k": "v"}, "planner_options": {"x": 1},
    "query_context": {"region": "eu"}, "value_metrics_tag_by_features": ["=User.name"],
}


def query(*output, **more):
    new = more.pop("new", {})
    return "query", {"input": ONE, "output": list(output)} | more, new


def bulk(*output, **more):
    return "query_bulk", {"input": TWO, "output": list(output)} | more, {}


SUM = "=_.user.transactions[_.amount].sum().alias('total')"
# What chalkpy is told, in words of chalk/client.py; its name is the recording's.
HTTP = {
    "query_plain": query("=User.name", "user.fraud_score", include_meta=True),
    "query_has_one": query("=User.identity.is_voip_phone"),
    "query_has_one_root": query("=User.identity"),
    "query_has_many": query("=User.transactions"),
    "query_has_many_projection": query("=User.transactions[Transaction.id, Transaction.amount]"),
    "query_has_many_filter": query("=User.transactions[Transaction.amount, Transaction.amount > 5]"),
    "query_windowed": query("=User.count('1h')", "=User.count('1d')"),
    "query_version": query("=User.fraud_score @ 1", "=User.fraud_score @ 2"),
    "query_namespace_root": query("=User"),
    "query_namespace_root_string": query("user"),
    "query_denied_feature": query("=User.ssn"),
    "query_alias_expression": query("=User.ssn.alias('harmless')"),
    "query_underscore_expression": query("=User.name", SUM),
    "query_named_query": query(query_name="fraud"),
    "query_named_query_version": query(query_name="fraud", query_name_version="1.1.0"),
    "query_all_options": query("=User.name", **ALL_OPTIONS),
    "query_env_and_branch": query("=User.name", environment="envmock1", branch="br1"),
    "query_unversioned_header": query("user.fraud_score", new={"additional_headers": {"X-Chalk-Features-Versioned": "false"}}),
    "query_bulk": bulk("=User.name", "user.fraud_score"),
    "query_bulk_alias_expression": bulk("=User.ssn.alias('harmless')"),
    "query_bulk_has_many": bulk("=User.name", "=User.transactions[Transaction.id, Transaction.amount]"),
    "multi_query": ("multi_query", {"queries": [
        {"input": {"user.id": [1]}, "output": ["=User.name"]}, {"input": TWO, "output": ["=User.ssn"]}]}, {}),
    "multi_query_named": ("multi_query", {"queries": [{"input": {"user.id": [1]}, "output": [], "query_name": "fraud"}]}, {}),
    "upload_features": ("upload_features", {"input": {"user.id": 1, "user.name": "B"}}, {}),
    "multi_upload_features": ("multi_upload_features", {"input": "=polars.DataFrame({'user.id': [1], 'user.name': ['B']})"}, {}),
}
GRPC = {
    "query": query("=User.name", "=User.fraud_score @ 1", include_meta=True),
    "query_denied_feature": query("=User.ssn"),
    "query_named_query": query(query_name="fraud"),
    "query_windowed_version": query("=User.count('1h')", "=User.fraud_score @ 2"),
    "query_alias_expression": query("=User.ssn.alias('harmless')"),
    "query_bulk": ("online_query_bulk", {
        "input": TWO, "output": ["=User.name", "=User.transactions[Transaction.id, Transaction.amount]"]}, {}),
    "query_bulk_input_sql": ("online_query_bulk", {"input_sql": "select 1 as \"user.id\"", "output": ["=User.name"]}, {}),
    "multi_query": HTTP["multi_query"],
    "upload_features": ("upload_features", {"inputs": {"user.id": [1], "user.name": ["B"]}}, {}),
    "upload_features_bulk": ("upload_features_bulk", {"inputs": {"user.id": [1], "user.name": ["B"]}}, {}),
    "raw_online_query": ("rpc", {
        "path": f"{ENGINE}/OnlineQuery", "kind": "OnlineQueryRequest",
        "message": {"inputs": {"user.id": 1}, "outputs": [{"feature_fqn": "user.ssn"}]}}, {}),
}

# Forms that are refused whoever asks: `errors` of code UNAUTHORIZED that name the feature as it was written.
REFUSED = {
    "query_case_variant": (query("User.SSN"), "User.SSN"),
    "query_window_alias": (query("user.count_1h"), "user.count_1h"),
    "query_has_many_path_string": (query("user.transactions.amount"), "user.transactions.amount"),
    "query_resolver_name_as_output": (query("get_score"), "get_score"),
    "query_unknown_feature": (query("user.nope"), "user.nope"),
    # its switch lets the graph pass, and what it makes up is in no catalogue
    "query_overlay_graph": (query("user.leak", overlay=True), "user.leak"),
}


def by_name(result):
    """What a client gives, without an order among fields or columns and without what is of one exchange alone."""
    if isinstance(result, list):
        return [by_name(item) for item in result]
    if not isinstance(result, dict):
        return result
    found = {name: by_name(value) for name, value in result.items() if name not in ("trace_id", "warnings")}
    if isinstance(found.get("data"), list):
        found["data"] = {row["field"]: row for row in found["data"]}
    if {"columns", "values"} == set(found):
        return dict(zip(found["columns"], found["values"]))
    if {"columns", "types"} == set(found):
        return dict(zip(found["columns"], zip(found["columns"].values(), found["types"])))
    return found


def same(door, kind, method, arguments, new):
    through = door.call("full", kind, method, arguments, **new)
    seen = door.mock.seen()
    direct = door.direct(kind, method, arguments, **new)
    assert "result" in direct, f"without tagwarden: {direct}"
    assert by_name(through) == by_name(direct)
    assert [entry["client"] for entry in seen] == ["token-full"], f"what reached the deployment: {seen}"


# the asynchronous client has no `multi_upload_features`
BOTH = [(name, kind) for name in HTTP for kind in ("http", "http-async") if (name, kind) != ("multi_upload_features", "http-async")]


@pytest.mark.parametrize("name, kind", BOTH)
def test_the_outcome_is_the_same(door, name, kind):
    method, arguments, new = HTTP[name]
    same(door, kind, method, arguments, new)


@pytest.mark.parametrize("kind", ["grpc", "grpc-async"])
@pytest.mark.parametrize("name", GRPC)
def test_the_outcome_of_a_call_is_the_same(door, name, kind):
    method, arguments, new = GRPC[name]
    same(door, kind, method, arguments, new)


@pytest.mark.parametrize("kind", ["http", "http-async", "grpc", "grpc-async"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_checked_is_refused(door, name, kind):
    (method, arguments, new), feature = REFUSED[name]
    outcome = door.call("full", kind, method, arguments, **new)
    result = outcome["result"]
    assert result["data"] == [] and result["meta"] is None
    assert [(e["code"], e["category"], e["feature"]) for e in result["errors"]] == [("UNAUTHORIZED", "NETWORK", feature)]
    assert result["errors"][0]["message"] == f"Feature '{feature}' is not authorized for this caller"
    assert door.mock.seen() == []


@pytest.mark.parametrize("kind", ["http", "http-async"])
def test_an_offline_query_is_no_route(door, kind):
    arguments = {"output": ["=User.name", "=User.ssn.alias('harmless')"], "max_samples": 1}
    outcome = door.call("full", kind, "offline_query", arguments)
    assert (outcome["raised"], outcome["errors"][0]["code"]) == ("ChalkBaseException", "PARSE_FAILED")
    assert outcome["errors"][0]["message"] == "There is no such route"
    assert door.mock.seen() == []


def test_who_am_i(door):
    name, _ = door.credentials["full"]
    outcome = door.call("full", "http", "whoami", {})
    ours = {"user": name, "environment_id": "envmock1", "team_id": None}
    assert outcome["result"] == (ours if door.bypass is None else door.direct("http", "whoami", {})["result"])


def test_the_caller_keeps_its_own_token(door):
    new = {"additional_headers": {"Authorization": f"Bearer {door.token('full')}"}}
    outcome = door.call("full", "http", "query", {"input": ONE, "output": ["user.name"]}, **new)
    assert {row["field"]: row["value"] for row in outcome["result"]["data"]} == {"user.name": "Ada"}
    new = {"additional_headers": {"Authorization": "Bearer nobody-s"}}
    outcome = door.call("full", "http", "query", {"input": ONE, "output": ["user.name"]}, **new)
    assert outcome["raised"] == "ChalkCustomException" and "The access token is invalid" in outcome["text"], outcome
    assert door.mock.seen() == []


def test_a_wrong_secret_is_told_as_the_deployment_tells_it(door):
    outcome = door.call("full", "http", "whoami", {}, client_secret="not-it")
    direct = door.direct("http", "whoami", {}, client_secret="not-it")
    assert outcome["raised"] == direct["raised"] == "HTTPError"
    assert outcome["text"].startswith("401 Client Error: Unauthorized for url: ") and "not-it" not in outcome["text"]


@pytest.mark.parametrize("kind", ["http", "http-async", "grpc", "grpc-async"])
def test_no_client_goes_round(pass_door, kind):
    """The deployment's own answer to an exchange of credentials names the deployment; its clients are told to stay."""
    # a client of its own, that has exchanged nothing yet
    new = {"additional_headers": {"x-fresh": kind}}
    asked = "query", {"input": ONE, "output": ["user.name"]}
    round_us = pass_door.bypass.connections
    assert "result" in pass_door.call("full", kind, *asked, **new)
    tokens = [entry["to"] for entry in pass_door.mock.all_seen() if entry["to"].endswith(("/token", "/GetToken"))]
    assert len(tokens) == len(pass_door.mock.seen()) == 1, "one exchange and one query"
    assert b"Ada" in pass_door.relay.heard
    assert pass_door.bypass.connections == round_us
    # and that is how it would look
    assert "result" in pass_door.direct(kind, *asked, **new)
    assert pass_door.bypass.connections > round_us
