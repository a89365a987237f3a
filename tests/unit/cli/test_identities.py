# SPDX-License-Identifier: Apache-2.0
"""meridian init a second time, and meridian identities: nothing that a region may still use is dropped by accident."""
import base64, datetime, hashlib, json, os, re, shutil, socket, ssl, subprocess, sys, tempfile, threading, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
TOPOLOGY = """\
version: 3 # the document's
domain: example.io
hostmaster: hostmaster@example.io
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [127.0.0.1] }}], peer: "127.0.0.1:{port}" }}
  - {{ name: westeurope, stamps: [{{ name: weu-1, ipv4: [127.0.0.2] }}], peer: "127.0.0.2:1" }}
name_servers: [eus-1.eastus]
registries:
  - {{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
"""
KINDS = ("fingerprint", "token-key", "feed-key", "control-key")


def utc(days_ago):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


class PeerListener:
    """What a region's peer listener shows of itself: the TLS handshake, and one answer."""

    def __init__(self, pem):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.context, self.socket = context, socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c:
                c.settimeout(10)
                try:
                    with self.context.wrap_socket(c, server_side=True) as t:
                        t.recv(4096)
                        t.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


class Identities(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.given, self.out = f"{self.dir}/given.yaml", f"{self.dir}/out"
        self.topology = f"{self.out}/topology.yaml"
        with open(self.given, "w") as f:
            f.write(TOPOLOGY.format(port=1))

    def cli(self, *words, status=0):
        p = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p.stdout if status == 0 else p.stderr

    def init(self, topology=None, status=0):
        return self.cli("init", "--topology", topology or self.given, "--out", self.out, "--control-keys", status=status)

    def retire(self, *words, status=0):
        return self.cli("identities", "retire", *words, "--yes", "--topology", self.topology, status=status)

    def ids(self, region="eastus"):
        rows = json.loads(self.cli("identities", "list", "-o", "json", "--topology", self.topology))
        return {kind: [(r["id"], r["state"]) for r in rows if r["region"] == region and r["what"] == kind] for kind in KINDS}

    def test_a_revocation_stays_whatever_is_added(self):
        self.init()
        key = self.ids()["feed-key"][0][0]
        row = '{ key: %s, epoch: 1, seq: 7, hash: "%s" }' % (key, "0123456789" * 6 + "0123")
        with open(self.topology) as f:
            text = f.read()
        with open(self.topology, "w") as f:
            f.write(text.replace("  westeurope:\n    peer_fing", "    revoked:\n      - " + row + "\n  westeurope:\n    peer_fing", 1))
        self.assertIn(row, self.text())
        shutil.rmtree(self.out + "/eastus")  # it comes back with new keys
        self.init(self.topology)
        self.assertIn(row, self.text())
        self.assertEqual(len(self.ids()["feed-key"]), 2)
        self.init()  # from the given topology, which knows nothing of it
        self.assertIn(row, self.text())

    def text(self):
        with open(self.topology) as f:
            return f.read()

    def version(self):
        return int(re.search(r"^version: (\d+) # the document's$", self.text(), re.M)[1])

    def new_files(self, *names):
        for name in names:
            os.unlink(f"{self.out}/eastus/{name}")

    def test_a_second_init_takes_nothing_away(self):
        said = self.init()
        self.assertEqual(said.count("adds   "), 8)
        first, text = self.ids(), self.text()
        self.assertEqual([len(first[k]) for k in KINDS], [1, 1, 1, 1])
        # A region has renewed its peer certificate and has newer keys: the topology has them, the files here do not.
        newer = {"fingerprint": "ab" * 32, "token-key": "eastus-token-00000001", "feed-key": "eastus-feed-00000001",
                 "control-key": "eastus-ctl-00000001"}
        west = re.search(r"  westeurope:\n    peer_.*\n(?:    .*\n)+", text[text.index("identities:"):])[0]
        key = lambda kind: re.search(kind + r":\n      - \{ id: \S+ key: (\S+)", west)[1]
        more = re.sub(r'peer_fingerprints: \[', f'peer_fingerprints: ["{newer["fingerprint"]}", ', text, count=1)
        for kind, name in (("token_keys", "token-key"), ("feed_keys", "feed-key"), ("control_keys", "control-key")):
            more = more.replace(f"    {kind}:\n", f"    {kind}:\n      - {{ id: {newer[name]}, key: {key(kind)} }}\n", 1)
        with open(self.topology, "w") as f:
            f.write(more.replace("version: 3", "version: 9"))
        before = self.ids()
        self.assertEqual([len(before[k]) for k in KINDS], [2, 2, 2, 2])
        said = self.init()  # with the old document, which has no identities at all
        after = self.ids()
        self.assertEqual({k: sorted(after[k]) for k in KINDS}, {k: sorted(before[k]) for k in KINDS})
        self.assertNotIn("adds", said)
        for name in KINDS:
            self.assertRegex(said, f"keeps  eastus {name} {newer[name]}, which no file .* meridian identities retire eastus {name} {newer[name]}")
        for given in (self.given, self.topology):
            self.assertIn("as it was, version 9", self.init(given))
        with open(self.given, "a") as f:
            f.write("ttl: { global: 60s }\n")
        self.assertIn("version 10", self.init())  # with a lower one no node would take it
        self.assertEqual({k: sorted(v) for k, v in self.ids().items()}, {k: sorted(v) for k, v in before.items()})

    def test_new_keys_are_added_beside_the_old(self):
        self.init()
        first = self.ids()
        self.new_files("keys/feed.pem", "keys/token.pem", "keys/control.pem", "certs/peer.pem")
        said = self.init(self.topology)
        self.assertEqual(said.count("adds   eastus"), 4)
        self.assertEqual(self.version(), 4)
        for kind in KINDS:
            self.assertEqual(len(self.ids()[kind]), 2)
            self.assertEqual(self.ids()[kind][0], first[kind][0])
        self.assertEqual([len(self.ids("westeurope")[k]) for k in KINDS], [1, 1, 1, 1])

    def test_the_public_half_of_a_next_key_is_added(self):
        self.init()
        spki = lambda *words: subprocess.run(f"openssl genpkey -quiet {' '.join(words)} | openssl pkey -pubout -outform DER | base64 -w0",
                                             shell=True, check=True, capture_output=True, text=True).stdout
        add = lambda *words, status=0: self.cli("identities", "add", *words, "--topology", self.topology, status=status)
        token, feed = spki("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), spki("-algorithm", "ed25519")
        der = lambda s: hashlib.sha256(base64.b64decode(s)).hexdigest()[:8]
        before = self.ids()
        self.assertIn("is in the topology", add("eastus", "token-key", "--public-key", token))
        self.assertEqual(self.version(), 4)
        self.assertIn("is in the topology already", add("eastus", "token-key", "--public-key", token))
        self.assertEqual(self.version(), 4)
        add("eastus", "feed-key", "--public-key", feed)
        add("westeurope", "control-key", "--public-key", spki("-algorithm", "ed25519"))
        self.assertEqual([i for i, _ in self.ids()["token-key"]], [before["token-key"][0][0], f"eastus-token-{der(token)}"])
        self.assertEqual([i for i, _ in self.ids()["feed-key"]], [before["feed-key"][0][0], f"eastus-feed-{der(feed)}"])
        self.assertEqual(self.ids()["fingerprint"], before["fingerprint"])
        text = self.text()
        add("eastus", "feed-key", "--public-key", token, status=1)  # a key of another kind
        add("eastus", "fingerprint", "--public-key", token, status=2)
        add("eastus", "token-key", "--public-key", "x y", status=2)
        add("nowhere", "token-key", "--public-key", token, status=1)
        self.assertEqual(self.text(), text)

    def test_a_feed_key_retires_and_stays(self):
        self.init()
        old = self.ids()["feed-key"][0][0]
        self.assertIn("only feed-key", self.retire("eastus", "feed-key", old, "--now", status=1))
        self.new_files("keys/feed.pem")
        self.init(self.topology)
        self.assertIn("--unused-since", self.retire("eastus", "feed-key", old, status=2))
        self.assertIn("is past", self.retire("eastus", "feed-key", old, "--unused-since", utc(-1), status=2))
        since = utc(0.5)
        self.assertIn("verifies what it signed", self.retire("eastus", "feed-key", old, "--unused-since", since))
        self.assertEqual(dict(self.ids()["feed-key"])[old], "retired")
        self.assertIn(f'retired: "{since}"', self.text())
        self.assertIn("retired already", self.retire("eastus", "feed-key", old, "--now", status=1))
        text = self.text()
        self.assertIn("retired: it verifies", self.init(self.topology))  # and stays so
        self.init()  # also from a document that knows nothing of it
        self.assertIn(f'retired: "{since}"', self.text())
        self.assertIn(old, text)

    def test_a_token_key_waits_for_its_tokens(self):
        self.init()
        old = self.ids()["token-key"][0][0]
        self.assertIn("only token-key", self.retire("eastus", "token-key", old, status=1))
        self.new_files("keys/token.pem")
        self.init(self.topology)
        self.assertIn("--unused-since", self.retire("eastus", "token-key", old, status=2))
        said = self.retire("eastus", "token-key", old, "--unused-since", utc(29), status=3)
        self.assertIn("tokens that it signed last until", said)
        self.assertEqual(len(self.ids()["token-key"]), 2)
        self.retire("eastus", "token-key", old, "--unused-since", utc(31))
        self.assertNotIn(old, self.text())
        last = self.ids()["token-key"][0][0]
        self.retire("eastus", "token-key", last, "--now", status=1)
        self.retire("eastus", "token-key", last, "--now", "--last")
        self.assertEqual(self.ids()["token-key"], [])

    def test_a_fingerprint_waits_for_the_next_certificate(self):
        self.init()
        old = self.ids()["fingerprint"][0][0]
        self.assertIn("only fingerprint", self.retire("eastus", "fingerprint", old, "--now", status=1))
        shutil.copy(f"{self.out}/eastus/certs/peer.pem", f"{self.dir}/old.pem")
        self.new_files("certs/peer.pem")
        self.init(self.topology)
        new = [i for i, _ in self.ids()["fingerprint"] if i != old][0]
        ca = ("--ca", f"{self.out}/ca/ca.pem")

        def listens(pem):
            peer = PeerListener(pem)
            self.addCleanup(peer.close)
            with open(self.topology) as f:
                text = re.sub(r'peer: "127.0.0.1:\d+"', f'peer: "127.0.0.1:{peer.port}"', f.read())
            with open(self.topology, "w") as f:
                f.write(text)
        self.assertIn("could not be asked", self.retire("eastus", "fingerprint", old, *ca, status=4))
        listens(f"{self.dir}/old.pem")
        self.assertIn("shows that certificate still", self.retire("eastus", "fingerprint", old, *ca, status=3))
        listens(f"{self.out}/eastus/certs/peer.pem")
        self.assertIn("shows that certificate still", self.retire("eastus", "fingerprint", new, *ca, status=3))
        self.retire("eastus", "fingerprint", old[:12], *ca)
        self.assertEqual([i for i, _ in self.ids()["fingerprint"]], [new])

    def test_a_revoked_feed_key_is_no_key_of_a_region(self):
        self.init()
        old = self.ids()["feed-key"][0][0]
        row = f'    revoked:\n      - {{ key: {old}, epoch: 3, seq: 9, hash: "{"ab" * 32}" }}\n'
        text = self.text()
        with open(self.topology, "w") as f:
            f.write(text.replace("  westeurope:\n    peer_fing", row + "  westeurope:\n    peer_fing", 1))
        self.assertEqual(self.ids()["feed-key"], [(old, "revoked")])
        self.assertIn("is revoked in the topology", self.init(status=1))
        self.new_files("keys/feed.pem")
        self.assertIn("revoked: it verifies what it signed before", self.init())
        self.assertEqual([state for _, state in self.ids()["feed-key"]], ["revoked", "in force"])
        new = self.ids()["feed-key"][1][0]
        self.assertIn("only feed-key", self.retire("eastus", "feed-key", new, "--now", status=1))

    def test_list_and_show(self):
        self.init()
        self.assertEqual(len(self.cli("identities", "list", "--topology", self.topology).splitlines()), 9)
        shown = self.cli("identities", "show", "eastus", "--topology", self.topology)
        self.assertEqual(len(shown.splitlines()), 5)
        self.assertIn("MFkw", shown)
        self.assertNotIn("westeurope", shown)
        self.cli("identities", "show", "nowhere", "--topology", self.topology, status=1)
        self.retire("eastus", "certificate", "x", status=2)
        self.assertIn("identities list", self.retire("eastus", "feed-key", "eastus-feed-nothing", status=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
