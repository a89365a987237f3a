# SPDX-License-Identifier: Apache-2.0
"""The admin listener in three regions: looking and draining from afar, and how far a hostile edge and a hostile region get."""
import base64, glob, json, os, re, subprocess, tarfile, unittest, urllib.parse

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, STAMPS, USER, wait_until

REGISTRY = f"contoso.eastus.geo.{DOMAIN}"
PORT = 8444
TOKENS = """\
tokens:
  - {{ name: reader, admin: [admin/read], regions: [eastus], passwords: [{{ id: 1, password_hash: '{hash}' }}] }}
  - {{ name: drainer, admin: [admin/read, admin/drain], regions: [eastus, westeurope], enabled: {enabled},
      passwords: [{{ id: 1, password_hash: '{hash}' }}] }}
"""


def front(region):
    return f"{STAMPS[region]}.{region}.fe.{DOMAIN}"


class Asking(unittest.TestCase):
    """What the tests have in common: callers from afar, and the edge itself."""

    def ask(self, region, method, path, headers=None, body=None, host=None, port=PORT):
        host = host or front(region)
        try:
            status, _, answer = self.lab.request(method, host, path, region, headers, body, port=port)
        except OSError:
            return 0, b""
        return status, answer

    def bearer(self, region, user):
        basic = base64.b64encode(f"{user}:{self.lab.password}".encode()).decode()
        status, answer = self.ask(region, "POST", "/v1/token", {"Authorization": f"Basic {basic}"})
        self.assertEqual(status, 200, answer)
        return {"Authorization": "Bearer " + json.loads(answer)["token"]}

    def audit(self, region):
        with open(f"{self.lab.dir}/{region}/log/audit.log") as f:
            return [json.loads(line) for line in f]

    def edge(self, *words):
        return subprocess.run(words, user="meridian-edge", group="meridian-edge", extra_groups=[], capture_output=True, text=True, timeout=30)

    def as_edge(self, method, path, *headers, body=None, region="eastus"):
        """Straight to the daemon's socket, as who holds the edge; (status, answer)."""
        out = self.edge("curl", "-s", "-w", "\n%{http_code}", "-X", method, "--unix-socket", f"{self.lab.dir}/{region}/run/operator.sock",
                        *[w for h in headers for w in ("-H", h)], *(["--data-binary", body] if body is not None else []),
                        f"http://{front(region)}{path}")
        self.assertEqual(out.returncode, 0, out.stderr)
        answer, status = out.stdout.rsplit("\n", 1)
        return int(status), answer


class Administration(Asking):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(admin_port=PORT)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        with open(cls.lab.principals) as f:
            cls.document = f.read()
        cls.version = 100
        cls.publish()

    @classmethod
    def publish(cls, enabled="true"):
        """Edits principals.yaml, which all regions of the lab read, and waits until all have it in force."""
        cls.version += 1
        hashed = re.search(r'password_hash: "([^"]+)"', cls.document).group(1)
        text = re.sub(r"^version: .*$", f"version: {cls.version}", cls.document, flags=re.M)
        with open(cls.lab.principals, "w") as f:
            f.write(text + TOKENS.format(hash=hashed, enabled=enabled))
        for region in REGIONS:
            wait_until(10, lambda: cls.lab.admin(region, "config", "check", "--in-force")["principals"]["version"] == cls.version, f"principals in {region}")

    def order(self, region, of, on, headers):
        return self.ask(region, "POST", f"/v1/health/orders?order=drain&region={of}&on={on}", headers)

    def test_1_looking_and_draining(self):
        reader, drainer = self.bearer("eastus", "reader"), self.bearer("eastus", "drainer")
        for path, member in (("/v1/status", "region"), ("/v1/config", "topology"), ("/v1/certs", None), ("/v1/health", None),
                             ("/v1/principals", "users"), ("/v1/replication", None), ("/v1/fleet", None)):
            status, answer = self.ask("eastus", "GET", path, reader)
            self.assertEqual(status, 200, (path, answer))
            self.assertTrue(member is None or member in json.loads(answer), (path, answer))
            self.assertNotIn(b"$y$", answer)
        self.assertEqual(self.order("eastus", "eastus", "true", reader)[0], 403)
        self.assertEqual(self.order("eastus", "westeurope", "true", drainer)[0], 403)
        name = f"contoso.{DOMAIN}"
        leads_to = lambda region: self.lab.dig(name, at="eastus")[-1:] == [REGIONS[region]]
        self.assertTrue(leads_to("eastus"))
        self.assertEqual(self.order("eastus", "eastus", "true", drainer)[0], 200)
        wait_until(20, lambda: leads_to("westeurope"), "eastus is drained")
        self.assertEqual(self.order("eastus", "eastus", "false", drainer)[0], 200)
        wait_until(20, lambda: leads_to("eastus"), "eastus is taken back")
        for path in ("/v1/node/restart", "/v1/config/reload", "/v1/collect", "/v1/health/force?region=eastus&state=down"):
            self.assertEqual(self.ask("eastus", "POST", path, drainer)[0], 403, path)
        said = [(e["principal"], e["outcome"], e["detail"]) for e in self.audit("eastus") if e["what"] == "admin" and "principal" in e]
        self.assertIn(("reader", "done", "GET /v1/status"), said)
        self.assertIn(("reader", "refused", "POST /v1/health/orders?order=drain&region=eastus&on=true"), said)
        self.assertIn(("drainer", "done", "POST /v1/health/orders?order=drain&region=eastus&on=true"), said)
        self.assertIn(("drainer", "refused", "POST /v1/node/restart"), said)

    def cli(self, *words, server=None, name="drainer", status=0):
        r = self.lab.run(MERIDIAN, *words, check=False, env={
            "MERIDIAN_SERVER": server or f"https://{front('eastus')}:{PORT}", "MERIDIAN_TOKEN_NAME": name,
            "MERIDIAN_TOKEN_FILE": self.lab.password_file, "MERIDIAN_ADMIN": "/nowhere.sock"})
        self.assertEqual(r.returncode, status, (words, r.stdout, r.stderr))
        return r.stdout if status == 0 else r.stderr

    def test_1b_the_command_line_from_afar(self):
        address = f"https://{REGIONS['eastus']}:{PORT}"
        for server in (None, address, "eastus"):
            self.assertEqual(json.loads(self.cli("status", "-o", "json", server=server))["region"], "eastus")
        for words in (("health", "orders"), ("health", "peers"), ("health", "show"), ("certs", "show"), ("config", "check", "--in-force"),
                      ("user", "list"), ("token", "list"), ("scope-map", "list"), ("usage", "--node"), ("collect", "--dry-run"),
                      ("token", "refresh", "list", "-n", "contoso"), ("dns", "explain", REGISTRY, "--client", "10.88.0.100"),
                      ("status", "--all")):
            self.assertNotIn("$y$", self.cli(*words, "-o", "json"))
        path = f"{self.lab.dir}/bundle.tar.gz"
        self.cli("debug", "bundle", "-o", path)
        with tarfile.open(path) as tar:
            parts = {m.name.split("/", 1)[1]: tar.extractfile(m).read() for m in tar}
        self.assertEqual(json.loads(parts["node/status.json"])["region"], "eastus")
        self.assertIn(b" info eastus ", parts["log/recent.txt"])
        self.assertEqual([p for p in parts if p.startswith(("machine/", "settings", "log/audit", "certificate-"))], [])  # nothing of this machine
        self.assertIn(b"settings.yaml: the node is on another machine", parts["errors.txt"])
        self.cli("replication", "drain", "--region", "eastus")
        self.assertIn("eastus", self.cli("health", "orders"))
        self.cli("replication", "undrain", "--region", "eastus")
        self.assertIn("does not have the right admin/drain", self.cli("replication", "drain", "--region", "eastus", name="reader", status=5))
        self.assertIn("only region eastus is drained here", self.cli("replication", "drain", "--region", "westeurope", status=5))
        self.assertIn("through its admin socket", self.cli("node", "restart", status=5))
        self.assertIn("is not right there", self.cli("status", name="nobody", status=5))
        self.assertIn("is not right there", self.cli("status", server="southeastasia", status=5))
        for bad in ("http://10.88.0.1:8444", "https://10.88.0.1:8444/v1", "https://x:99999", "ftp://x", "East", "https://10.9.9.9"):
            self.cli("status", server=bad, status=2)

    def test_2_a_bearer_counts_in_its_region(self):
        """Each region may issue what it likes; the others, and the registries, take none of it."""
        east, west = self.bearer("eastus", "drainer"), self.bearer("westeurope", "drainer")
        self.assertEqual(self.ask("westeurope", "GET", "/v1/status", west)[0], 200)
        for at, of in (("eastus", west), ("westeurope", east), ("southeastasia", east)):
            self.assertEqual(self.ask(at, "GET", "/v1/status", of)[0], 401)
            self.assertEqual(self.order(at, at, "true", of)[0], 401)
        content = self.lab.bearer("repository:team/app:pull,push", host=REGISTRY, region="eastus")
        self.assertEqual(self.ask("eastus", "GET", "/v1/status", content)[0], 401)
        self.assertEqual(self.ask("eastus", "GET", "/v2/team/app/tags/list", east, host=REGISTRY, port=443)[0], 401)
        basic = base64.b64encode(f"{USER}:{self.lab.password}".encode()).decode()
        self.assertEqual(self.ask("eastus", "POST", "/v1/token", {"Authorization": f"Basic {basic}"})[0], 401)
        # a token that does not name the region learns no more there than a stranger
        basic = base64.b64encode(f"drainer:{self.lab.password}".encode()).decode()
        self.assertEqual(self.ask("southeastasia", "POST", "/v1/token", {"Authorization": f"Basic {basic}"})[0], 401)

    def test_3_the_listeners_are_apart(self):
        bearer = self.bearer("eastus", "reader")
        for path in ("/v2/", "/healthz", "/oauth2/token", "/control/v1/feed", "/join/v1/x"):
            self.assertEqual(self.ask("eastus", "GET", path, bearer)[0], 404, path)
        for host in (REGISTRY, f"contoso.{DOMAIN}", front("westeurope")):
            self.assertEqual(self.ask("eastus", "GET", "/v1/status", bearer, host=host)[0], 0, host)  # no handshake
            self.assertEqual(self.ask("eastus", "GET", "/v1/status", dict(bearer, Host=host))[0], 421, host)
        for host in (REGISTRY, front("eastus")):
            self.assertIn(self.ask("eastus", "GET", "/v1/status", bearer, host=host, port=443)[0], (404, 421), host)

    def test_4_a_hostile_edge(self):
        """It hears all that is said to the admin listener, and says what it likes in anybody's name."""
        heard = "Authorization: " + self.bearer("eastus", "drainer")["Authorization"]
        with open(f"{self.lab.dir}/westeurope/certs/peer.pem") as f:
            region = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", f.read(), re.S).group()
        forged = (f"X-Meridian-Peer-Cert: {urllib.parse.quote(region)}", "X-Meridian-Client: 127.0.0.1", "X-Meridian-Principal: drainer")
        self.assertEqual(self.as_edge("GET", "/v1/status")[0], 401)
        self.assertEqual(self.as_edge("GET", "/v1/status", *forged)[0], 401)
        self.assertEqual(self.as_edge("GET", "/v1/status", heard)[0], 200)  # a region's own edge may look and drain
        self.assertEqual(self.as_edge("GET", "/v1/status", heard[:-2] + "AA")[0], 401)
        self.assertEqual(self.as_edge("GET", "/v1/status", heard, "Authorization: Bearer x")[0], 400)  # twice
        for path in ("/v1/node/restart", "/v1/config/reload", "/v1/certs/renew", "/v1/collect", "/v1/tasks/run?kind=x&key=y",
                     "/v1/health/force?region=eastus&state=down", "/v1/health/orders?order=drain&region=westeurope&on=true",
                     "/v1/health/orders?order=impair&region=eastus&registry=contoso&on=true"):
            self.assertEqual(self.as_edge("POST", path, heard, *forged)[0], 403, path)
        for path in ("/v2/", "/control/v1/feed", "/replication/v1/feed", "/certs/v1/nonce"):
            self.assertEqual(self.as_edge("GET", path, heard, *forged)[0], 404, path)
        self.assertNotEqual(self.edge("curl", "-s", "--unix-socket", f"{self.lab.dir}/eastus/run/admin.sock", "http://admin/v1/status").returncode, 0)

    def test_5_what_is_taken_away_is_gone(self):
        bearer = self.bearer("eastus", "drainer")
        self.assertEqual(self.ask("eastus", "GET", "/v1/status", bearer)[0], 200)
        self.publish(enabled="false")
        self.assertEqual(self.ask("eastus", "GET", "/v1/status", bearer)[0], 401)
        self.publish()
        self.assertEqual(self.ask("eastus", "GET", "/v1/status", bearer)[0], 200)

    # ---- explain pull ----
    def explain(self, *words, status=0, input=None, **env):
        """[{region, led, …, steps: {name: step}}] of each way, and the first that failed of each as region: (step, code)."""
        r = self.lab.run(MERIDIAN, "explain", "pull", *words, "-o", "json", check=False, input=input,
                         env={"MERIDIAN_ADMIN": f"{self.lab.dir}/eastus/run/admin.sock"} | env)
        self.assertEqual(r.returncode, status, (words, r.stdout, r.stderr))
        doc = json.loads(r.stdout)
        for w in doc["ways"]:
            w["steps"] = {s["step"]: s for s in w["steps"]}
            failed = w["firstFailure"]
            self.assertEqual(failed is None, all(s["state"] != "Failed" for s in w["steps"].values()))
            if failed:
                self.assertTrue(w["steps"][failed]["why"] and w["steps"][failed]["cure"], w)
        self.assertEqual(doc["ok"], status == 0)
        return doc, {w["region"]: (w["firstFailure"], w["steps"][w["firstFailure"]]["code"]) for w in doc["ways"] if w["firstFailure"]}

    def everywhere(self, *failure):
        return {region: failure for region in REGIONS}

    def test_6_explain_pull(self):
        lab, image = self.lab, "contoso/explained/app:1"
        digest = lab.push("explained", f"contoso.{DOMAIN}", "explained/app", "1", layers=2)
        lab.wait_replicated(image)
        self.names_and_ways(image, digest)
        self.who_may(image)
        self.content()

    def names_and_ways(self, image, digest):
        doc, failed = self.explain(image, "--client", "10.88.0.100")
        self.assertEqual((failed, doc["user"], doc["view"]), ({}, USER, "public"))
        self.assertEqual({w["region"]: w["led"] for w in doc["ways"]}, {"eastus": True, "westeurope": False, "southeastasia": False})
        for w in doc["ways"]:
            self.assertEqual((w["digest"], w["blobs"], w["address"]), (digest, 3, REGIONS[w["region"]]))
            self.assertGreater(w["bytes"], 400_000)
            self.assertRegex(w["steps"]["tls"]["why"], r"^verified at \S+, good until 20")
        doc, _ = self.explain(image, "--client", "10.88.0.101")  # whom an override leads elsewhere
        self.assertEqual([w["region"] for w in doc["ways"] if w["led"]], ["southeastasia"])
        # a regional name is that region and no other, by name, by option, and by both
        for words in ([f"contoso.westeurope.geo.{DOMAIN}/explained/app:1"], [image, "--region", "westeurope"],
                      [f"docker://contoso.{DOMAIN}/explained/app@{digest}", "--region", "westeurope"]):
            doc, failed = self.explain(*words)
            self.assertEqual([(w["region"], w["host"]) for w in doc["ways"]], [("westeurope", f"contoso.westeurope.geo.{DOMAIN}")])
        r = self.lab.run(MERIDIAN, "explain", "pull", f"contoso.westeurope.geo.{DOMAIN}/explained/app:1", "--region", "eastus", check=False)
        self.assertEqual((r.returncode, "never means another region" in r.stderr), (2, True), r.stderr)
        # a private view: the endpoint's address, and the region that answers there
        doc, failed = self.explain(image, "--view", "corp")
        led = [w for w in doc["ways"] if w["led"]]
        self.assertEqual((failed, doc["view"], [(w["region"], w["address"]) for w in led]), ({}, "corp", [("westeurope", "10.88.0.2")]))
        self.assertIn("contoso-corp", led[0]["steps"]["dns"]["why"])
        _, failed = self.explain(image, "--view", "nowhere", status=7)
        self.assertEqual(failed, self.everywhere("view", "VIEW_UNKNOWN"))
        # names that are not there
        _, failed = self.explain("nosuch/app:1", status=7)
        self.assertEqual(failed, {"": ("dns", "NAME_UNKNOWN")})
        doc, failed = self.explain(f"fabrikam.southeastasia.geo.{DOMAIN}/app:1", status=7)
        self.assertIn("meridian replication create fabrikam/southeastasia", doc["ways"][0]["steps"]["dns"]["cure"])
        doc, failed = self.explain(f"contoso.nowhere.geo.{DOMAIN}/app:1", status=7)
        self.assertIn("meridian region list", doc["ways"][0]["steps"]["dns"]["cure"])
        # another authority than that of the fleet
        other = f"{self.lab.dir}/other.pem"
        self.lab.check("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=other",
                       "-keyout", f"{other}.key", "-out", other)
        doc, failed = self.explain(image, "--ca", other, status=1)
        self.assertEqual(failed, self.everywhere("tls", "CERTIFICATE"))
        self.assertEqual(doc["ways"][0]["steps"]["token"]["state"], "NotTried")

    def who_may(self, image):
        _, failed = self.explain(image, "--user", USER, "--password-stdin", input="not the password", status=5)
        self.assertEqual(failed, self.everywhere("token", "CREDENTIALS"))
        self.lab.check(MERIDIAN, "user", "add", "bob", "--registry", "contoso", "--repositories", "other/*", "--actions", "pull", "--principals",
                       self.lab.principals)
        with open(self.lab.principals) as f:
            version = int(re.search("^version: ([0-9]+)", f.read(), re.M)[1])
        for region in REGIONS:
            wait_until(10, lambda: self.lab.admin(region, "config", "check", "--in-force")["principals"]["version"] == version, f"bob is known in {region}")
        _, failed = self.explain(image, "--user", "bob", "--password-stdin", input=self.lab.password, status=5)
        self.assertEqual(failed, self.everywhere("scope", "NO_PULL"))
        # without his password a node judges, by its socket or from afar; content is asked for by ada
        afar = {"MERIDIAN_ADMIN": "/nowhere.sock", "MERIDIAN_SERVER": "eastus", "MERIDIAN_TOKEN_NAME": "reader", "MERIDIAN_TOKEN_FILE": self.lab.password_file}
        for env in ({}, afar):
            doc, failed = self.explain(image, "--user", "bob", status=5, **env)
            self.assertEqual(failed, self.everywhere("scope", "NO_PULL"))
            self.assertEqual({w["steps"]["blobs"]["state"] for w in doc["ways"]}, {"OK"})
            _, failed = self.explain(image, "--user", "nobody", status=5, **env)
            self.assertEqual(failed, self.everywhere("token", "USER_UNKNOWN"))
        # nobody asks for content: what was tried is fine, and yet it is not known whether the pull works
        doc, failed = self.explain(image, "--user", USER, status=1, MERIDIAN_USERNAME="", MERIDIAN_PASSWORD_FILE="")
        self.assertEqual((failed, doc["ways"][0]["steps"]["manifest"]["state"]), ({}, "NotTried"))
        _, failed = self.explain(image, status=5, MERIDIAN_USERNAME="", MERIDIAN_PASSWORD_FILE="")
        self.assertEqual(failed, self.everywhere("scope", "NO_PULL"))  # contoso is not for everybody
        # with no node at hand the name servers answer this machine
        doc, failed = self.explain(image, MERIDIAN_ADMIN="/nowhere.sock")
        self.assertEqual((failed, [w["region"] for w in doc["ways"] if w["led"]]), ({}, ["eastus"]))
        _, failed = self.explain(image, "--client", "10.88.0.101", status=4, MERIDIAN_ADMIN="/nowhere.sock")
        self.assertEqual(failed, self.everywhere("dns", "DNS_UNREACHABLE"))

    def content(self):
        lab = self.lab
        _, failed = self.explain("contoso/explained/app:never", status=7)
        self.assertEqual(failed, self.everywhere("manifest", "MANIFEST_UNKNOWN"))
        lab.cut("southeastasia")
        try:
            lab.push("later", f"contoso.eastus.geo.{DOMAIN}", "explained/app", "2", layers=1)
            lab.wait_replicated("contoso/explained/app:2", region="westeurope")
            doc, failed = self.explain("contoso/explained/app:2", status=1)
            self.assertEqual(failed, {"southeastasia": ("manifest", "NOT_REPLICATED")})
            cure = next(w for w in doc["ways"] if w["region"] == "southeastasia")["steps"]["manifest"]["cure"]
            self.assertIn("meridian replication wait contoso/explained/app:2 --region southeastasia", cure)
        finally:
            lab.heal("southeastasia")
        lab.wait_replicated("contoso/explained/app:2", region="southeastasia")
        # the bytes of a blob are lost on one disk
        host = f"contoso.westeurope.geo.{DOMAIN}"
        auth = lab.bearer("repository:explained/app:pull", host=host, region="westeurope")
        layer = json.loads(lab.request("GET", host, "/v2/explained/app/manifests/2", "westeurope", auth)[2])["layers"][0]["digest"]
        for path in glob.glob(f"{lab.dir}/westeurope/store/blobs/sha256/{layer[7:9]}/{layer[7:]}*"):
            os.unlink(path)
        doc, failed = self.explain("contoso/explained/app:2", status=1)
        self.assertEqual(failed, {"westeurope": ("blobs", "BLOB_MISSING")})
        self.assertIn(layer, next(w for w in doc["ways"] if w["region"] == "westeurope")["steps"]["blobs"]["why"])
        # a region that is down
        lab.kill("westeurope")
        doc, failed = self.explain("contoso/explained/app:1", status=4)
        self.assertEqual(failed, {"westeurope": ("tls", "UNREACHABLE")})
        table = lab.run(MERIDIAN, "explain", "pull", "contoso/explained/app:1", check=False, env={"MERIDIAN_ADMIN": f"{lab.dir}/eastus/run/admin.sock"})
        self.assertRegex(table.stdout, r"(?m)^westeurope +contoso\.\S+ +no +ok +ok +FAILED +not tried")
        self.assertRegex(table.stdout, r"(?m)^westeurope: tls: 10.88.0.2: ")
        self.assertIn("is meridiand running in westeurope", table.stdout)
        lab.start("westeurope")


if __name__ == "__main__":
    unittest.main(verbosity=2)
