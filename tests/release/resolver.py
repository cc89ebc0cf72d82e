"""A name server of one name, on a loopback address of its own: port 53 is the only one that a resolv.conf can say."""

import socket
import struct
import threading


class Resolver:
    def __init__(self, address, name, to):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.name, self.to, self.asked = name, to, set()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
            name = ".".join(labels)
            self.asked.add(name)
            known = name == self.name
            answers = [socket.inet_aton(self.to)] if known and kind == 1 else []
            head = query[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, len(answers), 0, 0)
            records = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + address for address in answers)
            self.socket.sendto(head + query[12 : at + 5] + records, client)

    def close(self):
        self.socket.close()
