# SPDX-License-Identifier: Apache-2.0
"""What an operator has: metrics for Prometheus, on a listener of their own and on the admin socket."""
import http.client, re, unittest

from lab import DOMAIN, Lab, MERIDIAN, REGIONS, STAMPS, wait_until

GLOBAL = f"contoso.{DOMAIN}"
SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? ([-+0-9.e]+|\+Inf|NaN)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """The exposition format, strictly: {name: {(label, value)...: figure}}. Fails on what promtool would refuse."""
    types, out = {}, {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE") and rest, line
            if what == "TYPE":
                assert name not in types and rest in ("counter", "gauge", "histogram"), line
                types[name] = rest
            continue
        m = SAMPLE.fullmatch(line)
        assert m, line
        name, labels, value = m[1], tuple(LABEL.findall(m[2] or "")), float(m[3])
        family = re.sub("_(bucket|sum|count)$", "", name)
        kind = types.get(name) or types.get(family)
        assert kind, f"{name} has no TYPE before it"
        assert kind != "counter" or name.endswith("_total"), name
        assert kind == "histogram" or not name.endswith(("_bucket", "_count", "_sum")), name
        assert labels not in out.setdefault(name, {}), line
        out[name][labels] = value
    return out


class Operation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(node_extra="metrics: { listen: '0.0.0.0:9153' }\n"))

    def scrape(self, region="eastus", path="/metrics", method="GET"):
        c = http.client.HTTPConnection(REGIONS[region], 9153, timeout=10)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.getheader("Content-Type"), r.read().decode()
        finally:
            c.close()

    def test_1_metrics(self):
        lab = self.lab
        wait_until(15, lambda: lab.dig(GLOBAL, at="eastus")[-1:] == [REGIONS["eastus"]], "eastus answers")
        before = parse(self.scrape()[2])
        for _ in range(5):
            lab.dig(GLOBAL, at="eastus")
        lab.dig(GLOBAL, "A", "eastus", None, "+tcp")
        lab.dig(f"nobody.{DOMAIN}", at="eastus")
        status, kind, text = self.scrape()
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        after = parse(text)

        def grew(name, **labels):
            total = lambda m: sum(v for k, v in m.get(name, {}).items() if labels.items() <= dict(k).items())
            return total(after) - total(before)
        self.assertEqual(grew("meridian_dns_queries_total", kind="global", rcode="NOERROR", transport="udp", view="public"), 5)
        self.assertEqual(grew("meridian_dns_queries_total", kind="global", transport="tcp"), 1)
        self.assertEqual(grew("meridian_dns_routed_total", region="eastus", reason="healthy"), 6)
        self.assertGreaterEqual(grew("meridian_dns_queries_total", rcode="NXDOMAIN"), 1)
        self.assertEqual({dict(k)["region"] for k in after["meridian_health_up"]}, set(REGIONS))
        self.assertEqual(set(after["meridian_health_up"].values()), {1})
        self.assertEqual(after["meridian_topology_registries"][()], 3)
        self.assertEqual(dict(next(iter(after["meridian_build_info"])))["stamp"], STAMPS["eastus"])
        self.assertGreater(after["process_resident_memory_bytes"][()], 1 << 20)
        self.assertGreater(after["process_open_fds"][()], 10)
        buckets = [v for k, v in after["meridian_dns_answer_duration_seconds_bucket"].items()]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(self.scrape(path="/")[0], 404)
        self.assertEqual(self.scrape(method="POST")[0], 405)
        with self.subTest("the admin socket says the same"):
            r = lab.check("curl", "-sf", "--unix-socket", f"{lab.dir}/eastus/run/admin.sock", "http://admin/v1/metrics")
            self.assertLessEqual(set(after) - {"process_cpu_seconds_total"}, set(parse(r)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
