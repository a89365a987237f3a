// SPDX-License-Identifier: Apache-2.0
// See toy_fleet.h.
#include "tests/support/toy_fleet.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/member_probe.h"
#include "control/connections_follow.h"
#include "control/document_fields.h"
#include "control/frame.h"
#include "control/ttls_held.h"

#include <stdlib.h>
#include <string.h>

static int64_t now_ms(void *ctx)
{
    return ((struct toy_fleet *)ctx)->now_ms;
}

static int64_t sure_ms(void *ctx)
{
    const struct toy_fleet *f = ctx;
    if (f->sure_ms)
        return f->sure_ms;
    return f->now_ms;
}

static int writer(void *ctx, uint64_t *out_epoch, struct diag *diag)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    bool writes = !f->not_writer && !f->dead;
    *out_epoch = f->place.epoch;
    pthread_mutex_unlock(&f->lock);
    if (writes)
        return 0;
    diag_add(diag, NULL, 0, "another region writes");
    return ERR_DENIED;
}

static struct topology *topology(void *ctx)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    struct topology *t = snapshot_ref(f->t);
    pthread_mutex_unlock(&f->lock);
    return t;
}

static int principals(void *ctx, struct buf *out, uint64_t *out_version)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    buf_str(out, f->principals);
    *out_version = f->principals_version;
    pthread_mutex_unlock(&f->lock);
    return out->err;
}

// ---- the ledger ----

static struct toy_record *find(const struct toy_fleet *f, const char *key)
{
    for (size_t i = 0; i < f->n_records; i++)
        if (!strcmp(f->records[i].key, key))
            return &f->records[i];
    return NULL;
}

const char *toy_fleet_record(const struct toy_fleet *f, const char *key)
{
    const struct toy_record *r = find(f, key);
    if (r)
        return r->value;
    return NULL;
}

static void put(struct toy_fleet *f, const struct control_record *in)
{
    struct toy_record *r = find(f, in->key);
    if (r && !in->value) {
        free(r->key);
        free(r->value);
        *r = f->records[--f->n_records];
        return;
    }
    if (r) {
        free(r->value);
        r->value = mem_strdup(in->value);
        return;
    }
    if (!in->value)
        return;
    f->records = mem_realloc(f->records, (f->n_records + 1) * sizeof *f->records);
    f->records[f->n_records++] = (struct toy_record){mem_strdup(in->key), mem_strdup(in->value)};
}

static int record_locked(void *ctx, const char *key, struct buf *out)
{
    const char *value = toy_fleet_record(ctx, key);
    if (!value)
        return ERR_NOTFOUND;
    buf_str(out, value);
    return out->err;
}

static int record(void *ctx, const char *key, struct buf *out)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    int rc = record_locked(f, key, out);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void records_locked(void *ctx, const char *prefix,
                           bool (*visit)(void *v, const char *key, const char *value), void *v)
{
    const struct toy_fleet *f = ctx;
    bool more = true;
    for (size_t i = 0; more && i < f->n_records; i++)
        if (!strncmp(f->records[i].key, prefix, strlen(prefix)))
            more = visit(v, f->records[i].key, f->records[i].value);
}

static void records(void *ctx, const char *prefix,
                    bool (*visit)(void *v, const char *key, const char *value), void *v)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    records_locked(f, prefix, visit, v);
    pthread_mutex_unlock(&f->lock);
}

// ---- the feed ----

static int with_frame(struct toy_fleet *f, struct bytes frame, struct diag *diag,
                      struct topology **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!frame.n) {
        *out = snapshot_ref(f->t);
        return 0;
    }
    buf_add(&text, frame.p, frame.n);
    int rc = document_set_version(&text, f->t->version + 1);
    if (!rc)
        rc = frame_replace(f->t, bytes_of(text.p, text.n), "the new frame", TOPOLOGY_FULL, diag,
                           out);
    return rc;
}

static int judge_locked(struct toy_fleet *f, const struct control_draft *d, struct diag *diag,
                        struct topology **out)
{
    struct topology *framed = NULL;
    int rc = with_frame(f, d->frame, diag, &framed);
    if (rc)
        return rc;
    if (!d->change.n) {
        *out = framed;
        return 0;
    }
    changer_at(f->changer, f->now_ms);
    rc = changer_apply(f->changer, framed, (const char *)d->change.p, d->change.n, "change", 1,
                       diag, out);
    snapshot_unref(framed);
    return rc;
}

// As the feed does with every entry: *out is the draft with all its records.
static int follow(struct toy_fleet *f, const struct control_draft *d, struct arena *a,
                  struct diag *diag, struct control_draft *out)
{
    const struct ledger_look l = {f, record_locked, records_locked};
    const struct connections_change c = {.before = f->t,
                                         .change = d->change,
                                         .records = d->records,
                                         .n_records = d->n_records,
                                         .by = d->by ? d->by : "eastus",
                                         .now_ms = f->now_ms};
    *out = *d;
    return connections_follow(&c, &l, a, diag, &out->records, &out->n_records);
}

static int judge(void *ctx, const struct control_draft *d, struct diag *diag, struct topology **out)
{
    struct toy_fleet *f = ctx;
    struct topology *next = NULL;
    struct control_draft all;
    struct arena a;
    arena_init(&a, 0);
    pthread_mutex_lock(&f->lock);
    int rc = judge_locked(f, d, diag, &next);
    if (!rc)
        rc = follow(f, d, &a, diag, &all);
    pthread_mutex_unlock(&f->lock);
    arena_done(&a);
    if (rc)
        snapshot_unref(next);
    else
        *out = next;
    return rc;
}

static bool is_time_to_die(struct toy_fleet *f, enum toy_death how)
{
    if (f->dies != how || f->dies_in != 1)
        return false;
    f->dead = true;
    return true;
}

// As the feed does with every frame.
static void keep_ttls(struct toy_fleet *f, const struct control_draft *d,
                      const struct topology *next)
{
    struct arena a;
    struct control_record held;
    bool any = false;
    arena_init(&a, 0);
    if (!ttls_held_keep(f->t, d->frame, next->version, &a, &held, &any) && any)
        put(f, &held);
    arena_done(&a);
}

static void take(struct toy_fleet *f, const struct control_draft *d, struct topology *next)
{
    keep_ttls(f, d, next);
    snapshot_unref(f->t);
    f->t = next;
    if (d->principals.n) {
        free(f->principals);
        f->principals = mem_strndup((const char *)d->principals.p, d->principals.n);
        f->principals_version++;
    }
    for (size_t i = 0; i < d->n_records; i++)
        put(f, &d->records[i]);
    f->place.seq++;
    f->stored[0] = f->place.seq;
    if (f->appended)
        f->appended(f, f->ctx);
}

static int append_locked(struct toy_fleet *f, const struct control_draft *d, struct diag *diag,
                         struct control_place *out)
{
    struct topology *next;
    if (f->dead || f->not_writer)
        return ERR_DENIED;
    if (f->ledger_full && d->spares_reserve) {
        diag_add(diag, NULL, 0, "the ledger is full");
        return ERR_FULL;
    }
    if (f->clock_wrong && d->change.n) {
        diag_add(diag, NULL, 0, "its clock is wrong");
        return ERR_BUSY;
    }
    if (d->expect_topology && d->expect_topology != f->t->version)
        return ERR_CONFLICT;
    if (d->expect_principals && d->expect_principals != f->principals_version)
        return ERR_CONFLICT;
    int rc = judge_locked(f, d, diag, &next);
    if (rc)
        return rc;
    if (is_time_to_die(f, TOY_DIES_BEFORE)) {
        snapshot_unref(next);
        return ERR_DENIED;
    }
    take(f, d, next);
    if (is_time_to_die(f, TOY_DIES_AFTER))
        return ERR_DENIED;
    if (f->dies_in)
        f->dies_in--;
    *out = f->place;
    return 0;
}

static int append(void *ctx, const struct control_draft *d, struct diag *diag,
                  struct control_place *out)
{
    struct toy_fleet *f = ctx;
    struct control_draft all;
    struct arena a;
    arena_init(&a, 0);
    pthread_mutex_lock(&f->lock);
    int rc = follow(f, d, &a, diag, &all);
    if (!rc)
        rc = append_locked(f, &all, diag, out);
    pthread_mutex_unlock(&f->lock);
    arena_done(&a);
    return rc;
}

static void place(void *ctx, struct control_place *out)
{
    struct toy_fleet *f = ctx;
    pthread_mutex_lock(&f->lock);
    *out = f->place;
    pthread_mutex_unlock(&f->lock);
}

void toy_fleet_carry(struct toy_fleet *f)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->t->n_regions; i++)
        if (f->up[i] && !f->slow[i])
            f->stored[i] = f->place.seq;
    pthread_mutex_unlock(&f->lock);
}

static int stored(void *ctx, const struct control_place *p, struct lifecycle_stored *out)
{
    struct toy_fleet *f = ctx;
    size_t n = 0;
    *out = (struct lifecycle_stored){0};
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->t->n_regions; i++) {
        region_set bit = (region_set)1 << i;
        if (!f->up[i])
            out->unheard |= bit;
        if (f->stored[i] >= p->seq)
            n++;
        else if (f->up[i])
            out->behind |= bit;
        if (f->stored[i] < p->seq && !f->up[i])
            out->away |= bit;
    }
    out->majority = n * 2 > f->t->n_regions;
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static region_set certificates_missing(void *ctx, const struct topology *t, region_set of)
{
    (void)t;
    return ((struct toy_fleet *)ctx)->without_certificates & of;
}

static void members_unheard(void *ctx, const struct topology *t, const char *endpoint,
                            struct lifecycle_unheard *out)
{
    const char *silent = ((struct toy_fleet *)ctx)->silent;
    struct member_iter it = {0};
    struct member_probe p;
    char ip[IP_TEXT_SIZE];
    *out = (struct lifecycle_unheard){0};
    while (member_probe_next(t, &it, &p)) {
        bool is = silent && !strcmp(p.endpoint->name, endpoint) &&
                  !strcmp(ip_format(&p.member->ip, ip), silent);
        if (!is)
            continue;
        snprintf(out->what, sizeof out->what, "%s: connection refused", ip);
        out->n++;
    }
}

static int content(void *ctx, const char *registry, region_set readers, region_set origins,
                   struct lifecycle_content *out)
{
    struct toy_fleet *f = ctx;
    region_set silent = f->says_nothing;
    (void)registry;
    for (size_t i = 0; i < f->t->n_regions; i++)
        if (!f->up[i])
            silent |= (region_set)1 << i;
    f->n_content++;
    if (f->content_busy)
        return ERR_BUSY;
    *out = (struct lifecycle_content){.behind = f->without_content & readers & ~silent,
                                      .silent = silent & (readers | origins),
                                      .orphaned = f->orphaned & readers & ~silent};
    out->to_go = out->behind ? 7 : 0;
    for (size_t i = 0; out->behind && i < 5; i++)
        snprintf(out->lacking[out->n_lacking++], LIFECYCLE_LACKING_SIZE,
                 "team/app:%zu, which westus wrote, is not in eastus", i);
    return 0;
}

void toy_fleet_init(struct toy_fleet *f, struct topology *t)
{
    *f = (struct toy_fleet){
        .deps = {.by = "eastus",
                 .now_ms = now_ms,
                 .sure_ms = sure_ms,
                 .writer = writer,
                 .topology = topology,
                 .principals = principals,
                 .append = append,
                 .judge = judge,
                 .record = record,
                 .records = records,
                 .place = place,
                 .stored = stored,
                 .certificates_missing = certificates_missing,
                 .members_unheard = members_unheard,
                 .content = content},
        .t = t,
        .changer = changer_new(),
        .principals = mem_strdup("version: 1\n"),
        .principals_version = 1,
        .place = {.epoch = 1},
        .now_ms = 1780000000000,
    };
    f->deps.ctx = f;
    pthread_mutex_init(&f->lock, NULL);
    for (size_t i = 0; i < t->n_regions; i++)
        f->up[i] = true;
}

void toy_fleet_revive(struct toy_fleet *f)
{
    f->dead = false;
    f->dies = TOY_LIVES;
    f->dies_in = 0;
}

void toy_fleet_done(struct toy_fleet *f)
{
    for (size_t i = 0; i < f->n_records; i++) {
        free(f->records[i].key);
        free(f->records[i].value);
    }
    free(f->records);
    free(f->principals);
    changer_free(f->changer);
    snapshot_unref(f->t);
    pthread_mutex_destroy(&f->lock);
}
