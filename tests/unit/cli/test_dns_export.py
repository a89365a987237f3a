# SPDX-License-Identifier: Apache-2.0
"""meridian dns export: zones of a topology as master files. What they hold is stated here name by name; that they answer
as the resolver does is the differential test's to show."""
import os, shutil, subprocess, sys, tempfile, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
CHECKZONE = shutil.which("named-checkzone", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
TOPOLOGY = """\
version: 42
domain: example.io
hostmaster: dns-admin@example.net
regions:
  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1], ipv6: ["2001:db8::1"] }, { name: eus-2, ipv4: [192.0.2.9] }], peer: "192.0.2.1:8443" }
  - { name: westeurope, stamps: [{ name: weu-1, ipv4: [192.0.2.2, 192.0.2.3] }], peer: "192.0.2.2:8443" }
  - { name: southeastasia, stamps: [{ name: sea-1, ipv6: ["2001:db8::3"] }], peer: "192.0.2.4:8443" }
name_servers: [weu-1.westeurope, eus-1.eastus]
registries:
  - name: contoso
    regional_endpoints: enabled
    replicas: [{ region: eastus, stamp: eus-2 }, { region: westeurope }]
  - name: plain
    hash: abcdefgh01234567
    data_endpoints: enabled
    replicas: [{ region: westeurope, drained: true }, { region: eastus, global_routing: false }, { region: southeastasia, drained: true }]
  - name: tailspin
    replicas: [{ region: southeastasia }, { region: eastus, drained: true }]
routing:
  order: [westeurope, eastus, southeastasia]
  overrides: [{ clients: 0.0.0.0/0, order: [southeastasia] }]
views:
  - { name: corp, sources: [10.1.0.0/16] }
  - { name: lab, sources: [10.2.0.0/16] }
private_endpoints:
  - { name: contoso-corp, registry: contoso, view: corp, addresses: { registry: 10.1.0.4, registry_westeurope: 10.1.0.5, registry_data_westeurope: 10.1.0.6 } }
ttl: { global: 31s, regional: 301s, data: 302s, frontend: 61s, private: 11s, negative: 62s, soa: 3601s, ns: 3602s }
"""
SERVERS = [("{z}", "3602", "NS", "weu-1.westeurope.fe.example.io."), ("{z}", "3602", "NS", "eus-1.eastus.fe.example.io.")]
GLUE = [("weu-1.westeurope.fe", "61", "A", "192.0.2.2"), ("weu-1.westeurope.fe", "61", "A", "192.0.2.3"),
        ("eus-1.eastus.fe", "61", "A", "192.0.2.1"), ("eus-1.eastus.fe", "61", "AAAA", "2001:db8::1")]
SOA = "weu-1.westeurope.fe.example.io. dns-admin.example.net. 42 3600 600 1209600 62"


class Export(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.dir, "topology.yaml")
        with open(self.path, "w") as f:
            f.write(TOPOLOGY)

    def export(self, *words, status=0):
        r = subprocess.run([MERIDIAN, "dns", "export", "--topology", self.path, *words], capture_output=True, text=True, timeout=30,
                           cwd=self.dir)
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        return r.stdout if status == 0 else r.stdout + r.stderr

    def records(self, *words, apex="example.io"):
        """(owner below example.io, ttl, type, rdata) of the zone; the file must please named-checkzone."""
        text = self.export(*words)
        path = os.path.join(self.dir, "zone")
        with open(path, "w") as f:
            f.write(text)
        if CHECKZONE:
            r = subprocess.run([CHECKZONE, "-i", "local", "-k", "fail", "-m", "fail", "-n", "fail", "-r", "fail", apex, path],
                               capture_output=True, text=True, timeout=30)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            self.assertEqual(r.stdout.splitlines(), [f"zone {apex}/IN: loaded serial 42", "OK"])
        found = []
        for line in text.splitlines():
            if not line.startswith(";"):
                owner, ttl, cls, kind, rdata = line.split(" ", 4)
                self.assertEqual(cls, "IN")
                found.append((owner.removesuffix(".example.io.").replace("example.io.", "@"), ttl, kind, rdata))
        self.assertEqual(len(found), len(set(found)), "a record stands twice")
        return found

    def of(self, records, *names):
        return [r for r in records if r[0] in names]

    def test_frontends(self):
        got = self.records("--zone", "fe", apex="fe.example.io")
        want = [("fe", "3601", "SOA", SOA)] + [("fe",) + s[1:] for s in SERVERS] + GLUE + [
            ("eus-2.eastus.fe", "61", "A", "192.0.2.9"), ("sea-1.southeastasia.fe", "61", "AAAA", "2001:db8::3")]
        self.assertEqual(sorted(got), sorted(want))
        self.assertEqual(sorted(self.records("--zone", "FE.example.io.", "--expand", apex="fe.example.io")), sorted(want))

    def test_public(self):
        got = self.records("--zone", "D", "--expand")
        P = "contoso.privatelink"
        want = [("@", "3601", "SOA", SOA)] + [("@",) + s[1:] for s in SERVERS] + [("fe",) + s[1:] for s in SERVERS] + GLUE
        want += [("contoso", "31", "CNAME", f"{P}.example.io."), (P, "11", "CNAME", "weu-1.westeurope.fe.example.io."),
                 ("plain-abcdefgh01234567", "31", "CNAME", "weu-1.westeurope.fe.example.io."),
                 ("tailspin", "31", "CNAME", "sea-1.southeastasia.fe.example.io.")]
        for region, stamp in (("eastus", "eus-2"), ("westeurope", "weu-1")):
            for word, ttl in (("geo", "301"), ("data", "302")):
                name, hop = f"contoso.{region}.{word}", f"contoso.{region}.{word}.privatelink"
                want += [(name, ttl, "CNAME", hop + ".example.io."), (hop, "11", "CNAME", f"{stamp}.{region}.fe.example.io.")]
        for region, stamp in (("eastus", "eus-1"), ("westeurope", "weu-1"), ("southeastasia", "sea-1")):
            want.append((f"plain-abcdefgh01234567.{region}.data", "302", "CNAME", f"{stamp}.{region}.fe.example.io."))
        self.assertEqual(sorted(got), sorted(want))
        self.assertEqual(got, self.records("--zone", "example.io", "--expand", "--view", "public", "--pin", "order"))
        self.assertEqual(got, self.records("--zone", "D", "--expand", "--view", "lab"))  # a view without endpoints

    def test_view(self):
        public, corp = self.records("--zone", "D", "--expand"), self.records("--zone", "D", "--expand", "--view", "corp")
        covered = {"contoso.privatelink": "10.1.0.4", "contoso.westeurope.geo.privatelink": "10.1.0.5",
                   "contoso.westeurope.data.privatelink": "10.1.0.6"}
        self.assertEqual(sorted(self.of(corp, *covered)), sorted((n, "11", "A", a) for n, a in covered.items()))
        self.assertEqual([r for r in corp if r[0] not in covered], [r for r in public if r[0] not in covered])

    def test_pins(self):
        names = ("contoso.privatelink", "plain-abcdefgh01234567", "tailspin")
        wants = {"eastus": ("eus-2.eastus", "weu-1.westeurope", "sea-1.southeastasia"),  # drained and off do not take it
                 "southeastasia": ("weu-1.westeurope", "sea-1.southeastasia", "sea-1.southeastasia"),  # all of plain's are drained
                 "order": ("weu-1.westeurope", "weu-1.westeurope", "sea-1.southeastasia")}
        for pin, want in wants.items():
            got = {r[0]: r[3] for r in self.of(self.records("--zone", "D", "--expand", "--pin", pin), *names)}
            self.assertEqual(tuple(got[n] for n in names), tuple(w + ".fe.example.io." for w in want), pin)

    def cut_at(self, where):
        with open(self.path, "w") as f:
            f.write(f"private_cut: insecure\nprivate_cut_at: {where}\n" + TOPOLOGY)

    def test_cut_at_privatelink(self):
        """D and the child zone together hold what D held, and the delegation; the private names are in the child alone."""
        P = "privatelink"
        for view in ("public", "corp"):
            words = ("--expand", "--view", view)
            with open(self.path, "w") as f:
                f.write(TOPOLOGY)
            whole = self.records("--zone", "D", *words)
            self.cut_at("privatelink")
            main, child = self.records("--zone", "D", *words), self.records("--zone", P, *words, apex=f"{P}.example.io")
            self.assertEqual(child, self.records("--zone", f"{P}.EXAMPLE.io.", *words, apex=f"{P}.example.io"))
            head = [(P, "3601", "SOA", SOA)] + [(P,) + s[1:] for s in SERVERS]
            self.assertEqual(child[:3], head)
            self.assertEqual({r[0] for r in main if r[0].endswith(P)}, {P})
            self.assertEqual(self.of(main, P), head[1:])
            self.assertEqual(sorted(main + child[3:]), sorted(whole + head[1:]))
            self.assertGreater(len(child), 5)

    def test_cut_at_region(self):
        whole = self.records("--zone", "D", "--expand", "--view", "corp")
        self.cut_at("region")
        main, children = self.records("--zone", "D", "--expand", "--view", "corp"), []
        for region, n in (("eastus", 1), ("westeurope", 1), ("southeastasia", 0)):
            zone = f"{region}.geo.privatelink"
            got = self.records("--zone", zone, "--expand", "--view", "corp", apex=f"{zone}.example.io")
            self.assertEqual(got[:3], [(zone, "3601", "SOA", SOA)] + [(zone,) + s[1:] for s in SERVERS])
            self.assertEqual(len(got), 3 + n)
            self.assertEqual(self.of(main, zone), got[1:3])
            children += got[1:3] + got[3:]
            whole += got[1:3]
            main = [r for r in main if r[0] != zone]
        self.assertEqual(sorted(main + children), sorted(whole))
        self.assertIn(("contoso.westeurope.geo.privatelink", "11", "A", "10.1.0.5"), children)
        self.assertIn("REGION.geo.privatelink", self.export("--zone", "privatelink", "--expand", status=2))
        self.assertIn("REGION.geo.privatelink", self.export("--zone", "mars.geo.privatelink", "--expand", status=2))

    def test_file(self):
        path = os.path.join(self.dir, "out.zone")
        for words, mode in ((("fe",), 0o644), (("D", "--expand"), 0o644), (("D", "--expand", "--view", "corp"), 0o640)):
            self.assertEqual(self.export("--zone", *words, "-o", path), "")
            with open(path) as f:
                self.assertEqual(f.read(), self.export("--zone", *words))
            self.assertEqual(os.stat(path).st_mode & 0o777, mode)
        self.assertEqual(sorted(os.listdir(self.dir)), ["out.zone", "topology.yaml"])
        self.assertIn("not found", self.export("--zone", "fe", "-o", os.path.join(self.dir, "none", "x"), status=1))

    def test_statics(self):
        before = self.records("--zone", "D", "--expand")
        with open(self.path, "a") as f:
            f.write("""\
apex:
  ttl: 303s
  ipv4: 192.0.2.80
  ipv6: ["2001:db8::80"]
  mx: [{ preference: 20, host: mx2.example.net }, { host: mx1.example.net }, { preference: 30, host: eus-1.eastus.fe.example.io }]
  txt: ["v=spf1 -all", 'say "hi" \\ ; there', "%s"]
  caa: [{ tag: issue, value: "letsencrypt.org; accounturi=https://ca.test/1" }, { tag: iodef, value: "mailto:a@example.net", critical: true }]
  acme_challenge:
    - { txt: [token-1, token-2] }
    - { at: eastus.geo, txt: token-3 }
    - { at: westeurope.data.privatelink, txt: token-4 }
    - { at: eastus.fe, txt: token-5 }
""" % ("x" * 300))
        caa = '"letsencrypt.org; accounturi=https://ca.test/1"'
        want = [("@", "303", "A", "192.0.2.80"), ("@", "303", "AAAA", "2001:db8::80"), ("@", "303", "MX", "20 mx2.example.net."),
                ("@", "303", "MX", "10 mx1.example.net."), ("@", "303", "MX", "30 eus-1.eastus.fe.example.io."),
                ("@", "303", "TXT", '"v=spf1 -all"'), ("@", "303", "TXT", '"say \\"hi\\" \\\\ ; there"'),
                ("@", "303", "TXT", '"%s" "%s"' % ("x" * 255, "x" * 45)), ("@", "303", "CAA", "0 issue " + caa),
                ("@", "303", "CAA", '128 iodef "mailto:a@example.net"'), ("_acme-challenge", "303", "TXT", '"token-1"'),
                ("_acme-challenge", "303", "TXT", '"token-2"'), ("_acme-challenge.eastus.geo", "303", "TXT", '"token-3"'),
                ("_acme-challenge.westeurope.data.privatelink", "303", "TXT", '"token-4"')]
        self.assertEqual(sorted(self.records("--zone", "D", "--expand")), sorted(before + want))
        fe = self.records("--zone", "fe", apex="fe.example.io")
        self.assertEqual(self.of(fe, "_acme-challenge.eastus.fe"), [("_acme-challenge.eastus.fe", "303", "TXT", '"token-5"')])

    def test_refusals(self):
        self.assertIn("--expand", self.export("--zone", "D", status=2))
        self.assertIn("fe.example.io", self.export("--zone", "example.net", status=2))
        self.assertIn("fe.example.io", self.export("--zone", "privatelink", "--expand", status=2))  # private_cut: none
        self.assertIn("--zone", self.export(status=2))
        self.assertIn("corp", self.export("--zone", "D", "--expand", "--view", "corps", status=1))
        self.assertIn("eastsu", self.export("--zone", "D", "--expand", "--pin", "eastsu", status=1))
        self.assertIn("-o", self.export("--zone", "fe", "-o", "json", status=2))
        if os.path.exists("/dev/full"):
            with open("/dev/full", "w") as full:
                r = subprocess.run([MERIDIAN, "dns", "export", "--topology", self.path, "--zone", "fe", "-o", "-"], stdout=full,
                                   stderr=subprocess.PIPE, text=True, timeout=30)
            self.assertEqual(r.returncode, 1, r.stderr)


if __name__ == "__main__":
    if not CHECKZONE:
        print("named-checkzone is not installed: zones are not judged by it")
    unittest.main(verbosity=2)
