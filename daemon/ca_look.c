// SPDX-License-Identifier: Apache-2.0
// What a node knows while the private CA is replaced: the record, its files, its edge, and what the
// other regions say; see ca_rolling_priv.h.
#include "daemon/ca_rolling_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "certs/shown.h"
#include "certs/trust.h"
#include "daemon/preflight.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS 2000
#define EDGE_MS 1000

// --- this region's word ---

static bool listed(const char list[][65], size_t n, const char *fingerprint)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], fingerprint))
            return true;
    return false;
}

static void both_keep(char list[][65], size_t *n, const char other[][65], size_t n_other)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (listed(other, n_other, list[i]))
            memmove(list[kept++], list[i], 65);
    *n = kept;
}

// The edge goes by ca.pem, requests to others by ca_file: both must trust it.
static void files_read(const struct ca_rolling *r, struct ca_word *out)
{
    char list[TRUST_MAX][65];
    size_t n;
    *out = (struct ca_word){0};
    if (trust_list(r->app->paths->ca_pem, out->trusts, &out->n_trusts) ||
        trust_list(r->app->node->ca_file, list, &n)) {
        out->n_trusts = 0;
        return;
    }
    both_keep(out->trusts, &out->n_trusts, (const char(*)[65])list, n);
    if (trust_issuers(r->app->paths->certs, out->uses, &out->n_uses))
        out->n_uses = 0;
}

// The edge reads files some moments after they have changed, or not at all when it could not.
static bool edge_confirm(const struct ca_rolling *r, struct ca_word *w)
{
    const struct node *node = r->app->node;
    struct shown s;
    if (!edge_wanted(node) || !node->peer.port)
        return false;
    if (shown_look(&node->peer, r->app->paths->certs, EDGE_MS, &s)) {
        w->n_trusts = 0; // it verifies nobody now
        return false;
    }
    size_t n = w->n_trusts;
    both_keep(w->trusts, &w->n_trusts, (const char(*)[65])s.asks, s.n_asks);
    bool shows_another = *s.issuer && !listed((const char(*)[65])w->uses, w->n_uses, s.issuer);
    if (shows_another && w->n_uses < CA_ROLL_LIST)
        memcpy(w->uses[w->n_uses++], s.issuer, 65);
    return shows_another || s.n_foreign || w->n_trusts < n;
}

void ca_look_word(const struct ca_rolling *r, struct ca_word *out, bool *out_behind)
{
    files_read(r, out);
    *out_behind = edge_confirm(r, out);
}

// --- the other regions' ---

static void spread_read(struct ca_rolling *r, struct ca_look *x)
{
    static const struct fleet_ask_limits limits = {.timeout_ms = ASK_MS,
                                                   .max_bytes = CA_WORD_BYTES};
    struct fleet_answers *answers = NULL;
    if (fleet_ask_all(&r->caller, x->t, CA_ROLL_PATH, &limits, &answers))
        return;
    ca_spread_judge(r->app->node->region, &x->own, answers, &x->record, &x->spread);
    x->f.spread = &x->spread;
    fleet_answers_free(answers);
}

// --- the feed ---

int ca_look_record(struct ca_rolling *r, struct ca_record *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    int rc = control_feed_record(r->app->feed, CA_ROLL_RECORD, &b);
    if (rc)
        return rc;
    return ca_record_parse(buf_cstr(&b), out);
}

// Why this node may not go on with it, a clause; "" if it may.
static void feed_read(struct ca_rolling *r, struct ca_look *x)
{
    struct control_view v;
    char why[CA_WHY_BYTES / 2] = "";
    control_feed_view(r->app->feed, &v);
    x->owned = v.owned;
    x->we_write = v.we_write;
    x->place = v.applied;
    snprintf(x->writer, sizeof x->writer, "%s", v.writer);
    if (!v.owned || (v.we_write && !v.confirmed))
        snprintf(x->held, sizeof x->held,
                 "the writer %s has not heard a majority of the regions yet", v.writer);
    else if (r->o.clock_ok(r->o.ctx, why, sizeof why))
        snprintf(
            x->held, sizeof x->held,
            "the clock of this node is not compared with the other regions' yet, or is wrong: %s",
            why);
    control_view_done(&v);
    if (*x->held)
        x->f.held = x->held;
}

// --- all of it ---

static bool leads(const struct ca_rolling *r, const struct topology *t)
{
    return r->app->node->ca_dir && t->ca_region && !strcmp(t->ca_region, r->app->node->region);
}

static void ca_read(struct ca_rolling *r, struct ca_look *x)
{
    const char *dir = r->app->node->ca_dir;
    if (x->owned)
        x->ca_error = ca_next_recover(dir, NULL); // a take that a fault of the disk has cut short
    if (!x->ca_error)
        x->ca_error = ca_in_use_look(dir, &x->in_use);
    if (ca_next_look(dir, x->next, NULL))
        x->next[0] = 0;
    x->f.from_ms = x->in_use.from_ms;
    x->f.until_ms = x->in_use.until_ms;
}

int ca_look_begin(struct ca_rolling *r, struct ca_look *x)
{
    memset(x, 0, sizeof *x);
    feed_read(r, x); // before the topology: a region that joins meanwhile is not overlooked
    x->t = snapshot_get(r->app->topology);
    if (!x->t)
        return ERR_BUSY;
    int rc = ca_look_record(r, &x->record);
    if (rc && rc != ERR_NOTFOUND) {
        static struct log_limit lim = LOG_LIMIT(60000);
        log_limited(&lim, LOG_WARN,
                    "certs: the record of the change of the private CA cannot be read: %s",
                    err_text(rc));
        return rc;
    }
    x->has_record = !rc;
    if (x->has_record)
        x->f.record = &x->record;
    x->leads = leads(r, x->t);
    if (x->leads || ca_roll_asks(x->f.record)) // else nobody wants to know
        files_read(r, &x->own);
    x->f.in_use = x->in_use.fingerprint;
    x->f.next = x->next;
    x->f.now_ms = clock_wall_ms();
    x->f.mono_ms = clock_mono_ms();
    if (x->leads)
        ca_read(r, x);
    x->f.alone = x->own.n_trusts == 1 && !strcmp(x->own.trusts[0], x->f.in_use);
    if (!ca_roll_asks(x->f.record))
        return 0;
    x->edge_behind = edge_confirm(r, &x->own);
    if (x->leads && !x->ca_error && !x->f.held)
        spread_read(r, x);
    return 0;
}

void ca_look_end(struct ca_look *x)
{
    snapshot_unref(x->t);
}
