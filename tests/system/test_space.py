# SPDX-License-Identifier: Apache-2.0
"""A region's disk fills up, to the reserve and then to the last byte: what pushes, pulls, names and health do meanwhile,
that the node starts again in that state, and that all goes on once there is room. Its disk is a small ext4 of its own."""
import glob, http.client, json, os, re, subprocess, threading, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, wait_until
from test_failure import OCI, Pusher, whole

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL = f"contoso.{DOMAIN}"
FRONT = f"eus-1.eastus.fe.{DOMAIN}"
MIB = 1 << 20
DISK, RESERVE = 96 * MIB, 24 * MIB
OCTETS = {"Content-Type": "application/octet-stream"}


class SmallLab(Lab):
    def _files(self):
        home, image = f"{self.dir}/eastus", f"{self.dir}/eastus.img"
        os.mkdir(home)
        with open(image, "wb") as f:
            f.truncate(DISK)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, home], check=True)
        self.mounts.append(home)
        os.symlink("../eastus.log", f"{home}/meridiand.log")  # what is said is not lost with the disk
        super()._files()


class Space(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(SmallLab(node_extra=f"disk: {{ reserve: {RESERVE // MIB}MiB }}\n"))
        cls.home = f"{cls.lab.dir}/eastus"
        cls.kept = Pusher(cls.lab, EAST, "eastus", "team/space")

    def free(self):
        v = os.statvfs(self.home)
        return v.f_bavail * v.f_frsize

    def fill_to(self, left):
        """By somebody else; all that can be had when nothing shall be left."""
        with open(f"{self.home}/fill", "ab", buffering=0) as f:
            while self.free() > left:
                n = self.free() - left
                try:
                    os.posix_fallocate(f.fileno(), f.seek(0, 2), min(n, MIB) if n > 4096 else n)
                except OSError:
                    break
            try:
                while not left and f.write(b"x" * 1024):
                    pass
            except OSError:
                pass

    def health(self):
        status, _, body = self.lab.request("GET", FRONT, "/healthz", region="eastus")
        return status, json.loads(body)["status"]

    def leads_to(self, region):
        wait_until(10, lambda: self.lab.dig(GLOBAL)[-1:] == [REGIONS[region]], f"the global name leads to {region}")

    def start_upload(self):
        return self.lab.request("POST", EAST, "/v2/team/space/blobs/uploads/", "eastus", self.kept.auth)

    def chunked(self, n):
        """An upload of n bytes of unknown length, in one PATCH; its status, 0 when it was cut while it was sent."""
        status, headers, _ = self.start_upload()
        if status != 202:
            return status
        path = "/" + headers["location"].split("/", 3)[3]
        self.begun.append(path)
        c = http.client.HTTPSConnection(EAST, timeout=60)
        c.sock = self.lab.connection(EAST, "eastus", 60)
        try:
            c.request("PATCH", path, (os.urandom(1 << 16) for _ in range(n >> 16)),
                      dict(self.kept.auth, **OCTETS, **{"Transfer-Encoding": "chunked"}), encode_chunked=True)
            return c.getresponse().status
        except OSError:
            return 0
        finally:
            c.close()

    def test_1_many_at_once_stop_at_the_reserve(self):
        lab, kept = self.lab, self.kept
        kept.push("before")
        lab.wait_replicated("contoso/team/space:before")
        self.leads_to("eastus")
        wait_until(10, lambda: os.path.getsize(f"{self.home}/state/spare") == 4 * MIB, "room is kept for a start")
        # one whose length is known, and does not fit: nothing is written, and the region is not short for it
        status, headers, _ = self.start_upload()
        c = http.client.HTTPSConnection(EAST, timeout=60)
        c.sock = lab.connection(EAST, "eastus", 60)
        before = self.free()
        c.putrequest("PATCH", "/" + headers["location"].split("/", 3)[3])
        for name, value in dict(kept.auth, **OCTETS, **{"Content-Length": str(DISK)}).items():
            c.putheader(name, value)
        c.endheaders()
        c.send(b"x" * MIB)
        wait_until(10, lambda: lab.admin("eastus", "status")["contentRefused"] == 1, "it is refused")
        self.assertGreater(self.free(), before - MIB // 2)
        c.close()
        self.assertEqual(self.health(), (200, "up"))
        # twelve of unknown length, which do not all fit
        self.begun, statuses, least, done = [], [], [self.free()], threading.Event()
        def watch():
            while not done.wait(0.01):
                least[0] = min(least[0], self.free())
        watcher = threading.Thread(target=watch)
        threads = [threading.Thread(target=lambda: statuses.append(self.chunked(8 * MIB))) for _ in range(12)]
        watcher.start()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        done.set()
        watcher.join()
        self.assertGreater(least[0], RESERVE - 2 * MIB)  # the database's log is inside the reserve
        self.assertTrue(set(statuses) <= {202, 507, 0}, statuses)
        self.assertLess(statuses.count(202), 12)
        for path in self.begun:
            wait_until(10, lambda: lab.request("DELETE", EAST, path, "eastus", kept.auth)[0] in (204, 404), "it is given up")
        wait_until(10, lambda: self.health() == (200, "up"), "what was given up gave its space back")
        self.assertEqual(self.chunked(8 * MIB), 202)

    def test_2_a_short_region_is_passed_over(self):
        lab = self.lab
        self.fill_to(RESERVE - MIB)
        wait_until(10, lambda: self.health() == (503, "short"), "short")
        self.leads_to("westeurope")
        status, _, body = self.start_upload()
        self.assertEqual((status, "full up to its reserve" in json.loads(body)["errors"][0]["message"]), (507, True), body)
        self.assertEqual(whole(lab, EAST, "eastus", "team/space", "before"), self.kept.acknowledged["team/space:before"])
        # metadata go on: entries of others are stored, a tag of what is here is written
        elsewhere = Pusher(lab, WEST, "westeurope", "team/elsewhere")
        elsewhere.push("meanwhile")
        read = lambda: lab.admin("eastus", "status")["storeWritable"]
        self.assertTrue(read())
        _, headers, manifest = lab.request("GET", EAST, "/v2/team/space/manifests/before", "eastus", self.kept.auth)
        status, _, body = lab.request("PUT", EAST, "/v2/team/space/manifests/retagged", "eastus",
                                      dict(self.kept.auth, **{"Content-Type": OCI}), manifest)
        self.assertEqual(status, 201, body)
        lab.wait_replicated("contoso/team/space:retagged", region="westeurope")
        # what an operator sees
        conditions = {c["name"]: c for c in lab.admin("eastus", "status")["conditions"]}
        self.assertEqual(conditions["disk_short"]["severity"], "short")

        def shown():
            eastus = next(t for t in lab.admin("westeurope", "health", "show") if t["region"] == "eastus")
            return (eastus["up"], eastus["short"]) == (True, True)
        wait_until(10, shown, "others show it as up and short")
        routing = lab.admin("westeurope", "dns", "explain", GLOBAL)["routing"]
        self.assertEqual([(r["region"], r["state"]) for r in routing["regions"]][:2], [("eastus", "short"), ("westeurope", "open")])
        r = lab.run(MERIDIAN, "check-health", "-n", "contoso", "--ignore-errors", check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"{FRONT} health: REGION_SHORT_ERROR: it says short: the disk is full up to its reserve", r.stdout)
        self.assertIn(f"{EAST} writes: WRITES_ERROR: HTTP 507: the disk of region eastus is full up to its reserve", r.stdout)
        self.assertIn(f"{EAST} pull: OK", r.stdout)
        txt = lab.check("dig", "+tcp", "+short", "TXT", f"_route.{GLOBAL}", f"@{REGIONS['westeurope']}")
        self.assertEqual(txt.replace('"', '').split()[:3], ["region=westeurope", "reason=healthy", "short=eastus"])

    def test_3_nothing_left_and_started_again(self):
        lab = self.lab
        for how in ("stop", "kill"):
            self.fill_to(0)
            wait_until(10, lambda: self.health() == (503, "short") and
                       not lab.admin("eastus", "status")["storeWritable"], "nothing can be written")
            status, _, body = self.start_upload()
            self.assertEqual(status, 507, body)
            self.assertEqual(whole(lab, EAST, "eastus", "team/space", "before"), self.kept.acknowledged["team/space:before"])
            getattr(lab, how)("eastus")
            self.fill_to(0)
            lab.start("eastus", wait=False)
            def up():
                try:
                    return self.health() == (503, "short")
                except OSError:
                    return False
            wait_until(20, up, "it serves, and says that it is short")
            self.assertEqual(whole(lab, EAST, "eastus", "team/space", "before"), self.kept.acknowledged["team/space:before"])
        self.leads_to("westeurope")
        # a new topology is in force, though none of the files that are made of it can be written
        self.fill_to(0)
        since = lab.log_end("eastus")
        with open(lab.topology) as f:
            text = re.sub(r"^version: 1$", "version: 2", f.read(), count=1, flags=re.M)
        with open(f"{lab.topology}.new", "w") as f:
            f.write(text)
        os.chmod(f"{lab.topology}.new", 0o644)
        type(self).written = self.stamps_of_files()
        os.rename(f"{lab.topology}.new", lab.topology)
        lab.wait_said("eastus", "config: topology version 2 is in force", since)
        lab.wait_said("eastus", "cannot keep the last good topology", since)
        self.assertEqual(self.stamps_of_files(), self.written)
        self.assertEqual(whole(lab, EAST, "eastus", "team/space", "before"), self.kept.acknowledged["team/space:before"])

    def stamps_of_files(self):  # nginx's configuration is not made of what was edited
        return [os.stat(f"{self.home}/{name}").st_mtime_ns for name in ("state/topology.last", "edge-topology.yaml")]

    def test_4_room_again(self):
        lab = self.lab
        os.unlink(f"{self.home}/fill")
        wait_until(15, lambda: self.health() == (200, "up"), "up once there is room")
        self.leads_to("eastus")
        self.kept.push("after")
        lab.wait_replicated("contoso/team/space:after")
        lab.wait_replicated("contoso/team/elsewhere:meanwhile")
        for name in ("before", "retagged", "after"):
            whole(lab, ASIA, "southeastasia", "team/space", name)
        wait_until(10, lambda: os.path.getsize(f"{self.home}/state/spare") == 4 * MIB, "room is kept for the next start")
        wait_until(20, lambda: all(a != b for a, b in zip(self.stamps_of_files(), self.written)),
                   "what the disk had no room for is written")

    def admin(self, path, *words):
        return json.loads(self.lab.check("curl", "-sf", *words, "--unix-socket", f"{self.home}/run/admin.sock", f"http://admin{path}"))

    def test_5_what_nobody_refers_to_makes_room(self):
        """With a short grace: layers whose manifest never came go, the file with the row; what is linked stays."""
        lab, p = self.lab, Pusher(self.lab, EAST, "eastus", "team/left")
        left = [p.blob(os.urandom(2 * MIB)) for _ in range(2)]
        use = lambda: next(r for r in self.admin("/v1/usage")["usage"] if r["registry"] == "contoso")["bytes"]
        used = use()
        lab.stop("eastus")
        with open(f"{self.home}/meridiand.yaml", "a") as f:
            f.write("collect: { grace: 10s }\n")
        lab.start("eastus")
        plan = self.admin("/v1/collect?registry=contoso")
        self.assertEqual({b["digest"] for b in left}, {i["digest"] for i in plan["items"] if i["repository"] == "team/left"})
        self.assertTrue(all(i["kind"] == "lease" and 0 < i["leftSeconds"] <= 10 for i in plan["items"]), plan)  # anew after a start
        self.assertGreaterEqual(plan["space"]["bytes"], 4 * MIB)
        files = lambda b: glob.glob(f"{self.home}/store/blobs/sha256/{b['digest'][7:9]}/{b['digest'][7:]}*")
        self.assertTrue(all(files(b) for b in left))
        wait_until(40, lambda: not any(files(b) for b in left), "the files are gone")
        for b in left:
            self.assertEqual(lab.request("HEAD", EAST, f"/v2/team/left/blobs/{b['digest']}", "eastus", p.auth)[0], 404)
        self.assertLessEqual(use(), used - 4 * MIB)
        for name in ("before", "retagged", "after"):
            whole(lab, EAST, "eastus", "team/space", name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
