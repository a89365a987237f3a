# SPDX-License-Identifier: Apache-2.0
"""Regions of the release before this one beside regions of this one: what either writes and deletes is so in all, whole, before, while
and after one region after the other is upgraded."""
import unittest

from lab import REGIONS, wait_until
from releases import Mixed, host, need_release
from test_failure import whole


class ReleaseBefore(Mixed):
    def delete_everywhere(self, tag):
        """Each region deletes that tag of its own repository: gone in each."""
        for origin in REGIONS:
            # one that has just come back is asked first how much it knows
            wait_until(30, lambda: self.delete(origin, f"team/{origin}", tag)[0] == 202, f"{origin} deletes {tag}")
            del self.pushers[origin].acknowledged[f"team/{origin}:{tag}"]
        for origin in REGIONS:
            for region in REGIONS:
                auth = self.lab.bearer(f"repository:team/{origin}:pull", host=host(region), region=region)
                path = f"/v2/team/{origin}/manifests/{tag}"
                wait_until(30, lambda: self.lab.request("HEAD", host(region), path, region, auth)[0] == 404, f"{origin}'s {tag} is gone in {region}")

    def all_there(self):
        """All that was acknowledged and not deleted, whole, in each region."""
        for region in REGIONS:
            for origin, pusher in self.pushers.items():
                for name, digest in pusher.acknowledged.items():
                    self.assertEqual(whole(self.lab, host(region), region, *name.rsplit(":", 1)), digest, (region, name))

    def goes_on(self):
        self.push_everywhere()
        self.delete_everywhere(self.push_everywhere())
        self.all_there()

    def test_1_all_of_the_release_before(self):
        self.goes_on()

    def test_2_one_is_upgraded(self):
        self.upgrade("eastus")
        self.goes_on()

    def test_3_one_is_of_the_release_before(self):
        self.upgrade("westeurope")
        self.goes_on()

    def test_4_all_are_upgraded(self):
        self.upgrade("southeastasia")
        self.goes_on()
        wait_until(30, lambda: all(self.status(region, origin)["state"] == "Ready" for region in REGIONS for origin in REGIONS if origin != region),
                   "nothing waits for anything")


if __name__ == "__main__":
    ReleaseBefore.before = need_release("release")
    unittest.main(verbosity=2)
