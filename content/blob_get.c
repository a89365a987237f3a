// SPDX-License-Identifier: Apache-2.0
// Fetches one blob: from what is here of it, through the sources, to the published file. On the
// thread that runs the flight. The invariants are content.h's.
#include "content/content_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "content/ranges.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define PIECE_BYTES (128u << 10)
// A descriptor's size is what its manifest's author wrote; the digest is what binds. So the ceiling
// is generous.
#define SIZE_SLACK (1ull << 30)

const _Atomic bool *blob_get_stop(const struct blob_get *g)
{
    if (g->want->stop)
        return g->want->stop;
    return flight_stop(g->flight);
}

bool blob_get_goes_on(const struct blob_get *g)
{
    const struct content_want *w = g->want;
    return !w->goes_on || w->goes_on(w->ctx);
}

static void note_arrived(struct blob_get *g)
{
    uint64_t bytes = blob_upload_size(g->upload);
    flight_arrived(g->flight, bytes);
    if (g->want->arrived)
        g->want->arrived(g->want->ctx, bytes);
}

static uint64_t bytes_here(const struct blob_get *g)
{
    if (g->ranges && !g->ranges_over)
        return ranges_bytes(g->ranges);
    return blob_upload_size(g->upload);
}

int blob_get_own_failed(struct blob_get *g, int rc)
{
    g->out->own_fault = true;
    if (rc == ERR_NOSPACE && g->want->no_space)
        g->want->no_space(g->want->ctx, bytes_here(g));
    return rc;
}

static int start_over(struct blob_get *g)
{
    int rc = blob_upload_truncate(g->upload);
    if (rc)
        return blob_get_own_failed(g, rc);
    flight_arrived(g->flight, 0);
    return 0;
}

static int keep(struct blob_get *g, const uint8_t *p, size_t n)
{
    struct space_charge *charge = g->want->charge;
    int rc = space_grow(charge, n);
    if (rc)
        return blob_get_own_failed(g, rc);
    rc = blob_upload_write(g->upload, p, n);
    if (rc)
        return blob_get_own_failed(g, rc);
    space_spend(charge, n);
    note_arrived(g);
    return 0;
}

static void say(const struct source *s, int rc, char error[CONTENT_TEXT_SIZE])
{
    snprintf(error, CONTENT_TEXT_SIZE, "%s: blob: %s", source_name(s), err_text(rc));
}

static uint64_t most_of(const struct content_want *w)
{
    return w->exact ? w->size : w->size + SIZE_SLACK;
}

// Writes the body behind what is here. 0: it came whole.
static int body_keep(struct blob_get *g, struct source *s, struct source_body *body,
                     char error[CONTENT_TEXT_SIZE])
{
    AUTO_FREE uint8_t *piece = mem_alloc(PIECE_BYTES);
    if (!piece) {
        say(s, ERR_NOMEM, error);
        return ERR_NOMEM;
    }
    uint64_t most = most_of(g->want);
    for (;;) {
        ssize_t n = source_read(s, body, piece, PIECE_BYTES, error);
        if (n <= 0)
            return (int)n;
        if (blob_upload_size(g->upload) + (uint64_t)n > most) {
            say(s, ERR_TOOBIG, error);
            return ERR_TOOBIG;
        }
        int rc = keep(g, piece, (size_t)n);
        if (rc)
            return rc;
        if (!blob_get_goes_on(g)) {
            say(s, ERR_CANCELED, error);
            return ERR_CANCELED;
        }
    }
}

int blob_get_commit(struct blob_get *g)
{
    struct blob_name name;
    uint64_t size;
    int rc = blob_upload_commit(g->upload, &g->want->digest, &name, &size);
    if (rc == ERR_DIGEST) {
        if (g->ranges && !g->ranges_over)
            ranges_wrong(g->ranges);
        int again = start_over(g); // invariant 1: what was kept of it is worth nothing
        if (again)
            return again;
        return ERR_DIGEST;
    }
    if (!rc && g->want->published)
        rc = g->want->published(g->want->ctx, &name, size);
    if (rc)
        return blob_get_own_failed(g, rc);
    if (g->ranges)
        ranges_judge(g->ranges, &name);
    return 0;
}

static struct content_ask ask_of(const struct blob_get *g)
{
    return (struct content_ask){.kind = CONTENT_BLOB,
                                .registry = g->want->registry,
                                .repository = g->want->repository,
                                .digest = g->want->digest,
                                .urgent = flight_urgent(g->flight),
                                .from = blob_upload_size(g->upload)};
}

static void say_own_fault(const struct blob_get *g, int rc, char error[CONTENT_TEXT_SIZE])
{
    if (g->out->own_fault)
        snprintf(error, CONTENT_TEXT_SIZE, "%s cannot keep a blob: %s", g->content->region,
                 err_text(rc));
}

// One request, and what comes of it.
static int ask_once(struct blob_get *g, struct source *s, char error[CONTENT_TEXT_SIZE])
{
    struct content_ask ask = ask_of(g);
    struct source_body *body = NULL;
    uint64_t from = 0;
    if (!ask.from || g->giver == s)
        g->giver = s;
    else
        g->giver = NULL;
    int rc = source_open(s, &ask, blob_get_stop(g), &body, &from, error);
    if (rc == ERR_RANGE) { // more is here than there is
        rc = start_over(g);
        if (rc)
            return rc;
        return ERR_PROTO;
    }
    if (rc)
        return rc;
    assert(from == 0 || from == ask.from);
    if (ask.from && !from) { // it gives the whole
        g->giver = s;
        rc = start_over(g);
    }
    if (!rc)
        rc = body_keep(g, s, body, error);
    if (!rc)
        rc = blob_get_commit(g);
    source_close(s, body);
    say_own_fault(g, rc, error);
    return rc;
}

static size_t place_of(const struct content_want *w, const struct source *s)
{
    size_t i = 0;
    while (w->sources[i] != s)
        i++;
    return i;
}

// From now on it comes in order.
static void ranges_give_up(struct blob_get *g)
{
    if (!g->ranges || g->ranges_over)
        return;
    ranges_end(g->ranges);
    g->ranges_over = true;
}

// In ranges, if that can be.
static int ask_ranges(struct blob_get *g, struct source *s, char error[CONTENT_TEXT_SIZE])
{
    if (!g->ranges || g->ranges_over)
        return ERR_UNSUPPORTED;
    int rc = ranges_get(g->ranges, place_of(g->want, s), error);
    say_own_fault(g, rc, error);
    return rc;
}

// What does not give the digest is the source's fault only if all of it came from there: else it is
// asked for the whole.
static int ask_source(void *arg, struct source *s, struct content_outcome *out,
                      char error[CONTENT_TEXT_SIZE])
{
    struct blob_get *g = arg;
    (void)out;
    int rc = ask_ranges(g, s, error);
    if (rc == ERR_UNSUPPORTED || rc == ERR_DIGEST)
        ranges_give_up(g);
    if (rc == ERR_UNSUPPORTED)
        rc = ask_once(g, s, error);
    if (rc == ERR_DIGEST && g->giver != s)
        rc = ask_once(g, s, error);
    if (rc != ERR_DIGEST)
        return rc;
    assert(g->giver == s); // invariant 2
    struct content_ask ask = ask_of(g);
    source_wrong(s, &ask, error);
    return rc;
}

// Is the blob in the store? ERR_NOTFOUND: it must be fetched. One that is shorter than the want
// says is read: it is cut, or its manifest says too much.
static int look_here(struct blob_get *g)
{
    const struct content_want *w = g->want;
    struct content *c = g->content;
    struct blob_name name;
    uint64_t said, size;
    int rc = c->find(c->find_ctx, &w->digest, &name, &said);
    if (!rc)
        rc = blob_stat(c->blobs, &name, &size);
    if (rc)
        return rc;
    bool whole = size == said && size >= w->size;
    if (whole)
        return 0;
    rc = blob_verify(c->blobs, &name, 0, blob_get_stop(g));
    if (rc != ERR_DIGEST)
        return rc;
    log_error("content: a blob in the store is damaged: %" PRIu64 " of %" PRIu64
              " bytes; it is fetched again",
              size, w->size);
    return ERR_NOTFOUND;
}

// All of it may be here since before a crash: then only the digest is left to see to.
static int finish_earlier(struct blob_get *g)
{
    uint64_t size = g->want->size;
    if (!size || blob_upload_size(g->upload) < size)
        return ERR_NOTFOUND;
    return blob_get_commit(g);
}

static bool may_take(const struct content_want *w)
{
    return !w->may_take || w->may_take(w->ctx);
}

// What came is there for the next try, at whatever place.
static void end_ranges(struct blob_get *g, int rc)
{
    bool spread = !g->ranges_over;
    ranges_give_up(g);
    if (rc && spread && !g->out->own_fault && ranges_fresh(g->ranges))
        (void)blob_upload_sync(g->upload);
}

static int get_rest(struct blob_get *g)
{
    int rc = ranges_new(g, &g->ranges);
    if (rc && rc != ERR_UNSUPPORTED) {
        (void)blob_get_own_failed(g, rc);
        say_own_fault(g, rc, g->out->error);
        return rc;
    }
    flight_arrived(g->flight, blob_upload_size(g->upload));
    return sources_try(g->want, blob_get_stop(g), ask_source, g, g->out);
}

static int get(struct blob_get *g)
{
    const struct content_want *w = g->want;
    bool takes = may_take(w);
    int rc = ERR_NOTFOUND;
    if (takes)
        rc = look_here(g);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = blob_partial_open(g->content->blobs, &w->digest, &g->upload);
    if (rc)
        return rc;
    rc = ERR_NOTFOUND;
    if (takes)
        rc = finish_earlier(g);
    else if (blob_upload_size(g->upload) >= w->size)
        (void)blob_upload_truncate(g->upload); // the source has to give some of it
    if (rc == ERR_NOTFOUND || rc == ERR_DIGEST)
        rc = get_rest(g);
    if (g->ranges)
        end_ranges(g, rc);
    if (rc == ERR_NOSPACE) // what cannot become whole holds no space
        blob_upload_drop(g->upload);
    else
        blob_upload_close(g->upload);
    return rc;
}

int content_run(struct content *c, const struct content_want *w, struct flight *f,
                struct content_outcome *out)
{
    struct blob_get g = {.content = c, .want = w, .out = out, .flight = f};
    *out = (struct content_outcome){0};
    int rc = get(&g);
    ranges_free(g.ranges);
    flight_end(f, rc);
    return rc;
}
