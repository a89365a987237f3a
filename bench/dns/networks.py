#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/dns/networks.py DATA NETWORKS: measured networks for a data set of gen.py: NETWORKS prefixes of IPv4 between /12 and /24
with the latency of three regions each (latency.csv), as many in a MaxMind database (places.mmdb), a topology that names both
(networks.yaml), and the global names of the queries (global.txt). For

    dns_cost -e DATA/networks.yaml DATA/global.txt

where every query has a Client Subnet of its own. Deterministic."""
import ipaddress, os, random, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
import mmdb


def prefixes(rng, n):
    found = set()
    while len(found) < n:
        bits = rng.choices(range(12, 25), [2 ** (b - 12) for b in range(12, 25)])[0]
        net = ipaddress.IPv4Network((rng.randrange(1 << 24, 224 << 24), bits), strict=False)
        found.add(net)
    return sorted(found)


def main():
    data, n = sys.argv[1], int(sys.argv[2])
    rng = random.Random(7)
    with open(data + "/topology.yaml") as f:
        text = f.read()
    regions = [l.split()[2] for l in text.split("registries:")[0].splitlines() if l.startswith("  - name: ")]
    with open(data + "/latency.csv", "w") as f:
        f.write("network,region,latency_ms\n")
        for net in prefixes(rng, n):
            for region in rng.sample(regions, 3):
                f.write("%s,%s,%d\n" % (net, region, rng.randrange(5, 300)))
    places = [(rng.randrange(-60, 70), rng.randrange(-180, 180)) for _ in range(500)]
    mmdb.write(data + "/places.mmdb", [(str(net), rng.choice(places)) for net in prefixes(rng, n)])
    for i, region in enumerate(regions):
        text = text.replace("  - name: %s\n" % region, "  - name: %s\n    location: \"%d,%d\"\n" % ((region,) + places[i]), 1)
    text = text.replace("routing:\n", "routing:\n  latency_file: %s/latency.csv\n  latency_margin: 10ms\n  maxmind_file: %s/places.mmdb\n" % (
        (os.path.abspath(data),) * 2), 1)
    with open(data + "/networks.yaml", "w") as f:
        f.write(text)
    with open(data + "/queries.txt") as f, open(data + "/global.txt", "w") as out:
        out.writelines(l for l in f if l.count(".") == 2 and not l.startswith("nope"))


if __name__ == "__main__":
    main()
