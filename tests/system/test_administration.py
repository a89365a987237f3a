# SPDX-License-Identifier: Apache-2.0
"""The admin listener in three regions: looking and draining from afar, and how far a hostile edge and a hostile region get."""
import base64, json, re, subprocess, tarfile, unittest, urllib.parse

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
