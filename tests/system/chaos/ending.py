# SPDX-License-Identifier: Apache-2.0
"""The end of a run: what every region has and says once all is healed. Tags and content are asked for over HTTP like any
client does; registers and feeds are read from the regions' metadata, since no request shows them."""
import contextlib, json, re, sqlite3, subprocess, threading, time

from chaos.clients import Connection
from chaos.fleet import REGIONS, SLOWER
from chaos.judge import End, Entry
from lab import DOMAIN, MERIDIAN

CONVERGE_S = 60 * SLOWER
REFILL_S = 60 * SLOWER  # more, where a disk was lost: that region fetches everything anew
TAG_ENTRY, HISTORY_MAX = 2, 100  # store/entry.h, store/meta.h
# No log line of a healthy fleet has these, whatever the nemesis did.
BAD_LINES = re.compile(r"sandbox: the system call|assert|AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|"
                       r"SUMMARY:|corrupt|damaged|malformed|Diverged|Conflict|differs from region|differs from what|no place in|\[emerg\]")


OF_EACH = {"contoso": "team/app", "tailspin": "base/os", "wingtip": "team/pay"}  # a repository to ask about a registry with


DELETED = "wingtip/team/gone:"


def metadata(fleet, region):
    return contextlib.closing(sqlite3.connect(f"file:{fleet.dir}/{region}/meta/meta.db?mode=ro", uri=True))


def registers(fleet, region, wall_to_mono_s):
    """{tag: [Entry]} of a region: every value that its log holds of each tag's register, its own and those of others."""
    out = {}
    with metadata(fleet, region) as db:
        for registry, name, tag, stamp, origin, digest in db.execute(
                "SELECT registry, repository, tag, CASE restates WHEN 0 THEN stamp ELSE restates END, origin, digest "
                "FROM feed WHERE kind=?", (TAG_ENTRY,)):
            at = (stamp >> 16) / 1000 - wall_to_mono_s
            out.setdefault(f"{registry}/{name}:{tag}", []).append(Entry(stamp, origin, "sha256:" + digest[1:].hex(), at))
    return out


def history_problems(fleet, region, registers):
    """The history that is shown of a tag is the highest values of its register."""
    listed = {}
    with metadata(fleet, region) as db:
        for registry, name, tag, stamp, origin, digest in db.execute(
                "SELECT r.registry, r.name, h.tag, h.stamp, h.origin, h.digest "
                "FROM tag_history h JOIN repositories r ON r.id=h.repo"):
            listed.setdefault(f"{registry}/{name}:{tag}", set()).add((stamp, origin, "sha256:" + digest[1:].hex()))
    for tag, entries in registers.items():
        if tag.startswith(DELETED):
            continue  # a tombstone ends what it covers
        expected = set(sorted({(e.stamp, e.origin, e.digest) for e in entries})[-HISTORY_MAX:])
        if listed.get(tag, set()) != expected:
            yield f"{region}: the history of {tag} differs from its register: {sorted(listed.get(tag, set()) ^ expected)[:4]}"


def feed_problems(fleet):
    """Every origin's entries are there in every region, without a gap in an epoch."""
    heads = {}
    for region in REGIONS:
        with metadata(fleet, region) as db:
            for origin, epoch, n, low, high in db.execute(
                    "SELECT origin, epoch, count(*), min(seq), max(seq) FROM feed GROUP BY origin, epoch"):
                if n != high - low + 1:
                    yield f"{region} holds {n} entries of {origin} from {low} to {high} in epoch {epoch}: a gap"
                heads.setdefault((origin, epoch), {})[region] = high
            n_jobs, = db.execute("SELECT count(*) FROM tasks WHERE kind=0").fetchone()
            if n_jobs:
                yield f"{region} still has {n_jobs} jobs"
    for (origin, epoch), by_region in heads.items():
        if len(set(by_region.values())) > 1 or len(by_region) < len(REGIONS):
            yield f"the feed of {origin} in epoch {epoch} ends differently: {by_region}"


class Look:
    """One region, asked over HTTP."""

    def __init__(self, fleet, region):
        self.fleet, self.region, self.http, self.tokens = fleet, region, Connection(fleet.ca), {}

    def get(self, method, registry, scope, path):
        host = self.fleet.host(registry, self.region)
        if (registry, scope) not in self.tokens:
            self.tokens[registry, scope] = self.fleet.token(scope, host=host, region=self.region)
        auth = {"Authorization": "Bearer " + self.tokens[registry, scope]}
        return self.http.request(self.region, host, method, path, auth, None)

    def tag(self, tag):
        registry, rest = tag.split("/", 1)
        repository, name = rest.rsplit(":", 1)
        status, got, _ = self.get("HEAD", registry, f"repository:{repository}:pull", f"/v2/{repository}/manifests/{name}")
        return got.get("docker-content-digest") if status == 200 else None

    def has(self, name):
        registry, rest = name.split("/", 1)
        repository, digest = rest.split("@")
        return self.get("HEAD", registry, f"repository:{repository}:pull", f"/v2/{repository}/manifests/{digest}")[0] == 200

    def locked(self, tag):
        registry, rest = tag.split("/", 1)
        repository, name = rest.rsplit(":", 1)
        status, _, body = self.get("GET", registry, f"repository:{repository}:pull", f"/registry/v1/lock?repository={repository}&tag={name}")
        return status == 200 and json.loads(body)["locked"]["write"]

    def found(self, name):
        """Of a digest or a tag: what must be 404 after a deletion."""
        return self.has(name) if "@" in name else self.tag(name) is not None

    def status(self, registry):
        repository = OF_EACH[registry]
        path = f"/replication/v1/status?registry={registry}"
        status, _, body = self.get("GET", registry, f"repository:{repository}:pull", path)
        if status != 200:
            raise OSError(f"status of {registry} in {self.region}: {status} {body!r}")
        return json.loads(body)


def status_problems(fleet):
    for region in REGIONS:
        look = Look(fleet, region)
        for registry in OF_EACH:
            doc = look.status(registry)
            if doc["writes"] != "open":
                yield f"{region}: writes are {doc['writes']}"
            for row in doc["replications"]:
                if row["state"] != "Ready" or row["lagEntries"]:
                    yield f"{region} of {row['origin']}: {row['state']}, {row['lagEntries']} entries to go, {row['lastError']}"


def wait_problems(fleet, tags):
    for tag in tags:
        p = subprocess.run([MERIDIAN, "replication", "wait", tag, "--timeout", f"{20 * SLOWER}s"], capture_output=True, text=True,
                           timeout=120 * SLOWER)
        if p.returncode:
            yield f"replication wait {tag}: exit {p.returncode}\n{p.stdout}{p.stderr}"


def log_problems(fleet, lost=()):
    """`lost`: regions whose disk was lost; others rightly find that their feed is another one than it was, and are told so."""
    excused = [f"the feed of {r} contradicts what was read of it" for r in lost]
    for region in REGIONS:
        for name in ("meridiand.log", "run/edge/nginx.log"):
            try:
                with open(f"{fleet.dir}/{region}/{name}", errors="replace") as f:
                    fine = excused + ["409 CONFLICT: the cursor is no place in this feed"] * (region in lost)
                    lines = [l.rstrip() for l in f if BAD_LINES.search(l) and not any(e in l for e in fine)]
            except FileNotFoundError:
                continue
            for line in lines[:5]:
                yield f"{region}/{name}: {line}"


def converge(fleet, limit_s):
    """Waits until all regions are Ready; (what is not so at the limit, how long it took, what it took so long)."""
    began, problems, last = time.monotonic(), ["not looked at"], []
    while problems and time.monotonic() - began < limit_s:
        try:
            problems = list(status_problems(fleet))
        except (OSError, ValueError, AssertionError, KeyError) as e:
            problems = [f"status: {e!r}"]
        if problems:
            last = problems
            time.sleep(0.3)
    return [f"{limit_s} s after healing: {p}" for p in problems], time.monotonic() - began, last


def each_region(work):
    out, errors = {}, []

    def one(region):
        try:
            out[region] = work(region)
        except Exception as e:
            errors.append(f"{region}: {e!r}")
    threads = [threading.Thread(target=one, args=(r,)) for r in REGIONS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise AssertionError("; ".join(errors))
    return out


def look_at_the_end(fleet, history, tags, losses=()):
    end = End()
    end.problems, took_s, last = converge(fleet, CONVERGE_S + (REFILL_S if losses else 0))
    wall_to_mono_s = time.time() - time.monotonic()
    end.problems += wait_problems(fleet, tags)
    put = sorted({*tags, *(o.tag for o in history.of("put") if o.acknowledged())})
    end.tags = each_region(lambda r: (lambda look: {t: d for t in put if (d := look.tag(t))})(Look(fleet, r)))
    names = sorted({f"{o.tag.rsplit(':', 1)[0]}@{o.digest}" for o in history.of("put") if o.acknowledged()})
    end.pullable = each_region(lambda r: (lambda look: {n for n in names if look.has(n)})(Look(fleet, r)))
    gone = sorted({n for o in history.of("delete") if o.status == 202 for n in (f"{o.tag.rsplit(':', 1)[0]}@{o.digest}", o.tag)})
    end.found_again = each_region(lambda r: (lambda look: {n for n in gone if look.found(n)})(Look(fleet, r)))
    locks = sorted({o.tag for o in history.of("lock")})
    end.locks = each_region(lambda r: (lambda look: {t: look.locked(t) for t in locks})(Look(fleet, r)))
    end.registers = {r: registers(fleet, r, wall_to_mono_s) for r in REGIONS}
    end.problems += [p for r in REGIONS for p in history_problems(fleet, r, end.registers[r])]
    end.problems += feed_problems(fleet)
    for region in REGIONS:
        if fleet.request("GET", f"{fleet.stamps[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)[0] != 200:
            end.problems.append(f"{region}: /healthz is not up")
    end.problems += [f"{region} ended by itself with exit status {status}" for region, status in fleet.exits]
    return end, f"all Ready {took_s:.1f} s after healing" + (f" (the last: {last[0]})" if last else "")


def stop_problems(fleet, lost=()):
    """Stops all regions, which they must do in peace, and reads all that they ever said."""
    for region, status in each_region(fleet.stop).items():
        if status:
            yield f"{region}: a stop at the end gave exit status {status}"
    yield from log_problems(fleet, lost)
