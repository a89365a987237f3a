# SPDX-License-Identifier: Apache-2.0
"""DNS on the wire, as little as tests need: queries from labels, responses to tuples that compare. Names are tuples of
labels as bytes. Strict: what breaks RFC 1035 raises Malformed."""
import struct

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DS, DNSKEY, OPT, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 48, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
AA, TC, RD, RA = 0x0400, 0x0200, 0x0100, 0x0080
EDE = 15  # option code


class Malformed(Exception):
    pass


def name(text):
    """Labels of a name in text form, without escapes; "" or "." is the root."""
    return tuple(l.encode() for l in text.rstrip(".").split(".")) if text.rstrip(".") else ()


def text(labels):
    """For people: bytes that are no letters, digits, '-', '_' or '*' as \\DDD."""
    show = lambda b: chr(b) if chr(b).isalnum() and b < 128 or b in b"-_*" else f"\\{b:03d}"
    return ".".join("".join(show(b) for b in l) for l in labels) + "."


def lower(labels):
    return tuple(l.lower() for l in labels)


def wire_name(labels):
    return b"".join(bytes([len(l)]) + l for l in labels) + b"\0"


def query(qid, labels, qtype, qclass=1, rd=True, flags=0, edns=None, do=False, options=b"", version=0):
    """`edns`: the buffer size to announce, or None for a query without OPT."""
    out = struct.pack(">HHHHHH", qid, (RD if rd else 0) | flags, 1, 0, 0, edns is not None)
    out += wire_name(labels) + struct.pack(">HH", qtype, qclass)
    if edns is not None:
        out += struct.pack(">BHHBBHH", 0, OPT, edns, 0, version, 0x8000 if do else 0, len(options)) + options
    return out


def _read_name(p, at):
    labels, end, least = [], None, at
    size = 1
    while True:
        n = p[at]
        if n >= 0xc0:
            to = (n & 0x3f) << 8 | p[at + 1]
            end = at + 2 if end is None else end
            if to >= least:
                raise Malformed("a pointer does not go back")
            at = least = to
        elif n > 63:
            raise Malformed("label type")
        elif n == 0:
            return tuple(labels), at + 1 if end is None else end
        else:
            label = p[at + 1:at + 1 + n]
            size += n + 1
            if len(label) < n or size > 255:
                raise Malformed("name")
            labels.append(label)
            at += 1 + n


def _rdata(p, at, n, rtype):
    if rtype in (CNAME, NS, PTR):
        labels, end = _read_name(p, at)
        value = lower(labels)
    elif rtype == MX:
        labels, end = _read_name(p, at + 2)
        value = struct.unpack_from(">H", p, at) + (lower(labels),)
    elif rtype == SOA:
        mname, end = _read_name(p, at)
        rname, end = _read_name(p, end)
        value = (lower(mname), lower(rname)) + struct.unpack_from(">IIIII", p, end)
        end += 20
    else:
        value, end = p[at:at + n], at + n
        if len(value) < n or (rtype == A and n != 4) or (rtype == AAAA and n != 16):
            raise Malformed("rdata")
    if end != at + n:
        raise Malformed("rdata length")
    return value


class Response:
    """id, flags, rcode (extended), question (labels, type, class), answer, authority, additional: lists of
    (owner in lower case, type, class, ttl, rdata); opt: (size, version, flags, {code: data}) or None."""

    def __init__(self, p):
        try:
            self._parse(p)
        except (IndexError, struct.error) as e:
            raise Malformed(str(e)) from e

    def _parse(self, p):
        self.size = len(p)
        self.id, self.flags, nq, *counts = struct.unpack_from(">HHHHHH", p)
        if not self.flags & 0x8000 or nq > 1:
            raise Malformed("no response")
        self.rcode = self.flags & 15
        self.question, self.opt, at = None, None, 12
        if nq:
            labels, at = _read_name(p, at)
            self.question = (labels,) + struct.unpack_from(">HH", p, at)
            at += 4
        self.answer, self.authority, self.additional = [], [], []
        for section, n in zip((self.answer, self.authority, self.additional), counts):
            for _ in range(n):
                owner, at = _read_name(p, at)
                rtype, rclass, ttl, n_rdata = struct.unpack_from(">HHIH", p, at)
                at += 10
                if rtype == OPT:
                    self._opt(p[at:at + n_rdata], owner, rclass, ttl, section)
                else:
                    section.append((lower(owner), rtype, rclass, ttl, _rdata(p, at, n_rdata, rtype)))
                at += n_rdata
        if at != len(p):
            raise Malformed("bytes after the end, or missing")

    def _opt(self, data, owner, size, ttl, section):
        if self.opt or owner or section is not self.additional:
            raise Malformed("OPT")
        options, at = {}, 0
        while at < len(data):
            code, n = struct.unpack_from(">HH", data, at)
            options[code] = data[at + 4:at + 4 + n]
            at += 4 + n
        if at != len(data):
            raise Malformed("OPT options")
        self.opt = (size, ttl >> 16 & 255, ttl & 0xffff, options)
        self.rcode |= ttl >> 24 << 4

    def __str__(self):
        flags = "".join(f" {n}" for b, n in ((AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (0x20, "ad"), (0x10, "cd")) if self.flags & b)
        lines = [f"rcode {self.rcode}, flags{flags}, {self.size} bytes, opt {self.opt}"]
        for what in ("answer", "authority", "additional"):
            for owner, rtype, rclass, ttl, rdata in getattr(self, what):
                lines.append(f"  {what}: {text(owner)} {ttl} class {rclass} type {rtype} {show(rtype, rdata)}")
        return "\n".join(lines)


def show(rtype, rdata):
    if rtype in (A, AAAA):
        return ".".join(map(str, rdata)) if rtype == A else rdata.hex(":", 2)
    if rtype in (CNAME, NS, PTR):
        return text(rdata)
    if rtype == SOA:
        return " ".join([text(rdata[0]), text(rdata[1])] + [str(n) for n in rdata[2:]])
    if rtype == MX:
        return f"{rdata[0]} {text(rdata[1])}"
    return rdata.hex()
