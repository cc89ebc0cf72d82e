"""The archive: what is in it, that two of it are the same, and that its checksums hold."""

import os
import pathlib
import subprocess
import tarfile

import pytest

HERE = pathlib.Path(__file__).parent


def pack(binary, folder, **environment):
    archive = HERE / "archive"
    bill = folder.parent / "bill.json"
    bill.write_text("{}")
    environment = dict(os.environ, **environment)
    run = subprocess.run([archive, binary, folder, bill], capture_output=True, text=True, check=True, env=environment)
    return pathlib.Path(run.stdout.strip())


@pytest.fixture(scope="module")
def packed(binary, tmp_path_factory):
    return pack(binary, tmp_path_factory.mktemp("one") / "dist")


def test_it_unpacks_over_a_prefix_and_runs(packed, tmp_path, binary, said):
    subprocess.run(["tar", "-x", "--strip-components=1", "-C", tmp_path, "-f", packed], check=True)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    pages = {name for name in files if name.startswith("share/man/man1/")}
    assert {"share/man/man1/tagwarden.1", "share/man/man1/tagwarden-client-add.1"} < pages
    assert files - pages == {
        "bin/tagwarden",
        "share/bash-completion/completions/tagwarden",
        "share/zsh/site-functions/_tagwarden",
        "share/fish/vendor_completions.d/tagwarden.fish",
        "share/doc/tagwarden/LICENSE",
        "share/doc/tagwarden/README.md",
        "share/doc/tagwarden/CHANGELOG.md",
        "share/doc/tagwarden/sbom.cdx.json",
    }
    version = subprocess.run([tmp_path / "bin/tagwarden", "version"], capture_output=True, text=True, check=True).stdout
    assert version == said("version") and version.split()[1] in packed.name
    assert (tmp_path / "share/fish/vendor_completions.d/tagwarden.fish").read_text() == said("completion", "fish")


def test_nothing_of_the_machine_is_in_it(packed):
    with tarfile.open(packed) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert len({member.mtime for member in members}) == 1
    executable = {name.split("/", 1)[1] for name, member in zip(names, members) if member.isfile() and member.mode & 0o111}
    assert executable == {"bin/tagwarden"}
    assert {member.mode for member in members} <= {0o755, 0o644}


def test_it_is_the_same_when_it_is_made_again(packed, binary, tmp_path):
    again = pack(binary, tmp_path / "dist", LC_ALL="C", TZ="Asia/Tokyo")
    assert again.name == packed.name and again.read_bytes() == packed.read_bytes()
    assert (again.parent / "SHA256SUMS").read_text() == (packed.parent / "SHA256SUMS").read_text()
    at_another_time = pack(binary, tmp_path / "other", SOURCE_DATE_EPOCH="1")
    assert at_another_time.read_bytes() != packed.read_bytes()


def test_the_checksums_hold_until_a_byte_changes(packed, binary, tmp_path):
    check = lambda: subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True)
    for file in packed.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert check().stdout == f"{packed.name}: OK\n"
    with open(tmp_path / packed.name, "r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    assert check().returncode == 1
