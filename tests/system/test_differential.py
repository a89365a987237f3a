# SPDX-License-Identifier: Apache-2.0
"""Our answers against NSD's. NSD serves what `meridian dns export` writes; the resolver computes its answers from the
same topology; every generated query goes to both, and the responses must be equal: rcode, flags AA, TC, RD and RA, the
question, the answer section (the chain in order, each record with its TTL) and the authority section.

Topologies are random, with hostile names for regions and stamps; each is asked as the public, as a client that an
override sends elsewhere (--pin), and in two private networks, one chosen by source and one by listener (--view). The
first keeps the private names in D, the second cuts them off at privatelink.D, the third at each region's zone.

What may differ, because it is policy and not the protocol:
 - additional section: ours holds glue at an apex NS answer only. (NSD runs with minimal responses, so that it adds no
   NS records to authority sections either.)
 - a truncated UDP answer: only TC and the rcode count (RFC 2181 section 9). Sizes where only one of the two could
   still fit, since they compress names differently, are not asked for.
 - a fixed empty non-terminal of a configured region that has no name below it: ours exists (NODATA), so that the shape
   of the tree does not depend on tenants; NSD knows names only: NXDOMAIN. Both give the same SOA.
 - QTYPE ANY, RRSIG, NSEC3 (NSD treats the last two apart) and the meta types, classes other than IN, opcodes, malformed packets: not asked here; the malformed
   ones have a test of their own.
 - the EDNS payload size that the server states of itself, and Extended DNS Errors.

MERIDIAN_QUERIES (100000) and MERIDIAN_SEED (a fixed one) may be set in the environment."""
import collections, os, random, re, shutil, socket, struct, subprocess, sys, tempfile, time, unittest

import dnswire as dns

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MERIDIAN_BUILD", os.path.join(SOURCE, "build"))
MERIDIAND = os.path.join(BUILD, "daemon", "meridiand")
MERIDIAN = os.path.join(BUILD, "cli", "meridian")
NSD = shutil.which("nsd", path=os.environ.get("PATH", "") + ":/usr/sbin")
QUERIES = int(os.environ.get("MERIDIAN_QUERIES", "100000"))
SEED = int(os.environ.get("MERIDIAN_SEED", "20231"))
TOPOLOGIES = 3
BATCH = 64  # queries on their way at once
PUBLIC, CORP, PINNED = "127.0.0.1", "127.0.0.66", "127.0.0.77"  # where clients ask from
ENTS = ("geo", "data", "privatelink", "geo.privatelink", "data.privatelink")
SKIP = 77  # meson: this test was skipped
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def free_port():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            t.bind((PUBLIC, 0))
            try:
                u.bind(t.getsockname())
                return t.getsockname()[1]
            except OSError:
                continue


class Topology:
    """A random topology. Addresses are of documentation networks; nothing is there."""

    def __init__(self, rng, lab_listener, i):
        self.rng, self.n_ip, self.taken = rng, 0, set()
        self.domain = rng.choice(["example.test", "reg.example.test", "a.b", "x-1.registry.example.test"])
        names = ["eastus", "geo", "data", "fe", "privatelink", "r" * 31, "a", "westeurope"]
        self.regions = names[:1] + rng.sample(names[1:], rng.randint(2, 6)) + ["quiet"]  # no registry has a replica in quiet
        self.stamps = {r: rng.sample(["eus-1", "geo", "fe", "1", "s" * 63, "a--b", "data", "privatelink", "contoso"], rng.randint(1, 3))
                       for r in self.regions}
        order = rng.sample(self.regions, len(self.regions))
        self.pin = rng.choice(self.regions[:-1])
        ttls = {k: rng.choice([1, 30, 60, 299, 3600, 86400]) for k in
                ("global", "regional", "data", "frontend", "private", "negative", "soa", "ns")}
        if i < 2:  # RFC 2308 section 3: the SOA's own TTL may be the lesser one
            ttls.update(soa=(30, 60)[i], negative=(60, 30)[i])
        self.cut = ("none", "privatelink", "region")[i % 3]
        self.children = {"none": [], "privatelink": ["privatelink"],
                         "region": [f"{r}.geo.privatelink" for r in self.regions]}[self.cut]
        lines = [f"private_cut: insecure\nprivate_cut_at: {self.cut}"] if self.children else []
        lines += [f"version: {rng.choice([1, 7, 4294967294, 4294967298])}", f"domain: {self.domain}",
                 f"hostmaster: host-master@{self.domain}", "regions:"]
        for i, r in enumerate(self.regions):
            lines.append(f"  - name: {r}\n    peer: 192.0.2.{i + 1}:8443\n    stamps:")
            lines += [f"      - {{ name: \"{s}\", {self.addresses()} }}" for s in self.stamps[r]]
        servers = [f"{s}.{r}" for r in self.regions for s in self.stamps[r]]
        lines.append("name_servers: [" + ", ".join(rng.sample(servers, min(len(servers), rng.randint(1, 4)))) + "]")
        lines.append("registries:")
        self.registries = []
        for i in range(rng.randint(20, 60)):
            lines += self.registry(i)
        lines.append(f"routing:\n  order: [{', '.join(order)}]")
        lines.append(f"  overrides: [{{ clients: {PINNED}, order: [{self.pin}] }}]")
        lines.append(f"views:\n  - {{ name: corp, sources: [{CORP}] }}")
        lines.append(f"  - {{ name: lab, listeners: [\"{lab_listener}\"], sources: [127.0.0.0/8] }}")
        lines.append("private_endpoints:")
        for view in ("corp", "lab"):
            for name, regions in rng.sample(self.registries, len(self.registries) // 3):
                lines += self.private_endpoint(name, regions, view)
        lines.append("health: { interval: 60s, timeout: 1s }")
        lines.append("ttl: { " + ", ".join(f"{k}: {v}s" for k, v in ttls.items()) + " }")
        lines.append("certificates: { ca_region: eastus }")
        lines += self.statics()
        self.yaml = "\n".join(lines) + "\n"

    def statics(self):
        """Sets so small or so large that names compressed in another way make no difference to what fits."""
        rng = self.rng
        some = lambda *what: rng.sample(what, rng.randint(0, len(what)))
        txt = [f'"{t}"' for t in some("v=spf1 -all", "x" * 90, "; not a comment", "ü")] + ['"%s"' % ("y" * 2000)] * (rng.random() < 0.5)
        mx = some("{ host: mx1.example.net }", "{ preference: 5, host: mx2.example.net }", f"{{ preference: 0, host: {self.domain} }}")
        caa = some('{ tag: issue, value: "ca.test; a=b" }', '{ tag: iodef, value: "mailto:a@example.net", critical: true }')
        places = rng.sample(["", "privatelink"] + [f"{r}.{e}" for r in self.regions for e in ("geo", "data", "fe", "geo.privatelink", "data.privatelink")], 6)
        txts = ["[a]", '[a, b, "%s"]' % ("c" * 60), '["%s"]' % ("d" * 3000)]
        challenges = [(f"at: {p}, " if p else "") + f"txt: {rng.choice(txts)}" for p in places]
        return [f"apex:\n  ttl: {rng.choice([1, 300, 86400])}s\n  ipv4: [{', '.join(some('192.0.2.80', '192.0.2.81'))}]",
                f"  ipv6: [{', '.join(some(chr(34) + '2001:db8::80' + chr(34)))}]", f"  mx: [{', '.join(mx)}]", f"  txt: [{', '.join(txt)}]",
                f"  caa: [{', '.join(caa)}]", "  acme_challenge:"] + [f"    - {{ {c} }}" for c in challenges]

    def ip(self, v6):
        self.n_ip += 1
        return f"\"2001:db8::{self.n_ip:x}\"" if v6 else f"198.{18 + self.n_ip // 65536}.{self.n_ip // 256 % 256}.{self.n_ip % 256}"

    def addresses(self):
        # 32 A, or 30 AAAA: more than 530 bytes, whatever the names, and less than 1232
        n4, n6 = self.rng.choice([(1, 0), (1, 1), (0, 1), (3, 2), (32, 0), (32, 30), (2, 0), (1, 3)])
        return (f"ipv4: [{', '.join(self.ip(False) for _ in range(n4))}], "
                f"ipv6: [{', '.join(self.ip(True) for _ in range(n6))}]")

    def registry(self, i):
        rng = self.rng
        while True:
            n = rng.choice([5, 8, 12, 46])
            name = rng.choice(["", "geo", "data", "fe"]) + "".join(rng.choice(LETTERS) for _ in range(n))
            name = name[:46]
            if name not in self.taken:
                break
        self.taken.add(name)
        hash_ = "".join(rng.choice(LETTERS) for _ in range(16)) if rng.random() < 0.3 else None
        regions = rng.sample(self.regions[:-1], rng.randint(1, len(self.regions) - 1))
        on = rng.choice(regions)  # one takes global clients
        replicas = [f"      - {{ region: {r}, {self.stamp(r)}, "
                    f"global_routing: {str(r == on or rng.random() < 0.7).lower()}, drained: {str(rng.random() < 0.3).lower()}, "
                    f"stage: {'public' if r == on else self.stage()} }}" for r in regions]
        self.regional = rng.random() < 0.8
        self.registries.append((name, regions if self.regional else []))
        switch = lambda on: "enabled" if on else "disabled"
        return ([f"  - name: \"{name}\""] + ([f"    hash: \"{hash_}\""] if hash_ else []) +
                [f"    {which}stage: {self.stage()}" for which in ("", "regional_", "data_")] +
                [f"    regional_endpoints: {switch(self.regional)}", f"    data_endpoints: {switch(rng.random() < 0.5)}", "    replicas:"] +
                replicas)

    def stage(self):
        """Some names are on their way up or down."""
        return self.rng.choice(["public"] * 8 + ["private", "edge"])

    def stamp(self, region):
        """Some have moved to another one, and some are to."""
        rng = self.rng
        stamp, was = rng.choice(self.stamps[region]), rng.choice(self.stamps[region])
        moves = stamp != was and rng.random() < 0.6
        since = rng.choice(["2026-01-01T00:00:00Z", "2126-01-01T00:00:00Z"])
        return f'stamp: "{stamp}"' + (f', stamp_was: "{was}", stamp_since: "{since}"' if moves else "")

    def private_endpoint(self, name, regions, view):
        rng = self.rng
        some = lambda: "[" + ", ".join(self.ip(rng.random() < 0.3) for _ in range(rng.choice([1, 1, 2, 3]))) + "]"
        members = [f"registry: {some()}"]
        for r in regions:
            members += [f"{word}{r}: {some()}" for word in ("registry_", "registry_data_") if rng.random() < 0.6]
        return [f"  - {{ name: {name}-{view}, registry: \"{name}\", view: {view}, addresses: {{ {', '.join(members)} }} }}"]


def records_of(zone_text):
    return [(dns.lower(dns.name(l.split()[0])), l.split()[3]) for l in zone_text.splitlines() if not l.startswith(";")]


class Questions:
    """Random queries around the names of a topology."""
    TYPES = [(dns.A, 40), (dns.AAAA, 20), (dns.CNAME, 6), (dns.NS, 6), (dns.SOA, 6), (dns.TXT, 4), (dns.MX, 3), (dns.SRV, 1), (dns.DS, 5),
             (dns.DNSKEY, 2), (dns.PTR, 1), (257, 2), (64, 1), (65, 2), (47, 1), (51, 1), (44, 1), (52, 1), (61, 1), (99, 1), (39, 1),
             (1000, 1), (65280, 1), (65534, 1)]

    STATIC = {"MX": dns.MX, "TXT": dns.TXT, "CAA": 257, "A": dns.A, "AAAA": dns.AAAA}

    def __init__(self, rng, topology, records):
        owners = {o for o, _ in records}
        self.rng, self.t, self.owners = rng, topology, sorted(owners)
        self.statics = sorted({(o, self.STATIC[k]) for o, k in records if k in ("MX", "TXT", "CAA") or
                               (k in self.STATIC and o == dns.name(topology.domain))})
        self.apex = dns.name(topology.domain)
        at = lambda s: dns.name(f"{s}.{topology.domain}")
        self.ents = {at(e) for e in ENTS} | {at(f"{r}.{e}") for r in topology.regions for e in ENTS if e != "privatelink"}
        self.ents_fe = {at("fe")} | {at(f"{r}.fe") for r in topology.regions}
        self.populated = {o[i:] for o in owners for i in range(len(o) + 1)}
        self.shapes = sorted(self.ents | self.ents_fe)

    def case(self, labels):
        way = self.rng.random()
        if way < 0.5:
            return labels
        if way < 0.6:
            return tuple(l.upper() for l in labels)
        return tuple(bytes(b ^ 0x20 if chr(b).isalpha() and self.rng.random() < 0.5 else b for b in l) for l in labels)

    def label(self):
        rng = self.rng
        return rng.choice([
            lambda: bytes(rng.choice(LETTERS.encode()) for _ in range(rng.choice([1, 3, 5, 16, 63]))),
            lambda: rng.choice([b"geo", b"data", b"fe", b"privatelink", b"_route", b"www", b"ns", b"*", b"quiet", b"eastus", b"-", b"_acme-challenge"]),
            lambda: bytes(rng.randrange(256) for _ in range(rng.choice([1, 2, 8, 63]))),
            lambda: rng.choice(rng.choice(self.owners) or (b"x",)),
            lambda: ".".join(["contoso", self.t.domain]).encode()[:63],
        ])()

    def wrong(self, labels):
        """The name with something done to the labels in front of the domain."""
        rng = self.rng
        front, rest = list(labels[:-len(self.apex)]), labels[-len(self.apex):]
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            way, i = rng.randrange(7), rng.randrange(len(front) + 1)
            if way == 0:
                front.insert(i, self.label())
            elif way == 1 and front:
                front.pop(i - 1)
            elif way == 2 and front:
                front[i - 1] = self.label()
            elif way == 3 and len(front) > 1:
                rng.shuffle(front)
            elif way == 4 and front:
                l = bytearray(front[i - 1])
                l[rng.randrange(len(l))] = rng.choice(b"x-_.\0 0@\xff")
                front[i - 1] = bytes(l)
            elif way == 5:
                front = [b"_route"] + front
            elif front:
                front[i - 1] = (front[i - 1] + rng.choice([b"a", b"-0123456789abcdef", b"-"]))[:63]
        return tuple(front) + rest

    def foreign(self):
        rng, d = self.rng, self.apex
        return rng.choice([(), d[1:], d[:-1], (b"x",) + d[1:], d + (b"x",), (b"x" + d[0],) + d[1:], dns.name("example.com"),
                           (b"x." + d[0],) + d[1:], (b"x." + b".".join(d),), rng.choice(self.owners)[:-1], d[-1:]])

    def any_name(self):
        way = self.rng.random()
        if way < 0.55:
            return self.rng.choice(self.owners)
        if way < 0.65:
            return self.rng.choice(self.shapes)
        if way < 0.7:
            return self.foreign()
        return self.wrong(self.rng.choice(self.owners if self.rng.random() < 0.8 else self.shapes))

    def next(self):
        rng = self.rng
        while True:
            labels = self.case(self.any_name())
            lower = tuple(l.lower() for l in labels)
            # _route.L.D is said per client: a zone file has no such names
            if len(dns.wire_name(labels)) <= 255 and not (lower[:1] == (b"_route",) and lower[1:] in self.populated):
                break
        if rng.random() < 0.02 and self.statics:
            labels, qtype = rng.choice(self.statics)
            labels = self.case(labels)
        else:
            qtype = rng.choices([t for t, _ in self.TYPES], [w for _, w in self.TYPES])[0]
        edns = rng.choice([None, None, 0, 512, 530, 1232, 4096, 65535])
        options = rng.choice([b"", b"", b"", struct.pack(">HH", 65001, 3) + b"abc"]) if edns is not None else b""
        packet = dns.query(rng.randrange(65536), labels, qtype, rd=rng.random() < 0.5, edns=edns, do=edns is not None and rng.random() < 0.2,
                           options=options)
        return labels, qtype, edns, packet


class Server:
    """One name server as a client asks it."""

    def __init__(self, name, port, source):
        self.name, self.to, self.source, self.tcp = name, (PUBLIC, port), source, None
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((source, 0))
        self.udp.connect(self.to)
        self.udp.settimeout(5)

    def close(self):
        self.udp.close()
        if self.tcp:
            self.tcp.close()
        self.tcp = None

    def _exact(self, n):
        got = b""
        while len(got) < n:
            self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # a server may hold back what follows until then
            more = self.tcp.recv(n - len(got))
            if not more:
                raise ConnectionError
            got += more
        return got

    def ask_all(self, packets, over_tcp):
        """The responses to queries with ids of their own, sent one after the other before the first is awaited."""
        for last in (False, True):  # a server may close an old connection
            try:
                return self._ask_tcp(packets) if over_tcp else self._ask_udp(packets)
            except ConnectionError:
                self.tcp.close()
                self.tcp = None
                if last:
                    raise

    def _ask_udp(self, packets):
        got = {}
        for p in packets:
            self.udp.send(p)
        while len(got) < len(packets):
            r = self.udp.recv(65535)
            got[r[:2]] = r
        return [got[p[:2]] for p in packets]

    def _ask_tcp(self, packets):
        got = {}
        if not packets:
            return []
        if not self.tcp:
            self.tcp = socket.create_connection(self.to, timeout=5, source_address=(self.source, 0))
        self.tcp.sendall(b"".join(struct.pack(">H", len(p)) + p for p in packets))
        while len(got) < len(packets):
            r = self._exact(struct.unpack(">H", self._exact(2))[0])
            got[r[:2]] = r
        return [got[p[:2]] for p in packets]


def differences(ours, theirs, questions, labels, edns):
    """What is not equal, and not policy."""
    bad = []
    compare = lambda what, a, b: a == b or bad.append(f"{what}: ours {a}, NSD {b}")
    key = dns.lower(labels)
    for name, r in (("ours", ours), ("NSD", theirs)):
        if r.question is None or r.question[0] != labels:
            bad.append(f"{name}: the question did not come back as it was")
        if (r.opt is not None) != (edns is not None):
            bad.append(f"{name}: OPT in the response, {r.opt}, does not follow the query")
    if key in questions.ents and key not in questions.populated:
        compare("rcode of an ENT without names", (ours.rcode, theirs.rcode), (dns.NOERROR, dns.NXDOMAIN))
    else:
        compare("rcode", ours.rcode, theirs.rcode)
    for bit, name in ((dns.AA, "AA"), (dns.TC, "TC"), (dns.RD, "RD"), (dns.RA, "RA"), (0x20, "AD"), (0x7800, "opcode")):
        compare(name, ours.flags & bit, theirs.flags & bit)
    if ours.opt and theirs.opt:
        compare("EDNS version and flags", ours.opt[1:3], theirs.opt[1:3])
    if ours.flags & theirs.flags & dns.TC:
        return bad
    chain = lambda r: [rr for rr in r.answer if rr[1] == dns.CNAME]
    compare("chain", chain(ours), chain(theirs))
    compare("answer", collections.Counter(ours.answer), collections.Counter(theirs.answer))
    compare("authority", collections.Counter(ours.authority), collections.Counter(theirs.authority))
    return bad


class Both(unittest.TestCase):
    """Ours and NSD side by side."""

    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory(prefix="meridian-diff."))
        os.chmod(self.dir, 0o755)

    def run_tool(self, *words, **more):
        r = subprocess.run(words, capture_output=True, text=True, timeout=60, **more)
        self.assertEqual(r.returncode, 0, f"{' '.join(words)}\n{r.stdout}{r.stderr}")
        return r.stdout

    def start(self, log, *words):
        """A server as our child, ended by its pid when the test is over."""
        out = self.enterContext(open(log, "wb"))
        child = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

        def stop():
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(20)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.addCleanup(stop)
        return child, stop

    def wait_answers(self, port, apex, child, log):
        packet = dns.query(1, apex, dns.SOA)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if child.poll() is not None:
                break
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(0.2)
                try:
                    s.connect((PUBLIC, port))
                    s.send(packet)
                    r = dns.Response(s.recv(4096))
                    if r.rcode == 0 and r.answer:
                        return
                except OSError:
                    time.sleep(0.05)
        with open(log, errors="replace") as f:
            self.fail(f"{child.args[0]} does not answer, exit status {child.poll()}\n{f.read()}")

    def wait_connects(self, path):
        end = time.monotonic() + 30
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                try:
                    return s.connect(path)
                except OSError as e:
                    self.assertLess(time.monotonic(), end, f"{path}: {e}")
                    time.sleep(0.02)

    def make_keys(self, where):
        """Before ours starts; this one serves unsigned zones."""

    def start_ours(self, where, t, ports):
        os.mkdir(where)
        with open(f"{where}/given.yaml", "w") as f:
            f.write(t.yaml)
        self.run_tool(MERIDIAN, "init", "--topology", f"{where}/given.yaml", "--out", where)
        with open(f"{where}/principals.yaml", "w") as f:
            f.write("version: 1\n")
        os.chmod(f"{where}/principals.yaml", 0o600)
        with open(f"{where}/meridiand.yaml", "w") as f:
            f.write(f"region: eastus\nstamp: \"{t.stamps['eastus'][0]}\"\nroles: [resolver]\ndata_dir: {where}/eastus\n"
                    f"topology: {where}/topology.yaml\nprincipals: {where}/principals.yaml\nca_file: {where}/ca/ca.pem\n"
                    f"listen: {{ dns: [\"{PUBLIC}:{ports[0]}\", \"{PUBLIC}:{ports[1]}\"] }}\n"
                    f"workers: {{ resolver: 1 }}\nusers: {{ daemon: root, edge: root }}\n")
        self.make_keys(where)
        child, stop = self.start(f"{where}/log", MERIDIAND, "--config", f"{where}/meridiand.yaml")
        self.wait_answers(ports[0], dns.name(t.domain), child, f"{where}/log")
        admin = f"{where}/eastus/run/admin.sock"
        self.wait_connects(admin)
        for r in t.regions:  # nothing is there to be probed; verdicts must not change while we compare
            self.run_tool(MERIDIAN, "health", "force", r, "up", "--admin", admin)

        def stop_in_order():
            stop()
            with open(f"{where}/log", errors="replace") as f:
                self.assertEqual(child.returncode, 0, f.read())  # a sanitizer's complaint too
        return stop_in_order

    def start_nsd(self, where, t, zones):
        os.mkdir(where)
        port = free_port()
        conf = [f"server:\n ip-address: {PUBLIC}@{port}\n username: \"\"\n zonesdir: \"{where}\"\n zonelistfile: \"{where}/zone.list\"\n"
                f" xfrdfile: \"{where}/xfrd.state\"\n xfrdir: \"{where}\"\n pidfile: \"\"\n database: \"\"\n server-count: 1\n"
                " minimal-responses: yes\n round-robin: no\n ipv4-edns-size: 1232\n rrl-ratelimit: 0\n do-ip6: no\n verbosity: 1\n"
                " tcp-query-count: 0\n tcp-timeout: 120\nremote-control:\n control-enable: no\n"]
        for apex, zone_text in zones.items():
            with open(f"{where}/{apex}.zone", "w") as f:
                f.write(zone_text)
            conf.append(f"zone:\n name: \"{apex}\"\n zonefile: \"{apex}.zone\"\n")
        with open(f"{where}/nsd.conf", "w") as f:
            f.write("".join(conf))
        child, stop = self.start(f"{where}/log", NSD, "-d", "-c", f"{where}/nsd.conf")
        for apex in zones:
            self.wait_answers(port, dns.name(apex), child, f"{where}/log")
        return port, stop

    def ask_both(self, asked, over_tcp, ours, theirs, what):
        packets = [q[3] for q in asked]
        try:
            return [s.ask_all(packets, over_tcp) for s in (ours, theirs)]
        except OSError as e:
            self.fail(f"{what}: over {'TCP' if over_tcp else 'UDP'}: {e!r}, one of\n" + "\n".join(p.hex() for p in packets))

    def contexts(self, t, ports):
        """Who asks: name, source, port, and what makes `dns export` write what they see."""
        return [("public", PUBLIC, ports[0], []), ("pinned", PINNED, ports[0], ["--pin", t.pin]),
                ("corp", CORP, ports[0], ["--view", "corp"]), ("lab", PUBLIC, ports[1], ["--view", "lab"])]

    def export(self, where, t, words):
        """Text of all zones as a context sees them."""
        export = lambda *more: self.run_tool(MERIDIAN, "dns", "export", "--topology", f"{where}/topology.yaml", *more)
        zones = {t.domain: export("--zone", "D", "--expand", *words), f"fe.{t.domain}": export("--zone", "fe")}
        return zones | {f"{c}.{t.domain}": export("--zone", c, "--expand", *words) for c in t.children}


class Differential(Both):
    def compare(self, rng, questions, ours, theirs, n, what):
        failures, seen = 0, collections.Counter()
        while n > 0:
            batch = {}
            while len(batch) < min(n, BATCH):
                q = questions.next()
                batch[q[3][:2]] = q  # ids that differ
            n -= len(batch)
            split = {False: [], True: []}
            for q in batch.values():
                split[rng.random() < 0.15].append(q)
            for over_tcp, asked in split.items():
                for q, a, b in zip(asked, *self.ask_both(asked, over_tcp, ours, theirs, what)):
                    failures += self.compare_one(q, over_tcp, a, b, questions, seen, what, failures < 8)
        self.assertEqual(failures, 0, f"{what}: {failures} queries answered differently")
        return seen

    def compare_one(self, query, over_tcp, ours, theirs, questions, seen, what, show):
        labels, qtype, edns, packet = query
        try:
            a, b = dns.Response(ours), dns.Response(theirs)
        except dns.Malformed as e:
            self.fail(f"{what}: {dns.text(labels)} type {qtype}: {e!r}\n{packet.hex()}")
        bad = differences(a, b, questions, labels, edns)
        seen["ENT without names"] += a.rcode != b.rcode
        seen[(a.rcode, bool(a.flags & dns.TC), len([r for r in a.answer if r[1] == dns.CNAME]))] += 1
        seen["statics"] += bool(a.answer) and a.answer[0][1] in (dns.MX, dns.TXT, 257)
        if bad and show:
            print(f"{what}: {dns.text(labels)} type {qtype} over {'TCP' if over_tcp else 'UDP'}, EDNS {edns}\n  " + "\n  ".join(bad) +
                  f"\n ours: {a}\n NSD: {b}\n packet: {packet.hex()}\n", file=sys.stderr)
        return bool(bad)

    def one_topology(self, i):
        rng = random.Random(SEED * 1000 + i)
        ports = free_port(), free_port()
        t = Topology(rng, f"{PUBLIC}:{ports[1]}", i)
        where = f"{self.dir}/{i}"
        stop = self.start_ours(where, t, ports)
        seen, contexts = collections.Counter(), self.contexts(t, ports)
        for name, source, port, words in contexts:
            zones = self.export(where, t, words)
            records = [r for z in zones.values() for r in records_of(z)]
            nsd_port, stop_nsd = self.start_nsd(f"{where}/nsd-{name}", t, zones)
            servers = Server("ours", port, source), Server("NSD", nsd_port, PUBLIC)
            try:
                seen += self.compare(rng, Questions(rng, t, records), *servers, -(-QUERIES // TOPOLOGIES // len(contexts)),
                                     f"seed {SEED}, topology {i}, {name}")
            finally:
                for s in servers:
                    s.close()
            stop_nsd()
        stop()
        return seen

    def test_all(self):
        start, seen = time.monotonic(), collections.Counter()
        for i in range(TOPOLOGIES):
            seen += self.one_topology(i)
        bare, statics = seen.pop("ENT without names"), seen.pop("statics")
        print(f"{sum(seen.values())} queries in {time.monotonic() - start:.0f} s, {bare} for an ENT without names; by (rcode, TC, CNAMEs):",
              dict(sorted(seen.items())))
        self.assertGreater(bare, 0)
        self.assertGreater(statics, QUERIES // 1000)
        for shape in ((0, False, 0), (0, False, 1), (0, False, 2), (3, False, 0), (5, False, 0), (0, True, 0)):
            self.assertGreater(seen[shape], QUERIES // 1000, f"hardly any query gave {shape}: the generator is broken")


if __name__ == "__main__":
    if os.geteuid() != 0 or not NSD:
        print("skipped: needs root (to start servers that keep their user) and nsd")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
