# SPDX-License-Identifier: Apache-2.0
"""Regions of the version before (MERIDIAN_BEFORE, which `make test-upgrade` builds from the history) beside regions of this one:
an upgrade region by region, while all are used; what the version before cannot say is refused meanwhile; no way back after it."""
import json, os, shutil, sqlite3, sys, unittest

from lab import DOMAIN, Lab, MERIDIAND, REGIONS, SKIP, wait_until
from test_failure import Pusher, whole

BEFORE = os.environ.get("MERIDIAN_BEFORE")


def host(region):
    return f"contoso.{region}.geo.{DOMAIN}"


class Upgrade(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(programs={region: BEFORE for region in REGIONS}))
        cls.pushers = {region: Pusher(cls.lab, host(region), region, f"team/{region}", blob_bytes=2000) for region in REGIONS}
        cls.n = 0

    def rows(self, region, sql, *values):
        db = sqlite3.connect(f"{self.lab.dir}/{region}/meta/meta.db")
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def versions(self, region):
        """Of the entries that a region minted, from the first to the last."""
        return [v for v, in self.rows(region, "SELECT version FROM feed WHERE origin=? ORDER BY epoch, seq", region)]

    def push_everywhere(self):
        """A push in each region, all of which arrive whole in every other one."""
        type(self).n += 1
        tag = f"t{self.n}"
        for region, pusher in self.pushers.items():
            pusher.push(tag)
        for origin, pusher in self.pushers.items():
            for region in REGIONS:
                auth = self.lab.bearer(f"repository:team/{origin}:pull", host=host(region), region=region)
                path = f"/v2/team/{origin}/manifests/{tag}"
                wait_until(30, lambda: self.lab.request("HEAD", host(region), path, region, auth)[0] == 200,
                           f"{origin}'s push {tag} is in {region}")
                self.assertEqual(whole(self.lab, host(region), region, f"team/{origin}", tag),
                                 pusher.acknowledged[f"team/{origin}:{tag}"])
        return tag

    def upgrade(self, region):
        self.lab.stop(region)
        self.lab.programs[region] = MERIDIAND
        self.lab.start(region)

    def delete(self, region, repository, tag):
        auth = self.lab.bearer(f"repository:{repository}:pull,push,delete", host=host(region), region=region)
        status, _, body = self.lab.request("DELETE", host(region), f"/v2/{repository}/manifests/{tag}", region, auth)
        return status, body.decode()

    def status(self, region, origin):
        auth = self.lab.bearer("registry:catalog:*", host=host(region), region=region)
        status, _, body = self.lab.request("GET", host(region), "/replication/v1/status?registry=contoso", region, auth)
        self.assertEqual(status, 200, body)
        return next(r for r in json.loads(body)["replications"] if r["origin"] == origin)

    def test_1_all_of_the_version_before(self):
        self.push_everywhere()

    def test_2_one_is_upgraded_and_all_go_on(self):
        lab = self.lab
        lab.stop("westeurope")
        lab.check("cp", "-a", f"{lab.dir}/westeurope", f"{lab.dir}/westeurope.backup")
        lab.start("westeurope")
        self.upgrade("eastus")
        whole(lab, host("eastus"), "eastus", "team/westeurope", "t1")
        self.push_everywhere()
        self.assertEqual(set(self.versions("eastus")), {1})
        self.assertEqual(self.status("eastus", "westeurope")["speaks"], 1)

    def test_3_what_the_version_before_cannot_say_is_refused(self):
        status, body = self.delete("eastus", "team/eastus", "t1")
        self.assertEqual(status, 503, body)
        self.assertTrue("westeurope" in body or "southeastasia" in body, body)
        whole(self.lab, host("eastus"), "eastus", "team/eastus", "t1")
        self.push_everywhere()  # nothing came of it, anywhere

    def test_4_the_last_one_is_upgraded_and_version_2_begins(self):
        self.upgrade("southeastasia")
        self.push_everywhere()
        status, body = self.delete("eastus", "team/eastus", "t1")
        self.assertEqual(status, 503, body)
        self.assertIn("westeurope", body)
        self.upgrade("westeurope")
        wait_until(30, lambda: self.status("eastus", "westeurope").get("speaks") == 2, "eastus has heard that westeurope is upgraded")
        self.push_everywhere()
        for region in REGIONS:
            versions = self.versions(region)
            self.assertEqual(versions, sorted(versions))
            self.assertEqual((versions[0], versions[-1]), (1, 2))
        wait_until(30, lambda: self.delete("eastus", "team/eastus", "t1")[0] == 202, "a tag can be deleted now")
        for region in REGIONS:
            auth = self.lab.bearer("repository:team/eastus:pull", host=host(region), region=region)
            wait_until(30, lambda: self.lab.request("HEAD", host(region), "/v2/team/eastus/manifests/t1", region, auth)[0] == 404,
                       f"the tag is gone in {region}")

    def test_5_the_version_before_refuses_the_store(self):
        lab = self.lab
        lab.stop("westeurope")
        lab.programs["westeurope"] = BEFORE
        since = lab.log_end("westeurope")
        lab.start("westeurope", wait=False)
        wait_until(20, lambda: lab.daemons["westeurope"].poll() is not None, "the version before ends")
        lab.daemons.pop("westeurope")
        self.assertIn("start the newer program again", lab.said("westeurope", since))

    def test_6_a_backup_with_the_version_before_is_refused_in_words(self):
        lab = self.lab
        os.rename(f"{lab.dir}/westeurope", f"{lab.dir}/westeurope.upgraded")
        lab.check("cp", "-a", f"{lab.dir}/westeurope.backup", f"{lab.dir}/westeurope")
        since = lab.log_end("westeurope")
        lab.start("westeurope", wait=False)
        lab.wait_said("westeurope", "start the newer program again", since, 40)
        self.pushers["eastus"].push("meanwhile")  # and nobody else minds
        auth = lab.bearer("repository:team/eastus:pull", host=host("southeastasia"), region="southeastasia")
        wait_until(30, lambda: lab.request("HEAD", host("southeastasia"), "/v2/team/eastus/manifests/meanwhile", "southeastasia",
                                           auth)[0] == 200, "the others go on")
        lab.stop("westeurope")
        shutil.rmtree(f"{lab.dir}/westeurope")
        os.rename(f"{lab.dir}/westeurope.upgraded", f"{lab.dir}/westeurope")
        lab.programs["westeurope"] = MERIDIAND
        lab.start("westeurope")
        self.push_everywhere()


if __name__ == "__main__":
    if not BEFORE:
        print("skipped: make test-upgrade builds the version before, and runs this beside it")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
