"""The program under test: TAGWARDEN_BIN. With TAGWARDEN_RELEASE=1 it is what would be released, and static."""

import os
import pathlib
import subprocess

import pytest


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
