"""The sidecar and uvicorn agree on what a request was: the cases of tests/fixtures/matrix, of which tests/it/matrix.rs asks the
same in front of hyper and nginx."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from conftest import auth_of
from support import Process, free_port

HERE = Path(__file__).resolve().parent
MATRIX = HERE.parent / "fixtures" / "matrix"
QUERY = '{"features":["customer:age"],"entities":{"customer_id":[1]}}'
QUERY_UPSTREAM = QUERY[:-1] + ',"full_feature_names":true}'
INNER = "GET /v1/open?inner HTTP/1.1\r\nhost: x\r\n\r\n"
ROUTES = """\
routes:
  - {path: /v1/items, methods: [POST]}
  - {path: /v1/open, methods: [GET], public: true}
"""


class Recorder:
    """uvicorn as Feast runs it, with an application that writes down what it is given."""

    def __init__(self, folder):
        self.port, self.recorded = free_port(), folder / "recorded.jsonl"
        command = [
            sys.executable, "-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", 1, "-b", f"127.0.0.1:{self.port}",
            "--keep-alive", 30, "--chdir", HERE, "recorder_app:app",
        ]
        env = os.environ | {"RECORDED": str(self.recorded), "HOME": str(folder)}
        self.process = Process(command, folder / "recorder.log", cwd=folder, env=env)
        self.process.wait_ready(self.port, "/ready")

    def seen(self):
        return [json.loads(line) for line in self.recorded.read_text().splitlines()] if self.recorded.exists() else []


@pytest.fixture(scope="module")
def matrix(make_sidecar, idp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    recorder = Recorder(folder)
    try:
        policy = (MATRIX / "policy.yaml").read_text()
        recorder.sidecar = make_sidecar(
            "matrix", recorder.port, MATRIX / "catalogue.yaml", auth_of(idp), policy=policy, extra=ROUTES
        )
        yield recorder
    finally:
        recorder.process.stop()


class Raw:
    """A connection that is read answer by answer; every answer of these routes has a length."""

    def __init__(self, port):
        self.sock, self.buffer = socket.create_connection(("127.0.0.1", port), timeout=20), b""

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def answer(self):
        """Status and body, without interim answers; None where the connection ends first."""
        while True:
            while b"\r\n\r\n" not in self.buffer:
                if not self.more():
                    return None
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status < 200:
                continue
            headers = dict(line.lower().split(": ", 1) for line in lines[1:])
            length = int(headers.get("content-length", 0))
            while len(self.buffer) < length:
                if not self.more():
                    return None
            body, self.buffer = self.buffer[:length], self.buffer[length:]
            return status, body.decode("latin-1")

    def end(self):
        while self.more():
            pass
        return self.buffer

    def own_answer(self, target):
        """Whether a plain request gets the answer that is its own."""
        self.sock.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        answer = self.answer()
        assert answer == (200, f"GET {target}"), answer
        return {"line": f"GET {target}", "headers": [], "body": ""}


def plain(seen):
    """As the cases write it: without what is of the connection, whose values are checked."""
    headers = [(name, value) for name, value in seen["headers"] if name not in ("host", "content-length")]
    names = [name for name, _ in seen["headers"]]
    lengths = [value for name, value in seen["headers"] if name == "content-length"]
    assert names.count("host") == 1 and "transfer-encoding" not in names, seen
    assert lengths in ([], [str(len(seen["body"]))]) and (lengths or not seen["body"]), seen
    return {"line": seen["line"], "headers": sorted(map(list, headers)), "body": seen["body"]}


CASES = json.loads((MATRIX / "cases.json").read_text())


def test_uvicorn_and_the_sidecar_agree_on_every_request(matrix, idp):
    token, port, before, wrong = idp.token(groups=["readers"]), matrix.sidecar.port, 0, []
    assert len(CASES) > 200
    for number, case in enumerate(CASES):
        sent = case["sent"].replace("@bearer@", f"authorization: Bearer {token}").replace("@query@", QUERY)
        sent = sent.replace("@length@", str(len(QUERY))).replace("@inner@", INNER)
        sees = [
            {"line": seen["line"], "headers": seen.get("headers", []),
             "body": seen.get("body", "").replace("@query upstream@", QUERY_UPSTREAM)}
            for seen in case.get("sees", [])
        ]
        raw, answers = Raw(port), []
        raw.sock.sendall(sent.encode("latin-1"))
        while len(answers) < len(case["answers"]) and (answer := raw.answer()):
            answers.append(answer[0])
        try:
            assert answers == case["answers"], answers
            if case.get("ends"):
                assert raw.end() == b"", raw.buffer
            else:
                sees.append(raw.own_answer(f"/v1/open?same={number}"))
            sees.append(Raw(port).own_answer(f"/v1/open?other={number}"))
            seen = [plain(one) for one in matrix.seen()[before:]]
            assert seen == sees, seen
        except (AssertionError, OSError) as error:
            wrong.append(f"{case['name']}: {error}")
        before = len(matrix.seen())
        raw.sock.close()
    assert not wrong, f"{len(wrong)} cases:\n" + "\n".join(wrong)
    # what went upstream was one request after the other: none of it cost a connection, and the server complained of none
    assert len({seen["client"] for seen in matrix.seen()}) == 1
    assert "Invalid HTTP request" not in matrix.process.log.read_text()
