#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures DNS servers side by side; called by run.sh. All run at once, each with one worker on core 0; only the one under
load has work. Rounds are interleaved and start at another server each time; figures are medians of the rounds. What a
query costs the server is its processes' user and system time from /proc, less disturbed by neighbours than a rate."""
import argparse, json, os, shutil, socket, statistics, struct, subprocess, sys, tempfile, time

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def query(name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def own_scheduling_group():
    """Of a session of its own: neighbours on the machine then take less of the time. Works as root where the kernel groups."""
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write("-20")
    except OSError:
        pass


class Probe:
    """One name asked until the answer holds the wanted bytes."""
    def __init__(self, port, name):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.connect(("127.0.0.1", port))
        self.s.settimeout(0.02)
        self.packet = query(name)

    def has(self, want):
        try:
            self.s.send(self.packet)
            return want in self.s.recv(4096)
        except OSError:
            return False

    def wait(self, want, seconds, alive):
        end = time.monotonic() + seconds
        while time.monotonic() < end and alive():
            if self.has(want):
                return True
            time.sleep(0.0005)
        return False


class Server:
    def __init__(self, name, bench, port):
        self.name, self.b, self.port = name, bench, port
        self.dir = os.path.join(bench.work, name)
        os.makedirs(self.dir)
        self.log = open(self.dir + "/log", "w")
        self.rows = []

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def run(self, *argv):
        return subprocess.Popen(["taskset", "-c", "0", *argv], stdout=self.log, stderr=self.log, start_new_session=True,
                                preexec_fn=own_scheduling_group)

    def tell(self, *argv):
        subprocess.run(["taskset", "-c", "1", *argv], stdout=self.log, stderr=self.log)

    def start(self):
        self.prepare()
        began = time.monotonic()
        self.process = self.run(*self.argv())
        alive = lambda: self.process.poll() is None
        if not self.probe().wait(self.want(False), self.b.limit, alive):
            self.stop()
            return False
        self.load_s = time.monotonic() - began
        return True

    def probe(self):
        return Probe(self.port, self.b.regional)

    def want(self, changed):
        # gdnsd and the static ones send at least the first CNAME: the target's first label tells.
        stamp = self.b.change["new" if changed else "old"]
        return b"\x03" + stamp.encode()

    def pids(self):
        todo, out = [self.process.pid], []
        while todo:
            p = todo.pop()
            out.append(p)
            try:
                for t in os.listdir("/proc/%d/task" % p):
                    todo += [int(c) for c in open("/proc/%d/task/%s/children" % (p, t)).read().split()]
            except OSError:
                pass
        return out

    def cpu(self):
        user = system = 0
        for p in self.pids():
            try:
                f = open("/proc/%d/stat" % p).read().rsplit(")", 1)[1].split()
                user, system = user + int(f[11]), system + int(f[12])
            except OSError:
                pass
        return user * TICK_US, system * TICK_US

    def memory(self):
        kib = 0
        for p in self.pids():
            try:
                kib += sum(int(l.split()[1]) for l in open("/proc/%d/smaps_rollup" % p) if l.startswith("Pss_Anon:"))
            except OSError:
                pass
        return kib / 1024

    def load(self, seconds):
        u0, s0 = self.cpu()
        out = subprocess.run(["taskset", "-c", "1", self.b.blast, "-p", str(self.port), "-d", self.b.queries, "-l", str(seconds)],
                             capture_output=True, text=True, check=True).stdout
        u1, s1 = self.cpu()
        r = json.loads(out)
        n = max(r["got"], 1)
        r.update(user=(u1 - u0) / n, system=(s1 - s0) / n)
        self.rows.append(r)

    def median(self, key):
        return statistics.median(r[key] for r in self.rows)

    def change_s(self):
        """A prepared change is put in place; seconds until it is answered."""
        if not self.prepare_change():
            return None
        began = time.monotonic()
        self.make_change()
        alive = lambda: self.process.poll() is None
        return time.monotonic() - began if self.probe().wait(self.want(True), self.b.limit, alive) else None

    def prepare_change(self):
        return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def swap(self, path, old, new):
        with open(os.path.join(self.dir, path)) as f, open(os.path.join(self.dir, path + ".new"), "w") as g:
            g.write(f.read().replace(old, new, 1))
        return True


class Meridian(Server):
    """The resolver alone: roles: [resolver], one worker."""
    def prepare(self):
        subprocess.run([self.b.build + "/cli/meridian", "init", "--topology", self.b.data + "/topology.yaml", "--out", self.dir],
                       stdout=self.log, stderr=self.log, check=True)
        region = self.b.change["region"]
        self.write("principals.yaml", "version: 1\nusers: []\n")
        os.chmod(self.dir + "/principals.yaml", 0o600)
        self.write("meridiand.yaml", "region: %s\nstamp: s00\nroles: [resolver]\ndata_dir: %s/%s\ntopology: %s/topology.yaml\n"
                   "ca_file: %s/ca/ca.pem\nlisten: { dns: [\"127.0.0.1:%d\"] }\nworkers: { resolver: 1 }\n"
                   "users: { daemon: root, edge: root }\n" % (region, self.dir, region, self.dir, self.dir, self.port))

    def argv(self):
        return [self.b.build + "/daemon/meridiand", "--config", self.dir + "/meridiand.yaml"]

    def prepare_change(self):
        c = self.b.change
        row = "- name: %s\n    regional_endpoints: enabled\n    replicas:\n      - { region: %s, stamp: " % (c["registry"], c["region"])
        # Said to have been published long ago: names lead to the new stamp as soon as the edit is read.
        moved = c["new"] + ", stamp_was: " + c["old"] + ", stamp_since: '2020-01-01T00:00:00Z'"
        self.swap("topology.yaml", row + c["old"], row + moved)
        with open(self.dir + "/topology.yaml.new") as f:
            text = f.read()
        self.write("topology.yaml.new", text.replace("version: 1\n", "version: 2\n", 1))
        return True

    def make_change(self):
        os.rename(self.dir + "/topology.yaml.new", self.dir + "/topology.yaml")


class Echo(Server):
    def prepare(self):
        pass

    def argv(self):
        return [self.b.build + "/bench/dns/dns_echo", str(self.port), "98"]

    def want(self, changed):
        return b"\0\7\x84\0"


class Zone(Server):
    def prepare(self):
        shutil.copy(self.b.data + "/zone", self.dir + "/zone")
        self.configure()

    def prepare_change(self):
        c = self.b.change
        row = "%s.%s.geo 60 CNAME " % (c["registry"], c["region"])
        self.swap("zone", row + c["old"], row + c["new"])
        with open(self.dir + "/zone.new") as f:
            text = f.read()
        self.write("zone.new", text.replace("hostmaster 1 ", "hostmaster 2 ", 1))
        return True

    def make_change(self):
        os.rename(self.dir + "/zone.new", self.dir + "/zone")
        self.reload()


class Nsd(Zone):
    def configure(self):
        self.write("nsd.conf", """server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  do-ip6: no
  username: ""
  zonesdir: "%s"
  database: ""
  pidfile: "%s/pid"
  xfrdfile: "%s/xfrd"
  zonelistfile: "%s/list"
  xfrdir: "%s"
  minimal-responses: yes
  rrl-ratelimit: 0
  verbosity: 0
remote-control:
  control-enable: yes
  control-interface: "%s/ctl"
zone:
  name: %s
  zonefile: zone
""" % ((self.port,) + (self.dir,) * 6 + (self.b.change["domain"],)))

    def argv(self):
        return ["nsd", "-d", "-c", self.dir + "/nsd.conf"]

    def reload(self):
        self.tell("nsd-control", "-c", self.dir + "/nsd.conf", "reload", self.b.change["domain"])


class Knot(Zone):
    def configure(self):
        self.write("knot.conf", """server:
  rundir: %s
  listen: 127.0.0.1@%d
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
control:
  listen: %s/ctl
database:
  storage: %s/db
log:
  - target: stderr
    any: warning
zone:
  - domain: %s
    storage: %s
    file: zone
    zonefile-load: whole
    zonefile-sync: -1
    semantic-checks: off
""" % (self.dir, self.port, self.dir, self.dir, self.b.change["domain"], self.dir))

    def argv(self):
        return ["knotd", "-c", self.dir + "/knot.conf"]

    def reload(self):
        self.tell("knotc", "-s", self.dir + "/ctl", "zone-reload", self.b.change["domain"])


class Gdnsd(Zone):
    """Sends the first CNAME only; its change here is that of a static name (a global one needs a new process)."""
    def prepare(self):
        src, cfg = self.b.data + "/gdnsd", self.dir + "/cfg"
        os.makedirs(self.dir + "/run")
        os.makedirs(self.dir + "/state")
        shutil.copytree(src + "/zones", cfg + "/zones")
        shutil.copytree(src + "/geoip", cfg + "/geoip")
        shutil.copy(src + "/fe.state", self.dir + "/state/fe.state")
        with open(src + "/config.in") as f:
            self.write("cfg/config", f.read().replace("@PORT@", str(self.port)).replace("@DIR@", self.dir))
        os.symlink(cfg + "/zones/" + self.b.change["domain"], self.dir + "/zone")

    def argv(self):
        return ["gdnsd", "-c", self.dir + "/cfg", "start"]

    def make_change(self):
        os.rename(self.dir + "/zone.new", self.dir + "/cfg/zones/" + self.b.change["domain"])
        self.tell("gdnsdctl", "-c", self.dir + "/cfg", "-t", "300", "reload-zones")

    def stop(self):
        self.tell("gdnsdctl", "-c", self.dir + "/cfg", "-i", "stop")
        super().stop()


KINDS = {"meridian": (Meridian, None), "echo": (Echo, None), "nsd": (Nsd, "nsd"), "knot": (Knot, "knotd"), "gdnsd": (Gdnsd, "gdnsd")}


class Bench:
    def __init__(self, a, work):
        self.build, self.data, self.work, self.limit = os.path.abspath(a.build), os.path.abspath(a.data), work, a.limit
        self.blast, self.queries = self.build + "/bench/dns/dns_blast", self.data + "/queries.txt"
        with open(self.data + "/change.json") as f:
            self.change = json.load(f)
        self.regional = "%(registry)s.%(region)s.geo.%(domain)s" % self.change


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--limit", type=float, default=120, help="seconds for a start or a change")
    p.add_argument("--port", type=int, default=5310)
    p.add_argument("servers", nargs="+", choices=KINDS)
    a = p.parse_args()
    own_scheduling_group()
    up = []
    with tempfile.TemporaryDirectory(prefix="meridian-dns-bench.") as work:
        b = Bench(a, work)
        try:
            for i, name in enumerate(a.servers):
                kind, program = KINDS[name]
                if program and not shutil.which(program):
                    print("%s: not installed, left out" % program, file=sys.stderr)
                    continue
                s = kind(name, b, a.port + i)
                if s.start():
                    up.append(s)
                else:
                    s.log.close()
                    print("%s: no answer in %g s\n%s" % (name, a.limit, open(s.dir + "/log").read()[-600:]), file=sys.stderr)
            time.sleep(1)
            memory = {s.name: s.memory() for s in up}
            for r in range(a.rounds):
                for k in range(len(up)):
                    up[(r + k) % len(up)].load(a.seconds)
            changes = {s.name: s.change_s() for s in up}
            time.sleep(3)
            for s in up: # a query or two: what was replaced is let go
                s.load(0.2)
                s.rows.pop()
            time.sleep(3)
            after = {s.name: s.memory() for s in up}
        finally:
            for s in up:
                s.stop()
    print("| server | user + system us/query | queries/s | p99 us | answer bytes | lost | anonymous MiB (after the change) | start s | change s |")
    print("|--|--:|--:|--:|--:|--:|--:|--:|--:|")
    for s in up:
        change = changes[s.name]
        print("| %s | %.2f + %.2f | %d | %.0f | %.0f | %d | %.0f (%.0f) | %.2f | %s |" % (
            s.name, s.median("user"), s.median("system"), s.median("qps"), s.median("p99_us"), s.median("bytes"),
            sum(r["lost"] for r in s.rows), memory[s.name], after[s.name], s.load_s, "-" if change is None else "%.2f" % change))


if __name__ == "__main__":
    main()
