# SPDX-License-Identifier: Apache-2.0
"""Pushes whose requests land in more than one region: what a client gets must be what it would get from one."""
import contextlib, hashlib, json, os, random, signal, subprocess, time, unittest, urllib.parse

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, TOPOLOGY, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL, TAILSPIN = f"contoso.{DOMAIN}", f"tailspin.{DOMAIN}"  # tailspin: regional endpoints are off
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(content, kind="application/octet-stream"):
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def image(*layers, config=b"{}"):
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
                       "layers": [descriptor(layer) for layer in layers]}).encode()


class Scatter(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # what a manifest's PUT looks for elsewhere is not there already
        topology = TOPOLOGY.replace("  - name: contoso\n", "  - name: contoso\n    copy_ahead: disabled\n")
        cls.lab = cls.enterClassContext(Lab(topology=topology))
        for region in REGIONS:
            cls.hears_others(region)

    @classmethod
    def hears_others(cls, region):
        rows = lambda: cls.lab.admin(region, "replication", "status", "-r", "contoso", check=False)
        wait_until(60, lambda: {r["state"] for r in rows()} == {"Ready"}, f"{region} hears the others")

    def auth(self, repository, host=GLOBAL, region="eastus"):
        return self.lab.bearer(f"repository:{repository}:pull,push", host=host, region=region)

    def begin(self, host, region, repository, auth):
        status, headers, body = self.lab.request("POST", host, f"/v2/{repository}/blobs/uploads/", region, auth)
        self.assertEqual(status, 202, body)
        return headers["location"]

    def follow(self, location, region):
        """Host, region and target of a Location; the region that is given counts for names that lead anywhere."""
        url = urllib.parse.urlsplit(location)
        named = [r for r in REGIONS if f".{r}.geo." in url.hostname]
        return url.hostname, named[0] if named else region, url.path + (f"?{url.query}" if url.query else "")

    def end(self, location, region, content, auth):
        host, region, target = self.follow(location, region)
        join = "&" if "?" in target else "?"
        return self.lab.request("PUT", host, f"{target}{join}digest={digest_of(content)}", region, auth, content, timeout=60)

    def blob(self, host, region, repository, content, auth):
        status, _, body = self.end(self.begin(host, region, repository, auth), region, content, auth)
        self.assertEqual(status, 201, body)

    def put(self, host, region, repository, reference, content, auth, kind=MANIFEST):
        return self.lab.request("PUT", host, f"/v2/{repository}/manifests/{reference}", region, dict(auth, **{"Content-Type": kind}),
                                content, timeout=70)

    def whole(self, host, region, repository, reference):
        """The digest of what is there, with every byte of it."""
        auth = self.auth(repository, host, region)
        status, headers, manifest = self.lab.request("GET", host, f"/v2/{repository}/manifests/{reference}", region, auth)
        self.assertEqual((status, digest_of(manifest)), (200, headers["docker-content-digest"]))
        document = json.loads(manifest)
        for d in document.get("manifests", []):
            self.whole(host, region, repository, d["digest"])
        for d in document.get("layers", []) + ([document["config"]] if "config" in document else []):
            status, _, data = self.lab.read(host, f"/v2/{repository}/blobs/{d['digest']}", region, auth)
            self.assertEqual((status, digest_of(data)), (200, d["digest"]))
        return headers["docker-content-digest"]

    def test_1_blobs_in_one_region_and_the_manifest_in_another(self):
        lab, auth = self.lab, self.auth("team/one")
        config, layers = b"{}", [os.urandom(300_000) for _ in range(3)]
        for at, content in zip((EAST, EAST, WEST, ASIA), (config, *layers)):
            self.blob(at, None, "team/one", content, auth)
        manifest = image(*layers)
        head = lambda host, content: lab.request("HEAD", host, f"/v2/team/one/blobs/{digest_of(content)}", headers=auth)[0]
        self.assertEqual([head(h, layers[1]) for h in (EAST, WEST, ASIA)], [404, 200, 404])  # it asks nobody
        status, headers, body = self.put(WEST, "westeurope", "team/one", "1", manifest, auth)
        self.assertEqual((status, headers.get("docker-content-digest")), (201, digest_of(manifest)), body)
        self.assertEqual(self.whole(WEST, "westeurope", "team/one", "1"), digest_of(manifest))
        self.assertEqual([head(WEST, c) for c in (config, *layers)], [200] * 4)
        lab.wait_replicated("contoso/team/one:1")
        for host, region in ((EAST, "eastus"), (ASIA, "southeastasia")):
            self.assertEqual(self.whole(host, region, "team/one", "1"), digest_of(manifest))
        # what nobody has is absent in every region, and in another repository too
        absent = image(os.urandom(10))
        status, _, body = self.put(WEST, "westeurope", "team/one", "2", absent, auth)
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (404, "MANIFEST_BLOB_UNKNOWN"))
        self.blob(EAST, None, "team/apart", layers[0], self.auth("team/apart"))
        only = os.urandom(20)
        self.blob(EAST, None, "team/apart", only, self.auth("team/apart"))
        self.assertEqual(self.put(WEST, "westeurope", "team/one", "3", image(only), auth)[0], 404)

    def test_2_an_index_whose_images_went_elsewhere(self):
        lab, auth, made = self.lab, self.auth("team/index"), []
        for at, region in ((EAST, "eastus"), (ASIA, "southeastasia")):
            layer = os.urandom(100_000)
            for content in (b"{}", layer):
                self.blob(at, region, "team/index", content, auth)
            made.append(image(layer))
            self.assertEqual(self.put(at, region, "team/index", digest_of(made[-1]), made[-1], auth)[0], 201)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(m, MANIFEST) for m in made]}).encode()
        status, _, body = self.put(WEST, "westeurope", "team/index", "1", index, auth, INDEX)
        self.assertEqual(status, 201, body)
        self.assertEqual(self.whole(WEST, "westeurope", "team/index", "1"), digest_of(index))
        lab.wait_replicated("contoso/team/index:1")
        self.assertEqual(self.whole(EAST, "eastus", "team/index", "1"), digest_of(index))

    def test_3_an_upload_that_ends_through_another_region_than_it_began_in(self):
        """As docker does it: the blob is asked for where the answer came from, at once."""
        for host in (TAILSPIN, GLOBAL):
            with self.subTest(host=host):
                lab, auth = self.lab, self.auth("app", host)
                content = os.urandom(2_000_000)
                location = self.begin(host, "eastus", "app", auth)
                status, _, body = self.end(location, "westeurope", content, auth)
                self.assertEqual(status, 201, body)
                for region in ("westeurope", "eastus"):
                    status, headers, _ = lab.request("HEAD", host, f"/v2/app/blobs/{digest_of(content)}", region, auth)
                    self.assertEqual((status, headers.get("content-length")), (200, "2000000"), region)
                    self.assertEqual(lab.read(host, f"/v2/app/blobs/{digest_of(content)}", region, auth)[2], content)
                status, _, body = self.end(location, "westeurope", content, auth)  # its answer was lost
                self.assertEqual(status, 201, body)
                status = lab.request("HEAD", host, f"/v2/app/blobs/{digest_of(content)}", "southeastasia", auth)[0]
                self.assertEqual(status, 200)  # nothing of this push came here

    # ---- the global name, before and after regional endpoints ----
    def set_tailspin(self, **settings):
        """A change of the registry, and until all regions follow it."""
        regional = settings.pop("regional_endpoints", "enabled")
        more = "".join(f", {k}: {v}" for k, v in settings.items())
        replicas = ", ".join(f"{{ region: {r} }}" for r in REGIONS)
        before = max(self.version(r) for r in REGIONS)
        self.lab.check(MERIDIAN, "topology", "change", "--topology", self.lab.topology, "-",
                       input=f"registries:\n  - {{ name: tailspin, regional_endpoints: {regional}, anonymous_pull: true{more}, "
                             f"replicas: [{replicas}] }}\n")
        for region in REGIONS:
            wait_until(10, lambda: self.version(region) > before, f"{region} follows")

    def version(self, region):
        return self.lab.admin(region, "config", "check", "--in-force", check=False)["topology"]["version"]

    @contextlib.contextmanager
    def only_the_global_name(self):
        """For clients of this machine the regional names of tailspin lead to an address where nobody is."""
        hosts = f"{self.lab.dir}/hosts"
        with open("/etc/hosts") as real, open(hosts, "w") as f:
            f.write(real.read() + "".join(f"\n10.88.0.250 tailspin.{r}.geo.{DOMAIN} tailspin.{r}.data.{DOMAIN}" for r in REGIONS) + "\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", "/etc/hosts"], check=True)

    @contextlib.contextmanager
    def broken_certificate(self, region):
        """The region's own names are served with a certificate that nobody trusts; the global names are as before."""
        folder = f"{self.lab.dir}/{region}/run/edge"
        pem = next(p for p in (f"{folder}/{n}" for n in os.listdir(folder) if n.endswith(".pem"))
                   if f"*.{region}.geo.{DOMAIN}" in subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", p],
                                                                   capture_output=True, text=True).stdout)
        with open(pem, "rb") as f:
            good = f.read()
        made = f"{self.lab.dir}/broken"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=nobody",
                        "-days", "1", "-keyout", f"{made}.key", "-out", f"{made}.pem"], check=True, capture_output=True)
        with open(f"{made}.pem", "rb") as c, open(f"{made}.key", "rb") as k:
            bad = c.read() + k.read()

        def serve(content):
            with open(pem, "wb") as f:
                f.write(content)
            os.kill(self.lab.admin(region, "status")["edge"]["pid"], signal.SIGHUP)
        refused = lambda: self.refused(f"contoso.{region}.geo.{DOMAIN}", region)
        serve(bad)
        try:
            wait_until(10, refused, "the regional certificate is broken")
            yield
        finally:
            serve(good)
        wait_until(10, lambda: not refused(), "the regional certificate is whole again")

    def refused(self, host, region):
        try:
            self.lab.request("GET", host, "/v2/", region)
            return False
        except OSError:
            return True

    def test_4_enabling_regional_endpoints_changes_nothing_of_the_global_name(self):
        lab, auth, data = self.lab, self.auth("app", TAILSPIN), os.urandom(400_000)
        with self.only_the_global_name():
            lab.push("before", TAILSPIN, "app", "before")
            location = self.begin(TAILSPIN, "eastus", "app", auth)
            host, region, target = self.follow(location, "eastus")
            status, headers, body = lab.request("PATCH", host, target, region, auth, data[:150_000])
            self.assertEqual((status, urllib.parse.urlsplit(headers["location"]).hostname), (202, TAILSPIN), body)
            self.set_tailspin()
            # what had begun goes on where it was, through whichever region
            host, region, target = self.follow(headers["location"], "westeurope")
            status, headers, body = lab.request("PATCH", host, target, region, auth, data[150_000:])
            self.assertEqual((status, urllib.parse.urlsplit(headers["location"]).hostname), (202, TAILSPIN), body)
            join = "&" if "?" in headers["location"] else "?"
            target = self.follow(headers["location"], "southeastasia")[2]
            status, _, body = lab.request("PUT", TAILSPIN, f"{target}{join}digest={digest_of(data)}", "southeastasia", auth)
            self.assertEqual(status, 201, body)
            lab.push("after", TAILSPIN, "app", "after")
            location = self.begin(TAILSPIN, "eastus", "app", auth)
            self.assertEqual((urllib.parse.urlsplit(location).hostname, "sig=" in location), (TAILSPIN, False))
            with self.broken_certificate("eastus"):
                lab.push("broken", TAILSPIN, "app", "broken")
        self.set_tailspin(push_move="regional")
        location = self.begin(TAILSPIN, "eastus", "app", auth)
        self.assertEqual(urllib.parse.urlsplit(location).hostname, f"tailspin.eastus.geo.{DOMAIN}")
        status, _, body = self.end(location, "eastus", b"moved", {})  # the URL is authority enough
        self.assertEqual(status, 201, body)
        lab.push("moves", TAILSPIN, "app", "moves")
        for tag in ("before", "after", "broken", "moves"):
            lab.wait_replicated(f"tailspin/app:{tag}")

    # ---- a client whose requests go anywhere ----
    def test_6_skopeo_is_led_to_another_region_by_each_connection(self):
        self.set_tailspin(push_move="none")
        with self.lab.led_anywhere():
            for i in range(5):
                self.lab.push(f"anywhere{i}", TAILSPIN, "anywhere", str(i), layers=4)
        for i in range(5):
            self.lab.wait_replicated(f"tailspin/anywhere:{i}")

    def anywhere(self, rng):
        """An endpoint of contoso, and a region where it may lead."""
        region = rng.choice(list(REGIONS))
        return rng.choice(((GLOBAL, region), (f"contoso.{region}.geo.{DOMAIN}", region)))

    def sent(self, rng, seen, what, *words, **more):
        """One request; its status, headers and body. Without an answer, or with 503, the caller begins again."""
        try:
            status, headers, body = self.lab.request(*words, **more)
        except OSError:
            return None, {}, b""
        seen.append((what, status, body[:200]))
        if status == 503:
            self.assertIn("retry-after", headers)
        return status, headers, body

    def shuffled_blob(self, rng, seen, content, auth, until):
        """Uploads it; each request to an endpoint by chance, as far as the Location leaves a choice."""
        digest = digest_of(content)
        while time.monotonic() < until:
            host, region = self.anywhere(rng)
            if rng.random() < 0.5 and self.sent(rng, seen, "head", "HEAD", host, f"/v2/team/any/blobs/{digest}", region, auth)[0] == 200:
                return True
            host, region = self.anywhere(rng)
            status, headers, _ = self.sent(rng, seen, "post", "POST", host, "/v2/team/any/blobs/uploads/", region, auth)
            if status != 202:
                continue
            if rng.random() < 0.7:
                host, region, target = self.follow(headers["location"], self.anywhere(rng)[1])
                status, headers, _ = self.sent(rng, seen, "patch", "PATCH", host, target, region, auth, content)
                if status != 202:
                    continue
                body = None
            else:
                body = content
            host, region, target = self.follow(headers["location"], self.anywhere(rng)[1])
            join = "&" if "?" in target else "?"
            if self.sent(rng, seen, "end", "PUT", host, f"{target}{join}digest={digest}", region, auth, body, timeout=60)[0] == 201:
                return True
        return False

    def shuffled_put(self, rng, seen, tag, manifest, auth, until):
        while time.monotonic() < until:
            host, region = self.anywhere(rng)
            status, _, body = self.sent(rng, seen, "put", "PUT", host, f"/v2/team/any/manifests/{tag}", region,
                                        dict(auth, **{"Content-Type": MANIFEST}), manifest, timeout=70)
            self.assertIn(status, (201, 503, None), body)  # never that a blob is unknown: each was acknowledged somewhere
            if status == 201:
                return True
        return False

    def test_5_any_mix_of_endpoints_is_as_one(self):
        lab, seen, waiting, done = self.lab, [], [], []
        seed = int(os.environ.get("SHUFFLE_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"SHUFFLE_SEED={seed}")
        rng, auth = random.Random(seed), self.auth("team/any")
        cut = rng.choice(list(REGIONS))
        for i in range(18):
            if i == 6:
                lab.cut(cut)
            if i == 12:
                lab.heal(cut)
            # while one is cut off, what went there alone has to wait for it; else nothing takes long
            until = time.monotonic() + (3 if 6 <= i < 12 else 60)
            layers = [rng.randbytes(rng.choice((10, 3000, 70_000))) for _ in range(rng.randint(1, 3))]
            manifest = image(*layers)
            whole = all([self.shuffled_blob(rng, seen, c, auth, until) for c in (b"{}", *layers)])
            if whole and self.shuffled_put(rng, seen, f"t{i}", manifest, auth, until):
                done.append((f"t{i}", manifest))
            else:
                self.assertTrue(6 <= i < 12, f"image {i}: {seen[-20:]}")
                waiting.append((f"t{i}", manifest, (b"{}", *layers)))
        for region in REGIONS:
            self.hears_others(region)
        for tag, manifest, contents in waiting:
            until = time.monotonic() + 60
            self.assertTrue(all(self.shuffled_blob(rng, seen, c, auth, until) for c in contents))
            self.assertTrue(self.shuffled_put(rng, seen, tag, manifest, auth, until), seen[-20:])
            done.append((tag, manifest))
        for tag, manifest in done:
            lab.wait_replicated(f"contoso/team/any:{tag}")
        for region in REGIONS:
            for tag, manifest in done:
                self.assertEqual(self.whole(f"contoso.{region}.geo.{DOMAIN}", region, "team/any", tag), digest_of(manifest))
        for what, status, body in seen:
            self.assertIn(status, {"head": (200, 404), "post": (202, 503), "patch": (202, 503, 504), "end": (201, 503, 504), "put": (201, 503)}[what], body)


if __name__ == "__main__":
    unittest.main(verbosity=2)
