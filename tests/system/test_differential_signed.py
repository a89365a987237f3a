# SPDX-License-Identifier: Apache-2.0
"""Our signed answers against NSD's, which serves what `meridian dns export` writes, signed by ldns with keys of its own: for
every record of every zone, in four views, with and without private cuts, the answer to a query with DO must be equal section
by section. Of a signature counts what it covers, its algorithm, labels, original TTL and signer; the rest is each server's.

Denials are left out, because D's are compact and NSD's are not, and so are the keys themselves. Over TCP, so that sizes mean
nothing. Topologies, views and servers are those of test_differential.py, whose MERIDIAN_SEED counts here too."""
import collections, os, random, shutil, sys, tempfile, time, unittest

import dnswire as dns
import test_differential as plain

RRSIG, CAA = 46, 257
TYPES = {"A": dns.A, "AAAA": dns.AAAA, "NS": dns.NS, "SOA": dns.SOA, "TXT": dns.TXT, "MX": dns.MX, "CAA": CAA, "DS": dns.DS}
ALIAS_TYPES = (dns.CNAME, dns.A, dns.AAAA)
PER_CONTEXT = 600
PROGRAMS = {p: shutil.which(p) for p in ("ldns-keygen", "ldns-signzone")}


def reduced(records):
    """Signatures without times, key tag and the signature itself."""
    head, name_at = 8, 18
    without = lambda r: r[:head] + r[name_at:-64].lower()
    return [rr[:4] + (without(rr[4]),) if rr[1] == RRSIG else rr for rr in records]


class Signed(plain.Both):
    def make_keys(self, where):
        keys = lambda *words: self.run_tool(plain.MERIDIAN, "dns", "keys", *words, "--topology", f"{where}/topology.yaml")
        keys("publish", "--dir", f"{where}/eastus/keys/dns", *keys("generate", "--dir", f"{where}/eastus/keys/dns").split())

    def sign(self, apex, text):
        at = tempfile.mkdtemp(dir=self.dir)
        with open(f"{at}/zone", "w") as f:
            f.write(text)
        made = [self.run_tool(PROGRAMS["ldns-keygen"], *words, "-a", "ECDSAP256SHA256", apex, cwd=at).strip() for words in (["-k"], [])]
        self.run_tool(PROGRAMS["ldns-signzone"], "-o", apex, "-f", "signed", "zone", *made, cwd=at)
        with open(f"{at}/signed") as f:
            return f.read()

    def questions(self, rng, zones):
        there = {r for text in zones.values() for r in plain.records_of(text)}
        asked = {(o, t) for o, kind in there for t in (ALIAS_TYPES if kind == "CNAME" else (TYPES[kind],))}
        return rng.sample(sorted(asked), min(len(asked), PER_CONTEXT))

    def compare_one(self, what, question, ours, theirs, seen):
        a, b = dns.Response(ours), dns.Response(theirs)
        if b.authority or not b.answer:  # the end of the chain has no such type
            self.assertTrue(a.authority or not a.answer, f"{what}: {question}\n ours: {a}\n NSD: {b}")
            seen["denied"] += 1
            return
        said = f"{what}: {dns.text(question[0])} type {question[1]}\n ours: {a}\n NSD: {b}"
        self.assertEqual((a.rcode, a.flags), (b.rcode, b.flags), said)
        self.assertEqual(a.opt[1:3], b.opt[1:3], said)
        chain = lambda r: [rr for rr in r.answer if rr[1] == dns.CNAME]
        self.assertEqual(chain(a), chain(b), said)
        self.assertEqual(collections.Counter(reduced(a.answer)), collections.Counter(reduced(b.answer)), said)
        self.assertEqual(a.authority, [], said)
        seen["signed" if any(rr[1] == RRSIG for rr in a.answer) else "unsigned"] += 1

    def compare(self, rng, zones, servers, what, seen):
        questions = self.questions(rng, zones)
        for i in range(0, len(questions), plain.BATCH):
            batch = questions[i:i + plain.BATCH]
            packets = [dns.query(k, labels, qtype, rd=rng.random() < 0.5, edns=1232, do=True) for k, (labels, qtype) in enumerate(batch)]
            for q, ours, theirs in zip(batch, *(s.ask_all(packets, True) for s in servers)):
                self.compare_one(what, q, ours, theirs, seen)

    def one_topology(self, i, seen):
        rng = random.Random(plain.SEED * 1000 + i)
        ports = plain.free_port(), plain.free_port()
        t = plain.Topology(rng, f"{plain.PUBLIC}:{ports[1]}", i)
        where = f"{self.dir}/{i}"
        stop = self.start_ours(where, t, ports)
        for name, source, port, words in self.contexts(t, ports):
            zones = self.export(where, t, words)
            signed = zones | {apex: self.sign(apex, zones[apex]) for apex in (t.domain, f"fe.{t.domain}")}
            nsd_port, stop_nsd = self.start_nsd(f"{where}/nsd-{name}", t, signed)
            servers = plain.Server("ours", port, source), plain.Server("NSD", nsd_port, plain.PUBLIC)
            try:
                self.compare(rng, zones, servers, f"seed {plain.SEED}, topology {i}, {name}", seen)
            finally:
                for s in servers:
                    s.close()
            stop_nsd()
        stop()

    def test_positive_answers(self):
        start, seen = time.monotonic(), collections.Counter()
        for i in range(plain.TOPOLOGIES):
            self.one_topology(i, seen)
        print(f"{dict(seen)} in {time.monotonic() - start:.0f} s")
        self.assertGreater(seen["signed"], 1500)
        self.assertGreater(seen["unsigned"], 20)  # below a cut


if __name__ == "__main__":
    if os.geteuid() != 0 or not plain.NSD or not all(PROGRAMS.values()):
        print("skipped: needs root (to start servers that keep their user), nsd and ldns's tools")
        sys.exit(plain.SKIP)
    unittest.main(verbosity=2)
