# SPDX-License-Identifier: Apache-2.0
"""Changes of a fleet from afar: what an operator has signed, and nothing else, whichever edge or region carries it."""
import base64, json, os, subprocess, tempfile, threading, time, unittest, urllib.parse

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, TOPOLOGY, wait_until
from test_administration import Asking, PORT


def spki(path):
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    return base64.b64encode(der).decode()


class SignedChanges(Asking):
    """The same listeners where the fleet carries its documents by itself: changes are what an operator has signed, whoever brings it."""

    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.keys.cleanup)
        for name in ("root", "ada", "clerk", "gone", "thief"):
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", cls.key(name)], check=True)
            os.chmod(cls.key(name), 0o600)
        row = "    - {{{{ name: {0}, key: \"{1}\", rights: [{2}]{3} }}}}\n"
        control = f"control:\n  root: \"{spki(cls.key('root'))}\"\n  writer: eastus\n  operators:\n" + "".join(
            row.format(name, spki(cls.key(name)), rights, more)
            for name, rights, more in (("ada", "principals", ""), ("clerk", "registries", ""), ("gone", "all", ", revoked: true")))
        cls.lab = Lab(topology=TOPOLOGY + control, admin_port=PORT, node_extra="source: feed\n", clocks=True)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        cls.lab.wait_writer("eastus")

    @classmethod
    def key(cls, name):
        return f"{cls.keys.name}/{name}.pem"

    def cli(self, *words, server="eastus", status=0, **more):
        r = self.lab.run(MERIDIAN, *words, "--server", server, "--operator", "ada", "--key", self.key("ada"), check=False, **more)
        self.assertEqual(r.returncode, status, (words, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def text(self, verb="user update", name="bob", arguments=None, operator="ada", nonce=None, life_s=120, fleet=DOMAIN):
        return json.dumps({"v": 1, "verb": verb, "object": name, "arguments": {"enabled": False} if arguments is None else arguments, "whatIf": False,
                           "nonce": nonce or os.urandom(16).hex(), "expires": int(1000 * (time.time() + life_s)),
                           "operator": operator, "fleet": fleet}, separators=(",", ":"))

    def envelope(self, text, operator="ada", key="ada"):
        path = f"{self.keys.name}/text"
        with open(path, "w") as f:
            f.write("meridian operator request 1\n" + text)
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.key(key), "-in", path], check=True,
                                   capture_output=True).stdout
        return json.dumps({"request": text, "key": operator,
                           "signature": base64.urlsafe_b64encode(signature).decode().rstrip("=")})

    def users(self, region):
        return {u["name"]: u for u in self.lab.admin(region, "user", "list")}

    def test_1_a_signed_request_changes_every_region(self):
        self.cli("user", "create", "bob", "-n", "contoso", "--password-file", self.lab.password_file, server="westeurope")
        for region in REGIONS:
            wait_until(5, lambda: "bob" in self.users(region), f"bob is known in {region}")
            self.lab.token("repository:team/app:pull", host=f"contoso.{region}.geo.{DOMAIN}", region=region, user="bob")
        made = self.cli("token", "create", "watcher", "--admin", "admin/read", "--regions", "southeastasia").split("\n")
        with open(f"{self.keys.name}/watcher", "w") as f:
            f.write(next(line for line in made if line.startswith("mrd1_")))
        wait_until(5, lambda: self.lab.run(MERIDIAN, "status", "--server", "southeastasia", "--token-name", "watcher", "--token-file",
                                           f"{self.keys.name}/watcher", check=False).returncode == 0, "the token looks at its region")
        self.assertIn("AlreadyExists", self.cli("user", "create", "bob", "--password-file", self.lab.password_file, status=11))
        self.assertIn("Denied", self.cli("registry", "delete", "fabrikam", "--yes", status=5))  # ada has principals alone

    def test_2_a_hostile_edge_cannot_change_anything(self):
        """It holds what was sent, and sends it again, altered, and things of its own: at the writer, and at another region."""
        self.publish_bob()
        good, text = self.envelope(self.text(arguments={"enabled": True})), self.text()
        forged = json.loads(good)
        rows = [("a bare text", text), ("no signature", json.dumps({"request": text, "key": "ada", "signature": ""})),
                ("the signature of another text", json.dumps(dict(forged, request=text))),
                ("one letter of it", good.replace('bob', 'bot', 1)),
                ("another's name over it", json.dumps(dict(forged, key="clerk"))),
                ("a key that nobody knows", self.envelope(self.text(operator="thief"), "thief", "thief")),
                ("its own key, an operator's name", self.envelope(self.text(), "ada", "thief")),
                ("a revoked operator", self.envelope(self.text(operator="gone"), "gone", "gone")),
                ("an operator without the right", self.envelope(self.text(operator="clerk"), "clerk", "clerk")),
                ("too late", self.envelope(self.text(life_s=-1))), ("good for too long", self.envelope(self.text(life_s=3600))),
                ("another fleet's", self.envelope(self.text(fleet="example.io"))),
                ("no envelope", "{}"), ("no JSON", "\x01\x02")]
        before = self.users("eastus")["bob"]
        for region in ("eastus", "westeurope"):
            for what, body in rows:
                status, answer = self.as_edge("POST", "/v1/requests", "X-Meridian-Peer-Cert: x", body=body, region=region)
                self.assertIn(status, (400, 403), (region, what, answer))
        self.assertEqual(self.users("eastus")["bob"], before)
        # what an operator did send counts once, however often it is said
        off = self.envelope(self.text())
        ids = set()
        for region in ("westeurope", "eastus", "eastus", "westeurope"):
            status, answer = self.as_edge("POST", "/v1/requests", body=off, region=region)
            self.assertIn(status, (200, 202), answer)
            ids.add(json.loads(answer)["operation"]["id"])
        self.assertEqual(len(ids), 1)
        operation = f"/v1/operations/{ids.pop()}"
        wait_until(10, lambda: json.loads(self.as_edge("GET", operation)[1])["state"] == "Succeeded", "bob is disabled")
        self.assertFalse(self.users("eastus")["bob"]["enabled"])
        self.cli("user", "update", "bob", "--enabled", "true")
        self.as_edge("POST", "/v1/requests", body=off)
        self.assertTrue(self.users("eastus")["bob"]["enabled"])
        self.assertEqual(self.as_edge("GET", "/v1/operations")[0], 401)
        said = [e for e in self.audit("eastus") if e["what"] in ("change", "admin") and e["outcome"] == "refused"]
        self.assertGreater(len(said), 5)

    def publish_bob(self):
        if "bob" not in self.users("eastus"):
            self.cli("user", "create", "bob", "-n", "contoso", "--password-file", self.lab.password_file)

    def test_3_a_hostile_region_cannot_either(self):
        """It has its certificate and keys, and carries requests of operators: what it makes of them counts for nothing."""
        self.publish_bob()
        before = self.users("eastus")["bob"]
        for what, body in (("a bare text", self.text()), ("its own signature", self.envelope(self.text(), "ada", "thief")),
                           ("one that it altered", self.envelope(self.text()).replace("bob", "bot", 1))):
            out = self.lab.run("curl", "-s", "-w", "\n%{http_code}", "--cacert", self.lab.ca, "--cert", f"{self.lab.dir}/westeurope/certs/peer.pem",
                               "--resolve", f"eastus.peer.{DOMAIN}:8443:{REGIONS['eastus']}", "--data-binary", body,
                               f"https://eastus.peer.{DOMAIN}:8443/control/v1/requests")
            answer, status = out.stdout.rsplit("\n", 1)
            self.assertIn(int(status), (400, 403), (what, answer))
        self.assertEqual(self.users("eastus")["bob"], before)

    def test_4_what_is_revoked_is_gone_everywhere(self):
        self.publish_bob()
        basic = base64.b64encode(f"bob:{self.lab.password}".encode()).decode()
        host = f"contoso.westeurope.geo.{DOMAIN}"
        wait_until(5, lambda: self.lab.request("GET", host, "/oauth2/token?offline_token=true", "westeurope",
                                               {"Authorization": f"Basic {basic}"})[0] == 200, "bob logs in")
        _, _, body = self.lab.request("GET", host, "/oauth2/token?offline_token=true", "westeurope", {"Authorization": f"Basic {basic}"})
        form = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": json.loads(body)["refresh_token"]})

        def refused(region):
            return self.lab.request("POST", f"contoso.{region}.geo.{DOMAIN}", "/oauth2/token", region,
                                    {"Content-Type": "application/x-www-form-urlencoded"}, form)[0] == 401
        self.assertFalse(any(refused(region) for region in REGIONS))
        self.cli("user", "revoke", "bob")
        for region in REGIONS:
            wait_until(5, lambda: refused(region), f"the refresh token is none any more in {region}")

    def watcher(self, name):
        """The bearer of a new token that may look at eastus."""
        made = self.cli("token", "create", name, "--admin", "admin/read", "--regions", "eastus").split("\n")
        password = next(line for line in made if line.startswith("mrd1_"))
        basic = base64.b64encode(f"{name}:{password}".encode()).decode()
        status, answer = self.ask("eastus", "POST", "/v1/token", {"Authorization": f"Basic {basic}"})
        self.assertEqual(status, 200, answer)
        return {"Authorization": "Bearer " + json.loads(answer)["token"]}

    def test_5_who_waits_leaves_room_for_others(self):
        """Who only knows an operation's id holds nothing open; tokens wait one at a time, and not on all of the listener's threads."""
        one, two, three = (self.watcher(f"watcher{n}") for n in range(3))
        status, answer = self.as_edge("POST", "/v1/requests", body=self.envelope(
            self.text(verb="registry delete", name="fabrikam", arguments={}, operator="clerk"), "clerk", "clerk"))
        self.assertEqual(status, 202, answer)
        path = f"/v1/operations/{json.loads(answer)['operation']['id']}"  # for a minute and more: caches
        answers = []

        def stranger(of):
            begin = time.monotonic()
            status, _ = self.ask("eastus", "GET", of + "?wait_ms=10000")
            answers.append((status, time.monotonic() - begin < 5))
        crowd = [threading.Thread(target=stranger, args=(of,)) for of in [path, "/v1/operations/00000000000000ff"] * 6]
        for t in crowd:
            t.start()
        for t in crowd:
            t.join()
        self.assertEqual(sorted(answers), [(200, True)] * 6 + [(404, True)] * 6)

        ended = {}

        def hold(name, bearer):
            while ended.get(name) in (None, 429):  # it may meet one of those that look whether it waits
                ended[name] = self.ask("eastus", "GET", path + "?wait_ms=10000", bearer)[0]
        holders = [threading.Thread(target=hold, args=x) for x in (("one", one), ("two", two))]
        look = lambda bearer: self.ask("eastus", "GET", path + "?wait_ms=1", bearer)[0]
        for t in holders:
            t.start()
        wait_until(5, lambda: (look(one), look(two)) == (429, 429), "both wait")
        self.assertEqual(look(three), 503)
        begin = time.monotonic()
        self.assertEqual(self.ask("eastus", "GET", "/v1/status", one)[0], 200)
        self.assertEqual(self.ask("eastus", "GET", path, three)[0], 200)
        self.assertLess(time.monotonic() - begin, 5)
        for t in holders:
            t.join()
        self.assertEqual(ended, {"one": 200, "two": 200})
        self.assertEqual(self.ask("eastus", "GET", path + "?wait_ms=10", {"Authorization": "Bearer nonsense"})[0], 401)
        wait_until(5, lambda: look(three) == 200, "there is room again")

    def test_6_a_revocation_waits_for_no_clock(self):
        """The writer's is an hour off: what is signed by one that is right is judged by the others' clocks."""
        for ms in (3_600_000, -3_600_000):
            self.lab.shift_clock("eastus", ms)
            for server in ("westeurope", "eastus"):
                def revoked():
                    before = self.users("southeastasia")["bob"]["generation"]
                    r = self.lab.run(MERIDIAN, "user", "revoke", "bob", "--server", server, "--operator", "ada", "--key", self.key("ada"),
                                     check=False)
                    self.assertTrue(r.returncode == 0 or "clocks" in r.stderr, r)
                    return r.returncode == 0 and wait_until(5, lambda: self.users("southeastasia")["bob"]["generation"] > before, "it holds")
                wait_until(20, revoked, f"a signed revocation is taken, handed to {server}")
        self.lab.shift_clock("eastus", 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
