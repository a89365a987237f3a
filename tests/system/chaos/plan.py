# SPDX-License-Identifier: Apache-2.0
"""What is to be done to the fleet, and when: a pure function of a seed, the seconds and the regions. The same seed and the
same seconds give the same plan."""
import random
from dataclasses import dataclass

# How often each kind is drawn.
KINDS = {"kill": 4, "stop": 1, "restart": 1, "kill-worker": 2, "kill-nginx": 2, "kill-edge": 1, "kill-log": 1,
         "pause-worker": 3, "pause-region": 2, "pause-edge": 1, "pause-log": 1,
         "cut-pair": 4, "cut-half": 3, "cut-region": 3, "cut-one-way": 3, "thin": 3,
         "clock-near": 3, "clock-behind": 2, "clock-ahead": 2, "full": 2, "lose-disk": 2}
OF_PROCESSES = ("kill", "stop", "restart", "kill-worker", "kill-nginx", "kill-edge", "kill-log", "pause-worker",
                "pause-region", "pause-edge", "pause-log", "lose-disk")
BETWEEN_LOSSES_S = 60.0  # two lost disks within this may take what was acknowledged by the other of the two
# Regions whose processes, and whose clocks, are hit at the same time: of five, a majority stays.
MOST_AT_ONCE = {"process": 2, "clock": 2}


@dataclass
class Step:
    kind: str
    at: float       # seconds from the start
    lasts: float
    regions: tuple  # of a half: one side; of one way: from, to
    value: int = 0  # kbit/s of a thin line, ms of a clock's offset

    def text(self):
        return f"{self.at:6.1f} +{self.lasts:4.1f} s  {self.kind} {' '.join(self.regions)} {self.value or ''}".rstrip()


def _what(kind):
    if kind in OF_PROCESSES:
        return "process"
    return kind.split("-")[0]


def _free(steps, step):
    """No two of a kind on one region at one time, and not too many regions without their programs."""
    overlap = [s for s in steps if s.at - 1 < step.at + step.lasts and step.at < s.at + s.lasts + 1]
    what = _what(step.kind)
    if what == "cut":
        return not any(s.kind == step.kind and s.regions == step.regions for s in overlap)
    if step.kind == "lose-disk" and any(s.kind == step.kind and step.at - s.at < BETWEEN_LOSSES_S for s in steps):
        return False
    if any({s.kind, step.kind} == {"full", "lose-disk"} and s.regions == step.regions for s in overlap):
        return False  # what is kept for a start on a full disk is lost with it
    same = [s for s in overlap if _what(s.kind) == what]
    if any(s.regions == step.regions for s in same):
        return False
    return len(same) < MOST_AT_ONCE.get(what, len(steps) + 1)


def small_region(seed, regions):
    """The one region whose disk is filled at times."""
    return random.Random(f"{seed}/small").choice(list(regions))


def _regions(rng, kind, regions, seed):
    if kind == "full":
        return (small_region(seed, regions),)
    if kind in ("cut-pair", "cut-one-way"):
        return tuple(rng.sample(regions, 2))
    if kind == "cut-half":
        return tuple(sorted(rng.sample(regions, 2)))
    return (rng.choice(regions),)


def _value(rng, kind):
    if kind == "thin":
        return rng.choice((256, 512, 1024, 4096))
    if kind == "clock-near":
        return rng.choice((-1, 1)) * rng.randint(20, 200)  # two of them differ by less than what closes writes
    if kind == "clock-behind":
        return -rng.choice((900, 5_000, 600_000, 86_400_000))
    if kind == "clock-ahead":
        return rng.choice((900, 5_000, 30_000))  # less than the skew that others take
    return 0


def _lasts(rng, kind):
    if kind == "restart" or kind.startswith("kill-"):
        return 0.0
    if kind == "kill":
        return rng.choice((0.0, rng.uniform(0.2, 8.0)))
    return rng.uniform(1.0, 12.0)


def plan(seed, seconds, regions, kinds=None):
    """`kinds`: names with commas between, or None for all."""
    rng = random.Random(seed)
    kinds = {k: KINDS[k] for k in kinds.split(",")} if kinds else KINDS
    steps, at = [], 2.0
    while at < seconds - 1:
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        step = Step(kind, round(at, 2), round(_lasts(rng, kind), 2), _regions(rng, kind, list(regions), seed), _value(rng, kind))
        step.lasts = min(step.lasts, round(seconds - at, 2))
        if _free(steps, step):
            steps.append(step)
            at += rng.choice((rng.uniform(0.1, 1.0), rng.uniform(1.0, 5.0)))
        else:
            at += 0.1
    return steps
