"""Processes, tokens, raw HTTP and raw JSON for the end-to-end tests."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

TAGWARDEN = Path(
    os.environ.get("TAGWARDEN_BIN") or Path(__file__).resolve().parents[2] / "target/debug/tagwarden"
).absolute()
READ = "/get-online-features"
ISSUER = "https://idp.test/"
AUDIENCE = "feature-server"


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=300, **options
    )
    assert done.returncode == 0, f"{command[0]} {command[1]}: {done.returncode}\n{done.stderr.decode()[-2000:]}"
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, what, timeout=60.0):
    """Polls until `condition` is truthy and returns its value; a condition that raises OSError is not met yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            value = condition()
        except (OSError, http.client.HTTPException):
            value = None
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout:g} s in vain for {what}"
        time.sleep(0.05)


class Process:
    """A child with its output in a file; stopped by its own process id."""

    def __init__(self, command, log, cwd=None, env=None):
        self.log = Path(log)
        self.name = Path(command[0]).name + " " + " ".join(map(str, command[1:3]))
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command], cwd=cwd, env=env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def wait_ready(self, port, path, timeout=90.0):
        def ready():
            assert self.child.poll() is None, f"`{self.name}` ended with {self.child.returncode}:\n{self.tail()}"
            return ask(port, "GET", path).status == 200

        try:
            wait_for(ready, f"GET {path} = 200 from `{self.name}`", timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                pass
        try:  # the group is this child's own: workers that outlived it, or itself
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()


@dataclass
class Answer:
    status: int
    headers: list  # of (lower-case name, value)
    body: bytes

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"header `{name}` came {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]


def _read_answer(sock, method):
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    body = response.read()
    return Answer(response.status, [(k.lower(), v) for k, v in response.getheaders()], body)


def send_raw(port, raw):
    """One request, byte for byte, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(raw)
        return _read_answer(sock, raw.split(b" ", 1)[0].decode())


def ask(port, method, path, body=None, headers=(), token=None):
    """One request on a connection of its own; `body` may be bytes or anything that json takes."""
    headers = list(headers)
    if token is not None:
        headers.append(("Authorization", f"Bearer {token}"))
    names = {name.lower() for name, _ in headers}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        headers.append(("Content-Length", str(len(body))))
        if "content-type" not in names:
            headers.append(("Content-Type", "application/json"))
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    return send_raw(port, "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))


def read(port, body, token=None, headers=()):
    return ask(port, "POST", READ, body, headers, token)


# Raw JSON: the text of a value as it stood, since a parsed float or string says nothing of its spelling.

_DECODER = json.JSONDecoder()


def _blank(text, at):
    while text[at] in " \t\r\n":
        at += 1
    return at


def _value(text, at):
    at = _blank(text, at)
    _, end = _DECODER.raw_decode(text, at)
    return text[at:end], _blank(text, end)


def raw_members(text):
    """The members of a JSON object, each with its raw text; a key that comes twice fails."""
    members, at = {}, _blank(text, 0) + 1
    assert text[at - 1] == "{", f"an object was expected, not `{text[:40]}`"
    while text[at := _blank(text, at)] != "}":
        key, at = _value(text, at)
        assert text[at] == ":"
        value, at = _value(text, at + 1)
        key = json.loads(key)
        assert key not in members, f"key `{key}` comes twice"
        members[key] = value
        at += text[at] == ","
    return members


def raw_items(text):
    """The items of a JSON array, each as its raw text."""
    items, at = [], _blank(text, 0) + 1
    assert text[at - 1] == "[", f"an array was expected, not `{text[:40]}`"
    while text[at := _blank(text, at)] != "]":
        value, at = _value(text, at)
        items.append(value)
        at += text[at] == ","
    return items


def columns(body):
    """Name -> {"values": raw text, "statuses": list, "event_timestamps": list} of a Feast answer."""
    top = raw_members(body.decode() + " ")
    names = json.loads(top["metadata"])["feature_names"]
    results = raw_items(top["results"])
    assert len(names) == len(results), f"{len(names)} names for {len(results)} columns"
    assert len(set(names)) == len(names), f"a name comes twice: {names}"
    found = {}
    for name, result in zip(names, results):
        members = raw_members(result)
        found[name] = {key: raw if key == "values" else json.loads(raw) for key, raw in members.items()}
    return found


def assert_error(answer, status, code, part=""):
    """The one error body of the sidecar."""
    assert answer.status == status, f"status {answer.status}, wanted {status}: {answer.body[:300]!r}"
    body = answer.json()
    error = body["error"]
    assert error["code"] == code, f"code {error['code']}, wanted {code}"
    assert set(body) == {"detail", "error"} and body["detail"] == error["message"]
    wanted = {"code", "message", "decision_id"} | ({"refused"} if code == "FEATURES_REFUSED" else set())
    assert set(error) == wanted, f"members of `error`: {sorted(error)}"
    assert error["decision_id"] and error["decision_id"] == answer.header("x-tagwarden-decision-id")
    assert answer.header("content-type") == "application/json"
    assert part in error["message"], f"`{part}` is not in `{error['message']}`"
    return error


class Idp:
    """An identity provider that is two keys: its key set is a file, its tokens are minted here."""

    def __init__(self, folder):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        keys = [
            jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)
            | {"kid": "rsa-1", "alg": "RS256", "use": "sig"},
            jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)
            | {"kid": "ec-1", "alg": "ES256", "use": "sig"},
        ]
        self.jwks = Path(folder) / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": keys}))

    def public_pem(self):
        return self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, client="full", algorithm="RS256", key=None, kid=None, age=0, **claims):
        """A token of `client`; `age` seconds old; a claim given as None is left out."""
        now = int(datetime.now(timezone.utc).timestamp()) - age
        payload = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": f"svc-{client}", "client_id": client, "iat": now, "exp": now + 3600,
        }
        payload = {name: value for name, value in (payload | claims).items() if value is not None}
        if key is None:
            key, kid = (self.rsa, kid or "rsa-1") if algorithm.startswith("RS") else (self.ec, kid or "ec-1")
        return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


class RecordingUpstream:
    """A feature server that keeps what it was sent and answers what it was told to: full names, for the sidecar always
    asks for them."""

    AGE = (
        b'{"results":[{"values":[1],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},'
        b'{"values":[19],"statuses":["PRESENT"],"event_timestamps":["2026-01-01T00:00:00Z"]}],'
        b'"metadata":{"feature_names":["customer_id","customer_profile__age"]}}'
    )

    def __init__(self):
        self.seen = []  # of (method, path, [(lower-case name, value)], body)
        self.reset()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = [(name.lower(), value) for name, value in self.headers.items()]
                outer.seen.append((self.command, self.path, headers, body))
                status, answer_headers, answer = outer.answer
                self.send_response(status)
                for name, value in answer_headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        """Forgets what was seen and answers the age of customer 1 again."""
        self.seen.clear()
        self.say(200, self.AGE)

    def say(self, status, body, headers=(("Content-Type", "application/json"),)):
        self.answer = (status, list(headers), body)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
