#!/usr/bin/env python3
"""Tokens by the hundred thousand: what they cost the sidecar in processor time and memory, and what garbage does to the rest.

    tests/bench/tokens.py [--binary PATH] [--only PART]… [--rounds N] [--tokens N] [--garbage N] [--issuers N]
                          [--issued N] [--refreshed N] [--revocations N] [--counted N]

Parts: valid (each token sent twice), garbage (beside a good caller), issuers (one against many), own (the built-in issuer),
instructions (the same requests counted by valgrind; not run unless it is named).

Figures of the processor are user and system time of the sidecar's process divided by the requests of the batch; of memory,
VmRSS and VmHWM. A range is the best and the worst of the rounds. Everything runs on 127.0.0.1 and on the same cores: requests
a second are those of the whole arrangement. Needs Linux, Python 3.11 with `cryptography` and `PyJWT`, `wrk`, a release build,
and for `instructions` valgrind.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time

import jwt

import load
from load import GoodCaller, Key, Provider, Sidecar, Upstream, wrk

ISSUER = "https://idp.example/"
OWN = "https://tokens.example"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def span(numbers: list[float], digits: int = 0) -> str:
    low, high = f"{min(numbers):.{digits}f}", f"{max(numbers):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def line(name: str, *cells: str) -> None:
    print(f"{name:44} " + "   ".join(cells), flush=True)


class Bench:
    def __init__(self, args: argparse.Namespace, folder: pathlib.Path):
        self.args, self.folder, self.sidecars = args, folder, []
        self.upstream = Upstream()

    def start(self, provider: Provider, issuers: list[str], **more) -> Sidecar:
        folder = self.folder / str(len(self.sidecars))
        self.sidecars.append(Sidecar(self.args.binary, folder, self.upstream, provider, issuers, **more))
        return self.sidecars[-1]

    def valid(self) -> None:
        """Each token twice, half of them signed by RSA and half by P-256."""
        half = self.args.tokens // 2
        keys = {name: Key(ISSUER, name, name) for name in ("RS256", "ES256")}
        made = {name: load.many([key], half) for name, key in keys.items()}
        memory, micros, rates = {}, {}, {}
        for _ in range(self.args.rounds):
            provider = Provider([list(keys.values())])
            sidecar = self.start(provider, [ISSUER])
            few = min(500, half // 2)
            steps = [("at rest", None), ("after the first 1,000", slice(few)), ("after all", slice(few, None))]
            for step, part in steps:
                for name in keys if part else ():
                    done = wrk(sidecar, made[name][part]).all(200)
                    if step == "after all":
                        micros.setdefault(f"{name}, first seen", []).append(done.micros)
                        rates.setdefault(f"{name}, first seen", []).append(done.rate)
                memory.setdefault(step, []).append(sidecar.memory("VmRSS"))
            for name in keys:
                done = wrk(sidecar, made[name]).all(200)
                micros.setdefault(f"{name}, seen before", []).append(done.micros)
                rates.setdefault(f"{name}, seen before", []).append(done.rate)
            memory.setdefault("after all, twice", []).append(sidecar.memory("VmRSS"))
            memory.setdefault("peak", []).append(sidecar.memory("VmHWM"))
            hits = sidecar.metric('tagwarden_cache_requests_total{cache="token",result="hit"}')
            misses = sidecar.metric('tagwarden_cache_requests_total{cache="token",result="miss"}')
            if misses > 2 * half * 1.01 or hits < 2 * half * 0.99:
                sys.exit(f"it does not remember: {hits} hits, {misses} misses")
            sidecar.stop()
        for name in micros:
            line(f"valid, {name}", f"{span(micros[name])} µs", f"{span(rates[name])} requests/s")
        for name in memory:
            line(f"valid, memory {name}", f"{span(memory[name])} MiB")

    def garbage(self) -> None:
        """What is no token, by kinds in turn, while one caller goes on asking."""
        args = self.args
        keys = [Key(ISSUER, "k-rsa", "RS256"), Key(ISSUER, "k-ec", "ES256")]
        good = load.many(keys, 20_000)
        each = -(-args.garbage // len(load.KINDS) // args.rounds)
        provider, begun = Provider([keys]), time.monotonic()
        sidecar = self.start(provider, [ISSUER])
        wrk(sidecar, good[:2000]).all(200)
        rest, fresh = sidecar.memory("VmRSS"), iter(range(2000, len(good), 2000))

        def caller() -> GoodCaller:
            first = next(fresh)
            return GoodCaller(sidecar.port, good[0], good[first : first + 2000])

        alone, beside, micros, rates, sent, seconds, failed = [], [], {}, {}, 0, 0.0, 0
        for number in range(args.rounds):
            step = -(-each // 8)
            lines = {}
            for kind in load.KINDS:
                first = number * each
                works = [(kind, keys, good[:2000], at, min(at + step, first + each)) for at in range(first, first + each, step)]
                lines[kind] = load.spread(load.garbage, works)
            quiet = caller()
            time.sleep(min(10.0, args.garbage / 1000))
            statuses, took = quiet.stop()
            alone += took
            failed += sum(statuses.values()) - statuses.get(200, 0)
            noisy, start = caller(), time.monotonic()
            for kind in load.KINDS:
                done = wrk(sidecar, lines[kind]).all(401)
                sent += done.count
                micros.setdefault(kind, []).append(done.micros)
                rates.setdefault(kind, []).append(done.rate)
            seconds += time.monotonic() - start
            statuses, took = noisy.stop()
            beside += took
            failed += sum(statuses.values()) - statuses.get(200, 0)
        for kind in load.KINDS:
            line(f"garbage, {kind}", f"{span(micros[kind])} µs", f"{span(rates[kind])} requests/s")
        line("garbage, all", f"{sent} sent in {seconds:.0f} s", f"{provider.count} fetches of the keys")
        line("garbage, memory", f"{rest:.0f} MiB before", f"{sidecar.memory('VmHWM'):.0f} MiB at the peak")
        for name, took in (("alone", alone), ("beside garbage", beside)):
            cut = statistics.quantiles(took, n=100)
            line(f"good caller, {name}", f"{len(took)} queries", f"p50 {cut[49] * 1e3:.2f} ms", f"p99 {cut[98] * 1e3:.2f} ms")
        line("good caller, not answered 200", str(failed))
        # One at the start and one for the first unknown name, then one in ten seconds for such names; one an hour by the way.
        if failed or provider.count > 3 + (time.monotonic() - begun) / 10:
            sys.exit("the good caller was hurt, or the keys were fetched too often")
        entries = sidecar.metric('tagwarden_cache_entries{cache="token"}')
        if entries > len(good):
            sys.exit(f"garbage is remembered: {entries} entries")
        sidecar.stop()

    def issuers(self) -> None:
        """The same load for one issuer and for many, each with a key and a binding of its own."""
        half = self.args.tokens // 4
        found = {}
        worlds = []
        for count in (1, self.args.issuers):
            names = [f"https://idp-{number}.example/" for number in range(count)]
            keys = [Key(name, f"k{number}", "ES256") for number, name in enumerate(names)]
            worlds.append((count, names, [[key] for key in keys], load.many(keys, half)))
        for number in range(self.args.rounds):
            for count, names, sets, made in worlds if number % 2 == 0 else reversed(worlds):
                provider = Provider(sets)
                sidecar = self.start(provider, names)
                of = found.setdefault(count, {"rest": [], "first": [], "again": [], "fetches": []})
                of["rest"].append(sidecar.memory("VmRSS"))
                of["first"].append(wrk(sidecar, made).all(200).micros)
                of["again"].append(wrk(sidecar, made * 2).all(200).micros)
                of["fetches"].append(provider.count)
                sidecar.stop()
        for count, of in sorted(found.items()):
            cells = [f"first seen {span(of['first'])} µs", f"seen before {span(of['again'])} µs", f"at rest {span(of['rest'], 1)} MiB"]
            line(f"issuers: {count}", *cells, f"{span(of['fetches'])} fetches of keys")

    def own_sidecar(self, name: str, others: tuple[Provider, list[str]], under=()) -> tuple[Sidecar, str, str]:
        """A sidecar with the built-in issuer, and a secret and an API key of its client."""
        secret, key = (f"tw_{kind}1_{secrets.token_urlsafe(32)}" for kind in "sk")
        clients = self.folder / f"clients-{name}.yaml"
        clients.write_text(
            f'version: 1\nclients:\n  svc: {{secrets: [{{id: s1, hash: "{load.kept(secret)}"}}], '
            f'api_keys: [{{id: k1, hash: "{load.kept(key)}", created: 2026-11-22}}], claims: {{groups: [readers, scoring]}}}}\n'
        )
        more = (
            f'issuer: {{url: "{OWN}", audience: {load.AUDIENCE}, clients: "{clients}", keys: "{self.folder}/keys", '
            f'store: {{embedded: "{self.folder}/{name}.redb"}}}}\n'
        )
        return self.start(*others, more=more, under=list(under)), secret, key

    def own_token(self, sidecar: Sidecar, secret: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", sidecar.port)
        form = f"grant_type=client_credentials&client_id=svc&client_secret={secret}"
        status, body = load.send(connection, "/oauth/token", form, FORM)
        return body["access_token"] if status == 200 else sys.exit(f"no token: {body}")

    def own(self) -> None:
        """The built-in issuer: tokens, refreshes, revocations."""
        other = Key(ISSUER, "k1", "ES256")
        found = {}
        for number in range(self.args.rounds):
            sidecar, secret, key = self.own_sidecar(f"own{number}", (Provider([[other]]), [ISSUER]))

            form = f"grant_type=client_credentials&client_id=svc&client_secret={secret}"
            asked = load.post("/oauth/token", FORM, len(form), form)
            done = wrk(sidecar, [""], self.args.issued, asked).all(200)
            found.setdefault("tokens by client credentials", []).append((done.rate, done.micros))

            connection = http.client.HTTPConnection("127.0.0.1", sidecar.port)
            pairs = [load.send(connection, "/api/v1/auth/token", json.dumps({"api_key": key}), JSON) for _ in range(64)]
            first = [body["data"]["refresh_token"] for _, body in pairs]
            before, after = '{"refresh_token":"', '"}'
            asked = load.post("/api/v1/auth/refresh", JSON, len(before + first[0] + after), before, after)
            done = wrk(sidecar, first, self.args.refreshed, asked, chain='"refresh_token":"([^"]+)"').all(200)
            found.setdefault("refreshes", []).append((done.rate, done.micros))
            found.setdefault("writes of 4 KiB with fsync, for comparison", []).append((self.fsyncs(), 0))

            whose = [("another issuer", load.many([other], 1)[0]), ("its own", self.own_token(sidecar, secret))]
            for name, token in whose if number % 2 == 0 else reversed(whose):
                done = wrk(sidecar, [token] * self.args.issued).all(200)
                found.setdefault(f"queries with a token of {name}", []).append((done.rate, done.micros))
            if number == 0:
                revoked = self.revocations(sidecar, secret)
            sidecar.stop()
        for name, rounds in found.items():
            micros = f"{span([micros for _, micros in rounds])} µs" if rounds[0][1] else ""
            line(f"own, {name}", f"{span([rate for rate, _ in rounds])} a second", micros)
        for name, text in revoked.items():
            line(f"own, {name}", text)

    def fsyncs(self) -> float:
        path, count = self.folder / "fsync", 200
        with open(path, "wb") as file:
            start = time.monotonic()
            for _ in range(count):
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        return count / (time.monotonic() - start)

    def revocations(self, sidecar: Sidecar, secret: str) -> dict[str, str]:
        before, store = sidecar.memory("VmRSS"), self.folder / "own0.redb"
        seconds = self.revoke(sidecar, secret, self.args.revocations)
        after, sent = sidecar.memory("VmRSS"), self.args.revocations
        return {
            f"{sent} revocations": f"{sent / seconds:.0f} a second",
            "memory before and after": f"{before:.0f} and {after:.0f} MiB, {(after - before) * 2**20 / sent:.0f} bytes each",
            "the store's file": f"{store.stat().st_size / 2**20:.0f} MiB",
        }

    def revoke(self, sidecar: Sidecar, secret: str, count: int) -> float:
        """Revokes tokens of the client, each by itself; the seconds that it took. They are signed here: issuing is not meant."""
        pem = next((self.folder / "keys").glob("*.pem"))
        key, headers, now = pem.read_text(), {"typ": "at+jwt", "kid": pem.stem}, int(time.time())
        claims = {"iss": OWN, "sub": "svc", "client_id": "svc", "aud": load.AUDIENCE, "iat": now, "exp": now + 3600}
        made = [jwt.encode(claims | {"jti": secrets.token_hex(16)}, key, "ES256", headers) for _ in range(count)]
        form = f"client_id=svc&client_secret={secret}&token="
        done = wrk(sidecar, made, parts=load.post("/oauth/revoke", FORM, len(form) + len(made[0]), form)) if made else None
        return len(made) / done.all(200).rate if done else 0.0

    def instructions(self) -> None:
        """Instructions of a request, as valgrind counts them: what more requests add to a run."""
        few, many = self.args.counted // 2, self.args.counted // 2 * 3
        several = self.args.issuers
        worlds = [("1 issuer", 1, True), (f"{several} issuers", several, True), (f"{several} issuers, one binding", several, False)]
        for name, count, each in worlds:
            names = [f"https://idp-{number}.example/" for number in range(count)]
            keys = [Key(name, f"k{number}", "ES256") for number, name in enumerate(names)]
            made = load.many(keys, many)

            def begin(under):
                return self.start(Provider([[key] for key in keys]), names, under=under, binding_each=each)

            for how, token in (("first seen", lambda number: made[number]), ("seen before", lambda number: made[number % count])):
                runs = [self.counted(begin, token, times)[0] for times in (few, many)]
                line(f"instructions, {name}, {how}", f"{(runs[1] - runs[0]) / (many - few):.0f} a request")
        others = Provider([[Key(ISSUER, "k1", "ES256")]]), [ISSUER]
        for revoked in (0, 10_000):
            sidecar, secret, _ = self.own_sidecar(f"counted{revoked}", others)
            token = self.own_token(sidecar, secret)
            self.revoke(sidecar, secret, revoked)
            sidecar.stop()
            _, of = self.counted(lambda under: self.own_sidecar(f"counted{revoked}", others, under)[0], lambda _: token, many)
            line(f"instructions, standing, {revoked} revoked", f"{of / many:.0f} a request")

    def counted(self, begin, token, times: int) -> tuple[int, int]:
        """Instructions of the sidecar for so many requests: of all of it, and of `Issuer::standing` with what that calls."""
        sidecar = begin(["valgrind", "--tool=callgrind", "--callgrind-out-file=counted"])
        connection = load.Connection(sidecar.port)
        statuses = {connection.status(token(number)) for number in range(times)}
        if statuses != {200}:
            sys.exit(f"not all answers are 200: {statuses}")
        sidecar.stop()
        command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", "counted"]
        read = subprocess.run(command, cwd=sidecar.folder, capture_output=True, text=True, check=True).stdout
        standing = re.search(r"([\d,]+)\s.*:tagwarden::issuer::Issuer::standing", read)
        all_of_it = re.findall(r"Collected : (\d+)", sidecar.log.read_text())[-1]
        return int(all_of_it), int(standing[1].replace(",", "")) if standing else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["valid", "garbage", "issuers", "own"]
    parser.add_argument("--binary", default=str(ROOT / "target/release/tagwarden"))
    parser.add_argument("--only", action="append", choices=[*parts, "instructions"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--garbage", type=int, default=1_000_000)
    parser.add_argument("--issuers", type=int, default=50)
    parser.add_argument("--issued", type=int, default=30_000)
    parser.add_argument("--refreshed", type=int, default=4_000)
    parser.add_argument("--revocations", type=int, default=100_000)
    parser.add_argument("--counted", type=int, default=1_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, pathlib.Path(folder))
        try:
            for part in args.only or parts:
                getattr(bench, part)()
        finally:
            for sidecar in bench.sidecars:
                sidecar.stop()


if __name__ == "__main__":
    main()
