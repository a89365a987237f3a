# SPDX-License-Identifier: Apache-2.0
"""Requests that no client of good will sends, as bytes: what each is, and the answers that are right. Every row is sent over a
connection of its own to a real region's edge, by a caller who may pull and push team/app (and nothing else).

    for what, request, wanted in rows(host, auth, digest, upload):
        …send it; the status of the first answer is in `wanted`, or the connection was closed and CLOSED is in it…

`digest` is a manifest's that is there, `upload` the path of an upload that has ten bytes. After all rows both are as they were."""

CLOSED = "closed"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ZEROS = "sha256:" + "0" * 64
ZEROS512 = "sha512:" + "0" * 128
APP = "/v2/team/app"
REFUSED = (400, 404)
BAD = (400, CLOSED)

BAD_NAMES = ["Team/app", "team//app", "team/app/", "-team/app", "team-/app", "team._app", "team..app", "team/../app", "./team/app", "team/.app", "team%2Fapp",
             "team%00/app", "team%0d%0aX:y/app", "te am/app".replace(" ", "%20"), "t\u00e9am/app".encode().decode("latin-1"), "team:app", "team@app", "_team/app",
             "a" * 256, "a/" * 127 + "ab", "team/app%", "team/app%4", "team/app%ZZ", "team\\app", "~/app", "team+app", "team/app;x=y"]
BAD_DIGESTS = ["sha256:", "sha256", ":" + "0" * 64, "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "A" * 64, "sha256:" + "g" * 64, "SHA256:" + "0" * 64,
               "sha512:" + "0" * 64, "sha512:" + "0" * 127, "sha512:" + "0" * 129, "sha512:" + "F" * 128, "sha256:" + "0" * 128, "sha384:" + "0" * 96, "md5:" + "0" * 32,
               "sha256:sha256:" + "0" * 64, "sha256:../../../../etc/passwd", "sha256:..%2f..%2fetc%2fpasswd", "sha256%00:" + "0" * 64, "sha256:" + "0" * 63 + "%00",
               "sha256:" + "0" * 64 + "%0a", "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", "sha256:" + "%30" * 63, "sha256:" + "0" * 64 + ".x", "a" * 5000]
BAD_TAGS = [".hidden", "-dash", "a" * 129, "a%20b", "a%00", "a%2fb", "%", "%4", "%zz", "a+b", "a~b", "\u00e9".encode().decode("latin-1"), "a%0d%0ab", "*", "a;b", "a@b"]
BAD_UPLOADS = ["x", "eastus.", ".".ljust(34, "0"), "eastus." + "0" * 31, "eastus." + "0" * 33, "eastus." + "A" * 32, "eastus." + "g" * 32, "EASTUS." + "0" * 32,
               "eastus%2e" + "0" * 32, "eastus." + "0" * 32 + "%00", "..%2f..%2fmeta%2fmeta.db", "eastus.eastus." + "0" * 32, "a" * 40 + "." + "0" * 32]
BAD_RANGES = ["5-9", "11-12", "9-5", "-", "-5", "10-", "ten-12", "0x0a-0x0b", "10-11/5", "bytes 10-11/x", "bytes=10-11", "10-11-12", "10 - 11", "+10-11",
              "99999999999999999999-99999999999999999999", "18446744073709551606-18446744073709551615", "10-18446744073709551615", "10-11,12-13", "10\u2013-11".encode().decode("latin-1")]
BAD_BODIES = [b"", b"{", b"}", b"[]", b"null", b"true", b"0", b'""', b"\xff\xfe\x00", b"\x00" * 64, b"[" * 4096, b'{"a":' * 3000, b"{}", b'{"schemaVersion":1}', b'{"schemaVersion":"2"}',
              b'{"schemaVersion":2.0}', b'{"schemaVersion":99999999999999999999}', b'{"schemaVersion":2,"schemaVersion":2}', b'{"schemaVersion":2,"config":[]}',
              b'{"schemaVersion":2,"config":{},"layers":[]}', b'{"schemaVersion":2,"layers":[]}', b'{"schemaVersion":2,"config":null,"layers":null}', b'{"schemaVersion":2} x',
              b"\xef\xbb\xbf" + b'{"schemaVersion":2}', b'{"schemaVersion":2,"mediaType":7,"layers":[]}', b'{"schemaVersion":2,"mediaType":"a/b\\u0000","layers":[]}']
BAD_DESCRIPTORS = ['{}', '[]', 'null', '"x"', '{"mediaType":"a/b"}', '{"mediaType":"a/b","digest":"%s"}' % ZEROS, '{"mediaType":"a/b","digest":"%s","size":-1}' % ZEROS,
                   '{"mediaType":"a/b","digest":"%s","size":1.5}' % ZEROS, '{"mediaType":"a/b","digest":"%s","size":"1"}' % ZEROS, '{"mediaType":"a/b","digest":"%s","size":99999999999999999999}' % ZEROS,
                   '{"mediaType":"a","digest":"%s","size":1}' % ZEROS, '{"mediaType":"a/b\\n","digest":"%s","size":1}' % ZEROS, '{"mediaType":"a/b","digest":"sha256:../../x","size":1}',
                   '{"mediaType":"a/b","digest":"%s","size":1}' % ("sha512:" + "0" * 64), '{"mediaType":"a/b","digest":["%s"],"size":1}' % ZEROS,
                   '{"mediaType":"a/b","digest":"%s","size":1,"urls":"x"}' % ZEROS, '{"mediaType":"a/b","digest":"%s","size":1,"annotations":[]}' % ZEROS]


def request(method, target, headers=(), body=None, version="HTTP/1.1"):
    lines = [f"{method} {target} {version}", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines + ["Connection: close", "", ""]).encode("latin-1") + (body or b"")


def rows(host, auth, digest, upload):
    head = (f"Host: {host}", f"Authorization: {auth}")
    made = []

    def add(what, method, target, wanted, headers=(), body=None, base=head):
        made.append((what, request(method, target, (*base, *headers), body), wanted if isinstance(wanted, tuple) else (wanted,)))

    def typed(kind):
        return (f"Content-Type: {kind}",)

    # names, references, ids
    for name in BAD_NAMES:
        add(f"tags of {name[:20]!r}", "GET", f"/v2/{name}/tags/list", (400, 401, 404))
        add(f"upload into {name[:20]!r}", "POST", f"/v2/{name}/blobs/uploads/", (400, 401, 404), body=b"")
    for d in BAD_DIGESTS:
        add(f"blob {d[:20]!r}", "GET", f"{APP}/blobs/{d}", REFUSED)
        add(f"manifest {d[:20]!r}", "PUT", f"{APP}/manifests/{d}", REFUSED, typed(OCI), b"{}")
        add(f"referrers of {d[:20]!r}", "GET", f"{APP}/referrers/{d}", REFUSED)
        add(f"upload ends as {d[:20]!r}", "PUT", f"{upload}{'&' if '?' in upload else '?'}digest={d}", 400, body=b"")
        add(f"delete {d[:20]!r}", "DELETE", f"{APP}/manifests/{d}", (400, 401, 404, 405))
    for tag in BAD_TAGS:
        add(f"manifest of tag {tag[:20]!r}", "GET", f"{APP}/manifests/{tag}", REFUSED)
        add(f"push to tag {tag[:20]!r}", "PUT", f"{APP}/manifests/{tag}", 400, typed(OCI), b"{}")
    for each in BAD_UPLOADS:
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            add(f"{method} of upload {each[:20]!r}", method, f"{APP}/blobs/uploads/{each}", REFUSED, body=None if method == "GET" else b"")
    # pieces
    for r in BAD_RANGES:
        add(f"piece at {r!r}", "PATCH", upload, (400, 416), (f"Content-Range: {r}",), b"xx")
    add("piece that is longer than it says", "PATCH", upload, (400, 416), ("Content-Range: 10-10",), b"xxxx")
    add("piece that is shorter than it says", "PATCH", upload, (400, 416), ("Content-Range: 10-99",), b"xx")
    add("two ranges", "PATCH", upload, (400, 416), ("Content-Range: 5-6", "Content-Range: 7-8"), b"xx")
    add("end without a digest", "PUT", upload, 400, body=b"")
    add("end with another digest", "PUT", f"{upload}{'&' if '?' in upload else '?'}digest={ZEROS}", 400, body=b"")
    add("end with another sha512 digest", "PUT", f"{upload}{'&' if '?' in upload else '?'}digest={ZEROS512}", 400, body=b"")
    add("upload of another repository", "GET", upload.replace("/team/app/", "/team/other/"), (401, 404))
    # manifests
    for b in BAD_BODIES:
        add(f"manifest {b[:20]!r}", "PUT", f"{APP}/manifests/x", 400, typed(OCI), b)
        add(f"index {b[:20]!r}", "PUT", f"{APP}/manifests/x", 400, typed(INDEX), b)
    for d in BAD_DESCRIPTORS:
        add(f"layer {d[:40]}", "PUT", f"{APP}/manifests/x", REFUSED, typed(OCI),
            ('{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"%s","size":1},"layers":[%s]}' % (ZEROS, d)).encode())
        add(f"child {d[:40]}", "PUT", f"{APP}/manifests/x", REFUSED, typed(INDEX), ('{"schemaVersion":2,"manifests":[%s]}' % d).encode())
        if ZEROS not in d or "1}" not in d or '"a"' in d:
            add(f"subject {d[:40]}", "PUT", f"{APP}/manifests/x", 400, typed(INDEX), ('{"schemaVersion":2,"manifests":[],"subject":%s}' % d).encode())
    for kind in ("", "text/plain", "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws", "a", "a/", "/b", "a/b/c", "a" * 300 + "/b", "*/*", OCI + ",", "a/b\x01"):
        add(f"typed {kind[:20]!r}", "PUT", f"{APP}/manifests/x", (400, 415), typed(kind), b'{"schemaVersion":2,"mediaType":"%s"}' % OCI.encode())
    add("manifest larger than any", "PUT", f"{APP}/manifests/x", 413, (*typed(OCI), "Content-Length: 99999999"))
    # conditions
    for name in ("If-Match", "If-None-Match"):
        for value in ("", '"', '"x', "x", 'W/"x"', '"%s"' % ZEROS, "," * 5000, '"' + "a" * 6000 + '"'):
            if name == "If-None-Match" and value:  # whoever is not the star is refused before the body
                add(f"{name} {value[:10]!r}", "PUT", f"{APP}/manifests/x", (400, 412), (*typed(OCI), f"{name}: {value}"), b"{}")
            elif name == "If-Match" and value:
                add(f"{name} {value[:10]!r}", "PUT", f"{APP}/manifests/x", (400, 412), (*typed(OCI), f"{name}: {value}"), b"{}")
    add("If-Match on a digest", "PUT", f"{APP}/manifests/{digest}", 400, (*typed(OCI), f'If-Match: "{digest}"'), b"{}")
    # queries
    for q in ("n=-1", "n=x", "n=1x", "n=%31%00", "n=%", "last=%zz", "n=1&n=%", "n=0x10", "n=" + "9" * 400, "%00=1", "n=%C3%28%00"):
        wanted = (200, 400) if q.startswith("n=999") else 400
        add(f"tags?{q[:20]}", "GET", f"{APP}/tags/list?{q}", wanted)
        add(f"referrers?{q[:20]}", "GET", f"{APP}/referrers/{ZEROS}?{q}", wanted)
    add("catalogue without the right", "GET", "/v2/_catalog", 401)
    add("mount from outside", "POST", f"{APP}/blobs/uploads/?mount={ZEROS}&from=../../x", 202, body=b"")
    add("mount of nothing", "POST", f"{APP}/blobs/uploads/?mount=&from=", 202, body=b"")
    add("an algorithm of nobody", "POST", f"{APP}/blobs/uploads/?digest-algorithm=md5", 400, body=b"")
    for target in (f"{APP}/manifests/1/", f"{APP}//manifests/1", f"{APP}/manifests", f"{APP}/manifests//1", f"{APP}/./manifests/1", f"{APP}/blobs/../manifests/1", "/v2/../v2/", "/v2/%2e%2e/",
                   "//v2/", "/v2//", "/V2/", "/v2/team/app/_other/1", "/v2/_catalog/", "/v2/tags/list", "/_blob/sha256/00/" + "0" * 64, "/%5fblob/sha256/00/" + "0" * 64,
                   "/_blob/../meta/meta.db", "/registry/v1/other", "/registry/v2/tags", "/registry/v1/", "/replication/v1/other", "/oauth2/other"):
        add(f"path {target[:30]}", "GET", target, REFUSED + (401, 403))
    # what stands in a query: names, tags and digests below /registry/v1/, tags of a push
    for name in BAD_NAMES:
        add(f"tags in detail of {name[:20]!r}", "GET", f"/registry/v1/tags?repository={name}", (200, 400, 401) if name == "team%2Fapp" else (400, 401))
    for tag in BAD_TAGS:
        add(f"history of {tag[:20]!r}", "GET", f"/registry/v1/history?repository=team/app&tag={tag}", REFUSED)
        add(f"push with the tag {tag[:20]!r}", "PUT", f"{APP}/manifests/x?tag={tag}", 400, typed(OCI), b"{}")
    for d in BAD_DIGESTS:
        add(f"restore to {d[:20]!r}", "POST", f"/registry/v1/restore?repository=team/app&tag=1&digest={d}", REFUSED, body=b"")
        add(f"lock of {d[:20]!r}", "GET", f"/registry/v1/lock?repository=team/app&digest={d}", 400)
    add("300 tags", "PUT", f"{APP}/manifests/x?" + "&".join(f"tag=t{i}" for i in range(300)), 414, typed(OCI), b"{}")
    add("a query of 9000 bytes", "PUT", f"{APP}/manifests/x?tag=" + "a" * 9000, (400, 414), typed(OCI), b"{}")
    for b in (b"", b"{", b"[]", b'{"write":true}', b'{"write":1,"delete":1}', b'{"write":true,"delete":true,"x":1}', b"x" * 5000):
        add(f"lock set to {b[:20]!r}", "PUT", "/registry/v1/lock?repository=team/app&tag=1", (400, 401, 413), body=b)
    for path in ("usage", "repositories", "repository?repository=team/secret", "tags?repository=team/secret", "retention?repository=team/secret"):
        add(f"{path} without the right", "GET", f"/registry/v1/{path}", 401)
    add("the end of a repository without the right", "DELETE", "/registry/v1/repository?repository=team/app", 401)
    add("a deletion without the right", "DELETE", f"{APP}/manifests/{digest}", 401)
    add("two repositories", "GET", "/registry/v1/tags?repository=team/app&repository=team/secret", (200, 400, 401))
    # methods
    for method in ("OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "M" * 100, "GET\t", "\x01GET"):
        add(f"method {method[:10]!r}", method, f"{APP}/manifests/1", (400, 403, 405, CLOSED))
    # who asks
    for value in ("", "Bearer", "Bearer ", "Bearer a b", "Bearer " + "a" * 7000, "Bearer a.b.c", "Basic", "Basic !!!", "Basic " + "QQ" * 3000, "Negotiate x", "\x7f", "bearer\tx"):
        add(f"authorization {value[:12]!r}", "GET", f"{APP}/manifests/1", (400, 401), base=(f"Host: {host}", f"Authorization: {value}"))
    add("two authorizations", "GET", f"{APP}/manifests/1", (200, 400, 401), (f"Authorization: Bearer x",))
    for sig in ("", "x", "." * 20, "a.b.c.d", "0" * 5000, "%00", "%zz"):
        add(f"signed {sig[:10]!r}", "GET", f"{APP}/blobs/uploads/eastus.{'0' * 32}?sig={sig}", (400, 401, 404), base=(f"Host: {host}",))
    # headers that are ours, or the edge's
    for name in ("X-Meridian-Client", "X-Meridian-Listener", "X-Meridian-Peer-Cert", "X-Accel-Redirect", "X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Original-URL", "X-HTTP-Method-Override"):
        add(f"{name} from outside", "GET", f"{APP}/manifests/{digest}", 401, (f"{name}: 10.88.0.2",), base=(f"Host: {host}",))
    # framing
    for what, lines, body in (
            ("length and chunked", ("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n"), ("chunked twice", ("Transfer-Encoding: chunked, chunked",), b"0\r\n\r\n"),
            ("chunked hidden", ("Transfer-Encoding: \x0bchunked",), b"0\r\n\r\n"), ("identity", ("Transfer-Encoding: identity",), b""), ("two lengths", ("Content-Length: 1", "Content-Length: 2"), b"xx"),
            ("lengths in one", ("Content-Length: 1, 1",), b"x"), ("signed length", ("Content-Length: +1",), b"x"), ("hex length", ("Content-Length: 0x1",), b"x"),
            ("negative length", ("Content-Length: -1",), b""), ("length of 2^64", ("Content-Length: 18446744073709551616",), b"x"), ("chunk size of 2^64", ("Transfer-Encoding: chunked",), b"10000000000000000\r\nx"),
            ("chunk size negative", ("Transfer-Encoding: chunked",), b"-1\r\n\r\n"), ("chunk without its end", ("Transfer-Encoding: chunked",), b"1\r\nxx\r\n"), ("name with a blank", ("Content-Length : 0",), b""),
            ("a folded header", ("X-A: b", " c: d"), b""), ("a header without a colon", ("nonsense",), b""), ("an empty name", (": x",), b""), ("NUL in a value", ("X-A: b\0c",), b"")):
        text = "\r\n".join([f"PATCH {upload} HTTP/1.1", *head, "Content-Range: 99-99", *lines, "Connection: close", "", ""]).encode("latin-1")
        made.append((what, text + body, (400, 405, 408, 411, 413, 416, 501, CLOSED)))
    for what, text in (("only a method", b"GET\r\n\r\n"), ("a version of its own", f"GET /v2/ HTTP/1.1x\r\nHost: {host}\r\n\r\n".encode()),
                       ("version 0.9 with headers", f"GET /v2/\r\nHost: {host}\r\n\r\n".encode()), ("line feeds alone", f"GET {APP}/manifests/x HTTP/1.1\nHost: {host}\nConnection: close\n\n".encode()),
                       ("an absolute target", f"GET http://{host}/v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()),
                       ("an absolute target of another", f"GET http://nobody.invalid/v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()),
                       ("a fragment", f"GET {APP}/manifests/x#y HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()),
                       ("a tab for a blank", f"GET\t/v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())):
        made.append((what, text, (400, 401, 403, 404, 405, 421, CLOSED)))
    return made
