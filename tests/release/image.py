"""What the Dockerfile says, read and carried out without an engine.

    image.py context FOLDER     copies what .dockerignore lets through into FOLDER
"""

import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def stages():
    """The instructions of each stage: (name, [(instruction, its text)])"""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        word, rest = re.fullmatch(r"([A-Z]+)\s+(.*)", line).groups()
        if word == "FROM":
            found.append((rest, []))
        else:
            found[-1][1].append((word, re.sub(r"\s+", " ", rest)))
    return found


class Image:
    """The last stage."""

    def __init__(self):
        self.build, (self.base, instructions) = stages()
        every = lambda word: [rest for name, rest in instructions if name == word]
        known = {"COPY", "LABEL", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
        assert {name for name, _ in instructions} <= known, "an instruction that is not carried out here"
        self.copies = [re.fullmatch(r"--from=build (\S+) (\S+)", rest).groups() for rest in every("COPY")]
        self.user, self.group = map(int, every("USER")[-1].split(":"))
        self.entrypoint = json.loads(every("ENTRYPOINT")[-1])
        self.cmd = json.loads(every("CMD")[-1])
        self.ports = set(map(int, every("EXPOSE")[-1].split()))
        self.health = json.loads(re.search(r"CMD (\[.*\])", every("HEALTHCHECK")[-1])[1])
        self.labels = dict(re.findall(r'(\S+)="([^"]*)"', " ".join(every("LABEL"))))

    def sources(self, binary):
        """What the build stage would have, by the places that the last stage names."""
        here = {"/out/tagwarden": binary, "/tagwarden/LICENSE": REPOSITORY / "LICENSE"}
        return {source: pathlib.Path(here.get(source, source)) for source, _ in self.copies}

    def assemble(self, root, binary):
        """The root file system."""
        sources = self.sources(binary)
        for source, place in self.copies:
            put(sources[source], root / place.lstrip("/"))


def put(source, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def rules():
    """The lines of .dockerignore: (whether it leaves out, pattern), the last that fits decides."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    return [(not line.startswith("!"), line.lstrip("!")) for line in lines]


def let_through(path):
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    left_out = False
    for out, pattern in rules():
        if any(fnmatch.fnmatchcase(name, pattern) for name in above):
            left_out = out
    return not left_out


def context(folder):
    """What an engine would be given. Files that git does not know are no part of a release."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for path in filter(None, listed.split("\0")):
        if let_through(path):
            put(REPOSITORY / path, pathlib.Path(folder) / path)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "context":
        sys.exit(__doc__)
    context(sys.argv[2])
