// SPDX-License-Identifier: Apache-2.0
// A document applied by three sides, its base in a small ledger, and the way back: one by one, and
// many times at random.
#include "control/document_apply.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/policy.h"
#include "control/changer.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/document_text.h"
#include "control/rollback.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/registries.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

// ---- a fleet: what is in force, and a ledger ----

#define LEDGER_MAX 4096
struct fleet {
    struct topology *t;
    struct changer *changer;
    struct ledger_row {
        char *key, *value;
    } ledger[LEDGER_MAX];
    size_t n;
};

static struct fleet fleet;

static struct ledger_row *find_record(const char *key)
{
    for (size_t i = 0; i < fleet.n; i++)
        if (!strcmp(fleet.ledger[i].key, key))
            return &fleet.ledger[i];
    return NULL;
}

static void put_record(const char *key, const char *value)
{
    struct ledger_row *r = find_record(key);
    if (!r && !value)
        return;
    if (!r) {
        if (fleet.n == LEDGER_MAX)
            ck_abort_msg("the ledger is full");
        r = &fleet.ledger[fleet.n++];
        *r = (struct ledger_row){strdup(key), strdup(value)};
        return;
    }
    free(r->value);
    if (value) {
        r->value = strdup(value);
        return;
    }
    free(r->key);
    *r = fleet.ledger[--fleet.n];
}

static int look_up(void *ctx, const char *key, struct buf *out)
{
    (void)ctx;
    const struct ledger_row *r = find_record(key);
    if (!r)
        return ERR_NOTFOUND;
    if (out)
        buf_str(out, r->value);
    return 0;
}

static int visit_all(void *ctx, const char *prefix, int (*visit)(void *v, const char *key), void *v)
{
    (void)ctx;
    for (size_t i = 0; i < fleet.n; i++) {
        int rc = 0;
        if (!strncmp(fleet.ledger[i].key, prefix, strlen(prefix)))
            rc = visit(v, fleet.ledger[i].key);
        if (rc)
            return rc;
    }
    return 0;
}

static size_t records_of_rows(void)
{
    return fleet.n - (find_record(APPLIED_MARK) != NULL);
}

// The mark counts the records of rows.
static void judge_mark(void)
{
    struct applied_mark m = applied_mark_read(look_up, NULL);
    ck_assert_uint_eq(m.rows, records_of_rows());
}

static struct topology *parse(const char *text)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, text);
    return registries_parse(TOPOLOGY_FULL, &b);
}

// The document with another frame, as the feed would make it: numbered, its rows as they are.
static struct topology *with_frame(const struct topology *t, const char *frame)
{
    AUTO_BUF struct buf all, whole;
    buf_init(&all, 0);
    buf_init(&whole, 0);
    ck_assert_int_eq(document_export(t, &all), 0);
    const char *version = strstr(frame, "version:"), *rest = strchr(version, '\n');
    buf_add(&whole, frame, (size_t)(version - frame));
    buf_printf(&whole, "version: %llu%s", (unsigned long long)t->version + 1, rest);
    const char *rows = strstr(buf_cstr(&all), "\nregistries:\n");
    buf_str(&whole, rows ? rows : "");
    return registries_parse(TOPOLOGY_FULL, &whole);
}

static void take_over(struct topology *next)
{
    snapshot_unref(fleet.t);
    fleet.t = next;
}

// Rows in force, one version up; refused: false.
static bool put_change(const char *change, size_t n)
{
    AUTO_BUF struct buf text;
    struct topology *next;
    struct diag d;
    buf_init(&text, 0);
    unsigned long long version = fleet.t->version + 1;
    buf_printf(&text, "version: %llu\nincarnation: %llu\n", version, version);
    buf_add(&text, change, n);
    diag_init(&d);
    int rc = changer_apply(fleet.changer, fleet.t, buf_cstr(&text), text.n, "c", 1, &d, &next);
    diag_done(&d);
    if (rc)
        return false;
    take_over(next);
    return true;
}

// What a command does: the change, with the records that keep the base.
static bool command(const char *frame, const char *change)
{
    struct arena arena;
    struct applied_record *list;
    size_t n;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "version: 1\n%s", change ? change : "");
    arena_init(&arena, 0);
    const struct applied_change c = {.before = fleet.t,
                                     .frame = bytes_str(frame ? frame : ""),
                                     .change =
                                         change ? bytes_of(text.p, text.n) : (struct bytes){0},
                                     .by = "operator:ada"};
    ck_assert_int_eq(applied_keep(&c, look_up, NULL, &arena, &list, &n), 0);
    bool done = true;
    if (frame)
        take_over(with_frame(fleet.t, frame));
    if (change)
        done = put_change(change, strlen(change));
    for (size_t i = 0; done && i < n; i++)
        put_record(list[i].key, list[i].value);
    arena_done(&arena);
    judge_mark();
    return done;
}

static void fleet_begin(struct topology *t)
{
    fleet.t = t;
    fleet.changer = changer_new();
}

static void fleet_end(void)
{
    while (fleet.n)
        put_record(fleet.ledger[0].key, NULL);
    changer_free(fleet.changer);
    snapshot_unref(fleet.t);
}

// ---- applying ----

struct applied {
    int rc;
    bool changed;
    size_t n_kept, n_conflicts;
    // "row member" of each, and "section.c: file, by"
    char kept[4096], conflicts[4096], why[512];
};

static void put_members(char *out, size_t cap, const struct document_member *list, size_t n)
{
    size_t at = 0;
    *out = 0;
    for (size_t i = 0; i < n; i++)
        if (at < cap)
            at += (size_t)snprintf(out + at, cap - at, "%s %s: %s, file %s\n", list[i].row,
                                   list[i].member, list[i].in_force ? list[i].in_force : "-",
                                   list[i].file ? list[i].file : "-");
}

static void take_documents(const struct document_apply *a, struct applied *out)
{
    out->changed = a->frame.n || a->change.n;
    if (a->frame.n)
        take_over(with_frame(fleet.t, buf_cstr(&a->frame)));
    if (a->change.n && !put_change(buf_cstr(&a->change), a->change.n))
        ck_abort_msg("refused: %s", buf_cstr(&a->change));
    for (size_t i = 0; i < a->n_records; i++)
        put_record(a->records[i].key, a->records[i].value);
    judge_mark();
}

// `exported`: the version that the file was exported at; NULL: it does not say.
static struct applied apply_edited(const struct topology *exported, const struct topology *file,
                                   enum document_winner wins)
{
    static struct applied out;
    struct document_diff d;
    struct document_apply a;
    struct diag diag;
    AUTO_BUF struct buf change;
    size_t next;
    out = (struct applied){.rc = 0};
    buf_init(&change, 0);
    ck_assert_int_eq(document_diff(fleet.t, file, &d), 0);
    ck_assert_int_eq(document_diff_part(&d, 0, SIZE_MAX, &change, &next), 0);
    ck_assert_uint_eq(next, document_diff_rows(&d));
    struct document_apply_in in = {.t = fleet.t,
                                   .exported = exported,
                                   .change = bytes_of(change.p, change.n),
                                   .whole = true,
                                   .wins = wins,
                                   .by = "operator:bob",
                                   .look_up = look_up,
                                   .visit = visit_all};
    if (d.frame)
        in.frame = bytes_of(file->frame->text, file->frame->text_n);
    diag_init(&diag);
    out.rc = document_apply(&in, &diag, &a);
    snprintf(out.why, sizeof out.why, "%s", diag.n ? diag.lines[0] : "");
    diag_done(&diag);
    out.n_kept = a.n_kept;
    out.n_conflicts = a.n_conflicts;
    put_members(out.kept, sizeof out.kept, a.kept, a.n_kept);
    put_members(out.conflicts, sizeof out.conflicts, a.conflicts, a.n_conflicts);
    if (!out.rc && (!a.n_conflicts || wins != WINS_NOBODY))
        take_documents(&a, &out);
    document_apply_done(&a);
    document_diff_done(&d);
    return out;
}

static struct applied apply(const struct topology *file, enum document_winner wins)
{
    return apply_edited(NULL, file, wins);
}

#define FRAME(ttl)                                                                      \
    "version: 1\ndomain: example.io\nname_servers: [s1.a] # the first\nregions:\n"      \
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n" \
    "views: [{ name: corp, sources: [10.1.0.0/16] }]\nttl: { global: " ttl "s }\n"
#define CONTOSO(more) "  - { name: contoso, replicas: [{ region: a }, { region: b }]" more " }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: b }] }\n"
#define ROWS(rows) "registries:\n" rows
#define TAILSPIN "  - { name: tailspin, replicas: [{ region: a }] }\n"

static const struct registry *in_force(const char *name)
{
    return topology_registry(fleet.t, name);
}

START_TEST(a_change_by_a_command_is_kept_and_named)
{
    struct topology *file = parse(FRAME("30") ROWS(CONTOSO("") FABRIKAM));
    struct topology *edited = parse(FRAME("30") ROWS(CONTOSO(", anonymous_pull: true") FABRIKAM));
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO("") FABRIKAM)));
    ck_assert(command(NULL, ROWS("  - { name: contoso, replicas: [{ region: a, drained: true }, "
                                 "{ region: b }] }\n")));
    ck_assert_uint_eq(records_of_rows(), 1);
    struct applied a = apply(edited, WINS_NOBODY);
    ck_assert_int_eq(a.rc, 0);
    ck_assert(a.changed);
    ck_assert_str_eq(a.kept, "registry/contoso replicas/a/drained: true, file false\n");
    ck_assert(in_force("contoso")->replicas[0].drained);
    ck_assert(in_force("contoso")->anonymous_pull);
    // once more: nothing to do, and still named
    a = apply(edited, WINS_NOBODY);
    ck_assert(!a.changed);
    ck_assert_uint_eq(a.n_kept, 1);
    // the file takes it over: nothing is kept any more, and the base is the file
    struct topology *taken =
        parse(FRAME("30") ROWS("  - { name: contoso, anonymous_pull: true, replicas: [{ region: a, "
                               "drained: true }, { region: b }] }\n" FABRIKAM));
    a = apply(taken, WINS_NOBODY);
    ck_assert(!a.changed);
    ck_assert_uint_eq(a.n_kept, 0);
    ck_assert_uint_eq(records_of_rows(), 0);
    // and so what the file undoes now is undone
    a = apply(file, WINS_NOBODY);
    ck_assert(a.changed);
    ck_assert(!in_force("contoso")->replicas[0].drained);
    ck_assert(!in_force("contoso")->anonymous_pull);
    snapshot_unref(file);
    snapshot_unref(edited);
    snapshot_unref(taken);
    fleet_end();
}
END_TEST

START_TEST(conflicts_are_refused_unless_somebody_wins)
{
    struct topology *file = parse(FRAME("30") ROWS(CONTOSO(", quota: 5GiB")));
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO(""))));
    ck_assert(command(NULL, ROWS(CONTOSO(", quota: 7GiB"))));
    struct applied a = apply(file, WINS_NOBODY);
    ck_assert_str_eq(a.conflicts, "registry/contoso quota: 7516192768, file 5368709120\n");
    ck_assert(!a.changed);
    a = apply(file, WINS_COMMANDS);
    ck_assert(!a.changed);
    // the file's word is its base from then on: no conflict, and kept
    a = apply(file, WINS_NOBODY);
    ck_assert_uint_eq(a.n_conflicts, 0);
    ck_assert_uint_eq(a.n_kept, 1);
    struct topology *again = parse(FRAME("30") ROWS(CONTOSO(", quota: 6GiB")));
    a = apply(again, WINS_NOBODY);
    ck_assert_uint_eq(a.n_conflicts, 1);
    a = apply(again, WINS_FILE);
    ck_assert(a.changed);
    ck_assert_uint_eq(records_of_rows(), 0);
    a = apply(again, WINS_NOBODY);
    ck_assert(!a.changed && !a.n_conflicts && !a.n_kept);
    snapshot_unref(file);
    snapshot_unref(again);
    fleet_end();
}
END_TEST

// What commands had made when the document was exported is the base; what they make after it is kept.
START_TEST(an_exported_document_has_seen_what_commands_did_before)
{
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO(""))));
    ck_assert(command(FRAME("40"), ROWS(CONTOSO(", quota: 7GiB") FABRIKAM)));
    struct topology *exported = snapshot_ref(fleet.t);
    ck_assert(command(NULL, ROWS(CONTOSO(", quota: 7GiB, anonymous_pull: true"))));
    struct topology *edited = parse(FRAME("50") ROWS(CONTOSO(
        ", quota: 9GiB") "  - { name: fabrikam, quota: 1GiB, replicas: [{ region: b }] }\n"));
    struct applied a = apply(edited, WINS_NOBODY);
    ck_assert_uint_gt(a.n_conflicts, 1);
    ck_assert(!a.changed);
    a = apply_edited(exported, edited, WINS_NOBODY);
    ck_assert_msg(!a.n_conflicts, "%s", a.conflicts);
    ck_assert_str_eq(a.kept, "registry/contoso anonymous_pull: true, file false\n");
    ck_assert(a.changed);
    ck_assert(in_force("contoso")->anonymous_pull);
    ck_assert_uint_eq(in_force("contoso")->policy->quota_bytes, 9ull << 30);
    ck_assert_uint_eq(in_force("fabrikam")->policy->quota_bytes, 1ull << 30);
    ck_assert_uint_eq(fleet.t->ttl.global, 50);
    // the ledger is the base again, and has what the file does not say
    ck_assert_uint_eq(records_of_rows(), 1);
    ck_assert_uint_gt(applied_mark_read(look_up, NULL).at, exported->version);
    a = apply(edited, WINS_NOBODY);
    ck_assert(!a.changed && !a.n_conflicts);
    ck_assert_uint_eq(a.n_kept, 1);
    // what both have changed is a conflict still
    ck_assert(command(NULL, ROWS(CONTOSO(", quota: 3GiB, anonymous_pull: true"))));
    struct topology *again = parse(FRAME("50") ROWS(CONTOSO(", quota: 4GiB")));
    a = apply_edited(exported, again, WINS_NOBODY);
    ck_assert_uint_eq(a.n_conflicts, 1);
    snapshot_unref(again);
    snapshot_unref(edited);
    snapshot_unref(exported);
    fleet_end();
}
END_TEST

START_TEST(registries_made_and_deleted_by_commands_stay_so)
{
    struct topology *file = parse(FRAME("30") ROWS(CONTOSO("") FABRIKAM));
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO("") FABRIKAM)));
    ck_assert(command(NULL, "remove: [fabrikam]\n"));
    ck_assert(command(NULL, ROWS(TAILSPIN)));
    struct applied a = apply(file, WINS_NOBODY);
    ck_assert(!a.changed);
    ck_assert_uint_eq(a.n_kept, 2);
    ck_assert_ptr_nonnull(in_force("tailspin"));
    ck_assert_ptr_null(in_force("fabrikam"));
    // a document that was exported has it all, and takes it away again
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(document_export(fleet.t, &text), 0);
    struct topology *exported = parse(buf_cstr(&text));
    a = apply(exported, WINS_NOBODY);
    ck_assert(!a.changed && !a.n_kept);
    ck_assert_uint_eq(records_of_rows(), 0);
    struct topology *without = parse(FRAME("30") ROWS(CONTOSO("")));
    a = apply(without, WINS_NOBODY);
    ck_assert(a.changed && !a.n_kept);
    ck_assert_ptr_null(in_force("tailspin"));
    // deleted by a command, changed by the file
    ck_assert(command(NULL, "remove: [contoso]\nregistries:\n" FABRIKAM));
    struct topology *changed = parse(FRAME("30") ROWS(CONTOSO(", quota: 1GiB")));
    a = apply(changed, WINS_NOBODY);
    ck_assert_uint_eq(a.n_conflicts, 1);
    a = apply(changed, WINS_FILE);
    ck_assert_ptr_nonnull(in_force("contoso"));
    // it is another registry, and the file need not say so
    ck_assert_uint_gt(in_force("contoso")->incarnation, 1);
    a = apply(changed, WINS_NOBODY);
    ck_assert(!a.changed && !a.n_conflicts);
    snapshot_unref(file);
    snapshot_unref(exported);
    snapshot_unref(without);
    snapshot_unref(changed);
    fleet_end();
}
END_TEST

START_TEST(sections_are_merged_by_member)
{
    fleet_begin(parse(FRAME("30") "health: { interval: 2s }\n" ROWS(CONTOSO(""))));
    ck_assert(
        command(FRAME("30") "health: { interval: 3s }\n"
                            "zone_serial: { serial: 1, content: "
                            "0000000000000000000000000000000000000000000000000000000000000000 "
                            "}\n",
                NULL));
    struct topology *file = parse(FRAME("40") "health: { interval: 2s }\n" ROWS(CONTOSO("")));
    struct applied a = apply(file, WINS_NOBODY);
    ck_assert_str_eq(a.why, "");
    ck_assert_str_eq(a.kept, "section/health interval: 3s, file 2s\n");
    ck_assert_uint_eq(fleet.t->ttl.global, 40);
    ck_assert_uint_eq(fleet.t->health.interval_ms, 3000);
    // the file does not have it, and says nothing about it
    ck_assert_uint_eq(fleet.t->frame->serial.pin, 1);
    // with the file as it is meant now, its text is taken, with its comments
    struct topology *now = parse(FRAME("50") "health: { interval: 3s }\n" ROWS(CONTOSO("")));
    a = apply(now, WINS_NOBODY);
    ck_assert(a.changed && !a.n_kept);
    ck_assert_ptr_nonnull(strstr(fleet.t->frame->text, "# the first"));
    ck_assert_uint_eq(fleet.t->frame->serial.pin, 1);
    ck_assert_uint_eq(records_of_rows(), 0);
    snapshot_unref(file);
    snapshot_unref(now);
    fleet_end();
}
END_TEST

START_TEST(beyond_what_is_kept_nothing_is_taken_for_granted)
{
    struct topology *file = parse(FRAME("30") ROWS(CONTOSO("")));
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO("") FABRIKAM)));
    put_record(APPLIED_MARK, "{\"rows\":20000,\"lost\":true}");
    struct document_diff d;
    ck_assert_int_eq(document_diff(fleet.t, file, &d), 0);
    ck_assert_uint_eq(d.change.n_remove, 1);
    document_diff_done(&d);
    // fabrikam may be of a command: it stays
    struct arena arena;
    struct applied_record *list;
    size_t n;
    arena_init(&arena, 0);
    const struct applied_change c = {
        .before = fleet.t, .change = bytes_str("version: 1\nremove: [fabrikam]\n"), .by = "x"};
    ck_assert_int_eq(applied_keep(&c, look_up, NULL, &arena, &list, &n), 0);
    ck_assert_uint_eq(n, 0);
    arena_done(&arena);
    put_record(APPLIED_MARK, "{\"rows\":0,\"lost\":true}");
    struct applied a = apply(file, WINS_NOBODY);
    ck_assert(!a.changed);
    ck_assert_str_eq(a.kept, "registry/fabrikam : {name: fabrikam, regional_endpoints: disabled, "
                             "data_endpoints: disabled, anonymous_pull: false, replicas: [{region: "
                             "b, stamp: s1, global_routing: true, drained:…, file -\n");
    snapshot_unref(file);
    fleet_end();
}
END_TEST

START_TEST(what_cannot_be_applied_is_refused)
{
    static const struct {
        const char *frame, *change, *why;
    } rows[] = {
        {"registries: []\n", "", "registries is no section of a frame"},
        {"- a\n", "", "expected sections"},
        {"", "registries: nothing\n", "registries"},
        {"", "remove: ['a\"b']\n", "cannot be the name of a row"},
        {FRAME("30") "control: { writer: b }\n", "", "the section control is changed by"},
    };
    fleet_begin(parse(FRAME("30") ROWS(CONTOSO(""))));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct document_apply a;
        struct diag d;
        const struct document_apply_in in = {.t = fleet.t,
                                             .frame = bytes_str(rows[i].frame),
                                             .change = bytes_str(rows[i].change),
                                             .look_up = look_up,
                                             .visit = visit_all};
        diag_init(&d);
        ck_assert_int_eq(document_apply(&in, &d, &a), ERR_INVAL);
        ck_assert_uint_ge(d.n, 1);
        ck_assert_msg(strstr(d.lines[0], rows[i].why) != NULL, "%s", d.lines[0]);
        diag_done(&d);
        document_apply_done(&a);
    }
    fleet_end();
}
END_TEST

// ---- parts ----

START_TEST(many_rows_go_in_parts)
{
    AUTO_BUF struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    registries_document(&a, 40, 4);
    buf_str(&b, REGISTRIES_FRAME "registries:\n");
    for (unsigned i = 20; i < 90; i++)
        registries_row(&b, i);
    struct topology *from = registries_parse(TOPOLOGY_FULL, &a);
    struct topology *to = registries_parse(TOPOLOGY_FULL, &b);
    struct document_diff d;
    size_t n_parts = 0;
    ck_assert_int_eq(document_diff(from, to, &d), 0);
    fleet_begin(from);
    snapshot_ref(from);
    for (size_t at = 0; at < document_diff_rows(&d); n_parts++) {
        AUTO_BUF struct buf text;
        size_t next = at;
        buf_init(&text, 0);
        ck_assert_int_eq(document_diff_part(&d, at, 6000, &text, &next), 0);
        ck_assert_uint_gt(next, at);
        at = next;
        put_change(buf_cstr(&text), text.n); // moves of stamps are refused
    }
    ck_assert_uint_ge(n_parts, 3);
    size_t n = 0;
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(to, &it));)
        n += in_force(r->name) != NULL;
    ck_assert_uint_ge(n, 40);
    document_diff_done(&d);
    snapshot_unref(from);
    snapshot_unref(to);
    fleet_end();
}
END_TEST

// ---- back ----

// Nobody has asked for private endpoints here.
static void no_records(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    (void)ctx;
    (void)prefix;
    (void)visit;
    (void)v;
}

static void go_back(const struct topology *old, char *kept, size_t cap, char *removed)
{
    struct topology_rollback r;
    size_t at = 0;
    *kept = *removed = 0;
    const struct ledger_look l = {NULL, look_up, no_records};
    ck_assert_int_eq(topology_rollback(fleet.t, old, &l, 1790000000000, &r), 0);
    for (size_t i = 0; i < r.n_kept; i++)
        at += (size_t)snprintf(kept + at, cap - at, "%s\n", r.kept[i].what);
    for (size_t i = 0; i < r.n_removed; i++)
        strcat(strcat(removed, r.removed[i]), "\n");
    if (r.frame.n)
        take_over(with_frame(fleet.t, buf_cstr(&r.frame)));
    if (r.change.n && !put_change(buf_cstr(&r.change), r.change.n))
        ck_abort_msg("refused: %s", buf_cstr(&r.change));
    topology_rollback_done(&r);
}

#define KEY1 "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
#define FEED_KEY "feed_keys: [{ id: a-1, key: \"" KEY1 "\" }]"
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

// Version 42 revokes a key, 43 is wrong, and somebody goes back to 41.
START_TEST(a_rollback_takes_no_revocation_back)
{
    char kept[1024], removed[256];
    struct topology *v41 = parse(FRAME("30") "identities: { a: { " FEED_KEY
                                             " } }\n" ROWS(CONTOSO(", incarnation: 1") FABRIKAM));
    fleet_begin((struct topology *)snapshot_ref(v41));
    ck_assert(command(FRAME("30") "identities: { a: { " FEED_KEY
                                  ", revoked: [{ key: a-1, epoch: 1, "
                                  "seq: 0, hash: " NO_HASH " }] } }\n",
                      NULL));
    ck_assert(command(FRAME("5") "identities: { a: { " FEED_KEY ", revoked: [{ key: a-1, epoch: 1, "
                                 "seq: 0, hash: " NO_HASH " }] } }\n",
                      "remove: [fabrikam]\n" ROWS(TAILSPIN)));
    ck_assert(command(NULL, "remove: [contoso]\n"));
    ck_assert(command(NULL, ROWS(CONTOSO(", anonymous_pull: true"))));
    uint64_t version = fleet.t->version, incarnation = in_force("contoso")->incarnation;
    go_back(v41, kept, sizeof kept, removed);
    ck_assert_str_eq(kept, "section/identities\nregistry/contoso\nregistry/fabrikam\n");
    ck_assert_str_eq(removed, "tailspin\n");
    ck_assert_uint_gt(fleet.t->version, version);
    ck_assert_uint_eq(fleet.t->ttl.global, 30);
    ck_assert_ptr_nonnull(topology_revocation(fleet.t, "a-1"));
    // the one that was created anew is another registry, and stays what it is
    ck_assert_uint_eq(in_force("contoso")->incarnation, incarnation);
    ck_assert(in_force("contoso")->anonymous_pull);
    ck_assert_ptr_null(in_force("fabrikam"));
    ck_assert_ptr_null(in_force("tailspin"));
    snapshot_unref(v41);
    fleet_end();
}
END_TEST

START_TEST(a_rollback_leaves_regions_and_stamps_alone)
{
    char kept[1024], removed[256];
    static const char regions[] =
        "version: 1\ndomain: example.io\nname_servers: [s1.a]\nregions:\n"
        "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }, { name: s2, "
        "ipv4: [192.0.2.9] }] }\n"
        "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n";
    AUTO_BUF struct buf more;
    buf_init(&more, 0);
    buf_printf(&more, "%s%s", regions,
               "  - { name: c, peer: 10.0.0.3:8443, stamps: [{ name: s1, ipv4: [192.0.2.3] }] }\n"
               "ttl: { global: 5s }\n");
    AUTO_BUF struct buf whole;
    buf_init(&whole, 0);
    buf_printf(&whole, "%s" ROWS("  - { name: contoso, replicas: [{ region: a, stamp: s1 }] }\n"),
               regions);
    struct topology *old = parse(buf_cstr(&whole));
    fleet_begin((struct topology *)snapshot_ref(old));
    ck_assert(command(buf_cstr(&more), NULL));
    ck_assert(command(NULL, ROWS("  - { name: contoso, anonymous_pull: true, replicas: [{ region: "
                                 "a, stamp: s2, stamp_was: s1, stamp_since: "
                                 "'2099-01-01T00:00:00Z' }, { region: c }] }\n")));
    go_back(old, kept, sizeof kept, removed);
    ck_assert_str_eq(kept, "section/regions/c\nregistry/contoso/a\n");
    ck_assert_uint_eq(fleet.t->n_regions, 3);
    ck_assert_uint_eq(fleet.t->ttl.global, old->ttl.global);
    const struct registry *r = in_force("contoso");
    ck_assert(!r->anonymous_pull);
    ck_assert_uint_eq(r->n_replicas, 1);
    ck_assert_uint_eq(r->replicas[0].stamp, 1);
    ck_assert_uint_eq(r->n_moves, 1);
    snapshot_unref(old);
    fleet_end();
}
END_TEST

// ---- at random ----

static void random_rows(struct buf *b, unsigned n)
{
    buf_str(b, REGISTRIES_FRAME "registries:\n");
    for (unsigned i = 0; i < n; i++)
        if (i < 3 || registries_random(4))
            registries_row(b, i);
}

static struct topology *random_file(void)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    random_rows(&b, 12);
    return registries_parse(TOPOLOGY_FULL, &b);
}

static void random_command(void)
{
    AUTO_BUF struct buf b;
    char name[64];
    unsigned i = registries_random(14);
    buf_init(&b, 0);
    if (registries_random(4) == 0 && i >= 3 && in_force(registries_name(i, name)))
        buf_printf(&b, "remove: [%s]\n", name);
    else {
        buf_str(&b, "registries:\n");
        registries_row(&b, i);
    }
    command(NULL, buf_cstr(&b)); // some moves of stamps are refused
}

// What the file has changed is in force, what commands have changed is too, and a second apply has
// nothing to do.
START_TEST(a_second_apply_has_nothing_to_do)
{
    fleet_begin(random_file());
    for (unsigned i = 0; i < 150; i++) {
        for (unsigned k = registries_random(4); k > 0; k--)
            random_command();
        struct topology *file = random_file();
        struct document_diff d;
        struct document_apply a;
        AUTO_BUF struct buf change;
        size_t next;
        buf_init(&change, 0);
        ck_assert_int_eq(document_diff(fleet.t, file, &d), 0);
        ck_assert_int_eq(document_diff_part(&d, 0, SIZE_MAX, &change, &next), 0);
        const struct document_apply_in in = {.t = fleet.t,
                                             .change = bytes_of(change.p, change.n),
                                             .whole = true,
                                             .wins = i % 2 ? WINS_FILE : WINS_COMMANDS,
                                             .look_up = look_up,
                                             .visit = visit_all};
        ck_assert_int_eq(document_apply(&in, NULL, &a), 0);
        bool taken = !a.change.n || put_change(buf_cstr(&a.change), a.change.n);
        for (size_t k = 0; taken && k < a.n_records; k++)
            put_record(a.records[k].key, a.records[k].value);
        judge_mark();
        document_apply_done(&a);
        document_diff_done(&d);
        if (taken) {
            struct applied again = apply(file, WINS_NOBODY);
            ck_assert_msg(!again.changed && !again.n_conflicts, "%s", again.conflicts);
        }
        snapshot_unref(file);
    }
    fleet_end();
}
END_TEST

CHECK_MAIN("control/document_apply", a_change_by_a_command_is_kept_and_named,
           conflicts_are_refused_unless_somebody_wins,
           an_exported_document_has_seen_what_commands_did_before,
           registries_made_and_deleted_by_commands_stay_so, sections_are_merged_by_member,
           beyond_what_is_kept_nothing_is_taken_for_granted, what_cannot_be_applied_is_refused,
           many_rows_go_in_parts, a_rollback_takes_no_revocation_back,
           a_rollback_leaves_regions_and_stamps_alone, a_second_apply_has_nothing_to_do)
