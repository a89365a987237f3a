# SPDX-License-Identifier: Apache-2.0
"""The judge of a chaos run: a pure function of the history, the end state and what is known of the clocks.

Order is judged by real time. All regions of a lab share the machine's clock, so a stamp may be off by no more than the
offsets that the run itself gave to clocks: what a shifted clock minted may be above real time by its offset, and so may all
that follows a stamp which others have read (hybrid logical clocks), until the real time has caught up; what a region that is
behind mints may be below. Nothing else excuses a write that loses against an older one.

    for v in judge(history, end, clocks, bounds): print(v.rule, v.text)
"""
import bisect, heapq, re
from collections import defaultdict
from dataclasses import dataclass, field, replace

from chaos.history import History


@dataclass
class Violation:
    rule: str
    text: str
    when: float = None
    tag: str = ""
    client: str = ""


@dataclass
class Entry:
    """One value of a tag's register. `at` is its stamp as a moment of the monotonic clock."""
    stamp: int
    origin: str
    digest: str
    at: float = 0.0


@dataclass
class End:
    """What each region says after healing. `pullable[region]` holds "registry/repository@digest"."""
    tags: dict = field(default_factory=dict)       # region: {tag: digest}
    registers: dict = field(default_factory=dict)  # region: {tag: [Entry]}
    pullable: dict = field(default_factory=dict)   # region: set
    found_again: dict = field(default_factory=dict)  # region: {"registry/repository@digest" or tag}, of what was deleted
    locks: dict = field(default_factory=dict)      # region: {tag: locked?}
    problems: list = field(default_factory=list)   # sentences: status, health, waits, logs


@dataclass
class Shift:
    """A region's clock was off by `offset_s` from `start` to `end`; negative: behind."""
    region: str
    offset_s: float
    start: float
    end: float


@dataclass
class Loss:
    """A region's disk was lost `at` a moment; `end`: it had got back what the others have."""
    region: str
    at: float
    end: float = None


@dataclass
class Bounds:
    order_s: float = 0.05     # what the granularity of stamps and the adjustment of the machine's clock may cost
    silence_s: float = 8.0    # between two acknowledged writes of a region that nothing hits
    recovery_s: float = 8.0   # after a fault, until the region counts as not hit
    answer_s: float = 8.0     # any answer of a region that nothing hits; one that falls silent it gives up after 6 s
    lag_s: float = 4.0        # until another region has what was acknowledged, while nothing is between the two
    clock_s: float = 4.0      # until a region whose clock was set wrong takes no writes
    clock_off_s: float = 0.6  # by how much it must be off for that


class Clocks:
    """How far a stamp may stand above or below real time."""

    def __init__(self, shifts=(), slack_s=0.0):
        self.shifts, self.slack_s = list(shifts), slack_s

    def ahead_s(self, op):
        """Above: any region may have read what a clock ahead minted, until it was put back."""
        over = [s.offset_s + min(0.0, s.end - op.ended) for s in self.shifts if s.offset_s > 0 and s.start <= op.ended]
        return self.slack_s + max([0.0, *over])

    def behind_s(self, op):
        under = [-s.offset_s for s in self.shifts
                 if s.offset_s < 0 and s.region == op.region and s.start <= op.ended and op.invoked <= s.end]
        return self.slack_s + max([0.0, *under])


def _by_tag(ops):
    out = defaultdict(list)
    for o in ops:
        out[o.tag].append(o)
    return out


def _all_entries(end):
    """tag: {(stamp, origin, digest): Entry}, of all regions."""
    out = defaultdict(dict)
    for registers in end.registers.values():
        for tag, entries in registers.items():
            out[tag].update({(e.stamp, e.origin, e.digest): e for e in entries})
    return out


def _stamps(entries, put):
    """The stamps that a put may have minted: entries of its region with its digest."""
    return sorted(e.stamp for e in entries.values() if e.origin == put.region and e.digest == put.digest)


# ---- disks ----

def _touches(fault, a, b):
    """Is it between two regions, or does it hit one of them?"""
    if a in fault.hits or b in fault.hits:
        return True
    if fault.kind in ("cut-pair", "cut-one-way"):
        return {a, b} == set(fault.regions)
    return fault.kind.startswith("cut") and (a in fault.regions) != (b in fault.regions)


def _read_until(history, loss, other, bounds):
    """All that a region acknowledged up to then `other` had before the disk was lost."""
    at, best = float("-inf"), float("-inf")
    for f in sorted((f for f in history.faults if f.start < loss.at and _touches(f, loss.region, other)), key=lambda f: f.start):
        if f.start - bounds.lag_s > at:
            best = f.start - bounds.lag_s
        at = max(at, loss.at if f.end is None else f.end + bounds.recovery_s)
    return loss.at - bounds.lag_s if loss.at - bounds.lag_s > at else best


def lost_with_disks(history, losses, acked, regions, bounds):
    """Puts that a lost disk may have taken: acknowledged by its region alone when no other could have them yet. None of a
    registry of `acked`, which acknowledges nothing that only one disk has."""
    out = []
    for loss in losses:
        since = max((_read_until(history, loss, r, bounds) for r in regions if r != loss.region), default=float("-inf"))
        out += [o for o in history.ops if o.region == loss.region and o.acknowledged() and since < o.ended
                and o.invoked <= loss.at + bounds.order_s and o.tag.split("/")[0] not in acked]
    return out


def _while_lost(op, loss):
    return op.region == loss.region and op.ended >= loss.at and (loss.end is None or op.invoked <= loss.end)


def _was_lost(op, losses, lost_values):
    """A read of what a disk took, or in a region whose disk is being filled again: there it goes through what was."""
    if op.kind in ("get", "see") and any(_while_lost(op, loss) for loss in losses):
        return True
    return op.kind == "get" and (op.tag, op.region, op.digest) in lost_values


def without_lost(history, end, losses, acked, regions, bounds):
    """The history in which those puts may or may not have happened, without the reads that say nothing then."""
    lost = {id(o) for o in lost_with_disks(history, losses, acked, regions, bounds)}
    entries = _all_entries(end)
    values = {(o.tag, o.region, o.digest) for o in history.ops if id(o) in lost
              and not any(e.digest == o.digest for e in entries[o.tag].values())}
    out = History()
    out.faults = history.faults
    out.ops = [replace(o, status=None) if id(o) in lost else o for o in history.ops if not _was_lost(o, losses, values)]
    return out


# ---- rules ----

def regions_agree(history, end):
    first = next(iter(end.tags), None)
    for region, tags in end.tags.items():
        for tag in sorted(set(tags) | set(end.tags[first])):
            if tags.get(tag) != end.tags[first].get(tag):
                yield Violation("agree", f"{tag} is {end.tags[first].get(tag)} in {first} and {tags.get(tag)} in {region}",
                                tag=tag)
    for region, registers in end.registers.items():
        for tag in sorted(set(registers) | set(end.registers[first])):
            key = lambda r: {(e.stamp, e.origin, e.digest) for e in end.registers[r].get(tag, ())}
            if key(region) != key(first):
                yield Violation("agree", f"{tag}: {first} and {region} do not list the same history; they differ by "
                                         f"{sorted(key(first) ^ key(region))[:4]}", tag=tag)


def nothing_is_lost(history, end):
    for put in filter(lambda o: o.acknowledged(), history.ops):
        repository = put.tag.rsplit(":", 1)[0]
        without = [r for r, pullable in end.pullable.items() if f"{repository}@{put.digest}" not in pullable]
        if without:
            yield Violation("lost", f"{put.tag} {put.digest}, acknowledged in {put.region}, cannot be pulled in "
                                    f"{', '.join(without)}", put.ended, put.tag)
        unlisted = [r for r, registers in end.registers.items()
                    if not any(e.origin == put.region and e.digest == put.digest for e in registers.get(put.tag, ()))]
        if unlisted:
            yield Violation("lost", f"{put.tag} {put.digest}, acknowledged in {put.region}, is not in the tag's history in "
                                    f"{', '.join(unlisted)}", put.ended, put.tag)


def order_is_real_time(history, end, clocks, bounds):
    """A put that was acknowledged before another one began has the lower stamp; so the end value is no older one."""
    entries = _all_entries(end)
    for tag, puts in _by_tag(o for o in history.ops if o.acknowledged()).items():
        minted = [(p, s) for p in puts if (s := _stamps(entries[tag], p))]
        by_end = sorted(minted, key=lambda m: m[0].ended)
        ends, high, best = [m[0].ended for m in by_end], [], None
        for m in by_end:  # the put with the highest least stamp among those that ended so far
            best = m if best is None or m[1][0] > best[1][0] else best
            high.append(best)
        for put, stamps in minted:
            yield from _stale(tag, put, stamps, ends, high, by_end, clocks, bounds)


def _stale(tag, put, stamps, ends, high, by_end, clocks, bounds):
    """Is there an older put with a higher stamp than any of this one?"""
    n = bisect.bisect_left(ends, put.invoked - bounds.order_s)
    if not n or high[n - 1][1][0] <= stamps[-1]:
        return
    for older, others in by_end[:n]:
        gap = put.invoked - older.ended
        if others[0] > stamps[-1] and gap > bounds.order_s + clocks.ahead_s(older) + clocks.behind_s(put):
            yield Violation("order", f"{tag}: {put.digest} was put in {put.region} {gap:.3f} s after {older.digest} was "
                                     f"acknowledged in {older.region}, and has a lower stamp", put.ended, tag)
            return


def end_value_is_not_stale(history, end, clocks, bounds):
    """By the end values alone, without a look at stamps: the value is a put that no acknowledged one came clearly after."""
    final = next(iter(end.tags.values()), {})
    for tag, puts in _by_tag(history.of("put")).items():
        acknowledged = [p for p in puts if p.acknowledged()]
        mine = [p for p in puts if p.digest == final.get(tag)]
        if not mine:
            if acknowledged:
                yield Violation("order", f"{tag} ends as {final.get(tag)}, which nobody has put", tag=tag)
            continue
        if not any(p.acknowledged() for p in mine) or not acknowledged:
            continue  # it may have been taken at any time after it was sent
        last = max(p.ended for p in mine if p.acknowledged())
        for p in acknowledged:
            allowed = bounds.order_s + max(clocks.ahead_s(m) for m in mine) + clocks.behind_s(p)
            if p.digest != final[tag] and p.invoked - last > allowed and all(m.acknowledged() for m in mine):
                yield Violation("order", f"{tag} ends as {final[tag]}, last acknowledged {p.invoked - last:.3f} s before "
                                         f"{p.digest} was put in {p.region}", p.ended, tag)


def every_put_mints(history, end):
    """Puts of one digest in one region that do not overlap: each has an entry of its own."""
    entries = _all_entries(end)
    for tag, puts in _by_tag(o for o in history.ops if o.acknowledged()).items():
        same = defaultdict(list)
        for p in puts:
            same[p.region, p.digest].append(p)
        for (region, digest), group in same.items():
            n, until = 0, float("-inf")
            for p in sorted(group, key=lambda p: p.ended):
                if p.invoked > until:
                    n, until = n + 1, p.ended
            have = len(_stamps(entries[tag], group[0]))
            if 0 < have < n:
                yield Violation("mint", f"{tag}: {digest} was put {n} times in {region}, one after the other, each "
                                        f"acknowledged, and has {have} entries", group[-1].ended, tag)


def stamps_are_of_their_time(history, end, clocks, bounds):
    entries = _all_entries(end)
    for tag, puts in _by_tag(o for o in history.ops if o.acknowledged()).items():
        for p in puts:
            minted = [e for e in entries[tag].values() if e.origin == p.region and e.digest == p.digest]
            low = p.invoked - bounds.order_s - clocks.behind_s(p)
            high = p.ended + bounds.order_s + clocks.ahead_s(p)
            if minted and not any(low <= e.at <= high for e in minted):
                off = min((e.at - p.ended for e in minted), key=abs)
                yield Violation("stamp", f"{tag}: {p.digest}, put in {p.region}, has a stamp {off:+.3f} s from its "
                                         "acknowledgement", p.ended, tag)


def visible_is_whole(history):
    for o in history.of("see"):
        if o.status == 404 or o.note == "wrong bytes":
            what = "has other bytes" if o.note == "wrong bytes" else "is not there"
            yield Violation("whole", f"{o.tag} was visible in {o.region}, but {o.digest} {what} ({o.note})", o.invoked, o.tag)


def reads_go_forward(history, end):
    """In a region a tag never goes back, nor behind what was acknowledged there."""
    entries = _all_entries(end)
    ops = defaultdict(list)
    for o in history.ops:
        if o.acknowledged() or o.kind == "get" and o.status in (200, 404):
            ops[o.tag, o.region].append(o)
    for (tag, region), group in ops.items():
        values = defaultdict(list)
        for e in entries[tag].values():
            values[e.digest].append(e.stamp)
        yield from _forward(tag, region, sorted(group, key=lambda o: o.invoked), values, entries[tag])


def _forward(tag, region, ops, values, entries):
    done, least = [], 0  # ops by their end with the stamp that they showed; the highest of those that have ended
    for i, o in enumerate(ops):
        while done and done[0][0] < o.invoked:
            least = max(least, heapq.heappop(done)[2])
        if o.kind == "put":
            own = _stamps(entries, o)
            if own:
                heapq.heappush(done, (o.ended, i, own[0]))
            continue
        if o.status == 404:
            if least:
                yield Violation("forward", f"{tag} was seen in {region}, then it was not there", o.invoked, tag)
            continue
        fits = [s for s in sorted(values[o.digest]) if s >= least]
        if not values[o.digest]:
            yield Violation("forward", f"{tag} was read as {o.digest} in {region}, which is not in its history", o.invoked, tag)
        elif not fits:
            yield Violation("forward", f"{tag} went back to {o.digest} in {region}", o.invoked, tag)
        else:
            heapq.heappush(done, (o.ended, i, fits[0]))


def free_times(history, region, start, end, recovery_s):
    """When nothing hit the region, with time to recover after each fault."""
    at, out = start, []
    for f in sorted((f for f in history.faults if region in f.hits), key=lambda f: f.start):
        if f.start > at:
            out.append((at, f.start))
        at = max(at, end if f.end is None else f.end + recovery_s)
    return out + [(at, end)] if at < end else out


def healthy_regions_serve(history, end, bounds, regions, start, finish):
    """A region that nothing hits acknowledges writes all the time, and answers whoever asks."""
    acknowledged = defaultdict(list)
    for o in history.ops:
        if o.acknowledged() and o.client.startswith("writer"):
            acknowledged[o.region].append(o.ended)
    for region in regions:
        times = sorted(acknowledged[region])
        for a, b in free_times(history, region, start, finish, bounds.recovery_s):
            marks = [a, *(t for t in times if a < t < b), b]
            for x, y in zip(marks, marks[1:]):
                if y - x > bounds.silence_s:
                    yield Violation("serve", f"nothing hit {region}, and it acknowledged no write for {y - x:.1f} s", y,
                                    client=f"writer-{region}")
            yield from _answers(history, region, a, b, bounds)


def _answers(history, region, a, b, bounds):
    for o in history.ops:
        if o.region != region or o.kind == "ask" or o.invoked < a or o.ended > b:
            continue
        slow = o.ended - o.invoked > bounds.answer_s
        cut_short = o.status is None and "kept connection closed" not in o.note  # that a server may do at any time
        may_refuse = o.note.startswith("passed on") or o.client.startswith("acked")  # another region may not be there
        if _passed_on_over_a_cut(history, o):
            continue
        if slow or cut_short or (o.status is not None and o.status >= 500 and not may_refuse):
            yield Violation("answer", f"nothing hit {region}, and it answered {o.status} after {o.ended - o.invoked:.1f} s "
                                      f"({o.kind} {o.note})", o.invoked, client=o.client)


def _passed_on_over_a_cut(history, o):
    """A line that is cut for less than silence takes keeps what was under way for as long as TCP waits between two tries."""
    m = re.match(r"passed on to (\w+)", o.note)
    return m and any(_touches(f, o.region, m[1]) and f.start < o.ended and (f.end is None or f.end > o.invoked)
                     for f in history.faults)


def wrong_clocks_take_no_writes(history, clocks, bounds):
    """A region whose clock was set wrong closes its writes, if nothing keeps it from asking the others."""
    for s in clocks.shifts:
        late = [o for o in history.ops if o.acknowledged() and o.region == s.region and s.start + bounds.clock_s < o.invoked
                and o.ended < s.end]
        if abs(s.offset_s) < bounds.clock_off_s or not late:
            continue
        first = min(late, key=lambda o: o.invoked)
        if not any(_may_hide(f, s.region) and f.start < first.ended and (f.end is None or f.end > s.start - bounds.recovery_s)
                   for f in history.faults):
            yield Violation("clock", f"the clock of {s.region} is {s.offset_s:+.1f} s off, and {first.invoked - s.start:.1f} s "
                                     "later it acknowledged a write", first.invoked, client=first.client)


def _may_hide(fault, region):
    """Other clocks, and cuts between two others, do not keep a region from knowing."""
    if fault.kind in ("cut-pair", "cut-one-way"):
        return region in fault.regions
    return not fault.kind.startswith("clock")


def _clock_fault(history, op):
    return any(f.kind.startswith("clock") and f.start <= op.ended and (f.end is None or op.invoked <= f.end + 1)
               for f in history.faults)


def nothing_is_refused(history, losses=()):
    """Well-formed requests of who may: no answer but 2xx, 5xx and 429; and 401 while a clock tells that a token is of another
    time. A region whose disk was lost does not know what it was told."""
    for o in history.ops:
        if any(_while_lost(o, loss) for loss in losses):
            continue
        if o.kind in ("put", "send") and isinstance(o.status, int) and 400 <= o.status < 500 and o.status != 429:
            if o.status != 401 or not _clock_fault(history, o):
                yield Violation("refused", f"{o.region} answered {o.status} to {o.client} ({o.kind} {o.note})", o.invoked,
                                client=o.client)


def deleted_stays_deleted(history, end):
    """What was deleted, acknowledged, is in no region; `found_again` holds what is."""
    for o in history.of("delete"):
        if o.status != 202:
            continue
        name = f"{o.tag.rsplit(':', 1)[0]}@{o.digest}"
        for region, found in end.found_again.items():
            if name in found or o.tag in found:
                yield Violation("deleted", f"{o.tag} {o.digest}, whose deletion {o.region} acknowledged, is there in {region}",
                                o.ended, o.tag)


def locks_hold(history, end, losses, bounds):
    """Of each tag one client sets the lock: its last word holds in all regions, and no put goes through what it locked."""
    by_tag = _by_tag(sorted(history.of("lock"), key=lambda o: o.invoked))
    for tag, ops in by_tag.items():
        may, taken = {False}, None  # what the lock may be now
        for o in ops:
            says = o.note.split()[0]
            if says == "put":
                if o.status == 201 and may == {True} and not _rebuilding(o, losses, bounds):
                    yield Violation("lock", f"{tag} took a put in {o.region} though it was locked there", o.invoked, tag)
            elif o.status == 200:
                may = {says == "on"}
                taken = o
            else:
                may = may | {says == "on"}
        if taken and any(l.region == taken.region and taken.ended <= l.at for l in losses):
            may = {True, False}  # the last word may have been lost
        for region, locks in end.locks.items():
            if locks.get(tag, False) not in may:
                yield Violation("lock", f"{tag} ends as {'locked' if locks.get(tag) else 'not locked'} in {region}", tag=tag)
            if locks.get(tag, False) != next(iter(end.locks.values())).get(tag, False):
                yield Violation("agree", f"regions differ in the lock of {tag}", tag=tag)


def _rebuilding(op, losses, bounds):
    return any(l.region == op.region and l.at - bounds.lag_s <= op.ended for l in losses)


def names_keep_their_meaning(history, meaning):
    """`meaning`: name to the set of answers it may have. Silence is none; a wrong answer is one for ever."""
    for o in history.of("ask"):
        if o.status is not None and o.status not in meaning[o.tag]:
            yield Violation("names", f"the resolver of {o.region} says {o.tag} is {o.status}", o.invoked)


def judge(history, end, clocks, bounds, regions, start, finish, meaning, losses=(), acked=()):
    out = [Violation("end", p) for p in end.problems]
    kept = without_lost(history, end, losses, acked, regions, bounds)
    for found in (regions_agree(kept, end), nothing_is_lost(kept, end), order_is_real_time(kept, end, clocks, bounds),
                  end_value_is_not_stale(kept, end, clocks, bounds), every_put_mints(kept, end),
                  stamps_are_of_their_time(kept, end, clocks, bounds), visible_is_whole(kept),
                  reads_go_forward(kept, end), deleted_stays_deleted(history, end), locks_hold(history, end, losses, bounds),
                  healthy_regions_serve(history, end, bounds, regions, start, finish),
                  wrong_clocks_take_no_writes(history, clocks, bounds), nothing_is_refused(history, losses), names_keep_their_meaning(history, meaning)):
        out.extend(found)
    return out
