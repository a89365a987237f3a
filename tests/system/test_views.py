# SPDX-License-Identifier: Apache-2.0
"""Private networks and a real resolver node, in namespaces: two networks with the same addresses hold different IPs for one
name, each at a listener of its own, over IPv4 and IPv6; strangers and denied hosts are refused; a third network is known by
its source; clients of one network may ask for its own names, which a real unbound answers through us; a real dnsdist says by
PROXY protocol whose queries it brings; and another unbound, one cache for several offices, says in Client Subnet which office
asks: each gets the region that an override names for it.

    public 192.0.2.10 -- 192.0.2.53 +----------+ 172.16.1.53, fd00:a::53 -- 10.1.0.0/16, fd00:a::/64   neta
    corp 203.0.113.9 ------ by source | resolver | 172.16.2.53 -------------- 10.1.0.0/16                  netb
                                    +----------+ 172.16.3.1 ---------------- 172.16.3.2 unbound          up"""
import json, os, re, shutil, subprocess, sys, tempfile, time, unittest

from lab import MERIDIAN, MERIDIAND, SKIP, need_root, unshare, wait_until

DNSDIST, MUSL = shutil.which("dnsdist"), shutil.which("musl-gcc")
UNBOUND = shutil.which("unbound", path=os.environ.get("PATH", "") + ":/usr/sbin")
D = "example.test"
TOPOLOGY = f"""\
version: 1
domain: {D}
private_cut: insecure
regions:
  - {{ name: eastus, peer: "192.0.2.53:8443", stamps: [{{ name: eus-1, ipv4: [192.0.2.53] }}] }}
  - {{ name: westeurope, peer: "192.0.2.54:8443", stamps: [{{ name: weu-1, ipv4: [192.0.2.54] }}] }}
name_servers: [eus-1.eastus]
registries:
  - {{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus }}] }}
  - {{ name: fabrikam, replicas: [{{ region: eastus }}, {{ region: westeurope }}] }}
routing: {{ order: [eastus, westeurope], overrides: [{{ clients: 10.77.0.0/16, order: [westeurope] }}] }}
health: {{ interval: 10m }}
views:
  - name: a
    listeners: ["172.16.1.53:53", "[fd00:a::53]:53"]
    sources: [10.1.0.0/16, "fd00:a::/64"]
    deny: [10.1.0.66]
    forward: {{ upstreams: ["172.16.3.2:5300", 172.16.3.2], names: [corp.test, 1.10.in-addr.arpa], timeout: 300ms, mix_case: true }}
  - {{ name: b, listeners: ["172.16.2.53:53"], sources: [10.1.0.0/16] }}
  - {{ name: c, sources: [203.0.113.0/24] }}
  - {{ name: pods, listeners: ["172.16.1.54:53"], sources: [10.1.0.0/16], on_foreign: nxdomain }}
private_endpoints:
  - {{ name: in-a, registry: contoso, view: a, addresses: {{ registry: [10.1.0.4, "fd00:a::4"], registry_eastus: 10.1.0.5 }} }}
  - {{ name: in-b, registry: contoso, view: b, addresses: {{ registry: 10.1.0.40 }} }}
  - {{ name: in-c, registry: contoso, view: c, addresses: {{ registry: 10.3.0.4 }} }}
  - {{ name: in-pods, registry: contoso, view: pods, addresses: {{ registry: [{", ".join(f"10.1.9.{i}" for i in range(1, 33))}] }} }}
"""
UPSTREAM = """\
server:
  interface: 172.16.3.2
  access-control: 172.16.3.0/24 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  num-threads: 1
  local-zone: "corp.test." static
  local-data: "Host.corp.test. 77 IN A 10.1.200.1"
  local-data: "alias.corp.test. 77 IN CNAME host.corp.test."
  local-zone: "1.10.in-addr.arpa." static
  local-data-ptr: "10.1.200.1 host.corp.test"
{big}
remote-control:
  control-enable: no
"""


SHARED = f"""\
server:
  interface: 192.0.2.10
  outgoing-interface: 192.0.2.10
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  module-config: "subnetcache iterator"
  send-client-subnet: 192.0.2.53
  num-threads: 1
  do-ip6: no
  local-zone: "test." nodefault
stub-zone:
  name: "{D}"
  stub-addr: 192.0.2.53
remote-control:
  control-enable: no
"""
OFFICES = {"10.77.1.9": "192.0.2.54", "10.78.1.9": "192.0.2.53", "10.1.1.9": "192.0.2.53", "10.77.200.9": "192.0.2.54"}

# As a pod of Kubernetes has it.
RESOLV = "nameserver {}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:1\n"
LOOKUP = """\
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = 0;
    char text[64];
    int rc = argc == 2 ? getaddrinfo(argv[1], 0, &hints, &list) : -1;
    for (; list; list = list->ai_next)
        if (list->ai_family == AF_INET)
            puts(inet_ntop(AF_INET, &((struct sockaddr_in *)list->ai_addr)->sin_addr, text, sizeof text));
    return rc ? (fputs(gai_strerror(rc), stderr), 1) : 0;
}
"""


class Answer:
    def __init__(self, text):
        self.text = text
        self.status = re.search(r"status: (\w+)", text).group(1) if "status:" in text else None
        self.flags = set(re.search(r"flags: ([a-z ]+);", text).group(1).split()) if "flags:" in text else set()
        self.ede = [int(n) for n in re.findall(r"EDE: (\d+)", text)]
        self.records = re.findall(r"^(\S+)\s+\d+\s+IN\s+(A|AAAA|CNAME|TXT|PTR|SOA|NS)\s+(.*)$", text, re.M)

    def of(self, kind):
        return sorted(r[2] for r in self.records if r[1] == kind)


class Views(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.children = []
        cls.addClassCleanup(cls.end)
        cls.dir = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="meridian-views."))
        unshare()
        cls.network()
        cls.files()
        cls.upstream = cls.start_upstream()
        cls.silent = cls.start("up", sys.executable, "-c", "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                               "s.bind(('172.16.3.2', 5300))\ntime.sleep(3600)", log="silent")
        cls.node = cls.start("res", MERIDIAND, "--config", f"{cls.dir}/meridiand.yaml", log="node")
        wait_until(20, lambda: cls.dig("public", "192.0.2.10", "192.0.2.53", D, "SOA", "+tries=1", "+time=1").status == "NOERROR",
                   "the resolver answers")

    @classmethod
    def end(cls):
        for child in reversed(cls.children):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    @classmethod
    def start(cls, where, *words, log):
        with open(f"{cls.dir}/{log}.log", "ab") as out:
            child = subprocess.Popen(["ip", "netns", "exec", where, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        cls.children.append(child)
        return child

    @classmethod
    def network(cls):
        sh = lambda *a: subprocess.run(a, check=True)
        sh("mount", "--make-rprivate", "/")
        os.makedirs("/run/netns", exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        sh("ip", "netns", "add", "res")
        sh("ip", "-n", "res", "link", "set", "lo", "up")
        links = {  # namespace: (the resolver's addresses, its own)
            "public": (["192.0.2.53/24", "203.0.113.1/24"],
                       ["192.0.2.10/24", "192.0.2.80/24", "203.0.113.9/24"] + [f"{a}/32" for a in OFFICES]),
            "neta": (["172.16.1.53/24", "172.16.1.54/24", "fd00:a::53/64"], ["172.16.1.1/24", "10.1.0.10/16", "10.1.0.66/16", "10.9.0.9/16", "fd00:a::10/64",
                                                            "fd00:b::10/64"]),
            "netb": (["172.16.2.53/24"], ["172.16.2.1/24", "10.1.0.10/16"]),
            "up": (["172.16.3.1/24"], ["172.16.3.2/24"])}
        for i, (name, (ours, theirs)) in enumerate(links.items(), 1):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", "res", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            for ns, dev, addresses in (("res", f"to-{name}", ours), (name, "eth0", theirs)):
                for address in addresses:
                    sh("ip", "-n", ns, "addr", "add", address, "dev", dev, *(["nodad"] if ":" in address else []))
                sh("ip", "-n", ns, "link", "set", dev, "up")
                sh("ip", "-n", ns, "link", "set", "lo", "up")
        # The two networks have the same addresses: the way back is by the address that was asked.
        for n, name, gateway in ((1, "neta", "172.16.1.1"), (2, "netb", "172.16.2.1")):
            sh("ip", "-n", "res", "route", "add", "default", "via", gateway, "dev", f"to-{name}", "table", str(100 + n))
            sh("ip", "-n", "res", "rule", "add", "from", f"172.16.{n}.53", "lookup", str(100 + n))
        sh("ip", "-n", "res", "rule", "add", "from", "172.16.1.54", "lookup", "101")
        for server in ("172.16.1.53", "172.16.1.54"):  # programs that do not say where from
            sh("ip", "-n", "neta", "route", "add", f"{server}/32", "dev", "eth0", "src", "10.1.0.10")
        sh("ip", "-n", "res", "route", "add", "fd00:b::/64", "dev", "to-neta")

    @classmethod
    def files(cls):
        with open(f"{cls.dir}/given.yaml", "w") as f:
            f.write(TOPOLOGY)
        subprocess.run([MERIDIAN, "init", "--topology", f"{cls.dir}/given.yaml", "--out", cls.dir], check=True, capture_output=True)
        with open(f"{cls.dir}/principals.yaml", "w") as f:
            f.write("version: 1\n")
        os.chmod(f"{cls.dir}/principals.yaml", 0o600)
        with open(f"{cls.dir}/meridiand.yaml", "w") as f:
            f.write(f"region: eastus\nstamp: eus-1\nroles: [resolver]\ndata_dir: {cls.dir}/eastus\ntopology: {cls.dir}/topology.yaml\n"
                    f"principals: {cls.dir}/principals.yaml\nca_file: {cls.dir}/ca/ca.pem\n"
                    "listen: { dns: ['192.0.2.53', '203.0.113.1', '172.16.1.53', '172.16.1.54', '172.16.2.53', '[fd00:a::53]:53'] }\n"
                    "dns: { trusted_proxies: [192.0.2.80] }\nworkers: { resolver: 2 }\nusers: { daemon: root, edge: root }\n")
        with open(f"{cls.dir}/unbound.conf", "w") as f:
            f.write(UPSTREAM.format(big="\n".join(f"  local-data: 'big.corp.test. 77 IN TXT \"{i:03}{'x' * 200}\"'" for i in range(20))))

    @classmethod
    def start_upstream(cls):
        child = cls.start("up", UNBOUND, "-d", "-c", f"{cls.dir}/unbound.conf", log="unbound")
        wait_until(10, lambda: cls.dig("up", "172.16.3.2", "172.16.3.2", "host.corp.test", "A", "+tries=1", "+time=1").status == "NOERROR",
                   "unbound answers")
        return child

    @classmethod
    def start_proxy(cls):
        """A dnsdist, which says whose queries it brings, at 192.0.2.80."""
        with open(f"{cls.dir}/dnsdist.conf", "w") as f:
            f.write('setLocal("192.0.2.80:53")\nsetACL({"0.0.0.0/0"})\nsetSecurityPollSuffix("")\n'
                    'newServer({address="192.0.2.53:53", source="192.0.2.80", useProxyProtocol=true, checkInterval=1})\n')
        child = cls.start("public", DNSDIST, "--supervised", "-C", f"{cls.dir}/dnsdist.conf", log="dnsdist")
        wait_until(20, lambda: cls.dig("public", "192.0.2.10", "192.0.2.80", D, "SOA", "+tries=1", "+time=1").status == "NOERROR",
                   "dnsdist leads to the resolver")
        return child

    @classmethod
    def dig(cls, where, source, server, name, kind, *more):
        r = subprocess.run(["ip", "netns", "exec", where, "dig", "-b", source, f"@{server}", name, kind, "+tries=1", "+time=5", *more],
                           capture_output=True, text=True, timeout=30)
        return Answer(r.stdout + r.stderr)

    def test_one_name_in_each_network(self):
        name, hop = f"contoso.{D}", f"contoso.privatelink.{D}."
        rows = [  # where from, whom, what the chain ends in
            ("neta", "10.1.0.10", "172.16.1.53", "A", ["10.1.0.4"]),
            ("neta", "10.1.0.10", "172.16.1.53", "AAAA", ["fd00:a::4"]),
            ("neta", "fd00:a::10", "fd00:a::53", "A", ["10.1.0.4"]),
            ("netb", "10.1.0.10", "172.16.2.53", "A", ["10.1.0.40"]),  # the same source
            ("public", "203.0.113.9", "192.0.2.53", "A", ["10.3.0.4"]),
            ("public", "203.0.113.9", "203.0.113.1", "A", ["10.3.0.4"]),
            ("public", "192.0.2.10", "192.0.2.53", "A", ["192.0.2.53"]),
        ]
        for where, source, server, kind, want in rows:
            for transport in ("+notcp", "+tcp"):
                a = self.dig(where, source, server, name, kind, transport)
                what = f"{where} {source} {server} {kind} {transport}\n{a.text}"
                self.assertEqual((a.status, a.of(kind)), ("NOERROR", want), what)
                self.assertIn(hop, a.of("CNAME"), what)
        # Not covered in b: on to the public frontend.
        a = self.dig("netb", "10.1.0.10", "172.16.2.53", f"contoso.eastus.geo.{D}", "A")
        self.assertEqual(a.of("A"), ["192.0.2.53"], a.text)
        a = self.dig("neta", "10.1.0.10", "172.16.1.53", f"contoso.eastus.geo.{D}", "A")
        self.assertEqual(a.of("A"), ["10.1.0.5"], a.text)
        # The child zone that a network's own may replace.
        a = self.dig("netb", "10.1.0.10", "172.16.2.53", f"privatelink.{D}", "NS")
        self.assertEqual((a.of("NS"), "aa" in a.flags), ([f"eus-1.eastus.fe.{D}."], True), a.text)

    def test_explain_says_what_each_view_answers(self):
        def explain(name, *words):
            r = subprocess.run([MERIDIAN, "dns", "explain", name, *words, "-o", "json", "--admin", f"{self.dir}/eastus/run/admin.sock"],
                               capture_output=True, text=True, timeout=30)
            self.assertEqual(r.returncode, 0, r.stderr)
            return json.loads(r.stdout)
        rows = [  # the view, or a client in it; where that client would ask, and what it is answered there
            (("--view", "a"), "a", ["10.1.0.4", "fd00:a::4"], ("neta", "10.1.0.10", "172.16.1.53")),
            (("--view", "b"), "b", ["10.1.0.40"], ("netb", "10.1.0.10", "172.16.2.53")),
            (("--view", "c"), "c", ["10.3.0.4"], ("public", "203.0.113.9", "192.0.2.53")),
            (("--client", "203.0.113.9"), "c", ["10.3.0.4"], ("public", "203.0.113.9", "192.0.2.53")),
            (("--client", "10.1.0.10"), "a", ["10.1.0.4", "fd00:a::4"], ("neta", "10.1.0.10", "172.16.1.53")),
        ]
        for words, view, addresses, where in rows:
            doc = explain(f"contoso.{D}", *words)
            self.assertEqual((doc["view"], doc["private"]["addresses"]), (view, addresses), words)
            self.assertIn(f"has this name in view {view}", doc["private"]["reason"])
            answer = self.dig(*where, f"contoso.{D}", "A")
            said = [r.split()[-1] for r in doc["a"]["answer"] if " A " in r]
            self.assertEqual((said, [said[0]]), (answer.of("A"), addresses[:1]), words)
            self.assertIsNone(doc["routing"])
        self.assertEqual(explain(f"contoso.{D}", "--client", "10.1.0.10")["alsoIn"], ["b", "pods"])  # three networks overlap
        doc = explain(f"contoso.eastus.geo.{D}", "--view", "b")
        self.assertEqual(doc["private"]["addresses"], [])
        self.assertIn("in-b in view b has no address for this name", doc["private"]["reason"])
        self.assertEqual(explain(f"contoso.{D}", "--view", "a", "--client", "10.1.0.66")["view"], "refused")  # the view's access list

    def test_a_proxy_says_whose_queries_it_brings(self):
        proxy = self.start_proxy()
        name = f"contoso.{D}"
        for source, want in (("203.0.113.9", ["10.3.0.4"]), ("192.0.2.10", ["192.0.2.53"])):
            for transport in ("+notcp", "+tcp"):
                a = self.dig("public", source, "192.0.2.80", name, "A", transport)
                self.assertEqual((a.status, a.of("A")), ("NOERROR", want), f"{source} {transport}\n{a.text}")
        # Its health checks, which are its own queries, keep it up.
        said = open(f"{self.dir}/dnsdist.log").read()
        self.assertIn("Marking downstream 192.0.2.53:53 as 'up'", said)
        self.assertNotIn("as 'down'", said)
        proxy.terminate()
        proxy.wait(15)
        # Who may say whose queries these are must say so.
        for transport in ("+notcp", "+tcp"):
            a = self.dig("public", "192.0.2.80", "192.0.2.53", name, "A", transport)
            self.assertEqual((a.status, a.ede, a.records), ("REFUSED", [18], []), a.text)

    def test_strangers_are_refused(self):
        for where, source, server in (("neta", "10.9.0.9", "172.16.1.53"), ("neta", "10.1.0.66", "172.16.1.53"),
                                      ("neta", "fd00:b::10", "fd00:a::53")):
            for name in (f"contoso.{D}", "host.corp.test"):
                a = self.dig(where, source, server, name, "A")
                self.assertEqual((a.status, a.ede, a.records), ("REFUSED", [18], []), f"{where} {source}\n{a.text}")

    def test_forwarding(self):
        ask = lambda *words: self.dig("neta", "10.1.0.10", "172.16.1.53", *words)
        a = ask("host.corp.test", "A")  # the first upstream says nothing: the second is asked
        self.assertEqual((a.status, a.of("A")), ("NOERROR", ["10.1.200.1"]), a.text)
        self.assertTrue("ra" in a.flags and "aa" not in a.flags, a.text)
        a = ask("Alias.Corp.Test", "A", "+noedns")
        self.assertEqual((a.status, a.text.count("Alias.Corp.Test."), a.of("CNAME")[0].lower()), ("NOERROR", 2, "host.corp.test."), a.text)
        a = ask("-x", "10.1.200.1")
        self.assertEqual(a.of("PTR"), ["host.corp.test."], a.text)
        a = ask("nobody.corp.test", "A")
        self.assertEqual(a.status, "NXDOMAIN", a.text)
        a = ask("big.corp.test", "TXT", "+ignore")
        self.assertTrue("tc" in a.flags and len(a.of("TXT")) == 5, a.text)  # of 20 those that fit, for clients without TCP
        a = ask("big.corp.test", "TXT", "+tcp")
        self.assertEqual((a.status, len(a.of("TXT"))), ("NOERROR", 20), a.text)
        a = self.dig("neta", "fd00:a::10", "fd00:a::53", "host.corp.test", "A")
        self.assertEqual(a.of("A"), ["10.1.200.1"], a.text)
        rows = [("neta", "10.1.0.10", "172.16.1.53", "host.other.test", []), ("neta", "10.1.0.10", "172.16.1.53", "host.corp.test", ["+norecurse"]),
                ("netb", "10.1.0.10", "172.16.2.53", "host.corp.test", []), ("public", "192.0.2.10", "192.0.2.53", "host.corp.test", []),
                ("public", "203.0.113.9", "192.0.2.53", "host.corp.test", [])]
        for where, source, server, name, more in rows:
            a = self.dig(where, source, server, name, "A", *more)
            self.assertEqual((a.status, a.ede, "ra" in a.flags), ("REFUSED", [20], where == "neta"), f"{where} {source} {name}\n{a.text}")

    def lookup(self, program, server):
        """(found, what it said) of getaddrinfo, with `server` as the only resolver."""
        with open(f"{self.dir}/resolv.conf", "w") as f:
            f.write(RESOLV.format(server))
        p = subprocess.run(["ip", "netns", "exec", "neta", *program, f"contoso.{D}"], capture_output=True, text=True, timeout=60)
        return sorted({l.split()[0] for l in p.stdout.splitlines()}), p.stderr

    def test_search_lists(self):
        """musl ends its search at a refusal and has no TCP: on_foreign and the part of an answer that fits are for it."""
        open(f"{self.dir}/resolv.conf", "w").close()
        subprocess.run(["mount", "--bind", f"{self.dir}/resolv.conf", "/etc/resolv.conf"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/resolv.conf"], check=True)
        with open(f"{self.dir}/lookup.c", "w") as f:
            f.write(LOOKUP)
        subprocess.run([MUSL, "-static", "-O", "-o", f"{self.dir}/lookup", f"{self.dir}/lookup.c"], check=True)
        musl, glibc = [f"{self.dir}/lookup"], ["getent", "ahostsv4"]
        found, said = self.lookup(musl, "172.16.1.53")
        self.assertEqual(found, [], "musl goes on after a refusal: on_foreign need not exist")
        self.assertIn("Try again", said)
        found, said = self.lookup(musl, "172.16.1.54")
        self.assertGreaterEqual(len(found), 25, said)  # of 32
        self.assertTrue(all(a.startswith("10.1.9.") for a in found), found)
        self.assertEqual(self.lookup(glibc, "172.16.1.53")[0], ["10.1.0.4"])
        self.assertEqual(len(self.lookup(glibc, "172.16.1.54")[0]), 32)  # over TCP
        a = self.dig("neta", "10.1.0.10", "172.16.1.54", "www.example.com", "A")
        self.assertEqual((a.status, a.ede, a.records, a.flags), ("NXDOMAIN", [20], [], {"qr", "rd"}), a.text)

    def test_offices_behind_one_cache(self):
        with open(f"{self.dir}/shared.conf", "w") as f:
            f.write(SHARED)
        self.start("public", UNBOUND, "-d", "-c", f"{self.dir}/shared.conf", log="shared")
        ask = lambda source: self.dig("public", source, "192.0.2.10", f"fabrikam.{D}", "A")
        wait_until(10, lambda: self.dig("public", "192.0.2.10", "192.0.2.10", f"geo.{D}", "A", "+time=1").status == "NOERROR", "the cache answers")
        for _ in range(2):  # what came first is in the cache, and is not given to those whom it is not for
            for source, region in OFFICES.items():
                a = ask(source)
                self.assertEqual(a.of("A"), [region], f"{source}\n{a.text}")

    def test_without_upstreams(self):
        """Last: it ends the upstream, and brings it back."""
        self.upstream.terminate()
        self.upstream.wait(15)
        begin = time.monotonic()
        a = self.dig("neta", "10.1.0.10", "172.16.1.53", "host.corp.test", "A")
        self.assertEqual(a.status, "SERVFAIL", a.text)
        self.assertIn(a.ede, ([22], [23]), a.text)
        self.assertLess(time.monotonic() - begin, 4.5)
        b = self.dig("neta", "10.1.0.10", "172.16.1.53", f"contoso.{D}", "A")  # our own names do not mind
        self.assertEqual(b.of("A"), ["10.1.0.4"], b.text)
        self.start_upstream()
        wait_until(15, lambda: self.dig("neta", "10.1.0.10", "172.16.1.53", "host.corp.test", "A").of("A") == ["10.1.200.1"],
                   "forwarding again")
        self.node.terminate()
        with open(f"{self.dir}/node.log", errors="replace") as f:
            self.assertEqual(self.node.wait(20), 0, f.read())
            self.assertNotIn("sandbox: the system call", f.read())


def load_tests(loader, tests, pattern):
    names = ("test_one_name_in_each_network", "test_explain_says_what_each_view_answers", "test_strangers_are_refused", "test_forwarding",
             "test_a_proxy_says_whose_queries_it_brings", "test_search_lists", "test_offices_behind_one_cache", "test_without_upstreams")
    return unittest.TestSuite(map(Views, names))


if __name__ == "__main__":
    need_root()
    if not UNBOUND or not DNSDIST or not MUSL:
        print("skipped: needs unbound, dnsdist and musl-gcc")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
