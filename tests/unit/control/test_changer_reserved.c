// SPDX-License-Identifier: Apache-2.0
// control/changer: names that become reserved with a deletion, are refused to others until their
// time, and go with their owner's next registry; in the compiled form, and from one document to the
// next.
#include "control/changer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/reserved.h"
#include "control/change.h"
#include "control/changes_file.h"
#include "control/compiled.h"
#include "control/successor.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <unistd.h>

#define FRAME                                                            \
    "version: 50\ndomain: example.io\n"                                  \
    "regions: [{ name: a, stamps: [{ name: s, ipv4: [192.0.2.1] }] }]\n" \
    "name_servers: [s.a]\n"
#define TIMES "since: '2026-11-01T00:00:00Z', until: '2027-01-30T00:00:00Z'"
#define UNTIL_MS 1801267200000

static struct topology *topology_of(const char *rows)
{
    struct topology *t = NULL;
    struct diag d;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&d);
    buf_printf(&b, FRAME "%s", rows);
    int rc = topology_parse(b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

// At that time (0: none given). Takes `*t` further when it is taken.
static int change_at(struct topology **t, int64_t at_ms, const char *text, char **out_why)
{
    struct changer *c = changer_new();
    struct topology *next = NULL;
    struct diag d;
    diag_init(&d);
    changer_at(c, at_ms);
    int rc = changer_apply(c, *t, text, strlen(text), "c", 1, &d, &next);
    changer_free(c);
    *out_why = diag_text(&d);
    diag_done(&d);
    if (rc)
        return rc;
    snapshot_unref(*t);
    *t = next;
    return 0;
}

static void taken(struct topology **t, int64_t at_ms, const char *text)
{
    AUTO_FREE char *why = NULL;
    int rc = change_at(t, at_ms, text, &why);
    ck_assert_msg(!rc, "%s: %s", text, why);
}

static void refused(struct topology **t, int64_t at_ms, const char *text, int error,
                    const char *wanted)
{
    AUTO_FREE char *why = NULL;
    int rc = change_at(t, at_ms, text, &why);
    ck_assert_msg(rc == error && strstr(why, wanted), "%s: %d %s", text, rc, why);
}

#define NEW(name, more) "registries: [{ name: " name ", " more "replicas: [{ region: a }] }]\n"
#define CONTOSO                                                                           \
    "registries: [{ name: contoso, hash: abcdefgh01234567, incarnation: 42, owner: ada, " \
    "replicas: [{ region: a }] }, { name: northwind, replicas: [{ region: a }] }]\n"
#define DELETE \
    "version: 51\nremove: [contoso]\nreserve: [{ name: contoso, owner: ada, " TIMES " }]\n"

START_TEST(a_deleted_name_waits_for_its_owner)
{
    struct topology *t = topology_of(CONTOSO);
    taken(&t, 0, DELETE);
    const struct reserved_name *x = topology_reserved(t, "contoso");
    ck_assert_ptr_null(topology_registry(t, "contoso"));
    // what the row left out
    ck_assert_str_eq(x->label, "contoso-abcdefgh01234567");
    ck_assert_uint_eq(x->incarnation, 42);
    static const char *const others[] = {
        "version: 52\n" NEW("contoso", ""),
        "version: 52\n" NEW("contoso", "owner: bob, "),
        "version: 52\n" NEW("contoso", "hash: abcdefgh01234567, "), // variants of the label
        "version: 52\n" NEW("contoso", "hash: zzzzzzzz01234567, owner: bob, "),
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        refused(&t, UNTIL_MS - 3600000, others[i], ERR_INVAL,
                "c:2: registry contoso: the name is reserved until 2027-01-30T00:00:00Z for ada, "
                "whose registry was deleted at 2026-11-01T00:00:00Z");
    // nearly in time: a node whose clock is behind looks again
    refused(&t, UNTIL_MS - 30000, others[0], ERR_BUSY, "is reserved until");
    taken(&t, UNTIL_MS - 3600000, "version: 52\nincarnation: 52\n" NEW("contoso", "owner: ada, "));
    ck_assert_ptr_null(topology_reserved(t, "contoso"));
    ck_assert_str_eq(topology_registry(t, "contoso")->key, "contoso@52");
    snapshot_unref(t);
}
END_TEST

START_TEST(after_its_time_or_released_it_is_anybodys)
{
    struct topology *t = topology_of(CONTOSO);
    taken(&t, 0, DELETE);
    struct topology *later = snapshot_ref(t);
    taken(&later, UNTIL_MS, "version: 52\n" NEW("contoso", "owner: bob, "));
    ck_assert_ptr_null(topology_reserved(later, "contoso"));
    snapshot_unref(later);
    // by the time that the change itself says, whatever the clock here
    later = snapshot_ref(t);
    taken(&later, 0, "version: 52\ntime: '2027-01-30T00:00:00Z'\n" NEW("contoso", "owner: bob, "));
    snapshot_unref(later);
    later = snapshot_ref(t);
    refused(&later, 0, "version: 52\ntime: '2027-01-29T00:00:00Z'\n" NEW("contoso", ""), ERR_INVAL,
            "is reserved until");
    snapshot_unref(later);
    // released, and taken in the same change
    taken(&t, 1000, "version: 52\nrelease: [contoso]\n" NEW("contoso", "owner: bob, "));
    ck_assert_str_eq(topology_registry(t, "contoso")->owner, "bob");
    ck_assert_uint_eq(topology_reserved_count(t), 0);
    snapshot_unref(t);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"version: 51\nreserve: [{ name: contoso, " TIMES " }]\n", "there is a registry contoso"},
        {"version: 51\n" NEW("fabrikam", "") "reserve: [{ name: fabrikam, " TIMES " }]\n",
         "there is a registry fabrikam"},
        {"version: 51\nremove: [contoso]\nreserve: [{ name: contoso, incarnation: 41, " TIMES
         " }]\n",
         "registry contoso has incarnation 42, not 41"},
        {"version: 51\nreserve: [{ name: fabrikam, incarnation: 51, " TIMES " }]\n",
         "incarnation 51 is above version 50"},
        {"version: 51\nreserve: [{ name: tailspin, incarnation: 6, " TIMES " }]\n",
         "is reserved with incarnation 7, not a lower one"},
        {"version: 51\nreserve: [{ name: fabrikam, " TIMES " }, { name: fabrikam, " TIMES " }]\n",
         "fabrikam is given twice"},
        {"version: 51\nrelease: [contoso]\n", "c:2: release: there is no reserved name contoso"},
        {"version: 51\ntime: now\nrelease: [tailspin]\n", "expected a time in UTC"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *t =
            topology_of(CONTOSO "reserved: [{ name: tailspin, incarnation: 7, " TIMES " }]\n");
        refused(&t, 1000, cases[i].text, ERR_INVAL, cases[i].why);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(names_whose_time_is_up_go_with_the_next)
{
    struct topology *t = topology_of(CONTOSO "reserved: [{ name: tailspin, " TIMES
                                             " }, { name: wingtip, since: '2026-11-01T00:00:00Z', "
                                             "until: '2028-01-01T00:00:00Z' }]\n"),
                    *common = snapshot_ref(t);
    taken(&common, UNTIL_MS, DELETE);
    ck_assert_uint_eq(topology_reserved_count(common), 2);
    ck_assert_ptr_null(topology_reserved(common, "tailspin"));
    snapshot_unref(common);
    // where every node has its own clock, they stay until they are taken or released
    taken(&t, 0, DELETE);
    ck_assert_uint_eq(topology_reserved_count(t), 3);
    snapshot_unref(t);
}
END_TEST

START_TEST(the_compiled_form_keeps_them)
{
    struct topology *t = topology_of(CONTOSO), *again = NULL;
    AUTO_BUF struct buf plain, file, same;
    buf_init(&plain, 0);
    buf_init(&file, 0);
    buf_init(&same, 0);
    taken(&t, 0, DELETE);
    ck_assert_int_eq(compiled_format(t, &file), 0);
    ck_assert_int_eq(file.p[7], '2');
    ck_assert_int_eq(compiled_parse(TOPOLOGY_COMPACT, file.p, file.n, "f", NULL, &again), 0);
    const struct reserved_name *x = topology_reserved(again, "contoso");
    ck_assert_str_eq(x->label, "contoso-abcdefgh01234567");
    ck_assert_str_eq(x->owner, "ada");
    ck_assert_uint_eq(x->incarnation, 42);
    ck_assert_int_eq(x->until_s, UNTIL_MS / 1000);
    ck_assert_int_eq(compiled_format(again, &same), 0);
    ck_assert_uint_eq(same.n, file.n);
    ck_assert_mem_eq(same.p, file.p, file.n);
    snapshot_unref(again);
    // what older releases read too stays as it was
    taken(&t, 0, "version: 52\nrelease: [contoso]\n");
    ck_assert_int_eq(compiled_format(t, &plain), 0);
    ck_assert_int_eq(plain.p[7], '1');
    snapshot_unref(t);
}
END_TEST

START_TEST(a_change_is_written_and_read)
{
    struct topology *t = topology_of(CONTOSO);
    struct arena a;
    struct spec_registry row;
    struct change read;
    AUTO_BUF struct buf text, again;
    arena_init(&a, 0);
    buf_init(&text, 0);
    buf_init(&again, 0);
    ck_assert_int_eq(change_registry_row(t, topology_registry(t, "contoso"), &a, &row), 0);
    row.stage = STAGE_EDGE;
    row.regional_stage = STAGE_PRIVATE;
    row.dnl_scope = 2;
    change_replica(&row, "a")->stage = STAGE_EDGE;
    const struct spec_reserved reserve = {.name = "fabrikam",
                                          .owner = "a@b:c/d+e",
                                          .since = "2026-11-01T00:00:00Z",
                                          .until = "2027-01-30T00:00:00Z",
                                          .incarnation = 3};
    const char *release[] = {"tailspin"};
    const struct change c = {.version = 51,
                             .time = "2026-11-01T00:00:00Z",
                             .registries = &row,
                             .n_registries = 1,
                             .reserve = &reserve,
                             .n_reserve = 1,
                             .release = release,
                             .n_release = 1};
    ck_assert_int_eq(change_format(&c, &text), 0);
    ck_assert_int_eq(change_parse(text.p, text.n, "c", 1, &a, NULL, &read), 0);
    ck_assert_str_eq(read.registries[0].owner, "ada");
    ck_assert_uint_eq(read.registries[0].stage, STAGE_EDGE);
    ck_assert_uint_eq(read.registries[0].regional_stage, STAGE_PRIVATE);
    ck_assert_uint_eq(read.registries[0].replicas[0].stage, STAGE_EDGE);
    ck_assert_str_eq(read.reserve[0].owner, "a@b:c/d+e");
    ck_assert_str_eq(read.release[0], "tailspin");
    ck_assert_int_eq(change_format(&read, &again), 0);
    ck_assert_str_eq(buf_cstr(&text), buf_cstr(&again));
    arena_done(&a);
    snapshot_unref(t);
}
END_TEST

START_TEST(documents_are_judged_by_the_version_in_force)
{
#define KEPT(more) "reserved: [{ name: contoso, incarnation: 42, " more TIMES " }]\n"
    static const struct {
        const char *next, *why;
    } cases[] = {
        {KEPT("owner: ada, "), NULL},
        {"reserved: [{ name: contoso, incarnation: 44, owner: bob, " TIMES " }]\n", NULL},
        {NEW("contoso", "owner: ada, "), NULL}, // its owner's again
        // given up by hand
        {"reserved: [{ name: contoso, incarnation: 42, owner: ada, since: '2026-11-01T00:00:00Z', "
         "until: '2026-11-02T00:00:00Z' }]\n",
         NULL},
        {"", "t.yaml: reserved name contoso: version 50, which is in force, keeps it until "
             "2027-01-30T00:00:00Z for ada"},
        {"reserved: [{ name: contoso, incarnation: 41, owner: ada, " TIMES " }]\n",
         "t.yaml:5: reserved name contoso: version 50"},
        {NEW("contoso", ""), "t.yaml:5: registry contoso: the name is reserved until"},
        {NEW("contoso", "owner: bob, incarnation: 51, "), "no other owner may have it before then"},
        {NEW("contoso", "hash: zzzzzzzz01234567, "), "no other owner may have it"},
    };
    struct topology *before = topology_of(KEPT("owner: ada, "));
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        const char *next_rows = cases[i / 2].next, *wanted = cases[i / 2].why;
        // before its time is up, and then
        int64_t now_s = i % 2 ? UNTIL_MS / 1000 : UNTIL_MS / 1000 - 1, again_s;
        struct topology *next = NULL;
        struct diag d;
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        diag_init(&d);
        // the frame as version 60
        buf_printf(&b, "%.*s60%s%s", 9, FRAME, FRAME + 11, next_rows);
        ck_assert_int_eq(topology_parse(b.p, b.n, "t.yaml", &d, &next), 0);
        bool ok = successor_ok(before, next, bytes_of(b.p, b.n), now_s, &d, &again_s);
        AUTO_FREE char *why = diag_text(&d);
        bool may = !wanted || i % 2;
        ck_assert_msg(ok == may && (ok || strstr(why, wanted)), "%zu: %s", i / 2, why);
        ck_assert_int_eq(again_s, ok ? 0 : UNTIL_MS / 1000);
        diag_done(&d);
        snapshot_unref(next);
    }
    snapshot_unref(before);
}
END_TEST

START_TEST(an_appended_change_says_when_it_was_made)
{
    char dir[] = "/tmp/reserved.XXXXXX", path[64], file[80];
    struct topology *t = NULL;
    uint64_t v;
    size_t n;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.yaml", dir);
    snprintf(file, sizeof file, "%s.changes", path);
    ck_assert_int_eq(file_write_atomic(path, FRAME CONTOSO, sizeof FRAME CONTOSO - 1, 0644), 0);
    static const char *const changes[] = {
        NEW("fabrikam", ""), // nothing is reserved: as older releases read it
        "remove: [contoso]\nreserve: [{ name: contoso, owner: ada, " TIMES " }]\n",
        "time: '2027-01-30T00:00:00Z'\n" NEW("contoso", "owner: bob, "),
    };
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct diag d;
        diag_init(&d);
        int rc = changes_append(path, 0, changes[i], strlen(changes[i]), "c", &d, &v);
        ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
        diag_done(&d);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(file_read(file, 1 << 20, &text), 0);
    const char *first = strstr(buf_cstr(&text), "time: \"");
    ck_assert_ptr_nonnull(first);
    ck_assert(first > strstr(buf_cstr(&text), "...\n"));
    ck_assert_ptr_null(strstr(first + 1, "time: \"")); // the last one said it already
    ck_assert_int_eq(topology_file_load(path, NULL, &t), 0);
    ck_assert_int_eq(changes_load(path, NULL, &t, &n), 0);
    ck_assert_uint_eq(n, ARRAY_LEN(changes));
    ck_assert_str_eq(topology_registry(t, "contoso")->owner, "bob");
    snapshot_unref(t);
    unlink(file);
    unlink(path);
    rmdir(dir);
}
END_TEST

CHECK_MAIN("control/changer_reserved", a_deleted_name_waits_for_its_owner,
           after_its_time_or_released_it_is_anybodys, what_cannot_be_is_refused,
           names_whose_time_is_up_go_with_the_next, the_compiled_form_keeps_them,
           a_change_is_written_and_read, documents_are_judged_by_the_version_in_force,
           an_appended_change_says_when_it_was_made)
