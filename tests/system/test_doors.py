# SPDX-License-Identifier: Apache-2.0
"""Many at one door: floods of logins from one network and from many, seen by who has nothing to do with them. Orders of service
are proved without clocks (unit net/test_fair, net/test_pool); here the whole way is gone, with wide limits of time."""
import base64, hashlib, http.client, json, os, socket, ssl, subprocess, sys, time, unittest
import urllib.parse

from lab import CLIENT, DOMAIN, Lab, USER, wait_until

HOST = f"contoso.eastus.geo.{DOMAIN}"
FORM = "application/x-www-form-urlencoded"
TOPOLOGY = """\
version: 1
domain: {domain}
hostmaster: hostmaster@{domain}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [10.88.0.1] }}], peer: "10.88.0.1:8443" }}
name_servers: [eus-1.eastus]
registries:
  - name: contoso
    regional_endpoints: enabled
    replicas: [{{ region: eastus }}]
  - name: tailspin
    regional_endpoints: enabled
    replicas: [{{ region: eastus }}]
certificates: {{ ca_region: eastus }}
"""
UPLOADS = "/v2/team/app/blobs/uploads/"
ANSWERED_S = 60 if "SANITIZED" in os.environ else 20  # on a busy machine; the figures are docs/performance.md's


class DoorLab(Lab):
    """One region that is reached over IPv6 too."""

    def _namespaces(self):
        super()._namespaces()
        for words in (("addr", "add", "fd88::100/32", "dev", "br0", "nodad"),
                      ("-n", "eastus", "addr", "add", "fd88::1/32", "dev", "eth0", "nodad")):
            subprocess.run(["ip", *words], check=True)

    def _files(self):
        super()._files()
        self.edit("https: ['10.88.0.1:443']", "https: ['10.88.0.1:443', '[fd88::1]:443']")
        self.edit("drain: 5s", "drain: 1s")

    def edit(self, old, new):
        path = f"{self.dir}/eastus/meridiand.yaml"
        with open(path) as f:
            text = f.read()
        assert old in text, text
        with open(path, "w") as f:
            f.write(text.replace(old, new))


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = DoorLab(TOPOLOGY, regions={"eastus": "10.88.0.1"}, node_extra="uploads: { per_principal: 20 }\n")
        cls.lab.__enter__()
        subprocess.run(["ip", "-n", "eastus", "route", "add", "10.90.0.0/16", "via", CLIENT], check=True)
        for network in range(1, 52):
            for host in range(1, 5 if network > 1 else 41):
                subprocess.run(["ip", "addr", "add", f"10.90.{network}.{host}/32", "dev", "lo"], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def flood(self, connections, *sources):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood.py")
        child = self.lab.background(sys.executable, program, "10.88.0.1", HOST, str(connections), *sources,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "full\n")
        return child

    def ended(self, child):
        out, _ = child.communicate(timeout=60)
        return json.loads(out)

    def ask(self, method, authorization=None, form=None, source="10.90.51.1"):
        """A login over a connection of its own; (status, reply, seconds)."""
        context = ssl.create_default_context(cafile=self.lab.ca)
        begun = time.monotonic()
        c = http.client.HTTPSConnection(HOST, timeout=ANSWERED_S)
        raw = socket.create_connection(("10.88.0.1", 443), timeout=ANSWERED_S, source_address=(source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body are two writes
        c.sock = context.wrap_socket(raw, server_hostname=HOST)
        try:
            headers = {"Authorization": authorization} if authorization else {}
            if form:
                headers["Content-Type"] = FORM
            c.request(method, "/oauth2/token?offline_token=true", urllib.parse.urlencode(form) if form else None, headers)
            r = c.getresponse()
            return r.status, json.loads(r.read()), time.monotonic() - begun
        finally:
            c.close()

    def basic(self, user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def nice_of(self, thread):
        """How far the worker's threads of that name step back, in its sandbox."""
        out = []
        for worker in subprocess.run(["pgrep", "-P", str(self.lab.daemons["eastus"].pid), "meridiand"], check=True,
                                     capture_output=True, text=True).stdout.split():
            for task in os.listdir(f"/proc/{worker}/task"):
                with open(f"/proc/{worker}/task/{task}/stat") as f:
                    name, fields = f.read().split("(", 1)[1].rsplit(")", 1)
                if name == thread:
                    out.append(int(fields.split()[16]))  # the 19th in all: proc(5)
        return out

    def test_1_a_flood_from_one_network_keeps_no_other_from_logging_in(self):
        plain = self.nice_of("http-timer")[0]
        self.assertEqual(self.nice_of("password"), [min(plain + 10, 19)] * 2)
        flood = self.flood(200, *(f"10.90.1.{i}" for i in range(1, 41)))
        password = self.lab.password
        status, _, took = self.ask("GET", self.basic(USER, password))  # never seen before: a hash must be computed
        self.assertEqual(status, 200)
        self.assertLess(took, ANSWERED_S)
        seen = self.ended(flood)
        self.assertNotIn("200", seen)
        self.assertGreater(seen.get("401", 0), 0)  # they are served too, in their turn

    def bound(self, source):
        """A TLS connection from that address."""
        address = "fd88::1" if ":" in source else "10.88.0.1"
        raw = socket.create_connection((address, 443), timeout=ANSWERED_S, source_address=(source, 0))
        return ssl.create_default_context(cafile=self.lab.ca).wrap_socket(raw, server_hostname=HOST)

    def status_from(self, source):
        with self.bound(source) as s:
            s.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return int(s.recv(100).split()[1])

    def begin(self, auth):
        """The path of a new upload."""
        status, headers, body = self.lab.request("POST", HOST, UPLOADS, "eastus", auth)
        self.assertEqual(status, 202, body)
        return urllib.parse.urlsplit(headers["location"]).path

    def half(self, target, auth, data, length=None, source=CLIENT):
        """A PATCH of which only `data` is sent, chunked or, with a length, of that. Returns its connection."""
        s = self.bound(source)
        framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        s.sendall((f"PATCH {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {auth['Authorization']}\r\n"
                   f"{framing}\r\n\r\n").encode())
        s.sendall(data if length else b"%x\r\n%s\r\n" % (len(data), data))
        return s

    def hold(self, source):
        """A request that stays under way: an upload whose bytes do not come."""
        auth = self.lab.bearer("repository:team/app:pull,push", host=HOST, region="eastus")
        return self.half(self.begin(auth), auth, b"abc", 100, source)

    def test_3_uploads_that_are_open_at_once_are_bounded(self):
        lab = self.lab
        auth = lab.bearer("repository:team/app:pull,push", host=HOST, region="eastus")
        paths, held = [], []
        for _ in range(20):
            paths.append(self.begin(auth))
            held.append(self.half(paths[-1], auth, b"abc", 100))
            wait_until(10, lambda: self.size_of(paths[-1]) == 3, "a request is under way")
        status, headers, body = lab.request("POST", HOST, UPLOADS, "eastus", auth)
        self.assertEqual((status, headers["retry-after"]), (429, "30"))
        error = json.loads(body)["errors"][0]
        self.assertEqual(error["code"], "TOOMANYREQUESTS")
        self.assertIn(f"{USER} has 20 uploads open here", error["message"])
        held[7].close()  # idle once that is noticed: it makes room

        def begun():
            status, headers, _ = lab.request("POST", HOST, UPLOADS, "eastus", auth)
            return status == 202 and urllib.parse.urlsplit(headers["location"]).path
        more = wait_until(10, begun, "the idle one makes room")
        self.assertEqual(lab.request("GET", HOST, paths[7], "eastus", auth)[0], 404)
        self.assertEqual(lab.request("DELETE", HOST, more, "eastus", auth)[0], 204)
        lab.kill("eastus")
        lab.start("eastus")
        for s in held:
            s.close()
        self.begin(auth)  # nobody is locked out by what was left
        self.begin(auth)
        left = [p for p in paths if lab.request("GET", HOST, p, "eastus", auth)[0] == 204]
        self.assertEqual(len(left), 18)

    # ---- uploads that are cut ----
    def file_of(self, path):
        return f"{self.lab.dir}/eastus/store/uploads/{path.rsplit('/', 1)[1]}"

    def size_of(self, path):
        """Of the upload's file; None: there is none yet."""
        return os.path.getsize(self.file_of(path)) if os.path.exists(self.file_of(path)) else None

    def sent(self, path, auth, data):
        """So much of a layer, in one chunked PATCH that goes on, and the region has it."""
        s = self.half(path, auth, data)
        wait_until(20, lambda: self.size_of(path) == len(data), "all that was sent is in the file")
        return s

    def told(self, path, auth, size):
        """Asks until the region says that it has so much."""
        def look():
            status, headers, body = self.lab.request("GET", HOST, path, "eastus", auth)
            self.assertEqual(status, 204, body)
            return headers["range"] == f"0-{size - 1}"
        wait_until(20, look, f"GET tells of {size} bytes")

    def patched(self, path, auth, data, **more):
        """One that meets the last request's end is told to come again."""
        def piece():
            status, headers, body = self.lab.request("PATCH", HOST, path, "eastus", dict(auth, **more), data, timeout=60)
            return status != 409 and (status, headers, body)
        status, headers, body = wait_until(20, piece, "a piece is taken")
        self.assertEqual(status, 202, body)
        return headers["range"]

    def ends(self, path, auth, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        for _ in range(2):  # the second time as after a lost answer
            status, headers, body = self.lab.request("PUT", HOST, f"{path}?digest={digest}", "eastus", auth, timeout=60)
            self.assertEqual((status, headers.get("docker-content-digest")), (201, digest), body)
        self.assertEqual(self.lab.request("GET", HOST, f"/v2/team/app/blobs/{digest}", "eastus", auth, timeout=60)[2], data)
        self.assertFalse(os.path.exists(self.file_of(path)))

    def test_5_a_layer_that_is_cut_at_15_of_20_mb_goes_on_there(self):
        lab, data, at = self.lab, os.urandom(20_000_000), 15_000_000
        auth = lab.bearer("repository:team/app:pull,push", host=HOST, region="eastus")
        path = self.begin(auth)
        self.sent(path, auth, data[:at]).close()
        self.told(path, auth, at)
        self.assertEqual(self.patched(path, auth, data[at:], **{"Content-Range": f"{at}-{len(data) - 1}"}), "0-19999999")
        self.ends(path, auth, data)

    def test_6_one_that_is_cut_and_sent_again_blindly_counts_once(self):
        lab, data, at = self.lab, os.urandom(20_000_000), 15_000_000
        auth = lab.bearer("repository:team/app:pull,push", host=HOST, region="eastus")
        path = self.begin(auth)
        self.sent(path, auth, data[:at]).close()
        self.assertEqual(self.patched(path, auth, data), "0-19999999")
        self.ends(path, auth, data)

    def test_7_what_came_outlives_kill_9_and_a_stop(self):
        lab, data = self.lab, os.urandom(3_000_000)
        auth = lab.bearer("repository:team/app:pull,push", host=HOST, region="eastus")
        recorded, running = self.begin(auth), self.begin(auth)
        self.sent(recorded, auth, data[:2_000_000]).close()
        self.told(recorded, auth, 2_000_000)
        s = self.sent(running, auth, data[:1_000_000])
        lab.kill("eastus")
        s.close()
        lab.start("eastus")
        self.told(recorded, auth, 2_000_000)
        self.patched(recorded, auth, data[2_000_000:])
        self.ends(recorded, auth, data)
        status, headers, _ = lab.request("GET", HOST, running, "eastus", auth)
        self.assertEqual((status, headers["range"]), (204, "0-0"))
        self.patched(running, auth, data)
        self.ends(running, auth, data)
        stopped = self.begin(auth)  # a stop waits for it, and then cuts it
        s = self.sent(stopped, auth, data[:1_500_000])
        self.assertEqual(lab.stop("eastus"), 0)
        s.close()
        lab.start("eastus")
        self.told(stopped, auth, 1_500_000)
        self.patched(stopped, auth, data[1_500_000:])
        self.ends(stopped, auth, data)

    def test_4_requests_at_once_are_bounded_by_client_and_by_network(self):
        lab = self.lab
        lab.stop("eastus")
        lab.edit("edge: { workers: 1 }", "edge: { workers: 1, per_client: 3, per_network: 4 }")
        lab.start("eastus")
        for address in ("fd88:0:0:101::1", "fd88:0:0:101::2", "fd88:0:0:102::1", "fd88:0:0:103::1", "fd88:0:0:201::1"):
            subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "br0", "nodad"], check=True)
        for one, same_client, near, also_near, far in (
                ("10.90.1.1", "10.90.1.1", "10.90.1.2", "10.90.1.3", "10.90.2.1"),
                ("fd88:0:0:101::1", "fd88:0:0:101::2", "fd88:0:0:102::1", "fd88:0:0:103::1", "fd88:0:0:201::1")):
            held = [self.hold(one) for _ in range(3)]
            wait_until(10, lambda: self.status_from(same_client) == 429, f"{one} has what a client may have")
            self.assertEqual(self.status_from(near), 401)
            held.append(self.hold(near))
            wait_until(10, lambda: self.status_from(also_near) == 429, f"the network of {one} has what it may have")
            self.assertEqual(self.status_from(far), 401)
            for s in held:
                s.close()
            wait_until(10, lambda: self.status_from(same_client) == 401, "all of it is free again")

    def test_2_nobody_who_is_known_waits_behind_hashes(self):
        password = self.lab.password
        status, first, _ = self.ask("GET", self.basic(USER, password))
        self.assertEqual(status, 200)
        refresh = first["refresh_token"]
        flood = self.flood(600, *(f"10.90.{n}.{h}" for n in range(1, 51) for h in range(1, 5)))
        for _ in range(5):
            for authorization, form in (
                    (self.basic(USER, password), None),
                    (None, {"grant_type": "password", "username": USER, "password": password}),
                    (self.basic("00000000-0000-0000-0000-000000000000", refresh), None),
                    (None, {"grant_type": "refresh_token", "refresh_token": refresh})):
                status, _, _ = self.ask("POST" if form else "GET", authorization, form)
                self.assertEqual(status, 200, (authorization, form))
        self.assertNotIn("200", self.ended(flood))


if __name__ == "__main__":
    unittest.main(verbosity=2)
