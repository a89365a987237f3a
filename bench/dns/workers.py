#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/dns/workers.py: what a query costs as workers are added. Meridian with 1 to --workers of them, each node on as many
cores, and NSD with as many servers if it is installed; loaded in turn by as many generators, which share all cores. If workers
got into each other's way, the processor time of a query would grow with their number. Medians of interleaved rounds.

   sudo python3 bench/dns/workers.py --build build --data build/bench-data/100000x8"""
import argparse, json, os, shutil, statistics, subprocess, tempfile, time
import bench


def on_cores(kind, n):
    class Many(kind):
        def prepare(self):
            super().prepare()
            for name, one, many in (("meridiand.yaml", "resolver: 1", "resolver: %d"), ("nsd.conf", "server-count: 1", "server-count: %d")):
                if os.path.exists(self.dir + "/" + name):
                    with open(self.dir + "/" + name) as f:
                        text = f.read()
                    self.write(name, text.replace(one, many % n))
            if kind is bench.Nsd:
                with open(self.dir + "/nsd.conf") as f:
                    text = f.read()
                self.write("nsd.conf", text.replace("  do-ip6: no\n", "  do-ip6: no\n  reuseport: yes\n"))

        def run(self, *argv):
            return subprocess.Popen(["taskset", "-c", "0-%d" % (n - 1), *argv], stdout=self.log, stderr=self.log, start_new_session=True,
                                    preexec_fn=bench.own_scheduling_group)

        def load(self, seconds):
            u0, s0 = self.cpu()
            loads = [subprocess.Popen([self.b.blast, "-p", str(self.port), "-d", self.b.queries, "-l", str(seconds), "-s"],
                                      stdout=subprocess.PIPE, text=True) for _ in range(n)]
            rows = [json.loads(p.communicate()[0]) for p in loads]
            u1, s1 = self.cpu()
            got = max(sum(r["got"] for r in rows), 1)
            self.rows.append({"user": (u1 - u0) / got, "system": (s1 - s0) / got, "qps": sum(r["qps"] for r in rows),
                              "lost": sum(r["lost"] for r in rows)})
    return Many


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--workers", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--limit", type=float, default=120)
    p.add_argument("--port", type=int, default=5350)
    a = p.parse_args()
    bench.own_scheduling_group()
    kinds = [bench.Meridian] + ([bench.Nsd] if shutil.which("nsd") else [])
    up = []
    with tempfile.TemporaryDirectory(prefix="meridian-dns-bench.") as work:
        b = bench.Bench(a, work)
        try:
            for kind in kinds:
                for n in range(1, a.workers + 1):
                    s = on_cores(kind, n)("%s, %d" % (kind.__name__, n), b, a.port + len(up))
                    if not s.start():
                        raise SystemExit("%s: no answer\n%s" % (s.name, open(s.dir + "/log").read()[-600:]))
                    up.append(s)
            time.sleep(1)
            for r in range(a.rounds):
                for k in range(len(up)):
                    up[(r + k) % len(up)].load(a.seconds)
        finally:
            for s in up:
                s.stop()
    print("| workers | user + system us/query | queries/s of all | lost |\n|--|--:|--:|--:|")
    for s in up:
        print("| %s | %.2f + %.2f | %d | %d |" % (s.name, s.median("user"), s.median("system"), s.median("qps"), sum(r["lost"] for r in s.rows)))


if __name__ == "__main__":
    main()
