# SPDX-License-Identifier: Apache-2.0
"""NSD, Knot and BIND as secondaries of fe.D: transferred whole with TSIG (each with a hash of its own, over several
messages), told of a change, brought up to date by IXFR, left in peace by what is not in the zone; who has no key, a wrong one, or comes from elsewhere is refused.
One resolver and the three servers in a network namespace of their own, all on port 53."""
import base64, os, shutil, signal, socket, subprocess, sys, tempfile, time, unittest

import dnswire as dns
from lab import BUILD, MERIDIAN, MERIDIAND, SKIP, need_root, unshare, wait_until

D = "example.test"
OURS, NSD, KNOT, BIND, STRANGER = "127.0.0.1", "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.9.9"
KEYS = {"xfr-nsd": "hmac-sha256", "xfr.knot": "hmac-sha512", "xfr-bind." + D: "hmac-sha384"}
NAMES = dict(zip((NSD, KNOT, BIND), KEYS))
PROGRAMS = {p: shutil.which(p, path=os.environ.get("PATH", "") + ":/usr/sbin") for p in ("nsd", "knotd", "named", "dig", "kdig")}
STAMPS, PER_STAMP = 150, 8  # more than one message
CHANGES = 20


class Neighbours(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        unshare()
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "addr", "add", f"{BIND}/32", "dev", "lo"], check=True)  # it listens on addresses of interfaces only

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="meridian-neighbours.")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.secrets = {k: base64.b64encode(os.urandom(32)).decode() for k in KEYS}
        self.children = {}

    def tearDown(self):
        for name in list(self.children):
            self.stop(name)

    # ---- processes ----
    def start(self, name, *words):
        with open(f"{self.dir}/{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, name):
        child = self.children.pop(name)
        child.send_signal(signal.SIGTERM)
        try:
            return child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def log(self, name):
        with open(f"{self.dir}/{name}.log", errors="replace") as f:
            return f.read()

    def show(self, what):
        logs = "\n".join(f"--- {n}\n{self.log(n)[-3000:]}" for n in ("ours", "nsd", "knot", "bind") if os.path.exists(f"{self.dir}/{n}.log"))
        return f"{what}\n{logs}"

    def wait(self, limit_s, condition, what):
        try:
            return wait_until(limit_s, condition, what)
        except AssertionError:
            self.fail(self.show(what))

    # ---- ours ----
    def topology(self, version, address, txt=None, registries="registries: [{ name: contoso, replicas: [{ region: eastus }] }]", more=""):
        four = lambda i: ", ".join(f"198.51.{i}.{k + 1}" for k in range(PER_STAMP))
        stamps = ", ".join(f"{{ name: s-{i}, ipv4: [{four(i)}], ipv6: [\"2001:db8::{i + 1:x}\"] }}" for i in range(STAMPS))
        keys = ", ".join(KEYS)
        notify = ", ".join(f"{{ address: {a}, key: {k} }}" for a, k in NAMES.items())
        challenge = f"apex: {{ acme_challenge: [{{ at: eastus.fe, txt: {txt} }}] }}\n" if txt else ""
        return (f"version: {version}\ndomain: {D}\nregions:\n  - {{ name: eastus, peer: 192.0.2.1:8443, stamps: [{{ name: eus-1, ipv4: [{address}] }}, {stamps}] }}\n"
                f"name_servers: [eus-1.eastus]\n{registries}\n{challenge}"
                f"transfer:\n  allow: [127.0.1.0/24]\n  tsig_keys: [{keys}]\n  notify: [{notify}]\nhealth: {{ interval: 60s }}\n{more}")

    def write_topology(self, *words):
        with open(f"{self.dir}/new.yaml", "w") as f:
            f.write(self.topology(*words) + self.identities)
        os.rename(f"{self.dir}/new.yaml", f"{self.dir}/topology.yaml")

    def start_ours(self):
        self.start("ours", MERIDIAND, "--config", f"{self.dir}/meridiand.yaml")
        self.wait(20, lambda: self.serial(OURS), "our server answers")

    def prepare_ours(self):
        with open(f"{self.dir}/given.yaml", "w") as f:
            f.write(self.topology(1, "192.0.2.1"))
        subprocess.run([MERIDIAN, "init", "--topology", f"{self.dir}/given.yaml", "--out", self.dir], check=True, capture_output=True)
        with open(f"{self.dir}/topology.yaml") as f:
            text = f.read()
        self.identities = text[text.index("identities:"):]
        with open(f"{self.dir}/principals.yaml", "w") as f:
            f.write("version: 1\n")
        os.chmod(f"{self.dir}/principals.yaml", 0o600)
        tsig = f"{self.dir}/tsig"
        os.mkdir(tsig, 0o700)
        for name, algorithm in KEYS.items():
            with open(os.open(f"{tsig}/{name}.key", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(f"{algorithm}:{name}:{self.secrets[name]}\n")
        with open(f"{self.dir}/meridiand.yaml", "w") as f:
            f.write(f"region: eastus\nstamp: eus-1\nroles: [resolver]\ndata_dir: {self.dir}/eastus\ntopology: {self.dir}/topology.yaml\n"
                    f"principals: {self.dir}/principals.yaml\nca_file: {self.dir}/ca/ca.pem\nlisten: {{ dns: [\"{OURS}:53\"], dot: [\"{OURS}:853\"] }}\n"
                    f"dns: {{ tsig_dir: {tsig} }}\nworkers: {{ resolver: 1 }}\nusers: {{ daemon: root, edge: root }}\n")

    # ---- theirs ----
    def start_nsd(self):
        key, zone = NAMES[NSD], f"fe.{D}"
        where = f"{self.dir}/nsd"
        os.mkdir(where)
        with open(f"{where}/nsd.conf", "w") as f:
            f.write(f"server:\n ip-address: {NSD}\n username: \"\"\n zonesdir: \"{where}\"\n zonelistfile: \"{where}/zone.list\"\n database: \"\"\n"
                    f" xfrdfile: \"{where}/xfrd.state\"\n xfrdir: \"{where}\"\n pidfile: \"\"\n server-count: 1\n verbosity: 2\n xfrd-reload-timeout: 0\n"
                    f"remote-control:\n control-enable: no\nkey:\n name: \"{key}\"\n algorithm: {KEYS[key]}\n secret: \"{self.secrets[key]}\"\n"
                    f"zone:\n name: \"{zone}\"\n zonefile: \"zone\"\n allow-notify: {OURS} {key}\n request-xfr: {OURS} {key}\n outgoing-interface: {NSD}\n")
        self.start("nsd", PROGRAMS["nsd"], "-d", "-c", f"{where}/nsd.conf")

    def start_knot(self):
        key, where = NAMES[KNOT], f"{self.dir}/knot"
        os.mkdir(where)
        with open(f"{where}/knot.conf", "w") as f:
            f.write(f"server:\n  listen: {KNOT}@53\n  rundir: {where}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
                    f"log:\n  - target: stderr\n    any: debug\ndatabase:\n  storage: {where}\n"
                    f"key:\n  - id: {key}\n    algorithm: {KEYS[key]}\n    secret: {self.secrets[key]}\n"
                    f"remote:\n  - id: ours\n    address: {OURS}@53\n    via: {KNOT}\n    key: {key}\n"
                    f"acl:\n  - id: told\n    address: {OURS}\n    key: {key}\n    action: notify\n"
                    f"zone:\n  - domain: fe.{D}\n    storage: {where}\n    file: zone\n    master: ours\n    acl: told\n")
        self.start("knot", PROGRAMS["knotd"], "-c", f"{where}/knot.conf")

    def start_bind(self):
        key, where = NAMES[BIND], f"{self.dir}/bind"
        os.mkdir(where)
        with open(f"{where}/named.conf", "w") as f:
            f.write(f"options {{ directory \"{where}\"; listen-on {{ {BIND}; }}; listen-on-v6 {{ none; }}; recursion no; pid-file none; dnssec-validation no;\n"
                    f"  session-keyfile none; transfer-source {BIND}; notify no; max-ixfr-ratio unlimited; allow-transfer {{ none; }}; }};\ncontrols {{ }};\n"
                    f"logging {{ channel out {{ stderr; severity info; }}; category default {{ out; }}; }};\n"
                    f"key \"{key}\" {{ algorithm {KEYS[key]}; secret \"{self.secrets[key]}\"; }};\nserver {OURS} {{ keys \"{key}\"; }};\n"
                    f"zone \"fe.{D}\" {{ type secondary; primaries {{ {OURS}; }}; file \"zone\"; request-ixfr yes; allow-notify {{ key \"{key}\"; }}; }};\n")
        self.start("bind", PROGRAMS["named"], "-f", "-n", "1", "-c", f"{where}/named.conf")

    # ---- questions ----
    def ask(self, server, name, kind):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.connect((server, 53))
            try:
                s.send(dns.query(7, dns.name(name), kind))
                return dns.Response(s.recv(65535))
            except OSError:
                return None

    def serial(self, server, zone=f"fe.{D}"):
        r = self.ask(server, zone, dns.SOA)
        return r and r.rcode == 0 and r.answer and r.answer[0][4][2]

    def traffic(self):
        """How often each has been told, or has transferred."""
        return {name: self.log(name).count(words) for name, words in (("bind", "Transfer status"), ("knot", "notify, incoming"), ("nsd", "notify for"))}

    def address(self, server):
        r = self.ask(server, f"eus-1.eastus.fe.{D}", dns.A)
        return r and r.answer and ".".join(map(str, r.answer[0][4]))

    def dig(self, kind, zone=f"fe.{D}", key=None, secret=None, source=NSD, program="dig", more=()):
        words = [PROGRAMS[program], *(["+nocrypto"] if program == "dig" else []), *(["+tcp" if kind != "soa" else "+notcp"] if "+tls" not in more else []), *more, "-b", source, f"@{OURS}", zone]
        words += [f"ixfr={kind[1]}"] if isinstance(kind, tuple) and program == "dig" else ["-t", f"ixfr={kind[1]}"] if isinstance(kind, tuple) else ["-t", kind]
        if key:
            words += ["-y", f"{KEYS.get(key, 'hmac-sha256')}:{key}:{secret or self.secrets[key]}"]
        r = subprocess.run(words, capture_output=True, text=True, timeout=20)
        return r.stdout + r.stderr

    @staticmethod
    def records(text):
        lines = [l.split() for l in text.splitlines() if l and not l.startswith(";")]
        return [l for l in lines if len(l) > 4 and l[3] != "TSIG"]

    def test_all(self):
        self.prepare_ours()
        self.start_ours()
        for start in (self.start_nsd, self.start_knot, self.start_bind):
            start()
        for server in NAMES:
            self.wait(15, lambda: self.serial(server) == 1, f"{server} has version 1")
        for server in NAMES:
            r = self.ask(server, f"s-{STAMPS - 1}.eastus.fe.{D}", dns.AAAA)
            self.assertTrue(r.answer and r.flags & dns.AA, f"{server}: {r}")

        # who is refused
        key = NAMES[NSD]
        whole = self.records(self.dig("axfr", key=key))
        self.assertEqual(len([r for r in whole if r[3] == "SOA"]), 2)
        self.assertEqual(len([r for r in whole if r[3] in ("A", "AAAA")]), (PER_STAMP + 1) * STAMPS + 1)
        kdig = self.dig("axfr", key=NAMES[KNOT], program="kdig")  # complains of a wrong MAC in any message
        self.assertEqual(len(self.records(kdig)), len(whole), kdig[-500:])
        self.assertNotIn("WARNING", kdig)
        tls = self.dig("axfr", key=NAMES[KNOT], program="kdig", more=("+tls", f"+tls-ca={self.dir}/ca/ca.pem", f"+tls-hostname=eus-1.eastus.fe.{D}"))
        self.assertEqual(len(self.records(tls)), len(whole), tls[-500:])
        for what, words, reason in (("no key", {}, "REFUSED"), ("from elsewhere", {"key": key, "source": STRANGER}, "REFUSED"),
                                    ("D", {"key": key, "zone": D}, "REFUSED"), ("another name", {"key": key, "zone": f"x.fe.{D}"}, "NOTAUTH"),
                                    ("a wrong secret", {"key": key, "secret": self.secrets[NAMES[KNOT]]}, "BADSIG"),
                                    ("an unknown key", {"key": "nobody", "secret": self.secrets[key]}, "BADKEY")):
            for program in ("dig", "kdig"):
                got = self.dig("axfr", program=program, **words)
                self.assertFalse([r for r in self.records(got) if r[3] == "A"], f"{what}: {got}")
            out = self.dig("soa", more=("+norec",), **words) if what not in ("no key", "from elsewhere", "D", "another name") else ""
            if out:
                self.assertIn(reason, out, what)
            else:
                self.assertIn(reason, self.dig("axfr", program="kdig", **words), what)
        self.assertIn("NOERROR", self.dig("soa", key=key, more=("+norec",)))

        # nobody was there when we began: told again
        self.wait(10, lambda: "notify, incoming" in self.log("knot"), "Knot is told of version 1")

        # a change: told, and brought up to date by what changed
        self.write_topology(2, "192.0.2.99", "token-2")
        for server in NAMES:
            self.wait(15, lambda: self.address(server) == "192.0.2.99" and self.serial(server) == 2, f"{server} has the new address")
            r = self.ask(server, f"_acme-challenge.eastus.fe.{D}", dns.TXT)
            self.assertEqual([rr[4] for rr in r.answer], [b"\x07token-2"])
        self.assertRegex(self.log("knot"), r"IXFR, incoming.*(finished|started)")
        self.assertRegex(self.log("bind"), r"Transfer completed: 1 messages, [67] records")
        step = self.records(self.dig(("ixfr", 1), key=key))
        kinds = [r[3] for r in step]
        self.assertEqual((kinds[:4], sorted(kinds[4:6]), kinds[6:]), (["SOA", "SOA", "A", "SOA"], ["A", "TXT"], ["SOA"]))
        self.assertEqual(len(self.records(self.dig(("ixfr", 2), key=key))), 1)
        self.assertEqual(len(self.records(self.dig(("ixfr", 777), key=key))), 1)  # ahead of us

        # a restart knows the version before
        self.assertEqual(self.stop("ours"), 0, self.log("ours"))
        self.start_ours()
        again = self.records(self.dig(("ixfr", 1), key=key))
        self.assertEqual(again, step)
        before = self.traffic()
        self.write_topology(3, "192.0.2.100")
        for server in NAMES:
            self.wait(15, lambda: self.address(server) == "192.0.2.100" and self.serial(server) == 3, f"{server} has the third version")
        # What is not in the zone is not told and not transferred: a document that pins the serial, changes of registries, and
        # a document with other registries and settings.
        def quiet(version):
            self.wait(15, lambda: self.serial(OURS, D) == version, f"version {version} is in force")
            self.assertEqual([self.serial(s) for s in (OURS, *NAMES)], [3] * 4)
            self.assertEqual(self.traffic(), told)
            self.assertEqual(self.records(self.dig("axfr", key=key)), zone)

        for name in before:
            self.wait(15, lambda: self.traffic()[name] > before[name], f"{name} was told of the third version")
        told, zone = self.traffic(), self.records(self.dig("axfr", key=key))
        subprocess.run([MERIDIAN, "topology", "pin", f"{self.dir}/topology.yaml"], check=True, capture_output=True)
        quiet(4)
        for n in range(CHANGES):
            subprocess.run([MERIDIAN, "topology", "change", "--topology", f"{self.dir}/topology.yaml", "-"], check=True, capture_output=True,
                           text=True, input=f"registries: [{{ name: tenant{n}, replicas: [{{ region: eastus }}] }}]\n")
        quiet(4 + CHANGES)
        with open(f"{self.dir}/topology.yaml") as f:
            text = f.read()
        pin = text[text.index("zone_serial:"):]
        self.write_topology(50, "192.0.2.100", None, "registries: [{ name: fabrikam, replicas: [{ region: eastus }] }]", pin)
        quiet(50)
        self.assertEqual(self.stop("ours"), 0, self.log("ours"))
        self.start_ours()  # it tells once, and they have it
        self.wait(15, lambda: self.traffic()["knot"] > told["knot"], "Knot is told after a restart")
        self.assertEqual([self.serial(s) for s in (OURS, *NAMES)], [3] * 4)
        # What is in it reaches them as ever, by the version that brought it.
        self.write_topology(51, "192.0.2.101", None, "registries: [{ name: fabrikam, replicas: [{ region: eastus }] }]", pin)
        for server in NAMES:
            self.wait(15, lambda: self.serial(server) == 51 and self.address(server) == "192.0.2.101", f"{server} has version 51")
        self.assertEqual([r[3] for r in self.records(self.dig(("ixfr", 3), key=key))], ["SOA", "SOA", "A", "SOA", "A", "SOA"])
        # A version without a pin, with the same zone: SOA records only.
        self.write_topology(52, "192.0.2.101")
        for server in NAMES:
            self.wait(15, lambda: self.serial(server) == 52 and self.address(server) == "192.0.2.101", f"{server} has version 52")
        self.assertEqual([r[3] for r in self.records(self.dig(("ixfr", 51), key=key))], ["SOA"] * 4)
        self.assertEqual(self.log("bind").count("Transfer status: success"), 5)
        self.assertEqual(self.log("knot").count("AXFR, incoming, remote 127.0.0.1@53, finished"), 1)  # the others were IXFR
        self.assertEqual(self.stop("ours"), 0, self.log("ours"))


if __name__ == "__main__":
    need_root()
    missing = [p for p, path in PROGRAMS.items() if not path]
    if missing:
        print("skipped:", *missing, "not installed")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
