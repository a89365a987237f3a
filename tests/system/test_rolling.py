# SPDX-License-Identifier: Apache-2.0
"""Peer certificates that replace themselves over the control feed, in a fleet of three: of a region, of one that is killed in the
middle, of the writer, while another region is away; the old ones leave in time, and nothing is said of it by any node. A
stolen peer certificate gets nothing."""
import http.client, json, os, socket, ssl
from lab import DOMAIN, REGIONS, wait_until
from test_joining import Fleet, first_region

OVERLAP_MS = 2 * 3600 * 1000


def peer(lab, region):
    """{"fingerprint", "nextFingerprint", …} of the region's peer certificate, by its own node."""
    return next(c for c in lab.json(region, "certs", "show") if c["kind"] == "peer")


def named(lab, at, region):
    rows = lab.json(at, "identities", "list")
    return {r["id"] for r in rows if r["region"] == region and r["what"] == "fingerprint"}


def history(lab):
    return [h["by"] for h in lab.json("eastus", "topology", "history")]


def renew(lab, region):
    return lab.root(region, "certs", "renew", "--kind", "peer")


def in_use(lab, region, before):
    wait_until(40, lambda: peer(lab, region)["fingerprint"] != before, f"{region} goes over")
    return peer(lab, region)["fingerprint"]


def thief(lab, path, body):
    """With westeurope's certificate and its key, from another machine."""
    context = ssl.create_default_context(cafile=lab.ca)
    pem = f"{lab.dir}/westeurope/data/certs/peer.pem"
    context.load_cert_chain(pem)
    c = http.client.HTTPSConnection(f"eastus.peer.{DOMAIN}", timeout=10)
    c.sock = context.wrap_socket(socket.create_connection((REGIONS["eastus"], 8443), timeout=10), server_hostname=f"eastus.peer.{DOMAIN}")
    c.request("POST", path, body=body)
    r = c.getresponse()
    return r.status, r.read().decode()


def stolen(lab):
    before = named(lab, "eastus", "westeurope")
    status, body = thief(lab, "/control/v1/peer/nonce", "{}")
    assert status == 200, (status, body)
    with open(f"{lab.dir}/westeurope/data/certs/peer.pem") as f:
        pem = f.read().split("-----BEGIN PRIVATE")[0]
    text = json.dumps({"v": 1, "domain": DOMAIN, "region": "westeurope", "step": "next", "nonce": json.loads(body)["nonce"],
                       "current": next(iter(before)), "certificate": pem})
    key = next(r["id"] for r in lab.json("eastus", "identities", "list") if r["region"] == "westeurope" and r["what"] == "feed-key")
    for forged, why in ((text, "a text, a key and a signature"),
                        (json.dumps({"request": text, "key": key, "signature": "A" * 86}), "not of the region's feed key"),
                        (json.dumps({"request": text, "key": key}), "a text, a key and a signature")):
        status, body = thief(lab, "/control/v1/peer/certificate", forged)
        assert status == 403 and why in body, (status, body)
    assert named(lab, "eastus", "westeurope") == before


def away_and_killed(lab):
    """westeurope replaces its own while southeastasia is away, and is killed as soon as the new one lies there."""
    lab.kill("southeastasia")
    before = peer(lab, "westeurope")["fingerprint"]
    waits = f"{lab.dir}/westeurope/data/certs/peer-next.pem"
    renew(lab, "westeurope")
    lab.kill("westeurope")
    assert os.path.exists(waits) or peer_of_disk(lab, "westeurope") != before
    lab.start("westeurope")
    now = in_use(lab, "westeurope", before)
    assert named(lab, "eastus", "westeurope") == {before, now}
    assert "region:westeurope" in history(lab), history(lab)
    return before, now


def peer_of_disk(lab, region):
    out = lab.run("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", f"{lab.dir}/{region}/data/certs/peer.pem").stdout
    return out.split("=")[1].strip().replace(":", "").lower()


def well(lab):
    for region in REGIONS:
        wait_until(40, lambda: not lab.json(region, "status")["conditions"], f"{region} has nothing to say")


def main():
    with Fleet(clocks=True) as lab:
        first_region(lab)
        for region in ("westeurope", "southeastasia"):
            lab.join(region, lab.token(region))
            lab.settle(region)
        wait_until(30, lambda: named(lab, "westeurope", "southeastasia"), "three regions")
        stolen(lab)
        west_before, west = away_and_killed(lab)
        east_before = peer(lab, "eastus")["fingerprint"]  # the writer's own, and the CA's
        renew(lab, "eastus")
        east = in_use(lab, "eastus", east_before)
        assert named(lab, "westeurope", "eastus") == {east_before, east}
        wait_until(30, lambda: lab.said("eastus").count(": used") == 2, "the writer knows of both first uses")
        lab.start("southeastasia")  # it knows neither of those that are left, and reads the feed all the same
        wait_until(40, lambda: named(lab, "southeastasia", "westeurope") == {west_before, west} and
                   named(lab, "southeastasia", "eastus") == {east_before, east}, "southeastasia catches up")
        assert "does not name, and nothing was heard" in lab.said("southeastasia")
        # not twice within the overlap: it says so, and waits
        renew(lab, "westeurope")
        wait_until(20, lambda: "was replaced lately" in (peer(lab, "westeurope")["nextWaits"] or ""), "the next one waits, and says for what")
        lab.root("eastus", "registry", "create", "contoso", "--location", "eastus")  # the feed goes on
        wait_until(20, lambda: lab.json("southeastasia", "registry", "list"), "the change arrives")
        for region in REGIONS:
            lab.shift_clock(region, OVERLAP_MS + 1000)
        wait_until(40, lambda: west_before not in named(lab, "southeastasia", "westeurope") and
                   named(lab, "southeastasia", "eastus") == {east}, "the old ones have left")
        third = in_use(lab, "westeurope", west)  # the one that waited
        assert named(lab, "eastus", "westeurope") == {west, third}
        wait_until(20, lambda: named(lab, "southeastasia", "westeurope") == {west, third}, "the feed goes on")
        wait_until(30, lambda: lab.said("eastus").count(": used") == 3, "the writer knows of that use")
        well(lab)


if __name__ == "__main__":
    main()
