# SPDX-License-Identifier: Apache-2.0
"""A third region joins a registry with some thousand tags, by snapshots over a thin line, while clients push, move and delete tags: it
takes reads and writes meanwhile, is killed in mid-join again and again, says how far it is, and ends with what the others have."""
import glob, hashlib, http.client, itertools, json, os, random, socket, threading, time, unittest

from lab import DOMAIN, Lab, MERIDIAN, TOPOLOGY, wait_until

HOSTS = {r: f"contoso.{r}.geo.{DOMAIN}" for r in ("eastus", "westeurope", "southeastasia")}
EAST, WEST, ASIA = HOSTS
N_TAGS = 2000
N_MOVED = 300
N_DELETED = 100
N_KILLS = 3
LINE = "6mbit"  # a page of 1,000 entries takes more than a second
OCI = "application/vnd.oci.image.manifest.v1+json"
SEED = int(os.environ.get("MERIDIAN_SEED", "16"))


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Wire:
    """One kept connection to a region, with a token for one repository."""

    def __init__(self, lab, region):
        host = HOSTS[region]
        self.auth = lab.bearer("repository:app:pull,push,delete", host=host, region=region)
        self.c = http.client.HTTPSConnection(host, timeout=60)
        self.c.sock = lab.connection(host, region, 60)
        self.c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.close()

    def ask(self, method, path, body=None, expect=None, **headers):
        self.c.request(method, path, body=body, headers={**self.auth, **{k.replace("_", "-"): v for k, v in headers.items()}})
        r = self.c.getresponse()
        got = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        if expect and got[0] not in expect:
            raise AssertionError(f"{method} {path}: {got}")
        return got

    def blob(self, content):
        _, headers, _ = self.ask("POST", "/v2/app/blobs/uploads/", b"", (202,))
        where = headers["location"].split(DOMAIN, 1)[1]
        self.ask("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest_of(content)}", content, (201,))

    def put(self, tag, manifest):
        self.ask("PUT", f"/v2/app/manifests/{tag}", manifest, (201,), Content_Type=OCI)

    def delete(self, tag):
        self.ask("DELETE", f"/v2/app/manifests/{tag}", expect=(202,))

    def digest(self, tag):
        status, headers, _ = self.ask("HEAD", f"/v2/app/manifests/{tag}", Accept=OCI)
        return headers.get("docker-content-digest") if status == 200 else None


def split(work, n):
    return [work[i::n] for i in range(n)]


class Together:
    """Threads whose failure is the test's."""

    def __init__(self):
        self.threads, self.faults = [], []

    def start(self, run, *args):
        def guarded():
            try:
                run(*args)
            except BaseException as e:
                self.faults.append(e)
        self.threads.append(threading.Thread(target=guarded))
        self.threads[-1].start()

    def join(self):
        for t in self.threads:
            t.join(240)
        if self.faults:
            raise self.faults[0]


class Snapshots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        two = TOPOLOGY.replace("data_endpoints: enabled\n    replicas: [{{ region: eastus }}, {{ region: westeurope }}, {{ region: southeastasia }}]",
                               "data_endpoints: enabled\n    replicas: [{{ region: eastus }}, {{ region: westeurope }}]", 1)
        assert two != TOPOLOGY
        cls.lab = cls.enterClassContext(Lab(topology=two))
        config, layer = b"{}", b"x" * 1000
        cls.blobs = config, layer
        cls.manifests = [json.dumps({
            "schemaVersion": 2, "mediaType": OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer), "size": len(layer)}],
            "annotations": {"n": str(i)}}).encode() for i in range(5)]

    def fill(self):
        """Tags in the east, of which some are moved and some deleted."""
        with Wire(self.lab, EAST) as wire:
            for b in self.blobs:
                wire.blob(b)

        def some(numbers):
            with Wire(self.lab, EAST) as wire:
                for n in numbers:
                    wire.put(f"t{n}", self.manifests[n % 5])
                    if n < N_MOVED:
                        wire.put(f"t{n}", self.manifests[(n + 1) % 5])
                    if n >= N_TAGS - N_DELETED:
                        wire.delete(f"t{n}")
        all_of = Together()
        for numbers in split(list(range(N_TAGS)), 6):
            all_of.start(some, numbers)
        all_of.join()

    def keep_writing(self, region, end):
        with Wire(self.lab, region) as wire:
            for b in self.blobs:
                wire.blob(b)
            for n in itertools.count():
                wire.put(f"live-{region}-{n % 20}", self.manifests[n % 5])
                wire.put(f"t{n % 50}", self.manifests[(n + 2) % 5])
                if n % 20 == 7:
                    wire.delete(f"live-{region}-{n % 20}")
                if end.wait(0.05):
                    break

    def add_replica(self):
        lab = self.lab
        with open(lab.topology) as f:
            text = f.read()
        more = text.replace("data_endpoints: enabled\n    replicas: [{ region: eastus }, { region: westeurope }]",
                            "data_endpoints: enabled\n    replicas: [{ region: eastus }, { region: westeurope }, { region: southeastasia }]", 1)
        self.assertNotEqual(more, text)
        with open(f"{lab.topology}.new", "w") as f:
            f.write(more.replace("version: 1\n", "version: 2\n", 1))
        os.rename(f"{lab.topology}.new", lab.topology)

    def noted(self):
        """What the joining region has noted of the east's snapshot."""
        for path in glob.glob(f"{self.lab.dir}/{ASIA}/**/joining-{EAST}.json", recursive=True):
            with open(path) as f:
                return next(iter(json.load(f)["registries"].values()), {})
        return {}

    def status_of_east(self):
        host = HOSTS[ASIA]
        auth = self.lab.bearer("repository:app:pull", host=host, region=ASIA)
        status, _, body = self.lab.request("GET", host, "/replication/v1/status?registry=contoso", ASIA, auth)
        self.assertEqual(status, 200, body)
        return next((r for r in json.loads(body)["replications"] if r["origin"] == EAST), {})

    def is_under_way(self):
        return self.noted().get("state") in ("PREPARING", "IN_PROGRESS")

    def kill_amid(self, rng):
        """Kills it after a while at random; True: the snapshot was not complete."""
        time.sleep(rng.uniform(0, 0.7))
        self.lab.kill(ASIA)
        amid = self.is_under_way()
        self.lab.start(ASIA)
        return amid

    def read_and_write(self):
        """While it joins."""
        with Wire(self.lab, ASIA) as wire:
            for b in self.blobs:
                wire.blob(b)
            wire.put("asia", self.manifests[3])
            self.assertEqual(wire.digest("asia"), digest_of(self.manifests[3]))

    def listing(self, region):
        """Once what was written last is there: all tags, and what they lead to for those that clients wrote meanwhile and each fifth one."""
        out, more = {}, "/v2/app/tags/list?n=1000"
        with Wire(self.lab, region) as wire:
            for tag, n in (("last", 4), ("asia", 3)):
                wait_until(60, lambda: wire.digest(tag) == digest_of(self.manifests[n]), f"{tag} comes to {region}")
            while more:
                _, headers, body = wire.ask("GET", more, expect=(200,))
                for tag in json.loads(body)["tags"] or []:
                    sampled = not tag.startswith("t") or int(tag[1:]) < 50 or int(tag[1:]) % 5 == 0
                    out[tag] = wire.digest(tag) if sampled else None
                link = headers.get("link")
                more = link[link.index("<") + 1:link.index(">")] if link else None
                if more and more.startswith("http"):
                    more = more.split(DOMAIN, 1)[1]
        return out

    def test_a_region_joins_while_clients_write(self):
        lab, rng, end, amid, began = self.lab, random.Random(SEED), threading.Event(), 0, 0
        self.fill()
        writers = Together()
        for region in (EAST, WEST):
            writers.start(self.keep_writing, region, end)
        try:
            with lab.slow_line(ASIA, LINE):
                self.add_replica()
                wait_until(60, lambda: self.noted(), "it begins")
                for _ in range(N_KILLS):
                    amid += self.kill_amid(rng)
                    began = self.noted().get("beganMs", began)
                self.assertGreaterEqual(amid, 1, "it was killed in mid-join")
                self.read_and_write()
                row = wait_until(60, lambda: (lambda r: r if r.get("joining") else None)(self.status_of_east()), "status tells of it")
                if row["joining"]["state"] != "COMPLETE":
                    self.assertEqual(row["state"], "Syncing")
                    self.assertIn("takes a snapshot of what eastus wrote", lab.run(MERIDIAN, "replication", "status", "-r", "contoso", check=False).stdout)
                wait_until(90, lambda: self.noted().get("state") == "COMPLETE", "its snapshot of the east is complete")
        finally:
            end.set()
            writers.join()
        joining = self.status_of_east()["joining"]
        self.assertGreaterEqual(joining["of"], N_TAGS + N_MOVED + N_DELETED)
        self.assertGreater(joining["entries"], N_TAGS)
        self.assertGreater(joining["bytes"], 300 * N_TAGS)
        self.assertEqual(joining["startedMs"], began, "it went on, and did not begin anew")
        with Wire(lab, EAST) as wire:
            wire.put("last", self.manifests[4])
        lists, all_of = {}, Together()
        for region in HOSTS:
            all_of.start(lambda r: lists.__setitem__(r, self.listing(r)), region)
        all_of.join()
        self.assertGreaterEqual(len(lists[EAST]), N_TAGS - N_DELETED)
        self.assertNotIn(f"t{N_TAGS - 1}", lists[EAST])
        for region in (WEST, ASIA):
            self.assertEqual(lists[region], lists[EAST])
        lab.login(HOSTS[ASIA])
        seen = json.loads(lab.check("skopeo", "list-tags", f"docker://{HOSTS[ASIA]}/app"))["Tags"]
        self.assertEqual(sorted(seen), sorted(lists[EAST]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
