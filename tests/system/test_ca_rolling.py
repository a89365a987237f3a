# SPDX-License-Identifier: Apache-2.0
"""The private CA replaced over the control feed, in a fleet of three, one of which joins in the middle by a token of before. The
CA's node is killed after the command, a region is away and holds it up, and is killed once more while all renew. In the end all is
of the new CA, nobody trusts the old one, and the fleet goes on. A region that does not have the CA, or a stolen peer certificate,
begins nothing."""
import json
from lab import DOMAIN, REGIONS, wait_until
from test_joining import Fleet, first_region
from test_rolling import thief, well

# Less than certificates are dated back: those that look at them by the kernel's clock take them, too.
CLIENTS_MS = 240 * 1000


class Quick(Fleet):
    """Its nodes look at their certificates every two seconds: one whose renewal fails while the CA's node is killed asks again soon."""

    def settle(self, region):
        with open(f"{self.dir}/{region}/meridiand.yaml", "a") as f:
            f.write("certs: { check: 2s }\n")
        super().settle(region)


def ca(lab, region):
    """{"step", "next", "waits", "trusts", "uses", …} by the node's own word."""
    return json.loads(lab.run("ip", "netns", "exec", region, "curl", "-sS", "--unix-socket", lab.socket(region), "http://x/v1/certs/ca").stdout)


def issuers(lab, region):
    return {c["issuer"] for c in lab.json(region, "certs", "show")}


def refused(lab, region, part, *words):
    r = lab.root(region, "certs", "roll-ca", *words, check=False)
    assert r.returncode != 0 and part in r.stderr, (words, r)


def begins_nothing(lab, before):
    refused(lab, "westeurope", "does not have the CA")
    refused(lab, "eastus", "no next CA is on its way", "--cancel")
    refused(lab, "eastus", "no old one to drop", "--drop-old", "--yes")
    status, text = thief(lab, "/control/v1/ca", json.dumps({"request": "{}", "key": "k", "signature": "A" * 86}))
    assert status == 403 and "not that region's" in text, (status, text)
    assert ca(lab, "eastus")["step"] is None and ca(lab, "westeurope")["trusts"] == before


def begun_and_cancelled(lab, before):
    lab.root("eastus", "certs", "roll-ca", "--issue-after", "1h")
    wait_until(30, lambda: len(ca(lab, "westeurope")["trusts"]) == 2, "westeurope trusts both")
    lab.root("eastus", "certs", "roll-ca", "--cancel")
    for region in ("eastus", "westeurope"):
        wait_until(30, lambda: ca(lab, region)["trusts"] == before, f"{region} trusts the old one alone")


def begun(lab):
    out = lab.root("eastus", "certs", "roll-ca", "--issue-after", "4m").stdout
    assert "BEGIN CERTIFICATE" in out and "clients that trust" in out, out
    lab.kill("eastus")
    lab.start("eastus")
    wait_until(30, lambda: ca(lab, "eastus")["step"] == "trust", "it goes on where it was")
    wait_until(60, lambda: "another CA is taking over already" in lab.root("eastus", "certs", "roll-ca", check=False).stderr,
               "a second one is refused, once the clocks are compared")
    return ca(lab, "eastus")["next"]


def main():
    with Quick(clocks=True) as lab:
        first_region(lab)
        lab.join("westeurope", lab.token("westeurope"))
        lab.settle("westeurope")
        wait_until(30, lambda: ca(lab, "westeurope")["trusts"], "two regions")
        before = ca(lab, "eastus")["trusts"]
        old_issuer = issuers(lab, "eastus")
        begins_nothing(lab, before)
        wait_until(60, lambda: "not heard" not in lab.root("eastus", "certs", "roll-ca", "--cancel", check=False).stderr, "clocks")
        begun_and_cancelled(lab, before)
        token = lab.token("southeastasia")  # of the CA of this day
        new = begun(lab)
        lab.join("southeastasia", token)
        lab.settle("southeastasia")
        for region in REGIONS:
            wait_until(40, lambda: ca(lab, region)["trusts"] == [*before, new], f"{region} trusts both")
        wait_until(40, lambda: "clients have until" in ca(lab, "eastus")["waits"], "clients have their time")
        assert "clients have until" in lab.root("eastus", "certs", "show").stdout
        assert any(c["name"] == "ca_roll" for c in lab.json("westeurope", "status")["conditions"])
        lab.kill("westeurope")
        for region in REGIONS:
            lab.shift_clock(region, CLIENTS_MS)
        wait_until(40, lambda: "westeurope cannot be reached" in (ca(lab, "eastus")["waits"] or ""), "it waits for who is away")
        assert issuers(lab, "eastus") == old_issuer
        lab.start("westeurope")
        wait_until(60, lambda: ca(lab, "westeurope")["step"] == "use", "the new one issues")
        for region in ("eastus", "westeurope"):
            lab.kill(region)
            lab.start(region)
        for region in REGIONS:
            wait_until(60, lambda: len(issuers(lab, region)) == 1 and issuers(lab, region) != old_issuer, f"{region} has renewed all")
        for region in REGIONS:
            wait_until(60, lambda: ca(lab, region)["step"] == "done" and ca(lab, region)["trusts"] == [new], f"{region} has dropped the old one")
            assert ca(lab, region)["uses"] == [new]
        lab.root("eastus", "registry", "create", "contoso", "--location", "eastus")  # the feed goes on
        for region in REGIONS:
            wait_until(40, lambda: lab.json(region, "registry", "list"), f"the change arrives at {region}")
        well(lab)
        lab.root("eastus", "certs", "roll-ca", "--issue-after", "0s")  # and the next one can come
        assert ca(lab, "eastus")["step"] == "trust" and ca(lab, "eastus")["old"] == new


if __name__ == "__main__":
    main()
