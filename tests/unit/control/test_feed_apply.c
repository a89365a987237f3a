// SPDX-License-Identifier: Apache-2.0
// Applying and going back on the control feed itself: the base stands at every node, over restarts
// and takeovers; and a rollback brings back nothing that was revoked, deleted or counted.
#include "control/feed.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "config/frontend.h"
#include "config/policy.h"
#include "config/reserved.h"
#include "config/topology_control.h"
#include "control/connections.h"
#include "control/document_apply.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/frame.h"
#include "control/rollback.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <string.h>

#define ROW(name, more) "  - { name: " name ", replicas: [{ region: eastus }]" more " }\n"
#define ROWS(rows) "registries:\n" rows

static struct small_fleet *fl;

static void begin(size_t n)
{
    fl = small_fleet_new(n);
    for (size_t i = 0; i < n; i++)
        small_fleet_start(fl, i);
}

static struct topology *in_force(size_t i)
{
    return snapshot_get(&fl->nodes[i].tcell);
}

static void append(size_t i, const struct control_draft *d)
{
    struct control_place p;
    int rc = control_feed_append(fl->nodes[i].feed, d, &fl->nodes[i].diag, &p);
    char *why = diag_text(&fl->nodes[i].diag);
    ck_assert_msg(!rc, "%s: %s", err_text(rc), why);
    free(why);
}

static int look_up(void *ctx, const char *key, struct buf *out)
{
    AUTO_BUF struct buf unused;
    buf_init(&unused, 0);
    return control_feed_record(ctx, key, out ? out : &unused);
}

static void visit_records(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    control_feed_records(ctx, prefix, visit, v);
}

struct visiting {
    int (*visit)(void *v, const char *key);
    void *v;
};

static bool visit_one(void *ctx, const char *key, const char *value)
{
    const struct visiting *x = ctx;
    (void)value;
    return x->visit(x->v, key) == 0;
}

static int visit_all(void *ctx, const char *prefix, int (*visit)(void *v, const char *key), void *v)
{
    struct visiting x = {visit, v};
    control_feed_records(ctx, prefix, visit_one, &x);
    return 0;
}

// The text is applied at node i. Returns how many members are kept; *out_changed: it did something.
static size_t apply(size_t i, const char *text, bool *out_changed)
{
    struct control_feed *f = fl->nodes[i].feed;
    struct topology *t = in_force(i), *file = NULL;
    struct document_diff diff;
    struct document_apply a;
    AUTO_BUF struct buf change;
    size_t next;
    buf_init(&change, 0);
    ck_assert_int_eq(topology_parse(text, strlen(text), "file", NULL, &file), 0);
    ck_assert_int_eq(document_diff(t, file, &diff), 0);
    ck_assert_int_eq(document_diff_part(&diff, 0, SIZE_MAX, &change, &next), 0);
    struct document_apply_in in = {.t = t,
                                   .change = bytes_of(change.p, change.n),
                                   .whole = true,
                                   .look_up = look_up,
                                   .visit = visit_all,
                                   .ctx = f};
    if (diff.frame)
        in.frame = bytes_of(file->frame->text, file->frame->text_n);
    ck_assert_int_eq(document_apply(&in, NULL, &a), 0);
    ck_assert_uint_eq(a.n_conflicts, 0);
    struct control_record *records = mem_zalloc_array(a.n_records + 1, sizeof *records);
    for (size_t k = 0; k < a.n_records; k++)
        records[k] = (struct control_record){a.records[k].key, a.records[k].value};
    const struct control_draft d = {.by = "operator:bob",
                                    .frame = bytes_of(a.frame.p, a.frame.n),
                                    .change = bytes_of(a.change.p, a.change.n),
                                    .records = records,
                                    .n_records = a.n_records};
    *out_changed = a.frame.n || a.change.n;
    if (*out_changed || a.n_records)
        append(i, &d);
    size_t n_kept = a.n_kept;
    free(records);
    document_apply_done(&a);
    document_diff_done(&diff);
    snapshot_unref(file);
    snapshot_unref(t);
    return n_kept;
}

static bool has_record(size_t i, const char *key)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    return control_feed_record(fl->nodes[i].feed, key, &text) == 0;
}

// The document that the fleet began with is the base from the first moment on.
START_TEST(the_base_is_at_every_node_and_outlives_the_writer)
{
    bool changed;
    begin(3);
    AUTO_FREE char *file = small_fleet_document(fl, 10, ROWS(ROW("first", "")));
    ck_assert_uint_eq(apply(0, file, &changed), 0);
    ck_assert(!changed);
    // commands
    small_fleet_change(fl, 0, ROWS(ROW("first", ", anonymous_pull: true")));
    small_fleet_change(fl, 0, ROWS(ROW("second", "")));
    ck_assert(has_record(0, "applied/registry/first"));
    ck_assert(has_record(0, "applied/registry/second"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert(has_record(1, "applied/registry/first"));
    // the file knows nothing of them, and takes nothing back
    ck_assert_uint_eq(apply(0, file, &changed), 2);
    ck_assert(!changed);
    ck_assert(small_fleet_has(fl, 0, "second"));
    // nor at another writer, after a restart
    small_fleet_pass(fl, 0, 1);
    small_fleet_stop(fl, 1);
    small_fleet_start(fl, 1);
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    control_feed_confirm(fl->nodes[1].feed, true);
    AUTO_FREE char *more = small_fleet_document(fl, 10, ROWS(ROW("first", ", quota: 5GiB")));
    ck_assert_uint_eq(apply(1, more, &changed), 2);
    ck_assert(changed);
    struct topology *t = in_force(1);
    ck_assert(topology_registry(t, "first")->anonymous_pull);
    ck_assert_uint_eq(policy_quota(topology_registry(t, "first")), (uint64_t)5 << 30);
    snapshot_unref(t);
    // a section more, and the document still names the writer of before
    AUTO_FREE char *section =
        small_fleet_document(fl, 10, "ttl: { global: 9s }\n" ROWS(ROW("first", ", quota: 5GiB")));
    apply(1, section, &changed);
    t = in_force(1);
    ck_assert_uint_eq(t->ttl.global, 9);
    ck_assert_str_eq(t->regions[t->control->writer].name, "westus");
    // what is exported says it all, and is the base then
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(document_export(t, &text), 0);
    snapshot_unref(t);
    ck_assert_uint_eq(apply(1, buf_cstr(&text), &changed), 0);
    ck_assert(!changed);
    ck_assert(!has_record(1, "applied/registry/first"));
    ck_assert(!has_record(1, "applied/registry/second"));
    small_fleet_free(fl);
}
END_TEST

static void new_frame(const char *from, const char *to)
{
    AUTO_BUF struct buf text, next;
    struct topology *t = in_force(0);
    buf_init(&text, 0);
    buf_init(&next, 0);
    ck_assert_int_eq(frame_text(t, &text), 0);
    snapshot_unref(t);
    const char *at = strstr(buf_cstr(&text), from);
    ck_assert_ptr_nonnull(at);
    buf_add(&next, text.p, (size_t)(at - text.p));
    buf_str(&next, to);
    buf_str(&next, at + strlen(from));
    const struct control_draft d = {.by = "operator:ada", .frame = bytes_of(next.p, next.n)};
    append(0, &d);
}

#define KEY "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

static void go_back(uint64_t version)
{
    struct control_feed *f = fl->nodes[0].feed;
    struct topology *now = in_force(0), *old = NULL;
    struct topology_rollback r;
    ck_assert_int_eq(control_feed_topology_at(f, version, &fl->nodes[0].diag, &old), 0);
    const struct ledger_look l = {f, look_up, visit_records};
    ck_assert_int_eq(topology_rollback(now, old, &l, clock_wall_ms(), &r), 0);
    const struct control_draft d = {.by = "operator:ada",
                                    .frame = bytes_of(r.frame.p, r.frame.n),
                                    .change = bytes_of(r.change.p, r.change.n)};
    append(0, &d);
    topology_rollback_done(&r);
    snapshot_unref(old);
    snapshot_unref(now);
}

// A version revokes keys and an operator, the next one is wrong, and somebody goes back to before.
START_TEST(going_back_takes_back_nothing_that_must_not_come_back)
{
    begin(2);
    new_frame("operators: []", "operators: [{ name: ada, key: \"" KEY "\", rights: [all] }]");
    new_frame("  eastus:\n", "  eastus:\n    feed_keys: [{ id: eastus-1, key: \"" KEY "\" }]\n");
    small_fleet_change(fl, 0, ROWS(ROW("second", ", owner: ada")));
    struct topology *old = in_force(0);
    uint64_t v41 = old->version, incarnation = topology_registry(old, "second")->incarnation;
    // 42
    new_frame("rights: [all] }", "rights: [all], revoked: true }");
    new_frame("    feed_keys:", "    revoked: [{ key: eastus-1, epoch: 1, seq: 0, hash: " NO_HASH
                                " }]\n    feed_keys:");
    small_fleet_change(fl, 0,
                       "remove: [second]\nreserve: [{ name: second, owner: ada, since: "
                       "\"2026-11-30T00:00:00Z\", until: \"2099-01-01T00:00:00Z\" }]\n");
    small_fleet_change(fl, 0, "remove: [first]\n");
    small_fleet_change(fl, 0, ROWS(ROW("first", "")));
    // 43
    new_frame("regions:\n", "ttl: { global: 5s }\nregions:\n");
    struct topology *wrong = in_force(0);
    uint64_t serial = frontend_serial(wrong, 0);
    go_back(v41);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    for (size_t i = 0; i < 2; i++) {
        struct topology *t = in_force(i);
        ck_assert_uint_gt(t->version, wrong->version);
        ck_assert_uint_eq(t->ttl.global, old->ttl.global);
        ck_assert_uint_ge(frontend_serial(t, 0), serial);
        ck_assert(topology_operator(t, "ada")->revoked);
        ck_assert_ptr_nonnull(topology_revocation(t, "eastus-1"));
        ck_assert_ptr_null(topology_registry(t, "second"));
        ck_assert_uint_eq(topology_reserved(t, "second")->incarnation, incarnation);
        ck_assert_uint_gt(topology_registry(t, "first")->incarnation, v41);
        snapshot_unref(t);
    }
    // an entry that takes a revocation back by hand is refused
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(frame_text(old, &text), 0);
    struct control_place p;
    const struct control_draft d = {.frame = bytes_of(text.p, text.n)};
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p), ERR_INVAL);
    snapshot_unref(old);
    snapshot_unref(wrong);
    small_fleet_free(fl);
}
END_TEST

static void connection_is(size_t node, const char *state)
{
    AUTO_BUF struct buf text;
    struct connection c;
    struct arena a;
    buf_init(&text, 0);
    arena_init(&a, 0);
    ck_assert_int_eq(control_feed_record(fl->nodes[node].feed, "connection/pe", &text), 0);
    ck_assert_int_eq(connection_parse("pe", buf_cstr(&text), &a, &c), 0);
    ck_assert_str_eq(connection_state_word(c.state), state);
    arena_done(&a);
}

#define PE(view, ip) \
    "{ name: pe, registry: first, view: " view ", addresses: { registry: " ip " } }"

// Whatever path a row comes and goes by, the entry has what becomes of its connection.
START_TEST(connections_follow_every_entry)
{
    bool changed;
    begin(2);
    new_frame("regions:\n", "views:\n  - { name: corp, sources: [10.4.0.0/16] }\nregions:\n");
    small_fleet_change(fl, 0, "private_endpoints:\n  - " PE("corp", "10.4.0.4") "\n");
    struct topology *with = in_force(0);
    uint64_t version = with->version;
    connection_is(0, "Approved");
    // by an apply
    AUTO_FREE char *file = small_fleet_document(
        fl, 10, "views:\n  - { name: corp, sources: [10.4.0.0/16] }\n" ROWS(ROW("first", "")));
    small_fleet_change(fl, 0, "private_endpoints:\n  - " PE("corp", "10.4.0.5") "\n");
    ck_assert(has_record(0, "rest/corp/10.4.0.4"));
    struct topology *t = in_force(0);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(document_export(t, &text), 0);
    snapshot_unref(t);
    apply(0, buf_cstr(&text), &changed);
    ck_assert(!changed);
    apply(0, file, &changed);
    ck_assert(changed);
    connection_is(0, "Rejected");
    // what is held is nobody else's, and no rollback brings it back
    ck_assert_int_ne(small_fleet_try_change(fl, 0,
                                            "private_endpoints:\n  - { name: other, registry: "
                                            "first, view: corp, addresses: { registry: 10.4.0.5 } "
                                            "}\n"),
                     0);
    ck_assert(small_fleet_said(&fl->nodes[0], "10.4.0.5 (view corp) is held for"));
    small_fleet_change(fl, 0, ROWS(ROW("third", "")));
    go_back(version);
    t = in_force(0);
    ck_assert_ptr_null(topology_registry(t, "third"));
    ck_assert_ptr_null(topology_private_endpoint(t, "pe", NULL));
    snapshot_unref(t);
    connection_is(0, "Rejected");
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    connection_is(1, "Rejected");
    ck_assert(has_record(1, "rest/corp/10.4.0.4"));
    snapshot_unref(with);
    small_fleet_free(fl);
}
END_TEST

// Whoever keeps the document in git has the old key in it: what a takeover says stays.
START_TEST(a_takeover_with_another_key_is_what_a_command_did)
{
    char dir[300];
    bool changed;
    struct region_keys *fresh = NULL;
    struct control_place p;
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    begin(2);
    AUTO_FREE char *file = small_fleet_document(fl, 10, ROWS(ROW("first", "")));
    ck_assert_uint_eq(apply(0, file, &changed), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    snprintf(dir, sizeof dir, "%s/fresh", fl->dir);
    ck_assert_int_eq(region_keys_create(dir, "westus", NULL), 0);
    ck_assert_int_eq(region_keys_open(dir, "westus", NULL, &fresh), 0);
    const struct control_takeover t = {.region = "westus",
                                       .control_key = region_keys_control_spki(fresh)};
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[1].feed, &t, NULL, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), NULL, &p), 0);
    struct region_keys *stolen = fl->nodes[1].keys;
    fl->nodes[1].keys = fresh;
    small_fleet_stop(fl, 1);
    small_fleet_start(fl, 1);
    ck_assert_uint_gt(apply(1, file, &changed), 0);
    ck_assert(!changed);
    region_keys_free(stolen);
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/feed_apply", connections_follow_every_entry,
           the_base_is_at_every_node_and_outlives_the_writer,
           going_back_takes_back_nothing_that_must_not_come_back,
           a_takeover_with_another_key_is_what_a_command_did)
