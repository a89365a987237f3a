// SPDX-License-Identifier: Apache-2.0
// What all fetches of a process share, and the fetch that takes its turn; see content.h.
#include "content/content.h"

#include "base/err.h"
#include "base/mem.h"
#include "content/content_priv.h"

// How often a waiter is asked whether it may go on waiting.
#define WAIT_LOOK_MS 50
#define STALL_MS 5000

int content_new(const struct content_options *o, struct content **out)
{
    struct content *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->blobs = o->blobs;
    c->find = o->find;
    c->find_ctx = o->find_ctx;
    c->region = mem_strdup(o->region);
    c->stall_ms = o->stall_ms;
    if (!c->stall_ms)
        c->stall_ms = STALL_MS;
    int rc = ERR_NOMEM;
    if (c->region)
        rc = flights_new(o->max_flights, &c->flights);
    if (!rc && o->n_streams) {
        const struct pool_options streams = {.name = "range",
                                             .n_threads = o->n_streams,
                                             .max_waiting = o->max_flights * CONTENT_STREAMS_MAX,
                                             .kept = o->n_streams / 2};
        c->streams = pool_new(&streams);
        if (!c->streams)
            rc = ERR_NOMEM;
    }
    if (rc) {
        content_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void content_stop(struct content *c)
{
    c->stopping = true;
    flights_stop(c->flights);
}

void content_free(struct content *c)
{
    if (!c)
        return;
    pool_free(c->streams);
    flights_free(c->flights);
    free(c->region);
    free(c);
}

struct flights *content_flights(struct content *c)
{
    return c->flights;
}

// Waits until the flight that another thread runs has ended.
static int other_wait(struct content *c, const struct content_want *w, struct flight *f)
{
    bool ended = flight_wait_end(f, 0);
    while (!ended) {
        if (c->stopping)
            return ERR_CANCELED;
        if (w->may_wait && !w->may_wait(w->ctx))
            return ERR_BUSY;
        ended = flight_wait_end(f, WAIT_LOOK_MS);
    }
    return 0;
}

int content_blob(struct content *c, const struct content_want *w, struct content_outcome *out)
{
    *out = (struct content_outcome){0};
    for (;;) {
        struct flight *f;
        bool leads;
        int rc = flight_join(c->flights, &w->digest, FLIGHT_DURABLE, &f, &leads);
        if (rc)
            return rc;
        if (w->urgent)
            flight_hurry(f);
        if (leads)
            rc = content_run(c, w, f, out);
        else
            rc = other_wait(c, w, f);
        flight_leave(f);
        if (leads || rc)
            return rc;
        // However that flight ended, this caller looks for itself: it may know of more bytes, and
        // has sources of its own.
    }
}
