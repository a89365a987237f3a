// SPDX-License-Identifier: Apache-2.0
// When a source may be asked; see source.h.
#include "content/source.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "content/source_priv.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define REST_FIRST_MS 500
#define REST_MAX_MS 15000
// The first word of a source that was away has its owner call source_recovered: sooner than this.
#define AWAY_LOOK_MS 500
#define BUSY_LOOK_MS 200

const char *content_kind_name(enum content_kind kind)
{
    switch (kind) {
    case CONTENT_MANIFEST:
        return "manifest";
    case CONTENT_BLOB:
        return "blob";
    }
    return "content";
}

int source_new(const char *name, const struct source_ops *ops, void *ctx, struct source **out)
{
    struct source *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->ops = ops;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return 0;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    assert(s->n_running + s->n_besides == 0); // invariant 2
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *source_name(const struct source *s)
{
    return s->name;
}

bool source_recovered(struct source *s)
{
    pthread_mutex_lock(&s->lock);
    bool in_doubt = s->n_failures > 0;
    s->n_failures = 0;
    s->retry_mono = 0;
    pthread_mutex_unlock(&s->lock);
    return in_doubt;
}

void source_look(struct source *s, struct source_view *out)
{
    pthread_mutex_lock(&s->lock);
    out->n_running = s->n_running + s->n_besides;
    out->n_failures = s->n_failures;
    out->n_wrong = s->n_wrong;
    memcpy(out->wrong, s->wrong, sizeof out->wrong);
    pthread_mutex_unlock(&s->lock);
}

// Its owner's answer, without the lock: the owner has locks of its own.
static bool is_away(const struct source *s)
{
    return s->ops->away && s->ops->away(s->ctx);
}

// Under the lock, of a source that is not away.
static enum source_state state_at(const struct source *s, unsigned max_running, int64_t now)
{
    if (now < s->retry_mono)
        return SOURCE_RESTS;
    bool in_doubt = s->n_failures > 0;
    if (in_doubt && s->n_running + s->n_besides > 0) // invariant 1
        return SOURCE_BUSY;
    if (s->n_running >= max_running)
        return SOURCE_BUSY;
    return SOURCE_READY;
}

// `count`: of the source, which of its requests this one is.
static enum source_state enter(struct source *s, unsigned max_running, unsigned *count,
                               int64_t *out_again_mono)
{
    int64_t now = clock_mono_ms();
    if (is_away(s)) {
        *out_again_mono = now + AWAY_LOOK_MS;
        return SOURCE_AWAY;
    }
    pthread_mutex_lock(&s->lock);
    enum source_state state = state_at(s, max_running, now);
    if (state == SOURCE_READY)
        ++*count;
    if (state == SOURCE_RESTS)
        *out_again_mono = s->retry_mono;
    if (state == SOURCE_BUSY)
        *out_again_mono = now + BUSY_LOOK_MS;
    pthread_mutex_unlock(&s->lock);
    return state;
}

enum source_state source_enter(struct source *s, unsigned max_running, int64_t *out_again_mono)
{
    return enter(s, max_running, &s->n_running, out_again_mono);
}

enum source_state source_enter_besides(struct source *s, int64_t *out_again_mono)
{
    return enter(s, UINT_MAX, &s->n_besides, out_again_mono);
}

bool source_ready(struct source *s, unsigned max_running)
{
    if (is_away(s))
        return false;
    pthread_mutex_lock(&s->lock);
    enum source_state state = state_at(s, max_running, clock_mono_ms());
    pthread_mutex_unlock(&s->lock);
    return state == SOURCE_READY;
}

// Does the error say that the source, or the way to it, is down?
static bool is_down(int rc)
{
    switch (rc) {
    case ERR_UNREACHABLE:
    case ERR_TIMEOUT:
    case ERR_CRYPTO:
    case ERR_IO:
    case ERR_CLOSED:
        return true;
    default:
        return false;
    }
}

static void leave(struct source *s, unsigned *count, int rc)
{
    pthread_mutex_lock(&s->lock);
    assert(*count > 0); // invariant 2
    --*count;
    if (is_down(rc)) {
        s->retry_mono =
            clock_mono_ms() + wait_backoff_ms(s->n_failures, REST_FIRST_MS, REST_MAX_MS);
        s->n_failures++;
    } else if (!rc || rc == ERR_NOTFOUND) { // it answered
        s->n_failures = 0;
        s->retry_mono = 0;
    }
    pthread_mutex_unlock(&s->lock);
}

void source_leave(struct source *s, int rc)
{
    leave(s, &s->n_running, rc);
}

void source_leave_besides(struct source *s, int rc)
{
    leave(s, &s->n_besides, rc);
}

int source_open(struct source *s, const struct content_ask *ask, const _Atomic bool *stop,
                struct source_body **out, uint64_t *out_from, char error[CONTENT_TEXT_SIZE])
{
    return s->ops->open(s->ctx, ask, stop, out, out_from, error);
}

ssize_t source_read(struct source *s, struct source_body *b, void *to, size_t cap,
                    char error[CONTENT_TEXT_SIZE])
{
    return s->ops->read(b, to, cap, error);
}

void source_close(struct source *s, struct source_body *b)
{
    s->ops->close(b);
}
