# SPDX-License-Identifier: Apache-2.0
"""System test: regions whose wall clocks differ, by daemons whose clock the test shifts.

1. what a lab's shifted clocks are worth
2. one clock of three is off, ahead and behind: that region alone takes no writes, says by how much and against whom, is
   down, and the global name moves; it is open again by itself when the clock is right
3. with one other region reached nobody can tell whose clock is wrong: a warning, and the kernel's word decides
4. a region that starts with a bad clock takes no writes
5. a clock that is off by more than 30 s is said of, and no certificate is issued or renewed by it
"""
import datetime, json, re, time

from lab import DOMAIN, REGIONS, STAMPS, TOPOLOGY, Lab, MERIDIAN, wait_until

FAST = TOPOLOGY + "ttl: {{ global: 2s, private: 1s, frontend: 2s }}\n"
EAST, WEST, SOUTH = REGIONS
LIMIT_S = 20  # a round every 5 s, a second more for one that is cut off, and a busy machine


def replication(lab, region):
    return json.loads(lab.check("curl", "-sf", "--unix-socket", f"{lab.dir}/{region}/run/admin.sock",
                                "http://admin/v1/replication"))


def metrics(lab, region):
    text = lab.check("curl", "-sf", "--unix-socket", f"{lab.dir}/{region}/run/admin.sock", "http://admin/v1/metrics")
    return dict(re.findall(r"^(\S+\{.*\}) (\S+)$", text, re.M))


def clock(lab, region):
    return lab.admin(region, "status")["clock"]


def wall(lab, region):
    """The region's wall clock now, less this machine's, in seconds."""
    said = replication(lab, region)["time"]
    return datetime.datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp() - time.time()


def write(lab, region):
    """Begins an upload; returns (status, body)."""
    host = f"contoso.{region}.geo.{DOMAIN}"
    auth = lab.bearer("repository:app:pull,push", host=host, region=region)
    status, _, body = lab.request("POST", host, "/v2/app/blobs/uploads/", region, auth)
    return status, body.decode()


def health(lab, region):
    """The status of /healthz; None while its edge does not answer."""
    try:
        return lab.request("GET", f"{STAMPS[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)[0]
    except OSError:
        return None


def leads_to(lab, region):
    return lab.dig(f"contoso.{DOMAIN}", at=WEST)[-1:] == [REGIONS[region]]


def all_open(lab):
    for region in REGIONS:
        wait_until(LIMIT_S, lambda: clock(lab, region)["state"] == "fine" and not lab.admin(region, "status")["writesClosed"],
                   f"{region} is open")


def test_clocks_are_shifted(lab):
    assert abs(wall(lab, EAST)) < 3
    lab.shift_clock(EAST, 3_600_000)
    assert abs(wall(lab, EAST) - 3600) < 3
    assert abs(wall(lab, WEST)) < 3  # one process alone
    lab.shift_clock(EAST, -3_600_000)
    assert abs(wall(lab, EAST) + 3600) < 3
    lab.shift_clock(EAST, 0)
    assert abs(wall(lab, EAST)) < 3
    lab.wait_up(EAST)
    all_open(lab)


def one_is_off(lab, ms, way):
    lab.shift_clock(EAST, ms)
    start = time.monotonic()
    wait_until(LIMIT_S, lambda: write(lab, EAST)[0] == 503, "eastus takes no writes")
    print(f"{way}: closed after {time.monotonic() - start:.1f} s", flush=True)
    status, body = write(lab, EAST)
    want = rf"this region takes no writes now: its clock is (\d\.\d+) s {way} \w+, (\d\.\d+) s {way} \w+: a majority of 3 regions"
    said = re.search(want, body)
    assert status == 503 and said and WEST in body and SOUTH in body, (status, body)
    assert all(abs(float(s) * 1000 - abs(ms)) < 250 for s in said.groups()), body
    wait_until(LIMIT_S, lambda: health(lab, EAST) == 503, "eastus says down")
    wait_until(LIMIT_S, lambda: leads_to(lab, WEST), "the global name leads to westeurope")
    for region in (WEST, SOUTH):
        assert write(lab, region)[0] == 202 and health(lab, region) == 200, region
        wait_until(LIMIT_S, lambda: clock(lab, region)["state"] == "differs", f"{region} warns")
    text = lab.check(MERIDIAN, "replication", "status", "-r", "contoso")
    assert re.search(rf"^{EAST} takes no writes now: its clock is .* s {way} ", text, re.M), text
    assert re.search(rf"^{WEST} warns: its clock is .* {EAST}; writes go on", text, re.M), text
    m = metrics(lab, EAST)
    assert m['meridian_writes_closed{reason="clock"}'] == "1" and m['meridian_writes_closed{reason="recovery"}'] == "0", m
    assert abs(float(m[f'meridian_clock_offset_seconds{{region="{WEST}"}}']) * 1000 + ms) < 250, m
    lab.shift_clock(EAST, 0)
    start = time.monotonic()
    wait_until(LIMIT_S, lambda: write(lab, EAST)[0] == 202, "eastus takes writes again")
    print(f"{way}: open after {time.monotonic() - start:.1f} s", flush=True)
    wait_until(LIMIT_S, lambda: health(lab, EAST) == 200 and leads_to(lab, EAST), "the global name leads to eastus again")
    all_open(lab)


def test_nobody_can_tell(lab):
    lab.cut(SOUTH)
    for region in (EAST, WEST):
        wait_until(LIMIT_S, lambda: not clock(lab, region)["regions"][SOUTH]["reached"], f"{region} does not reach {SOUTH}")
    lab.shift_clock(EAST, 2000)
    for region in (EAST, WEST):
        wait_until(LIMIT_S, lambda: clock(lab, region)["state"] == "differs", f"{region} warns")
        assert "nobody can tell" in clock(lab, region)["why"]
        assert write(lab, region)[0] == 202, region
    r = lab.run(MERIDIAN, "replication", "repair-clock", "--admin", f"{lab.dir}/{EAST}/run/admin.sock", check=False)
    assert r.returncode and "nobody vouches for this region's clock" in r.stderr, r
    lab.kernel_clock(EAST, "unsynchronised")
    wait_until(LIMIT_S, lambda: write(lab, EAST)[0] == 503, "eastus trusts its kernel's doubt")
    assert "its kernel says that it is not synchronised" in write(lab, EAST)[1]
    assert write(lab, WEST)[0] == 202
    lab.kernel_clock(EAST, "synchronised")
    wait_until(LIMIT_S, lambda: write(lab, EAST)[0] == 202, "eastus takes writes again")
    lab.heal(SOUTH)
    wait_until(LIMIT_S, lambda: write(lab, EAST)[0] == 503, "a third region decides")
    assert write(lab, WEST)[0] == 202 and write(lab, SOUTH)[0] == 202


def test_a_bad_start(lab):
    """Goes on from a clock that is 2 s ahead."""
    end = lab.log_end(EAST)
    lab.kill(EAST)
    lab.start(EAST, wait=False)
    lab.wait_said(EAST, "writes are closed: its clock is", since=end)
    wait_until(30, lambda: health(lab, EAST) == 503, "eastus answers that it is down")
    assert abs(wall(lab, EAST) - 2) < 1
    assert write(lab, EAST)[0] == 503
    lab.shift_clock(EAST, 0)
    lab.wait_up(EAST)
    all_open(lab)


def conditions(lab, region):
    return {c["name"]: c["sentence"] for c in lab.admin(region, "status")["conditions"]}


def certs(lab, region):
    return {c["kind"]: c for c in lab.admin(region, "certs", "show")}


def renew(lab, region, kind="region"):
    return lab.run(MERIDIAN, "certs", "renew", "--kind", kind, "--admin", f"{lab.dir}/{region}/run/admin.sock", check=False)


def test_far_off(lab):
    """More than 30 s: said by the region itself and of it by the others, and no certificate is dated by such a clock."""
    assert renew(lab, WEST).returncode == 0  # eastus answers for the CA
    before = {r: certs(lab, r)["region"]["fingerprint"] for r in REGIONS}
    lab.shift_clock(EAST, -400_000)
    wait_until(LIMIT_S, lambda: "no certificates" in conditions(lab, EAST).get("clock", ""), "eastus says that its clock is far off")
    said = conditions(lab, EAST)
    assert re.search(r"this region's clock is wrong: its clock is (399|400)\.\d+ s behind .*no certificates issued or renewed",
                     said["clock"]) and "peer_clock" not in said, said
    for region in (WEST, SOUTH):
        wait_until(LIMIT_S, lambda: "peer_clock" in conditions(lab, region), f"{region} warns")
        said = conditions(lab, region)
        assert re.search(r"the clock of eastus is (399|400)\.\d+ s behind ours; ours agrees with 1 of the 2 other", said["peer_clock"]), said
        assert health(lab, region) == 200 and "clock" not in said, said
        [peer] = [p for p in lab.admin(region, "health", "peers") if p["region"] == EAST]
        assert abs(peer["clockOffsetMs"] + 400_000) < 1000, peer
        assert metrics(lab, region)['meridian_condition{name="peer_clock",severity="warning"}'] == "1"
    end = lab.log_end(EAST)
    for region in (EAST, WEST):  # the CA's own, and who asks it
        r = renew(lab, region)
        why = r"no certificate is issued or renewed by the clock of eastus, which is far .* (399|400)\.\d+ s behind "
        assert r.returncode and re.search(why, r.stderr), r
        assert re.search(why, certs(lab, region)["region"]["lastError"]), certs(lab, region)
        assert re.search("the region certificate could not be renewed: .*" + why, lab.said(region)), region
        assert re.search("could not be renewed: .*" + why, lab.check(
            MERIDIAN, "certs", "show", "--admin", f"{lab.dir}/{region}/run/admin.sock")), region
    lab.wait_said(EAST, "a certificate asked for as westeurope: no certificate is issued or renewed by the clock of eastus", since=end)
    # what it has itself is from its future
    wait_until(LIMIT_S, lambda: "region_certificate" in conditions(lab, EAST), "eastus finds its certificate not valid yet")
    said = conditions(lab, EAST)["region_certificate"]
    assert "not valid yet; this region's clock is suspect: its clock is " in said, said
    assert "not valid yet; this region's clock is suspect" in certs(lab, EAST)["region"]["problem"]
    assert {r: certs(lab, r)["region"]["fingerprint"] for r in REGIONS} == before
    lab.shift_clock(EAST, 0)
    all_open(lab)
    for region in REGIONS:
        wait_until(LIMIT_S, lambda: not conditions(lab, region), f"nothing is wrong with {region}")
    assert renew(lab, WEST).returncode == 0 and certs(lab, WEST)["region"]["fingerprint"] != before[WEST]


def test_the_kernel_is_asked(lab):
    """The real one, inside the sandbox."""
    for state, says in (("unknown", ("unknown",)), ("real", ("synchronised", "unsynchronised"))):
        lab.kernel_clock(WEST, state)
        wait_until(LIMIT_S, lambda: clock(lab, WEST)["kernel"] in says, f"the kernel says {says}")


def main():
    with Lab(FAST, clocks=True) as lab:
        test_clocks_are_shifted(lab)
        one_is_off(lab, 2000, "ahead of")
        one_is_off(lab, -2000, "behind")
        test_nobody_can_tell(lab)
        test_a_bad_start(lab)
        test_far_off(lab)
        test_the_kernel_is_asked(lab)


main()
