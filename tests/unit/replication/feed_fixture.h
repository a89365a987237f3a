// SPDX-License-Identifier: Apache-2.0
// A topology, entries and a stand-in for signatures, for tests of feed lines: a "signature" is
// SHA-256 over the key's text and the signed bytes, so that every change of either is seen. Include
// in one file per program.
#ifndef MERIDIAN_TESTS_REPLICATION_FEED_FIXTURE_H
#define MERIDIAN_TESTS_REPLICATION_FEED_FIXTURE_H

#include "base/mem.h"
#include "replication/feed_line.h"

#include <stdio.h>
#include <string.h>

static inline void fixture_spki(uint8_t fill, char out[64])
{
    uint8_t der[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    memset(der + 12, fill, 32);
    b64_format(der, sizeof der, out);
}

static inline void fixture_mac(const char *spki, const void *p, size_t n, uint8_t sig[64])
{
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, spki);
    buf_add(&b, p, n);
    sha256(b.p, b.n, sig);
    memcpy(sig + 32, sig, 32);
    buf_done(&b);
}

static inline int fixture_verify(const char *spki, const void *p, size_t n, const uint8_t sig[64])
{
    uint8_t want[64];
    fixture_mac(spki, p, n, want);
    return memcmp(want, sig, sizeof want) ? -1 : 0;
}

// eastus, westeurope, southeastasia; contoso everywhere, fabrikam not in westeurope. Version 5.
static inline struct topology *fixture_topology(void)
{
    static const char *const names[] = {"eastus", "westeurope", "southeastasia"};
    char key[64];
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "version: 5\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n");
    for (int i = 0; i < 3; i++)
        buf_printf(&b,
                   "  - name: %s\n    stamps:\n      - { name: s-%d, ipv4: [192.0.2.%d] }\n    "
                   "peer: 192.0.2.%d:8443\n",
                   names[i], i, i + 1, i + 1);
    buf_str(&b, "name_servers: [s-0.eastus]\nregistries:\n  - name: contoso\n    replicas:\n      "
                "- { region: eastus }\n"
                "      - { region: westeurope }\n      - { region: southeastasia }\n"
                "  - name: fabrikam\n    replicas:\n      - { region: eastus }\n      - { region: "
                "southeastasia }\n"
                "routing:\n  order: [eastus, westeurope, southeastasia]\nidentities:\n");
    for (int i = 0; i < 3; i++) {
        fixture_spki((uint8_t)(i + 1), key);
        buf_printf(&b, "  %s:\n    feed_keys:\n      - { id: %s-feed-1, key: \"%s\" }\n", names[i],
                   names[i], key);
    }
    struct diag diag;
    diag_init(&diag);
    struct topology *t = NULL;
    if (topology_parse(b.p, b.n, "fixture", &diag, &t))
        diag_print(&diag, stderr);
    diag_done(&diag);
    buf_done(&b);
    return t;
}

static inline void fixture_rules(const struct topology *t, struct feed_rules *out)
{
    *out = (struct feed_rules){.topology = t,
                               .self = topology_region(t, "westeurope"),
                               .origin = topology_region(t, "eastus"),
                               .verify = fixture_verify,
                               .their_topology = 5};
}

// The n-th tag entry of eastus in epoch 1, chained to `prev`, signed.
static inline void fixture_sign(const uint8_t prev[ENTRY_HASH_BYTES], uint8_t key_fill,
                                struct feed_entry *e)
{
    char spki[64];
    struct buf b;
    buf_init(&b, 0);
    fixture_spki(key_fill, spki);
    entry_hash(prev, e, e->hash);
    entry_sign_input(e, &b);
    fixture_mac(spki, b.p, b.n, e->sig);
    buf_done(&b);
}

static inline void fixture_entry(uint64_t seq, const uint8_t prev[ENTRY_HASH_BYTES],
                                 struct feed_entry *out)
{
    *out = (struct feed_entry){.origin = "eastus",
                               .epoch = 1,
                               .seq = seq,
                               .stamp = 1000 + seq,
                               .kind = ENTRY_TAG,
                               .registry = "contoso",
                               .repository = "team/app",
                               .tag = "v1",
                               .media_type = "",
                               .key = "eastus-feed-1"};
    digest_of(DIGEST_SHA256, "x", 1, &out->digest);
    fixture_sign(prev, 1, out);
}

// Entry `n` of a registry's chain, of version 2: the tag v<n>, or (gone) its tombstone. It goes on
// from `prev` in the feed, and from `before` (NULL: nothing) in the registry's chain.
static inline void fixture_entry2(uint64_t seq, const uint8_t prev[ENTRY_HASH_BYTES],
                                  const char *registry, uint64_t n, const struct feed_entry *before,
                                  struct arena *a, struct feed_entry *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    fixture_entry(seq, prev, out);
    out->version = 2;
    out->registry = registry;
    out->registry_seq = n;
    if (before)
        entry_body_hash(before, out->registry_prev);
    if (entry_body_make(out, &b))
        return;
    out->body = bytes_of(arena_strndup(a, b.p, b.n), b.n);
    fixture_sign(prev, 1, out);
}

// What eastus signs of these heads at a place.
static inline void fixture_heads_sign(const struct feed_heads *h, const struct feed_mark *place,
                                      uint8_t sig[ENTRY_SIG_BYTES])
{
    char spki[64];
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    fixture_spki(1, spki);
    feed_heads_text(h, "eastus", place, &b);
    fixture_mac(spki, b.p, b.n, sig);
}

#endif
