# SPDX-License-Identifier: Apache-2.0
"""Certificates that run out: renewed ahead of time by the daemon's own thread, also when the region of the CA was down."""
import threading, time, unittest

from lab import DOMAIN, Lab, REGIONS, TOPOLOGY, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL = f"contoso.{DOMAIN}"


class Hammer:
    """Requests without a pause, each on a connection of its own; what failed is kept."""

    def __init__(self, lab, *targets):
        self.lab, self.stop, self.failed, self.done = lab, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self._run, args=t) for t in targets]

    def _run(self, host, region, want):
        while not self.stop.is_set():
            try:
                status = self.lab.request("GET", host, "/v2/", region=region)[0]
                if status != want:
                    self.failed.append((host, region, status))
            except OSError as e:
                self.failed.append((host, region, repr(e)))
            self.done += 1
            time.sleep(0.02)  # many requests a second are enough; the machine may be small

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


class Certificates(unittest.TestCase):
    """Certificates of three minutes: due twenty seconds after they were issued."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(
            topology=TOPOLOGY.replace("ca_region: eastus", "ca_region: eastus, region_lifetime: 3m, shared_lifetime: 3m"),
            node_extra="certs: { check: 1s }\n"))

    def serial(self, host, region):
        with self.lab.connection(host, region) as c:
            return c.getpeercert()["serialNumber"]

    def test_1_renewed_ahead_of_expiry_without_a_failed_request(self):
        lab = self.lab
        served = [(EAST, "eastus"), (WEST, "westeurope"), (ASIA, "southeastasia"), (GLOBAL, "westeurope")]
        before = {at: self.serial(*at) for at in served}
        with Hammer(lab, *((host, region, 401) for host, region in served)) as h:
            wait_until(60, lambda: all(self.serial(*at) != before[at] for at in served), "all certificates are renewed")
            seen = h.done
            wait_until(20, lambda: h.done > seen + 50, "requests go on")
        self.assertEqual(h.failed, [])
        log = lab.said("eastus")  # by request, over mutual TLS, to the region that has the CA
        for region in ("westeurope", "southeastasia"):
            self.assertIn(f"issued the region certificate of {region}", log)
            self.assertIn(f"issued the shared certificate of {region}", log)

    def test_2_ca_region_down_at_renewal(self):
        lab = self.lab
        lab.kill("eastus")
        state = lambda: {c["kind"]: c for c in lab.admin("westeurope", "certs", "show")}
        wait_until(40, lambda: state()["region"]["lastError"], "the renewal is refused for now, and says so")
        self.assertIn("eastus", state()["region"]["lastError"])
        before = self.serial(WEST, "westeurope")
        self.assertEqual(lab.request("GET", WEST, "/v2/", region="westeurope")[0], 401)  # it serves on
        lab.start("eastus")
        wait_until(60, lambda: self.serial(WEST, "westeurope") != before, "renewed by itself once eastus is back")
        wait_until(20, lambda: not state()["region"]["lastError"], "the error is forgotten")


if __name__ == "__main__":
    unittest.main(verbosity=2)
