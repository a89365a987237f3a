// SPDX-License-Identifier: Apache-2.0
// control/moves: what a document may say of replicas that move to another stamp, by itself and after
// the one in force; nodes that read at different times come to the same; changes of registries are
// judged alike.
#include "control/moves.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "control/changer.h"
#include "control/compiled.h"
#include "control/successor.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"

#include <string.h>

#define NOW 1800000000 // 2027-01-15T08:00:00Z
#define BEFORE "2027-01-15T07:59:00Z"
#define SOON "2027-01-15T08:01:00Z" // NOW + 60
#define LATER "2027-01-15T08:02:00Z"
#define ALL "eus-1 eus-10 eus-11"

static void document(struct buf *b, unsigned version, const char *stamps, const char *replica)
{
    buf_printf(b, "version: %u\ndomain: example.io\nregions:\n  - name: eastus\n    stamps:\n",
               version);
    for (int i = 1; *stamps; i++) {
        int n = (int)strcspn(stamps, " ");
        buf_printf(b, "      - { name: %.*s, ipv4: [192.0.2.%d] }\n", n, stamps, i);
        stamps += n + (stamps[n] == ' ');
    }
    buf_printf(b,
               "name_servers: [%s.eastus]\nregistries:\n  - name: fabrikam\n    replicas: [{ "
               "region: eastus, stamp: "
               "eus-10 }]\n",
               "eus-10");
    buf_printf(b, "  - name: contoso\n    replicas:\n      - { region: eastus, %s }\n", replica);
}

static int parse(const struct buf *b, struct diag *diag, struct topology **out)
{
    return topology_parse(b->p, b->n, "t.yaml", diag, out);
}

static struct topology *topology_of(unsigned version, const char *stamps, const char *replica)
{
    struct topology *t = NULL;
    struct diag diag;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&diag);
    document(&b, version, stamps, replica);
    if (parse(&b, &diag, &t))
        diag_print(&diag, stderr);
    diag_done(&diag);
    ck_assert_ptr_nonnull(t);
    return t;
}

#define AT(stamp, was, since) "stamp: " stamp ", stamp_was: " was ", stamp_since: '" since "'"

START_TEST(fields_are_judged_by_themselves)
{
    static const struct {
        // NULL: good
        const char *replica, *says;
    } rows[] = {
        {AT("eus-11", "eus-1", SOON), NULL},
        {AT("eus-11", "eus-1", BEFORE), NULL},
        {"stamp_was: eus-10, stamp_since: '" SOON "'", NULL}, // to the region's first
        {"stamp: eus-11, stamp_was: eus-1",
         "t.yaml:15: registry contoso: replicas: stamp_was and stamp_since go together"},
        {"stamp: eus-11, stamp_since: '" SOON "'", "go together"},
        {AT("eus-11", "eus-11", SOON), "stamp_was is the stamp that it has: eus-11"},
        {AT("eus-11", "eus-1", "tomorrow"), "a time in UTC, as in"},
        // the compiled form takes none such
        {AT("eus-11", "eus-1", "1970-01-01T00:00:00Z"), "a time in UTC, as in"},
        {AT("eus-11", "eus-1", "9999-12-31T23:59:59Z"), NULL},
        {AT("eus-11", "eus_1", SOON), "a stamp: at most 63"},
        // Names lead there still, or caches do, for the largest of the TTLs (300 s).
        {AT("eus-11", "eus-9", SOON), "region eastus has no stamp \"eus-9\", and names or caches "
                                      "lead to it until 2027-01-15T08:06:00Z"},
        {AT("eus-11", "eus-9", "2027-01-15T07:56:01Z"), "until 2027-01-15T08:01:01Z: it must stay"},
        // for others' clocks: what is in force judges the rest
        {AT("eus-11", "eus-9", "2027-01-15T07:56:00Z"), NULL},
        {AT("eus-11", "eus-9", "2027-01-15T07:55:00Z"), NULL}, // long ago
    };
    clock_virtual_set((int64_t)NOW * 1000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct topology *t = NULL;
        struct diag diag;
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        diag_init(&diag);
        document(&b, 2, ALL, rows[i].replica);
        int rc = parse(&b, &diag, &t);
        AUTO_FREE char *text = diag_text(&diag);
        ck_assert_msg(!rc == !rows[i].says, "%s: %s", rows[i].replica, text);
        ck_assert_msg(!rows[i].says || (diag_count(&diag) == 1 && strstr(text, rows[i].says)),
                      "%s: %s", rows[i].replica, text);
        snapshot_unref(t);
        diag_done(&diag);
    }
}
END_TEST

// The stamp that names lead to.
static const char *leads(const struct topology *t, int64_t now_s)
{
    return registry_stamp_at(t, topology_registry(t, "contoso"), 0, now_s)->name;
}

START_TEST(names_lead_to_the_stamp_from_its_time_on)
{
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *t = topology_of(2, ALL, AT("eus-11", "eus-1", SOON));
    ck_assert_str_eq(leads(t, NOW), "eus-1");
    ck_assert_str_eq(leads(t, NOW + 59), "eus-1");
    ck_assert_str_eq(leads(t, NOW + 60), "eus-11");
    ck_assert_str_eq(leads(t, INT64_MAX), "eus-11");
    const struct catalogue_registry *r = catalogue_find(t->catalogue, "contoso", 7),
                                    *other = catalogue_find(t->catalogue, "fabrikam", 8);
    ck_assert(r->flags & CATALOGUE_MOVES && !(other->flags & CATALOGUE_MOVES));
    ck_assert_int_eq(catalogue_move(r, 0)->since_s, NOW + 60);
    ck_assert_ptr_null(catalogue_move(r, 1));
    ck_assert_ptr_null(catalogue_move(other, 0));
    ck_assert_ptr_null(registry_stamp_at(t, topology_registry(t, "contoso"), 1, NOW));
    snapshot_unref(t);
    // gone: there is no way back to it
    t = topology_of(2, ALL, AT("eus-11", "eus-9", "2026-01-01T00:00:00Z"));
    ck_assert_str_eq(leads(t, 0), "eus-11");
    snapshot_unref(t);
}
END_TEST

struct step {
    const char *old_stamps, *old, *new_stamps, *new;
    // NULL: it may follow
    const char *says;
    // after NOW; 0: never
    int64_t again_s;
    // where names lead right after, when it may
    const char *meant;
};

static const struct step steps[] = {
    {ALL, "stamp: eus-1", ALL, "stamp: eus-1", NULL, 0, "eus-1"},
    // the naive edit, whether the stamp is new or not; the region's first taken for granted; other
    // numbers
    {ALL, "stamp: eus-1", ALL, "stamp: eus-11",
     "names would lead from stamp eus-1 to eus-11 at once", 0, NULL},
    {"eus-1 eus-10", "stamp: eus-1", ALL, "stamp: eus-11",
     "meridian replication rebind -r contoso --region eastus --stamp eus-11", 0, NULL},
    {ALL, "weight: 7", "eus-11 eus-10 eus-1", "weight: 7", "from stamp eus-1 to eus-11 at once", 0,
     NULL},
    {ALL, "stamp: eus-11", "eus-11 eus-10 eus-1", "weight: 7", NULL, 0, "eus-11"},
    {"eus-1 eus-10", "stamp: eus-10", "eus-0 eus-1 eus-10", "stamp: eus-10", NULL, 0, "eus-10"},
    // with the fields
    {"eus-1 eus-10", "stamp: eus-1", ALL, AT("eus-11", "eus-1", SOON), NULL, 0, "eus-1"},
    // --now, or long ago
    {"eus-1 eus-10", "stamp: eus-1", ALL, AT("eus-11", "eus-1", BEFORE), NULL, 0, "eus-11"},
    {ALL, "stamp: eus-1", ALL, AT("eus-11", "eus-10", SOON),
     "names lead to stamp eus-1 now, not to eus-10: until " SOON " stamp_was must be eus-1", 60,
     NULL},
    {ALL, "stamp: eus-11", ALL, AT("eus-11", "eus-1", SOON),
     "names lead to stamp eus-11 now, not to eus-1", 60, NULL},
    // under way: kept, put off, brought forward, led elsewhere, taken back
    {ALL, AT("eus-11", "eus-1", SOON), ALL, AT("eus-11", "eus-1", SOON), NULL, 0, "eus-1"},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, AT("eus-11", "eus-1", LATER), NULL, 0, "eus-1"},
    {ALL, AT("eus-11", "eus-1", LATER), ALL, AT("eus-11", "eus-1", SOON), NULL, 0, "eus-1"},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, AT("eus-10", "eus-1", LATER), NULL, 0, "eus-1"},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, AT("eus-10", "eus-11", LATER),
     "names lead to stamp eus-1 now, not to eus-11", 60, NULL},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, "stamp: eus-1", NULL, 0, "eus-1"},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, "stamp: eus-11",
     "names lead to stamp eus-1 until " SOON ": stamp_was and stamp_since must stay until then", 60,
     NULL},
    {ALL, AT("eus-11", "eus-1", SOON), ALL, "stamp: eus-10", "from stamp eus-1 to eus-10 at once",
     0, NULL},
    // made: the fields go or stay; the old stamp stays for as long as caches lead to it
    {ALL, AT("eus-11", "eus-1", BEFORE), ALL, "stamp: eus-11", NULL, 0, "eus-11"},
    {ALL, AT("eus-11", "eus-1", BEFORE), ALL, AT("eus-11", "eus-1", BEFORE), NULL, 0, "eus-11"},
    {ALL, AT("eus-11", "eus-1", BEFORE), "eus-10 eus-11", "stamp: eus-11",
     "stamp eus-1 is gone, but caches lead to it until 2027-01-15T08:04:00Z", 240, NULL},
    {ALL, AT("eus-11", "eus-1", "2027-01-15T07:55:00Z"), "eus-10 eus-11", "stamp: eus-11", NULL, 0,
     "eus-11"},
    {ALL, AT("eus-11", "eus-1", "2027-01-15T07:55:00Z"), "eus-10 eus-11",
     AT("eus-11", "eus-1", "2027-01-15T07:55:00Z"), NULL, 0, "eus-11"},
    {ALL, AT("eus-11", "eus-1", BEFORE), ALL, "stamp: eus-10",
     "from stamp eus-11 to eus-10 at once", 0, NULL},
    {ALL, AT("eus-11", "eus-1", BEFORE), ALL, AT("eus-10", "eus-11", SOON), NULL, 0, "eus-11"},
    // its name never left
    {ALL, AT("eus-11", "eus-1", BEFORE), ALL, "stamp: eus-1", NULL, 0, "eus-1"},
    // A node that was away: the move was made meanwhile, and the old stamp is gone.
    {"eus-1 eus-10", "stamp: eus-1", "eus-10 eus-11", AT("eus-11", "eus-1", "2027-01-15T07:00:00Z"),
     NULL, 0, "eus-11"},
    {"eus-1 eus-10", "stamp: eus-1", "eus-10 eus-11", "stamp: eus-11",
     "if the move was made while this node was away, that time is past", 0, NULL},
    {"eus-1 eus-10", "stamp: eus-1", ALL, AT("eus-10", "eus-11", SOON), "not to eus-11", 60,
     NULL}, // it catches up then
};

static bool may_follow(const struct topology *old, const struct buf *text, struct diag *diag,
                       int64_t now_s, int64_t *again_s, struct topology **out_new)
{
    ck_assert_int_eq(parse(text, diag, out_new), 0);
    return successor_ok(old, *out_new, bytes_of(text->p, text->n), now_s, diag, again_s);
}

static void judge_step(const struct step *s, int number)
{
    int64_t again_s;
    struct diag diag;
    struct topology *new = NULL;
    AUTO_BUF struct buf b;
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *old = topology_of(2, s->old_stamps, s->old);
    buf_init(&b, 0);
    diag_init(&diag);
    document(&b, 3, s->new_stamps, s->new);
    bool ok = may_follow(old, &b, &diag, NOW, &again_s, &new);
    AUTO_FREE char *text = diag_text(&diag);
    ck_assert_msg(ok == !s->says, "step %d: %s", number, text);
    ck_assert_msg(!s->says || strstr(text, s->says), "step %d: %s", number, text);
    ck_assert_int_eq(again_s, s->again_s ? NOW + s->again_s : 0);
    if (s->says) { // the line of the row
        int n_stamps = 1;
        for (const char *p = s->new_stamps; *p; p++)
            n_stamps += *p == ' ';
        ck_assert_msg(atoi(text + strlen("t.yaml:")) == 12 + n_stamps, "%s", text);
    } else {
        ck_assert_str_eq(leads(new, NOW), s->meant);
    }
    // What was accepted is acceptable later; what time alone forbade is accepted then.
    int64_t later = again_s ? again_s : NOW + 1;
    for (int i = 0; i < 5 && (ok || again_s); i++, later += 100) {
        int64_t ignored;
        ck_assert_msg(successor_ok(old, new, (struct bytes){0}, later, &diag, &ignored),
                      "step %d at NOW + %lld", number, (long long)(later - NOW));
    }
    snapshot_unref(new);
    snapshot_unref(old);
    diag_done(&diag);
}

START_TEST(a_version_is_judged_by_the_one_in_force)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        judge_step(&steps[i], (int)i);
}
END_TEST

// The same by a change of registries, where the frame is the same.
static void judge_change(const struct step *s, int number)
{
    if (strcmp(s->old_stamps, ALL) != 0 || strcmp(s->new_stamps, ALL) != 0)
        return;
    struct diag diag;
    AUTO_BUF struct buf b;
    struct topology *next = NULL;
    clock_virtual_set((int64_t)NOW * 1000);
    struct topology *old = topology_of(2, ALL, s->old);
    struct changer *c = changer_new();
    buf_init(&b, 0);
    diag_init(&diag);
    buf_printf(&b,
               "version: 3\nregistries:\n  - name: contoso\n    replicas:\n      - { region: "
               "eastus, %s }\n...\n",
               s->new);
    int rc = changer_apply(c, old, b.p, b.n, "changes", 100, &diag, &next);
    AUTO_FREE char *text = diag_text(&diag);
    ck_assert_msg(!rc == !s->says, "step %d: %s", number, text);
    if (s->says) {
        ck_assert_msg(!strncmp(text, "changes:104: registry contoso: ", 31) &&
                          strstr(text, s->says),
                      "%s", text);
        ck_assert_int_eq(rc, s->again_s ? ERR_BUSY : ERR_INVAL); // a minute at most: clocks differ
    } else {
        ck_assert_str_eq(leads(next, NOW), s->meant);
    }
    if (rc == ERR_BUSY) {
        clock_virtual_advance(60000);
        ck_assert_int_eq(changer_apply(c, old, b.p, b.n, "changes", 100, &diag, &next), 0);
    }
    snapshot_unref(next);
    snapshot_unref(old);
    changer_free(c);
    diag_done(&diag);
}

START_TEST(changes_are_judged_alike)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        judge_change(&steps[i], (int)i);
}
END_TEST

// A change that touches a registry for other reasons (a private endpoint, say) keeps its move; so
// does the compiled form.
START_TEST(a_move_is_carried_along)
{
    struct diag diag;
    struct topology *again = NULL, *old = NULL, *next = NULL;
    AUTO_BUF struct buf b, text;
    clock_virtual_set((int64_t)NOW * 1000);
    buf_init(&b, 0);
    buf_init(&text, 0);
    diag_init(&diag);
    document(&text, 2, ALL, AT("eus-11", "eus-1", SOON));
    buf_str(&text, "views: [{ name: corp, sources: [10.0.0.0/8] }]\n");
    ck_assert_int_eq(parse(&text, &diag, &old), 0);
    static const char change[] =
        "version: 3\nprivate_endpoints: [{ name: pe, registry: contoso, view: corp, "
        "addresses: { registry: 10.0.0.4 } }]\n...\n";
    struct changer *c = changer_new();
    ck_assert_int_eq(changer_apply(c, old, change, strlen(change), "changes", 1, &diag, &next), 0);
    ck_assert_str_eq(leads(next, NOW), "eus-1");
    ck_assert_str_eq(leads(next, NOW + 60), "eus-11");
    ck_assert_int_eq(compiled_format(next, &b), 0);
    ck_assert_int_eq(topology_file_parse(TOPOLOGY_FULL, b.p, b.n, "compiled", &diag, &again), 0);
    ck_assert_str_eq(leads(again, NOW), "eus-1");
    ck_assert_str_eq(leads(again, NOW + 60), "eus-11");
    snapshot_unref(again);
    snapshot_unref(next);
    snapshot_unref(old);
    changer_free(c);
    diag_done(&diag);
}
END_TEST

// Many at once, by a compiled form, which has no lines: some are named, the rest counted.
START_TEST(many_are_named_in_part)
{
    struct diag diag;
    int64_t again_s;
    AUTO_BUF struct buf packed;
    struct buf b[2];
    struct topology *t[2] = {NULL, NULL};
    clock_virtual_set((int64_t)NOW * 1000);
    buf_init(&b[0], 0);
    buf_init(&b[1], 0);
    buf_init(&packed, 0);
    diag_init(&diag);
    for (int k = 0; k < 2; k++) {
        document(&b[k], 2 + (unsigned)k, ALL, "stamp: eus-10");
        for (int i = 0; i < 20; i++)
            buf_printf(&b[k],
                       "  - { name: tenant%02d, replicas: [{ region: eastus, stamp: %s }] }\n", i,
                       k ? "eus-11" : "eus-1");
        ck_assert_int_eq(parse(&b[k], &diag, &t[k]), 0);
    }
    ck_assert_int_eq(compiled_format(t[1], &packed), 0);
    snapshot_unref(t[1]);
    ck_assert_int_eq(topology_file_parse(TOPOLOGY_FULL, packed.p, packed.n, "c", &diag, &t[1]), 0);
    ck_assert(!successor_ok(t[0], t[1], (struct bytes){0}, NOW, &diag, &again_s));
    AUTO_FREE char *text = diag_text(&diag);
    ck_assert_uint_eq(diag_count(&diag), 9);
    ck_assert_msg(strstr(text, "c: and so of 12 more registries") != NULL, "%s", text);
    buf_done(&b[0]);
    buf_done(&b[1]);
    snapshot_unref(t[0]);
    snapshot_unref(t[1]);
    diag_done(&diag);
}
END_TEST

CHECK_MAIN("control/moves", fields_are_judged_by_themselves,
           names_lead_to_the_stamp_from_its_time_on, a_version_is_judged_by_the_one_in_force,
           changes_are_judged_alike, a_move_is_carried_along, many_are_named_in_part)
