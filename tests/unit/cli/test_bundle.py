# SPDX-License-Identifier: Apache-2.0
"""`meridian debug bundle`: what is in it when a node answers, when it is down, when it stands still; what is left out of what a
node or its files say; bounds. System `joining` looks for every secret of a real fleet in it."""
import io, json, os, re, socket, stat, subprocess, sys, tarfile, tempfile, threading, time, unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MERIDIAN = os.path.abspath(sys.argv.pop(1))
PLANTED = "planted-7f3a"  # whatever has it in it must not get into a bundle
TOPOLOGY = f"""version: 3
# {PLANTED}-comment
domain: example.io
regions:
  - {{ name: eastus, peer: "192.0.2.1:8443", stamps: [{{ name: eus-1, ipv4: [192.0.2.1] }}] }}
  - {{ name: westus, peer: "192.0.2.2:8443", stamps: [{{ name: wus-1, ipv4: [192.0.2.2] }}] }}
name_servers: [eus-1.eastus]
registries:
  - {{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus }}, {{ region: westus }}] }} # {PLANTED}-comment
  - {{ name: fabrikam, replicas: [{{ region: westus }}] }}
views:
  - {{ name: corp, sources: [10.0.0.0/8] }}
private_endpoints:
  - {{ name: contoso-corp, registry: contoso, view: corp, addresses: {{ registry: 10.1.1.1 }} }}
"""
STATUS = {"region": "eastus", "stamp": "eus-1", "domain": "example.io", "version": "9.9.9", "pid": os.getpid(), "edge": {"pid": 0}, "conditions": []}


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True

    def handle_error(self, *_):  # who asked went away
        pass

    def server_bind(self):
        self.socket.bind(self.server_address)


def members(data):
    """{name without the folder: content}, and what all members must be."""
    out, folders = {}, set()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        for m in tar:
            folder, _, name = m.name.partition("/")
            folders.add(folder)
            assert m.isreg() and m.mode == 0o600 and m.uid == 0 and abs(m.mtime - time.time()) < 300, m
            assert name not in out, name
            out[name] = tar.extractfile(m).read().decode()
    assert len(folders) == 1, folders
    return out, folders.pop()


class Bundle(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())
        self.socket = f"{self.dir}/admin.sock"
        given = self.write("given.yaml", TOPOLOGY)
        subprocess.run([MERIDIAN, "init", "--topology", given, "--out", f"{self.dir}/out"], check=True, capture_output=True)
        self.data = f"{self.dir}/out/eastus"
        os.mkdir(f"{self.data}/log")
        subprocess.run([MERIDIAN, "user", "add", "ada", "--registry", "contoso", "--password-stdin", "--principals", f"{self.dir}/out/principals.yaml",
                        "--topology", f"{self.dir}/out/topology.yaml"], check=True, capture_output=True, input=f"{PLANTED}-password", text=True)
        self.node = self.write("meridiand.yaml", f"# {PLANTED}-comment\nregion: eastus\nstamp: eus-1\ndata_dir: {self.data}\n"
                               f"topology: {self.dir}/out/topology.yaml\nlisten: {{ dns: ['127.0.0.1:1'] }}\n")
        self.out = f"{self.dir}/bundle.tar.gz"

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "w") as f:
            f.write(text)
        return path

    def serve(self, answers):
        """A node that answers as it is told; {path: document, text, or a function that does as it likes}."""
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                found = answers.get(self.path.split("?")[0])
                if callable(found):
                    return found()
                status = 404 if found is None else 200
                text = found.encode() if isinstance(found, str) else json.dumps(found or {"error": "none"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

        server = UnixServer(self.socket, Handler, bind_and_activate=False)
        server.server_bind()
        server.server_activate()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return asked

    def cli(self, *words, status=0, cwd=None, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
        env.update({"MERIDIAN_ADMIN": self.socket, "MERIDIAN_TOPOLOGY": "/nonexistent", "HOME": self.dir})
        r = subprocess.run([MERIDIAN, "debug", "bundle", "--node", self.node, "--unit", "no-such-unit-of-ours.service", *words],
                           capture_output=True, stdin=subprocess.DEVNULL, env=env, timeout=60, cwd=cwd or self.dir, **more)
        self.assertEqual(r.returncode, status, (words, r.stdout[:2000], r.stderr))
        return r

    def bundle(self, *words):
        self.cli("-o", self.out, *words)
        st = os.stat(self.out)
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o600)
        with open(self.out, "rb") as f:
            files, _ = members(f.read())
        for name, text in files.items():
            self.assertNotIn(PLANTED, text, name)
            self.assertNotRegex(text, r"PRIVATE KEY|\$y\$|\$2[aby]\$", name)
        for name in files:
            self.assertIn(f"{name} ", files["contents.txt"] + "contents.txt ")
        self.assertEqual([n for n in os.listdir(self.dir) if ".tmp." in n], [])
        return files

    def test_a_node_that_is_down_yields_a_bundle(self):
        files = self.bundle()
        self.assertIn('region: "eastus"', files["settings.yaml"])
        self.assertIn("name: contoso", files["topology.yaml"])
        counts = json.loads(files["principals.json"])
        self.assertEqual((counts["users"], counts["tokens"]), (1, 0))
        kinds = {os.path.basename(c["file"]): c["certificates"] for c in json.loads(files["certificate-files.json"])}
        self.assertEqual(set(kinds), {"ca.pem", "region.pem", "shared.pem", "peer.pem"})
        self.assertRegex(kinds["region.pem"][0]["notAfter"], r"^20\d\d-\d\d-\d\dT")
        self.assertIn("*.eastus.geo.example.io", kinds["region.pem"][0]["names"])
        self.assertEqual([(l["transport"], l["answer"]) for l in json.loads(files["dns/listeners.json"])], [("udp", "none"), ("tcp", "none")])
        self.assertIn("Linux", files["versions.txt"])
        self.assertIn("libcurl.so", files["versions.txt"])
        self.assertIn("data_dir", files["machine/disks.txt"])
        self.assertIn("MemTotal", files["machine/limits.txt"])
        for lacking in ("node/status.json", "node/fleet.json", "node/metrics.txt", "log/recent.txt", "machine/processes.txt", "log/journal.txt"):
            self.assertRegex(files["errors.txt"], f"(?m)^{lacking}: .", lacking)
            self.assertNotIn(lacking, files)

    def test_nothing_is_there_at_all(self):
        self.node = f"{self.dir}/none.yaml"
        files = self.bundle()
        self.assertIn("settings.yaml: ", files["errors.txt"])
        self.assertIn("versions.txt", files)

    def test_settings_that_are_broken_are_not_quoted(self):
        with open(self.node, "a") as f:
            f.write(f"drain: {PLANTED}-value\n")
        files = self.bundle()
        self.assertRegex(files["errors.txt"], r"(?m)^settings.yaml: .*meridiand --check")

    def test_the_last_good_topology_stands_in_for_a_broken_one(self):
        os.mkdir(f"{self.data}/state")
        with open(f"{self.data}/state/topology.last", "w") as f:
            f.write(TOPOLOGY)
        with open(f"{self.dir}/out/topology.yaml", "w") as f:
            f.write(f"version: {PLANTED}\n")
        files = self.bundle()
        self.assertIn(f"# as {self.data}/state/topology.last has it", files["topology.yaml"])
        with open(f"{self.data}/state/topology.last", "w") as f:
            f.write(f"version: {PLANTED}\n")
        files = self.bundle()
        self.assertNotIn("topology.yaml", files)
        self.assertEqual(files["errors.txt"].count("cannot be used"), 2, files["errors.txt"])

    def answers(self):
        return {
            "/v1/status": STATUS, "/v1/topology": TOPOLOGY, "/v1/metrics": "meridian_up 1\n", "/v1/log": "a line\nanother\n",
            "/v1/fleet": [{"region": "eastus", "reached": True}], "/v1/health": [], "/v1/health/peers": [], "/v1/health/orders": {}, "/v1/replication": [],
            "/v1/config": {"topology": {"version": 3, "refusedWhy": None}, "principals": {"version": 2, "refusedWhy": f"x: {PLANTED}"}},
            "/v1/control": {"source": "feed"}, "/v1/names": {"names": []}, "/v1/certs": [], "/v1/usage": {}, "/v1/collect": {},
            "/v1/operations": {"operations": [{"id": "0a1b", "verb": "user create", "state": "Succeeded", "request": f"{PLANTED}-nonce",
                                               "arguments": {"password_hash": f"{PLANTED}"}}]},
            "/v1/topology/history": {"history": [{"version": 3}]},
            "/v1/principals": {"version": 7, "users": [{"name": f"{PLANTED}-ada", "enabled": False, "hash": f"{PLANTED}"}], "tokens": [{"enabled": True}],
                               "scopeMaps": [], "issuers": [], "revoked": [{"id": f"{PLANTED}-jti"}]},
            "/v1/dns/explain": {"kind": "global"}, "/v1/join-tokens": {"tokens": [PLANTED]}, "/v1/tokens/issued": {"tokens": [PLANTED]},
        }

    def test_a_node_that_answers(self):
        asked = self.serve(self.answers())
        with open(f"{self.data}/log/audit.log", "w") as f:
            for i in range(700):
                f.write(json.dumps({"time": "t", "what": "push", "n": i, "detail": f"GET /v1/x?{PLANTED}", "token": PLANTED, "why": {"a": PLANTED}}) + "\n")
            f.write(f'{{"what":"push","{PLANTED}')  # torn
        files = self.bundle()
        self.assertEqual(json.loads(files["node/status.json"])["region"], "eastus")
        self.assertEqual(files["log/recent.txt"], "a line\nanother\n")
        self.assertEqual(files["node/metrics.txt"], "meridian_up 1\n")
        self.assertEqual(json.loads(files["node/operations.json"]), {"operations": [{"id": "0a1b", "verb": "user create", "state": "Succeeded"}]})
        counts = json.loads(files["principals.json"])
        self.assertEqual({k: counts[k] for k in ("version", "users", "tokens", "revoked", "usersDisabled", "tokensDisabled")},
                         {"version": 7, "users": 1, "tokens": 1, "revoked": 1, "usersDisabled": 1, "tokensDisabled": 0})
        events = [json.loads(line) for line in files["log/audit.jsonl"].splitlines()]
        self.assertEqual([e["n"] for e in events], list(range(200, 700)))
        self.assertEqual(set(events[0]), {"time", "what", "n"})
        answers = {(a["name"], a["view"]) for a in json.loads(files["dns/answers.json"])}
        for view in ("public", "corp"):
            for name in ("contoso.example.io", "contoso.eastus.geo.example.io", "contoso.privatelink.example.io",
                         "contoso.westus.data.privatelink.example.io", "fabrikam.example.io"):
                self.assertIn((name, view), answers)
        self.assertNotIn(("fabrikam.privatelink.example.io", "public"), answers)
        self.assertFalse([p for p in asked if "join-tokens" in p or "issued" in p])
        self.assertIn("worker, process", files["machine/processes.txt"])
        self.assertIn("Max open files", files["machine/processes.txt"])

    def test_a_node_that_stands_still_is_asked_no_more(self):
        still = threading.Event()
        self.addCleanup(still.set)
        answers = self.answers()
        answers["/v1/health"] = still.wait
        asked = self.serve(answers)
        since = time.monotonic()
        files = self.bundle()
        self.assertLess(time.monotonic() - since, 40)
        self.assertEqual(len(asked), 3)
        self.assertIn("node/fleet.json", files)
        self.assertRegex(files["errors.txt"], r"(?m)^node/metrics.txt: not asked: ")
        self.assertIn("settings.yaml", files)

    def test_what_is_too_large_is_left_out(self):
        self.serve(self.answers() | {"/v1/metrics": "x" * (9 << 20), "/v1/log": "y" * (8 << 20)})
        files = self.bundle()
        self.assertNotIn("node/metrics.txt", files)
        self.assertRegex(files["errors.txt"], "(?m)^node/metrics.txt: ")
        self.assertEqual(len(files["log/recent.txt"]), 8 << 20)

    def test_what_is_no_json_and_what_is_refused(self):
        answers = self.answers() | {"/v1/health": "{no json"}
        del answers["/v1/names"]
        self.serve(answers)
        files = self.bundle()
        self.assertRegex(files["errors.txt"], r"(?m)^node/health.json: .* is no JSON$")
        self.assertRegex(files["errors.txt"], r"(?m)^node/names.json: HTTP 404: ")

    def test_a_hostile_log_neither_leads_away_nor_holds_up(self):
        secret = self.write("secret", json.dumps({"what": PLANTED}) + "\n")
        path = f"{self.data}/log/audit.log"
        os.symlink(secret, path)
        self.assertRegex(self.bundle()["errors.txt"], "(?m)^log/audit.jsonl: ")
        os.unlink(path)
        os.mkfifo(path)
        self.assertRegex(self.bundle()["errors.txt"], "(?m)^log/audit.jsonl: ")
        os.unlink(path)
        with open(path, "w") as f:
            f.write("\n\n[]\n\x00\nnull\n")
        self.assertEqual(self.bundle()["log/audit.jsonl"], "")

    def test_where_it_goes(self):
        r = self.cli()
        name = re.match(rb"(meridian-bundle-eastus-\d{8}T\d{6}Z.tar.gz): \d+ parts, \d+ KiB; \d+ could not", r.stdout)
        self.assertTrue(name, r.stdout)
        with open(f"{self.dir}/{name[1].decode()}", "rb") as f:
            self.assertIn("errors.txt", members(f.read())[0])
        self.assertIn("settings.yaml", members(self.cli("-o", "-").stdout)[0])
        self.assertIn(b"-o names it", self.cli("-o", "json", status=2).stderr)
        os.mkdir(f"{self.dir}/folder")
        self.assertIn(b"no file of yours", self.cli("-o", f"{self.dir}/folder", status=1).stderr)
        self.assertIn(b"cannot be written", self.cli("-o", f"{self.dir}/none/x", status=1).stderr)
        if os.geteuid() == 0:
            theirs = self.write("theirs", "")
            os.chown(theirs, 65534, 65534)
            self.assertIn(b"no file of yours", self.cli("-o", theirs, status=1).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
