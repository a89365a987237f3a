# SPDX-License-Identifier: Apache-2.0
"""Resolvers that decide together: a dead and a cut-off region leave the answers in time, one registry fails over alone,
a drain is told to all and counts down."""
import dnswire, random, socket, time, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, TOPOLOGY, wait_until

FAST = TOPOLOGY + "ttl: {{ global: 2s, private: 1s, frontend: 2s }}\n"
BOUND_S = 2 * 0.75 * 1.1 + 1  # fall * interval * (1 + jitter) + timeout
EAST = "eastus"
OTHERS = [r for r in REGIONS if r != EAST]


def where(name, at):
    """The region that the resolver of `at` leads to; None without an answer."""
    qid = random.randrange(65536)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        s.sendto(dnswire.query(qid, dnswire.name(f"{name}.{DOMAIN}"), dnswire.A), (REGIONS[at], 53))
        try:
            answer = s.recv(4096)
        except OSError:
            return None
    last = socket.inet_ntoa(answer[-4:])  # the chain ends in one A record
    return next((r for r, a in REGIONS.items() if a == last), None)


class Health(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(FAST))

    def all_lead(self, name, region, limit_s=20, at=REGIONS):
        wait_until(limit_s, lambda: all(where(name, a) == region for a in at), f"{name} leads to {region} at {list(at)}")

    def all_vote(self):
        def agreed():
            return all(p["resolver"] in ("votes", "ourselves") and p["deepMsAgo"] is not None and not p["error"]
                       for r in REGIONS for p in self.lab.admin(r, "health", "peers"))
        wait_until(20, agreed, "every resolver hears every other")

    def time_to_answer(self, what, act):
        self.all_vote()
        self.all_lead("contoso", EAST)
        start = time.monotonic()
        act()
        left, took = set(OTHERS), {}
        while left and time.monotonic() < start + 10:
            for r in sorted(left):
                if where("contoso", r) == "westeurope":
                    took[r] = time.monotonic() - start
                    left.discard(r)
            time.sleep(0.01)
        self.assertFalse(left, f"{what}: {left} still lead to {EAST}")
        print(f"{what}: " + ", ".join(f"{r} {t:.2f} s" for r, t in took.items()), flush=True)
        self.assertLessEqual(max(took.values()), 3.0, f"{what}: {took}; the bound is {BOUND_S:.2f} s")
        [seen] = [t for t in self.lab.admin("westeurope", "health", "show") if t["region"] == EAST]
        self.assertIn("southeastasia down", seen["votes"])
        self.assertIn("the majority decides", seen["votes"])
        explained = self.lab.admin("westeurope", "dns", "explain", f"contoso.{DOMAIN}")
        [step] = [s for s in explained["routing"]["regions"] if s["region"] == EAST]
        self.assertIn("the majority decides", step["count"]["rule"])
        says = {v["voter"]: (v["says"], v["counted"]) for v in step["count"]["voters"]}
        self.assertEqual({r: says[r] for r in OTHERS}, {r: ("down", True) for r in OTHERS})
        for words in (("health", "show", "--votes"), ("dns", "explain", f"contoso.{DOMAIN}")):  # as tables
            text = self.lab.check(MERIDIAN, *words, "--admin", f"{self.lab.dir}/westeurope/run/admin.sock")
            for r in OTHERS:
                self.assertRegex(text, rf"(?m)^{EAST} +\S+ +{r} +down +\d+ +\d+ +votes +(yes|true)$")
            self.assertIn("the majority decides", text)

    def test_1_a_killed_region_is_left_in_time(self):
        self.time_to_answer("kill -9", lambda: self.lab.kill(EAST))
        self.lab.start(EAST)
        self.all_lead("contoso", EAST, 30)

    def test_2_a_cut_off_region_is_left_in_time_and_does_not_blame_the_others(self):
        self.time_to_answer("packets dropped", lambda: self.lab.cut(EAST))
        try:
            # It sees both others down and abstains; when nobody else is heard it leads who still reaches it to itself.
            def alone():
                stamps = self.lab.admin(EAST, "health", "show")
                return all(t["up"] == (t["region"] == EAST) for t in stamps)
            wait_until(10, alone, "the one that is cut off counts on itself alone")
            for t in self.lab.admin(EAST, "health", "show"):
                [ours] = [v for v in t["count"]["voters"] if v["voter"] == EAST]
                self.assertEqual(ours["standing"], "its own region" if t["region"] == EAST else "abstains")
                self.assertTrue(ours["counted"])
            for r in OTHERS:  # what it says of them takes nobody down
                self.assertEqual([t["up"] for t in self.lab.admin(r, "health", "show") if t["region"] != EAST], [True, True])
        finally:
            self.lab.heal(EAST)
        self.all_lead("contoso", EAST, 30)

    def test_3_an_impaired_registry_fails_over_alone(self):
        self.all_vote()
        self.all_lead("tailspin", EAST)
        self.lab.admin("westeurope", "health", "impair", "contoso", "--region", EAST)
        self.all_lead("contoso", "westeurope", 5)
        self.all_lead("tailspin", EAST, 1)
        self.lab.admin("southeastasia", "health", "clear", "contoso", "--region", EAST)
        self.all_lead("contoso", EAST, 5)
        bad = self.lab.run(MERIDIAN, "health", "impair", "nobody", "--region", EAST, "--admin",
                           f"{self.lab.dir}/westeurope/run/admin.sock", check=False)
        self.assertNotEqual(bad.returncode, 0)
        self.assertIn("no such registry", bad.stderr)

    def everywhere(self, text, state):
        """What an operator has ordered of eastus stands wherever the region is shown, at another node, by its own name."""
        lab, at = self.lab, "westeurope"
        sock = ["--admin", f"{lab.dir}/{at}/run/admin.sock"]
        say = lambda *words: lab.run(MERIDIAN, *words, *sock, check=False).stdout
        for words in (("health", "show"), ("status",), ("show-endpoints", "-n", "contoso"), ("replication", "list", "-r", "contoso"),
                      ("replication", "show", "-r", "contoso", "-n", EAST), ("stamp", "list"),
                      ("dns", "explain", f"contoso.{DOMAIN}"), ("replication", "status", "-r", "contoso")):
            wait_until(10, lambda: text in say(*words), f"{' '.join(words)} says: {text}")
        [row] = [r for r in lab.admin(at, "dns", "explain", f"contoso.{DOMAIN}")["routing"]["regions"] if r["region"] == EAST]
        self.assertEqual(row["state"], state)
        self.assertIn(text, row["reason"])
        self.assertNotIn("impaired", row["reason"])

    def test_4_a_drain_is_told_to_all_and_counts_down(self):
        self.all_vote()
        self.all_lead("contoso", EAST)
        self.lab.admin("westeurope", "replication", "drain", "--region", EAST)
        r = self.lab.run(MERIDIAN, "replication", "drain", "--region", EAST, "--wait", "--timeout", "2s", "-o", "json",
                         "--admin", f"{self.lab.dir}/westeurope/run/admin.sock", check=False)
        self.assertEqual(r.returncode, 3, r.stderr)  # the TTLs of the chain, and the margin, take longer
        [mine] = [o for o in self.lab.admin("westeurope", "health", "orders") if o["on"]]
        self.assertEqual(mine["waitingFor"], [])
        self.assertFalse(mine["safe"])
        self.assertTrue(0 < mine["safeInMs"] <= 15000 - 2000, mine)
        for name in ("contoso", "tailspin"):
            self.all_lead(name, "westeurope", 1)
        [order] = [o for o in self.lab.admin(EAST, "health", "orders") if o["on"]]
        self.assertEqual((order["order"], order["region"], order["registry"], order["on"]), ("drain", EAST, "*", True))
        self.everywhere("drained by root@westeurope since 20", "drained")
        self.everywhere("safe to stop", "drained")
        conditions = lambda: {c["name"]: c["sentence"] for c in self.lab.admin(EAST, "status")["conditions"]}
        wait_until(10, lambda: "drained by root@westeurope since 20" in conditions().get("drained", ""), "the region says so of itself")
        self.lab.admin("southeastasia", "replication", "undrain", "--region", EAST)
        self.all_lead("contoso", EAST, 5)

    def drill(self, at, *words, check=True):
        return self.lab.admin(at, "drill", *words, check=check)

    def all_up(self):
        wait_until(30, lambda: all(t["up"] for r in REGIONS for t in self.lab.admin(r, "health", "show")), "all are up")

    def refused(self, why, *words):
        r = self.lab.run(MERIDIAN, "drill", *words, "--admin", f"{self.lab.dir}/westeurope/run/admin.sock", check=False)
        self.assertNotEqual(r.returncode, 0, r.stdout)
        self.assertIn(why, r.stderr)

    def test_4c_a_drill_is_told_to_all_by_its_own_name_and_ends_by_itself(self):
        west, asia = "westeurope", "southeastasia"
        self.all_vote()
        self.all_up()
        self.all_lead("contoso", EAST)
        start = time.monotonic()
        begun = self.drill(west, "start", "--region", EAST, "--for", "40s", "--yes")
        self.assertEqual((begun["state"], begun["region"], begun["registry"], begun["by"]), ("running", EAST, "*", f"root@{west}"))
        self.all_lead("contoso", west, 5)
        for r in REGIONS:
            self.assertEqual(self.drill(r, "show")["id"], begun["id"])
        self.everywhere(f"taken out by drill {begun['id']} of root@{west} since 20", "drilled")
        for r in REGIONS:
            [up] = [t["up"] for t in self.lab.admin(r, "health", "show") if t["region"] == EAST]
            self.assertTrue(up, "nothing is wrong with it")
        conditions = lambda: [c["name"] for c in self.lab.admin(asia, "status")["conditions"]]
        wait_until(10, lambda: "drill" in conditions(), "the status of another node says so")
        self.refused("one at a time", "start", "--region", asia, "--for", "1m", "--yes")
        self.refused("10 s to 4 h", "start", "--region", EAST, "--for", "5h", "--yes")
        # The one that was asked dies, another one is cut off: each goes on, and ends it by its own clock.
        self.lab.kill(west)
        self.lab.cut(asia)
        try:
            self.lab.start(west)
            went_on = self.drill(west, "show")
            self.assertEqual(went_on["id"], begun["id"])
            self.assertEqual(went_on["state"], "running")
            self.assertTrue(0 < went_on["leftMs"] < 40000, went_on)
            for r in REGIONS:
                wait_until(90, lambda: self.drill(r, "show")["state"] == "ended", f"{r} ends the drill by itself")
            took = time.monotonic() - start
            self.assertGreaterEqual(took, 39)
            print(f"a drill of 40 s: over everywhere after {took:.1f} s", flush=True)
            self.refused("is down", "start", "--region", EAST, "--for", "1m", "--yes")
            ended = lambda: [r["ended"] or 0 for r in self.drill(west, "report", begun["id"])["regions"] if r["region"] in (EAST, west)]
            wait_until(10, lambda: min(ended()) > 0, "those that are reached report that it has ended")
            report = self.drill(west, "report", begun["id"])
            self.assertEqual(report["drill"]["id"], begun["id"])
            rows = {r["region"]: r for r in report["regions"]}
            self.assertEqual({r: rows[r]["reached"] for r in REGIONS}, {EAST: True, west: True, asia: False})
            for r in (EAST, west):  # asked all the while by all_lead, they led elsewhere soon, and have led back
                self.assertTrue(rows[r]["seen"], rows)
                self.assertTrue(0 <= rows[r]["rerouteMs"] < 5000, rows)
                self.assertEqual(rows[r]["ended"] > 0, True)
            self.all_lead("contoso", EAST, 10, at=(EAST, west))
            wait_until(10, lambda: all(r["returnMs"] is not None for r in self.drill(west, "report")["regions"] if r["region"] in (EAST, west)),
                       "both have led back")
            table = self.lab.check(MERIDIAN, "drill", "report", "--admin", f"{self.lab.dir}/{west}/run/admin.sock")
            self.assertRegex(table, rf"(?m)^{asia} +away +- +-")
            self.assertRegex(table, rf"(?m)^{west} +seen +\d+\.\d s +\d+ +\d+\.\d s ")
        finally:
            self.lab.heal(asia)
        self.all_lead("contoso", EAST, 30)

    def test_4d_a_drill_of_one_registry_is_stopped_at_another_node(self):
        self.all_vote()
        self.all_up()
        self.all_lead("contoso", EAST)
        begun = self.drill("westeurope", "start", "--region", EAST, "--for", "10m", "--registry", "contoso", "--yes")
        self.all_lead("contoso", "westeurope", 5)
        self.all_lead("tailspin", EAST, 5)
        stopped = self.drill("southeastasia", "stop")
        self.assertEqual((stopped["id"], stopped["state"], stopped["stoppedBy"]), (begun["id"], "stopped", "root@southeastasia"))
        self.all_lead("contoso", EAST, 5)
        wait_until(20, lambda: all(self.drill(r, "show")["state"] == "stopped" for r in REGIONS), "it is stopped everywhere")
        self.refused("no drill runs", "stop")

    def test_4b_what_is_forced_at_one_is_forced_at_all(self):
        self.all_vote()
        self.all_lead("contoso", EAST)
        self.lab.admin("westeurope", "health", "force", EAST, "down")
        self.all_lead("contoso", "westeurope", 5)
        [order] = [o for o in self.lab.admin(EAST, "health", "orders") if o["on"]]
        self.assertEqual((order["order"], order["state"], order["region"]), ("force", "down", EAST))
        self.everywhere("forced down by root@westeurope since 20", "unhealthy")
        self.lab.admin("southeastasia", "health", "force", EAST, "auto")
        self.all_lead("contoso", EAST, 5)

    def test_5_a_drain_waits_for_a_resolver_that_does_not_answer(self):
        self.lab.stop("southeastasia")
        self.lab.admin("westeurope", "replication", "drain", "contoso", "--region", EAST)
        self.all_lead("contoso", "westeurope", 5, (EAST, "westeurope"))
        self.all_lead("tailspin", EAST, 1, (EAST, "westeurope"))
        orders = self.lab.admin("westeurope", "health", "orders")
        [mine] = [o for o in orders if o["registry"] == "contoso" and o["order"] == "drain"]
        self.assertEqual((mine["waitingFor"], mine["safe"], mine["safeInMs"]), (["southeastasia"], False, None))
        r = self.lab.run(MERIDIAN, "replication", "drain", "contoso", "--region", EAST, "--wait", "--timeout", "2s",
                         "--topology", f"{self.lab.dir}/topology.yaml", "--admin",
                         f"{self.lab.dir}/westeurope/run/admin.sock", check=False)
        self.assertEqual(r.returncode, 3, r.stderr)
        self.assertIn("waiting for the resolver of southeastasia", r.stderr)
        self.lab.start("southeastasia")
        self.all_lead("contoso", "westeurope", 10)  # it was told after its start
        self.lab.admin("westeurope", "replication", "undrain", "contoso", "--region", EAST)
        self.all_lead("contoso", EAST, 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
