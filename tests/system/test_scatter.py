# SPDX-License-Identifier: Apache-2.0
"""Pushes whose requests land in more than one region: what a client gets must be what it would get from one."""
import hashlib, json, os, random, time, unittest, urllib.parse

from lab import DOMAIN, Lab, REGIONS, wait_until

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
        cls.lab = cls.enterClassContext(Lab())
        for region in REGIONS:
            cls.hears_others(region)

    @classmethod
    def hears_others(cls, region):
        rows = lambda: cls.lab.admin(region, "replication", "status", "-r", "contoso")
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
