# SPDX-License-Identifier: Apache-2.0
"""A region whose store holds stamps of the future, as a wrong clock or an earlier version leaves it: it takes no writes and
says until when, `replication wait` says why a tag does not come, and `replication repair-clock` mends it."""
import json, re, sqlite3, time

from lab import DOMAIN, Lab, MERIDIAN, wait_until

EAST = f"contoso.eastus.geo.{DOMAIN}"
OCI = "application/vnd.oci.image.manifest.v1+json"


def healthz(lab):
    try:
        return lab.request("GET", f"eus-1.eastus.fe.{DOMAIN}", "/healthz", region="eastus")
    except OSError:  # it is just starting
        return None, {}, b""


def put(lab, tag, manifest):
    auth = lab.bearer("repository:app:pull,push", host=EAST, region="eastus")
    return lab.request("PUT", EAST, f"/v2/app/manifests/{tag}", "eastus", dict(auth, **{"Content-Type": OCI}), manifest)


def get(lab, tag):
    auth = lab.bearer("repository:app:pull,push", host=EAST, region="eastus")
    status, headers, body = lab.request("GET", EAST, f"/v2/app/manifests/{tag}", "eastus", dict(auth, Accept=OCI))
    return status, headers.get("docker-content-digest"), body


def poison(lab):
    """The tag's present value, on top of another, is of next year, by the entry that this region wrote."""
    lab.kill("eastus")
    now = int(time.time() * 1000)
    db = sqlite3.connect(f"{lab.dir}/eastus/meta/meta.db")
    stamp = (now + 365 * 86_400_000) << 16
    for table in ("tags", "tag_history"):
        changed = db.execute(f"UPDATE {table} SET stamp=? WHERE (repo,tag,stamp) IN (SELECT repo,tag,max(stamp) FROM {table}"
                             " WHERE tag='1' GROUP BY repo,tag)", (stamp,)).rowcount
        assert changed == 1, (table, changed)
    changed = db.execute("UPDATE feed SET stamp=? WHERE id=(SELECT max(id) FROM feed WHERE origin='eastus' AND tag='1')",
                         (stamp,)).rowcount
    assert changed == 1, changed
    db.execute("UPDATE state SET value=? WHERE key='hlc'", (stamp,))
    db.commit()
    db.close()
    lab.start("eastus", wait=False)
    wait_until(30, lambda: healthz(lab)[0] == 503, "eastus answers that it is down")


def main():
    with Lab() as lab:
        lab.push("one", EAST, "app", "1")
        first = get(lab, "1")
        lab.push("two", EAST, "app", "1")
        second = get(lab, "1")
        assert first[0] == second[0] == 200 and first[1] != second[1]
        lab.wait_replicated("contoso/app:1")

        poison(lab)
        wait_until(20, lambda: "repair-clock" in (lab.admin("eastus", "status").get("writesClosed") or ""),
                   "eastus says why it takes no writes")
        assert json.loads(healthz(lab)[2])["reason"] == "writes are closed", healthz(lab)
        closed = lab.admin("eastus", "status")["conditions"][0]
        assert (closed["name"], closed["severity"]) == ("writes_closed", "down") and "repair-clock" in closed["sentence"], closed
        admin = ("--admin", f"{lab.dir}/eastus/run/admin.sock")
        told = lab.check(MERIDIAN, "status", *admin)  # as a person reads it
        assert re.search(r"^down: this region takes no writes now: .*\(writes_closed, since 20", told, re.M), told
        metrics = lab.check("curl", "-sf", "--unix-socket", admin[1], "http://admin/v1/metrics")
        assert 'meridian_condition{name="writes_closed",severity="down"} 1\n' in metrics, metrics
        lab.wait_said("eastus", "/healthz says down (writes_closed)")
        lab.wait_said("eastus", ": stamped too far ahead of the clock; set this machine's clock right")
        status, _, body = put(lab, "2", second[2])
        assert status == 503 and b"writes open at" in body, (status, body)
        assert get(lab, "1")[:2] == second[:2]  # reading goes on

        waited = lab.run(MERIDIAN, "replication", "wait", "contoso/app:1", "--timeout", "20s", "-o", "json", check=False)
        assert waited.returncode == 6, (waited.returncode, waited.stdout, waited.stderr)
        outcomes = {o["region"]: o["outcome"] for o in json.loads(waited.stdout)}
        assert outcomes == {"eastus": "done", "westeurope": "clock-ahead", "southeastasia": "clock-ahead"}, outcomes

        would = lab.run(MERIDIAN, "replication", "repair-clock", "--admin", f"{lab.dir}/eastus/run/admin.sock").stdout
        assert "nothing was changed" in would and "1 of them this region's own, of which 1 would be announced again" in would, would
        assert healthz(lab)[0] == 503
        end = lab.log_end("eastus")
        told = lab.log_end("westeurope")
        did = lab.admin("eastus", "replication", "repair-clock", "--apply")
        assert did["applied"] and did["ownEntries"] == did["announcedAgain"] == 1 and did["epoch"] > 1, did
        lab.wait_said("eastus", "repair-clock, by uid 0", since=end)
        lab.wait_said("westeurope", "eastus says that what it wrote after entry", since=told)
        wait_until(20, lambda: healthz(lab)[0] == 200, "eastus is up")
        lab.wait_said("eastus", "over: this region takes no writes now", since=end)
        wait_until(20, lambda: not lab.admin("eastus", "status")["conditions"], "nothing is wrong any more")
        lab.wait_replicated("contoso/app:1")
        assert get(lab, "1")[:2] == second[:2]
        assert lab.admin("eastus", "replication", "repair-clock", "--apply")["entries"] == 0
        assert put(lab, "1", second[2])[0] == 201
        lab.wait_replicated("contoso/app:1")
        assert get(lab, "1")[:2] == second[:2]


main()
