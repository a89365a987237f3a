# SPDX-License-Identifier: Apache-2.0
"""System test: three regions that follow the control feed.

1. a change that is made at the writer, or asked for at another node, is in force everywhere at once: names, `status --all`
2. a revocation reaches all regions, also one whose way to the writer is cut
3. a region that was away for a hundred changes has them all when it is back, and so has one whose clock is wrong
4. the writer is killed, and restarted hot, while changes are made: none is lost
5. a document is applied, keeps what a command has done meanwhile, and is gone back from
6. the writer's control key is stolen: it takes over from itself with another one, by the root key, and the stolen one counts no more
7. a writer that is cut off takes no changes; another region takes over; the old one follows it when it is back
8. a writer whose clock is wrong changes no names, takes revocations, and moves no time; it goes on when its clock is right
"""
import base64, datetime, json, os, subprocess, tempfile, threading, time

from lab import DOMAIN, MERIDIAN, REGIONS, TOPOLOGY, USER, Lab, wait_until

EAST, WEST, SOUTH = REGIONS
LIMIT_S = 20
REVOKED_S = 5  # within so long a revocation holds in all regions that can be reached


def root_key(path):
    """The fleet's root key, as its owner keeps it; its public half as the topology has it."""
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    os.chmod(path, 0o600)
    spki = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    return base64.b64encode(spki).decode()


class Fleet(Lab):
    def __init__(self, root):
        self.root = root
        control = f'control: {{{{ root: "{root_key(root)}", writer: {EAST} }}}}\n'
        super().__init__(topology=TOPOLOGY + "ttl: {{ global: 2s, private: 1s, frontend: 2s }}\n" + control,
                         node_extra="source: feed\n", clocks=True)

    def socket(self, region):
        return f"{self.dir}/{region}/run/admin.sock"

    def change(self, *words, at=EAST, check=True, **more):
        """A change, as root asks for it at a node's admin socket; waits for its end."""
        return self.run(MERIDIAN, *words, "-o", "json", "--admin", self.socket(at), check=check, **more)

    def registry(self, name, at=EAST, **more):
        return self.change("registry", "create", name, "--location", EAST, "--no-wait", at=at, **more)

    def fleet(self, at=EAST):
        """What a node has heard of all, by region."""
        return {r["region"]: r for r in json.loads(self.run(MERIDIAN, "status", "--all", "-o", "json", "--admin", self.socket(at), check=False).stdout)}

    def here(self, region):
        """A region's own report."""
        return self.fleet(region)[region]

    def has(self, name, region):
        return self.dig(f"{name}.{DOMAIN}", at=region) != []

    def conditions(self, region):
        return {c["name"]: c for c in self.admin(region, "status")["conditions"]}


def place(lab, region):
    c = lab.here(region)["control"]
    return c["epoch"], c["seq"], c["hash"]


def same_everywhere(lab, regions=REGIONS):
    wait_until(LIMIT_S, lambda: len({place(lab, r) for r in regions}) == 1, "all regions are at the same place")


def token(lab, region, user=USER, password=None):
    """The status of a question for a token, in that region."""
    basic = base64.b64encode(f"{user}:{password or lab.password}".encode()).decode()
    host = f"contoso.{region}.geo.{DOMAIN}"
    return lab.request("GET", host, f"/oauth2/token?service=contoso.{DOMAIN}&scope=repository:app:pull", region,
                       {"Authorization": "Basic " + basic})[0]


def test_1_a_change_is_in_force_everywhere(lab):
    same_everywhere(lab)
    for region in REGIONS:
        seen = lab.fleet(region)
        assert all(r["source"] == "feed" and r["reached"] for r in seen.values()), seen
        assert [r for r, v in seen.items() if v["control"]["writes"]] == [EAST], seen
    lab.registry("northwind")
    began, took = time.monotonic(), {}
    while len(took) < len(REGIONS):
        assert time.monotonic() - began < LIMIT_S, took
        took.update({r: int((time.monotonic() - began) * 1000) for r in REGIONS if r not in took and lab.has("northwind", r)})
    print(f"a registry is answered after, in ms: {took}")
    same_everywhere(lab)
    refused = lab.run(MERIDIAN, "registry", "create", "southwind", "--admin", lab.socket(WEST), check=False)
    assert refused.returncode and "writer" in refused.stderr, refused  # root of another node is nobody here


def test_2_a_revocation_gets_around_a_cut(lab):
    assert [token(lab, r) for r in REGIONS] == [200] * 3
    rules = ("table ip cut {\n  chain i { type filter hook input priority 0; ip saddr %s drop; }\n"
             "  chain o { type filter hook output priority 0; ip daddr %s drop; }\n}\n" % (REGIONS[EAST], REGIONS[EAST]))
    subprocess.run(["ip", "netns", "exec", SOUTH, "nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        lab.change("user", "remove", USER, "--yes", "--no-wait")
        began = time.monotonic()
        for region in REGIONS:
            wait_until(LIMIT_S, lambda: token(lab, region) == 401, f"{USER} is refused in {region}")
        took = time.monotonic() - began
        print(f"a revocation held in all regions after {took:.2f} s, one of them cut off from the writer")
        assert took < REVOKED_S + 1, took
    finally:
        lab.heal(SOUTH)



def test_3_who_was_away_and_whose_clock_is_wrong_has_it_all(lab):
    lab.stop(SOUTH)
    lab.shift_clock(WEST, 3_600_000)
    for i in range(25):
        # four at once: the fleet takes far more than one command after the other asks for
        for child in [lab.background(MERIDIAN, "registry", "create", f"away{i}x{k}", "--location", EAST, "--no-wait", "--admin",
                                     lab.socket(EAST), stdout=subprocess.DEVNULL) for k in range(4)]:
            assert child.wait(LIMIT_S) == 0, child.args
    wait_until(LIMIT_S, lambda: lab.has("away24x3", WEST), "a region whose clock is an hour off follows")
    began = time.monotonic()
    lab.start(SOUTH)
    wait_until(LIMIT_S, lambda: all(lab.has(f"away{i}x3", SOUTH) for i in (0, 12, 24)), "a region that was away has a hundred changes")
    print(f"a region that was away for a hundred changes had them {time.monotonic() - began:.1f} s after its start began")
    wait_until(LIMIT_S, lambda: "clock" in lab.conditions(WEST), "the region whose clock is off says so")
    lab.shift_clock(WEST, 0)
    same_everywhere(lab)


class Changes(threading.Thread):
    """One after the other, until it is told to stop; which of them were taken."""

    def __init__(self, lab, name):
        super().__init__()
        self.lab, self.name, self.taken, self.ends = lab, name, [], threading.Event()

    def run(self):
        n = 0
        while not self.ends.is_set():
            name = f"{self.name}{n}"
            if self.lab.registry(name, check=False).returncode == 0:
                self.taken.append(name)
            n += 1

    def stop(self):
        self.ends.set()
        self.join()
        return self.taken


def test_4_the_writer_dies_and_is_restarted(lab):
    changes = Changes(lab, "killed")
    changes.start()
    wait_until(LIMIT_S, lambda: len(changes.taken) > 5, "changes are taken")
    lab.kill(EAST)
    before = len(changes.taken)
    lab.start(EAST)
    wait_until(LIMIT_S, lambda: len(changes.taken) > before + 5, "changes are taken after the writer was killed")
    old = lab.here(EAST)["since"]
    lab.admin(EAST, "node", "restart")
    before = len(changes.taken)
    wait_until(LIMIT_S, lambda: len(changes.taken) > before + 5, "changes are taken by the next worker")
    assert lab.here(EAST)["since"] != old
    taken = changes.stop()
    for region in REGIONS:
        wait_until(LIMIT_S, lambda: all(lab.has(name, region) for name in taken[-1:]), f"the last is answered in {region}")
        lost = [name for name in taken if not lab.has(name, region)]
        assert not lost, (region, lost)
    print(f"{len(taken)} changes were taken while the writer was killed and restarted, and none was lost")
    same_everywhere(lab)


def test_5_a_document_is_applied_and_gone_back_from(lab):
    def meridian(*words, status=0):
        r = lab.run(MERIDIAN, *words, "--admin", lab.socket(EAST), check=False)
        assert r.returncode == status, (words, r)
        return r.stdout + r.stderr

    same_everywhere(lab)
    path = f"{lab.dir}/exported.yaml"
    meridian("topology", "export", "--out", path)
    meridian("apply", path, "--dry-run")  # nothing
    with open(path) as f:
        text = f.read()
    before = lab.here(EAST)["topologyVersion"]
    lab.change("registry", "create", "madebyhand", "--location", EAST)  # which the document knows nothing of
    with open(path, "w") as f:
        f.write(text.replace("frontend: 2s", "frontend: 7s").replace("ttl:", "# as we like it\nttl:"))
    shown = meridian("apply", path, "--dry-run", status=10)
    assert "kept: registry/madebyhand" in shown and "frontend" in shown, shown
    assert lab.here(EAST)["topologyVersion"] > before and "frontend: 7s" not in meridian("topology", "export")
    meridian("apply", path, "--if-version", str(before), status=1)
    done = meridian("apply", path)
    assert "section/ttl changed" in done and "is in force" in done, done
    meridian("apply", path, "--dry-run")
    assert "# as we like it" in meridian("topology", "export")
    same_everywhere(lab)
    for region in REGIONS:
        assert lab.has("madebyhand", region)
        assert "frontend: 7s" in lab.run(MERIDIAN, "topology", "export", "--admin", lab.socket(region)).stdout
    history = json.loads(lab.run(MERIDIAN, "topology", "history", "-o", "json", "--admin", lab.socket(EAST)).stdout)
    assert history[0]["what"] == "frame" and history[0]["by"] == f"root@{EAST}", history[:3]
    # back: the document of before, and what was created since goes, its name reserved
    back = meridian("topology", "rollback", str(before), "--yes", "--no-wait")
    assert "is in force" in back, back
    same_everywhere(lab)
    wait_until(LIMIT_S, lambda: not any(lab.has("madebyhand", r) for r in REGIONS), "what was created since is out of DNS")
    assert "frontend: 2s" in meridian("topology", "export")

    # its edge serves it on for the caches, which outlasts this test
    def waits():
        o = json.loads(meridian("operation", "list", "-o", "json"))[0]
        return o["verb"] == "topology rollback" and any(p["name"] == "wait" and p["state"] == "running" for p in o["phases"])
    wait_until(LIMIT_S, waits, "the rollback waits for the caches")


def test_6_the_writer_gets_another_control_key(lab):
    fresh, keys = f"{lab.dir}/control.pem.new", f"{lab.dir}/{EAST}/keys"
    before = json.loads(lab.run(MERIDIAN, "control", "status", "-o", "json", "--admin", lab.socket(EAST)).stdout)
    done = lab.change("control", "takeover", EAST, "--control-key", fresh, "--root-key", lab.root, "--yes")
    assert "keys/control.pem" in done.stderr, done
    same_everywhere(lab)
    refused = lab.registry("bystolenkey", check=False)
    assert refused.returncode, refused
    owner = os.stat(f"{keys}/control.pem")
    os.rename(fresh, f"{keys}/control.pem")
    os.chown(f"{keys}/control.pem", owner.st_uid, owner.st_gid)
    lab.admin(EAST, "node", "restart")
    wait_until(LIMIT_S, lambda: lab.here(EAST)["control"]["writes"] and lab.here(EAST)["control"]["confirmed"], f"{EAST} writes again")
    after = json.loads(lab.run(MERIDIAN, "control", "status", "-o", "json", "--admin", lab.socket(EAST)).stdout)
    assert int(after["place"].split(":")[0]) == int(before["place"].split(":")[0]) + 1, (before, after)
    lab.registry("bynewkey")
    for region in REGIONS:
        wait_until(LIMIT_S, lambda: lab.has("bynewkey", region), f"{region} follows the writer with its new key")
    assert not lab.has("bystolenkey", WEST)
    same_everywhere(lab)


def test_7_another_region_takes_over(lab):
    lab.cut(EAST)
    try:
        r = wait_until(LIMIT_S, lambda: (r := lab.registry("lonely", check=False)).returncode and r, "a writer that is alone takes nothing")
        assert "NoMajority" in r.stderr or "majority" in r.stderr, r
        assert lab.run(MERIDIAN, "registry", "create", "early", "--admin", lab.socket(WEST), check=False).returncode
        lab.change("control", "takeover", WEST, "--root-key", lab.root, "--yes", at=WEST)
        wait_until(LIMIT_S, lambda: lab.here(WEST)["control"]["confirmed"], f"{WEST} writes, and hears a majority")
        lab.registry("anotherone", at=WEST)
        for region in (WEST, SOUTH):
            wait_until(LIMIT_S, lambda: lab.has("anotherone", region), f"{region} follows the new writer")
    finally:
        lab.heal(EAST)
    wait_until(LIMIT_S, lambda: lab.has("anotherone", EAST), "the old writer follows the new one")
    same_everywhere(lab)
    assert lab.here(EAST)["control"] | {"staleMs": 0} == lab.here(EAST)["control"] | {"staleMs": 0, "writes": False, "writer": WEST}
    refused = lab.registry("afterwards", check=False)
    assert refused.returncode, refused
    lab.registry("afterwards", at=WEST)
    wait_until(LIMIT_S, lambda: lab.has("afterwards", EAST), "and what it writes from then on")
    for region in REGIONS:
        wait_until(LIMIT_S, lambda: "control_feed" not in lab.conditions(region), f"nothing is wrong with the feed in {region}")


def feed_time(lab, region):
    """The date of the last entry that a region has, less this machine's clock, in seconds."""
    said = json.loads(lab.change("control", "status", at=region).stdout)["time"]
    return datetime.datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp() - time.time()


def test_8_a_writer_whose_clock_is_wrong(lab):
    """Goes on from westeurope as the writer. The command's own clock is right, and its requests count for five minutes."""
    lab.shift_clock(WEST, 120_000)
    began = time.monotonic()
    r = wait_until(LIMIT_S, lambda: (r := lab.registry("dated" + str(time.monotonic_ns()), at=WEST, check=False)).returncode and r,
                   "a clock that is wrong changes no names")
    took = time.monotonic() - began
    assert f"the writer {WEST} changes no registries" in r.stderr and "ahead of" in r.stderr and "control takeover" in r.stderr, r
    lab.change("token", "revoke", "0123456789abcdef0123456789abcdef", at=WEST)
    same_everywhere(lab)
    for region in REGIONS:
        assert feed_time(lab, region) < 60, feed_time(lab, region)
        assert "control_feed" not in lab.conditions(region), lab.conditions(region)
    lab.shift_clock(WEST, 0)
    wait_until(LIMIT_S, lambda: lab.registry("onceagain", at=WEST, check=False).returncode == 0, "a clock that is right does")
    wait_until(LIMIT_S, lambda: lab.has("onceagain", SOUTH), "and all follow")
    print(f"a clock that is wrong changed no names after {took:.1f} s; the whole took {time.monotonic() - began:.1f} s")


def main():
    with tempfile.TemporaryDirectory() as keys, Fleet(f"{keys}/root.pem") as lab:
        test_1_a_change_is_in_force_everywhere(lab)
        test_2_a_revocation_gets_around_a_cut(lab)
        test_3_who_was_away_and_whose_clock_is_wrong_has_it_all(lab)
        test_4_the_writer_dies_and_is_restarted(lab)
        test_5_a_document_is_applied_and_gone_back_from(lab)
        test_6_the_writer_gets_another_control_key(lab)
        test_7_another_region_takes_over(lab)
        test_8_a_writer_whose_clock_is_wrong(lab)


main()
