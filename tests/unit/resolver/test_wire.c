// SPDX-License-Identifier: Apache-2.0
// resolver/wire: names in text, and the writer: compression that ldns reads back, also past the
// reach of a pointer, and a ceiling that nothing is written beyond.
#include "resolver/packet/wire.h"

#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

static uint32_t seed = 7;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

START_TEST(names_from_text)
{
    static const struct {
        const char *text;
        // 0: refused
        size_t n;
    } rows[] = {{"", 1},     {"a", 3},  {"a.", 3},          {"a.b", 5},  {".", 0},
                {"a..b", 0}, {".a", 0}, {"example.io", 12}, {"a.b..", 0}};
    uint8_t wire[DNS_NAME_MAX];
    char long_name[300];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(dns_name_from_text(rows[i].text, wire) == rows[i].n, "%s", rows[i].text);
    ck_assert_uint_eq(dns_name_from_text("ab.c", wire), 6);
    ck_assert_int_eq(memcmp(wire, "\2ab\1c", 6), 0);
    memset(long_name, 'a', sizeof long_name);
    long_name[64] = 0;
    ck_assert_uint_eq(dns_name_from_text(long_name, wire), 0); // a label of 64
    long_name[63] = 0;
    ck_assert_uint_eq(dns_name_from_text(long_name, wire), 65);
    for (size_t n = 250; n < 260; n++) { // labels of 1: n characters take n + 2 octets
        for (size_t i = 0; i < n; i++)
            long_name[i] = i % 2 ? '.' : 'x';
        long_name[n] = 0;
        if (n % 2)
            ck_assert_uint_eq(dns_name_from_text(long_name, wire),
                              n + 2 <= DNS_NAME_MAX ? n + 2 : 0);
    }
}
END_TEST

START_TEST(names_from_a_mailbox)
{
    uint8_t wire[DNS_NAME_MAX];
    char address[400];
    ck_assert_uint_eq(dns_name_from_mailbox("first.last@example.io", wire), 23);
    ck_assert_int_eq(memcmp(wire, "\012first.last\7example\2io", 23), 0); // one label, dot and all
    ck_assert_uint_eq(dns_name_from_mailbox("hostmaster.example.io", wire), 23);
    ck_assert_uint_eq(dns_name_from_mailbox("@example.io", wire), 0);
    ck_assert_uint_eq(dns_name_from_mailbox("a@b..c", wire), 0);
    memset(address, 'a', 64);
    snprintf(address + 64, sizeof address - 64, "@example.io");
    ck_assert_uint_eq(dns_name_from_mailbox(address, wire), 0);
    ck_assert_uint_eq(dns_name_from_mailbox(address + 1, wire), 63 + 1 + 12);
    memset(address, 'a', sizeof address); // a host part that leaves no room for the local part
    address[60] = '@';
    for (size_t i = 61; i < 61 + 230; i++)
        address[i] = i % 2 ? 'x' : '.';
    address[60 + 230] = 0;
    ck_assert_uint_eq(dns_name_from_mailbox(address, wire), 0);
}
END_TEST

// Names that share suffixes, with labels whose octets look like lengths and pointers.
static size_t random_name(uint8_t out[DNS_NAME_MAX])
{
    static const char *const labels[] = {"a",   "io",       "example", "eastus", "fe",
                                         "geo", "\xc0\x0c", "\1a",     "A",      "privatelink"};
    size_t n = 0;
    for (unsigned k = rnd(7); k; k--) {
        const char *l = labels[rnd(10)];
        out[n] = (uint8_t)strlen(l);
        memcpy(out + n + 1, l, out[n]);
        n += 1u + out[n];
    }
    memcpy(out + n, "\7example\2io", 12);
    return n + 12;
}

#define N_NAMES 1200

static void begin(struct dns_writer *w, uint8_t *out, size_t max)
{
    static const uint8_t name[] = "\7example\2io";
    struct dns_query q = {
        .id = 1, .has_question = true, .name = name, .name_n = 12, .type = 1, .class_ = 1};
    dns_writer_init(w, out, max);
    dns_write_header(w, &q, 0, true);
}

START_TEST(compressed_names_read_back_also_past_the_reach_of_a_pointer)
{
    static uint8_t out[ANSWER_TCP_MAX], names[N_NAMES][DNS_NAME_MAX];
    size_t lengths[N_NAMES], n_plain = 0;
    for (int round = 0; round < 20; round++) {
        struct dns_writer w;
        ldns_pkt *pkt;
        begin(&w, out, sizeof out);
        for (size_t i = 0; i < N_NAMES; i++) {
            lengths[i] = random_name(names[i]);
            n_plain += lengths[i];
            dns_write_rr_head(&w, names[i], lengths[i], DNS_A, 60);
            size_t at = dns_write_rdata_begin(&w);
            dns_write_u32(&w, 0xc0000201);
            dns_write_rdata_end(&w, at);
        }
        ck_assert(!w.full);
        dns_write_counts(&w, N_NAMES, 0, 0);
        ck_assert_uint_gt(w.n, 0x4000);
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, w.n), LDNS_STATUS_OK);
        ck_assert_uint_eq(ldns_rr_list_rr_count(ldns_pkt_answer(pkt)), N_NAMES);
        for (size_t i = 0; i < N_NAMES; i++) {
            ldns_rdf *owner = ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_answer(pkt), i));
            ck_assert_uint_eq(ldns_rdf_size(owner), lengths[i]);
            ck_assert_int_eq(memcmp(ldns_rdf_data(owner), names[i], lengths[i]), 0); // case too
        }
        ldns_pkt_free(pkt);
        ck_assert_uint_lt(w.n, 12 + 16 + n_plain / (size_t)(round + 1) + N_NAMES * 14);
    }
}
END_TEST

START_TEST(nothing_is_written_past_the_ceiling)
{
    uint8_t out[600], name[DNS_NAME_MAX];
    for (size_t max = 12 + 12 + 4; max < 500; max++) {
        struct dns_writer w;
        memset(out, 0xee, sizeof out);
        begin(&w, out, max);
        for (int i = 0; i < 40; i++) {
            struct dns_mark m = dns_writer_mark(&w);
            size_t n = random_name(name);
            dns_write_rr_head(&w, name, n, DNS_CNAME, 60);
            size_t at = dns_write_rdata_begin(&w);
            dns_write_name(&w, name, n);
            dns_write_rdata_end(&w, at);
            ck_assert_uint_le(w.n, max);
            // a record that did not fit leaves nothing behind that a later name could point to
            if (w.full && rnd(2)) {
                dns_writer_rewind(&w, m);
                ck_assert_uint_eq(w.n, m.n);
                for (size_t k = 0; k < w.n_offsets; k++)
                    ck_assert_uint_lt(w.offsets[k], w.n);
            }
        }
        for (size_t i = max; i < sizeof out; i++)
            ck_assert_msg(out[i] == 0xee, "ceiling %zu, byte %zu", max, i);
    }
}
END_TEST

CHECK_MAIN("resolver/wire", names_from_text, names_from_a_mailbox,
           compressed_names_read_back_also_past_the_reach_of_a_pointer,
           nothing_is_written_past_the_ceiling)
