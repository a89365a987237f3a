# SPDX-License-Identifier: Apache-2.0
"""Backups of a region that takes pushes, its disk lost, and the restore: nothing that was acknowledged and had reached another
region is lost, what was deleted stays deleted, and no sequence is used twice."""
import json, os, shutil, threading, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, wait_until
from test_failure import Pusher, whole

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
REPOSITORY = "team/app"


class Backup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.pusher = Pusher(cls.lab, EAST, "eastus", REPOSITORY)
        cls.folder = f"{cls.lab.dir}/backup"

    def node(self, *words, region="eastus", check=True):
        r = self.lab.run(MERIDIAN, *words, "--node", f"{self.lab.dir}/{region}/meridiand.yaml", "-o", "json", check=check)
        return json.loads(r.stdout) if check else r

    def verify(self, *words):
        return json.loads(self.lab.check(MERIDIAN, "backup", "verify", self.folder, *words, "-o", "json"))

    def closed(self, region):
        try:
            return self.lab.admin(region, "status").get("writesClosed")
        except AssertionError:
            return None  # it does not listen yet

    def same_everywhere(self, limit_s=60):
        def equal():
            lists = [self.lab.listing(r) for r in REGIONS]
            return lists[0] if lists[0] == lists[1] == lists[2] else None
        return wait_until(limit_s, equal, "all regions list the same")

    def delete(self, tag):
        auth = self.lab.bearer(f"repository:{REPOSITORY}:pull,push,delete", host=EAST, region="eastus")
        status, _, body = self.lab.request("DELETE", EAST, f"/v2/{REPOSITORY}/manifests/{tag}", "eastus", auth)
        self.assertEqual(status, 202, body)

    def test_1_a_backup_beside_pushes_and_what_is_in_it(self):
        for i in range(6):
            self.pusher.push(f"first{i}")
        ends = threading.Event()

        def push_on():
            i = 0
            while not ends.is_set():
                self.pusher.push(f"beside{i}")
                i += 1
        beside = threading.Thread(target=push_on)
        beside.start()
        try:
            first = self.node("backup", "--to", self.folder)
        finally:
            ends.set()
            beside.join()
        self.assertEqual((first["region"], first["missing"], first["keys"]), ("eastus", [], False))
        self.assertGreaterEqual(first["tags"], 6)
        self.assertEqual(first["newBlobs"], first["blobs"])
        self.assertEqual(self.verify()["readBlobs"], first["blobs"])
        # the daemon's alone, and no key in it
        self.assertEqual(os.stat(self.folder).st_mode & 0o777, 0o700)
        with open(f"{self.folder}/backup.json") as f:
            paths = [x["path"] for x in json.load(f)["files"]]
        self.assertIn("meta/meta.db", paths)
        self.assertEqual([p for p in paths if p.startswith(("keys/", "certs/"))], [])
        self.pusher.push("gone")
        second = self.node("backup", "--to", self.folder, "--verify")
        self.assertGreater(second["head"]["seq"], first["head"]["seq"])
        self.assertLess(second["newBlobs"], second["blobs"])
        self.assertEqual(second["readBlobs"], second["blobs"])
        self.assertEqual(self.verify("--sizes")["head"], second["head"])
        type(self).backed_up = second

    def test_2_refusals_are_sentences(self):
        lab = self.lab
        for words, region, sentence in ((("restore", "--from", self.folder), "eastus", "a daemon runs there"),
                                        (("backup", "--to", self.folder), "westeurope", "not of westeurope"),
                                        (("backup", "--to", f"{lab.dir}/ca"), "eastus", "no backup's"),
                                        (("restore", "--from", f"{lab.dir}/nothing"), "eastus", "a daemon runs there")):
            r = self.node(*words, region=region, check=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn(sentence, r.stderr)
        self.assertEqual(self.verify()["head"], self.backed_up["head"])

    def test_3_the_disk_is_lost_and_restored(self):
        lab = self.lab
        for i in range(4):
            self.pusher.push(f"later{i}")
        self.delete("gone")
        lab.wait_replicated(f"contoso/{REPOSITORY}:later3")
        before = self.same_everywhere()
        self.assertNotIn("gone", json.dumps(before))
        for other in ("westeurope", "southeastasia"):
            lab.stop(other)
        self.pusher.push("unread")  # acknowledged, and no other region has it
        self.pusher.acknowledged.pop(f"{REPOSITORY}:unread")
        lab.kill("eastus")
        for other in ("westeurope", "southeastasia"):
            lab.start(other, wait=False)
        for other in ("westeurope", "southeastasia"):
            lab.wait_up(other)
        data = f"{lab.dir}/eastus"
        for name in ("meta", "store", "state"):
            shutil.rmtree(f"{data}/{name}")
        r = self.node("restore", "--from", self.folder, region="westeurope", check=False)
        self.assertIn("a daemon runs there", r.stderr)
        done = self.node("restore", "--from", self.folder, "--verify")
        self.assertEqual((done["head"], done["keysLeft"]), (self.backed_up["head"], False))
        r = self.node("restore", "--from", self.folder, check=False)
        self.assertIn("never mixes", r.stderr)
        since = lab.log_end("eastus")
        lab.start("eastus")
        lab.wait_said("eastus", "entries recovered from", since)
        wait_until(40, lambda: not lab.admin("eastus", "status").get("writesClosed"), "writes open again")
        self.assertIn("writes go on in epoch", lab.said("eastus", since))
        self.assertEqual(self.same_everywhere(), before)
        for region, host in zip(REGIONS, (EAST, WEST, ASIA)):
            for name, digest in self.pusher.acknowledged.items():
                tag = name.split(":")[1]
                if tag != "gone":
                    self.assertEqual(whole(lab, host, region, REPOSITORY, tag), digest)
        # writes go on, in a new epoch, and reach everybody
        self.pusher.push("new")
        lab.wait_replicated(f"contoso/{REPOSITORY}:new")
        self.same_everywhere()
        after = self.node("backup", "--to", self.folder)
        self.assertGreater(after["epoch"], self.backed_up["epoch"])

    def test_4_a_restore_that_was_broken_off_starts_no_daemon(self):
        lab, data = self.lab, f"{self.lab.dir}/eastus"
        lab.stop("eastus")
        for name in ("meta", "store", "state"):
            shutil.rmtree(f"{data}/{name}")
        self.node("restore", "--from", self.folder)
        with open(f"{data}/meta/restoring", "w") as f:
            os.fchown(f.fileno(), os.stat(f"{data}/meta").st_uid, -1)
        since = lab.log_end("eastus")
        lab.start("eastus", wait=False)
        self.assertEqual(lab.daemons.pop("eastus").wait(25), 1)
        self.assertIn("run `meridian restore` to its end", lab.said("eastus", since))
        self.node("restore", "--from", self.folder)
        lab.start("eastus")
        self.same_everywhere()

    def test_6_a_lost_disk_without_a_backup_is_filled_by_the_others(self):
        lab, data = self.lab, f"{self.lab.dir}/eastus"
        self.pusher.push("seen")
        lab.wait_replicated(f"contoso/{REPOSITORY}:seen")
        before = self.same_everywhere()
        lab.kill("eastus")
        for name in ("meta", "store", "state"):
            shutil.rmtree(f"{data}/{name}")
        lab.cut("eastus")
        lab.start("eastus", wait=False)
        # nobody can be asked: no silent start with an empty disk
        wait_until(30, lambda: "the store is empty" in (self.closed("eastus") or ""), "writes wait for a word")
        r = lab.run(MERIDIAN, "region", "rebuild", "--no-wait", "--admin", f"{data}/run/admin.sock", check=False)
        self.assertEqual(r.returncode, 3, r.stdout + r.stderr)
        self.assertIn("is not whole yet (writes: the store is empty", r.stdout)
        with self.assertRaises(AssertionError):
            self.pusher.push("refused")
        lab.heal("eastus")
        done = lab.admin("eastus", "region", "rebuild", "--timeout", "20s")
        self.assertEqual((done["complete"], done["writes"]), (True, "open"))
        self.assertEqual(self.same_everywhere(), before)
        self.assertEqual(whole(lab, EAST, "eastus", REPOSITORY, "seen"), self.pusher.acknowledged[f"{REPOSITORY}:seen"])
        self.pusher.push("rebuilt")
        lab.wait_replicated(f"contoso/{REPOSITORY}:rebuilt")

    def test_5_with_keys_the_whole_region_is_in_it(self):
        lab, data, folder = self.lab, f"{self.lab.dir}/eastus", f"{self.lab.dir}/backup-keys"
        done = self.node("backup", "--to", folder, "--with-keys", "--copy")
        self.assertTrue(done["keys"])
        for path, _, names in os.walk(folder):
            for name in names:
                self.assertEqual(os.stat(f"{path}/{name}").st_mode & 0o077, 0, name)
        before = self.same_everywhere()
        lab.stop("eastus")
        for name in ("meta", "store", "state", "keys", "certs"):
            shutil.rmtree(f"{data}/{name}")
        self.node("restore", "--from", folder)
        lab.start("eastus")
        wait_until(40, lambda: not lab.admin("eastus", "status").get("writesClosed"), "writes open again")
        self.assertEqual(self.same_everywhere(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
