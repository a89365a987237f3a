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

#include <stdatomic.h>
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
    // Of an answer from its beginning on it gives only so many bytes, until this is 0.
    _Atomic size_t head;
    // It gives nothing before so many of its answers have run at once.
    unsigned crowd;
    // The answer of that number (1: the first) gives nothing; 0: none is so.
    unsigned stalls;
    // So many answers that go to its end from further on give a byte too many.
    _Atomic unsigned n_larger;
    // Its first answer breaks off without a byte, once the crowd is there.
    bool cuts_first;
    // Called when it is looked at whether it is away.
    void (*looked_at)(void);
    // It holds its bytes back until they are urgent.
    bool holds_back;
    // It is known not to answer.
    _Atomic bool away;
    // It gives no byte past this one until it grows. SIZE_MAX: no such limit; 0 is SIZE_MAX.
    _Atomic size_t until;
    // How often it was asked, and from which byte the last time; how often it was told that it lies.
    _Atomic unsigned n_asked, n_told;
    // answers that run, and the most that did; bytes that it gave
    _Atomic unsigned n_open, n_open_most;
    _Atomic uint64_t n_given;
    _Atomic uint64_t asked_from;

    struct source *source;
};

struct source_body {
    struct script *script;
    const _Atomic bool *stop, *urgent;
    size_t at, begin, end;
    // of its source's answers, which one
    unsigned number;
    bool larger;
};

static inline int script_open(void *ctx, const struct content_ask *ask, const _Atomic bool *stop,
                              struct source_body **out, uint64_t *out_from,
                              char error[CONTENT_TEXT_SIZE])
{
    struct script *s = ctx;
    unsigned number = ++s->n_asked;
    s->asked_from = ask->from;
    snprintf(error, CONTENT_TEXT_SIZE, "%s: refuses", s->name);
    if (s->refuses)
        return s->refuses;
    if (!s->bytes)
        return ERR_NOTFOUND;
    if (ask->from > s->n || (ask->to && ask->from == s->n))
        return ERR_RANGE;
    if (ask->to && s->whole_only)
        return ERR_UNSUPPORTED;
    struct source_body *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->script = s;
    b->stop = stop;
    b->urgent = ask->urgent;
    if (!s->whole_only)
        b->begin = ask->from;
    b->number = number;
    b->at = b->begin;
    b->end = s->n;
    if (ask->to && ask->to < s->n)
        b->end = (size_t)ask->to;
    if (ask->from && !ask->to && s->n_larger) {
        s->n_larger--;
        b->larger = true;
    }
    unsigned open = ++s->n_open, most = s->n_open_most;
    while (open > most && !atomic_compare_exchange_weak(&s->n_open_most, &most, open))
        ;
    *out = b;
    *out_from = b->begin;
    return 0;
}

static inline size_t script_limit(const struct source_body *b)
{
    const struct script *s = b->script;
    size_t limit = s->until, head = s->head;
    if (!limit || limit > b->end)
        limit = b->end;
    if (head && b->begin == 0 && limit > head)
        limit = head;
    if (s->n_open_most < s->crowd)
        limit = b->begin;
    if (s->stalls == b->number)
        limit = b->begin;
    if (s->holds_back && !*b->urgent)
        limit = b->begin;
    return limit;
}

static inline ssize_t script_read(struct source_body *b, void *to, size_t cap,
                                  char error[CONTENT_TEXT_SIZE])
{
    struct script *s = b->script;
    snprintf(error, CONTENT_TEXT_SIZE, "%s: broke off", s->name);
    while (b->at < b->end && b->at >= script_limit(b)) {
        if (*b->stop)
            return ERR_CANCELED;
        if (s->cuts_first && b->number == 1 && s->n_open_most >= s->crowd)
            return ERR_CLOSED;
        clock_sleep_ms(1);
    }
    if (*b->stop)
        return ERR_CANCELED;
    if (b->at == b->end && b->larger) {
        b->larger = false;
        *(char *)to = '!';
        return 1;
    }
    size_t n = script_limit(b) - b->at;
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
    s->n_given += n;
    return (ssize_t)n;
}

static inline void script_close(struct source_body *b)
{
    b->script->n_open--;
    free(b);
}

static inline bool script_away(void *ctx)
{
    struct script *s = ctx;
    if (s->looked_at)
        s->looked_at();
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
