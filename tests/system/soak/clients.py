# SPDX-License-Identifier: Apache-2.0
"""Clients that push, pull, move tags and delete, one thread and one repository each, and hold every answer against their model.
Nothing fails on purpose here, so each request must have the one answer that the model says."""
import base64, collections, json, random, threading, urllib.parse

from chaos.clients import BYTES, CONFIG, Connection, OCI, digest_of
from lab import DOMAIN, REGIONS, USER
from soak.model import Image, Repository

REGISTRY = "contoso"
TAGS = ("latest", "next", "v1", "v2", "v3")
IMAGES_MAX = 8     # of one repository; then the oldest goes
SHARED = 24        # layers that images of all repositories have in common
SHARED_BYTES = 40_000
KEPT = 3           # newest tags that a retention rule keeps in the repositories below soak/kept/
AWAY = 0.4         # share of reads in another region than that of the writes


def host(region):
    return f"{REGISTRY}.{region}.geo.{DOMAIN}"


def shared_layer(i):
    return random.Random(f"shared {i}").randbytes(SHARED_BYTES)


SHARED_LAYERS = [shared_layer(i) for i in range(SHARED)]
SHARED_DIGESTS = [digest_of(data) for data in SHARED_LAYERS]


class Problem(Exception):
    pass


class Log:
    """What all clients did, and what was wrong."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = collections.Counter()
        self.problems = []

    def count(self, what):
        with self.lock:
            self.done[what] += 1

    def problem(self, text):
        with self.lock:
            self.problems.append(text)


class Client(threading.Thread):
    def __init__(self, n, lab, log, seed, n_clients):
        super().__init__(name=f"client {n}", daemon=True)
        self.rng = random.Random(f"{seed}/{n}")
        self.home = list(REGIONS)[n % len(REGIONS)]
        self.repository = Repository(f"soak/c{n}")
        self.neighbour = f"soak/c{(n + len(REGIONS)) % n_clients}"  # writes to the same region, as a rule
        self.lab, self.log = lab, log
        self.http = Connection(lab.ca)
        self.tokens = {}
        self.over = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self.turn()
                except Problem as p:
                    self.log.problem(f"{self.name}: {p}")
                    self.over.wait(1)
        except BaseException as e:
            self.failure = e
            raise
        finally:
            self.http.close()

    # ---- requests ----
    def token(self, region, scopes):
        if (region, scopes) not in self.tokens:
            basic = base64.b64encode(f"{USER}:{self.lab.password}".encode()).decode()
            query = urllib.parse.urlencode([("service", f"{REGISTRY}.{DOMAIN}")] + [("scope", s) for s in scopes])
            status, _, body = self.http.request(region, host(region), "GET", f"/oauth2/token?{query}",
                                                {"Authorization": "Basic " + basic}, None)
            if status != 200:
                raise Problem(f"token in {region}: {status} {body[:200]}")
            self.tokens[region, scopes] = json.loads(body)["access_token"]
        return self.tokens[region, scopes]

    def call(self, method, path, good, region=None, headers=(), body=None, mount=False):
        """(status, headers, body) of a request below /v2/, whose status must be one of `good`."""
        region = region or self.home
        scopes = (f"repository:{self.repository.name}:pull,push,delete",)
        if mount:
            scopes += (f"repository:{self.neighbour}:pull",)
        for turn in range(2):
            auth = {"Authorization": "Bearer " + self.token(region, scopes), **dict(headers)}
            status, got, data = self.http.request(region, host(region), method, f"/v2/{self.repository.name}/{path}", auth, body)
            if status != 401 or turn:
                break
            self.tokens.pop((region, scopes))
        self.judge(f"{method} {path} in {region}", status, got, data, good)
        return status, got, data

    def judge(self, what, status, got, data, good):
        if status not in good:
            raise Problem(f"{what}: {status} where {good} was due: {got.get('why', '')} {data[:300]} "
                          f"{got.get('x-meridian-request-id', '')}")

    def follow(self, location, method, headers, body, good):
        url = urllib.parse.urlsplit(location)
        path = url.path + ("?" + url.query if url.query else "")
        status, got, data = self.http.request(self.home, url.hostname, method, path, headers, body)
        self.judge(f"{method} {url.path}", status, got, data, good)
        return status, got, data

    # ---- turns ----
    def turn(self):
        r = self.repository
        if len(r.images) >= IMAGES_MAX:
            return self.delete_image(r.oldest())
        choice = self.rng.random()
        if not r.images or choice < 0.3:
            return self.push()
        if choice < 0.40:
            return self.move_tag()
        if choice < 0.47 and r.tags:
            return self.delete_tag()
        if choice < 0.54:
            return self.delete_image(self.rng.choice(list(r.images)))
        if choice < 0.60 and r.gone:
            return self.push_again()
        return self.pull()

    # ---- pushes ----
    def push(self):
        rng = self.rng
        config = b'{"architecture":"amd64","os":"linux","nonce":"%032x"}' % rng.getrandbits(128)
        own = rng.randbytes(rng.choice((300, 5_000, 70_000)))
        layers = [own] + [SHARED_LAYERS[i] for i in rng.sample(range(SHARED), rng.randint(0, 3))]
        refs = []
        for data, kind in [(config, CONFIG)] + [(d, BYTES) for d in layers]:
            digest = digest_of(data)
            self.send(digest, data)
            refs.append({"mediaType": kind, "digest": digest, "size": len(data)})
        manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": refs[0], "layers": refs[1:]}).encode()
        self.put(rng.choice(TAGS), manifest, [ref["digest"] for ref in refs])
        self.log.count("pushes")

    def put(self, tag, manifest, blobs):
        digest = digest_of(manifest)
        self.call("PUT", f"manifests/{tag}", (201,), headers={"Content-Type": OCI}, body=manifest)
        self.repository.put(tag, digest, Image(manifest, blobs))

    def send(self, digest, data):
        """Only what is not there: what a HEAD, a mount or an upload has confirmed must be there for the manifest."""
        status, _, _ = self.call("HEAD", f"blobs/{digest}", (200, 404))
        if status == 200:
            return self.log.count("blobs that were there")
        path = "blobs/uploads/"
        if digest in SHARED_DIGESTS and self.rng.random() < 0.5:
            path += f"?mount={digest}&from={self.neighbour}"
        status, got, _ = self.call("POST", path, (201, 202), mount="?" in path)
        if status == 201:
            return self.log.count("mounts")
        token = self.token(self.home, (f"repository:{self.repository.name}:pull,push,delete",))
        auth = {"Content-Type": BYTES, "Authorization": "Bearer " + token}
        if self.rng.random() < 0.3:
            half = len(data) // 2
            _, got, _ = self.follow(got["location"], "PATCH", auth, data[:half], (202,))
            data = data[half:]
        join = "&" if "?" in got["location"] else "?"
        self.follow(f"{got['location']}{join}digest={digest}", "PUT", auth, data, (201,))
        self.log.count("uploads")

    def push_again(self):
        """What was deleted comes back, with the blobs that it needs."""
        digest = self.rng.choice(list(self.repository.gone))
        image = self.repository.gone[digest]
        for blob in image.blobs:
            if self.call("HEAD", f"blobs/{blob}", (200, 404))[0] == 404:
                if blob not in SHARED_DIGESTS:
                    self.repository.gone.pop(digest)  # its bytes were collected, and we have them no more
                    return
                self.send(blob, SHARED_LAYERS[SHARED_DIGESTS.index(blob)])
        self.put(self.rng.choice(TAGS), image.manifest, image.blobs)
        self.log.count("pushes again")

    def move_tag(self):
        digest = self.rng.choice(list(self.repository.images))
        image = self.repository.images[digest]
        self.put(self.rng.choice(TAGS), image.manifest, image.blobs)
        self.log.count("tags moved")

    # ---- deletes ----
    def delete_tag(self):
        tag = self.rng.choice(list(self.repository.tags))
        self.call("DELETE", f"manifests/{tag}", (202,))
        self.repository.delete_tag(tag)
        self.log.count("tags deleted")

    def delete_image(self, digest):
        self.call("DELETE", f"manifests/{digest}", (202,))
        self.repository.delete(digest)
        self.log.count("manifests deleted")

    # ---- pulls ----
    def pull(self):
        if self.rng.random() < AWAY:
            return self.pull_away()
        r = self.repository
        tag = self.rng.choice(TAGS)
        digest = r.tags.get(tag)
        status, got, data = self.call("GET", f"manifests/{tag}", (200 if digest else 404,))
        if not digest:
            return self.log.count("tags that are not there")
        if got["docker-content-digest"] != digest or data != r.images[digest].manifest:
            raise Problem(f"{r.name}:{tag} is {got['docker-content-digest']}, and {digest} was acknowledged")
        self.blob(self.rng.choice(r.images[digest].blobs), self.home)
        self.log.count("pulls")

    def blob(self, digest, region):
        status, got, data = self.call("GET", f"blobs/{digest}", (200, 307), region=region)
        if status == 307:
            url = urllib.parse.urlsplit(got["location"])
            status, got, data = self.http.request(region, url.hostname, "GET", f"{url.path}?{url.query}", {}, None)
            self.judge(f"GET {url.path} at {url.hostname}", status, got, data, (200,))
        if digest_of(data) != digest:
            raise Problem(f"blob {digest} has other bytes in {region}")

    def pull_away(self):
        """In another region, which may be behind: what it shows was once so, and is whole."""
        region = self.rng.choice([r for r in REGIONS if r != self.home])
        r = self.repository
        tag = self.rng.choice(TAGS)
        status, got, data = self.call("GET", f"manifests/{tag}", (200, 404), region=region)
        if status == 404:
            return self.log.count("tags that are not there yet")
        digest = got["docker-content-digest"]
        if digest not in r.shown.get(tag, ()) or digest_of(data) != digest:
            raise Problem(f"{r.name}:{tag} is {digest} in {region}, which it never was")
        self.log.count("pulls in another region")
        if digest in r.images:  # not deleted: it stays while we look
            ref = self.rng.choice(json.loads(data)["layers"])
            self.blob(ref["digest"], region)


class Keeper(Client):
    """Pushes numbered tags into a repository of which a retention rule keeps the newest KEPT, and manifests without a tag go
    soon. It deletes nothing itself; which region runs the rule is not its business."""

    def __init__(self, n, *args):
        super().__init__(n, *args)
        self.repository = Repository(f"soak/kept/c{n}")
        self.n_pushes = 0

    def turn(self):
        if self.rng.random() < 0.2:
            return self.push()
        self.pull_newest()

    def put(self, tag, manifest, blobs):
        self.n_pushes += 1
        super().put(f"dev-{self.n_pushes}", manifest, blobs)
        r = self.repository
        if len(r.tags) > KEPT:
            r.delete(r.oldest())  # by the rule, sooner or later

    def pull_newest(self):
        r = self.repository
        if not r.tags:
            return
        tag = self.rng.choice(list(r.tags))
        _, got, _ = self.call("HEAD", f"manifests/{tag}", (200,))
        if got["docker-content-digest"] != r.tags[tag]:
            raise Problem(f"{r.name}:{tag} is {got['docker-content-digest']}, and {r.tags[tag]} was acknowledged")
        self.blob(self.rng.choice(r.images[r.tags[tag]].blobs), self.home)
        self.log.count("pulls of kept tags")
