// SPDX-License-Identifier: Apache-2.0
// See signed_fixture.h.
#include "tests/unit/resolver/signed_fixture.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/signed.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

void signed_rig_start_on(struct signed_rig *g, const char *yaml, enum dnskey_algorithm algorithm,
                         bool csk, unsigned threads, int64_t now_s)
{
    struct buf b;
    memset(g, 0, sizeof *g);
    // The signer's cache takes what has expired by this clock for free: two signatures in one of
    // its sets would oust each other for ever if the days since `now_s` counted.
    clock_virtual_set(now_s * 1000);
    strcpy(g->dir, "/tmp/meridian-dnssec-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(g->dir));
    buf_init(&b, 0);
    buf_printf(&b, "%s", yaml);
    ck_assert_int_eq(signed_keys(&b, g->dir, algorithm, csk), 0);
    g->t = fixture_parse(buf_cstr(&b));
    buf_done(&b);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 4096}, &g->memo), 0);
    ck_assert_int_eq(
        signer_new(&(struct signer_options){.slots = 65536, .threads = threads}, &g->signer), 0);
    struct diag diag;
    diag_init(&diag);
    int rc = dnssec_new(g->t, g->dir, now_s, g->memo, NULL, &diag, &g->d);
    diag_print(&diag, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&diag);
    ck_assert_int_eq(pending_inbox_new(&g->inbox), 0);
    g->c = (struct answer_context){.topology = g->t,
                                   .transport = ANSWER_UDP,
                                   .source = fixture_ip("192.0.2.99"),
                                   .now_s = now_s,
                                   .dnssec = g->d,
                                   .frontend = g->d->zone,
                                   .signer = g->signer};
}

void signed_rig_start(struct signed_rig *g, const char *extra, enum dnskey_algorithm algorithm,
                      bool csk, unsigned threads, int64_t now_s)
{
    struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "%s%s", fixture_yaml(), extra);
    signed_rig_start_on(g, buf_cstr(&b), algorithm, csk, threads, now_s);
    buf_done(&b);
}

void signed_rig_stop(struct signed_rig *g)
{
    signer_free(g->signer);
    signer_free(g->memo);
    pending_inbox_unref(g->inbox);
    snapshot_unref(g->d);
    snapshot_unref(g->t);
    dir_remove_tree(g->dir);
    clock_virtual_off();
}

size_t signed_query(uint8_t *out, const char *name, uint16_t type, bool co)
{
    size_t n = fixture_query(out, name, type, 1232);
    out[n - 4] = co ? 0xc0 : 0x80; // DO, CO
    return n;
}

int signed_ask(struct signed_rig *g, const uint8_t *query, size_t n, struct fixture_answer *out)
{
    int waits;
    size_t cap = g->c.transport == ANSWER_UDP ? 1232 : sizeof out->wire;
    out->pkt = NULL;
    ck_assert_int_eq(
        signed_answer(&g->c, g->inbox, query, n, out->wire, cap, &out->info, &out->n, &waits), 0);
    ck_assert_int_eq(ldns_wire2pkt(&out->pkt, out->wire, out->n), LDNS_STATUS_OK);
    return waits;
}
