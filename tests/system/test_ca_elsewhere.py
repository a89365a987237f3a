# SPDX-License-Identifier: Apache-2.0
"""The node that has the private CA is not the writer's: it asks the writer for each step of the replacement."""
from lab import REGIONS, wait_until
from test_ca_rolling import Quick, ca, issuers
from test_joining import first_region

BOTH = ("eastus", "westeurope")


def begun_and_cancelled(lab, old):
    begin = lambda: lab.root("eastus", "certs", "roll-ca", "--issue-after", "1h", check=False)
    wait_until(60, lambda: begin().returncode == 0 or ca(lab, "eastus")["step"] == "trust", "it is announced by the writer")
    for region in BOTH:
        wait_until(40, lambda: ca(lab, region)["step"] == "trust" and ca(lab, region)["old"] == old, f"{region} hears of it")
    wait_until(40, lambda: "clients have until" in (ca(lab, "eastus")["waits"] or ""), "both trust it")
    wait_until(30, lambda: lab.root("eastus", "certs", "roll-ca", "--cancel", check=False).returncode == 0, "it is cancelled")
    for region in BOTH:
        wait_until(40, lambda: ca(lab, region)["trusts"] == [old], f"{region} trusts what is in use alone")


def taken_over(lab, old):
    before = issuers(lab, "eastus")
    wait_until(30, lambda: lab.root("eastus", "certs", "roll-ca", "--issue-after", "0s", check=False).returncode == 0, "the next one is announced")
    for region in BOTH:
        wait_until(60, lambda: len(issuers(lab, region)) == 1 and issuers(lab, region) != before, f"{region} has renewed all")
    for region in BOTH:
        wait_until(60, lambda: ca(lab, region)["step"] == "done" and old not in ca(lab, region)["trusts"], f"{region} has dropped the old one")


def main():
    with Quick(regions={r: REGIONS[r] for r in BOTH}) as lab:
        first_region(lab)
        lab.join("westeurope", lab.token("westeurope"))
        lab.settle("westeurope")
        wait_until(30, lambda: ca(lab, "westeurope")["trusts"], "two regions")
        old = ca(lab, "eastus")["trusts"][0]
        lab.root("westeurope", "control", "takeover", "westeurope", "--root-key", f"{lab.dir}/root-key.pem", "--yes")
        begun_and_cancelled(lab, old)
        taken_over(lab, old)
        new = ca(lab, "eastus")["next"]
        for step in ("use", "done"):
            assert f"the private CA {new[:16]}: {step}" in lab.said("westeurope"), step


if __name__ == "__main__":
    main()
