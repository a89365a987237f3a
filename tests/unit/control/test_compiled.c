// SPDX-License-Identifier: Apache-2.0
// control/compiled: what comes back is what the document said; what was damaged is refused with a
// sentence.
#include "control/compiled.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/registries.h"

#include <string.h>

static struct buf compiled_of(const struct topology *t)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(compiled_format(t, &b), 0);
    return b;
}

START_TEST(a_round_trip_changes_nothing)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    registries_document(&b, 3000, 7);
    struct topology *yaml = registries_parse(TOPOLOGY_FULL, &b);
    AUTO_BUF struct buf file = compiled_of(yaml);
    ck_assert_uint_lt(file.n, b.n / 2);
    for (int form = TOPOLOGY_FULL; form <= TOPOLOGY_COMPACT; form++) {
        struct topology *t = registries_parse((enum topology_form)form, &file);
        registries_equal(yaml, t);
        registries_equal(t, yaml);
        struct catalogue_iter it = {0};
        bool is_full = catalogue_full(t->catalogue, catalogue_next(t->catalogue, &it)) != NULL;
        ck_assert_int_eq(is_full, form == TOPOLOGY_FULL);
        ck_assert_uint_eq(t->version, 5);
        ck_assert_mem_eq(t->content_hash, yaml->content_hash, 32);
        ck_assert_uint_eq(t->n_views, 2);
        ck_assert_int_eq(t->overrides[0].line, yaml->overrides[0].line); // behind what was cut out
        AUTO_BUF struct buf again = compiled_of(t);
        ck_assert_uint_eq(again.n, file.n);
        ck_assert_mem_eq(again.p, file.p, file.n);
        snapshot_unref(t);
    }
    snapshot_unref(yaml);
}
END_TEST

START_TEST(documents_of_every_order_can_be_cut)
{
    static const char *const
        rows = "registries:\n  - { name: contoso, replicas: [{ region: a }] }\n# a comment\n",
        *const pe = "private_endpoints:\n  - { name: p, registry: contoso, view: corp, addresses: "
                    "{ registry: 10.1.0.1 } }\n";
    for (int i = 0; i < 5; i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        buf_printf(&b, "%s%s%s%s%s", i == 0 || i == 3 ? rows : "", i == 3 ? pe : "",
                   REGISTRIES_FRAME, i == 1 || i == 4 ? pe : "",
                   i == 1   ? rows
                   : i == 4 ? rows
                            : "");
        struct topology *yaml = registries_parse(TOPOLOGY_FULL, &b);
        AUTO_BUF struct buf file = compiled_of(yaml);
        struct topology *t = registries_parse(TOPOLOGY_FULL, &file);
        registries_equal(yaml, t);
        ck_assert_str_eq(t->regions[1].name, "eastus");
        snapshot_unref(t);
        snapshot_unref(yaml);
    }
    AUTO_BUF struct buf b, out;
    buf_init(&b, 0);
    buf_init(&out, 0);
    buf_str(&b,
            "{ version: 1, domain: example.io, regions: [{ name: a, stamps: [{ name: s, ipv4: "
            "[192.0.2.1] }] }],\n"
            "name_servers: [s.a],\nregistries: [{ name: contoso, replicas: [{ region: a }] }]}\n");
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    ck_assert_int_eq(compiled_format(t, &out), ERR_UNSUPPORTED);
    snapshot_unref(t);
}
END_TEST

// Damaged: refused, with a sentence, and nothing else happens.
static void refused(const void *p, size_t n, const char *why)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    ck_assert_int_ne(compiled_parse(TOPOLOGY_FULL, p, n, "t", &d, &t), 0);
    ck_assert_ptr_null(t);
    ck_assert_uint_ge(diag_count(&d), 1);
    if (why)
        ck_assert_msg(strstr(d.lines[0], why), "%s", d.lines[0]);
    diag_done(&d);
}

// As an attacker would: the digest made right again.
static void resign(struct buf *b)
{
    uint64_t n = b->n;
    for (int i = 0; i < 8; i++)
        b->p[8 + i] = (char)(n >> (56 - 8 * i));
    sha256(b->p + 48, b->n - 48, (uint8_t *)b->p + 16);
}

START_TEST(damaged_files_are_refused)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    registries_document(&b, 40, 5);
    struct topology *yaml = registries_parse(TOPOLOGY_FULL, &b);
    AUTO_BUF struct buf file = compiled_of(yaml);
    for (size_t n = 0; n < file.n; n += 1 + n / 40) {
        AUTO_FREE char *exact = mem_alloc(n); // so that a sanitizer sees a read past the end
        if (n)
            memcpy(exact, file.p, n);
        refused(exact, n, "compiled topology");
    }
    for (size_t at = 8; at < file.n; at += 1 + at / 60) {
        file.p[at] ^= 0x10;
        refused(file.p, file.n, "compiled topology");
        file.p[at] ^= 0x10;
    }
    const char format = file.p[7];
    file.p[7] = '9';
    refused(file.p, file.n, "of format 9, which this version does not read");
    file.p[7] = format;
    size_t n_bad = 0;
    // each byte in turn, with a right digest: refused, or as good as any
    for (size_t at = 48; at < file.n; at++) {
        struct diag d;
        struct topology *t = NULL;
        char was = file.p[at];
        file.p[at] = (char)(was + 1 + (char)registries_random(255));
        resign(&file);
        diag_init(&d);
        int rc = compiled_parse(TOPOLOGY_FULL, file.p, file.n, "t", &d, &t);
        ck_assert((rc == 0) == (t != NULL) && (rc == 0) == (diag_count(&d) == 0));
        n_bad += rc != 0;
        snapshot_unref(t);
        diag_done(&d);
        file.p[at] = was;
    }
    ck_assert_uint_ge(n_bad, (file.n - 48) / 4);
    for (size_t n = 48; n < file.n; n += 1 + n / 60) { // cut, and made right
        AUTO_BUF struct buf cut;
        buf_init(&cut, 0);
        buf_add(&cut, file.p, n);
        resign(&cut);
        refused(cut.p, cut.n, NULL);
    }
    snapshot_unref(yaml);
}
END_TEST

static size_t find(const struct buf *b, const void *what, size_t n)
{
    const char *at = memmem(b->p, b->n, what, n);
    ck_assert_ptr_nonnull(at);
    return (size_t)(at - b->p);
}

#define ONE_REGION                                                                        \
    "version: 1\ndomain: example.io\nregions:\n  - { name: a, stamps: [{ name: s, ipv4: " \
    "[192.0.2.1] }] }\n"                                                                  \
    "name_servers: [s.a]\nviews:\n  - { name: v, sources: [10.0.0.0/8] }\n"               \
    "registries:\n  - { name: contoso, replicas: [{ region: a }] }\n"

START_TEST(an_address_stands_once_in_a_member)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(
        &b, ONE_REGION
        "private_endpoints:\n  - { name: pe, registry: contoso, view: v, addresses: { registry: "
        "[10.9.8.7, 10.9.8.6], registry_data_a: 10.9.8.7 } }\n");
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    AUTO_BUF struct buf file = compiled_of(t);
    // one address in two members is well
    struct topology *again = registries_parse(TOPOLOGY_FULL, &file);
    snapshot_unref(again);
    file.p[find(&file, "\x0a\x09\x08\x06", 4) + 3] = 7;
    resign(&file);
    refused(file.p, file.n, "an address is given twice");
    snapshot_unref(t);
}
END_TEST

static struct topology *many_addresses(int n, const char *why)
{
    AUTO_BUF struct buf b;
    struct diag d;
    struct topology *t = NULL;
    buf_init(&b, 0);
    diag_init(&d);
    buf_str(&b, ONE_REGION
            "private_endpoints:\n  - { name: pe, registry: contoso, view: v, addresses: { "
            "registry_data_a: 10.9.8.7, registry: [");
    for (int i = 0; i < n; i++)
        buf_printf(&b, "%s10.1.%d.%d", i ? ", " : "", i / 256, i % 256);
    buf_str(&b, "] } }\n");
    int rc = topology_parse(buf_cstr(&b), b.n, "t", &d, &t);
    ck_assert_int_eq(rc, why ? ERR_INVAL : 0);
    ck_assert_msg(!why || strstr(d.lines[0], why), "%s", d.lines[0]);
    diag_done(&d);
    return t;
}

START_TEST(a_private_endpoint_has_so_many_addresses)
{
    many_addresses(8192, "t:11: private endpoint pe: 8193 addresses; it may have 8192");
    many_addresses(33, "t:11: private endpoint pe: registry: 33 addresses; it may have 32");
    struct topology *t = many_addresses(32, NULL);
    AUTO_BUF struct buf file = compiled_of(t);
    struct topology *again = registries_parse(TOPOLOGY_FULL, &file); // it comes back whole
    registries_equal(t, again);
    uint8_t *member = (uint8_t *)file.p + find(&file, "\xff\xff\x0a\x09\x08\x07", 6) - 12;
    ck_assert_uint_eq(member[0], NAME_DATA);
    member[0] = NAME_GLOBAL;
    member[1] = REGION_NONE;
    resign(&file);
    refused(file.p, file.n, "more than 32 addresses of one name");
    snapshot_unref(again);
    snapshot_unref(t);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    registries_document(&b, 20, 3);
    struct topology *yaml = registries_parse(TOPOLOGY_FULL, &b), *t;
    AUTO_BUF struct buf file = compiled_of(yaml);
    int rc = ERR_NOMEM;
    for (long n = 1; rc; n++) {
        mem_fault_after(n);
        rc = compiled_parse(TOPOLOGY_FULL, file.p, file.n, "t", NULL, &t);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
    }
    registries_equal(yaml, t);
    snapshot_unref(t);
    rc = ERR_NOMEM;
    for (long n = 1; rc; n++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 0);
        mem_fault_after(n);
        rc = compiled_format(yaml, &out);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
    }
    snapshot_unref(yaml);
}
END_TEST

CHECK_MAIN("control/compiled", a_round_trip_changes_nothing, documents_of_every_order_can_be_cut,
           damaged_files_are_refused, an_address_stands_once_in_a_member,
           a_private_endpoint_has_so_many_addresses, memory_may_end_anywhere)
