# SPDX-License-Identifier: Apache-2.0
"""Three regions for a long time under 64 clients that push, pull, move tags and delete, while what nobody needs any more is
collected after a short grace. Afterwards: nothing acknowledged is lost in any region, the rest is gone from the disks, and the
daemons' memory did not grow.
    make soak SECONDS=1800
    SOAK_SECONDS=120 SOAK_CLIENTS=64 SOAK_SEED=7 tests/system/test_soak.py
"""
import collections, json, os, random, re, sys, time

from chaos.clients import Connection, digest_of
from chaos.ending import BAD_LINES, metadata
from chaos.fleet import SANITIZED, SLOWER, children, program
from lab import DOMAIN, Lab, MERIDIAN, REGIONS, TOPOLOGY, USER, need_root
from soak import memory, model
from soak.clients import Client, KEPT, Keeper, Log, REGISTRY, host

GRACE_S = 10  # longer than the longest push takes here
RULES = (f'    repositories: [{{{{ match: "soak/kept/*", retention: {{{{ untagged: 5s, keep_last: {KEPT}, tags: ["dev-*"] }}}} }}}}]\n')
KEEPERS = 8  # one of so many clients has a repository with rules
NODE = f"collect: {{ grace: {GRACE_S}s }}\n"
GROWTH_BYTES = 12 << 20  # of one process, from the second quarter of the time to the last
GROWTH_DESCRIPTORS = 64
# A daemon at rest has about 90: two for each database handle, the streams and pollers of its threads, kept connections to its peers.
# It opens most of them at its first work, so what it had before says nothing. What leaks with requests is hundreds.
AT_REST_DESCRIPTORS = 160
# In a shorter run the work itself still grows in its second half, as copies between regions do: then descriptors are compared at rest
# alone, and memory has one bound.
GROWTH_FROM_S = 60
SHORT_BYTES = 160 << 20
SETTLE_S = 60 * SLOWER
GONE_MAX = 30  # deleted images of a repository that are asked for at the end: a long run has tens of thousands


def processes(lab):
    """{name: pid}: each region's supervisor and what it started."""
    found = {}
    for region in REGIONS:
        supervisor = lab.daemons[region].pid
        found[f"{region} supervisor"] = supervisor
        for pid in children(supervisor):
            found[f"{region} {program(pid)}"] = pid
            found.update({f"{region} {program(pid)} worker": p for p in children(pid)})
    return found


class Run:
    def __init__(self, lab, seconds, n_clients, seed):
        self.lab, self.seconds = lab, seconds
        self.log = Log()
        kind = lambda n: Keeper if n % KEEPERS == 1 else Client
        self.clients = [kind(n)(n, lab, self.log, seed, n_clients) for n in range(n_clients)]
        self.problems = []

    def work(self):
        pids = processes(self.lab)
        self.pids = pids
        watch = memory.Memory(pids, max(0.2, self.seconds / 400))
        watch.start()
        for c in self.clients:
            c.start()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and len(self.log.problems) < 50:
            time.sleep(min(1, max(0, end - time.monotonic())))
        for c in self.clients:
            c.over.set()
        for c in self.clients:
            c.join(120)
            if c.failure or c.is_alive():
                self.problems.append(f"{c.name} itself failed: {c.failure!r}")
        watch.stop()
        growth_bytes = GROWTH_BYTES if not SANITIZED else 1 << 40  # what is freed stays in quarantine
        self.problems += self.log.problems
        if self.seconds >= GROWTH_FROM_S:
            self.problems += watch.problems(growth_bytes, GROWTH_DESCRIPTORS)
        elif not SANITIZED:
            self.problems += watch.larger_than(SHORT_BYTES)
        self.watch = watch

    # ---- afterwards ----
    def settle(self, what, look):
        """Until `look` finds no problem; else they are problems of the run. What is being copied has its time as long as
        it gets less: clients write faster than a small machine copies."""
        end, least = time.monotonic() + SETTLE_S, None
        while True:
            self.hurry()
            n = self.backlog()
            if least is None or n < least:
                end, least = time.monotonic() + SETTLE_S, n
            found = look() if not n or time.monotonic() > end else ["entries wait to be applied"]
            if not found:
                return
            if time.monotonic() > end:
                self.problems += [f"{what}: {text}" for text in found[:20]]
                return
            time.sleep(2)

    def backlog(self):
        """Entries that wait to be applied, in all regions."""
        n = 0
        for region in REGIONS:
            with metadata(self.lab, region) as db:
                n += db.execute("SELECT count(*) FROM tasks WHERE kind=0").fetchone()[0]
        return n

    def hurry(self):
        """What the durable queue holds is due now; by itself it would take a minute."""
        for region in REGIONS:
            for kind in self.lab.admin(region, "status")["tasks"]:
                for task in self.admin(region, "GET", f"/v1/tasks?kind={kind}&n=1000")["tasks"]:
                    self.admin(region, "POST", f"/v1/tasks/run?kind={kind}&key={task['key']}")

    def state_problems(self):
        """Tags, manifests and blobs of all repositories in all regions, as clients see them."""
        found = []
        http = Connection(self.lab.ca)
        for region in REGIONS:
            for c in self.clients:
                found += self.repository_problems(http, region, c.repository)
                if len(found) > 20:
                    return found
        http.close()
        return found

    def repository_problems(self, http, region, r):
        auth = self.lab.bearer(f"repository:{r.name}:pull", host=host(region), region=region)
        ask = lambda method, path: http.request(region, host(region), method, f"/v2/{r.name}/{path}", auth, None)
        status, _, body = ask("GET", "tags/list")
        tags = set(json.loads(body).get("tags") or []) if status == 200 else set()
        if tags != set(r.tags):
            yield f"{region} lists the tags {sorted(tags)} of {r.name}, due are {sorted(r.tags)}"
        for tag, digest in r.tags.items():
            status, got, _ = ask("HEAD", f"manifests/{tag}")
            if status != 200 or got["docker-content-digest"] != digest:
                yield f"{region} says {status} {got.get('docker-content-digest')} of {r.name}:{tag}, due is {digest}"
        for digest, image in r.images.items():
            status, _, data = ask("GET", f"manifests/{digest}")
            if status != 200 or data != image.manifest:
                yield f"{region} says {status} of {r.name}@{digest}, which was acknowledged and not deleted"
        for digest in list(r.gone)[-GONE_MAX:]:
            if ask("HEAD", f"manifests/{digest}")[0] != 404:
                yield f"{region} still has {r.name}@{digest}, which was deleted"
        for digest in r.blobs():
            if ask("HEAD", f"blobs/{digest}")[0] != 200:
                yield f"{region} lacks the blob {digest} of {r.name}"

    def blob_files(self, region):
        found = collections.Counter()
        for base, _, names in os.walk(f"{self.lab.dir}/{region}/store/blobs"):
            for name in names:
                m = re.match(r"([0-9a-f]{64})(\.|$)", name)
                if m:
                    found["sha256:" + m.group(1)] += 1
        return found

    def file_problems(self):
        """The disks hold one file of each blob that an image needs, and no other."""
        due = {b for c in self.clients for b in c.repository.blobs()}
        found = []
        for region in REGIONS:
            files = self.blob_files(region)
            lost, rest = due - set(files), set(files) - due
            twice = [d for d, n in files.items() if n > 1]
            if lost:
                found.append(f"{region} has no file of {len(lost)} blobs, such as {min(lost)}")
            if rest:
                found.append(f"{region} keeps {len(rest)} blobs that nobody needs, such as {min(rest)}")
            if twice:
                found.append(f"{region} keeps {len(twice)} blobs twice, such as {min(twice)}")
        return found

    def byte_problems(self):
        """The files' bytes are those of their digests."""
        found = []
        for region in REGIONS:
            for base, _, names in os.walk(f"{self.lab.dir}/{region}/store/blobs"):
                for name in names:
                    with open(f"{base}/{name}", "rb") as f:
                        if digest_of(f.read()) != "sha256:" + name[:64]:
                            found.append(f"{region}: {name} has other bytes")
        return found

    def admin(self, region, method, path):
        return json.loads(self.lab.check("curl", "-sS", "--fail", "-X", method, "--unix-socket",
                                         f"{self.lab.dir}/{region}/run/admin.sock", f"http://admin{path}"))

    def task_problems(self):
        """The durable queue: its tasks did not fail, and each repository with rules had its task in one region."""
        where = collections.Counter()
        for region in REGIONS:
            for kind, row in self.lab.admin(region, "status")["tasks"].items():
                if row["failing"] or (kind == "collect" and not row["steps"]):
                    yield f"{region}: {kind}: {row}"
            for task in self.admin(region, "GET", "/v1/tasks?kind=retain&n=1000")["tasks"]:
                where[task["key"]] += 1
        due = {f"{REGISTRY}/{c.repository.name}" for c in self.clients if isinstance(c, Keeper) and c.n_pushes}
        if set(where) != due or any(n != 1 for n in where.values()):
            yield f"tasks for retention are {dict(where)}, due is one for each of {sorted(due)}"

    def rest_problems(self):
        """What is at rest again has few descriptors, once connections that are kept for the next request are closed."""
        for name, pid in self.pids.items():
            n = memory.n_descriptors(pid)
            if n is None or n > AT_REST_DESCRIPTORS:
                yield f"{name} has {n} descriptors at rest, more than {AT_REST_DESCRIPTORS}"

    def stop_problems(self):
        for region in REGIONS:
            bad = [l for l in self.lab.said(region).splitlines() if BAD_LINES.search(l)]
            if bad:
                yield f"{region} says: {bad[0]}"
            status = self.lab.stop(region)
            if status:
                yield f"{region} ended with {status}"

    def judge(self):
        self.settle("the regions differ from what was acknowledged", self.state_list)
        self.settle("after the collection", self.file_problems)
        self.problems += self.state_list()  # the collection took nothing that is needed
        self.problems += self.byte_problems()
        self.problems += list(self.task_problems())
        self.settle("descriptors", lambda: list(self.rest_problems()))
        self.problems += list(self.stop_problems())

    def state_list(self):
        return list(self.state_problems())

    def summary(self):
        rows = [", ".join(f"{n} {what}" for what, n in sorted(self.log.done.items()))]
        kept = sum(len(c.repository.images) for c in self.clients)
        return rows + [f"{kept} images are left"] + self.watch.summary()


def main():
    need_root()
    model.test()
    memory.test()
    seconds = float(os.environ.get("SOAK_SECONDS") or 6)
    n_clients = int(os.environ.get("SOAK_CLIENTS") or 64)
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1, 1_000_000))
    print(f"SOAK_SEED={seed} SOAK_SECONDS={seconds:g} SOAK_CLIENTS={n_clients}", flush=True)
    topology = TOPOLOGY.replace("  - name: fabrikam\n", RULES + "  - name: fabrikam\n")
    with Lab(topology=topology, node_extra=NODE) as lab:
        lab.check(MERIDIAN, "user", "grant", USER, "--registry", REGISTRY, "--repositories", "soak/*", "--actions",
                  "pull,push,delete", "--principals", lab.principals)
        run = Run(lab, seconds, n_clients, seed)
        run.work()
        run.judge()
        print(*run.summary(), sep="\n", flush=True)
        if run.problems:
            print(f"{len(run.problems)} problems:", *run.problems[:40], sep="\n")
            sys.exit(1)
    print("nothing lost, nothing left behind, memory flat")


if __name__ == "__main__":
    main()
