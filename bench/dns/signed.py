# SPDX-License-Identifier: Apache-2.0
"""bench/dns/signed.py: answers with DNSSEC (DO in all queries) beside Knot, which has the expanded zone signed before.

Queries: names of the data set's queries.txt, drawn by Zipf's law (rank^-1, by --zipf), so that popular names return. Medians of
interleaved rounds, processor time of the server per query. Then Meridian alone: names whose signatures are not there yet,
and popular names at a steady rate with and without a flood of random names.

   python3 bench/dns/signed.py --build build --data build/bench-data/1000x8"""
import argparse, json, os, random, statistics, subprocess, sys, tempfile, time
import bench

RATE = 20000  # queries a second of the popular names while others flood


class SignedMeridian(bench.Meridian):
    def prepare(self):
        super().prepare()
        cli, topology = self.b.build + "/cli/meridian", self.dir + "/topology.yaml"
        keys = "%s/%s/keys/dns" % (self.dir, self.b.change["region"])
        ids = subprocess.run([cli, "dns", "keys", "generate", "--dir", keys], capture_output=True, text=True, check=True).stdout.split()
        subprocess.run([cli, "dns", "keys", "publish", "--dir", keys, *ids, "--topology", topology], stdout=self.log, stderr=self.log, check=True)


class SignedKnot(bench.Knot):
    def configure(self):
        super().configure()
        os.makedirs(self.dir + "/db", exist_ok=True)
        with open(self.dir + "/knot.conf") as f:
            text = f.read()
        self.write("knot.conf", text.replace("zone:\n", "policy:\n  - id: p\n    algorithm: ecdsap256sha256\n    signing-threads: 2\nzone:\n")
                   + "    dnssec-signing: on\n    dnssec-policy: p\n")


def load(server, queries, seconds, *more):
    u0, s0 = server.cpu()
    out = subprocess.run(["taskset", "-c", "1", server.b.blast, "-p", str(server.port), "-d", queries, "-l", str(seconds), "-D", *more],
                         capture_output=True, text=True, check=True).stdout
    u1, s1 = server.cpu()
    r = json.loads(out)
    r.update(user=(u1 - u0) / max(r["got"], 1), system=(s1 - s0) / max(r["got"], 1))
    return r


def beside(server, queries, noise, seconds):
    """A steady rate of queries, with another stream of the same rate going on."""
    other = noise and subprocess.Popen(["taskset", "-c", "1", server.b.blast, "-p", str(server.port), "-d", noise, "-l", str(seconds + 0.6),
                                        "-D", "-Q", str(RATE)], stdout=subprocess.DEVNULL)
    if other:
        time.sleep(0.3)
    r = load(server, queries, seconds, "-Q", str(RATE))
    if other:
        other.wait()
    return r


def row(name, rs):
    m = lambda k: statistics.median(r[k] for r in rs)
    n = sum(r["got"] for r in rs)
    print("| %s | %.2f + %.2f | %d | %.0f | %.0f | %.2f %% | %d |" % (
        name, m("user"), m("system"), m("qps"), m("p99_us"), m("bytes"), 100 * sum(r["truncated"] for r in rs) / max(n, 1), sum(r["lost"] for r in rs)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--limit", type=float, default=120)
    p.add_argument("--port", type=int, default=5410)
    p.add_argument("--zipf", type=float, default=1.3)
    a = p.parse_args()
    bench.own_scheduling_group()
    rng = random.Random(1)
    up = []
    with tempfile.TemporaryDirectory(prefix="meridian-dns-bench.") as work:
        b = bench.Bench(a, work)
        with open(b.queries) as f:
            names = sorted(set(f.read().splitlines()))
        rng.shuffle(names)
        popular, there, flood, fresh = (work + "/" + n for n in ("popular", "there", "flood", "fresh"))
        weights = [1 / (i + 1) ** a.zipf for i in range(len(names))]
        drawn = rng.choices(names, weights, k=200000)
        with open(popular, "w") as f:
            f.write("\n".join(drawn) + "\n")
        with open(there, "w") as f: # without the names that the zone has not
            with open(b.data + "/zone") as z:
                owners = {l.split()[0] for l in z if l[:1] not in "$@; \t\n"}
            tail = "." + b.change["domain"]
            f.write("\n".join(q for q in drawn if q.split()[0].removesuffix(tail) in owners) + "\n")
        with open(flood, "w") as f:
            f.writelines("%032x.%s A\n" % (rng.getrandbits(128), b.change["domain"]) for _ in range(200000))
        with open(fresh, "w") as f:
            f.write("\n".join(n for n in names) + "\n")
        print("%d names, Zipf s = %g: %d of them in 200,000 queries, the first 1 %% are %.0f %% of the queries" % (
            len(names), a.zipf, len(set(drawn)), 100 * sum(weights[:len(names) // 100 or 1]) / sum(weights)))
        try:
            for i, kind in enumerate((SignedMeridian, SignedKnot)):
                s = kind(kind.__name__, b, a.port + i)
                if not s.start():
                    print(s.name, open(s.dir + "/log").read()[-600:], file=sys.stderr)
                    return 1
                up.append(s)
            time.sleep(1)
            rounds = {s.name: [] for s in up}
            print("\n| | user + system us/query | queries/s | p99 us | answer bytes | truncated | lost |\n|--|--:|--:|--:|--:|--:|--:|")
            row("Meridian, cold: every name once, in 1 s", [load(up[0], fresh, 1, "-Q", str(len(names)))])
            for s in up:  # warm
                load(s, popular, 4)
            for r in range(a.rounds):
                for k in range(2):
                    s = up[(r + k) % 2]
                    rounds[s.name].append(load(s, popular, a.seconds))
            row("Meridian, signed on line, warm", rounds["SignedMeridian"])
            row("Knot, signed before", rounds["SignedKnot"])
            # In turn, so that neighbours disturb all alike: alone, beside as many names that are in the cache, beside random ones.
            steady = {"alone": [], "while as many more of them are asked": [], "while as many random names are asked": []}
            for _ in range(a.rounds):
                for (name, rows), noise in zip(steady.items(), (None, there, flood)):
                    rows.append(beside(up[0], there, noise, a.seconds))
            for name, rows in steady.items():
                row("Meridian, names that exist, at %d/s, %s" % (RATE, name), rows)
        finally:
            for s in up:
                s.stop()
                s.log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
