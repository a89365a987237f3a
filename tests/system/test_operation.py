# SPDX-License-Identifier: Apache-2.0
"""What an operator has: metrics for Prometheus, and a restart that loses nothing."""
import collections, hashlib, http.client, json, os, re, shutil, signal, socket, struct, subprocess, threading, time, unittest

import dnswire

from lab import CLIENT, DOMAIN, Lab, MERIDIAN, REGIONS, SOURCE, STAMPS, USER, wait_until

GLOBAL, EAST = f"contoso.{DOMAIN}", f"contoso.eastus.geo.{DOMAIN}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
sha256 = lambda content: "sha256:" + hashlib.sha256(content).hexdigest()
SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? ([-+0-9.e]+|\+Inf|NaN)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """The exposition format, strictly: {name: {(label, value)...: figure}}. Fails on what promtool would refuse."""
    types, out = {}, {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE") and rest, line
            if what == "TYPE":
                assert name not in types and rest in ("counter", "gauge", "histogram"), line
                types[name] = rest
            continue
        m = SAMPLE.fullmatch(line)
        assert m, line
        name, labels, value = m[1], tuple(LABEL.findall(m[2] or "")), float(m[3])
        family = re.sub("_(bucket|sum|count)$", "", name)
        kind = types.get(name) or types.get(family)
        assert kind, f"{name} has no TYPE before it"
        assert kind != "counter" or name.endswith("_total"), name
        assert kind == "histogram" or not name.endswith(("_bucket", "_count", "_sum")), name
        assert labels not in out.setdefault(name, {}), line
        out[name][labels] = value
    return out


def protobuf(data):
    """Fields of a message by number; of a repeated one the last."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            out[key >> 3] = varint()
        elif key & 7 == 5:
            out[key >> 3] = struct.unpack("<I", data[at:at + 4])[0]
            at += 4
        else:
            assert key & 7 == 2, key
            n = varint()
            assert at + n <= len(data)
            out[key >> 3], at = data[at:at + n], at + n
    return out


class Stream:
    """Constant queries from a thread of their own; counts what came back, what was wrong and what never came."""

    def __init__(self, to):
        self.to, self.sent, self.good, self.wrong, self.lost = to, 0, 0, [], 0
        self.going = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def stop(self):
        self.going = False
        self.thread.join()
        return self

    def check(self, packet):
        r = dnswire.Response(packet)
        if r.rcode == 0 and r.answer:
            self.good += 1
        else:
            self.wrong.append(r.rcode)


class Udp(Stream):
    """About 3,000 a second, from several ports, so that every worker's socket gets its share."""
    LIMIT_S = 5

    def run(self):
        name = dnswire.name(GLOBAL)
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for s in socks:
            s.connect(self.to)
            s.setblocking(False)
        waits = collections.OrderedDict()  # (socket, id) -> sent at
        due = time.monotonic()
        while self.going or waits:
            now = time.monotonic()
            while self.going and due <= now and len(waits) < 4000:
                s = socks[self.sent % len(socks)]
                qid = self.sent // len(socks) % 65536
                s.send(dnswire.query(qid, name, 1))
                waits[s, qid] = now
                self.sent += 1
                due += 1 / 3000
            for s in socks:
                try:
                    while True:
                        p = s.recv(4096)
                        if waits.pop((s, struct.unpack(">H", p[:2])[0]), None):
                            self.check(p)
                except BlockingIOError:
                    pass
            while waits and now - next(iter(waits.values())) > self.LIMIT_S:
                waits.popitem(last=False)
                self.lost += 1
            time.sleep(0.002)  # the pace
        for s in socks:
            s.close()


class Tcp(Stream):
    """One connection after another: each for `per` queries, or for as long as the server wants it (RFC 7828)."""

    def __init__(self, to, per):
        self.per = per
        super().__init__(to)

    def run(self):
        while self.going:
            try:
                with socket.create_connection(self.to, timeout=10) as s:
                    f = s.makefile("rb")
                    for _ in range(self.per):
                        s.sendall(self.frame())
                        self.sent += 1
                        n = struct.unpack(">H", f.read(2))[0]
                        packet = f.read(n)
                        self.check(packet)
                        left = dnswire.Response(packet).opt[3].get(11)
                        if not self.going or left == b"\0\0":
                            break
                        time.sleep(0.002)  # the pace
            except (OSError, struct.error) as e:
                self.wrong.append(repr(e))

    def frame(self):
        q = dnswire.query(self.sent % 65536, dnswire.name(GLOBAL), 1, edns=1232, options=struct.pack(">HH", 11, 0))
        return struct.pack(">H", len(q)) + q


class Http(Stream):
    """Requests to the registry through the edge, each judged by its status."""

    def run(self):
        lab, host = self.to
        while self.going:
            self.sent += 1
            try:
                status = lab.request("GET", host, "/v2/", "eastus", timeout=30)[0]
                if status == 401:  # the challenge: the daemon has answered
                    self.good += 1
                else:
                    self.wrong.append(status)
            except OSError as e:
                self.wrong.append(repr(e))


class Probe(Stream):
    """Requests over new connections, one after the other, each judged by its status and by how long it took."""

    def __init__(self, lab, method, path, want, headers=None):
        self.lab, self.method, self.path, self.want, self.headers, self.worst = lab, method, path, want, headers, 0
        super().__init__(None)

    def run(self):
        while self.going:
            begun = time.monotonic()
            try:
                status = self.lab.request(self.method, EAST, self.path, "eastus", self.headers, timeout=30)[0]
            except OSError as e:
                status = repr(e)
            self.worst = max(self.worst, time.monotonic() - begun)
            if status == self.want:
                self.good += 1
            else:
                self.wrong.append(status)
            time.sleep(0.03)  # the pace


class Body:
    """A request whose body is sent piece by piece: chunked, or of the length that is said."""

    def __init__(self, lab, auth):
        self.lab, self.auth = lab, auth

    def start_upload(self):
        status, headers, body = self.lab.request("POST", EAST, "/v2/team/restart/blobs/uploads/", "eastus", self.auth)
        assert status == 202, (status, body)
        self.location = headers["location"].split(EAST, 1)[1]
        return self.location

    def begin(self, method, path, headers={}, length=None, host=EAST, at="eastus"):
        self.c = http.client.HTTPSConnection(host, timeout=30)
        self.c.sock = self.lab.connection(host, at, 30)
        self.chunked = length is None
        self.c.putrequest(method, path)
        how = {"Transfer-Encoding": "chunked"} if self.chunked else {"Content-Length": str(length)}
        for k, v in {**self.auth, **headers, **how}.items():
            self.c.putheader(k, v)
        self.c.endheaders()

    def send(self, piece):
        self.c.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)

    def answer(self):
        try:
            r = self.c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            self.c.close()

    def end(self):
        if self.chunked:
            self.c.send(b"0\r\n\r\n")
        return self.answer()


class Operation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        extra = ("metrics: { listen: '0.0.0.0:9153' }\n"
                 "dns: { query_log: { file: state/queries.json }, dnstap: { socket: ../tap/dnstap.sock } }\n")
        cls.lab = cls.enterClassContext(Lab(node_extra=extra, more_dirs=["tap"]))

    def scrape(self, region="eastus", path="/metrics", method="GET"):
        c = http.client.HTTPConnection(REGIONS[region], 9153, timeout=10)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.getheader("Content-Type"), r.read().decode()
        finally:
            c.close()

    def test_1_metrics(self):
        lab = self.lab
        wait_until(15, lambda: lab.dig(GLOBAL, at="eastus")[-1:] == [REGIONS["eastus"]], "eastus answers")
        healthy = lambda: "healthy" in " ".join(lab.dig(f"_route.{GLOBAL}", "TXT", at="eastus"))
        wait_until(15, healthy, "eastus is chosen for its health, and not for want of another")
        before = parse(self.scrape()[2])
        for _ in range(5):
            lab.dig(GLOBAL, at="eastus")
        auth = lab.bearer("repository:team/app:pull", region="eastus")
        self.assertEqual(lab.request("GET", GLOBAL, "/v2/team/app/tags/list", "eastus", auth)[0], 404)
        self.assertEqual(lab.request("GET", GLOBAL, "/v2/team/other/tags/list", "eastus", auth)[0], 401)
        lab.dig(GLOBAL, "A", "eastus", None, "+tcp")
        lab.dig(f"nobody.{DOMAIN}", at="eastus")
        status, kind, text = self.scrape()
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        after = parse(text)

        def grew(name, **labels):
            total = lambda m: sum(v for k, v in m.get(name, {}).items() if labels.items() <= dict(k).items())
            return total(after) - total(before)
        self.assertEqual(grew("meridian_dns_queries_total", kind="global", rcode="NOERROR", transport="udp", view="public"), 5)
        self.assertEqual(grew("meridian_dns_queries_total", kind="global", transport="tcp"), 1)
        self.assertEqual(grew("meridian_dns_routed_total", region="eastus", reason="healthy"), 6)
        self.assertGreaterEqual(grew("meridian_dns_queries_total", rcode="NXDOMAIN"), 1)
        self.assertEqual(grew("meridian_requests_total", kind="tags", code="404", region="eastus", **{"class": "list"}), 1)
        self.assertEqual(grew("meridian_requests_total", kind="token", code="200"), 1)
        self.assertEqual((grew("meridian_tokens_granted_total"), grew("meridian_token_refusals_total", reason="scope")), (1, 1))
        ends = {dict(k)["certificate"]: v for k, v in after["meridian_certificate_expiry_timestamp_seconds"].items()}
        self.assertEqual(set(ends), {"region", "shared", "peer"})
        self.assertGreater(min(ends.values()), time.time())
        self.assertEqual({dict(k)["region"] for k in after["meridian_health_up"]}, set(REGIONS))
        wait_until(20, lambda: set(parse(self.scrape()[2])["meridian_health_up"].values()) == {1}, "all regions are up")
        def all_heard():
            now = parse(self.scrape()[2])
            return (set(now["meridian_health_voter_fresh"].values()) == {1} and
                    {v for k, v in now["meridian_health_votes"].items() if dict(k)["says"] == "up"} == {2})
        wait_until(20, all_heard, "each stamp has the votes of both others")
        self.assertEqual({dict(k)["outcome"] for k in after["meridian_dns_signature_lookups_total"]}, {"hit", "before", "miss"})
        with self.subTest("every family is documented"):
            with open(os.path.join(os.path.dirname(__file__), "../../docs/metrics.md")) as f:
                words = re.findall(r"`_?([a-z_]+)`", f.read())
            for name in {re.sub("_(bucket|sum|count)$", "", n) for n in after}:
                self.assertTrue(any(name == w or name.endswith("_" + w) for w in words), f"{name} is not in docs/metrics.md")
        if shutil.which("promtool"):
            linted = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
            self.assertEqual((linted.returncode, linted.stdout + linted.stderr), (0, ""))
        self.assertEqual(after["meridian_topology_registries"][()], 3)
        self.assertEqual(dict(next(iter(after["meridian_build_info"])))["stamp"], STAMPS["eastus"])
        self.assertGreater(after["process_resident_memory_bytes"][()], 1 << 20)
        self.assertGreater(after["process_open_fds"][()], 10)
        buckets = [v for k, v in after["meridian_dns_answer_duration_seconds_bucket"].items()]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(self.scrape(path="/")[0], 404)
        self.assertEqual(self.scrape(method="POST")[0], 405)
        with self.subTest("the admin socket says the same"):
            r = lab.check("curl", "-sf", "--unix-socket", f"{lab.dir}/eastus/run/admin.sock", "http://admin/v1/metrics")
            self.assertLessEqual(set(after) - {"process_cpu_seconds_total"}, set(parse(r)))

    def processes(self, region):
        """{process as docs/security.md calls it: pid}"""
        def read(path):
            try:
                with open(path) as f:
                    return f.read()
            except FileNotFoundError:
                return ""
        children = lambda pid: read(f"/proc/{pid}/task/{pid}/children").split()
        name = lambda pid: read(f"/proc/{pid}/comm").strip()
        status, supervisor = self.lab.admin(region, "status"), self.lab.daemons[region].pid
        master = status["edge"]["pid"]
        readers = [p for p in children(supervisor) if name(p) == "edge-log"]
        workers = children(master)
        return {"supervisor": supervisor, "worker": status["pid"], "edge-log": readers[0], "nginx master": master, "nginx worker": workers[-1]} \
            if readers and workers else None

    def judge_privileges(self, region):
        with open(f"{SOURCE}/docs/security.md") as f:
            rows = re.findall(r"^\| ([a-z -]+) \| (root|daemon|edge) \| ([A-Z_ ]+|none) \| ([A-Z_ ]+|none|the same) \| ([0-9]) \| ([0-7]{4}) \|", f.read(), re.M)
        pids = wait_until(20, lambda: self.processes(region), "all processes are there")
        self.assertEqual({r[0] for r in rows}, set(pids))
        with open("/etc/passwd") as f:
            ids = {l.split(":")[0]: l.split(":")[2] for l in f}
        users = {"root": "0", "daemon": ids["meridian"], "edge": ids["meridian-edge"]}
        names = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
                 "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN").split()
        bits = lambda words: 0 if words == "none" else sum(1 << names.index(w) for w in words.split())
        for process, user, caps, bounding, filters, umask in rows:
            with self.subTest(region=region, process=process), open(f"/proc/{pids[process]}/status") as f:
                got = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
                self.assertEqual(set(got["Uid"].split()), {users[user]})
                self.assertEqual("0" in got["Gid"].split() + got["Groups"].split(), user == "root")
                self.assertEqual((int(got["CapInh"], 16), int(got["CapAmb"], 16), got["NoNewPrivs"], got["Umask"]), (0, 0, "1", umask))
                if user != "root":
                    self.assertEqual((int(got["CapPrm"], 16), int(got["CapEff"], 16)), (0, 0))
                if process == "edge-log":
                    self.assertEqual(got["Groups"].strip(), "")
                if os.environ.get("SANITIZED"):
                    continue
                want = bits(caps)
                self.assertEqual((int(got["CapPrm"], 16), int(got["CapEff"], 16)), (want, want))
                self.assertEqual(int(got["CapBnd"], 16), want if bounding == "the same" else bits(bounding))
                self.assertEqual((got["Seccomp"], got.get("Seccomp_filters", filters)), ("2", filters))
                self.assertEqual(os.stat(f"/proc/{pids[process]}/environ").st_uid, 0)  # a process that may dump core is its user's
                with open(f"/proc/{pids[process]}/limits") as l:
                    self.assertRegex(l.read(), r"Max core file size +0 +0 ")
        for process in ("nginx master", "nginx worker", "edge-log"):
            with open(f"/proc/{pids[process]}/environ") as f:
                left = {v.split("=")[0] for v in f.read().split("\0") if v}
            if process != "edge-log":
                self.assertLessEqual(left, {"TZ", "OPENSSL_CONF", "OPENSSL_MODULES"})
            fds = {n: os.readlink(f"/proc/{pids[process]}/fd/{n}") for n in os.listdir(f"/proc/{pids[process]}/fd")}
            held = [p for p in fds.values() if p.startswith("/") and p not in ("/dev/null", "/dev/zero") and not p.endswith("/meridiand.log")]
            own = [f"{self.lab.dir}/{region}/log/access.log"] if process == "edge-log" else []
            self.assertEqual(held, own, process)  # no lock, no other file, no record of a restart
            if process == "edge-log":
                self.assertEqual(set(fds), {"0", "1", "2", "3"})

    def test_4_privileges(self):
        """What each process of a daemon that root started may still do, before and after a hot restart."""
        lab = self.lab
        self.judge_privileges("westeurope")
        before, since = self.processes("westeurope"), lab.log_end("westeurope")
        lab.admin("westeurope", "node", "restart")
        lab.wait_said("westeurope", "has taken over", since)
        lab.wait_up("westeurope")
        after = wait_until(20, lambda: (lambda p: p and p["worker"] != before["worker"] and p)(self.processes("westeurope")), "the new worker serves")
        self.assertEqual([after[p] for p in ("nginx master", "nginx worker")], [before[p] for p in ("nginx master", "nginx worker")],
                         "nothing of nginx's configuration has changed: it is left alone, and closes no client's connection")
        self.judge_privileges("westeurope")

    def test_5_query_log(self):
        """In eastus: lines of JSON, rotated with SIGHUP."""
        lab, path = self.lab, f"{self.lab.dir}/eastus/state/queries.json"

        def lines(path):
            if not os.path.exists(path):
                return []
            with open(path) as f:
                return [json.loads(l) for l in f.read().splitlines()]
        ask = lambda name: lab.dig(name, "A", "eastus", None)
        ask(f"logged1.{DOMAIN}")
        of = lambda p, name: [l for l in lines(p) if l["name"] == f"{name}.{DOMAIN}."]
        wait_until(10, lambda: of(path, "logged1"), "the query is logged")
        line = of(path, "logged1")[0]
        self.assertEqual((line["client"], line["type"], line["rcode"], line["kind"], line["view"], line["transport"]),
                         (CLIENT, "A", "NXDOMAIN", "global", "public", "udp"))
        ask(GLOBAL)
        wait_until(10, lambda: of(path, "contoso"), "the query is logged")
        line = of(path, "contoso")[-1]
        self.assertEqual((line["region"], line["reason"]), ("eastus", "healthy"))
        os.rename(path, path + ".1")
        os.kill(lab.daemons["eastus"].pid, signal.SIGHUP)
        wait_until(10, lambda: os.path.exists(path), "the file is opened again")
        ask(f"logged2.{DOMAIN}")
        wait_until(10, lambda: of(path, "logged2"), "the query is logged")
        self.assertFalse(of(path + ".1", "logged2"))
        lab.check("dig", "+tries=1", "+time=3", f"@{REGIONS['eastus']}", f"a\\034\\010\\\\b.{DOMAIN}", "A")
        wait_until(10, lambda: of(path, "a\\034\\010\\092b"), "a hostile name is logged, escaped")

    def test_6_dnstap(self):
        """To a real collector, which comes and goes."""
        lab, sock = self.lab, f"{self.lab.dir}/tap/dnstap.sock"

        def collect(out):
            with open(f"{lab.dir}/fstrm.log", "ab") as log:
                c = lab.background("fstrm_capture", "-ddddd", "-t", "protobuf:dnstap.Dnstap", "-u", sock, "-w", out, stderr=log)
            wait_until(10, lambda: os.path.exists(sock), "the collector listens")
            os.chmod(sock, 0o666)
            return c

        def captured():
            with open(f"{lab.dir}/fstrm.log", "ab+") as log:
                log.seek(0)
                return log.read().count(b"processing data frame")

        def messages(out, collector):
            collector.terminate()
            collector.wait()
            with open(out, "rb") as f:
                data = f.read()
            found, at = [], 0
            while at < len(data):
                n = struct.unpack(">I", data[at:at + 4])[0]
                at += 4
                if n == 0:  # a control frame
                    at += 4 + struct.unpack(">I", data[at:at + 4])[0]
                    continue
                top = protobuf(data[at:at + n])
                self.assertEqual(top[15], 1)
                found.append((top, protobuf(top[14])))
                at += n
            return found
        written = lambda: sum(v for k, v in parse(self.scrape()[2])["meridian_dns_log_records_total"].items()
                              if dict(k) == {"log": "dnstap", "outcome": "written"})
        for turn in range(2):
            out = f"{lab.dir}/tap/out{turn}"
            since = lab.log_end("eastus")
            sent, held, collector = written(), captured(), collect(out)
            lab.wait_said("eastus", "dnstap goes to the collector", since)
            before = written()
            for i in range(3):
                lab.dig(GLOBAL, "A", "eastus", None, "+tcp" if i == 2 else "+notcp")
            wait_until(10, lambda: written() >= before + 6, "three pairs are sent")
            wait_until(10, lambda: captured() - held >= written() - sent, "the collector has them all")  # it writes its file when it ends
            got = [(t, m) for t, m in messages(out, collector) if m[4] == socket.inet_aton(CLIENT)]
            self.assertEqual([m[1] for _, m in got], [1, 2] * 3)  # AUTH_QUERY, AUTH_RESPONSE
            self.assertEqual([m[3] for _, m in got], [1, 1, 1, 1, 2, 2])
            for (_, q), (top, a) in zip(got[::2], got[1::2]):
                query, answer = dnswire.Response(a[14]), q[10]
                self.assertEqual(query.question[0], dnswire.name(GLOBAL))
                self.assertEqual(query.id, struct.unpack(">H", answer[:2])[0])
                self.assertEqual((a[5], a[7]), (socket.inet_aton(REGIONS["eastus"]), 53))
                self.assertLess(abs(a[8] - time.time()), 60)
            os.unlink(sock)
        self.assertTrue(lab.dig(GLOBAL, at="eastus"))  # with nobody there

    def old_gone(self, pid, limit_s=20):
        wait_until(limit_s, lambda: not os.path.exists(f"/proc/{pid}"), "the old worker has gone")

    def test_7_uploads_go_on_through_a_restart(self):
        """Bodies that move go on, one that stands still is cut and can be gone on with, and nobody else notices."""
        lab = self.lab
        lab.wait_up("eastus")
        seen = lambda: parse(self.scrape("westeurope")[2])["meridian_health_changed_timestamp_seconds"][("region", "eastus"), ("stamp", STAMPS["eastus"])]
        wait_until(30, lambda: all(parse(self.scrape("westeurope")[2])["meridian_health_up"].values()), "all regions are up")
        before, changed, auth = lab.admin("eastus", "status")["pid"], seen(), lab.bearer("repository:team/restart:pull,push", region="eastus")
        moves, slow_manifest, silent = (Body(lab, auth) for _ in range(3))
        blob = moves.start_upload()
        silent.start_upload()
        blobs = [json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()]
        lab.request("POST", EAST, f"/v2/team/restart/blobs/uploads/?digest={sha256(blobs[0])}", "eastus", auth, blobs[0])
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "annotations": {"filling": "x" * 40000},
                               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(blobs[0]), "size": len(blobs[0])}}).encode()
        silent.begin("PATCH", silent.location)
        silent.send(b"s" * 5000)
        moves.begin("PATCH", blob)
        slow_manifest.begin("PUT", "/v2/team/restart/manifests/slow", {"Content-Type": MANIFEST}, len(manifest))
        probes = [Probe(lab, "GET", "/healthz", 200), Probe(lab, "GET", "/v2/", 401), Probe(lab, "POST", "/v2/team/restart/blobs/uploads/", 202, auth)]
        try:
            wait_until(10, lambda: all(p.good > 5 for p in probes), "requests flow")
            sent, at, over = b"", 0, None
            restarter = threading.Thread(target=lambda: lab.admin("eastus", "node", "restart"))
            restarter.start()
            calm = [p.worst for p in probes]
            while not over or time.monotonic() < over + 4:  # 1 kB/s and more, until 4 s after the new worker serves
                piece = os.urandom(500)
                moves.send(piece)
                sent += piece
                slow_manifest.send(manifest[at:at + 500])
                at += 500
                if not restarter.is_alive() and not over:
                    over = time.monotonic()
                time.sleep(0.25)  # the pace of the bodies
            self.assertTrue(os.path.exists(f"/proc/{before}"), "the old worker ends what it has begun")
            self.assertLess(at, len(manifest))
            slow_manifest.send(manifest[at:])
            self.assertEqual(slow_manifest.end()[0], 201)
            status, headers, _ = moves.end()
            self.assertEqual((status, headers["range"]), (202, f"0-{len(sent) - 1}"))
            status, _, body = silent.answer()
            self.assertEqual(status, 408, body)
            self.assertIn(b"fewer than 512 bytes a second", body)
        finally:
            for p in probes:
                p.stop()
        for p, before_it in zip(probes, calm):
            self.assertEqual(p.wrong, [], p.path)
            # 2 s; a machine that is busy with other things, or with a sanitizer, is not the restart's fault
            self.assertLess(p.worst, max(6 if os.environ.get("SANITIZED") else 2, 4 * before_it), p.path)
        ends = lambda location, content: lab.request("PUT", EAST, f"{location}{'&' if '?' in location else '?'}digest={sha256(content)}", "eastus", auth)[0]
        self.assertEqual(ends(blob, sent), 201)
        status, headers, _ = lab.request("GET", EAST, silent.location, "eastus", auth)
        self.assertEqual((status, headers["range"]), (204, "0-4999"))
        rest = os.urandom(3000)
        self.assertEqual(lab.request("PATCH", EAST, silent.location, "eastus", dict(auth, **{"Content-Range": "5000-7999"}), rest)[0], 202)
        self.assertEqual(ends(silent.location, b"s" * 5000 + rest), 201)
        for content in (sent, b"s" * 5000 + rest):
            self.assertEqual(lab.read(EAST, f"/v2/team/restart/blobs/{sha256(content)}", "eastus", auth)[2], content)
        self.assertEqual(lab.request("GET", EAST, "/v2/team/restart/manifests/slow", "eastus", auth)[2], manifest)
        self.assertEqual(seen(), changed, "another region never saw this one down")
        self.old_gone(before)

    def test_7b_either_worker_may_be_killed(self):
        """kill -9 of the old one: what it had is cut. What was told before stands, and the upload goes on."""
        lab = self.lab
        before, auth = lab.admin("eastus", "status")["pid"], lab.bearer("repository:team/restart:pull,push", region="eastus")
        body = Body(lab, auth)
        location = body.start_upload()
        told = os.urandom(4000)
        self.assertEqual(lab.request("PATCH", EAST, location, "eastus", auth, told)[0], 202)
        body.begin("PATCH", location)
        body.send(b"x" * 100000)
        wait_until(10, lambda: self.lab.upload_bytes("eastus")[0] >= 104000, "the piece is under way")
        lab.admin("eastus", "node", "restart")
        self.assertTrue(os.path.exists(f"/proc/{before}"))
        self.assertEqual(lab.request("PATCH", EAST, location, "eastus", auth, b"y")[0], 409)  # two writers: never
        os.kill(before, signal.SIGKILL)
        self.assertIn(body.answer()[0], (0, 502, 503))
        self.old_gone(before)
        status, headers, _ = lab.request("GET", EAST, location, "eastus", auth)
        self.assertEqual((status, headers["range"]), (204, "0-3999"))
        rest = os.urandom(1000)
        self.assertEqual(lab.request("PATCH", EAST, location, "eastus", dict(auth, **{"Content-Range": "4000-4999"}), rest)[0], 202)
        query = "&" if "?" in location else "?"
        self.assertEqual(lab.request("PUT", EAST, f"{location}{query}digest={sha256(told + rest)}", "eastus", auth)[0], 201)

    def test_7c_an_upload_that_is_passed_on_goes_on(self):
        """Through a restart of the region that passes it on, and of the one where it goes on, one after the other."""
        lab = self.lab
        auth = lab.bearer("repository:team/restart:pull,push", region="eastus")
        body, sent = Body(lab, auth), b""
        body.begin("PATCH", body.start_upload().split("?")[0], host=GLOBAL, at="westeurope")
        for region in ("westeurope", "eastus"):
            old = lab.admin(region, "status")["pid"]
            restarter = threading.Thread(target=lambda: lab.admin(region, "node", "restart"))
            restarter.start()
            over = None
            while not over or time.monotonic() < over + 1:
                piece = os.urandom(1000)
                body.send(piece)
                sent += piece
                time.sleep(0.1)  # the pace of the body
                if not restarter.is_alive() and not over:
                    over = time.monotonic()
            self.assertTrue(os.path.exists(f"/proc/{old}"), "the old worker carries the upload")
        status, headers, text = body.end()
        self.assertEqual((status, headers.get("range")), (202, f"0-{len(sent) - 1}"), text)
        query = "&" if "?" in body.location else "?"
        self.assertEqual(lab.request("PUT", EAST, f"{body.location}{query}digest={sha256(sent)}", "eastus", auth)[0], 201)

    def test_8_pushes_survive_a_restart(self):
        """skopeo and podman, in the middle of large layers and between requests."""
        lab = self.lab
        creds = f"{USER}:{lab.password}"
        lab.login(EAST)
        big, digest = lab.image("restart-big", layers=2, layer_bytes=5_000_000)
        other, _ = lab.image("restart-podman", layers=2, layer_bytes=5_000_000)
        podman = ["podman", "--root", f"{lab.dir}/podman", "--runroot", f"{lab.dir}/podman-run", "--storage-driver", "vfs"]
        image = lab.check(*podman, "pull", "-q", f"oci:{other}:1").split()[-1]
        old = lab.restart_in_mid_push("eastus", [
            ["skopeo", "copy", "-q", "--dest-creds", creds, f"oci:{big}:1", f"docker://{EAST}/team/restart-big:1"],
            [*podman, "push", "-q", image, f"{EAST}/team/restart-podman:1"]], uploads=3)
        for tag in ("restart-big:1", "restart-podman:1"):
            lab.check("skopeo", "inspect", "--raw", "--creds", creds, f"docker://{EAST}/team/{tag}")
        lab.check("skopeo", "copy", "-q", "--src-creds", creds, f"docker://{EAST}/team/restart-big@{digest}", f"oci:{lab.dir}/restart-back:1")
        self.old_gone(old)
        stop, wrong, pushed = threading.Event(), [], []

        def push(i):
            out, _ = lab.image(f"restart-small{i}", layers=2, layer_bytes=20_000)
            while not stop.is_set():
                r = lab.run("skopeo", "copy", "-q", "--dest-creds", creds, f"oci:{out}:1", f"docker://{EAST}/team/small{i}-{len(pushed)}:1", check=False)
                pushed.append(i)
                if r.returncode:
                    wrong.append(r.stderr)
        threads = [threading.Thread(target=push, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        try:
            wait_until(20, lambda: len(pushed) >= 3, "pushes flow")
            for _ in range(2):
                lab.admin("eastus", "node", "restart")  # the second one waits until the worker of the first has ended
                n = len(pushed)
                wait_until(20, lambda: len(pushed) >= n + 3, "pushes go on")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(wrong, [])

    def streams(self):
        at = (REGIONS["eastus"], 53)
        return [Udp(at), Tcp(at, 1), Tcp(at, 100000), Http((self.lab, f"contoso.eastus.geo.{DOMAIN}"))]

    def whole(self, streams, least):
        for s in streams:
            s.stop()
        for s, n in zip(streams, least):
            self.assertEqual((s.lost, s.wrong), (0, []), type(s).__name__)
            self.assertEqual(s.good, s.sent, type(s).__name__)
            self.assertGreater(s.good, n, type(s).__name__)

    @staticmethod
    def sockets_of(pid):
        found = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except FileNotFoundError:
                pass  # a client that has left
        return [f for f in found if f.startswith("socket:")]

    def test_2_restart_loses_nothing(self):
        lab = self.lab
        pid, before = lab.daemons["eastus"].pid, lab.admin("eastus", "status")
        streams = self.streams()
        try:
            wait_until(10, lambda: all(s.good > 20 for s in streams), "queries flow")
            after = lab.admin("eastus", "node", "restart")
            self.assertNotEqual(after["pid"], before["pid"])
            wait_until(10, lambda: not os.path.exists(f"/proc/{before['pid']}"), "the old worker has gone")
            self.assertEqual(lab.admin("eastus", "status")["edge"]["restarts"], 0)
            held = self.sockets_of(after["pid"])
            self.assertEqual(len(held), len(set(held)), "the new worker has each socket once")
            nginx = after["edge"]["pid"] or before["edge"]["pid"]
            self.assertEqual(nginx, before["edge"]["pid"])
            end = [s.good + 200 for s in streams[:2]]
            wait_until(10, lambda: all(s.good > n for s, n in zip(streams, end)), "queries go on")
        finally:
            for s in streams:
                s.stop()
        self.whole(streams, (2000, 100, 100, 5))
        self.assertEqual(lab.daemons["eastus"].pid, pid)
        self.assertIsNone(lab.daemons["eastus"].poll())
        lab.push("after", f"contoso.eastus.geo.{DOMAIN}", "team/after", "1")  # the store is open again

    def test_2b_an_address_that_is_taken_out_is_free_again(self):
        lab, at = self.lab, (REGIONS["eastus"], 5399)
        path = f"{lab.dir}/eastus/meridiand.yaml"

        def listens():
            try:
                socket.create_connection(at, timeout=5).close()
                return True
            except ConnectionRefusedError:
                return False

        def restart(text):
            with open(path, "w") as f:
                f.write(text)
            before = lab.admin("eastus", "status")["pid"]
            wait_until(20, lambda: lab.run(MERIDIAN, "node", "restart", "--admin", f"{lab.dir}/eastus/run/admin.sock", check=False).returncode == 0, "it restarts")
            wait_until(20, lambda: not os.path.exists(f"/proc/{before}"), "the old worker has gone")
        with open(path) as f:
            good = f.read()
        one, more = f"['{at[0]}:53']", f"['{at[0]}:53', '{at[0]}:{at[1]}']"
        self.assertEqual(good.count(one), 1, good)
        try:
            restart(good.replace(one, more))
            self.assertTrue(listens())
        finally:
            restart(good)
        wait_until(10, lambda: not listens(), "the address is free")  # the supervisor lets go of it last

    def test_3_what_is_not_good_does_not_take_over(self):
        """New settings that are wrong, or that the new worker cannot live with: the old one goes on, and says why."""
        lab = self.lab
        path = f"{lab.dir}/eastus/meridiand.yaml"
        with open(path) as f:
            good = f.read()
        before = lab.admin("eastus", "status")["pid"]
        streams = self.streams()
        try:
            for bad, why in ((good + "nonsense: 1\n", "nonsense"), (good.replace("eus-1", "eus-9"), "eus-9"),
                             (good.replace(f"data_dir: {lab.dir}/eastus", f"data_dir: {lab.dir}/elsewhere"), "data_dir"),
                             (good.replace("10.88.0.1:53", "10.88.0.99:53"), "10.88.0.99:53")):
                since = lab.log_end("eastus")
                with open(path, "w") as f:
                    f.write(bad)
                r = lab.run(MERIDIAN, "node", "restart", "--admin", f"{lab.dir}/eastus/run/admin.sock", check=False)
                self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
                self.assertIn(why, lab.said("eastus", since))
                self.assertEqual(lab.admin("eastus", "status")["pid"], before)
        finally:
            with open(path, "w") as f:
                f.write(good)
            for s in streams:
                s.stop()
        self.whole(streams, (2000, 100, 100, 5))
        with self.subTest("and the next, by signal, with good settings, does"):
            os.kill(lab.daemons["eastus"].pid, signal.SIGUSR2)
            wait_until(20, lambda: lab.admin("eastus", "status")["pid"] != before, "a new worker serves")
            self.assertEqual(lab.request("GET", f"contoso.eastus.geo.{DOMAIN}", "/v2/", "eastus")[0], 401)
            wait_until(20, lambda: not os.path.exists(f"/proc/{before}"), "the old worker has gone")


if __name__ == "__main__":
    unittest.main(verbosity=2)
