# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan on a fleet and writes down what it did and when. It also does what a service manager does: it starts
again what ended. One thread; everything is taken back at the end, also after an error."""
import heapq, itertools, os, signal, time

from chaos.fleet import REGIONS, SLOWER
from chaos.history import Fault
from chaos.judge import Loss, Shift
from lab import DOMAIN

PAUSED = {"pause-worker": ("worker",), "pause-edge": ("nginx", "edge"), "pause-log": ("log",),
          "pause-region": ("supervisor", "worker", "nginx", "edge", "log")}
KILLED = {"kill-worker": "worker", "kill-nginx": "nginx", "kill-edge": "edge", "kill-log": "log"}
RESTART_S = 30 * SLOWER
REBUILT_EVERY_S = 0.5 * SLOWER


class Nemesis:
    def __init__(self, fleet, history, say=print):
        self.fleet, self.history, self.say = fleet, history, say
        self.waits = []  # (fault, region): over when the region answers again
        self.undo = []  # heap of (time, number, fault, function)
        self.number = itertools.count()
        self.shifts = []  # what was done to clocks
        self.losses = []  # disks that were lost
        self.ask_at = 0.0  # when a region is next asked whether it is rebuilt
        self.expected = set()  # regions whose end is the nemesis's doing

    def run(self, steps, start):
        steps = sorted(steps, key=lambda s: s.at)
        try:
            while steps or self.undo:
                now = time.monotonic()
                if steps and start + steps[0].at <= now:
                    self.begin(steps.pop(0))
                elif self.undo and self.undo[0][0] <= now:
                    self.take_back()
                else:
                    self.watch()
                    time.sleep(0.05)
        finally:
            while self.undo:
                self.take_back()
            self.settle()

    def begin(self, step):
        fault = Fault(step.kind, step.regions, (), time.monotonic(), None, str(step.value or ""))
        self.history.faults.append(fault)
        if step.kind.startswith("cut"):
            back = self.cut(step)
        else:
            fault.hits = step.regions
            back = self.hit(step, fault)
        heapq.heappush(self.undo, (time.monotonic() + step.lasts, next(self.number), fault, back))

    def take_back(self):
        _, _, fault, back = heapq.heappop(self.undo)
        if not back():
            fault.end = time.monotonic()
            return
        self.waits.append((fault, time.monotonic() + RESTART_S))

    # ---- lines ----
    def cut(self, step):
        sides = {"cut-pair": (step.regions[:1], step.regions[1:]), "cut-one-way": (step.regions[:1], step.regions[1:])}
        side, others = sides.get(step.kind, (step.regions, tuple(r for r in REGIONS if r not in step.regions)))
        pairs = [(a, b) for a in side for b in others]
        if step.kind != "cut-one-way":
            pairs += [(b, a) for a, b in pairs]
        self.fleet.cut_lines(pairs)
        return lambda: self.fleet.heal_lines(pairs)

    # ---- regions: each returns what takes it back; that returns whether the region has to come up again ----
    def hit(self, step, fault):
        region = step.regions[0]
        if step.kind == "thin":
            self.fleet.thin(region, step.value)
            return lambda: self.fleet.thicken(region)
        if step.kind.startswith("clock"):
            return self.shift(region, step.value)
        if step.kind in PAUSED:
            return self.pause(region, PAUSED[step.kind])
        if step.kind in KILLED:
            self.expected.add(region)
            self.fleet.send(region, KILLED[step.kind], signal.SIGKILL)
            return lambda: True
        if step.kind == "full":
            self.fleet.fill(region)
            return lambda: self.fleet.unfill(region) or True
        if step.kind == "restart":
            self.fleet.send(region, "supervisor", signal.SIGUSR2)
            return lambda: True
        return self.end(region, step.kind)

    def shift(self, region, ms):
        shift = Shift(region, ms / 1000, time.monotonic(), None)
        self.shifts.append(shift)
        self.fleet.shift_clock(region, ms)

        def back():
            self.fleet.shift_clock(region, 0)
            shift.end = time.monotonic()
            return True
        return back

    def pause(self, region, parts):
        pids = self.fleet.part_pids(region, parts)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

        def on():
            for pid in reversed(pids):
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            return True
        return on

    def end(self, region, kind):
        self.fleet.wanted.discard(region)
        if kind == "lose-disk":
            self.fleet.kill(region)
            self.losses.append(Loss(region, time.monotonic()))
            self.fleet.lose_disk(region)
        elif kind == "kill":
            self.fleet.daemons[region].kill()
            self.fleet.daemons.pop(region).wait()
        else:
            self.fleet.daemons[region].terminate()
        return lambda: self.again(region)

    def again(self, region):
        daemon = self.fleet.daemons.pop(region, None)  # a stop: it may still be draining
        if daemon is not None:
            status = daemon.wait(RESTART_S)
            if status:
                self.fleet.exits.append((region, status))
        self.fleet.wanted.add(region)
        self.fleet.start(region, wait=False)
        return True

    # ---- watching ----
    def watch(self):
        self.watch_losses()
        for region in self.fleet.restart_ended(self.expected):
            self.say(f"{region} ended and is started again")
        for fault, limit in list(self.waits):
            if self.up(fault.regions[0]):
                fault.end = time.monotonic()
                self.waits.remove((fault, limit))
                self.expected.discard(fault.regions[0])
            elif time.monotonic() > limit:
                raise AssertionError(f"{fault.regions[0]} does not come up within {RESTART_S} s after {fault.kind}")

    def watch_losses(self):
        """Whether a region whose disk was lost has got back what the others have. The question costs a program."""
        open_ = [l for l in self.losses if l.end is None and self.fleet.daemons.get(l.region)]
        if not open_ or time.monotonic() < self.ask_at:
            return
        for loss in open_:
            if self.fleet.is_rebuilt(loss.region):
                loss.end = time.monotonic()
                self.say(f"{loss.region} is rebuilt {loss.end - loss.at:.1f} s after its disk was lost")
        self.ask_at = time.monotonic() + REBUILT_EVERY_S

    def up(self, region):
        try:
            host = f"{self.fleet.stamps[region]}.{region}.fe.{DOMAIN}"
            return self.fleet.request("GET", host, "/healthz", region=region, timeout=1.0 * SLOWER)[0] == 200
        except OSError:
            return False

    def settle(self):
        while self.waits:
            self.watch()
            time.sleep(0.05)
