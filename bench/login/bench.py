# SPDX-License-Identifier: Apache-2.0
"""Logins while others flood the password hashes: how long a first login takes (a hash), and how long known credentials and
refresh tokens take, by GET and by POST, over a new connection each (as docker does) and over a kept one. Started by run.sh."""
import os, sys, time

SYSTEM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/system")
sys.path.insert(0, SYSTEM)
import test_doors
from lab import MERIDIAN, USER

FIRST, KNOWN = 20, 400


def figures(what, took):
    took = sorted(t * 1000 for t in took)
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"{what:34} {len(took):5} {took[len(took) // 2]:9.1f} {p99:9.1f} {took[-1]:9.1f}", flush=True)


class Bench(test_doors.Doors):
    def first_logins(self, what, users):
        took = []
        for user in users:
            status, _, s = self.ask("GET", self.basic(user, self.lab.password))
            assert status == 200, (user, status)
            took.append(s)
        figures(f"{what}: first login", took)

    def known(self, what, refresh):
        password, zero = self.lab.password, "00000000-0000-0000-0000-000000000000"
        ways = {"password, GET": (self.basic(USER, password), None),
                "password, POST": (None, {"grant_type": "password", "username": USER, "password": password}),
                "refresh token, GET": (self.basic(zero, refresh), None),
                "refresh token, POST": (None, {"grant_type": "refresh_token", "refresh_token": refresh})}
        for way, (authorization, form) in ways.items():
            took = []
            for _ in range(KNOWN):
                status, _, s = self.ask("POST" if form else "GET", authorization, form)
                assert status == 200, (way, status)
                took.append(s)
            figures(f"{what}: {way}", took)


def main():
    Bench.setUpClass()
    bench = Bench()
    try:
        lab, users = bench.lab, [f"user{i}" for i in range(3 * FIRST)]
        for user in users:
            lab.check(MERIDIAN, "user", "add", user, "--registry", "contoso", "--actions", "pull", "--principals",
                      lab.principals)
        time.sleep(2)  # the daemon has read the last of them, and forgets credentials no more
        refresh = bench.ask("GET", bench.basic(USER, lab.password))[1]["refresh_token"]
        print(f"{'milliseconds':34} {'n':>5} {'median':>9} {'p99':>9} {'most':>9}")
        bench.first_logins("idle", users[:FIRST])
        bench.known("idle", refresh)
        flood = bench.flood(200, *(f"10.90.1.{i}" for i in range(1, 41)))
        bench.first_logins("200 of one network", users[FIRST:2 * FIRST])
        bench.known("200 of one network", refresh)
        print(bench.ended(flood))
        flood = bench.flood(600, *(f"10.90.{n}.{h}" for n in range(1, 51) for h in range(1, 5)))
        bench.first_logins("600 of 50 networks", users[2 * FIRST:])
        bench.known("600 of 50 networks", refresh)
        print(bench.ended(flood))
    finally:
        Bench.tearDownClass()


main()
