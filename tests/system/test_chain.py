# SPDX-License-Identifier: Apache-2.0
"""The whole chain with real clients: names, login, push to one regional name, pull from another and from the global name."""
import base64, json, os, re, threading, unittest, urllib.parse

from lab import CLIENT, CORP, DOMAIN, Lab, MERIDIAN, REGIONS, SOURCE, USER, wait_until
from oci_suite import Data, Suite

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL = f"contoso.{DOMAIN}"


class Chain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())

    def test_names(self):
        lab = self.lab
        self.assertEqual(lab.dig(EAST)[-1], REGIONS["eastus"])
        self.assertEqual(lab.dig(WEST, at="eastus")[-1], REGIONS["westeurope"])
        for source, region in ((CLIENT, "eastus"), ("10.88.0.101", "southeastasia")):  # a region may have been down just now
            wait_until(20, lambda: lab.dig(GLOBAL, source=source)[-1:] == [REGIONS[region]], f"{source} is led to {region}")
        private = lab.dig(WEST, source=CORP)
        self.assertEqual(private, [f"contoso.westeurope.geo.privatelink.{DOMAIN}.", REGIONS["westeurope"]])
        out = lab.check("kdig", f"@{REGIONS['eastus']}", "+tcp", "nosuch." + DOMAIN, "A")
        self.assertIn("NXDOMAIN", out)
        self.assertIn("SOA", out)

    def test_skopeo_push_and_pull_everywhere(self):
        lab = self.lab
        for host in (EAST, WEST, ASIA, GLOBAL):
            lab.login(host)
        path, digest = lab.image("skopeo")
        lab.check("skopeo", "copy", "-q", f"oci:{path}:1", f"docker://{EAST}/team/skopeo:1")
        lab.wait_replicated("contoso/team/skopeo:1")
        for host in (EAST, WEST, ASIA, GLOBAL):
            got = lab.check("skopeo", "inspect", "--format", "{{.Digest}}", f"docker://{host}/team/skopeo:1").strip()
            self.assertEqual(got, digest)
            lab.check("skopeo", "copy", "-q", f"docker://{host}/team/skopeo@{digest}", f"dir:{lab.dir}/pulled-{host}")

    def test_skopeo_push_through_global_name(self):
        lab = self.lab
        lab.login(GLOBAL)
        path, digest = lab.image("global")
        lab.check("skopeo", "copy", "-q", f"oci:{path}:1", f"docker://{GLOBAL}/team/global:1")
        lab.wait_replicated("contoso/team/global:1")
        got = lab.check("skopeo", "inspect", "--format", "{{.Digest}}", "--creds", f"{USER}:{lab.password}",
                        f"docker://{WEST}/team/global:1").strip()
        self.assertEqual(got, digest)

    def test_push_through_global_name_while_regional_endpoints_are_off(self):
        lab = self.lab
        digest = lab.push("off", f"tailspin.{DOMAIN}", "app", "1")
        got = lab.check("skopeo", "inspect", "--no-creds", "--format", "{{.Digest}}", f"docker://tailspin.{DOMAIN}/app:1").strip()
        self.assertEqual(got, digest)

    def test_podman(self):
        lab = self.lab
        store = ["podman", "--root", f"{lab.dir}/podman", "--runroot", f"{lab.dir}/podman-run", "--storage-driver", "vfs"]
        digest = lab.push("podman", EAST, "team/podman", "1")
        lab.wait_replicated("contoso/team/podman:1")
        for host in (WEST, GLOBAL):
            lab.login(host)
            lab.check(*store, "pull", "-q", f"{host}/team/podman@{digest}")
        lab.check(*store, "push", "-q", f"{WEST}/team/podman@{digest}", f"{WEST}/team/podman:2")
        lab.check(*store, "push", "-q", f"{WEST}/team/podman@{digest}", f"{GLOBAL}/team/podman:3")
        lab.wait_replicated("contoso/team/podman:2")
        lab.wait_replicated("contoso/team/podman:3")

    def test_ctr(self):
        lab = self.lab
        digest = lab.push("ctr", EAST, "team/ctr", "1")
        lab.wait_replicated("contoso/team/ctr:1")
        sock = f"{lab.dir}/containerd.sock"
        log = open(f"{lab.dir}/containerd.log", "wb")
        lab.background("containerd", "--root", f"{lab.dir}/ctr", "--state", f"{lab.dir}/ctr-run", "--address", sock,
                       stdout=log, stderr=log)
        ctr = ["ctr", "--address", sock]
        wait_until(30, lambda: lab.run(*ctr, "version", check=False).returncode == 0, "containerd answers")
        creds = f"{USER}:{lab.password}"
        for host in (WEST, GLOBAL):
            # fetch, not pull: nothing is unpacked, so no snapshotter is needed
            lab.check(*ctr, "content", "fetch", "--user", creds, f"{host}/team/ctr:1")
        listed = lab.check(*ctr, "images", "ls")
        self.assertIn(digest, listed)
        lab.check(*ctr, "images", "tag", f"{WEST}/team/ctr:1", f"{ASIA}/team/ctr:2")
        lab.check(*ctr, "images", "push", "--user", creds, f"{ASIA}/team/ctr:2")
        lab.check(*ctr, "images", "tag", f"{WEST}/team/ctr:1", f"{GLOBAL}/team/ctr:3")
        lab.check(*ctr, "images", "push", "--user", creds, f"{GLOBAL}/team/ctr:3")
        lab.wait_replicated("contoso/team/ctr:2")
        lab.wait_replicated("contoso/team/ctr:3")

    def test_one_token_on_all_hosts(self):
        lab = self.lab
        digest = lab.push("token", EAST, "team/token", "1")
        lab.wait_replicated("contoso/team/token:1")
        for issuer in REGIONS:
            token = lab.token("repository:team/token:pull", host=f"contoso.{issuer}.geo.{DOMAIN}")
            for host in (EAST, WEST, ASIA, GLOBAL):
                out = lab.check("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
                                f"https://{host}/v2/team/token/manifests/{digest}")
                self.assertEqual(out, "200", (issuer, host))
        # and for no other registry
        for host in (f"fabrikam.{DOMAIN}", f"fabrikam.eastus.geo.{DOMAIN}"):
            out = lab.check("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
                            f"https://{host}/v2/team/token/manifests/{digest}")
            self.assertEqual(out, "401", host)

    def test_blob_ranges_and_headers(self):
        lab = self.lab
        lab.push("ranges", EAST, "team/ranges", "1")
        auth = lab.bearer("repository:team/ranges:pull")
        _, headers, manifest = lab.request("GET", EAST, "/v2/team/ranges/manifests/1", headers=auth)
        self.assertEqual(headers["x-meridian-region"], "eastus")
        self.assertEqual(headers["x-meridian-stamp"], "eus-1")
        self.assertEqual(len(headers["x-meridian-request-id"]), 32)
        layer = json.loads(manifest)["layers"][0]
        path = f"/v2/team/ranges/blobs/{layer['digest']}"
        status, headers, whole = lab.read(EAST, path, headers=auth)
        self.assertEqual((status, len(whole)), (200, layer["size"]))
        self.assertEqual(headers["docker-content-digest"], layer["digest"])
        self.assertEqual(headers["x-meridian-region"], "eastus")
        status, headers, part = lab.read(EAST, path, headers=dict(auth, Range="bytes=100-199"))
        self.assertEqual((status, part), (206, whole[100:200]))
        status, headers, body = lab.request("HEAD", EAST, path, headers=auth)
        self.assertEqual((status, headers["content-length"], body), (200, str(layer["size"]), b""))
        status, _, _ = lab.request("DELETE", EAST, path, headers=auth)
        self.assertEqual(status, 405)

    def test_blobs_come_from_the_data_host(self):
        """By a signed URL that each GET at a registry's name gives anew, and by nothing else."""
        lab = self.lab
        lab.push("data", EAST, "team/data", "1")
        auth = lab.bearer("repository:team/data:pull,push")
        layer = json.loads(lab.request("GET", EAST, "/v2/team/data/manifests/1", headers=auth)[2])["layers"][0]
        path = f"/v2/team/data/blobs/{layer['digest']}"
        data = f"contoso.eastus.data.{DOMAIN}"
        private = {h: f"contoso.westeurope.data.privatelink.{DOMAIN}" for h in
                   (f"contoso.privatelink.{DOMAIN}", f"contoso.westeurope.geo.privatelink.{DOMAIN}")}
        lab.wait_replicated("contoso/team/data:1")
        for host, region, want in ((EAST, "eastus", data), (GLOBAL, "eastus", data), *((h, "westeurope", d) for h, d in private.items())):
            status, headers, body = lab.request("GET", host, path, region, auth)
            self.assertEqual((status, headers["cache-control"], headers["docker-content-digest"], body),
                             (307, "no-store", layer["digest"], b""))
            url = urllib.parse.urlsplit(headers["location"])
            self.assertEqual((url.scheme, url.netloc, url.path), ("https", want, path))
            target = f"{url.path}?{url.query}"
            for more in ({}, {"Authorization": "Bearer not.a.token"}):
                status, headers, body = lab.request("GET", want, target, region, more)
                self.assertEqual((status, len(body), headers["x-meridian-region"]), (200, layer["size"], region))
            status, headers, body = lab.request("HEAD", want, target, region)
            self.assertEqual((status, headers["content-length"], headers["docker-content-digest"]), (200, str(layer["size"]), layer["digest"]))
            status, headers, body = lab.request("GET", want, target, region, {"Range": "bytes=-5"})
            self.assertEqual((status, len(body)), (206, 5))
            lab.check("curl", "-sSfL", "-o", "/dev/null", "-r", "7-", "-H", f"Authorization: {auth['Authorization']}", f"https://{EAST}{path}")
        self.assertEqual(lab.request("HEAD", EAST, path, headers=auth)[0], 200)  # told at once
        status, _, body = lab.request("GET", data, path, "eastus", auth)
        self.assertEqual(status, 403)
        self.assertIn(b"signed URLs only", body)
        status, _, body = lab.request("GET", data, target, "eastus")  # westeurope's, of a private name
        self.assertEqual(status, 403)
        self.assertIn(b"does not hold", body)
        self.assertNotIn("sig=", lab.said("eastus") + lab.said("westeurope"))

    def test_the_endpoints_are_those_of_the_documentation(self):
        """Every path of docs/registry-api.md with every method; and the paths there are those that the code knows."""
        with open(f"{SOURCE}/docs/registry-api.md") as f:
            rows = re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \| (.*?) \| ([0-9, ]+) \|$", f.read(), re.M)
        with open(f"{SOURCE}/registry/route.h") as f:
            kinds = dict(re.findall(r"(ROUTE_[A-Z_]+), *// (/(?:v2|registry)[^ \n,]*)", f.read().split("enum route_kind {")[1].split("}")[0]))
        table = {path.rstrip("/"): set() for path in kinds.values()}
        with open(f"{SOURCE}/registry/routes.c") as f:
            for kind, methods in re.findall(r"\.route = (ROUTE_[A-Z_]+),\s*\.methods = ([^,]+),", f.read()):
                table[kinds[kind].rstrip("/")] |= set(re.findall(r"BIT\(([A-Z]+)\)", methods)) or {"GET", "HEAD"}
        self.assertEqual({r[0].rstrip("/"): set(r[1].split(", ")) for r in rows if r[0].startswith(("/v2", "/registry"))}, table)
        with open(f"{SOURCE}/replication/serve.c") as f:
            served = set(re.findall(r'\{"([a-z]+)", FOR_', f.read()))
        peers = {"feed": "GET", "mark": "GET", "clock": "GET", "reach": "GET", "snapshot": "GET", "digests": "GET", "upload": "GET", "origin": "GET",
                 "damaged": "POST", "holds": "POST", "ahead": "POST", "stored": "POST", "marks": "POST"}
        self.assertEqual({r[0].split("/")[-1] for r in rows if r[0].startswith("/replication")}, served - set(peers))
        auth = self.lab.bearer("repository:team/app:pull,push")
        words = {"NAME": "team/app", "REFERENCE": "1", "DIGEST": "sha256:" + 64 * "0", "ID": "eastus." + 32 * "0"}
        methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        for path, allowed, _, answers in rows:
            real = re.sub("[A-Z]+", lambda m: words[m[0]], path)
            if path.startswith("/registry"):
                real += f"?repository=team/app&tag=1&digest={words['DIGEST']}"
            allowed = allowed.split(", ")
            for method in methods:
                with self.subTest(method=method, path=path):
                    status, headers, body = self.lab.request(method, EAST, real, headers=auth)
                    if method in allowed:
                        self.assertIn(str(status), answers.split(", "))
                        if body:  # it is there, whatever it says of what was asked for
                            self.assertNotIn(b"no such path", body)
                            self.assertNotIn(b"nothing is served", body)
                    else:
                        self.assertEqual(status, 405, body)
                        self.assertEqual(headers["allow"], ", ".join(allowed))
        for path in ("/v2/team/app", "/v2/team/app/other/1", "/v2/_other", "/v2/team/app/manifests", "/oauth2/other", "/metrics",
                     "/replication/v1/other", "/registry/v1/other", "/registry/v1", "/", "/v1/"):
            self.assertEqual(self.lab.request("GET", EAST, path, headers=auth)[0], 404, path)
        for word, method in peers.items():  # for regions alone
            self.assertEqual(self.lab.request(method, EAST, f"/replication/v1/{word}", headers=auth)[0], 403, word)

    def test_what_two_regions_attach_at_once_is_kept(self):
        lab = self.lab
        auth = lab.bearer("repository:team/attached:pull,push")
        data = Data()
        image = data.image("image")
        left, right = (data.artifact("application/vnd.example.note", subject=image, annotations={"region": r}) for r in ("east", "west"))
        suite = Suite(lab, EAST, lambda scope: auth, region="eastus")
        suite.one = "team/attached"
        for host, region in ((EAST, "eastus"), (WEST, "westeurope")):
            suite.host, suite.region = host, region
            for d, text in data.blobs.items():
                suite.post_put(suite.one, d, text)
            suite.manifest_put(data, image["digest"], image["digest"])
        subject = f"/v2/team/attached/referrers/{image['digest']}"
        for (host, region), d in (((EAST, "eastus"), left), ((WEST, "westeurope"), right)):
            suite.host, suite.region = host, region
            suite.manifest_put(data, d["digest"], d["digest"])
        self.assertEqual(suite.failed, [])
        for host, region in ((EAST, "eastus"), (WEST, "westeurope"), (ASIA, "southeastasia")):
            def both():
                listed = json.loads(lab.request("GET", host, subject, region, auth)[2])["manifests"]
                return {m["digest"] for m in listed} == {left["digest"], right["digest"]}
            wait_until(30, both, f"{region} lists what both attached")
        suite.close()

    def test_oci_suite(self):
        """What the specification's conformance suite asks for, at a regional name, and some of it at the global one."""
        for host, whole in ((EAST, True), (GLOBAL, False)):
            with self.subTest(host=host):
                suite = Suite(self.lab, host, lambda scope: self.lab.bearer(scope, host=host), f"suite-{host.split('.')[1]}", "eastus")
                suite.run(whole)
                self.assertGreater(suite.n_checks, 1000)
                self.assertEqual(suite.failed[:20], [])

    def test_regional_name_never_means_another_region(self):
        lab = self.lab
        with self.assertRaises(OSError):  # eastus holds no certificate for westeurope's names
            lab.request("GET", WEST, "/v2/", region="eastus")
        status, _, _ = lab.request("GET", EAST, "/v2/", region="eastus", headers={"Host": WEST})
        self.assertEqual(status, 421)

    def test_command_line(self):
        lab = self.lab
        lab.check(MERIDIAN, "login", "-n", "contoso", "--all", "--auth-file", f"{lab.dir}/login.json")
        out = lab.check(MERIDIAN, "check-health", "-n", "contoso")
        self.assertNotIn("ERROR", out)
        self.assertIn("token: OK", out)
        checks = json.loads(lab.check(MERIDIAN, "check-health", "-n", "contoso", "-o", "json"))
        self.assertEqual({c["status"] for c in checks}, {"OK"})
        replicas = json.loads(lab.check(MERIDIAN, "replication", "list", "-r", "contoso", "-o", "json"))
        self.assertEqual({(r["provisioningState"], r["status"]["displayStatus"]) for r in replicas}, {("Succeeded", "Ready")})
        refused = lab.run(MERIDIAN, "replication", "status", "-r", "fabrikam", check=False)
        self.assertEqual(refused.returncode, 5)
        self.assertIn("Denied", refused.stdout)

    def test_what_is_held_and_taken_away(self):
        """The commands that look at what a registry holds, and that take it away, each against real regions."""
        lab, repo = self.lab, "contoso/held/app"

        def ask(*words):
            return json.loads(lab.check(MERIDIAN, *words, "-o", "json"))

        def refused(status, *words):
            r = lab.run(MERIDIAN, *words, check=False)
            self.assertEqual(r.returncode, status, r.stdout + r.stderr)
            return r.stderr

        def tags(region):
            return {t["tag"]: t for t in ask("tag", "list", repo, "--region", region)["tags"]}
        def held(region):
            rows = ask("repository", "list", "contoso", "--region", region)["repositories"]
            return next(((r["tags"], r["manifests"]) for r in rows if r["repository"] == "held/app"), None)
        first, second = (lab.push(f"held{i}", EAST, "held/app", "1") for i in (1, 2))
        third = lab.push("held3", WEST, "held/app", "2")
        for tag in "12":
            lab.wait_replicated(f"{repo}:{tag}")
        row = {r["repository"]: r for r in ask("repository", "list", "contoso")["repositories"]}["held/app"]
        self.assertEqual((row["tags"], row["manifests"], row["over"]), (2, 3, False))
        self.assertGreater(row["bytes"], 3 * 600_000)
        shown = ask("repository", "show", repo, "--region", "westeurope")
        self.assertEqual((shown["region"], shown["tags"], shown["lock"]), ("westeurope", 2, {"write": False, "delete": False}))
        got = tags("southeastasia")
        self.assertEqual({t: (v["digest"], v["region"], v["by"]) for t, v in got.items()}, {"1": (second, "eastus", USER), "2": (third, "westeurope", USER)})
        self.assertIn(second, lab.check(MERIDIAN, "tag", "list", repo))  # and as a table
        self.assertEqual([m["digest"] for m in ask("manifest", "list", repo, "--untagged")["manifests"]], [first])
        would = ask("repository", "retention", repo, "--dry-run")
        self.assertEqual((would["would"], would["kept"], would["more"]), ([], [], False))
        # what was overwritten comes back, everywhere
        self.assertEqual([v["digest"] for v in ask("tag", "history", f"{repo}:1")["versions"]], [second, first])
        refused(7, "tag", "restore", f"{repo}:1", "--digest", third)
        lab.check(MERIDIAN, "tag", "restore", f"{repo}:1", "--digest", first)
        for region in REGIONS:
            wait_until(20, lambda: tags(region)["1"]["digest"] == first, f"{region} has what was restored")
        # locks
        lab.check(MERIDIAN, "tag", "lock", f"{repo}:2", "--delete", "on")
        for region in REGIONS:
            wait_until(20, lambda: tags(region)["2"]["locked"]["delete"], f"{region} knows the lock")
        self.assertIn("locked", refused(5, "tag", "delete", "--yes", f"{repo}:2", "--region", "southeastasia"))
        lab.check(MERIDIAN, "tag", "lock", f"{repo}:2", "--delete", "off")
        self.assertEqual(ask("tag", "lock", f"{repo}:2")["locked"], {"write": False, "delete": False})
        # the child of an index is named by whom it is held
        auth = lab.bearer("repository:held/app:pull,push")
        child = json.loads(lab.request("GET", EAST, f"/v2/held/app/manifests/{second}", headers=auth)[2])
        kind = "application/vnd.oci.image.index.v1+json"
        size = len(lab.request("GET", EAST, f"/v2/held/app/manifests/{second}", headers=auth)[2])
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [{"mediaType": child["mediaType"], "digest": second, "size": size}]})
        status, headers, body = lab.request("PUT", EAST, "/v2/held/app/manifests/index", headers={**auth, "Content-Type": kind}, body=index)
        self.assertEqual(status, 201, body)
        self.assertIn(headers["docker-content-digest"], refused(1, "manifest", "delete", "--yes", f"{repo}@{second}", "--region", "eastus"))
        # and away with it
        refused(1, "tag", "delete", "--yes", f"{repo}:2", "--if-match", first)
        lab.check(MERIDIAN, "tag", "delete", "--yes", f"{repo}:index", f"{repo}:2", "--region", "eastus")
        lab.check(MERIDIAN, "manifest", "delete", "--yes", f"{repo}@{headers['docker-content-digest']}", f"{repo}@{second}", "--region", "eastus")
        for region in REGIONS:
            wait_until(20, lambda: list(tags(region)) == ["1"], f"{region} has let go of the tags")
        out = ask("repository", "delete", repo, "--yes")
        self.assertEqual((out["deletedTags"], out["deletedManifests"], out["kept"]), (1, 2, []))
        for region in REGIONS:  # its bytes are held until the grace is over
            wait_until(20, lambda: held(region) in (None, (0, 0)), f"{region} has let go of the repository")
        self.assertEqual(lab.request("GET", EAST, f"/v2/held/app/manifests/{first}", headers=auth)[0], 404)
        usage = ask("usage", "contoso")
        self.assertEqual([u["region"] for u in usage], list(REGIONS))
        self.assertTrue(all(u["bytes"] > 0 and u["repositories"] > 0 for u in usage), usage)
        # the auditor's view, once he may have it: each region's own lines, as one list
        refused(5, "audit", "contoso")
        lab.check(MERIDIAN, "user", "grant", USER, "--registry", "contoso", "--actions", "audit/read", "--principals", lab.principals)

        def events():
            r = lab.run(MERIDIAN, "audit", "contoso", "--last", "2000", "-o", "json", check=False)
            return json.loads(r.stdout) if r.returncode == 0 else None
        seen = wait_until(10, events, "the auditor reads the log")
        self.assertEqual([e["time"] for e in seen], sorted((e["time"] for e in seen), reverse=True))
        self.assertEqual({e["registry"] for e in seen}, {"contoso"})
        mine = {(e["what"], e["outcome"]) for e in seen if e.get("repository") == "held/app" and e.get("principal") == USER}
        self.assertLessEqual({("push", "done"), ("upload", "done"), ("lock", "done"), ("unlock", "done"), ("delete", "done"), ("delete", "refused")}, mine)
        self.assertIn(first, {e.get("digest") for e in seen if e["what"] == "push"})
        self.assertIn(("grant", "done"), {(e["what"], e["outcome"]) for e in seen})
        plan = lab.admin("eastus", "collect", "--dry-run", "-n", "contoso")
        self.assertIn("held/app", {i["repository"] for i in plan["items"]})
        self.assertGreater(plan["space"]["bytes"], 0)
        self.assertTrue(lab.admin("eastus", "collect")["queued"])
        used = {u["registry"]: u for u in lab.admin("eastus", "usage", "--node")["usage"]}
        self.assertEqual(used["contoso"]["tags"], usage[0]["tags"])
        lab.push("held4", EAST, "held/app", "1")  # as if it had never been
        lab.wait_replicated(f"{repo}:1")

    def test_users_come_and_go(self):
        lab = self.lab
        edit = lambda *words, **more: lab.check(MERIDIAN, "user", *words, "--principals", lab.principals, **more)

        def status(password, region):
            basic = base64.b64encode(f"bob:{password}".encode()).decode()
            return lab.request("GET", GLOBAL, f"/oauth2/token?service={GLOBAL}", region, {"Authorization": f"Basic {basic}"})[0]
        for words, password, good in ((("add", "bob", "--registry", "contoso", "--password-stdin"), "correct horse", 200),
                                      (("passwd", "bob", "--password-stdin"), "battery staple", 200),
                                      (("remove", "bob", "--yes"), "battery staple", 401)):
            edit(*words, input=password + "\n")
            for region in REGIONS:
                wait_until(5, lambda: status(password, region) == good, f"{words[0]} is known in {region}")
        self.assertEqual(status("correct horse", "eastus"), 401)
        explain = lab.admin("westeurope", "dns", "explain", GLOBAL, "--client", "10.88.0.101")
        self.assertIn("southeastasia", str(explain))
        certs = lab.admin("eastus", "certs", "show")
        self.assertEqual(len(certs), 3)
        status = lab.admin("eastus", "status")
        self.assertEqual(status["edge"]["state"], "running")

    def settled(self):
        """All regions have the principals that stand in the file."""
        lab = self.lab
        with open(lab.principals) as f:
            version = int(re.search(r"^version: (\d+)", f.read(), re.M)[1])
        for region in REGIONS:
            wait_until(10, lambda: lab.admin(region, "config", "check", "--in-force", check=False)["principals"]["version"] == version,
                       f"{region} has the principals' version {version}")

    def test_permissions_as_the_documentation_shows_them(self):
        """Every example of docs/permissions.md, line by line: what it says must work works, and what must fail fails."""
        lab, where = self.lab, f"{self.lab.dir}/permissions"
        os.mkdir(where)
        for name in ("image", "other-image"):
            path, _ = lab.image(f"permissions-{name}", layers=1, layer_bytes=20_000)
            lab.check("skopeo", "copy", "-q", f"oci:{path}:1", f"dir:{where}/{name}")
        for what in ("team/web:1", "release/shop:1", "release/other:1"):
            lab.check("skopeo", "copy", "-q", "--dest-creds", f"{USER}:{lab.password}", f"dir:{where}/image", f"docker://{GLOBAL}/{what}")
            lab.wait_replicated(f"contoso/{what}")
        with open(f"{SOURCE}/docs/permissions.md") as f:
            blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S)
        self.assertEqual(len(blocks), 8)  # rotation, six roles, refresh tokens
        n_refused = 0
        for line in "".join(blocks).replace("contoso.example.io", GLOBAL).splitlines():
            refused = line.startswith("! ")
            line = line.removeprefix("! ").removeprefix("# ") if refused else line
            if line.startswith("#"):
                continue
            n_refused += refused
            said = lab.run("bash", "-c", f"set -o pipefail; cd {where}; {line.replace('skopeo copy ', 'skopeo copy -q ', 1)}", check=False,
                           env={"PATH": f"{os.path.dirname(MERIDIAN)}:{os.environ['PATH']}"})
            self.assertEqual(said.returncode != 0, refused, f"{line}\n{said.stdout}{said.stderr}")
            if line.startswith(("meridian token", "meridian scope-map")):
                self.settled()
            if " dir:image docker://" in line and not refused:
                lab.wait_replicated("contoso/" + line.split(f"{GLOBAL}/")[1])
        self.assertGreater(n_refused, 15)
        issued = lab.admin("eastus", "token", "refresh", "list", "-n", "contoso")
        self.assertEqual(issued["region"], "eastus")
        kept = json.loads(lab.check(MERIDIAN, "token", "list", "-o", "json"))
        self.assertIn("runner", [t["name"] for t in kept])

    def test_two_passwords_in_rotation_while_pulls_go_on(self):
        lab = self.lab
        lab.push("rotated", EAST, "rotated/app", "1", layers=1)
        lab.wait_replicated("contoso/rotated/app:1")
        token = lambda *words: lab.check(MERIDIAN, "token", *words).strip()
        passwords = [token("create", "puller", "-n", "contoso", "--scope-map", "_pull", "--repositories", "rotated/*", "--lifetime", "1m")]
        self.settled()
        ended, failed, pulls = threading.Event(), [], dict.fromkeys(REGIONS, 0)

        def login(password, region):
            basic = base64.b64encode(f"puller:{password}".encode()).decode()
            query = urllib.parse.urlencode({"service": GLOBAL, "scope": "repository:rotated/app:pull"})
            return lab.request("GET", GLOBAL, f"/oauth2/token?{query}", region, {"Authorization": f"Basic {basic}"}, timeout=60)

        def pull(region):
            status, _, body = login(passwords[-1], region)
            if status != 200:
                return f"token {status}: {body}"
            auth = {"Authorization": "Bearer " + json.loads(body)["access_token"]}
            status, _, body = lab.request("GET", GLOBAL, "/v2/rotated/app/manifests/1", region, auth, timeout=60)
            if status != 200:
                return f"manifest {status}"
            layer = json.loads(body)["layers"][0]["digest"]
            status, _, body = lab.read(GLOBAL, f"/v2/rotated/app/blobs/{layer}", region, auth, timeout=60)
            return None if status == 200 else f"blob {status}"

        def client(region):
            while not ended.is_set() and not failed:
                why = pull(region)
                if why:
                    failed.append((region, why))
                pulls[region] += 1

        def two_more_each():
            before = dict(pulls)
            wait_until(60, lambda: failed or all(pulls[r] >= before[r] + 2 for r in REGIONS), "two more pulls in each region")
        clients = [threading.Thread(target=client, args=(r,)) for r in REGIONS]
        for c in clients:
            c.start()
        try:
            two_more_each()
            for slot, old in (("2", "1"), ("1", "2")):
                fresh = token("credential", "generate", "puller", "--id", slot, "--expires-in", "90d")
                self.settled()
                passwords.append(fresh)
                two_more_each()  # nobody has the old one in hand any more
                token("credential", "delete", "--yes", "puller", "--id", old)
                self.settled()
                two_more_each()
                for region in REGIONS:
                    self.assertEqual(login(passwords[-2], region)[0], 401)
        finally:
            ended.set()
            for c in clients:
                c.join()
        self.assertEqual(failed, [])
        # a node sees how far its region is, and no names: those are for who may read lists
        scope = "repository:rotated/app:pull"
        for path, by_node, by_user in (("status", 200, 200), ("entries?registry=contoso&origin=eastus", 401, 200),
                                       ("have?repository=rotated/app&tag=1", 200, 200)):
            for user, password, good in (("puller", passwords[-1], by_node), (USER, lab.password, by_user)):
                auth = lab.bearer(scope, user=user, password=password, region="eastus")
                self.assertEqual(lab.request("GET", GLOBAL, f"/replication/v1/{path}", "eastus", auth)[0], good, f"{path} by {user}")
        # and of other repositories than his no more than the catalogue shows
        lab.push("unseen", EAST, "elsewhere/app", "1", layers=1)
        for scope, more in (("repository:rotated/app:pull", False), ("repository:rotated/app:pull registry:catalog:*", True)):
            body = lab.request("GET", GLOBAL, "/replication/v1/entries?registry=contoso&origin=eastus", "eastus",
                               lab.bearer(scope, region="eastus"))[2]
            seen = {e["repository"] for e in json.loads(body)["entries"]}
            self.assertEqual(bool(seen - {"rotated/app"}), more, scope)


if __name__ == "__main__":
    unittest.main(verbosity=2)
