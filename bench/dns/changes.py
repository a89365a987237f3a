#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Meridian's resolver from the compiled form of a topology, and while changes arrive; called by changes.sh. NSD beside it
for the tail of latency at a fixed rate, if it is installed. One JSON object per line as it goes on, a table at the end."""
import argparse, json, os, random, subprocess, sys, tempfile, threading, time

from bench import Bench, Meridian, Nsd, Probe, own_scheduling_group, shutil, statistics

RATE = 40000


class Compiled(Meridian):
    """The same node, on the compiled form and with its file of changes."""
    workers = 1

    def prepare(self):
        super().prepare()
        subprocess.run([self.b.build + "/cli/meridian", "topology", "compile", self.dir + "/topology.yaml", self.dir + "/topology"],
                       stdout=self.log, stderr=self.log, check=True)
        with open(self.dir + "/meridiand.yaml") as f:
            text = f.read()
        self.write("meridiand.yaml", text.replace(self.dir + "/topology.yaml", self.dir + "/topology").replace(
            "resolver: 1", "resolver: %d" % self.workers))
        self.version = 1
        self.homes = {None: int(self.b.change["old"][1:])}

    def row(self, i, stamp):
        """A replica that moves says from where; the new stamp was published long ago."""
        was = self.homes.get(i, stamp)
        self.homes[i] = stamp
        moved = "" if was == stamp else ", stamp_was: s%02d, stamp_since: '2020-01-01T00:00:00Z'" % was
        return "version: %d\nregistries: [{ name: %s, regional_endpoints: enabled, replicas: [{ region: %s, stamp: s%02d%s }] }]\n...\n" % (
            self.version, self.b.change["registry"] if i is None else "bench%06d" % i, self.b.change["region"], stamp, moved)

    def append(self, i, stamp):
        self.version += 1
        os.write(self.changes, self.row(i, stamp).encode())

    def open_changes(self):
        self.changes = os.open(self.dir + "/topology.changes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def blast(b, port, seconds, rate=None):
    argv = [b.blast, "-p", str(port), "-d", b.queries, "-l", str(seconds)] + (["-Q", str(rate)] if rate else [])
    return json.loads(subprocess.run(["taskset", "-c", "1", *argv], capture_output=True, text=True, check=True).stdout)


def answered_ms(s, n):
    """From the append to the first answer that shows it: the file is read, the change judged and published in between."""
    out, probe = [], Probe(s.port, s.b.regional)
    for k in range(n):
        stamp = (k + 5) % 10
        s.append(None, stamp)
        began = time.monotonic()
        while not probe.has(b"\x03s%02d" % stamp):
            if time.monotonic() - began > 10:
                sys.exit("a change was not answered within 10 s")
        out.append(1000 * (time.monotonic() - began))
        time.sleep(0.02)
    return out


def stream(s, per_second, stop):
    rnd, due = random.Random(3), time.monotonic()
    while not stop.is_set():
        s.append(rnd.randrange(100000), rnd.randrange(10))
        due += 1 / per_second
        time.sleep(max(0, due - time.monotonic()))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--limit", type=float, default=120)
    p.add_argument("--port", type=int, default=5330)
    a = p.parse_args()
    own_scheduling_group()
    with tempfile.TemporaryDirectory(prefix="meridian-dns-changes.") as work:
        b = Bench(a, work)
        s, nsd = Compiled("meridian", b, a.port), Nsd("nsd", b, a.port + 1)
        up = []
        try:
            if not s.start():
                sys.exit("no answer\n" + open(s.dir + "/log").read()[-2000:])
            up.append(s)
            print(json.dumps({"start_s": round(s.load_s, 2)}), flush=True)
            s.stop()  # a second start: from the last good one that the node keeps
            began = time.monotonic()
            s.process = s.run(*s.argv())
            s.probe().wait(s.want(False), b.limit, lambda: True)
            print(json.dumps({"start_again_s": round(time.monotonic() - began, 2)}), flush=True)
            if shutil.which("nsd") and nsd.start():
                up.append(nsd)
            time.sleep(2)
            s.load(0.3)
            memory = s.memory()
            s.open_changes()
            quiet, busy, peer = [], [], []
            for _ in range(a.rounds):
                quiet.append(blast(b, s.port, a.seconds, RATE))
                stop = threading.Event()
                t = threading.Thread(target=stream, args=(s, 100, stop))
                t.start()
                busy.append(blast(b, s.port, a.seconds, RATE))
                stop.set()
                t.join()
                if nsd in up:
                    peer.append(blast(b, nsd.port, a.seconds, RATE))
            ms = sorted(answered_ms(s, 200))
            for k in range(10000):
                s.append(k, k % 10)
            s.append(None, 3)
            s.probe().wait(b"\x03s03", b.limit, lambda: True)
            s.load(0.3)
            time.sleep(3)
            after = s.memory()
        finally:
            for x in up:
                x.stop()
    print("change answered after: median %.2f ms, p99 %.2f ms, most %.2f ms (%d of them)" % (
        statistics.median(ms), ms[len(ms) * 99 // 100], ms[-1], len(ms)))
    print("anonymous memory: %.1f MiB, %.1f MiB after %d changes" % (memory, after, s.version - 1))
    print("| at %d queries/s | p50 us | p99 us | p99.9 us | most us | lost |\n|--|--:|--:|--:|--:|--:|" % RATE)
    for name, rows in (("meridian, quiet", quiet), ("meridian, 100 changes/s", busy), ("nsd", peer)):
        if rows:
            print("| %s | %s | %d |" % (name, " | ".join("%.0f" % statistics.median(r[k] for r in rows) for k in (
                "p50_us", "p99_us", "p999_us", "most_us")), sum(r["lost"] for r in rows)))


if __name__ == "__main__":
    main()
