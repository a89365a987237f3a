# SPDX-License-Identifier: Apache-2.0
"""Publish before use, with the programs of others: a strict validator (unbound, aggressive use of NSEC) that has seen the new
stamp's name denied never says NXDOMAIN while a replica moves there by `meridian replication rebind`. Two nodes read the topology
at different times; NSD, Knot and BIND hold fe.D, and one after another lacks the name, has it, or is down. The naive edit is refused."""
import os, re, shutil, socket, subprocess, sys, tempfile, threading, time, unittest

import dnswire as dns
import test_neighbours as neighbours
from lab import MERIDIAN, MERIDIAND, SKIP, need_root
from test_neighbours import BIND, D, KEYS, KNOT, NAMES, NSD, OURS, PROGRAMS

OTHER, VALIDATOR = "127.0.0.2", "127.0.0.65"
PROGRAMS["unbound"] = shutil.which("unbound", path=os.environ.get("PATH", "") + ":/usr/sbin")
NEGATIVE_S, CLOCKS_S = 5, 5
NAME = f"contoso.eastus.geo.{D}"
NXDOMAIN, AD = 3, 0x0020


class Publish(neighbours.Neighbours):
    # ---- two nodes, each with a copy of its own ----
    def document(self, version, stamps, replica):
        notify = ", ".join(f"{{ address: {a}, key: {k} }}" for a, k in NAMES.items())
        return (f"version: {version}\ndomain: {D}\nregions:\n"
                f"  - {{ name: eastus, peer: '{OURS}:8443', stamps: [{{ name: eus-1, ipv4: [{OURS}] }}, {{ name: eus-2, ipv4: [192.0.2.2] }}{stamps}] }}\n"
                f"  - {{ name: westeurope, peer: '{OTHER}:8443', stamps: [{{ name: weu-1, ipv4: [{OTHER}] }}] }}\n"
                "name_servers: [eus-1.eastus, weu-1.westeurope]\n"
                f"registries:\n  - name: contoso\n    regional_endpoints: enabled\n    replicas:\n      - {{ region: eastus, {replica} }}\n      - {{ region: westeurope }}\n"
                f"ttl: {{ negative: {NEGATIVE_S}s, regional: 1s, global: 1s, data: 1s, frontend: 1s }}\n"
                f"transfer:\n  allow: [127.0.1.0/24]\n  tsig_keys: [{', '.join(KEYS)}]\n  notify: [{notify}]\nhealth: {{ interval: 60s }}\n")

    NEW = ", { name: eus-11, ipv4: [192.0.2.11] }"

    def put(self, text, *paths):
        for path in paths:
            with open(path + ".new", "w") as f:
                f.write(text)
            os.rename(path + ".new", path)

    def read(self, path):
        with open(path) as f:
            return f.read()

    def node(self, name, region, stamp, address):
        return (f"region: {region}\nstamp: {stamp}\nroles: [resolver]\ndata_dir: {self.dir}/{region}\ntopology: {self.dir}/{name}.yaml\n"
                f"principals: {self.dir}/principals.yaml\nca_file: {self.dir}/ca/ca.pem\nlisten: {{ dns: [\"{address}:53\"] }}\n"
                f"dns: {{ tsig_dir: {self.dir}/tsig }}\nworkers: {{ resolver: 1 }}\nusers: {{ daemon: root, edge: root }}\n")

    def prepare(self):
        self.put(self.document(1, "", "stamp: eus-1"), f"{self.dir}/given.yaml")
        self.meridian("init", "--topology", f"{self.dir}/given.yaml", "--out", self.dir)
        self.put("version: 1\n", f"{self.dir}/principals.yaml")
        os.chmod(f"{self.dir}/principals.yaml", 0o600)
        os.mkdir(f"{self.dir}/tsig", 0o700)
        for name, algorithm in KEYS.items():
            with open(os.open(f"{self.dir}/tsig/{name}.key", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(f"{algorithm}:{name}:{self.secrets[name]}\n")
        keys, topology = f"{self.dir}/eastus/keys/dns", f"{self.dir}/topology.yaml"
        ids = self.meridian("dns", "keys", "generate", "--dir", keys, "--topology", topology).split()
        self.meridian("dns", "keys", "publish", "--dir", keys, *ids, "--topology", topology)
        shutil.copytree(keys, f"{self.dir}/westeurope/keys/dns", dirs_exist_ok=True)
        text = self.read(topology)
        self.tail = text[text.index("identities:"):]  # keys of all kinds
        self.anchor = self.meridian("dns", "keys", "ds", "--topology", topology)
        for name, region, stamp, address in (("n1", "eastus", "eus-1", OURS), ("n2", "westeurope", "weu-1", OTHER)):
            self.put(text, f"{self.dir}/{name}.yaml")
            self.put(self.node(name, region, stamp, address), f"{self.dir}/{name}-node.yaml")
            self.start(name, MERIDIAND, "--config", f"{self.dir}/{name}-node.yaml")
        self.version = int(re.match(r"version: (\d+)", text)[1])

    def publish(self, stamps, replica, *nodes):
        self.version += 1
        self.put(self.document(self.version, stamps, replica) + self.tail, *(f"{self.dir}/{n}.yaml" for n in nodes))

    def meridian(self, *words, status=0):
        p = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, status, self.show(p.stdout + p.stderr))
        return p.stdout + p.stderr

    def rebind(self, *more, status=0):
        return self.meridian("replication", "rebind", "-r", "contoso", "--region", "eastus", "--stamp", "eus-11", "--topology", f"{self.dir}/n1.yaml", *more, status=status)

    # ---- Knot as it was before, and up to date again ----
    def knot_without_us(self):
        self.stop("knot")
        conf = f"{self.dir}/knot/knot.conf"
        self.put(self.read(conf).replace("    master: ours\n", "").replace("    acl: told\n", ""), conf)
        self.start("knot", PROGRAMS["knotd"], "-c", conf)

    def knot_with_us(self):
        self.stop("knot")
        conf = f"{self.dir}/knot/knot.conf"
        self.put(self.read(conf).replace("    file: zone\n", "    file: zone\n    master: ours\n    acl: told\n"), conf)
        self.start("knot", PROGRAMS["knotd"], "-c", conf)

    # ---- the validator ----
    def start_unbound(self):
        where = tempfile.mkdtemp(dir=self.dir)
        self.put(self.anchor, f"{where}/anchor")
        stubs = f"stub-zone:\n name: \"{D}\"\n stub-addr: {OURS}\n stub-addr: {OTHER}\n"
        stubs += f"stub-zone:\n name: \"fe.{D}\"\n" + "".join(f" stub-addr: {a}\n" for a in (OURS, OTHER, *NAMES))
        self.put(f"server:\n interface: {VALIDATOR}\n outgoing-interface: {VALIDATOR}\n access-control: 127.0.0.0/8 allow\n do-not-query-localhost: no\n"
                 f" do-ip6: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n directory: \"{where}\"\n trust-anchor-file: \"{where}/anchor\"\n"
                 " module-config: \"validator iterator\"\n num-threads: 1\n trust-anchor-signaling: no\n local-zone: \"test.\" nodefault\n"
                 " aggressive-nsec: yes\n qname-minimisation-strict: yes\n harden-below-nxdomain: yes\n" + stubs + "remote-control:\n control-enable: no\n",
                 f"{where}/conf")
        self.start("unbound", PROGRAMS["unbound"], "-d", "-c", f"{where}/conf")

    def validated(self, name, kind):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect((VALIDATOR, 53))
            try:
                s.send(dns.query(7, dns.name(name), kind, edns=1232, do=True))
                return dns.Response(s.recv(65535))
            except OSError:
                return None

    def look(self, stop):
        """All the while: what the validator says of the name, and where N1 and N2 lead; denials are kept fresh in its cache."""
        while not stop.is_set():
            self.validated(f"eus-1.eastus.fe.{D}", dns.AAAA)  # its NSEC denies what follows eus-1
            for who, r in (("validator", self.validated(NAME, dns.A)), ("n1", self.ask(OURS, NAME, dns.A)), ("n2", self.ask(OTHER, NAME, dns.A))):
                if r:
                    self.seen.append((time.time(), who, r.rcode, self.target(r), bool(r.flags & AD)))
            time.sleep(0.02)

    @staticmethod
    def target(r):
        return next((rr[4][0].decode() for rr in r.answer if rr[1] == dns.CNAME), None)

    def has_new(self, server):
        r = self.ask(server, f"eus-11.eastus.fe.{D}", dns.A)
        return r and r.rcode == 0 and len(r.answer) > 0 and r.flags & dns.AA

    def test_all(self):
        self.prepare()
        for server in (OURS, OTHER):  # one that finds nobody when it starts looks again in its own time
            self.wait(20, lambda: self.serial(server), f"{server} has fe.{D}")
        for start in (self.start_nsd, self.start_knot, self.start_bind, self.start_unbound):
            start()
        for server in NAMES:
            self.wait(20, lambda: self.serial(server), f"{server} has fe.{D}")
        self.wait(20, lambda: (r := self.validated(NAME, dns.A)) and r.rcode == 0 and r.flags & AD, "a validated answer")
        r = self.validated(f"eus-1.eastus.fe.{D}", dns.AAAA)  # the denial that denies eus-10 and eus-11 by the way
        self.assertTrue(r.rcode == 0 and not [x for x in r.answer if x[1] == dns.AAAA] and r.flags & AD, r)
        r = self.validated(f"eus-11.eastus.fe.{D}", dns.A)
        self.assertEqual((r.rcode, bool(r.flags & AD)), (NXDOMAIN, True), "it does not deny by itself: this test would see nothing")
        self.seen, stop = [], threading.Event()
        looking = threading.Thread(target=self.look, args=(stop,))
        looking.start()
        try:
            since = self.move()
        finally:
            stop.set()
            looking.join()
        good = lambda rcode, target, ad, who: rcode == 0 and target in ("eus-1", "eus-11") and (ad or who != "validator")
        wrong = [s for s in self.seen if not good(s[2], s[3], s[4], s[1]) and not (s[1] == "validator" and s[2] == dns.SERVFAIL)]  # it may be short of servers
        self.assertFalse(wrong, self.show(wrong[:5]))
        early = [s for s in self.seen if s[3] == "eus-11" and s[0] < since]
        self.assertFalse(early, f"before {since}: {early[:5]}")
        for who in ("n1", "n2", "validator"):
            self.assertEqual({s[3] for s in self.seen if s[1] == who}, {"eus-1"} if who == "n2" else {"eus-1", "eus-11"}, who)

    def move(self):
        # By hand, in one edit: refused by both nodes, with the line and the cure.
        self.publish(self.NEW, "stamp: eus-11", "n1", "n2")
        for node in ("n1", "n2"):
            self.wait(10, lambda: "names would lead from stamp eus-1 to eus-11 at once" in self.log(node), f"{node} refuses the naive edit")
            self.assertRegex(self.log(node), rf"{node}.yaml:11: registry contoso: replicas: eastus: .*meridian replication rebind -r contoso --region eastus --stamp eus-11")
        self.assertFalse(self.has_new(OURS))
        # First the stamp alone: N1 has it, and who transfers from there; N2 has not read it, Knot stays as it was.
        self.knot_without_us()
        self.publish(self.NEW, "stamp: eus-1", "n1")
        for server in (OURS, NSD, BIND):
            self.wait(15, lambda: self.has_new(server), f"{server} has the new stamp")
        self.wait(15, lambda: self.serial(KNOT), "Knot answers")
        self.stop("bind")
        before = self.read(f"{self.dir}/n1.yaml")
        said = self.rebind(status=3)
        lines = [l for l in said.splitlines() if "name server" in l or "notify target" in l]
        self.assertEqual(len(lines), 3, self.show(said))
        self.assertIn(f"name server weu-1.westeurope {OTHER}:53: says that the name does not exist", said)
        self.assertIn(f"notify target {KNOT}:53: says that the name does not exist", said)
        self.assertIn(f"notify target {BIND}:53: no answer: it is down, or cannot be reached from here, and is not waited for", said)
        # N2 reads it, Knot is told again: all have it but BIND, which is down.
        shutil.copy(f"{self.dir}/n1.yaml", f"{self.dir}/n2.new")
        os.rename(f"{self.dir}/n2.new", f"{self.dir}/n2.yaml")
        self.knot_with_us()
        for server in (OTHER, KNOT):
            self.wait(15, lambda: self.has_new(server), f"{server} has the new stamp")
        self.assertEqual(self.read(f"{self.dir}/n1.yaml"), before)
        asked = time.time()
        said = self.rebind()
        self.assertIn(f"notify target {BIND}:53: no answer", said)
        since = re.search(r"lead to stamp eus-11 from (\S+) on", said)[1]
        since_s = time.mktime(time.strptime(since, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        self.assertGreaterEqual(since_s, int(asked) + NEGATIVE_S + CLOCKS_S)
        # N1 reads it; N2 never does while we look.
        explain = lambda: self.meridian("dns", "explain", NAME, "--admin", f"{self.dir}/eastus/run/admin.sock")
        self.wait(3, lambda: re.search(rf"eastus +eus-1 +eus-11 +{since} +eus-1 +its time has not come", explain()), "N1 knows of the move")
        for who in ("n1", "validator"):
            self.wait(40, lambda: any(s[1] == who and s[3] == "eus-11" for s in list(self.seen)), f"{who} leads to the new stamp")
        self.assertRegex(explain(), rf"eastus +eus-1 +eus-11 +{since} +eus-11 +names lead to the new stamp")
        return since_s


del neighbours.Neighbours  # it is a test of its own

if __name__ == "__main__":
    need_root()
    missing = [p for p, path in PROGRAMS.items() if not path]
    if missing:
        print("skipped:", *missing, "not installed")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
