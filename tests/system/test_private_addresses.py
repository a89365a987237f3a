# SPDX-License-Identifier: Apache-2.0
"""Addresses of private endpoints on real machines: three regions whose topology is the fleet's own give a pool's addresses to their
edges, and DNS leads nobody to one before the right region has answered there. Meanwhile clients of the private network go on."""
import http.client, json, os, signal, socket, ssl, subprocess, sys, threading, time, unittest

from lab import CLIENT, CORP, DOMAIN, Lab, MERIDIAN, SOURCE, USER, need_root, wait_until
from test_lifecycle import new_key

WRITER = "eastus"
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
  - {{ name: contoso, public_access: disabled, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
  - {{ name: tailspin, anonymous_pull: true, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
views:
  - {{ name: corp, sources: [10.88.0.200], networks: [10.88.0.0/24], pools: [{{ name: corp-pool, subnet: 10.88.0.64/26 }}] }}
ttl: {{ global: 5s, regional: 5s, data: 5s, private: 5s }}
health: {{ interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%%, hold_down: 2s, hold_down_max: 2s }}
certificates: {{ ca_region: eastus }}
control: {{ root: "%s", writer: eastus }}
"""
# One connection after the other, each way by a thread: what comes to the first address goes to the second.
FORWARD = """
import socket, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
s = socket.create_server((sys.argv[1], 443))
while True:
    a = s.accept()[0]
    b = socket.create_connection((sys.argv[2], 443))
    for x, y in ((a, b), (b, a)):
        threading.Thread(target=pump, args=(x, y), daemon=True).start()
"""


class Clients(threading.Thread):
    """Clients of the private network: they ask a region's DNS for a name and go where it leads. What fails is in `failed`."""

    def __init__(self, test, hosts):
        super().__init__(daemon=True)
        self.test, self.hosts, self.failed, self.n, self.ends = test, list(hosts), [], 0, False
        self.led = set()

    def run(self):
        while not self.ends:
            for at in ("westeurope", "southeastasia"):
                for host in list(self.hosts):
                    try:
                        address = self.test.lab.dig(host, at=at, source=CORP)[-1]
                        self.led.add((host, address))
                        status = self.test.answer(host, address)[0]
                        if status not in (200, 401):
                            self.failed.append((host, address, status))
                    except (OSError, IndexError, subprocess.CalledProcessError) as e:
                        self.failed.append((host, at, str(e)))
                    self.n += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.ends = True
        self.join(20)
        if not kind:
            self.test.assertEqual(self.failed, [])
            self.test.assertGreater(self.n, 10)


class Addresses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(topology=TOPOLOGY % new_key(), node_extra="source: feed\n", edge_extra=", access_log: { requests: all }", clocks=True)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        cls.forwarders = []

    # ---- the fleet ----
    def root(self, *words, status=0):
        r = self.lab.run(MERIDIAN, *words, "-o", "json", "--admin", f"{self.lab.dir}/{WRITER}/run/admin.sock", check=False)
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        return json.loads(r.stdout) if r.stdout.strip() else None

    def addresses(self, name):
        shown = self.root("private-endpoint", "show", name)
        return {m["memberName"]: m["privateIpAddresses"][0] for m in shown["ipConfigurations"]}

    def wait(self, operation):
        self.root("operation", "wait", operation["id"])

    def heard(self, address):
        """What the regions' reports say of asking there."""
        fleet = self.root("status", "--all")
        return [(r["region"], m["region"], m["error"]) for r in fleet for m in r.get("members", []) if m["address"] == address]

    def conditions(self, region):
        return {c["name"]: c["sentence"] for c in self.lab.admin(region, "status")["conditions"]}

    # ---- the machines ----
    def machine(self, region, *words):
        self.lab.check("ip", "-n", region, *words)

    def give(self, region, address):
        self.machine(region, "addr", "add", f"{address}/24", "dev", "eth0")

    def take(self, region, address):
        self.machine(region, "addr", "del", f"{address}/24", "dev", "eth0")

    def give_all(self, name, members=None):
        """Each member's address to a machine of its region; the global one to westeurope."""
        for member, address in self.addresses(name).items():
            region = member.split("_")[-1] if "_" in member else "westeurope"
            if members is None or member in members:
                self.give(region, address)

    def forwarder(self, region, address, to):
        """Something else that answers there, by the region's public listener."""
        child = self.lab.background("ip", "netns", "exec", region, sys.executable, "-c", FORWARD, address, to)
        wait_until(10, lambda: f"{address}:443" in self.lab.listeners(region), "the forwarder listens")
        return child

    # ---- clients ----
    def answer(self, host, address, path="/v2/", source=CORP):
        raw = socket.create_connection((address, 443), timeout=10, source_address=(source, 0))
        c = http.client.HTTPSConnection(host, timeout=10)
        try:
            c.sock = ssl.create_default_context(cafile=self.lab.ca).wrap_socket(raw, server_hostname=host)
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.getheader("X-Meridian-Region"), r.read()
        finally:
            raw.close()
            c.close()

    def hop(self, label):
        return f"{label}.privatelink.{DOMAIN}."

    def in_dns(self, label, at="southeastasia"):
        return self.hop(label) in self.lab.dig(f"{label}.{DOMAIN}", at=at, source=CORP)

    def test_dns_leads_to_no_address_that_the_wrong_region_answers(self):
        host = f"contoso.{DOMAIN}"
        self.root("private-endpoint", "create", "corp-pe", "-r", "contoso", "--view", "corp", "--pool", "corp-pool")
        at = self.addresses("corp-pe")
        self.assertEqual(self.answer(host, "10.88.0.2")[0], 403)
        approved = self.root("private-endpoint-connection", "approve", "corp-pe", "-r", "contoso", "--no-wait")
        # no machine has them: every region asks, and hears nothing
        wait_until(20, lambda: len([h for h in self.heard(at["registry"]) if h[2] and not h[1]]) == 3, "three regions have asked")
        # a region without a replica has the address, and answers there in its own name
        self.give("southeastasia", at["registry"])
        wrong = self.forwarder("southeastasia", at["registry"], "10.88.0.3")
        said = "the wrong region answers there: southeastasia"
        wait_until(20, lambda: [h[1:] for h in self.heard(at["registry"])] == [("southeastasia", said)] * 3, "all hear the wrong region")
        # a region has another one's data address: its certificate has no such name
        self.give("westeurope", at["registry_data_eastus"])
        other = self.forwarder("westeurope", at["registry_data_eastus"], "10.88.0.2")
        wait_until(20, lambda: any("certificate" in h[2] for h in self.heard(at["registry_data_eastus"])), "no certificate fits")
        self.give("westeurope", at["registry_data_westeurope"])
        wait_until(20, lambda: ("westeurope", "westeurope", "") in self.heard(at["registry_data_westeurope"]), "the one that is right is heard")
        self.assertFalse(any(self.in_dns("contoso", region) for region in self.lab.regions))
        self.assertEqual(self.root("operation", "show", approved["id"])["state"], "Updating")
        # each goes where it belongs; what another program keeps from the edge is said
        for child, region, member in ((wrong, "southeastasia", "registry"), (other, "westeurope", "registry_data_eastus")):
            child.kill()
            child.wait()
            self.take(region, at[member])
        self.give("eastus", at["registry_data_eastus"])
        self.give("westeurope", at["registry"])
        self.wait(approved)
        wait_until(10, lambda: all(self.in_dns("contoso", region) for region in self.lab.regions), "the private address is in DNS")
        self.assertEqual(self.lab.dig(f"contoso.eastus.data.{DOMAIN}", source=CORP)[-1], at["registry_data_eastus"])
        # over that address: that registry alone, and whoever comes by it is admitted
        for source in (CORP, CLIENT):
            self.assertEqual(self.answer(host, at["registry"], source=source)[:2], (401, "westeurope"))
            self.assertEqual(self.answer(f"contoso.privatelink.{DOMAIN}", at["registry"], source=source)[:2], (401, "westeurope"))
        self.assertEqual(self.answer(f"contoso.westeurope.data.{DOMAIN}", at["registry"], "/healthz")[:2], (200, "westeurope"))
        self.assertEqual(self.answer(f"tailspin.{DOMAIN}", at["registry"])[0], 421)
        self.assertEqual(self.answer(f"tailspin.{DOMAIN}", "10.88.0.2")[0], 401)
        self.assertEqual(self.answer(host, "10.88.0.2", source=CLIENT)[0], 403)
        with open(f"{self.lab.dir}/westeurope/log/access.log") as f:
            lines = [json.loads(line) for line in f]
        self.assertIn((host, CLIENT, "corp-pe"), {(r["host"], r["client"], r.get("private_endpoint")) for r in lines})
        self.assertIn((f"tailspin.{DOMAIN}", CORP, None), {(r["host"], r["client"], r.get("private_endpoint")) for r in lines if r["status"] == 401})
        # gone at once: access too
        self.root("private-endpoint-connection", "reject", "corp-pe", "-r", "contoso", "--now", "--yes")
        wait_until(10, lambda: not self.in_dns("contoso") and self.answer(host, "10.88.0.2")[0] == 403, "nobody is admitted")
        def gone():
            try:
                self.answer(host, at["registry"])
            except ConnectionRefusedError:
                return True
        wait_until(10, gone, "the edge has given the address up")


if __name__ == "__main__":
    need_root()
    unittest.main(verbosity=2)
