// SPDX-License-Identifier: Apache-2.0
// Status and log of one document; see source_report.h.
#include "control/source_report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

void source_report_init(struct source_report *r, const char *what)
{
    *r = (struct source_report){.what = what};
    pthread_mutex_init(&r->lock, NULL);
}

void source_report_done(struct source_report *r)
{
    free(r->status.refused_why);
    free(r->status.changes_why);
    pthread_mutex_destroy(&r->lock);
}

void source_report_copy(struct source_report *r, struct topology_status *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->status;
    if (out->refused_why)
        out->refused_why = mem_strdup(out->refused_why);
    if (out->changes_why)
        out->changes_why = mem_strdup(out->changes_why);
    pthread_mutex_unlock(&r->lock);
}

static void replace(char **field, char *text)
{
    free(*field);
    *field = text;
}

void source_report_in_force(struct source_report *r, uint64_t version, bool from_last_good)
{
    pthread_mutex_lock(&r->lock);
    r->status.version = version;
    r->status.loaded_at_ms = clock_wall_ms();
    r->status.from_last_good = from_last_good;
    replace(&r->status.changes_why, NULL); // it was of changes to the document before
    pthread_mutex_unlock(&r->lock);
}

void source_report_agrees(struct source_report *r)
{
    pthread_mutex_lock(&r->lock);
    replace(&r->status.refused_why, NULL);
    r->status.from_last_good = false;
    pthread_mutex_unlock(&r->lock);
}

static void log_lines(const char *text)
{
    while (*text) {
        int n = (int)strcspn(text, "\n");
        log_warn("config: %.*s", n, text);
        text += n;
        if (*text)
            text++;
    }
}

void source_report_refused(struct source_report *r, char *why)
{
    pthread_mutex_lock(&r->lock);
    struct topology_status *s = &r->status;
    bool again = why && s->refused_why && !strcmp(why, s->refused_why);
    if (!again)
        s->refused++;
    replace(&s->refused_why, why ? why : mem_strdup("out of memory"));
    uint64_t version = s->version;
    pthread_mutex_unlock(&r->lock);
    if (again)
        return;
    log_warn("config: the %s was not taken, version %llu stays in force", r->what,
             (unsigned long long)version);
    // only this thread replaces the reason, so that it may still be read
    log_lines(why ? why : "out of memory");
}

void source_report_changes_taken(struct source_report *r, uint64_t version, size_t n, bool all)
{
    pthread_mutex_lock(&r->lock);
    r->status.version = version;
    r->status.n_changes += n;
    r->status.changed_at_ms = clock_wall_ms();
    if (all)
        replace(&r->status.changes_why, NULL);
    pthread_mutex_unlock(&r->lock);
    log_info("config: %s version %llu is in force, by change", r->what,
             (unsigned long long)version);
}

void source_report_change_refused(struct source_report *r, struct diag *why)
{
    char *text = diag_text(why);
    pthread_mutex_lock(&r->lock);
    r->status.changes_refused++;
    replace(&r->status.changes_why, text);
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < why->n; i++)
        log_warn("config: %s", why->lines[i]);
}
