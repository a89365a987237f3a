#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes MaxMind databases for tests: mmdb.py OUT < LINES, a line being "NETWORK LATITUDE LONGITUDE", or "NETWORK -" for
a record without a location. IPv4 hangs at ::/96 with the aliases that MaxMind's own files have."""
import ipaddress
import struct
import sys


def control(kind, size):
    head = bytes([(kind << 5 if kind < 8 else 0) | min(size, 29)]) + (bytes([kind - 7]) if kind >= 8 else b"")
    if size < 29:
        return head
    assert size < 29 + 256
    return head + bytes([size - 29])


def text(s):
    return control(2, len(s)) + s.encode()


def number(kind, n):
    b = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return control(kind, len(b)) + b


def mapping(pairs):
    return control(7, len(pairs)) + b"".join(text(k) + v for k, v in pairs)


def double(x):
    return control(3, 8) + struct.pack(">d", x)


class Writer:
    def __init__(self, ip_version=6):
        self.version, self.nodes, self.data, self.known = ip_version, [[None, None]], b"", {}

    def record(self, place):
        if place not in self.known:
            body = [("country", mapping([("iso_code", text("XX"))]))]
            if place:
                body.append(("location", mapping([("latitude", double(place[0])), ("longitude", double(place[1]))])))
            self.known[place] = len(self.data)
            self.data += mapping(body)
        return self.known[place]

    def walk(self, bits):
        """The node and side that a string of bits ends at."""
        node = 0
        for b in bits[:-1]:
            at = self.nodes[node][b]
            if not isinstance(at, int):
                self.nodes.append([at, at])  # what was there holds for both halves
                at = self.nodes[node][b] = len(self.nodes) - 1
            node = at
        return node, bits[-1]

    def put(self, network, place):
        """Wider networks first."""
        net = ipaddress.ip_network(network)
        n, bits = int(net.network_address), net.prefixlen
        width = net.max_prefixlen
        path = [n >> (width - 1 - i) & 1 for i in range(bits)]
        if net.version == 4 and self.version == 6:
            path = [0] * 96 + path
        node, side = self.walk(path)
        self.nodes[node][side] = ("data", self.record(place))

    def alias(self, network):
        net = ipaddress.ip_network(network)
        n = int(net.network_address)
        node, side = self.walk([n >> (127 - i) & 1 for i in range(net.prefixlen)])
        root, last = self.walk([0] * 96)
        if isinstance(self.nodes[root][last], int):
            self.nodes[node][side] = self.nodes[root][last]

    def finish(self, kind="Test-City", built=1795000000):
        count, out = len(self.nodes), bytearray()
        for pair in self.nodes:
            a, b = (count if x is None else x if isinstance(x, int) else count + 16 + x[1] for x in pair)
            assert max(a, b) < 1 << 28
            out += (a & 0xffffff).to_bytes(3, "big") + bytes([(a >> 24) << 4 | b >> 24]) + (b & 0xffffff).to_bytes(3, "big")
        meta = mapping([
            ("node_count", number(6, count)), ("record_size", number(5, 28)), ("ip_version", number(5, self.version)),
            ("database_type", text(kind)), ("languages", control(11, 0)), ("binary_format_major_version", number(5, 2)),
            ("binary_format_minor_version", number(5, 0)), ("build_epoch", number(9, built)), ("description", mapping([])),
        ])
        return bytes(out) + bytes(16) + self.data + b"\xab\xcd\xefMaxMind.com" + meta


def write(path, rows, ip_version=6):
    """rows: (network, (latitude, longitude) or None)."""
    w = Writer(ip_version)
    for network, place in sorted(rows, key=lambda r: ipaddress.ip_network(r[0]).prefixlen):
        w.put(network, place)
    if ip_version == 6:
        w.alias("::ffff:0:0/96")
        w.alias("2002::/16")
    with open(path, "wb") as f:
        f.write(w.finish())


if __name__ == "__main__":
    rows = []
    for line in sys.stdin if len(sys.argv) < 3 else open(sys.argv[2]):
        words = line.split()
        if words and not line.startswith("#"):
            rows.append((words[0], None if words[1] == "-" else (float(words[1]), float(words[2]))))
    write(sys.argv[1], rows)
