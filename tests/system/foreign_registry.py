# SPDX-License-Identifier: Apache-2.0
"""Another registry, to import from: one that answers as it should, with Bearer tokens, a referrers API and blobs on another
host, and that misbehaves on demand. And what is put into any registry: blobs, images, indexes."""
import base64, hashlib, http.server, json, re, select, socket, socketserver, ssl, threading, urllib.parse

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
DOCKER, LIST = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG, DOCKER_LAYER = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def digest_of(content, alg="sha256"):
    return f"{alg}:{hashlib.new(alg, content).hexdigest()}"


def descriptor(content, kind, alg="sha256", **more):
    return {"mediaType": kind, "digest": digest_of(content, alg), "size": len(content), **more}


def image(layers, created=None, docker=False, alg="sha256", subject=None, artifact=None, more_layers=()):
    """(manifest's bytes, its media type, blobs)."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
                         **({"created": created} if created else {})}).encode()
    doc = {"schemaVersion": 2, "mediaType": DOCKER if docker else MANIFEST,
           "config": descriptor(config, DOCKER_CONFIG if docker else CONFIG, alg),
           "layers": [descriptor(l, DOCKER_LAYER if docker else LAYER, alg) for l in layers] + list(more_layers)}
    doc.update({"subject": subject} if subject else {}, **({"artifactType": artifact} if artifact else {}))
    return json.dumps(doc).encode(), doc["mediaType"], [config, *layers]


def index(manifests, docker=False):
    kind = LIST if docker else INDEX
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [
        descriptor(m, t, platform={"architecture": f"a{i}", "os": "linux"}) for i, (m, t) in enumerate(manifests)]}).encode(), kind


class ForeignRegistry:
    """`faults` maps a digest or "catalog" to what is wrong with it; `asked` lists the requests."""

    def __init__(self, address, port, certificate, user="moving", password="it"):
        self.blobs, self.manifests, self.tags = {}, {}, {}
        self.faults, self.asked, self.tries = {}, [], {}
        self.user, self.password, self.lock = user, password, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
            registry = outer

            def log_message(self, *_):
                pass

            do_GET = do_HEAD = lambda self: outer.answer(self)

        self.host, self.cdn = f"{address}:{port}", f"{address}:{port + 1}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.servers = []
        for p in (port, port + 1):
            server = http.server.ThreadingHTTPServer((address, p), Handler)
            server.daemon_threads = True
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    # ---- content ----
    def blob(self, repository, content, alg="sha256"):
        self.blobs[repository, digest_of(content, alg)] = content

    def manifest(self, repository, content, kind, tag=None, blobs=(), alg="sha256"):
        for b in blobs:
            self.blob(repository, b, alg)
        d = digest_of(content, "sha256")
        self.manifests[repository, d] = (content, kind)
        if tag:
            self.tags.setdefault(repository, {})[tag] = d
        return d

    # ---- answers ----
    def send(self, h, status, body=b"", headers=(), claim=None):
        h.send_response(status)
        for k, v in dict(headers).items():
            h.send_header(k, v)
        h.send_header("Content-Length", str(len(body) if claim is None else claim))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def first_times(self, key, n):
        with self.lock:
            self.tries[key] = self.tries.get(key, 0) + 1
            return self.tries[key] <= n

    def answer(self, h):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with self.lock:
            self.asked.append((h.command, h.path, h.headers.get("Authorization", ""), h.server.server_address[1]))
        if h.server is self.servers[1]:
            return self.cdn_answer(h, url.path)
        if url.path == "/token":
            want = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if h.headers.get("Authorization") != want:
                return self.send(h, 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}')
            return self.send(h, 200, json.dumps({"token": "for-" + query["scope"], "expires_in": 300}).encode())
        m = re.fullmatch(r"/v2/(?:(_catalog)|(.+)/(tags/list|manifests|blobs|referrers)(?:/(.+))?)", url.path)
        if not m:
            return self.send(h, 404)
        if m[1] and self.faults.get("catalog") == "other login":
            return self.send(h, 401, headers={"WWW-Authenticate": "Negotiate abc=="})
        scope = "registry:catalog:*" if m[1] else f"repository:{m[2]}:pull"
        if h.headers.get("Authorization") != f"Bearer for-{scope}":
            return self.send(h, 401, b"{}", {"WWW-Authenticate": f'Bearer realm="https://{self.host}/token",service="old",scope="{scope}"'})
        if m[1]:
            return self.catalog(h, query)
        getattr(self, {"tags/list": "tag_list", "manifests": "get_manifest", "blobs": "get_blob", "referrers": "referrers"}[m[3]])(
            h, m[2], m[4], query)

    def catalog(self, h, query):
        last = query.get("last", "")
        if self.faults.get("catalog") == "endless":  # always a next page, with nothing new
            return self.send(h, 200, b'{"repositories":["team/app"]}', {"Link": f'</v2/_catalog?last={last}x>; rel="next"'})
        if self.faults.get("catalog") == "no names":
            return self.send(h, 200, b'{"repositories":["good","Bad name/../x"]}')
        if self.faults.get("catalog") == "none":
            return self.send(h, 404)
        if self.faults.get("catalog") == "elsewhere":
            return self.send(h, 200, b'{"repositories":["good"]}', {"Link": '</admin>; rel="next"'})
        names = sorted({r for r, _ in self.manifests})
        page = [n for n in names if n > last][:2]
        more = {"Link": f'</v2/_catalog?last={page[-1]}&n=2>; rel="next"'} if page and page[-1] != names[-1] else {}
        self.send(h, 200, json.dumps({"repositories": page}).encode(), more)

    def tag_list(self, h, repository, _, query):
        if not any(r == repository for r, _ in self.manifests):
            return self.send(h, 404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}')
        self.send(h, 200, json.dumps({"name": repository, "tags": sorted(self.tags.get(repository, {})) or None}).encode())

    def get_manifest(self, h, repository, reference, _):
        if self.faults.get(reference) == "busy" and self.first_times(reference, 2):
            return self.send(h, 429, b"{}", {"Retry-After": "1"})
        if self.faults.get(reference) == "later":
            return self.send(h, 429, b"{}", {"Retry-After": "3600"})
        if self.faults.get(reference) == "down":
            return self.send(h, 503)
        if self.faults.get(reference) == "flaky" and self.first_times(reference, 2):
            return self.send(h, 500)
        d = self.tags.get(repository, {}).get(reference, reference)
        if (repository, d) not in self.manifests:
            return self.send(h, 404)
        content, kind = self.manifests[repository, d]
        if self.faults.get(reference) == "wrong":
            content = content.replace(b'"schemaVersion"', b' "schemaVersion"')
        self.send(h, 200, content, {"Content-Type": kind, "Docker-Content-Digest": d})

    def referrers(self, h, repository, digest, query):
        found = [(d, c, k) for (r, d), (c, k) in self.manifests.items()
                 if r == repository and json.loads(c).get("subject", {}).get("digest") == digest]
        doc = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(c, k) for _, c, k in found]}
        self.send(h, 200, json.dumps(doc).encode(), {"Content-Type": INDEX})

    def get_blob(self, h, repository, digest, _):
        if (repository, digest) not in self.blobs:
            return self.send(h, 404)
        if self.faults.get(digest) == "loop":
            return self.send(h, 307, headers={"Location": f"https://{self.host}/v2/{repository}/blobs/{digest}"})
        if self.faults.get(digest) == "plain":
            return self.send(h, 307, headers={"Location": f"http://{self.host}/v2/{repository}/blobs/{digest}"})
        self.send(h, 307, headers={"Location": f"https://{self.cdn}/{repository}/{digest}"})

    def cdn_answer(self, h, path):
        repository, _, digest = path[1:].rpartition("/")
        content, fault = self.blobs[repository, digest], self.faults.get(digest)
        status, headers = 200, {}
        m = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        if m and fault != "no ranges":
            content, status = content[int(m[1]):], 206
        if fault == "wrong":
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "longer":
            content += b"more"
        if fault == "short":
            content = content[:len(content) // 2]
        if fault in ("cut", "no ranges") and self.first_times(digest, 2):
            self.send(h, status, content[:len(content) // 2], headers, claim=len(content))
            h.close_connection = True
            return
        if fault == "slow":
            h.send_response(200)
            h.send_header("Content-Length", str(len(content)))
            h.end_headers()
            h.wfile.write(content[:len(content) - 1])
            self.slow_begun.set()
            self.slow_goes_on.wait(30)
            h.close_connection = True  # nobody waits for the last byte any more
            return
        self.send(h, status, content, headers)


class ConnectProxy:
    """A proxy that knows CONNECT alone; `asked` has where to."""

    def __init__(self, address, port):
        self.asked, outer = [], self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                outer.asked.append(self.rfile.readline().decode().split()[1])
                while self.rfile.readline().strip():
                    pass
                host, _, to = outer.asked[-1].rpartition(":")
                with socket.create_connection((host, int(to)), timeout=30) as up:
                    self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    while ready := select.select([self.connection, up], [], [], 30)[0]:
                        for s in ready:
                            data = s.recv(65536)
                            if not data:
                                return
                            (up if s is self.connection else self.connection).sendall(data)

        self.server = socketserver.ThreadingTCPServer((address, port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
