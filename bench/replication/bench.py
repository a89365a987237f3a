# SPDX-License-Identifier: Apache-2.0
"""How soon content is in the other regions, next to other means of copying it; started by run.sh.

All rows are of one run on one machine, so that what else it does meets all alike: read ratios, not absolute times. Each row
is a function below; its opening words say what is measured. Times are seconds if nothing else is said."""
import argparse, collections, concurrent.futures, contextlib, hashlib, http.client, json, os, re, shutil, socket, statistics, subprocess, sys, threading, time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/system"))
from lab import BUILD, CLIENT, DOMAIN, TOPOLOGY, USER, Lab, MERIDIAN, wait_until

MIB = 1 << 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
HERE_REGION, AWAY, OTHERS = "eastus", "westeurope", ("westeurope", "southeastasia")
RANGES = 4  # replication/peer_source.h
FAR_MS, FAR_RATE, PUSH_RATE = 80, "1000000000", "200mbit"
PEER_PORT = 5000
args = None
rows = collections.defaultdict(list)  # (row, what) -> values


def note(row, what, value, unit="s"):
    rows[(row, what, unit)].append(value)
    print(f"  {row}: {what}: {value:.3f} {unit}", flush=True)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    """Pushes over connections that it keeps, one for each thread."""

    def __init__(self, lab, registry, repository):
        self.lab, self.repository = lab, repository
        self.host = f"{registry}.{HERE_REGION}.geo.{DOMAIN}"
        self.renew()
        self.local = threading.local()

    def renew(self):
        self.auth = self.lab.bearer(f"repository:{self.repository}:pull,push", host=self.host, region=HERE_REGION)

    def connection(self):
        c = getattr(self.local, "c", None)
        if not c:
            c = self.local.c = http.client.HTTPSConnection(self.host, timeout=300, blocksize=1 << 18)
            c.sock = self.lab.connection(self.host, HERE_REGION, timeout=300)
        return c

    def ask(self, method, target, want, body=None, **headers):
        c = self.connection()
        c.request(method, target, body, {**self.auth, **{k.replace("_", "-"): v for k, v in headers.items()}})
        r = c.getresponse()
        text = r.read()
        assert r.status == want, (method, target, r.status, text[:300])
        return r.headers

    def blob(self, digest, size, body):
        location = self.ask("POST", f"/v2/{self.repository}/blobs/uploads/", 202, b"")["Location"]
        url = urllib.parse.urlsplit(location)
        query = (url.query + "&" if url.query else "") + "digest=" + digest
        self.ask("PUT", f"{url.path}?{query}", 201, body, Content_Length=str(size), Content_Type="application/octet-stream")
        return {"mediaType": LAYER, "digest": digest, "size": size}

    def bytes(self, data):
        return self.blob(digest_of(data), len(data), data)

    def file(self, path, digest):
        with open(path, "rb") as f:
            return self.blob(digest, os.path.getsize(path), f)

    def manifest(self, tag, layers):
        config = {**self.bytes(b'{"tag":"%s%s"}' % (tag.encode(), os.urandom(4).hex().encode())), "mediaType": CONFIG}
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()
        self.put(tag, body)
        return body

    def put(self, tag, body):
        self.ask("PUT", f"/v2/{self.repository}/manifests/{tag}", 201, body, Content_Type=MANIFEST)
        return time.monotonic()

    def small(self, tag, layer_bytes=64 << 10):
        layers = [self.bytes(os.urandom(layer_bytes)) for _ in range(2)]
        self.manifest(tag, layers)
        return time.monotonic()

    def large(self, tag, files, streams):
        """As a client with so many uploads at once; when it was answered."""
        with concurrent.futures.ThreadPoolExecutor(streams) as pool:
            layers = list(pool.map(lambda f: self.file(*f), files))
        self.manifest(tag, layers)
        return time.monotonic()


class Watch:
    """watch.py in a region's namespace."""

    def __init__(self, lab, region, registry, repository, tags, every_ms=5):
        host = f"{registry}.{region}.geo.{DOMAIN}"
        pull = lab.token(f"repository:{repository}:pull", host=f"{registry}.{HERE_REGION}.geo.{DOMAIN}", region=HERE_REGION)
        self.child = lab.background("ip", "netns", "exec", region, sys.executable, f"{HERE}/watch.py", host, lab.regions[region], lab.ca, pull,
                                    repository, str(every_ms), *tags, stdout=subprocess.PIPE, text=True)

    def first(self):
        return self.line("first")

    def all(self):
        return self.line("all")

    def line(self, word):
        for line in self.child.stdout:
            if line.startswith(word + " "):
                return float(line.split()[1])
        raise AssertionError(f"the watch ended before it said: {word}")


class Bench:
    def __init__(self, lab):
        self.lab = lab
        self.files = []
        for _ in range(args.layers):
            self.files.append(self.random_file(args.layer_mib * MIB))

    def random_file(self, size):
        path = f"{self.lab.dir}/layer-{os.urandom(6).hex()}"
        subprocess.run(f"openssl enc -aes-128-ctr -nosalt -K {os.urandom(16).hex()} -iv {'0' * 32} -in /dev/zero 2>/dev/null"
                       f" | head -c {size} > {path}", shell=True, check=True)
        with open(path, "rb") as f:
            return path, "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()

    def fresh_files(self):
        """New layers, which no region has: each of the old files with a new beginning."""
        for i, (path, _) in enumerate(self.files):
            with open(path, "r+b") as f:
                f.write(os.urandom(16))
                f.seek(0)
                self.files[i] = (path, "sha256:" + hashlib.file_digest(f, "sha256").hexdigest())
        return self.files

    def repository(self, name):
        return f"bench/{name}-{os.urandom(3).hex()}"

    def wait_ready(self):
        for region in self.lab.regions:
            rows = lambda: self.lab.admin(region, "replication", "status", "-r", "contoso", check=False) or []
            wait_until(60, lambda: {r["state"] for r in rows()} == {"Ready"}, f"{region} hears the others and has all")

    @contextlib.contextmanager
    def far(self, region):
        """The region's line is the relay's meanwhile."""
        lab, port = self.lab, self.lab.port(region)
        ip = lambda *words: subprocess.run(["ip", *words], check=True)
        ip("link", "del", port)
        relay = lab.background(f"{BUILD}/bench/replication/replication_relay", "-", port, f"/run/netns/{region}", "eth0", str(FAR_MS / 2),
                               FAR_RATE, stdout=subprocess.PIPE, text=True)
        assert relay.stdout.readline() == "ready\n", "the relay does not start"
        try:
            self.address(region)
            yield
        finally:
            relay.terminate()
            relay.wait()
            lab.children.remove(relay)
            ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", region)
            self.address(region)

    def address(self, region):
        lab = self.lab
        for words in (["link", "set", lab.port(region), "master", "br0", "up"], ["-n", region, "addr", "add", f"{lab.regions[region]}/24", "dev", "eth0"],
                      ["-n", region, "link", "set", "eth0", "up"]):
            subprocess.run(["ip", *words], check=True)

    # ---- peers ----
    def docker_registry(self):
        """A plain docker-registry at the clients' address, on the same disk."""
        root = f"{self.lab.dir}/docker-registry"
        config = f"{self.lab.dir}/docker-registry.yaml"
        with open(config, "w") as f:
            f.write(f"version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem:\n    rootdirectory: {root}\n"
                    f"http: {{ addr: '{CLIENT}:{PEER_PORT}' }}\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")}  # it would take them for its own settings
        with open(f"{self.lab.dir}/docker-registry.log", "ab") as log:
            child = self.lab.background("docker-registry", "serve", config, stdout=log, stderr=log, env=env)
        try:
            wait_until(20, lambda: self.answers((CLIENT, PEER_PORT)), "docker-registry answers")
        except AssertionError:
            with open(f"{self.lab.dir}/docker-registry.log") as f:
                print(f.read()[-2000:])
            raise
        return child

    def answers(self, address):
        try:
            socket.create_connection(address, timeout=1).close()
            return True
        except OSError:
            return False

    def skopeo_sync(self, row, repository):
        if not args.peers or not shutil.which("skopeo") or not shutil.which("docker-registry"):
            return
        host = f"contoso.{HERE_REGION}.geo.{DOMAIN}"
        self.lab.login(host)
        peer = self.docker_registry()
        began = time.monotonic()
        self.lab.run("skopeo", "sync", "--all", "--src", "docker", "--dest", "docker", "--dest-tls-verify=false", f"{host}/{repository}",
                     f"{CLIENT}:{PEER_PORT}/peer", timeout=900)
        note(row, "skopeo sync to a docker-registry", time.monotonic() - began)
        peer.terminate()
        peer.wait()
        shutil.rmtree(f"{self.lab.dir}/docker-registry", ignore_errors=True)

    def rsync(self, row, digests):
        """The same files, by name, from the region's folder to another."""
        if not args.peers or not shutil.which("rsync"):
            return
        blobs = next(d for d, _, _ in os.walk(f"{self.lab.dir}/{HERE_REGION}") if d.endswith("/blobs"))
        to, names, wanted = f"{self.lab.dir}/rsync", f"{self.lab.dir}/rsync.names", {d[7:] for d in digests}
        with open(names, "w") as out:
            for folder, _, files in os.walk(blobs):
                out.writelines(f"{os.path.relpath(folder, blobs)}/{f}\n" for f in files if f.split(".")[0] in wanted)
        os.mkdir(to)
        began = time.monotonic()
        self.lab.run("rsync", "-a", "--whole-file", "--fsync", f"--files-from={names}", blobs + "/", to + "/", timeout=900)
        note(row, "rsync --fsync of the files", time.monotonic() - began)
        n = sum(len(f) for _, _, f in os.walk(to))
        assert n == len(wanted), (n, len(wanted))
        shutil.rmtree(to)

    # ---- rows ----
    def away(self, row, push):
        """Pushed while a region was away: from its first answer to the last tag there."""
        repository = self.repository("away")
        client = Client(self.lab, "contoso", repository)
        self.lab.stop(AWAY)
        tags, digests = push(client)
        watch = Watch(self.lab, AWAY, "contoso", repository, tags)
        self.lab.start(AWAY, wait=False)
        first = watch.first()
        note(row, "Meridian", watch.all() - first)
        self.skopeo_sync(row, repository)
        self.rsync(row, digests)
        self.lab.wait_up(AWAY)
        self.wait_ready()

    def small_away(self):
        def push(client):
            digests = []
            blob = client.blob
            client.blob = lambda d, n, body: digests.append(d) or blob(d, n, body)
            tags = [f"t{i}" for i in range(args.images)]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(client.small, tags))
            return tags, digests
        self.away(f"{args.images} small images, away", push)

    def large_away(self):
        def push(client):
            files = self.fresh_files()
            client.large("t", files, 4)
            return ["t"], [d for _, d in files]
        self.away(f"one image of {args.layers} x {args.layer_mib} MiB, away", push)

    def live(self, row, registry="contoso", regions=OTHERS):
        """Small images, one after another: push answered to visible in the last of the others."""
        repository = self.repository("live")
        client = Client(self.lab, registry, repository)
        took = []
        for i in range(args.lives):
            watches = [Watch(self.lab, region, registry, repository, [f"t{i}"]) for region in regions]
            for w in watches:
                w.first()
            answered = client.small(f"t{i}")
            took.append(max(0, *(w.all() - answered for w in watches)))
        took.sort()
        note(row, "median", 1000 * statistics.median(took), "ms")
        note(row, "most", 1000 * took[-1], "ms")

    def small_live(self):
        self.live("small image, live")

    def far_small(self):
        with self.far(AWAY):
            self.wait_ready()
            self.live(f"small image, live, {FAR_MS} ms", regions=(AWAY,))
        self.wait_ready()

    def far_ack(self):
        """The only other region is far away: how long a client waits for its whole push of a small image, and for the manifest alone, where
        that region must have it (`ack: peers:1`) and where it need not."""
        with self.far(AWAY):
            self.wait_ready()
            for registry, ack in (("fabrikam", "local"), ("acked", "peers:1")):
                client = Client(self.lab, registry, self.repository("ack"))
                pushes, manifests = [], []
                for i in range(args.lives):
                    began = time.monotonic()
                    layers = [client.bytes(os.urandom(64 << 10)) for _ in range(2)]
                    uploaded = time.monotonic()
                    client.manifest(f"t{i}", layers)
                    pushes.append(time.monotonic() - began)
                    manifests.append(time.monotonic() - uploaded)
                row = f"small image, ack: {ack}, the other region {FAR_MS} ms away"
                note(row, "whole push answered, median", 1000 * statistics.median(pushes), "ms")
                note(row, "config and manifest answered, median", 1000 * statistics.median(manifests), "ms")
        self.wait_ready()

    def large_live(self):
        """Push limited by the line: answered to visible in the last of the others; and what the push took, beside one of a
        registry that is in one region only."""
        row = f"one image of {args.layers} x {args.layer_mib} MiB, live, pushed at {PUSH_RATE}"
        for registry in ("alone", "contoso"):
            repository = self.repository("live")
            client = Client(self.lab, registry, repository)
            files = self.fresh_files()
            watches = [Watch(self.lab, r, registry, repository, ["t"], 20) for r in OTHERS if registry == "contoso"]
            with self.lab.slow_line(HERE_REGION, PUSH_RATE):
                for w in watches:
                    w.first()
                began = time.monotonic()
                answered = client.large("t", files, args.streams)
                took = answered - began
                if registry == "alone":
                    lone = took
                    continue
                note(row, "answered to visible", max(0, *(w.all() - answered for w in watches)))
                note(row, "the push beside one of a registry in one region", took / lone, "x")
        self.wait_ready()

    def far_large(self):
        """Pushed while a region was away that has a long line: first answer to visible, beside curl over that line."""
        row = f"one image of {args.layers} x {args.layer_mib} MiB, {FAR_MS} ms, 1 Gbit/s"
        repository = self.repository("far")
        client = Client(self.lab, "contoso", repository)
        files = self.fresh_files()
        self.lab.stop(AWAY)
        client.large("t", files, 4)
        with self.far(AWAY):
            watch = Watch(self.lab, AWAY, "contoso", repository, ["t"], 20)
            self.lab.start(AWAY, wait=False)
            first = watch.first()
            note(row, "Meridian", watch.all() - first)
            if args.peers:
                for streams in (1, args.layers):
                    note(row, f"curl, {streams} at once", self.curl(client, files, streams))
            self.lab.wait_up(AWAY)
        self.wait_ready()

    def far_one(self):
        """The same with one large blob, which comes in ranges; beside curl with as many ranges at once."""
        size = args.one_mib * MIB
        row = f"one blob of {args.one_mib} MiB, {FAR_MS} ms, 1 Gbit/s"
        client = Client(self.lab, "contoso", self.repository("far"))
        path, digest = self.random_file(size)
        self.lab.stop(AWAY)
        client.large("t", [(path, digest)], 1)
        with self.far(AWAY):
            watch = Watch(self.lab, AWAY, "contoso", client.repository, ["t"], 20)
            self.lab.start(AWAY, wait=False)
            first = watch.first()
            note(row, "Meridian", watch.all() - first)
            if args.peers:
                for n in (1, RANGES):
                    note(row, f"curl, {n} ranges at once", self.curl_ranges(client, digest, size, n))
            self.lab.wait_up(AWAY)
        os.unlink(path)
        self.wait_ready()

    def curl_ranges(self, client, digest, size, n):
        config = self.curl_config(client)
        url = f"https://{client.host}/v2/{client.repository}/blobs/{digest}"
        began = time.monotonic()
        children = []
        for i in range(n):
            span = f"{size * i // n}-{size * (i + 1) // n - 1}"
            children.append(subprocess.Popen(["ip", "netns", "exec", AWAY, "curl", "-sSfL", "--http1.1", "-K", config, "--cacert", self.lab.ca, "-r", span,
                                              "-o", f"{self.lab.dir}/curl-{i}", url]))
        assert [c.wait(timeout=900) for c in children] == [0] * n
        took = time.monotonic() - began
        assert sum(os.path.getsize(f"{self.lab.dir}/curl-{i}") for i in range(n)) == size
        for i in range(n):
            os.unlink(f"{self.lab.dir}/curl-{i}")
        return took

    def curl_config(self, client):
        config = f"{self.lab.dir}/curl.auth"
        with open(config, "w") as f:
            f.write(f'header = "Authorization: {client.auth["Authorization"]}"\n')
        return config

    def curl(self, client, files, streams):
        """From the same edge, into files, without a sync."""
        urls = []
        for i, (_, digest) in enumerate(files):
            urls += ["-o", f"{self.lab.dir}/curl-{i}", f"https://{client.host}/v2/{client.repository}/blobs/{digest}"]
        config = self.curl_config(client)
        began = time.monotonic()
        self.lab.run("ip", "netns", "exec", AWAY, "curl", "-sSfL", "--http1.1", "-K", config, "--cacert", self.lab.ca, "--parallel", "--parallel-immediate",
                     "--parallel-max", str(streams), *urls, timeout=900)
        took = time.monotonic() - began
        for i in range(len(files)):
            os.unlink(f"{self.lab.dir}/curl-{i}")
        return took

    def probe_times(self, region, of, until):
        """What the region's probes of the other one took, in ms, until that is so; each probe once."""
        seen = {}
        while True:
            over = until()
            [row] = [r for r in self.lab.admin(region, "health", "show") if r["region"] == of]
            took = re.match(r"200 in (\d+) ms", row["reason"])
            if took:
                seen[row["probedMs"]] = int(took[1])
            if over:
                return list(seen.values())
            time.sleep(0.1)

    def probes(self):
        """What a region's probes of another one take: at rest, and while it fetches an image whose layers come all at once."""
        row = f"a probe, beside {args.layers} layers of {args.layer_mib} MiB"
        end = time.monotonic() + 10
        rest = self.probe_times(AWAY, OTHERS[1], lambda: time.monotonic() > end)
        repository = self.repository("probes")
        client = Client(self.lab, "contoso", repository)
        self.lab.stop(AWAY)
        client.large("t", self.fresh_files(), 4)
        watch = Watch(self.lab, AWAY, "contoso", repository, ["t"], 20)
        self.lab.start(AWAY)
        there = threading.Thread(target=watch.all)
        there.start()
        beside = self.probe_times(AWAY, OTHERS[1], lambda: not there.is_alive())
        for what, times in (("at rest", rest), ("beside the transfers", beside)):
            note(row, f"{what}, median", statistics.median(times), "ms")
            note(row, f"{what}, most of {len(times)}", max(times), "ms")
        self.wait_ready()

    def crowd(self):
        """Many tags pushed in one registry, and one small image in another: answered to visible."""
        row = f"{args.tags} tags of another registry, then one small image"
        many, one = Client(self.lab, "contoso", self.repository("many")), Client(self.lab, "fabrikam", self.repository("one"))
        body = many.manifest("base", [many.bytes(os.urandom(1000))])
        def tags(n):
            for i in range(n, args.tags, args.tag_streams):
                many.put(f"t{i}", body)

        took = []
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(args.tag_streams) as pool:
            pushed = [pool.submit(tags, n) for n in range(args.tag_streams)]
            for i in range(args.crowd_images):
                watch = Watch(self.lab, AWAY, "fabrikam", one.repository, [f"t{i}"])
                watch.first()
                answered = one.small(f"t{i}")
                took.append(max(0, watch.all() - answered))
                if all(p.done() for p in pushed):
                    break
            for p in pushed:
                p.result()
        note(row, "tags a second", args.tags / (time.monotonic() - began), "/s")
        note(row, f"most of {len(took)}", max(took))
        watch = Watch(self.lab, AWAY, "contoso", many.repository, [f"t{i}" for i in range(args.tags - 200, args.tags)], 20)
        end = time.monotonic()
        note(row, "the last tag is there after the last was answered", max(0, watch.all() - end))
        self.wait_ready()


ROWS = {"small-away": Bench.small_away, "small-live": Bench.small_live, "large-away": Bench.large_away, "large-live": Bench.large_live,
        "far-small": Bench.far_small, "far-ack": Bench.far_ack, "far-large": Bench.far_large, "far-one": Bench.far_one, "crowd": Bench.crowd,
        "probes": Bench.probes}


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--rows", default=",".join(ROWS), help="of: " + ", ".join(ROWS))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--quick", action="store_true", help="layers of 16 MiB, a blob of 64 MiB, 50 images, 1,000 tags")
    p.add_argument("--images", type=int)
    p.add_argument("--layers", type=int, default=8)
    p.add_argument("--layer-mib", type=int)
    p.add_argument("--one-mib", type=int, help="the blob that comes in ranges")
    p.add_argument("--lives", type=int, default=15, help="small images pushed live in each round")
    p.add_argument("--streams", type=int, default=5, help="uploads at once of the large image that is pushed live")
    p.add_argument("--tags", type=int)
    p.add_argument("--tag-streams", type=int, default=4)
    p.add_argument("--crowd-images", type=int, default=20)
    p.add_argument("--no-peers", dest="peers", action="store_false")
    a = p.parse_args()
    for name, quick, whole in (("images", 50, 200), ("layer_mib", 16, 128), ("one_mib", 64, 512), ("tags", 1000, 10000)):
        if getattr(a, name) is None:
            setattr(a, name, quick if a.quick else whole)
    return a


def table():
    print(f"\n| row | what | median | of {args.rounds} |\n|---|---|--:|---|")
    for (row, what, unit), values in rows.items():
        print(f"| {row} | {what} | {statistics.median(values):.2f} {unit} | {', '.join(f'{v:.2f}' for v in values)} |")


def main():
    global args
    args = arguments()
    topology = TOPOLOGY.replace("routing:", "  - name: alone\n    regional_endpoints: enabled\n    replicas: [{{ region: eastus }}]\n"
                                          "  - name: acked\n    ack: peers:1\n    regional_endpoints: enabled\n"
                                          "    replicas: [{{ region: eastus }}, {{ region: westeurope }}]\nrouting:")
    with Lab(topology=topology) as lab:
        for registry in ("alone", "fabrikam", "acked"):
            lab.check(MERIDIAN, "user", "grant", USER, "--registry", registry, "--principals", lab.principals)
        time.sleep(2)  # the daemons look for a new file every second
        bench = Bench(lab)
        bench.wait_ready()
        try:
            for i in range(args.rounds):
                for name in args.rows.split(","):
                    print(f"round {i + 1}: {name}: load {os.getloadavg()[0]:.1f}", flush=True)
                    ROWS[name](bench)
        finally:
            table()


main()
