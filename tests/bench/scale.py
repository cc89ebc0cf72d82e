#!/usr/bin/env python3
"""A policy as large as policies get: `check`, `diff` and a hot reload of it, with time and memory.

    tests/bench/scale.py [--binary PATH] [--features N] [--files N] [--roles N] [--depth N] [--rounds N] [--keep DIR]

Writes a policy of N features in N files, with lineage of this depth, and a changed copy of it; runs the commands and
prints, for each, seconds of wall-clock time (the best and the worst of the rounds) and the peak of resident memory.
Nothing is random: the same numbers give the same files. Needs Python 3.11 and a release build, nothing else.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

TAGS = 200
SOURCES = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]


def feature(number: int, width: int) -> str:
    """The name of a feature: a hundred of them to a view."""
    return f"view{number // 100}:f{number}"


def feature_lines(number: int, width: int, changed: bool) -> list[str]:
    """A feature's entry; `width` features make one layer of the lineage."""
    layer = number // width
    parts = []
    tags = [f"t{number * 7 % TAGS}"] if number % 3 else []
    if number % 11 == 0:
        tags.append(f"t{number * 13 % TAGS}")
    if changed and number % 1000 == 500:
        tags.append("t1")
    if tags:
        parts.append(f"tags: [{', '.join(dict.fromkeys(tags))}]")
    if layer == 0:
        parts.append(f"sources: [s{number % SOURCES}]")
    else:
        below = (layer - 1) * width
        inputs = {below + (number * step + step) % width for step in range(1, 2 + number % 3)}
        parts.append("inputs: [" + ", ".join(f'"{feature(i, width)}"' for i in sorted(inputs)) + "]")
    return [f'  "{feature(number, width)}": {{{", ".join(parts)}}}']


def write_policy(folder: pathlib.Path, args: argparse.Namespace, changed: bool) -> None:
    folder.mkdir(parents=True)
    width = -(-args.features // (args.depth + 1))
    roles = ["version: 1", "internal: flows", "roles:"]
    words = ["Deny", "AllowInternal", "Allow", "AllowDownstream"]
    for role in range(args.roles):
        mapped = {(role * 17 + step * 29) % TAGS: words[(role + step) % 4] for step in range(20)}
        if changed and role == 7:
            mapped[next(iter(mapped))] = "Allow"
        tags = ", ".join(f"t{tag}: {word}" for tag, word in mapped.items())
        reach = ""
        if role % 5 == 0:
            reach = f", datasources: {{allow: [{', '.join(f'zone{z}' for z in range(role % 3 + 1))}]}}"
        roles.append(f"  role{role}: {{default: {'Deny' if role % 10 == 9 else 'Allow'}, tags: {{{tags}}}{reach}}}")
    roles.append("bindings:")
    for role in range(args.roles):
        second = f", role{(role + 1) % args.roles}" if role % 4 == 0 else ""
        roles.append(f'  - {{roles: [role{role}{second}], when: {{iss: "https://idp.example/", client_id: client{role}}}}}')
    roles.append("datasources:")
    roles += [f"  s{source}: {{kind: POSTGRESQL, tags: [zone{source % 4}]}}" for source in range(SOURCES)]
    (folder / "roles.yaml").write_text("\n".join(roles) + "\n")
    patterns = ["version: 1", "features:"] + [f'  "view{n * 10}:*": {{tags: [t{n}]}}' for n in range(20)]
    (folder / "patterns.yaml").write_text("\n".join(patterns) + "\n")
    each = -(-args.features // args.files)
    for file in range(args.files):
        numbers = range(file * each, min((file + 1) * each, args.features))
        lines = ["version: 1", "features:"]
        for number in numbers:
            lines += feature_lines(number, width, changed)
        (folder / f"features-{file:03}.yaml").write_text("\n".join(lines) + "\n")


def run(command: list[str]) -> tuple[float, float, int, str]:
    """Seconds, MiB at the peak, exit code and the first line of a command."""
    with tempfile.TemporaryFile() as out:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().decode().strip().splitlines() or [""]
    return seconds, usage.ru_maxrss / 1024, child.returncode, lines[0]


def report(name: str, rounds: list[tuple[float, float]], note: str) -> None:
    seconds = [seconds for seconds, _ in rounds]
    memory = max(memory for _, memory in rounds)
    print(f"{name:12} {min(seconds):6.2f} s to {max(seconds):5.2f} s   {memory:6.0f} MiB   {note}", flush=True)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def generation(url: str) -> int:
    line = next(l for l in get(url).splitlines() if l.startswith('tagwarden_snapshot_generation{kind="policy"}'))
    return int(float(line.split()[-1]))


def hot_reload(binary: str, folder: pathlib.Path, changed: pathlib.Path, rounds: int) -> list[tuple[float, float]]:
    """Seconds from a changed file to the new generation, and the server's peak, with `serve` running."""
    live = folder.parent / "live"
    shutil.copytree(folder, live)
    (folder.parent / "key").write_text("a secret of thirty-two bytes or more")
    config = folder.parent / "tagwarden.yaml"
    address = '{address: "127.0.0.1:0"}'
    config.write_text(
        f"version: 1\nlisten: {address}\nmetrics: {address}\nadmin: {address}\n"
        'upstream: {url: "http://127.0.0.1:9", dialect: feast}\naudit: {log: stderr}\n'
        'auth: {issuers: [{issuer: "https://idp.example/", audiences: [a], algorithms: [HS256], keys: {secret_file: key}}]}\n'
        "policies: live\n"
    )
    server = subprocess.Popen([binary, "serve", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found = []
    try:
        for line in server.stderr:
            if '"listening"' in line:
                url = f"http://{json.loads(line)['metrics']}/metrics"
                break
        else:
            sys.exit(f"it does not start: exit {server.wait()}")
        for number in range(rounds):
            before = generation(url)
            other = (changed if number % 2 == 0 else folder) / "roles.yaml"
            beside = live / ".roles.new"
            shutil.copy(other, beside)
            start = time.monotonic()
            beside.rename(live / "roles.yaml")
            while generation(url) == before:
                if time.monotonic() - start > 120:
                    sys.exit("the reload does not come")
                time.sleep(0.005)
            seconds = time.monotonic() - start
            status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            found.append((seconds, peak / 1024))
    finally:
        server.terminate()
        server.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/tagwarden"))
    parser.add_argument("--features", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--roles", type=int, default=300)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=pathlib.Path, help="write the files here and leave them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or pathlib.Path(temporary)).resolve()
        old, new = folder / "old", folder / "new"
        write_policy(old, args, changed=False)
        write_policy(new, args, changed=True)
        print(f"{args.features} features in {args.files} files, {args.roles} roles, lineage of depth {args.depth}")
        check = [args.binary, "check", "--policies", str(old)]
        diff = [args.binary, "diff", str(old), str(new)]
        for name, command, expected in [("check", check, 0), ("diff", diff, 5), ("diff, same", diff[:2] + [str(old)] * 2, 0)]:
            rounds = []
            for _ in range(args.rounds):
                seconds, memory, code, first = run(command)
                if code != expected:
                    sys.exit(f"{name}: exit {code}: {first}")
                rounds.append((seconds, memory))
            report(name, rounds, first)
        report("hot reload", hot_reload(args.binary, old, new, args.rounds), "from the changed file to its generation")


if __name__ == "__main__":
    main()
