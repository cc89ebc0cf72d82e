"""Holds a CycloneDX 1.5 bill of materials against Cargo.lock and what cargo says is linked.

    sbom.py SBOM.json Cargo.lock < LINKED

LINKED has a package in each line, as `cargo tree --prefix none --format '{p}'` prints it. Every one of them must be there, and
every component must be a package of Cargo.lock with the checksum that stands there. Prints what is wrong, a line each, or
the count of components.
"""

import json
import re
import sys
import tomllib


def linked(lines):
    """name and version of each line `name vVERSION ...`"""
    found = {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in lines if line.strip()}
    if not found:
        raise SystemExit("no package is linked: nothing was compared")
    return found


def faults(bill, lock, needed):
    """What is wrong with a bill, in texts."""
    if (bill.get("bomFormat"), bill.get("specVersion")) != ("CycloneDX", "1.5"):
        yield "this is no CycloneDX 1.5"
    own = bill["metadata"]["component"]
    held = {(own["name"], own["version"])}
    for component in bill["components"]:
        package = component["name"], component["version"]
        named = "{} {}".format(*package)
        if package in held:
            yield f"{named} stands twice"
        held.add(package)
        if package not in lock:
            yield f"{named} is not in Cargo.lock"
            continue
        if component.get("purl") != "pkg:cargo/{}@{}".format(*package):
            yield f"{named} is called {component.get('purl')}"
        if not component.get("licenses"):
            yield f"{named} has no licence"
        sums = [hash["content"] for hash in component.get("hashes", []) if hash["alg"] == "SHA-256"]
        if sums != [lock[package]]:
            yield f"{named} has another checksum than in Cargo.lock: {sums}"
    for package in sorted(needed - held):
        yield "{} {} is linked and missing".format(*package)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        bill = json.load(file)
    with open(sys.argv[2], "rb") as file:
        lock = {(package["name"], package["version"]): package.get("checksum") for package in tomllib.load(file)["package"]}
    needed = linked(sys.stdin)
    wrong = list(faults(bill, lock, needed))
    # A check that finds nothing wrong in a bill with a hole in it would hold nothing.
    for at in (0, len(bill["components"]) // 2):
        rest = dict(bill, components=bill["components"][:at] + bill["components"][at + 1 :])
        gone = bill["components"][at]
        if (gone["name"], gone["version"]) in needed and not any("missing" in text for text in faults(rest, lock, needed)):
            wrong.append("a component that is taken out is not missed")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(bill['components'])} components, {len(needed)} linked packages all among them")


if __name__ == "__main__":
    main()
