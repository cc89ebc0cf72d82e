"""Chalk's own client administers data sources through us: those that its roles reach, and without their secrets."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from issuer import ClientCommand, section
from support import Process, free_port, wait_for

HERE = Path(__file__).resolve().parent
DEPLOYMENT, OWN = "canary-of-the-deployment", "canary-of-a-caller"
SERVICE = "/chalk.server.v1.IntegrationsService/"
MISSING = {"code": "NOT_FOUND", "details": "There is no such data source"}
FORBIDDEN = {"code": "PERMISSION_DENIED", "details": "This caller may not use this route"}
ABSENT = {"code": "UNIMPLEMENTED", "details": "There is no such route"}

ROLES = """\
version: 1
roles:
  everything: {datasources: {manage: true}}
  reader: {tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream}}
  limited: {datasources: {allow: [prod]}}
  keeper: {datasources: {allow: [prod], manage: true}, tags: {pii: Deny}}
datasources:
  pg_main: {kind: POSTGRESQL, tags: [prod]}
  pg_next: {kind: POSTGRESQL, tags: [prod]}
  pg_pii: {kind: POSTGRESQL, tags: [pii]}
bindings:
"""
CLIENTS = ["everything", "reader", "limited", "keeper"]


def python():
    found = os.environ.get("TAGWARDEN_CHALKPY")
    assert found, "TAGWARDEN_CHALKPY is not set: tests/run installs chalkpy"
    return found


class Deployment(Process):
    """chalk/sources_server.py."""

    def __init__(self, folder):
        self.port, self.calls = free_port(), folder / "calls.jsonl"
        self.calls.touch()
        super().__init__([python(), HERE / "chalk/sources_server.py", self.port, self.calls], folder / "deployment.log")
        wait_for(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True, "the deployment")

    def seen(self):
        """The calls that reached it since the last time, the exchange of tokens aside."""
        lines = [json.loads(line) for line in self.calls.read_text().splitlines()]
        self.calls.write_text("")
        return [line for line in lines if not line["method"].endswith("/GetToken")]


class Setup:
    def __init__(self, start_sidecar, folder):
        self.folder = folder
        self.deployment = Deployment(folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        bindings = "".join(
            f'  - {{roles: [{name}], when: {{iss: "{self.url}", groups: {name}}}}}\n' for name in CLIENTS
        )
        self.clients = {}

        def before(sidecar):
            command = ClientCommand(sidecar)
            self.clients.update((name, command.add(name, (name,))) for name in CLIENTS)

        self.sidecar = start_sidecar(
            f"sources-{folder.name}", self.deployment.port, policy=ROLES + bindings, dialect="chalk", port=port,
            before=before, extra=section(self.url) + "chalk: {environment: envmock1}\n",
        )

    def run(self, url, name, secret, calls):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "NO_PROXY": "127.0.0.1", "CHALK_SECRET": secret}
        done = subprocess.run(
            [python(), HERE / "chalk/sources.py", url, name], input=json.dumps(calls).encode(), capture_output=True,
            cwd=self.folder, env=environment, timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    def call(self, name, *calls):
        """The outcome of each call, through tagwarden; nothing of it nor of what is logged holds a secret."""
        outcomes = self.run(self.url, name, self.clients[name].secret, calls)
        for text in [json.dumps(outcomes), self.sidecar.process.log.read_text(), self.sidecar.audit.read_text()]:
            assert DEPLOYMENT not in text and OWN not in text, text
        return outcomes

    def direct(self, *calls):
        return self.run(f"http://127.0.0.1:{self.deployment.port}", "anybody", "anything", calls)


@pytest.fixture
def chalk(start_sidecar, tmp_path):
    setup = Setup(start_sidecar, tmp_path)
    yield setup
    setup.deployment.stop()


CRUD = [
    ("create", {"kind": "postgresql", "name": "pg1", "config": {"PGHOST": OWN, "PGPASSWORD": {"secret": "pg-prod"}}}),
    ("list", {}),
    ("get", {"id": "int4"}),
    ("test", {"id": "int4"}),
    ("update", {"id": "int4", "name": "pg2", "config": {"PGPORT": "5433"}}),
    ("delete", {"id": "int4"}),
    ("list", {}),
]


def test_who_may_everything_has_what_it_has_without_us(chalk):
    through = chalk.call("everything", *CRUD)
    seen = chalk.deployment.seen()
    assert through == chalk.direct(*CRUD)
    sent = {call["method"].removeprefix(SERVICE): call["request"] for call in seen}
    assert sent["InsertIntegration"] == {
        "name": "pg1", "integration_kind": "INTEGRATION_KIND_POSTGRESQL",
        "config": {"PGHOST": {"literal": OWN}, "PGPASSWORD": {"secret_id": "pg-prod"}},
    }
    # what has the secrets is never asked for
    assert set(sent) == {f"{verb}Integration" for verb in ["Insert", "Test", "Update", "Delete"]} | {"ListIntegrations"}
    assert {call["head"]["x-chalk-env-id"] for call in seen} == {"envmock1"}


def test_a_limited_caller_has_what_it_reaches(chalk):
    listed, got, by_name, tested = chalk.call(
        "limited", ("list", {}), ("get", {"id": "int1"}), ("GetIntegrationByName", {"integration_name": "pg_main"}),
        ("test", {"id": "int1"}),
    )
    assert [source["name"] for source in listed["result"]] == ["pg_main"]
    assert got["result"] == listed["result"][0] and by_name["result"]["integration"]["id"] == "int1"
    assert tested["result"] == {"success": "True", "message": "ok", "latency_seconds": "0.25"}
    calls = [("get", {"id": id}) for id in ["int2", "int3", "int9"]]
    calls += [("test", {"id": id}) for id in ["int2", "int3", "int9"]]
    calls += [("GetIntegrationByName", {"integration_name": name}) for name in ["pg_pii", "broken", "nobody"]]
    chalk.deployment.seen()
    assert chalk.call("limited", *calls) == [MISSING] * len(calls)
    assert {call["method"] for call in chalk.deployment.seen()} == {SERVICE + "ListIntegrations"}


def test_what_a_test_says_stays_behind(chalk):
    (tested,) = chalk.call("reader", ("test", {"id": "int3"}))
    wanted = {"success": "False", "message": "the data source cannot be connected to", "latency_seconds": "0.25"}
    assert tested["result"] == wanted
    (previewed,) = chalk.call("reader", ("TestIntegration", {"integration_id": "int1", "include_preview": True}))
    assert "preview_messages" not in previewed["result"]
    assert chalk.deployment.seen()[-1]["request"] == {"integration_id": "int1"}


def test_changes_are_for_who_manages(chalk):
    create = ("create", {"kind": "postgresql", "name": "pg_next", "config": {"PGHOST": OWN}})
    inline = ("TestIntegration", {"kind": 13, "environment_variables": {"PGHOST": OWN}})
    changes = [create, ("update", {"id": "int1", "name": "pg_next"}), ("delete", {"id": "int1"}), inline]
    for name in ["reader", "limited"]:
        assert chalk.call(name, *changes) == [FORBIDDEN] * 4
    assert chalk.deployment.seen() == []
    # Who manages, manages what it reaches, and gives no name beyond it.
    beyond = [
        ("create", {"kind": "postgresql", "name": "pg_pii", "config": {}}),
        ("create", {"kind": "mysql", "name": "broken", "config": {}}),
        ("create", {"kind": "mysql", "name": "nobody", "config": {}}),
        ("update", {"id": "int1", "name": "pg_pii"}),
    ]
    assert chalk.call("keeper", *beyond) == [FORBIDDEN] * 4
    assert chalk.call("keeper", ("update", {"id": "int2"}), ("delete", {"id": "int2"})) == [MISSING] * 2
    assert {call["method"] for call in chalk.deployment.seen()} == {SERVICE + "ListIntegrations"}
    assert [next(iter(outcome)) for outcome in chalk.call("keeper", create, inline, ("delete", {"id": "int4"}))] == ["result"] * 3


def test_names_and_kinds_are_checked(chalk):
    outcomes = chalk.call(
        "everything", ("create", {"kind": "mysql", "name": "pg-1", "config": {}}),
        ("InsertIntegration", {"name": "ai", "integration_kind": 12}), ("InsertIntegration", {"name": "cloud", "integration_kind": 2}),
    )
    assert {outcome["code"] for outcome in outcomes} == {"INVALID_ARGUMENT"}
    assert outcomes[0]["details"] == "the name `pg-1` has more in it than letters, digits and underscores"
    assert outcomes[1]["details"] == "the kind 12 is none of a data source"
    assert chalk.deployment.seen() == []


def test_what_tells_secrets_is_not_there(chalk):
    calls = [
        ("ListIntegrationsAndSecrets", {"decrypt": True}), ("GetIntegrationValue", {"integration_id": "int1", "secret_name": "x"}),
        ("ListDatasourcePermissionTags", {}), ("UpsertDatasourcePermissionTag", {"kind": 13, "name": "pg_pii", "permission_tags": ["prod"]}),
    ]
    assert chalk.call("everything", *calls) == [ABSENT] * 4
    assert chalk.deployment.seen() == []


def test_a_caller_is_told_its_own_policy(chalk):
    def told(name, **permissions):
        agent = {"id": name, "client_id": name, "environment": "envmock1", "feature_permissions": permissions}
        return [{"result": {"agent": {"service_token_agent": agent}}}]

    kept = {"pii": "FEATURE_PERMISSION_ALLOW_INTERNAL", "secret": "FEATURE_PERMISSION_DENY",
            "cleared": "FEATURE_PERMISSION_ALLOW_DOWNSTREAM"}
    allow = "FEATURE_PERMISSION_ALLOW"
    assert chalk.call("reader", ("GetAgent", {})) == told("reader", tags=kept, default_permission=allow)
    assert chalk.call("everything", ("GetAgent", {})) == told("everything", default_permission=allow)
    # There are features that read other sources than it reaches, which no map of tags says.
    nothing = told("limited", default_permission="FEATURE_PERMISSION_DENY")
    assert chalk.call("limited", ("GetAgent", {})) == nothing
    assert chalk.deployment.seen() == []
