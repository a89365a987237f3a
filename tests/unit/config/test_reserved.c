// SPDX-License-Identifier: Apache-2.0
// config/reserved: the list in a document, its bounds, and versions that share it.
#include "config/reserved.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "config/topology_make.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define FRAME                                                            \
    "version: 50\ndomain: example.io\n"                                  \
    "regions: [{ name: a, stamps: [{ name: s, ipv4: [192.0.2.1] }] }]\n" \
    "name_servers: [s.a]\n"
#define TIMES "since: '2026-11-01T00:00:00Z', until: '2027-01-30T00:00:00Z'"
#define SINCE_S 1793491200
#define UNTIL_S 1801267200

static int parse(const char *rows, struct diag *d, struct topology **out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, FRAME "%s", rows);
    return topology_parse(b.p, b.n, "t.yaml", d, out);
}

static struct topology *topology_of(const char *rows)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = parse(rows, &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

START_TEST(a_document_says_them)
{
    struct topology *t =
        topology_of("reserved:\n"
                    "  - { name: fabrikam, label: fabrikam-abcdefgh01234567, " TIMES " }\n"
                    "  - { name: contoso, owner: ada, incarnation: 42, " TIMES " }\n"
                    "registries:\n  - { name: northwind, replicas: [{ region: a }] }\n");
    ck_assert_uint_eq(topology_reserved_count(t), 2);
    const struct reserved_name *c = topology_reserved(t, "contoso"),
                               *f = topology_reserved_at(t, 1);
    ck_assert_ptr_eq(c, topology_reserved_at(t, 0));
    ck_assert_ptr_eq(f, topology_reserved(t, "fabrikam"));
    ck_assert_str_eq(c->label, "contoso");
    ck_assert_str_eq(c->owner, "ada");
    ck_assert_uint_eq(c->incarnation, 42);
    ck_assert_int_eq(c->since_s, SINCE_S);
    ck_assert_int_eq(c->until_s, UNTIL_S);
    ck_assert_str_eq(f->label, "fabrikam-abcdefgh01234567");
    ck_assert_str_eq(f->owner, "");
    // by name alone: no registry has it, under whatever label
    ck_assert_ptr_null(topology_reserved(t, "fabrikam-abcdefgh01234567"));
    ck_assert_ptr_null(topology_reserved(t, "northwind"));
    ck_assert(!reserved_name_refuses(c, "ada", SINCE_S));
    ck_assert(reserved_name_refuses(c, "bob", UNTIL_S - 1));
    ck_assert(!reserved_name_refuses(c, "bob", UNTIL_S));
    ck_assert(reserved_name_refuses(c, "", SINCE_S));
    ck_assert(!reserved_name_refuses(f, "", SINCE_S));

    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(reserved_names_format(t, &text), 0);
    struct topology *again = topology_of(buf_cstr(&text));
    AUTO_BUF struct buf same;
    buf_init(&same, 0);
    ck_assert_int_eq(reserved_names_format(again, &same), 0);
    ck_assert_str_eq(buf_cstr(&text), buf_cstr(&same));
    snapshot_unref(again);
    snapshot_unref(t);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static const struct {
        const char *rows, *why;
    } cases[] = {
        {"reserved: [{ name: contoso, " TIMES " }]\nregistries:\n  - { name: contoso, hash: "
         "abcdefgh01234567, replicas: [{ region: a }] }\n",
         "t.yaml:5: reserved name contoso: there is a registry of that name"},
        {"reserved:\n  - { name: contoso, " TIMES " }\n  - { name: contoso, " TIMES " }\n",
         "t.yaml:7: reserved name contoso is given twice, first on line 6"},
        {"reserved: [{ name: contoso, incarnation: 51, " TIMES " }]\n",
         "51 is above the document's"},
        {"reserved: [{ name: contoso, label: fabrikam, " TIMES " }]\n", "label: expected the name"},
        {"reserved: [{ name: contoso, label: contoso-short, " TIMES " }]\n", "label: expected"},
        {"reserved: [{ name: cont, " TIMES " }]\n", "expected a registry name"},
        {"reserved: [{ name: contoso, owner: 'a b', " TIMES " }]\n", "expected an owner"},
        {"reserved: [{ name: contoso, until: '2026-11-01T00:00:00Z' }]\n", "since"},
        {"reserved: [{ name: contoso, since: '2026-11-02T00:00:00Z', until: "
         "'2026-11-01T00:00:00Z' }]\n",
         "until is before since"},
        {"reserved: [{ name: contoso, since: yesterday, until: '2026-11-01T00:00:00Z' }]\n",
         "expected a time in UTC"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct diag d;
        struct topology *t = NULL;
        diag_init(&d);
        ck_assert_int_eq(parse(cases[i].rows, &d, &t), ERR_INVAL);
        ck_assert_msg(d.n && strstr(d.lines[0], cases[i].why), "%zu: %s", i, d.lines[0]);
        diag_done(&d);
    }
}
END_TEST

START_TEST(a_frame_has_none)
{
    struct topology *t =
                        topology_of("reserved: [{ name: contoso, " TIMES " }]\nhttps_port: 8443\n"),
                    *frame = NULL;
    const struct topology_frame *f = t->frame;
    ck_assert_ptr_null(memmem(f->text, f->text_n, "reserved", 8));
    const struct doc_lines lines = {1, f->cuts, f->n_cuts};
    ck_assert_int_eq(topology_parse_frame(f->text, f->text_n, "f", &lines, NULL, &frame), 0);
    ck_assert_uint_eq(frame->https_port, 8443);
    topology_take_reserved(frame, t);
    ck_assert_ptr_eq(topology_reserved(frame, "contoso"), topology_reserved(t, "contoso"));
    snapshot_unref(frame);
    static const char whole[] = FRAME "reserved: [{ name: contoso, " TIMES " }]\n";
    ck_assert_int_eq(topology_parse_frame(whole, sizeof whole - 1, "f", NULL, NULL, &frame),
                     ERR_CORRUPT);
    snapshot_unref(t);
}
END_TEST

static struct reserved_name named(const char *name, const char *owner)
{
    return (struct reserved_name){name, name, owner, SINCE_S, UNTIL_S, 0};
}

static void names_are(const struct topology *t, const char *want)
{
    char got[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < topology_reserved_count(t); i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s:%s ", topology_reserved_at(t, i)->name,
                              topology_reserved_at(t, i)->owner);
    ck_assert_str_eq(got, want);
}

START_TEST(versions_share_what_does_not_change)
{
    struct topology *t = topology_of("reserved: [{ name: bbbbb, " TIMES " }, { name: ddddd, " TIMES
                                     " }, { name: fffff, " TIMES " }]\n"),
                    *next = topology_successor(t);
    ck_assert_ptr_eq(t->reserved, next->reserved);
    const struct reserved_name put[] = {named("aaaaa", "x"), named("ddddd", "y"),
                                        named("zzzzz", "z")};
    const char *drop[] = {"bbbbb", "ccccc", "ddddd"};
    ck_assert_int_eq(topology_edit_reserved(next, put, 3, drop, 3), 0);
    names_are(next, "aaaaa:x ddddd:y fffff: zzzzz:z ");
    names_are(t, "bbbbb: ddddd: fffff: ");
    ck_assert_ptr_eq(topology_reserved(t, "fffff"), topology_reserved(next, "fffff"));
    const char *all[] = {"aaaaa", "ddddd", "fffff", "zzzzz"};
    ck_assert_int_eq(topology_edit_reserved(next, NULL, 0, all, 4), 0);
    ck_assert_ptr_null(next->reserved);
    snapshot_unref(next);
    names_are(t, "bbbbb: ddddd: fffff: ");
    for (long n = 1;; n++) { // memory may end anywhere
        next = topology_successor(t);
        mem_fault_after(n);
        int rc = topology_edit_reserved(next, put, 3, drop, 3);
        mem_fault_after(0);
        names_are(next, rc ? "bbbbb: ddddd: fffff: " : "aaaaa:x ddddd:y fffff: zzzzz:z ");
        snapshot_unref(next);
        if (!rc)
            break;
        ck_assert_int_eq(rc, ERR_NOMEM);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(so_many_and_no_more)
{
    struct topology *t = topology_of("");
    struct reserved_name *list = mem_zalloc_array(RESERVED_NAMES_MAX + 1, sizeof *list);
    char(*names)[16] = mem_zalloc_array(RESERVED_NAMES_MAX + 1, sizeof *names);
    for (size_t i = 0; i <= RESERVED_NAMES_MAX; i++) {
        snprintf(names[i], sizeof names[i], "reg%06zu", i);
        list[i] = named(names[i], "");
    }
    ck_assert_int_eq(topology_set_reserved(t, list, RESERVED_NAMES_MAX + 1), ERR_TOOBIG);
    ck_assert_uint_eq(topology_reserved_count(t), 0);
    ck_assert_int_eq(topology_set_reserved(t, list, RESERVED_NAMES_MAX), 0);
    for (size_t i = 0; i < RESERVED_NAMES_MAX; i += 997)
        ck_assert_str_eq(topology_reserved(t, names[i])->name, names[i]);
    free(list);
    free(names);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("config/reserved", a_document_says_them, what_cannot_be_is_refused, a_frame_has_none,
           versions_share_what_does_not_change, so_many_and_no_more)
