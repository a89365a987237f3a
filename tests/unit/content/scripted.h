// SPDX-License-Identifier: Apache-2.0
// A source of content that does what a test says, without a network.
//
//   struct script east = {.name = "eastus", .bytes = text, .n = strlen(text), .cut_after = 100};
//   script_start(&east);                     // east.source may be asked
//   …
//   script_end(&east);
#ifndef MERIDIAN_TESTS_CONTENT_SCRIPTED_H
#define MERIDIAN_TESTS_CONTENT_SCRIPTED_H

#include "content/source.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/wait_for.h"

#include <stdio.h>
#include <string.h>

struct script {
    const char *name;
    // what it has; NULL: nothing, it answers that it has not got it
    const char *bytes;
    size_t n;
    // The answer breaks off after so many bytes of it; 0: it does not.
    size_t cut_after;
    // It gives so many bytes at a time; 0: as many as are asked for.
    size_t piece;
    // It answers with this error.
    int refuses;
    // It gives all of it, whatever was asked for.
    bool whole_only;
    // The first byte that it gives is another one.
    bool lies;
    // It is known not to answer.
    _Atomic bool away;
    // It gives no byte past this one until it grows. SIZE_MAX: no such limit; 0 is SIZE_MAX.
    _Atomic size_t until;
    // How often it was asked, and from which byte the last time; how often it was told that it lies.
    _Atomic unsigned n_asked, n_told;
    _Atomic uint64_t asked_from;

    struct source *source;
};

struct source_body {
    struct script *script;
    const _Atomic bool *stop;
    size_t at, begin;
};

static inline int script_open(void *ctx, const struct content_ask *ask, const _Atomic bool *stop,
                              struct source_body **out, uint64_t *out_from,
                              char error[CONTENT_TEXT_SIZE])
{
    struct script *s = ctx;
    s->n_asked++;
    s->asked_from = ask->from;
    snprintf(error, CONTENT_TEXT_SIZE, "%s: refuses", s->name);
    if (s->refuses)
        return s->refuses;
    if (!s->bytes)
        return ERR_NOTFOUND;
    if (ask->from > s->n)
        return ERR_RANGE;
    struct source_body *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->script = s;
    b->stop = stop;
    if (!s->whole_only)
        b->begin = ask->from;
    b->at = b->begin;
    *out = b;
    *out_from = b->begin;
    return 0;
}

static inline size_t script_limit(const struct script *s)
{
    size_t limit = s->until;
    if (!limit || limit > s->n)
        limit = s->n;
    return limit;
}

static inline ssize_t script_read(struct source_body *b, void *to, size_t cap,
                                  char error[CONTENT_TEXT_SIZE])
{
    struct script *s = b->script;
    snprintf(error, CONTENT_TEXT_SIZE, "%s: broke off", s->name);
    while (b->at < s->n && b->at >= script_limit(s)) {
        if (*b->stop)
            return ERR_CANCELED;
        clock_sleep_ms(1);
    }
    if (*b->stop)
        return ERR_CANCELED;
    size_t n = script_limit(s) - b->at;
    if (n > cap)
        n = cap;
    if (s->piece && n > s->piece)
        n = s->piece;
    if (s->cut_after) {
        size_t left = b->begin + s->cut_after - b->at;
        if (!left)
            return ERR_CLOSED;
        if (n > left)
            n = left;
    }
    memcpy(to, s->bytes + b->at, n);
    if (s->lies && n && b->at == b->begin)
        *(char *)to ^= 1;
    b->at += n;
    return (ssize_t)n;
}

static inline void script_close(struct source_body *b)
{
    free(b);
}

static inline bool script_away(void *ctx)
{
    struct script *s = ctx;
    return s->away;
}

static inline void script_told(void *ctx, const struct content_ask *ask)
{
    struct script *s = ctx;
    (void)ask;
    s->n_told++;
}

static const struct source_ops script_ops = {.open = script_open,
                                             .read = script_read,
                                             .close = script_close,
                                             .away = script_away,
                                             .tell_wrong = script_told};

static inline void script_start(struct script *s)
{
    ck_assert_int_eq(source_new(s->name, &script_ops, s, &s->source), 0);
}

static inline void script_end(struct script *s)
{
    source_free(s->source);
}

#endif
