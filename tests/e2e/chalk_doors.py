"""chalkpy -> tagwarden -> a Chalk deployment that permits everything, with somebody listening on the way.

Two doors: `issuer`, where tagwarden issues the tokens and goes to the deployment with a token of its own, and `pass`, where they
are the deployment's own. Each has a client for every role of chalk/policy.yaml.
"""

import json
import os
import select
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from issuer import ClientCommand, section
from support import Process, ask, free_port

HERE = Path(__file__).resolve().parent / "chalk"
ENVIRONMENT, TEAM = "envmock1", "teammock1"
ROLES = {"full": "token-full", "restricted": "token-limited", "filtered": "token-filter"}
SECRETS = {"token-full": "ts-full-secret", "token-limited": "ts-limited-secret", "token-filter": "ts-filter-secret"}
ENGINE = "/chalk.engine.v1.QueryService"
UPLOADS = [
    "/v1/upload_features", "/v1/upload_features/multi", f"{ENGINE}/UploadFeatures", f"{ENGINE}/UploadFeaturesBulk",
]

# What a restricted caller may not see, in every form in which it can stand in an answer.
TEXTS = [b"000-00-0000", b"+1-555-0100"]
NUMBERS = [1017.25, 3039.5, 0.7548828125, 90210007]
BINARY = [struct.pack("<i" if number == int(number) else "<d", number) for number in NUMBERS]
HIDDEN = TEXTS + [str(number).encode() for number in NUMBERS] + BINARY + [struct.pack("<d", 90210007)]


def chalk_python():
    python = os.environ.get("TAGWARDEN_CHALKPY")
    assert python, "TAGWARDEN_CHALKPY is not set: tests/run installs chalkpy"
    return python


class Mock(Process):
    """chalk/mock_chalk.py."""

    def __init__(self, log, advertise=None):
        self.port = free_port()
        more = ["--advertise", advertise] if advertise else []
        super().__init__([chalk_python(), HERE / "mock_chalk.py", "--port", self.port, *more], log)
        self.wait_ready(self.port, "/ping")

    def clear(self):
        assert ask(self.port, "GET", "/__mock__/clear").status == 200

    def seen(self):
        """What reached it, the questions who somebody is and the exchange of tokens aside."""
        aside = ("/v1/who-am-i", "/v1/oauth/token", "/chalk.server.v1.AuthService/GetToken")
        return [entry for entry in self.all_seen() if entry["to"] not in aside]

    def all_seen(self):
        return ask(self.port, "GET", "/__mock__/log").json()

    def token(self, client):
        body = {"client_id": client, "client_secret": SECRETS[client], "grant_type": "client_credentials", "scope": None}
        return ask(self.port, "POST", "/v1/oauth/token", body).json()["access_token"]


class Relay:
    """A port in front of another, where what comes back is written down."""

    def __init__(self, target=None):
        self.target, self.heard, self.connections = target, bytearray(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, self.heard), daemon=True).start()

    def pump(self, a, b, heard):
        try:
            while data := a.recv(65536):
                if heard is not None:
                    heard += data
                b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()


class Chalkpy:
    """chalk/client.py."""

    def __init__(self, folder):
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1",
            "CHALK_SKIP_BRANCH_SERVER_STATUS_CHECK": "1",  # a route that is not served
        }
        self.log = folder / "chalkpy.log"
        self.child = subprocess.Popen(
            [chalk_python(), HERE / "client.py"], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "wb"), start_new_session=True,
        )

    def call(self, kind, new, method, arguments):
        request = {"client": [kind, new], "call": method, "arguments": arguments}
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()
        ready, _, _ = select.select([self.child.stdout], [], [], 90)
        assert ready, f"chalkpy did not answer within 90 s: {method} {arguments}"
        line = self.child.stdout.readline()
        assert line, f"chalkpy ended:\n{self.log.read_text()[-2000:]}"
        return json.loads(line)

    def stop(self):
        self.child.terminate()
        self.child.wait(20)


class Door:
    """A sidecar, the deployment behind it, and chalkpy's clients of it."""

    def __init__(self, chalkpy, mock, relay, sidecar, credentials, bypass=None):
        self.chalkpy, self.mock, self.relay, self.sidecar = chalkpy, mock, relay, sidecar
        self.credentials, self.bypass = credentials, bypass

    def client(self, role, **new):
        name, secret = self.credentials[role]
        return {"client_id": name, "client_secret": secret, "api_server": self.relay.url} | new

    def call(self, role, kind, method, arguments, **new):
        """What came of it; `heard` and `mock.seen` tell of this call alone."""
        self.mock.clear()
        self.relay.heard.clear()
        round_us = self.bypass.connections if self.bypass else 0
        outcome = self.chalkpy.call(kind, self.client(role, **new), method, arguments)
        assert not self.bypass or self.bypass.connections == round_us, "the client went round tagwarden"
        return outcome

    def direct(self, kind, method, arguments, **new):
        """The same without a sidecar."""
        client = {"client_id": "token-full", "client_secret": SECRETS["token-full"]}
        client |= {"api_server": f"http://127.0.0.1:{self.mock.port}"}
        return self.chalkpy.call(kind, client | new, method, arguments)

    def token(self, role):
        name, secret = self.credentials[role]
        body = {"client_id": name, "client_secret": secret, "grant_type": "client_credentials", "scope": None}
        return ask(self.relay.port, "POST", "/v1/oauth/token", body).json()["access_token"]


def hidden_in(data):
    return [hidden for hidden in HIDDEN if hidden in data]


def assert_hides(outcome, heard):
    """Nothing hidden stands in what a client got, nor in the bytes that came."""
    assert b"content-encoding" not in heard.lower(), "the bytes cannot be read"
    assert not hidden_in(json.dumps(outcome).encode()), outcome
    assert not hidden_in(heard), bytes(heard)[-2000:]


def configuration(bindings):
    """policy.yaml with bindings: role -> what a caller of it is known by."""
    lines = [f"  - {{roles: [{role}], when: {json.dumps(when)}}}\n" for role, when in bindings.items()]
    return (HERE / "policy.yaml").read_text() + "bindings:\n" + "".join(lines)


def extra():
    routes = "".join(f"  - {{path: {path}, methods: [POST]}}\n" for path in UPLOADS)
    return f"chalk: {{environment: {ENVIRONMENT}}}\nroutes:\n{routes}"


@pytest.fixture(scope="session")
def chalkpy(folder):
    (folder / "chalkpy").mkdir()
    child = Chalkpy(folder / "chalkpy")
    yield child
    child.stop()


@pytest.fixture(scope="session")
def issuer_door(folder, chalkpy, make_sidecar):
    """tagwarden issues the tokens."""
    mock, relay = Mock(folder / "chalk-behind-issuer.log"), Relay()
    (folder / "chalk-token").write_text(mock.token("token-full"))
    credentials = {}

    def before(sidecar):
        command = ClientCommand(sidecar)
        for role in ROLES:
            credentials[role] = role, command.add(role, (role,)).secret

    sidecar = make_sidecar(
        "chalk-issuer", mock.port, HERE / "catalogue.yaml", auth="issuers: []\n", dialect="chalk", before=before,
        policy=configuration({role: {"iss": relay.url, "groups": role} for role in ROLES}), public_port=relay.port,
        authorization=f"{{bearer_file: {folder / 'chalk-token'}}}", extra=section(relay.url) + extra(),
    )
    relay.target = sidecar.port
    yield Door(chalkpy, mock, relay, sidecar, credentials)
    relay.stop()
    mock.stop()


@pytest.fixture(scope="session")
def pass_door(folder, chalkpy, make_sidecar):
    """The deployment issues the tokens, and tells its clients to come straight to it."""
    relay, bypass = Relay(), Relay()
    mock = Mock(folder / "chalk-passing.log", advertise=bypass.url)
    bypass.target = mock.port
    auth = f"opaque: {{who_am_i: {{team_id: {TEAM}, environment_id: {ENVIRONMENT}}}}}\n"
    sidecar = make_sidecar(
        "chalk-pass", mock.port, HERE / "catalogue.yaml", auth=auth, dialect="chalk", authorization="forward",
        policy=configuration({role: {"user": name} for role, name in ROLES.items()}), public_port=relay.port, extra=extra(),
    )
    relay.target = sidecar.port
    credentials = {role: (name, SECRETS[name]) for role, name in ROLES.items()}
    yield Door(chalkpy, mock, relay, sidecar, credentials, bypass)
    for end in (relay, bypass, mock):
        end.stop()


@pytest.fixture(params=["issuer", "pass"])
def door(request):
    return request.getfixturevalue(f"{request.param}_door")
