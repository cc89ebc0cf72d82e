#!/usr/bin/env python3
"""Whether a request costs the same however much there is: features, roles, tokens; and what a reload does to those who ask.

    tests/bench/flat.py [--binary PATH] [--only features|roles|tokens|reload|sizes]… [--rounds N] [--duration SECONDS]
                        [--most N] [--roles N] [--reloads N] [--before SECONDS] [--times N]

The same query of ten features each time, of which two are cut, by 16 connections: against 10, 1,000 and `--most` features (100,000);
against 1 and `--roles` roles (1,000), where each of as many tokens has another one; with 1, 1,000 and `--most` tokens in turn, all
of them seen before, in a cache with room for a quarter more. Unless they vary there are 1,000 features, 1 role and 1,000 tokens
(HS256). Time is user and system time of the sidecar's process, with one worker thread, over its requests; rounds take the sidecars
in turn, and the median counts. Memory is that of the process before its first request, and the peak within the rounds.

Then `--most` features are reloaded while eight callers ask, each 4 ms after its last answer: latencies of what was asked in the
`--before` seconds before the file changed, and of what was under way between that and the new generation. Last come sizes: of
files, of the sidecar before its first request, of audit lines. Exit 1: an answer was another one than is due, a request was lost,
or p99 during a reload was more than `--times` (2) that before it, in the median of the reloads. Needs Linux, Python 3.11, nginx
and wrk.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True

import made
from peers import HERE, Broken, Grounds, Process, ask, order, program, wrk

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "a secret of thirty-two bytes or more"
CONNECTIONS, USUAL = 16, 1000
CALLERS, PAUSE = 8, 4


@dataclasses.dataclass
class Point:
    """A sidecar with so many of each."""

    name: str
    features: int = USUAL
    roles: int = 1
    tokens: int = USUAL

    def policies(self, folder: pathlib.Path) -> None:
        """A file of roles, and features by the thousand."""
        folder.mkdir()
        numbers = range(self.features)
        for at in range(0, self.features, 1000):
            named = {made.name("feast", n): {"tags": [*made.tags(n), f"t{n % 97}"]} for n in numbers[at : at + 1000]}
            (folder / f"features-{at // 1000:03}.yaml").write_text(json.dumps({"version": 1, "features": named}))
        (folder / "roles.yaml").write_text(self.role_file(0))

    def role_file(self, version: int) -> str:
        """Each role says something else; the versions differ by what no query shows."""
        usual = {"public": "Allow", "internal": "Allow", "pii": "Deny"}
        roles = {
            f"r{n}": {"default": "Deny", "tags": {**usual, f"t{n % 97}": "AllowDownstream", f"v{n}": "Deny", f"w{version}": "Deny"}}
            for n in range(self.roles)
        }
        bindings = [{"roles": [name], "when": {"iss": made.ISSUER, "team": name}} for name in roles]
        own = {"account_id": {"key": True, "tags": ["public"]}}
        return json.dumps({"version": 1, "mode": "filter", "roles": roles, "bindings": bindings, "features": own})

    def start(self, grounds: Grounds, binary: str, audit: str = "/dev/null") -> tuple[Process, pathlib.Path]:
        folder = grounds.place(self.name)
        (folder / "secret").write_text(SECRET)
        key = made.SharedKey(SECRET)
        lines = (made.token(key, n, team=f"r{n % self.roles}") for n in range(self.tokens))
        (folder / "tokens").write_text("\n".join(lines) + "\n")
        # Its default is 100,000, in parts that do not fill alike.
        entries = {"token_cache": {"entries": max(1000, self.tokens * 5 // 4)}}
        more = {"policies": "policies", "audit": {"log": audit}, "auth": entries}
        made.configuration(folder, "feast", grounds.upstream, {"secret_file": "secret"}, "HS256", {}, **more)
        self.policies(folder / "policies")
        return grounds.start(self.name, [binary, "serve", "--config", "tagwarden.yaml"], folder), folder

    def check(self, process: Process, folder: pathlib.Path) -> None:
        with open(folder / "tokens") as lines:
            status, body = ask(process.port, "feast", "small", lines.readline().strip())
        if status != 200 or json.loads(body) != made.cut("feast", "small"):
            raise Broken(f"{self.name}: another answer than is due: {status} {body[:300]!r}")


def several(count: int, what: str) -> str:
    return f"{count:,} {what if count > 1 else what.removesuffix('s')}"


def points(args, part: str) -> list[Point]:
    # There are ten features in the query.
    counts = sorted({10, min(USUAL, args.most), args.most})
    match part:
        case "features":
            return [Point(several(count, part), features=count) for count in counts]
        case "roles":
            return [Point(several(count, part), roles=count, tokens=max(count, USUAL)) for count in sorted({1, args.roles})]
        case _:
            return [Point(several(count, part), tokens=count) for count in sorted({1, *counts[1:]})]


def text_of(process: Process) -> bytes:
    with urllib.request.urlopen(f"http://{process.said()['metrics']}/metrics", timeout=30) as answer:
        return answer.read()


def metric(process: Process, series: str) -> float:
    lines = (line for line in text_of(process).decode().splitlines() if line.startswith(series + " "))
    return float(next(lines, " 0").rsplit(" ", 1)[1])


def flat(args, grounds: Grounds, part: str) -> list[str]:
    """Rows of the table."""
    started = [(point, *point.start(grounds, args.binary)) for point in points(args, part)]
    rest = {point.name: process.memory("VmRSS") for point, process, _ in started}
    windows = {point.name: [] for point, *_ in started}
    for point, process, folder in started:
        point.check(process, folder)
        # Each token once, at least.
        sent = 0
        while sent < point.tokens:
            sent += wrk(process, "feast", "small", folder / "tokens", CONNECTIONS, 1, sent).requests
    for number in range(args.rounds):
        first = number % len(started)
        for point, process, folder in started[first:] + started[:first]:
            process.forget_peak()
            windows[point.name].append(wrk(process, "feast", "small", folder / "tokens", CONNECTIONS, args.duration))
    lines, base = [], windows[started[0][0].name]
    for point, process, folder in started:
        point.check(process, folder)
        of = windows[point.name]
        if lost := sum(window.errors for window in of):
            raise Broken(f"{point.name}: {lost} requests were lost")
        misses = metric(process, 'tagwarden_cache_requests_total{cache="token",result="miss"}')
        if misses > point.tokens * 1.05 + CONNECTIONS:
            raise Broken(f"{point.name}: tokens are not remembered, {misses:.0f} were verified")
        micros = [window.micros for window in of]
        ratio = statistics.median(window.micros / first.micros for window, first in zip(of, base))
        cells = [f"{statistics.median(micros):.1f}", f"{min(micros):.1f} to {max(micros):.1f}", f"{ratio:.2f}"]
        cells += [f"{rest[point.name]:.1f}", f"{max(window.peak for window in of):.1f}"]
        lines.append(f"| {point.name} | {' | '.join(cells)} |")
        process.stop()
    return lines


def generation(process: Process) -> float:
    return metric(process, 'tagwarden_snapshot_generation{kind="policy"}')


def reload(args, grounds: Grounds) -> tuple[list[str], float]:
    """Rows of the other table, one a reload; and how many times what it was before p99 is during one."""
    point = Point("reloaded", features=args.most)
    process, folder = point.start(grounds, args.binary)
    point.check(process, folder)
    log = folder / "asked"
    # Ended when all reloads are done.
    command = [program("wrk"), f"-t{CALLERS}", f"-c{CALLERS}", "-d3600s", "--timeout", "30s", "-s", str(HERE / "beside.lua")]
    environment = order("feast", "small", folder / "tokens") | {"PAUSE": str(PAUSE), "LOG": str(log)}
    command.append(f"http://127.0.0.1:{process.port}/")
    callers = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    spans = []
    try:
        time.sleep(1)
        for number in range(args.reloads):
            # What the last one left behind is not what was before this one.
            time.sleep(1)
            quiet = time.monotonic()
            time.sleep(args.before)
            before, beside = generation(process), folder / "policies" / ".roles.new"
            beside.write_text(point.role_file(number + 1))
            changed = time.monotonic()
            beside.rename(folder / "policies" / "roles.yaml")
            while generation(process) == before:
                if time.monotonic() - changed > 120:
                    raise Broken(f"the reload does not come: {process.log.read_text()[-1500:]}")
                time.sleep(0.02)
            spans.append((quiet, changed, time.monotonic()))
        time.sleep(1)
        if callers.poll() is not None:
            raise Broken(f"the callers are gone: {callers.stdout.read()}")
    finally:
        # It is asked to end, and then says what it saw.
        callers.send_signal(signal.SIGINT)
        said, _ = callers.communicate(timeout=60)
    asked = [tuple(map(int, line.split())) for file in folder.glob("asked.*") for line in file.read_text().splitlines()]
    result = json.loads(said.partition("RESULT ")[2].splitlines()[0])
    lost = sum(1 for _, _, status in asked if status != 200) + result["sockets"]
    lines, times = [], []
    for number, (quiet, changed, served) in enumerate(spans):
        calm = [took for begun, took, _ in asked if quiet * 1e6 <= begun and begun + took < changed * 1e6]
        amid = [took for begun, took, _ in asked if begun + took >= changed * 1e6 and begun < served * 1e6]
        if min(len(calm), len(amid)) < 2:
            raise Broken(f"nobody asked: {len(calm)} before and {len(amid)} during the reload")
        cut = [statistics.quantiles(part, n=100) for part in (calm, amid)]
        cells = [f"{served - changed:.2f}", *(f"{part[at] / 1e3:.2f}" for part in cut for at in (49, 98))]
        times.append(cut[1][98] / cut[0][98])
        cells += [f"{times[-1]:.2f}", f"{max(amid) / 1e3:.1f}", f"{len(amid):,}"]
        lines.append(f"| {number + 1} | {' | '.join(cells)} |")
    point.check(process, folder)
    process.stop()
    if lost:
        raise Broken(f"{lost} requests were lost while it reloaded: {said}")
    median = statistics.median(times)
    said = f"{len(asked):,} requests in all, 0 lost; {args.most:,} features. p99 during a reload is {median:.2f} times that before it."
    return [*lines, "", said], median


def sizes(args, grounds: Grounds) -> list[str]:
    """Rows of the third table."""
    lines = []
    for count in (made.FEATURES, args.most):
        point = Point(f"sizes of {count}", features=count)
        process, folder = point.start(grounds, args.binary, "audit.jsonl")
        held = sum(file.stat().st_size for file in (folder / "policies").iterdir())
        lines.append(f"| {count:,} features: their files, bytes | {held:,} |")
        lines.append(f"| the sidecar with them, before its first request, MiB | {process.memory('VmRSS'):.0f} |")
        if count == made.FEATURES:
            key, asked = made.SharedKey(SECRET), [*made.SIZES]
            for size in asked:
                status, body = ask(process.port, "feast", size, made.token(key, 0, team="r0"))
                if status != 200:
                    raise Broken(f"{size}: {status} {body[:300]!r}")
            audit = process.wait(lambda: (text := (folder / "audit.jsonl").read_bytes()).count(b"\n") == len(asked) and text or None)
            for size, line in zip(asked, audit.splitlines(keepends=True)):
                lines.append(f"| the audit line of a query of {made.SIZES[size][1]} features, bytes | {len(line):,} |")
            text = text_of(process)
            series = sum(1 for line in text.splitlines() if not line.startswith(b"#"))
            lines.append(f"| `/metrics`: series | {series} |")
            lines.append(f"| `/metrics`, bytes | {len(text):,} |")
        process.stop()
    return lines


def head(cells: list[str]) -> None:
    print(f"\n| {' | '.join(cells)} |\n|---|{'--:|' * (len(cells) - 1)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["features", "roles", "tokens", "reload", "sizes"]
    parser.add_argument("--binary", default=str(ROOT / "target/release/tagwarden"))
    parser.add_argument("--only", action="append", choices=parts)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=int, default=4)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--roles", type=int, default=1000)
    parser.add_argument("--reloads", type=int, default=5)
    parser.add_argument("--before", type=float, default=5.0)
    parser.add_argument("--times", type=float, default=2.0)
    args = parser.parse_args()
    args.binary = os.path.abspath(program(args.binary, "cargo build --release"))
    wanted, times = args.only or parts, 0.0
    with tempfile.TemporaryDirectory(prefix="tagwarden-flat-") as temporary:
        grounds = Grounds(pathlib.Path(temporary))
        try:
            grounds.feature_server({("feast", size) for size in made.SIZES})
            if set(wanted) & set(parts[:3]):
                head(["there are", "CPU µs a request", "best and worst", "to the first", "MiB at rest", "peak"])
            for part in (part for part in parts[:3] if part in wanted):
                print("\n".join(flat(args, grounds, part)), flush=True)
            if "reload" in wanted:
                columns = ["p50 before, ms", "p99 before", "p50 during", "p99 during", "p99 to before", "longest", "requests"]
                head(["reload", "seconds", *columns])
                lines, times = reload(args, grounds)
                print("\n".join(lines), flush=True)
            if "sizes" in wanted:
                head(["what", "size"])
                print("\n".join(sizes(args, grounds)), flush=True)
        finally:
            grounds.stop()
    if times > args.times:
        raise Broken(f"p99 is {times:.2f} times as long during a reload, and may be {args.times:g} times")


if __name__ == "__main__":
    # What is running is stopped, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except Broken as broken:
        sys.exit(f"flat: {broken}")
