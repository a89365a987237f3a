# SPDX-License-Identifier: Apache-2.0
"""Many at one door: floods of logins from one network and from many, seen by who has nothing to do with them. Orders of service
are proved without clocks (unit net/test_fair, net/test_pool); here the whole way is gone, with wide limits of time."""
import base64, http.client, json, os, socket, ssl, subprocess, sys, time, unittest
import urllib.parse

from lab import CLIENT, DOMAIN, Lab, USER

HOST = f"contoso.eastus.geo.{DOMAIN}"
FORM = "application/x-www-form-urlencoded"
TOPOLOGY = """\
version: 1
domain: {domain}
hostmaster: hostmaster@{domain}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [10.88.0.1] }}], peer: "10.88.0.1:8443" }}
name_servers: [eus-1.eastus]
registries:
  - name: contoso
    regional_endpoints: enabled
    replicas: [{{ region: eastus }}]
  - name: tailspin
    regional_endpoints: enabled
    replicas: [{{ region: eastus }}]
certificates: {{ ca_region: eastus }}
"""
ANSWERED_S = 60 if "SANITIZED" in os.environ else 20  # on a busy machine; the figures are docs/performance.md's


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(TOPOLOGY, regions={"eastus": "10.88.0.1"})
        cls.lab.__enter__()
        subprocess.run(["ip", "-n", "eastus", "route", "add", "10.90.0.0/16", "via", CLIENT], check=True)
        for network in range(1, 52):
            for host in range(1, 5 if network > 1 else 41):
                subprocess.run(["ip", "addr", "add", f"10.90.{network}.{host}/32", "dev", "lo"], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def flood(self, connections, *sources):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood.py")
        child = self.lab.background(sys.executable, program, "10.88.0.1", HOST, str(connections), *sources,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "full\n")
        return child

    def ended(self, child):
        out, _ = child.communicate(timeout=60)
        return json.loads(out)

    def ask(self, method, authorization=None, form=None, source="10.90.51.1"):
        """A login over a connection of its own; (status, reply, seconds)."""
        context = ssl.create_default_context(cafile=self.lab.ca)
        begun = time.monotonic()
        c = http.client.HTTPSConnection(HOST, timeout=ANSWERED_S)
        raw = socket.create_connection(("10.88.0.1", 443), timeout=ANSWERED_S, source_address=(source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body are two writes
        c.sock = context.wrap_socket(raw, server_hostname=HOST)
        try:
            headers = {"Authorization": authorization} if authorization else {}
            if form:
                headers["Content-Type"] = FORM
            c.request(method, "/oauth2/token?offline_token=true", urllib.parse.urlencode(form) if form else None, headers)
            r = c.getresponse()
            return r.status, json.loads(r.read()), time.monotonic() - begun
        finally:
            c.close()

    def basic(self, user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def test_1_a_flood_from_one_network_keeps_no_other_from_logging_in(self):
        flood = self.flood(200, *(f"10.90.1.{i}" for i in range(1, 41)))
        password = self.lab.password
        status, _, took = self.ask("GET", self.basic(USER, password))  # never seen before: a hash must be computed
        self.assertEqual(status, 200)
        self.assertLess(took, ANSWERED_S)
        seen = self.ended(flood)
        self.assertNotIn("200", seen)
        self.assertGreater(seen.get("401", 0), 0)  # they are served too, in their turn

    def test_2_nobody_who_is_known_waits_behind_hashes(self):
        password = self.lab.password
        status, first, _ = self.ask("GET", self.basic(USER, password))
        self.assertEqual(status, 200)
        refresh = first["refresh_token"]
        flood = self.flood(600, *(f"10.90.{n}.{h}" for n in range(1, 51) for h in range(1, 5)))
        for _ in range(5):
            for authorization, form in (
                    (self.basic(USER, password), None),
                    (None, {"grant_type": "password", "username": USER, "password": password}),
                    (self.basic("00000000-0000-0000-0000-000000000000", refresh), None),
                    (None, {"grant_type": "refresh_token", "refresh_token": refresh})):
                status, _, _ = self.ask("POST" if form else "GET", authorization, form)
                self.assertEqual(status, 200, (authorization, form))
        self.assertNotIn("200", self.ended(flood))


if __name__ == "__main__":
    unittest.main(verbosity=2)
