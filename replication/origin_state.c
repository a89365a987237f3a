// SPDX-License-Identifier: Apache-2.0
// What status says of one origin; see origin_state.h.
#include "replication/origin_state.h"

#include "base/clock.h"
#include "base/err.h"
#include "content/grade.h"

#include <stdio.h>

// Something of it has no room here.
static bool lacks_space(const struct origin_seen *s, const struct origin_status *o)
{
    if (s->reader.stuck == ERR_NOSPACE || o->n_parked)
        return true;
    return s->full && o->n_pending;
}

// It does not answer, or what it answers is no feed.
static bool is_unreached(const struct peer_view *v)
{
    return !v->connected && v->failing && !v->stuck;
}

static const char *self_name(const struct origin_status *o)
{
    if (o->n_retrying)
        return "Retrying";
    return "Syncing";
}

// Nothing is heard of it any more: others have what it wrote.
static const char *sealed_name(const struct origin_seen *s, const struct origin_status *o)
{
    if (lacks_space(s, o))
        return "NoSpace";
    if (o->n_retrying || s->reader.stuck)
        return "Retrying";
    if (s->n_unknown)
        return "NeedsUpgrade";
    if (o->n_pending || !s->reader.sealed_whole)
        return "Syncing";
    return "Ready";
}

const char *origin_state_name(const struct origin_seen *s, const struct origin_status *o, bool self)
{
    const struct peer_view *v = &s->reader;
    bool no_space = lacks_space(s, o);
    if (self && !no_space)
        return self_name(o);
    if (v->diverged)
        return "Conflict";
    if (v->sealed)
        return sealed_name(s, o);
    if (v->silent)
        return "Unreachable";
    if (v->ahead) // it answers, but nothing more of it can be taken now
        return "ClockAhead";
    if (is_unreached(v))
        return "Unreachable";
    if (no_space) // all that fits goes on; somebody must make room for the rest
        return "NoSpace";
    if (o->n_retrying || v->stuck)
        return "Retrying";
    if (s->n_unknown) // it is kept and handed on, and has no effect here
        return "NeedsUpgrade";
    if (s->n_differences) // what is shown differs, and nothing that is under way explains it
        return "Diverged";
    if (o->n_pending || !v->connected || !v->caught_up)
        return "Syncing";
    return "Ready";
}

static void take_earlier(int64_t *since, int64_t other)
{
    if (other < *since)
        *since = other;
}

int64_t origin_lag_seconds(const struct origin_seen *s, const struct origin_status *o, int64_t now)
{
    const struct peer_view *v = &s->reader;
    int64_t since = now;
    if (o->oldest_pending_stamp)
        since = hlc_wall_ms(o->oldest_pending_stamp);
    if (!v->connected && !v->sealed && v->last_contact_ms)
        take_earlier(&since, v->last_contact_ms);
    if (v->ahead)
        take_earlier(&since, v->ahead_since_ms);
    int64_t lag_ms = 0;
    if (since < now)
        lag_ms = now - since;
    if (v->silent && v->silence_ms > lag_ms)
        lag_ms = v->silence_ms;
    return lag_ms / 1000;
}

// How bad the reader's own error is.
static enum grade reader_grade(const struct peer_view *v)
{
    if (v->stuck == ERR_NOSPACE)
        return GRADE_NO_SPACE;
    if (v->stuck)
        return GRADE_OWN;
    if (v->diverged)
        return GRADE_WRONG_BYTES;
    if (v->last_error[0])
        return GRADE_UNREACHED;
    return GRADE_NONE;
}

static const char *reader_error(const struct origin_seen *s, const struct origin_status *o)
{
    if (!s->reader.last_error[0] && s->full && o->n_pending)
        return "the disk of this region is full";
    return s->reader.last_error;
}

static const char *job_error(const struct origin_status *o)
{
    if (!o->last_error)
        return "";
    if (!o->n_retrying && !o->n_parked)
        return "";
    return o->last_error;
}

const char *origin_error(const struct origin_seen *s, const struct origin_status *o,
                         char out[ORIGIN_ERROR_SIZE])
{
    const char *first = reader_error(s, o), *second = job_error(o);
    if (o->last_grade >= (int)reader_grade(&s->reader)) {
        const char *t = first;
        first = second;
        second = t;
    }
    if (!*first) {
        first = second;
        second = "";
    }
    if (!*first)
        return NULL;
    if (*second)
        snprintf(out, ORIGIN_ERROR_SIZE, "%.*s; %.*s", ERROR_TEXT_SIZE, first, ERROR_TEXT_SIZE,
                 second);
    else
        snprintf(out, ORIGIN_ERROR_SIZE, "%.*s", ERROR_TEXT_SIZE, first);
    return out;
}
