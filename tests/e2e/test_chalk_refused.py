"""What a restricted caller may not have reaches it in no form, through no door, and what is refused reaches no deployment."""

import json
import re

import pytest
from chalk_cases import CASES, WAYS, Case
from chalk_doors import BINARY, ENGINE, NUMBERS, TEXTS, assert_hides, hidden_in
from support import ask as http

# Of what a restricted caller may not have, in any spelling.
HIDDEN_NAMES = re.compile("ssn|s\u017fn|number|(?<!avg_)transaction.?amount|fraud_score@|86400|1d|24h|get_score|leak|distance|index", re.I)
THROUGH = [(name, way) for name, case in CASES.items() for way in WAYS if case.fits(way)]


def ask(door, role, case, way, output):
    kind, method, _ = WAYS[way]
    outcome = door.call(role, kind, method, case.arguments(way, output), **case.new)
    assert_hides(outcome, door.relay.heard)
    return outcome


def result_of(outcome, way):
    """(values by name, errors) of the one query."""
    result = outcome["result"]
    if "multi" in way or way == "bulk":
        (result,) = result["results"]
    if "data" in result:
        values = {row["field"]: rows(row["value"]) for row in result["data"]}
    else:
        table = result["scalars_df"]["columns"] if result["scalars_df"] else {}
        values = {name: value for name, (value,) in table.items() if name != "__id__"}
        values |= {name: rows(group) for name, group in (result["groups_dfs"] or {}).items()}
    return values, result["errors"] or []


def rows(value):
    """Of a has-many, its columns."""
    if not isinstance(value, dict):
        return value
    columns = value["columns"] if isinstance(value["columns"], dict) else dict(zip(value["columns"], value["values"]))
    # a column that did not come is one of nulls, where chalkpy knows it
    return {name: column for name, column in columns.items() if name != "__id__" and any(v is not None for v in column)}


def assert_refused(door, case, way, outcome):
    if case.invalid:
        if WAYS[way][0] == "grpc":
            assert outcome["code"] == "INVALID_ARGUMENT" and case.invalid in outcome["details"], outcome
        else:
            assert outcome["raised"] == "ChalkBaseException", outcome
            assert [error["code"] for error in outcome["errors"]] == ["INVALID_QUERY"]
            assert case.invalid in outcome["errors"][0]["message"], outcome
    else:
        values, errors = result_of(outcome, way)
        assert values == {}
        assert [(e["code"], e["feature"]) for e in errors] == [("UNAUTHORIZED", name) for name in case.refused]
        assert errors[0]["message"] == f"Feature '{case.refused[0]}' is not authorized for this caller"
    assert door.mock.seen() == []


@pytest.mark.parametrize("name, way", THROUGH)
def test_it_is_refused_whole(issuer_door, name, way):
    case = CASES[name]
    assert_refused(issuer_door, case, way, ask(issuer_door, "restricted", case, way, case.output))


# What cannot be checked is refused before a mode is looked at.
@pytest.mark.parametrize("name, way", [(name, way) for name, way in THROUGH if not CASES[name].invalid or way == "json"])
def test_it_is_taken_out(issuer_door, name, way):
    case = CASES[name]
    beside = ["user.name"] if case.output and not case.invalid else []
    outcome = ask(issuer_door, "filtered", case, way, beside + case.output)
    if case.invalid or not (beside or case.left):
        return assert_refused(issuer_door, case, way, outcome)
    values, errors = result_of(outcome, way)
    assert (values, errors) == ({"user.name": "Ada"} | case.left, [])
    ((query,),) = [entry["queries"] for entry in issuer_door.mock.seen()]
    assert sorted(output.partition("[")[0] for output in query["outputs"]) == sorted(values)
    assert (query["expressions"], query["query_name"]) == ([], case.more.get("query_name"))
    assert not HIDDEN_NAMES.search(query["text"]), query["text"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_permitted_comes(issuer_door, way):
    """All of the above is refused for what it is, and not because nothing works."""
    output = ["user.avg_transaction_amount", "=User.identity.is_voip_phone", "=User.count('1h')",
              "=User.transactions[Transaction.id, Transaction.user_id]"]
    values = {"user.avg_transaction_amount": 2028.375, "user.identity.is_voip_phone": False, "user.count__3600__": 3,
              "user.transactions": {"transaction.id": [1, 2], "transaction.user_id": [1, 1]}}
    if way != "multi":
        output, values = output + ["=User.name.alias('called')"], values | {"user.called": "Ada"}
    for role in ("restricted", "filtered"):
        outcome = ask(issuer_door, role, Case(output), way, output)
        assert result_of(outcome, way) == (values, [])


@pytest.mark.parametrize("way", WAYS)
def test_a_leak_would_show(issuer_door, way):
    """Of a caller who may have everything, every hidden value is found in what its client gives, and in the bytes."""
    output = ["user.ssn", "user.identity.number", "user.fraud_score@2", "user.count__86400__", "=User.transactions"]
    kind, method, _ = WAYS[way]
    outcome = issuer_door.call("full", kind, method, Case(output).arguments(way, output))
    texts = [*TEXTS, *(str(number).encode() for number in NUMBERS)]
    assert set(texts) <= set(hidden_in(json.dumps(outcome).encode()))
    assert set(texts if way == "json" else TEXTS + BINARY) <= set(hidden_in(issuer_door.relay.heard))


@pytest.mark.parametrize("role", ["restricted", "filtered"])
@pytest.mark.parametrize("way", WAYS)
def test_what_was_not_asked_for_is_cut_from_the_answer(door, role, way):
    """5.11: a deployment that answers more: fields, columns, groups, columns of groups, keys, plans, members, trailers."""
    case = Case(["user.name", "user.transactions[transaction.id]"], new={"additional_headers": {"x-mock-extra": "1"}})
    outcome = ask(door, role, case, way, case.output)
    values, errors = result_of(outcome, way)
    assert (values, errors) == ({"user.name": "Ada", "user.transactions": {"transaction.id": [1, 2]}}, [])
    assert "leak" not in json.dumps(outcome) and "scan" not in json.dumps(outcome)


@pytest.mark.parametrize("role", ["full", "restricted"])
@pytest.mark.parametrize("way", WAYS)
def test_a_resolver_that_fails_tells_no_value(door, role, way):
    """5.9: what it raises holds what it computed with; of that the code remains, and the resolver."""
    case = Case(["user.name"], new={"additional_headers": {"x-mock-fail": "resolver"}})
    outcome = ask(door, role, case, way, case.output)
    values, (error,) = result_of(outcome, way)
    assert values == {}
    told = {"code": "RESOLVER_FAILED", "category": "FIELD", "message": "a resolver failed", "resolver": "mock.get_score"}
    nothing = ("exception", "feature", "display_primary_key", "display_primary_key_fqn")
    assert error == told | dict.fromkeys(nothing)


def test_sql_as_input(issuer_door):
    """5.8"""
    arguments = {"input_sql": 'select ssn as "user.id" from users', "output": ["user.name"]}
    for role in ("restricted", "filtered"):
        outcome = issuer_door.call(role, "grpc", "online_query_bulk", arguments)
        assert outcome["code"] == "INVALID_ARGUMENT" and "`inputs_sql` is not allowed for this caller" in outcome["details"]
        assert issuer_door.mock.seen() == []


# 5.10
SERVICES = [
    "chalk.protosql.v1.SqlService/ExecuteSqlQuery", "chalk.engine.v2.DataFrameService/ExecutePlan",
    "chalk.engine.v1.OfflineStoreService/GetFeatureValues", "chalk.engine.v1.OfflineStoreService/GetQueryValues",
    "chalk.engine.v1.QueryService/GetAggregates", "chalk.engine.v1.QueryService/GetPullQueryResult",
    "chalk.server.v1.DatasetMetadataService/GetDatasetPreview", "chalk.server.v1.GraphService/GetGraph",
    "chalk.server.v1.GraphService/UpdateGraph", "chalk.server.v1.OfflineQueryMetadataService/CreateOfflineQueryJob",
    "chalk.server.v1.TeamService/CreateServiceToken", "chalk.server.v1.EnvironmentSecretsService/GetSecretValue",
    "chalk.server.v1.IntegrationsService/ListIntegrationsAndSecrets",
    "chalk.server.v1.IntegrationsService/GetIntegrationValue", "chalk.streaming.v1.SimpleStreamingService/Consume",
    "Chalk.Engine.V1.QueryService/OnlineQuery", "chalk.engine.v1.QueryService/OnlineQuery/",
]


@pytest.mark.parametrize("path", SERVICES)
def test_other_services_are_not_there(door, path):
    for role in ("full", "restricted"):
        outcome = door.call(role, "grpc", "rpc", {"path": f"/{path}"})
        assert_hides(outcome, door.relay.heard)
        assert outcome["code"] == "UNIMPLEMENTED", outcome
        assert door.mock.seen() == []


PATHS = [
    "/v1/query/plan", "/v1/query/run", "/v1/query/online/", "/v1//query/online", "/V1/query/online", "/v1/query/Online",
    "/v1/query/%6fnline", "/v2/query/online", "/v1/prompt/evaluate", "/v1/compute_resolver_output", "/v1/runs/trigger",
    "/v4/resolver_replay/x", "/v1/dqm/test", "/v1/test_stream_resolver", "/v4/ingest_dataset", "/v1/branches/b/source",
    "/v1/branch/b/graph_updates", "/v1/features/rows", "/v4/offline_query", "/v4/offline_query/x/preview",
    "/v1/offline_query_parquet_upload_url/1", "/v1/incremental_progress/x", "/v1/resolvers/x", "/v1/branches/start",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_other_paths_are_not_there(door, path, method):
    door.mock.clear()
    answer = http(door.relay.port, method, path, {"inputs": {"user.id": 1}, "outputs": ["user.ssn"]}, token=door.token("full"))
    assert (answer.status, answer.json()["errors"][0]["message"]) == (404, "There is no such route")
    assert door.mock.seen() == []


def outputs(*expressions):
    return {"inputs": {"user.id": 1}, "outputs": [{"feature_expression": e} for e in expressions]}


GET_SSN = {"get_attribute": {"parent": {"identifier": {"name": "_"}}, "attribute": {"name": "ssn"}}}
# Calls that chalkpy itself does not make: the message, what follows it in hexadecimal, and what is said of it.
HAND_MADE = {
    "plain": ({"inputs": {"user.id": 1}, "outputs": [{"feature_fqn": "user.ssn"}]}, "", None),
    "expression": (outputs({"output_column_name": "x", "namespace": "user", "expr": GET_SSN}), "", None),
    "alias-dotted": (outputs({"output_column_name": "user.x", "namespace": "user", "expr": GET_SSN}), "", "user.x"),
    "resolver-called": (
        outputs({"output_column_name": "x", "namespace": "user", "expr": {"blocking_call": {}}}), "", "expr"),
    "reference": (outputs({"output_column_name": "x", "namespace": "user", "expr": {"reference": {}}}), "", "expr"),
    "unknown-field": ({"inputs": {"user.id": 1}, "outputs": [{"feature_fqn": "user.name"}]}, "7a0161", "15"),
    "output-without-any": ({"inputs": {"user.id": 1}, "outputs": [{}]}, "", "outputs[0]"),
    "nothing": ({"inputs": {"user.id": 1}}, "", "neither `outputs` nor"),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_calls_made_by_hand(door, name):
    message, more, said = HAND_MADE[name]
    arguments = {"path": f"{ENGINE}/OnlineQuery", "kind": "OnlineQueryRequest", "message": message, "more": more}
    for role in ("restricted", "filtered"):
        outcome = door.call(role, "grpc", "rpc", arguments)
        assert_hides(outcome, door.relay.heard)
        if said:
            assert outcome["code"] == "INVALID_ARGUMENT" and said in outcome["details"], outcome
        else:
            answer = outcome["result"]["answer"]
            assert [error["code"] for error in answer["errors"]] == ["ERROR_CODE_UNAUTHORIZED"] and "data" not in answer
        assert door.mock.seen() == []


ASKED = {"inputs": {"user.id": 1}, "outputs": ["user.name"]}
# Bodies that chalkpy itself does not send, and what is said of them.
BODIES = {
    "branch": (ASKED | {"branch_id": "b1"}, "`branch` is not allowed for this caller"),
    "deployment": (ASKED | {"deployment_id": "d1"}, "`branch` is not allowed for this caller"),
    "environment": (ASKED | {"context": {"environment": "staging"}}, "the environment `staging` is not the one"),
    "explain": (ASKED | {"explain": "only"}, "`explain` is not allowed for this caller"),
    "another-key": (ASKED | {"Outputs": ["user.ssn"]}, "Outputs"),
    "twice": (b'{"inputs":{"user.id":1},"outputs":["user.name"],"outputs":["user.ssn"]}', "outputs"),
    "twice-escaped": (b'{"inputs":{"user.id":1},"outputs":["user.name"],"output\\u0073":["user.ssn"]}', "outputs"),
    "schema": (ASKED | {"input_schema_hint": {"user.transactions": "user.transactions[transaction.amount]"}}, "input_schema_hint"),
    "no-expression": (ASKED | {"expression_outputs": ["AAAA"]}, "the message has a field with the number 0"),
    "outputs-as-text": (ASKED | {"outputs": "user.ssn"}, "outputs"),
    "more-behind": (json.dumps(ASKED).encode() + b'{"outputs":["user.ssn"]}', "goes on behind its value"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_made_by_hand(door, name):
    body, said = BODIES[name]
    for role in ("restricted", "filtered"):
        token = door.token(role)
        door.mock.clear()
        answer = http(door.relay.port, "POST", "/v1/query/online", body, token=token)
        (error,) = answer.json()["errors"]
        assert (answer.status, error["code"]) == (400, "INVALID_QUERY"), answer.body
        assert said in error["message"], error["message"]
        assert not hidden_in(answer.body) and door.mock.seen() == []


def test_what_is_denied_is_no_input_either(door):
    for role in ("restricted", "filtered"):
        body = {"inputs": {"user.id": 1, "user.ssn": "x"}, "outputs": ["user.name"]}
        token = door.token(role)
        door.mock.clear()
        answer = http(door.relay.port, "POST", "/v1/query/online", body, token=token)
        assert [(e["code"], e["feature"]) for e in answer.json()["errors"]] == [("UNAUTHORIZED", "user.ssn")]
        assert door.mock.seen() == []


def test_no_value_and_no_secret_is_logged(door):
    arguments = {"input": {"user.id": 1}, "output": ["user.ssn"]}
    for role, (_, secret) in door.credentials.items():
        for new in ({}, {"additional_headers": {"x-mock-fail": "resolver"}}):
            assert "result" in door.call(role, "http", "query", arguments, **new)
        for log in (door.sidecar.process.log, door.sidecar.audit):
            written = log.read_bytes()
            assert written and not [text for text in TEXTS if text in written]
            assert secret.encode() not in written and b"Bearer" not in written and b"eyJ" not in written
