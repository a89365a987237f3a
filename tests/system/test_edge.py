# SPDX-License-Identifier: Apache-2.0
"""The edge in life: renewal without a failed request, nginx killed, drained stop, forged headers, memory with big bodies."""
import hashlib, http.client, json, os, signal, subprocess, threading, time, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, STAMPS, USER, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
HEALTH = f"eus-1.eastus.fe.{DOMAIN}"


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


class Edge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())

    def serial(self, host, region):
        with self.lab.connection(host, region) as c:
            return c.getpeercert()["serialNumber"]

    def test_1_renewal_without_a_failed_request(self):
        lab = self.lab
        for region, host in (("eastus", EAST), ("westeurope", WEST)):  # with the CA at hand, and by request to eastus
            before, stop, failed, done = self.serial(host, region), threading.Event(), [], [0]

            def hammer():
                while not stop.is_set():
                    try:
                        status = lab.request("GET", f"{STAMPS[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)[0]
                        if status != 200:
                            failed.append(status)
                        done[0] += 1
                    except OSError as e:
                        failed.append(e)

            threads = [threading.Thread(target=hammer) for _ in range(3)]
            for t in threads:
                t.start()
            try:
                for kind in ("region", "shared"):
                    lab.admin(region, "certs", "renew", "--kind", kind)
                wait_until(15, lambda: self.serial(host, region) != before, "the new certificate is served")
                seen = done[0]
                wait_until(15, lambda: done[0] > seen + 50, "requests go on")
            finally:
                stop.set()
                for t in threads:
                    t.join()
            self.assertEqual(failed, [])
            self.assertGreater(done[0], 50)

    def test_2_nginx_killed_is_started_again(self):
        lab = self.lab
        pid = lab.admin("eastus", "status")["edge"]["pid"]
        os.kill(pid, signal.SIGKILL)

        def again():
            edge = lab.admin("eastus", "status")["edge"]
            return edge["state"] == "running" and edge["pid"] != pid and edge["restarts"] >= 1
        wait_until(15, again, "nginx runs again and the status says so")
        lab.wait_up("eastus")

    def test_3_forged_headers_reach_nobody(self):
        lab = self.lab
        forged = {"X-Meridian-Client": "10.88.0.200", "X-Meridian-Peer-Cert": "-----BEGIN CERTIFICATE-----", "X-Accel-Redirect": "/_blob/x",
                  "X-Forwarded-For": "10.88.0.200", "Forwarded": "for=10.88.0.200"}
        status, headers, body = lab.request("GET", EAST, "/v2/", headers=forged)
        self.assertEqual(status, 401)
        self.assertIn(f'realm="https://{EAST}/oauth2/token",service="contoso.{DOMAIN}"', headers["www-authenticate"])
        # internal paths are not reachable from outside
        self.assertEqual(lab.request("GET", EAST, "/_blob/sha256/aa/aa")[0], 404)
        self.assertEqual(lab.request("GET", EAST, "/replication/v1/feed")[0] // 100, 4)

    def test_3_slow_loris_is_cut(self):
        lab, opened = self.lab, time.monotonic()
        conns = [lab.connection(EAST, "eastus", timeout=30) for _ in range(20)]
        for c in conns:
            c.sendall(b"GET /v2/ HTTP/1.1\r\nHost: ")
        self.assertEqual(lab.request("GET", HEALTH, "/healthz", region="eastus")[0], 200)
        for c in conns:
            while c.recv(4096):  # closed, with or without a word
                pass
            c.close()
        self.assertLess(time.monotonic() - opened, 25)

    def test_4_big_blob_streams_with_bounded_memory(self):
        lab = self.lab
        size, auth = 512 << 20, lab.bearer("repository:team/big:pull,push")
        status, headers, _ = lab.request("POST", EAST, "/v2/team/big/blobs/uploads/", headers=auth)
        self.assertEqual(status, 202)
        path = "/" + headers["location"].split("/", 3)[3]
        digest, block = hashlib.sha256(), os.urandom(1 << 20)

        def body():
            for _ in range(size // len(block)):
                digest.update(block)
                yield block
        c = http.client.HTTPSConnection(EAST, timeout=120)
        c.sock = lab.connection(EAST, timeout=120)
        c.request("PATCH", path, body=body(), headers=dict(auth, **{"Content-Type": "application/octet-stream"}), encode_chunked=True)
        r = c.getresponse()
        r.read()
        self.assertEqual((r.status, r.headers["Range"]), (202, f"0-{size - 1}"))
        path = "/" + r.headers["Location"].split("/", 3)[3]
        c.close()
        want = "sha256:" + digest.hexdigest()
        join = "&" if "?" in path else "?"
        status, headers, body_ = lab.request("PUT", EAST, f"{path}{join}digest={want}", headers=auth, timeout=120)
        self.assertEqual((status, headers.get("docker-content-digest")), (201, want), body_)
        self.assertEqual(lab.check("sh", "-c", f"curl -sS -H 'Authorization: {auth['Authorization']}' "
                                   f"https://{EAST}/v2/team/big/blobs/{want} | sha256sum").split()[0], want[7:])
        supervisor = lab.daemons["eastus"].pid
        for pid in [supervisor, *children(supervisor)]:
            if "SANITIZED" not in os.environ:
                self.assertLess(rss_kib(pid), 120 << 10, "resident memory stays far below the blob's size")

    def test_5_stop_drains(self):
        lab = self.lab
        auth = lab.bearer("repository:team/drain:pull,push", host=ASIA)
        status, headers, _ = lab.request("POST", ASIA, "/v2/team/drain/blobs/uploads/", headers=auth)
        self.assertEqual(status, 202)
        path = "/" + headers["location"].split("/", 3)[3]
        started = threading.Event()

        def body():
            for i in range(20):
                yield b"x" * 10_000
                if i == 2:
                    started.set()
                time.sleep(0.1)  # a slow client, on purpose
        result = []

        def upload():
            c = http.client.HTTPSConnection(ASIA, timeout=30)
            c.sock = lab.connection(ASIA, timeout=30)
            c.request("PATCH", path, body=body(), headers=dict(auth, **{"Content-Type": "application/octet-stream"}), encode_chunked=True)
            result.append(c.getresponse().status)
            c.close()
        t = threading.Thread(target=upload)
        t.start()
        started.wait(10)
        self.assertEqual(lab.stop("southeastasia"), 0)
        t.join()
        self.assertEqual(result, [202])
        self.assertEqual(lab.listeners("southeastasia"), [])
        lab.start("southeastasia")

    def test_6_worker_killed_ends_everything(self):
        lab = self.lab
        supervisor = lab.daemons["southeastasia"].pid
        nginx = lab.admin("southeastasia", "status")["edge"]["pid"]
        worker = next(p for p in children(supervisor) if p != nginx)
        os.kill(worker, signal.SIGKILL)
        lab.daemons["southeastasia"].wait(30)
        wait_until(10, lambda: not lab.listeners("southeastasia"), "no listener stays behind")
        lab.start("southeastasia")

    def test_7_bad_edit_leaves_the_old_topology_in_force(self):
        lab = self.lab
        with open(lab.topology) as f:
            good = f.read()
        version = lab.admin("eastus", "config", "check", "--in-force")["topology"]["version"]
        with open(lab.topology, "w") as f:
            f.write(good.replace("name: contoso\n", "name: contoso\n    regionl_endpoints: enabled\n", 1))
        try:
            def refused():
                why = lab.admin("eastus", "config", "check", "--in-force", check=False)["topology"]["refusedWhy"]
                return why and "regional_endpoints" in why and "topology.yaml:" in why
            wait_until(10, refused, "the node says why the edit is refused")
            self.assertEqual(lab.dig(EAST)[-1], REGIONS["eastus"])
        finally:
            with open(lab.topology, "w") as f:
                f.write(good.replace("version: 1\n", "version: 2\n", 1).replace("name: tailspin", "name: newcomer", 1))
        wait_until(10, lambda: lab.admin("eastus", "config", "check", "--in-force", check=False)["topology"]["version"] == version + 1,
                   "a good edit is taken")
        wait_until(10, lambda: lab.dig(f"newcomer.{DOMAIN}") != [], "the new registry is answered")


if __name__ == "__main__":
    unittest.main(verbosity=2)
