# SPDX-License-Identifier: Apache-2.0
"""`meridian explain pull` against a node and a region that answer as they are told, also as hostile ones would: what is asked, where
it goes, what is believed. What the findings mean is tested in test_pull.c, a real fleet in system `administration` 6."""
import base64, http.server, json, os, re, socket, ssl, subprocess, sys, tempfile, threading, unittest, urllib.parse

MERIDIAN = os.path.abspath(sys.argv.pop(1))
HOST, DATA = "contoso.example.io", "contoso.eastus.data.example.io"
LAYER, CONFIG, CHILD = ("sha256:" + c * 64 for c in "abc")
MANIFEST = "sha256:" + "d" * 64
OK = {"dns": "OK", "view": "OK", "tls": "OK", "token": "OK", "scope": "OK", "manifest": "OK", "blobs": "OK"}


def token(actions):
    body = base64.urlsafe_b64encode(json.dumps({"access": [{"type": "repository", "name": "app", "actions": actions}]}).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


class UnixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True

    def server_bind(self):
        self.socket.bind(self.server_address)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from the test: {path: (status, headers, body)}, or what a function of (path, headers) gives."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        self.server.asked.append((self.headers.get("Host"), self.path, dict(self.headers)))
        found = self.server.answers.get(path, (404, {}, {"errors": [{"code": "X", "message": "not here"}]}))
        if callable(found):
            found = found(self.path, self.headers)
        status, headers, body = found
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response_only(status)
        for name, value in ({"X-Meridian-Region": "eastus"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "here"


class Explain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.pem = f"{cls.dir}/pem"
        names = ",".join(f"DNS:{n}" for n in (HOST, DATA, "contoso.eastus.geo.example.io"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=test", "-addext", "subjectAltName=" + names, "-keyout", cls.pem + ".key", "-out", cls.pem],
                       check=True, capture_output=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cls.pem, cls.pem + ".key")
        cls.region = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        cls.region.daemon_threads = True
        cls.region.socket = tls.wrap_socket(cls.region.socket, server_side=True)
        cls.node = UnixServer(f"{cls.dir}/admin.sock", Handler)
        for server in (cls.region, cls.node):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            cls.addClassCleanup(server.server_close)
            cls.addClassCleanup(server.shutdown)
        cls.port = cls.region.server_address[1]
        cls.topology = f"{cls.dir}/topology.yaml"
        with open(cls.topology, "w") as f:
            f.write(f"version: 1\ndomain: example.io\nhttps_port: {cls.port}\nregions:\n"
                    "  - { name: eastus, peer: '127.0.0.1:8443', stamps: [{ name: eus-1, ipv4: [127.0.0.1] }] }\n"
                    "name_servers: [eus-1.eastus]\nregistries:\n"
                    "  - { name: contoso, regional_endpoints: enabled, data_endpoints: enabled, replicas: [{ region: eastus }] }\n")

    def setUp(self):
        self.region.asked, self.node.asked = [], []
        realm = f'Bearer realm="https://{HOST}:{self.port}/oauth2/token",service="{HOST}"'
        blob = lambda size: (206, {"Content-Range": f"bytes 0-0/{size}"}, b"x")
        moved = (307, {"Location": f"https://{DATA}:{self.port}/v2/app/blobs/{LAYER}?sig=s"}, b"")
        by_host = lambda path, headers: blob(200) if headers["Host"].startswith(DATA) else moved
        self.region.answers = {
            "/v2/": (401, {"WWW-Authenticate": realm}, {}), "/oauth2/token": (200, {}, {"access_token": token(["pull"])}),
            "/v2/app/manifests/1": (200, {"Docker-Content-Digest": MANIFEST},
                                    {"config": {"digest": CONFIG, "size": 2}, "layers": [{"digest": LAYER, "size": 200}, {"digest": LAYER, "size": 200}]}),
            f"/v2/app/blobs/{CONFIG}": blob(2), f"/v2/app/blobs/{LAYER}": by_host,
        }
        self.node.answers = {
            "/v1/dns/explain": (200, {}, {"view": "public", "a": {"rcode": "NOERROR", "answer": [f"{HOST}. 30 IN CNAME x.", "x. 60 IN A 127.0.0.1"]},
                                          "aaaa": {"answer": []}, "private": None, "routing": {"failOpen": False}}),
            "/v1/principals/judge": (200, {}, {"known": True, "enabled": True, "passwords": 1, "actions": ["pull"]}),
            "/v1/fleet": (200, {}, [{"region": "eastus", "certificates": [{"kind": "shared", "notAfter": "2027-01-01T00:00:00Z"}]}]),
        }

    def explain(self, *words, status=0, image="contoso/app:1", password="pw", json_form=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")} | {"MERIDIAN_ADMIN": f"{self.dir}/admin.sock"}
        with_password = ["--user", "ada", "--password-stdin"] if password else []
        r = subprocess.run([MERIDIAN, "explain", "pull", image, *words, *with_password, "--topology", self.topology, "--ca", self.pem,
                            *(["-o", "json"] if json_form else [])], capture_output=True, text=True, env=env, timeout=60, input=password)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        if not json_form:
            return r.stdout
        self.steps = {s["step"]: s for s in json.loads(r.stdout)["ways"][0]["steps"]}
        return {name: s["code"] or s["state"] for name, s in self.steps.items()}

    def paths(self):
        return [path.split("?")[0] for _, path, _ in self.region.asked]

    def test_a_pull_as_a_client_makes_it(self):
        self.assertEqual(self.explain(), OK)
        self.assertEqual(self.steps["tls"]["why"], "verified at 127.0.0.1, good until 2027-01-01T00:00:00Z")
        self.assertEqual(self.steps["blobs"]["why"], "2, 202 bytes")
        self.assertEqual(self.paths(), ["/v2/", "/oauth2/token", "/v2/app/manifests/1", f"/v2/app/blobs/{CONFIG}", f"/v2/app/blobs/{LAYER}",
                                        f"/v2/app/blobs/{LAYER}"])
        basic, query = self.region.asked[1][2]["Authorization"], urllib.parse.parse_qs(self.region.asked[1][1].split("?")[1])
        self.assertEqual((base64.b64decode(basic.split()[1]), query), (b"ada:pw", {"service": [HOST], "scope": ["repository:app:pull"]}))
        self.assertEqual([h.get("Range") for _, _, h in self.region.asked[3:]], ["bytes=0-0"] * 3)
        data = self.region.asked[5]
        self.assertEqual((data[0], data[1], data[2].get("Authorization")), (f"{DATA}:{self.port}", f"/v2/app/blobs/{LAYER}?sig=s", None))

    def test_an_index_with_all_its_platforms(self):
        self.region.answers["/v2/app/manifests/1"] = (200, {}, {"manifests": [{"digest": CHILD}, {"digest": MANIFEST}]})
        self.region.answers[f"/v2/app/manifests/{CHILD}"] = (200, {}, {"config": {"digest": CONFIG, "size": 2}, "layers": [
            {"digest": "sha256:" + "f" * 64, "size": 9, "urls": ["https://elsewhere.example/x"]}]})
        self.assertEqual(self.explain(status=1), OK | {"blobs": "CHILD_MISSING"})
        self.assertIn(MANIFEST, self.steps["blobs"]["why"])
        self.region.answers[f"/v2/app/manifests/{MANIFEST}"] = (200, {}, {})
        self.assertEqual(self.explain(), OK)

    def test_who_asks_and_whose_pull_it_is(self):
        self.assertEqual(self.explain("--user", "bob", password=None, status=1), OK | {"manifest": "NotTried", "blobs": "NotTried"})
        self.assertIn("principal=bob", next(p for _, p, _ in self.node.asked if "judge" in p))
        self.assertEqual(self.paths(), ["/v2/"])  # nobody's token was asked for
        pw = f"{self.dir}/pw"
        with open(pw, "w") as f:
            f.write("secret\n")
        self.region.asked.clear()
        self.assertEqual(self.explain("--user", "bob", "-u", "ada", "--password-file", pw, password=None), OK)
        self.assertEqual(base64.b64decode(self.region.asked[1][2]["Authorization"].split()[1]), b"ada:secret")
        self.region.asked.clear()
        self.assertEqual(self.explain("--user", "bob", "--password-file", pw, password=None), OK)  # then it is bob's
        self.assertEqual(base64.b64decode(self.region.asked[1][2]["Authorization"].split()[1]), b"bob:secret")
        self.region.asked.clear()
        self.assertEqual(self.explain(password=None), OK)
        self.assertNotIn("Authorization", self.region.asked[1][2])  # anonymous
        del self.node.answers["/v1/principals/judge"]  # a node of a release before
        self.assertEqual(self.explain("--user", "bob", password=None, status=1)["token"], "NotTried")

    def test_the_challenge_must_lead_back(self):
        for header in (f'Bearer realm="https://evil.example/oauth2/token",service="{HOST}"',
                       f'Bearer realm="https://{HOST}:{self.port}/oauth2/token",service="other.example.io"'):
            self.region.answers["/v2/"] = (401, {"WWW-Authenticate": header}, {})
            self.assertEqual(self.explain(status=1)["token"], "CHALLENGE")
        self.assertNotIn("/oauth2/token", self.paths())  # no password goes where a false challenge leads

    def test_another_region_is_given_no_password(self):
        self.region.answers["/v2/"] = (401, self.region.answers["/v2/"][1] | {"X-Meridian-Region": "westus"}, {})
        self.assertEqual(self.explain(status=1)["tls"], "OTHER_REGION")
        self.assertEqual(self.paths(), ["/v2/"])

    def test_a_redirect_goes_to_the_data_host_alone(self):
        for where in (f"https://evil.example/v2/app/blobs/{LAYER}", f"https://fabrikam.eastus.data.example.io/v2/app/blobs/{LAYER}",
                      f"http://{DATA}/v2/app/blobs/{LAYER}", f"https://{DATA}.evil.example/x", "/v2/x", ""):
            self.region.answers[f"/v2/app/blobs/{LAYER}"] = (307, {"Location": where}, b"")
            self.region.asked.clear()
            self.assertEqual(self.explain(status=1), OK | {"blobs": "BLOB_MISSING"}, where)
            self.assertEqual(self.paths().count(f"/v2/app/blobs/{LAYER}"), 1)

    def test_what_stands_in_a_manifest_becomes_no_path(self):
        for digest in ("sha256:../../../oauth2/token?x=", "", "sha256:" + "A" * 64, None, 5):
            self.region.answers["/v2/app/manifests/1"] = (200, {}, {"layers": [{"digest": digest, "size": 1}], "config": {"digest": CONFIG, "size": 2}})
            self.region.asked.clear()
            self.assertEqual(self.explain(status=1)["blobs"], "BLOB_MISSING", digest)
            self.assertEqual(self.paths()[3:], [f"/v2/app/blobs/{CONFIG}"])
        self.region.answers["/v2/app/manifests/1"] = (200, {}, {"manifests": [{"digest": "x/../../y"}]})
        self.assertEqual(self.explain(status=1)["blobs"], "CHILD_MISSING")
        for body in (b"", b"[]", b"null", b"\xff\x00"):
            self.region.answers["/v2/app/manifests/1"] = (200, {}, body)
            self.explain()

    def test_sizes_are_the_manifests(self):
        for answer in ((206, {"Content-Range": "bytes 0-0/201"}, b"x"), (206, {"Content-Range": "bytes 0-0/*"}, b"x"), (206, {}, b"x")):
            self.region.answers[f"/v2/app/blobs/{LAYER}"] = answer
            self.assertEqual(self.explain(status=1)["blobs"], "BLOB_SIZE")
        self.region.answers["/v2/app/manifests/1"] = (200, {}, {"config": {"digest": CONFIG, "size": 0}})  # an empty one has no first byte
        self.region.answers[f"/v2/app/blobs/{CONFIG}"] = (416, {"Content-Range": "bytes */0"}, b"")
        self.assertEqual(self.explain(), OK)

    def test_what_regions_say_is_no_order_to_the_terminal(self):
        said = "\x1b[2Jgone\u009b31m\x07"
        self.region.answers["/v2/app/manifests/1"] = (503, {}, {"errors": [{"code": "X", "message": said}]})
        self.region.answers["/v2/"] = (401, self.region.answers["/v2/"][1], {"x": said})
        text = self.explain(status=1, json_form=False)
        self.assertIn("gone", text)
        self.assertNotRegex(text.replace("\n", ""), "[\x00-\x1f\x7f\u0080-\u009f]")
        self.region.answers["/v2/"] = (401, self.region.answers["/v2/"][1] | {"X-Meridian-Region": "east\x1b[2Jus"}, {})
        text = self.explain(status=1, json_form=False)
        self.assertNotRegex(text.replace("\n", ""), "[\x00-\x1f\x7f]")

    def test_a_token_that_says_less_than_was_asked(self):
        for given in (token([]), token(["push"]), "rubbish", ""):
            self.region.answers["/oauth2/token"] = (200, {}, {"access_token": given})
            got = self.explain(status=5)
            self.assertEqual((got["token"], got["scope"], got["manifest"]), ("OK", "NO_PULL", "NotTried"), given)
        for answer in ({}, {"access_token": 5}, []):
            self.region.answers["/oauth2/token"] = (200, {}, answer)
            self.assertEqual(self.explain(status=1)["token"], "TOKEN")

    def test_why_a_manifest_is_not_there(self):
        self.region.answers["/v2/app/manifests/1"] = (404, {}, {})
        for said, code, status in (({"gone": True}, "MANIFEST_DELETED", 7), ({"noSpace": {"neededBytes": 5}}, "NO_SPACE", 8),
                                   ({"clockAhead": True}, "CLOCK_AHEAD", 6), ({"found": False}, "MANIFEST_UNKNOWN", 7)):
            self.region.answers["/replication/v1/have"] = (200, {}, said)
            self.assertEqual(self.explain(status=status)["manifest"], code)
        asked = next(p for _, p, _ in self.region.asked if p.startswith("/replication/v1/have"))
        self.assertEqual(asked, "/replication/v1/have?registry=contoso&repository=app&tag=1")

    def test_a_private_address_says_whose_it_is(self):
        doc = self.node.answers["/v1/dns/explain"][2]
        doc.update(view="corp", private={"endpoint": "contoso-corp", "addresses": ["127.0.0.1"]})
        self.assertEqual(self.explain("--view", "corp"), OK)
        self.assertIn("view=corp", self.node.asked[0][1] + self.node.asked[1][1])
        self.region.answers["/v2/"] = (401, self.region.answers["/v2/"][1] | {"X-Meridian-Region": "nowhere"}, {})
        self.assertEqual(self.explain("--view", "corp", status=1)["tls"], "OTHER_REGION")

    def test_what_does_not_say_whose_it_is_is_no_region(self):
        self.region.answers["/v2/"] = (401, self.region.answers["/v2/"][1] | {"X-Meridian-Region": ""}, {})
        self.assertEqual(self.explain(status=1)["tls"], "OTHER_REGION")
        self.assertEqual(self.paths(), ["/v2/"])

    def test_wrong_words(self):
        for words, image in ((["--client", "x"], "contoso/app"), (["--region", "nowhere"], "contoso/app"), ([], "contoso"), ([], "docker.io/library/x"),
                             (["--region", "nowhere"], "contoso.eastus.geo.example.io/app"), ([], "contoso.eastus.data.example.io/app")):
            env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
            r = subprocess.run([MERIDIAN, "explain", "pull", image, *words, "--topology", self.topology], capture_output=True, text=True, env=env, timeout=60)
            self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        self.assertEqual(self.region.asked, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
