# SPDX-License-Identifier: Apache-2.0
"""System test: a region dies for good and is forgotten (`meridian region forget`). While it lives that is refused; then pushes and
deletes go on in the others, which have all that they held of it, and nothing waits for it any more. Started again all the same, it
takes no writes and says why."""
import json, time, unittest

from lab import DOMAIN, Lab, MERIDIAN, TOPOLOGY, wait_until
from test_failure import OCI, Pusher, whole
from test_lifecycle import WRITER, new_key

GONE, LEFT = "southeastasia", ["eastus", "westeurope"]


def host_of(region):
    return f"contoso.{region}.geo.{DOMAIN}"


class Forgotten(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        topology = TOPOLOGY + 'control: {{ root: "%s", writer: %s, operators: [] }}\nreplication: {{ clock_skew: 5s }}\n' % (new_key(), WRITER)
        cls.lab = cls.enterClassContext(Lab(topology=topology, node_extra="source: feed\n"))

    def put(self, region, repository, tag, manifest):
        # a token of another region: those that a forgotten one gives out count for nothing
        auth = self.lab.bearer(f"repository:{repository}:pull,push", host=host_of("eastus"), region="eastus")
        return self.lab.request("PUT", host_of(region), f"/v2/{repository}/manifests/{tag}", region, dict(auth, **{"Content-Type": OCI}), manifest)

    def there(self, region, repository, tag):
        auth = self.lab.bearer(f"repository:{repository}:pull", host=host_of(region), region=region)
        return self.lab.request("GET", host_of(region), f"/v2/{repository}/manifests/{tag}", region, auth)[0] == 200

    def horizon(self, region):
        auth = self.lab.bearer("repository:team/app:pull", host=host_of(region), region=region)
        status, _, body = self.lab.request("GET", host_of(region), "/replication/v1/status", region, auth)
        self.assertEqual(status, 200, body)
        return json.loads(body)["horizons"][0]

    def at(self, region, *words):
        """By root on that machine; the topology is the one in force, not the lab's file."""
        return self.lab.run(MERIDIAN, *words, "--admin", f"{self.lab.dir}/{region}/run/admin.sock", check=False,
                            env={"MERIDIAN_TOPOLOGY": "/etc/meridian/topology.yaml"})

    def forget(self):
        return self.at(WRITER, "region", "forget", GONE, "--yes")

    def writes_of(self, region):
        return self.at(region, "status", "-o", "json").stdout

    def test_a_region_that_never_comes_back(self):
        lab, repository = self.lab, "team/app"
        lost = Pusher(lab, host_of(GONE), GONE, repository, blob_bytes=20_000)
        lost.push("1")
        wait_until(30, lambda: all(self.there(r, repository, "1") for r in LEFT), "the image is everywhere")
        refused = self.forget()
        self.assertNotEqual(refused.returncode, 0, refused)
        self.assertIn(f"{GONE} is there", refused.stderr)
        lab.kill(GONE)
        killed = int(time.time() * 1000) << 16
        wait_until(60, lambda: self.forget().returncode == 0, f"the region may be forgotten: {self.forget()}")
        rows = json.loads(self.at(WRITER, "region", "list", "-o", "json").stdout)
        self.assertEqual({r["name"]: r["state"] for r in rows}[GONE], "forgotten")

        # what it wrote stays, and the others go on
        for region in LEFT:
            self.assertEqual(whole(lab, host_of(region), region, repository, "1"), lost.acknowledged[f"{repository}:1"])
        Pusher(lab, host_of("eastus"), "eastus", repository, blob_bytes=20_000).push("2")
        wait_until(30, lambda: self.there("westeurope", repository, "2"), "a push goes on")
        auth = lab.bearer(f"repository:{repository}:pull,delete", host=host_of("westeurope"), region="westeurope")
        status, _, body = lab.request("DELETE", host_of("westeurope"), f"/v2/{repository}/manifests/1", "westeurope", auth)
        self.assertEqual(status, 202, body)
        wait_until(30, lambda: not self.there("eastus", repository, "1"), "a delete goes on")
        wait_until(60, lambda: all(int(self.horizon(r)["appliedByAll"]) > killed for r in LEFT), f"the horizon goes on: {self.horizon('eastus')}")
        wait_until(30, lambda: self.at(WRITER, "status", "--all").returncode == 0, f"nothing is wrong: {self.at(WRITER, 'status', '--all')}")

        # it comes back all the same
        lab.start(GONE, wait=False)
        wait_until(60, lambda: "was forgotten" in self.writes_of(GONE), f"it says that it was forgotten: {self.writes_of(GONE)}")
        manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": {"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 0},
                               "layers": []}).encode()

        def refused_write():
            try:
                status, _, body = self.put(GONE, repository, "3", manifest)
            except (OSError, AssertionError):
                return False  # it does not listen yet
            self.assertEqual(status, 503, body)
            return b"was forgotten" in body
        wait_until(60, refused_write, "a write is refused with the reason")
        self.assertFalse(self.there("eastus", repository, "3"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
