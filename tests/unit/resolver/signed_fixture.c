// SPDX-License-Identifier: Apache-2.0
// See signed_fixture.h.
#include "tests/unit/resolver/signed_fixture.h"

#include "base/digest.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/dns_keys.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static void add_key(struct buf *b, const char *dir, enum dnskey_zone zone, enum dnskey_role role,
                    enum dnskey_algorithm algorithm)
{
    struct dnskey k;
    char id[65], b64[b64_size(DNSKEY_PUBLIC_MAX)];
    ck_assert_int_eq(dns_key_create(dir, zone, role, algorithm, NULL, id, &k), 0);
    b64_format(k.public, k.public_n, b64);
    buf_printf(
        b,
        "    - { id: %s, zone: %s, role: %s, algorithm: %s, state: active, since: \"2026-01-01T00:00:00Z\", key: "
        "\"%s\" }\n",
        id, dnskey_zone_name(zone), dnskey_role_name(role), dnskey_algorithm_name(algorithm), b64);
}

void signed_rig_start(struct signed_rig *g, const char *extra, enum dnskey_algorithm algorithm, bool csk,
                      unsigned threads, int64_t now_s)
{
    struct buf b;
    memset(g, 0, sizeof *g);
    strcpy(g->dir, "/tmp/meridian-dnssec-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(g->dir));
    buf_init(&b, 0);
    buf_printf(&b, "%s%sdnssec:\n  keys:\n", fixture_yaml(), extra);
    for (int z = 0; z < 2; z++)
        for (int r = csk ? DNSKEY_CSK : DNSKEY_KSK; r <= (csk ? DNSKEY_CSK : DNSKEY_ZSK); r++)
            add_key(&b, g->dir, (enum dnskey_zone)z, (enum dnskey_role)r, algorithm);
    g->t = fixture_parse(buf_cstr(&b));
    buf_done(&b);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 4096}, &g->memo), 0);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 65536, .threads = threads}, &g->signer), 0);
    struct diag diag;
    diag_init(&diag);
    int rc = dnssec_new(g->t, g->dir, now_s, g->memo, NULL, &diag, &g->d);
    diag_print(&diag, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&diag);
    ck_assert_int_eq(parked_inbox_new(&g->inbox), 0);
    g->c = (struct answer_context){.topology = g->t,
                                   .transport = ANSWER_UDP,
                                   .source = fixture_ip("192.0.2.99"),
                                   .now_s = now_s,
                                   .dnssec = g->d,
                                   .frontend = g->d->zone,
                                   .signer = g->signer};
}

void signed_rig_stop(struct signed_rig *g)
{
    signer_free(g->signer);
    signer_free(g->memo);
    parked_inbox_unref(g->inbox);
    snapshot_unref(g->d);
    snapshot_unref(g->t);
    dir_remove_tree(g->dir);
}

size_t signed_query(uint8_t *out, const char *name, uint16_t type, bool co)
{
    size_t n = fixture_query(out, name, type, 1232);
    out[n - 4] = co ? 0xc0 : 0x80; // DO, CO
    return n;
}

int signed_ask(struct signed_rig *g, const uint8_t *query, size_t n, struct fixture_answer *out)
{
    int waits = 0;
    out->pkt = NULL;
    for (;; waits++) {
        ck_assert_int_lt(waits, 10);
        g->c.ticket = parked_ticket_of(g->inbox, 0);
        out->n = answer_packet(&g->c, query, n, out->wire, g->c.transport == ANSWER_UDP ? 1232 : sizeof out->wire,
                               &out->info);
        if (!out->info.pending)
            break;
        struct pollfd p = {.fd = parked_inbox_fd(g->inbox), .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, 20000), 1);
        struct parked_mail m;
        while ((m = parked_inbox_take(g->inbox)).news != PARKED_NOTHING)
            ck_assert_int_eq(m.news, PARKED_RETRY);
    }
    parked_slot_done(g->inbox, 0);
    ck_assert_int_eq(ldns_wire2pkt(&out->pkt, out->wire, out->n), LDNS_STATUS_OK);
    return waits;
}
