"""Replicas: they share clients, signing keys and a Redis. And traffic to them."""

import threading
import time
from collections import namedtuple

from issuer import ClientCommand, policy, section, write_signing_key
from redis_server import PASSWORD
from support import assert_error, columns, read, wait_for

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
URL = "https://tokens.test/"
MAX_STALE = 3


def status(port, token):
    """Of a query: 200, or the error's code with its form checked."""
    answer = read(port, AGE, token)
    if answer.status == 200:
        assert columns(answer.body)["age"]["values"] == "[19]"
        return 200
    wanted = {401: "UNAUTHORIZED", 503: "KEYS_UNAVAILABLE"}
    assert answer.status in wanted, f"{answer.status} {answer.body[:300]}"
    assert_error(answer, answer.status, wanted[answer.status])
    if answer.status == 503:
        assert_waits(answer)
    return answer.status


def assert_waits(answer):
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1, f"{answer.status} {answer.body[:300]}"


class Replicas:
    """Sidecars `a`, `b` and whatever is started later, with clients `scoring` and `batch`."""

    def __init__(self, folder, redis, start_sidecar, feast):
        self.folder, self.redis, self.start_sidecar, self.feast = folder, redis, start_sidecar, feast
        write_signing_key(folder / "keys")
        self.clients, self.command, self.all = {}, None, []
        self.a, self.b = self.start("a", before=self.make_clients), self.start("b")
        self.scoring, self.batch = self.clients["scoring"], self.clients["batch"]

    def make_clients(self, sidecar):
        self.command = ClientCommand(sidecar)
        self.clients = {name: self.command.add(name) for name in ("scoring", "batch")}

    def start(self, name, keys="keys", **options):
        extra = section(
            URL, f"keys: {self.folder / keys}", f"clients: {self.folder / 'clients.yaml'}",
            'store: {redis_url: "${TOKENS_URL}"}', f"revocations: {{max_stale: {MAX_STALE}s}}",
        )
        self.all.append(self.start_sidecar(
            f"{self.folder.name}-{name}", self.feast.port, policy=policy(URL), extra=extra,
            env={"TOKENS_URL": self.redis.url}, **options,
        ))
        return self.all[-1]

    @property
    def ports(self):
        return [sidecar.port for sidecar in self.all]

    def stop(self):
        for sidecar in self.all:
            sidecar.stop()
            assert PASSWORD.encode() not in sidecar.process.log.read_bytes()


Query = namedtuple("Query", "kind port status begun ended")


class Load:
    """Threads that query both replicas with tokens of ours, of another issuer, and with a revoked one, until the block ends.
    The other issuer's are answered 200, the revoked one 401, always; ours 200 or 503 (`status` checks the form)."""

    KINDS = {"ours": {200, 503}, "other": {200}, "revoked": {401}}

    def __init__(self, ports, tokens):
        self.seen = []  # of Query
        self.failed, self.over, self.tokens = [], threading.Event(), tokens
        self.threads = [
            threading.Thread(target=self.run, args=[kind, port], daemon=True) for kind in tokens for port in ports
        ]

    def run(self, kind, port):
        try:
            while not self.over.is_set():
                begun = time.monotonic()
                got = status(port, self.tokens[kind])
                self.seen.append(Query(kind, port, got, begun, time.monotonic()))
                if got not in self.KINDS[kind]:
                    self.failed.append((kind, port, got))
        except BaseException as error:
            self.failed.append((kind, port, error))

    def since(self, begun, **wanted):
        """The queries that began after that, and are like this."""
        return [
            query for query in list(self.seen)
            if query.begun > begun and all(getattr(query, name) == value for name, value in wanted.items())
        ]

    def until(self, condition, what, timeout=30):
        wait_for(lambda: self.failed or condition(), what, timeout)
        assert not self.failed, self.failed[:3]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.failed, self.failed[:3]
