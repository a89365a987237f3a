// SPDX-License-Identifier: Apache-2.0
// resolver/zone: canonical order with ldns as the judge, lookups, and fe.D of a topology against
// its answers.
#include "resolver/zone/zone.h"

#include "base/err.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

// xorshift: the same names in every run
static uint32_t next_random(void)
{
    static uint32_t x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

static size_t random_name(uint8_t out[DNS_NAME_MAX])
{
    static const char letters[] = "abzABZ019-_*\0\xff.";
    size_t n = 0, n_labels = next_random() % 5;
    for (size_t i = 0; i < n_labels; i++) {
        size_t len = 1 + next_random() % (next_random() % 8 ? 3 : 40);
        out[n++] = (uint8_t)len;
        while (len--)
            out[n++] = (uint8_t)letters[next_random() % (sizeof letters - 1)];
    }
    out[n] = 0;
    return n + 1;
}

START_TEST(test_canonical_order_is_that_of_ldns)
{
    int seen[3] = {0};
    for (int i = 0; i < 20000; i++) {
        uint8_t a[DNS_NAME_MAX], b[DNS_NAME_MAX];
        size_t a_n = random_name(a), b_n = random_name(b);
        if (next_random() % 2 && a_n + 4 < DNS_NAME_MAX) { // one below the other, or beside it
            memcpy(b + 2, a, a_n);
            b[0] = 1;
            b[1] = (uint8_t)next_random();
            b_n = a_n + 2;
        }
        ldns_rdf *ra = ldns_dname_new_frm_data((uint16_t)a_n, a),
                 *rb = ldns_dname_new_frm_data((uint16_t)b_n, b);
        ldns_dname2canonical(ra);
        ldns_dname2canonical(rb);
        int want = ldns_dname_compare(ra, rb), got = zone_name_compare(a, a_n, b, b_n);
        ck_assert_int_eq(sign(got), want);
        ck_assert_int_eq(sign(zone_name_compare(b, b_n, a, a_n)), -want);
        seen[want + 1]++;
        ldns_rdf_deep_free(ra);
        ldns_rdf_deep_free(rb);
    }
    ck_assert(seen[0] > 100 && seen[1] > 100 && seen[2] > 100);
}
END_TEST

START_TEST(test_order_of_rfc4034)
{
    static const char *const names[] = {
        "\7example\0",        "\1a\7example\0",       "\10yljkjljk\1a\7example\0",
        "\1Z\1a\7example\0",  "\4zABC\1a\7EXAMPLE\0", "\1z\7example\0",
        "\1\1\1z\7example\0", "\1*\1z\7example\0",    "\1\310\1z\7example\0"};
    for (size_t i = 0; i + 1 < ARRAY_LEN(names); i++)
        ck_assert_int_lt(zone_name_compare((const uint8_t *)names[i], strlen(names[i]) + 1,
                                           (const uint8_t *)names[i + 1], strlen(names[i + 1]) + 1),
                         0);
}
END_TEST

static size_t wire(const char *text, uint8_t out[DNS_NAME_MAX])
{
    size_t n = dns_name_from_text(text, out);
    ck_assert_uint_gt(n, 0);
    return n;
}

static struct zone *frontend(void)
{
    struct topology *t = fixture_topology();
    struct zone *z;
    ck_assert_int_eq(zone_frontend_new(t, 7, &z), 0);
    snapshot_unref(t); // a zone stands by itself
    return z;
}

START_TEST(test_frontend_has_its_records)
{
    struct zone *z = frontend();
    uint8_t name[DNS_NAME_MAX];
    const struct zone_rr *rrs;
    ck_assert_uint_eq(z->serial, 7);
    ck_assert(!z->is_signed);
    ck_assert_uint_eq(z->n_rrs, 9); // SOA, two NS, six addresses
    ck_assert_uint_eq(zone_rrset(z, z->apex, z->apex_n, DNS_NS, &rrs), 2);
    ck_assert_uint_eq(zone_rrset(z, z->apex, z->apex_n, DNS_SOA, &rrs), 1);
    ck_assert_ptr_eq(rrs, zone_soa(z));
    size_t n = wire("eus-2.eastus.fe.example.io", name);
    ck_assert_uint_eq(zone_rrset(z, name, n, DNS_A, &rrs), 2);
    ck_assert(rrs[0].rdata[3] == 11 && rrs[1].rdata[3] == 12 && rrs[0].ttl == 60);
    ck_assert_uint_eq(zone_rrset(z, name, n, DNS_AAAA, &rrs), 0);
    n = wire("eus-3.eastus.fe.example.io", name);
    ck_assert_uint_eq(zone_rrset(z, name, n, DNS_A, &rrs), 0);
    for (size_t i = 1; i < z->n_rrs; i++)
        ck_assert_int_lt(zone_rr_compare(&z->rrs[i - 1], &z->rrs[i]), 0);
    snapshot_unref(z);
}
END_TEST

// The table of owners finds what walking the list does, in zones of many sizes, and nothing else.
START_TEST(test_owners_are_found)
{
    for (uint32_t n_owners = 0; n_owners < 299; n_owners += 1 + n_owners / 4) {
        static uint8_t names[300][DNS_NAME_MAX];
        static struct zone_rr rrs[1 + 2 * 300];
        uint8_t soa_rdata[SOA_TIMERS_BYTES + 2] = {[5] = 1}; // serial
        size_t n = 0, apex_n = wire("fe.example.io", names[299]);
        rrs[n++] = (struct zone_rr){names[299],       soa_rdata, (uint16_t)apex_n,
                                    sizeof soa_rdata, DNS_SOA,   60};
        for (uint32_t i = 0; i < n_owners; i++) {
            char text[40];
            snprintf(text, sizeof text, "%x.fe.example.io", i * 2654435761u);
            uint16_t name_n = (uint16_t)wire(text, names[i]);
            rrs[n++] =
                (struct zone_rr){names[i], (const uint8_t *)"\1\2\3\4", name_n, 4, DNS_A, 60};
            if (i & 1)
                rrs[n++] =
                    (struct zone_rr){names[i], (const uint8_t *)"\1x", name_n, 2, DNS_TXT, 60};
        }
        struct zone *z;
        ck_assert_int_eq(zone_new(names[299], apex_n, 1, false, rrs, n, &z), 0);
        ck_assert_uint_eq(z->n_rrs, n);
        for (size_t i = 0, k; i < z->n_rrs; i = k) {
            const struct zone_rr *first = &z->rrs[i], *got = NULL;
            for (k = i; k < z->n_rrs && z->rrs[k].owner == first->owner; k++)
                ;
            ck_assert_uint_eq(zone_owner(z, first->owner, first->owner_n, &got), k - i);
            ck_assert_ptr_eq(got, first);
            ck_assert_uint_eq(zone_owner(z, first->owner, first->owner_n - 1u, &got), 0);
        }
        snapshot_unref(z);
    }
}
END_TEST

// What answers say of a name of fe.D is what the zone holds.
START_TEST(test_frontend_agrees_with_answers)
{
    static const uint16_t types[] = {T_A, T_AAAA, T_NS, T_SOA, T_TXT};
    static struct fixture_answer a;
    struct topology *t = fixture_topology();
    struct zone *z;
    ck_assert_int_eq(zone_frontend_new(t, (uint32_t)t->version, &z), 0);
    const struct answer_context c = {
        .topology = t, .transport = ANSWER_TCP, .source = fixture_ip("192.0.2.99")};
    for (size_t i = 0; i < z->n_rrs; i++)
        for (size_t k = 0; k < ARRAY_LEN(types); k++) {
            ldns_rdf *owner = ldns_dname_new_frm_data(z->rrs[i].owner_n, z->rrs[i].owner);
            char *text = ldns_rdf2str(owner);
            text[strlen(text) - 1] = 0;
            fixture_ask(&c, text, types[k], -1, &a);
            const struct zone_rr *rrs;
            size_t n = zone_rrset(z, z->rrs[i].owner, z->rrs[i].owner_n, types[k], &rrs);
            const ldns_rr_list *got = ldns_pkt_answer(a.pkt);
            ck_assert_uint_eq(ldns_rr_list_rr_count(got), n);
            for (size_t j = 0; j < n; j++) {
                bool found = false;
                for (size_t l = 0; l < n; l++) {
                    ldns_buffer *b = ldns_buffer_new(1024);
                    ldns_rr *rr = ldns_rr_list_rr(got, l);
                    ck_assert_int_eq(ldns_rr_rdata2buffer_wire(b, rr), LDNS_STATUS_OK);
                    found |= ldns_buffer_position(b) == rrs[j].rdata_n &&
                             ldns_rr_ttl(rr) == rrs[j].ttl &&
                             !memcmp(ldns_buffer_begin(b), rrs[j].rdata, rrs[j].rdata_n);
                    ldns_buffer_free(b);
                }
                ck_assert_msg(found, "%s type %d: a record of the zone is not in the answer:\n%s",
                              text, types[k], fixture_text(got));
            }
            fixture_answer_done(&a);
            free(text);
            ldns_rdf_deep_free(owner);
        }
    snapshot_unref(z);
    snapshot_unref(t);
}
END_TEST

START_TEST(test_at_or_before)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"fe.example.io", "fe.example.io"},
        {"eastus.fe.example.io", "fe.example.io"}, // an empty non-terminal
        {"eus-1.eastus.fe.example.io", "eus-1.eastus.fe.example.io"},
        {"a.eus-1.eastus.fe.example.io", "eus-1.eastus.fe.example.io"},
        {"eus-11.eastus.fe.example.io", "eus-1.eastus.fe.example.io"},
        {"eus-3.eastus.fe.example.io", "eus-2.eastus.fe.example.io"},
        {"zzz.fe.example.io", "weu-1.westeurope.fe.example.io"},
        {"ZZZ.fe.example.io", "weu-1.westeurope.fe.example.io"},
        {"example.io", NULL},
    };
    struct zone *z = frontend();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t name[DNS_NAME_MAX], want[DNS_NAME_MAX];
        size_t n = wire(rows[i].name, name);
        const struct zone_rr *rr = zone_at_or_before(z, name, n);
        ck_assert_msg(!rr == !rows[i].want, "%s", rows[i].name);
        if (!rr)
            continue;
        n = wire(rows[i].want, want);
        ck_assert_msg(rr->owner_n == n && !memcmp(rr->owner, want, n), "%s", rows[i].name);
        ck_assert(rr == z->rrs || rr[-1].owner != rr->owner); // its first record
    }
    snapshot_unref(z);
}
END_TEST

START_TEST(test_new_refuses_what_is_no_zone)
{
    struct zone *z = frontend(), *other = NULL;
    struct zone_rr rrs[16];
    size_t n = z->n_rrs;
    memcpy(rrs, z->rrs, n * sizeof *rrs);
    rrs[n] = rrs[n - 1]; // twice is once
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 7, true, rrs, n + 1, &other), 0);
    ck_assert_uint_eq(other->n_rrs, n);
    ck_assert(other->is_signed);
    snapshot_unref(other);
    // the SOA says 7
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 8, false, rrs, n, &other), ERR_INVAL);
    rrs[n].owner = (const uint8_t *)"\1x\2fe\7example\2io";
    rrs[n].owner_n = 17;
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 7, false, rrs, n + 1, &other), 0);
    snapshot_unref(other);
    rrs[n].owner = (const uint8_t *)"\1x\2ff\7example\2io"; // beside it
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 7, false, rrs, n + 1, &other), ERR_INVAL);
    rrs[n] = *zone_soa(z);
    rrs[n].owner = (const uint8_t *)"\1x\2fe\7example\2io";
    rrs[n].owner_n = 17;
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 7, false, rrs, n + 1, &other), ERR_INVAL);
    ck_assert_int_eq(zone_new(z->apex, z->apex_n, 7, false, NULL, 0, &other), ERR_INVAL);
    snapshot_unref(z);
}
END_TEST

static int build_one(void *ctx)
{
    struct zone *z = NULL;
    int rc = zone_frontend_new(ctx, 7, &z);
    ck_assert(!rc == (z != NULL));
    snapshot_unref(z);
    return rc;
}

START_TEST(test_out_of_memory)
{
    struct topology *t = fixture_topology();
    ck_assert_int_gt(torture(build_one, t), 2);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/zone", test_canonical_order_is_that_of_ldns, test_order_of_rfc4034,
           test_frontend_has_its_records, test_owners_are_found, test_frontend_agrees_with_answers,
           test_at_or_before, test_new_refuses_what_is_no_zone, test_out_of_memory)
