# SPDX-License-Identifier: Apache-2.0
"""Three regions whose topology is the fleet's own: registries, replicas and regional endpoints change by operations while clients go
on, the writer is killed in the middle of them, a region is away, a change is called off, a name stays reserved."""
import base64, http.client, json, os, socket, subprocess, tempfile, threading, time, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, TOPOLOGY, need_root, wait_until

WRITER = "eastus"
RESTS_S = 400  # longer than the longest TTL and 60 s


def new_key(path=os.devnull):
    """Makes a key into a file; its public half, as the topology has it."""
    key = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(key)
    return base64.b64encode(public).decode()


class Clients(threading.Thread):
    """Ask for the names of a registry all the time. What fails is in `failed`."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.failed, self.n, self.ends = lab, [], 0, False

    def run(self):
        hosts = [f"tailspin.{DOMAIN}", f"contoso.westeurope.geo.{DOMAIN}", f"contoso.southeastasia.geo.{DOMAIN}"]
        while not self.ends:
            for host in hosts:
                try:
                    status = self.lab.request("GET", host, "/v2/", timeout=5)[0]
                    if status not in (200, 401):
                        self.failed.append((host, status))
                except OSError as e:
                    self.failed.append((host, str(e)))
                self.n += 1
            time.sleep(0.02)


class Lifecycle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        topology = TOPOLOGY.replace("tailspin\n    regional_endpoints: disabled", "tailspin\n    owner: ada\n    regional_endpoints: disabled")
        # clients start in a region that is never killed here
        topology = topology.replace("order: [eastus, westeurope, southeastasia]", "order: [westeurope, southeastasia, eastus]")
        cls.keys = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.keys.cleanup)
        control = 'control: {{ root: "%s", writer: %s, operators: [{{ name: ada, key: "%s", rights: [registries] }}] }}\n'
        topology += control % (new_key(), WRITER, new_key(f"{cls.keys.name}/ada.pem"))
        cls.lab = Lab(topology=topology, node_extra="source: feed\n", clocks=True)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        cls.lab.wait_writer(WRITER)

    # ---- the admin socket ----
    def call(self, region, method, path, body=None):
        c = http.client.HTTPConnection("admin")
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(20)
        try:
            c.sock.connect(f"{self.lab.dir}/{region}/run/admin.sock")
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, json.loads(r.read())
        except (OSError, http.client.HTTPException):
            return 0, {}
        finally:
            c.close()

    def ask(self, verb, name, expect=202, **arguments):
        """As root at the writer; asks again, with the same nonce, while the writer is away or not sure of itself."""
        text = json.dumps({"v": 1, "verb": verb, "object": name, "arguments": arguments, "whatIf": False, "nonce": os.urandom(16).hex(),
                           "expires": int(time.time() * 1000) + self.shifted_ms + 300000, "fleet": DOMAIN})
        answer = [0, {}]

        def answered():
            answer[:] = self.call(WRITER, "POST", "/v1/requests", text)
            return answer[0] not in (0, 503)
        wait_until(20, answered, f"{verb} {name}")
        self.assertEqual(answer[0], expect, answer[1])
        return answer[1]["operation"]["id"] if expect == 202 else answer[1]["error"]

    shifted_ms = 0

    def ended(self, operation, limit_s=20, region=WRITER):
        def state():
            status, o = self.call(region, "GET", f"/v1/operations/{operation}?wait_ms=1000")
            return o if status == 200 and o["state"] in ("Succeeded", "Failed", "Canceled") else None
        return wait_until(limit_s, state, f"the end of operation {operation}: {self.call(region, 'GET', '/v1/operations/' + operation)}")

    def waits(self, operation):
        def rests():
            _, o = self.call(WRITER, "GET", f"/v1/operations/{operation}")
            return any(p["name"] == "wait" and p["state"] == "running" for p in o.get("phases", []))
        wait_until(15, rests, f"operation {operation} waits for the caches")

    def pass_time(self):
        """All clocks of the fleet, at once: nobody is ahead of anybody."""
        self.__class__.shifted_ms += RESTS_S * 1000
        for region in REGIONS:
            self.lab.shift_clock(region, self.shifted_ms)

    def restart_writer(self):
        self.lab.kill(WRITER)
        self.lab.start(WRITER)

    def leads(self, name, at="westeurope"):
        return bool(self.lab.dig(f"{name}.{DOMAIN}", at=at))

    def test_a_writer_that_is_killed_goes_on_and_no_client_notices(self):
        clients = Clients(self.lab)
        clients.start()
        # killed as soon as it has begun: names are at the edges, and in no DNS
        on = self.ask("registry update", "tailspin", regionalEndpoints="Enabled")
        self.restart_writer()
        o = self.ended(on)
        self.assertEqual((o["state"], o["phases"][-1]["name"]), ("Succeeded", "public-dns"), o)
        wait_until(5, lambda: all(self.leads("tailspin.southeastasia.geo", at) for at in REGIONS), "the regional name in every region's DNS")
        # the record goes first; the writer is killed while all wait for the caches, and the edge serves on
        off = self.ask("registry update", "tailspin", regionalEndpoints="Disabled")
        self.waits(off)
        wait_until(5, lambda: not self.leads("tailspin.southeastasia.geo"), "the name is out of DNS")
        host = f"tailspin.southeastasia.geo.{DOMAIN}"
        self.assertIn(self.lab.request("GET", host, "/v2/", "southeastasia")[0], (200, 401))
        self.restart_writer()
        self.waits(off)
        busy = self.ask("replication delete", "tailspin/southeastasia", expect=409)
        self.assertEqual((busy["code"], busy["operation"]), ("OperationInProgress", off))
        self.pass_time()
        self.assertEqual(self.ended(off)["state"], "Succeeded")
        wait_until(5, lambda: self.lab.request("GET", host, "/v2/", "southeastasia")[0] == 421, "the edge has given the name up")
        # killed when the last document is in force, and before it is known to be stored
        gone = self.ask("replication update", "tailspin/southeastasia", weight=10)
        self.restart_writer()
        self.assertEqual(self.ended(gone)["state"], "Succeeded")
        clients.ends = True
        clients.join()
        self.assertGreater(clients.n, 100)
        self.assertEqual(clients.failed, [])

    def test_a_fleet_takes_what_an_operator_signs_at_any_node(self):
        def meridian(*words):
            r = self.lab.run(MERIDIAN, *words, "-o", "json", "--admin", f"{self.lab.dir}/westeurope/run/admin.sock", "--key", f"{self.keys.name}/ada.pem",
                             "--operator", "ada", "--fleet", DOMAIN, check=False)
            return r.returncode, r.stdout, r.stderr
        # before any clock is shifted: the command has the true one
        made = meridian("registry", "create", "wingtip", "--location", "westeurope")
        self.assertEqual(made[0], 0, made)
        status, answer = self.call("southeastasia", "GET", "/v1/operations?object=registry/wingtip")
        self.assertEqual((status, answer["operations"][0]["by"]), (200, "operator:ada"))
        denied = meridian("user", "add", "mallory", "--registry", "wingtip")  # not his right
        self.assertEqual(denied[0], 5, denied)
        with open(f"{self.lab.dir}/{WRITER}/log/audit.log") as f:
            said = [(e["outcome"], e["principal"]) for e in map(json.loads, f) if e["what"] == "change" and "operator" in e["principal"]]
        self.assertEqual(said, [("done", "operator:ada"), ("refused", "operator:ada")])

    def test_a_region_that_is_away_takes_it_later(self):
        self.lab.kill("southeastasia")
        made = self.ask("registry create", "northwind", location="westeurope", regionalEndpoints="Enabled")
        o = self.ended(made)
        self.assertEqual((o["state"], o["later"]), ("Succeeded", ["southeastasia"]))
        self.lab.start("southeastasia")
        wait_until(10, lambda: self.leads("northwind.westeurope.geo", "southeastasia"), "who was away has taken it")
        # a change that is called off, and a name that stays its owner's
        away = self.ask("registry delete", "northwind")
        self.waits(away)
        wait_until(5, lambda: not self.leads("northwind"), "the name is out of DNS")
        self.ask("operation cancel", away)
        self.assertEqual(self.ended(away)["state"], "Canceled")
        wait_until(5, lambda: self.leads("northwind"), "the name is back")
        away = self.ask("registry delete", "northwind")
        self.waits(away)
        self.pass_time()
        self.assertEqual(self.ended(away)["state"], "Succeeded")
        status, names = self.call("westeurope", "GET", "/v1/names")
        self.assertEqual((status, [n["name"] for n in names["names"]]), (200, ["northwind"]))
        refused = self.ask("registry create", "northwind", expect=409, location="westeurope", owner="mallory")
        self.assertEqual(refused["code"], "NameReserved")
        self.assertIn("until 20", refused["message"])
        # every node shows it
        self.assertEqual(self.ended(away, region="southeastasia")["state"], "Succeeded")

    def test_content_comes_and_goes_with_its_replica(self):
        there, host = "southeastasia", f"contoso.southeastasia.geo.{DOMAIN}"
        manifest = "/v2/team/leaving/manifests/1"

        def phase(operation, name):
            _, o = self.call(WRITER, "GET", f"/v1/operations/{operation}")
            return next((p for p in o.get("phases", []) if p["name"] == name and p["state"] == "running"), None)

        def done(operation, name):
            _, o = self.call(WRITER, "GET", f"/v1/operations/{operation}")
            return any(p["name"] == name and p["state"] == "done" for p in o.get("phases", []))

        def has(region):
            auth = self.lab.bearer("repository:team/leaving:pull", host=f"contoso.{region}.geo.{DOMAIN}", region=region)
            return self.lab.request("GET", f"contoso.{region}.geo.{DOMAIN}", manifest, region, auth)[0] == 200
        self.lab.push("leaving", host, "team/leaving", "1")
        gone = self.ask("replication delete", "contoso/southeastasia")
        for what in ("public-dns", "private-dns"):
            wait_until(15, lambda: done(gone, what), f"{what} is done")
            self.waits(gone)
            self.pass_time()
        # caches have forgotten it: no writes any more, and reads to the end
        wait_until(15, lambda: phase(gone, "content"), "the content of the replica is waited for")
        auth = self.lab.bearer("repository:team/leaving:pull,push", host=host, region=there)

        def closed():
            status, _, body = self.lab.request("POST", host, "/v2/team/leaving/blobs/uploads/", there, auth)
            return status == 503 and b"leaves" in body
        wait_until(10, closed, "the replica takes no writes")
        self.assertTrue(has(there))
        self.pass_time()
        o = self.ended(gone, 60)
        self.assertEqual((o["state"], "notCopied" in o), ("Succeeded", False), o)
        self.assertTrue(all(has(r) for r in REGIONS if r != there))
        wait_until(10, lambda: self.lab.request("GET", host, "/v2/", there)[0] == 421, "the edge has given it up")
        # it comes back, and takes global traffic once it has all that was pushed meanwhile
        self.lab.push("meanwhile", f"contoso.eastus.geo.{DOMAIN}", "team/leaving", "1")
        ip = {"registry_southeastasia": "10.88.0.3", "registry_data_southeastasia": "10.88.0.3"}
        back = self.ended(self.ask("replication create", "contoso/southeastasia", ip=ip), 90)
        self.assertEqual(back["state"], "Succeeded", back)
        public = next(p for p in back["phases"] if p["name"] == "public-dns")
        self.assertTrue(public["content"]["comes"], back)
        self.assertEqual(back["phases"][-1]["name"], "document")
        self.assertTrue(has(there))
        digests = {r: self.lab.listing(r)["team/leaving:1"] for r in REGIONS}
        self.assertEqual(len(set(digests.values())), 1, digests)


if __name__ == "__main__":
    need_root()
    unittest.main(verbosity=2)
