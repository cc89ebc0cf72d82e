"""A real Redis (or Valkey) that keeps nothing: when it ends, all is gone."""

import os
import shutil
import signal
import socket
import threading

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

    def info(self, section):
        """What it counts, name by name."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock, sock.makefile("rb") as answers:
            sock.sendall(f"AUTH {PASSWORD}\r\nINFO {section}\r\n".encode())
            assert answers.readline() == b"+OK\r\n"
            text = answers.read(int(answers.readline()[1:])).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def calls(self):
        """How often each command was called since it started; those of scripts count as well."""
        named = {name.removeprefix("cmdstat_"): value for name, value in self.info("commandstats").items()}
        return {name: int(value.split(",")[0].removeprefix("calls=")) for name, value in named.items()}

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


class Heard:
    """What is published on a channel, until the block ends."""

    def __init__(self, redis, channel):
        self.messages = []
        self.socket = socket.create_connection(("127.0.0.1", redis.port), timeout=10)
        self.answers = self.socket.makefile("rb")
        self.socket.sendall(f"AUTH {PASSWORD}\r\nSUBSCRIBE {channel}\r\n".encode())
        assert self.answers.readline() == b"+OK\r\n"
        assert self.strings(2) == [b"subscribe", channel.encode()] and self.answers.readline() == b":1\r\n"
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def strings(self, count):
        """Of an array of three, the first ones."""
        assert self.answers.readline() == b"*3\r\n"
        return [self.answers.read(int(self.answers.readline()[1:]) + 2)[:-2] for _ in range(count)]

    def listen(self):
        try:
            while True:
                self.messages.append(self.strings(3)[2].decode())
        except (OSError, ValueError, AssertionError):
            pass  # it is closed

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(30)
        self.answers.close()
        self.socket.close()
