# SPDX-License-Identifier: Apache-2.0
"""Private endpoints from the command line, both sides: what is asked, what is listed and shown, what is wrong usage; against an admin
socket that answers as it is told."""
import json, unittest

import node_socket
from node_socket import ID, error, operation


def endpoint(name="corp-pe", status="Approved", **more):
    return {"name": name, "registry": "contoso", "view": "corp", "pool": "corp-pool",
            "privateLinkServiceConnectionState": {"status": status, "description": "for the plant", "actionsRequired": "None"},
            "provisioningState": "Succeeded", "error": "", "groupIds": ["registry"], "answeredBy": "edge", "auto": False, "inDns": True,
            "ipConfigurations": [{"memberName": "registry", "fqdn": "contoso.example.io", "privateIpAddresses": ["10.4.0.4", "10.4.0.6"]},
                                 {"memberName": "registry_data_eastus", "fqdn": "contoso.eastus.data.example.io", "privateIpAddresses": ["10.4.0.5"]}],
            "restsUntil": None,
            "moves": [{"status": "Pending", "by": "operator:ada", "at": "2026-11-30T10:00:00.000Z", "description": "please"},
                      {"status": status, "by": "operator:bob", "at": "2026-11-30T11:00:00.000Z", "description": "for the plant"}]} | more


class Private(node_socket.Case):
    LIST = "GET /v1/private-endpoints"

    def there(self, *endpoints):
        self.answers[self.LIST] = (200, {"privateEndpoints": list(endpoints)})

    def paths(self):
        return [path for _, path, _ in self.seen if path.startswith("/v1/private-endpoints")]

    def verb(self, words):
        """The verb, object and arguments that the words become."""
        self.answers["POST /v1/requests"] = (200, {"code": "NothingToDo", "message": "it is so"})
        self.cli(*words.split())
        q = self.asked()
        return q["verb"], q["object"], q["arguments"]

    def test_what_is_asked(self):
        create, connection = "private-endpoint create", "private-endpoint-connection"
        for words, asked in {
            "private-endpoint create corp-pe -r contoso --view corp --pool corp-pool":
                (create, "corp-pe", {"registry": "contoso", "view": "corp", "pool": "corp-pool"}),
            "private-endpoint create -n corp-pe --registry-name Contoso --view corp --auto --request-message please":
                (create, "corp-pe", {"registry": "contoso", "view": "corp", "auto": True, "message": "please"}),
            "private-endpoint create corp-pe -r contoso --view corp --answered-by balancer --ip registry=10.4.9.1,registry=10.4.9.2 --ip registry_data_eastus=10.4.9.3":
                (create, "corp-pe", {"registry": "contoso", "view": "corp", "answeredBy": "balancer",
                                     "ip": {"registry": ["10.4.9.1", "10.4.9.2"], "registry_data_eastus": ["10.4.9.3"]}}),
            "private-endpoint delete corp-pe --yes": ("private-endpoint delete", "corp-pe", {"now": False}),
            "private-endpoint delete -n corp-pe --now -y": ("private-endpoint delete", "corp-pe", {"now": True}),
            "private-endpoint-connection approve corp-pe -r contoso": (f"{connection} approve", "corp-pe", {"registry": "contoso"}),
            "private-endpoint-connection approve -n corp-pe -r contoso --description fine": (f"{connection} approve", "corp-pe", {"registry": "contoso", "message": "fine"}),
            "private-endpoint-connection reject corp-pe -r contoso --message no --now -y": (f"{connection} reject", "corp-pe", {"registry": "contoso", "message": "no", "now": True}),
            "private-endpoint-connection delete corp-pe -r contoso --yes": (f"{connection} delete", "corp-pe", {"registry": "contoso"}),
        }.items():
            with self.subTest(words=words):
                self.assertEqual(self.verb(words), asked)

    def test_a_whole_fleets_members_may_be_given(self):
        ips = [f"registry_{kind}r{i}=10.4.{i}.1" for i in range(64) for kind in ("", "data_")]
        verb = self.verb("private-endpoint create pe -r contoso --view corp --ip registry=10.4.99.1 " + " ".join(f"--ip {ip}" for ip in ips))
        self.assertEqual(len(verb[2]["ip"]), 129)

    def test_words_that_do_not_fit(self):
        for words, said in {
            "private-endpoint create corp-pe -r contoso": "give --view and -r",
            "private-endpoint create corp-pe --view corp": "give --view and -r",
            "private-endpoint create -r contoso --view corp": "name a private endpoint",
            "private-endpoint create a -n b -r contoso --view corp": "--name says b, and a stands there as well",
            "private-endpoint create a b -r contoso --view corp": "",
            "private-endpoint create a -r contoso --view corp --ip 10.4.0.9": "",
            "private-endpoint create a -r contoso --view corp --answered-by me": "edge|balancer|none",
            "private-endpoint show": "name a private endpoint",
            "private-endpoint delete --yes": "name a private endpoint",
            "private-endpoint-connection list": "",
            "private-endpoint-connection show corp-pe": "of which registry? Give -r REGISTRY",
            "private-endpoint-connection approve -r contoso": "name a private endpoint",
            "private-endpoint-connection approve corp-pe": "of which registry?",
            "private-endpoint-connection approve corp-pe -r contoso --now": "",
        }.items():
            with self.subTest(words=words):
                self.cli(*words.split(), status=2)
                self.assertIn(said, self.err)
        self.assertEqual(self.seen, [])

    def test_what_takes_away_asks_first(self):
        for words in ("private-endpoint delete corp-pe", "private-endpoint-connection reject corp-pe -r contoso",
                      "private-endpoint-connection delete corp-pe -r contoso"):
            with self.subTest(words=words):
                self.cli(*words.split(), status=2)
                self.assertIn("--yes", self.err)
        self.assertEqual(self.requests(), [])

    def test_lists(self):
        self.there(endpoint(), endpoint("lab-pe", "Pending", view="lab", pool="", inDns=None))
        rows = [line.split() for line in self.cli("private-endpoint", "list").splitlines()]
        self.assertEqual(rows[0][:2], ["NAME", "REGISTRY"])
        self.assertEqual(rows[-2], ["corp-pe", "contoso", "corp", "corp-pool", "Approved", "Succeeded", "2"])
        self.assertEqual(rows[-1][0], "lab-pe")
        self.cli("private-endpoint", "list", "-r", "Contoso", "--view", "corp & co")
        self.assertEqual(self.paths(), ["/v1/private-endpoints", "/v1/private-endpoints?registry=contoso&view=corp%20%26%20co"])
        out = self.cli("private-endpoint-connection", "list", "contoso")
        self.assertEqual(self.paths()[-1], "/v1/private-endpoints?registry=contoso")
        self.assertIn("for the plant", out)
        query = "[?privateLinkServiceConnectionState.status=='Pending'].name"
        self.assertEqual(self.cli("private-endpoint-connection", "list", "-r", "contoso", "-o", "tsv", "--query", query), "lab-pe\n")
        self.there()
        self.assertEqual(json.loads(self.cli("private-endpoint", "list", "-o", "json")), [])

    def test_one_is_shown(self):
        self.there(endpoint())
        out = self.cli("private-endpoint", "show", "corp-pe")
        for said in ("status        Approved", "in DNS        yes", "10.4.0.4, 10.4.0.6", "contoso.eastus.data.example.io", "operator:bob", "2026-11-30T11:00:00.000Z"):
            self.assertIn(said, out)
        self.assertNotIn("rests until", out)
        self.cli("private-endpoint-connection", "show", "-n", "corp-pe", "-r", "contoso")
        self.assertEqual(self.paths(), ["/v1/private-endpoints?name=corp-pe", "/v1/private-endpoints?name=corp-pe&registry=contoso"])
        self.there(endpoint(status="Rejected", inDns=False, provisioningState="Failed", error="10.4.0.4: connection refused", restsUntil="2026-12-01T11:00:00.000Z"))
        out = self.cli("private-endpoint", "show", "corp-pe")
        for said in ("in DNS        no: at the edge alone", "error         10.4.0.4: connection refused", "rests until   2026-12-01T11:00:00.000Z"):
            self.assertIn(said, out)
        self.assertEqual(json.loads(self.cli("private-endpoint", "show", "corp-pe", "-o", "json"))["provisioningState"], "Failed")
        self.there()
        self.cli("private-endpoint", "show", "corp-pe", status=7)
        self.assertIn("there is no private endpoint corp-pe", self.err)
        self.cli("private-endpoint-connection", "show", "corp-pe", "-r", "contoso", status=7)
        self.assertIn("registry contoso has no private endpoint connection corp-pe", self.err)
        self.answers[self.LIST] = (200, {})
        self.cli("private-endpoint", "list", status=1)
        self.assertIn("has no list of private endpoints", self.err)

    NOTE = "data endpoints of contoso are off: its first approved private endpoint switches them on"

    def test_a_change_says_what_it_does_besides_and_shows_what_came_of_it(self):
        self.there(endpoint())
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating"), "notes": [self.NOTE, "and\x1b[2J more"]})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Succeeded"))
        out = self.cli("private-endpoint-connection", "approve", "corp-pe", "-r", "contoso")
        self.assertEqual(self.err, f"note: {self.NOTE}\nnote: and?[2J more\n")
        self.assertIn("Approved", out)
        query = "privateLinkServiceConnectionState.status"
        self.assertEqual(self.cli("private-endpoint", "create", "corp-pe", "-r", "contoso", "--view", "corp", "--query", query, "-o", "tsv"), "Approved\n")
        self.assertIn(self.NOTE, self.err)
        # what is gone is not shown: its operation is
        self.assertIn(ID, self.cli("private-endpoint", "delete", "corp-pe", "--yes"))

    def test_a_what_if_says_it_too(self):
        would = {"object": "private-endpoint/corp-pe", "from": 41, "to": 42, "changes": [], "dns": [], "certificates": ["*.eastus.data.example.io"], "members": [],
                 "notes": [self.NOTE, "members corp/corp-pe: 0 -> 2 of /27: 27 usable, 27 free ok"], "exit": 10}
        self.answers["POST /v1/requests"] = (200, {"whatIf": would})
        out = self.cli("private-endpoint-connection", "approve", "corp-pe", "-r", "contoso", "--what-if", status=10)
        for note in would["notes"]:
            self.assertIn(note, out)
        self.assertEqual(self.err, "")
        self.assertTrue(self.asked()["whatIf"])

    def test_refusals(self):
        said = "pool corp-pool (view corp): needs 7, has 4 and 2 free in 10.9.0.0/29; a /28 would do"
        self.answers["POST /v1/requests"] = error(409, "Refused", said)
        self.cli("private-endpoint-connection", "approve", "corp-pe", "-r", "contoso", status=1)
        self.assertEqual(self.err, f"meridian: private-endpoint-connection approve: {said} (Refused)\n")
        self.answers["POST /v1/requests"] = error(409, "AlreadyExists", "there is a private endpoint corp-pe already")
        self.cli("private-endpoint", "create", "corp-pe", "-r", "contoso", "--view", "corp", status=11)


class ExportZone(node_socket.Case):
    """A node's answer (GET /v1/private-zone) in the words of other resolvers."""
    PATH = "GET /v1/private-zone"
    SOA = {"ttl": 300, "mname": "s-1.eastus.fe.example.io", "rname": "hostmaster.example.io", "serial": 42, "refresh": 3600, "retry": 600, "expire": 604800, "minimum": 60}
    NS = {"ttl": 3600, "names": ["s-1.eastus.fe.example.io", "s-1.westus.fe.example.io"]}

    def there(self, *addresses, serial=42, cuts=()):
        zones = [{"apex": apex, "soa": self.SOA | {"serial": serial}, "ns": self.NS} for apex in ("privatelink.example.io", *cuts)]
        geo = "eastus.geo.privatelink.example.io" if cuts else "privatelink.example.io"
        names = [{"name": "contoso.example.io", "privateName": "contoso.privatelink.example.io", "zone": "privatelink.example.io", "ttl": 10, "addresses": list(addresses)},
                 {"name": "contoso.eastus.geo.example.io", "privateName": "contoso.eastus.geo.privatelink.example.io", "zone": geo, "ttl": 10, "addresses": ["10.4.0.9"]}]
        self.answers[self.PATH] = (200, {"view": "corp", "domain": "example.io", "version": serial, "zones": zones, "names": names})

    def export(self, *words, status=0):
        return self.cli("private-endpoint", "export-zone", "--view", "corp", *words, status=status)

    @staticmethod
    def text(path):
        with open(path) as f:
            return f.read()

    def lines(self, *words):
        return [line for line in self.export(*words).splitlines() if line[0] not in ";#"]

    MASTER = ["privatelink.example.io. 300 IN SOA s-1.eastus.fe.example.io. hostmaster.example.io. 42 3600 600 604800 60",
              "privatelink.example.io. 3600 IN NS s-1.eastus.fe.example.io.", "privatelink.example.io. 3600 IN NS s-1.westus.fe.example.io.",
              "contoso.privatelink.example.io. 10 IN A 10.4.0.4", "contoso.privatelink.example.io. 10 IN AAAA fd00::4",
              "contoso.eastus.geo.privatelink.example.io. 10 IN A 10.4.0.9"]

    def test_formats(self):
        self.there("10.4.0.4", "fd00::4")
        for name, said in {"bind": 'named.conf: zone "privatelink.example.io" { type primary; file "FILE"; };', "nsd": 'zonefile: "FILE"',
                           "knot": "- domain: privatelink.example.io", "coredns": "file FILE privatelink.example.io"}.items():
            with self.subTest(format=name):
                self.assertEqual(self.lines("--format", name), self.MASTER)
                self.assertIn(said, self.export("--format", name))
        self.assertEqual(self.lines(), self.MASTER)
        self.assertEqual(self.lines("--format", "hosts"), ["10.4.0.4 contoso.example.io contoso.privatelink.example.io", "fd00::4 contoso.example.io contoso.privatelink.example.io",
                                                           "10.4.0.9 contoso.eastus.geo.example.io contoso.eastus.geo.privatelink.example.io"])
        self.assertEqual(self.lines("--format", "dnsmasq")[0], "host-record=contoso.example.io,contoso.privatelink.example.io,10.4.0.4,10")
        self.export("-r", "Contoso")
        self.assertEqual(self.seen[-1][1], "/v1/private-zone?view=corp&registry=contoso")

    def test_a_file_changes_when_the_answers_do(self):
        path = f"{self.dir}/zone"
        self.there("10.4.0.4")
        self.assertEqual(self.export("-o", path, "--check", status=10), f"{path}: is not there\n")
        self.assertEqual(self.export("-o", path), f"{path}: written, 2 names\n")
        first = self.text(path)
        self.assertIn(" 42 3600 ", first)
        self.assertIn(f'file "{path}"', first)
        # a later version of the topology that says the same of these names
        self.there("10.4.0.4", serial=50)
        self.assertEqual(self.export("-o", path), f"{path}: unchanged\n")
        self.assertEqual(self.export("-o", path, "--check"), f"{path}: unchanged\n")
        self.assertEqual(self.text(path), first)
        self.there("10.4.0.5", serial=50)
        self.assertEqual(self.export("-o", path, "--check", status=10), f"{path}: differs\n")
        self.assertEqual(self.text(path), first)
        self.assertEqual(self.export("-o", path), f"{path}: written, 2 names\n")
        self.assertIn(" 50 3600 ", self.text(path))
        # the same version, other names: the serial goes up all the same
        self.there("10.4.0.6", serial=50)
        self.export("-o", path)
        self.assertIn(" 51 3600 ", self.text(path))
        hosts = f"{self.dir}/hosts"
        self.export("--format", "hosts", "-o", hosts)
        self.assertEqual(self.export("--format", "hosts", "-o", hosts), f"{hosts}: unchanged\n")

    def test_what_cannot_be_compared_stays(self):
        self.there("10.4.0.4")
        # it may have a higher serial than the node's; a folder is the file that root cannot read either
        for words in ((), ("--check",)):
            self.export("-o", self.dir, *words, status=1)
            self.assertIn("what is there cannot be read, so it stays", self.err)
        self.export("-o", "-", "--check", status=2)
        self.assertIn("name it with -o", self.err)
        self.assertIn("10.4.0.4", self.export("-o", "-"))

    def test_zones_where_the_topology_cuts(self):
        self.there("10.4.0.4", cuts=["eastus.geo.privatelink.example.io"])
        self.assertEqual(self.lines()[-1], "contoso.privatelink.example.io. 10 IN A 10.4.0.4")
        self.assertIn("give the other zones as well, each with a file of its own (--zone): eastus.geo.privatelink.example.io", self.err)
        for word in ("eastus.geo.privatelink", "eastus.geo.privatelink.example.io."):
            lines = self.lines("--zone", word)
            self.assertEqual(self.err, "")
            self.assertTrue(lines[0].startswith("eastus.geo.privatelink.example.io. 300 IN SOA "))
            self.assertEqual(lines[-1], "contoso.eastus.geo.privatelink.example.io. 10 IN A 10.4.0.9")
        self.assertEqual(len(self.lines("--format", "hosts")), 2)

    def test_words_that_do_not_fit(self):
        self.there("10.4.0.4")
        for words, said in ((["--zone", "westus.geo.privatelink"], "there is no zone westus.geo.privatelink"), (["--check"], "name it with -o"),
                            (["--format", "hosts", "--zone", "privatelink"], "has no zones"), (["--format", "djbdns"], "bind|nsd")):
            self.export(*words, status=2)
            self.assertIn(said, self.err)
        self.cli("private-endpoint", "export-zone", status=2)
        self.assertIn("give --view", self.err)
        del self.answers[self.PATH]
        self.export(status=7)
        self.export("-o", f"{self.dir}/none", status=7)


if __name__ == "__main__":
    unittest.main(verbosity=1)
