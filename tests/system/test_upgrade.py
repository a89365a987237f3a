# SPDX-License-Identifier: Apache-2.0
"""Regions of the last version that speaks 1 beside regions of this one: an upgrade region by region, while all are used; what that
version cannot say is refused meanwhile; no way back after it."""
import os, shutil, unittest

from lab import MERIDIAND, REGIONS, wait_until
from releases import Mixed, host, need_release
from test_failure import whole


class Upgrade(Mixed):
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
        lab.programs["westeurope"] = self.before
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
    Upgrade.before = need_release("speaks-1")
    unittest.main(verbosity=2)
