# SPDX-License-Identifier: Apache-2.0
"""Addresses of private endpoints on real machines: three regions whose topology is the fleet's own give a pool's addresses to their
edges, and DNS leads nobody to one before the right region has answered there. Meanwhile clients of the private network go on."""
import http.client, json, os, shutil, signal, socket, ssl, subprocess, sys, threading, unittest

from lab import CLIENT, CORP, DOMAIN, Lab, MERIDIAN, need_root, wait_until
from test_lifecycle import new_key

WRITER = "eastus"
LAB = "10.88.0.101"  # a client of the other private network
RESTS_S = 66  # longer than each TTL and 60 s; all that is asked for must be so within the 300 s that a request lives
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
  - {{ name: corp, sources: [10.88.0.200], networks: [10.88.0.64/26], pools: [{{ name: corp-pool, subnet: 10.88.0.64/26 }}] }}
  - {{ name: lab, sources: [10.88.0.101], networks: [10.88.0.128/28], pools: [{{ name: lab-pool, subnet: 10.88.0.128/28 }}] }}
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
    """Clients of the private network: they ask a region's DNS for a name and go where it leads. What fails is in `failed`; a name
    that is not always there may be absent."""

    def __init__(self, test, always, sometimes):
        super().__init__(daemon=True)
        self.test, self.always, self.hosts, self.failed, self.n, self.ends = test, always, [always, *sometimes], [], 0, False
        self.led = {host: set() for host in self.hosts}

    def ask(self, host, at):
        found = self.test.lab.dig(host, at=at, source=CORP)
        if not found:
            assert host != self.always, "no such name"
            return
        status = self.test.answer(host, found[-1], "/healthz" if ".data." in host else "/v2/")[0]
        assert status in (200, 401), (found, status)
        self.led[host].add(found[-1])

    def run(self):
        while not self.ends:
            for at in ("westeurope", "southeastasia"):
                for host in self.hosts:
                    try:
                        self.ask(host, at)
                    except (AssertionError, OSError, http.client.HTTPException) as e:
                        self.failed.append((host, at, repr(e)))
                    self.n += 1

    def saw(self, host, address):
        wait_until(10, lambda: address in self.led[host], f"clients are led to {address} for {host}")


class Pulls(threading.Thread):
    """skopeo, which knows nothing of all this, pulls an image from the private network again and again."""

    def __init__(self, test, image):
        super().__init__(daemon=True)
        self.test, self.image, self.failed, self.n, self.ends = test, image, [], 0, False

    def run(self):
        while not self.ends:
            out = f"{self.test.lab.dir}/pulled"
            shutil.rmtree(out, ignore_errors=True)
            r = self.test.lab.run("skopeo", "copy", "-q", f"docker://{self.image}", f"dir:{out}", check=False)
            if r.returncode:
                self.failed.append(r.stderr)
            self.n += 1


class Addresses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(topology=TOPOLOGY % new_key(), node_extra="source: feed\n", edge_extra=", access_log: { requests: all }", clocks=True)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__, None, None, None)
        cls.lab.wait_writer(WRITER)

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

    def test_an_address_that_the_wrong_region_answers_is_in_no_dns(self):
        host = f"contoso.{DOMAIN}"
        self.root("private-endpoint", "create", "corp-pe", "-r", "contoso", "--view", "corp", "--pool", "corp-pool")
        at = self.addresses("corp-pe")
        self.assertEqual(self.answer(host, "10.88.0.2")[0], 403)
        approved = self.root("private-endpoint-connection", "approve", "corp-pe", "-r", "contoso", "--no-wait")
        # no machine has them: every region asks, and hears nothing
        wait_until(20, lambda: len([h for h in self.heard(at["registry"]) if h[2] and not h[1]]) == 3, "three regions have asked")
        running = lambda: next(p for p in self.root("operation", "show", approved["id"])["phases"] if p["state"] == "running")
        wait_until(10, lambda: any(address in running().get("lacks", "") for address in at.values()), "the operation says what it waits for")
        self.assertNotIn("waitsFor", running())  # all regions have it
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
        def logged():
            with open(f"{self.lab.dir}/westeurope/log/access.log") as f:
                return {(r["host"], r["client"], r["status"], r.get("private_endpoint")) for r in map(json.loads, f)}
        wait_until(10, lambda: {(host, CLIENT, 401, "corp-pe"), (f"tailspin.{DOMAIN}", CORP, 401, None)} <= logged(), "the access log tells them apart")
        # gone at once: access too
        self.root("private-endpoint-connection", "reject", "corp-pe", "-r", "contoso", "--now", "--yes")
        wait_until(10, lambda: not self.in_dns("contoso") and self.answer(host, "10.88.0.2")[0] == 403, "nobody is admitted")
        def gone():
            try:
                self.answer(host, at["registry"])
            except ConnectionRefusedError:
                return True
            except (ConnectionResetError, ssl.SSLError, http.client.RemoteDisconnected):
                return False  # the worker of nginx that ends
        wait_until(10, gone, "the edge has given the address up")

    # ---- what goes on while everything changes ----
    shifted_ms = 0

    def pass_time(self):
        self.__class__.shifted_ms += RESTS_S * 1000
        for region in self.lab.regions:
            self.lab.shift_clock(region, self.shifted_ms)

    def ends_after_a_while(self, operation):
        """DNS leads there no more, edges serve on until caches have forgotten it: at each such wait, before time passes."""
        show = lambda: self.root("operation", "show", operation["id"])
        waits = lambda: [p["state"] for p in show()["phases"] if p["name"] == "wait" and p["state"] != "pending"]

        def within(limit_s, condition, what):
            try:
                wait_until(limit_s, condition, what)
            except AssertionError as e:
                raise AssertionError(f"{e}: {show()}") from None
        ended = lambda: show()["state"] in ("Succeeded", "Failed", "Canceled")
        n = 0
        while True:
            within(60, lambda: ended() or (len(waits()) > n and waits()[-1] == "running"), "it waits for caches, or ends")
            if ended():
                break
            n += 1
            yield n
            self.pass_time()
        self.assertEqual(show()["state"], "Succeeded", show())

    def comes(self, operation, name, members):
        """A change that brings members: machines get their addresses, and it goes on."""
        wait_until(10, lambda: members <= set(self.addresses(name)), "the new members' addresses are held")
        self.give_all(name, members)
        self.wait(operation)
        return self.addresses(name)

    def gives_up(self, host, address):
        def gone():
            try:
                self.answer(host, address)
            except ConnectionRefusedError:
                return True
            except (ConnectionResetError, ssl.SSLError, http.client.RemoteDisconnected):
                return False  # the worker of nginx that ends
        wait_until(10, gone, f"the edge has given {address} up")

    def other_resolvers(self, at):
        """What is exported for other resolvers is what ours answer, and those read it."""
        export = lambda form, *words, **more: self.lab.run(
            MERIDIAN, "private-endpoint", "export-zone", "--view", "corp", "--format", form, *words, "--admin",
            f"{self.lab.dir}/westeurope/run/admin.sock", check=False)
        apex, files = f"privatelink.{DOMAIN}", {}
        for form in ("bind", "nsd", "knot", "coredns", "dnsmasq", "hosts"):
            files[form] = f"{self.lab.dir}/{form}.export"
            self.assertEqual(export(form, "-o", files[form], "--check").returncode, 10)
            self.assertEqual(export(form, "-o", files[form]).returncode, 0)
            self.assertEqual(export(form, "-o", files[form]).stdout, f"{files[form]}: unchanged\n")
        for form, *judge in (("bind", "named-checkzone", "-i", "local", apex), ("nsd", "nsd-checkzone", apex), ("knot", "kzonecheck", "-o", apex),
                             ("coredns", "named-checkzone", "-i", "local", apex), ("dnsmasq", "dnsmasq", "--test", "-C")):
            if shutil.which(judge[0]):
                self.lab.check(*judge, files[form])
        names = [f"tailspin.privatelink.{DOMAIN}", *(f"tailspin.{r}.{kind}.privatelink.{DOMAIN}" for r in self.lab.regions for kind in ("geo", "data"))]
        with open(files["hosts"]) as f:
            rows = [line.split() for line in f if line[0] != "#"]
        self.assertEqual({(ip, private) for ip, public, private in rows if public.startswith("tailspin.")}, {(self.lab.dig(name, source=CORP)[-1], name) for name in names})
        self.assertIn([at["registry"], f"tailspin.{DOMAIN}", names[0]], rows)
        with open(f"{self.lab.dir}/named.conf", "w") as f:
            f.write(f'options {{ directory "{self.lab.dir}"; listen-on port 5399 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; pid-file none; }};\n'
                    f'controls {{ }};\nzone "{apex}" {{ type primary; file "{files["bind"]}"; }};\n')
        named = self.lab.background("named", "-f", "-u", "root", "-c", f"{self.lab.dir}/named.conf")
        theirs = lambda name: self.lab.run("dig", "+noall", "+answer", "+tries=1", "+time=1", "-p", "5399", "@127.0.0.1", name, "A", check=False).stdout.split()
        wait_until(20, lambda: theirs(names[0]), "named serves the zone")
        for name in names:
            ours = self.lab.check("dig", "+noall", "+answer", "-b", CORP, f"@{self.lab.regions['westeurope']}", name, "A").split()
            self.assertEqual(theirs(name), ours)
        named.send_signal(signal.SIGTERM)
        named.wait()

    def test_clients_go_on_while_private_endpoints_regional_names_and_replicas_come_and_go(self):
        host, geo = f"tailspin.{DOMAIN}", f"tailspin.westeurope.geo.{DOMAIN}"
        self.lab.push("img", host, "app", "1")
        # programs of this machine are in the private network from here on
        self.lab.check("ip", "route", "replace", "10.88.0.0/24", "dev", "br0", "src", CORP)
        clients, pulls = Clients(self, host, [geo, f"tailspin.southeastasia.data.{DOMAIN}"]), Pulls(self, f"{host}/app:1")
        clients.start(), pulls.start()
        try:
            self.everything_changes(host, geo, clients)
        finally:
            clients.ends = pulls.ends = True
            clients.join(30), pulls.join(30)
            self.lab.check("ip", "route", "replace", "10.88.0.0/24", "dev", "br0", "src", CLIENT)
        self.assertEqual((clients.failed[:5], pulls.failed[:5]), ([], []))
        self.assertGreater(clients.n, 50)
        self.assertGreater(pulls.n, 5)

    def everything_changes(self, host, geo, clients):
        create = ("-r", "tailspin", "--auto", "--no-wait", "--view")
        of = lambda *regions, kind="data_": {f"registry_{kind}{r}" for r in regions}
        # two views, each with addresses of its own
        both = {"registry"} | of("eastus", "westeurope")
        at = self.comes(self.root("private-endpoint", "create", "tail-pe", *create, "corp", "--pool", "corp-pool"), "tail-pe", both)
        lab = self.comes(self.root("private-endpoint", "create", "tail-lab", *create, "lab", "--pool", "lab-pool"), "tail-lab", both)
        clients.saw(host, at["registry"])
        self.assertEqual(self.lab.dig(host, source=LAB)[-1], lab["registry"])
        # regional names, and a replica, bring members to both
        def grows(operation, members):
            wait_until(10, lambda: members <= set(self.addresses("tail-lab")), "the other view's members are held")
            self.give_all("tail-lab", members)
            return self.comes(operation, "tail-pe", members)
        at = grows(self.root("registry", "update", "tailspin", "--regional-endpoints", "enabled", "--no-wait"), of("eastus", "westeurope", kind=""))
        clients.saw(geo, at["registry_westeurope"])
        sea = of("southeastasia") | of("southeastasia", kind="")
        at = grows(self.root("replication", "create", "tailspin/southeastasia", "--no-wait"), sea)
        self.other_resolvers(at)
        # one goes at once; the other view has what it had
        lab = self.addresses("tail-lab")
        self.root("private-endpoint", "delete", "tail-lab", "--now", "--yes")
        wait_until(10, lambda: lab["registry"] not in self.lab.dig(host, source=LAB), "the other view is led to public addresses")
        self.gives_up(host, lab["registry"])
        self.assertEqual(self.addresses("tail-pe"), at)
        # the replica goes
        for _ in self.ends_after_a_while(self.root("replication", "delete", "tailspin/southeastasia", "--no-wait-for-content", "--yes", "--no-wait")):
            pass
        self.gives_up(host, at["registry_data_southeastasia"])
        # the regional names go, public ones first; who has an old answer is served meanwhile
        for n in self.ends_after_a_while(self.root("registry", "update", "tailspin", "--regional-endpoints", "disabled", "--no-wait")):
            self.assertEqual(self.lab.dig(geo, source=CLIENT), [])
            self.assertEqual(self.lab.dig(geo, source=CORP)[-1:], [at["registry_westeurope"]] if n == 1 else [])
            self.assertIn(self.answer(geo, at["registry_westeurope"])[0], (200, 401))
        self.gives_up(geo, at["registry_westeurope"])
        self.assertEqual(set(self.addresses("tail-pe")), both)
        # rejected: back to the public chain, then access goes
        for _ in self.ends_after_a_while(self.root("private-endpoint-connection", "reject", "tail-pe", "-r", "tailspin", "--yes", "--no-wait")):
            self.assertFalse(any(self.in_dns("tailspin", region) for region in self.lab.regions))
            self.assertIn(self.answer(host, at["registry"])[0], (200, 401))
            clients.saw(host, "10.88.0.1")
        self.gives_up(host, at["registry"])


if __name__ == "__main__":
    need_root()
    unittest.main(verbosity=2)
