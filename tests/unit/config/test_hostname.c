// SPDX-License-Identifier: Apache-2.0
// config/hostname against tests/vectors/: every row is parsed as text and as wire form, and
// formatted back.
#include "config/hostname.h"

#include "base/digest.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// Text to wire; 0 when it has no wire form (empty or overlong labels).
static size_t wire_of(const char *text, uint8_t out[512])
{
    size_t n = 0, len = strlen(text);
    if (len && text[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len || (len && text[i - 1] == '.'); i++) {
        size_t m = 0;
        while (i + m < len && text[i + m] != '.')
            m++;
        if (m == 0 || m > 63 || n + m + 2 > 255)
            return 0;
        out[n++] = (uint8_t)m;
        memcpy(out + n, text + i, m);
        n += m;
        i += m;
        if (i >= len)
            break;
    }
    out[n++] = 0;
    return n;
}

static const char *dash(const char *field)
{
    return strcmp(field, "-") ? field : "";
}

static void expect_fields(const struct hostname *h, char *const *f)
{
    ck_assert_msg(!strcmp(hostname_kind_name(h->kind), f[2]), "%s: is %s, not %s", f[0],
                  hostname_kind_name(h->kind), f[2]);
    ck_assert_msg(!strcmp(h->label, dash(f[3])), "%s: label %s", f[0], h->label);
    ck_assert_msg(!strcmp(h->registry, dash(f[4])), "%s: registry %s", f[0], h->registry);
    ck_assert_msg(!strcmp(h->hash, dash(f[5])), "%s: hash %s", f[0], h->hash);
    ck_assert_msg(!strcmp(h->region, dash(f[6])), "%s: region %s", f[0], h->region);
    ck_assert_msg(!strcmp(h->stamp, dash(f[7])), "%s: stamp %s", f[0], h->stamp);
}

static void expect_round_trip(const struct hostname *h, const char *text, const char *domain)
{
    char out[HOSTNAME_TEXT_SIZE] = "untouched", want[HOSTNAME_TEXT_SIZE];
    int rc = hostname_format(h->kind, domain, h->label, h->region, h->stamp, out);
    if (h->kind == NAME_ENT || h->kind == NAME_INVALID || h->kind == NAME_FOREIGN) {
        ck_assert_int_eq(rc, ERR_INVAL);
        ck_assert_str_eq(out, "untouched");
        return;
    }
    ck_assert_int_eq(rc, 0);
    size_t n = strlen(text) - (text[strlen(text) - 1] == '.');
    for (size_t i = 0; i < n; i++)
        want[i] = (char)tolower((unsigned char)text[i]);
    want[n] = 0;
    ck_assert_str_eq(out, want);
}

START_TEST(vectors_parse_and_format)
{
    FILE *f = fopen(TEST_VECTORS "/hostnames.tsv", "r");
    ck_assert_ptr_nonnull(f);
    char line[4096];
    size_t n_rows = 0, n_wire = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#')
            continue;
        char *field[8], *at = line;
        for (size_t i = 0; i < 8; i++)
            ck_assert_ptr_nonnull(field[i] = strsep(&at, "\t"));
        struct hostname h;
        ck_assert_int_eq(hostname_parse(field[0], field[1], &h), h.kind);
        expect_fields(&h, field);
        expect_round_trip(&h, field[0], field[1]);
        uint8_t wire[512];
        size_t n = wire_of(field[0], wire);
        if (n) {
            memset(&h, 0x5a, sizeof h);
            hostname_parse_wire(wire, n, field[1], &h);
            expect_fields(&h, field);
            n_wire++;
        }
        n_rows++;
    }
    fclose(f);
    ck_assert_uint_ge(n_rows, 70);
    ck_assert_uint_ge(n_wire, 60);
}
END_TEST

START_TEST(wire_vectors_are_invalid)
{
    FILE *f = fopen(TEST_VECTORS "/wire-names.txt", "r");
    ck_assert_ptr_nonnull(f);
    char line[1024];
    size_t n_rows = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#')
            continue;
        uint8_t wire[255];
        ck_assert_int_eq(hex_parse(line, strlen(line), wire, strlen(line) / 2), 0);
        struct hostname h;
        ck_assert_msg(hostname_parse_wire(wire, strlen(line) / 2, "example.io", &h) == NAME_INVALID,
                      "%s", line);
        ck_assert_str_eq(h.label, "");
        ck_assert_str_eq(h.registry, "");
        n_rows++;
    }
    fclose(f);
    ck_assert_uint_ge(n_rows, 4);
}
END_TEST

START_TEST(wire_form_must_be_whole)
{
    static const struct {
        const char *wire;
        size_t n;
        enum name_kind kind;
    } rows[] = {
        {"\7contoso\7example\2io", 20, NAME_GLOBAL},
        {"\7contoso\7example\2io", 19, NAME_FOREIGN},    // no root
        {"\7contoso\7example\2io\0x", 21, NAME_FOREIGN}, // bytes after the root
        {"\12example.io", 12, NAME_FOREIGN},             // the domain's text in one label
        {"\12xexample\2io", 13, NAME_FOREIGN},           // the domain's bytes inside a label
        {"\100contoso\7example\2io", 20, NAME_FOREIGN},  // reserved label type
        {"\300\14", 2, NAME_FOREIGN},                    // a compression pointer
        {"", 1, NAME_FOREIGN},
        {"", 0, NAME_FOREIGN},
        {"\7example\2io", 12, NAME_APEX},
        {"\7EXAMPLE\2iO", 12, NAME_APEX},
        {"\1a\1b\1c\1d\1e\7example\2io", 22, NAME_INVALID},
        {"\0\7contoso\7example\2io", 21, NAME_FOREIGN}, // the name ended at its first byte
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hostname h;
        enum name_kind k =
            hostname_parse_wire((const uint8_t *)rows[i].wire, rows[i].n, "example.io", &h);
        ck_assert_msg(k == rows[i].kind, "row %zu: %s", i, hostname_kind_name(k));
    }
}
END_TEST

START_TEST(http_host_splits_the_port)
{
    static const struct {
        const char *host;
        enum name_kind kind;
    } rows[] = {
        {"contoso.example.io", NAME_GLOBAL},
        {"Contoso.EXAMPLE.io:443", NAME_GLOBAL},
        {"contoso.example.io.:8443", NAME_GLOBAL},
        {"contoso.example.io:", NAME_GLOBAL},
        {"contoso.example.io:65536", NAME_INVALID},
        {"contoso.example.io:44x", NAME_INVALID},
        {"contoso.example.io:443:1", NAME_INVALID},
        {"contoso.example.io:-1", NAME_INVALID},
        {"[::1]:443", NAME_FOREIGN},
        {"127.0.0.1", NAME_FOREIGN},
        {"127.0.0.1:443", NAME_FOREIGN},
        {"", NAME_FOREIGN},
        {":443", NAME_FOREIGN},
        {"contoso.example.io:99999999999999999999999", NAME_INVALID},
        {"contoso.eastus.geo.example.io:443", NAME_REGIONAL},
        {"contoso.example.io :443", NAME_FOREIGN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hostname h;
        ck_assert_msg(hostname_parse_http_host(rows[i].host, "example.io", &h) == rows[i].kind,
                      "%s", rows[i].host);
        ck_assert(h.kind != NAME_INVALID || !h.label[0]);
    }
}
END_TEST

START_TEST(parts_have_rules)
{
    ck_assert(hostname_registry_ok("contoso"));
    ck_assert(!hostname_registry_ok("Contoso"));
    ck_assert(!hostname_registry_ok("cont"));
    ck_assert(!hostname_registry_ok("con-toso"));
    ck_assert(!hostname_registry_ok("contoso-ffb4cphwfsc2gbgg"));
    ck_assert(!hostname_registry_ok("privatelink"));
    ck_assert(hostname_reserved("privatelink"));
    ck_assert(!hostname_reserved("contoso"));
    ck_assert(hostname_hash_ok("ffb4cphwfsc2gbgg"));
    ck_assert(!hostname_hash_ok("ffb4cphwfsc2gbg"));
    ck_assert(!hostname_hash_ok("ffb4cphwfsc2gbgG"));
    ck_assert(hostname_region_ok("eastus"));
    ck_assert(hostname_region_ok("e"));
    ck_assert(!hostname_region_ok("9east"));
    ck_assert(!hostname_region_ok(""));
    ck_assert(!hostname_region_ok("rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"));
    ck_assert(hostname_stamp_ok("eus-1"));
    ck_assert(!hostname_stamp_ok("-eus"));
    ck_assert(!hostname_stamp_ok("eus_1"));
    ck_assert(hostname_domain_ok("example.io"));
    ck_assert(!hostname_domain_ok("example"));
    ck_assert(!hostname_domain_ok("example.io."));
    ck_assert(!hostname_domain_ok("Example.io"));
    ck_assert(!hostname_domain_ok("exa_mple.io"));
    ck_assert(!hostname_domain_ok("-example.io"));
    ck_assert(!hostname_domain_ok(""));
}
END_TEST

START_TEST(longest_name_fits_the_longest_domain)
{
    char domain[260] = "", out[HOSTNAME_TEXT_SIZE];
    for (int i = 0; i < 13; i++)
        strcat(domain, "ddddddddd.");
    strcat(domain, "dddddddddd"); // 140
    ck_assert(hostname_domain_ok(domain));
    const char *label = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-ffb4cphwfsc2gbgg";
    const char *region = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";
    ck_assert_int_eq(hostname_format(NAME_DATA_PRIVATE, domain, label, region, NULL, out), 0);
    ck_assert_uint_eq(strlen(out), 253);
    struct hostname h;
    ck_assert_int_eq(hostname_parse(out, domain, &h), NAME_DATA_PRIVATE);
    ck_assert_str_eq(h.label, label);
    strcat(domain, "d");
    ck_assert(!hostname_domain_ok(domain));
    ck_assert_int_eq(hostname_format(NAME_DATA_PRIVATE, domain, label, region, NULL, out),
                     ERR_TOOBIG);
}
END_TEST

START_TEST(format_refuses_bad_parts)
{
    char out[HOSTNAME_TEXT_SIZE] = "untouched";
    ck_assert_int_eq(hostname_format(NAME_GLOBAL, "example.io", NULL, NULL, NULL, out), ERR_INVAL);
    ck_assert_int_eq(hostname_format(NAME_GLOBAL, "example.io", "Contoso", NULL, NULL, out),
                     ERR_INVAL);
    ck_assert_int_eq(hostname_format(NAME_REGIONAL, "example.io", "contoso", "", NULL, out),
                     ERR_INVAL);
    ck_assert_int_eq(hostname_format(NAME_REGIONAL, "example.io", "contoso", "a.b", NULL, out),
                     ERR_INVAL);
    ck_assert_int_eq(hostname_format(NAME_FRONTEND, "example.io", NULL, "eastus", "", out),
                     ERR_INVAL);
    ck_assert_int_eq(hostname_format(NAME_APEX, "example..io", NULL, NULL, NULL, out), ERR_INVAL);
    ck_assert_int_eq(hostname_format((enum name_kind)99, "example.io", "contoso", NULL, NULL, out),
                     ERR_INVAL);
    ck_assert_str_eq(out, "untouched");
}
END_TEST

START_TEST(private_and_public_forms)
{
    ck_assert_int_eq(hostname_private_of(NAME_GLOBAL), NAME_GLOBAL_PRIVATE);
    ck_assert_int_eq(hostname_private_of(NAME_REGIONAL), NAME_REGIONAL_PRIVATE);
    ck_assert_int_eq(hostname_private_of(NAME_DATA), NAME_DATA_PRIVATE);
    ck_assert_int_eq(hostname_private_of(NAME_FRONTEND), NAME_FRONTEND);
    for (int k = NAME_GLOBAL; k <= NAME_DATA; k++)
        ck_assert_int_eq(hostname_public_of(hostname_private_of((enum name_kind)k)), k);
}
END_TEST

CHECK_MAIN("config/hostname", vectors_parse_and_format, wire_vectors_are_invalid,
           wire_form_must_be_whole, http_host_splits_the_port, parts_have_rules,
           longest_name_fits_the_longest_domain, format_refuses_bad_parts, private_and_public_forms)
