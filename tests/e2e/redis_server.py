"""A real Redis (or Valkey) that keeps nothing: when it ends, all is gone."""

import os
import shutil
import signal
import socket

from support import Process, free_port, wait_for

PASSWORD = "of-redis-0f3a9c"


class Redis:
    """A process on a port of its own, which it keeps over `kill` and `start`."""

    def __init__(self, folder):
        self.program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert self.program, "neither redis-server nor valkey-server is there: tests/run installs one"
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        self.process = Process(
            [self.program, "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", self.folder, "--requirepass", PASSWORD],
            self.folder / "log",
        )
        wait_for(lambda: self.ask("PING") == b"+PONG\r\n", "an answer of Redis", 30)

    def ask(self, *words):
        """What it says, as far as one packet holds it."""
        assert self.process.child.poll() is None, f"Redis ended:\n{self.process.tail()}"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
            sock.sendall(f"AUTH {PASSWORD}\r\n".encode())
            assert sock.recv(4096) == b"+OK\r\n"
            sock.sendall((" ".join(words) + "\r\n").encode())
            return sock.recv(4096)

    def kill(self):
        """As a machine dies."""
        os.kill(self.process.child.pid, signal.SIGKILL)
        self.process.stop()

    def hang(self):
        os.kill(self.process.child.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.child.pid, signal.SIGCONT)

    def stop(self):
        self.kill()
