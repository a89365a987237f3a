# SPDX-License-Identifier: Apache-2.0
"""A fleet made by hand, as the README says it: the first region by one command, a second and a third by one more each with a
join token, nothing copied by hand. And what must not work: a token twice, by another node, by the wrong region, late, revoked,
and a writer that is none. A joiner that is killed in the middle goes on as itself. And no secret of such a fleet is in a bundle for
bug reports."""
import base64, http.client, io, json, os, re, signal, socket, ssl, stat, struct, subprocess, tarfile
from lab import Lab, DOMAIN, KERNEL_CLOCK, MERIDIAN, REGIONS, STAMPS, wait_until

SEED_DER = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410: a private key of Ed25519 is this and its seed
FAILED, DENIED, CONFLICT = 1, 5, 11


class Fleet(Lab):
    """A lab whose regions are not enrolled: the test does that."""

    def _enrol(self):
        self.ca = f"{self.dir}/eastus/ca/ca.pem"
        os.environ.update(MERIDIAN_CA=self.ca, HOME=self.dir)
        for region in self.regions:
            os.mkdir(f"{self.dir}/{region}", 0o755)
            with open(self._clock_file(region), "wb") as f:
                f.write(struct.pack("=qq", 0, KERNEL_CLOCK["synchronised"]))
            os.chmod(self._clock_file(region), 0o644)

    def __enter__(self):
        try:
            self._namespaces()
            self._accounts()
            self._enrol()
        except BaseException:
            self.close()
            raise
        return self

    def at(self, region, *words, check=True, input=None):
        """meridian on a region's machine."""
        return self.run("ip", "netns", "exec", region, MERIDIAN, *words, check=check, input=input)

    def socket(self, region):
        return f"{self.dir}/{region}/data/run/admin.sock"

    def root(self, region, *words, check=True):
        """By root on that machine, through the admin socket."""
        return self.at(region, *words, "--admin", self.socket(region), check=check)

    def json(self, region, *words):
        return json.loads(self.root(region, *words, "-o", "json").stdout)

    def places(self, region, folder=None):
        folder = folder or region
        return ["--address", REGIONS[region], "--stamp", STAMPS[region], "--dir", f"{self.dir}/{folder}",
                "--data", f"{self.dir}/{folder}/data", "--no-start"]

    def settle(self, region):
        """What the command wrote, with fewer workers for a small machine."""
        with open(f"{self.dir}/{region}/meridiand.yaml", "a") as f:
            f.write("workers: { resolver: 1 }\nedge: { workers: 1 }\ndrain: 2s\n")
        self.start(region)

    def token(self, region, *more):
        return self.json("eastus", "join-token", "create", region, *more)["token"]

    def join(self, region, token, folder=None, machine=None, check=True):
        return self.at(machine or region, "fleet", "join", "-", *self.places(region, folder), input=token, check=check)

    def tokens(self):
        return {t["id"]: t for t in self.json("eastus", "join-token", "list")}


def said(token):
    return json.loads(base64.urlsafe_b64decode(token[len("mjoin1."):] + "==="))


def changed(token, **members):
    text = json.dumps(dict(said(token), **members), separators=(",", ":"))
    return "mjoin1." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def id_of(token):
    return said(token)["i"]


def first_region(lab):
    out = lab.at("eastus", "fleet", "create", "--domain", DOMAIN, "--region", "eastus", *lab.places("eastus")).stdout
    root_key = f"{lab.dir}/eastus/root-key.pem"
    assert "Take it away" in out and oct(os.stat(root_key).st_mode)[-3:] == "600", out
    os.rename(root_key, f"{lab.dir}/root-key.pem")  # as the command says; nothing misses it
    lab.settle("eastus")
    again = lab.at("eastus", "fleet", "create", "--domain", DOMAIN, "--region", "eastus", *lab.places("eastus"), check=False)
    assert again.returncode == CONFLICT, again
    lab.root("eastus", "operator", "create", "ada", "--out", f"{lab.dir}/ada.pem")
    return ["--operator", "ada", "--key", f"{lab.dir}/ada.pem"]


def post(lab, path, body, method="POST"):
    """Without a certificate, as any stranger may, to the writer's peer listener."""
    context = ssl.create_default_context(cafile=lab.ca)
    c = http.client.HTTPSConnection(f"eastus.peer.{DOMAIN}", timeout=10)
    c.sock = context.wrap_socket(socket.create_connection((REGIONS["eastus"], 8443), timeout=10), server_hostname=f"eastus.peer.{DOMAIN}")
    c.request(method, path, body=body)
    r = c.getresponse()
    return r.status, r.read().decode()


def killed_in_the_middle(lab, token):
    """kill -9 as soon as the use of the token is told: certificates and secrets are not there yet."""
    child = subprocess.Popen(["ip", "netns", "exec", "westeurope", MERIDIAN, "fleet", "join", "-", *lab.places("westeurope")],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdin.write(token)
    child.stdin.close()
    line = child.stderr.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert "is a region of the fleet" in line, line
    assert not os.path.exists(f"{lab.dir}/westeurope/meridiand.yaml")


def second_region(lab):
    token = lab.token("westeurope")
    false = lab.join("westeurope", changed(token, k=base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")), check=False)
    assert false.returncode == DENIED and "is not the writer eastus" in false.stderr, false
    assert not os.path.exists(f"{lab.dir}/westeurope/topology.yaml")  # nothing of it was taken over
    killed_in_the_middle(lab, token)
    out = lab.join("westeurope", token).stdout  # the same keys
    assert "westeurope has joined" in out, out
    lab.settle("westeurope")
    for name in ("token.pem", "feed.pem", "control.pem", "url.key"):  # made there, each
        read = lambda r: open(f"{lab.dir}/{r}/data/keys/{name}", "rb").read()
        assert read("eastus") != read("westeurope"), name
    cookies = lambda r: open(f"{lab.dir}/{r}/data/keys/cookies").read()
    assert cookies("eastus") == cookies("westeurope")  # shared
    assert lab.tokens()[id_of(token)]["state"] == "joined"
    # twice, by another node
    thief = lab.join("westeurope", token, folder="thief", machine="southeastasia", check=False)
    assert thief.returncode == DENIED and "a node with other keys used it" in thief.stderr, thief
    assert "refused" in lab.tokens()[id_of(token)]
    wait_until(15, lambda: any(c["name"] == "join" for c in lab.json("eastus", "status")["conditions"]), "an alarm")
    lab.root("eastus", "join-token", "revoke", id_of(token), "--yes")
    return token


def signed_request(lab, token, region):
    """A request to join as `region`, with the keys of westeurope, under that token."""
    seed = f"{lab.dir}/seed.der"
    with open(seed, "wb") as f:
        f.write(SEED_DER + base64.urlsafe_b64decode(said(token)["s"] + "==="))
    spki = lambda key: base64.b64encode(lab_bytes("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER")).decode()
    feed = f"{lab.dir}/westeurope/data/keys/feed.pem"
    key = lambda use: {"id": f"{region}-{use}-00112233", "key": spki(feed)}
    text = json.dumps({"v": 1, "domain": DOMAIN, "token": id_of(token), "region": region, "stamp": "s-1", "ipv4": ["10.88.0.9"], "ipv6": [],
                       "peer": "10.88.0.9:8443", "nameServer": False, "tokenKey": key("token"), "feedKey": key("feed"),
                       "controlKey": key("ctl"), "csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"})
    with open(f"{lab.dir}/signed", "w") as f:
        f.write("meridian join request 1\n" + text)
    sign = lambda *key: base64.urlsafe_b64encode(
        lab_bytes("openssl", "pkeyutl", "-sign", "-rawin", "-in", f"{lab.dir}/signed", "-inkey", *key)).decode().rstrip("=")
    return json.dumps({"request": text, "byToken": sign(seed, "-keyform", "DER"), "byFeed": sign(feed)})


def lab_bytes(*words):
    return subprocess.run(words, check=True, capture_output=True).stdout


def what_must_not_work(lab):
    for path in ("/control/v1/base", "/control/v1/secrets", "/certs/v1/nonce", "/healthz", "/join/v1/certificate", "/v2/"):
        status, body = post(lab, path, "{}")
        assert status == 400 and "which show a certificate" in body, (path, status, body)
    assert post(lab, "/join/v1/region", "{}")[0] == 400
    assert post(lab, "/join/v1/region", "x" * 50_000)[0] == 413
    token = lab.token("southeastasia")
    status, body = post(lab, "/join/v1/region", signed_request(lab, token, "eastus2"))
    assert status == 403 and "is for region southeastasia, not for eastus2" in body, (status, body)
    lab.root("eastus", "join-token", "revoke", id_of(token), "--yes")
    revoked = lab.join("southeastasia", token, folder="revoked", check=False)
    assert revoked.returncode == DENIED and "it was revoked" in revoked.stderr, revoked
    taken = lab.root("eastus", "join-token", "create", "westeurope", check=False)
    assert taken.returncode == FAILED and "has joined already" in taken.stderr, taken


def rotated(lab):
    """A new secret of cookies is made on the writer's machine alone."""
    path = f"{lab.dir}/eastus/data/keys/cookies"
    with open(path) as f:
        old = f.readline()
    st = os.stat(path)
    with open(path + ".new", "w") as f:
        f.write("ffeeddccbbaa99887766554433221100\n" + old)
    os.chown(path + ".new", st.st_uid, st.st_gid)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)
    return lambda: all(open(f"{lab.dir}/{r}/data/keys/cookies").read().startswith("ffeedd") for r in REGIONS)


# ---- bundles for bug reports hold no secret ----

def users(lab):
    """A user, a named token, and what they are given; the secrets among it."""
    made = lab.check("ip", "netns", "exec", "eastus", MERIDIAN, "token", "create", "node", "-n", "contoso", "--scope-map", "_pull", "--repositories", "app",
                     env={"MERIDIAN_ADMIN": lab.socket("eastus")})  # --admin is something else of a token
    named = re.search(r"\bmrd1_\S+", made)[0]
    lab.password = base64.b64encode(os.urandom(15)).decode()
    with open(f"{lab.dir}/password", "w") as f:
        f.write(lab.password)
    lab.root("eastus", "user", "create", "bob", "-n", "contoso", "--password-file", f"{lab.dir}/password")
    basic = {"Authorization": "Basic " + base64.b64encode(f"bob:{lab.password}".encode()).decode()}
    host = f"contoso.{DOMAIN}"

    def given():
        status, _, body = lab.request("GET", host, f"/oauth2/token?service={host}&scope=repository:app:pull,push&offline_token=true", "eastus", basic)
        return json.loads(body) if status == 200 else None
    tokens = wait_until(15, given, "bob is given tokens")
    # his name with a wrong password, and a password in the place of a name, for the logs
    lab.request("GET", host, "/oauth2/token", "eastus", {"Authorization": "Basic " + base64.b64encode(f"bob:{named}".encode()).decode()})
    lab.request("GET", host, "/oauth2/token", "eastus", {"Authorization": "Basic " + base64.b64encode(f"{lab.password}:x".encode()).decode()})
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    _, headers, _ = lab.request("POST", host, "/v2/app/blobs/uploads/", "eastus", bearer)
    signed = re.search(r"[?&]sig=([\w.~-]+)", headers.get("location", ""))
    out = {"a password": lab.password, "a token's password": named, "an access token": tokens["access_token"], "a refresh token": tokens["refresh_token"]}
    return out | ({"a signed URL": signed[1]} if signed else {})


def keys_of(name, data):
    """Private keys in PEM, as text, as DER and as the bare number."""
    for i, body in enumerate(re.findall(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)-----END", data, re.S)):
        pem = b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"
        text = subprocess.run(["openssl", "pkey", "-noout", "-text"], input=pem, capture_output=True, check=True).stdout.decode()
        number = bytes.fromhex("".join(re.search(r"priv:\n((?: +[0-9a-f:]+\n)+)", text)[1].replace(":", "").split()))
        yield f"{name}: key {i}", base64.b64decode(body)
        yield f"{name}: line of key {i}", body.splitlines()[0]
        yield f"{name}: number of key {i}", number.lstrip(b"\0")


def secrets_on_disk(lab):
    """Every secret that lies below the lab's directory: {what: bytes}."""
    found = {}
    for top, _, names in os.walk(lab.dir):
        for name in names:
            path = os.path.join(top, name)
            if not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb") as f:
                data = f.read()
            short = os.path.relpath(path, lab.dir)
            found |= dict(keys_of(short, data))
            if "/keys/" in path and not name.endswith(".pem"):  # url.key, secrets of cookies and of TSIG
                found |= {f"{short}: {i}": line for i, line in enumerate([data, *data.split()]) if len(line) >= 16}
            for what, pattern in (("hash", rb"\$(?:y|2[aby])\$[./A-Za-z0-9$]{30,}"), ("join token", rb"mjoin1\.[\w-]+"),
                                  ("nonce", rb'\\?"(?:request|nonce)\\?": ?\\?"([0-9a-f]{16,})'), ("token", rb"eyJ[\w-]{20,}\.[\w-]+\.[\w-]+"),
                                  ("sealed", rb'"(?:sealed|secret|seed)": ?"([^"]{16,})"')):
                found |= {f"{short}: {what} {i}": hit for i, hit in enumerate(re.findall(pattern, data))}
    return found


def forms(secret):
    """As itself, in hexadecimal, and in base64 wherever it stands in what was encoded."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)
        inner = text[(0, 2, 3)[shift]:len(text) // 4 * 4 - 4]  # what does not depend on what stands around it
        if len(inner) >= 16:
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def unpacked(path):
    with open(path, "rb") as f:
        data = f.read()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {m.name.partition("/")[2]: tar.extractfile(m).read() for m in tar}


def hits(files, secrets):
    return [(name, what) for what, secret in secrets.items() for form in forms(secret) for name, text in files.items() if form in text]


def bundle_of(lab, region):
    path = f"{lab.dir}/{region}.tar.gz"
    lab.root(region, "debug", "bundle", "-o", path, "--node", f"{lab.dir}/{region}/meridiand.yaml")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    files = unpacked(path)
    os.unlink(path)
    return files


def bundles_hold_no_secret(lab, more):
    lab.run("openssl", "rand", "-out", f"{lab.dir}/eastus/data/keys/url.key.copy", "48")
    secrets = secrets_on_disk(lab) | {what: text.encode() for what, text in more.items()}
    for token in [text for what, text in more.items() if what.startswith("a join token")]:
        secrets["seed of a join token"] = base64.urlsafe_b64decode(said(token)["s"] + "===")
    kinds = lambda word: [what for what in secrets if word in what]
    for word, least in (("number of key", 15), ("url.key", 3), ("cookies", 3), ("hash", 2), ("nonce", 3), ("join token", 3), ("a refresh token", 1)):
        assert len(kinds(word)) >= least, (word, sorted(secrets))
    for what, secret in list(secrets.items())[:40]:  # the search finds what is there, in each form
        for form in forms(secret):
            assert hits({"x": b"before " + form + b" after"}, {what: secret}), (what, form)
        assert hits({"x": base64.b64encode(b"{..." + secret + b"...}")}, {what: secret}) or len(secret) < 17, what
    for region in REGIONS:
        files = bundle_of(lab, region)
        for name in ("settings.yaml", "topology.yaml", "principals.json", "node/status.json", "node/fleet.json", "node/operations.json", "node/history.json",
                     "node/control.json", "node/replication.json", "node/metrics.txt", "node/certificates.json", "log/recent.txt", "log/audit.jsonl",
                     "dns/answers.json", "certificate-files.json", "machine/processes.txt", "machine/disks.txt", "versions.txt", "errors.txt", "contents.txt"):
            assert name in files, (region, name, files["errors.txt"])
        assert hits(files, secrets) == [], region
        assert json.loads(files["principals.json"])["users"] == 1
        assert b" info " + region.encode() in files["log/recent.txt"], files["log/recent.txt"][:500]
        answers = {(a["name"], a["view"]): a["answer"] for a in json.loads(files["dns/answers.json"])}
        assert (f"contoso.{DOMAIN}", "public") in answers, answers
        assert {(l["transport"], l["answer"]) for l in json.loads(files["dns/listeners.json"])} <= {("udp", "NOERROR"), ("tcp", "NOERROR"), ("udp", "REFUSED"), ("tcp", "REFUSED")}
    lab.kill("southeastasia")  # one that is down says what it last knew
    files = bundle_of(lab, "southeastasia")
    assert b"contoso" in files["topology.yaml"] and "node/status.json" not in files, files["errors.txt"]
    assert json.loads(files["principals.json"])["users"] == 1
    assert {l["answer"] for l in json.loads(files["dns/listeners.json"])} == {"none"}
    assert b"node/status.json: " in files["errors.txt"]
    assert hits(files, secrets) == []
    lab.start("southeastasia")


def main():
    with Fleet(clocks=True) as lab:
        ada = first_region(lab)
        used = second_region(lab)
        what_must_not_work(lab)
        # a third, later: with what is there by then
        lab.root("eastus", "registry", "create", "contoso", "--location", "eastus")
        third = lab.token("southeastasia")
        lab.join("southeastasia", third)
        lab.settle("southeastasia")
        wait_until(20, lambda: lab.json("southeastasia", "registry", "list") and
                   [r["name"] for r in lab.json("southeastasia", "registry", "list")] == ["contoso"], "the third region has the registry")
        bundles_hold_no_secret(lab, users(lab) | {"a join token": used, "a join token of the third": third})
        spread = rotated(lab)
        wait_until(15, spread, "the new secret is in all regions")
        # leaving: an operator asks, at a region that is not the writer
        lab.root("westeurope", "region", "remove", "southeastasia", "--yes", *ada)
        wait_until(10, lambda: [r["name"] for r in lab.json("westeurope", "region", "list")] == ["eastus", "westeurope"], "it has left")
        stays = lab.root("eastus", "region", "remove", "eastus", "--yes", check=False)
        assert stays.returncode == FAILED and "it is the writer" in stays.stderr, stays
        # late: by the writer's clock
        token = lab.token("southeastasia")
        lab.shift_clock("eastus", 2 * 3600 * 1000)
        late = lab.join("southeastasia", token, folder="late", check=False)
        assert late.returncode == DENIED and "it was good until" in late.stderr, late


if __name__ == "__main__":
    main()
