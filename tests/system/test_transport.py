# SPDX-License-Identifier: Apache-2.0
"""Transport and abuse, with the real daemon: DNS over TLS as kdig and openssl see it, a thousand idle sessions, clients that
send garbage, giant lengths or half of a handshake; cookies that two servers share and whose secret is rolled over; rate
limits; keepalive and NSID. Two resolvers in a network namespace of their own, on ports 53 and 853."""
import os, re, resource, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, unittest

import dnswire as dns
from lab import MERIDIAN, MERIDIAND, SKIP, need_root, unshare, wait_until

D = "example.test"
EAST6, SIX = "fd00:1::53", ["fd00:2:0:100::1", "fd00:2:0:1ff::1", "fd00:2:0:200::1"]  # the first two of one /56
EAST, WEST, CLIENT, OTHER = "127.0.0.1", "127.0.0.2", "127.0.3.1", "127.0.3.2"
NAMES = {EAST: f"eus-1.eastus.fe.{D}", WEST: f"weu-1.westeurope.fe.{D}"}
REGION = {EAST: "eastus", WEST: "westeurope"}
NAME = f"contoso.eastus.geo.{D}"
CONNECTIONS = 1200
SECRETS = ["e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"]
PROGRAMS = {p: shutil.which(p, path=os.environ.get("PATH", "") + ":/usr/sbin") for p in ("dig", "kdig", "openssl")}
TOPOLOGY = f"""\
version: 1
domain: {D}
regions:
  - {{ name: eastus, peer: 192.0.2.1:8443, stamps: [{{ name: eus-1, ipv4: [192.0.2.1] }}] }}
  - {{ name: westeurope, peer: 192.0.2.2:8443, stamps: [{{ name: weu-1, ipv4: [192.0.2.2] }}] }}
name_servers: [eus-1.eastus, weu-1.westeurope]
registries:
  - {{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
views: [{{ name: desk, listeners: ["{EAST}:8853"], sources: [{CLIENT}], forward: {{ upstreams: "127.0.9.9:5399", names: corp.test, timeout: 50ms }} }}]
private_endpoints:
  - {{ name: contoso-desk, registry: contoso, view: desk, addresses: {{ registry: 10.0.0.9, registry_eastus: 10.0.0.9, registry_westeurope: 10.0.0.10 }} }}
routing: {{ order: [eastus, westeurope] }}
health: {{ interval: 60s }}
"""


class Transport(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        unshare()
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for at in (EAST6, *SIX):
            subprocess.run(["ip", "address", "add", f"{at}/128", "dev", "lo", "nodad"], check=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
        cls.children = {}
        cls.dir = tempfile.mkdtemp(prefix="meridian-transport.")
        try:
            cls.prepare()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        codes = {}
        for at, child in cls.children.items():
            child.send_signal(signal.SIGTERM)
            try:
                codes[at] = child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                codes[at] = child.wait()
        logs = {at: cls.log(at) for at in cls.children}
        shutil.rmtree(cls.dir, True)
        for at, code in codes.items():
            assert code == 0 and "sandbox: the system call" not in logs[at], f"{at}: {code}\n{logs[at][-3000:]}"

    @classmethod
    def prepare(cls):
        given = f"{cls.dir}/given.yaml"
        with open(given, "w") as f:
            f.write(TOPOLOGY)
        subprocess.run([MERIDIAN, "init", "--topology", given, "--out", cls.dir], check=True, capture_output=True)
        with open(f"{cls.dir}/principals.yaml", "w") as f:
            f.write("version: 1\n")
        os.chmod(f"{cls.dir}/principals.yaml", 0o600)
        cls.ca = f"{cls.dir}/ca/ca.pem"
        cls.write_secret(SECRETS[:1])
        limits = {EAST: "", WEST: "rate_limit: { errors: 2, burst: 5s, slip: 2, exempt: [127.0.3.2] }, "}
        private, six = {EAST: f", \"{EAST}:8853\"", WEST: ""}, {EAST: f", \"[{EAST6}]:53\"", WEST: ""}
        for at, name in NAMES.items():
            region = REGION[at]
            with open(f"{cls.dir}/{region}.yaml", "w") as f:
                f.write(f"region: {region}\nstamp: {name.split('.')[0]}\nroles: [resolver]\ndata_dir: {cls.dir}/{region}\ntopology: {cls.dir}/topology.yaml\n"
                        f"principals: {cls.dir}/principals.yaml\nca_file: {cls.ca}\nlisten: {{ dns: [\"{at}:53\"{six[at]}], dot: [\"{at}:853\"{private[at]}] }}\n"
                        f"dns: {{ nsid: {name}, cookies: {{ secret: {cls.dir}/secret }}, {limits[at]}"
                        f"tcp: {{ connections: {CONNECTIONS}, per_client: 1100, idle: 60s }} }}\n"
                        f"workers: {{ resolver: 1 }}\nusers: {{ daemon: root, edge: root }}\n")
            with open(f"{cls.dir}/{region}.log", "ab") as log:
                # An allocator that fills what it gives out would make buffers resident that no client has used.
                env = {k: v for k, v in os.environ.items() if k != "MALLOC_PERTURB_"}
                cls.children[at] = subprocess.Popen([MERIDIAND, "--config", f"{cls.dir}/{region}.yaml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        for at in NAMES:
            wait_until(20, lambda: cls.ask(at), f"{at} answers: {cls.log(at)[-2000:]}")

    @classmethod
    def write_secret(cls, secrets):
        with open(os.open(f"{cls.dir}/secret.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("\n".join(secrets) + "\n")
        os.rename(f"{cls.dir}/secret.new", f"{cls.dir}/secret")

    @classmethod
    def log(cls, at):
        with open(f"{cls.dir}/{REGION[at]}.log", errors="replace") as f:
            return f.read()

    @classmethod
    def ask(cls, at, source=CLIENT, name=NAME):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.settimeout(1)
            s.connect((at, 53))
            try:
                s.send(dns.query(7, dns.name(name), dns.A))
                return s.recv(4096)
            except OSError:
                return None

    def run_program(self, program, *words, input=None, ok=True):
        r = subprocess.run([PROGRAMS[program], *words], capture_output=True, text=True, timeout=20, input=input)
        if ok:
            self.assertEqual(r.returncode, 0, f"{program} {' '.join(words)}\n{r.stdout}{r.stderr}\n{self.log(EAST)[-2000:]}")
        return r.stdout + r.stderr

    # ---- DNS over TLS ----
    def kdig(self, at, hostname, *more, ok=True, port=853):
        return self.run_program("kdig", "-b", CLIENT, f"@{at}", "-p", str(port), f"+tls-ca={self.ca}", f"+tls-hostname={hostname}", "+timeout=5", "+retry=0", NAME, "A", *more, ok=ok)

    def test_kdig_verifies_each_server_by_its_name(self):
        for at, name in NAMES.items():
            out = self.kdig(at, name, "+nsid")
            self.assertIn("192.0.2.1", out)
            self.assertIn("(TLS1.3)", out.replace("TLS session (TLS1.3)", "(TLS1.3)"))
            self.assertIn(name, out)  # NSID
        self.assertNotIn("192.0.2.1", self.kdig(EAST, NAMES[WEST], ok=False))  # another's certificate

    def test_private_view_by_its_own_listener(self):
        self.assertIn("10.0.0.9", self.kdig(EAST, NAMES[EAST], port=8853))
        self.assertNotIn("10.0.0.9", self.kdig(EAST, NAMES[EAST]))

    def test_answers_are_padded_over_tls_to_who_pads(self):
        size = lambda out: int(re.search(r"Received (\d+) B", out).group(1))
        self.assertEqual(size(self.kdig(EAST, NAMES[EAST], "+padding")), 468)
        self.assertEqual(size(self.kdig(EAST, NAMES[EAST], "+padding=1", "+dnssec", "+nsid")), 468)
        self.assertLess(size(self.kdig(EAST, NAMES[EAST], "+nopadding", "+edns")), 300)
        plain = ("-b", CLIENT, f"@{EAST}", "+timeout=5", "+retry=0", NAME, "A", "+padding=128")
        for transport in ("+notcp", "+tcp"):
            self.assertLess(size(self.run_program("kdig", *plain, transport)), 300)
        # What was forwarded too: here that nobody answers.
        out = self.run_program("kdig", "-b", CLIENT, f"@{EAST}", "-p", "8853", f"+tls-ca={self.ca}", f"+tls-hostname={NAMES[EAST]}", "+timeout=5",
                               "+retry=0", "+padding", "host.corp.test", "A")
        self.assertIn("status: SERVFAIL", out)
        self.assertEqual(size(out), 468)

    def test_openssl_speaks_to_it_and_old_versions_are_refused(self):
        connect = ["s_client", "-connect", f"{EAST}:853", "-CAfile", self.ca, "-verify_return_error", "-verify_hostname", NAMES[EAST]]
        out = self.run_program("openssl", *connect, "-alpn", "dot", input="")
        self.assertIn("ALPN protocol: dot", out)
        self.assertIn("Verify return code: 0 (ok)", out)
        self.assertIn("TLSv1.2", self.run_program("openssl", *connect, "-tls1_2", input=""))
        self.assertIn("no renegotiation", self.run_program("openssl", *connect, "-tls1_2", input="R\n", ok=False))
        self.assertIn("no application protocol", self.run_program("openssl", *connect, "-alpn", "http/1.1", input="", ok=False))
        self.assertIn("alert protocol version", self.run_program("openssl", *connect, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", input="", ok=False))

    def session(self, source=CLIENT, at=EAST):
        context = ssl.create_default_context(cafile=self.ca)
        raw = socket.create_connection((at, 853), timeout=10, source_address=(source, 0))
        return context.wrap_socket(raw, server_hostname=NAMES[at])

    @staticmethod
    def frame(ident, name=NAME):
        q = dns.query(ident, dns.name(name), dns.A)
        return struct.pack(">H", len(q)) + q

    @staticmethod
    def read_frame(s):
        def take(n):
            got = b""
            while len(got) < n:
                more = s.recv(n - len(got))
                if not more:
                    raise EOFError
                got += more
            return got
        return take(struct.unpack(">H", take(2))[0])

    def test_hostile_tls_clients(self):
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 4000, b"\x16\x03\x01\x00\x05hello", self.frame(1), b"\x80\x2e\x01", b"\x15\x03\x03\x00\x02\x01\x00"):
            with socket.create_connection((EAST, 853), timeout=10) as c:
                try:
                    c.sendall(junk)
                    c.shutdown(socket.SHUT_WR)
                    while c.recv(4096):
                        pass
                except (ConnectionError, OSError) as e:
                    self.assertNotIsInstance(e, TimeoutError)
        for frames in (b"\xff\xff" + b"x" * 5000, b"\0\0", b"\0\1x", b"\x10\x01" + b"x" * 4096):
            with self.session() as s:  # lengths that no query has: closed, not waited for
                s.sendall(frames)
                self.assertRaises((EOFError, OSError), self.read_frame, s)
        with self.session() as s:  # in pieces, pipelined, then a half close: all are answered
            data = b"".join(self.frame(i) for i in range(100))
            for at in range(0, len(data), 7):
                s.sendall(data[at:at + 7])
            got = {struct.unpack(">H", self.read_frame(s)[:2])[0] for _ in range(100)}
            self.assertEqual(got, set(range(100)))
        slow = [socket.create_connection((EAST, 853), timeout=10) for _ in range(20)]  # never say a word
        for c in slow:
            c.sendall(b"\x16")
        self.assertIn("192.0.2.1", self.kdig(EAST, NAMES[EAST]))
        began = time.monotonic()
        for c in slow:
            self.assertIn(c.recv(100), (b"",))
            c.close()
        self.assertLess(time.monotonic() - began, 9)

    def processes(self):
        tree = [self.children[EAST].pid]
        for pid in tree:
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                tree += map(int, f.read().split())
        return tree

    def resident_kib(self):
        return max(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p}/status").read()).group(1)) for p in self.processes())

    def test_a_thousand_idle_sessions(self):
        before = self.resident_kib()
        idle = []
        for i in range(1000):
            s = self.session()
            s.sendall(self.frame(i))
            self.assertEqual(self.read_frame(s)[:2], struct.pack(">H", i))
            idle.append(s)
        per_session = (self.resident_kib() - before) / 1000
        print(f"{per_session:.1f} KiB resident per idle session", file=sys.stderr)
        if "SANITIZED" not in os.environ:
            self.assertLess(per_session, 64)
        self.assertIsNotNone(self.ask(EAST, OTHER))
        for i in range(200):  # this client has 1100: its own oldest go, another's does not
            if i == 0:
                other = self.session(OTHER)
            idle.append(self.session())
        other.sendall(self.frame(5))
        self.assertEqual(self.read_frame(other)[:2], b"\0\5")
        idle[-1].sendall(self.frame(6))
        self.assertEqual(self.read_frame(idle[-1])[:2], b"\0\6")
        idle[0].settimeout(5)
        self.assertEqual(idle[0].recv(1), b"")
        for s in (*idle, other):
            s.close()

    def counters(self, at=EAST):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{self.dir}/{REGION[at]}/run/admin.sock")
            s.sendall(b"GET /v1/metrics HTTP/1.0\r\n\r\n")
            page = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return {k: float(v) for k, v in re.findall(r"^(meridian_dns_[a-z_]+) (\S+)$", page, re.M)}

    def processor_s(self):
        """Of the resolver's one thread that answers: the busiest of the daemon's."""
        used = []
        for pid in self.processes():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/stat") as f:
                    used.append(sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK"))
        return max(used)

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())

    def test_thousands_of_hostile_connections(self):
        """Of every kind, far more than are kept: datagrams and honest clients are served among them, and nothing of them stays."""
        def plain(source, data=b"", half=False, port=53):
            c = socket.create_connection((EAST, port), timeout=10, source_address=(source, 0))
            c.sendall(data)
            if half:
                c.shutdown(socket.SHUT_WR)
            return c

        def greedy(source):  # asks a lot, and never reads
            c = plain(source)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.setblocking(False)
            try:
                while True:
                    c.send(self.frame(1) * 100)
            except OSError:
                return c

        def reset(source):
            c = plain(source, self.frame(1) * 50)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()

        kinds = [plain, lambda s: plain(s, b"\0"), lambda s: plain(s, self.frame(1)[:-1]), lambda s: plain(s, self.frame(1)[:9], True),
                 lambda s: plain(s, self.frame(1), True), lambda s: plain(s, b"\x10\0" + b"x" * 500), lambda s: plain(s, b"\xff\xff"),
                 greedy, reset, lambda s: plain(s, b"\x16\x03\x01\x02\0\1", port=853), lambda s: plain(s, b"\x16\x03\x01\xff\xff", True, 853)]
        wait_until(70, lambda: self.counters()["meridian_dns_tcp_connections"] == 0, "those of other tests have gone")
        before, kept, began = self.descriptors(), [], time.monotonic()
        evicted = self.counters()["meridian_dns_tcp_evicted_total"]
        for i in range(4000):
            kept.append(kinds[i % len(kinds)](f"127.0.{20 + i % 40}.1"))
            if i % 100 == 0:
                self.assertIsNotNone(self.ask(EAST, OTHER))
                with plain(OTHER, self.frame(i)) as honest:
                    self.assertEqual(self.read_frame(honest)[:2], struct.pack(">H", i))
        with self.session(OTHER) as s:
            s.sendall(self.frame(7))
            self.assertEqual(self.read_frame(s)[:2], b"\0\7")
        now = self.counters()
        self.assertLessEqual(now["meridian_dns_tcp_connections"], CONNECTIONS)
        self.assertGreater(now["meridian_dns_tcp_evicted_total"], evicted)
        self.assertLess(self.descriptors(), before + CONNECTIONS + 10)
        for c in kept:
            if c:
                c.close()
        wait_until(20, lambda: self.counters()["meridian_dns_tcp_connections"] == 0, "all have gone")
        wait_until(10, lambda: self.descriptors() <= before, "with their descriptors")
        self.assertLess(time.monotonic() - began, 120)

    def test_a_flood_of_handshakes_leaves_datagrams_answered(self):
        hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(hello, out, server_hostname=NAMES[EAST])
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        hello, over, begun = out.read(), threading.Event(), [0] * 8

        def flood(i):  # costs the server a key exchange and a signature, and the client nothing
            while not over.is_set():
                with socket.create_connection((EAST, 853), timeout=10, source_address=(f"127.0.7.{i + 1}", 0)) as c:
                    c.sendall(hello)
                    if c.recv(1):
                        begun[i] += 1

        before, used, began, took = self.counters(), self.processor_s(), time.monotonic(), []
        threads = [threading.Thread(target=flood, args=(i,)) for i in range(len(begun))]
        try:
            for t in threads:
                t.start()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((OTHER, 0))
                s.settimeout(5)
                s.connect((EAST, 53))
                while len(took) < 500 or sum(begun) < 2000:
                    asked = time.monotonic()
                    s.send(dns.query(len(took) & 0xffff, dns.name(NAME), dns.A))
                    self.assertEqual(struct.unpack(">H", s.recv(4096)[:2])[0], len(took) & 0xffff)
                    took.append(time.monotonic() - asked)
                    self.assertLess(time.monotonic() - began, 60, f"{begun} {len(took)}")
        finally:
            over.set()
            for t in threads:
                t.join()
        wait_until(10, lambda: self.counters()["meridian_dns_tls_failures_total"] - before["meridian_dns_tls_failures_total"] >= 2000, "all were counted")
        s, took = time.monotonic() - began, sorted(took)
        print(f"{sum(begun) / s:.0f} handshakes begun a second, {100 * (self.processor_s() - used) / s:.0f} % of a processor; "
              f"{len(took)} datagrams, none lost: median {took[len(took) // 2] * 1e3:.2f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.2f} ms", file=sys.stderr)

    def test_a_client_of_ipv6_is_a_56(self):
        def client(source):
            c = socket.create_connection((EAST6, 53), timeout=10, source_address=(source, 0))
            c.sendall(self.frame(9))
            self.assertEqual(self.read_frame(c)[:2], b"\0\x09")
            return c
        other, many = client(SIX[2]), [client(SIX[i % 2]) for i in range(1101)]
        self.assertEqual(many[0].recv(1), b"")  # one too many: the oldest of them goes
        for c in (other, many[1]):
            c.sendall(self.frame(5))
            self.assertEqual(self.read_frame(c)[:2], b"\0\5")
        for c in (other, *many):
            c.close()

    # ---- cookies ----
    def dig(self, at, *more, source=CLIENT, name=NAME):
        return self.run_program("dig", "-b", source, f"@{at}", "+tries=1", "+time=3", name, "A", *more)

    def cookie(self, at, cookie=None, source=CLIENT):
        """What the server gives; and whether dig finds its own half in it."""
        out = self.dig(at, "+cookie" + (f"={cookie}" if cookie else ""), source=source)
        self.assertIn("status: NOERROR", out)
        m = re.search(r"; COOKIE: ([0-9a-f]{48}) \(good\)", out)
        self.assertTrue(m, out)
        return m.group(1)

    def test_cookies_are_shared_and_their_secret_is_rolled_over(self):
        first = self.cookie(EAST)
        self.assertEqual(self.cookie(EAST, first), first)
        self.assertEqual(self.cookie(WEST, first), first)  # the other server knows it
        self.assertNotEqual(self.cookie(EAST, first, OTHER), first)  # it is bound to the address
        self.write_secret([SECRETS[1], SECRETS[0]])
        new = wait_until(10, lambda: (c := self.cookie(EAST, first)) != first and c, "the new secret is in force")
        wait_until(10, lambda: self.cookie(WEST, first) != first, "at the other one too")
        self.assertEqual(self.cookie(WEST, new), new)
        with open(f"{self.dir}/secret", "w") as f:
            f.write("nonsense\n")
        wait_until(10, lambda: "the cookie secret stays as it was" in self.log(EAST), "it says that the file is wrong")
        self.assertEqual(self.cookie(EAST, new), new)

    # ---- rate limits ----
    def flood(self, source, n, cookie=None):
        """Answers to n refused queries: whole, truncated."""
        option = b"" if cookie is None else struct.pack(">HH", 10, len(cookie)) + cookie
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.connect((WEST, 53))
            s.settimeout(1)
            for i in range(n):
                s.send(dns.query(i, dns.name("example.com"), dns.A, edns=1232, options=option))
            got = []
            try:
                while len(got) < n:
                    got.append(s.recv(4096))
            except socket.timeout:
                pass
        cut = [g for g in got if g[2] & 0x02]
        return len(got) - len(cut), len(cut), got[-1]

    def test_errors_are_limited_by_network_unless_exempt_or_with_a_cookie(self):
        whole, cut, last = self.flood("127.0.9.1", 60)
        self.assertTrue(10 <= whole <= 16, whole)  # 2 a second, 5 seconds' at once
        self.assertTrue(20 <= cut <= 25, cut)      # of the rest every second
        self.assertLessEqual(self.flood("127.0.9.200", 20)[0], 6)  # the same /24: what a second or two allow
        self.assertEqual(self.flood(OTHER, 60)[:2], (60, 0))  # exempt
        client = b"abcdefgh"
        whole, cut, last = self.flood("127.0.9.1", 4, client)
        self.assertGreater(cut, 0)
        at = last.index(client)
        self.assertEqual(self.flood("127.0.9.1", 60, last[at:at + 24])[:2], (60, 0))
        self.assertIn("192.0.2.1", self.dig(WEST, source="127.0.9.1"))  # other answers have no limit here

    # ---- keepalive ----
    def test_keepalive_is_told_over_tcp(self):
        query = dns.query(1, dns.name(NAME), dns.A, edns=1232, options=struct.pack(">HH", 11, 0))
        with socket.create_connection((EAST, 53), timeout=5) as s:
            s.sendall(struct.pack(">H", len(query)) + query)
            self.assertIn(struct.pack(">HHH", 11, 2, 600), self.read_frame(s))


if __name__ == "__main__":
    need_root()
    missing = [p for p, path in PROGRAMS.items() if not path]
    if missing:
        print("skipped:", *missing, "not installed")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
