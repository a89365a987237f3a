#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One data set for all servers: gen.py REGISTRIES OUT [--regions 8] [--arbitrary] [--queries 500000]. The same arguments,
the same bytes.

Every registry has a replica in all regions, or (--arbitrary) in a set of its own of 1 to 15 of them; at a stamp (of ten)
of its own choice; every tenth has a private endpoint, so that its names take one hop more. Clients of 10.0.0.0/8 prefer a region by slice; all others the first one.

  topology.yaml   Meridian
  zone            NSD, Knot: names expanded; no client and no health, the global name frozen to one region
  gdnsd/          gdnsd: geo and health per registry, but its global names may not lead into its own zone: it sends the
                  first CNAME only, and that to another zone
  queries.txt     70 % regional, 20 % global, 5 % regional with a private endpoint, 5 % of registries that do not exist
  change.json     what moves when one registry changes
"""
import argparse, json, os, random

REGIONS = "eastus westeu northeu seasia japanw brazils austre canadac uksouth indiac koreac uaen safrican swedenc".split()
STAMPS = 10
DOMAIN = "example.io"


class Model:
    def __init__(self, n, regions, arbitrary=False):
        rnd = random.Random(1)
        self.regions = [REGIONS[r] if r < len(REGIONS) else "region%d" % r for r in range(regions)]
        self.names = ["%s%05x" % (rnd.choice(("acme", "globexdev", "initechprod", "umbra", "stark")), i) for i in range(n)]
        if arbitrary:
            self.sets = [sorted(rnd.sample(range(regions), rnd.randint(1, min(15, regions)))) for _ in range(n)]
            self.sets[0] = sorted({0, *self.sets[0]})  # the one that is changed
        else:
            self.sets = [range(regions)] * n
        self.stamp = [bytes(rnd.randrange(STAMPS) for _ in self.regions) for _ in range(n)]

    def frontend(self, i, r):
        return "s%02d.%s.fe" % (self.stamp[i][r], self.regions[r])

    def private(self, i):
        return i % 10 == 9

    def frontends(self):
        for r, region in enumerate(self.regions):
            for s in range(STAMPS):
                yield r, region, s, "203.0.%d.%d" % (113 + r, s + 1), "2001:db8:%x::%x" % (r + 1, s + 1)

    def slices(self):
        bits = 8 + (len(self.regions) - 1).bit_length()
        for r in range(len(self.regions)):
            yield "10.%d.0.0/%d" % (r << (16 - bits), bits), r
        yield "127.0.0.0/8", 0

    def order(self, first):
        n = len(self.regions)
        return [self.regions[(first + k) % n] for k in range(n)]


def write_topology(m, path, version=1):
    with open(path, "w", 1 << 20) as f:
        w = f.write
        # Nobody answers probes here: with these settings every stamp stays up, as it began.
        w("version: %d\ndomain: %s\nhealth: { interval: 10m, timeout: 1s, fall: 20 }\nregions:\n" % (version, DOMAIN))
        for r, region, s, v4, v6 in m.frontends():
            if s == 0:
                w("  - name: %s\n    peer: 203.0.%d.1:8443\n    stamps:\n" % (region, 113 + r))
            w("      - { name: s%02d, ipv4: [%s], ipv6: [\"%s\"] }\n" % (s, v4, v6))
        w("name_servers: [s00.%s]\nrouting:\n  order: [%s]\n  overrides:\n" % (m.regions[0], ", ".join(m.regions)))
        for net, r in m.slices():
            w("    - { clients: %s, order: [%s] }\n" % (net, ", ".join(m.order(r))))
        w("ttl: { global: 30s, regional: 60s, frontend: 300s }\nviews:\n  - { name: corp, sources: [172.16.0.0/12] }\nregistries:\n")
        for i, name in enumerate(m.names):
            w("  - name: %s\n    regional_endpoints: enabled\n    replicas:\n" % name)
            for r in m.sets[i]:
                w("      - { region: %s, stamp: s%02d }\n" % (m.regions[r], m.stamp[i][r]))
        w("private_endpoints:\n" if len(m.names) > 9 else "")
        for i in range(9, len(m.names), 10):
            w("  - { name: pe%d, registry: %s, view: corp, addresses: { registry: 172.%d.%d.%d } }\n" % (
                i, m.names[i], 16 + (i >> 16), i >> 8 & 255, i & 255))


def zone_rows(m):
    yield "$ORIGIN %s.\n$TTL 60\n@ 3600 SOA ns1 hostmaster 1 3600 600 604800 30\n@ 3600 NS ns1\nns1 3600 A 127.0.0.1\n" % DOMAIN
    for _, region, s, v4, v6 in m.frontends():
        yield "s%02d.%s.fe 300 A %s\ns%02d.%s.fe 300 AAAA %s\n" % (s, region, v4, s, region, v6)
    for i, name in enumerate(m.names):
        for r in m.sets[i]:
            region = m.regions[r]
            if m.private(i):
                yield "%s.%s.geo 60 CNAME %s.%s.geo.privatelink\n" % (name, region, name, region)
                yield "%s.%s.geo.privatelink 60 CNAME %s\n" % (name, region, m.frontend(i, r))
            else:
                yield "%s.%s.geo 60 CNAME %s\n" % (name, region, m.frontend(i, r))


def write_zone(m, path):
    with open(path, "w", 1 << 20) as f:
        f.writelines(zone_rows(m))
        for i, name in enumerate(m.names):
            f.write("%s 30 CNAME %s\n" % (name, m.frontend(i, m.sets[i][i % len(m.sets[i])])))


def write_gdnsd(m, out):
    fe_zone = "fe.example.net"
    for d in ("zones", "geoip"):
        os.makedirs(os.path.join(out, d), exist_ok=True)
    with open(out + "/zones/" + DOMAIN, "w", 1 << 20) as f:
        f.writelines(zone_rows(m))
        f.writelines("%s 30/30 DYNC geoip!%s\n" % (name, name) for name in m.names)
    with open(out + "/zones/" + fe_zone, "w") as f:
        f.write("@ 3600 SOA ns1 hostmaster 1 3600 600 604800 30\n@ 3600 NS ns1\nns1 3600 A 127.0.0.1\n")
        for _, region, s, v4, v6 in m.frontends():
            f.write("s%02d.%s 300 A %s\ns%02d.%s 300 AAAA %s\n" % (s, region, v4, s, region, v6))
    with open(out + "/geoip/nets", "w") as f:
        for net, r in m.slices():
            f.write("%s => [ %s ]\n" % (net, ", ".join(m.order(r))))
    with open(out + "/fe.state", "w") as f:
        f.writelines("s%02d.%s.%s. => UP\n" % (s, region, fe_zone) for _, region, s, _, _ in m.frontends())
    with open(out + "/config.in", "w", 1 << 20) as f:
        f.write("options => { listen => 127.0.0.1:@PORT@, udp_threads => 1, tcp_threads => 1, run_dir => @DIR@/run, state_dir => @DIR@/state }\n"
                "service_types => { fe => { plugin => extfile, file => @DIR@/state/fe.state, direct => true, interval => 2, def_ttl => 30 } }\n"
                "plugins => { geoip => {\n  maps => { m => { datacenters => [ %s ], nets => nets } }\n  resources => {\n" % ", ".join(m.regions))
        for i, name in enumerate(m.names):
            f.write("    %s => { map => m, service_types => fe, dcmap => { %s } }\n" % (name, ", ".join(
                "%s => %s.%s." % (m.regions[r], m.frontend(i, r)[:-3], fe_zone) for r in m.sets[i])))
        f.write("  }\n} }\n")


def write_queries(m, path, count):
    rnd, n = random.Random(2), len(m.names)
    private = list(range(9, n, 10)) or [0]
    with open(path, "w", 1 << 20) as f:
        for _ in range(count):
            x, i = rnd.random(), rnd.randrange(n)
            if x < 0.70:
                i -= m.private(i)
                name = "%s.%s.geo" % (m.names[i], m.regions[rnd.choice(m.sets[i])])
            elif x < 0.90:
                name = m.names[i]
            elif x < 0.95:
                i = rnd.choice(private)
                name = "%s.%s.geo" % (m.names[i], m.regions[rnd.choice(m.sets[i])])
            else:
                name = "nope%x.%s.geo" % (rnd.randrange(1 << 24), rnd.choice(m.regions))
            f.write("%s.%s A\n" % (name, DOMAIN))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("registries", type=int)
    p.add_argument("out")
    p.add_argument("--regions", type=int, default=8)
    p.add_argument("--arbitrary", action="store_true")
    p.add_argument("--queries", type=int, default=500000)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    m = Model(a.registries, a.regions, a.arbitrary)
    write_queries(m, a.out + "/queries.txt", a.queries)
    write_topology(m, a.out + "/topology.yaml")
    write_zone(m, a.out + "/zone")
    write_gdnsd(m, a.out + "/gdnsd")
    old = m.stamp[0][0]
    with open(a.out + "/change.json", "w") as f:
        json.dump({"registry": m.names[0], "region": m.regions[0], "domain": DOMAIN, "old": "s%02d" % old,
                   "new": "s%02d" % ((old + 1) % STAMPS), "address": "203.0.113.%d" % (old + 1),
                   "new_address": "203.0.113.%d" % ((old + 1) % STAMPS + 1)}, f)


main()
