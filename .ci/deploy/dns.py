"""A name server for one name, to see that a program resolves names by DNS.

Usage: dns.py ADDRESS NAME; answers on ADDRESS, UDP port 53, that NAME is 127.0.0.1.
"""

import socket
import struct
import sys

address, name = sys.argv[1:]
wanted = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 1
    question, kind = query[12 : end + 4], struct.unpack("!H", query[end : end + 2])[0]
    known = query[12:end].lower() == wanted
    answers = [b"\xc0\x0c" + struct.pack("!HHIH4B", 1, 1, 60, 4, 127, 0, 0, 1)] if known and kind == 1 else []
    # An answer of a resolver: 0x8180 is "no error", 3 more "no such name".
    flags = 0x8180 if known else 0x8183
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0)
    server.sendto(header + question + b"".join(answers), client)
