# SPDX-License-Identifier: Apache-2.0
"""`meridian drill`, and what `stamp show` says of a drain: what a node is asked, and how its answers are shown."""
import json, time, unittest

import node_socket
from node_socket import error, operation

DRILL = {"id": "00000000000000aa", "region": "eastus", "registry": "*", "state": "ended", "by": "root@eastus", "forMs": 600000, "leftMs": 0,
         "stoppedBy": None, "waitingFor": [], "at": "2026-11-30T12:00:00.000Z", "begun": "2026-11-30T12:00:00.000Z",
         "ended": "2026-11-30T12:10:00.000Z"}
RUNS = DRILL | {"id": "00000000000000bb", "state": "running", "leftMs": 4200, "waitingFor": ["westeurope"]}
SEEN = {"id": DRILL["id"], "region": "eastus", "rerouteMs": 740, "returnMs": 1250, "ledThere": 17, "requests": 40, "late": 3,
        "codes": {"200": 30, "401": 5, "429": 2, "503": 3}, "lagEntries": 4, "lagSeconds": 2}
FLEET = [{"region": "eastus", "reached": True, "drills": [SEEN]},
         {"region": "westeurope", "reached": True, "drills": [SEEN | {"rerouteMs": 1990, "returnMs": None, "codes": {"200": 1}, "late": 0}]},
         {"region": "southeastasia", "reached": False, "why": "no answer"}, {"region": "brazilsouth", "reached": True, "drills": []}]
TOPOLOGY = b"""version: 41
domain: example.io
regions: [{ name: eastus, peer: "192.0.2.1:8443", stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] },
  { name: westus, peer: "192.0.2.2:8443", stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }]
name_servers: [eus-1.eastus]
registries:
  - { name: contoso, replicas: [{ region: eastus, drained: true }, { region: westus }] }
"""


class Drill(node_socket.Case):
    def test_starting_and_stopping(self):
        self.answers["POST /v1/drills"] = (200, [RUNS, DRILL])
        out = self.cli("drill", "start", "--region", "eastus", "--for", "10m", "--registry", "contoso", "--yes")
        self.assertIn("/v1/drills?region=eastus&for_ms=600000&registry=contoso", self.seen[-1][1])
        self.assertIn(RUNS["id"], out)
        self.assertNotIn(DRILL["id"], out)
        self.assertIn("westeurope", out)
        self.cli("drill", "start", "--region", "eastus", "--for", "10m", status=2)  # it asks, and nobody is there to answer
        for wrong in (("--for", "10m"), ("--region", "eastus"), ("--region", "eastus", "--for", "soon")):
            self.cli("drill", "start", *wrong, "--yes", status=2)
        self.answers["POST /v1/drills"] = error(409, "Refused", "region westeurope is drained: no drill while one is")
        self.cli("drill", "start", "--region", "eastus", "--for", "10m", "--yes", status=1)
        self.assertIn("no drill while one is", self.err)
        self.answers["POST /v1/drills/stop"] = (200, [RUNS | {"state": "stopped", "stoppedBy": "root@westus"}, DRILL])
        self.assertIn("root@westus", self.cli("drill", "stop", RUNS["id"]))
        self.assertTrue(self.seen[-1][1].endswith("/v1/drills/stop?id=" + RUNS["id"]))

    def test_showing(self):
        self.answers["GET /v1/drills"] = (200, [DRILL, RUNS])
        self.assertEqual(json.loads(self.cli("drill", "show", "-o", "json"))["id"], RUNS["id"])  # the one that runs
        self.assertEqual(json.loads(self.cli("drill", "show", DRILL["id"], "-o", "json"))["state"], "ended")
        self.assertEqual(len(json.loads(self.cli("drill", "list", "-o", "json"))), 2)
        self.cli("drill", "show", "00000000000000cc", status=7)
        self.answers["GET /v1/drills"] = (200, [])
        self.cli("drill", "show", status=7)
        self.assertIn("no drill yet", self.err)

    def test_the_report(self):
        self.answers |= {"GET /v1/drills": (200, [DRILL]), "GET /v1/fleet": (200, FLEET)}
        out = self.cli("drill", "report")
        self.assertIn(f"drill {DRILL['id']}: region eastus, registry *, for 600.0 s by root@eastus: ended", out)
        self.assertRegex(out, r"(?m)^eastus +seen +0\.7 s +17 +1\.2 s +40 +3 +429: 2, 503: 3 +4$")
        self.assertRegex(out, r"(?m)^westeurope +seen +2\.0 s +17 +- +40 +0 +none +4$")
        self.assertRegex(out, r"(?m)^southeastasia +away( +-)+$")
        self.assertRegex(out, r"(?m)^brazilsouth +nothing( +-)+$")
        doc = json.loads(self.cli("drill", "report", DRILL["id"], "-o", "json"))
        self.assertEqual([r["region"] for r in doc["regions"]], [r["region"] for r in FLEET])
        self.assertEqual(doc["regions"][0]["codes"]["503"], 3)
        self.assertEqual(doc["drill"]["id"], DRILL["id"])
        self.cli("drill", "report", "00000000000000cc", status=7)

    def drain(self, **more):
        self.answers |= {"GET /v1/topology": (200, TOPOLOGY), "GET /v1/health/orders": (200, []),
                         "GET /v1/operations": (200, {"operations": [operation("Updating", verb="stamp drain", object="stamp/eastus/eus-1",
                                                                               by="operator:ada") | more]})}
        return json.loads(self.cli("stamp", "show", "eastus/eus-1", "-o", "json", MERIDIAN_TOPOLOGY="/etc/meridian/topology.yaml"))["orders"] or ""

    def test_a_drain_of_a_stamp_counts_down(self):
        wait = {"name": "wait", "state": "running", "waitUntil": int(time.time() * 1000) + 90000, "waitSeconds": 100}
        said = self.drain(phases=[wait])
        self.assertRegex(said, r"^drained in the topology by operator:ada since 2026-.*Z, safe to stop in [89]\d s$")
        self.assertRegex(self.drain(phases=[wait | {"state": "done"}], state="Succeeded"), "by operator:ada since .*, safe to stop$")
        self.assertRegex(self.drain(), "by operator:ada since .*, not safe to stop yet$")
        # by whom, the newest operation does not say: it is the way back of one, or was called off
        self.assertEqual(self.drain(state="Succeeded"), "drained in the topology")
        self.assertEqual(self.drain(state="Canceled", phases=[wait]), "drained in the topology")
        self.assertEqual(self.drain(verb="replication rebind"), "drained in the topology")
        rows = json.loads(self.cli("stamp", "list", "-o", "json", MERIDIAN_TOPOLOGY="/etc/meridian/topology.yaml"))
        self.assertEqual([r["orders"] for r in rows], ["drained in the topology", None])


if __name__ == "__main__":
    unittest.main(verbosity=2)
