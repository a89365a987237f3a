# SPDX-License-Identifier: Apache-2.0
"""A change of one registry: answered by every region at once, still there after kill -9 and without the document being
read anew, and nothing else moved by it. A name that goes to another owner takes nothing of the one before along."""
import json, os, unittest, urllib.parse

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, wait_until

NEW = f"woodgrove.{DOMAIN}"
OLD = f"contoso.{DOMAIN}"


class Changes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())

    def change(self, text, check=True):
        return self.lab.run(MERIDIAN, "topology", "change", "--topology", self.lab.topology, "-", input=text, check=check)

    def state(self, region):
        return self.lab.admin(region, "config", "check", "--in-force", check=False)["topology"]

    def test_a_change_is_answered_and_stays(self):
        lab, stopped = self.lab, "southeastasia"
        before = {r: lab.dig(OLD, at=r) for r in REGIONS}
        version = self.state("eastus")["version"]
        self.assertEqual(lab.dig(NEW), [])
        self.change("registries:\n  - { name: woodgrove, regional_endpoints: enabled, replicas: [{ region: eastus }] }\n")
        for region in REGIONS:
            wait_until(5, lambda: lab.dig(NEW, at=region)[-1:] == [REGIONS["eastus"]], f"{region} answers the new registry")
        # Its endpoint is served as well, not only named.
        self.assertEqual(lab.request("GET", NEW, "/v2/", region="eastus")[0], 401)
        self.assertEqual(lab.request("GET", NEW, "/v2/", region="westeurope")[0], 421)
        state = self.state("eastus")
        self.assertEqual((state["version"], state["changes"]["taken"], state["changes"]["refusedWhy"]), (version + 1, 1, None))
        # One that cannot be is not appended; one that was appended otherwise is refused by each node, and said.
        r = self.change("registries:\n  - { name: woodgrove, replicas: [{ region: eastuss }] }\n", check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn('standard input:1: registry woodgrove: replicas: unknown region "eastuss"; did you mean eastus?',
                      r.stderr.replace("standard input:2", "standard input:1"))
        with open(lab.topology + ".changes", "a") as f:
            f.write(f"version: {version + 5}\nremove: [contoso]\n...\nversion: {version + 2}\nremove: [cont")
        wait_until(5, lambda: self.state("eastus")["changes"]["refused"] == 1, "the gap is told")
        self.assertIn(f"version {version + 2} is missing", self.state("eastus")["changes"]["refusedWhy"])
        # kill -9: the same state comes back.
        lab.kill(stopped)
        lab.start(stopped)
        self.assertEqual(lab.dig(NEW, at=stopped)[-1:], [REGIONS["eastus"]])
        self.assertEqual(self.state(stopped)["version"], version + 1)
        # The torn end of the file is cut off by the next writer, and then all goes on.
        self.change("remove: [woodgrove]\n")
        for region in REGIONS:
            wait_until(5, lambda: lab.dig(NEW, at=region) == [], f"{region} has let go of it")
            self.assertEqual(self.state(region)["version"], version + 2)
        self.assertEqual({r: lab.dig(OLD, at=r) for r in REGIONS}, before)
        # A whole document with a higher version supersedes all of it.
        with open(lab.topology) as f:
            text = f.read()
        with open(lab.topology + ".new", "w") as f:
            f.write(text.replace(f"version: {version}\n", f"version: {version + 10}\n", 1))
        os.chmod(lab.topology + ".new", os.stat(lab.topology).st_mode)
        os.rename(lab.topology + ".new", lab.topology)
        for region in REGIONS:
            wait_until(5, lambda: self.state(region)["version"] == version + 10, f"{region} takes the document")
        self.assertEqual({r: lab.dig(OLD, at=r) for r in REGIONS}, before)

    def test_a_name_goes_to_another_owner(self):
        """tailspin is deleted, its name kept, given up, and taken by somebody else while a region is away: that one brings nothing of
        the old owner back."""
        lab, away, host = self.lab, "southeastasia", f"tailspin.{DOMAIN}"
        replicas = "replicas: [{ region: eastus }, { region: westeurope }, { region: southeastasia }]"

        def status(region, path, auth=None):
            return lab.request("GET", host, path, region, auth or {})[0]

        def shown(region):
            got = lab.request("HEAD", host, "/v2/app/manifests/1", region)
            return got[1].get("docker-content-digest") if got[0] == 200 else got[0]

        def refreshed(region, token):
            body = urllib.parse.urlencode({"grant_type": "refresh_token", "service": host, "scope": "repository:app:pull",
                                           "refresh_token": token})
            return lab.request("POST", host, "/oauth2/token", region, {"Content-Type": "application/x-www-form-urlencoded"}, body)[0]
        old = lab.push("old", host, "app", "1")
        lab.wait_replicated("tailspin/app:1")
        token = lab.bearer("repository:app:pull,push", host=host)
        refresh = json.loads(lab.check(MERIDIAN, "login", "-n", "tailspin", "--expose-token"))["accessToken"]
        upload = lab.request("POST", host, "/v2/app/blobs/uploads/", "eastus", token)[1]["location"].split(host, 1)[1]
        self.assertEqual((status("eastus", "/v2/", token), refreshed("eastus", refresh)), (200, 200))
        lab.kill(away)
        self.change("remove: [tailspin]\nreserve: [{ name: tailspin, owner: ada, since: 2026-11-01T00:00:00Z, until: 2100-01-01T00:00:00Z }]\n")
        for region in ("eastus", "westeurope"):
            wait_until(5, lambda: status(region, "/v2/") == 421, f"{region} has let go of it")
            self.assertEqual((status(region, "/v2/", token), refreshed(region, refresh), lab.dig(host, at=region)), (421, 421, []))
        # Nobody else gets it, under whatever label, as long as it is kept for ada.
        for row in ("", "owner: bob, ", "owner: bob, hash: abcdefgh01234567, "):
            r = self.change(f"registries:\n  - {{ name: tailspin, {row}{replicas} }}\n", check=False)
            self.assertEqual(r.returncode, 1)
            self.assertIn("registry tailspin: the name is reserved until 2100-01-01T00:00:00Z for ada", r.stderr)
        self.change("release: [tailspin]\n")
        self.change(f"registries:\n  - {{ name: tailspin, owner: bob, anonymous_pull: true, {replicas} }}\n")
        for region in ("eastus", "westeurope"):
            wait_until(5, lambda: status(region, "/v2/") == 401, f"{region} serves the new one")
            self.assertEqual((shown(region), status(region, f"/v2/app/manifests/{old}")), (404, 404))
            self.assertEqual((status(region, "/v2/", token), refreshed(region, refresh)), (401, 401))  # what was given for the old one
            self.assertEqual(status(region, upload, lab.bearer("repository:app:pull,push", host=host, region=region)), 404)
        new = lab.push("new", host, "app", "1")
        lab.start(away)
        wait_until(20, lambda: shown(away) == new, f"{away} has the new owner's image")
        for region in REGIONS:
            self.assertEqual((shown(region), status(region, f"/v2/app/manifests/{old}")), (new, 404))
            self.assertEqual((status(region, "/v2/", token), refreshed(region, refresh)), (401, 401))
        # A replica that goes takes writes and hands them on, and gets those of the others, as long as it is there.
        version = self.state(away)["version"] + 1
        self.change(f"registries:\n  - {{ name: tailspin, owner: bob, anonymous_pull: true, {replicas.replace('asia }', 'asia, stage: edge }')} }}\n")
        for region in REGIONS:
            wait_until(5, lambda: self.state(region)["version"] == version, f"{region} has the stage")
        token = lab.bearer("repository:app:pull,push", host=host)
        _, headers, manifest = lab.request("GET", host, f"/v2/app/manifests/{new}", "eastus")
        for written, read in ((away, "eastus"), ("eastus", away)):
            put = lab.request("PUT", host, f"/v2/app/manifests/by-{written}", written,
                              {**token, "Content-Type": headers["content-type"]}, manifest)
            self.assertEqual(put[0], 201)
            wait_until(20, lambda: status(read, f"/v2/app/manifests/by-{written}") == 200, f"{read} has the tag of {written}")

    def test_names_come_and_go_by_stages(self):
        """Regional names of a registry are switched on and off again, stage by stage, under a client that calls the one name that it
        was given: no answer of DNS leads to an edge that does not know it, and the global name works throughout."""
        lab, host, here = self.lab, f"fourthcoffee.{DOMAIN}", f"fourthcoffee.eastus.geo.{DOMAIN}"

        def row(more):
            self.change(f"registries:\n  - {{ name: fourthcoffee, {more}replicas: [{{ region: eastus }}, {{ region: westeurope{stage} }}] }}\n")
        on = "regional_endpoints: enabled, "
        steps = [("", "", 421, False), (on + "regional_stage: edge, ", "", 401, False), (on + "regional_stage: private, ", "", 401, False),
                 (on, "", 401, True), (on, ", stage: edge", 401, True), (on + "regional_stage: edge, ", ", stage: edge", 401, False),
                 ("", "", 421, False)]
        version = max(self.state(region)["version"] for region in REGIONS)
        for version, (more, stage, edge, in_dns) in enumerate(steps, version + 1):
            row(more)
            for region in REGIONS:
                wait_until(5, lambda: self.state(region)["version"] == version, f"{region} has {more}")
                self.assertEqual(bool(lab.dig(here, at=region)), in_dns, (region, more))
            self.assertEqual(lab.request("GET", here, "/v2/", "eastus")[0], edge, more)
            self.assertEqual(lab.request("GET", host, "/v2/", "westeurope")[0], 401)  # also a replica that goes serves who comes
            shown = json.loads(lab.check(MERIDIAN, "show-endpoints", "-n", "fourthcoffee", "--topology", lab.topology, "-o", "json"))
            self.assertEqual("eastus" in [e["region"] for e in shown["regionalEndpoints"]], in_dns)
            self.assertEqual("westeurope" in [e["region"] for e in shown["regionalEndpoints"]], in_dns and not stage)
            # clients that are nearer to westeurope go to eastus while that replica is not public
            led = {r: lab.dig(host, at=r)[-1:] for r in REGIONS}
            if stage:
                self.assertEqual(set(map(tuple, led.values())), {(REGIONS["eastus"],)})
        self.change("registries: [{ name: fourthcoffee, stage: edge, replicas: [{ region: eastus }] }]\n")
        wait_until(5, lambda: lab.dig(host, at="eastus") == [], "the registry has left DNS")
        self.assertEqual(lab.request("GET", host, "/v2/", "eastus")[0], 401)  # for who has its address in a cache
        self.assertEqual(lab.admin("eastus", "dns", "explain", host)["stage"], "edge")


if __name__ == "__main__":
    unittest.main()
