# SPDX-License-Identifier: Apache-2.0
"""A private CA in the last fifth of its life: another one is made and announced by itself, and people may take that back for a time.
Then one has taken over, and its key is lost with the disk of its node: from an older copy of ca_dir the fleet goes back to the CA
before."""
import os, shutil, subprocess
from lab import DOMAIN, REGIONS, wait_until
from test_ca_rolling import Quick, ca, issuers, refused
from test_joining import first_region

CONFIG = """[ca]
default_ca = d
[d]
database = {dir}/index
rand_serial = yes
default_md = sha256
policy = p
[p]
commonName = supplied
[v3]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical,permitted;DNS:{domain}
"""


def aged_ca(lab):
    """Made eight and a half years ago, for ten."""
    folder, made = f"{lab.dir}/eastus/ca", f"{lab.dir}/made"
    os.mkdir(folder, 0o700)
    os.mkdir(made)
    with open(f"{made}/config", "w") as f:
        f.write(CONFIG.format(dir=made, domain=DOMAIN))
    open(f"{made}/index", "w").close()
    date = lambda days: subprocess.run(["date", "-u", "-d", f"{days} days", "+%Y%m%d%H%M%SZ"], check=True, capture_output=True, text=True).stdout.strip()
    openssl = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/ca.key")
    os.chmod(f"{folder}/ca.key", 0o600)
    openssl("req", "-new", "-key", f"{folder}/ca.key", "-subj", "/CN=Aged CA", "-out", f"{made}/request")
    openssl("ca", "-config", f"{made}/config", "-batch", "-notext", "-selfsign", "-keyfile", f"{folder}/ca.key", "-in", f"{made}/request",
            "-extensions", "v3", "-startdate", date(-3100), "-enddate", date(550), "-outdir", made, "-out", f"{folder}/ca.pem")


def conditions(lab):
    return {c["name"]: c["sentence"] for c in lab.json("eastus", "status")["conditions"]}


def begins_by_itself(lab):
    wait_until(60, lambda: ca(lab, "eastus")["step"] == "trust", "another CA is announced by itself")
    wait_until(30, lambda: len(ca(lab, "eastus")["trusts"]) == 2, "both are trusted, by the edge too")
    wait_until(40, lambda: "clients have until" in conditions(lab).get("ca_roll", ""), "the condition says what it waits for")
    out = lab.root("eastus", "certs", "show").stdout
    assert "is on its way" in out and "clients have until" in out, out
    assert issuers(lab, "eastus") == {"Aged CA"}
    shown = lab.root("eastus", "certs", "roll-ca", "--show").stdout
    assert "BEGIN CERTIFICATE" in shown and ca(lab, "eastus")["issuesAt"] in shown, shown
    refused(lab, "eastus", "another CA is taking over already")


def is_taken_back(lab):
    lab.root("eastus", "certs", "roll-ca", "--cancel")
    wait_until(30, lambda: len(ca(lab, "eastus")["trusts"]) == 1, "the old one alone is trusted")
    wait_until(30, lambda: not os.path.exists(f"{lab.dir}/eastus/ca/next"), "its key is gone")
    wait_until(30, lambda: "ca_roll" not in conditions(lab), "the condition is over")
    lab.kill("eastus")
    lab.start("eastus")
    wait_until(30, lambda: ca(lab, "eastus")["step"] == "cancelled", "none begins again by itself")
    assert not os.path.exists(f"{lab.dir}/eastus/ca/next") and "ca_roll" not in conditions(lab)


def is_lost_after_it_has_issued(lab):
    before = ca(lab, "eastus")["trusts"]
    refused(lab, "eastus", "no way back", "--back", "--yes")
    shutil.copytree(f"{lab.dir}/eastus/ca", f"{lab.dir}/copy")
    owner = os.stat(f"{lab.dir}/eastus/ca/ca.key")
    lab.root("eastus", "certs", "roll-ca", "--issue-after", "0s")
    wait_until(40, lambda: issuers(lab, "eastus") != {"Aged CA"}, "the next one issues")
    lab.kill("eastus")
    shutil.rmtree(f"{lab.dir}/eastus/ca")
    shutil.copytree(f"{lab.dir}/copy", f"{lab.dir}/eastus/ca")
    os.environ["MERIDIAN_CA"] = lab.ca = f"{lab.dir}/eastus/data/certs/ca.pem"  # what it shows now is of the lost one
    for path in ("", "/ca.key", "/ca.pem", "/issued"):
        os.chown(f"{lab.dir}/eastus/ca{path}", owner.st_uid, owner.st_gid)
    lab.start("eastus")
    wait_until(40, lambda: "--back" in (ca(lab, "eastus")["waits"] or ""), "it says that there is a way back")
    wait_until(40, lambda: lab.root("eastus", "certs", "roll-ca", "--back", "--yes", check=False).returncode == 0, "it goes back")
    # All but a peer certificate that was replaced a moment ago: that can come again in two hours.
    aged = lambda: {c["kind"] for c in lab.json("eastus", "certs", "show") if c["issuer"] == "Aged CA"}
    wait_until(60, lambda: {"region", "shared"} <= aged(), "what the lost one has issued is renewed")
    assert before[0] == ca(lab, "eastus")["trusts"][0] and ca(lab, "eastus")["step"] in ("use", "done")


def main():
    with Quick(regions={"eastus": REGIONS["eastus"]}) as lab:
        aged_ca(lab)
        first_region(lab)
        begins_by_itself(lab)
        is_taken_back(lab)
        is_lost_after_it_has_issued(lab)


if __name__ == "__main__":
    main()
