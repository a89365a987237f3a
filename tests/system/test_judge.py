# SPDX-License-Identifier: Apache-2.0
"""The judge of the chaos test, fed with made-up histories: it must find each planted violation, and nothing in a history
that is right. No daemon, no root."""
import copy, unittest

from chaos import plan
from chaos.history import Fault, History, Op
from chaos.judge import Bounds, Clocks, End, Entry, Loss, Shift, judge

REGIONS = ["a", "b"]
TAG = "contoso/app:latest"
X, Y, Z, LAYER = (f"sha256:{c * 64}" for c in "123f")
NAMES = {"contoso.a": {"10.0.0.1"}, "contoso": {"10.0.0.1", "10.0.0.2"}}


def put(region, digest, invoked, ended, status=201, **more):
    return Op("put", f"writer-{region}", region, invoked, ended, status, TAG, digest, **more)


def get(region, digest, invoked, ended=None, status=200):
    return Op("get", f"reader-{region}", region, invoked, ended or invoked + 0.01, status, TAG, digest)


def entry(at, origin, digest):
    return Entry(int(at * 1000) << 16, origin, digest, at)


class Judge(unittest.TestCase):
    """Each case changes a history that is right: X by a, then Y by b, both read, Y is the end."""

    def setUp(self):
        self.history = History()
        self.ops = self.history.ops
        self.ops += [put("a", X, 1.0, 1.1), put("b", Y, 2.0, 2.1), get("a", X, 1.2), get("b", X, 1.5), get("b", Y, 2.2),
                     get("a", Y, 2.5), Op("see", "reader-a", "a", 2.6, 2.7, 200, TAG, LAYER),
                     Op("ask", "resolver", "a", 1.0, 1.1, "10.0.0.1", "contoso.a")]
        self.entries = [entry(1.05, "a", X), entry(2.05, "b", Y)]
        self.end = End(tags={r: {TAG: Y} for r in REGIONS}, registers={r: {TAG: list(self.entries)} for r in REGIONS},
                       pullable={r: {f"contoso/app@{d}" for d in (X, Y)} for r in REGIONS})
        self.losses, self.acked = [], set()
        self.shifts, self.bounds, self.finish = [], Bounds(silence_s=5.0, recovery_s=1.0, answer_s=2.0), 4.0

    def found(self):
        return {v.rule for v in judge(self.history, self.end, Clocks(self.shifts), self.bounds, REGIONS, 0.0, self.finish, NAMES,
                                    self.losses, self.acked)}

    def set_end(self, digest):
        self.end.tags = {r: {TAG: digest} for r in REGIONS}

    def set_entries(self, *entries):
        self.end.registers = {r: {TAG: list(entries)} for r in REGIONS}

    def also_pullable(self, digest):
        for names in self.end.pullable.values():
            names.add(f"contoso/app@{digest}")

    def test_a_right_history(self):
        self.assertEqual(self.found(), set())

    def test_regions_that_differ(self):
        self.end.tags["b"] = {TAG: X}
        self.assertIn("agree", self.found())

    def test_histories_that_differ(self):
        self.end.registers["b"] = {TAG: self.entries + [entry(1.5, "a", Z)]}
        self.assertEqual(self.found(), {"agree"})

    def test_a_write_that_cannot_be_pulled(self):
        self.end.pullable["b"].discard(f"contoso/app@{X}")
        self.assertEqual(self.found(), {"lost"})

    def test_a_write_without_an_entry(self):
        self.set_entries(self.entries[1])
        self.assertIn("lost", self.found())

    def test_a_loser_is_no_loss(self):
        self.ops += [put("b", Z, 1.0, 1.1)]
        self.set_entries(*self.entries, entry(1.04, "b", Z))
        self.also_pullable(Z)
        self.assertEqual(self.found(), set())

    def test_what_was_not_acknowledged_may_be_lost(self):
        self.history.faults.append(Fault("kill", ("b",), ("b",), 1.5, 2.5))
        self.ops += [put("b", Z, 1.0, 3.0, None)]
        self.assertEqual(self.found(), set())

    def lose(self, at, end=None):
        """The disk of b, with Z, acknowledged there just before."""
        self.losses = [Loss("b", at, end)]
        self.history.faults.append(Fault("lose-disk", ("b",), ("b",), at, at + 0.5))

    def test_a_lost_disk_takes_its_lag_and_no_more(self):
        self.bounds.lag_s = 1.0
        self.ops += [put("b", Z, 2.8, 2.9)]
        self.assertIn("lost", self.found())
        self.lose(3.0)
        self.assertEqual(self.found(), set())
        self.losses[0].at = self.history.faults[0].start = 4.0  # all had it by then
        self.assertIn("lost", self.found())
        self.history.faults.append(Fault("cut-pair", ("a", "b"), (), 2.5, 5.0))  # nobody could have it
        self.assertEqual(self.found(), set())
        self.acked = {"contoso"}  # somebody had to
        self.assertIn("lost", self.found())

    def test_a_lost_disk_of_another_region_excuses_nothing(self):
        self.bounds.lag_s = 1.0
        self.ops += [put("a", Z, 2.8, 2.9)]
        self.lose(3.0)
        self.assertIn("lost", self.found())

    def test_a_region_that_is_rebuilt_goes_through_what_was(self):
        self.ops += [get("b", X, 3.2), get("b", None, 3.1, status=404)]
        self.assertEqual(self.found(), {"forward"})
        self.lose(3.0, 3.5)
        self.assertEqual(self.found(), set())
        self.losses[0].end = 3.05
        self.assertEqual(self.found(), {"forward"})

    def test_what_was_deleted_comes_back(self):
        self.ops += [Op("delete", "remover", "a", 3.0, 3.1, 202, "contoso/app:old", Z)]
        self.assertEqual(self.found(), set())
        self.end.found_again = {"a": set(), "b": {f"contoso/app@{Z}"}}
        self.assertEqual(self.found(), {"deleted"})

    def test_locks(self):
        lock = lambda word, at, status=200: Op("lock", "locker", "a", at, at + 0.1, status, "contoso/app:own", None, word)
        self.ops += [lock("on", 1.0), lock("put", 1.2, 403)]
        self.end.locks = {r: {"contoso/app:own": True} for r in REGIONS}
        self.assertEqual(self.found(), set())
        self.ops += [lock("put", 1.4, 201)]
        self.assertEqual(self.found(), {"lock"})
        self.ops.pop()
        self.end.locks["b"] = {}
        self.assertEqual(self.found(), {"lock", "agree"})
        self.ops += [lock("off", 1.6, None)]  # it may have been taken
        self.assertEqual(self.found(), {"agree", "answer"})

    def test_a_stale_end(self):
        self.set_end(X)
        self.set_entries(entry(2.2, "a", X), self.entries[1])
        self.assertIn("order", self.found())

    def test_a_stale_end_is_found_without_stamps(self):
        self.set_end(X)
        self.set_entries()
        self.assertIn("order", self.found())

    def test_an_end_that_nobody_put(self):
        self.set_end(Z)
        self.assertIn("order", self.found())

    def test_concurrent_puts_may_end_either_way(self):
        self.ops[0].ended = 2.05
        self.set_end(X)
        self.set_entries(entry(2.06, "a", X), self.entries[1])
        self.ops[:] = [o for o in self.ops if o.kind != "get"]
        self.assertEqual(self.found(), set())

    def test_a_clock_ahead_excuses_its_offset_and_no_more(self):
        self.set_end(X)
        self.set_entries(entry(2.2, "a", X), self.entries[1])
        self.ops[:] = [o for o in self.ops if o.kind != "get"]
        self.shifts = [Shift("a", 1.2, 0.5, 1.5)]
        self.assertEqual(self.found(), set())
        self.shifts = [Shift("a", 0.3, 0.5, 1.5)]
        self.assertIn("order", self.found())

    def test_a_clock_ahead_lingers_until_time_has_caught_up(self):
        clocks = Clocks([Shift("a", 2.0, 0.0, 1.0)])
        self.assertAlmostEqual(clocks.ahead_s(put("b", X, 1.4, 1.5)), 1.5)
        self.assertAlmostEqual(clocks.ahead_s(put("b", X, 3.4, 3.5)), 0.0)

    def test_a_clock_behind_excuses_its_own_region_only(self):
        clocks = Clocks([Shift("a", -2.0, 0.0, 1.0)])
        self.assertAlmostEqual(clocks.behind_s(put("a", X, 0.5, 0.6)), 2.0)
        self.assertAlmostEqual(clocks.behind_s(put("b", X, 0.5, 0.6)), 0.0)
        self.assertAlmostEqual(clocks.behind_s(put("a", X, 1.5, 1.6)), 0.0)

    def test_a_put_that_minted_nothing(self):
        """X at a, Y at b, X again at a, acknowledged and written nowhere: Y wins over the newer write."""
        self.ops += [put("a", X, 2.4, 2.45)]
        found = self.found()
        self.assertIn("mint", found)
        self.assertIn("order", found)

    def test_puts_that_overlap_may_share_an_entry(self):
        self.ops += [put("a", X, 1.05, 1.15)]
        self.assertEqual(self.found(), set())

    def test_a_stamp_of_another_time(self):
        self.set_entries(self.entries[0], entry(9.0, "b", Y))
        self.assertEqual(self.found(), {"stamp"})

    def test_a_torn_manifest(self):
        self.ops += [Op("see", "reader-b", "b", 2.3, 2.31, 404, TAG, LAYER)]
        self.assertEqual(self.found(), {"whole"})

    def test_wrong_bytes(self):
        self.ops += [Op("see", "reader-b", "b", 2.3, 2.31, 200, TAG, LAYER, "wrong bytes")]
        self.assertEqual(self.found(), {"whole"})

    def test_no_answer_is_no_torn_manifest(self):
        self.history.faults.append(Fault("kill", ("b",), ("b",), 2.0, 3.0))
        self.ops += [Op("see", "reader-b", "b", 2.3, 2.31, status, TAG, LAYER) for status in (None, 502)]
        self.assertEqual(self.found(), set())

    def test_a_tag_goes_back(self):
        self.ops += [get("a", X, 3.0)]
        self.assertEqual(self.found(), {"forward"})

    def test_a_tag_vanishes(self):
        self.ops += [get("a", None, 3.0, status=404)]
        self.assertEqual(self.found(), {"forward"})

    def test_a_tag_may_be_absent_first(self):
        self.ops += [get("b", None, 0.5, status=404)]
        self.assertEqual(self.found(), set())

    def test_a_write_that_is_not_read_where_it_was_acknowledged(self):
        self.ops += [get("b", X, 2.15)]
        self.assertEqual(self.found(), {"forward"})

    def test_concurrent_reads_may_cross(self):
        self.ops += [get("b", X, 2.05, 2.3)]
        self.assertEqual(self.found(), set())

    def test_a_value_from_nowhere(self):
        self.ops += [get("a", Z, 3.0)]
        self.assertEqual(self.found(), {"forward"})

    def test_a_healthy_region_that_takes_no_writes(self):
        self.finish = 20.0
        self.assertEqual(self.found(), {"serve"})

    def test_a_region_that_is_hit_need_not_serve(self):
        self.finish = 20.0
        for region in REGIONS:
            self.history.faults.append(Fault("pause-region", (region,), (region,), 2.2, 17.0))
        self.assertEqual(self.found(), set())

    def test_a_cut_is_no_excuse(self):
        self.finish = 20.0
        self.history.faults.append(Fault("cut-pair", ("a", "b"), (), 2.2, 17.0))
        self.assertEqual(self.found(), {"serve"})

    def test_a_healthy_region_that_fails_or_hangs(self):
        self.ops += [put("a", Z, 3.0, 3.1, 500)]
        self.assertEqual(self.found(), {"answer"})
        self.ops[-1] = put("a", Z, 1.2, 3.5, 503, note="passed on to b")
        self.assertEqual(self.found(), {"answer"})
        self.ops[-1] = put("a", Z, 3.0, 3.1, 503, note="passed on to b")
        self.assertEqual(self.found(), set())

    def test_a_wrong_clock_that_takes_writes(self):
        self.shifts, self.bounds.clock_s = [Shift("b", 2.0, 1.5, 3.0)], 0.2
        self.assertEqual(self.found(), {"clock"})
        self.history.faults.append(Fault("cut-pair", ("a", "b"), (), 1.8, 3.0))
        self.assertEqual(self.found(), set())
        self.history.faults[-1].regions = ("a", "c")
        self.assertEqual(self.found(), {"clock"})
        self.shifts[0].offset_s = 0.3
        self.assertEqual(self.found(), set())

    def test_a_good_request_that_is_refused(self):
        self.ops += [put("a", Z, 3.0, 3.1, 404)]
        self.assertEqual(self.found(), {"refused"})
        self.ops[-1].status = 429
        self.assertEqual(self.found(), set())

    def test_a_name_that_changes_its_meaning(self):
        for status, rules in (("10.0.0.2", {"names"}), ("rcode 3", {"names"}), (None, set())):
            ops = copy.copy(self.ops)
            self.ops += [Op("ask", "resolver", "b", 2.0, 2.1, status, "contoso.a")]
            self.assertEqual(self.found(), rules, status)
            self.ops[:] = ops

    def test_what_the_end_says(self):
        self.end.problems.append("a: /healthz is not up")
        self.assertEqual(self.found(), {"end"})


class Plan(unittest.TestCase):
    def test_a_seed_gives_one_plan(self):
        regions = ["a", "b", "c", "d", "e"]
        text = lambda seed: [s.text() for s in plan.plan(seed, 60, regions)]
        self.assertEqual(text(7), text(7))
        self.assertNotEqual(text(7), text(8))

    def test_a_plan_ends_in_time_and_hits_a_region_once_at_a_time(self):
        for seed in range(200):
            steps = plan.plan(seed, 60, ["a", "b", "c", "d", "e"])
            self.assertTrue(all(s.at + s.lasts <= 60.01 for s in steps))
            for i, s in enumerate(steps):
                for t in steps[i + 1:]:
                    if s.kind in plan.OF_PROCESSES and t.kind in plan.OF_PROCESSES and s.regions == t.regions:
                        self.assertGreater(t.at, s.at + s.lasts)

    def test_disks_are_lost_one_at_a_time(self):
        n = 0
        for seed in range(200):
            steps = plan.plan(seed, 300, ["a", "b", "c", "d", "e"])
            lost = [s for s in steps if s.kind == "lose-disk"]
            n += len(lost)
            for s, t in zip(lost, lost[1:]):
                self.assertGreaterEqual(t.at, s.at + plan.BETWEEN_LOSSES_S)
            filled = [s for s in steps if s.kind == "full"]
            self.assertLessEqual(len({s.regions for s in filled}), 1)
            for s in lost:
                for t in filled:
                    if s.regions == t.regions:
                        self.assertTrue(t.at > s.at + s.lasts or s.at > t.at + t.lasts, (seed, s, t))
        self.assertGreater(n, 200)


if __name__ == "__main__":
    unittest.main()
