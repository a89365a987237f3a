# SPDX-License-Identifier: Apache-2.0
"""meridian control: what the root key signs, at once and by way of files, against an admin socket that answers as it is told; and a
topology file that is adopted."""
import base64, hashlib, json, os, re, subprocess, unittest

import node_socket

HASH = "ab" * 32
BODY = json.dumps({"kind": "takeover", "time": 1, "by": "root-key", "topology": 1048587, "principals": 0, "takeover": {"from": f"1:4:{HASH}"}})
DRAFT = json.dumps({"e": 2, "s": 5, "p": HASH, "k": "root", "g": "A" * 86, "b": BODY}) + "\n"
PLACE = f"2:5:{HASH}"
TOPOLOGY = """\
version: 3 # the document's
domain: example.io
regions:
  - { name: eastus, stamps: [{ name: eus-1, ipv4: [127.0.0.1] }], peer: "127.0.0.1:1" }
  - { name: westeurope, stamps: [{ name: weu-1, ipv4: [127.0.0.2] }], peer: "127.0.0.2:1" }
name_servers: [eus-1.eastus]
registries:
  - { name: contoso, replicas: [{ region: eastus }] }
"""


class Control(node_socket.Case):
    def setUp(self):
        super().setUp()
        self.key = f"{self.dir}/root.pem"
        self.answers |= {"POST /v1/control/draft": (200, {"line": DRAFT}), "POST /v1/control/signed": (200, {"place": PLACE})}

    def adopt(self):
        with open(f"{self.dir}/given.yaml", "w") as f:
            f.write(TOPOLOGY)
        self.cli("init", "--topology", f"{self.dir}/given.yaml", "--out", f"{self.dir}/out", "--control-keys")
        return self.cli("control", "adopt", "eastus", "--root-key", self.key, "--topology", f"{self.dir}/out/topology.yaml")

    def verifies(self, line):
        """As docs/control-feed.md says it is signed, asked of another program."""
        e = json.loads(line)
        with open(f"{self.dir}/signed", "w") as f:
            f.write(f"meridian control entry 1\n{e['e']}\n{e['s']}\n{e['p']}\n{hashlib.sha256(e['b'].encode()).hexdigest()}\n")
        with open(f"{self.dir}/sig", "wb") as f:
            f.write(base64.urlsafe_b64decode(e["g"] + "=="))
        r = subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", self.key, "-rawin", "-in", f"{self.dir}/signed", "-sigfile", f"{self.dir}/sig"],
                           capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual((e["e"], e["s"], e["p"], e["k"], e["b"]), (2, 5, HASH, "root", BODY))

    def test_a_takeover_at_once(self):
        self.adopt()
        out = self.cli("control", "takeover", "westeurope", "--root-key", self.key, "--yes")
        self.assertIn(PLACE, out)
        self.assertEqual(json.loads(self.seen[0][2]), {"kind": "takeover", "region": "westeurope"})
        self.assertEqual(self.seen[1][1], "/v1/control/signed")
        self.verifies(self.seen[1][2])

    def test_a_takeover_by_way_of_files(self):
        self.adopt()
        draft, signed = f"{self.dir}/draft", f"{self.dir}/signed.json"
        self.cli("control", "takeover", "westeurope", "--draft", draft, "--yes")
        self.assertEqual(len(self.seen), 1)  # nothing was submitted
        self.cli("control", "sign", draft, "--root-key", self.key, "--out", signed)
        self.assertIn("takeover, epoch 2, entry 5", self.err)
        with open(signed) as f:
            self.verifies(f.read())
        self.assertIn(PLACE, self.cli("control", "submit", signed))

    def with_frame(self, frame):
        body = dict(json.loads(BODY), frame=frame)
        self.answers["POST /v1/control/draft"] = (200, {"line": json.dumps(dict(json.loads(DRAFT), b=json.dumps(body))) + "\n"})

    def test_what_the_frame_changes_is_shown(self):
        self.adopt()
        with open(f"{self.dir}/out/topology.yaml") as f:
            now = f.read()
        self.answers["GET /v1/topology"] = (200, now.encode())
        same = re.sub(r"registries:\n(  .*\n)+", "", now)
        frame = same.replace("version: 4", "version: 5").replace("writer: eastus", "writer: westeurope")
        draft = f"{self.dir}/draft"
        take = lambda: self.cli("control", "takeover", "westeurope", "--draft", draft, "--yes")
        sign = lambda *more: self.cli("control", "sign", draft, "--root-key", self.key, "--out", f"{self.dir}/signed", *more)
        self.with_frame(frame)
        take()
        self.assertIn("region westeurope writes", self.err)
        for part in ("-  writer: eastus", "+  writer: westeurope"):
            self.assertIn(part, self.err)
        self.assertNotIn("version: ", self.err)
        # somebody has slipped in more than was asked for
        self.with_frame(frame.replace("127.0.0.2:1", "203.0.113.6:1"))
        take()
        for part in ("127.0.0.2:1", "203.0.113.6:1"):
            self.assertIn(part, self.err)
        sign()
        self.assertIn("is not shown", self.err)
        self.assertNotIn("203.0.113.6", self.err)
        sign("--against", f"{self.dir}/out/topology.yaml")
        self.assertIn("203.0.113.6:1", self.err)
        self.with_frame(same)
        take()
        self.assertIn("changes nothing", self.err)

    def test_a_takeover_with_another_control_key(self):
        self.adopt()
        fresh = f"{self.dir}/control.pem.new"
        self.cli("control", "takeover", "eastus", "--control-key", fresh, "--root-key", self.key, "--yes")
        self.assertEqual(os.stat(fresh).st_mode & 0o777, 0o600)
        der = subprocess.run(["openssl", "pkey", "-in", fresh, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        spki = base64.b64encode(der).decode()
        self.assertEqual(json.loads(self.seen[0][2]), {"kind": "takeover", "region": "eastus", "controlKey": spki})
        self.verifies(self.seen[1][2])
        id = f"eastus-ctl-{hashlib.sha256(der).hexdigest()[:8]}"
        for part in (id, fresh, "keys/control.pem", "restart"):
            self.assertIn(part, self.err)
        # the key that is there, by way of files; its public half alone
        draft = f"{self.dir}/draft"
        for words in (("--control-key", fresh), ("--public-key", spki)):
            self.seen.clear()
            self.cli("control", "takeover", "eastus", *words, "--draft", draft, "--yes")
            self.assertEqual(json.loads(self.seen[0][2])["controlKey"], spki)
            self.assertEqual(len(self.seen), 1)
        # who signs is told what, whatever the node has written into it
        frame = f"control: {{ writer: eastus }}\nidentities:\n  eastus:\n    control_keys: [{{ id: {id}, key: \"{spki}\" }}, {{ id: \"a\\u009b\" }}]\n"
        with open(draft, "w") as f:
            f.write(json.dumps(json.loads(DRAFT) | {"b": json.dumps(json.loads(BODY) | {"frame": frame})}) + "\n")
        self.cli("control", "sign", draft, "--root-key", self.key, "--out", f"{self.dir}/signed")
        self.assertIn(f"signing: region eastus writes, by {id} a??\n", self.err)
        self.cli("control", "takeover", "eastus", "--control-key", fresh, "--public-key", spki, "--draft", draft, "--yes", status=2)
        self.cli("control", "takeover", "eastus", "--control-key", f"{self.dir}/nothere", "--yes", status=2)
        self.assertFalse(os.path.exists(f"{self.dir}/nothere"))

    def test_a_confirmation(self):
        self.adopt()
        self.cli("control", "confirm", "--root-key", self.key)
        self.assertEqual(json.loads(self.seen[0][2]), {"kind": "confirm"})
        self.cli("control", "confirm", "--root-key", self.key, "--upto", PLACE)
        self.assertEqual(json.loads(self.seen[2][2]), {"kind": "confirm", "upto": PLACE})

    def test_what_is_refused(self):
        self.cli("control", "takeover", "westeurope", "--yes", status=2)
        self.assertIn("--root-key FILE, or --draft FILE", self.err)
        self.cli("control", "takeover", "westeurope", "--root-key", self.key, status=2)  # it asks first
        self.cli("control", "takeover", "westeurope", "--root-key", f"{self.dir}/nothing", "--yes", status=1)
        self.answers["POST /v1/control/draft"] = node_socket.error(409, "FilesAreTheSource", "this node takes its topology from files")
        self.cli("control", "confirm", "--draft", f"{self.dir}/draft", status=1)
        self.assertIn("takes its topology from files", self.err)
        with open(f"{self.dir}/bad", "w") as f:
            f.write("{}")
        self.cli("control", "sign", f"{self.dir}/bad", "--root-key", self.key, "--out", f"{self.dir}/o", status=1)
        self.assertIn("malformed", self.err)

    def test_status(self):
        self.answers["GET /v1/control"] = (200, {"source": "feed", "region": "eastus", "writer": "eastus", "place": PLACE, "topologyVersion": 43,
                                                 "principalsVersion": 7, "confirmed": True, "alarm": "it is torn", "void": []})
        out = self.cli("control", "status")
        self.assertIn("it is torn", out)
        self.assertEqual(self.cli("control", "status", "--query", "writer", "-o", "tsv"), "eastus\n")

    def test_adopt(self):
        self.assertIn("source: feed", self.adopt())
        self.assertIn("root key", self.err)
        self.assertEqual(os.stat(self.key).st_mode & 0o777, 0o600)
        with open(f"{self.dir}/out/topology.yaml") as f:
            text = f.read()
        self.assertIn("writer: eastus", text)
        self.assertIn("version: 4 # the document's", text)
        self.cli("control", "adopt", "eastus", "--root-key", self.key, "--topology", f"{self.dir}/out/topology.yaml", status=1)
        self.assertIn("already", self.err)
        # without control keys it could not be signed
        self.cli("control", "adopt", "eastus", "--root-key", self.key, "--topology", f"{self.dir}/given.yaml", status=1)
        self.assertIn("no control key", self.err)


unittest.main(verbosity=2)
