# SPDX-License-Identifier: Apache-2.0
"""Bad input to the real daemons, through the real edge: malformed HTTP and OCI requests, bad tokens, malformed DNS packets,
each with the answer it must get; and after all of it the region answers as before."""
import base64, concurrent.futures, hashlib, hmac, json, os, re, socket, struct, subprocess, unittest, urllib.parse

import hostile_requests
from lab import DOMAIN, Lab, MERIDIAN, REGIONS, USER

EAST = f"contoso.eastus.geo.{DOMAIN}"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ABSENT = "sha256:" + "0" * 64
CLOSED = "closed"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def qname(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".") if p) + b"\0"


NAME = qname(EAST)


def header(flags=0x0000, qd=1, an=0, ns=0, ar=0, ident=0x1234):
    return struct.pack(">6H", ident, flags, qd, an, ns, ar)


def question(name=NAME, kind=1, klass=1):
    return name + struct.pack(">2H", kind, klass)


def opt(size=1232, ttl=0, data=b"", name=b"\0"):
    return name + struct.pack(">HHIH", 41, size, ttl, len(data)) + data


NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS, DROP = 0, 1, 3, 4, 5, 16, None

DNS = [  # what, packet, rcode (with the extended bits), or DROP
    ("empty", b"", DROP), ("one byte", b"\x12", DROP), ("eleven bytes", header()[:11], DROP),
    ("a response", header(0x8000) + question(), DROP), ("a response, nothing in it", header(0x8000, qd=0), DROP),
    ("header only, says one question", header(), FORMERR), ("no question", header(qd=0), FORMERR),
    ("two questions", header(qd=2) + question() * 2, FORMERR), ("65535 questions", header(qd=65535) + question(), FORMERR),
    ("name runs over the end", header() + b"\x3fabc", FORMERR), ("name without its root", header() + NAME[:-1], FORMERR),
    ("name, no type", header() + NAME, FORMERR), ("type, half a class", header() + NAME + b"\0\1\0", FORMERR),
    ("label of 64", header() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", FORMERR),
    ("label type 0x80", header() + b"\x80a\0\0\1\0\1", FORMERR),
    ("compressed question name", header() + b"\xc0\x0c\0\1\0\1", FORMERR),
    ("compression loop", header() + b"\x03abc\xc0\x0c\0\1\0\1", FORMERR),
    ("name of 256", header() + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", FORMERR),
    ("trailing junk", header() + question() + b"junk", FORMERR),
    ("an answer in a query", header(an=1) + question() + question() + b"\0\0\0\0\0\4\1\2\3\4", FORMERR),
    ("says one additional, none there", header(ar=1) + question(), FORMERR),
    ("OPT cut short", header(ar=1) + question() + opt()[:6], FORMERR),
    ("OPT at a name", header(ar=1) + question() + opt(name=b"\1a\0"), FORMERR),
    ("two OPTs", header(ar=2) + question() + opt() * 2, FORMERR),
    ("OPT data longer than the packet", header(ar=1) + question() + b"\0" + struct.pack(">HHIH", 41, 1232, 0, 99), FORMERR),
    ("OPT option longer than its data", header(ar=1) + question() + opt(data=struct.pack(">HH", 10, 40) + b"x"), FORMERR),
    ("OPT option header cut", header(ar=1) + question() + opt(data=b"\0\x0a\0"), FORMERR),
    ("EDNS version 1", header(ar=1) + question() + opt(ttl=1 << 16), BADVERS),
    ("EDNS version 255", header(ar=1) + question() + opt(ttl=255 << 16), BADVERS),
    ("EDNS size 0 is 512", header(ar=1) + question() + opt(size=0), NOERROR),
    ("EDNS size 65535", header(ar=1) + question() + opt(size=65535), NOERROR),
    ("unknown EDNS flags", header(ar=1) + question() + opt(ttl=0x7fff), NOERROR),
    ("unknown EDNS option", header(ar=1) + question() + opt(data=struct.pack(">HH", 65001, 3) + b"abc"), NOERROR),
    ("status opcode", header(0x1000) + question(), NOTIMP), ("notify opcode", header(0x2000) + question(), NOTIMP),
    ("update opcode", header(0x2800) + question(), NOTIMP), ("opcode 15", header(0x7800) + question(), NOTIMP),
    ("class CHAOS", header() + question(qname("version.bind"), 16, 3), REFUSED),
    ("class NONE", header() + question(klass=254), REFUSED), ("class ANY", header() + question(klass=255), REFUSED),
    ("class 0", header() + question(klass=0), REFUSED), ("another zone", header() + question(qname("example.com")), REFUSED),
    ("the root", header() + question(b"\0"), REFUSED), ("AXFR", header() + question(qname(DOMAIN), 252), REFUSED),
    ("IXFR", header() + question(qname(DOMAIN), 251), REFUSED),
    ("a dot inside a label", header() + question(b"\x0econtoso.eastus" + qname(DOMAIN)), NXDOMAIN),
    ("a NUL inside a label", header() + question(b"\x08contos\0o" + qname(DOMAIN)), NXDOMAIN),
    ("a high byte in a label", header() + question(b"\x07contos\xef" + qname(DOMAIN)), NXDOMAIN),
    ("type 0", header() + question(kind=0), FORMERR), ("type 65535", header() + question(kind=65535), NOERROR),
    ("reserved header bits", header(0x0070) + question(), NOERROR),
]


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.digest = cls.lab.push("hostile", EAST, "team/app", "1")
        cls.auth = cls.lab.bearer("repository:team/app:pull,push")

    # ---- HTTP ----
    def raw(self, request):
        """Sends bytes as they are; the status of the first answer, or CLOSED."""
        with self.lab.connection(EAST, "eastus", timeout=15) as c:
            c.sendall(request)
            data = b""
            try:
                while b"\r\n" not in data:
                    more = c.recv(4096)
                    if not more:
                        break
                    data += more
            except ConnectionError:
                pass
        return int(data.split()[1]) if data.startswith(b"HTTP/") else CLOSED

    def test_malformed_http(self):
        host = f"Host: {EAST}\r\n".encode()
        rows = [
            ("no version", b"GET /v2/\r\n\r\n", (400, CLOSED)), ("unknown version", b"GET /v2/ HTTP/9.9\r\n" + host + b"\r\n", (400, 505)),
            ("garbage", b"\x16\x03\x01\x02\x00\r\n\r\n", (400, CLOSED)), ("lower-case method", b"get /v2/ HTTP/1.1\r\n" + host + b"\r\n", (400, 405)),
            ("no host in 1.1", b"GET /v2/ HTTP/1.1\r\n\r\n", 400),
            ("two hosts", b"GET /v2/ HTTP/1.1\r\n" + host + b"Host: other\r\n\r\n", 400),
            ("host with a blank", b"GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("host of nobody", b"GET /v2/ HTTP/1.1\r\nHost: nobody.invalid\r\n\r\n", 421),
            ("host is an address", b"GET /v2/ HTTP/1.1\r\nHost: 10.88.0.1\r\n\r\n", 421),
            ("host of another region", f"GET /v2/ HTTP/1.1\r\nHost: contoso.westeurope.geo.{DOMAIN}\r\n\r\n".encode(), 421),
            ("host of no registry", f"GET /v2/ HTTP/1.1\r\nHost: nobody.eastus.geo.{DOMAIN}\r\n\r\n".encode(), 421),
            ("target without a slash", b"GET v2/ HTTP/1.1\r\n" + host + b"\r\n", 400),
            ("NUL in the target", b"GET /v2/\0 HTTP/1.1\r\n" + host + b"\r\n", 400),
            ("%00 in the target", b"GET /v2/%00 HTTP/1.1\r\n" + host + b"\r\n", (400, 404)),
            ("bad escape", b"GET /v2/%zz HTTP/1.1\r\n" + host + b"\r\n", (400, 404)),
            ("long target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + host + b"\r\n", 414),
            ("long header", b"GET /v2/ HTTP/1.1\r\n" + host + b"X: " + b"a" * 70000 + b"\r\n\r\n", (400, 431, 494, CLOSED)),
            ("many headers", b"GET /v2/ HTTP/1.1\r\n" + host + b"".join(b"X%d: %s\r\n" % (i, b"y" * 500) for i in range(200)) + b"\r\n", (400, 431, CLOSED)),
            ("length and chunked", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("two lengths", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
            ("negative length", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n", 400),
            ("length of letters", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Content-Length: ten\r\n\r\n", 400),
            ("unknown coding", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n", (400, 405)),  # nginx says 501, which the edge tells as 405
            ("bad chunk size", b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            ("a path outside", b"GET /etc/passwd HTTP/1.1\r\n" + host + b"\r\n", 404),
            ("climbing", b"GET /_blob/../../../etc/passwd HTTP/1.1\r\n" + host + b"\r\n", (400, 404)),
            ("CONNECT", b"CONNECT a:1 HTTP/1.1\r\n" + host + b"\r\n", (400, 405)), ("TRACE", b"TRACE /v2/ HTTP/1.1\r\n" + host + b"\r\n", 405),
        ]
        self.judge([(what, self.raw(request), want) for what, request, want in rows])

    def test_raw_requests(self):
        lab, auth = self.lab, self.auth
        up = self.start_upload()
        self.assertEqual(lab.request("PATCH", EAST, up, headers=auth, body=b"0123456789")[0], 202)
        rows = hostile_requests.rows(EAST, auth["Authorization"], self.digest, up)
        self.assertGreaterEqual(len(rows), 500)
        since = lab.log_end("eastus")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda row: self.raw(row[1]), rows))
        self.judge([(what, status, wanted) for (what, _, wanted), status in zip(rows, got)])
        self.assertEqual(lab.request("GET", EAST, up, headers=auth)[1]["range"], "0-9")
        self.assertEqual(lab.request("DELETE", EAST, up, headers=auth)[0], 204)
        self.assertNotIn("assert", lab.said("eastus", since).lower())

    def judge(self, rows):
        bad = [(what, got, want) for what, got, want in rows if got not in (want if isinstance(want, tuple) else (want,))]
        self.assertEqual(bad, [])
        self.assertEqual(self.lab.request("GET", EAST, f"/v2/team/app/manifests/{self.digest}", headers=self.auth)[0], 200)

    def start_upload(self):
        _, headers, _ = self.lab.request("POST", EAST, "/v2/team/app/blobs/uploads/", headers=self.auth)
        return "/" + headers["location"].split("/", 3)[3]

    def test_malformed_oci(self):
        lab, auth, r = self.lab, self.auth, "/v2/team/app"
        up = self.start_upload()
        lab.request("PATCH", EAST, up, headers=dict(auth, **{"Content-Type": "application/octet-stream"}), body=b"0123456789")
        join = "&" if "?" in up else "?"
        typed = lambda kind: {"Content-Type": kind}
        good = lab.request("GET", EAST, f"{r}/manifests/1", headers=auth)[2]
        document = json.loads(good)
        missing = json.dumps(dict(document, layers=[dict(document["layers"][0], digest=ABSENT)])).encode()
        rows = [  # method, path, headers, body, status, OCI code
            ("GET", f"{r}/manifests/nosuch", {}, None, 404, "MANIFEST_UNKNOWN"),
            ("GET", f"{r}/manifests/{ABSENT}", {}, None, 404, "MANIFEST_UNKNOWN"),
            ("GET", f"{r}/manifests/sha256:abc", {}, None, (400, 404), None),
            ("GET", f"{r}/manifests/sha256:{'A' * 64}", {}, None, (400, 404), None),
            ("GET", f"{r}/manifests/.bad", {}, None, (400, 404), None),
            ("GET", f"{r}/manifests/{'t' * 129}", {}, None, (400, 404), None),
            ("GET", f"{r}/blobs/{ABSENT}", {}, None, 404, "BLOB_UNKNOWN"),
            ("GET", f"{r}/blobs/sha256:xyz", {}, None, (400, 404), None),
            ("GET", f"{r}/blobs/md5:{'0' * 32}", {}, None, (400, 404), None),
            ("GET", "/v2/team/other/manifests/1", {}, None, 401, None),
            ("GET", "/v2/UPPER/manifests/1", {}, None, (400, 404), None),
            ("GET", "/v2//manifests/1", {}, None, (400, 404), None),
            ("GET", "/v2/a..b/manifests/1", {}, None, (400, 404), None),
            ("GET", f"/v2/{'a' * 300}/manifests/1", {}, None, (400, 404), None),
            ("GET", f"{r}/tags/list?n=-1", {}, None, 400, None),
            ("GET", f"{r}/tags/list?n=many", {}, None, 400, None),
            ("GET", f"{r}/nothing", {}, None, (400, 404), None),
            ("POST", f"{r}/manifests/1", {}, b"", 405, None),
            ("PATCH", f"{r}/manifests/1", {}, b"x", 405, None),
            ("DELETE", f"{r}/manifests/1", {}, None, 401, "DENIED"),  # the token has pull and push
            ("DELETE", f"{r}/manifests/{self.digest}", {}, None, 401, "DENIED"),
            ("DELETE", f"{r}/blobs/{ABSENT}", {}, None, 405, "UNSUPPORTED"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"", 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"{", 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"[]", 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"null", 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"\xff\xfe", 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b"[" * 5000, 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b'{"schemaVersion":1}', 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b'{"schemaVersion":2,"mediaType":"%s"}' % OCI.encode(), 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(INDEX), good, 400, "MANIFEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed("text/plain"), good, (400, 415), None),
            ("PUT", f"{r}/manifests/x", typed("bad\ttype"), good, 400, None),
            ("PUT", f"{r}/manifests/x", typed(OCI), missing, (400, 404), "MANIFEST_BLOB_UNKNOWN"),
            ("PUT", f"{r}/manifests/{ABSENT}", typed(OCI), good, 400, "DIGEST_INVALID"),
            ("PUT", f"{r}/manifests/x", typed(OCI), b" " * (5 << 20), 413, None),
            ("PUT", f"{r}/manifests/1", dict(typed(OCI), **{"If-Match": f'"{ABSENT}"'}), good, 412, None),
            ("PUT", f"{up}{join}digest={ABSENT}", {}, None, 400, "DIGEST_INVALID"),
            ("PUT", f"{up}{join}digest=nonsense", {}, None, 400, "DIGEST_INVALID"),
            ("PUT", up, {}, None, 400, "DIGEST_INVALID"),
            ("PATCH", up, {"Content-Range": "5-9"}, b"01234", 416, None),
            ("PATCH", up, {"Content-Range": "20-24"}, b"01234", 416, None),
            ("PATCH", up, {"Content-Range": "9-5"}, b"01234", (400, 416), None),
            ("PATCH", up, {"Content-Range": "10-99"}, b"01234", (400, 416), None),
            ("PATCH", up, {"Content-Range": "ten-twelve"}, b"01", (400, 416), None),
            ("PATCH", up.replace("eastus.", "eastus.f", 1)[:len(up)], {}, b"x", (400, 401, 404), None),
            ("GET", f"{r}/blobs/uploads/nosuch", {}, None, 404, "BLOB_UPLOAD_UNKNOWN"),
            ("GET", f"{r}/blobs/uploads/eastus.{'0' * 32}", {}, None, 404, "BLOB_UPLOAD_UNKNOWN"),
            ("GET", f"{r}/blobs/uploads/westeurope.{'0' * 32}", {}, None, 404, "BLOB_UPLOAD_UNKNOWN"),
            ("PATCH", f"{r}/blobs/uploads/..%2f..%2fetc", {}, b"x", (400, 404), None),
            ("POST", f"{r}/blobs/uploads/?digest=nonsense", {}, b"x", 400, "DIGEST_INVALID"),
            ("POST", f"{r}/blobs/uploads/?digest={ABSENT}", {}, b"x", (400, 202), None),
            ("POST", f"{r}/blobs/uploads/?mount=nonsense&from=team/app", {}, b"", (202, 400), None),
            ("POST", f"{r}/blobs/uploads/?mount={ABSENT}&from=team/secret", {}, b"", 202, None),
        ]
        results = []
        for method, path, headers, body, status, code in rows:
            got, _, answer = lab.request(method, EAST, path, headers=dict(auth, **headers), body=body)
            what = f"{method} {path[:60]} {body[:20] if body else ''}"
            results.append((what, got, status))
            if code and got >= 400:
                results.append((what + " code", json.loads(answer)["errors"][0]["code"], code))
        # what was there stays: the upload still has its ten bytes and can be finished
        status, headers, _ = lab.request("GET", EAST, up, headers=auth)
        results.append(("the upload is as it was", (status, headers.get("range")), (((204), "0-9"),)))
        digest = "sha256:" + hashlib.sha256(b"0123456789").hexdigest()
        results.append(("and is finished", lab.request("PUT", EAST, f"{up}{join}digest={digest}", headers=auth)[0], 201))
        results.append(("and dead after", lab.request("GET", EAST, up, headers=auth)[0], (401, 404)))
        self.judge(results)

    # ---- tokens ----
    def test_bad_tokens(self):
        lab = self.lab
        good = self.auth["Authorization"].split()[1]
        h, p, s = good.split(".")
        head, claims = (json.loads(base64.urlsafe_b64decode(x + "==")) for x in (h, p))
        refresh = json.loads(lab.check(MERIDIAN,
                                       "login", "-n", "contoso", "--expose-token"))["accessToken"]

        def forged(new_head=None, new_claims=None, signature=s):
            return ".".join((b64(json.dumps({**head, **(new_head or {})}).encode()), b64(json.dumps({**claims, **(new_claims or {})}).encode()), signature))
        none_alg = ".".join((b64(b'{"alg":"none","typ":"JWT"}'), p, ""))
        hs_head = b64(json.dumps({**head, "alg": "HS256"}).encode())
        hs = f"{hs_head}.{p}." + b64(hmac.new(b"", f"{hs_head}.{p}".encode(), "sha256").digest())
        flipped = s[:10] + ("A" if s[10] != "A" else "B") + s[11:]
        rows = [("empty", ""), ("one part", h), ("two parts", f"{h}.{p}"), ("four parts", good + ".x"), ("dots", "..."),
                ("signature flipped", f"{h}.{p}.{flipped}"), ("signature cut", good[:-4]), ("signature empty", f"{h}.{p}."),
                ("signature of zeros", f"{h}.{p}." + b64(bytes(64))), ("alg none", none_alg), ("alg HS256", hs),
                ("alg RS256", forged({"alg": "RS256"})), ("kid of nobody", forged({"kid": "nobody"})),
                ("kid of another region", forged({"kid": head["kid"].replace("eastus", "westeurope")})),
                ("later expiry", forged(None, {"exp": claims["exp"] + 9999})), ("more access", forged(None, {"access": [{"type": "repository", "name": "secret", "actions": ["pull"]}]})),
                ("other audience", forged(None, {"aud": f"fabrikam.{DOMAIN}"})), ("a refresh token", refresh), ("padding", good + "=="),
                ("not base64", h + "!." + p + "." + s), ("not JSON", b64(b"hello") + f".{p}.{s}"), ("very long", "a" * 9000), ("blanks", f"{h} .{p}.{s}"),
                ("crit", forged({"crit": ["exp"]}))]
        results = []
        for what, token in rows:
            status, headers, _ = lab.request("GET", EAST, f"/v2/team/app/manifests/{self.digest}", headers={"Authorization": f"Bearer {token}"})
            results.append((what, status, (401, 400) if what in ("blanks", "very long") else 401))
            if status == 401:
                results.append((what + ": challenge", headers["www-authenticate"].startswith(f'Bearer realm="https://{EAST}/oauth2/token"'), True))
        for what, value in (("basic here", "Basic " + base64.b64encode(f"{USER}:{lab.password}".encode()).decode()), ("unknown scheme", "Digest x"), ("no scheme", good)):
            results.append((what, lab.request("GET", EAST, f"/v2/team/app/manifests/{self.digest}", headers={"Authorization": value})[0], 401))
        self.judge(results)

    # ---- DNS ----
    def test_malformed_dns(self):
        self.assertGreaterEqual(len(DNS), 40)
        bad = []
        for what, packet, want in DNS:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.connect((REGIONS["eastus"], 53))
                s.settimeout(0.3 if want is DROP else 3)
                s.send(packet)
                try:
                    answer = s.recv(4096)
                except (socket.timeout, ConnectionError):
                    answer = None
            if answer is None or want is DROP:
                got = None if answer is None else "answered"
            else:
                got = answer[3] & 15
                if answer[:2] != packet[:2] or not answer[2] & 0x80:
                    got = "not an answer to this"
                elif struct.unpack(">H", answer[10:12])[0] and want == BADVERS:
                    at = answer.rfind(b"\0\0\x29")
                    got |= answer[at + 5] << 4
            if got != want:
                bad.append((what, got, want))
        self.assertEqual(bad, [])
        self.assertEqual(self.lab.dig(EAST, at="eastus")[-1], REGIONS["eastus"])

    def test_hostile_dns_over_tcp(self):
        at = (REGIONS["eastus"], 53)
        query = header() + question()
        framed = struct.pack(">H", len(query)) + query
        with socket.create_connection(at, timeout=5) as c:  # pipelined, in pieces
            for byte in framed + framed:
                c.sendall(bytes([byte]))
            got = b""
            while len(got) < 4 or got.count(b"\x12\x34") < 2:
                more = c.recv(4096)
                self.assertTrue(more)
                got += more
        for junk in (b"\0\0", b"\0\1x", b"\xff\xff" + b"x" * 100, b"\0\x0b" + header()[:11]):
            with socket.create_connection(at, timeout=5) as c:
                c.sendall(junk)
                c.shutdown(socket.SHUT_WR)
                c.settimeout(10)
                try:
                    while c.recv(4096):
                        pass
                except ConnectionError:
                    pass
        self.assertEqual(self.lab.check("dig", "+tcp", "+short", f"@{at[0]}", EAST).split()[-1], at[0])

    # ---- the edge itself, broken into: docs/security.md, "What a broken edge can still do" ----
    def edge(self, *words):
        """What the edge's user may do on eastus, which is the CA's node."""
        return subprocess.run(words, user="meridian-edge", group="meridian-edge", extra_groups=[], capture_output=True,
                              text=True, timeout=30)

    def as_peer(self, certificate, method, path, host=f"eastus.peer.{DOMAIN}", body=None):
        """Straight to the daemon's peer socket, with the word that this certificate was verified; (status, answer)."""
        out = self.edge("curl", "-s", "-w", "\n%{http_code}", "-X", method, "--unix-socket",
                        f"{self.lab.dir}/eastus/run/peer.sock", "-H", f"Host: {host}", "-H", "X-Meridian-Client: 10.88.0.2",
                        "-H", f"X-Meridian-Peer-Cert: {urllib.parse.quote(certificate)}",
                        *(["--data-binary", body] if body is not None else []), f"http://eastus{path}")
        self.assertEqual(out.returncode, 0, out.stderr)
        answer, status = out.stdout.rsplit("\n", 1)
        return int(status), answer

    def public_half(self, region):
        with open(f"{self.lab.dir}/{region}/certs/peer.pem") as f:
            text = f.read()
        return re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S).group()

    def test_broken_edge_gets_no_certificate_of_another_region(self):
        lab, west = self.lab, self.public_half("westeurope")
        names = ",".join(f"DNS:*.westeurope.{form}.{DOMAIN}" for form in ("geo", "data"))
        csr = lab.check("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", f"{lab.dir}/forged.key", "-subj", "/", "-addext", f"subjectAltName={names}")
        since = lab.log_end("eastus")
        status, answer = self.as_peer(west, "POST", "/certs/v1/renew?kind=region", body=csr)
        self.assertEqual(status, 403, answer)
        self.assertIn("not signed with the feed key of westeurope", answer)
        status, answer = self.as_peer(west, "POST", "/certs/v1/nonce", body="")
        self.assertEqual(status, 200, answer)  # it may have a nonce: that is worth nothing without the key
        text = json.dumps({"v": 1, "domain": DOMAIN, "region": "westeurope", "kind": "region",
                           "nonce": json.loads(answer)["nonce"], "csr": csr})
        with open(lab.topology) as f:
            keys = re.findall(r"id: ([a-z]+-feed-[0-9a-f]+)", f.read())
        self.assertEqual(len(keys), len(REGIONS))
        for key in keys:
            status, answer = self.as_peer(west, "POST", "/certs/v1/renew",
                                          body=json.dumps({"request": text, "key": key, "signature": "A" * 86}))
            self.assertEqual(status, 403, answer)
        self.assertNotIn("certs: issued", lab.said("eastus", since))

    def test_broken_edge_can_read_as_a_peer_and_no_more(self):
        lab, west = self.lab, self.public_half("westeurope")
        manifest = f"/v2/team/app/manifests/{self.digest}"
        rows = [("a manifest, as westeurope", ("GET", manifest, EAST), 200), ("no write", ("PUT", manifest, EAST, "{}"), 401),
                ("no upload", ("POST", "/v2/team/app/blobs/uploads/", EAST, ""), 401), ("no delete", ("DELETE", manifest, EAST), (401, 405)),
                ("no observation without a signature", ("POST", "/health/v1/observation", f"eastus.peer.{DOMAIN}", "{}"), (400, 403)),
                ("no admin route", ("GET", "/v1/status", f"eastus.peer.{DOMAIN}"), (404, 421))]
        self.judge([(what, self.as_peer(west, ask[0], ask[1], *ask[2:])[0], want) for what, ask, want in rows])
        at = f"{lab.dir}/eastus"
        for path in (f"{at}/keys/feed.pem", f"{at}/keys/token.pem", f"{at}/keys/url.key", f"{at}/certs/peer.pem", f"{at}/meta/meta.db",
                     lab.principals, f"{lab.dir}/ca/ca.key"):
            self.assertTrue(os.path.exists(path), path)
            self.assertNotEqual(self.edge("cat", path).returncode, 0, path)
        self.assertNotEqual(self.edge("curl", "-s", "--unix-socket", f"{at}/run/admin.sock", "http://admin/v1/status").returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
