# SPDX-License-Identifier: Apache-2.0
"""Changes of the fleet from the command line: what is asked, by whom it is signed, waiting, what-if, exit statuses; against an admin
socket that answers as it is told."""
import base64, json, os, subprocess, unittest

import node_socket
from node_socket import ID, error, operation

PREFIX = b"meridian operator request 1\n"


class Requests(node_socket.Case):
    ASK = ["name", "release", "contoso", "--yes"]
    CANCEL = ["operation", "cancel", ID, "--yes"]

    def test_a_bare_request_of_root(self):
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating")})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Succeeded"))
        out = self.cli(*self.ASK, "--if-version", "41")
        q = self.asked()
        self.assertEqual((q["verb"], q["object"], q["arguments"], q["ifVersion"], q["whatIf"], q["fleet"]),
                         ("name release", "contoso", {}, 41, False, "example.io"))
        self.assertNotIn("operator", q)
        self.assertNotIn("quorum", q)
        self.cli(*self.ASK, "--quorum")
        self.assertIs(self.asked()["quorum"], True)
        self.assertEqual(len(q["nonce"]), 32)
        self.assertIn("registry/contoso", out)
        self.assertIn("Succeeded", out)

    def test_a_signed_request(self):
        key = os.path.join(self.dir, "ada.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Succeeded")})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Succeeded"))
        os.chmod(key, 0o644)
        self.cli(*self.ASK, "--operator", "ada", "--key", key, status=1)
        self.assertIn(key, self.err)
        os.chmod(key, 0o600)
        self.cli(*self.ASK, status=2, MERIDIAN_OPERATOR="ada")
        self.cli(*self.ASK, MERIDIAN_OPERATOR="ada", MERIDIAN_OPERATOR_KEY=key)
        envelope = self.asked()
        self.assertEqual(envelope["key"], "ada")
        self.assertEqual(json.loads(envelope["request"])["operator"], "ada")
        text, sig, pub = (os.path.join(self.dir, n) for n in ("text", "sig", "pub"))
        with open(text, "wb") as f:
            f.write(PREFIX + envelope["request"].encode())
        with open(sig, "wb") as f:
            f.write(base64.urlsafe_b64decode(envelope["signature"] + "=="))
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", pub], check=True, capture_output=True)
        subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pub, "-rawin", "-in", text, "-sigfile", sig],
                       check=True, capture_output=True)

    def test_from_afar_it_is_signed(self):
        self.cli(*self.ASK, "--server", "https://127.0.0.1:1", status=2)
        self.assertIn("--operator", self.err)

    def test_waiting_and_not_waiting(self):
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating")})
        self.answers[f"GET /v1/operations/{ID}"] = [(200, operation("Updating")), (503, b"starts"), (200, operation("Succeeded", later=["norway"]))]
        self.assertEqual(self.cli(*self.ASK, "--query", "state", "-o", "tsv"), "Succeeded\n")
        self.assertIn("norway", self.err)
        self.seen.clear()
        self.assertEqual(self.cli(*self.ASK, "--no-wait", "--query", "state", "-o", "tsv"), "Updating\n")
        self.assertEqual(len([p for _, p, _ in self.seen if p.startswith("/v1/operations")]), 0)
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Updating"))
        self.cli(*self.ASK, "--timeout", "200ms", status=3)
        self.assertIn(f"meridian operation wait {ID}", self.err)
        self.cli(*self.ASK, "--timeout", "soon", status=2)
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Failed", error="no certificate"))
        self.cli("operation", "wait", ID, status=1)
        self.assertIn("failed: no certificate", self.err)

    def test_a_node_that_holds_nothing_open_is_asked_again(self):
        """It does not know who asks, or others wait there, or the operation has not come to it yet."""
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating")})
        self.answers[f"GET /v1/operations/{ID}"] = [error(404, "NotFound"), error(429, "TooManyRequests"), error(503, "Busy")] + [
            (200, operation("Updating"))] * 3 + [(200, operation("Succeeded"))]
        self.cli(*self.ASK)
        looks = [p for _, p, _ in self.seen if p.startswith("/v1/operations")]
        self.assertEqual(len(looks), 7)
        # and not as fast as it answers
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Updating"))
        self.seen.clear()
        self.cli(*self.ASK, "--timeout", "2s", status=3)
        self.assertLess(len([p for _, p, _ in self.seen if p.startswith("/v1/operations")]), 10)
        # one that it did have is gone
        self.answers[f"GET /v1/operations/{ID}"] = [(200, operation("Updating")), error(404, "NotFound")]
        self.cli(*self.ASK, status=7)

    def test_calling_off_is_done_when_it_is_called_off(self):
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating")})
        for state, status, said in (("Canceled", 0, ""), ("Failed", 1, "failed: no room"), ("Succeeded", 1, "before it could be called off")):
            with self.subTest(state=state):
                self.answers[f"GET /v1/operations/{ID}"] = [(200, operation("Updating")), (200, operation(state, error="no room" if status else None))]
                self.assertIn(state, self.cli(*self.CANCEL, status=status))
                self.assertIn(said, self.err)
                if not status:
                    self.assertEqual(self.err, "")
        self.assertEqual(self.asked()["verb"], "operation cancel")
        # whoever waits for what it was to do did not get it
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Canceled"))
        self.cli("operation", "wait", ID, status=1)
        self.assertIn("was called off", self.err)

    def test_what_if(self):
        would = {"object": "registry/contoso", "from": 41, "to": 42, "changes": [{"row": "registry/contoso", "change": "~", "member": "regional_endpoints", "was": "disabled", "is": "enabled"}],
                 "dns": [{"view": "public", "change": "+", "name": "contoso.eastus.geo.example.io", "ttl": 300, "type": "CNAME", "data": "x"}],
                 "certificates": [], "members": [], "notes": ["nothing moves"], "exit": 10}
        self.answers["POST /v1/requests"] = (200, {"whatIf": would})
        out = self.cli("operation", "cancel", ID, "--what-if", status=10)  # not asked: nothing is taken away
        self.assertTrue(self.asked()["whatIf"])
        for line in ("registry/contoso: version 41 -> 42", "dns public + contoso.eastus.geo.example.io 300 CNAME x", "certificates: no change", "nothing moves"):
            self.assertIn(line, out)
        self.assertEqual(json.loads(self.cli("operation", "cancel", ID, "--what-if", "-o", "json", status=10)), would)
        self.answers["POST /v1/requests"] = (200, {"whatIf": would | {"dns": [], "changes": [], "exit": 0}})
        self.assertIn("nothing changes", self.cli("operation", "cancel", ID, "--what-if"))
        self.answers["POST /v1/requests"] = (200, {"whatIf": {"object": "registry/contoso", "from": 41, "exit": 1, "error": {"code": "Refused", "message": "no room"}}})
        self.assertIn("refused: no room", self.cli("operation", "cancel", ID, "--what-if", status=1))
        self.answers["POST /v1/requests"] = error(412, "VersionMismatch")
        self.cli("operation", "cancel", ID, "--what-if", "--if-version", "3", status=1)

    def test_nothing_to_do(self):
        self.answers["POST /v1/requests"] = (200, {"result": "NothingToDo"})
        self.assertIn("nothing to do", self.cli(*self.ASK))

    def test_refusals_are_sentences_with_a_status(self):
        for (code, http), status in {("FilesAreTheSource", 409): 1, ("NotTheWriter", 503): 4, ("NoMajority", 503): 4,
                                     ("OperationInProgress", 409): 11, ("VersionMismatch", 412): 11, ("NameReserved", 409): 11,
                                     ("NotFound", 404): 7, ("AlreadyExists", 409): 11, ("Invalid", 400): 1, ("Denied", 403): 5}.items():
            with self.subTest(code=code):
                self.answers["POST /v1/requests"] = error(http, code, "the\x1b[31m reason")
                self.cli(*self.ASK, status=status)
                self.assertEqual(self.err, f"meridian: name release: the?[31m reason ({code})\n")

    def test_a_word_that_cannot_be_a_name(self):
        for name in ("con toso", "c\u00f6ntoso", "a" * 600):
            self.cli("registry", "create", name, status=2)
            self.assertIn("cannot be a name", self.err)
        self.assertNotIn("POST", [method for method, _, _ in self.seen])
        self.cli(*self.ASK, "--operator", "\u00c4da", "--key", "/nonexistent", status=2)
        self.assertIn("\u00c4da", self.err)

    def test_no_node(self):
        os.unlink(self.socket)
        self.cli(*self.ASK, status=4)
        self.assertNotIn("http://", self.err)

    def test_lists(self):
        self.answers["GET /v1/operations"] = (200, {"operations": [operation("Updating"), operation("Succeeded", phases=[])]})
        rows = self.cli("operation", "list", "--state", "updating", "--object", "registry/contoso").splitlines()
        self.assertIn("edge, waits for westeurope", rows[1])
        self.assertEqual(self.seen[-1][1], "/v1/operations?object=registry%2Fcontoso&state=Updating")
        self.assertEqual(self.cli("operation", "list", "-o", "tsv", "--query", "[].state").split(), ["Updating", "Succeeded"])
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Updating"))
        self.assertIn("westeurope", self.cli("operation", "show", ID))
        self.cli("operation", "show", "nothing", status=7)

    def test_what_nodes_say_orders_no_terminal_about(self):
        """Neither by an escape, nor by the one character of Unicode that means the same."""
        said = "a\x1b[2Jb\u009b2Jc\u009dd gr\u00fc\u00df"
        shown = "a?[2Jb??2Jc??d gr\u00fc\u00df"
        self.answers["GET /v1/operations"] = (200, {"operations": [operation(said, error=said)]})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Failed", by=said, error={"code": said, "message": said}))
        self.answers["POST /v1/requests"] = error(400, said, said)
        for words, status in ((("operation", "list"), 0), (("operation", "list", "-o", "json"), 0), (("operation", "list", "-o", "yaml"), 0),
                              (("operation", "list", "-o", "tsv"), 0), (("operation", "show", ID), 0), (("operation", "wait", ID), 1),
                              (self.ASK, 1)):
            with self.subTest(words=words):
                out = self.cli(*words, status=status) + self.err
                self.assertIn(shown, out)
                for order in "\x1b\u009b\u009d":
                    self.assertNotIn(order, out)

    def test_a_watch_shows_it_when_it_changed(self):
        same = (200, operation("Updating"))
        self.answers[f"GET /v1/operations/{ID}"] = [same, same, (200, operation("Succeeded"))]
        out = self.cli("operation", "show", ID, "--query", "state", "-o", "tsv", "--watch", "--interval", "1", "--count", "3")
        self.assertEqual(out, "Updating\n\nSucceeded\n")

    TOPOLOGY = b"""version: 42
domain: example.io
regions:
  - { name: eastus, peer: "192.0.2.1:8443", stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }
  - { name: westus, peer: "192.0.2.2:8443", stamps: [{ name: wus-1, ipv4: [192.0.2.2] }, { name: wus-2, ipv4: [192.0.2.3] }] }
name_servers: [eus-1.eastus]
registries:
  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: eastus }, { region: westus, stamp: wus-2 }] }
"""

    def verb(self, *words, status=0):
        """The verb, object and arguments that the words become."""
        self.answers["POST /v1/requests"] = (200, {"result": "NothingToDo"})
        self.cli(*words, status=status)
        q = self.asked()
        return q["verb"], q["object"], q["arguments"]

    def test_verbs_in_both_spellings(self):
        for words, asked in {
            "registry create contoso": ("registry create", "contoso", {}),
            "registry create -n contoso -l EastUS --replicas westus,norway --dnl-scope tenantreuse --owner ada":
                ("registry create", "contoso", {"location": "eastus", "replicas": ["westus", "norway"], "dnlScope": "TenantReuse", "owner": "ada"}),
            "registry update contoso --regional-endpoints enabled": ("registry update", "contoso", {"regionalEndpoints": "Enabled"}),
            "registry update contoso --regional-endpoints false": ("registry update", "contoso", {"regionalEndpoints": "Disabled"}),
            "registry update contoso --regional-endpoints TRUE --data-endpoint-enabled":
                ("registry update", "contoso", {"regionalEndpoints": "Enabled", "dataEndpointEnabled": True}),
            "registry update --data-endpoint-enabled false -n contoso": ("registry update", "contoso", {"dataEndpointEnabled": False}),
            "registry update --public-network-enabled disabled contoso": ("registry update", "contoso", {"publicNetworkEnabled": False}),
            "registry update --anonymous-pull-enabled contoso": ("registry update", "contoso", {"anonymousPullEnabled": True}),
            "registry update contoso --cidr 192.0.2.0/24 --cidr 198.51.100.0/24,203.0.113.0/24":
                ("registry update", "contoso", {"cidrs": ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]}),
            "registry update contoso --ip registry_eastus=10.4.0.9 --ip corp/registry=10.4.0.8,corp/registry=10.4.0.7":
                ("registry update", "contoso", {"ip": {"registry_eastus": ["10.4.0.9"], "corp/registry": ["10.4.0.8", "10.4.0.7"]}}),
            "registry delete contoso --yes": ("registry delete", "contoso", {}),
            "registry delete contoso --yes --reserve-days 0 --purge": ("registry delete", "contoso", {"reserveDays": 0, "purge": True}),
            "replication create contoso/westus": ("replication create", "contoso/westus", {}),
            "replication create -r contoso -l WestUS --global-endpoint-routing false --stamp wus-2 --weight 30":
                ("replication create", "contoso/westus", {"globalEndpointRouting": False, "stamp": "wus-2", "weight": 30}),
            "replication create contoso/westus --early": ("replication create", "contoso/westus", {"early": True}),
            "replication delete contoso/westus --yes": ("replication delete", "contoso/westus", {}),
            "replication delete contoso/westus --yes --no-wait-for-content": ("replication delete", "contoso/westus", {"waitForContent": False}),
            "replication create contoso --region westus --region-endpoint-enabled true": ("replication create", "contoso/westus", {"globalEndpointRouting": True}),
            "replication update -r contoso -n westus --global-endpoint-routing disabled": ("replication update", "contoso/westus", {"globalEndpointRouting": False}),
            "replication update contoso/westus --stamp wus-2": ("replication update", "contoso/westus", {"stamp": "wus-2"}),
            "replication update contoso/westus --drained": ("replication update", "contoso/westus", {"drained": True}),
            "replication delete contoso/westus -y": ("replication delete", "contoso/westus", {}),
            "stamp drain eastus/eus-1 --yes": ("stamp drain", "eastus/eus-1", {"drained": True}),
            "stamp undrain eastus/eus-1": ("stamp drain", "eastus/eus-1", {"drained": False}),
            "name release Contoso --yes": ("name release", "contoso", {}),
        }.items():
            with self.subTest(words=words):
                self.assertEqual(self.verb(*words.split()), asked)

    def test_words_that_do_not_fit(self):
        for words in ("registry update contoso", "registry update contoso --regional-endpoints maybe", "registry create contoso -n fabrikam",
                      "registry update contoso --cidr 192.0.2.0/24 --public-network-enabled", "registry update contoso --ip 10.4.0.9",
                      "replication create contoso", "replication create contoso/westus -l eastus", "replication create contoso -n westus -l eastus",
                      "replication update contoso/westus", "replication update contoso/westus --weight 101", "stamp drain eus-1", "registry create"):
            with self.subTest(words=words):
                self.cli(*words.split(), status=2)
        self.assertEqual(self.seen, [])

    def test_what_is_there_comes_from_the_node(self):
        self.answers["GET /v1/topology"] = (200, self.TOPOLOGY)
        self.answers["GET /v1/operations"] = (200, {"operations": [
            operation("Succeeded", created=1), operation("Updating", created=2), operation("Creating", object="replication/contoso/westus")]})
        self.node = {"MERIDIAN_TOPOLOGY": "/etc/meridian/topology.yaml"}
        shown = json.loads(self.cli("registry", "show", "contoso", "-o", "json", **self.node))
        self.assertEqual((shown["name"], shown["location"], shown["provisioningState"], shown["regionalEndpoints"], shown["version"]),
                         ("contoso", "eastus", "Updating", "Enabled", 42))
        self.assertIn("Updating", self.cli("registry", "list", **self.node))
        replica = json.loads(self.cli("replication", "show", "-r", "contoso", "-n", "westus", "-o", "json", **self.node))
        self.assertEqual((replica["name"], replica["provisioningState"], replica["regionEndpointEnabled"], replica["homeStamp"]),
                         ("westus", "Creating", True, "wus-2"))
        self.cli("replication", "show", "contoso/norway", status=1, **self.node)
        self.assertIn("the topology in force", self.err)
        stamps = self.cli("stamp", "list", "-o", "tsv", "--query", "[].[region, name, replicas]", **self.node)
        self.assertEqual(stamps, "eastus\teus-1\t1\nwestus\twus-1\t0\nwestus\twus-2\t1\n")
        self.cli("stamp", "show", "eastus/nothing", status=7, **self.node)
        self.assertEqual(json.loads(self.cli("name", "list", "-o", "json", **self.node)), [])

    def test_a_change_shows_what_came_of_it(self):
        self.answers["GET /v1/topology"] = (200, self.TOPOLOGY)
        self.answers["GET /v1/operations"] = (200, {"operations": []})
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Creating")})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Succeeded"))
        out = self.cli("registry", "create", "contoso", "--query", "[name, provisioningState]", "-o", "tsv")
        self.assertEqual(out, "contoso\nSucceeded\n")

    def test_what_edits_a_document_asks_the_writer_where_the_feed_is_the_source(self):
        self.answers["GET /v1/status"] = (200, {"domain": "example.io", "source": "feed"})
        self.answers["GET /v1/topology"] = (200, self.TOPOLOGY)
        self.answers["POST /v1/requests"] = (202, {"operation": operation("Updating")})
        self.answers[f"GET /v1/operations/{ID}"] = (200, operation("Succeeded"))
        node = {"MERIDIAN_TOPOLOGY": "/etc/meridian/topology.yaml"}
        self.assertIn("pinned", self.cli("topology", "pin", **node))
        q = self.asked()
        self.assertEqual((q["verb"], q["ifVersion"], q["arguments"]["from"], q["arguments"]["force"]), ("topology apply", 42, 42, "file"))
        self.assertIn("zone_serial:", q["arguments"]["frame"])
        self.assertNotIn("change", q["arguments"])
        made = self.cli("dns", "keys", "generate", "--dir", self.dir, "--role", "csk").split()
        self.cli("dns", "keys", "publish", *made, "--dir", self.dir, **node)
        self.assertIn("dnssec:", self.asked()["arguments"]["frame"])
        self.cli("replication", "rebind", "-r", "contoso", "--region", "westus", "--stamp", "wus-1", "--now", **node)
        q = self.asked()
        self.assertEqual((q["verb"], q["object"], q["arguments"]["stamp"], q["arguments"]["was"]), ("replication rebind", "contoso/westus", "wus-1", "wus-2"))
        self.cli("topology", "pin", "--if-version", "41", status=11, **node)
        would = {"object": "topology", "from": 42, "to": 43, "changes": [], "dns": [], "certificates": [], "members": [], "notes": [], "exit": 10}
        self.answers["POST /v1/requests"] = (200, {"whatIf": would})
        self.assertIn("version 42 -> 43", self.cli("topology", "pin", "--what-if", status=10, **node))

    def test_what_edits_a_document_edits_the_file_where_files_are_the_source(self):
        path = os.path.join(self.dir, "topology.yaml")
        with open(path, "wb") as f:
            f.write(self.TOPOLOGY)
        self.answers["GET /v1/status"] = (200, {"domain": "example.io", "source": "files"})
        self.cli("topology", "pin", "--what-if", status=10, MERIDIAN_TOPOLOGY=path)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), self.TOPOLOGY)
        self.cli("topology", "pin", MERIDIAN_TOPOLOGY=path)
        with open(path, "rb") as f:
            self.assertIn(b"zone_serial:", f.read())
        self.assertEqual([p for m, p, _ in self.seen if m == "POST"], [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
