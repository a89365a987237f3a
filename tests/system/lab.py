# SPDX-License-Identifier: Apache-2.0
"""A lab of regions in network namespaces, for the system tests.

The test process moves into a mount and a network namespace of its own: resolv.conf, CA bundle and users there are the
lab's, and it holds the bridge that joins the regions' namespaces. Everything it starts is its child; when it ends, the
namespaces end. Names, port 53 and port 443 are the real ones.

    with Lab() as lab:
        lab.run("skopeo", "copy", ...)          # a client
        lab.kill("eastus"); lab.start("eastus")
        lab.cut("eastus"); lab.heal("eastus")   # from the other regions only; packets dropped both ways

    with Lab(clocks=True) as lab:               # daemons whose wall clock, and only that, can be shifted
        lab.shift_clock("eastus", -2000)
        lab.kernel_clock("eastus", "unsynchronised")

    with Lab(programs={"eastus": MERIDIAND_INVENTED}) as lab:   # another daemon in that region
        lab.stop("westeurope"); lab.programs["westeurope"] = MERIDIAND_INVENTED; lab.start("westeurope")
"""
import base64, contextlib, ctypes, http.client, json, os, re, resource, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile, time
import urllib.parse

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MERIDIAN_BUILD", os.path.join(SOURCE, "build"))
MERIDIAND = os.path.join(BUILD, "daemon", "meridiand")
MERIDIAND_INVENTED = os.path.join(BUILD, "tests", "support", "meridiand_invented")
MERIDIAND_SHIFTED = os.path.join(BUILD, "tests", "support", "meridiand_shifted")
MERIDIAN = os.path.join(BUILD, "cli", "meridian")
DOMAIN = "meridian.test"
REGIONS = {"eastus": "10.88.0.1", "westeurope": "10.88.0.2", "southeastasia": "10.88.0.3"}
STAMPS = {"eastus": "eus-1", "westeurope": "weu-1", "southeastasia": "sea-1"}
CLIENT = "10.88.0.100"
CORP = "10.88.0.200"  # a client address inside the private network
USER = "ada"
KERNEL_CLOCK = {"real": -1, "unknown": 0, "synchronised": 1, "unsynchronised": 2}  # enum clock_kernel
SKIP = 77  # meson: this test was skipped

TOPOLOGY = """\
version: 1
domain: {domain}
hostmaster: hostmaster@{domain}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [10.88.0.1] }}], peer: "10.88.0.1:8443" }}
  - {{ name: westeurope, stamps: [{{ name: weu-1, ipv4: [10.88.0.2] }}], peer: "10.88.0.2:8443" }}
  - {{ name: southeastasia, stamps: [{{ name: sea-1, ipv4: [10.88.0.3] }}], peer: "10.88.0.3:8443" }}
name_servers: [eus-1.eastus, weu-1.westeurope, sea-1.southeastasia]
registries:
  - name: contoso
    regional_endpoints: enabled
    data_endpoints: enabled
    replicas: [{{ region: eastus }}, {{ region: westeurope }}, {{ region: southeastasia }}]
  - name: fabrikam
    regional_endpoints: enabled
    replicas: [{{ region: eastus }}, {{ region: westeurope }}]
  - name: tailspin
    regional_endpoints: disabled
    anonymous_pull: true
    replicas: [{{ region: eastus }}, {{ region: westeurope }}, {{ region: southeastasia }}]
routing:
  order: [eastus, westeurope, southeastasia]
  overrides: [{{ clients: 10.88.0.101, order: [southeastasia] }}]
views:
  - {{ name: corp, sources: [10.88.0.200] }}
private_endpoints:
  - name: contoso-corp
    registry: contoso
    view: corp
    addresses: {{ registry: 10.88.0.2, registry_westeurope: 10.88.0.2, registry_data_westeurope: 10.88.0.2 }}
health: {{ interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%, hold_down: 2s, hold_down_max: 2s }}
certificates: {{ ca_region: eastus }}
"""


def need_root():
    if os.geteuid() != 0:
        print("skipped: namespaces and ports 53 and 443 need root")
        sys.exit(SKIP)


def wait_until(limit_s, condition, what):
    """Waits for a condition; returns its value. Fails with `what` after the limit."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.05)


def unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


# What no daemon may say, its end included: a call that its sandbox does not have, and a sanitizer's finding.
SICK = re.compile("sandbox: the system call|ERROR: (Address|Leak)Sanitizer|runtime error: ")


class Lab:
    """`regions` and `stamps` go with a topology of its own: names of regions to their addresses and to their stamps."""

    def __init__(self, topology=TOPOLOGY, node_extra="", more_dirs=(), regions=REGIONS, stamps=STAMPS, clocks=False, programs=None, edge_extra="",
                 admin_port=0):
        need_root()
        self.regions, self.stamps = regions, stamps
        self.meridiand = MERIDIAND_SHIFTED if clocks else MERIDIAND
        self.programs = dict(programs or {})
        self.clocks = clocks
        # In hexadecimal: clients take a path for the name of an image, which may have no "._" in it.
        self.dir = f"{os.environ.get('MERIDIAN_LAB_DIR') or tempfile.gettempdir()}/meridian-lab.{os.urandom(6).hex()}"
        os.mkdir(self.dir, 0o700)
        os.chmod(self.dir, 0o711)
        for name in more_dirs:
            os.mkdir(f"{self.dir}/{name}", 0o755)
        self.topology_text = topology.format(domain=DOMAIN)
        self.node_extra, self.edge_extra = node_extra, edge_extra
        self.admin_port = admin_port  # of the admin listeners; 0: there are none
        self.daemons = {}
        self.children = []
        self.mounts = []  # what a test mounted below dir

    # ---- life ----
    def __enter__(self):
        try:
            self._namespaces()
            self._files()
            for region in self.regions:
                self.start(region, wait=False)
            for region in self.regions:
                self.wait_up(region)
        except BaseException:
            self._show_logs()
            self.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self._show_logs()
        for region in list(self.daemons):
            self.stop(region)
        bad = [] if kind else [l for r in self.regions for l in self.said(r).splitlines() if SICK.search(l)]
        self.close()
        assert not bad, bad

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for region in list(self.daemons):
            self.stop(region)
        for path in self.mounts:
            subprocess.run(["umount", "-l", path])
        if not os.environ.get("MERIDIAN_LAB_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def _show_logs(self):
        for region in self.regions:
            path = f"{self.dir}/{region}/meridiand.log"
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    lines = f.read().splitlines()[-25:]
                print(f"--- {region}/meridiand.log", *lines, sep="\n", file=sys.stderr)

    def _namespaces(self):
        unshare()
        sh = lambda *a: subprocess.run(a, check=True)
        sh("mount", "--make-rprivate", "/")
        os.makedirs("/run/netns", exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "br0", "type", "bridge")
        for address in (CLIENT, "10.88.0.101", CORP):
            sh("ip", "addr", "add", f"{address}/24", "dev", "br0")
        sh("ip", "link", "set", "br0", "up")
        for region, address in self.regions.items():
            sh("ip", "netns", "add", region)
            port = self.port(region)
            sh("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", region)
            sh("ip", "link", "set", port, "master", "br0", "up")
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{address}/24", "dev", "eth0"),
                          ("link", "set", "eth0", "up")):
                sh("ip", "-n", region, *words)

    def port(self, region):
        """The bridge's end of the region's line: what leaves here goes to the region."""
        return f"v{list(self.regions).index(region)}"

    def _accounts(self):
        """The daemons' users, and the lab's own resolv.conf, for this process and its children."""
        etc = f"{self.dir}/etc"
        os.mkdir(etc)
        for name, line in (("passwd", "{n}:x:{i}:{i}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{n}:x:{i}:\n")):
            shutil.copy(f"/etc/{name}", f"{etc}/{name}")
            with open(f"{etc}/{name}", "a+") as f:
                f.seek(0)
                text = f.read()
                for i, user in enumerate(("meridian", "meridian-edge")):
                    if f"\n{user}:" not in text:
                        f.write(line.format(n=user, i=64101 + i))
        with open(f"{etc}/resolv.conf", "w") as f:
            f.write("".join(f"nameserver {a}\n" for a in list(self.regions.values())[1:3]))
            f.write("options timeout:1 attempts:2\n")
        with open(f"{etc}/nsswitch.conf", "w") as f:
            f.write("passwd: files\ngroup: files\nhosts: files dns\n")
        for name in ("passwd", "group", "resolv.conf", "nsswitch.conf"):
            if os.path.exists(f"/etc/{name}"):
                subprocess.run(["mount", "--bind", f"{etc}/{name}", os.path.realpath(f"/etc/{name}")], check=True)

    def _files(self):
        self._accounts()
        given = f"{self.dir}/given.yaml"
        with open(given, "w") as f:
            f.write(self.topology_text)
        self.check(MERIDIAN, "init", "--topology", given, "--out", self.dir, "--owner", "meridian")
        self.topology = f"{self.dir}/topology.yaml"
        self.principals = f"{self.dir}/principals.yaml"
        self.ca = f"{self.dir}/ca/ca.pem"
        os.chmod(f"{self.dir}/ca", 0o711)
        os.chmod(self.ca, 0o644)
        self.password = base64.b64encode(os.urandom(15)).decode()
        self.password_file = f"{self.dir}/password"
        with open(self.password_file, "w") as f:
            f.write(self.password + "\n")
        os.environ.update(MERIDIAN_TOPOLOGY=self.topology, MERIDIAN_CA=self.ca, MERIDIAN_USERNAME=USER,
                          MERIDIAN_PASSWORD_FILE=self.password_file, SSL_CERT_FILE=self.ca, CURL_CA_BUNDLE=self.ca,
                          REGISTRY_AUTH_FILE=f"{self.dir}/auth.json", HOME=self.dir)
        self.check(MERIDIAN, "user", "add", USER, "--registry", "contoso", "--actions", "pull,push,delete,catalog",
                   "--principals", self.principals)
        self.check(MERIDIAN, "user", "grant", USER, "--registry", "tailspin", "--principals", self.principals)
        for region, address in self.regions.items():
            admin = f"  admin: '{address}:{self.admin_port}'\n" if self.admin_port else ""
            ca_dir = f"ca_dir: {self.dir}/ca\n" if region == next(iter(self.regions)) else ""
            os.makedirs(f"{self.dir}/{region}", exist_ok=True)
            with open(f"{self.dir}/{region}/meridiand.yaml", "w") as f:
                f.write(f"region: {region}\nstamp: {self.stamps[region]}\nroles: [resolver, registry, auth, replicator]\n"
                        f"data_dir: {self.dir}/{region}\ntopology: {self.topology}\nprincipals: {self.principals}\n"
                        f"{ca_dir}listen:\n  dns: ['{address}:53']\n  https: ['{address}:443']\n  peer: '{address}:8443'\n{admin}"
                        f"workers: {{ resolver: 1 }}\nedge: {{ workers: 1{self.edge_extra} }}\ndrain: 5s\n"
                        f"users: {{ daemon: meridian, edge: meridian-edge }}\n{self.node_extra}")
            if self.clocks:
                with open(self._clock_file(region), "wb") as f:
                    f.write(struct.pack("=qq", 0, KERNEL_CLOCK["synchronised"]))
                os.chmod(self._clock_file(region), 0o644)

    # ---- regions ----
    def start(self, region, wait=True, max_files=None):
        log = open(f"{self.dir}/{region}/meridiand.log", "ab")
        self.daemons[region] = subprocess.Popen(
            ["ip", "netns", "exec", region, self.programs.get(region, self.meridiand), "--config", f"{self.dir}/{region}/meridiand.yaml"],
            env=dict(os.environ, **({"MERIDIAN_TEST_CLOCK": self._clock_file(region)} if self.clocks else {})),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))) if max_files else None)
        log.close()
        if wait:
            self.wait_up(region)

    def wait_up(self, region, limit_s=30):
        def up():
            if self.daemons[region].poll() is not None:
                raise AssertionError(f"{region} ended with {self.daemons[region].returncode}")
            try:
                return self.request("GET", f"{self.stamps[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)[0] == 200
            except OSError:
                return False
        wait_until(limit_s, up, f"{region} is up")

    def kill(self, region):
        """kill -9, and waits until the region's ports are free."""
        self.daemons[region].kill()
        self.daemons.pop(region).wait()
        wait_until(10, lambda: not self.listeners(region), f"nothing of {region} stays behind after kill -9")

    def stop(self, region):
        d = self.daemons.pop(region)
        if d.poll() is None:
            d.terminate()
            try:
                d.wait(25)
            except subprocess.TimeoutExpired:
                d.kill()
                d.wait()
        return d.returncode

    def listeners(self, region):
        out = subprocess.run(["ip", "netns", "exec", region, "ss", "-Hlntu"], check=True, capture_output=True, text=True)
        return [line.split()[4] for line in out.stdout.splitlines()]

    def admin(self, region, *words, check=True):
        r = self.run(MERIDIAN, *words, "-o", "json", "--admin", f"{self.dir}/{region}/run/admin.sock", check=check)
        return json.loads(r.stdout) if r.stdout.strip() else None

    def wait_writer(self, region):
        """Until the writer of the control feed may make changes: it has heard a majority."""
        view = lambda: self.admin(region, "control", "status", check=False) or {}
        wait_until(20, lambda: view().get("confirmed") and view().get("owned"), f"{region} hears a majority")

    def cut(self, region):
        others = ",".join(a for r, a in self.regions.items() if r != region)
        rules = ("table ip cut {\n"
                 "  chain i { type filter hook input priority 0; ip saddr { %s } drop; }\n"
                 "  chain o { type filter hook output priority 0; ip daddr { %s } drop; }\n}\n" % (others, others))
        subprocess.run(["ip", "netns", "exec", region, "nft", "-f", "-"], input=rules, text=True, check=True)

    def heal(self, region):
        subprocess.run(["ip", "netns", "exec", region, "nft", "delete", "table", "ip", "cut"], check=True)

    # ---- clocks (tests/support/shifted_clock.c) ----
    def _clock_file(self, region):
        return f"{self.dir}/{region}.clock"

    def _clock_set(self, region, at, value):
        assert self.clocks, "Lab(clocks=True)"
        with open(self._clock_file(region), "r+b", buffering=0) as f:
            os.pwrite(f.fileno(), struct.pack("=q", value), at)

    def shift_clock(self, region, ms):
        """The wall clock of a region's daemon is the kernel's plus ms from now on, also after a restart."""
        self._clock_set(region, 0, ms)

    def kernel_clock(self, region, state):
        """What the kernel is made to say of its clock: see KERNEL_CLOCK; a lab begins with "synchronised"."""
        self._clock_set(region, 8, KERNEL_CLOCK[state])

    # ---- logs ----
    def log_end(self, region):
        return os.path.getsize(f"{self.dir}/{region}/meridiand.log")

    def said(self, region, since=0):
        """A region's log from an offset on."""
        with open(f"{self.dir}/{region}/meridiand.log", errors="replace") as f:
            f.seek(since)
            return f.read()

    def wait_said(self, region, text, since=0, limit_s=20):
        wait_until(limit_s, lambda: text in self.said(region, since), f"{region} says: {text}")

    # ---- clients ----
    @contextlib.contextmanager
    def slow_line(self, region, rate):
        """What goes to the region comes at so many bits a second, as tc writes them."""
        tc = lambda *words: subprocess.run(["tc", "qdisc", *words], check=True)
        tc("add", "dev", self.port(region), "root", "tbf", "rate", rate, "burst", "64kb", "latency", "400ms")
        try:
            yield
        finally:
            tc("del", "dev", self.port(region), "root")

    @contextlib.contextmanager
    def led_anywhere(self):
        """Each new connection of a client to the first region's address goes to any region, as if names had led it there."""
        addresses = list(self.regions.values())
        to = ", ".join(f"{i} : {a}" for i, a in enumerate(addresses))
        rules = ("table ip led {\n  chain o { type nat hook output priority -100; ip daddr %s tcp dport 443 "
                 "dnat to numgen random mod %d map { %s }; }\n}\n" % (addresses[0], len(addresses), to))
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        try:
            yield
        finally:
            subprocess.run(["nft", "delete", "table", "ip", "led"], check=True)

    def upload_bytes(self, region):
        """Of all files of uploads, largest first."""
        sizes, base = [], f"{self.dir}/{region}/store/uploads"
        for name in os.listdir(base):
            try:
                sizes.append(os.lstat(f"{base}/{name}").st_size)
            except FileNotFoundError:
                pass
        return sorted(sizes, reverse=True)

    def restart_in_mid_push(self, region, commands, uploads=1, env=None):
        """Runs the commands at once, over a line that is slow until a hot restart is over, which begins when so many of
        their layers are under way; they must all succeed. The pid of the old worker, which may still be there."""
        old = self.admin(region, "status")["pid"]
        with self.slow_line(region, "8mbit"):
            children = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                         env=dict(os.environ, **(env or {}))) for c in commands]
            self.children += children
            wait_until(30, lambda: [n for n in self.upload_bytes(region) if n > 100_000][uploads - 1:], "layers are under way")
            new = self.admin(region, "node", "restart")["pid"]
            under_way = [c.poll() for c in children]
        outs = [c.communicate(timeout=90)[0] for c in children]
        assert new != old and under_way == [None] * len(children), (under_way, outs)
        for c, out in zip(children, outs):
            assert c.returncode == 0, (c.args, out)
        return old

    def run(self, *words, check=True, timeout=120, input=None, env=None):
        e = dict(os.environ, **(env or {}))
        r = subprocess.run(words, capture_output=True, text=True, timeout=timeout, input=input, env=e)
        if check and r.returncode:
            raise AssertionError(f"{' '.join(words)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def check(self, *words, **more):
        return self.run(*words, **more).stdout

    def background(self, *words, **more):
        child = subprocess.Popen(words, **more)
        self.children.append(child)
        return child

    def login(self, host):
        self.check("skopeo", "login", "-u", USER, "--password-stdin", host, input=self.password)

    def dig(self, name, kind="A", at="westeurope", source=None, *more):
        words = ["dig", "+short", "+tries=1", "+time=3", *(["-b", source] if source else []), *more, f"@{self.regions[at]}", name, kind]
        return self.check(*words).split()

    def connection(self, host, region=None, timeout=15, port=443):
        """A TLS connection to a host, at the region's address when given, else where DNS leads. Verified."""
        context = ssl.create_default_context(cafile=self.ca)
        address = self.regions[region] if region else socket.gethostbyname(host)
        raw = socket.create_connection((address, port), timeout=timeout)
        try:
            return context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def request(self, method, host, path, region=None, headers=None, body=None, timeout=15, port=443):
        """One request; returns (status, headers as a dict with lower-case names, body)."""
        c = http.client.HTTPSConnection(host, timeout=timeout)
        c.sock = self.connection(host, region, timeout, port)
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def read(self, host, path, region=None, headers=None, timeout=15):
        """A GET as clients make it: a redirect is followed, in the same region, without the token."""
        status, got, body = self.request("GET", host, path, region, headers, timeout=timeout)
        if status != 307:
            return status, got, body
        url = urllib.parse.urlsplit(got["location"])
        more = {k: v for k, v in (headers or {}).items() if k != "Authorization"}
        return self.request("GET", url.hostname, f"{url.path}?{url.query}", region, more, timeout=timeout)

    def token(self, scope, host=f"contoso.{DOMAIN}", region=None, user=USER, password=None):
        basic = base64.b64encode(f"{user}:{password or self.password}".encode()).decode()
        query = urllib.parse.urlencode({"service": f"{host.split('.')[0]}.{DOMAIN}", "scope": scope})
        status, _, body = self.request("GET", host, f"/oauth2/token?{query}", region, {"Authorization": f"Basic {basic}"})
        assert status == 200, (status, body)
        return json.loads(body)["access_token"]

    def bearer(self, scope, **more):
        return {"Authorization": "Bearer " + self.token(scope, **more)}

    def image(self, name, layers=3, layer_bytes=200_000):
        """An OCI layout with random layers; returns (path, digest of its manifest)."""
        sources = []
        for i in range(layers):
            path = f"{self.dir}/{name}-src{i}"
            with open(path, "wb") as f:
                f.write(os.urandom(layer_bytes))
            sources.append(path)
        out = f"{self.dir}/{name}"
        digest = self.check(sys.executable, os.path.join(SOURCE, "examples/three-regions/make-image"), out, "1", *sources).strip()
        return out, digest

    def push(self, name, host, repository, tag, **more):
        out, digest = self.image(name, **more)
        self.check("skopeo", "copy", "-q", "--dest-creds", f"{USER}:{self.password}", f"oci:{out}:1",
                   f"docker://{host}/{repository}:{tag}")
        return digest

    def wait_replicated(self, what, region="all", timeout="60s"):
        self.check(MERIDIAN, "replication", "wait", what, "--region", region, "--timeout", timeout, timeout=90)

    def listing(self, region, registry="contoso"):
        """All repositories, tags and their digests of a registry as one region has them."""
        host = f"{registry}.{region}.geo.{DOMAIN}"
        auth = self.bearer("registry:catalog:*", host=host, region=region)
        repositories = json.loads(self.request("GET", host, "/v2/_catalog", region, auth)[2])["repositories"]
        out = {}
        for repo in repositories:
            auth = self.bearer(f"repository:{repo}:pull", host=host, region=region)
            status, _, body = self.request("GET", host, f"/v2/{repo}/tags/list", region, auth)
            for tag in (json.loads(body)["tags"] or []) if status == 200 else []:
                _, headers, _ = self.request("HEAD", host, f"/v2/{repo}/manifests/{tag}", region, auth)
                out[f"{repo}:{tag}"] = headers.get("docker-content-digest")
        return out
