# SPDX-License-Identifier: Apache-2.0
"""`meridian replication rebind`: who is asked, who blocks it and who does not, what is written, into documents of either style and
beside compiled ones, with all else as it was; and what the other commands say of a replica that moves."""
import datetime, json, os, re, shutil, socket, struct, subprocess, sys, tempfile, threading, time, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
NEGATIVE_S, CLOCKS_S = 7, 5
A, AAAA = 1, 28
NS1, NS2, TOLD, HIDDEN = "127.9.0.1", "127.9.0.2", "127.9.0.3", "127.9.0.4"
NEW = {A: "127.9.0.11", AAAA: "2001:db8::11"}
FRAME = """\
# what this is: größer als ASCII
version: 7 # the document's
domain: example.io
regions:
  - name: eastus
    peer: 127.9.0.1:8443
    stamps:
      - { name: eus-1, ipv4: [127.9.0.1] }
      - { name: eus-11, ipv4: [127.9.0.11], ipv6: ["2001:db8::11"] }
  - { name: westeurope, peer: 127.9.0.2:8443, stamps: [{ name: weu-1, ipv4: [127.9.0.2] }] }
name_servers: [eus-1.eastus, weu-1.westeurope]
ttl: { negative: %ds }
""" % NEGATIVE_S
FLOW = """\
registries:
  - { name: other, replicas: [{ region: eastus }] }
  # ü the one
  - { replicas: [{ region: "westeurope", weight: 7 }, { region: eastus, drained: true }], name: contoso, data_endpoints: enabled } # ÿ
"""
BLOCK = """\
registries:
  - name: contoso
    # its ä replicas
    replicas:
      - region: eastus # home
        drained: true  # for now
      - weight: 7
        region: 'westeurope'
    data_endpoints: enabled
  - name: other
    replicas: [{ region: eastus }]"""


def wire_name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".")) + b"\0"


class Server:
    """Answers for one name on UDP and TCP, in one way or another."""

    def __init__(self, address, port, how="has"):
        self.how, self.asked = how, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind((address, port))
        self.tcp.bind((address, self.udp.getsockname()[1]))
        self.tcp.listen(8)
        for run in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def serve_udp(self):
        while True:
            try:
                q, to = self.udp.recvfrom(4096)
                if not q:
                    return
                r = self.answer(q, False)
                if r:
                    self.udp.sendto(r, to)
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                c, _ = self.tcp.accept()
                with c:
                    n = struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0]
                    r = self.answer(c.recv(n, socket.MSG_WAITALL), True)
                    if r:
                        c.sendall(struct.pack("!H", len(r)) + r)
            except (OSError, struct.error):
                if self.tcp.fileno() < 0:
                    return

    def answer(self, q, tcp):
        at = 12
        while q[at]:
            at += 1 + q[at]
        question, kind = q[12:at + 5], struct.unpack("!H", q[at + 1:at + 3])[0]
        self.asked.append((q[12:at + 1], kind, tcp))
        how = self.how
        if how == "mute" or (how == "tcp only" and not tcp):
            return None
        rcode = {"nxdomain": 3, "servfail": 2, "refused": 5}.get(how, 0)
        flags = 0x8000 | (0 if how == "lame" else 0x0400) | rcode
        records = {"has": [NEW[kind]], "tcp only": [NEW[kind]], "cut": [NEW[kind]], "lame": [NEW[kind]], "ipv4 alone": [NEW[A]] if kind == A else [],
                   "old": [NEW[kind].replace("11", "12")], "more": [NEW[kind], NEW[kind].replace("11", "12")]}.get(how, [])
        if how == "cut" and not tcp:
            flags, records = flags | 0x0200, []
        body = b""
        for r in records:
            rd = socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, r)
            body += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(rd)) + rd
        return q[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + body


class Rebind(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.topology = os.path.join(self.dir, "t.yaml")
        self.servers = {}
        self.add(NS1, 0)
        self.port = self.servers[NS1].udp.getsockname()[1]
        self.add(NS2, self.port)

    def add(self, address, port, how="has"):
        self.servers[address] = s = Server(address, port, how)
        self.addCleanup(s.close)
        return s.udp.getsockname()[1]

    def down(self, address):
        self.servers.pop(address).close()

    def write(self, text):
        with open(self.topology, "w") as f:
            f.write(text)

    def text(self, path=None):
        with open(path or self.topology) as f:
            return f.read()

    def run_cli(self, *words, status=0):
        p = subprocess.run([MERIDIAN, *words, "--topology", self.topology], capture_output=True, text=True, timeout=120)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def rebind(self, *more, stamp="eus-11", status=0):
        return self.run_cli("replication", "rebind", "-r", "contoso", "--region", "eastus", "--stamp", stamp, "--dns-port", str(self.port), *more, status=status)

    def replica(self):
        shown = json.loads(self.run_cli("registry", "show", "-n", "contoso", "-o", "json"))
        return next(r for r in shown["replications"] if r["region"] == "eastus")

    @staticmethod
    def seconds(text):
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()

    def check_written(self, before, text=None):
        """The time is the negative TTL and what clocks may be apart after everybody has answered."""
        since = re.search(r'stamp_since: "(.*?)"', text or self.text())[1]
        least = before + NEGATIVE_S + CLOCKS_S  # whole seconds, and none too early
        self.assertTrue(least <= self.seconds(since) <= time.time() + NEGATIVE_S + CLOCKS_S + 1, (since, before))
        self.assertEqual({k: self.replica().get(k) for k in ("homeStamp", "movesTo", "movesAt", "drained")},
                         {"homeStamp": "eus-1", "movesTo": "eus-11", "movesAt": since, "drained": True})
        return since

    def test_in_place(self):
        for style in (FLOW, BLOCK):
            self.write(FRAME + style)
            os.chmod(self.topology, 0o640)
            before = time.time()
            said = self.rebind()
            since = self.check_written(before)
            self.assertRegex(said, rf"contoso: names of eastus lead to stamp eus-11 from {since} on, and until then to eus-1")
            self.assertRegex(said, r"stamp eus-1 must serve on until \d{4}-")
            self.assertIn("version 8; copy it to the nodes", said)
            self.assertEqual(os.stat(self.topology).st_mode & 0o777, 0o640)
            was, now = (FRAME + style).replace("version: 7", "version: 8").splitlines(), self.text().splitlines()
            fields = ["stamp: eus-11", "stamp_was: eus-1", f'stamp_since: "{since}"']
            if style is FLOW:
                changed = [(a, b) for a, b in zip(was, now) if a != b]
                self.assertEqual(len(was), len(now))
                self.assertEqual([b for _, b in changed], [changed[0][0].replace("{ region: eastus", "{ region: eastus, " + ", ".join(fields))])
            else:
                at = was.index("      - region: eastus # home") + 1
                self.assertEqual(now, was[:at] + ["        " + f for f in fields] + was[at:])
            # another time, while it is under way: nothing to do; put off by what the topology then says; taken back
            text = self.text()
            self.assertIn(f"lead to stamp eus-11 from {since} on, as the topology says already", self.rebind())
            self.assertEqual(self.text(), text)
            self.assertIn("names of eastus stay at stamp eus-1", self.rebind(stamp="eus-1"))
            self.assertNotIn("movesTo", self.replica())
            self.assertEqual(self.replica()["homeStamp"], "eus-1")
            self.assertIn("lead to stamp eus-1 already", self.rebind(stamp="eus-1"))
            self.assertIn("version: 9", self.text())
            self.assertEqual(len(self.text().splitlines()), len(text.splitlines()))  # rewritten where they stood
            # at once
            self.assertIn("lead to stamp eus-11", self.rebind("--now"))
            self.assertEqual(self.replica()["homeStamp"], "eus-11")

    def test_what_if(self):
        self.write(FRAME + FLOW)
        said = self.rebind("--what-if", status=10)
        self.assertEqual(self.text(), FRAME + FLOW)
        self.assertRegex(said, r"contoso\.example\.io \(where it leads to the region\) +eus-1\.eastus\.fe\.example\.io \(127\.9\.0\.1\) +eus-11\.eastus\.fe\.example\.io \(127\.9\.0\.11, …\)")
        self.assertIn("contoso.eastus.data.example.io", said)
        self.assertNotIn("contoso.eastus.geo", said)
        doc = json.loads(self.rebind("--what-if", "-o", "json", status=10))
        self.assertEqual((doc["stampWas"], doc["stamp"], doc["written"], len(doc["asked"])), ("eus-1", "eus-11", False, 2))

    def test_all_who_answer_are_asked(self):
        told, hidden = self.add(TOLD, 0), self.add(HIDDEN, 0)
        self.write(FRAME + FLOW + f"transfer:\n  allow: [127.9.0.0/24]\n  notify: [{{ address: '{TOLD}:{told}' }}]\n  secondaries: ['{HIDDEN}:{hidden}', '{TOLD}:{told}']\n")
        doc = json.loads(self.rebind("-o", "json").split("\n}")[0] + "\n}")  # what follows is stderr
        self.assertEqual(sorted((a["what"], a["state"]) for a in doc["asked"]),
                         [("name server eus-1.eastus", "published"), ("name server weu-1.westeurope", "published"), ("notify target", "published"), ("secondary", "published")])
        for s in self.servers.values():
            self.assertEqual({(n, k) for n, k, _ in s.asked}, {(wire_name("eus-11.eastus.fe.example.io"), A), (wire_name("eus-11.eastus.fe.example.io"), AAAA)})

    def test_who_lacks_it_is_named(self):
        self.write(FRAME + FLOW)
        for how, why in (("nxdomain", "says that the name does not exist"), ("servfail", "answers SERVFAIL"), ("refused", "answers REFUSED"),
                         ("lame", r"does not answer for fe.D \(no authority\)"), ("nodata", "has no address of the name"), ("ipv4 alone", "has no address of the name"),
                         ("old", "has other addresses of the name"), ("more", "has other addresses")):
            self.servers[NS2].how = how
            said = self.rebind(status=3)
            self.assertRegex(said, rf"name server weu-1.westeurope {NS2}:{self.port}: {why}", how)
            self.assertIn("not all who answer for fe.example.io have eus-11.eastus.fe.example.io, and nothing was written", said)
            self.assertNotIn("eus-1.eastus", said)
            self.assertEqual(self.text(), FRAME + FLOW)

    def test_a_secondary_that_missed_its_notice_is_waited_for(self):
        """It lags by its refresh, an hour. The time counts from its answer, not from when the others had the name."""
        told, hidden = self.add(TOLD, 0, "nxdomain"), self.add(HIDDEN, 0, "nxdomain")
        self.write(FRAME + FLOW + f"transfer:\n  allow: [127.9.0.0/24]\n  notify: [{{ address: '{TOLD}:{told}' }}]\n  secondaries: ['{HIDDEN}:{hidden}']\n")
        before = self.text()
        said = self.rebind(status=3)
        self.assertIn(f"notify target {TOLD}:{told}: says that the name does not exist", said)
        self.assertIn(f"secondary {HIDDEN}:{hidden}: says that the name does not exist", said)
        self.servers[TOLD].how = "has"
        said = self.rebind(status=3)
        self.assertNotIn("notify target", said)
        self.assertIn("secondary", said)
        self.assertEqual(self.text(), before)
        self.servers[HIDDEN].how = "has"
        asked = time.time()
        self.rebind()
        self.check_written(asked)

    def test_who_is_down_blocks_nothing(self):
        self.write(FRAME + FLOW)
        self.down(NS2)
        before = time.time()
        self.assertIn(f"name server weu-1.westeurope {NS2}:{self.port}: no answer: it is down, or cannot be reached from here, and is not waited for", self.rebind())
        self.check_written(before)
        self.write(FRAME + FLOW)
        self.add(NS2, self.port, "mute")  # takes what it gets and says nothing
        self.assertIn("no answer: it is down, or cannot", self.rebind())
        self.write(FRAME + FLOW)
        for how in ("tcp only", "cut"):  # a filter before UDP; an answer that does not fit
            self.servers[NS2].how = how
            self.assertNotIn("no answer", self.rebind())
            self.write(FRAME + FLOW)
        self.down(NS1)
        self.down(NS2)
        self.assertIn("nobody who answers for fe.example.io could be reached, and nothing was written", self.rebind(status=4))
        self.assertEqual(self.text(), FRAME + FLOW)
        self.assertIn("lead to stamp eus-11", self.rebind("--now"))  # the old stamp is dead, or the name servers are
        self.assertEqual(self.replica()["homeStamp"], "eus-11")

    def test_beside_the_document(self):
        rows = "  - { name: walled, hash: abcdefgh01234567, public_access: [10.0.0.0/8], regional_endpoints: enabled, anonymous_pull: true, replicas: [{ region: eastus, global_routing: false }, { region: westeurope }] }\n"
        self.write(FRAME + FLOW + rows)
        compiled = os.path.join(self.dir, "t.bin")
        self.run_cli("topology", "compile", self.topology, compiled)
        self.topology = compiled
        registry = lambda name: json.loads(self.run_cli("registry", "show", "-n", name, "-o", "json"))
        shown = {n: registry(n) for n in ("contoso", "walled")}
        before = time.time()
        self.assertIn("t.bin.changes: version 8; copy it to the nodes", self.rebind())
        self.check_written(before, self.text(compiled + ".changes"))
        self.run_cli("replication", "rebind", "-r", "walled", "--region", "eastus", "--stamp", "eus-11", "--now")
        for name in shown:  # nothing else of the row is other
            now = registry(name)
            for r in (*now["replications"], *shown[name]["replications"]):
                for key in ("homeStamp", "movesTo", "movesAt"):
                    r.pop(key, None)
            self.assertGreater(now.pop("version"), shown[name].pop("version"))
            self.assertEqual(now, shown[name])
        diff = self.run_cli("topology", "diff", os.path.join(self.dir, "t.yaml"), compiled, status=1)
        self.assertIn("~ registry walled: replicas\n", diff)
        self.assertIn("~ registry contoso: replicas\n", diff)
        # Both forms carry it on.
        again = os.path.join(self.dir, "again.bin")
        self.run_cli("topology", "compile", compiled, again)
        self.assertNotIn("~", self.run_cli("topology", "diff", compiled, again))

    def test_what_cannot_be(self):
        self.write(FRAME + FLOW)
        self.assertIn("region eastus has no stamp eus-12", self.rebind(stamp="eus-12", status=1))
        self.assertIn("give --region and --stamp", self.run_cli("replication", "rebind", "-r", "contoso", status=2))
        self.assertIn("has no replica in region westeurope",
                      self.run_cli("replication", "rebind", "-r", "other", "--region", "westeurope", "--stamp", "weu-1", status=1))
        self.write((FRAME + FLOW).replace("version: 7", '"version": 7'))
        self.assertIn("must stand at the margin", self.rebind(status=1))
        self.assertEqual(self.text(), (FRAME + FLOW).replace("version: 7", '"version": 7'))

    def test_a_hand_edit_is_judged_beforehand(self):
        self.write(FRAME + FLOW)
        naive = os.path.join(self.dir, "naive.yaml")
        with open(naive, "w") as f:
            f.write((FRAME + FLOW).replace("version: 7", "version: 8").replace("{ region: eastus, drained", "{ region: eastus, stamp: eus-11, drained"))
        self.assertIn(": good: version 8", self.run_cli("topology", "check", naive))
        said = self.run_cli("topology", "check", naive, "--after", self.topology, status=1)
        self.assertIn("naive.yaml:16: registry contoso: replicas: eastus: names would lead from stamp eus-1 to eus-11 at once", said)
        self.assertIn("would refuse", said)
        self.assertIn("version 7 is not above 8", self.run_cli("topology", "check", self.topology, "--after", naive, status=1))
        change = os.path.join(self.dir, "change.yaml")
        with open(change, "w") as f:
            f.write("registries:\n  - name: contoso\n    replicas:\n      - { region: eastus, stamp: eus-11 }\n")
        self.assertIn("change.yaml:4: registry contoso: replicas: eastus: names would lead", self.run_cli("topology", "change", change, status=1))

    def test_an_export_leads_where_names_lead_now(self):
        self.write(FRAME + FLOW)
        self.rebind()
        zone = self.run_cli("dns", "export", "--zone", "D", "--expand")
        self.assertRegex(zone, r"; contoso in eastus leads to eus-11 from \S+Z on: export it again then\n")
        self.assertIn("contoso.eastus.data.example.io. 300 IN CNAME eus-1.eastus.fe.example.io.", zone)
        self.rebind("--now")
        self.assertIn("contoso.eastus.data.example.io. 300 IN CNAME eus-11.eastus.fe.example.io.", self.run_cli("dns", "export", "--zone", "D", "--expand"))


unittest.main(verbosity=2)
