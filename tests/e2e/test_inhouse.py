"""The page on describing one's own feature server, followed as it stands: its files, its commands, its requests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import TAGWARDEN, Process, ask, assert_error, free_port, run, wait_for

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/dialects/README.md"
# of customers 1 and 2; the last two are computed from the account numbers
SECRETS = [b"ada@", b"bob@", b"DE89370400440532013000", b"LI21088100002324013AA", b'"DE"', b'"LI"']


def blocks():
    """(language, text) of each block of the walk, without its indentation."""
    walk = PAGE.read_text().split("\n## Ten minutes from nothing\n")[1].split("\n## ")[0]
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", walk, re.MULTILINE | re.DOTALL)
    return [(language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)) for indent, language, text in found]


def commands():
    """Every command of the walk, and the block of text that follows its block."""
    all = blocks()
    for number, (language, text) in enumerate(all):
        if language == "console":
            _, shown = all[number + 1] if all[number + 1 : number + 2] and all[number + 1][0] == "text" else ("", "")
            lines = text.replace("\\\n", "").splitlines()
            shown = shown.splitlines() if shown else [None] * len(lines)
            assert len(shown) == len(lines), f"{len(lines)} commands and {len(shown)} answers: {text}"
            yield from zip(lines, shown)


class Walk:
    """A folder with the page's files, its server and the sidecar in front of it; every port is one that is free here."""

    def __init__(self, folder):
        self.folder, self.metrics, self.admin = folder, free_port(), free_port()
        self.ports = {"8000": str(free_port()), "8080": str(free_port())}
        self.port, self.keys = int(self.ports["8080"]), {}
        self.server = self.sidecar = None
        for language, text in blocks():
            if language == "yaml":
                (folder / text.splitlines()[0].removeprefix("# ")).write_text(self.here(text))
        with open(folder / "tagwarden.yaml", "a") as config:
            config.write(f"metrics: {{address: 127.0.0.1:{self.metrics}}}\nadmin: {{address: 127.0.0.1:{self.admin}}}\n")
            config.write("drain: {delay: 1ms, timeout: 5s}\naudit: {log: audit.jsonl}\n")
        self.described = (folder / "dialect.yaml").read_text()

    def here(self, text):
        return re.sub(r"\b(8000|8080)\b", lambda port: self.ports[port[0]], text)

    def tagwarden(self, line):
        return run(TAGWARDEN, *line.split()[1:], cwd=self.folder).decode()

    def curl(self, line):
        env = os.environ | {name: self.keys.get(client, "") for name, client in CALLERS.items()}
        done = subprocess.run(["sh", "-c", self.here(line)], env=env, capture_output=True, timeout=60, cwd=self.folder)
        assert done.returncode == 0, f"{line}: {done.returncode}"
        return done.stdout

    def ask(self, client, method, path, body=None):
        return ask(self.port, method, path, body, [("X-API-Key", self.keys[client])] if client else [])

    def seen(self):
        """What the feature server was sent."""
        return self.server.log.read_text().splitlines()

    def status(self):
        return ask(self.admin, "GET", "/status").json()["description"]

    def standing(self):
        """How the description stands, as `/readyz` tells it."""
        told = ask(self.metrics, "GET", "/readyz")
        assert told.status == 200, told.body
        return told.json()["checks"]["description"]

    def describe(self, text):
        (self.folder / "dialect.yaml").write_text(text)


CALLERS = {"CRM": "crm-app", "SCORING": "scoring-svc", "REPORTS": "reports-job"}


def server(walk, line):
    """The page's feature server, where the page starts it."""
    interpreter, script, port = walk.here(line).split()
    assert (interpreter, script) == ("python3", "inhouse_server.py")
    walk.server = Process([sys.executable, HERE / script, port], walk.folder / "server.log")
    walk.server.wait_ready(int(port), "/health")


def step(walk, line):
    """What a command prints."""
    if line.startswith("python3 "):
        return server(walk, line)
    if line.startswith("curl "):
        return walk.curl(line)
    if line.startswith("tagwarden serve "):
        walk.sidecar = Process([TAGWARDEN, *line.split()[1:]], walk.folder / "sidecar.log", cwd=walk.folder)
        return walk.sidecar.wait_ready(walk.metrics, "/readyz", 30)
    assert line.startswith("tagwarden "), line
    printed = walk.tagwarden(line)
    if line.startswith("tagwarden client add "):
        told = dict(line.split(": ", 1) for line in printed.splitlines())
        walk.keys[told["client_id"]] = told["api_key"]
    return printed


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    walk = Walk(tmp_path_factory.mktemp("inhouse"))
    try:
        walk.steps = [(line, shown, step(walk, line)) for line, shown in commands()]
        yield walk
    finally:
        for process in (walk.sidecar, walk.server):
            if process:
                process.stop()


def leaked(answer, secrets=SECRETS):
    text = answer.body + repr(answer.headers).encode()
    return [secret for secret in secrets if secret in text]


ROWS = [{"customer_id": 1}, {"customer_id": 2}]
POST = {"view": "customer", "features": ["age", "email", "iban", "bank_country"], "rows": ROWS}
GET = "/features/customer/1?feature=age&feature=bank_country"


def test_every_request_gets_what_the_page_shows(walk):
    asked = [(line, shown, got.decode()) for line, shown, got in walk.steps if line.startswith("curl ")]
    assert len(asked) == 5
    for line, shown, got in asked:
        pattern = re.escape(shown).replace("…", r'[^"]+')
        assert re.fullmatch(pattern, got.strip()), f"{line}\n{got}\nis not as it is shown:\n{shown}"
    [checked] = [got for line, _, got in walk.steps if line.startswith("tagwarden check ")]
    assert "0 errors, 0 warnings" in checked, checked


def test_what_may_pass_is_as_the_server_gives_it(walk):
    for method, path, body in (("POST", "/features", POST), ("GET", GET, None)):
        direct = ask(int(walk.ports["8000"]), method, path, body)
        through = walk.ask("crm-app", method, path, body)
        assert (through.status, through.body) == (200, direct.body)
        assert through.header("content-type") == "application/json"
    assert leaked(walk.ask("crm-app", "POST", "/features", POST)) == SECRETS


def test_what_is_left_out_is_not_even_asked_for(walk):
    before = len(walk.seen())
    answer = walk.ask("reports-job", "POST", "/features", POST)
    assert (answer.status, answer.header("x-tagwarden-filtered")) == (200, "3")
    assert answer.json() == {"columns": ["customer_id", "age"], "rows": [[1, 34], [2, 51]]}
    other = walk.ask("reports-job", "GET", GET)
    assert (other.status, other.header("x-tagwarden-filtered")) == (200, "1")
    assert other.json() == {"id": "1", "values": {"age": 34}}
    assert leaked(answer) + leaked(other) == []
    posted, got = walk.seen()[before:]
    method, path, sent = posted.split(" ", 2)
    assert (method, path, json.loads(sent)) == ("POST", "/features", POST | {"features": ["age"]})
    assert got == "GET /features/customer/1?feature=age "


def test_a_refused_query_reaches_nobody(walk):
    before = walk.seen()
    for client, method, path, body, refused in (
        ("scoring-svc", "POST", "/features", POST, ["email", "iban", "bank_country"]),
        ("scoring-svc", "GET", GET, None, ["bank_country"]),
        ("scoring-svc", "GET", "/features/customer/2?feature=email", None, ["email"]),
        # the catalogue has no such feature, nor such a view
        ("crm-app", "POST", "/features", POST | {"features": ["shoe_size"]}, ["shoe_size"]),
        ("crm-app", "GET", "/features/account/1?feature=age", None, ["age"]),
    ):
        answer = walk.ask(client, method, path, body)
        assert assert_error(answer, 403, "FEATURES_REFUSED")["refused"] == refused
        assert leaked(answer) == []
    # nothing is left of it
    only = walk.ask("reports-job", "POST", "/features", POST | {"features": ["iban", "email"]})
    assert_error(only, 403, "FEATURES_REFUSED")
    assert_error(walk.ask(None, "POST", "/features", POST), 401, "UNAUTHORIZED")
    assert walk.seen() == before


def test_what_is_not_described_says_so(walk):
    before = walk.seen()
    for method, path, body, part in (
        ("POST", "/features", POST | {"entity_rows": []}, "`/entity_rows` is not known; what is: `features`, `view`, `rows`"),
        ("POST", "/features", POST | {"rows": [1]}, "`/rows/*` is no object of names and values"),
        ("POST", "/features", POST | {"features": "age"}, "`/features` is not a list"),
        ("POST", "/features", POST | {"features": []}, "the request names no outputs"),
        ("POST", "/features", {key: POST[key] for key in ("features", "rows")}, "of `age` no name can be made"),
        ("POST", "/features?debug=1", POST, "the parameter `debug` is not known; what is: nothing"),
        ("GET", "/features/customer/1?features=age", None, "the parameter `features` is not known; what is: `feature`"),
        ("GET", "/features/customer/1", None, "the request names no outputs"),
    ):
        assert_error(walk.ask("crm-app", method, path, body), 400, "INVALID_QUERY", part)
    assert_error(walk.ask("crm-app", "POST", "/feature", POST), 404, "NOT_FOUND")
    assert_error(walk.ask("crm-app", "GET", "/features"), 405, "METHOD_NOT_ALLOWED")
    assert walk.seen() == before


def test_a_value_that_is_no_key_stays_here(walk):
    before = len(walk.seen())
    rows = [{"customer_id": 2, "customer:age": 3, "shoe_size": 44}]
    answer = walk.ask("crm-app", "POST", "/features", POST | {"features": ["age"], "rows": rows})
    assert (answer.status, answer.json()["rows"]) == (200, [[2, 51]])
    [sent] = walk.seen()[before:]
    assert json.loads(sent.split(" ", 2)[2])["rows"] == [{"customer_id": 2}]


def test_an_answer_that_the_description_does_not_fit_stays_here(walk):
    # the server fails, and tells why
    failed = walk.ask("crm-app", "GET", "/features/customer/77?feature=age")
    assert_error(failed, 400, "UPSTREAM_FAILED")
    assert b"KeyError" not in failed.body
    # the names are taken from another place
    good = walk.status()["digest"]
    walk.describe(walk.described.replace('names: "/columns/*"', 'names: "/names/*"'))
    wait_for(lambda: walk.status()["digest"] != good, "the other description", 20)
    unreadable = walk.ask("crm-app", "POST", "/features", POST)
    assert_error(unreadable, 502, "UPSTREAM_UNREADABLE")
    assert leaked(unreadable) == []
    walk.describe(walk.described)
    wait_for(lambda: walk.status()["digest"] == good, "the first description", 20)


def test_a_description_is_edited_while_it_serves(walk):
    traced = POST | {"features": ["age"], "trace": "t-1"}
    assert_error(walk.ask("crm-app", "POST", "/features", traced), 400, "INVALID_QUERY", "`/trace` is not known")
    assert walk.standing() == "ok"
    first, before = walk.status()["digest"], len(walk.seen())

    outputs = 'outputs: {body: "/features/*"}'
    more = walk.described.replace(outputs, outputs + "\n      pass: [/trace]")
    walk.describe(more)
    wait_for(lambda: walk.status()["digest"] != first, "the changed description", 20)
    assert walk.ask("crm-app", "POST", "/features", traced).status == 200
    assert json.loads(walk.seen()[before:][0].split(" ", 2)[2]) == traced

    good = walk.status()["digest"]
    walk.describe(more.replace("shape: rows", "shape: row"))
    stale = wait_for(lambda: walk.standing() != "ok" and walk.standing(), "the mistake in /readyz", 20)
    assert stale.startswith("stale: ") and "`shape` is `row`" in stale and "did you mean `rows`" in stale, stale
    assert walk.status()["digest"] == good and "`shape` is `row`" in json.dumps(walk.status())
    assert walk.ask("crm-app", "POST", "/features", traced).status == 200
    assert_error(walk.ask("scoring-svc", "POST", "/features", POST), 403, "FEATURES_REFUSED")

    walk.describe(walk.described)
    wait_for(lambda: walk.standing() == "ok" and walk.status()["digest"] == first, "the first description", 20)
    assert_error(walk.ask("crm-app", "POST", "/features", traced), 400, "INVALID_QUERY", "`/trace` is not known")


def test_health_needs_no_key(walk):
    answer = walk.ask(None, "GET", "/health")
    assert answer.status == 200 and b"ok" not in answer.body
