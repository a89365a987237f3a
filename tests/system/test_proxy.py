# SPDX-License-Identifier: Apache-2.0
"""DNS cookies behind a real dnsdist with a cache and two source addresses, as docs/security.md says it (Behind a proxy): where
cookies are required, clients end up with TCP and get the cookies of others; with `dns.cookies.enabled: false` they are answered at once and
from the cache; with the PROXY protocol and no cache, required cookies do what they are for.

Two resolvers and dnsdist on loopback addresses; root, so that servers keep their user."""
import os, re, shutil, subprocess, unittest

from lab import MERIDIAND, SKIP, need_root, unshare, wait_until
from programs import Programs

D = "example.test"
NAME = f"contoso.eastus.geo.{D}"
REQUIRED, OFF, DIST = "127.0.0.1", "127.0.0.2", "127.0.0.80"
PORTS = {"required": 5301, "off": 5302, "proxied": 5303}
TOPOLOGY = f"""\
version: 1
domain: {D}
regions:
  - {{ name: eastus, peer: "192.0.2.1:8443", stamps: [{{ name: eus-1, ipv4: [192.0.2.1] }}] }}
  - {{ name: westeurope, peer: "192.0.2.2:8443", stamps: [{{ name: weu-1, ipv4: [192.0.2.2] }}] }}
name_servers: [eus-1.eastus, weu-1.westeurope]
registries: [{{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}]
health: {{ interval: 10m }}
"""
# Two servers of a pool are the same resolver, asked from two addresses by turns.
SERVER = 'newServer{{address="{}:53", source="127.0.4.{}", pool="{}", healthCheckMode="up"{}}}\n'
CACHE = 'getPool("{}"):setCache(newPacketCache(1000))\n'


class Answer:
    def __init__(self, text):
        self.text = text
        self.statuses = re.findall(r"status: (\w+)", text)
        self.bad_cookies = text.count("BADCOOKIE, retrying")
        self.mismatch = "Client COOKIE mismatch" in text
        self.by_tcp = "(TCP)" in text


class Proxy(Programs):
    @classmethod
    def setUpClass(cls):
        unshare()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def setUp(self):
        super().setUp()
        self.prepare_resolver(TOPOLOGY, f"{REQUIRED}:53")
        with open(f"{self.dir}/meridiand.yaml") as f:
            east = f.read()
        west = east.replace("region: eastus\nstamp: eus-1", "region: westeurope\nstamp: weu-1").replace("/eastus", "/westeurope").replace(REQUIRED, OFF)
        settings = {"east": east + "dns: { trusted_proxies: [127.0.4.9], cookies: { required: true } }\n", "west": west + "dns: { cookies: { enabled: false } }\n"}
        for name, text in settings.items():
            with open(f"{self.dir}/{name}.yaml", "w") as f:
                f.write(text)
            self.start(f"{self.dir}/{name}.log", MERIDIAND, "--config", f"{self.dir}/{name}.yaml")
        with open(f"{self.dir}/dnsdist.conf", "w") as f:
            f.write(f'setLocal("{DIST}:5300")\naddACL("127.0.0.0/8")\nsetServerPolicy(roundrobin)\n')
            for pool, port in PORTS.items():
                f.write(f'addLocal("{DIST}:{port}")\naddAction(DSTPortRule({port}), PoolAction("{pool}"))\n')
            for source in (1, 2):
                f.write(SERVER.format(REQUIRED, source, "required", "") + SERVER.format(OFF, source, "off", ""))
            f.write(SERVER.format(REQUIRED, 9, "proxied", ", useProxyProtocol=true") + CACHE.format("required") + CACHE.format("off"))
        self.start(f"{self.dir}/dnsdist.log", shutil.which("dnsdist"), "--supervised", "-C", f"{self.dir}/dnsdist.conf")
        for port in PORTS.values():
            wait_until(20, lambda: self.ask(1, port, "SOA", "+nocookie").statuses == ["NOERROR"], f"port {port} answers")

    def ask(self, client, port, qtype="A", *words):
        return Answer(self.run_tool("dig", "-b", f"127.0.5.{client}", f"@{DIST}", "-p", str(port), NAME, qtype, "+tries=1", "+time=3", *words, check=False))

    def test_cookies(self):
        answers = [self.ask(client, PORTS["required"]) for client in (1, 2, 3)]
        for a in answers:  # a cookie got from one address is none at the other
            self.assertEqual((a.bad_cookies, a.by_tcp, a.statuses[-1]), (2, True, "NOERROR"), a.text)
        self.assertTrue(answers[2].mismatch, answers[2].text)  # the first client's, from the cache
        for client in (1, 2, 3, 1):
            a = self.ask(client, PORTS["off"])
            self.assertEqual((a.statuses, a.bad_cookies, a.mismatch, a.by_tcp), (["NOERROR"], 0, False, False), a.text)
        for client in (1, 2, 3):
            a = self.ask(client, PORTS["proxied"])
            self.assertEqual((a.statuses[-1], a.bad_cookies, a.mismatch, a.by_tcp), ("NOERROR", 1, False, False), a.text)
            self.assertIn("(good)", a.text)


need_root()
if not shutil.which("dnsdist"):
    print("skipped: no dnsdist")
    raise SystemExit(SKIP)
unittest.main(verbosity=2)
