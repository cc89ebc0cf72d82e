"""tests/bench/tokens.py with small numbers: that it runs and finds what it looks for. Its figures are no test's."""

import re
import subprocess
import sys
from pathlib import Path

from conftest import TAGWARDEN

SCRIPT = Path(__file__).resolve().parents[1] / "bench" / "tokens.py"
SMALL = {
    "rounds": 1, "tokens": 400, "garbage": 2000, "issuers": 5, "issued": 200, "refreshed": 100, "revocations": 150,
}


def test_every_part_of_the_token_bench_runs():
    arguments = [text for name, value in SMALL.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, str(SCRIPT), "--binary", str(TAGWARDEN), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    assert [name for name in lines if not name.startswith("own")] == [
        *(f"valid, {key}, {when}" for when in ("first seen", "seen before") for key in ("RS256", "ES256")),
        *(f"valid, memory {when}" for when in ("at rest", "after the first 1,000", "after all", "after all, twice", "peak")),
        *(f"garbage, {kind}" for kind in ("random bytes", "bad signature", "unknown kid", "one bit changed")),
        "garbage, all", "garbage, memory", "good caller, alone", "good caller, beside garbage", "good caller, not answered 200",
        "issuers: 1", "issuers: 5",
    ]
    assert lines["good caller, not answered 200"] == "0"
    assert re.match(r"2000 sent in \d+ s   [23] fetches of the keys$", lines["garbage, all"]), lines["garbage, all"]
    assert lines["issuers: 1"].endswith("   1 fetches of keys") and lines["issuers: 5"].endswith("   5 fetches of keys")
    assert lines["own, 150 revocations"].endswith(" a second")
    assert done.stderr == ""
