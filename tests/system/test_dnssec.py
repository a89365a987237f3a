# SPDX-License-Identifier: Apache-2.0
"""DNSSEC with the validators of others: unbound and delv hold D's key and judge every kind of name, as the public and in a
private network; ldns-verify-zone judges fe.D as it is transferred; keys are rolled while everything goes on validating;
and a wrong anchor, or a wrong octet, is noticed. NSD, with fe.D transferred to it, must answer for it as we do.

A resolver of our own on loopback addresses, so this needs no namespaces; root, so that servers keep their user."""
import os, re, shutil, socket, struct, subprocess, sys, tempfile, unittest

import dnswire as dns
from lab import MERIDIAN, MERIDIAND, SKIP, wait_until
from programs import Programs

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
TOOLS = {t: shutil.which(t, path=PATH) for t in ("unbound", "delv", "dig", "ldns-verify-zone", "nsd")}
D = "example.test"
OURS, PUBLIC, CORP = "127.0.0.1", "127.0.0.65", "127.0.0.66"  # the last two: where the validators ask from
KEY_TTL_S = 1

TOPOLOGY = """\
version: 7
domain: example.test
regions:
  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1], ipv6: ["2001:db8::1"] }, { name: eus-2, ipv4: [192.0.2.9] }], peer: "192.0.2.1:8443" }
  - { name: westeurope, stamps: [{ name: weu-1, ipv4: [192.0.2.2] }], peer: "192.0.2.2:8443" }
name_servers: [eus-1.eastus, weu-1.westeurope]
registries:
  - { name: contoso, regional_endpoints: enabled, data_endpoints: enabled, replicas: [{ region: eastus }, { region: westeurope }] }
  - { name: fabrikam, regional_endpoints: enabled, replicas: [{ region: westeurope }] }
views:
  - { name: corp, sources: [127.0.0.66] }
private_endpoints:
  - { name: cc, registry: contoso, view: corp, addresses: { registry: 10.1.0.4, registry_westeurope: 10.1.0.5, registry_data_westeurope: 10.1.0.6 } }
transfer: { allow: [127.0.0.1] }
"""

NAMES = [("contoso", "A"), ("CONTOSO", "AAAA"), ("contoso", "TXT"), ("fabrikam", "A"), ("fabrikam", "CNAME"),
         ("contoso.eastus.geo", "A"), ("contoso.westeurope.data", "A"), ("fabrikam.westeurope.geo", "AAAA"),
         ("contoso.privatelink", "A"), ("contoso.westeurope.geo.privatelink", "A"), ("contoso.privatelink", "TXT"),
         ("_route.contoso", "TXT"), ("_route.contoso", "A"), ("eus-1.eastus.fe", "A"), ("eus-1.eastus.fe", "AAAA"),
         ("weu-1.westeurope.fe", "AAAA"), ("none.eastus.fe", "A"), ("eastus.fe", "A"), ("geo", "A"), ("eastus.geo", "TXT"),
         ("nobody", "A"), ("mars.geo", "A"), ("a.b.c", "A"), ("", "SOA"), ("", "NS"), ("", "A"), ("", "DNSKEY"), ("", "CDS"),
         ("", "CDNSKEY"), ("", "ANY"), ("contoso", "ANY"), ("fe", "DS"), ("fe", "DNSKEY"), ("fe", "NS"), ("fe", "SOA"),
         ("fe", "CDS"), ("fe", "A"), ("contoso", "NSEC"), ("nobody", "NSEC"), ("geo", "NSEC"), ("", "NSEC"), ("fe", "NSEC"),
         ("eus-1.eastus.fe", "NSEC"), ("none.eastus.fe", "NSEC")]
# An asterisk as the first label: in every place that a name can have, and below what is not there.
NAMES += [(f"*{at}", qtype) for at in ("", ".geo", ".eastus.geo", ".contoso", ".contoso.eastus.geo", ".privatelink", ".contoso.privatelink",
                                       ".geo.privatelink", ".nobody", ".*", ".fe", ".eastus.fe") for qtype in ("A", "DS", "NSEC")]
NAMES += [("x.*", "A"), ("x.*.geo", "TXT"), ("*.eus-1.eastus.fe", "A")]


FE_NAMES = ["fe", "FE", "eus-1.eastus.fe", "EUS-2.eastus.fe", "weu-1.westeurope.fe", "eastus.fe", "mars.fe", "a.fe", "zz.fe", "*.fe",
            "none.eastus.fe", "a.b.c.eastus.fe", "*.eastus.fe", "x.eus-1.eastus.fe", "weu-0.westeurope.fe", "weu-2.westeurope.fe",
            "_acme-challenge.eastus.fe", "x._acme-challenge.eastus.fe", "_acme-challenge.westeurope.fe", "\1.fe"]
FE_TYPES = [1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 46, 47, 48, 51, 59, 60, 65, 257, 65280]


class Stream:
    """Queries over one TCP connection, one at a time."""

    def __init__(self, port):
        self.s = socket.create_connection((OURS, port), 10)

    def ask(self, packet):
        self.s.sendall(struct.pack(">H", len(packet)) + packet)
        return dns.Response(self._exact(struct.unpack(">H", self._exact(2))[0]))

    def _exact(self, n):
        got = b""
        while len(got) < n:
            more = self.s.recv(n - len(got))
            if not more:
                raise AssertionError("closed")
            got += more
        return got


def free_port(address):
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            t.bind((address, 0))
            try:
                u.bind(t.getsockname())
                return t.getsockname()[1]
            except OSError:
                continue


class Dnssec(Programs):
    def setUp(self):
        super().setUp()
        self.port = free_port(OURS)
        self.topology, self.keys = f"{self.dir}/topology.yaml", f"{self.dir}/eastus/keys/dns"
        self.prepare_resolver(TOPOLOGY, f"{OURS}:{self.port}")

    def manage(self, *words):
        return self.run_tool(MERIDIAN, "dns", "keys", *words, "--topology", self.topology)

    def dig(self, name, qtype, *words, server=OURS, port=None):
        return self.run_tool(TOOLS["dig"], f"@{server}", "-p", str(port or self.port), f"{name}.{D}".lstrip("."), qtype, "+tries=2",
                             "+time=3", *words, check=False)

    def start_ours(self):
        self.start(f"{self.dir}/log", MERIDIAND, "--config", f"{self.dir}/meridiand.yaml")
        try:
            wait_until(20, lambda: "status: NOERROR" in self.dig("", "SOA", "+dnssec"), "the resolver answers")
        except AssertionError:
            with open(f"{self.dir}/log") as f:
                raise AssertionError(f.read())

    def make_keys(self, *words):
        ids = self.manage("generate", "--dir", self.keys, *words).split()
        self.manage("publish", "--dir", self.keys, *ids)
        return ids

    def serial(self):
        with open(self.topology) as f:
            return int(re.search(r"^version: (\d+)", f.read(), re.M).group(1))

    def wait_served(self):
        """Until the resolver answers from the topology on disk, signatures included."""
        want = str(self.serial())
        wait_until(15, lambda: f" {want} 3600 600" in self.dig("", "SOA", "+dnssec"), f"version {want}")
        key_ids = {l.split()[4] for l in self.manage("list").splitlines()[1:] if l.split()[1] == "D"}
        wait_until(15, lambda: set(re.findall(r"key id = (\d+)", self.dig("", "DNSKEY", "+dnssec", "+multiline"))) == key_ids, "the keys")

    def tags(self, which):
        """Key tags of those rows of the list that `which` chooses."""
        return {row[4] for row in map(str.split, self.manage("list").splitlines()[1:]) if which(row)}

    def wait_keys_known(self, validator):
        """Until the validator holds no set of keys that lacks one."""
        for zone, name in (("D", ""), ("fe", "fe")):
            want = self.tags(lambda row: row[1] == zone)
            held = lambda: set(re.findall(r"key id = (\d+)", self.dig(name, "DNSKEY", "+dnssec", "+multiline", server=validator[0], port=validator[1])))
            wait_until(10 + KEY_TTL_S, lambda: held() == want, f"the validator knows the keys of {zone}: {want}")

    def wait_not_signed_by(self, validator, names, tags):
        """Until the validator answers none of the names with a signature by one of these keys."""
        def signers():
            found = set()
            for name, qtype in names:
                got = self.dig(name, qtype, "+dnssec", server=validator[0], port=validator[1])
                found |= set(re.findall(r"\sRRSIG\s+(?:\S+\s+){6}(\d+)", got))
            return found
        wait_until(10 + KEY_TTL_S, lambda: not signers() & tags, f"the validator holds nothing that {tags} signed")

    def served_and_valid(self, validator, names):
        self.wait_served()
        self.validates(validator, names)

    def unbound(self, source, anchor):
        """A validator that asks us from `source`."""
        port = free_port(source)
        where = tempfile.mkdtemp(dir=self.dir)
        with open(f"{where}/anchor", "w") as f:
            f.write(anchor)
        stubs = "".join(f"stub-zone:\n name: \"{z}\"\n stub-addr: {OURS}@{self.port}\n" for z in (D, "fe." + D))
        with open(f"{where}/conf", "w") as f:
            f.write(f"server:\n interface: {source}@{port}\n outgoing-interface: {source}\n access-control: 127.0.0.0/8 allow\n"
                    " do-not-query-localhost: no\n do-ip6: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n"
                    f" directory: \"{where}\"\n trust-anchor-file: \"{where}/anchor\"\n module-config: \"validator iterator\"\n"
                    " num-threads: 1\n cache-max-ttl: 1\n cache-max-negative-ttl: 1\n trust-anchor-signaling: no\n"
                    " local-zone: \"test.\" nodefault\n aggressive-nsec: no\n" + stubs + "remote-control:\n control-enable: no\n")
        self.start(f"{where}/log", TOOLS["unbound"], "-d", "-c", f"{where}/conf")
        wait_until(10, lambda: "status:" in self.dig("geo", "A", server=source, port=port), "unbound answers")
        return source, port

    def validates(self, validator, names=NAMES):
        for name, qtype in names:
            got = self.dig(name, qtype, "+dnssec", server=validator[0], port=validator[1])
            flags = re.search(r"flags: ([a-z ]*);", got)
            self.assertTrue(flags and "ad" in flags.group(1).split() and re.search("status: (NOERROR|NXDOMAIN)", got),
                            f"{name} {qtype} is not validated:\n{got}")

    def test_every_kind_of_name(self):
        self.make_keys()
        self.start_ours()
        anchor = self.manage("ds")
        public, corp = self.unbound(PUBLIC, anchor), self.unbound(CORP, anchor)
        self.validates(public)
        self.validates(corp)
        self.assertIn("10.1.0.4", self.dig("contoso", "A", server=corp[0], port=corp[1]))
        self.assertIn("192.0.2.1", self.dig("contoso", "A", server=public[0], port=public[1]))
        # The negative test of this test: with another anchor, or another octet, nothing validates.
        wrong = re.sub(r"[0-9a-f]{8}$", "00000000", anchor.strip()) + "\n"
        bad = self.unbound(PUBLIC, wrong)
        self.assertIn("status: SERVFAIL", self.dig("contoso", "A", server=bad[0], port=bad[1]))
        # delv
        key = [l.split() for l in self.dig("", "DNSKEY", "+short").splitlines() if l.startswith("257 ")][0]
        with open(f"{self.dir}/delv.conf", "w") as f:
            f.write(f"trust-anchors {{ {D}. static-key 257 3 13 \"{''.join(key[3:])}\"; }};\n")
        for source in (PUBLIC, CORP):
            for name, qtype in NAMES:
                if qtype == "ANY":
                    continue  # delv takes no ANY
                got = subprocess.run([TOOLS["delv"], f"@{OURS}", "-p", str(self.port), "-b", source, "-a", f"{self.dir}/delv.conf",
                                      f"+root={D}", f"{name}.{D}".lstrip("."), qtype], capture_output=True, text=True, timeout=30)
                said = got.stdout + got.stderr
                self.assertIn("fully validated", said, f"{name} {qtype} from {source}")
                self.assertNotIn("unsigned answer", said)
        # fe.D as secondaries get it
        zone = self.run_tool(TOOLS["dig"], f"@{OURS}", "-p", str(self.port), "fe." + D, "AXFR", "+tcp")
        with open(f"{self.dir}/fe.zone", "w") as f:
            f.write(zone)
        self.run_tool(TOOLS["ldns-verify-zone"], "-V", "2", f"{self.dir}/fe.zone")
        broken = re.sub(r"(?m)^(eus-2\S*\s+\d+\s+IN\s+A\s+)192\.0\.2\.9", r"\g<1>192.0.2.8", zone)
        self.assertNotEqual(broken, zone)
        with open(f"{self.dir}/fe.zone", "w") as f:
            f.write(broken)
        self.assertNotEqual(subprocess.run([TOOLS["ldns-verify-zone"], f"{self.dir}/fe.zone"], capture_output=True).returncode, 0)

    def test_the_serial_never_goes_down(self):
        def frontend_serial():
            soa = self.dig("fe", "SOA", "+short").split()
            return int(soa[2]) if len(soa) > 6 else 0

        def said(words):
            with open(f"{self.dir}/log") as f:
                return words in f.read()

        self.start_ours()
        serials = [frontend_serial()]
        self.assertEqual(serials, [7])
        self.make_keys("--algorithm", "ed25519")
        wait_until(15, lambda: frontend_serial() > serials[-1], "fe.D is signed")
        serials.append(frontend_serial())
        with open(self.topology) as f:
            signed = f.read()
        # Keys that are taken out by hand: refused, with what is missing.
        with open(self.topology, "w") as f:
            f.write(re.sub(r"(?m)^dnssec:\n(?: .*\n)*", "", signed).replace("version: 8", "version: 9"))
        wait_until(15, lambda: said("would go down"), "the log says why")
        self.assertEqual(frontend_serial(), serials[-1])
        with open(self.topology, "w") as f:
            f.write(signed)
        self.manage("withdraw", "--force", "--yes")
        wait_until(15, lambda: "RRSIG" not in self.dig("fe", "SOA", "+dnssec"), "fe.D is unsigned")
        self.assertGreater(frontend_serial(), serials[-1])
        # A secondary with the signed zone takes it: all of it, which is less than what goes.
        zone = self.run_tool(TOOLS["dig"], f"@{OURS}", "-p", str(self.port), "fe." + D, f"ixfr={serials[-1]}", "+tcp")
        kinds = [l.split()[3] for l in zone.splitlines() if l.split()[2:3] == ["IN"]]
        self.assertEqual(sorted(kinds), ["A", "A", "A", "AAAA", "NS", "NS", "SOA", "SOA"])

    def test_fe_is_as_nsd_serves_it(self):
        """Every name and type of the signed zone, with DO and without: but for its DS, which is D's to say."""
        with open(self.topology, "a") as f:
            f.write("apex: { acme_challenge: [{ at: eastus.fe, txt: [d, e] }] }\n")
        self.make_keys()
        self.start_ours()
        zone = self.run_tool(TOOLS["dig"], f"@{OURS}", "-p", str(self.port), "fe." + D, "AXFR", "+tcp", "+onesoa")
        with open(f"{self.dir}/fe.zone", "w") as f:
            f.write(zone)
        port = free_port(OURS)
        with open(f"{self.dir}/nsd.conf", "w") as f:
            f.write(f"server:\n ip-address: {OURS}@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{self.dir}\"\n pidfile: \"\"\n"
                    f" zonelistfile: \"{self.dir}/zone.list\"\n xfrdfile: \"{self.dir}/xfrd\"\n xfrdir: \"{self.dir}\"\n database: \"\"\n"
                    " server-count: 1\n minimal-responses: yes\n round-robin: no\n do-ip6: no\n tcp-query-count: 0\n"
                    f"remote-control:\n control-enable: no\nzone:\n name: fe.{D}\n zonefile: fe.zone\n")
        self.start(f"{self.dir}/nsd.log", TOOLS["nsd"], "-d", "-c", f"{self.dir}/nsd.conf")
        wait_until(10, lambda: "status: NOERROR" in self.dig("fe", "SOA", port=port), "NSD answers")
        ours, theirs, n = Stream(self.port), Stream(port), 0
        self.addCleanup(ours.s.close)
        self.addCleanup(theirs.s.close)
        for name in FE_NAMES:
            labels = dns.name(f"{name}.{D}")
            for qtype in FE_TYPES:
                if qtype == 43 and name.lower() == "fe":
                    continue
                for do in (False, True):
                    packet = dns.query(n & 0xffff, labels, qtype, rd=False, edns=1232, do=do)
                    a, b = ours.ask(packet), theirs.ask(packet)
                    what = f"{name} type {qtype} DO {do}\nours: {a}\nNSD's: {b}"
                    self.assertEqual((a.id, a.flags, a.rcode, a.question), (b.id, b.flags, b.rcode, b.question), what)
                    self.assertEqual(sorted(a.answer, key=repr), sorted(b.answer, key=repr), what)
                    self.assertEqual(sorted(a.authority, key=repr), sorted(b.authority, key=repr), what)
                    n += 1
        self.assertGreater(n, 700)

    def test_keys_roll_and_a_missing_key_changes_nothing(self):
        first = self.make_keys("--algorithm", "ed25519")
        with open(self.topology) as f:
            text = f.read()
        with open(self.topology, "w") as f:
            f.write(text.replace("  ttl: 3600s\n", f"  ttl: {KEY_TTL_S}s\n"))  # so that the waits of a roll are short
        self.start_ours()
        some = [("contoso", "A"), ("nobody", "A"), ("fe", "DS"), ("eus-1.eastus.fe", "A"), ("none.eastus.fe", "A"), ("", "DNSKEY")]
        old = self.manage("ds")
        validator = self.unbound(PUBLIC, old)
        self.validates(validator, some)
        for role, was in (("zsk", (first[1], first[3])), ("ksk", (first[0], first[2]))):  # of both zones at once
            new = self.make_keys("--role", role, "--algorithm", "ed25519")
            self.served_and_valid(validator, some)
            self.wait_keys_known(validator)  # the wait that --force skips
            for key in new:
                self.manage("roll", key, "--force")
            self.served_and_valid(validator, some)
            if role == "ksk":  # it signs the keys for as long as it is among them
                # who has the old DS was asked above; this one has the new one only
                validator = self.unbound(PUBLIC, self.manage("ds"))
                self.validates(validator, some)
            else:
                self.wait_not_signed_by(validator, some, self.tags(lambda row: row[0] in was))
            for key in was:
                self.manage("remove", key, "--force", "--yes")
            self.served_and_valid(validator, some)
        # A key whose private half did not reach this node: what was in force stays, and the log says why.
        lost = self.manage("generate", "--dir", f"{self.dir}/elsewhere", "--zone", "D", "--role", "csk", "--algorithm", "ed25519").split()[0]
        self.manage("publish", "--dir", f"{self.dir}/elsewhere", lost)

        def said():
            with open(f"{self.dir}/log") as f:
                text = f.read()
            return lost in text and "what was in force stays" in text

        wait_until(15, said, "the log names the missing key")
        self.validates(validator, some)
        shutil.copy(f"{self.dir}/elsewhere/{lost}.pem", self.keys)  # copy keeps no mode
        os.chmod(f"{self.keys}/{lost}.pem", 0o600)
        self.wait_served()
        self.validates(validator, some)


if os.geteuid() != 0 or not all(TOOLS.values()):
    print("skipped: needs root and " + ", ".join(t for t, p in TOOLS.items() if not p))
    sys.exit(SKIP)
unittest.main()
