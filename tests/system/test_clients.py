# SPDX-License-Identifier: Apache-2.0
"""What people push and pull with, at length: skopeo, podman, buildah, ctr and curl, with many platforms, zstd, many layers, many
tags, artifacts, and lines and processes that break. Data endpoints are on. `make test-clients` runs it; docker has a test of its own."""
import hashlib, http.client, json, os, re, shutil, signal, socket, subprocess, sys, threading, unittest, urllib.parse

from lab import DOMAIN, Lab, REGIONS, SKIP, SOURCE, USER, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL = f"contoso.{DOMAIN}"
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
CONFIG, EMPTY = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json"
TAGS, LAYERS = 10_000, 500


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(content, kind, **more):
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content), **more}


class Wire:
    """One kept connection to a region."""

    def __init__(self, lab, host, region):
        self.c = http.client.HTTPSConnection(host, timeout=60)
        self.c.sock = lab.connection(host, region, 60)
        self.c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method, path, headers=None, body=None):
        self.c.request(method, path, body=body, headers=headers or {})
        r = self.c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.close()


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        for host in (EAST, WEST, ASIA, GLOBAL):
            cls.lab.login(host)

    def auth(self, repository, actions="pull,push,delete"):
        return self.lab.bearer(f"repository:{repository}:{actions}")

    def store(self, program, name):
        """The program with a folder of its own."""
        return [program, "--root", f"{self.lab.dir}/{name}", "--runroot", f"{self.lab.dir}/{name}-run", "--storage-driver", "vfs"]

    def containerd(self):
        lab = self.lab
        if not hasattr(Clients, "ctr"):
            sock = f"{lab.dir}/containerd.sock"
            with open(f"{lab.dir}/containerd.log", "wb") as log:
                lab.background("containerd", "--root", f"{lab.dir}/ctr", "--state", f"{lab.dir}/ctr-run", "--address", sock, stdout=log, stderr=log)
            Clients.ctr = ["ctr", "--address", sock]
            wait_until(30, lambda: lab.run(*Clients.ctr, "version", check=False).returncode == 0, "containerd answers")
        return Clients.ctr

    def raw(self, host, what):
        return self.lab.check("skopeo", "inspect", "--raw", f"docker://{host}/{what}")

    def many_platforms(self, name, platforms=("amd64", "arm64")):
        """An OCI layout with an index of an image for each; (path, digest of the index)."""
        out = f"{self.lab.dir}/{name}"
        images = []
        for arch in platforms:
            path, _ = self.lab.image(f"{name}-{arch}", layers=2, layer_bytes=50_000)
            shutil.copytree(path, out, dirs_exist_ok=True)
            with open(f"{path}/index.json") as f:
                top = json.load(f)["manifests"][0]
            images.append({**{k: top[k] for k in ("mediaType", "digest", "size")}, "platform": {"architecture": arch, "os": "linux"}})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}).encode()
        with open(f"{out}/blobs/sha256/{digest_of(index)[7:]}", "wb") as f:
            f.write(index)
        with open(f"{out}/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": [descriptor(index, INDEX, annotations={"org.opencontainers.image.ref.name": "1"})]}, f)
        return out, digest_of(index)

    # ---- push and pull ----
    def test_01_buildah(self):
        lab, buildah = self.lab, self.store("buildah", "buildah")
        digest = lab.push("buildah", EAST, "team/buildah", "1")
        lab.wait_replicated("contoso/team/buildah:1")
        lab.check(*buildah, "pull", "-q", f"{WEST}/team/buildah@{digest}")
        for host, tag in ((ASIA, "2"), (GLOBAL, "3")):
            lab.check(*buildah, "push", "-q", f"{WEST}/team/buildah@{digest}", f"docker://{host}/team/buildah:{tag}")
            lab.wait_replicated(f"contoso/team/buildah:{tag}")
        made = lab.check(*buildah, "from", "--pull-never", f"{WEST}/team/buildah@{digest}").strip()
        lab.check(*buildah, "config", "--label", "by=buildah", made)
        lab.check(*buildah, "commit", "-q", made, f"docker://{EAST}/team/buildah:4")
        self.assertEqual(json.loads(lab.check("skopeo", "inspect", "--config", f"docker://{EAST}/team/buildah:4"))["config"]["Labels"]["by"], "buildah")

    def test_02_many_platforms(self):
        lab, ctr, creds = self.lab, self.containerd(), f"{USER}:{self.lab.password}"
        path, digest = self.many_platforms("platforms")
        lab.check("skopeo", "copy", "-q", "--all", f"oci:{path}:1", f"docker://{GLOBAL}/team/platforms:1")
        lab.wait_replicated("contoso/team/platforms:1")
        for host in (EAST, WEST, ASIA):
            self.assertEqual(digest_of(self.raw(host, "team/platforms:1").encode()), digest)
            for arch in ("amd64", "arm64"):
                lab.check("skopeo", "--override-arch", arch, "copy", "-q", f"docker://{host}/team/platforms:1", f"dir:{lab.dir}/p-{host}-{arch}")
        lab.check(*ctr, "content", "fetch", "--all-platforms", "--user", creds, f"{WEST}/team/platforms:1")
        lab.check(*ctr, "images", "tag", f"{WEST}/team/platforms:1", f"{ASIA}/team/platforms:ctr")
        lab.check(*ctr, "images", "push", "--user", creds, f"{ASIA}/team/platforms:ctr")
        self.assertEqual(digest_of(self.raw(ASIA, "team/platforms:ctr").encode()), digest)
        for program in ("podman", "buildah"):
            words = self.store(program, f"{program}-list")
            lab.check(*words, "manifest", "create", "list")
            lab.check(*words, "manifest", "add", "--all", "list", f"docker://{EAST}/team/platforms:1")
            lab.check(*words, "manifest", "push", "--all", "list", f"docker://{GLOBAL}/team/platforms:{program}")
            pushed = json.loads(self.raw(GLOBAL, f"team/platforms:{program}"))
            self.assertEqual(sorted(m["platform"]["architecture"] for m in pushed["manifests"]), ["amd64", "arm64"], program)
            lab.wait_replicated(f"contoso/team/platforms:{program}")

    def test_03_zstd(self):
        lab, podman = self.lab, self.store("podman", "zstd")
        path, _ = lab.image("zstd", layers=2)
        lab.check("skopeo", "copy", "-q", "--dest-compress-format", "zstd", f"oci:{path}:1", f"docker://{EAST}/team/zstd:1")
        lab.wait_replicated("contoso/team/zstd:1")
        lab.check(*podman, "pull", "-q", f"{WEST}/team/zstd:1")
        lab.check(*podman, "push", "-q", "--compression-format", "zstd", f"{WEST}/team/zstd:1", f"{GLOBAL}/team/zstd:2")
        for tag in "12":
            kinds = {layer["mediaType"] for layer in json.loads(self.raw(GLOBAL, f"team/zstd:{tag}"))["layers"]}
            self.assertEqual(kinds, {"application/vnd.oci.image.layer.v1.tar+zstd"}, tag)
        lab.check(*self.containerd(), "content", "fetch", "--user", f"{USER}:{lab.password}", f"{GLOBAL}/team/zstd:2")

    def test_04_many_layers(self):
        lab, out = self.lab, f"{self.lab.dir}/layers"
        sources = []
        for i in range(LAYERS):
            sources.append(f"{lab.dir}/layer{i}")
            with open(sources[-1], "wb") as f:
                f.write(os.urandom(200))
        lab.check(sys.executable, os.path.join(SOURCE, "examples/three-regions/make-image"), out, "1", *sources)
        lab.check("skopeo", "copy", "-q", f"oci:{out}:1", f"docker://{GLOBAL}/team/layers:1", timeout=300)
        lab.wait_replicated("contoso/team/layers:1")
        lab.check("skopeo", "copy", "-q", f"docker://{WEST}/team/layers:1", f"dir:{lab.dir}/layers-pulled", timeout=300)
        self.assertEqual(len(os.listdir(f"{lab.dir}/layers-pulled")), LAYERS + 3)

    # ---- artifacts and lists ----
    def curl(self, *words, host=EAST, status=None):
        """Body, and headers as a dict; the last answer's."""
        head = f"{self.lab.dir}/curl-head"
        out = self.lab.check("curl", "-sS", "-D", head, "-w", "\n%{http_code}", *words)
        body, _, code = out.rpartition("\n")
        if status:
            self.assertEqual(int(code), status, body)
        with open(head) as f:
            return body, {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in f if ":" in line)}

    def curl_push(self, repository, reference, manifest, *blobs, host=GLOBAL):
        """As scripts do it: POST, PUT of each blob, PUT of the manifest."""
        auth = ("-H", f"Authorization: {self.auth(repository)['Authorization']}")
        for i, content in enumerate(blobs):
            name = f"{self.lab.dir}/curl-{i}"
            with open(name, "wb") as f:
                f.write(content)
            _, head = self.curl(*auth, "-X", "POST", "-H", "Content-Length: 0", f"https://{host}/v2/{repository}/blobs/uploads/", status=202)
            join = "&" if "?" in head["location"] else "?"
            self.curl(*auth, "-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{name}",
                      f"{head['location']}{join}digest={digest_of(content)}", status=201)
        with open(f"{self.lab.dir}/curl-manifest", "wb") as f:
            f.write(manifest)
        return self.curl(*auth, "-X", "PUT", "-H", f"Content-Type: {json.loads(manifest)['mediaType']}", "--data-binary",
                         f"@{self.lab.dir}/curl-manifest", f"https://{host}/v2/{repository}/manifests/{reference}", status=201)[1]

    def artifact(self, subject, kind, layer, **more):
        empty = b"{}"
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": descriptor(empty, EMPTY),
                           "layers": [descriptor(layer, kind)], "subject": subject, **more}).encode()

    def test_05_referrers_with_curl(self):
        lab = self.lab
        image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(b"{}", CONFIG), "layers": []}).encode()
        self.curl_push("team/signed", "1", image, b"{}")
        subject, made = descriptor(image, MANIFEST), []
        for kind, layer in (("application/x.signature", b"signed"), ("application/x.sbom", b"a list")):
            made.append(self.artifact(subject, kind, layer, annotations={"of": kind}))
            head = self.curl_push("team/signed", digest_of(made[-1]), made[-1], b"{}", layer)
            self.assertEqual(head.get("oci-subject"), digest_of(image))
        for m in made:
            lab.wait_replicated(f"contoso/team/signed@{digest_of(m)}")
        auth = ("-H", f"Authorization: {self.auth('team/signed')['Authorization']}")
        for host in (EAST, WEST, ASIA, GLOBAL):
            body, head = self.curl(*auth, f"https://{host}/v2/team/signed/referrers/{digest_of(image)}", status=200)
            self.assertEqual(head["content-type"], INDEX)
            self.assertEqual({m["digest"] for m in json.loads(body)["manifests"]}, {digest_of(m) for m in made}, host)
            body, head = self.curl(*auth, f"https://{host}/v2/team/signed/referrers/{digest_of(image)}?artifactType=application/x.sbom", status=200)
            self.assertEqual([m["digest"] for m in json.loads(body)["manifests"]], [digest_of(made[1])])
            self.assertEqual(head["oci-filters-applied"], "artifactType")
        lab.check("curl", "-sSfL", "-o", f"{lab.dir}/sbom", *auth, f"https://{WEST}/v2/team/signed/blobs/{digest_of(b'a list')}")
        with open(f"{lab.dir}/sbom", "rb") as f:
            self.assertEqual(f.read(), b"a list")

    def test_06_ten_thousand_tags(self):
        lab, auth = self.lab, self.auth("team/tags")
        image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(b"{}", CONFIG), "layers": []}).encode()
        self.curl_push("team/tags", "first", image, b"{}", host=EAST)
        names, failed, head = [f"t{i:05}" for i in range(TAGS)], [], dict(auth, **{"Content-Type": MANIFEST})

        def put(mine):
            with Wire(lab, EAST, "eastus") as wire:
                for name in mine:
                    status, _, body = wire.request("PUT", f"/v2/team/tags/manifests/{name}", head, image)
                    if status != 201:
                        failed.append((name, status, body))
        threads = [threading.Thread(target=put, args=(names[i::16],)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed[:3], [])
        want = sorted(names + ["first"])
        for host, region in ((EAST, "eastus"), (ASIA, "southeastasia"), (WEST, "westeurope")):
            with Wire(lab, host, region) as wire:
                wait_until(120, lambda: len(self.listed(wire, auth)[0]) == len(want), f"all tags are in {region}")
                got, pages = self.listed(wire, auth)
                self.assertEqual(got, want)
                self.assertGreaterEqual(pages, len(want) // 1000)
        listed = json.loads(lab.check("skopeo", "list-tags", f"docker://{WEST}/team/tags", timeout=60))["Tags"]
        self.assertEqual(sorted(listed), want)
        body, head = self.curl("-H", f"Authorization: {auth['Authorization']}", f"https://{EAST}/v2/team/tags/tags/list?n=3&last=t04999", status=200)
        self.assertEqual(json.loads(body)["tags"], ["t05000", "t05001", "t05002"])
        self.assertIn("last=t05002", head["link"])

    def listed(self, wire, auth):
        """By following Link, page by page."""
        path, got, pages = "/v2/team/tags/tags/list", [], 0
        while path:
            status, headers, body = wire.request("GET", path, auth)
            self.assertEqual(status, 200, body)
            got += json.loads(body)["tags"]
            pages += 1
            link = re.match(r'<([^>]*)>; *rel="next"', headers.get("link", ""))
            path = link and urllib.parse.urlsplit(link[1])._replace(scheme="", netloc="").geturl()
        return got, pages

    # ---- what breaks ----
    def slow_answers(self, region, rate):
        subprocess.run(["tc", "-n", region, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "64kb", "latency", "400ms"], check=True)

    def fast_answers(self, region):
        subprocess.run(["tc", "-n", region, "qdisc", "del", "dev", "eth0", "root"], check=True)

    def end_workers(self, region):
        """kill -9 of nginx's workers: their connections break, and the master makes others."""
        master = self.lab.admin(region, "status")["edge"]["pid"]
        with open(f"/proc/{master}/task/{master}/children") as f:
            workers = [int(p) for p in f.read().split()]
        self.assertTrue(workers)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    def test_07_interrupted_pulls_go_on(self):
        """ctr and curl ask again for the rest, at the registry's URL, and are led to the data host anew."""
        lab, ctr = self.lab, self.containerd()
        digest = lab.push("pulled", EAST, "team/pulled", "1", layers=1, layer_bytes=12_000_000)
        layer = json.loads(self.raw(EAST, "team/pulled:1"))["layers"][0]
        auth = ("-H", f"Authorization: {self.auth('team/pulled')['Authorization']}")
        self.slow_answers("eastus", "24mbit")
        try:
            client = subprocess.Popen([*ctr, "content", "fetch", "--user", f"{USER}:{lab.password}", f"{EAST}/team/pulled:1"],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            lab.children.append(client)
            ingest = f"{lab.dir}/ctr/io.containerd.content.v1.content/ingest"
            part = lambda: os.path.isdir(ingest) and any(os.path.getsize(f"{ingest}/{d}/data") > 2_000_000 for d in os.listdir(ingest)
                                                         if os.path.exists(f"{ingest}/{d}/data"))
            wait_until(30, part, "some of the layer has come")
            self.end_workers("eastus")
            out = client.communicate(timeout=90)[0]
            self.assertEqual(client.returncode, 0, out)
            broken = lab.run("curl", "-sSL", "--max-time", "2", "-o", f"{lab.dir}/resumed", *auth,
                             f"https://{EAST}/v2/team/pulled/blobs/{layer['digest']}", check=False)
            self.assertEqual(broken.returncode, 28)
        finally:
            self.fast_answers("eastus")
        had = os.path.getsize(f"{lab.dir}/resumed")
        self.assertTrue(0 < had < layer["size"], had)
        lab.check("curl", "-sSfL", "-C", "-", "-o", f"{lab.dir}/resumed", *auth, f"https://{EAST}/v2/team/pulled/blobs/{layer['digest']}")
        with open(f"{lab.dir}/resumed", "rb") as f:
            self.assertEqual(digest_of(f.read()), layer["digest"])
        self.assertIn(digest, lab.check(*ctr, "images", "ls"))

    def test_08_interrupted_pushes_go_on(self):
        """A client that is killed in mid-push pushes again; a region that restarts in mid-push ends all of them."""
        lab, podman, buildah = self.lab, self.store("podman", "broken"), self.store("buildah", "broken")
        path, digest = lab.image("broken", layers=2, layer_bytes=3_000_000)
        push = ["skopeo", "copy", "-q", f"oci:{path}:1", f"docker://{GLOBAL}/team/broken:1"]
        with lab.slow_line("eastus", "8mbit"):
            client = subprocess.Popen(push, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            lab.children.append(client)
            wait_until(30, lambda: [n for n in lab.upload_bytes("eastus") if n > 300_000], "a layer is under way")
            client.kill()
            client.wait()
        lab.check(*push)
        lab.wait_replicated("contoso/team/broken:1")
        for words in (podman, buildah):
            lab.check(*words, "pull", "-q", f"{WEST}/team/broken@{digest}")
        lab.restart_in_mid_push("eastus", [
            ["skopeo", "copy", "-q", f"oci:{path}:1", f"docker://{EAST}/team/restarted:skopeo"],
            [*podman, "push", "-q", f"{WEST}/team/broken@{digest}", f"{EAST}/team/restarted:podman"],
            [*buildah, "push", "-q", f"{WEST}/team/broken@{digest}", f"docker://{GLOBAL}/team/restarted:buildah"]], uploads=2)
        for tag in ("skopeo", "podman", "buildah"):
            lab.wait_replicated(f"contoso/team/restarted:{tag}")

    def test_09_a_put_is_repeated_after_its_answer_was_lost(self):
        lab, auth, layer = self.lab, self.auth("team/lost"), os.urandom(5000)
        image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(b"{}", CONFIG),
                            "layers": [descriptor(layer, "application/octet-stream")]}).encode()

        def lost(method, target, body, read, **headers):
            """Sends it whole, and hangs up unheard once it has counted."""
            with lab.connection(GLOBAL, "eastus") as s:
                head = "".join(f"{k}: {v}\r\n" for k, v in {**auth, **headers, "Content-Length": len(body)}.items())
                s.sendall(f"{method} {target} HTTP/1.1\r\nHost: {GLOBAL}\r\n{head}\r\n".encode() + body)
                wait_until(20, lambda: lab.request("HEAD", GLOBAL, read, "eastus", auth)[0] == 200, "the PUT counts")
        for content in (b"{}", layer):
            location = lab.request("POST", GLOBAL, "/v2/team/lost/blobs/uploads/", "eastus", auth)[1]["location"]
            target = urllib.parse.urlsplit(location).path + f"?digest={digest_of(content)}"
            lost("PUT", target, content, f"/v2/team/lost/blobs/{digest_of(content)}")
            status, headers, body = lab.request("PUT", GLOBAL, target, "eastus", auth, content)
            self.assertEqual((status, headers.get("docker-content-digest")), (201, digest_of(content)), body)
        lost("PUT", "/v2/team/lost/manifests/1", image, "/v2/team/lost/manifests/1", **{"Content-Type": MANIFEST})
        for region in ("eastus", "westeurope"):  # and where a client is led next
            status, headers, body = lab.request("PUT", GLOBAL, "/v2/team/lost/manifests/1", region, dict(auth, **{"Content-Type": MANIFEST}), image)
            self.assertEqual((status, headers.get("docker-content-digest")), (201, digest_of(image)), body)


if __name__ == "__main__":
    if not os.environ.get("MERIDIAN_CLIENTS"):
        print("skipped: make test-clients runs it")
        sys.exit(SKIP)
    for program in ("skopeo", "podman", "buildah", "ctr", "curl"):
        if not shutil.which(program):
            print(f"skipped: {program} is not installed (make deps)")
            sys.exit(SKIP)
    unittest.main(verbosity=2)
