// SPDX-License-Identifier: Apache-2.0
// The search for one content: source by source, until one gives it. On the thread that fetches.
#include "content/content_priv.h"

#include "base/err.h"
#include "content/grade.h"

#include <stdio.h>
#include <string.h>

struct search {
    const struct content_want *want;
    struct content_outcome *out;
    unsigned n_absent, n_failed;
    // a source has enough to do with us, and nothing else is wrong with it
    bool busy;
    // the worst error, whose sentence is in out->error
    int rc;
    // names of the sources that have not got it
    char absent[CONTENT_TEXT_SIZE / 2];
};

static void note_absent(struct search *s, const struct source *source)
{
    size_t n = strlen(s->absent);
    const char *comma = n ? ", " : "";
    snprintf(s->absent + n, sizeof s->absent - n, "%s%s", comma, source_name(source));
    s->n_absent++;
}

static void note_failure(struct search *s, int rc, const char *error)
{
    bool worst = !s->n_failed || grade_of(rc) >= grade_of(s->rc);
    if (worst) {
        snprintf(s->out->error, sizeof s->out->error, "%s", error);
        s->rc = rc;
    }
    s->n_failed++;
}

// May the source be asked now? Notes why not.
static bool enter(struct search *s, struct source *source)
{
    int64_t again = 0;
    enum source_state state;
    if (s->want->besides)
        state = source_enter_besides(source, &again);
    else
        state = source_enter(source, s->want->max_running, &again);
    if (state == SOURCE_READY)
        return true;
    if (state == SOURCE_BUSY)
        s->busy = true;
    int64_t *earliest = &s->out->not_before_mono;
    if (!*earliest || again < *earliest)
        *earliest = again;
    return false;
}

static void leave(const struct search *s, struct source *source, int rc)
{
    if (s->want->besides)
        source_leave_besides(source, rc);
    else
        source_leave(source, rc);
}

// No source gave it. A source that has not got it yet, or is busy, is no failure.
static int search_end(struct search *s)
{
    if (s->n_failed)
        return s->rc;
    if (s->n_absent) {
        snprintf(s->out->error, sizeof s->out->error,
                 "content that it refers to is not there in %s", s->absent);
        return ERR_NOTFOUND;
    }
    if (s->busy)
        return ERR_BUSY;
    return ERR_UNREACHABLE;
}

int sources_try(const struct content_want *w, const _Atomic bool *stop, source_try_fn try,
                void *arg, struct content_outcome *out)
{
    struct search s = {.want = w, .out = out};
    for (size_t i = 0; i < w->n_sources && !*stop; i++) {
        struct source *source = w->sources[i];
        if (!enter(&s, source))
            continue;
        char error[CONTENT_TEXT_SIZE] = "";
        out->own_fault = false;
        int rc = try(arg, source, out, error);
        leave(&s, source, out->own_fault ? ERR_CANCELED : rc); // invariant 3
        if (!rc) {
            out->not_before_mono = 0; // nothing is to be tried again
            return 0;
        }
        if (rc == ERR_NOTFOUND) {
            note_absent(&s, source);
            continue;
        }
        note_failure(&s, rc, error);
        bool no_other_helps = out->own_fault || rc == ERR_NOMEM;
        if (no_other_helps) {
            out->not_before_mono = 0;
            return rc;
        }
    }
    return search_end(&s);
}
