# SPDX-License-Identifier: Apache-2.0
"""The serial of fe.D through the commands that rewrite a topology: it is pinned, renewed when its content goes, never lowered,
and the document keeps its comments."""
import json, os, re, shutil, stat, subprocess, sys, tempfile, time, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
PERIOD_S = 604800
TOPOLOGY = """\
# what this is
version: 7 # the document's
domain: example.io
regions:
- { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] } # at the margin
name_servers: [eus-1.eastus]

# who is there
registries:
  # the first
  - { name: contoso, replicas: [{ region: eastus }] }
"""
AFTER = "\n# how often\nhealth: { interval: 9s } # often\n"


class Pin(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.topology, self.keys = os.path.join(self.dir, "t.yaml"), os.path.join(self.dir, "keys")
        self.write(TOPOLOGY)

    def write(self, text):
        with open(self.topology, "w") as f:
            f.write(text)

    def text(self):
        with open(self.topology) as f:
            return f.read()

    def edit(self, was, now, version):
        self.assertIn(was, self.text())
        self.write(re.sub(r"version: \d+", f"version: {version}", self.text().replace(was, now)))

    def run_cli(self, *words, status=0):
        p = subprocess.run([MERIDIAN, *words, "--topology", self.topology], capture_output=True, text=True)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def show(self, path=None):
        return json.loads(self.run_cli("topology", "show", "-o", "json", *([path] if path else [])))

    def is_at(self, version, serial, pinned, path=None):
        shown = self.show(path)
        self.assertEqual((shown["version"], shown["frontendSerial"], shown["pinned"]), (version, serial, pinned))

    def test_a_pin_keeps_the_serial(self):
        os.chmod(self.topology, 0o640)
        self.is_at(7, 7, False)
        self.assertIn("pinned at 7", self.run_cli("topology", "pin"))
        self.is_at(8, 7, True)
        pinned = self.text()
        self.assertTrue(pinned.startswith(TOPOLOGY.replace("version: 7", "version: 8")))  # comments and all
        self.assertRegex(pinned[len(TOPOLOGY):], r"^zone_serial: # of fe\.D\n  serial: 7\n  content: [0-9a-f]{64}\n$")
        self.assertEqual(stat.S_IMODE(os.stat(self.topology).st_mode), 0o640)
        self.run_cli("topology", "pin", self.topology)  # once is enough
        self.assertEqual(self.text(), pinned)
        self.edit("contoso", "fabrikam", 9)
        self.is_at(9, 7, True)
        self.edit("192.0.2.1", "192.0.2.2", 10)
        self.is_at(10, 10, False)
        self.assertIn("the pin is of other content", self.run_cli("topology", "show"))
        self.assertIn("pinned at 10", self.run_cli("topology", "pin"))
        self.is_at(11, 10, True)
        self.edit("192.0.2.2", "192.0.2.1", 12)  # what was before
        self.is_at(12, 12, False)
        self.assertIn("pinned at 13", self.run_cli("topology", "pin", "--renew"))
        self.is_at(13, 13, True)
        self.assertEqual(self.text().count("zone_serial"), 1)
        out = os.path.join(self.dir, "zone")
        self.edit("fabrikam", "contoso", 14)
        self.run_cli("dns", "export", "--zone", "fe", "-o", out)
        with open(out) as f:
            self.assertIn(" 13 3600 600 ", f.read())

    def test_a_section_is_replaced_where_it_stands(self):
        self.write(TOPOLOGY + "zone_serial: {\n  offset: 5,\n}\n" + AFTER)
        self.run_cli("topology", "pin")
        self.assertRegex(self.text(), r"zone_serial: # of fe\.D\n  serial: 7\n  content: [0-9a-f]{64}\n  offset: 5\n\n# how often\n")
        self.is_at(8, 12, True)
        self.assertTrue(self.text().endswith(AFTER))

    def test_compiled_and_changed(self):
        self.run_cli("topology", "pin")
        change, compiled = os.path.join(self.dir, "change"), os.path.join(self.dir, "compiled")
        with open(change, "w") as f:
            f.write("remove: [contoso]\n")
        self.run_cli("topology", "change", change)
        self.is_at(9, 7, True)
        self.run_cli("topology", "compile", self.topology, compiled)
        self.is_at(9, 7, True, compiled)
        self.assertIn("is compiled", self.run_cli("topology", "pin", "--renew", compiled, status=1))
        # A new document would lose the change.
        before = self.text()
        self.assertIn("goes up to version 9, and what it says would be lost", self.run_cli("topology", "pin", "--renew", status=1))
        ids = self.run_cli("dns", "keys", "generate", "--dir", self.keys).split()
        self.assertIn("would be lost", self.run_cli("dns", "keys", "publish", "--dir", self.keys, *ids, status=1))
        self.assertEqual(self.text(), before)

    def test_signed_and_unsigned_again(self):
        self.run_cli("topology", "pin")
        serials = [self.show()["frontendSerial"]]

        def rises(version, pinned=True):
            shown = self.show()
            self.assertEqual((shown["version"], shown["pinned"]), (version, pinned))
            self.assertGreater(shown["frontendSerial"], serials[-1])
            serials.append(shown["frontendSerial"])

        ids = self.run_cli("dns", "keys", "generate", "--dir", self.keys).split()
        with open(self.topology, "a") as f:
            f.write(AFTER)
        self.run_cli("dns", "keys", "publish", "--dir", self.keys, *ids)
        rises(9)  # the pin is of the signed zone now
        self.assertIn(AFTER, self.text())
        self.assertGreaterEqual(serials[-1], 9 + int(time.time()) // PERIOD_S)
        self.edit("contoso", "fabrikam", 10)
        self.assertEqual(self.show()["frontendSerial"], serials[-1])
        before = self.text()
        ago = lambda s: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - s))
        withdraw = lambda *words, status=0: self.run_cli("dns", "keys", "withdraw", "--yes", *words, status=status)
        self.assertIn("let its parent take it away", withdraw(status=1))
        self.assertIn("wait until", withdraw("--ds-changed", ago(86400), status=3))
        self.assertIn("wait until", withdraw("--ds-changed", ago(3600), "--parent-ttl", "0", status=3))  # our own TTLs
        self.assertIn("is a time in UTC", withdraw("--ds-changed", ago(-60), status=2))
        self.assertIn("--parent-ttl x: it is a number", withdraw("--ds-changed", ago(60), "--parent-ttl", "x", status=2))
        self.assertEqual(self.text(), before)
        withdraw("--ds-changed", ago(172800 + 3600 + 301))
        rises(11)
        self.assertNotIn("dnssec:", self.text())
        self.assertIn(AFTER, self.text())
        self.assertGreaterEqual(serials[-1], serials[-2] + 4)  # nodes that have not heard sign on
        self.assertIn("has no keys", withdraw("--force", status=1))
        ids = self.run_cli("dns", "keys", "generate", "--dir", self.keys, "--algorithm", "ed25519").split()
        self.run_cli("dns", "keys", "publish", "--dir", self.keys, *ids)
        rises(12)
        withdraw("--force")
        rises(13)

    def test_diff_says_what_nodes_would(self):
        old = os.path.join(self.dir, "old.yaml")
        shutil.copy(self.topology, old)
        self.run_cli("topology", "pin")
        diff = lambda: self.run_cli("topology", "diff", old, self.topology, status=1)
        self.assertNotIn("serial of fe.D", diff())
        self.edit("192.0.2.1", "192.0.2.2", 9)
        self.assertIn("serial of fe.D 7 -> 9\n", diff())
        self.assertNotIn("refuse", diff())
        shutil.copy(self.topology, old)
        self.edit("192.0.2.2", "192.0.2.1", 10)  # brought back, with its pin
        self.assertIn("serial of fe.D 9 -> 7\n", diff())
        self.assertIn("nodes would refuse it: ", diff())
        self.run_cli("topology", "pin", "--renew")
        self.assertIn("serial of fe.D 9 -> 11\n", diff())

    def test_what_cannot_be_told_apart(self):
        for text in (TOPOLOGY.replace("version: 7", '"version": 7'), "{version: 7, domain: example.io, regions: [{name: a, stamps: [{name: s, ipv4: [192.0.2.1]}]}], name_servers: [s.a]}\n"):
            self.write(text)
            self.assertIn("left as it was", self.run_cli("topology", "pin", status=1))
            self.assertEqual(self.text(), text)
        self.run_cli("topology", "pin", "a", "b", status=2)


unittest.main()
