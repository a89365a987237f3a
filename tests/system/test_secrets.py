# SPDX-License-Identifier: Apache-2.0
"""Where secrets must not turn up: every kind of error that makes nginx say something is provoked with signed URLs, at the
public and at the peer listener, through restarts and reloads; then every file that the daemons wrote, and what the system
shows of their processes, is searched for them. And every file has the owner and mode that docs/security.md states."""
import fnmatch, json, os, re, signal, socket, ssl, stat, struct, subprocess, threading, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, SOURCE, STAMPS, TOPOLOGY, wait_until

EAST = f"contoso.eastus.geo.{DOMAIN}"
DATA = f"contoso.eastus.data.{DOMAIN}"
GLOBAL = f"contoso.{DOMAIN}"
HEALTH = f"{STAMPS['eastus']}.eastus.fe.{DOMAIN}"
CLOSED = 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid):
    return [pid, *(d for c in children(pid) for d in descendants(c))]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def leaving(pid):  # a worker of nginx's that takes no new connection; streams of peers keep it
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return "shutting down" in f.read()
    except (FileNotFoundError, ProcessLookupError):
        return True


class Upstream:
    """Stands at a socket of the daemon's and answers every request in one bad way."""

    def __init__(self, path):
        self.path, self.kept, self.answer = path, path + ".kept", None
        os.rename(path, self.kept)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(64)
        self.ended = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            c, _ = self.listener.accept()
            if self.ended:
                c.close()
                return
            with c:
                c.settimeout(10)
                try:
                    c.recv(65536)
                    if self.answer is None:  # a reset: what was sent stays unread
                        c.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                    elif self.answer == "silence":
                        while c.recv(4096):
                            pass
                    else:
                        c.sendall(self.answer)
                except OSError:
                    pass

    def refuse(self):
        """From now on the socket is there and nobody listens."""
        if self.ended:
            return
        self.ended = True
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
        self.thread.join()
        self.listener.close()

    def close(self):
        self.refuse()
        os.rename(self.kept, self.path)


def nginx_below(pid):
    """Processes of nginx's below this one, which may be about to become or to end."""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        try:
            with open(f"/proc/{p}/task/{p}/children") as f:
                todo += [int(c) for c in f.read().split()]
            if os.path.basename(os.readlink(f"/proc/{p}/exe")) == "nginx":
                out.append(p)
        except OSError:
            pass
    return out


def written_by(pid):
    """Regular files that a process has open for writing, but for nginx's pid, which holds a number."""
    out = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                at = os.readlink(f"/proc/{pid}/fd/{fd}")
                with open(f"/proc/{pid}/fdinfo/{fd}") as f:
                    flags = int(next(line for line in f if line.startswith("flags:")).split()[1], 8)
                if flags & 3 and os.path.isfile(at) and not at.endswith("/nginx.pid"):
                    out.append(at)
            except OSError:
                pass
    except OSError:
        pass
    return out


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(
            TOPOLOGY.replace("    data_endpoints: enabled\n", "    data_endpoints: enabled\n    push_move: regional\n", 1),
            node_extra="log: { level: debug }\n"))
        cls.digest = cls.lab.push("secrets", EAST, "team/app", "1")
        cls.auth = cls.lab.bearer("repository:team/app:pull,push")
        token = cls.auth["Authorization"].split()[1]
        cls.secrets = {"the password": cls.lab.password, "a bearer token": token.rsplit(".", 1)[1]}

    # ---- what is sent ----
    def signed(self):
        """The target of an upload's signed URL; its signature is looked for at the end."""
        status, headers, _ = self.lab.request("POST", GLOBAL, "/v2/team/app/blobs/uploads/", region="eastus", headers=self.auth)
        self.assertEqual(status, 202)
        host, target = headers["location"].split("/", 3)[2:]
        self.assertEqual((host, target.count("?")), (EAST, 1))
        return self.remember(target)

    def signed_blob(self):
        """The target of a blob's signed URL on the data host."""
        layer = json.loads(self.lab.request("GET", EAST, "/v2/team/app/manifests/1", headers=self.auth)[2])["layers"][0]
        status, headers, _ = self.lab.request("GET", EAST, f"/v2/team/app/blobs/{layer['digest']}", headers=self.auth)
        host, target = headers["location"].split("/", 3)[2:]
        self.assertEqual((status, host, target.count("?")), (307, DATA, 1))
        return self.remember(target)

    def remember(self, target):
        signature = re.search(r"sig=([A-Za-z0-9._~-]+)", target)[1]
        self.secrets[f"signature {len(self.secrets)}"] = signature
        self.secrets[f"its MAC {len(self.secrets)}"] = signature.rsplit(".", 1)[-1]
        return "/" + target

    def open(self, listener, certificate="westeurope", server_name=None):
        context = ssl.create_default_context(cafile=self.lab.ca)
        if listener == "peer" and certificate:
            context.load_cert_chain(f"{self.lab.dir}/{certificate}/certs/peer.pem")
        name = server_name or (EAST if listener == "public" else f"eastus.peer.{DOMAIN}")
        raw = socket.create_connection((REGIONS["eastus"], 443 if listener == "public" else 8443), timeout=20)
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    def raw(self, listener, data, then=None, **more):
        """Sends bytes as they are; the status of the answer, or CLOSED. `then`: cut in mid-request, "close" or "reset"."""
        with self.open(listener, **more) as c:
            return self.talk(c, data, then)

    def talk(self, c, data, then=None):
        got = b""
        try:
            c.sendall(data)
            if then == "reset":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if then:
                return CLOSED
            while b"\r\n" not in got:
                more = c.recv(4096)
                if not more:
                    break
                got += more
        except OSError:
            pass
        return int(got.split()[1]) if got.startswith(b"HTTP/") else CLOSED

    def requests(self, target):
        """What a client can get wrong, each with a signed URL in it: (what, bytes, how it is cut)."""
        t, host, token = target.encode(), f"Host: {EAST}\r\n".encode(), self.auth["Authorization"].encode()
        path = t.split(b"?")[0]
        line = b"PATCH " + t + b" HTTP/1.1\r\n" + host
        chunked = line + b"Transfer-Encoding: chunked\r\n"
        return [
            ("bad chunk", chunked + b"\r\nzz\r\n", None), ("bad second chunk", chunked + b"\r\n5\r\nhello\r\nzz\r\n", None),
            ("huge chunk", chunked + b"\r\nfffffffffffffffff\r\n", None),
            ("chunks for another length", chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n", None),
            ("unknown coding", line + b"Transfer-Encoding: gzip\r\n\r\n", None),
            ("two lengths", line + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", None),
            ("negative length", line + b"Content-Length: -1\r\n\r\n", None),
            ("length over all", line + b"Content-Length: 99999999999999999999\r\n\r\n", None),
            ("bad version", b"PATCH " + t + b" HTTP/9.9\r\n" + host + b"\r\n", None), ("no version", b"PATCH " + t + b"\r\n\r\n", None),
            ("bad method", b"P@TCH " + t + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("TRACE", b"TRACE " + t + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("CONNECT", b"CONNECT " + t + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("a blank in the target", b"PATCH " + t + b" x HTTP/1.1\r\n" + host + b"\r\n", None),
            ("a control byte", b"PATCH " + t + b"\x01 HTTP/1.1\r\n" + host + b"\r\n", None),
            ("a NUL", b"PATCH " + t + b"\0 HTTP/1.1\r\n" + host + b"\r\n", None),
            ("a quote", b"PATCH " + path + b'"' + t[len(path):] + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            ("its question mark escaped", b"PATCH " + t.replace(b"?", b"%3F") + b" HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            ("a password in the target", b"PATCH https://ada:" + self.lab.password.encode() + b"@" + EAST.encode() + t + b" HTTP/1.1\r\n" + host +
             b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            ("a password behind a slash", b"PATCH https://ada:/" + self.lab.password.encode() + b"@" + EAST.encode() + t + b" HTTP/1.1\r\n" + host +
             b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            ("no host", b"PATCH " + t + b" HTTP/1.1\r\n\r\n", None), ("two hosts", line + host + b"\r\n", None),
            ("host with a blank", b"PATCH " + t + b" HTTP/1.1\r\nHost: a b\r\n\r\n", None),
            ("host of nobody", b"PATCH " + t + b" HTTP/1.1\r\nHost: nobody.invalid\r\n\r\n", None),
            ("host with the secret", b"PATCH " + t + b" HTTP/1.1\r\nHost: " + EAST.encode() + t + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
            ("long target", b"PATCH " + t + b"a" * 20000 + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("long header", line + b"X: " + b"a" * 70000 + b"\r\n\r\n", None),
            ("long authorization", line + b"Authorization: " + token + b"a" * 70000 + b"\r\n\r\n", None),
            ("bad header name", line + b"Authoriza\x01tion: " + token + b"\r\n\r\n", None),
            ("header name with a blank", line + b"Authorization : " + token + b"\r\n\r\n", None),
            ("header name with an underscore", line + b"X_Authorization: " + token + b"\r\n\r\n", None),
            ("referrer", chunked + b"Referer: https://" + EAST.encode() + t + b"\r\n\r\nzz\r\n", None),
            ("traversal", b"PATCH /v2/../.." + t + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("internal location", b"GET /_blob/x" + t[len(path):] + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("internal answer", b"GET /_edge/400" + t[len(path):] + b" HTTP/1.1\r\n" + host + b"\r\n", None),
            ("bad expectation", line + b"Expect: nothing\r\nContent-Length: 1\r\n\r\nx", None),
            ("bad range", b"GET /v2/team/app/blobs/" + self.digest.encode() + t[len(path):] + b" HTTP/1.1\r\n" + host + b"Range: bytes=9-1\r\nAuthorization: " +
             token + b"\r\n\r\n", None),
            ("closed in the line", b"PATCH " + t, "close"), ("reset in the line", b"PATCH " + t, "reset"), ("closed in the header", line, "close"),
            ("closed in the body", line + b"Content-Length: 100\r\n\r\nabc", "close"), ("reset in the body", line + b"Content-Length: 100\r\n\r\nabc", "reset"),
            ("closed in a chunk", chunked + b"\r\n5\r\nhel", "close"),
        ]

    UPSTREAM = [  # what the daemon's socket answers when something else stands there
        ("closes at once", b""), ("resets", None), ("garbage", b"\x16\x03\x01hello\r\n\r\n"),
        ("a header too large", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\n\r\n"), ("a bad header", b"HTTP/1.1 200 OK\r\nBad Name\x01: x\r\n\r\n"),
        ("a NUL in a header", b"HTTP/1.1 200 OK\r\nLocation: https://a/b?sig=\0\r\n\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
        ("bad chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), ("cut short", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"),
        ("a blob that is not there", b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /_blob/sha256/aa/%s\r\n\r\n" % (b"a" * 64)),
        ("a blob that is a directory", b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /_blob/sha256/\r\n\r\n"),
        ("a blob below a file", b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /_blob/%s/x\r\n\r\n"),
        ("a redirect to nowhere", b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: @nowhere\r\n\r\n"),
        ("an unsafe redirect", b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /_blob/../../x\r\n\r\n"), ("silence", "silence"),
    ]

    # ---- what is looked at ----
    def reader(self, region="eastus"):
        found = [p for p in children(self.lab.daemons[region].pid) if name_of(p) == "edge-log"]
        return found[0] if len(found) == 1 else None

    def fresh_reader(self):
        """Another reader, with the right to log as many lines again as it may in one go."""
        before = wait_until(10, self.reader, "nginx's log has a reader")
        os.kill(before, signal.SIGKILL)
        wait_until(10, lambda: self.reader() not in (None, before), "and another when that one died")

    def nginx_lines(self, since=0):
        return [l for l in self.lab.said("eastus", since).splitlines() if "edge: nginx: " in l]

    def wait_lines(self, since, *words):
        for word in words:
            wait_until(10, lambda: any(word in l for l in self.nginx_lines(since)), f"nginx's log says: {word}")

    def swallowed(self, since):
        return [l for l in self.lab.said("eastus", since).splitlines() if "more lines of nginx's are not shown" in l]

    def conf(self, edits):
        """Edits nginx's configuration in place and reloads it; back at the next reload of the daemon's."""
        path = f"{self.lab.dir}/eastus/run/edge/nginx.conf"
        with open(path) as f:
            text = f.read()
        for pattern, by in edits:
            text, n = re.subn(pattern, by, text)
            self.assertGreater(n, 0, pattern)
        with open(path, "w") as f:
            f.write(text)
        master = self.lab.admin("eastus", "status")["edge"]["pid"]
        before = set(children(master))
        os.kill(master, signal.SIGHUP)
        wait_until(20, lambda: set(children(master)) - before and all(leaving(p) for p in before), "nginx has reloaded")

    def hits(self):
        found = []
        for top, _, names in os.walk(self.lab.dir):
            for name in names:
                path = os.path.join(top, name)
                if path in (self.lab.password_file, f"{self.lab.dir}/auth.json"):
                    continue
                try:
                    if not stat.S_ISREG(os.lstat(path).st_mode):
                        continue
                    with open(path, "rb") as f:
                        data = f.read()
                except FileNotFoundError:  # a temporary file, renamed meanwhile
                    continue
                found += [(path, what) for what, secret in self.secrets.items() if secret.encode() in data]
        for region in REGIONS:
            for pid in descendants(self.lab.daemons[region].pid):
                for name in ("cmdline", "environ"):
                    try:
                        with open(f"/proc/{pid}/{name}", "rb") as f:
                            data = f.read()
                    except FileNotFoundError:
                        continue
                    found += [(f"{name_of(pid)} {name}", what) for what, secret in self.secrets.items() if secret.encode() in data]
            for words in (("status",), ("replication", "status"), ("health", "show")):
                r = self.lab.run(MERIDIAN, *words, "-o", "json", "--admin", f"{self.lab.dir}/{region}/run/admin.sock", check=False)
                found += [(words, what) for what, secret in self.secrets.items() if secret in r.stdout + r.stderr]
            r = self.lab.run("curl", "-s", "--unix-socket", f"{self.lab.dir}/{region}/run/admin.sock", "http://admin/v1/metrics")
            found += [("metrics", what) for what, secret in self.secrets.items() if secret in r.stdout]
        return found

    # ---- tests, in this order ----
    def test_1_a_refused_upload(self):
        """As it is set up: the error that nginx logs above all others, and a search that would find it."""
        lab, since = self.lab, self.lab.log_end("eastus")
        target = self.signed()
        self.assertEqual(self.raw("public", f"PATCH {target} HTTP/1.1\r\nHost: {EAST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()), 400)
        self.wait_lines(since, "client sent invalid chunked body")
        line = self.nginx_lines(since)[0]
        blob = self.signed_blob()
        for more, status in (("Range: bytes=1-5", 206), ("Range: bytes=900000000-", 416), ("Transfer-Encoding: chunked\r\n\r\nzz", 400)):
            got = self.raw("public", f"GET {blob} HTTP/1.1\r\nHost: {DATA}\r\nConnection: close\r\n{more}\r\n\r\n".encode(), server_name=DATA)
            self.assertEqual(got, status, more)
        self.wait_lines(since, blob.split("?")[0] + "[cut]")
        self.assertIn(target.split("?")[0] + "[cut]", line)
        self.assertIn(f' warn eastus edge: nginx: [error] ', line)
        self.assertEqual(self.hits(), [])
        with open(f"{lab.dir}/planted", "w") as f:  # the search finds what is there
            f.write(target)
        self.assertEqual({p for p, _ in self.hits()}, {f"{lab.dir}/planted"})
        os.unlink(f"{lab.dir}/planted")

    def test_2_every_bad_request(self):
        # all that nginx can say of a request, not only what it says as it is set up
        self.conf([(r"error_log stderr warn;", "error_log stderr info;")])
        for listener in ("public", "peer"):
            since, rows = self.lab.log_end("eastus"), self.requests(self.signed())
            for i, (what, data, then) in enumerate(rows):
                if i % 15 == 0:
                    self.fresh_reader()
                with self.subTest(listener=listener, what=what):
                    status = self.raw(listener, data, then)
                    self.assertIn(status // 100, (0, 2, 4, 5))
            self.wait_lines(since, "client sent invalid chunked body", "client sent too long URI", "client sent too long header line",
                            "client sent invalid method", "client sent invalid host header", "prematurely closed")
            self.assertEqual(self.swallowed(since), [])  # every line was shown
        self.assertEqual(self.hits(), [])

    def test_3_tls(self):
        self.fresh_reader()
        since, target = self.lab.log_end("eastus"), self.signed()
        plain = f"PATCH {target} HTTP/1.1\r\nHost: {EAST}\r\n\r\n".encode()
        for port in (443, 8443):
            for data in (plain, b"\x16\x03\x01" + plain, b"\x80\x2e\x01" + plain):
                with socket.create_connection((REGIONS["eastus"], port), timeout=20) as c:
                    self.assertIn(self.talk(c, data), (400, CLOSED))
        self.assertEqual(self.raw("peer", plain, certificate=None), 400)  # 496
        pem = f"{self.lab.dir}/stranger.pem"
        self.lab.check("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                       "/CN=stranger", "-keyout", pem, "-out", pem + ".crt")
        context = ssl.create_default_context(cafile=self.lab.ca)
        context.load_cert_chain(pem + ".crt", pem)
        with socket.create_connection((REGIONS["eastus"], 8443), timeout=20) as raw:  # 495
            with context.wrap_socket(raw, server_hostname=f"eastus.peer.{DOMAIN}") as c:
                self.assertEqual(self.talk(c, plain), 400)
        with self.assertRaises(OSError):  # a name of nobody
            self.raw("public", plain, server_name="nobody.invalid")
        self.wait_lines(since, "client sent plain HTTP request to HTTPS port", "client SSL certificate verify error",
                        "SSL_do_handshake() failed")
        self.assertEqual(self.hits(), [])

    def test_4_every_bad_upstream(self):
        for listener, sock in (("public", "public.sock"), ("peer", "peer.sock")):
            path, since = f"{self.lab.dir}/eastus/run/{sock}", self.lab.log_end("eastus")
            line = f"GET {self.signed()} HTTP/1.1\r\nHost: {EAST}\r\nConnection: close\r\n\r\n".encode()
            upstream = Upstream(path)
            try:
                # new workers: none has a connection to the daemon that it keeps
                self.conf([(r"proxy_read_timeout [0-9a-z]+;", "proxy_read_timeout 1s;")])
                for i, (what, answer) in enumerate(self.UPSTREAM):
                    if i % 8 == 0:
                        self.fresh_reader()
                    with self.subTest(listener=listener, what=what):
                        upstream.answer = answer
                        self.assertIn(self.raw(listener, line), (CLOSED, 200, 400, 404, 500, 503, 504))
                upstream.refuse()
                self.assertEqual(self.raw(listener, line), 503)
                os.unlink(path)
                self.assertEqual(self.raw(listener, line), 503)
            finally:
                upstream.close()
            self.wait_lines(since, "connect() to unix:", "upstream prematurely closed connection", "upstream sent too big header",
                            "upstream timed out", "upstream sent invalid chunked response", "could not find named location", "No such file")
            self.assertEqual(self.swallowed(since), [])

        def in_access_log():  # what the edge answered alone, by its own word and with an id
            with open(f"{self.lab.dir}/eastus/log/access.log") as f:
                lines = [json.loads(line) for line in f if line.endswith("\n")]  # the last may be half there
            return {(l["status"], l.get("reason")) for l in lines if l.get("by") == "edge" and re.fullmatch("[0-9a-f]{32}", l.get("id", ""))}
        wait_until(10, lambda: in_access_log() >= {(503, "NOT_READY"), (504, "NO_ANSWER"), (500, "EDGE_FAILED"), (400, "MALFORMED")},
                   "the access log has them")
        self.assertEqual(self.hits(), [])

    def bad_upload(self, **more):
        """The error that nginx always logs; waits for its line."""
        since = self.lab.log_end("eastus")
        data = f"PATCH {self.signed()} HTTP/1.1\r\nHost: {EAST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
        self.assertEqual(self.raw("public", data, **more), 400)
        self.wait_lines(since, "client sent invalid chunked body")

    def test_5_limits_and_uploads_passed_on(self):
        self.fresh_reader()
        since, target = self.lab.log_end("eastus"), self.signed()
        self.conf([(r"limit_conn ([a-z_]+) \d+;", r"limit_conn \1 1;"), (r"limit_conn_log_level [a-z]+;", "limit_conn_log_level error;")])
        line = f"PATCH {target} HTTP/1.1\r\nHost: {EAST}\r\nContent-Length: 100\r\n\r\n".encode()
        with self.open("public") as held:
            held.sendall(line + b"x")
            wait_until(10, lambda: self.raw("public", line) == 429, "a second one is too many")
        self.wait_lines(since, "limiting connections")
        self.lab.admin("eastus", "certs", "renew", "--kind", "region")  # the daemon's own configuration again
        self.lab.cut("westeurope")
        try:
            passed = target.replace("uploads/eastus.", "uploads/westeurope.")
            status = self.raw("public", f"PATCH {passed} HTTP/1.1\r\nHost: {GLOBAL}\r\nContent-Length: 1\r\n\r\nx".encode(), server_name=GLOBAL)
            self.assertIn(status, (CLOSED, 503, 504))
        finally:
            self.lab.heal("westeurope")
        self.assertEqual(self.hits(), [])

    def test_6_through_every_restart(self):
        lab = self.lab
        pid = lab.admin("eastus", "status")["edge"]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(15, lambda: lab.admin("eastus", "status")["edge"]["pid"] not in (0, pid), "nginx runs again")
        lab.wait_up("eastus")
        self.bad_upload()
        supervisor, reader, worker = lab.daemons["eastus"].pid, self.reader(), lab.admin("eastus", "status")["pid"]
        since = lab.log_end("eastus")
        lab.admin("eastus", "node", "restart")  # the program becomes another; nginx and its pipe stay
        lab.wait_said("eastus", "has taken over", since)
        lab.wait_up("eastus")
        self.assertNotEqual(lab.admin("eastus", "status")["pid"], worker)
        self.assertNotIn(self.reader(), (None, reader))
        self.bad_upload()
        for name in ("nginx.log", "nginx.log.1"):  # as versions before wrote it
            with open(f"{lab.dir}/eastus/run/edge/{name}", "w") as f:
                f.write("\n".join(self.secrets.values()))
        self.assertEqual(lab.stop("eastus"), 0)
        self.assertFalse(os.path.exists(f"/proc/{supervisor}"))
        lab.start("eastus", wait=False)
        looked = set()  # also before it has read its configuration nginx has no file that it could write into

        def up():
            for pid in nginx_below(lab.daemons["eastus"].pid):
                self.assertEqual(written_by(pid), [])
                looked.add(pid)
            return len(looked) >= 2 and lab.admin("eastus", "status", check=False)
        wait_until(30, up, "it starts")
        lab.wait_up("eastus")
        self.bad_upload()
        self.assertEqual(self.hits(), [])

    def test_7_a_flood_and_a_reader_that_stands_still(self):
        lab, target = self.lab, self.signed()
        data = f"PATCH {target} HTTP/1.1\r\nHost: {EAST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
        reader = wait_until(10, self.reader, "nginx's log has a reader")
        os.kill(reader, signal.SIGSTOP)  # nobody reads: the pipe runs full, and nobody waits
        try:
            for _ in range(300):
                self.assertEqual(self.raw("public", data), 400)
            self.assertEqual(lab.request("GET", HEALTH, "/healthz", region="eastus")[0], 200)
            lab.admin("eastus", "certs", "renew", "--kind", "region")  # the supervisor reloads
        finally:
            since = lab.log_end("eastus")
            os.kill(reader, signal.SIGCONT)
        wait_until(20, lambda: self.swallowed(since), "the log says how many lines it does not show")
        self.assertLess(len(self.nginx_lines(since)), 200)
        self.assertEqual(self.hits(), [])

    def test_8_owners_and_modes(self):
        """Every file against the table in docs/security.md; what is not in it must not be there."""
        with open(f"{SOURCE}/docs/security.md") as f:
            rows = re.findall(r"^\| `([^`]+)` \| ([a-z-]+) \| ([0-7]{3,4}) \| ([a-z]+):([a-z]+) \|", f.read(), re.M)
        self.assertGreater(len(rows), 20)
        users = {"root": 0}
        with open("/etc/passwd") as f:
            ids = {l.split(":")[0]: int(l.split(":")[2]) for l in f}
        users.update(daemon=ids["meridian"], edge=ids["meridian-edge"])
        kinds = {"directory": stat.S_ISDIR, "file": stat.S_ISREG, "socket": stat.S_ISSOCK}
        seen, bad = set(), []

        def look():
            bad.clear()
            for region in REGIONS:
                top = f"{self.lab.dir}/{region}"
                for at, dirs, names in os.walk(top):
                    for name in ["."] * (at == top) + dirs + names:
                        path = os.path.normpath(os.path.join(at, name))
                        if path in (f"{top}/meridiand.yaml", f"{top}/meridiand.log"):  # the lab's own
                            continue
                        try:
                            st = os.lstat(path)
                        except FileNotFoundError:
                            continue
                        short = os.path.relpath(path, top)
                        short = "data_dir" if short == "." else re.sub("^run(?=/|$)", "runtime_dir", short) if short.split("/")[0] == "run" else "data_dir/" + short
                        row = next((r for r in rows if fnmatch.fnmatchcase(short, r[0]) and short.count("/") == r[0].count("/")), None)
                        if not row:
                            bad.append((region, short, "is not in the table", oct(st.st_mode)))
                            continue
                        seen.add(row[0])
                        got = (kinds[row[1]](st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)
                        want = (True, int(row[2], 8), users[row[3]], users[row[4]])
                        if got != want:
                            bad.append((region, short, oct(got[1]), got[2:], row))
            return not bad
        try:
            wait_until(10, look, "all is as the table says")  # a file that is being replaced has another one beside it
        except AssertionError:
            pass
        self.assertEqual(bad, [])
        for must in ("data_dir/keys/token.pem", "data_dir/certs/peer.pem", "runtime_dir/admin.sock", "runtime_dir/edge/pem-*.pem"):
            self.assertIn(must, seen)


if __name__ == "__main__":
    unittest.main(verbosity=2)
