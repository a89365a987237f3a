// SPDX-License-Identifier: Apache-2.0
// The fixture's topology with keys: private halves in a folder of the test's own, signing threads,
// and queries that wait for their signatures as a worker would.
#ifndef MERIDIAN_TESTS_UNIT_RESOLVER_SIGNED_FIXTURE_H
#define MERIDIAN_TESTS_UNIT_RESOLVER_SIGNED_FIXTURE_H

#include "resolver/sign/dnssec.h"
#include "tests/unit/resolver/fixture.h"

#define T_RRSIG 46
#define T_NSEC 47
#define T_DNSKEY 48
#define T_CDS 59
#define T_CDNSKEY 60

struct signed_rig {
    char dir[64];
    struct topology *t;
    struct signer *signer, *memo;
    struct dnssec *d;
    struct pending_inbox *inbox;
    struct answer_context c;
};

// `extra`: what follows the fixture's document; `csk`: one key for each zone instead of two. Until
// signed_rig_stop the process is on the virtual clock, at now_s.
void signed_rig_start(struct signed_rig *g, const char *extra, enum dnskey_algorithm algorithm,
                      bool csk, unsigned threads, int64_t now_s);
// On a document of the test's own.
void signed_rig_start_on(struct signed_rig *g, const char *yaml, enum dnskey_algorithm algorithm,
                         bool csk, unsigned threads, int64_t now_s);
void signed_rig_stop(struct signed_rig *g);
// A query with DO (and CO), asked again until no signature is missing. Returns how often it had to
// wait.
int signed_ask(struct signed_rig *g, const uint8_t *query, size_t n, struct fixture_answer *out);
size_t signed_query(uint8_t *out, const char *name, uint16_t type, bool co);

#endif
