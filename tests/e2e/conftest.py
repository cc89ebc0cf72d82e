"""Fixtures: a real Feast, tagwarden in front of it, and callers with tokens.

Everything listens on free ports of 127.0.0.1, lives in the session's temporary folder, and is stopped by its
process id. TAGWARDEN_BIN names the binary; left out, it is target/debug/tagwarden of this repository.
TAGWARDEN_PROVIDER is the folder in which `npm ci` installed what tests/e2e/provider needs, TAGWARDEN_CHALKPY a Python that has
chalkpy; tests/run sets both.
"""

import os
import shutil
import signal
import socket
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path

import pytest
from feast import FeatureStore, RepoConfig
from feast.permissions.client.http_auth_requests_wrapper import HttpSessionManager
from issuer import ClientCommand, policy, section
from openid import Provider
from redis_server import Redis
from support import AUDIENCE, ISSUER, TAGWARDEN, Idp, Process, RecordingUpstream, free_port, read, run, wait_for

pytest_plugins = ["chalk_doors"]

HERE = Path(__file__).resolve().parent
FEAST = Path(sys.executable).parent / "feast"  # of the same venv; its name is a script, so the link is not resolved

# a proxy of the machine is no business of a test on loopback
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

# Clients are named as their role. `full` sees everything; the restricted ones may use personal data without seeing
# it and may not touch raw data; `reviewer` sees what is derived from reviewed amounts alone.
POLICY = """\
version: 1
roles:
  full: {default: Allow, mode: reject}
  restricted: {tags: {pii: AllowInternal, "class=raw": Deny, "class=cleared": AllowDownstream}, mode: reject}
  restricted-filter: {tags: {pii: AllowInternal, "class=raw": Deny, "class=cleared": AllowDownstream}, mode: filter}
  internal-filter: {tags: {pii: AllowInternal}, mode: filter}
  reviewer: {tags: {reviewed: AllowDownstream, "class=derived": Deny, pii: AllowInternal}}
bindings:
  - {roles: [full], when: {iss: "https://idp.test/", client_id: full}}
  - {roles: [restricted], when: {iss: "https://idp.test/", client_id: restricted}}
  - {roles: [restricted-filter], when: {iss: "https://idp.test/", client_id: restricted-filter}}
  - {roles: [internal-filter], when: {iss: "https://idp.test/", client_id: internal-filter}}
  - {roles: [reviewer], when: {iss: "https://idp.test/", client_id: reviewer}}
features:
  "customer_activity:txn_amount_7d": {tags: [reviewed]}
  "customer_activity:txn_count_7d": {tags: [reviewed]}
  # reviewed: computed from the address alone, although the view takes the whole profile
  "email_parts:email_domain":
    not_inputs: ["customer_profile:ssn", "customer_profile:income", "customer_profile:age", "customer_profile:vip",
                 "customer_profile:country"]
  # reviewed: amount through count, nothing else
  "checkout_risk:avg_txn":
    opaque: false
    not_inputs: ["customer_profile:income", "customer_profile:age", "customer_activity:last_merchant",
                 "customer_activity:recent_amounts", "customer_activity:recent_codes", "customer_activity:labels",
                 "customer_activity:flags", "customer_activity:blob", "customer_activity:attrs",
                 "customer_activity:last_seen", "customer_activity:embedding"]
"""


def pytest_sessionstart(session):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    for tool in (TAGWARDEN, FEAST):
        if not tool.is_file():
            pytest.exit(f"{tool} is not there", returncode=4)


class FeastRepo:
    """The applied feature repository, and servers on it. `more`: a folder whose files are laid over it first."""

    def __init__(self, folder, more=None):
        self.folder = folder / "repo"
        # gunicorn keeps a control socket below HOME: it must not be the machine's
        self.env = os.environ | {"HOME": str(folder), "PYTHONWARNINGS": "ignore", "FEAST_USAGE": "False"}
        shutil.copytree(HERE / "feast_repo", self.folder)
        if more:
            shutil.copytree(more, self.folder, dirs_exist_ok=True)
        self.feast_python("make_data.py")
        self.feast("apply")
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        self.feast("materialize", "2020-01-01T00:00:00", now)

    def feast_python(self, *arguments):
        return run(sys.executable, *arguments, cwd=self.folder, env=self.env)

    def feast(self, *arguments):
        return run(FEAST, *arguments, cwd=self.folder, env=self.env)

    def serve(self, log, max_requests=0):
        port = free_port()
        server = Process(
            [FEAST, "serve", "-h", "127.0.0.1", "-p", port, "-w", 1, "--no-access-log",
             "--max-requests", max_requests, "--max-requests-jitter", 0],
            log, cwd=self.folder, env=self.env,
        )
        server.wait_ready(port, "/health")
        server.port = port
        return server

    def listen(self, log):
        """`feast listen`: the same over gRPC."""
        port = free_port()
        server = Process([FEAST, "listen", "-a", f"127.0.0.1:{port}"], log, cwd=self.folder, env=self.env)

        def ready():
            assert server.child.poll() is None, f"`{server.name}` ended with {server.child.returncode}:\n{server.tail()}"
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return True

        try:
            wait_for(ready, f"`{server.name}` to listen", 90)
        except BaseException:
            server.stop()
            raise
        server.port = port
        return server

    def serve_registry(self, log):
        port = free_port()
        server = Process(
            [FEAST, "serve_registry", "--rest-api", "--no-grpc", "-h", "127.0.0.1", "--rest-port", port],
            log, cwd=self.folder, env=self.env,
        )
        server.wait_ready(port, "/api/v1/entities?project=shop")
        server.port = port
        return server


def auth_of(idp):
    """`auth` of a sidecar that trusts the two keys of `Idp`."""
    return f"""\
issuers:
  - issuer: {ISSUER}
    audiences: [{AUDIENCE}]
    algorithms: [RS256, ES256]
    keys: {{jwks_file: {idp.jwks}}}
"""


class Sidecar:
    """`tagwarden serve` in front of an upstream; its configuration, policy, audit log and output are in `folder`. `auth` is
    that section of the configuration. `ready=False`: it is not waited for, for it will not be ready. `before` is called with
    it when its configuration is written; `arguments` follow the command."""

    def __init__(
        self, folder, upstream_port, catalogue, auth, policy=POLICY, extra="", ready=True, port=None, before=None,
        arguments=(), env=None, dialect="feast", public_port=None, authorization="drop", engine_port=None,
    ):
        folder.mkdir()
        self.folder, self.port, self.metrics, self.admin = folder, port or free_port(), free_port(), free_port()
        self.arguments = arguments
        self.env = {name: value for name, value in os.environ.items() if name != "RUST_LOG"} | (env or {})
        self.policy, self.audit, self.config = folder / "policy.yaml", folder / "audit.jsonl", folder / "tagwarden.yaml"
        self.policy.write_text(policy)
        public_url = f', public_url: "http://127.0.0.1:{public_port or self.port}"' if dialect == "chalk" else ""
        engine = f', engine_url: "http://127.0.0.1:{engine_port}"' if engine_port else ""
        self.config.write_text(textwrap.dedent(f"""\
            version: 1
            listen: {{address: 127.0.0.1:{self.port}{public_url}}}
            metrics: {{address: 127.0.0.1:{self.metrics}}}
            admin: {{address: 127.0.0.1:{self.admin}}}
            upstream: {{url: "http://127.0.0.1:{upstream_port}", dialect: {dialect}, authorization: {authorization}{engine}}}
            policies: {self.policy}
            catalogue: [{catalogue}]
            drain: {{delay: 1ms, timeout: 5s}}
            audit: {{log: {self.audit}}}
            auth:
            """) + textwrap.indent(auth, "  ") + extra)
        if before:
            before(self)
        self.start(ready)

    def start(self, ready=True):
        command = [TAGWARDEN, "serve", "--config", self.config] + list(self.arguments)
        self.process = Process(command, self.folder / "log", cwd=self.folder, env=self.env)
        self.process.wait_ready(self.metrics, "/readyz" if ready else "/livez", 30)

    def stop(self):
        self.process.stop()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def feast_repo(folder):
    return FeastRepo(folder)


@pytest.fixture(scope="session")
def feast(feast_repo, folder):
    server = feast_repo.serve(folder / "feast.log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def feast_grpc(feast_repo, folder):
    server = feast_repo.listen(folder / "feast-grpc.log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def catalogue(feast_repo, folder):
    """The catalogue as the import makes it of Feast's own dump."""
    (folder / "registry-dump.json").write_bytes(feast_repo.feast("registry-dump"))
    run(TAGWARDEN, "catalogue", "import", "feast", folder / "registry-dump.json", "-o", folder / "catalogue.yaml")
    return folder / "catalogue.yaml"


@pytest.fixture(scope="session")
def idp(folder):
    return Idp(folder)


@pytest.fixture(scope="session")
def make_sidecar(folder):
    """make_sidecar(name, upstream_port, catalogue, auth=…, …): one more sidecar, stopped with the session."""
    started = []

    def make(name, upstream_port, catalogue, auth, **options):
        started.append(Sidecar(folder / name, upstream_port, catalogue, auth, **options))
        return started[-1]

    yield make
    for sidecar in started:
        sidecar.stop()


@pytest.fixture(scope="session")
def start_sidecar(make_sidecar, catalogue, idp):
    """start_sidecar(name, upstream_port, auth=…, policy=…, extra=…): the same, in front of the Feast that is here."""

    def start(name, upstream_port, auth=auth_of(idp), **options):
        return make_sidecar(name, upstream_port, catalogue, auth, **options)

    return start


@pytest.fixture(scope="session")
def start_issuer(start_sidecar, feast):
    """start_issuer(name, *clients): a sidecar in front of Feast that issues tokens itself, and is called what it is. Its
    clients are in `.clients`, by name; `more` sections follow in its configuration."""

    def start(name, *clients, more="", **options):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        made = {}

        def before(sidecar):
            command = ClientCommand(sidecar)
            made.update((client, command.add(client)) for client in clients)

        options = {"policy": policy(url), "extra": section(url) + more} | options
        sidecar = start_sidecar(name, feast.port, port=port, before=before, **options)
        sidecar.issuer, sidecar.clients = url, made
        return sidecar

    return start


@pytest.fixture(scope="session")
def issuing(start_issuer):
    """A sidecar with an issuer, and its clients `scoring` and `batch`."""
    return start_issuer("issuing", "scoring", "batch")


@pytest.fixture(scope="session")
def start_provider(folder):
    """start_provider(name): one more OpenID provider, stopped with the session."""
    started = []

    def start(name):
        started.append(Provider(folder / name))
        return started[-1]

    yield start
    for provider in started:
        provider.stop()


@pytest.fixture
def redis_server(tmp_path):
    server = Redis(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def store(feast_repo):
    """store(port, token=None, **auth): a Feast client of the server at that port, with a token or another way to get one. The
    registry is the applied repository's own file, read in place: a copy of an applied repository must never be applied."""

    def make(port, token=None, **auth):
        HttpSessionManager.close_session()  # one for the whole process, kept by the kind of authentication alone
        auth |= {"token": token} if token else {}
        return FeatureStore(
            config=RepoConfig(
                project="shop",
                provider="local",
                registry=str(feast_repo.folder / "data" / "registry.db"),
                online_store={"type": "remote", "path": f"http://127.0.0.1:{port}"},
                offline_store={"type": "dask"},
                auth={"type": "oidc"} | auth if auth else {"type": "no_auth"},
                entity_key_serialization_version=3,
            )
        )

    yield make
    HttpSessionManager.close_session()


@pytest.fixture(scope="session")
def sidecar(start_sidecar, feast):
    return start_sidecar("sidecar", feast.port)


@pytest.fixture(scope="session")
def recorder_session(start_sidecar):
    upstream = RecordingUpstream()
    upstream.sidecar = start_sidecar("recorded", upstream.port)
    yield upstream
    upstream.stop()


@pytest.fixture
def recorder(recorder_session):
    """A feature server that records what it is sent, with a sidecar of its own in `.sidecar`."""
    recorder_session.reset()
    return recorder_session


@pytest.fixture(scope="session")
def secrets():
    """Every value of a column that the restricted callers may not see, as bytes."""
    ids = range(1, 111)
    ssns = [f"{i:03d}-{i % 100:02d}-{i * 7 % 10000:04d}" for i in ids]
    emails = [f"user{i}@example.test" for i in ids]
    return [text.encode() for text in ssns + emails]


@pytest.fixture
def restricted_read(sidecar, idp, secrets):
    """restricted_read(client, body): an answer in which no ssn and no address stands, whatever was asked."""

    def ask_as(client, body):
        answer = read(sidecar.port, body, idp.token(client))
        text = answer.body + repr(answer.headers).encode()
        leaked = [secret for secret in secrets if secret in text]
        assert not leaked, f"{client} got {leaked[:3]}"
        return answer

    return ask_as
