// SPDX-License-Identifier: Apache-2.0
// control/incarnations: a registry keeps its incarnation while it lives, through documents, changes
// and the compiled form; one that is deleted and created again has another.
#include "control/incarnations.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "control/changer.h"
#include "control/changes_file.h"
#include "control/compiled.h"
#include "control/successor.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <unistd.h>

static void document(struct buf *b, unsigned version, const char *registries)
{
    buf_printf(b,
               "version: %u\ndomain: example.io\nregions:\n  - {name: eastus, stamps: [{name: "
               "eus-1, ipv4: [192.0.2.1]}]}\nname_servers: [eus-1.eastus]\n%s",
               version, registries);
}

static struct topology *topology_of(unsigned version, const char *registries)
{
    struct topology *t = NULL;
    struct diag d;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&d);
    document(&b, version, registries);
    int rc = topology_parse(b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

#define ROW(name, more) "registries:\n  - {name: " name ", " more "replicas: [{region: eastus}]}\n"
#define NONE ROW("fabrikam", "")

START_TEST(documents_are_judged_by_the_version_in_force)
{
    static const struct {
        const char *before, *next, *why;
    } cases[] = {
        // version 50, then 60
        {ROW("contoso", ""), ROW("contoso", ""), NULL},
        {ROW("contoso", "incarnation: 42, "), ROW("contoso", "incarnation: 42, "), NULL},
        {NONE, ROW("contoso", ""), NULL},
        {NONE, ROW("contoso", "incarnation: 60, "), NULL},
        {NONE, ROW("contoso", "incarnation: 51, "), NULL},
        {ROW("contoso", "incarnation: 42, "), NONE, NULL},
        // deleted and created again in a version between
        {ROW("contoso", "incarnation: 42, "), ROW("contoso", "incarnation: 55, "), NULL},
        {ROW("contoso", ""), ROW("contoso", "incarnation: 51, "), NULL},
        {ROW("contoso", "incarnation: 42, "), ROW("contoso", "incarnation: 43, "),
         "t.yaml:7: registry contoso: its incarnation is 42, not 43: as long as it lives it keeps "
         "that, or its images would be out of sight. One that was deleted and created again since "
         "has an incarnation above 50, the version in force"},
        {ROW("contoso", "incarnation: 42, "), ROW("contoso", ""),
         "t.yaml:7: registry contoso: its incarnation is 42, not 0"},
        {ROW("contoso", ""), ROW("contoso", "incarnation: 50, "),
         "registry contoso: its incarnation is 0, not 50"},
        {NONE, ROW("contoso", "incarnation: 50, "),
         "t.yaml:7: registry contoso: incarnation 50: there is no such registry in version 50"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology *before = topology_of(50, cases[i].before),
                        *next = topology_of(60, cases[i].next);
        struct diag d;
        int64_t again_s;
        AUTO_BUF struct buf text;
        buf_init(&text, 0);
        document(&text, 60, cases[i].next);
        diag_init(&d);
        bool ok = successor_ok(before, next, bytes_of(text.p, text.n), 1000, &d, &again_s);
        char *all = diag_text(&d);
        ck_assert_msg(ok == !cases[i].why, "%zu: %s", i, all);
        ck_assert_msg(ok || strstr(all, cases[i].why), "%zu: %s", i, all);
        ck_assert_int_eq(again_s, 0);
        free(all);
        diag_done(&d);
        snapshot_unref(before);
        snapshot_unref(next);
    }
}
END_TEST

static int change(struct topology **t, const char *text, char **out_why)
{
    struct changer *c = changer_new();
    struct topology *next = NULL;
    struct diag d;
    diag_init(&d);
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

static void change_ok(struct topology **t, const char *text)
{
    char *why;
    int rc = change(t, text, &why);
    ck_assert_msg(!rc, "%s: %s", text, why);
    free(why);
}

static void change_refused(struct topology **t, const char *text, const char *wanted)
{
    char *why;
    int rc = change(t, text, &why);
    ck_assert_int_eq(rc, ERR_INVAL);
    ck_assert_msg(strstr(why, wanted) != NULL, "%s: %s", text, why);
    free(why);
}

static const char *key_of(const struct topology *t, const char *name)
{
    const struct registry *r = topology_registry(t, name);
    return r ? r->key : "-";
}

#define CONTOSO(more) "registries:\n  - {name: contoso, " more "replicas: [{region: eastus}]}\n"

START_TEST(a_change_gives_its_version_to_what_it_creates)
{
    struct topology *t = topology_of(50, NONE);
    change_ok(&t, "version: 51\nincarnation: 51\n" CONTOSO(""));
    ck_assert_str_eq(key_of(t, "contoso"), "contoso@51");
    // a row of one that lives need not say it, and may
    change_ok(&t, "version: 52\nincarnation: 52\n" CONTOSO("anonymous_pull: true, "));
    ck_assert_str_eq(key_of(t, "contoso"), "contoso@51");
    change_ok(&t, "version: 53\n" CONTOSO("incarnation: 51, "));
    change_refused(&t, "version: 54\n" CONTOSO("incarnation: 52, "),
                   "c:3: registry contoso: its incarnation is 51, not 52: as long as it lives");
    change_refused(&t,
                   "version: 54\nregistries:\n  - {name: fabrikam, incarnation: 54, replicas: "
                   "[{region: eastus}]}\n",
                   "registry fabrikam: its incarnation is 0, not 54");
    // deleted and created again: another one
    change_ok(&t, "version: 54\nremove: [contoso]\n");
    change_refused(&t, "version: 55\nincarnation: 55\n" CONTOSO("incarnation: 51, "),
                   "registry contoso: its incarnation is 55, not 51: the version that creates it");
    change_refused(&t, "version: 55\nincarnation: 51\n" CONTOSO(""),
                   "c:2: incarnation 51: what this change creates has its version, 55");
    change_ok(&t, "version: 55\nincarnation: 55\n" CONTOSO("incarnation: 55, "));
    ck_assert_str_eq(key_of(t, "contoso"), "contoso@55");
    ck_assert_ptr_null(topology_registry_by_key(t, "contoso@51"));
    // changes from before there were incarnations create what they always did
    change_ok(&t, "version: 56\nremove: [contoso]\n");
    change_ok(&t, "version: 57\n" CONTOSO(""));
    ck_assert_str_eq(key_of(t, "contoso"), "contoso");
    snapshot_unref(t);
}
END_TEST

START_TEST(it_stays_with_private_endpoints_and_in_the_compiled_form)
{
    struct topology *t = topology_of(
                        50,
                        "views: [{name: corp, sources: [10.0.0.0/8]}]\n"
                        "registries:\n  - {name: contoso, incarnation: 42, quota: 1TiB, replicas: "
                        "[{region: eastus}]}\n"),
                    *back = NULL;
    change_ok(&t, "version: 51\nprivate_endpoints:\n  - {name: pe, registry: contoso, view: corp, "
                  "addresses: {registry: 10.0.0.4}}\n");
    ck_assert_str_eq(key_of(t, "contoso"), "contoso@42");
    AUTO_BUF struct buf b;
    struct diag d;
    buf_init(&b, 0);
    diag_init(&d);
    ck_assert_int_eq(compiled_format(t, &b), 0);
    int rc = compiled_parse(TOPOLOGY_FULL, b.p, b.n, "t.compiled", &d, &back);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    ck_assert_str_eq(key_of(back, "contoso"), "contoso@42");
    change_ok(&back, "version: 52\n" CONTOSO(""));
    ck_assert_str_eq(key_of(back, "contoso"), "contoso@42");
    diag_done(&d);
    snapshot_unref(back);
    snapshot_unref(t);
}
END_TEST

static void append(const char *path, const char *text, int wanted, const char *why)
{
    struct diag d;
    uint64_t version = 0;
    diag_init(&d);
    int rc = changes_append(path, 0, text, strlen(text), "in", &d, &version);
    char *all = diag_text(&d);
    ck_assert_msg(rc == wanted, "%d %s", rc, all);
    ck_assert_msg(!why || strstr(all, why), "%s", all);
    free(all);
    diag_done(&d);
}

START_TEST(what_is_appended_says_it)
{
    char dir[] = "/tmp/meridian-incarnations-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    AUTO_FREE char *path = mem_printf("%s/t.yaml", dir), *file = mem_printf("%s.changes", path);
    AUTO_BUF struct buf b, log;
    buf_init(&b, 0);
    buf_init(&log, 0);
    document(&b, 50, NONE);
    ck_assert_int_eq(file_write_atomic(path, b.p, b.n, 0600), 0);
    append(path, CONTOSO(""), 0, NULL);
    append(path, CONTOSO("anonymous_pull: true, "), 0, NULL);
    append(path, "remove: [contoso]\n", 0, NULL);
    // lines are those of what was given
    append(path, "registries:\n  - {name: contoso, nonsense: 1, replicas: [{region: eastus}]}\n",
           ERR_INVAL, "in:2: registries[0].nonsense: unknown key");
    append(path, "version: 54\n" CONTOSO("nonsense: 1, "), ERR_INVAL, "in:3: registries[0].non");
    append(path, "version: 54\n" CONTOSO(""), 0, NULL);
    ck_assert_int_eq(file_read(file, 1 << 20, &log), 0);
    ck_assert_str_eq(
        buf_cstr(&log),
        "version: 51\nincarnation: 51\n" CONTOSO(
            "") "...\n"
                "version: 52\n" CONTOSO(
                    "anonymous_pull: true, ") "...\n"
                                              "version: 53\nremove: [contoso]\n...\n"
                                              "incarnation: 54\nversion: 54\n" CONTOSO("") "...\n");
    struct topology *t = NULL;
    size_t n;
    ck_assert_int_eq(topology_file_load(path, NULL, &t), 0);
    ck_assert_int_eq(changes_load(path, NULL, &t, &n), 0);
    ck_assert_str_eq(key_of(t, "contoso"), "contoso@54");
    snapshot_unref(t);
    unlink(file);
    unlink(path);
    rmdir(dir);
}
END_TEST

CHECK_MAIN("control/incarnations", documents_are_judged_by_the_version_in_force,
           a_change_gives_its_version_to_what_it_creates,
           it_stays_with_private_endpoints_and_in_the_compiled_form, what_is_appended_says_it)
