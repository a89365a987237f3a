// SPDX-License-Identifier: Apache-2.0
// Calls to other regions; see call.h. Answers come in on the fetcher's thread and are only copied
// there.
#include "fleet/call.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 50 // whether it is to stop

int fleet_call_make(const struct fleet_caller *by, const struct topology *t, const char *region,
                    const char *target, struct fleet_call *out)
{
    const struct region *to = topology_region(t, region);
    if (!to)
        return ERR_NOTFOUND;
    memset(out, 0, sizeof *out);
    int n;
    bool stands_in = by->dial_socket &&
                     by->dial_socket(by->dial_ctx, region, out->socket, sizeof out->socket) == 0;
    if (stands_in) {
        n = snprintf(out->url, sizeof out->url, "http://%s.peer.%s%s", to->name, t->domain, target);
        out->q.unix_socket = out->socket;
    } else {
        if (!to->peer.port)
            return ERR_NOTFOUND;
        n = snprintf(out->url, sizeof out->url, "https://%s.peer.%s:%u%s", to->name, t->domain,
                     to->peer.port, target);
        out->to = to->peer;
        out->q.connect_to = &out->to;
        out->q.ca_file = by->ca_file;
        out->q.client_pem = by->peer_pem;
        out->q.pinned = true;
        out->q.pins = to->peer_fingerprints;
        out->q.n_pins = to->n_peer_fingerprints;
    }
    if (n < 0 || (size_t)n >= sizeof out->url)
        return ERR_TOOBIG;
    out->q.url = out->url;
    out->q.peer = to->name;
    out->q.looks_for_peer = true;
    out->q.connect_timeout_ms = FLEET_CONNECT_MS;
    out->q.stop = by->stop;
    return 0;
}

// ---- one question to all ----

struct asking;
struct asked { // one region
    struct asking *all;
    struct fleet_one_answer *answer;
    // NULL: not under way
    struct fetch *handle;
};

struct asking {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t n_open;
    struct asked list[TOPOLOGY_MAX_REGIONS];
};

static void on_answer(void *ctx, struct fetch_result *r)
{
    struct asked *one = ctx;
    struct asking *all = one->all;
    pthread_mutex_lock(&all->lock); // and so after its handle is known
    struct fleet_one_answer *a = one->answer;
    a->err = r->err;
    a->status = r->status;
    if (r->err)
        snprintf(a->why, sizeof a->why, "%.255s", *r->message ? r->message : err_text(r->err));
    else if (r->status == 200) {
        a->body = r->body;
        memset(&r->body, 0, sizeof r->body);
    }
    one->handle = NULL;
    all->n_open--;
    pthread_cond_broadcast(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

// Under the lock.
static void ask_one(const struct fleet_caller *by, const struct topology *t, const char *target,
                    const struct fleet_ask_limits *limits, struct asked *one)
{
    struct fleet_call call;
    struct fleet_one_answer *a = one->answer;
    a->err = fleet_call_make(by, t, a->region, target, &call);
    if (!a->err) {
        call.q.connect_timeout_ms = limits->timeout_ms;
        call.q.timeout_ms = limits->timeout_ms;
        call.q.max_bytes = limits->max_bytes;
        call.q.stop = NULL; // of fetch_run alone
        call.q.ctx = one;
        a->err = fetch_start(by->fetcher, &call.q, on_answer, &one->handle);
    }
    if (a->err)
        snprintf(a->why, sizeof a->why, "%s", err_text(a->err));
    else
        one->all->n_open++;
}

// Under the lock. False: stopped; what was under way is ended all the same.
static bool wait_all(const struct fleet_caller *by, struct asking *all, size_t n)
{
    bool stopped = false;
    while (all->n_open) {
        if (!stopped && by->stop && atomic_load(by->stop)) {
            stopped = true;
            for (size_t i = 0; i < n; i++)
                if (all->list[i].handle)
                    fetch_cancel(by->fetcher, all->list[i].handle);
        }
        wait_cond(&all->wake, &all->lock, LOOK_MS);
    }
    return !stopped;
}

int fleet_ask_all(const struct fleet_caller *by, const struct topology *t, const char *target,
                  const struct fleet_ask_limits *limits, struct fleet_answers **out)
{
    struct asking all = {.n_open = 0};
    struct fleet_answers *answers =
        mem_zalloc(sizeof *answers + t->n_regions * sizeof answers->list[0]);
    if (!answers)
        return ERR_NOMEM;
    pthread_mutex_init(&all.lock, NULL);
    wait_cond_init(&all.wake);
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < t->n_regions; i++) {
        if (strcmp(t->regions[i].name, by->region) == 0 || t->regions[i].sealed)
            continue;
        struct fleet_one_answer *a = &answers->list[answers->n];
        struct asked *one = &all.list[answers->n++];
        snprintf(a->region, sizeof a->region, "%s", t->regions[i].name);
        *one = (struct asked){.all = &all, .answer = a};
        ask_one(by, t, target, limits, one);
    }
    bool whole = wait_all(by, &all, answers->n);
    pthread_mutex_unlock(&all.lock);
    pthread_cond_destroy(&all.wake);
    pthread_mutex_destroy(&all.lock);
    if (!whole) {
        fleet_answers_free(answers);
        return ERR_CANCELED;
    }
    *out = answers;
    return 0;
}

void fleet_answers_free(struct fleet_answers *a)
{
    for (size_t i = 0; a && i < a->n; i++)
        buf_done(&a->list[i].body);
    free(a);
}

int fleet_place_read(const json_t *doc, struct control_place *out)
{
    const json_t *epoch = json_object_get(doc, "epoch"), *seq = json_object_get(doc, "seq");
    const char *hash = json_string_value(json_object_get(doc, "hash"));
    struct control_place p;
    if (!json_is_integer(epoch) || !json_is_integer(seq) || !hash ||
        json_integer_value(epoch) < 0 || json_integer_value(seq) < 0)
        return ERR_PROTO;
    p.epoch = (uint64_t)json_integer_value(epoch);
    p.seq = (uint64_t)json_integer_value(seq);
    if (hex_parse(hash, strlen(hash), p.hash, sizeof p.hash))
        return ERR_PROTO;
    *out = p;
    return 0;
}
