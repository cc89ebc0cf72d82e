"""The data sources of a deployment and what a caller may, through the unmodified client."""

import pytest

API = "api.datasources."
PG1 = {"kind": "postgresql", "name": "pg1", "config": {"PGHOST": "db.example.com", "PGPASSWORD": "=LinkedSecretRef('pg-prod')"}}


def steps(call):
    """What was recorded, from the first to the last: nothing is left of it."""
    made = call("create", PG1)
    iid = made["result"]["id"]
    told = [made, call("list", {}), call("get", {"id": iid}), call("test", {"id": iid})]
    told += [call("update", {"id": iid, "config": {"PGPORT": "5433"}, "name": "pg2"}), call("delete", {"id": iid})]
    return told + [call("list", {}), call("get", {"id": iid})]


def test_who_manages_them_does_it_as_before(door):
    through = steps(lambda method, arguments: door.call("full", "http", API + method, arguments))
    direct = steps(lambda method, arguments: door.direct("http", API + method, arguments))
    assert through[:-1] == direct[:-1]
    assert through[4]["result"]["name"] == "pg2" and through[6] == {"result": []}
    assert through[7]["code"] == direct[7]["code"] == "NOT_FOUND"


@pytest.fixture
def two(door):
    """Two sources, one of which is not for the restricted."""
    ids = [door.call("full", "http", API + "create", PG1 | {"name": name})["result"]["id"] for name in ("pg1", "pg_pii")]
    yield ids
    for iid in ids:
        door.call("full", "http", API + "delete", {"id": iid})


def test_who_may_reach_some_sees_those(door, two):
    mine, other = two
    call = lambda method, arguments: door.call("restricted", "http", API + method, arguments)
    assert [source["name"] for source in call("list", {})["result"]] == ["pg1"]
    assert call("get", {"id": mine})["result"]["name"] == "pg1"
    nobodys = {key: value for key, value in call("get", {"id": "int99"}).items() if key in ("code", "details")}
    for method, more in (("get", {}), ("test", {}), ("update", {"name": "mine"}), ("delete", {})):
        outcome = call(method, {"id": other} | more)
        assert {entry["to"].rpartition("/")[2] for entry in door.mock.seen()} <= {"ListIntegrations"}
        if method in ("get", "test"):
            assert {key: outcome[key] for key in nobodys} == nobodys and nobodys["code"] == "NOT_FOUND"
        else:
            assert outcome["code"] == "PERMISSION_DENIED"
    outcome = call("create", PG1 | {"name": "pg3"})
    assert (outcome["code"], door.mock.seen()) == ("PERMISSION_DENIED", [])


def test_a_caller_is_told_its_own_policy(door):
    path = "/chalk.server.v1.TeamService/GetAgent"
    permissions = {
        "full": {"default_permission": "FEATURE_PERMISSION_ALLOW"},
        "restricted": {
            "tags": {"pii": "FEATURE_PERMISSION_ALLOW_INTERNAL", "secret": "FEATURE_PERMISSION_DENY",
                     "cleared": "FEATURE_PERMISSION_ALLOW_DOWNSTREAM"},
            "default_permission": "FEATURE_PERMISSION_ALLOW"},
    }
    for role, wanted in permissions.items():
        outcome = door.call(role, "grpc", "rpc", {"path": path, "kind": "GetAgentRequest"})
        agent = outcome["result"]["answer"]["agent"]
        (agent,) = agent.values()
        assert agent["featurePermissions"] == {
            {"default_permission": "defaultPermission"}.get(key, key): value for key, value in wanted.items()}
        assert "permissions" not in agent and "customerClaims" not in agent and "customClaims" not in agent
        assert door.mock.seen() == []
