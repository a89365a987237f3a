# SPDX-License-Identifier: Apache-2.0
"""`meridian replication wait`, `status` and `login` from end to end against three regions that answer as the daemon does: HTTPS with a verified
certificate, tokens, `have`. The regions have written one tag at the same moment, and converge while it waits."""
import http.server, json, os, shutil, socket, ssl, subprocess, sys, tempfile, threading, time, unittest, urllib.parse

MERIDIAN = os.path.abspath(sys.argv.pop(1))
NAMES = ["eastus", "southeastasia", "westeurope"]  # at 127.0.0.1, .2, .3
DIGESTS = {name: "sha256:" + str(i) * 64 for i, name in enumerate(NAMES)}
STAMP = 117000000000000001


def value(origin, stamp=STAMP, epoch=1, digest=None):
    return (stamp, origin, epoch, digest or DIGESTS[origin])


class Region(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, tls, values, name, refuses, states):
        super().__init__(address, Answers)
        self.name, self.refuses, self.states = name, refuses, states  # last word of a path: (status, message); origin: state
        self.values, self.began = values, None  # [(after this many seconds since the first question, value or None)]
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def now(self):
        self.began = self.began or time.monotonic()
        age = time.monotonic() - self.began
        return [v for after, v in self.values if after <= age][-1]


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        q = dict(urllib.parse.parse_qsl(url.query))
        refused = self.server.refuses.get(url.path.rsplit("/", 1)[1])
        if refused:
            doc = {"errors": [{"code": "X", "message": refused[1]}]}
        elif url.path == "/replication/v1/status":
            doc = {"region": self.server.name, "writes": "open", "faults": [],
                   "replications": [dict(registry="contoso", region=self.server.name, origin=o, state=s, lastError=None)
                                    for o, s in self.server.states.items()]}
        else:
            doc = {"access_token": "t", "refresh_token": "r"} if url.path == "/oauth2/token" else self.have(q)
        text = json.dumps(doc).encode()
        self.send_response(refused[0] if refused else 200)
        self.send_header("X-Meridian-Request-Id", "0a1b" * 8)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def have(self, q):
        until = time.monotonic() + int(q.get("wait_ms", 0)) / 1000
        wanted = (int(q["stamp"]), q["origin"], int(q["epoch"]), q["digest"]) if "digest" in q and "stamp" in q else None
        while True:
            v = self.server.now()
            if (isinstance(v, tuple) and (not wanted or v >= wanted)) or time.monotonic() >= until:
                break
            time.sleep(0.02)
        if not v:
            return {"found": False}
        if isinstance(v, dict):
            return v
        return {"found": True, "stamp": str(v[0]), "origin": v[1], "epoch": str(v[2]), "digest": v[3]}


class Wait(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.pem = os.path.join(cls.dir, "pem")
        names = ",".join(["DNS:contoso.example.io", *(f"DNS:contoso.{name}.geo.example.io" for name in NAMES)])
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=test", "-addext", "subjectAltName=" + names, "-keyout", cls.pem + ".key", "-out", cls.pem],
                       check=True, capture_output=True)

    def regions(self, values, refuses, states, dead):
        """One port that is free at all three addresses."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.pem, self.pem + ".key")
        for _ in range(50):
            servers, port = [], 0
            try:
                for i, name in enumerate(NAMES):
                    servers.append(Region((f"127.0.0.{i + 1}", port), tls, values.get(name), name, refuses.get(name, {}),
                                          states.get(name, {})))
                    port = servers[0].server_address[1]
                for i, name in enumerate(NAMES):
                    if name in dead:
                        servers[i].shutdown()
                        servers[i].server_close()
                for s in servers:
                    if s.name not in dead:
                        self.addCleanup(s.server_close)
                        self.addCleanup(s.shutdown)
                return port
            except OSError:
                for s in servers:
                    s.shutdown()
                    s.server_close()
        self.fail("no port is free at 127.0.0.1, .2 and .3")

    def ask(self, words, values, refuses={}, states={}, dead=(), noun=["replication"]):
        """Exit status, the JSON, and all that was said."""
        port = self.regions(values, refuses, states, dead)
        path = os.path.join(self.dir, "topology.yaml")
        with open(path, "w") as f:
            f.write(f"version: 1\ndomain: example.io\nhttps_port: {port}\nregions:\n")
            for i, name in enumerate(NAMES):
                f.write(f"  - name: {name}\n    peer: 127.0.0.{i + 1}:8443\n"
                        f"    stamps: [{{ name: s-{i}, ipv4: [127.0.0.{i + 1}] }}]\n")
            f.write(f"name_servers: [s-0.{NAMES[0]}]\nregistries:\n  - name: contoso\n    anonymous_pull: true\n"
                    "    regional_endpoints: enabled\n    replicas:\n")
            for name in NAMES:
                f.write(f"      - {{ region: {name} }}\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
        self.port = port
        r = subprocess.run([MERIDIAN, *noun, *words, "-o", "json", "--topology", path, "--ca", self.pem],
                           capture_output=True, text=True, env=env, timeout=60)
        if noun == []:
            return r.returncode, r.stdout, r.stderr
        return r.returncode, json.loads(r.stdout) if r.stdout else [], r.stdout + r.stderr

    def wait(self, values, timeout="5s", **more):
        code, rows, text = self.ask(["wait", "contoso/app:latest", "--timeout", timeout], values, **more)
        return code, {row["region"]: row["outcome"] for row in rows}, text

    def test_what_nobody_has_is_unknown(self):
        code, _, text = self.wait({name: [(0, None)] for name in NAMES}, "500ms")
        self.assertEqual(code, 7, text)
        self.assertIn("contoso/app:latest is unknown: no region has it", text)

    def test_where_a_region_does_not_answer_nobody_can_tell_what_is_unknown(self):
        values = {name: [(0, None)] for name in NAMES}
        for more, want, said in (({"dead": ["westeurope"]}, 4, "westeurope: "),
                                 ({"refuses": {"westeurope": {"have": (401, "authentication required")}}}, 5,
                                  "westeurope: this takes a user that may pull: give --username (HTTP 401: authentication required "
                                  "(request 0a1b"),
                                 ({"refuses": {"westeurope": {"token": (401, "no")}}}, 5, "westeurope: user name or password is wrong"),
                                 ({"refuses": {"westeurope": {"have": (503, "stopping")}}}, 1, "westeurope: HTTP 503: stopping (request 0a1b")):
            with self.subTest(more):
                code, _, text = self.wait(values, "500ms", **more)
                self.assertEqual(code, want, text)
                self.assertIn("is in no region that answers; " + said, text)

    def test_a_deletion_is_waited_for_like_a_write(self):
        gone = {"found": False, "gone": True, "stamp": str(STAMP), "origin": "eastus", "epoch": "1"}
        old = {"found": True, "stamp": str(STAMP - 1), "origin": "westeurope", "epoch": "1", "digest": DIGESTS["westeurope"]}
        dead = dict(old, found=False, dead=True)
        code, outcomes, text = self.wait({"eastus": [(0, gone)], "southeastasia": [(0, gone)], "westeurope": [(0, old), (0.5, gone)]})
        self.assertEqual((code, set(outcomes.values())), (0, {"done"}), text)
        # a tag whose manifest was deleted after it, there alone: that region has something newer
        code, outcomes, text = self.wait({"eastus": [(0, old)], "southeastasia": [(0, old)], "westeurope": [(0, dead)]})
        self.assertEqual((code, outcomes), (0, {"eastus": "done", "southeastasia": "done", "westeurope": "superseded"}), text)
        # who created first wins, whatever the stamps
        first = dict(old, createOnly=True, generation="7", stamp=str(STAMP - 5))
        later = dict(first, stamp=str(STAMP), digest=DIGESTS["eastus"], origin="eastus")
        code, outcomes, text = self.wait({"eastus": [(0, later), (0.3, first)], "southeastasia": [(0, first)], "westeurope": [(0, first)]})
        self.assertEqual((code, set(outcomes.values())), (0, {"done"}), text)

    def test_each_region_says_why_it_has_it_not(self):
        values = {name: [(0, value("eastus"))] for name in NAMES}
        for more, want, outcome, said in (
                ({"dead": ["westeurope"]}, 4, "unreachable", ""),
                ({"refuses": {"westeurope": {"have": (403, "the network rules do not admit you")}}}, 5, "denied", "the network rules"),
                ({"refuses": {"westeurope": {"token": (401, "no")}}}, 5, "denied", "user name or password is wrong"),
                ({"refuses": {"westeurope": {"token": (429, "too much waits")}}}, 1, "refused", "HTTP 429: too much waits"),
                ({"refuses": {"westeurope": {"have": (404, "no such path")}}}, 1, "refused", "HTTP 404: no such path (request 0a1b")):
            with self.subTest(more):
                begun = time.monotonic()
                code, outcomes, text = self.wait(values, "700ms" if outcome != "denied" else "30s", **more)
                self.assertEqual((code, outcomes), (want, {"eastus": "done", "southeastasia": "done", "westeurope": outcome}), text)
                self.assertIn(said, text)
                self.assertLess(time.monotonic() - begun, 25)  # a refusal for good is not waited on

    def test_status_says_by_its_exit_what_its_rows_say(self):
        states = {n: {o: "Ready" for o in NAMES if o != n} for n in NAMES}
        for state, want in (("Ready", 0), ("Syncing", 0), ("NeedsUpgrade", 0), ("Retrying", 0), ("Unreachable", 4), ("ClockAhead", 6), ("NoSpace", 8),
                            ("Diverged", 9), ("Conflict", 9)):
            with self.subTest(state):
                states["westeurope"]["eastus"] = state
                code, rows, text = self.ask(["status", "-r", "contoso"], {}, states=states)
                self.assertEqual(code, want, text)
                self.assertEqual(sorted({r["state"] for r in rows}), sorted({"Ready", state}))
        states["westeurope"]["eastus"] = "Ready"
        for more, want, state, said in (
                ({"dead": ["eastus"]}, 4, "Unreachable", ""),
                ({"refuses": {"eastus": {"status": (401, "authentication required")}}}, 5, "Denied", "give --username"),
                ({"refuses": {"eastus": {"status": (503, "status cannot be read now")}}}, 1, "Refused", "HTTP 503: status cannot be read now"),
                ({"refuses": {"eastus": {"token": (401, "no")}}}, 5, "Denied", "user name or password is wrong")):
            with self.subTest(more):
                code, rows, text = self.ask(["status", "-r", "contoso"], {}, states=states, **more)
                self.assertEqual(code, want, text)
                row = next(r for r in rows if r["region"] == "eastus")
                self.assertEqual(row["state"], state, text)
                self.assertIn(said, row["lastError"])

    def test_login_and_show_endpoints_use_the_public_port(self):
        auth, password = os.path.join(self.dir, "auth.json"), os.path.join(self.dir, "password")
        with open(password, "w") as f:
            f.write("p")
        as_ada = ["-u", "ada", "--password-file", password]
        code, out, err = self.ask(["login", "-n", "contoso", "--all", "--auth-file", auth, *as_ada], {}, noun=[])
        self.assertEqual(code, 0, out + err)
        hosts = [f"contoso.example.io:{self.port}", *(f"contoso.{name}.geo.example.io:{self.port}" for name in NAMES)]
        with open(auth) as f:
            self.assertEqual(sorted(json.load(f)["auths"]), sorted(hosts))  # as clients look for them
        self.assertEqual([row["loginServer"] for row in json.loads(out)], hosts)
        code, out, err = self.ask(["login", "-n", "contoso", "--expose-token", *as_ada], {}, noun=[])
        self.assertEqual((code, json.loads(out)), (0, {"loginServer": f"contoso.example.io:{self.port}", "accessToken": "r"}), err)
        code, out, err = self.ask(["show-endpoints", "-n", "contoso"], {}, noun=[])
        doc = json.loads(out)
        self.assertEqual(doc["loginServer"], f"contoso.example.io:{self.port}")
        self.assertEqual([e["endpoint"] for e in doc["regionalEndpoints"]], [f"contoso.{n}.geo.example.io:{self.port}" for n in NAMES])
        code, out, err = self.ask(["registry", "show", "-n", "contoso"], {}, noun=[])
        self.assertEqual(json.loads(out)["loginServer"], f"contoso.example.io:{self.port}")

    def test_regions_that_wrote_at_the_same_moment_agree_on_one(self):
        # At equal stamps the name decides: westeurope's wins everywhere, though it is asked last.
        highest = value("westeurope")
        values = {name: [(0, value(name)), (0.5, highest)] for name in NAMES}
        code, outcomes, text = self.wait(values)
        self.assertEqual((code, outcomes), (0, dict.fromkeys(NAMES, "done")), text)

    def test_a_tie_that_is_not_settled_is_not_called_done(self):
        values = {name: [(0, value(name))] for name in NAMES}
        code, outcomes, text = self.wait(values, "700ms")
        self.assertEqual((code, outcomes), (3, {"eastus": "timeout", "southeastasia": "timeout", "westeurope": "done"}), text)

    def test_a_tie_in_epoch_and_digest(self):
        low, high = value("eastus", epoch=2, digest=DIGESTS["eastus"]), value("eastus", epoch=2, digest=DIGESTS["westeurope"])
        values = {"eastus": [(0, value("eastus")), (0.3, high)], "southeastasia": [(0, low), (0.6, high)],
                  "westeurope": [(0, high)]}
        code, outcomes, text = self.wait(values)
        self.assertEqual((code, outcomes), (0, dict.fromkeys(NAMES, "done")), text)

    def test_what_wins_later_at_the_same_stamp_supersedes(self):
        # Nobody has westeurope's yet when the value is fixed.
        last = [(0, None), (0.5, value("westeurope"))]
        values = {"eastus": [(0, value("eastus")), (0.5, value("westeurope"))], "southeastasia": last, "westeurope": last}
        code, outcomes, text = self.wait(values)
        self.assertEqual(code, 0, text)
        self.assertIn("superseded", outcomes.values(), text)
        self.assertEqual(set(outcomes) - {n for n, o in outcomes.items() if o in ("done", "superseded")}, set(), text)

    def test_the_same_digest_written_again_is_waited_for(self):
        # An older write of the same digest is not what was fixed: a value between the two may still arrive.
        again = value("westeurope", STAMP + 9, digest=DIGESTS["eastus"])
        values = {"eastus": [(0, value("eastus"))], "southeastasia": [(0, again)], "westeurope": [(0, again)]}
        code, outcomes, text = self.wait(values, "700ms")
        self.assertEqual((code, outcomes["eastus"]), (3, "timeout"), text)

    def test_what_has_no_room_is_waited_for_and_then_told_as_such(self):
        lacks = {"found": False, "noSpace": {"neededBytes": 9 << 20}}
        wrote = value("eastus")
        values = {"eastus": [(0, wrote)], "southeastasia": [(0, lacks), (0.6, wrote)], "westeurope": [(0, lacks)]}
        code, outcomes, text = self.wait(values, "1500ms")
        self.assertEqual((code, outcomes), (8, {"eastus": "done", "southeastasia": "done", "westeurope": "no-space"}), text)
        self.assertIn("what is missing there takes 9.0 MiB", text)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("no openssl: skipped")
        sys.exit(77)
    unittest.main(verbosity=2)
