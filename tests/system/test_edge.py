# SPDX-License-Identifier: Apache-2.0
"""The edge in life: renewal without a failed request, nginx killed, drained stop, forged headers, memory with big bodies."""
import base64, hashlib, http.client, ipaddress, json, os, pwd, signal, socket, ssl, struct, subprocess, threading, time, unittest

from lab import CLIENT, CORP, DOMAIN, Lab, MERIDIAN, REGIONS, STAMPS, USER, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
HEALTH = f"eus-1.eastus.fe.{DOMAIN}"


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class ProxiedLab(Lab):
    """Eastus also listens for a load balancer, which is the client's first address; and southeastasia speaks HTTP/2."""

    def _files(self):
        super()._files()
        self.edit("eastus", "  peer:", f"  https_proxied: ['{REGIONS['eastus']}:444']\n  peer:")
        self.edit("eastus", "edge: { workers: 1 }", f"edge: {{ workers: 1, trusted_proxies: [{CLIENT}] }}")
        self.edit("southeastasia", "edge: { workers: 1 }", "edge: { workers: 1, http2: enabled }")

    def edit(self, region, old, new):
        path = f"{self.dir}/{region}/meridiand.yaml"
        with open(path) as f:
            text = f.read()
        assert text.count(old) == 1, (old, text)
        with open(path, "w") as f:
            f.write(text.replace(old, new))


def proxy_v2(client, command=1, more=b""):
    """A PROXY header of version 2 (haproxy's proxy-protocol.txt): from the client to port 443."""
    ip = ipaddress.ip_address(client)
    body = ip.packed + ipaddress.ip_address("192.0.2.80" if ip.version == 4 else "2001:db8::80").packed + struct.pack(">HH", 50000, 443) + more
    if not command:
        body = b""
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, (0x11 if ip.version == 4 else 0x21) if command else 0]) + struct.pack(">H", len(body)) + body


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(path, query):
    return path + ("&" if "?" in path else "?") + query


class Trickle(threading.Thread):
    """A client that uploads at 1 KiB a second, for longer than the time over which the least rate is taken (30 s); meanwhile
    the other tests go on, and nginx is reloaded behind its back."""
    KIB = 34

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.data, self.result = lab, os.urandom(self.KIB << 10), None
        self.auth = lab.bearer("repository:team/trickle:pull,push", host=WEST, region="westeurope")
        status, headers, _ = lab.request("POST", WEST, "/v2/team/trickle/blobs/uploads/", region="westeurope", headers=self.auth)
        assert status == 202
        self.path = "/" + headers["location"].split("/", 3)[3]
        self.start()

    def run(self):
        try:
            c = http.client.HTTPSConnection(WEST, timeout=60)
            c.sock = self.lab.connection(WEST, "westeurope", timeout=60)
            c.putrequest("PATCH", self.path)
            for name, value in dict(self.auth, **{"Content-Type": "application/octet-stream", "Content-Length": str(len(self.data))}).items():
                c.putheader(name, value)
            c.endheaders()
            for at in range(0, len(self.data), 1 << 10):
                c.send(self.data[at:at + (1 << 10)])
                time.sleep(1)  # a slow client, on purpose
            self.result = c.getresponse().status
            c.close()
        except OSError as e:
            self.result = e


class Sleepers:
    """Clients that ask for a blob and then do not read on. Each holds a buffer and a file at the edge, until that has not got
    rid of a byte for 60 s (send_timeout); the other tests go on meanwhile."""
    N = 20

    def __init__(self, lab):
        auth, data = lab.bearer("repository:team/sleepers:pull,push", host=WEST, region="westeurope"), os.urandom(8 << 20)
        status, headers, _ = lab.request("POST", WEST, "/v2/team/sleepers/blobs/uploads/", region="westeurope", headers=auth)
        path, digest = "/" + headers["location"].split("/", 3)[3], "sha256:" + hashlib.sha256(data).hexdigest()
        status, _, body = lab.request("PUT", WEST, joined(path, f"digest={digest}"), region="westeurope", body=data,
                                      headers=dict(auth, **{"Content-Type": "application/octet-stream"}))
        assert status == 201, body
        status, headers, _ = lab.request("GET", WEST, f"/v2/team/sleepers/blobs/{digest}", region="westeurope", headers=auth)
        assert status == 307  # to the data host, where no token is needed
        host, target = headers["location"].split("/", 3)[2:]
        context, self.raws, self.since = ssl.create_default_context(cafile=lab.ca), [], time.monotonic()
        for _ in range(self.N):
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            raw.settimeout(15)
            raw.connect((REGIONS["westeurope"], 443))
            c = context.wrap_socket(raw, server_hostname=host)
            c.sendall(f"GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert c.recv(12) == b"HTTP/1.1 200"
            self.raws.append(c)

    def close(self):
        for c in self.raws:
            c.close()


class Edge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(ProxiedLab())
        cls.trickle = Trickle(cls.lab)
        cls.sleepers = Sleepers(cls.lab)
        cls.addClassCleanup(cls.sleepers.close)

    def upload(self, host, region, repository, auth):
        """A new upload's path."""
        status, headers, body = self.lab.request("POST", host, f"/v2/{repository}/blobs/uploads/", region=region, headers=auth)
        self.assertEqual(status, 202, body)
        return "/" + headers["location"].split("/", 3)[3]

    def finish(self, host, region, path, data, auth):
        return self.lab.request("PUT", host, joined(path, "digest=sha256:" + hashlib.sha256(data).hexdigest()), region=region, headers=auth)

    def left_behind(self, region):
        """What requests have left on the disk: of uploads, and of bodies that nginx would have buffered."""
        base = f"{self.lab.dir}/{region}"
        temps = [f"{base}/run/edge/{d}" for d in os.listdir(f"{base}/run/edge") if d.startswith("tmp-")]
        return [f"{d}/{name}" for d in (f"{base}/store/uploads", *temps) for name in os.listdir(d)]

    def connections(self, region):
        """Of clients, to the region's HTTPS."""
        out = self.lab.check("ip", "netns", "exec", region, "ss", "-Htn", "state", "established", "( sport = :443 )")
        return [line for line in out.splitlines() if line.split()[-1].startswith(CLIENT)]

    def serial(self, host, region):
        with self.lab.connection(host, region) as c:
            return c.getpeercert()["serialNumber"]

    def test_1_renewal_without_a_failed_request(self):
        lab = self.lab
        for region, host in (("eastus", EAST), ("westeurope", WEST)):  # with the CA at hand, and by request to eastus
            before, stop, failed, done = self.serial(host, region), threading.Event(), [], [0]

            def hammer():
                while not stop.is_set():
                    try:
                        status = lab.request("GET", f"{STAMPS[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)[0]
                        if status != 200:
                            failed.append(status)
                        done[0] += 1
                    except OSError as e:
                        failed.append(e)

            threads = [threading.Thread(target=hammer) for _ in range(3)]
            for t in threads:
                t.start()
            try:
                for kind in ("region", "shared"):
                    lab.admin(region, "certs", "renew", "--kind", kind)
                wait_until(15, lambda: self.serial(host, region) != before, "the new certificate is served")
                seen = done[0]
                wait_until(15, lambda: done[0] > seen + 50, "requests go on")
            finally:
                stop.set()
                for t in threads:
                    t.join()
            self.assertEqual(failed, [])
            self.assertGreater(done[0], 50)

    def test_2_nginx_killed_is_started_again(self):
        lab = self.lab
        pid = lab.admin("eastus", "status")["edge"]["pid"]
        os.kill(pid, signal.SIGKILL)

        def again():
            edge = lab.admin("eastus", "status")["edge"]
            return edge["state"] == "running" and edge["pid"] != pid and edge["restarts"] >= 1
        wait_until(15, again, "nginx runs again and the status says so")
        lab.wait_up("eastus")

    def test_3_forged_headers_reach_nobody(self):
        lab = self.lab
        forged = {"X-Meridian-Client": "10.88.0.200", "X-Meridian-Peer-Cert": "-----BEGIN CERTIFICATE-----", "X-Accel-Redirect": "/_blob/x",
                  "X-Forwarded-For": "10.88.0.200", "Forwarded": "for=10.88.0.200"}
        status, headers, body = lab.request("GET", EAST, "/v2/", headers=forged)
        self.assertEqual(status, 401)
        self.assertIn(f'realm="https://{EAST}/oauth2/token",service="contoso.{DOMAIN}"', headers["www-authenticate"])
        # internal paths are not reachable from outside
        self.assertEqual(lab.request("GET", EAST, "/_blob/sha256/aa/aa")[0], 404)
        self.assertEqual(lab.request("GET", EAST, "/replication/v1/feed")[0] // 100, 4)

    def test_3_slow_loris_is_cut(self):
        lab, opened = self.lab, time.monotonic()
        conns = [lab.connection(EAST, "eastus", timeout=30) for _ in range(20)]
        for c in conns:
            c.sendall(b"GET /v2/ HTTP/1.1\r\nHost: ")
        self.assertEqual(lab.request("GET", HEALTH, "/healthz", region="eastus")[0], 200)
        for c in conns:
            while c.recv(4096):  # closed, with or without a word
                pass
            c.close()
        self.assertLess(time.monotonic() - opened, 25)

    def raw(self, request, host=EAST):
        """The answer to bytes as they are: (status, headers)."""
        with self.lab.connection(host, "eastus") as c:
            c.sendall(request)
            r = http.client.HTTPResponse(c)
            r.begin()
            r.read()
            return r.status, {k.lower(): v for k, v in r.getheaders()}

    def access(self, request_id):
        """The line of the access log with this id, once it is there; nothing else is looked for by time."""
        found = []

        def look():
            with open(f"{self.lab.dir}/eastus/log/access.log") as f:
                found[:] = [json.loads(line) for line in f if request_id in line and line.endswith("\n")]  # whole lines
            return found
        wait_until(10, look, f"request {request_id} is in the access log")
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["id"], request_id)
        return found[0]

    def test_3_refused_requests_are_found_by_their_id(self):
        lab = self.lab
        with open(lab.topology) as f:
            self.assertIn("name: contoso", f.read())
        token, pull = lab.token("repository:team/seen:pull"), lab.bearer("repository:team/seen:pull")
        both = lab.bearer("repository:team/seen:pull,push")
        host = f"Host: {EAST}\r\n".encode()
        by_daemon = [  # method, path, headers, status, code, words of the daemon's log beside the id
            ("GET", "/v2/?sig=SECRET", {"Referer": f"https://{EAST}/SECRET"}, 401, "UNAUTHORIZED", ["authentication required"]),
            ("GET", "/v2/team/seen/manifests/1", {"Authorization": "Bearer " + token[:-4] + "AAAA"}, 401, "UNAUTHORIZED",
             ["the token is not valid here", "its signature"]),
            ("GET", "/v2/team/other/manifests/1?x=SECRET", pull, 401, "DENIED", ["does not permit", f"principal {USER}"]),
            ("GET", "/v2/team/seen/manifests/1", pull, 404, "MANIFEST_UNKNOWN", ["no such manifest", f"principal {USER}"]),
            ("DELETE", f"/v2/team/seen/blobs/sha256:{64 * '0'}", both, 405, "UNSUPPORTED", ["a blob goes by collection"]),
            ("PATCH", f"/v2/team/seen/blobs/uploads/eastus.{32 * '0'}?sig=SECRET", both, 404, "BLOB_UPLOAD_UNKNOWN", [f"principal {USER}"]),
            ("GET", "/elsewhere", {}, 404, "UNSUPPORTED", ["nothing is served under this path"]),
            ("GET", "/oauth2/token", {"Authorization": "Basic " + base64.b64encode(b"nobody:SECRET").decode()}, 401, "UNAUTHORIZED",
             ["a login of an unknown user"]),
            ("GET", "/oauth2/token", {"Authorization": "Basic " + base64.b64encode(f"{USER}:SECRET".encode()).decode()}, 401,
             "UNAUTHORIZED", [f"a login of {USER}, with a wrong password"]),
        ]
        for method, path, headers, status, code, words in by_daemon:
            got, answer, _ = lab.request(method, EAST, path, region="eastus", headers=headers)
            self.assertEqual(got, status, path)
            self.assertNotIn("x-meridian-reason", answer)  # for the log alone
            self.assertNotIn("x-meridian-principal", answer)
            line = self.access(answer["x-meridian-request-id"])
            self.assertEqual((line["status"], line["reason"], line["by"], line["method"], line["path"], line["host"]),
                             (status, code, "daemon", method, path.split("?")[0], EAST))
            lab.wait_said("eastus", f"request {answer['x-meridian-request-id']}")
            said = next(l for l in lab.said("eastus").splitlines() if answer["x-meridian-request-id"] in l)
            self.assertEqual(line.get("principal"), USER if f"principal {USER}" in words else None)
            for word in [f"refused {status} {code}", *words]:
                self.assertIn(word, said)
        by_edge = [
            (b"NONSENSE\r\n\r\n", 400, "MALFORMED"),
            (b"GET /%00?sig=SECRET HTTP/1.1\r\n" + host + b"\r\n", 400, "MALFORMED"),
            (b"GET /" + 20000 * b"x" + b"?sig=SECRET HTTP/1.1\r\n" + host + b"\r\n", 414, "TARGET_TOO_LONG"),
            (b"GET /v2/ HTTP/1.1\r\n" + host + b"X: " + 20000 * b"x" + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
            (b"GET /v2/?sig=SECRET HTTP/1.1\r\nHost: contoso.elsewhere.geo.%s\r\n\r\n" % DOMAIN.encode(), 421, "WRONG_HOST"),
            (b"TRACE /v2/?sig=SECRET HTTP/1.1\r\n" + host + b"\r\n", 405, "METHOD"),
            (b"GET /v2/?sig=SECRET HTTP/3.0\r\n" + host + b"\r\n", 505, "HTTP_VERSION"),
            (b"POST /oauth2/token?sig=SECRET HTTP/1.1\r\n" + host + b"Content-Length: 100000\r\n\r\n", 413, "TOO_LARGE"),
            (b"GET /_blob/sha256/aa/aa?sig=SECRET HTTP/1.1\r\n" + host + b"\r\n", 404, "NOTHING_HERE"),
        ]
        for request, status, reason in by_edge:
            got, answer = self.raw(request)
            self.assertEqual(got, status, request[:60])
            self.assertEqual((answer["x-meridian-region"], answer["x-meridian-stamp"]), ("eastus", STAMPS["eastus"]), request[:60])
            line = self.access(answer["x-meridian-request-id"])
            self.assertEqual((line["status"], line["reason"], line["by"]), (status, reason, "edge"), line)
            self.assertEqual((line["region"], line["stamp"], line["client"]), ("eastus", STAMPS["eastus"], CLIENT))
        # A region that has a passed-on request gives it its id; it is found in both.
        path = f"/v2/team/seen/blobs/uploads/westeurope.{32 * '0'}?sig=SECRET"
        got, answer, _ = lab.request("PATCH", f"contoso.{DOMAIN}", path, region="eastus", headers=both)
        self.assertEqual((got, answer["x-meridian-region"]), (404, "westeurope"))
        self.assertEqual(self.access(answer["x-meridian-request-id"])["region"], "westeurope")
        lab.wait_said("westeurope", f"request {answer['x-meridian-request-id']}")
        with open(f"{lab.dir}/eastus/log/access.log") as f:
            log = f.read()
        self.assertNotIn("SECRET", log + lab.said("eastus") + lab.said("westeurope"))
        self.assertEqual([l for l in log.splitlines() if json.loads(l)["status"] < 400], [])  # what is asked for by default

    def behind(self, header, path="/v2/", source=CLIENT, host=EAST):
        """What comes on the listener for load balancers: (status, headers, body), or None when the connection is closed."""
        context = ssl.create_default_context(cafile=self.lab.ca)
        raw = socket.create_connection((REGIONS["eastus"], 444), timeout=15, source_address=(source, 0))
        try:
            raw.sendall(header)
            with context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False) as c:
                c.do_handshake()
                c.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                r = http.client.HTTPResponse(c)
                r.begin()
                return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        except (ssl.SSLError, OSError):
            return None
        finally:
            raw.close()

    def test_3_clients_behind_a_load_balancer(self):
        lab = self.lab
        since = lab.log_end("eastus")
        named = {"203.0.113.9": proxy_v2("203.0.113.9"), "2001:db8::9": proxy_v2("2001:db8::9"),
                 "203.0.113.10": b"PROXY TCP4 203.0.113.10 192.0.2.80 50000 443\r\n",
                 "203.0.113.11": proxy_v2("203.0.113.11", more=b"\xea\x00\x03abc")}
        for client, header in named.items():
            status, answer, _ = self.behind(header)
            self.assertEqual(status, 401)
            line = self.access(answer["x-meridian-request-id"])
            self.assertEqual((line["client"], line["by"]), (client, "daemon"))
            lab.wait_said("eastus", f"request {answer['x-meridian-request-id']}", since)
            said = next(l for l in lab.said("eastus", since).splitlines() if answer["x-meridian-request-id"] in l)
            self.assertIn(client, said)  # the daemon hears of the same one
        status, answer, _ = self.behind(proxy_v2("203.0.113.9"), "/" + 20000 * "x")  # nginx's own refusals name it, too
        self.assertEqual((status, self.access(answer["x-meridian-request-id"])["client"]), (414, "203.0.113.9"))
        # a balancer that asks for itself: for its health checks alone
        for header in (proxy_v2("203.0.113.9", command=0), b"PROXY UNKNOWN\r\n"):
            self.assertEqual(self.behind(header, "/healthz", host=HEALTH)[0], 200)
            status, answer, body = self.behind(header)
            self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (403, "DENIED"))
            line = self.access(answer["x-meridian-request-id"])
            self.assertEqual((line["client"], line["reason"], line["by"]), (CLIENT, "PROXY", "edge"))
        # whoever else says so is not believed, and not served
        for header in (proxy_v2("203.0.113.9"), proxy_v2("203.0.113.9", command=0)):
            for path in ("/v2/", "/healthz", "/_edge/proxy"):
                status, answer, _ = self.behind(header, path, source=CORP)
                self.assertEqual(status, 404 if path == "/_edge/proxy" else 403)
                self.assertEqual(self.access(answer["x-meridian-request-id"])["client"], CORP)
        # none, half of one, another version, an odd one, one that is too long
        good = proxy_v2("203.0.113.9")
        for header in (b"", good[:20], good[:12] + b"\x31" + good[13:], b"PROXY TCP4 1.2.3 4\r\n",
                       proxy_v2("203.0.113.9", more=b"\xea\x00\xff" + 255 * b"x")):
            self.assertIsNone(self.behind(header), header)
        # and on the other listener a header is no TLS
        raw = socket.create_connection((REGIONS["eastus"], 443), timeout=15)
        raw.sendall(good)
        with self.assertRaises(OSError):
            ssl.create_default_context(cafile=lab.ca).wrap_socket(raw, server_hostname=EAST)
        raw.close()

    def test_3_the_access_log_is_rotated(self):
        lab, path = self.lab, f"{self.lab.dir}/eastus/log/access.log"
        st = os.stat(path)
        self.assertEqual((pwd.getpwuid(st.st_uid).pw_name, st.st_mode & 0o777), ("meridian", 0o640))
        since = lab.log_end("eastus")
        os.rename(path, path + ".old")
        lab.daemons["eastus"].send_signal(signal.SIGHUP)
        wait_until(10, lambda: os.path.exists(path), "the file is opened again")
        _, answer, _ = lab.request("GET", EAST, "/v2/", region="eastus")
        self.access(answer["x-meridian-request-id"])
        self.assertNotIn("another is started", lab.said("eastus", since))

    def audit(self, request_id, region="eastus"):
        """The line of the audit log about a request."""
        def line():
            with open(f"{self.lab.dir}/{region}/log/audit.log") as f:
                return [o for o in map(json.loads, f) if o.get("id") == request_id]
        return wait_until(10, line, "the request is in the audit log")[0]

    def test_3_the_audit_log_is_rotated(self):
        lab, path = self.lab, f"{self.lab.dir}/eastus/log/audit.log"
        st = os.stat(path)
        self.assertEqual((pwd.getpwuid(st.st_uid).pw_name, st.st_mode & 0o777), ("meridian", 0o600))
        os.rename(path, path + ".old")
        lab.daemons["eastus"].send_signal(signal.SIGHUP)
        wait_until(10, lambda: os.path.exists(path), "the file is opened again")
        self.assertEqual(lab.bearer("repository:team/app:pull", host=EAST, region="eastus").keys(), {"Authorization"})
        def granted():
            with open(path) as f:
                return [o for o in map(json.loads, f) if (o["what"], o.get("principal")) == ("grant", USER)]
        self.assertEqual(wait_until(10, granted, "the grant is in the new file")[0]["detail"], "repository:team/app:pull")

    def test_3_what_stands_still_holds_nobody_up(self):
        """After test_3_refused_requests: what it asks for uses up what the daemon's log takes of one network."""
        lab = self.lab
        supervisor = lab.daemons["eastus"].pid
        wait_until(10, lambda: [p for p in children(supervisor) if name_of(p) == "edge-log"], "the reader is there")
        reader = next(p for p in children(supervisor) if name_of(p) == "edge-log")
        since = lab.log_end("eastus")
        os.kill(reader, signal.SIGSTOP)
        try:
            c = http.client.HTTPSConnection(EAST, timeout=10)
            c.sock = lab.connection(EAST, "eastus", timeout=10)
            for _ in range(600):  # more than the pipe takes
                c.request("GET", "/elsewhere")
                r = c.getresponse()
                r.read()
                self.assertEqual(r.status, 404)
            c.close()
        finally:
            os.kill(reader, signal.SIGCONT)
        lab.wait_said("eastus", "lines of nginx's may be lost", since)
        _, answer, _ = lab.request("GET", EAST, "/v2/", region="eastus")
        self.access(answer["x-meridian-request-id"])  # and it goes on
        self.assertNotIn("another is started", lab.said("eastus", since))

    def test_4_big_blob_streams_with_bounded_memory(self):
        lab = self.lab
        size, auth = 512 << 20, lab.bearer("repository:team/big:pull,push")
        status, headers, _ = lab.request("POST", EAST, "/v2/team/big/blobs/uploads/", headers=auth)
        self.assertEqual(status, 202)
        path = "/" + headers["location"].split("/", 3)[3]
        digest, block = hashlib.sha256(), os.urandom(1 << 20)

        def body():
            for _ in range(size // len(block)):
                digest.update(block)
                yield block
        c = http.client.HTTPSConnection(EAST, timeout=120)
        c.sock = lab.connection(EAST, timeout=120)
        c.request("PATCH", path, body=body(), headers=dict(auth, **{"Content-Type": "application/octet-stream"}), encode_chunked=True)
        r = c.getresponse()
        r.read()
        self.assertEqual((r.status, r.headers["Range"]), (202, f"0-{size - 1}"))
        path = "/" + r.headers["Location"].split("/", 3)[3]
        c.close()
        want = "sha256:" + digest.hexdigest()
        join = "&" if "?" in path else "?"
        status, headers, body_ = lab.request("PUT", EAST, f"{path}{join}digest={want}", headers=auth, timeout=120)
        self.assertEqual((status, headers.get("docker-content-digest")), (201, want), body_)
        self.assertEqual(lab.check("sh", "-c", f"curl -sSL -H 'Authorization: {auth['Authorization']}' "
                                   f"https://{EAST}/v2/team/big/blobs/{want} | sha256sum").split()[0], want[7:])
        supervisor = lab.daemons["eastus"].pid
        for pid in [supervisor, *children(supervisor)]:
            if "SANITIZED" not in os.environ:
                self.assertLess(rss_kib(pid), 120 << 10, "resident memory stays far below the blob's size")

    def test_4_token_expires_in_mid_push(self):
        """A request whose token was good when it began goes on to its end; the next one needs another token, and the
        upload is still there."""
        lab, good = self.lab, self.lab.bearer("repository:team/expiry:pull,push", host=EAST, region="eastus")
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in good["Authorization"].split()[1].split(".")[:2])
        # the region's own key signs it anew, to end in 3 s (verifiers allow for 60 s of a clock's error)
        end = int(time.time()) - 60 + 3
        claims.update(iat=end - 600, nbf=end - 600, exp=end)
        signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{lab.dir}/eastus/keys/token.pem"], input=signed.encode(),
                             check=True, capture_output=True).stdout
        r, s = der[4:4 + der[3]], der[4 + der[3] + 2:]
        short = {"Authorization": f"Bearer {signed}." + b64url(b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s)))}
        data = os.urandom(4 << 20)
        path = self.upload(EAST, "eastus", "team/expiry", short)

        def expired():
            status, headers, _ = lab.request("GET", EAST, path, region="eastus", headers=short)
            return status == 401 and 'error="invalid_token"' in headers["www-authenticate"]

        def body():
            yield data[:1 << 20]
            wait_until(15, expired, "the token has expired")
            for at in range(1 << 20, len(data), 1 << 20):
                yield data[at:at + (1 << 20)]
        c = http.client.HTTPSConnection(EAST, timeout=60)
        c.sock = lab.connection(EAST, "eastus", timeout=60)
        c.request("PATCH", path, body=body(), headers=dict(short, **{"Content-Type": "application/octet-stream"}), encode_chunked=True)
        r = c.getresponse()
        r.read()
        self.assertEqual((r.status, r.headers["Range"]), (202, f"0-{len(data) - 1}"))
        path = "/" + r.headers["Location"].split("/", 3)[3]
        c.close()
        self.assertEqual(self.finish(EAST, "eastus", path, data, short)[0], 401)
        status, headers, answer = self.finish(EAST, "eastus", path, data, good)
        self.assertEqual(status, 201, answer)
        wait_until(10, lambda: self.left_behind("eastus") == [], "nothing is left of it")

    def test_4_three_hundred_pulls_at_once(self):
        lab, size, n = self.lab, 256 << 10, 300
        auth = lab.bearer("repository:team/many:pull,push", host=EAST, region="eastus")
        data = os.urandom(size)
        path = self.upload(EAST, "eastus", "team/many", auth)
        status, headers, answer = lab.request("PUT", EAST, joined(path, "digest=sha256:" + hashlib.sha256(data).hexdigest()), region="eastus",
                                              headers=dict(auth, **{"Content-Type": "application/octet-stream"}), body=data)
        self.assertEqual(status, 201, answer)
        digest, supervisor = headers["docker-content-digest"], lab.daemons["eastus"].pid
        wait_until(10, lambda: self.connections("eastus") == [], "nobody else is there")
        processes = [p for p in (supervisor, *children(supervisor)) for p in (p, *children(p))]
        files = {p: len(os.listdir(f"/proc/{p}/fd")) for p in processes}
        with open(f"{lab.dir}/pulls", "w") as f:
            for i in range(n):
                f.write(f'url = "https://{EAST}/v2/team/many/blobs/{digest}"\noutput = "{lab.dir}/pull-{i}"\n')
            f.write(f'header = "Authorization: {auth["Authorization"]}"\n')
        # each takes two seconds, so that all are under way together; redirects to the data host are followed
        pulls = lab.background("curl", "-sS", "-L", "--fail", "--no-progress-meter", "--http1.1", "--parallel", "--parallel-immediate", "--parallel-max", str(n), "--limit-rate",
                               "128k", "--resolve", f"{EAST}:443:{REGIONS['eastus']}", "-K", f"{lab.dir}/pulls", "-w", "%{http_code}\n",
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(20, lambda: len(self.connections("eastus")) >= n, "they are all under way")
        for _ in range(5):  # others are served meanwhile
            self.assertEqual(lab.request("GET", HEALTH, "/healthz", region="eastus")[0], 200)
            self.assertEqual(lab.request("HEAD", EAST, f"/v2/team/many/blobs/{digest}", region="eastus", headers=auth)[0], 200)
        out, err = pulls.communicate(timeout=60)
        self.assertEqual((pulls.returncode, out.split(), err), (0, n * ["200"], ""))
        for i in range(n):
            with open(f"{lab.dir}/pull-{i}", "rb") as f:
                self.assertEqual(f.read(), data)
            os.unlink(f"{lab.dir}/pull-{i}")
        wait_until(10, lambda: self.connections("eastus") == [], "their connections are gone")
        self.assertEqual(self.left_behind("eastus"), [])
        # what stays open is what the edge keeps towards the daemon (64 at most, on either side)
        more = {name_of(p): len(os.listdir(f"/proc/{p}/fd")) - files[p] for p in processes}
        self.assertTrue(all(m <= 64 for m in more.values()), more)

    def test_4_requests_that_are_begun_and_cancelled(self):
        """HTTP/2's streams, each reset at once (CVE-2023-44487): the connection is ended after a thousand, others are served."""
        lab = self.lab
        context = ssl.create_default_context(cafile=lab.ca)
        context.set_alpn_protocols(["h2"])
        frame = lambda kind, flags, stream, body=b"": struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
        text = lambda t: bytes([len(t)]) + t.encode()
        head = b"\x82\x87\x04" + text("/v2/") + b"\x01" + text(ASIA)  # RFC 7541 section 6: GET, https, :path, :authority
        raw = socket.create_connection((REGIONS["southeastasia"], 443), timeout=15)
        with context.wrap_socket(raw, server_hostname=ASIA) as c:
            self.assertEqual(c.selected_alpn_protocol(), "h2")
            c.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            answered, last = b"", None
            c.settimeout(5)
            try:
                for batch in range(20):
                    first = 1 + 200 * batch
                    c.sendall(b"".join(frame(1, 5, i, head) + frame(3, 0, i, struct.pack(">I", 8)) for i in range(first, first + 200, 2)))
                    self.assertEqual(lab.request("GET", f"sea-1.southeastasia.fe.{DOMAIN}", "/healthz", region="southeastasia")[0], 200)
                while last is None:
                    data = c.recv(1 << 16)
                    self.assertTrue(data, answered[:100])
                    answered += data
                    while len(answered) >= 9 and len(answered) >= 9 + (n := int.from_bytes(answered[:3], "big")):
                        if answered[3] == 7:  # GOAWAY: what came behind this stream is not looked at
                            last = int.from_bytes(answered[9:13], "big")
                        answered = answered[9 + n:]
            except ConnectionError:
                pass
        self.assertTrue(last is None or last <= 2001, last)
        wait_until(10, lambda: self.connections("southeastasia") == [], "nothing is left of it")

    def test_5_stop_drains(self):
        lab = self.lab
        auth = lab.bearer("repository:team/drain:pull,push", host=ASIA)
        status, headers, _ = lab.request("POST", ASIA, "/v2/team/drain/blobs/uploads/", headers=auth)
        self.assertEqual(status, 202)
        path = "/" + headers["location"].split("/", 3)[3]
        started = threading.Event()

        def body():
            for i in range(20):
                yield b"x" * 10_000
                if i == 2:
                    started.set()
                time.sleep(0.1)  # a slow client, on purpose
        result = []

        def upload():
            c = http.client.HTTPSConnection(ASIA, timeout=30)
            c.sock = lab.connection(ASIA, timeout=30)
            c.request("PATCH", path, body=body(), headers=dict(auth, **{"Content-Type": "application/octet-stream"}), encode_chunked=True)
            result.append(c.getresponse().status)
            c.close()
        # the same over HTTP/2, which is on here
        auth_2 = lab.bearer("repository:team/drain2:pull,push", host=ASIA)
        with open(f"{lab.dir}/drained", "wb") as f:
            f.write(200_000 * b"y")
        over_2 = lab.background("curl", "-sS", "--http2", "--limit-rate", "100k", "-T", f"{lab.dir}/drained", "-X", "PATCH", "-H",
                                f"Authorization: {auth_2['Authorization']}", "-H", "Content-Type: application/octet-stream",
                                "-w", "%{http_version} %{http_code}", f"https://{ASIA}{self.upload(ASIA, 'southeastasia', 'team/drain2', auth_2)}",
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        t = threading.Thread(target=upload)
        t.start()
        started.wait(10)
        wait_until(10, lambda: len([n for n in lab.upload_bytes("southeastasia") if n]) == 2, "both are under way")
        kept = http.client.HTTPSConnection(ASIA, timeout=10)  # between two requests
        kept.sock = lab.connection(ASIA, "southeastasia")
        kept.request("GET", "/v2/")
        self.assertEqual(kept.getresponse().read()[:10], b'{"errors":')
        stopped = []
        stop = threading.Thread(target=lambda: stopped.append(lab.stop("southeastasia")))

        def up_again():  # whatever came of this test: the next ones need the region
            stop.join()
            lab.start("southeastasia")
        self.addCleanup(up_again)
        stop.start()

        def told():  # a new client, at once, so that it can go elsewhere
            try:
                lab.connection(ASIA, "southeastasia", timeout=2).close()
                return False
            except ConnectionRefusedError:
                return True
            except ConnectionError:
                # The kernel had it in the queue of the listener when nginx closed that: no server can take the last of a queue
                # and close it in one step. It was reset before it asked anything; the next one is refused.
                return False
        wait_until(3, told, "new clients are told")
        self.assertTrue(t.is_alive())  # while the upload still goes on
        with self.assertRaises((http.client.HTTPException, OSError)):
            kept.request("GET", "/v2/")
            kept.getresponse()
        stop.join()
        self.assertEqual(stopped, [0])
        t.join()
        self.assertEqual(result, [202])
        self.assertEqual(over_2.communicate(timeout=10), ("2 202", ""))
        self.assertEqual(lab.listeners("southeastasia"), [])

    def test_6_worker_killed_ends_everything(self):
        lab = self.lab
        supervisor = lab.daemons["southeastasia"].pid
        nginx = lab.admin("southeastasia", "status")["edge"]["pid"]
        worker = next(p for p in children(supervisor) if p != nginx)
        os.kill(worker, signal.SIGKILL)
        lab.daemons["southeastasia"].wait(30)
        wait_until(10, lambda: not lab.listeners("southeastasia"), "no listener stays behind")
        lab.start("southeastasia")

    def test_7_a_slow_upload_ends(self):
        t = self.trickle
        t.join(60)
        self.assertEqual(t.result, 202)
        status, _, answer = self.finish(WEST, "westeurope", t.path, t.data, t.auth)
        self.assertEqual(status, 201, answer)
        wait_until(10, lambda: self.left_behind("westeurope") == [], "nothing is left of it")

    def test_8_readers_that_sleep_are_cut(self):
        """Seen from the region: a client that does not read sees nothing."""
        wait_until(self.sleepers.since + 90 - time.monotonic(), lambda: self.connections("westeurope") == [], "they are cut")
        self.assertEqual(self.left_behind("westeurope"), [])

    def test_7_bad_edit_leaves_the_old_topology_in_force(self):
        lab = self.lab
        with open(lab.topology) as f:
            good = f.read()
        version = lab.admin("eastus", "config", "check", "--in-force")["topology"]["version"]
        with open(lab.topology, "w") as f:
            f.write(good.replace("name: contoso\n", "name: contoso\n    regionl_endpoints: enabled\n", 1))
        try:
            def refused():
                why = lab.admin("eastus", "config", "check", "--in-force", check=False)["topology"]["refusedWhy"]
                return why and "regional_endpoints" in why and "topology.yaml:" in why
            wait_until(10, refused, "the node says why the edit is refused")
            self.assertEqual(lab.dig(EAST)[-1], REGIONS["eastus"])
        finally:
            with open(lab.topology, "w") as f:
                f.write(good.replace("version: 1\n", "version: 2\n", 1).replace("name: tailspin", "name: newcomer", 1))
        wait_until(10, lambda: lab.admin("eastus", "config", "check", "--in-force", check=False)["topology"]["version"] == version + 1,
                   "a good edit is taken")
        wait_until(10, lambda: lab.dig(f"newcomer.{DOMAIN}") != [], "the new registry is answered")

    def test_8_limits_of_requests(self):
        """Through the whole edge: 429 with a true Retry-After, for HEAD too and in mid upload, and the connection serves on."""
        lab = self.lab
        auth = lab.bearer("repository:team/app:pull,push", host=EAST, region="eastus")
        c = http.client.HTTPSConnection(EAST, timeout=15)
        c.sock = lab.connection(EAST, "eastus")
        c.auto_open = False  # what closes it fails the test

        def ask(method, path, body=None, **more):
            c.request(method, path, body=body, headers={**auth, **more})
            r = c.getresponse()
            return r.status, r.headers, r.read()

        piece = os.urandom(1 << 20)
        status, headers, _ = ask("POST", "/v2/team/app/blobs/uploads/")
        self.assertEqual(status, 202)
        at = headers["Location"].split(EAST, 1)[1]
        self.assertEqual(ask("PATCH", at, piece)[0], 202)
        with open(lab.topology) as f:
            text = f.read()
        with open(lab.topology, "w") as f:
            f.write(text.replace("version: 2\n", "version: 3\n", 1).replace(
                "name: contoso\n", "name: contoso\n    limits: { per_identity: { writes: 60, reads: 60 } }\n", 1))
        wait_until(10, lambda: lab.admin("eastus", "config", "check", "--in-force", check=False)["topology"]["version"] == 3, "limits hold")

        def until_429(*words):
            for _ in range(300):
                status, headers, body = ask(*words)
                if status == 429:
                    return headers, body
            raise AssertionError("no limit holds")
        headers, body = until_429("GET", at)
        self.assertIn("TOOMANYREQUESTS", body.decode())
        self.assertEqual(headers["Retry-After"], "1")
        size = 1 << 20
        for _ in range(20):
            status, headers, body = ask("PATCH", at, piece * 8)
            if status != 202:
                break
            size += 8 << 20  # a second had passed: a token was back, and this piece took it
        self.assertEqual((status, headers["Retry-After"]), (429, "1"))
        line = self.audit(headers["X-Meridian-Request-Id"])
        self.assertEqual((line["what"], line["outcome"], line["principal"], line["code"]), ("refusal", "refused", USER, "TOOMANYREQUESTS"))
        self.assertEqual(ask("HEAD", "/v2/team/app/manifests/absent")[0], 404)  # of another class, on the same connection
        headers, body = until_429("HEAD", "/v2/team/app/manifests/absent")
        self.assertEqual((headers["Retry-After"], body), ("1", b""))
        time.sleep(1.1)  # as Retry-After says
        status, headers, _ = ask("GET", at)
        self.assertEqual((status, headers["Range"]), (204, f"0-{size - 1}"))  # of the refused piece nothing was taken
        time.sleep(1.1)
        self.assertEqual(ask("PATCH", at, piece)[0], 202)
        c.close()

        def told():
            with open(f"{lab.dir}/eastus/log/audit.log") as f:
                return [o for o in map(json.loads, f) if o["what"] == "topology" and "version 3 is in force" in o["detail"]]
        wait_until(10, told, "the audit log has the edit")


if __name__ == "__main__":
    unittest.main(verbosity=2)
