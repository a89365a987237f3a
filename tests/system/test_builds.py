# SPDX-License-Identifier: Apache-2.0
"""Two builds side by side: southeastasia runs a later one, which knows an attribute of the feed that the others do not.
Its entries travel as they were signed, hold nothing back, freeze what they must, and are applied after the upgrade."""
import json, shutil, sqlite3, unittest

from lab import DOMAIN, Lab, MERIDIAND_INVENTED, wait_until
from test_failure import OCI, Pusher, whole

LATER, OLD = "southeastasia", ("eastus", "westeurope")


def host(region):
    return f"contoso.{region}.geo.{DOMAIN}"


class Builds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(programs={LATER: MERIDIAND_INVENTED}))
        cls.pusher = Pusher(cls.lab, host(LATER), LATER, "team/app", blob_bytes=2000)

    def rows(self, region, sql, *values):
        db = sqlite3.connect(f"{self.lab.dir}/{region}/meta/meta.db")
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def bodies(self, region):
        """Of all that the later region said of that attribute, as another one has it."""
        return self.rows(region, "SELECT seq, body FROM feed WHERE origin=? AND attribute='hold' ORDER BY seq", LATER)

    def applied(self, region):
        return {name.split(":", 1)[1] for name, in self.rows(region, "SELECT name FROM numbers WHERE name LIKE 'invented:%'")}

    def status(self, region):
        auth = self.lab.bearer("registry:catalog:*", host=host(region), region=region)
        status, _, body = self.lab.request("GET", host(region), "/replication/v1/status?registry=contoso", region, auth)
        self.assertEqual(status, 200, body)
        return next(r for r in json.loads(body)["replications"] if r["origin"] == LATER)

    def put(self, region, repository, tag="again"):
        """Tags a manifest that is there: the status, and the error's sentence."""
        auth = self.lab.bearer(f"repository:{repository}:pull,push", host=host(region), region=region)
        _, _, manifest = self.lab.request("GET", host(region), f"/v2/{repository}/manifests/first", region, auth)
        status, _, body = self.lab.request("PUT", host(region), f"/v2/{repository}/manifests/{tag}", region,
                                           dict(auth, **{"Content-Type": OCI}), manifest)
        return status, body.decode()

    def delete(self, region, repository, tag):
        auth = self.lab.bearer(f"repository:{repository}:delete", host=host(region), region=region)
        status, _, body = self.lab.request("DELETE", host(region), f"/v2/{repository}/manifests/{tag}", region, auth)
        return status, body.decode()

    def test_1_what_is_not_known_is_kept_and_holds_nothing_back(self):
        lab = self.lab
        self.pusher.push("first")
        self.pusher.push("noted-1")
        self.pusher.push("last")
        lab.wait_replicated("contoso/team/app:last")
        said = self.bodies(LATER)
        self.assertEqual(len(said), 1)
        self.assertIn(b"\nsubject=tag:noted-1\nattribute=hold\n", said[0][1])
        for region in OLD:
            self.assertEqual(self.bodies(region), said)
            self.assertEqual(self.applied(region), set())
            self.assertEqual(whole(lab, host(region), region, "team/app", "noted-1"), self.pusher.acknowledged["team/app:noted-1"])
            self.assertEqual(self.put(region, "team/app")[0], 201)
            row = self.status(region)
            self.assertEqual(row["state"], "NeedsUpgrade", row)
            self.assertEqual(row["unknown"], [{"repository": "team/app", "attribute": "hold", "entries": 1, "freezes": False}])
            self.assertIn("newer program", row["lastError"])
        self.assertEqual(self.applied(LATER), {"contoso/team/app:noted-1"})

    def test_2_what_must_be_known_freezes_its_repository(self):
        lab = self.lab
        other = Pusher(lab, host(LATER), LATER, "team/other", blob_bytes=2000)
        other.push("first")
        self.pusher.push("held-1")
        self.pusher.push("after")
        lab.wait_replicated("contoso/team/app:after")
        lab.wait_replicated("contoso/team/other:first")
        for region in OLD:
            for status, body in (self.put(region, "team/app"), self.delete(region, "team/app", "first")):
                self.assertEqual(status, 503, body)
                self.assertIn("NeedsUpgrade", body)
            self.assertEqual(self.put(region, "team/other")[0], 201)
            self.assertEqual(self.delete(region, "team/other", "again")[0], 202)
            whole(lab, host(region), region, "team/app", "after")
            self.assertIn({"repository": "team/app", "attribute": "hold", "entries": 1, "freezes": True}, self.status(region)["unknown"])
        self.assertEqual(self.put(LATER, "team/app")[0], 201)

    def test_3_it_is_applied_after_the_upgrade(self):
        lab = self.lab
        want = {"contoso/team/app:noted-1", "contoso/team/app:held-1"}
        lab.stop("westeurope")
        lab.programs["westeurope"] = MERIDIAND_INVENTED
        lab.start("westeurope")
        wait_until(20, lambda: self.applied("westeurope") == want, "what was kept is applied")
        self.assertEqual(self.put("westeurope", "team/app")[0], 201)
        wait_until(20, lambda: self.status("westeurope")["state"] == "Ready", "westeurope needs nothing more")
        self.assertEqual(self.put("eastus", "team/app")[0], 503)
        self.assertEqual(self.applied("eastus"), set())

    def test_4_its_origin_gets_it_back_from_those_who_do_not_know_it(self):
        lab = self.lab
        said = self.bodies(LATER)
        lab.stop("westeurope")  # eastus alone has it
        lab.stop(LATER)
        shutil.rmtree(f"{lab.dir}/{LATER}/meta")
        lab.start(LATER)
        wait_until(60, lambda: self.bodies(LATER)[:2] == said, "its own entries came back as it had signed them")
        wait_until(20, lambda: len(self.applied(LATER)) == 2, "and they are applied")
        lab.start("westeurope")


if __name__ == "__main__":
    unittest.main(verbosity=2)
