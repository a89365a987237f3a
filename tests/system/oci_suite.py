# SPDX-License-Identifier: Apache-2.0
"""A strict client of the OCI distribution API, raw over HTTPS: what the specification's own conformance suite asks for, group by
group, at 1.0, 1.1 and at its development version (sha256 and sha512 in every way to upload, `tag` parameters, deletion at once).

    suite = Suite(lab, host, bearer)      # bearer(scope) → headers
    suite.run()
    suite.failed                          # "group: what went wrong", none when all is well
"""
import gzip, hashlib, http.client, json, os, urllib.parse

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
EXAMPLE, OTHER = "application/vnd.example.oci.conformance", "application/vnd.example.oci.conformance.v2+json"
CHUNK = 1024
BYTES = "application/octet-stream"


def digest(data, algorithm="sha256"):
    return f"{algorithm}:" + hashlib.new(algorithm, data).hexdigest()


class Answer:
    def __init__(self, r):
        self.status, self.body = r.status, r.read()
        self.headers = {}
        for name, value in r.getheaders():
            self.headers.setdefault(name.lower(), []).append(value)

    def header(self, name):
        return ", ".join(self.headers.get(name.lower(), []))

    def json(self):
        return json.loads(self.body)


class Data:
    """What one group pushes: blobs, manifests in the order in which they can be pushed, tags."""

    def __init__(self, algorithm="sha256"):
        self.algorithm = algorithm
        self.blobs, self.manifests, self.tags, self.referrers = {}, {}, {}, {}

    def blob(self, data, media_type, **more):
        d = digest(data, self.algorithm)
        self.blobs[d] = data
        return dict({"mediaType": media_type, "digest": d, "size": len(data)}, **more)

    def layer(self, packed=True):
        data = os.urandom(2048)
        return self.blob(gzip.compress(data), LAYER + "+gzip") if packed else self.blob(data, LAYER)

    def add(self, document, media_type, tag=None, subject=None):
        if subject:
            document["subject"] = {k: subject[k] for k in ("mediaType", "digest", "size")}
        data = json.dumps(document).encode()
        d = digest(data, self.algorithm)
        self.manifests[d] = (media_type, data)
        if tag:
            self.tags[tag] = d
        descriptor = {"mediaType": media_type, "digest": d, "size": len(data)}
        if subject:
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
            listed = dict(descriptor, **({"artifactType": kind} if kind else {}), annotations=document.get("annotations", {}))
            self.referrers.setdefault(subject["digest"], []).append(listed)
        return descriptor

    def image(self, tag=None, layers=2, subject=None, packed=True, config=None, **more):
        document = {"schemaVersion": 2, "mediaType": OCI,
                    "config": config or self.blob(json.dumps({"architecture": "amd64", "os": "linux", "x": os.urandom(8).hex(), "rootfs": {"type": "layers", "diff_ids": []}}).encode(), CONFIG),
                    "layers": [self.layer(packed) for _ in range(layers)] if isinstance(layers, int) else layers}
        return self.add(dict(document, **more), OCI, tag, subject)

    def artifact(self, kind, tag=None, subject=None, layers=None, **more):
        return self.image(tag, [self.blob(os.urandom(64), kind)] if layers is None else layers, subject,
                          config=self.blob(b"{}", EMPTY), artifactType=kind, **more)

    def index(self, tag=None, children=None, subject=None, **more):
        if children is None:
            children = [dict(self.image(), platform={"os": "linux", "architecture": a}) for a in ("amd64", "arm64")]
        return self.add(dict({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, **more), INDEX, tag, subject)


class Suite:
    def __init__(self, lab, host, bearer, prefix="suite", region=None):
        self.lab, self.host, self.region = lab, host, region
        self.one, self.two = f"{prefix}/one", f"{prefix}/two"
        actions = "pull,push,delete"
        self.auth = bearer(f"repository:{self.one}:{actions} repository:{self.two}:{actions}")
        self.failed, self.n_checks, self.group = [], 0, ""
        self.connections = {}

    def close(self):
        for c in self.connections.values():
            c.close()

    # ---- asking ----
    def ask(self, method, url, headers=None, body=None, want=None, what="", length=True):
        """One request, over a connection that stays; a redirect of a GET is followed without the token."""
        at = urllib.parse.urlsplit(url)
        host = at.hostname or self.host
        for attempt in (1, 2):
            c = self.connections.get(host)
            if c is None:
                c = self.connections[host] = http.client.HTTPSConnection(host, timeout=20)
                c.sock = self.lab.connection(host, self.region, 20)
            try:
                sent = dict(self.auth if host == self.host else {}, **(headers or {}))
                if "sig=" in at.query:
                    sent.pop("Authorization", None)
                if length:
                    c.request(method, at.path + ("?" + at.query if at.query else ""), body=body, headers=sent)
                else:
                    c.request(method, at.path + ("?" + at.query if at.query else ""), body=iter([body]), headers=sent, encode_chunked=True)
                r = Answer(c.getresponse())
                break
            except (http.client.HTTPException, OSError):
                self.connections.pop(host).close()
                if attempt == 2:
                    raise
        if r.status == 401 and host != self.host and "Authorization" not in sent:  # as clients do: the token is good at all names
            return self.ask(method, url, dict(headers or {}, **self.auth), body, want, what, length)
        if method == "GET" and r.status == 307:
            kept = {k: v for k, v in (headers or {}).items() if k != "Authorization"}
            return self.ask(method, r.header("location"), kept, None, want, what)
        if want is not None:
            self.check(r.status in (want if isinstance(want, tuple) else (want,)), f"{what or method} {at.path[-90:]}: {r.status}, not {want}: {r.body[:200]}")
        return r

    def check(self, holds, what):
        self.n_checks += 1
        if not holds:
            self.failed.append(f"{self.group}: {what}")
        return holds

    def path(self, repo, *rest):
        return "/v2/" + "/".join((repo, *rest))

    def join(self, url, **query):
        return url + ("&" if "?" in url else "?") + urllib.parse.urlencode(query, doseq=True)

    # ---- blobs ----
    def begun(self, repo):
        r = self.ask("POST", self.path(repo, "blobs", "uploads/"), {"Content-Length": "0"}, want=202, what="POST")
        self.check(r.header("location"), "POST has a Location")
        return r.header("location")

    def created(self, r, d, data, bad):
        if bad:
            return self.check(r.status == 400, f"a bad digest is {r.status}, not 400")
        self.check(r.status == 201, f"the end of an upload is {r.status}, not 201: {r.body[:200]}")
        self.check(r.header("docker-content-digest") == d, f"created as {r.header('docker-content-digest')}")
        got = self.ask("GET", r.header("location"), want=200, what="GET of the Location")
        return self.check(got.body == data, "the Location has the bytes")

    def post_only(self, repo, d, data, bad=False):
        r = self.ask("POST", self.join(self.path(repo, "blobs", "uploads/"), digest=d), {"Content-Type": BYTES}, data)
        self.created(r, d, data, bad)

    def post_put(self, repo, d, data, bad=False):
        r = self.ask("PUT", self.join(self.begun(repo), digest=d), {"Content-Type": BYTES}, data)
        self.created(r, d, data, bad)

    def stream(self, repo, d, data, bad=False):
        r = self.ask("PATCH", self.begun(repo), {"Content-Type": BYTES}, data, want=202, what="stream", length=False)
        self.created(self.ask("PUT", self.join(r.header("location"), digest=d), {"Content-Length": "0"}), d, data, bad)

    def chunked(self, repo, d, data, bad=False, put_last=False, out_of_order=False, pieces=3):
        at, done = self.begun(repo), 0
        size = max(len(data) // pieces + 1, CHUNK)

        def piece(start, end, want, method="PATCH", url=None):
            return self.ask(method, url or at, {"Content-Type": BYTES, "Content-Range": f"{start}-{end - 1}"}, data[start:end], want=want, what="piece")
        while done < len(data):
            end = min(done + size, len(data))
            if out_of_order:
                wrong = done + size if done + size < len(data) else 0
                wrong_end = min(wrong + size, len(data))
                last = put_last and wrong_end == len(data)
                r = piece(wrong, wrong_end, 416, "PUT" if last else "PATCH", self.join(at, digest=d) if last else at)
                self.check(r.header("location"), "416 has a Location")
                r = self.ask("GET", r.header("location") or at, want=204, what="state")
                self.check(r.header("range") == f"0-{max(done - 1, 0)}", f"state says {r.header('range')} at {done}")
                at = r.header("location")
            if put_last and end == len(data):
                self.created(piece(done, end, 400 if bad else 201, "PUT", self.join(at, digest=d)), d, data, bad)
                return
            r = piece(done, end, 202)
            self.check(r.header("range") == f"0-{end - 1}", f"a piece is answered with {r.header('range')}")
            at, done = r.header("location"), end
        self.created(self.ask("PUT", self.join(at, digest=d), {"Content-Length": "0"}), d, data, bad)

    def mount(self, repo, source, d, data, want=201):
        query = {"mount": d, **({"from": source} if source else {})}
        r = self.ask("POST", self.join(self.path(repo, "blobs", "uploads/"), **query), {"Content-Length": "0"}, want=want, what="mount")
        if want == 201:
            return self.created(r, d, data, False)
        r = self.ask("PUT", self.join(r.header("location"), digest=d), {"Content-Type": BYTES}, data)
        return self.created(r, d, data, False)

    def blob_there(self, repo, d, data):
        r = self.ask("HEAD", self.path(repo, "blobs", d), want=200)
        self.check(r.header("docker-content-digest") == d and r.header("content-length") == str(len(data)) and not r.body, f"HEAD of {d[:20]}")
        r = self.ask("GET", self.path(repo, "blobs", d), want=200)
        self.check(r.header("docker-content-digest") == d and r.body == data, f"GET of {d[:20]}")

    def blob_delete(self, repo, d):
        r = self.ask("DELETE", self.path(repo, "blobs", d), want=405)
        self.check("allow" in r.headers and r.json()["errors"][0]["code"] == "UNSUPPORTED", "405 names what is allowed")

    def ranges(self, repo, algorithm):
        data = os.urandom(2048)
        d = digest(data, algorithm)
        self.post_put(repo, d, data)
        for asked, start, end in (("500-1499", 500, 1500), ("500-", 500, 2048), ("-500", 1548, 2048), ("2000-5000", 2000, 2048)):
            r = self.ask("GET", self.path(repo, "blobs", d), {"Range": "bytes=" + asked}, want=206, what=f"range {asked}")
            self.check(r.body == data[start:end] and r.header("content-length") == str(end - start), f"bytes of {asked}")
            self.check(r.header("content-range") == f"bytes {start}-{end - 1}/2048", f"{asked}: {r.header('content-range')}")
        for asked in ("500-0", "5000-10000"):
            self.ask("GET", self.path(repo, "blobs", d), {"Range": "bytes=" + asked}, want=416, what=f"range {asked}")

    def blobs(self, algorithm):
        self.group = f"blobs {algorithm}"
        new = lambda n=512: (lambda b: (digest(b, algorithm), b))(os.urandom(n))
        self.ask("GET", self.path(self.one, "blobs", new()[0]), want=404)
        self.ask("HEAD", self.path(self.one, "blobs", new()[0]), want=404)
        ways = {"post only": self.post_only, "post+put": self.post_put, "stream": self.stream,
                "chunked single": lambda *a, **k: self.chunked(*a, pieces=1, **k), "chunked multi": self.chunked,
                "chunked multi and put": lambda *a, **k: self.chunked(*a, put_last=True, **k),
                "out of order": lambda *a, **k: self.chunked(*a, out_of_order=True, **k),
                "out of order and put": lambda *a, **k: self.chunked(*a, out_of_order=True, put_last=True, **k)}
        for name, way in ways.items():
            self.group = f"blobs {algorithm}, {name}"
            d, data = new(CHUNK * 3 - 5)
            way(self.one, d, data)
            self.blob_there(self.one, d, data)
            self.blob_delete(self.one, d)
            if "order" not in name:
                d, data = new(CHUNK * 3 - 5)
                way(self.one, d, data + b"oh no", bad=True)
                self.ask("HEAD", self.path(self.one, "blobs", d), want=404)
        self.group = f"blobs {algorithm}, mounts"
        for source in (self.two, None):
            d, data = new()
            self.post_put(self.two, d, data)
            self.mount(self.one, source, d, data)
            self.blob_there(self.one, d, data)
        self.mount(self.one, self.two, *new(), want=202)
        self.group = f"blobs {algorithm}, cancel"
        at = self.begun(self.one)
        self.ask("DELETE", at, {"Content-Length": "0"}, want=204)
        self.ask("GET", at, want=404)
        self.group = f"blobs {algorithm}, ranges"
        self.ranges(self.one, algorithm)
        for data in (b"", b"{}"):
            self.group = f"blobs {algorithm}, {data}"
            d = digest(data, algorithm)
            self.post_put(self.one, d, data)
            self.stream(self.two, d, data) if data else self.post_only(self.two, d, data)
            self.blob_there(self.one, d, data)

    # ---- manifests ----
    def manifest_put(self, data, reference, d, tags=(), want=201):
        media_type, text = data.manifests[d]
        url = self.path(self.one, "manifests", reference)
        r = self.ask("PUT", self.join(url, tag=list(tags)) if tags else url, {"Content-Type": media_type}, text, want=want, what="PUT")
        if want != 201 or r.status != 201:
            return
        self.check(r.header("docker-content-digest") == d, f"PUT says {r.header('docker-content-digest')}")
        said = [t.strip() for v in r.headers.get("oci-tag", []) for t in v.split(",")]
        self.check(set(tags) <= set(said), f"OCI-Tag says {said}, not {tags}")
        subject = json.loads(text).get("subject")
        self.check(r.header("oci-subject") == (subject["digest"] if subject else ""), f"OCI-Subject: {r.header('oci-subject')}")
        got = self.ask("GET", r.header("location"), {"Accept": media_type}, want=200, what="GET of the Location")
        self.check(got.body == text, "the Location has the manifest")

    def manifest_there(self, data, reference, d):
        media_type, text = data.manifests[d]
        for method in ("HEAD", "GET"):
            r = self.ask(method, self.path(self.one, "manifests", reference), {"Accept": f"{OCI}, {INDEX}"}, want=200)
            self.check(r.header("content-type") == media_type and r.header("content-length") == str(len(text)), f"{method} {reference}: headers")
            self.check(r.header("docker-content-digest") == d and r.body == (text if method == "GET" else b""), f"{method} {reference}: content")

    def listed(self, data):
        tags = self.ask("GET", self.path(self.one, "tags", "list"), want=200).json()["tags"]
        self.check(tags == sorted(tags), "tags are sorted")
        self.check(set(data.tags) <= set(tags), f"{set(data.tags) - set(tags)} is not listed")
        if len(tags) >= 2:
            half = tags[len(tags) // 2 - 1]
            rest = self.ask("GET", self.join(self.path(self.one, "tags", "list"), last=half), want=200).json()["tags"]
            self.check(rest == tags[len(tags) // 2:], "last= begins behind it")
            r = self.ask("GET", self.join(self.path(self.one, "tags", "list"), n=1), want=200)
            self.check(r.json()["tags"] == tags[:1] and 'rel="next"' in r.header("link"), "n=1 is one tag and a Link")
            none = self.ask("GET", self.join(self.path(self.one, "tags", "list"), n=0), want=200)
            self.check(none.json()["tags"] == [] and not none.header("link"), "n=0 is an empty list")

    def referrers(self, data):
        for subject, wanted in data.referrers.items():
            url = self.path(self.one, "referrers", subject)
            r = self.ask("GET", url, want=200)
            self.check(r.header("content-type") == INDEX and r.json()["mediaType"] == INDEX and r.json()["schemaVersion"] == 2, "an image index")
            for kind in [None, *{w.get("artifactType") for w in wanted if w.get("artifactType")}]:
                if kind:
                    r = self.ask("GET", self.join(url, artifactType=kind), want=200)
                    self.check("artifactType" in r.header("oci-filters-applied"), "the filter is said")
                got = {m["digest"]: m for m in r.json()["manifests"]}
                here = [w for w in wanted if not kind or w.get("artifactType") == kind]
                self.check(set(got) == {w["digest"] for w in here}, f"of {kind}: {len(got)} listed, not {len(here)}")
                for w in here:
                    m = got.get(w["digest"], {})
                    self.check(all(m.get(k) == w[k] for k in ("mediaType", "size", "digest")) and m.get("artifactType") == w.get("artifactType")
                               and w["annotations"].items() <= m.get("annotations", {}).items(), f"descriptor {m} for {w}")

    def delete(self, data):
        for tag in data.tags:
            self.ask("DELETE", self.path(self.one, "manifests", tag), want=202)
            self.ask("HEAD", self.path(self.one, "manifests", tag), want=404)
        for d in reversed(data.manifests):
            self.ask("DELETE", self.path(self.one, "manifests", d), want=202)
            self.ask("HEAD", self.path(self.one, "manifests", d), want=404)
            self.ask("DELETE", self.path(self.one, "manifests", d), want=404)
        for subject in data.referrers:
            self.check(self.ask("GET", self.path(self.one, "referrers", subject), want=200).json()["manifests"] == [], "nothing is attached any more")
        for d in data.blobs:
            self.blob_delete(self.one, d)
            break

    def whole(self, name, data, by_params=False):
        """Push, list, HEAD, GET, referrers, delete."""
        self.group = name
        ways = (self.post_put, self.post_only, self.stream, self.chunked)
        for i, (d, text) in enumerate(data.blobs.items()):
            ways[i % len(ways)](self.one, d, text)
        for d in data.manifests:
            self.manifest_put(data, d, d, [t for t in data.tags if data.tags[t] == d] if by_params else ())
        for tag, d in data.tags.items():
            if not by_params:
                self.manifest_put(data, tag, d)
        self.listed(data)
        for tag, d in data.tags.items():
            self.manifest_there(data, tag, d)
        for d in data.manifests:
            self.manifest_there(data, d, d)
        for d, text in data.blobs.items():
            self.blob_there(self.one, d, text)
        self.referrers(data)
        self.delete(data)

    def simple_data(self):
        made = {}

        def group(name, algorithm="sha256"):
            made[name] = Data(algorithm)
            return made[name]
        group("image").image("image")
        group("uncompressed").image("uncompressed", packed=False)
        group("large manifest").image("large", annotations={f"large-annotation-{i}": "A" * 10000 for i in range(390)})
        group("index").index("index")
        d = group("nested index")
        d.index("nested", [d.index(), d.index()])
        group("empty index").index("empty", [])
        group("artifact").artifact(EXAMPLE, "artifact")
        d = group("artifact index")
        d.index("artifacts", [d.artifact(EXAMPLE) for _ in range(2)], artifactType=EXAMPLE)
        d = group("artifact without layers")
        d.artifact(EXAMPLE, "no-layers", layers=[d.blob(b"{}", EMPTY)])
        group("data field").image("data", config=dict(d.blob(b"{}", CONFIG), data="e30="))
        made["data field"].blob(b"{}", CONFIG)
        d = group("non-distributable")
        gone = lambda kind: {"mediaType": kind, "digest": digest(os.urandom(8)), "size": 12345, "urls": ["https://store.example.com/blobs/1"]}
        d.image("foreign", [gone("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), gone("application/vnd.oci.image.layer.nondistributable.v1.tar"), d.layer()])
        group("custom fields").index("custom", **{"org.conformance": "hello", "x": {"y": [1, 2, None]}})
        group("no layers").image("bare", 0)
        group("sha512", "sha512").index()
        return made

    def subject_data(self):
        made = {}
        d = made["artifacts with subject"] = Data()
        image = d.image("image")
        note = {"org.opencontainers.conformance": "hello conformance test"}
        d.image(subject=image)
        d.artifact(EXAMPLE, "attached-1", image, annotations=dict(note, n="1"))
        d.artifact(OTHER, "attached-2", image, annotations=dict(note, n="2"))
        d = made["index with subject"] = Data()
        index = d.index("index")
        d.index("attached", subject=index, artifactType=EXAMPLE, annotations=note)
        d.index(subject=index, children=[])
        d = made["missing subject"] = Data()
        d.artifact(EXAMPLE, "attached", {"mediaType": OCI, "digest": digest(b"missing content " + self.host.encode()), "size": 123}, annotations=note)
        d = made["sha512 with subject"] = Data("sha512")
        d.artifact(EXAMPLE, None, d.image())
        return made

    def tag_params(self):
        for algorithm in ("sha256", "sha512"):
            d = Data(algorithm)
            top = d.index(f"params-{algorithm}")
            for i, each in enumerate(list(d.manifests)):
                d.tags[f"params-{algorithm}-{i}"] = each
            for i in range(12):
                d.tags[f"params-{algorithm}-more{i}"] = top["digest"]
            self.whole(f"tag parameters {algorithm}", d, by_params=True)

    def errors(self):
        self.group = "errors"
        for reference in (digest(os.urandom(8)), digest(os.urandom(8), "sha512"), "missing"):
            self.ask("GET", self.path(self.one, "manifests", reference), want=404)
            self.ask("DELETE", self.path(self.one, "manifests", reference), want=404)
        self.ask("GET", self.path(self.one, "manifests", "sha256:baddigeststring"), want=(400, 404))
        d = Data()
        d.image(None, 1)
        for each, text in d.blobs.items():
            self.post_put(self.one, each, text)
        top = list(d.manifests)[-1]
        self.manifest_put(d, "sha256:baddigeststring", top, want=400)
        spaced = Data()
        spaced.manifests[top] = (OCI, d.manifests[top][1] + b"  ")
        self.manifest_put(spaced, top, top, want=400)
        self.ask("GET", self.path(self.one, "referrers", "sha256:baddigeststring"), want=400)

    def run(self, whole=True):
        """All groups; or, of those of manifests, a few."""
        self.group = "empty"
        r = self.ask("GET", "/v2/", want=200)
        self.check(r.header("docker-distribution-api-version") == "registry/2.0", "the version is said")
        self.ask("GET", self.path(self.one, "tags", "list"), want=(200, 404))
        r = self.ask("GET", self.path(self.one, "referrers", digest(os.urandom(8))), want=200)
        self.check(r.header("content-type") == INDEX and r.json()["manifests"] == [], "no referrers")
        for algorithm in ("sha256", "sha512"):
            self.blobs(algorithm)
        for name, data in {**self.simple_data(), **self.subject_data()}.items():
            if whole or name in ("image", "index", "sha512", "artifacts with subject"):
                self.whole(name, data)
        self.tag_params()
        self.errors()
        self.close()
