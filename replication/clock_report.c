// SPDX-License-Identifier: Apache-2.0
// What is known of the clocks; see clock_report.h.
#include "replication/clock_report.h"

#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "replication/lock.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clocks {
    enum clock_state state;
    enum clock_kernel kernel;
    bool vouched, compared, far, ahead;
    int64_t base_us, others_ms;
    size_t n_members;
    char sentence[CLOCK_SENTENCE_SIZE];
    size_t n;
    struct clock_other others[CLOCK_OTHERS_MAX];
    char regions[CLOCK_OTHERS_MAX][HOSTNAME_REGION_SIZE];
};

struct clock_report {
    struct lock lock;
    struct clocks now;
};

int clock_report_new(struct clock_report **out)
{
    struct clock_report *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    lock_init(&w->lock, LOCK_CLOCK_REPORT);
    *out = w;
    return 0;
}

void clock_report_free(struct clock_report *w)
{
    if (!w)
        return;
    lock_done(&w->lock);
    free(w);
}

void clock_report_set(struct clock_report *w, const struct clock_case *c, enum clock_state state,
                      bool compared, int64_t base_us, char out_why[CLOCK_SENTENCE_SIZE])
{
    struct clocks *p = &w->now;
    assert(c->n_others <= CLOCK_OTHERS_MAX);
    lock_take(&w->lock);
    p->state = state;
    p->kernel = c->kernel;
    p->vouched = clock_vouched(c, state);
    p->far = clock_far(c, state);
    p->ahead = clock_ahead(c);
    p->others_ms = clock_others_ms(c);
    p->base_us = base_us;
    p->compared |= compared;
    p->n_members = c->n_members;
    clock_sentence(c, state, p->sentence);
    memcpy(out_why, p->sentence, sizeof p->sentence);
    p->n = c->n_others;
    for (size_t i = 0; i < p->n; i++) {
        snprintf(p->regions[i], sizeof p->regions[i], "%s", c->others[i].region);
        p->others[i] = c->others[i];
        p->others[i].region = p->regions[i];
    }
    lock_give(&w->lock);
}

void *clock_report_json(struct clock_report *w)
{
    lock_take(&w->lock);
    struct clocks p = w->now;
    lock_give(&w->lock);
    json_t *regions = json_object();
    for (size_t i = 0; regions && i < p.n; i++) {
        const struct clock_other *o = &p.others[i];
        json_t *one = json_pack("{s:b, s:o, s:o}", "reached", o->reached, "offsetMs",
                                o->known ? json_integer(o->offset_ms) : json_null(), "errorMs",
                                o->known ? json_integer(o->error_ms) : json_null());
        if (json_object_set_new(regions, p.regions[i], one)) {
            json_decref(regions);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:s?, s:o}", "state", clock_state_name(p.state), "kernel",
                     clock_kernel_name(p.kernel), "why", p.sentence[0] ? p.sentence : NULL,
                     "regions", regions);
}

bool clock_report_vouched(struct clock_report *w)
{
    lock_take(&w->lock);
    bool vouched = w->now.vouched;
    lock_give(&w->lock);
    return vouched;
}

// As it was judged last. Borrows from the clocks.
static struct clock_case case_of(const struct clocks *p)
{
    return (struct clock_case){
        .n_members = p->n_members, .others = p->others, .n_others = p->n, .kernel = p->kernel};
}

void clock_report_opinion(struct clock_report *w, struct clock_opinion *out)
{
    lock_take(&w->lock);
    const struct clocks *p = &w->now;
    const struct clock_case c = case_of(p);
    out->compared = p->compared;
    out->far = p->far;
    out->ahead = p->ahead;
    out->others_ms = p->others_ms;
    out->set_since = llabs(clock_base_us() - p->base_us) > CLOCK_OFF_MS * 1000LL;
    out->closes = clock_closes(p->state);
    memcpy(out->ours, p->sentence, sizeof out->ours);
    clock_far_peers(&c, p->state, out->others);
    lock_give(&w->lock);
}

void clock_report_suspect(struct clock_report *w, const char *region, char out[CLOCK_SENTENCE_SIZE])
{
    lock_take(&w->lock);
    const struct clock_case c = case_of(&w->now);
    clock_suspect(&c, w->now.state, region, out);
    lock_give(&w->lock);
}

bool clock_report_offset(struct clock_report *w, const char *region, int64_t *out_offset_ms,
                         int64_t *out_error_ms)
{
    bool known = false;
    lock_take(&w->lock);
    for (size_t i = 0; i < w->now.n && !known; i++) {
        const struct clock_other *o = &w->now.others[i];
        if (!o->known || strcmp(o->region, region) != 0)
            continue;
        known = true;
        *out_offset_ms = o->offset_ms;
        *out_error_ms = o->error_ms;
    }
    lock_give(&w->lock);
    return known;
}

static void write_offsets(const struct clocks *p, struct buf *b)
{
    exposition_family(b, "meridian_clock_offset_seconds", "gauge",
                      "Another region's wall clock less ours.");
    for (size_t i = 0; i < p->n; i++) {
        if (!p->others[i].known)
            continue;
        exposition_begin(b, "meridian_clock_offset_seconds");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, (double)p->others[i].offset_ms / 1000);
    }
    exposition_family(b, "meridian_clock_error_seconds", "gauge",
                      "How far that offset may be off either way.");
    for (size_t i = 0; i < p->n; i++) {
        if (!p->others[i].known)
            continue;
        exposition_begin(b, "meridian_clock_error_seconds");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, (double)p->others[i].error_ms / 1000);
    }
    exposition_family(b, "meridian_clock_reached", "gauge",
                      "Its clock could be compared with ours the last time.");
    for (size_t i = 0; i < p->n; i++) {
        exposition_begin(b, "meridian_clock_reached");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, p->others[i].reached);
    }
}

void clock_report_metrics(struct clock_report *w, struct buf *out)
{
    lock_take(&w->lock);
    struct clocks p = w->now;
    lock_give(&w->lock);
    write_offsets(&p, out);
    exposition_family(out, "meridian_clock_state", "gauge",
                      "1 for the state that our clock is in.");
    for (int s = CLOCK_FINE; s <= CLOCK_UNSYNCHRONISED; s++) {
        exposition_begin(out, "meridian_clock_state");
        exposition_label(out, "state", clock_state_name((enum clock_state)s));
        exposition_value(out, p.state == (enum clock_state)s);
    }
    exposition_single(out, "meridian_clock_kernel_synchronised", "gauge",
                      "The kernel says so of our clock.", p.kernel == CLOCK_KERNEL_SYNCHRONISED);
}
