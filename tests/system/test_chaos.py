# SPDX-License-Identifier: Apache-2.0
"""Five regions under a nemesis: clients push and read all the time, while regions are killed, cut off, slowed down, paused.
What they saw and what is there after healing is judged by chaos/judge.py, which says what is promised.

The seed of a run is printed; the same CHAOS_SEED and CHAOS_SECONDS give the same plan again (not the same timing of the
clients). A failure leaves plan, history and logs in a directory that it names.
    CHAOS_SEED=7 CHAOS_SECONDS=300 tests/system/test_chaos.py
    CHAOS_KINDS=cut-pair,kill   only these kinds of faults
"""
import os, random, shutil, sys, time

from chaos import clients, plan
from chaos.ending import look_at_the_end, stop_problems
from chaos.fleet import Fleet, REGIONS, SLOWER
from chaos.history import History
from chaos.judge import Bounds, Clocks, judge
from chaos.nemesis import Nemesis
from lab import DOMAIN, need_root

TAGS = {"contoso": [("team/app", "latest"), ("team/app", "stable"), ("team/app", "edge"), ("team/db", "latest"),
                    ("team/db", "v1")],
        "tailspin": [("base/os", "latest"), ("base/os", "next")],
        "wingtip": [("team/pay", "latest"), ("team/pay", "stable")]}
ACKED = {"wingtip"}  # their writes are on other regions' disks before they are acknowledged
SMALL_MIB = 128  # of a disk that is filled, and one more for each second
CALM_S = 2.0  # before and after the nemesis


def all_tags():
    return [f"{registry}/{repository}:{tag}" for registry, tags in TAGS.items() for repository, tag in tags]


def meanings():
    """What each name may answer."""
    out = {f"contoso.{r}.{kind}.{DOMAIN}": {a} for r, a in REGIONS.items() for kind in ("geo", "data")}
    out.update({f"{registry}.{DOMAIN}": set(REGIONS.values()) for registry in TAGS})
    return out


class Run:
    def __init__(self, seed, seconds):
        self.seed, self.seconds = seed, seconds
        self.history = History()
        self.bounds = Bounds(silence_s=8.0 * SLOWER, recovery_s=8.0 * SLOWER, answer_s=8.0 * SLOWER, clock_s=4.0 * SLOWER,
                             lag_s=4.0 * SLOWER)
        self.steps = plan.plan(seed, seconds, list(REGIONS), kinds=os.environ.get("CHAOS_KINDS"))

    def start_clients(self, fleet):
        made = [clients.Resolver(self.history, list(meanings()))]
        for region in REGIONS:
            make = lambda kind, role: kind(f"{role}-{region}", fleet, self.history, region, self.seed, tags=TAGS["contoso"])
            made += [make(clients.Writer, "writer"), make(clients.Reader, "reader")]
        made.append(clients.Wanderer("wanderer", fleet, self.history, None, self.seed, registry="tailspin",
                                     tags=TAGS["tailspin"]))
        wander = lambda kind, role, registry, tags: kind(role, fleet, self.history, None, self.seed, registry=registry, tags=tags)
        made += [wander(clients.Acked, f"acked-{i}", "wingtip", TAGS["wingtip"]) for i in range(2)]
        made.append(wander(clients.Remover, "acked-remover", "wingtip", [("team/gone", None)]))
        made.append(wander(clients.Restorer, "restorer", "contoso", TAGS["contoso"]))
        locker = clients.Locker("locker", fleet, self.history, self.steps_region(), self.seed, tags=[("team/kept", "own")])
        made.append(locker)
        for c in made:
            c.start()
        return made

    def steps_region(self):
        """Where the locker works: a region whose disk is not lost in this run, if there is one."""
        lost = {s.regions[0] for s in self.steps if s.kind == "lose-disk"}
        return next((r for r in REGIONS if r not in lost), "eastus")

    def stop_clients(self, made):
        for c in made:
            c.over.set()
        for c in made:
            c.join(60 * SLOWER)
        failed = [f"{c.name}: {c.failure!r}" for c in made if c.failure or c.is_alive()]
        assert not failed, failed  # a fault of the test

    def go(self, fleet):
        self.start = time.monotonic()
        made = self.start_clients(fleet)
        nemesis = Nemesis(fleet, self.history)
        try:
            time.sleep(CALM_S)
            nemesis.run(self.steps, time.monotonic())
            time.sleep(CALM_S)
        finally:
            self.finish = time.monotonic()
            self.stop_clients(made)
        end, self.converged = look_at_the_end(fleet, self.history, all_tags(), nemesis.losses)
        end.problems += stop_problems(fleet, {l.region for l in nemesis.losses})
        return judge(self.history, end, Clocks(nemesis.shifts), self.bounds, list(REGIONS), self.start, self.finish, meanings(),
                     nemesis.losses, ACKED)

    def summary(self):
        puts = self.history.of("put")
        n = lambda kind: len(self.history.of(kind))
        return (f"{sum(p.acknowledged() for p in puts)} of {len(puts)} puts acknowledged, {n('get')} tags read, "
                f"{n('delete')} deletions, {n('lock')} words on locks, {n('see')} looks at what they refer to, {n('ask')} names, "
                f"{len(self.history.faults)} faults; {self.converged}")

    def keep(self, fleet, violations):
        """Plan, history, faults and logs, for whoever looks for the cause."""
        out = os.path.join(os.environ.get("MERIDIAN_LAB_DIR", "/tmp"), f"meridian-chaos.{self.seed}.{os.getpid()}")
        os.makedirs(out)
        with open(f"{out}/history.txt", "w") as f:
            f.write("\n".join(o.text(self.start) for o in sorted(self.history.ops, key=lambda o: o.invoked)) + "\n")
        with open(f"{out}/faults.txt", "w") as f:
            f.write("\n".join(x.text(self.start) for x in self.history.faults) + "\n")
        with open(f"{out}/violations.txt", "w") as f:
            f.write("\n".join(self.explain(v) for v in violations) + "\n")
        for region in REGIONS:
            for name in ("meridiand.log", "run/edge/nginx.log", "meta"):
                source = f"{fleet.dir}/{region}/{name}"
                copy = shutil.copytree if os.path.isdir(source) else shutil.copy
                if os.path.exists(source):
                    copy(source, f"{out}/{region}-{os.path.basename(name)}")
        return out

    def worst(self, violations):
        """How many of each rule, and the first of each in full."""
        rules = {}
        for v in violations:
            rules.setdefault(v.rule, []).append(v)
        counts = ", ".join(f"{len(vs)} {rule}" for rule, vs in rules.items())
        return "\n".join([counts] + [self.explain(v) for vs in rules.values() for v in vs[:2]])

    def explain(self, v):
        if v.when is None:
            return f"[{v.rule}] {v.text}"
        ops, faults = self.history.around(v.when, v.tag, v.client)
        lines = [f"[{v.rule}] at {v.when - self.start:.3f}: {v.text}", *("    fault " + f.text(self.start) for f in faults)]
        return "\n".join(lines + ["    " + o.text(self.start) for o in ops[-25:]])


def main():
    need_root()
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1, 1_000_000))
    seconds = float(os.environ.get("CHAOS_SECONDS") or 40)
    run = Run(seed, seconds)
    again = f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}"
    print(f"{again}, the plan:", *(s.text() for s in run.steps), sep="\n", flush=True)
    small = {s.regions[0]: int(SMALL_MIB + seconds) for s in run.steps if s.kind == "full"}
    with Fleet(small) as fleet:
        try:
            violations = run.go(fleet)
        except BaseException:
            print(f"{again}: no judgement; kept in {run.keep(fleet, [])}", flush=True)
            raise
        if violations:
            print(f"{again}: {len(violations)} violations; plan, history and logs are in {run.keep(fleet, violations)}")
            print(run.worst(violations))
            print(run.summary())
            sys.exit(1)
    print(f"{again}: {run.summary()}; no violation")


if __name__ == "__main__":
    main()
