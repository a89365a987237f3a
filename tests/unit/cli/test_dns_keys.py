# SPDX-License-Identifier: Apache-2.0
"""meridian dns keys: files, states, waiting times, and the DS as ldns computes it from the DNSKEY."""
import os, re, shutil, stat, subprocess, sys, tempfile, time, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
KEY2DS = shutil.which("ldns-key2ds", path=os.environ.get("PATH", "") + ":/usr/bin")
TOPOLOGY = """\
version: 7 # the document's
domain: example.io
regions:
  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }
name_servers: [eus-1.eastus]
"""
AFTER = "ttl:\n  global: 30s\n"


class Keys(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.topology = os.path.join(self.dir, "t.yaml")
        self.keys = os.path.join(self.dir, "keys")
        with open(self.topology, "w") as f:
            f.write(TOPOLOGY)

    def run_cli(self, *words, status=0):
        yes = ["--yes"] if words[0] in ("remove", "withdraw") else []
        p = subprocess.run([MERIDIAN, "dns", "keys", *words, *yes, "--topology", self.topology], capture_output=True, text=True)
        self.assertEqual(p.returncode, status, p.stderr)
        return p.stdout if status == 0 else p.stderr

    def text(self):
        with open(self.topology) as f:
            return f.read()

    def make(self, *words):
        return self.run_cli("generate", "--dir", self.keys, *words).split()

    def publish(self, *ids, **kw):
        return self.run_cli("publish", "--dir", self.keys, *ids, **kw)

    def states(self):
        return {l.split()[0]: l.split()[5] for l in self.run_cli("list").splitlines()[1:]}

    def test_first_keys(self):
        ids = self.make()
        self.assertEqual([re.sub("[0-9a-f]{8}$", "", i) for i in ids], ["d-ksk-", "d-zsk-", "fe-ksk-", "fe-zsk-"])
        self.assertEqual(stat.S_IMODE(os.stat(self.keys).st_mode), 0o700)
        for i in ids:
            self.assertEqual(stat.S_IMODE(os.stat(f"{self.keys}/{i}.pem").st_mode), 0o600)
        self.assertEqual(self.text(), TOPOLOGY)  # generating changes nothing
        self.publish(*ids)
        self.assertEqual(set(self.states().values()), {"active"})
        self.assertIn("version: 8 # the document's\n", self.text())
        self.assertNotIn("PRIVATE", self.text())

    def test_half_a_set_is_refused(self):
        ids = self.make()
        said = self.publish(*ids[:2], status=1)
        self.assertIn("zone fe has no active zsk or csk", said)
        self.assertEqual(self.text(), TOPOLOGY)

    def test_the_section_is_replaced_where_it_stands(self):
        with open(self.topology, "a") as f:
            f.write(AFTER)
        self.publish(*self.make("--role", "csk"))
        self.publish(*self.make("--role", "csk"))
        self.assertEqual(self.text().count("dnssec:"), 1)
        self.assertIn(AFTER, self.text())

    def test_a_zsk_rolls_with_its_waits(self):
        first = self.make()
        self.publish(*first)
        new = self.make("--zone", "D", "--role", "zsk")[0]
        self.publish(new)
        self.assertEqual(self.states()[new], "published")
        self.assertIn("caches may hold", self.run_cli("roll", new, status=3))
        self.run_cli("roll", new, "--force")
        self.assertEqual((self.states()[new], self.states()[first[1]]), ("active", "retired"))
        self.assertIn("is active; retire it first", self.run_cli("remove", new, status=1))
        self.assertIn("caches may hold", self.run_cli("remove", first[1], status=3))
        self.run_cli("remove", first[1], "--force")
        self.assertNotIn(first[1], self.states())
        self.assertIn("no active zsk or csk", self.run_cli("retire", new, status=1))

    def test_waits_end(self):
        first = self.make()
        self.publish(*first)
        new = self.make("--zone", "D", "--role", "ksk")[0]
        self.publish(new)
        old = "2020-01-01T00:00:00Z"
        self.age(old)
        self.run_cli("roll", new)
        self.age(old)
        # The parent of D is asked for: only the operator knows when its DS changed.
        self.assertIn("--ds-changed", self.run_cli("remove", first[0], status=1))
        self.assertIn("a time in UTC", self.run_cli("remove", first[0], "--ds-changed", "yesterday", status=2))
        self.assertIn("a time in UTC", self.run_cli("remove", first[0], "--ds-changed", "2099-01-01T00:00:00Z", status=2))
        self.assertIn("from 0 to", self.run_cli("remove", first[0], "--parent-ttl", "", status=2))
        self.assertIn("caches may hold", self.run_cli("remove", first[0], "--ds-changed", self.ago(3600), status=3))
        self.run_cli("remove", first[0], "--ds-changed", self.ago(3600), "--parent-ttl", "600")
        self.assertNotIn(first[0], self.states())

    def test_fes_parent_is_d(self):
        first = self.make()
        self.publish(*first)
        new = self.make("--zone", "fe", "--role", "ksk")[0]
        self.publish(new)
        self.run_cli("roll", new, "--force")
        self.age("2020-01-01T00:00:00Z")
        self.run_cli("remove", first[2])

    def test_every_ttl_that_a_key_signed_is_waited_for(self):
        with open(self.topology, "a") as f:
            f.write("apex: { ttl: 1d, txt: [one] }\n")
        first = self.make()
        self.publish(*first)
        new = self.make("--zone", "D", "--role", "zsk")[0]
        self.publish(new)
        self.run_cli("roll", new, "--force")
        self.age(self.ago(4 * 3600))
        self.assertIn("caches may hold", self.run_cli("remove", first[1], status=3))
        self.age(self.ago(25 * 3600))
        self.run_cli("remove", first[1])

    def test_secondaries_of_fe_are_waited_for(self):
        def rolled(age_s, status):
            first = self.make()
            self.publish(*first)
            new = self.make("--zone", "fe", "--role", "zsk")[0]
            self.publish(new)
            self.age(self.ago(age_s))
            self.run_cli("roll", new, status=status)
        rolled(5400, 0)  # the keys' TTL of an hour
        with open(self.topology, "w") as f:
            f.write(TOPOLOGY + "transfer: { allow: [192.0.2.0/24] }\n")
        rolled(5400, 3)  # and the hour in which a secondary asks
        with open(self.topology, "w") as f:
            f.write(TOPOLOGY + "transfer: { allow: [192.0.2.0/24] }\n")
        rolled(7800, 0)

    @staticmethod
    def ago(s):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - s))

    def age(self, since):
        aged = re.sub(r'since: "[^"]*"', f'since: "{since}"', self.text())
        with open(self.topology, "w") as f:
            f.write(aged)

    @unittest.skipUnless(KEY2DS, "ldns-key2ds is not installed")
    def test_ds_is_what_ldns_computes(self):
        for algorithm, number in (("ecdsap256sha256", 13), ("ed25519", 15)):
            with open(self.topology, "w") as f:
                f.write(TOPOLOGY)
            self.publish(*self.make("--algorithm", algorithm))
            for zone, apex in (("D", "example.io."), ("fe", "fe.example.io.")):
                ours = self.run_cli("ds", "--zone", zone).split()
                block = [b for b in self.text().split("- id: ") if f"zone: {zone}\n" in b and "role: ksk" in b][0]
                key = re.search(r"key: (\S+)", block).group(1)
                path = os.path.join(self.dir, "k")
                with open(path, "w") as f:
                    f.write(f"{apex} 3600 IN DNSKEY 257 3 {number} {key}\n")
                theirs = subprocess.run([KEY2DS, "-n", "-2", path], capture_output=True, text=True, check=True).stdout.split()
                self.assertEqual(ours[0], theirs[0])
                self.assertEqual(ours[3:], theirs[4:8])

    def test_another_algorithm_is_refused(self):
        self.publish(*self.make())
        other = self.make("--zone", "D", "--role", "zsk", "--algorithm", "ed25519")
        self.assertIn("different algorithms", self.publish(*other, status=1))

    def test_files_others_may_read_are_refused(self):
        ids = self.make()
        os.chmod(f"{self.keys}/{ids[0]}.pem", 0o644)
        self.publish(*ids, status=1)

    def test_words(self):
        self.assertIn("expected one of", self.run_cli("generate", "--zone", "x", status=2))
        self.publish("../etc/passwd", status=1)
        self.run_cli("roll", status=2)
        self.run_cli("ds", status=1)


unittest.main()
