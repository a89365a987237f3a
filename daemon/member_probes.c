// SPDX-License-Identifier: Apache-2.0
// See member_probes.h. Answers come on the fetcher's thread.
#include "daemon/member_probes.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/plain.h"
#include "base/wait.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES 4096

void member_probes_init(struct member_probes *p, struct app *app)
{
    *p = (struct member_probes){.app = app};
    pthread_mutex_init(&p->lock, NULL);
    wait_cond_init(&p->wake);
}

void member_probes_done(struct member_probes *p)
{
    pthread_mutex_lock(&p->lock); // a report may be under way
    struct member_wait *list = take_ptr(p->list);
    struct topology *t = take_ptr(p->topology);
    p->n = 0;
    pthread_mutex_unlock(&p->lock);
    free(list);
    snapshot_unref(t);
}

// ---- who waits ----

enum turn { TURN_OWN, TURN_GLOBAL_HERE, TURN_OTHER, N_TURNS };

static enum turn turn_of(const struct member_probe *m, const struct region *here)
{
    if (m->member->region == here->index)
        return TURN_OWN;
    if (m->member->region == REGION_NONE && (m->regions >> here->index & 1))
        return TURN_GLOBAL_HERE;
    return TURN_OTHER;
}

static void wait_of(const struct topology *t, const struct member_probe *m, struct member_wait *out)
{
    *out = (struct member_wait){.ip = m->member->ip, .regions = m->regions};
    snprintf(out->endpoint, sizeof out->endpoint, "%s", m->endpoint->name);
    snprintf(out->name, sizeof out->name, "%s", m->name);
    private_member_key(t, m->member, out->member);
}

static bool wait_same(const struct member_wait *a, const struct member_wait *b)
{
    return ip_equal(&a->ip, &b->ip) && !strcmp(a->endpoint, b->endpoint) &&
           !strcmp(a->member, b->member) && !strcmp(a->name, b->name);
}

static void carry_over(const struct member_probes *p, struct member_wait *w)
{
    for (size_t i = 0; i < p->n; i++)
        if (wait_same(&p->list[i], w))
            w->answer = p->list[i].answer;
}

static size_t list_make(const struct member_probes *p, const struct topology *t,
                        const struct region *here, struct member_wait *out)
{
    size_t n = 0;
    for (unsigned turn = 0; turn < N_TURNS; turn++) {
        struct member_iter it = {0};
        struct member_probe m;
        while (n < MEMBER_PROBES_MAX && member_probe_next(t, &it, &m)) {
            if (turn_of(&m, here) != turn)
                continue;
            wait_of(t, &m, &out[n]);
            carry_over(p, &out[n++]);
        }
    }
    return n;
}

static bool anybody_waits(const struct topology *t)
{
    struct member_iter it = {0};
    struct member_probe m;
    return member_probe_next(t, &it, &m);
}

int member_probes_collect(struct member_probes *p)
{
    struct topology *t = snapshot_get(p->app->topology);
    const struct region *here = topology_region(t, p->app->node->region);
    struct member_wait *list = NULL, *old;
    size_t n = 0;
    if (here && anybody_waits(t)) {
        list = mem_zalloc_array(MEMBER_PROBES_MAX, sizeof *list);
        if (!list) {
            snapshot_unref(t);
            return ERR_NOMEM;
        }
        n = list_make(p, t, here, list);
    }
    struct topology *before = p->topology;
    pthread_mutex_lock(&p->lock);
    old = p->list;
    p->list = list;
    p->n = n;
    p->topology = t;
    pthread_mutex_unlock(&p->lock);
    free(old);
    snapshot_unref(before);
    return 0;
}

bool member_probes_any(const struct member_probes *p)
{
    return p->n > 0;
}

// ---- asking ----

void member_answer_judge(const struct topology *t, region_set regions, int status,
                         const char *region, struct member_answer *out)
{
    const struct region *r = NULL;
    if (region)
        r = topology_region(t, region);
    out->error[0] = out->region[0] = 0;
    if (r)
        snprintf(out->region, sizeof out->region, "%s", r->name);
    if (!r)
        snprintf(out->error, sizeof out->error, "what answers there is no region of this fleet");
    else if (!(regions >> r->index & 1))
        snprintf(out->error, sizeof out->error, "the wrong region answers there: %s", r->name);
    else if (status != 200 && status != 503) // 503: how the region is, and that is another matter
        snprintf(out->error, sizeof out->error, "/healthz is answered there with status %d",
                 status);
}

struct member_flight {
    struct member_probes *p;
    size_t at;
    // good while it is in the list
    struct fetch *fetch;
    struct member_flight *prev, *next;
};

// Both with the lock.
static void flight_begin(struct member_flight *f)
{
    struct member_probes *p = f->p;
    f->next = p->flights;
    if (f->next)
        f->next->prev = f;
    p->flights = f;
    p->n_flying++;
}

static void flight_end(struct member_flight *f)
{
    struct member_probes *p = f->p;
    if (f->prev)
        f->prev->next = f->next;
    else
        p->flights = f->next;
    if (f->next)
        f->next->prev = f->prev;
    p->n_flying--;
}

static void answered(void *ctx, struct fetch_result *r)
{
    struct member_flight *f = ctx;
    struct member_probes *p = f->p;
    struct member_wait *w = &p->list[f->at]; // the list rests while something flies
    struct member_answer a = {0};
    char region[HOSTNAME_REGION_SIZE];
    if (r->err) {
        snprintf(a.error, sizeof a.error, "%.100s", r->message[0] ? r->message : err_text(r->err));
        text_plain(a.error, strlen(a.error));
    } else
        member_answer_judge(p->topology, w->regions, r->status,
                            fetch_result_header(r, "X-Meridian-Region", region, sizeof region), &a);
    a.at_ms = clock_mono_ms();
    a.wall_ms = clock_wall_ms();
    pthread_mutex_lock(&p->lock);
    if (r->err != ERR_CANCELED)
        w->answer = a;
    flight_end(f);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    free(f);
}

static void ask(struct member_probes *p, size_t at)
{
    const struct member_wait *w = &p->list[at];
    const struct endpoint to = {w->ip, p->topology->https_port};
    char url[HOSTNAME_TEXT_SIZE + 32], port[8] = "";
    if (to.port != 443)
        snprintf(port, sizeof port, ":%u", to.port);
    snprintf(url, sizeof url, "https://%s%s/healthz", w->name, port);
    struct member_flight *f = mem_zalloc(sizeof *f);
    struct fetch_request q = {.url = url,
                              .connect_to = &to,
                              .ca_file = p->app->node->ca_file,
                              .connect_timeout_ms = PROBE_TIMEOUT_MS,
                              .timeout_ms = PROBE_TIMEOUT_MS,
                              .max_bytes = ANSWER_MAX_BYTES,
                              .fresh_connection = true,
                              .ctx = f};
    if (!f)
        return; // the next round asks
    *f = (struct member_flight){.p = p, .at = at};
    // the lock keeps an answer out until the flight is in the list
    pthread_mutex_lock(&p->lock);
    bool flies = !p->stopping && !fetch_start(p->app->probes, &q, answered, &f->fetch);
    if (flies)
        flight_begin(f);
    pthread_mutex_unlock(&p->lock);
    if (!flies)
        free(f);
}

// Until fewer than `n` fly. False: the round is to end.
static bool wait_below(struct member_probes *p, size_t n)
{
    pthread_mutex_lock(&p->lock);
    while (p->n_flying >= n)
        wait_cond(&p->wake, &p->lock, PROBE_TIMEOUT_MS);
    bool goes_on = !p->stopping;
    pthread_mutex_unlock(&p->lock);
    return goes_on;
}

void member_probes_round(struct member_probes *p)
{
    for (size_t i = 0; i < p->n && wait_below(p, PROBE_AT_ONCE); i++)
        ask(p, i);
    wait_below(p, 1);
}

void member_probes_stop(struct member_probes *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    for (struct member_flight *f = p->flights; f; f = f->next)
        fetch_cancel(p->app->probes, f->fetch);
    pthread_mutex_unlock(&p->lock);
}

// ---- the report ----

static json_t *wait_json(const struct member_wait *w)
{
    char ip[IP_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    const struct member_answer *a = &w->answer;
    return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:I, s:s}", "name", w->endpoint, "member",
                     w->member, "address", ip_format(&w->ip, ip), "region",
                     a->region[0] ? a->region : NULL, "at", clock_format(a->wall_ms, at), "ageMs",
                     (json_int_t)(clock_mono_ms() - a->at_ms), "error", a->error);
}

void *member_probes_json(struct member_probes *p)
{
    json_t *list = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->n)
        list = json_array();
    for (size_t i = 0; list && i < p->n; i++) {
        if (!p->list[i].answer.at_ms)
            continue;
        if (json_array_append_new(list, wait_json(&p->list[i]))) {
            json_decref(list);
            list = NULL;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return list;
}
