# SPDX-License-Identifier: Apache-2.0
"""Five regions in a lab: their topology, their processes, and what is between them (cuts, thin lines)."""
import os, shutil, subprocess
from collections import Counter

from lab import DOMAIN, Lab, MERIDIAN, USER

REGIONS = {"eastus": "10.88.0.1", "westeurope": "10.88.0.2", "southeastasia": "10.88.0.3", "brazilsouth": "10.88.0.4",
           "japaneast": "10.88.0.5"}
STAMPS = {"eastus": "eus-1", "westeurope": "weu-1", "southeastasia": "sea-1", "brazilsouth": "brs-1", "japaneast": "jpe-1"}
SANITIZED = bool(os.environ.get("SANITIZED"))
SLOWER = 4 if SANITIZED else 1
ACK_TIMEOUT_S = 3 * SLOWER
ON_DISK = ("meta", "store", "state")  # what is lost with a disk while keys and certificates are kept


def topology():
    all_of_them = ", ".join("{{ region: %s }}" % r for r in REGIONS)
    rows = "".join(f'  - {{{{ name: {r}, stamps: [{{{{ name: {STAMPS[r]}, ipv4: [{a}] }}}}], peer: "{a}:8443" }}}}\n'
                   for r, a in REGIONS.items())
    return ("version: 1\ndomain: {domain}\nhostmaster: hostmaster@{domain}\nregions:\n" + rows +
            f"name_servers: [{', '.join(f'{s}.{r}' for r, s in STAMPS.items())}]\n"
            "registries:\n"
            "  - name: contoso\n    regional_endpoints: enabled\n    data_endpoints: enabled\n"
            f"    replicas: [{all_of_them}]\n"
            f"  - name: tailspin\n    regional_endpoints: disabled\n    replicas: [{all_of_them}]\n"
            f"  - name: wingtip\n    regional_endpoints: enabled\n    ack: peers:1\n    replicas: [{all_of_them}]\n"
            f"replication: {{{{ ack_timeout: {ACK_TIMEOUT_S}s }}}}\n"
            f"routing: {{{{ order: [{', '.join(REGIONS)}] }}}}\n"
            "health: {{ interval: 750ms, timeout: 1s, rise: 2, fall: 2, jitter: 10%, hold_down: 2s, hold_down_max: 2s }}\n"
            "certificates: {{ ca_region: eastus }}\n")


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def program(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


class Fleet(Lab):
    """`small`: {region: MiB}, regions whose data is on a disk of their own, which can be filled."""

    def __init__(self, small=None, **more):
        self.small = small or {}
        super().__init__(topology=topology(), regions=REGIONS, stamps=STAMPS, clocks=True, **more)
        self.drops = Counter()  # (from, to): how many cuts drop what goes there
        self.wanted = set(REGIONS)  # regions that are to run: who watches starts them again
        self.exits = []  # (region, exit status) of supervisors that ended by themselves

    def _files(self):
        super()._files()
        for registry in ("contoso", "wingtip"):
            self.check(MERIDIAN, "user", "grant", USER, "--registry", registry, "--actions", "pull,push,delete", "--principals",
                       self.principals)
        for region, mib in self.small.items():
            home = f"{self.dir}/{region}"
            was = os.stat(home)
            os.rename(home, home + ".made")
            os.mkdir(home)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", home], check=True)
            self.mounts.append(home)
            subprocess.run(["cp", "-a", home + ".made/.", home], check=True)
            os.chown(home, was.st_uid, was.st_gid)
            os.chmod(home, was.st_mode & 0o7777)

    # ---- disks ----
    def fill(self, region):
        """Until not a byte more fits."""
        with open(f"{self.dir}/{region}/fill", "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 65536):
                    pass
            except OSError:
                pass

    def unfill(self, region):
        os.unlink(f"{self.dir}/{region}/fill")

    def lose_disk(self, region):
        for name in ON_DISK:
            shutil.rmtree(f"{self.dir}/{region}/{name}")

    def is_rebuilt(self, region):
        """Has a region whose disk was lost got back all that the others can give?"""
        r = self.run(MERIDIAN, "region", "rebuild", "--no-wait", "--admin", f"{self.dir}/{region}/run/admin.sock", check=False)
        return r.returncode == 0

    # ---- processes ----
    def processes(self, region):
        """Their ids by part: the supervisor, the worker, nginx's master, its workers, what reads nginx's log."""
        supervisor = self.daemons[region].pid
        parts = {"supervisor": [supervisor], "worker": [], "nginx": [], "edge": [], "log": []}
        for pid in children(supervisor):
            part = {"nginx": "nginx", "edge-log": "log"}.get(program(pid), "worker")
            parts[part].append(pid)
            if part == "nginx":
                parts["edge"] += children(pid)
        return parts

    def send(self, region, part, sig):
        for pid in self.processes(region)[part]:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def part_pids(self, region, parts):
        found = self.processes(region)
        return [pid for part in parts for pid in found[part]]

    def restart_ended(self, expected=()):
        """What a service manager does. Returns the regions that it started again."""
        again = []
        for region in sorted(self.wanted):
            daemon = self.daemons.get(region)
            if daemon is not None and daemon.poll() is None:
                continue
            if daemon is not None and region not in expected:
                self.exits.append((region, daemon.returncode))
            self.start(region, wait=False)
            again.append(region)
        return again

    # ---- lines ----
    def cut_lines(self, pairs):
        """Drops what goes from a region to another, for each (from, to); cuts add up."""
        self.drops.update(pairs)
        self._apply({to for _, to in pairs})

    def heal_lines(self, pairs):
        self.drops.subtract(pairs)
        self._apply({to for _, to in pairs})

    def _apply(self, receivers):
        for region in receivers:
            sources = sorted(REGIONS[a] for (a, b), n in self.drops.items() if b == region and n > 0)
            rules = ("add table ip chaos\ndelete table ip chaos\nadd table ip chaos\n"
                     "add chain ip chaos i { type filter hook input priority 0; }\n")
            if sources:
                rules += "add rule ip chaos i ip saddr { %s } drop\n" % ", ".join(sources)
            subprocess.run(["ip", "netns", "exec", region, "nft", "-f", "-"], input=rules, text=True, check=True)

    def thin(self, region, kbit):
        tbf = ["root", "tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", "400ms"]
        subprocess.run(["tc", "qdisc", "replace", "dev", self.port(region), *tbf], check=True)
        subprocess.run(["tc", "-n", region, "qdisc", "replace", "dev", "eth0", *tbf], check=True)

    def thicken(self, region):
        # one that another step made thick meanwhile is so already
        for at in (["tc"], ["tc", "-n", region]):
            port = self.port(region) if at == ["tc"] else "eth0"
            subprocess.run([*at, "qdisc", "del", "dev", port, "root"], stderr=subprocess.DEVNULL)
            shown = subprocess.run([*at, "qdisc", "show", "dev", port], check=True, capture_output=True, text=True).stdout
            assert "tbf" not in shown, shown

    # ---- names ----
    def host(self, registry, region):
        """Where clients call a registry in a region: its regional name, or the global one while it has none."""
        return f"{registry}.{DOMAIN}" if registry == "tailspin" else f"{registry}.{region}.geo.{DOMAIN}"
