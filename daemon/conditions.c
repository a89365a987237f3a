// SPDX-License-Identifier: Apache-2.0
// The list of conditions; see conditions.h.
#include "daemon/conditions.h"

#include "base/clock.h"
#include "base/exposition.h"
#include "base/log.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct condition_row {
    const char *name, *brief;
} rows[N_CONDITIONS] = {
#define X(constant, name, brief) {name, brief},
    CONDITION_TABLE(X)
#undef X
};

static const char *const severities[] = {
    [CONDITION_WARNING] = "warning", [CONDITION_SHORT] = "short", [CONDITION_DOWN] = "down"};

void conditions_init(struct conditions *c)
{
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
}

// A path or a cut character may hold what JSON refuses.
static void plain_text(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
            *s = '?';
}

static const char *skip_figures(const char *s)
{
    while (isdigit((unsigned char)*s) || *s == '.' || *s == '-')
        s++;
    return s;
}

// Do the sentences say the same, whatever their figures are? What is measured wavers, and is logged
// once.
static bool same_words(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = skip_figures(a);
        b = skip_figures(b);
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
}

// Every start closes writes for a moment, and who closes them later logs that too: no error by
// itself.
static enum log_level level_of(enum condition which, enum condition_severity severity)
{
    if (which == CONDITION_WRITES || severity == CONDITION_WARNING)
        return LOG_WARN;
    return LOG_ERROR;
}

static void log_begin(enum condition which, const struct condition_state *s)
{
    static const char *const told[] = {[CONDITION_WARNING] = "",
                                       [CONDITION_SHORT] = "; /healthz says short",
                                       [CONDITION_DOWN] = "; /healthz says down"};
    log_write(level_of(which, s->severity), "daemon: %s%s (%s)", s->sentence, told[s->severity],
              rows[which].name);
}

void condition_set(struct conditions *c, enum condition which, enum condition_severity severity,
                   const char *fmt, ...)
{
    struct condition_state now = {.holds = true, .severity = severity, .since_ms = clock_wall_ms()};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(now.sentence, sizeof now.sentence, fmt, ap);
    va_end(ap);
    plain_text(now.sentence);
    pthread_mutex_lock(&c->lock);
    struct condition_state *s = &c->states[which];
    bool news = !s->holds || s->severity != severity || !same_words(s->sentence, now.sentence);
    if (s->holds)
        now.since_ms = s->since_ms;
    *s = now;
    pthread_mutex_unlock(&c->lock);
    if (news)
        log_begin(which, &now);
}

void condition_clear(struct conditions *c, enum condition which)
{
    char since[CLOCK_TEXT_SIZE];
    pthread_mutex_lock(&c->lock);
    struct condition_state was = c->states[which];
    c->states[which] = (struct condition_state){0};
    pthread_mutex_unlock(&c->lock);
    if (was.holds)
        log_info("daemon: over: %s (%s, since %s)", was.sentence, rows[which].name,
                 clock_format(was.since_ms, since));
}

bool condition_holds(struct conditions *c, enum condition which)
{
    pthread_mutex_lock(&c->lock);
    bool holds = c->states[which].holds;
    pthread_mutex_unlock(&c->lock);
    return holds;
}

static const char *first_of(struct conditions *c, enum condition_severity severity)
{
    const char *brief = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < N_CONDITIONS && !brief; i++)
        if (c->states[i].holds && c->states[i].severity == severity)
            brief = rows[i].brief;
    pthread_mutex_unlock(&c->lock);
    return brief;
}

const char *conditions_down(struct conditions *c)
{
    return first_of(c, CONDITION_DOWN);
}

const char *conditions_short(struct conditions *c)
{
    return first_of(c, CONDITION_SHORT);
}

static json_t *state_json(enum condition which, const struct condition_state *s)
{
    char since[CLOCK_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:s, s:s}", "name", rows[which].name, "severity",
                     severities[s->severity], "since", clock_format(s->since_ms, since), "sentence",
                     s->sentence);
}

void *conditions_json(struct conditions *c)
{
    struct condition_state states[N_CONDITIONS];
    pthread_mutex_lock(&c->lock);
    memcpy(states, c->states, sizeof states);
    pthread_mutex_unlock(&c->lock);
    json_t *list = json_array();
    for (size_t i = 0; list && i < N_CONDITIONS; i++)
        if (states[i].holds &&
            json_array_append_new(list, state_json((enum condition)i, &states[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

void conditions_metrics(struct conditions *c, struct buf *out)
{
    exposition_family(out, "meridian_condition", "gauge",
                      "1 while this is wrong with the node, with this severity.");
    for (size_t i = 0; i < N_CONDITIONS; i++) {
        pthread_mutex_lock(&c->lock);
        bool holds = c->states[i].holds;
        enum condition_severity severity = c->states[i].severity;
        pthread_mutex_unlock(&c->lock);
        for (int s = CONDITION_WARNING; s <= CONDITION_DOWN; s++) {
            exposition_begin(out, "meridian_condition");
            exposition_label(out, "name", rows[i].name);
            exposition_label(out, "severity", severities[s]);
            exposition_value(out, holds && severity == (enum condition_severity)s);
        }
    }
}
