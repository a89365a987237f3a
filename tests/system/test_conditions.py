# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a node, as it finds out itself and tells it: its keys and certificates against the topology in force,
in the log, `meridian status`, /healthz, the deep document and the metrics; and when it is mended, that too. Beside it
`meridian check-health`, which finds the same from outside, as a client would."""
import contextlib, json, os, re, shutil, sqlite3, time, unittest

from lab import DOMAIN, MERIDIAN, REGIONS, STAMPS, Lab, wait_until

EAST, WEST, ASIA = REGIONS


class Topology:
    """The lab's topology file, edited as an operator would, each time with a higher version."""

    def __init__(self, lab):
        self.lab = lab
        with open(lab.topology) as f:
            self.good = f.read()
        self.version = int(re.search(r"^version: (\d+)$", self.good, re.M)[1])

    def write(self, text):
        self.version += 1
        text = re.sub(r"^version: \d+$", f"version: {self.version}", text, flags=re.M)
        with open(self.lab.topology + ".new", "w") as f:
            f.write(text)
        os.rename(self.lab.topology + ".new", self.lab.topology)
        for region in REGIONS:
            self.lab.check("curl", "-sf", "-X", "POST", "--unix-socket", f"{self.lab.dir}/{region}/run/admin.sock",
                           "http://admin/v1/config/reload")

    def without(self, region, what):
        """The document without one member of a region's identities."""
        section = re.search(rf"^  {region}:\n(?:    .*\n)+", self.good[self.good.index("identities:"):], re.M)[0]
        cut = re.sub(rf"    {what}:.*\n(?:      .*\n)*", "", section)
        assert cut != section
        return section, cut


def issue(lab, path, names, start_s, end_s):
    """Puts a certificate of the lab's CA with these names and dates, and its key, where a region has its own."""
    work = f"{lab.dir}/openssl"
    os.makedirs(work, exist_ok=True)
    when = lambda s: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + s))
    with open(f"{work}/index", "w"), open(f"{work}/cnf", "w") as f:
        f.write(f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={work}\ndatabase={work}/index\nrand_serial=yes\nunique_subject=no\n"
                f"default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n[e]\nsubjectAltName="
                + ",".join(f"DNS:{n}" for n in names) + "\n")
    lab.check("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test",
              "-keyout", f"{work}/key", "-out", f"{work}/csr")
    lab.check("openssl", "ca", "-batch", "-config", f"{work}/cnf", "-extensions", "e", "-startdate", when(start_s), "-enddate",
              when(end_s), "-notext", "-cert", lab.ca, "-keyfile", f"{lab.dir}/ca/ca.key", "-in", f"{work}/csr", "-out",
              f"{work}/crt")
    was = os.stat(path)
    with open(path + ".new", "w") as f:
        for part in ("crt", "key"):
            with open(f"{work}/{part}") as p:
                f.write(p.read())
    os.chmod(path + ".new", 0o600)
    os.chown(path + ".new", was.st_uid, was.st_gid)
    os.rename(path + ".new", path)


def names_of(region):
    return [f"*.{region}.{kind}.{DOMAIN}" for kind in ("geo", "data", "fe", "geo.privatelink", "data.privatelink")]


class Conditions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(node_extra="certs: { check: 12h }\ncompare: { every: 2s }\n",
                                           clocks=True))  # nothing is renewed by itself
        cls.topology = Topology(cls.lab)

    def conditions(self, region):
        return {c["name"]: c for c in self.lab.admin(region, "status")["conditions"]}

    def healthz(self, region):
        status, _, body = self.lab.request("GET", f"{STAMPS[region]}.{region}.fe.{DOMAIN}", "/healthz", region=region)
        return status, json.loads(body).get("reason")

    def deep(self, region, asker):
        """The deep document, as another region gets it."""
        pem = f"{self.lab.dir}/{asker}/certs/peer.pem"
        text = self.lab.check("curl", "-s", "--cacert", self.lab.ca, "--cert", pem, "--resolve",
                              f"{region}.peer.{DOMAIN}:8443:{REGIONS[region]}", f"https://{region}.peer.{DOMAIN}:8443/healthz")
        return json.loads(text)

    def metric(self, region, name, severity):
        text = self.lab.check("curl", "-sf", "--unix-socket", f"{self.lab.dir}/{region}/run/admin.sock", "http://admin/v1/metrics")
        return int(re.search(rf'^meridian_condition{{name="{name}",severity="{severity}"}} (\d)$', text, re.M)[1])

    def holds(self, region, name, severity, *words):
        c = wait_until(15, lambda: self.conditions(region).get(name), f"{region} finds {name}")
        self.assertEqual(c["severity"], severity, c)
        for word in words:
            self.assertIn(word, c["sentence"])
        self.assertEqual((self.metric(region, name, severity), self.metric(region, name, {"down": "warning"}.get(severity, "down"))),
                         (1, 0))
        self.lab.wait_said(region, c["sentence"][:60])
        return c

    def all_fine(self):
        for region in REGIONS:
            wait_until(20, lambda: not self.conditions(region), f"nothing is wrong with {region}")
            wait_until(20, lambda: self.healthz(region) == (200, None), f"{region} is up")

    def check_health(self, status, *words, **more):
        """Its exit status; the checks that did not go well: {(endpoint, region, check): (code, message)}."""
        r = self.lab.run(MERIDIAN, "check-health", "-n", "contoso", "-o", "json", *words, check=False, **more)
        self.assertEqual(r.returncode, status, r.stdout[-3000:] + r.stderr)
        checks = json.loads(r.stdout)
        return checks, {(c["endpoint"], c["region"], c["check"]): (c["code"], c["message"]) for c in checks if c["status"] != "OK"}

    def test_0_check_health_uses_every_endpoint_and_leaves_nothing(self):
        self.all_fine()
        wait_until(20, lambda: all(self.lab.dig(f"contoso.{DOMAIN}", at=r)[-1:] == [REGIONS[EAST]] for r in REGIONS),
                   "the global name leads to eastus")
        checks, bad = self.check_health(0)
        self.assertEqual(bad, {})
        done = {(c["endpoint"], c["region"], c["check"]) for c in checks}
        for region in REGIONS:
            for host in (f"contoso.{DOMAIN}", f"contoso.{region}.geo.{DOMAIN}"):
                for what in ("TLS", "challenge", "token", "use of a token", "pull", "writes"):
                    self.assertIn((host, region, what), done)
            self.assertIn((f"{STAMPS[region]}.{region}.fe.{DOMAIN}", region, "health"), done)
            for what in ("DNS", "TLS", "challenge"):
                self.assertIn((f"contoso.{region}.data.{DOMAIN}", region, what), done)
            db = sqlite3.connect(f"{self.lab.dir}/{region}/meta/meta.db")
            self.assertEqual(db.execute("SELECT count(*) FROM uploads").fetchone()[0], 0, region)
            db.close()
            auth = self.lab.bearer("registry:catalog:*", host=f"contoso.{region}.geo.{DOMAIN}", region=region)
            status, _, body = self.lab.request("GET", f"contoso.{region}.geo.{DOMAIN}", "/v2/_catalog", region, auth)
            self.assertEqual((status, json.loads(body)["repositories"]), (200, []))
        text = self.lab.check(MERIDIAN, "check-health", "-n", "contoso")
        # a token of the region that the global name led to, which may be another one for a moment, is good at the others
        self.assertRegex(text, rf"(?m)^contoso\.(\w+)\.geo\.{re.escape(DOMAIN)} token of (?!\1)\w+: OK$")
        r = self.lab.run(MERIDIAN, "check-health", "-n", "fabrikam", check=False)  # ada may do nothing there
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertIn(f"fabrikam.{DOMAIN} writes: not tried: ada may not push to check-health; --repository", r.stdout)
        _, bad = self.check_health(5, env={"MERIDIAN_USERNAME": "nobody"})
        self.assertEqual([code for code, _ in bad.values()], ["CONNECTIVITY_CREDENTIALS_ERROR"])
        _, bad = self.check_health(0, env={"MERIDIAN_USERNAME": ""})
        self.assertEqual({what for _, _, what in bad}, {"token"})  # not tried

    def test_0b_a_region_that_is_not_there(self):
        self.lab.stop(ASIA)
        _, bad = self.check_health(4, "--ignore-errors", env={"MERIDIAN_USERNAME": ""})
        code, message = bad[f"{STAMPS[ASIA]}.{ASIA}.fe.{DOMAIN}", ASIA, "health"]
        self.assertEqual(code, "CONNECTIVITY_REFUSED_ERROR")
        self.assertIn("is meridiand running in southeastasia", message)
        self.lab.start(ASIA)

    def test_1_a_token_key_that_the_topology_does_not_name(self):
        lab = self.lab
        self.all_fine()
        wait_until(20, lambda: lab.dig(f"contoso.{DOMAIN}")[-1:] == [REGIONS[EAST]], "the global name leads to eastus")
        auth = lab.bearer("repository:app:pull", host=f"contoso.{EAST}.geo.{DOMAIN}", region=EAST)
        self.assertEqual(lab.request("GET", f"contoso.{EAST}.geo.{DOMAIN}", "/v2/", EAST, auth)[0], 200)
        section, cut = self.topology.without(EAST, "token_keys")
        self.topology.write(self.topology.good.replace(section, cut))
        auth = lab.bearer("repository:app:pull", host=f"contoso.{EAST}.geo.{DOMAIN}", region=EAST)
        self.assertEqual(lab.request("GET", f"contoso.{EAST}.geo.{DOMAIN}", "/v2/", EAST, auth)[0], 401)  # every pull fails
        self.holds(EAST, "token_key_untrusted", "down", f"(version {self.topology.version})", "identities.eastus.token_keys",
                   "`meridian init`")
        self.assertEqual(self.healthz(EAST), (503, "its tokens are refused"))
        _, bad = self.check_health(1, "--ignore-errors")  # as the clients find it, with a cure
        code, message = bad[f"contoso.{EAST}.geo.{DOMAIN}", EAST, "use of a token"]
        self.assertEqual(code, "TOKEN_REFUSED_ERROR")
        self.assertIn("is the token key named in the topology", message)
        self.assertEqual(bad[f"{STAMPS[EAST]}.{EAST}.fe.{DOMAIN}", EAST, "health"][0], "REGION_DOWN_ERROR")
        self.assertIn("its tokens are refused", bad[f"{STAMPS[EAST]}.{EAST}.fe.{DOMAIN}", EAST, "health"][1])
        self.assertEqual({code for code, _ in bad.values()}, {"TOKEN_REFUSED_ERROR", "PULL_ERROR", "WRITES_ERROR", "REGION_DOWN_ERROR"})
        reason = lambda: [t["reason"] for t in lab.admin(WEST, "health", "show") if t["region"] == EAST][0]
        wait_until(10, lambda: re.search(r"^503 in \d+ ms: its tokens are refused$", reason()), "others see why")
        deep = self.deep(EAST, WEST)
        self.assertEqual((deep["status"], [c["name"] for c in deep["conditions"]]), ("down", ["token_key_untrusted"]))
        wait_until(20, lambda: lab.dig(f"contoso.{DOMAIN}")[-1:] == [REGIONS[WEST]], "the global name leads elsewhere")
        for region in (WEST, ASIA):
            self.assertEqual(self.conditions(region), {})
        end = lab.log_end(EAST)
        self.topology.write(self.topology.good)
        lab.wait_said(EAST, "over: the topology in force", since=end)
        self.all_fine()

    def test_2_what_only_other_regions_refuse_is_a_warning(self):
        text = self.topology.good
        for region, what in ((WEST, "feed_keys"), (ASIA, "peer_fingerprints")):
            section, cut = self.topology.without(region, what)
            text = text.replace(section, cut)
        self.topology.write(text)
        self.holds(WEST, "feed_key_untrusted", "warning", "no region takes what is pushed here", "identities.westeurope.feed_keys")
        self.holds(ASIA, "peer_certificate", "warning", "the other regions refuse it", "identities.southeastasia.peer_fingerprints")
        for region in REGIONS:
            self.assertEqual(self.healthz(region)[0], 200)
        self.topology.write(self.topology.good)
        self.all_fine()

    def test_2b_writes_that_are_closed(self):
        self.lab.shift_clock(EAST, 2000)
        self.holds(EAST, "writes_closed", "down", "see to its time service")
        _, bad = self.check_health(1, "--ignore-errors")
        code, message = bad[f"contoso.{EAST}.geo.{DOMAIN}", EAST, "writes"]
        self.assertEqual(code, "WRITES_ERROR")
        self.assertRegex(message, r"^HTTP 503: this region takes no writes now: its clock is .*; look at `meridian status` on a node of eastus")
        self.assertEqual(bad[f"{STAMPS[EAST]}.{EAST}.fe.{DOMAIN}", EAST, "health"][0], "REGION_DOWN_ERROR")
        self.assertFalse([key for key in bad if key[1] != EAST], bad)
        self.lab.shift_clock(EAST, 0)
        self.all_fine()

    def test_2c_content_that_differs_from_another_region(self):
        """A tag's row that lies above its log is left as it is, and said until somebody has put it right."""
        lab = self.lab
        lab.push("differs", f"contoso.{EAST}.geo.{DOMAIN}", "team/differs", "1")
        lab.wait_replicated("contoso/team/differs:1")

        def shift(by):
            with contextlib.closing(sqlite3.connect(f"{lab.dir}/{WEST}/meta/meta.db", timeout=30)) as db, db:
                self.assertEqual(db.execute("UPDATE tags SET stamp=stamp+?", (by,)).rowcount, 1)
        shift(65536)
        try:
            for region in REGIONS:
                words = () if region == WEST else (f"see in {WEST} (Diverged): 1 manifests or tags differ",)
                sentence = self.holds(region, "replication_diverged", "warning", "`meridian replication differences`", *words)["sentence"]
                self.assertNotIn("team/differs", sentence)  # other regions see it
                self.assertEqual(self.healthz(region)[0], 200)
        finally:
            shift(-65536)
        self.all_fine()

    def test_3_certificates(self):
        lab, certs = self.lab, lambda region, kind: f"{self.lab.dir}/{region}/certs/{kind}.pem"
        year = 365 * 86400
        issue(lab, certs(EAST, "region"), names_of(EAST), -2 * year, -3600)
        issue(lab, certs(WEST, "region"), names_of(WEST), 3600, year)
        issue(lab, certs(ASIA, "region"), names_of(ASIA)[1:], -3600, year)
        issue(lab, certs(EAST, "shared"), [f"*.{DOMAIN}", f"*.privatelink.{DOMAIN}"], -9000, 1000)
        issue(lab, certs(WEST, "peer"), [f"{WEST}.peer.{DOMAIN}"], -9000, year)
        os.chmod(certs(ASIA, "shared"), 0o644)
        self.topology.write(self.topology.good)  # a swap: they are looked at
        self.holds(EAST, "region_certificate", "down", "expired", "`meridian certs renew`", "it is good from 20")
        self.holds(WEST, "region_certificate", "down", "not valid yet")
        self.holds(ASIA, "region_certificate", "down", f"lacks the name *.{ASIA}.geo.{DOMAIN}")
        self.holds(EAST, "shared_certificate", "warning", "is not renewed")
        self.holds(ASIA, "shared_certificate", "warning", "others may read its key")
        self.holds(WEST, "peer_certificate", "warning", f"lacks the name meridian://{DOMAIN}/region/{WEST}")
        deep = self.deep(EAST, ASIA)  # nobody who verifies gets the public one
        self.assertEqual((deep["status"], deep["reason"]), ("down", "its certificate is not valid"))

        def refused():
            _, bad = self.check_health(1, "--ignore-errors")
            return bad if all((f"contoso.{r}.geo.{DOMAIN}", r, "TLS") in bad for r in (EAST, WEST)) else None
        bad = wait_until(20, refused, "the edges serve the certificates that are on disk")
        code, message = bad[f"contoso.{EAST}.geo.{DOMAIN}", EAST, "TLS"]
        self.assertEqual(code, "CONNECTIVITY_SSL_ERROR")
        self.assertRegex(message, r"certificate has expired \(by this machine's clock it is 20.*`meridian certs show` on a node of eastus")
        code, message = bad[f"contoso.{WEST}.geo.{DOMAIN}", WEST, "TLS"]
        self.assertRegex(message, r"not yet valid \(by this machine's clock it is 20.*set this machine's clock")
        with self.subTest("a peer certificate whose time is not yet come"):
            future = f"{lab.dir}/future.pem"
            shutil.copy(certs(ASIA, "peer"), future)
            issue(lab, future, [f"{ASIA}.peer.{DOMAIN}"], 3600, year)
            said = lab.check("curl", "-s", "--cacert", lab.ca, "--cert", future, "--resolve", f"{EAST}.peer.{DOMAIN}:8443:{REGIONS[EAST]}",
                             f"https://{EAST}.peer.{DOMAIN}:8443/replication/v1/clock")
            self.assertEqual(json.loads(said)["errors"][0]["message"],
                             "region eastus refuses the certificate shown: FAILED:certificate is not yet valid")
        os.chmod(certs(ASIA, "shared"), 0o600)
        for region in (EAST, ASIA):
            lab.admin(region, "certs", "renew", "--kind", "region")
        lab.admin(EAST, "certs", "renew", "--kind", "shared")


if __name__ == "__main__":
    unittest.main(verbosity=2)
