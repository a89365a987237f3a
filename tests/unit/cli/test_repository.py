# SPDX-License-Identifier: Apache-2.0
"""`meridian repository`, `tag`, `manifest`, `usage` and `collect` from end to end against two regions that answer as the daemon does (HTTPS with
a verified certificate, tokens) and a node's admin socket: what is asked, what is shown, and what is said when it cannot be."""
import http.server, json, os, socketserver, ssl, subprocess, sys, tempfile, threading, unittest, urllib.parse

MERIDIAN = os.path.abspath(sys.argv.pop(1))
NAMES = ["eastus", "westus"]  # at 127.0.0.1 and .2
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # an answer in one piece

    def log_message(self, *_):
        pass

    def address_string(self):
        return "test"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path, _, query = self.path.partition("?")
        self.server.seen.append((self.command, path, dict(urllib.parse.parse_qsl(query)), body, dict(self.headers)))
        if path == "/oauth2/token":
            status, doc = 200, {"access_token": "t-" + dict(urllib.parse.parse_qsl(query))["scope"]}
        else:
            status, doc = self.server.answer(self.server, self.command, path, dict(urllib.parse.parse_qsl(query)), body)
        text = b"" if doc is None else json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("X-Meridian-Request-Id", "0a1b" * 8)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_DELETE = serve


class Region(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, tls, name, answer):
        super().__init__(address, Answers)
        self.name, self.answer, self.seen = name, answer, []
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()


class Admin(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path, answer):
        super().__init__(path, Answers)
        self.answer, self.seen = answer, []
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()


def error(status, message, detail=None):
    return status, {"errors": [{"code": "X", "message": message, **({"detail": detail} if detail else {})}]}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.pem = os.path.join(cls.dir, "pem")
        names = ",".join(["DNS:contoso.example.io", *(f"DNS:contoso.{name}.geo.example.io" for name in NAMES)])
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=test", "-addext", "subjectAltName=" + names, "-keyout", cls.pem + ".key", "-out", cls.pem],
                       check=True, capture_output=True)

    def stop(self, server):
        server.shutdown()
        server.server_close()

    def regions(self, answer):
        """One port that is free at both addresses."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.pem, self.pem + ".key")
        for _ in range(50):
            first = Region(("127.0.0.1", 0), tls, NAMES[0], answer)
            try:
                second = Region(("127.0.0.2", first.server_address[1]), tls, NAMES[1], answer)
                return [first, second]
            except OSError:
                self.stop(first)
        self.fail("no port is free at 127.0.0.1 and .2")

    def run_cli(self, answer, *words, dead=(), status=0, json_too=True, admin=None):
        """What was printed, what was complained of, and what the regions were asked. With json_too also the same in JSON."""
        servers = self.regions(answer)
        port = servers[0].server_address[1]
        path, password = os.path.join(self.dir, "t.yaml"), os.path.join(self.dir, "password")
        with open(path, "w") as f:
            f.write(f"version: 1\ndomain: example.io\nhttps_port: {port}\nregions:\n")
            for i, name in enumerate(NAMES):
                f.write(f"  - {{ name: {name}, peer: 127.0.0.{i + 1}:8443, stamps: [{{ name: s-{i}, ipv4: [127.0.0.{i + 1}] }}] }}\n")
            f.write("name_servers: [s-0.eastus]\nregistries:\n  - name: contoso\n    regional_endpoints: enabled\n"
                    "    replicas: [{ region: eastus }, { region: westus }]\n")
        with open(password, "w") as f:
            f.write("secret\n")
        for s in servers:
            if s.name in dead:
                self.stop(s)
            else:
                self.addCleanup(self.stop, s)
        socket, node = os.path.join(self.dir, "%d.sock" % port), None
        if admin:
            node = Admin(socket, admin)
            self.addCleanup(self.stop, node)
        env = dict(PATH=os.environ["PATH"], HOME=self.dir, MERIDIAN_TOPOLOGY=path, MERIDIAN_CA=self.pem, MERIDIAN_USERNAME="ada",
                   MERIDIAN_PASSWORD_FILE=password, MERIDIAN_ADMIN=socket, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", ""))
        r = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, env=env, timeout=30)
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        self.seen = [s for x in (node,) if x for s in x.seen] + [s for x in servers for s in x.seen if s[1] != "/oauth2/token"]
        self.tokens = [s for x in servers for s in x.seen if s[1] == "/oauth2/token"]
        self.doc = None
        if json_too:
            again = subprocess.run([MERIDIAN, *words, "-o", "json"], capture_output=True, text=True, env=env, timeout=30)
            self.assertEqual(again.returncode, status, again.stderr)
            self.doc = json.loads(again.stdout)
        return r.stdout, r.stderr


class Commands(Case):
    def test_repositories_are_listed_page_by_page(self):
        rows = [{"repository": f"team/app-{i}", "tags": i, "manifests": 2 * i, "bytes": 1536 << i, "quota": None, "over": False} for i in range(5)]
        rows[4].update(quota=1024, over=True)

        def answer(_, method, path, q, body):
            at = 0 if "last" not in q else int(q["last"].rsplit("-", 1)[1]) + 1
            page = rows[at:at + 2]
            return 200, {"registry": "contoso", "repositories": page, **({"next": page[-1]["repository"]} if at + 2 < 5 else {})}
        out, _ = self.run_cli(answer, "repository", "list", "contoso")
        self.assertEqual(self.doc, {"registry": "contoso", "region": "eastus", "repositories": rows})
        self.assertEqual([s[2].get("last") for s in self.seen], [None, "team/app-1", "team/app-3"])
        self.assertEqual(self.tokens[0][2]["scope"], "registry:catalog:*")
        self.assertTrue(all(s[4]["Authorization"] == "Bearer t-registry:catalog:*" for s in self.seen))
        lines = out.splitlines()
        self.assertEqual(lines[0].split(), ["REPOSITORY", "TAGS", "MANIFESTS", "SIZE", "QUOTA"])
        self.assertEqual(lines[1].split(), ["team/app-0", "0", "0", "1.5", "KiB", "-"])
        self.assertIn("24.0 KiB  1.0 KiB (over)", lines[5])
        self.run_cli(answer, "repository", "list", status=2, json_too=False)

    def test_a_repository_is_shown(self):
        doc = {"registry": "contoso", "repository": "team/app", "tags": 3, "manifests": 7, "bytes": 5 << 30, "quota": 1 << 40, "over": False,
               "lock": {"write": True, "delete": False},
               "policy": {"immutable": ["v*"], "sparse": "refused", "retention": True, "runner": "westus"}}
        out, _ = self.run_cli(lambda *_: (200, dict(doc)), "repository", "show", "contoso/team/app", "--region", "westus")
        self.assertEqual(self.doc, {**doc, "region": "westus"})
        self.assertEqual(self.seen[0][1:3], ("/registry/v1/repository", {"repository": "team/app"}))
        for line in ["size        5.0 GiB", "quota       1.0 TiB", "locked      write", "immutable   v*", "retention   yes, run by westus"]:
            self.assertIn(line, out)

    def test_a_repository_is_deleted_call_by_call(self):
        calls = []

        def answer(_, method, path, q, body):
            self.assertEqual((method, path, q), ("DELETE", "/registry/v1/repository", {"repository": "app"}))
            calls.append(1)
            more = len(calls) % 3 != 0
            return 200, {"deletedTags": 2, "deletedManifests": 100, "kept": [] if more else kept, "more": more}
        kept = []
        out, _ = self.run_cli(answer, "repository", "delete", "contoso/app", "--yes")
        self.assertEqual(out, "contoso/app: 6 tags and 300 manifests deleted\n")
        self.assertEqual((self.doc["deletedTags"], self.doc["deletedManifests"], self.doc["kept"], self.doc["region"]), (6, 300, [], "eastus"))
        self.assertEqual(self.tokens[0][2]["scope"], "repository:app:pull,delete")
        kept = [{"tag": "v1", "why": "locked"}, {"digest": A, "why": "v1 leads to it"}]
        out, err = self.run_cli(answer, "repository", "delete", "contoso/app", "--yes", status=1)
        self.assertIn(f"kept v1: locked\nkept {A}: v1 leads to it\n", out)
        self.assertIn("not all of it could be deleted", err)
        _, err = self.run_cli(answer, "repository", "delete", "contoso/app", status=2, json_too=False)
        self.assertIn("give --yes", err)
        self.assertEqual(self.seen, [])
        _, err = self.run_cli(lambda *_: (200, {"deletedTags": 0, "deletedManifests": 0, "kept": [], "more": True}),
                              "repository", "delete", "contoso/app", "--yes", status=1, json_too=False)
        self.assertIn("takes nothing away", err)
        self.assertEqual(len(self.seen), 3)

    def test_locks(self):
        state = {"write": False, "delete": True}

        def answer(_, method, path, q, body):
            if method == "PUT":
                state.update(json.loads(body))
            return 200, {"registry": "contoso", **q, "locked": dict(state), "stamp": "7", "time": "2026-11-29T20:00:00.000Z", "region": "eastus", "by": "ada"}
        out, _ = self.run_cli(answer, "tag", "lock", "contoso/team/app:v1")
        self.assertEqual(out.splitlines()[1].split(), ["contoso/team/app:v1", "open", "locked", "2026-11-29T20:00:00.000Z", "ada"])
        self.assertEqual(self.tokens[0][2]["scope"], "repository:team/app:pull")
        self.run_cli(answer, "tag", "lock", "contoso/team/app:v1", "--write", "on")
        self.assertEqual(state, {"write": True, "delete": True})  # the other part stays
        self.assertEqual(self.tokens[0][2]["scope"], "repository:team/app:pull,delete")
        self.assertEqual(self.seen[1][:3], ("PUT", "/registry/v1/lock", {"repository": "team/app", "tag": "v1"}))
        self.run_cli(answer, "manifest", "lock", f"contoso/app@{A}", "--write=off", "--delete=off")
        self.assertEqual((state, self.seen[1][2]), ({"write": False, "delete": False}, {"repository": "app", "digest": A}))
        self.run_cli(answer, "repository", "lock", "contoso/app", "--delete", "on")
        self.assertEqual(self.seen[1][2], {"repository": "app"})
        self.assertIn("are on or off", self.run_cli(answer, "tag", "lock", "contoso/app:1", "--write", "yes", status=2, json_too=False)[1])

    def test_tags(self):
        tags = [{"tag": "1", "digest": A, "mediaType": "m", "size": 527, "stamp": "9", "time": "2026-11-29T20:00:00.000Z", "region": "eastus",
                 "by": "ada", "locked": {"write": True, "delete": True}}]
        out, _ = self.run_cli(lambda *_: (200, {"tags": tags}), "tag", "list", "contoso/app")
        self.assertEqual(self.doc, {"registry": "contoso", "region": "eastus", "repository": "app", "tags": tags})
        self.assertIn("ada  write, delete", out)
        versions = [{"digest": None, "gone": True, "time": "2026-11-29T20:01:00.000Z", "region": "westus", "by": "", "here": False},
                    {"digest": A, "gone": False, "time": "2026-11-29T20:00:00.000Z", "region": "eastus", "by": "ada", "here": True}]
        out, _ = self.run_cli(lambda *_: (200, {"versions": versions}), "tag", "history", "contoso/app:1")
        self.assertEqual(self.seen[0][1:3], ("/registry/v1/history", {"repository": "app", "tag": "1"}))
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["DIGEST", "deleted", A])
        out, _ = self.run_cli(lambda *_: (201, {"tag": "1", "digest": A}), "tag", "restore", "contoso/app:1", "--digest", A)
        self.assertEqual((out, self.seen[0][:3]), (f"contoso/app:1 is {A} again\n", ("POST", "/registry/v1/restore",
                                                                                 {"repository": "app", "tag": "1", "digest": A})))
        self.assertEqual(self.tokens[0][2]["scope"], "repository:app:pull,push")
        self.assertIn("tag history", self.run_cli(None, "tag", "restore", "contoso/app:1", status=2, json_too=False)[1])

    def test_deletes_go_word_by_word(self):
        gone = []

        def answer(_, method, path, q, body):
            gone.append(path)
            return error(404, "no such tag") if path.endswith("/missing") else (202, None)
        out, _ = self.run_cli(answer, "tag", "delete", "--yes", "contoso/app:1", "contoso/app:2", "contoso/other:3")
        self.assertEqual(out, "contoso/app:1 is deleted\ncontoso/app:2 is deleted\ncontoso/other:3 is deleted\n")
        self.assertEqual(gone[:3], ["/v2/app/manifests/1", "/v2/app/manifests/2", "/v2/other/manifests/3"])
        self.assertEqual([t[2]["scope"] for t in self.tokens], ["repository:app:pull,delete", "repository:other:pull,delete"])
        self.assertEqual(self.doc[2], {"deleted": "contoso/other:3", "region": "eastus"})
        out, err = self.run_cli(answer, "tag", "delete", "--yes", "contoso/app:1", "contoso/app:missing", "contoso/app:2", status=7, json_too=False)
        self.assertEqual((out, gone[-1]), ("contoso/app:1 is deleted\n", "/v2/app/manifests/missing"))
        self.assertIn(f"eastus: contoso/app:missing: HTTP 404: no such tag (request {'0a1b' * 8})", err)
        self.run_cli(answer, "tag", "delete", "--yes", "contoso/app:1", "--if-match", A)
        self.assertEqual(self.seen[0][4]["If-Match"], f'"{A}"')
        self.run_cli(answer, "tag", "delete", "--yes", "contoso/app:1", "contoso/app:2", "--if-match", A, status=2, json_too=False)
        out, _ = self.run_cli(answer, "manifest", "delete", "--yes", f"contoso/app@{A}")
        self.assertEqual((out, urllib.parse.unquote(gone[-1])), (f"contoso/app@{A} is deleted\n", f"/v2/app/manifests/{A}"))

    def test_refusals_say_who_what_and_why(self):
        for answer, status, wanted in [
                (error(409, "an index refers to it: delete that first", [A, {"digest": B}]), 1, [f"  {A}\n  {B}\n", "an index refers"]),
                (error(403, "it is locked against deleting"), 5, ["it is locked"]),
                (error(401, "insufficient scope"), 5, ["the user may not do this"]),
                (error(412, "the tag is another digest now"), 1, ["another digest now"]),
                (error(503, "westus runs a version that does not know this"), 1, ["HTTP 503: westus runs a version"])]:
            _, err = self.run_cli(lambda *_, a=answer: a, "manifest", "delete", "--yes", f"contoso/app@{A}", status=status, json_too=False)
            for text in [*wanted, f"eastus: contoso/app@{A}: HTTP {answer[0]}: "]:
                self.assertIn(text, err)
        _, err = self.run_cli(lambda *_: (200, {"surprise": 1}), "tag", "list", "contoso/app", status=1, json_too=False)
        self.assertIn("the answer has no tags", err)

    def test_another_region_is_asked_when_the_first_is_away(self):
        _, err = self.run_cli(lambda *_: (200, {"tags": []}), "tag", "list", "contoso/app", dead=["eastus"])
        self.assertIn("meridian: eastus: ", err)
        self.assertEqual(self.doc["region"], "westus")
        self.run_cli(lambda *_: (200, {"tags": []}), "tag", "list", "contoso/app", "--region", "eastus", dead=["eastus"], status=4, json_too=False)
        self.run_cli(lambda *_: (200, {"tags": []}), "tag", "list", "contoso/app", dead=NAMES, status=4, json_too=False)

    def test_manifests(self):
        rows = [{"digest": A, "mediaType": "index", "size": 600, "time": "t", "region": "eastus", "tags": list("12345"), "lastPulled": "yesterday"},
                {"digest": B, "mediaType": "m", "artifactType": "sbom", "size": 1, "time": "t", "region": "eastus", "tags": [], "subject": A}]
        out, _ = self.run_cli(lambda *_: (200, {"manifests": rows}), "manifest", "list", "contoso/app", "--untagged")
        self.assertEqual(self.seen[0][2], {"repository": "app", "untagged": "true", "n": "1000"})
        self.assertIn("yesterday    index  1,2,3 and 2 more", out)
        self.assertIn("-            sbom", out)
        self.assertEqual(self.doc["manifests"], rows)

    def test_retention_is_told_beforehand(self):
        doc = {"runner": "westus", "rules": [], "more": False,
               "would": [{"kind": "manifest", "digest": A, "rule": "untagged", "why": "untagged for 9 days, the rule keeps 7"},
                         {"kind": "tag", "tag": "dev-1", "digest": B, "rule": "keep-last", "why": "not among the newest 10"}],
               "kept": [{"kind": "tag", "tag": "dev-0", "digest": B, "rule": "keep-last", "why": "not among the newest 9"}]}

        def answer(_, method, path, q, body):
            at = ["", "t1", "t2"].index(q.get("last", ""))  # the second page is empty, and not the last
            rows = [doc["would"][:1], [], doc["would"][1:]][at]
            return 200, {**doc, "would": rows, "kept": doc["kept"] if at == 1 else [], "more": at < 2, **({"next": f"t{at + 1}"} if at < 2 else {})}
        out, _ = self.run_cli(answer, "repository", "retention", "contoso/app", "--dry-run")
        self.assertNotIn("next", self.doc)
        self.assertEqual((self.doc["more"], self.doc["kept"]), (False, doc["kept"]))
        self.assertIn(f"manifest  {A}", out)
        self.assertIn("not among the newest 9; a lock keeps it", out)
        self.assertIn("westus runs the rules", out)
        self.assertEqual(self.doc["would"], doc["would"])
        out, _ = self.run_cli(lambda *_: (200, {"would": []}), "repository", "retention", "contoso/app", "--dry-run")
        self.assertEqual(out, "contoso/app: nothing would go\n")
        self.run_cli(None, "repository", "retention", "contoso/app", status=2, json_too=False)

    def test_usage_is_asked_of_every_region(self):
        def answer(server, *_):
            return 200, {"registry": "contoso", "region": server.name, "bytes": 1 << 20, "manifests": 2, "tags": 3, "repositories": 4,
                         "quota": 1 << 19, "over": True}
        out, _ = self.run_cli(answer, "usage", "contoso")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["REGION", "eastus", "westus"])
        self.assertIn("1.0 MiB  512.0 KiB (over)", out)
        self.assertEqual([d["region"] for d in self.doc], NAMES)
        out, err = self.run_cli(answer, "usage", "-n", "contoso", dead=["westus"], status=4)
        self.assertIn("cannot be reached", out)
        self.assertEqual(self.doc[1], {"registry": "contoso", "region": "westus", "error": "cannot be reached"})
        out, _ = self.run_cli(answer, "usage", "contoso", "--region", "westus")
        self.assertEqual(len(self.doc), 1)
        self.run_cli(answer, "usage", status=2, json_too=False)
        self.run_cli(answer, "usage", "contoso", "--node", status=2, json_too=False)

    def test_words_that_name_nothing(self):
        for words in [("tag", "list", "contoso"), ("tag", "list", "contoso/app:1"), ("tag", "delete", "--yes", "contoso/app"), ("tag", "delete", "--yes", "contoso/app:"),
                      ("tag", "history"), ("manifest", "delete", "--yes", "contoso/app:1"), ("manifest", "delete", "--yes", "contoso/app@"),
                      ("manifest", "list", "contoso/App"), ("repository", "show", "contoso/"), ("repository", "show", "/app"), ("tag", "delete", "--yes")]:
            status = 1 if words[-1] == "/app" else 2
            _, err = self.run_cli(None, *words, status=status, json_too=False)
            self.assertIn("registry  is not" if status == 1 else "REGISTRY/REPOSITORY", err)
        self.assertIn("did you mean contoso", self.run_cli(None, "tag", "list", "contosso/app", status=1, json_too=False)[1])


class Node(Case):
    def test_what_nobody_needs(self):
        items = [{"kind": "blob", "registry": "", "repository": "", "digest": A, "bytes": 2048, "why": "no repository holds it", "leftSeconds": 10800},
                 {"kind": "lease", "registry": "contoso", "repository": "app", "digest": B, "bytes": 10, "why": "no manifest came", "leftSeconds": -4}]
        space = {"bytes": 1 << 30, "blobs": 77, "sharedBytes": 1 << 20, "condemnedBytes": 2048,
                 "registries": [{"registry": "contoso", "bytes": 1 << 29, "ownBytes": 1 << 28}]}

        def admin(_, method, path, q, body):
            if method == "POST":
                return 202, {"region": "eastus", "queued": True}
            if "after" in q:
                return 200, {"region": "eastus", "items": items[1:]}
            return 200, {"region": "eastus", "items": items[:1], "next": "x/1", "space": space}
        out, _ = self.run_cli(None, "collect", "--dry-run", "-n", "contoso", admin=admin)
        self.assertEqual(self.doc, {"region": "eastus", "items": items, "space": space})
        self.assertEqual([s[2] for s in self.seen], [{"n": "1000", "registry": "contoso"}, {"n": "1000", "registry": "contoso", "after": "x/1"}])
        self.assertIn("2.0 KiB  3 h      no repository holds it", out)
        self.assertIn("10 B     now      no manifest came", out)
        self.assertIn("blobs      1.0 GiB in 77, 1.0 MiB of them shared by registries, 2.0 KiB condemned", out)
        self.assertIn("contoso   512.0 MiB  256.0 MiB", out)
        self.assertEqual(self.run_cli(None, "collect", admin=admin)[0], "eastus collects\n")
        self.run_cli(None, "collect", "contoso", status=2, json_too=False)

    def test_usage_of_a_node(self):
        doc = {"region": "eastus", "usage": [{"registry": "contoso", "repositories": 1, "manifests": 2, "tags": 3, "bytes": 4, "quota": None, "over": False}]}
        out, _ = self.run_cli(None, "usage", "--node", admin=lambda *_: (200, doc))
        self.assertEqual(out.splitlines()[1].split(), ["contoso", "1", "3", "2", "4", "B", "-"])
        self.assertEqual(self.doc, doc)
        self.assertIn("is the node running", self.run_cli(None, "usage", "--node", status=4, json_too=False)[1])


if __name__ == "__main__":
    unittest.main()
