# SPDX-License-Identifier: Apache-2.0
"""Clients of the fleet, one thread each: they push, read and resolve as long as they are let, and write into the history
what they asked and what they got. No answer at all is a status of None. They judge nothing."""
import base64, hashlib, http.client, json, random, socket, ssl, threading, time, urllib.parse

import dnswire
from chaos.fleet import REGIONS, SLOWER
from chaos.history import Op
from lab import DOMAIN, USER

OCI = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
BYTES = "application/octet-stream"
TIMEOUT_S = 10 * SLOWER
KEPT = "kept connection closed"
AGAIN = 0.3  # of a writer's turns put a manifest again that it has just read
CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class NoAnswer(Exception):
    """A request without an answer, or with one that ends what the client was about."""


class Connection:
    """Kept connections over TLS to the regions, by (region, host)."""

    def __init__(self, ca):
        self.context = ssl.create_default_context(cafile=ca)
        self.open = {}

    def _connect(self, region, host):
        raw = socket.create_connection((REGIONS[region], 443), timeout=TIMEOUT_S)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S)
            connection.sock = self.context.wrap_socket(raw, server_hostname=host)
            return connection
        except BaseException:
            raw.close()
            raise

    def request(self, region, host, method, path, headers, body):
        """(status, headers with lower-case names, body), or (None, {"why": text}, b""). On a kept connection that the other
        side has closed, what may be done twice is sent once more on a new one, as HTTP clients do: not steps of uploads."""
        kept = self.open.pop((region, host), None)
        status, got, data = self._try(kept, region, host, method, path, headers, body)
        if kept and status is None and got["closed"]:
            if method in ("PATCH", "PUT", "POST") and "/blobs/uploads/" in path:
                got["why"] = KEPT
            else:
                status, got, data = self._try(None, region, host, method, path, headers, body)
        return status, got, data

    def _try(self, kept, region, host, method, path, headers, body):
        connection = kept
        try:
            connection = connection or self._connect(region, host)
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        except (OSError, http.client.HTTPException) as e:
            if connection:
                connection.close()
            return None, {"why": repr(e), "closed": isinstance(e, CLOSED)}, b""
        if response.will_close:
            connection.close()
        else:
            self.open[region, host] = connection
        return answer

    def close(self):
        for c in self.open.values():
            c.close()


class Client(threading.Thread):
    def __init__(self, name, fleet, history, region, seed, registry="contoso"):
        super().__init__(name=name, daemon=True)
        self.fleet, self.history, self.region, self.registry = fleet, history, region, registry
        self.rng = random.Random(f"{seed}/{name}")
        self.http = Connection(fleet.ca)
        self.tokens = {}  # (region, repository): token
        self.over = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self.turn()
                except NoAnswer:
                    self.over.wait(0.2)
                self.over.wait(self.rng.uniform(0.05, 0.25) * SLOWER)
        except BaseException as e:
            self.failure = e
            raise
        finally:
            self.http.close()

    # ---- requests ----
    def token(self, region, repository):
        """As a client gets it: Basic at the token service of the host that it called. None: not now."""
        if (region, repository) not in self.tokens:
            host = self.fleet.host(self.registry, region)
            basic = base64.b64encode(f"{USER}:{self.fleet.password}".encode()).decode()
            scope = f"repository:{repository}:pull,push,delete"
            query = urllib.parse.urlencode({"service": f"{self.registry}.{DOMAIN}", "scope": scope})
            auth = {"Authorization": "Basic " + basic}
            op, _, body = self.op("send", region, "GET", f"/oauth2/token?{query}", auth, note="token")
            if op.status != 200:
                raise NoAnswer
            self.tokens[region, repository] = json.loads(body)["access_token"]
        return self.tokens[region, repository]

    def op(self, kind, region, method, path, headers, body=None, note="", tag="", digest=None, host=None):
        began = time.monotonic()
        status, got, data = self.http.request(region, host or self.fleet.host(self.registry, region), method, path, headers, body)
        if status is None or status >= 500:
            note = f"{note} {got.get('why', '')} {data[:160].decode(errors='replace')}".strip()
        elif status >= 400 and kind != "get":
            note = f"{note} {data[:160].decode(errors='replace')}".strip()
        return self.history.add(Op(kind, self.name, region, began, time.monotonic(), status, tag, digest, note)), got, data

    def call(self, kind, region, repository, method, path, headers=(), **more):
        """With a token; a token that has expired is taken anew."""
        for turn in range(2):
            auth = {"Authorization": "Bearer " + self.token(region, repository), **dict(headers)}
            where = path if path.startswith("/") else f"/v2/{repository}/{path}"
            op, got, data = self.op(kind, region, method, where, auth, **more)
            if op.status != 401 or turn:
                return op, got, data
            op.kind = "401"
            self.tokens.pop((region, repository))

    def follow(self, location, region, method, headers, body, note):
        """A Location of an upload: a URL on the host called, signed or not."""
        url = urllib.parse.urlsplit(location)
        path = url.path + ("?" + url.query if url.query else "")
        return self.op("send", region, method, path, headers, body, note=note, host=url.hostname)

    # ---- images ----
    def image(self, repository, send):
        """Uploads a fresh image's blobs; returns its manifest."""
        rng = self.rng
        config = b'{"architecture":"amd64","os":"linux","nonce":"%032x"}' % rng.getrandbits(128)
        blobs = [(config, CONFIG)] + [(rng.randbytes(rng.choice((200, 5_000, 60_000))), BYTES) for _ in range(rng.randint(1, 2))]
        refs = []
        for data, kind in blobs:
            send(repository, data)
            refs.append({"mediaType": kind, "digest": digest_of(data), "size": len(data)})
        return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": refs[0], "layers": refs[1:]}).encode()

    def good(self, op, *statuses):
        if op.status not in statuses:
            raise NoAnswer
        return op

    def put(self, region, repository, tag, manifest, note=""):
        return self.call("put", region, repository, "PUT", f"manifests/{tag}", {"Content-Type": OCI}, body=manifest, note=note,
                         tag=f"{self.registry}/{repository}:{tag}", digest=digest_of(manifest))[0]


class Writer(Client):
    """Pushes to one region: mostly new images, at times one again that it read there."""

    def __init__(self, *args, tags, **more):
        super().__init__(*args, **more)
        self.tags = tags  # [(repository, tag)]

    def turn(self):
        repository, tag = self.rng.choice(self.tags)
        if self.rng.random() < AGAIN and self.again(repository, tag):
            return
        manifest = self.image(repository, self.send)
        self.good(self.put(self.region, repository, tag, manifest), 201)

    def again(self, repository, tag):
        """What another tag of the repository, or this one, has now."""
        other = self.rng.choice([t for r, t in self.tags if r == repository])
        op, _, manifest = self.call("get", self.region, repository, "GET", f"manifests/{other}",
                                    tag=f"{self.registry}/{repository}:{other}")
        if op.status != 200:
            return False
        op.digest = digest_of(manifest)
        self.good(self.put(self.region, repository, tag, manifest, "again"), 201)
        return True

    def send(self, repository, data):
        digest, kind = digest_of(data), {"Content-Type": BYTES}
        op, got, _ = self.call("send", self.region, repository, "POST", "blobs/uploads/", note="POST upload")
        self.good(op, 202)
        auth = dict(kind, Authorization="Bearer " + self.token(self.region, repository))
        if self.rng.random() < 0.3:
            half = len(data) // 2
            op, got, _ = self.follow(got["location"], self.region, "PATCH", auth, data[:half], "PATCH upload")
            self.good(op, 202)
            data = data[half:]
        self.close_upload(got["location"], self.region, auth, data, digest, "PUT upload")

    def close_upload(self, location, region, auth, data, digest, note):
        join = "&" if "?" in location else "?"
        op, _, _ = self.follow(f"{location}{join}digest={digest}", region, "PUT", auth, data, note)
        self.good(op, 201)


class Wanderer(Writer):
    """Pushes by the global name of a registry without regional endpoints, as behind a resolver that changes its mind: an
    upload begins in one region, its bytes go to another, which passes them on."""

    def turn(self):
        self.region = self.rng.choice(list(REGIONS))
        super().turn()

    def send(self, repository, data):
        digest = digest_of(data)
        op, got, _ = self.call("send", self.region, repository, "POST", "blobs/uploads/", note="POST upload")
        self.good(op, 202)
        via = self.rng.choice(list(REGIONS))
        auth = {"Content-Type": BYTES, "Authorization": "Bearer " + self.token(self.region, repository)}
        note = "PUT upload" if via == self.region else f"passed on to {self.region}"
        self.close_upload(got["location"], via, auth, data, digest, note)


class Acked(Writer):
    """Pushes to one region after the other, in a registry whose writes other regions have before they are acknowledged."""

    def turn(self):
        self.region = self.rng.choice(list(REGIONS))
        super().turn()


class Restorer(Client):
    """Sets tags back to what they were: each time a new value, like a put."""

    def __init__(self, *args, tags, **more):
        super().__init__(*args, **more)
        self.tags = tags

    def turn(self):
        repository, tag = self.rng.choice(self.tags)
        region = self.region = self.rng.choice(list(REGIONS))
        name, query = f"{self.registry}/{repository}:{tag}", f"repository={repository}&tag={tag}"
        op, _, body = self.call("send", region, repository, "GET", f"/registry/v1/history?{query}", note="history")
        if op.status == 404:  # of a tag that nobody has put yet
            op.kind = "history"
        self.good(op, 200)
        versions = [v["digest"] for v in json.loads(body)["versions"] if v.get("digest")]
        if not versions:
            return
        digest = self.rng.choice(versions[:5])
        op, _, _ = self.call("put", region, repository, "POST", f"/registry/v1/restore?{query}&digest={digest}", body=b"",
                             note="restore", tag=name, digest=digest)
        if op.status == 404:  # a value that lost against a later one is listed before its content comes
            op.kind = "history"
        self.good(op, 201)


class Remover(Writer):
    """Pushes images under names of their own, and deletes some of them again where it pushed them."""
    n = 0

    def turn(self):
        self.region, self.n = self.rng.choice(list(REGIONS)), self.n + 1
        (repository, _), = self.tags
        tag, stays = f"{self.name}-{self.n}", self.rng.random() < 0.4
        manifest = self.image(repository, self.send)
        op = self.put(self.region, repository, tag, manifest)
        if not stays:
            op.kind = "temporary"
        self.good(op, 201)
        if stays:
            return
        self.over.wait(self.rng.choice((0.0, 0.5)))
        digest = digest_of(manifest)
        self.good(self.call("delete", self.region, repository, "DELETE", f"manifests/{digest}", note="delete",
                            tag=f"{self.registry}/{repository}:{tag}", digest=digest)[0], 202)


class Locker(Writer):
    """Locks a tag of its own, tries to write to it, unlocks it. What it does is of kind "lock": `on`, `off`, or a `put`."""

    def turn(self):
        (repository, tag), = self.tags
        name = f"{self.registry}/{repository}:{tag}"
        for word in ("off", "put", "on", "put"):
            if word == "put":
                op = self.put(self.region, repository, tag, self.image(repository, self.send), "put")
                op.kind = "lock"
                self.good(op, 201, 403)
            else:
                body = json.dumps({"write": word == "on", "delete": False}).encode()
                op, _, _ = self.call("lock", self.region, repository, "PUT", f"/registry/v1/lock?repository={repository}&tag={tag}",
                                     {"Content-Type": "application/json"}, body=body, tag=name, note=word)
                if op.status == 404 and word == "off":  # nobody has put it yet
                    continue
                self.good(op, 200)


class Reader(Client):
    """Reads tags in one region, then all that they refer to, there and then."""

    def __init__(self, *args, tags, **more):
        super().__init__(*args, **more)
        self.tags = tags

    def turn(self):
        repository, tag = self.rng.choice(self.tags)
        name = f"{self.registry}/{repository}:{tag}"
        method = self.rng.choice(("HEAD", "GET"))
        op, got, _ = self.call("get", self.region, repository, method, f"manifests/{tag}", tag=name)
        if op.status == 200:
            op.digest = got["docker-content-digest"]
            self.look(repository, name, op.digest)

    def look(self, repository, name, digest):
        op, _, manifest = self.call("see", self.region, repository, "GET", f"manifests/{digest}", tag=name, digest=digest)
        if op.status != 200:
            return
        if digest_of(manifest) != digest:
            op.note = "wrong bytes"
            return
        document = json.loads(manifest)
        refs = [document["config"], *document["layers"]]
        read = self.rng.choice(refs)
        for ref in refs:
            op, got, data = self.call("see", self.region, repository, "GET" if ref is read else "HEAD", f"blobs/{ref['digest']}",
                                      tag=name, digest=ref["digest"])
            if op.status in (302, 307):
                data = self.fetch_at(got["location"], name, ref)
            if ref is read and op.status in (200, 307, 302) and data is not None and digest_of(data) != ref["digest"]:
                op.note = "wrong bytes"

    def fetch_at(self, location, name, ref):
        """Where a redirect leads: the data host of this region."""
        url = urllib.parse.urlsplit(location)
        op, _, data = self.op("see", self.region, "GET", f"{url.path}?{url.query}", {}, tag=name, digest=ref["digest"],
                              host=url.hostname)
        return data if op.status == 200 else None


class Resolver(threading.Thread):
    """Asks every region's resolver for every name that must keep its meaning."""

    def __init__(self, history, names):
        super().__init__(name="resolver", daemon=True)
        self.history, self.names = history, names
        self.over = threading.Event()
        self.failure = None
        self.qid = 0

    def run(self):
        sockets = {r: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for r in REGIONS}
        try:
            for region, s in sockets.items():
                s.settimeout(0.3 * SLOWER)
                s.connect((REGIONS[region], 53))
            while not self.over.is_set():
                for region, s in sockets.items():
                    for name in self.names:
                        self.ask(region, s, name)
                self.over.wait(0.3)
        except BaseException as e:
            self.failure = e
            raise
        finally:
            for s in sockets.values():
                s.close()

    def ask(self, region, s, name):
        began = time.monotonic()
        self.qid = (self.qid + 1) & 0xffff  # no chance: a late answer to another question must not look like this one's
        qid = self.qid
        try:
            s.send(dnswire.query(qid, dnswire.name(name), dnswire.A))
            data = s.recv(4096)
            while data[:2] != qid.to_bytes(2, "big"):  # the late answer to an earlier question
                data = s.recv(4096)
            status = answer_text(data, name)
        except OSError:
            status = None
        self.history.add(Op("ask", self.name, region, began, time.monotonic(), status, name))
        if status is None:
            self.over.wait(0.02)


def answer_text(data, name):
    """The addresses at the end of the chain, or the rcode where there are none."""
    r = dnswire.Response(data)
    if not r.question or r.question[0] != dnswire.name(name):
        return f"an answer to another question: {r}"
    addresses = [socket.inet_ntoa(rr[4]) for rr in r.answer if rr[1] == dnswire.A]
    return " ".join(sorted(addresses)) or f"rcode {r.rcode}"
