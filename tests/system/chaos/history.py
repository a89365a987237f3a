# SPDX-License-Identifier: Apache-2.0
"""What clients did and saw, on one monotonic clock: the evidence that the judge reads. Clients append from their threads."""
import threading
from dataclasses import dataclass


@dataclass
class Op:
    """One request of a client, or one question to a resolver.

    kind    put: a manifest under a tag    get: a tag was read    see: what a visible manifest refers to, or itself
            send: a step of a push that must not be refused    ask: DNS
    tag     "registry/repository:tag" of put, get and see; of ask the name
    digest  of put: what was written; of get: what was read (None: 404); of see: what was looked for
    status  HTTP status, None when no answer came; of ask the answer in words
    """
    kind: str
    client: str
    region: str
    invoked: float
    ended: float
    status: object = None
    tag: str = ""
    digest: str = None
    note: str = ""

    def acknowledged(self):
        return self.kind == "put" and self.status == 201

    def text(self, zero=0.0):
        digest = (self.digest or "-")[7:19] if self.digest else "-"
        return (f"{self.invoked - zero:8.3f} {self.ended - zero:8.3f}  {self.kind:4} {self.region:14} {self.client:12} "
                f"{self.status!s:5} {self.tag} {digest} {self.note}").rstrip()


@dataclass
class Fault:
    """What was done to the fleet. `hits` are the regions whose own programs, line or clock it touches: a cut touches none,
    since a region that is cut off serves on. `end` is when all of it was taken back and its programs were up again."""
    kind: str
    regions: tuple
    hits: tuple
    start: float
    end: float = None
    detail: str = ""

    def text(self, zero=0.0):
        end = "   -    " if self.end is None else f"{self.end - zero:8.3f}"
        return f"{self.start - zero:8.3f} {end}  {self.kind} {' '.join(self.regions)} {self.detail}".rstrip()


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.ops, self.faults = [], []

    def add(self, op):
        with self.lock:
            self.ops.append(op)
        return op

    def of(self, kind):
        return [o for o in self.ops if o.kind == kind]

    def around(self, when, tag="", client="", before_s=3.0, after_s=1.0):
        """What a person needs to see of a violation: the tag's or the client's ops, and the faults, around a moment."""
        near = lambda a, b: b is None or (a <= when + after_s and b >= when - before_s)
        mine = lambda o: o.kind != "ask" and tag in ("", o.tag) and client in ("", o.client)
        ops = [o for o in self.ops if near(o.invoked, o.ended) and mine(o)]
        return sorted(ops, key=lambda o: o.invoked), [f for f in self.faults if near(f.start, f.end)]
