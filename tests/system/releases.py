# SPDX-License-Identifier: Apache-2.0
"""Fleets of two releases, for tests that upgrade region by region. tools/release-before builds the versions before this one from the
history, and says in a file where each is, or why it is not there."""
import json, os, sqlite3, sys, unittest

from lab import BUILD, DOMAIN, Lab, MERIDIAND, REGIONS, SKIP, wait_until
from test_failure import Pusher, whole

# Of another build (a sanitizer's), where the versions before were built beside that.
RELEASES = os.environ.get("MERIDIAN_RELEASES", os.path.join(BUILD, "release-before"))


def need_release(kind):
    """The daemon of that kind (tools/release-before lists them). Ends the program, as skipped and with the reason, where there is none."""
    path = f"{RELEASES}/daemons"
    if not os.path.exists(path):
        print(f"skipped: the versions before this one are not built ({path} is not there; tools/release-before {RELEASES} builds them)")
        sys.exit(SKIP)
    with open(path) as f:
        found = {kind: (daemon, reason) for kind, daemon, reason in ((line.rstrip("\n") + "  ").split(" ", 2) for line in f)}
    daemon, reason = found[kind]
    if daemon == "-":
        print(f"skipped: {reason.strip()}")
        sys.exit(SKIP)
    return daemon


def host(region):
    return f"contoso.{region}.geo.{DOMAIN}"


class Mixed(unittest.TestCase):
    """Three regions of a version before; a test sets which: `before`, the daemon's path."""

    before = None

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(programs={region: cls.before for region in REGIONS}))
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
