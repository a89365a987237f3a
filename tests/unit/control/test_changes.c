// SPDX-License-Identifier: Apache-2.0
// config/changes: after any changes all is as if the document had said so from the start; what
// cannot be is refused whole; readers on other threads see one version or another, never a mixture.
#include "control/changer.h"
#include "control/topology_file.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "control/change.h"
#include "control/changes_file.h"
#include "control/changes_undone.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/registries.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define N 600

struct model { // what should be: rows as text, NULL where there is none
    char *row[N], *private_[N];
};

static char *text_of(void (*write)(struct buf *, unsigned), unsigned i)
{
    struct buf b;
    buf_init(&b, 0);
    write(&b, i);
    return buf_take(&b);
}

static void set(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}

static void model_done(struct model *m)
{
    for (size_t i = 0; i < N; i++) {
        set(&m->row[i], NULL);
        set(&m->private_[i], NULL);
    }
}

static struct topology *document_of(const struct model *m)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGISTRIES_FRAME "registries:\n");
    for (size_t i = 0; i < N; i++)
        buf_str(&b, m->row[i] ? m->row[i] : "");
    buf_str(&b, "private_endpoints:\n");
    bool any = false;
    for (size_t i = 0; i < N; i++) {
        buf_str(&b, m->private_[i] ? m->private_[i] : "");
        any |= m->private_[i] != NULL;
    }
    if (!any)
        buf_str(&b, "  []\n");
    return registries_parse(TOPOLOGY_FULL, &b);
}

// A change of a few registries, on the model and as text.
static void random_change(struct model *m, uint64_t version, struct buf *out)
{
    AUTO_BUF struct buf rows, gone, pes, gone_pes;
    bool touched[N] = {false};
    char name[64];
    buf_init(&rows, 0);
    buf_init(&gone, 0);
    buf_init(&pes, 0);
    buf_init(&gone_pes, 0);
    for (unsigned k = registries_random(6); k-- > 0;) {
        unsigned i = registries_random(N);
        if (touched[i])
            continue;
        touched[i] = true;
        if (m->private_[i] && registries_random(2)) {
            buf_printf(&gone_pes, "%spe%u", gone_pes.n ? ", " : "", i);
            set(&m->private_[i], NULL);
        }
        if (m->row[i] && !m->private_[i] && registries_random(2)) {
            buf_printf(&gone, "%s%s", gone.n ? ", " : "", registries_name(i, name));
            set(&m->row[i], NULL);
            continue;
        }
        set(&m->row[i], text_of(registries_row, i));
        buf_str(&rows, m->row[i]);
        if (registries_random(3) == 0) {
            set(&m->private_[i], text_of(registries_private, i));
            buf_str(&pes, m->private_[i]);
        }
    }
    buf_printf(out, "version: %llu\nremove: [%s]\nremove_private_endpoints: [%s]\n",
               (unsigned long long)version, buf_cstr(&gone), buf_cstr(&gone_pes));
    buf_printf(out, rows.n ? "registries:\n%s" : "%s", buf_cstr(&rows));
    buf_printf(out, pes.n ? "private_endpoints:\n%s" : "%s", buf_cstr(&pes));
    buf_str(out, "...\n");
}

static struct topology *apply_ok(struct changer *c, struct topology *t, const struct buf *change)
{
    struct diag d;
    struct topology *next = NULL;
    diag_init(&d);
    int rc = changer_apply(c, t, buf_cstr(change), change->n, "c", 1, &d, &next);
    ck_assert_msg(rc == 0, "%d %s\n%s", rc, d.n ? d.lines[0] : "?", buf_cstr(change));
    diag_done(&d);
    ck_assert_uint_eq(next->version, t->version + 1);
    ck_assert(topology_same_frame(t, next));
    return next;
}

// The change read as a value, and written again.
static void through_a_value(struct buf *change)
{
    struct arena a;
    struct change value, again;
    AUTO_BUF struct buf text, twice;
    arena_init(&a, 0);
    buf_init(&text, 0);
    buf_init(&twice, 0);
    ck_assert_int_eq(change_parse(buf_cstr(change), change->n, "c", 1, &a, NULL, &value), 0);
    ck_assert_int_eq(change_format(&value, &text), 0);
    ck_assert_int_eq(change_parse(buf_cstr(&text), text.n, "c", 1, &a, NULL, &again), 0);
    ck_assert_int_eq(change_format(&again, &twice), 0);
    ck_assert_str_eq(buf_cstr(&text), buf_cstr(&twice));
    buf_clear(change);
    buf_add(change, text.p, text.n);
    arena_done(&a);
}

START_TEST(any_changes_are_as_if_written_so)
{
    struct model m = {{0}, {0}};
    struct changer *c = changer_new();
    AUTO_BUF struct buf frame;
    buf_init(&frame, 0);
    buf_str(&frame, REGISTRIES_FRAME);
    for (int form = TOPOLOGY_FULL; form <= TOPOLOGY_COMPACT; form++) {
        struct topology *t = registries_parse((enum topology_form)form, &frame), *held = NULL,
                        *held_as = NULL;
        for (int k = 0; k < 900; k++) {
            AUTO_BUF struct buf change;
            buf_init(&change, 0);
            random_change(&m, t->version + 1, &change);
            if (k % 2)
                through_a_value(&change);
            struct topology *next = apply_ok(c, t, &change);
            if (k % 300 == 100) { // an old version that somebody holds stays as it was
                held = snapshot_ref(next);
                held_as = document_of(&m);
            }
            snapshot_unref(t);
            t = next;
            if (k % 100 == 99) {
                struct topology *whole = document_of(&m);
                registries_equal(whole, t);
                registries_equal(t, whole);
                snapshot_unref(whole);
            }
            if (k % 300 == 250) {
                registries_equal(held_as, held);
                snapshot_unref(held_as);
                snapshot_unref(held);
            }
        }
        snapshot_unref(t);
        model_done(&m);
    }
    changer_free(c);
}
END_TEST

// A move from a stamp that is gone cannot be written: its name is not known any more.
static bool can_be_written(const struct registry *r)
{
    for (size_t i = 0; i < r->n_moves; i++)
        if (r->moves[i].was == STAMP_GONE)
            return false;
    return true;
}

// All rows of a topology, made of what is in force, are a change that changes nothing.
START_TEST(rows_in_force_change_nothing)
{
    AUTO_BUF struct buf b, text;
    struct arena a;
    struct changer *c = changer_new();
    size_t n = 0, n_private = 0;
    buf_init(&b, 0);
    buf_init(&text, 0);
    arena_init(&a, 0);
    registries_document(&b, 200, 3);
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    struct spec_registry *rows = arena_array(&a, t->n_registries, sizeof *rows);
    struct spec_private *privates = arena_array(&a, t->n_registries, sizeof *privates);
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(t, &it));) {
        if (!can_be_written(r))
            continue;
        ck_assert_int_eq(change_registry_row(t, r, &a, &rows[n++]), 0);
        for (size_t i = 0; i < r->n_private_endpoints; i++, n_private++)
            ck_assert_int_eq(
                change_private_row(t, r->name, r->private_endpoints[i], &a, &privates[n_private]),
                0);
    }
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_gt(n_private, 10);
    const struct change change = {.version = t->version + 1,
                                  .registries = rows,
                                  .n_registries = n,
                                  .private_endpoints = privates,
                                  .n_private_endpoints = n_private};
    ck_assert_int_eq(change_format(&change, &text), 0);
    struct topology *next = apply_ok(c, t, &text);
    registries_equal(t, next);
    snapshot_unref(next);
    snapshot_unref(t);
    changer_free(c);
    arena_done(&a);
}
END_TEST

START_TEST(buckets_grow_with_what_is_put_into_them)
{
    struct changer *c = changer_new();
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGISTRIES_FRAME);
    struct topology *t = registries_parse(TOPOLOGY_COMPACT, &b);
    unsigned n = 0;
    for (int k = 0; k < 20; k++) {
        AUTO_BUF struct buf change;
        buf_init(&change, 0);
        buf_printf(&change, "version: %llu\nregistries:\n", (unsigned long long)t->version + 1);
        for (int i = 0; i < 1000; i++)
            buf_printf(&change, "  - { name: tenant%u, replicas: [{ region: a }] }\n", n++);
        struct topology *next = apply_ok(c, t, &change);
        snapshot_unref(t);
        t = next;
    }
    ck_assert_uint_eq(t->n_registries, n);
    struct catalogue_iter it = {0};
    size_t seen = 0;
    while (catalogue_next(t->catalogue, &it))
        seen++;
    ck_assert_uint_eq(seen, n);
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "tenant%u", i);
        ck_assert_ptr_nonnull(catalogue_find(t->catalogue, name, strlen(name)));
    }
    snapshot_unref(t);
    changer_free(c);
}
END_TEST

#define BASE                                                                                 \
    REGISTRIES_FRAME                                                                         \
    "registries:\n"                                                                          \
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: a }, { region: " \
    "eastus }] }\n"                                                                          \
    "  - { name: fabrikam, replicas: [{ region: a }] }\n"                                    \
    "private_endpoints:\n"                                                                   \
    "  - { name: pe, registry: contoso, view: corp, addresses: { registry: 10.1.0.1, "       \
    "registry_eastus: 10.1.0.2 } "                                                           \
    "}\n"
#define EIGHT(d)                                                                                  \
    "10.1." d ".1, 10.1." d ".2, 10.1." d ".3, 10.1." d ".4, 10.1." d ".5, 10.1." d ".6, 10.1." d \
    ".7, 10.1." d ".8"

START_TEST(what_cannot_be_is_refused_whole)
{
    static const struct {
        const char *change, *why;
        int rc;
    } cases[] = {
        {"version: 5\n", NULL, ERR_EXISTS},
        {"version: 4\nremove: [nobody]\n", NULL, ERR_EXISTS},
        {"version: 7\n",
         "c:10: version 7 does not follow 5, which is in force: version 6 is missing",
         ERR_CONFLICT},
        {"version: 6\nregistrys: []\n", "c:11: registrys: unknown key; did you mean registries?",
         ERR_INVAL},
        {"remove: [contoso]\n", "version: missing", ERR_INVAL},
        {"version: 6\nremove: [nobody]\n", "c:11: remove: there is no registry nobody", ERR_INVAL},
        {"version: 6\nremove: [fabrikam, fabrikam]\n", "remove: registry fabrikam is given twice",
         ERR_INVAL},
        {"version: 6\nremove: [fabrikam]\nregistries:\n  - { name: fabrikam, replicas: [{ region: "
         "a }] }\n",
         "c:11: remove: registry fabrikam is given under registries too", ERR_INVAL},
        {"version: 6\nremove: [contoso]\n",
         "remove: private endpoint pe leads to registry contoso; remove it too", ERR_INVAL},
        {"version: 6\nregistries:\n  - { name: ok1234, replicas: [{ region: a }] }\n  - { name: "
         "woodgrove, replicas: "
         "[{ region: eastuss }] }\n",
         "c:13: registry woodgrove: replicas: unknown region \"eastuss\"; did you mean eastus?",
         ERR_INVAL},
        {"version: 6\nregistries:\n  - { name: woodgrove, replicas: [{ region: a, stamp: s9 }] }\n",
         "region a has no stamp \"s9\"", ERR_INVAL},
        {"version: 6\nregistries:\n  - { name: woodgrove, replicas: [{ region: a }] }\n  - { name: "
         "woodgrove, hash: "
         "abcdefgh01234567, replicas: [{ region: a }] }\n",
         "c:13: registry woodgrove is given twice, first on line 12", ERR_INVAL},
        {"version: 6\nregistries:\n  - { name: contoso, regional_endpoints: enabled, replicas: [{ "
         "region: a }] }\n",
         "registry contoso: private endpoint pe has an address for region eastus, where there "
         "would be no replica",
         ERR_INVAL},
        {"version: 6\nregistries:\n  - { name: contoso, replicas: [{ region: a }, { region: eastus "
         "}] }\n",
         "but regional endpoints would be off", ERR_INVAL},
        {"version: 6\nremove_private_endpoints: [nothing]\n",
         "there is no private endpoint nothing", ERR_INVAL},
        {"version: 6\nprivate_endpoints:\n  - { name: other, registry: contoso, view: corp, "
         "addresses: { registry: "
         "10.1.0.9 } }\n",
         "private endpoint other: registry contoso has one in view corp already", ERR_INVAL},
        {"version: 6\nprivate_endpoints:\n  - { name: other, registry: fabrikam, view: corp, "
         "addresses: { registry: "
         "10.1.0.2 } }\n",
         "private endpoint other: 10.1.0.2 is private endpoint pe's already in view corp",
         ERR_INVAL},
        {"version: 6\nprivate_endpoints:\n  - { name: other, registry: fabrikam, view: corp, "
         "addresses: { registry: "
         "10.9.0.2 } }\n",
         "10.9.0.2 lies outside the networks of view corp", ERR_INVAL},
        {"version: 6\nprivate_endpoints:\n  - { name: other, registry: fabrikam, view: corp, "
         "addresses: { registry: "
         "[" EIGHT("1") ", " EIGHT("2") ", " EIGHT("3") ", " EIGHT("4") ", 10.1.5.1] } }\n",
         "c:12: private endpoint other: registry: 33 addresses; it may have 32", ERR_INVAL},
        {"version: 6\nprivate_endpoints:\n  - { name: other, registry: nobody, view: corp, "
         "addresses: { registry: "
         "10.1.0.3 } }\n",
         "private endpoint other: unknown registry \"nobody\"", ERR_INVAL},
        {"version: 6\nremove: [fabrikam]\nprivate_endpoints:\n  - { name: other, registry: "
         "fabrikam, view: corp, "
         "addresses: { registry: 10.1.0.3 } }\n",
         "unknown registry \"fabrikam\"", ERR_INVAL},
        {"version: [\n", "not YAML", ERR_INVAL},
        {"...\n", "c:10: not YAML", ERR_INVAL},
    };
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, BASE);
    struct changer *c = changer_new();
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct diag d;
        struct topology *next = NULL;
        diag_init(&d);
        int rc = changer_apply(c, t, cases[i].change, strlen(cases[i].change), "c", 10, &d, &next);
        char *all = diag_text(&d);
        ck_assert_msg(rc == cases[i].rc && !next, "%zu: %d %s", i, rc, all);
        ck_assert_msg(cases[i].why ? strstr(all, cases[i].why) != NULL : !*all, "%zu: %s", i, all);
        free(all);
        diag_done(&d);
    }
    // And what looks like those but can be: moved, replaced, removed together.
    static const char *const good[] = {
        "version: 6\nprivate_endpoints:\n  - { name: pe, registry: fabrikam, view: corp, "
        "addresses: { registry: "
        "10.1.0.2 } }\n",
        "version: 7\nremove: [contoso]\nregistries:\n  - { name: fabrikam, hash: abcdefgh01234567, "
        "replicas: [{ "
        "region: eastus }] }\n",
        "version: 8\nremove: [fabrikam]\nremove_private_endpoints: [pe]\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        AUTO_BUF struct buf change;
        buf_init(&change, 0);
        buf_str(&change, good[i]);
        struct topology *next = apply_ok(c, t, &change);
        snapshot_unref(t);
        t = next;
        ck_assert_uint_eq(t->n_registries, i == 0 ? 2 : i == 1 ? 1 : 0);
        if (i == 0)
            ck_assert_uint_eq(topology_registry(t, "contoso")->n_private_endpoints, 0);
        if (i == 1) {
            const struct registry *f = topology_by_label(t, "fabrikam-abcdefgh01234567");
            ck_assert_ptr_nonnull(f);
            ck_assert_ptr_eq(f, topology_registry(t, "fabrikam"));
            ck_assert_ptr_null(topology_by_label(t, "fabrikam"));
            ck_assert_str_eq(f->private_endpoints[0]->name, "pe");
        }
    }
    snapshot_unref(t);
    changer_free(c);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    struct model m = {{0}, {0}};
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, BASE);
    struct topology *t = registries_parse(TOPOLOGY_FULL, &b);
    for (int k = 0; k < 8; k++) {
        AUTO_BUF struct buf change;
        struct changer *c = changer_new();
        buf_init(&change, 0);
        random_change(&m, t->version + 1, &change);
        struct topology *next = NULL;
        int rc = ERR_NOMEM;
        for (long n = 1; rc; n++) {
            mem_fault_after(n);
            rc = changer_apply(c, t, buf_cstr(&change), change.n, "c", 1, NULL, &next);
            mem_fault_after(0);
            ck_assert(rc == 0 || rc == ERR_NOMEM);
        }
        changer_free(c);
        snapshot_unref(t);
        t = next;
    }
    snapshot_unref(t);
    model_done(&m);
}
END_TEST

START_TEST(a_document_is_whole_with_the_line_that_ends_it)
{
    ck_assert_uint_eq(change_whole("", 0), 0);
    ck_assert_uint_eq(change_whole("version: 1\n", 11), 0);
    ck_assert_uint_eq(change_whole("version: 1\n...", 14), 0);
    ck_assert_uint_eq(change_whole("version: 1\n...\nversion", 22), 15);
    ck_assert_uint_eq(change_whole("...\n", 4), 4);
    ck_assert_uint_eq(change_whole("a: b\r\n...\r\nc", 12), 11);
    ck_assert_uint_eq(change_whole("a ...\n....\n", 11), 0);
}
END_TEST

START_TEST(appended_and_loaded)
{
    char dir[] = "/tmp/changes.XXXXXX", path[64], file[80];
    struct diag d;
    uint64_t v = 0;
    size_t n = 0;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.yaml", dir);
    snprintf(file, sizeof file, "%s.changes", path);
    ck_assert_int_eq(file_write_atomic(path, BASE, strlen(BASE), 0644), 0);
    diag_init(&d);
#define APPEND(s) changes_append(path, 0, s, strlen(s), "f", &d, &v)
    ck_assert_int_eq(APPEND("remove: [fabrikam]\n"), 0); // the version is filled in
    ck_assert_uint_eq(v, 6);
    ck_assert_int_eq(
        APPEND("version: 7\nregistries:\n  - { name: tailspin, replicas: [{ region: a }] }"), 0);
    ck_assert_uint_eq(v, 7);
    ck_assert_uint_eq(diag_count(&d), 0);
    ck_assert_int_eq(APPEND("version: 7\n"), ERR_EXISTS);
    ck_assert_int_eq(APPEND("version: 9\n"), ERR_CONFLICT);
    ck_assert_int_eq(APPEND("remove: [nobody]\n"), ERR_INVAL);
    ck_assert_int_eq(APPEND("remove: [tailspin]\n...\nremove: [contoso]\n"), ERR_INVAL);
    char *why = diag_text(&d);
    ck_assert_ptr_nonnull(strstr(why, "f:1: remove: there is no registry nobody"));
    ck_assert_ptr_nonnull(strstr(why, "one change at a time"));
    free(why);
    // A writer that died in the middle leaves no trace.
    int fd = open(file, O_WRONLY | O_APPEND);
    ck_assert_int_eq(fd_write_all(fd, "version: 8\nremove: [tail", 24), 0);
    close(fd);
    ck_assert_int_eq(
        APPEND("registries:\n  - { name: woodgrove, replicas: [{ region: eastus }] }\n...\n"), 0);
    ck_assert_uint_eq(v, 8);
    struct topology *t = NULL;
    ck_assert_int_eq(topology_file_load(path, &d, &t), 0);
    ck_assert_int_eq(changes_load(path, &d, &t, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_uint_eq(t->version, 8);
    ck_assert_ptr_nonnull(topology_registry(t, "woodgrove"));
    ck_assert_ptr_nonnull(topology_registry(t, "tailspin"));
    ck_assert_ptr_null(topology_registry(t, "fabrikam"));
    snapshot_unref(t);
    diag_done(&d);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

static char *undone_by(const char *path, const char *document)
{
    struct topology *t = NULL;
    struct diag d;
    size_t n;
    ck_assert_int_eq(file_write_atomic(path, document, strlen(document), 0644), 0);
    diag_init(&d);
    ck_assert_int_eq(topology_file_load(path, &d, &t), 0);
    ck_assert_int_eq(changes_load(path, &d, &t, &n), 0);
    ck_assert_int_eq(changes_undone(path, t, &d), 0);
    snapshot_unref(t);
    char *text = diag_text(&d);
    diag_done(&d);
    return text;
}

#define DOCUMENT(version, rows)                                                                \
    "version: " version "\n"                                                                   \
    "domain: example.io\nname_servers: [s1.a]\nregions:\n  - { name: a, stamps: [{ name: s1, " \
    "ipv4: [192.0.2.1] }] }\nregistries:\n" rows
#define REG(name, more) "  - { name: " name ", replicas: [{ region: a }]" more " }\n"

// Somebody edits the document as it was before the changes, and gives it a higher version.
START_TEST(a_document_that_undoes_changes_is_found)
{
    static const char changes[] = "version: 6\nregistries:\n" REG(
        "contoso", ", anonymous_pull: true") "...\nversion: 7\nremove: [fabrikam]\n...\n"
                                             "version: 8\nregistries:\n" REG("tailspin",
                                                                             "") "...\n";
    char dir[] = "/tmp/changes.XXXXXX", path[64], file[80];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.yaml", dir);
    snprintf(file, sizeof file, "%s.changes", path);
    ck_assert_int_eq(file_write_atomic(file, changes, strlen(changes), 0644), 0);
    // they come after it
    char *text = undone_by(path, DOCUMENT("5", REG("contoso", "") REG("fabrikam", "")));
    ck_assert_str_eq(text, "");
    free(text);
    text = undone_by(path, DOCUMENT("9", REG("contoso", "") REG("fabrikam", "")));
    ck_assert_ptr_nonnull(strstr(text, ".changes:3: registry contoso: version 6 made "
                                       "anonymous_pull true; the document, version 9, has false"));
    ck_assert_ptr_nonnull(strstr(text, ".changes:5: registry fabrikam: version 7 removed it, and "
                                       "the document, version 9, has it"));
    ck_assert_ptr_nonnull(strstr(text, ".changes:10: registry tailspin: version 8 has it, and the "
                                       "document, version 9, does not have it"));
    free(text);
    // taken over; one was created again under the name
    text = undone_by(path, DOCUMENT("9", REG("contoso", ", anonymous_pull: true") REG(
                                             "tailspin", "") REG("fabrikam", ", incarnation: 9")));
    ck_assert_str_eq(text, "");
    free(text);
    // one of the changes is in, the others come after it
    text = undone_by(path, DOCUMENT("6", REG("contoso", "") REG("fabrikam", "")));
    ck_assert_ptr_nonnull(strstr(text, "contoso"));
    ck_assert_ptr_null(strstr(text, "fabrikam"));
    free(text);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

// ---- readers ----

static struct snapshot cell;
static atomic_bool stop;

// Registry `version` mod 50 moved to stamp s-2 or back with each version: two of them must tell of
// the same one.
static void *read_on(void *arg)
{
    struct snapshot_reader r = {0};
    size_t *n = arg;
    do { // at least once, however busy the machine is
        const struct topology *t = snapshot_reader_get(&r, &cell);
        const struct catalogue_registry *a = catalogue_find(t->catalogue, "even00", 6),
                                        *b = catalogue_find(t->catalogue, "odd000", 6);
        if (!a || !b || catalogue_stamp(a, 1) != t->version % 2 ||
            catalogue_stamp(b, 1) == t->version % 2)
            abort();
        ++*n;
    } while (!atomic_load(&stop));
    snapshot_reader_done(&r);
    return NULL;
}

static void twins(struct buf *b, uint64_t version)
{
    static const char *const stamps[] = {"s1", "s-2"};
    buf_str(b, "registries:\n");
    for (unsigned i = 0; i < 2; i++)
        buf_printf(
            b,
            "  - { name: %s, replicas: [{ region: eastus, stamp: %s, stamp_was: %s, stamp_since: "
            "'2026-01-01T00:00:00Z' }] }\n",
            i ? "odd000" : "even00", stamps[(version + i) % 2], stamps[(version + i + 1) % 2]);
}

START_TEST(readers_see_one_version_or_another)
{
    AUTO_BUF struct buf b;
    pthread_t threads[3];
    size_t n[3] = {0};
    struct changer *c = changer_new();
    buf_init(&b, 0);
    buf_str(&b, REGISTRIES_FRAME);
    twins(&b, 5);
    for (unsigned i = 0; i < 300; i++)
        buf_printf(&b, "  - { name: other%u, replicas: [{ region: a }] }\n", i);
    snapshot_init(&cell);
    snapshot_publish(&cell, registries_parse(TOPOLOGY_FULL, &b));
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &n[i]), 0);
    for (int k = 0; k < 1500; k++) {
        struct topology *t = snapshot_get(&cell);
        AUTO_BUF struct buf change;
        buf_init(&change, 0);
        buf_printf(&change, "version: %llu\n", (unsigned long long)t->version + 1);
        twins(&change, t->version + 1);
        snapshot_publish(&cell, apply_ok(c, t, &change));
        snapshot_unref(t);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_gt(n[i], 0);
    }
    snapshot_done(&cell);
    changer_free(c);
}
END_TEST

CHECK_MAIN("control/changes", a_document_that_undoes_changes_is_found,
           any_changes_are_as_if_written_so, rows_in_force_change_nothing,
           buckets_grow_with_what_is_put_into_them, what_cannot_be_is_refused_whole,
           memory_may_end_anywhere, a_document_is_whole_with_the_line_that_ends_it,
           appended_and_loaded, readers_see_one_version_or_another)
