# SPDX-License-Identifier: Apache-2.0
"""Private endpoints from asking to going, by the commands of both sides against three regions whose topology is the fleet's own.

The commands, their refusals, DNS and access as a client in the private network has them. Nobody is asked for /healthz here: addresses
are the regions' own, answered by `none`. What nodes do of themselves at addresses that they answer is in test_private_addresses.py."""
import http.client, json, socket, ssl, tempfile, unittest

from lab import CORP, DOMAIN, Lab, MERIDIAN, need_root, wait_until
from test_lifecycle import new_key

HOST = f"contoso.{DOMAIN}"
TOPOLOGY = """\
version: 1
domain: {domain}
hostmaster: hostmaster@{domain}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [10.88.0.1] }}], peer: "10.88.0.1:8443" }}
  - {{ name: westeurope, stamps: [{{ name: weu-1, ipv4: [10.88.0.2] }}], peer: "10.88.0.2:8443" }}
  - {{ name: southeastasia, stamps: [{{ name: sea-1, ipv4: [10.88.0.3] }}], peer: "10.88.0.3:8443" }}
name_servers: [eus-1.eastus, weu-1.westeurope, sea-1.southeastasia]
registries:
  - {{ name: contoso, owner: bob, public_access: disabled, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
  - {{ name: fabrikam, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
  - {{ name: tailspin, anonymous_pull: true, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
views:
  - name: corp
    owner: ada
    sources: [10.88.0.200]
    networks: [10.88.0.0/24]
    pools:
      - {{ name: corp-pool, subnet: 10.88.0.64/28 }}
      - {{ name: tiny, subnet: 10.88.0.80/30, reserved_first: 1, answered_by: balancer }}
health: {{ interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%%, hold_down: 2s, hold_down_max: 2s }}
certificates: {{ ca_region: eastus }}
control: {{ root: "%s", writer: eastus, operators: [{{ name: ada, key: "%s", rights: [private-endpoints] }}, {{ name: bob, key: "%s", rights: [registries] }}] }}
"""
RESTS_S = 80  # longer than the private TTL and 60 s; a request lives for longer


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.keys.cleanup)
        topology = TOPOLOGY % (new_key(), new_key(f"{cls.keys.name}/ada.pem"), new_key(f"{cls.keys.name}/bob.pem"))
        cls.lab = Lab(topology=topology, node_extra="source: feed\n", clocks=True)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        cls.lab.wait_writer("eastus")

    # ---- the commands ----
    def at(self, region, *words, by=None, status=0, form="json"):
        """At a region's admin socket; a change signed by an operator, or bare. What was printed; `err` has the other stream."""
        signed = ["--operator", by, "--key", f"{self.keys.name}/{by}.pem", "--fleet", DOMAIN] if by and words[1] not in ("list", "show") else []
        r = self.lab.run(MERIDIAN, *words, "-o", form, "--admin", f"{self.lab.dir}/{region}/run/admin.sock", *signed, check=False)
        self.err = r.stderr
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        return json.loads(r.stdout) if form == "json" and r.stdout.strip() else r.stdout

    def ada(self, *words, **more):  # the network's side
        return self.at("westeurope", "private-endpoint", *words, by="ada", **more)

    def bob(self, *words, **more):  # the registry's side
        return self.at("southeastasia", "private-endpoint-connection", *words, by="bob", **more)

    def refused(self, said, side, *words, status=1, **more):
        side(*words, status=status, form="table", **more)
        self.assertIn(said, self.err)

    @staticmethod
    def status(endpoint):
        return endpoint["privateLinkServiceConnectionState"]["status"]

    @staticmethod
    def addresses(endpoint):
        return {m["memberName"]: m["privateIpAddresses"] for m in endpoint["ipConfigurations"]}

    # ---- a client in the private network ----
    def led_to(self, name=HOST, at="southeastasia"):
        return self.lab.dig(name, at=at, source=CORP)

    def answers(self, address="10.88.0.2"):
        """How the registry answers a client of the private network that comes to this address."""
        raw = socket.create_connection((address, 443), timeout=10, source_address=(CORP, 0))
        c = http.client.HTTPSConnection(HOST, timeout=10)
        c.sock = ssl.create_default_context(cafile=self.lab.ca).wrap_socket(raw, server_hostname=HOST)
        try:
            c.request("GET", "/v2/")
            return c.getresponse().status
        finally:
            c.close()

    def everywhere(self, condition, what):
        wait_until(10, lambda: all(condition(region) for region in self.lab.regions), what)

    STATIC = ("-r", "contoso", "--view", "corp", "--answered-by", "none", "--ip", "registry=10.88.0.2", "--ip", "registry_data_eastus=10.88.0.1",
              "--ip", "registry_data_westeurope=10.88.0.2")
    HOP = f"contoso.privatelink.{DOMAIN}."

    def test_from_asking_to_going(self):
        # what a what-if shows changes nothing
        self.ada("create", "corp-pe", *self.STATIC, "--what-if", status=10)
        self.assertEqual(self.ada("list"), [])
        made = self.ada("create", "corp-pe", *self.STATIC, "--message", "for the plant")
        self.assertIn("note: it is Pending until the registry's side approves it", self.err)
        self.assertEqual((self.status(made), made["inDns"]), ("Pending", None))
        self.refused("there is a private endpoint corp-pe already", self.ada, "create", "corp-pe", *self.STATIC, status=11)
        self.refused("registry contoso has private endpoint corp-pe in view corp, and no second one there", self.ada, "create", "corp-2", *self.STATIC)
        # Pending: the public chain, and no access
        self.assertNotIn(self.HOP, self.led_to())
        self.assertEqual(self.answers(), 403)
        pending = self.bob("list", "-r", "contoso")
        self.assertEqual([(p["name"], self.status(p), p["privateLinkServiceConnectionState"]["description"]) for p in pending],
                         [("corp-pe", "Pending", "for the plant")])
        # the first approval switches data endpoints on; what-if and command say so
        note = "data endpoints of contoso are off: its first approved private endpoint switches them on"
        would = self.bob("approve", "corp-pe", "-r", "contoso", "--what-if", status=10)
        self.assertTrue(any(note in n for n in would["notes"]), would["notes"])
        self.assertIn(f"contoso.eastus.data.{DOMAIN}", {r["name"] for r in would["dns"] if r["view"] == "public" and r["change"] == "+"})
        self.assertIn(("corp", f"contoso.privatelink.{DOMAIN}", "10.88.0.2"), {(r["view"], r["name"], r["data"]) for r in would["dns"]})
        self.assertIn(note, self.bob("approve", "corp-pe", "-r", "contoso", "--what-if", status=10, form="table"))
        self.assertNotIn(self.HOP, self.led_to())
        approved = self.bob("approve", "corp-pe", "-r", "contoso", "--message", "fine")
        self.assertIn(note, self.err)
        self.assertEqual((self.status(approved), approved["inDns"], approved["provisioningState"]), ("Approved", True, "Succeeded"))
        self.everywhere(lambda region: self.led_to(at=region) == [self.HOP, "10.88.0.2"], "the private address in every region's DNS")
        self.assertEqual(self.lab.dig(f"contoso.eastus.data.{DOMAIN}", source=CORP)[-1], "10.88.0.1")
        self.assertEqual(self.answers(), 401)
        self.assertIn("nothing to do", self.bob("approve", "corp-pe", "-r", "contoso", form="table"))
        # every node shows the same
        shown = [self.at(region, "private-endpoint", "show", "corp-pe") for region in self.lab.regions]
        self.assertEqual(shown[1:], shown[:-1])
        self.assertEqual(self.addresses(shown[0]), {"registry": ["10.88.0.2"], "registry_data_eastus": ["10.88.0.1"], "registry_data_westeurope": ["10.88.0.2"]})
        self.assertEqual([(m["status"], m["by"], m["description"]) for m in shown[0]["moves"]],
                         [("Pending", "operator:ada", "for the plant"), ("Approved", "operator:bob", "fine")])
        table = self.at("eastus", "private-endpoint-connection", "show", "corp-pe", "-r", "contoso", form="table")
        for said in ("status        Approved", "in DNS        yes", f"contoso.westeurope.data.{DOMAIN}"):
            self.assertIn(said, table)
        # rejected: DNS first, access while caches lead there
        rejected = self.bob("reject", "corp-pe", "-r", "contoso", "--message", "no more", "--yes", "--no-wait")
        self.assertIn("DNS leads nobody there any more; edges serve its addresses for 70 s on", self.err)
        self.everywhere(lambda region: self.HOP not in self.led_to(at=region), "the name is out of private DNS")
        between = self.at("eastus", "private-endpoint", "show", "corp-pe")
        self.assertEqual((self.status(between), between["provisioningState"], between["inDns"]), ("Rejected", "Updating", False))
        self.assertEqual(self.answers(), 401)
        self.refused("is under way: wait for it", self.bob, "approve", "corp-pe", "-r", "contoso", status=11)
        phases = lambda: self.at("eastus", "operation", "show", rejected["id"])["phases"]
        wait_until(10, lambda: ("wait", "running") in [(p["name"], p["state"]) for p in phases()], "the writer waits for the caches")
        for region in self.lab.regions:
            self.lab.shift_clock(region, RESTS_S * 1000)
        self.at("southeastasia", "operation", "wait", rejected["id"])
        wait_until(10, lambda: self.answers() == 403, "nobody of the private network is admitted any more")
        # approved again, with the same addresses; then given up at once
        self.assertEqual(self.addresses(self.bob("approve", "corp-pe", "-r", "contoso")), self.addresses(approved))
        self.assertNotIn("data endpoints", self.err)
        self.assertIn("note: DNS and edge give its addresses up at once", self.ada("delete", "corp-pe", "--now", "--yes", form="table") + self.err)
        self.assertEqual(self.ada("list"), [])
        self.refused("there is no private endpoint corp-pe", self.ada, "show", "corp-pe", status=7)
        wait_until(10, lambda: self.answers() == 403, "nobody is admitted any more")
        self.assertNotIn(self.HOP, self.led_to())
        # its addresses rest, for whoever asks for them
        self.refused("10.88.0.2 is another private endpoint's in view corp, or was, and caches may lead there", self.ada, "create", "corp-pe", *self.STATIC)
        self.assertTrue(self.lab.dig(f"contoso.eastus.data.{DOMAIN}"))  # data endpoints stay on

    def test_pools_and_rights_and_what_is_refused(self):
        made = self.ada("create", "fab-pe", "-r", "fabrikam", "--view", "corp", "--pool", "corp-pool")
        self.assertEqual(self.addresses(made), {"registry": ["10.88.0.68"], "registry_data_eastus": ["10.88.0.69"], "registry_data_westeurope": ["10.88.0.70"]})
        create = ("create", "tail-pe", "-r", "tailspin", "--view", "corp")
        self.refused("view corp has 2 pools of addresses: name one, or give an address for each member", self.ada, *create)
        self.refused("view corp has no pool lab-pool", self.ada, *create, "--pool", "lab-pool", status=7)
        self.refused("pool tiny (view corp): needs 3, has 0 and 2 free in 10.88.0.80/30; a /29 would do", self.ada, *create, "--pool", "tiny")
        self.refused("registry: 10.88.0.68 is another private endpoint's", self.ada, *create, "--ip", "registry=10.88.0.68", "--ip",
                     "registry_data_eastus=10.88.0.40", "--ip", "registry_data_westeurope=10.88.0.41")
        self.refused("give --ip tail-pe/registry_data_westeurope=ADDRESS", self.ada, *create, "--ip", "registry=10.88.0.40", "--ip", "registry_data_eastus=10.88.0.41")
        self.refused("10.9.0.1 lies outside the networks of view corp", self.ada, *create, "--ip", "registry=10.9.0.1", "--ip", "registry_data_eastus=10.88.0.40",
                     "--ip", "registry_data_westeurope=10.88.0.41")
        self.refused("message: at most 140 characters", self.ada, *create, "--pool", "corp-pool", "--message", "x" * 141)
        self.refused("there is no registry nobody", self.ada, "create", "pe", "-r", "nobody", "--view", "corp", "--pool", "corp-pool", status=7)
        self.refused("registry contoso has no private endpoint connection fab-pe", self.bob, "approve", "fab-pe", "-r", "contoso", status=7)
        r = self.lab.run(MERIDIAN, "private-endpoint", "export-zone", "--view", "crop", "--admin", f"{self.lab.dir}/eastus/run/admin.sock", check=False)
        self.assertEqual((r.returncode, r.stdout), (7, ""), r.stderr)
        self.assertIn("there is no view crop", r.stderr)
        # each side has its right
        self.refused("private-endpoints", lambda *w, **m: self.at("westeurope", "private-endpoint", *w, by="bob", **m), *create, "--pool", "corp-pool", status=5)
        self.refused("registries", lambda *w, **m: self.at("westeurope", "private-endpoint-connection", *w, by="ada", **m), "approve", "fab-pe", "-r", "fabrikam", status=5)
        self.refused("registries", self.ada, *create, "--pool", "corp-pool", "--auto", status=5)
        self.assertEqual([p["name"] for p in self.ada("list", "-r", "tailspin")], [])
        # a replica more: one address more, held for what is Pending too
        self.at("eastus", "replication", "create", "fabrikam/southeastasia")
        self.assertEqual(self.addresses(self.ada("show", "fab-pe"))["registry_data_southeastasia"], ["10.88.0.71"])
        # rejected without ever having been answered, then ended for good
        rejected = self.bob("reject", "fab-pe", "-r", "fabrikam", "--message", "not for us", "--yes")
        self.assertEqual((self.status(rejected), rejected["privateLinkServiceConnectionState"]["description"]), ("Rejected", "not for us"))
        ended = self.bob("delete", "fab-pe", "-r", "fabrikam", "--yes")
        self.assertEqual((self.status(ended), ended["privateLinkServiceConnectionState"]["actionsRequired"]), ("Disconnected", "Recreate"))
        self.refused("connection fab-pe is Disconnected, for good: the network asks for a new one", self.bob, "approve", "fab-pe", "-r", "fabrikam")
        self.refused("asks for a new one", self.bob, "reject", "fab-pe", "-r", "fabrikam", "--yes")
        self.ada("delete", "fab-pe", "--yes")
        # nobody has answered its addresses: they are free
        again = self.at("eastus", "private-endpoint", "create", "again", "-r", "tailspin", "--view", "corp", "--pool", "corp-pool")
        self.assertEqual(self.addresses(again)["registry"], ["10.88.0.68"])
        self.ada("delete", "again", "--yes")


if __name__ == "__main__":
    need_root()
    unittest.main(verbosity=2)
