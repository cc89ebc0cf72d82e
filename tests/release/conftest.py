"""The program under test: TAGWARDEN_BIN. With TAGWARDEN_RELEASE=1 it is what would be released, and static."""

import os
import pathlib
import subprocess

import pytest

# What is put into an image is for another user than the one who puts it there.
os.umask(0o022)


@pytest.fixture(scope="session")
def binary():
    return pathlib.Path(os.environ["TAGWARDEN_BIN"]).resolve()


@pytest.fixture(scope="session")
def released():
    return os.environ.get("TAGWARDEN_RELEASE") == "1"


@pytest.fixture(scope="session")
def said(binary):
    """What a command prints."""

    def said(*arguments):
        return subprocess.run([binary, *arguments], capture_output=True, text=True, check=True).stdout

    return said
