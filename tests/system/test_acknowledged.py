# SPDX-License-Identifier: Apache-2.0
"""System test: a registry whose writes are acknowledged once another region has them (`ack: peers:1`).

1. a region that is cut off says so in time and keeps the write; then it refuses early; healed, the repeat is acknowledged
2. a region is killed while it is pushed to, and its disk is lost: all that was acknowledged is whole in another region
The figures are printed."""
import hashlib, json, os, shutil, statistics, sys, threading, time, unittest

from lab import DOMAIN, Lab, REGIONS, TOPOLOGY, wait_until
from test_failure import EAST, OCI, Pusher, whole

TIMEOUT_S = 3
OTHERS = list(REGIONS)[1:]
ACKED = TOPOLOGY.replace("  - name: contoso\n", "  - name: contoso\n    ack: peers:1\n", 1) + f"replication: {{{{ ack_timeout: {TIMEOUT_S}s }}}}\n"


def figure(what, seconds):
    print(f"{what}: {seconds * 1000:.1f} ms", file=sys.stderr, flush=True)


class Acknowledged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(ACKED))

    def put(self, repository, tag, manifest, host=EAST, auth=None):
        began = time.monotonic()
        auth = auth or self.lab.bearer(f"repository:{repository}:pull,push", host=host, region="eastus")
        status, headers, body = self.lab.request("PUT", host, f"/v2/{repository}/manifests/{tag}", "eastus",
                                                 dict(auth, **{"Content-Type": OCI}), manifest)
        return status, headers, body.decode(), time.monotonic() - began

    def manifest(self, pusher):
        config = dict(pusher.blob(os.urandom(100)), mediaType="application/vnd.oci.image.config.v1+json")
        return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [pusher.blob(os.urandom(2000))]}).encode()

    def history(self, repository, tag):
        auth = self.lab.bearer(f"repository:{repository}:pull", host=EAST, region="eastus")
        status, _, body = self.lab.request("GET", EAST, f"/registry/v1/history?repository={repository}&tag={tag}", "eastus", auth)
        self.assertEqual(status, 200, body)
        return json.loads(body)["versions"]

    def median(self, host, repository, n=25):
        pusher = Pusher(self.lab, host, "eastus", repository, blob_bytes=1000)
        took = []
        for i in range(n):
            status, _, body, s = self.put(repository, f"t{i}", self.manifest(pusher), host, pusher.auth)
            self.assertEqual(status, 201, body)
            took.append(s)
        return statistics.median(took)

    def test_1_a_region_that_is_cut_off(self):
        lab, repository = self.lab, "team/cut"
        figure("a manifest with ack: local, median", self.median(f"tailspin.{DOMAIN}", "team/quick"))
        figure("a manifest with ack: peers:1, median", self.median(EAST, "team/quick"))
        pusher = Pusher(lab, EAST, "eastus", repository, blob_bytes=2000)
        first, second = self.manifest(pusher), self.manifest(pusher)
        cut = time.monotonic()
        lab.cut("eastus")
        try:
            status, headers, body, took = self.put(repository, "1", first, auth=pusher.auth)
            self.assertEqual(status, 503, body)
            self.assertIn("stored in eastus, not yet in 1 other regions", body)
            self.assertIn("westeurope (", body)
            self.assertIn("southeastasia (", body)
            self.assertIn("retry-after", headers)
            self.assertGreaterEqual(took, TIMEOUT_S - 0.1)
            self.assertLess(took, TIMEOUT_S + 3)
            status, headers, _ = lab.request("GET", EAST, f"/v2/{repository}/manifests/1", "eastus", pusher.auth)
            self.assertEqual(status, 200)  # it stays
            wait_until(20, lambda: "nothing was stored" in self.put(repository, "2", second, auth=pusher.auth)[2], "writes are refused early")
            figure("a cut is said early after", time.monotonic() - cut)
            status, _, body, took = self.put(repository, "3", second, auth=pusher.auth)
            self.assertEqual(status, 503)
            self.assertIn("nothing was stored", body)
            self.assertLess(took, 2)
            self.assertEqual(lab.request("GET", EAST, f"/v2/{repository}/manifests/3", "eastus", pusher.auth)[0], 404)
            status, _, body = lab.request("POST", EAST, f"/v2/{repository}/blobs/uploads/", "eastus", pusher.auth, b"")
            self.assertEqual(status, 503, body)
        finally:
            lab.heal("eastus")

        def again():
            status, _, body, _ = self.put(repository, "1", first, auth=pusher.auth)
            self.assertIn(status, (201, 503), body)
            return status == 201
        wait_until(30, again, "the repeat is acknowledged")
        versions = self.history(repository, "1")  # repeats are newer writes of the same
        self.assertEqual({v["digest"] for v in versions}, {"sha256:" + hashlib.sha256(first).hexdigest()}, versions)
        wait_until(20, lambda: any(self.has(r, repository, "1") for r in OTHERS), "another region has it")

    def has(self, region, repository, tag):
        host = f"contoso.{region}.geo.{DOMAIN}"
        auth = self.lab.bearer(f"repository:{repository}:pull", host=host, region=region)
        return self.lab.request("GET", host, f"/v2/{repository}/manifests/{tag}", region, auth)[0] == 200

    def test_2_the_disk_of_a_region_is_lost(self):
        lab = self.lab
        pushers = [Pusher(lab, EAST, "eastus", f"team/lost{i}", blob_bytes=200_000) for i in range(4)]
        threads = [threading.Thread(target=p.push_until_refused, args=("t",)) for p in pushers]
        for t in threads:
            t.start()
        wait_until(30, lambda: all(len(p.acknowledged) >= 5 for p in pushers), "pushes are under way")
        lab.kill("eastus")
        for t in threads:
            t.join()
        for name in ("meta", "store"):
            shutil.rmtree(f"{lab.dir}/eastus/{name}")
        n = 0
        for p in pushers:
            for what, digest in p.acknowledged.items():
                tag = what.split(":")[1]
                holders = [r for r in OTHERS if self.has(r, p.repository, tag)]
                self.assertTrue(holders, f"{what} was acknowledged, and is lost")
                for region in holders:
                    self.assertEqual(whole(lab, f"contoso.{region}.geo.{DOMAIN}", region, p.repository, tag), digest)
                n += 1
        print(f"{n} acknowledged images, none lost", file=sys.stderr, flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
