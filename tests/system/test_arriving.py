# SPDX-License-Identifier: Apache-2.0
"""Who arrives: content of other registries (`meridian import`, from docker-registry and from a registry that misbehaves), users,
workloads that another issuer vouches for, and clients, configured by `meridian client-config`, which go on when their region is taken away."""
import base64, http.client, json, os, re, shutil, signal, socket, ssl, subprocess, sys, threading, time, unittest, urllib.parse, warnings

from foreign_issuer import ForeignIssuer, IssuerLab, exchange
from foreign_registry import (CONFIG, DOCKER, FOREIGN, INDEX, LAYER, LIST, MANIFEST, ConnectProxy, ForeignRegistry, descriptor, digest_of,
                              image, index)
from lab import CLIENT, DOMAIN, Lab, MERIDIAN, SKIP, USER, wait_until

REGIONS = {"eastus": "10.88.0.1", "westeurope": "10.88.0.2"}
STAMPS = {"eastus": "eus-1", "westeurope": "weu-1"}
EAST, GLOBAL = f"contoso.eastus.geo.{DOMAIN}", f"contoso.{DOMAIN}"
TOPOLOGY = """\
version: 1
domain: {domain}
hostmaster: hostmaster@{domain}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [10.88.0.1] }}], peer: "10.88.0.1:8443" }}
  - {{ name: westeurope, stamps: [{{ name: weu-1, ipv4: [10.88.0.2] }}], peer: "10.88.0.2:8443" }}
name_servers: [eus-1.eastus, weu-1.westeurope]
registries:
  - name: contoso
    regional_endpoints: enabled
    data_endpoints: enabled
    replicas: [{{ region: eastus }}, {{ region: westeurope }}]
  - name: tailspin
    anonymous_pull: true
    replicas: [{{ region: eastus }}, {{ region: westeurope }}]
routing: {{ order: [eastus, westeurope] }}
health: {{ interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%, hold_down: 2s, hold_down_max: 2s }}
certificates: {{ ca_region: eastus }}
"""
OLD, FAKE = f"{CLIENT}:5000", f"{CLIENT}:5100"
PASSWORD = "as it was"
BASIC = "Basic " + base64.b64encode(f"moving:{PASSWORD}".encode()).decode()
ALLOW = ("--allow", f"{CLIENT}/32")


class Arriving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = cls.enterClassContext(IssuerLab(topology=TOPOLOGY, regions=REGIONS, stamps=STAMPS,
                                               edge_extra=", access_log: { requests: all }"))
        cls.certificate()
        cls.fake = ForeignRegistry(CLIENT, 5100, f"{lab.dir}/old.pem", "moving", PASSWORD)
        cls.addClassCleanup(cls.fake.close)
        with open(f"{lab.dir}/source-password", "w") as f:
            f.write(PASSWORD + "\n")

    @classmethod
    def certificate(cls):
        d = cls.lab.dir
        cls.lab.check("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                      "-subj", "/CN=old", "-addext", f"subjectAltName=IP:{CLIENT}", "-keyout", f"{d}/old.key", "-out", f"{d}/old.crt")
        with open(f"{d}/old.pem", "w") as out:
            for name in ("old.crt", "old.key"):
                with open(f"{d}/{name}") as f:
                    out.write(f.read())

    def words(self, source, target, *more):
        return (MERIDIAN, "import", source, target, "--source-ca", f"{self.lab.dir}/old.crt", "--source-username", "moving",
                "--source-password-file", f"{self.lab.dir}/source-password", *more)

    def run_import(self, source, target, *more, status=0, allow=ALLOW):
        r = self.lab.run(*self.words(source, target, *allow, *more), "-o", "json", check=False)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return json.loads(r.stdout) if r.stdout else r.stderr

    def entries(self, report):
        return {(e["what"], e.get("tag")): e for r in report["repositories"] for e in r["entries"]}

    def tags(self, repository):
        """Of the target, oldest first: (tag, digest)."""
        out = json.loads(self.lab.check(MERIDIAN, "tag", "list", f"contoso/{repository}", "-o", "json"))
        return [(t["tag"], t["digest"]) for t in sorted(out["tags"], key=lambda t: t["time"])]

    def get(self, repository, what, accept="*/*"):
        auth = self.lab.bearer(f"repository:{repository}:pull", host=EAST, region="eastus")
        return self.lab.read(EAST, f"/v2/{repository}/{what}", "eastus", {**auth, "Accept": accept})

    # ---- from docker-registry ----
    def old_registry(self):
        d = self.lab.dir
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt
        with open(f"{d}/old.htpasswd", "w") as f:
            f.write(f"moving:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        with open(f"{d}/old.yml", "w") as f:
            f.write(f"version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {d}/old }} }}\n"
                    f"auth: {{ htpasswd: {{ realm: old, path: {d}/old.htpasswd }} }}\n"
                    f"http: {{ addr: '{OLD}', tls: {{ certificate: {d}/old.crt, key: {d}/old.key }} }}\n")
        with open(f"{d}/old.log", "wb") as log:
            child = self.lab.background("docker-registry", "serve", f"{d}/old.yml", stdout=log, stderr=log,
                                        env={k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")})  # it takes those
        self.old_tls = ssl.create_default_context(cafile=f"{d}/old.crt")

        def answers():
            try:
                return self.old("GET", "/v2/")[0] == 200
            except OSError:
                return False
        wait_until(20, answers, "docker-registry answers")
        self.addCleanup(child.kill)
        return child

    def old(self, method, path, body=None, kind=None):
        c = http.client.HTTPSConnection(OLD, timeout=20, context=self.old_tls)
        c.connect()
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            c.request(method, path, body=body, headers={"Authorization": BASIC, **({"Content-Type": kind} if kind else {})})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        finally:
            c.close()

    def old_put(self, repository, manifest, kind, blobs, reference=None):
        for b in blobs:
            _, head, _ = self.old("POST", f"/v2/{repository}/blobs/uploads/", b"")
            url = urllib.parse.urlsplit(head["Location"])
            self.assertEqual(self.old("PUT", f"{url.path}?{url.query}&digest={digest_of(b)}", b, "application/octet-stream")[0], 201)
        status, _, body = self.old("PUT", f"/v2/{repository}/manifests/{reference or digest_of(manifest)}", manifest, kind)
        self.assertEqual(status, 201, body)
        return digest_of(manifest)

    @unittest.skipUnless(shutil.which("docker-registry"), "docker-registry is not installed")
    def test_1_docker_registry(self):
        old = self.old_registry()
        wanted = {}
        base = os.urandom(50_000)
        for tag, created in (("z-first", "2020-01-02T03:04:05Z"), ("a-third", "2022-01-01T00:00:00.5Z"), ("m-second", "2021-06-01T12:00:00+02:00")):
            m, kind, blobs = image([base, os.urandom(200_000)], created, docker=tag == "m-second")
            wanted[tag] = self.old_put("team/app", m, kind, blobs, tag)
        big = os.urandom(9_000_000)
        parts = [image([big], "2023-01-01T00:00:00Z", docker=True), image([base], "2023-01-01T00:00:00Z", docker=True)]
        for m, kind, blobs in parts:
            self.old_put("team/app", m, kind, blobs)
        many, kind = index([p[:2] for p in parts], docker=True)
        wanted["list"] = self.old_put("team/app", many, kind, [], "list")
        # a signature by the tag schema, of one of the list's images
        subject = descriptor(parts[0][0], DOCKER)
        signature, kind, blobs = image([b"signed"], subject=subject, artifact="application/x.signature")
        self.old_put("team/app", signature, kind, blobs)
        listed, kind = index([(signature, MANIFEST)])
        self.old_put("team/app", listed, kind, [], subject["digest"].replace(":", "-"))
        m, kind, blobs = image([base], "2020-01-01T00:00:00Z")
        self.old_put("other/tool", m, kind, blobs, "1")

        # the users first, with the passwords that they have
        self.lab.check(MERIDIAN, "user", "import", "--htpasswd", f"{self.lab.dir}/old.htpasswd", "--registry", "contoso")
        wait_until(10, lambda: self.lab.request("GET", EAST, "/oauth2/token?service=contoso." + DOMAIN, "eastus",
                                                {"Authorization": BASIC})[0] == 200, "who came over logs in")
        refused = self.lab.run(*self.words(OLD, "contoso"), check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(CLIENT, refused.stderr)  # a private address: only where the operator says so
        self.assertIn("--allow", refused.stderr)
        plan = self.run_import(OLD, "contoso", "--dry-run", status=10)
        self.assertEqual((plan["summary"]["tags"], plan["summary"]["failed"]), (5, 0))
        self.assertEqual(json.loads(self.lab.check(MERIDIAN, "repository", "list", "contoso", "-o", "json"))["repositories"], [])
        done = self.run_import(OLD, "contoso", "--jobs", "3")
        self.assertEqual((done["summary"]["tags"], done["summary"]["blobs"]), (5, plan["summary"]["blobs"]))
        self.assertEqual(done["summary"]["bytes"], plan["summary"]["bytes"])
        self.assertEqual((plan["summary"]["blobsMounted"], done["summary"]["blobsMounted"]), (1, 1))  # a layer of both repositories
        self.assertEqual([t for t, _ in self.tags("team/app")], ["z-first", "m-second", "a-third", "list"])  # as old as the images
        self.assertEqual(dict(self.tags("team/app")), wanted)
        self.assertEqual(self.get("team/app", "manifests/list", LIST)[2], many)
        self.assertEqual(self.get("team/app", f"blobs/{digest_of(big)}")[0], 200)
        found = json.loads(self.get("team/app", f"referrers/{subject['digest']}")[2])["manifests"]
        self.assertEqual([d["digest"] for d in found], [digest_of(signature)])
        # again: nothing is left to do
        again = self.run_import(OLD, "contoso")["summary"]
        self.assertEqual((again["tags"], again["tagsThere"], again["blobs"], again["manifests"]), (0, 5, 0, 0))
        # one that moved at the source, one that only the target has; a filter, and another name
        m, kind, blobs = image([os.urandom(1000)], "2024-01-01T00:00:00Z")
        moved = self.old_put("team/app", m, kind, blobs, "a-third")
        self.lab.push("own", EAST, "team/app", "own")
        differs = self.run_import(f"{OLD}/team/app", "contoso", status=1)
        found = self.entries(differs)
        self.assertEqual((found["differs", "a-third"]["digest"], found["differs", "a-third"]["targetDigest"]), (moved, wanted["a-third"]))
        self.assertIn(("only-in-target", "own"), found)
        self.run_import(f"{OLD}/team/app", "contoso", "--replace", "--tags", "a-*,nothing")
        self.assertEqual(dict(self.tags("team/app"))["a-third"], moved)
        self.run_import(OLD, "contoso/moved", "--repositories", "other/*")
        self.assertEqual([t for t, _ in self.tags("moved/other/tool")], ["1"])
        said = self.lab.check(*self.words(OLD, "contoso", *ALLOW, "--replace"))
        self.assertRegex(said, "(?m)^copied 0 tags, 0 manifests, 0 blobs, 0 bytes; there already: 5 tags")
        old.terminate()
        old.wait()

    # ---- from one that misbehaves ----
    def seed(self, repository, tag, *layers, **more):
        m, kind, blobs = image(list(layers), **more)
        return self.fake.manifest(repository, m, kind, tag, blobs, more.get("alg", "sha256")), m

    def test_2_tokens_other_hosts_and_what_there_is(self):
        fake, layer = self.fake, os.urandom(300_000)
        d, m = self.seed("fine/app", "1", layer, created="2021-01-01T00:00:00Z")
        s, kind, blobs = image([b"sig"], subject=descriptor(m, MANIFEST), artifact="application/x.sig")
        sig = fake.manifest("fine/app", s, kind, None, blobs)
        s2, kind, blobs = image([b"of it"], subject=descriptor(s, MANIFEST), artifact="application/x.sig")
        sig2 = fake.manifest("fine/app", s2, kind, None, blobs)
        m512, kind, blobs = image([os.urandom(5000)], alg="sha512")
        fake.manifest("fine/app", m512, kind, "long", blobs, "sha512")
        foreign, kind, blobs = image([b"base"], docker=True, more_layers=[
            {"mediaType": FOREIGN, "digest": digest_of(b"theirs"), "size": 6, "urls": ["https://example.com/layer"]}])
        fake.manifest("fine/app", foreign, kind, "windows", blobs)
        inner, kind = index([(m, MANIFEST)])
        fake.manifest("fine/app", inner, kind)
        outer, kind = index([(inner, INDEX)])
        fake.manifest("fine/app", outer, kind, "nested")
        fake.manifest("fine/app", b'{"schemaVersion":1,"name":"x"}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "ancient")
        report = self.run_import(f"{FAKE}/fine/app", "contoso", status=1)
        found = self.entries(report)
        self.assertIn("schema 1", found["failed", "ancient"]["why"])
        self.assertEqual((report["summary"]["tags"], report["summary"]["failed"], report["summary"]["foreignLayers"]), (4, 1, 1))
        self.assertEqual(sorted(t for t, _ in self.tags("fine/app")), ["1", "long", "nested", "windows"])
        for subject, referrer in ((d, sig), (sig, sig2)):
            listed = json.loads(self.get("fine/app", f"referrers/{subject}")[2])["manifests"]
            self.assertEqual([x["digest"] for x in listed], [referrer])
        self.assertEqual(self.get("fine/app", "blobs/" + json.loads(m512)["layers"][0]["digest"])[0], 200)
        with fake.lock:
            seen = list(fake.asked)
        self.assertEqual({a for _, _, a, port in seen if port == 5101}, {""})  # no credentials for the other host
        self.assertEqual({a for _, path, a, _ in seen if path.startswith("/token")},
                         {BASIC})
        proxy = ConnectProxy(CLIENT, 5200)
        self.addCleanup(proxy.close)
        fake.tags["fine/app"].pop("ancient")
        self.assertEqual(self.run_import(f"{FAKE}/fine/app", "contoso", "--proxy", f"http://{CLIENT}:5200")["summary"]["tagsThere"], 4)
        self.assertEqual(set(proxy.asked), {FAKE})
        bad = self.lab.run(*self.words(f"{FAKE}/fine/app", "contoso", *ALLOW), "--source-password-file", self.lab.password_file, check=False)
        self.assertEqual(bad.returncode, 1)
        self.assertIn("its token service: HTTP 401: who are you?", bad.stdout)

    def test_3_what_is_broken_is_told_and_the_rest_comes(self):
        fake, wanted = self.fake, {}
        whys = {"wrong": "another digest", "longer": "sends more than", "short": "of the 300000 bytes that its manifest states", "loop": "",
                "plain": ""}
        for fault in (*whys, "cut", "no ranges"):
            layer = os.urandom(300_000)
            fake.faults[digest_of(layer)] = fault
            wanted[fault], _ = self.seed("bad/app", fault.replace(" ", "-"), layer)
        fault = "wrong-manifest"
        fake.faults[fault] = "wrong"
        self.seed("bad/app", fault, b"layer")
        for fault in ("busy", "flaky"):
            fake.faults[fault] = fault
            wanted[fault], _ = self.seed("bad/app", fault, fault.encode())
        for fault in ("later", "down"):
            fake.faults[fault] = fault
            self.seed("bad/app", fault, fault.encode())
        gone, kind, _ = image([b"lost"])
        fake.manifest("bad/app", gone, kind, "lost", [])
        report = self.run_import(f"{FAKE}/bad/app", "contoso", status=1)
        found = self.entries(report)
        for fault, why in whys.items():
            self.assertIn(why, found["failed", fault]["why"])
        self.assertIn("another digest", found["failed", "wrong-manifest"]["why"])
        self.assertIn("has not got it", found["failed", "lost"]["why"])
        self.assertIn("for 3600 s: run the import again after that", found["failed", "later"]["why"])
        self.assertEqual(found["failed", "down"]["why"], "HTTP 503")
        good = ("busy", "cut", "flaky", "no ranges")
        self.assertEqual(dict(self.tags("bad/app")), {g.replace(" ", "-"): wanted[g] for g in good})
        self.assertEqual(self.lab.upload_bytes("eastus"), [])  # nothing is left of what was given up
        for catalog, why in (("endless", "does not end"), ("no names", "an entry that is no name"), ("none", "name one"),
                             ("elsewhere", "no path of it"), ("other login", "a kind that is not known here")):
            fake.faults["catalog"] = catalog
            self.assertIn(why, self.run_import(FAKE, "contoso", status=1)["error"])
        fake.faults.clear()

    def test_4_it_is_killed_and_goes_on(self):
        fake = self.fake
        layers = [os.urandom(n) for n in (6_000_000, 5_000_000, 80_000_000, 1000)]
        for i, layer in enumerate(layers):
            self.seed("killed/app", str(i), layer, created=f"2021-01-0{i + 1}T00:00:00Z")
        fake.slow_begun, fake.slow_goes_on = threading.Event(), threading.Event()
        fake.faults[digest_of(layers[2])] = "slow"
        child = self.lab.background(*self.words(f"{FAKE}/killed/app", "contoso", *ALLOW, "--jobs", "1"),
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertTrue(fake.slow_begun.wait(30))
        with open(f"/proc/{child.pid}/status") as f:
            peak_kib = int(re.search(r"VmHWM:\s*(\d+)", f.read())[1])
        if not os.environ.get("SANITIZED"):
            self.assertLess(peak_kib, 48 << 10)  # whatever the blob's size
        child.kill()
        child.wait()
        fake.slow_goes_on.set()
        fake.faults.clear()
        self.assertEqual(self.get("killed/app", "manifests/3", MANIFEST)[0], 404)
        with fake.lock:
            fake.asked.clear()
        report = self.run_import(f"{FAKE}/killed/app", "contoso")
        self.assertEqual(report["summary"]["tags"], 4)
        self.assertGreaterEqual(report["summary"]["blobsThere"], 2)
        again = {path.split("/")[-1] for _, path, _, port in fake.asked if port == 5101}
        self.assertFalse(again & {digest_of(layers[0]), digest_of(layers[1])})  # what was there did not come twice
        self.assertEqual([t for t, _ in self.tags("killed/app")], ["0", "1", "2", "3"])

    # ---- workloads ----
    def test_4b_a_workload_logs_in_by_its_issuer(self):
        lab, none = self.lab, "00000000-0000-0000-0000-000000000000"
        issuer = ForeignIssuer(lab)
        self.addCleanup(issuer.close)
        issuer.rotate("key-1")
        with open(lab.principals) as f:
            said = re.sub(r"^version: \d+", "version: 1000", f.read())
        with open(lab.principals, "w") as f:
            f.write(said + "issuers:\n" + "".join(
                f"  - name: {name}\n    issuer: {issuer.url(name + '.example')}\n    registry: contoso\n    ca_file: {issuer.certificate}\n"
                "    rules: [{ name: deploy, match: { repository_id: \"7\", ref: refs/heads/main }, scope_map: _push, "
                "repositories: [\"web/*\"] }]\n" for name in ("issuer", "slow", "liar")))
        token = lambda name="issuer", **more: issuer.token(f"{name}.example", GLOBAL, sub="repo:contoso/web", repository_id=7,
                                                           ref="refs/heads/main", **more)
        ask = lambda t, host=EAST, region="eastus": exchange(lab, host, t, region, GLOBAL)
        first = token(jti="1")
        wait_until(20, lambda: ask(first)[0] != 401 or None, "the node knows its issuers")
        self.assertEqual(ask(first)[0], 401)  # good once
        west = f"contoso.westeurope.geo.{DOMAIN}"
        status, reply = wait_until(20, lambda: (lambda a: a if a[0] == 200 else None)(ask(token(), west, "westeurope")), "so does the other")
        self.assertEqual(list(reply), ["refresh_token"])
        # what it got in one region is good in the other, for what the rule gives
        refresh = reply["refresh_token"]
        out, digest = lab.image("workload", layers=1)
        put = lambda repo: lab.run("skopeo", "copy", "-q", "--dest-creds", f"{none}:{refresh}", f"oci:{out}:1", f"docker://{EAST}/{repo}:1",
                                   check=False)
        self.assertEqual(put("web/app").returncode, 0)
        self.assertNotEqual(put("team/app").returncode, 0)
        _, headers, _ = lab.request("HEAD", EAST, "/v2/web/app/manifests/1", "eastus", lab.bearer("repository:web/app:pull", host=EAST))
        self.assertEqual(headers["docker-content-digest"], digest)
        tags = json.loads(lab.request("GET", EAST, "/registry/v1/tags?repository=web/app", "eastus",
                                      lab.bearer("repository:web/app:pull", host=EAST))[2])["tags"]
        self.assertIn("oidc:issuer:repo:contoso/web", json.dumps(tags))
        # not once more after a restart without a gap, either
        lab.admin("eastus", "node", "restart")
        status, reply = ask(first)
        self.assertEqual((status, "exchanged before" in reply["error_description"]), (401, True), reply)
        # another registry's name, and an issuer that leads inside
        other = issuer.token("issuer.example", f"tailspin.{DOMAIN}", sub="repo:contoso/web", repository_id=7, ref="refs/heads/main")
        self.assertEqual(ask(other)[0], 401)
        end = lab.log_end("eastus")
        self.assertEqual(ask(token("liar"))[0], 503)
        lab.wait_said("eastus", "the guard refuses 169.254.169.254, a cloud's metadata service", end)
        # the worker that was replaced may have answered that, and knows of it alone
        warns = lambda: ask(token("liar"))[0] == 503 and "issuer_keys" in json.dumps(lab.admin("eastus", "status")["conditions"])
        wait_until(20, warns, "its status says so")
        # one that is slow holds up nobody else
        waiting = [threading.Thread(target=ask, args=(token("slow"),)) for _ in range(10)]
        for t in waiting:
            t.start()
        wait_until(10, lambda: ("slow.example", "/.well-known/openid-configuration") in issuer.asked, "it is asked")
        self.assertEqual(ask(token())[0], 200)
        self.assertTrue(lab.token("repository:web/app:pull", host=EAST, region="eastus"))
        issuer.released.set()
        for t in waiting:
            t.join()

    # ---- clients of a region ----
    def client_files(self, kind):
        """Writes them below a folder, and gives that."""
        out = f"{self.lab.dir}/clients"
        self.lab.check(MERIDIAN, "client-config", kind, "-n", "contoso", "--region", "eastus", "--out", out)
        return out

    def over(self, path, place):
        """In this test's mount namespace alone."""
        self.lab.check("mount", "--bind", path, place)
        self.addCleanup(subprocess.run, ["umount", "-l", place])

    def asked(self, repository):
        """Which regions were asked for manifests of it."""
        out = []
        for region in REGIONS:
            try:
                with open(f"{self.lab.dir}/{region}/log/access.log") as f:
                    rows = [json.loads(line) for line in f]
                out += [region] if any(r["method"] in ("GET", "HEAD") and f"/v2/{repository}/manifests" in r["path"] for r in rows) else []
            except FileNotFoundError:
                pass
        return out

    def wait_asked(self, region, *repositories):
        for repository in repositories:
            wait_until(10, lambda: self.asked(repository), f"somebody was asked for {repository}")
            self.assertEqual(self.asked(repository), [region])

    def dead_global_name(self):
        with open(f"{self.lab.dir}/hosts", "w") as f:
            f.write(f"127.0.0.1 localhost\n10.88.0.250 {GLOBAL}\n")  # nobody has it
        self.lab.check("mount", "--bind", f"{self.lab.dir}/hosts", "/etc/hosts")

    @unittest.skipUnless(all(shutil.which(p) for p in ("containerd", "ctr", "podman")), "containerd or podman is not installed")
    def test_5_a_region_is_taken_away_and_clients_pull_on(self):
        lab = self.lab
        for client in ("ctr", "podman", "docker"):
            for n in "12":
                lab.push(f"{client}{n}", EAST, f"{client}/{n}", "1", layers=1, layer_bytes=10_000)
                lab.wait_replicated(f"contoso/{client}/{n}:1")
        self.client_files("containerd"), self.client_files("kubelet")
        shutil.copytree("/etc/containers", f"{lab.dir}/clients/etc/containers", symlinks=True, dirs_exist_ok=True)
        out = self.client_files("podman")
        lab.check(MERIDIAN, "login", "-n", "contoso", "--all")
        self.over(f"{out}/etc/containers", "/etc/containers")
        with open(f"{lab.dir}/none.pem", "w"):
            pass
        only_own = {"SSL_CERT_FILE": f"{lab.dir}/none.pem", "SSL_CERT_DIR": f"{lab.dir}/no-such-folder"}
        sock = f"{lab.dir}/containerd.sock"
        with open(f"{lab.dir}/containerd.log", "wb") as log:
            lab.background("containerd", "--root", f"{lab.dir}/ctr", "--state", f"{lab.dir}/ctr-run", "--address", sock, stdout=log, stderr=log)
        wait_until(30, lambda: lab.run("ctr", "--address", sock, "version", check=False).returncode == 0, "containerd answers")

        def pull(n):
            lab.check("ctr", "--address", sock, "content", "fetch", "--hosts-dir", f"{out}/etc/containerd/certs.d", "--user",
                      f"{USER}:{lab.password}", f"{GLOBAL}/ctr/{n}:1", env=only_own)
            lab.check("podman", "--root", f"{lab.dir}/podman", "--runroot", f"{lab.dir}/podman-run", "--storage-driver", "vfs",
                      "pull", "-q", f"{GLOBAL}/podman/{n}:1", env=only_own)
        self.dead_global_name()  # what the files say is all that clients have
        try:
            pull(1)
            self.wait_asked("eastus", "ctr/1", "podman/1")
            lab.kill("eastus")
            pull(2)
            self.wait_asked("westeurope", "ctr/2", "podman/2")
        finally:
            lab.check("umount", "-l", "/etc/hosts")
        self.docker_pulls_on()

    def docker_pulls_on(self):
        """docker has no fallback of its own: DNS leads the global name to the region that is left."""
        lab, path = self.lab, "/usr/sbin:/usr/bin:/sbin:/bin"
        if not shutil.which("dockerd", path=path) or not os.path.isdir("/etc/docker"):
            return
        self.over(self.client_files("docker") + "/etc/docker", "/etc/docker")
        env = {"DOCKER_HOST": f"unix://{lab.dir}/docker.sock", "DOCKER_CONFIG": f"{lab.dir}/docker-config", "PATH": path,
               "SSL_CERT_FILE": f"{lab.dir}/none.pem"}
        with open(f"{lab.dir}/dockerd.log", "wb") as log:
            daemon = lab.background(
                shutil.which("dockerd", path=path), "--host", env["DOCKER_HOST"], "--data-root", f"{lab.dir}/docker", "--exec-root",
                f"{lab.dir}/docker-run", "--pidfile", f"{lab.dir}/docker.pid", "--bridge=none", "--iptables=false", "--ip-masq=false",
                "--ip6tables=false", "--storage-driver=vfs", stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, **env))
        try:
            wait_until(60, lambda: lab.run("docker", "version", check=False, env=env).returncode == 0, "dockerd answers")
            wait_until(30, lambda: lab.dig(GLOBAL) and REGIONS["eastus"] not in lab.dig(GLOBAL), "DNS leads to the region that is left")
            lab.check("docker", "login", "-u", USER, "--password-stdin", GLOBAL, input=lab.password, env=env)
            lab.check("docker", "pull", "-q", f"{GLOBAL}/docker/1:1", env=env)
            self.wait_asked("westeurope", "docker/1")
        finally:
            daemon.terminate()
            daemon.wait(30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
