// SPDX-License-Identifier: Apache-2.0
// Sinks and their threads; see journal.h.
#include "resolver/log/journal.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "base/thread.h"
#include "resolver/log/dnstap.h"
#include "resolver/log/querylog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TURN_MS 20      // between looks into the rings: workers do not wake anybody
#define PER_TURN 100000 // records of one ring before the next has its turn

struct sink {
    const struct sink_ops *ops;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, reopen, running;
    unsigned n_rings;
    struct ring **rings;
};

static void take_all(struct sink *s)
{
    size_t n;
    void *p;
    for (unsigned i = 0; i < s->n_rings; i++)
        for (unsigned k = 0; k < PER_TURN && (p = ring_peek(s->rings[i], &n)); k++) {
            s->ops->record(s->ctx, p, n);
            ring_release(s->rings[i]);
        }
    s->ops->turn(s->ctx);
}

static void *sink_main(void *arg)
{
    struct sink *s = arg;
    bool stop = false;
    while (!stop) {
        int64_t until_us = clock_mono_us() + TURN_MS * 1000;
        struct timespec ts = {until_us / 1000000, until_us % 1000000 * 1000};
        pthread_mutex_lock(&s->lock);
        while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &ts) != ETIMEDOUT)
            ;
        stop = s->stopping;
        bool reopen = s->reopen;
        s->reopen = false;
        pthread_mutex_unlock(&s->lock);
        if (reopen)
            s->ops->reopen(s->ctx);
        take_all(s);
    }
    return NULL;
}

static int start_thread(struct sink *s, const char *name)
{
    s->running = !thread_start(&s->thread, sink_main, s);
    if (s->running)
        pthread_setname_np(s->thread, name);
    if (s->running)
        return 0;
    return ERR_NOMEM;
}

int sink_start(const char *name, unsigned n_rings, size_t ring_bytes, const struct sink_ops *ops,
               void *ctx, struct sink **out)
{
    struct sink *s = mem_zalloc(sizeof *s);
    if (!s) {
        ops->free(ctx);
        return ERR_NOMEM;
    }
    s->ops = ops;
    s->ctx = ctx;
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, &mono);
    pthread_condattr_destroy(&mono);
    s->rings = mem_zalloc_array(n_rings, sizeof(struct ring *));
    int rc = ERR_NOMEM;
    if (s->rings)
        rc = 0;
    for (; !rc && s->n_rings < n_rings; s->n_rings += !rc)
        rc = ring_new(ring_bytes, &s->rings[s->n_rings]);
    if (!rc)
        rc = start_thread(s, name);
    if (rc)
        sink_stop(s);
    else
        *out = s;
    return rc;
}

struct ring *sink_ring(struct sink *s, unsigned i)
{
    if (s)
        return s->rings[i];
    return NULL;
}

static void wake(struct sink *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    *flag = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

void sink_reopen(struct sink *s)
{
    if (s)
        wake(s, &s->reopen);
}

void sink_stop(struct sink *s)
{
    if (!s)
        return;
    if (s->running) {
        wake(s, &s->stopping);
        pthread_join(s->thread, NULL);
    }
    s->ops->free(s->ctx);
    for (unsigned i = 0; i < s->n_rings; i++)
        ring_free(s->rings[i]);
    free(s->rings);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint64_t sink_dropped(const struct sink *s)
{
    uint64_t n = 0;
    for (unsigned i = 0; s && i < s->n_rings; i++)
        n += ring_dropped(s->rings[i]);
    return n;
}

// ---- both ----

int journal_start(const struct node_dns *settings, const struct metrics_names *names,
                  unsigned n_workers, struct diag *diag, struct journal *out)
{
    struct journal j = {0};
    int rc = 0;
    if (settings && settings->query_log.file)
        rc = querylog_start(&settings->query_log, names, n_workers, diag, &j.querylog);
    if (!rc && settings && settings->dnstap.socket)
        rc = dnstap_start(&settings->dnstap, settings->nsid, n_workers, &j.dnstap);
    if (rc)
        journal_stop(&j);
    else
        *out = j;
    return rc;
}

void journal_writer_init(const struct journal *j, const struct node_dns *settings, unsigned worker,
                         struct journal_writer *out)
{
    *out = (struct journal_writer){.writes = j->querylog || j->dnstap,
                                   .querylog = sink_ring(j->querylog, worker),
                                   .dnstap = sink_ring(j->dnstap, worker),
                                   .querylog_every = settings->query_log.sample,
                                   .dnstap_every = settings->dnstap.sample};
}

void journal_note(struct journal_writer *writer, const struct metrics *m,
                  const struct endpoint *client, const struct answer_context *c,
                  const uint8_t *query, size_t n, const uint8_t *response, size_t response_n,
                  const struct answer_info *info, const struct journal_wait *wait)
{
    if (writer->querylog && ++writer->querylog_turn >= writer->querylog_every) {
        writer->querylog_turn = 0;
        querylog_note(writer->querylog, m, client, query, n, response_n, c->transport, info, wait);
    }
    if (writer->dnstap && c->listener && ++writer->dnstap_turn >= writer->dnstap_every) {
        writer->dnstap_turn = 0;
        dnstap_note(writer->dnstap, client, c->listener, c->transport, query, n, response,
                    response_n, wait);
    }
}

void journal_stop(struct journal *j)
{
    sink_stop(j->querylog);
    sink_stop(j->dnstap);
    *j = (struct journal){0};
}

void journal_reopen(struct journal *j)
{
    sink_reopen(j->querylog);
    sink_reopen(j->dnstap);
}

void journal_metrics(const struct journal *j, struct buf *out)
{
    static const char name[] = "meridian_dns_log_records_total";
    const struct {
        const struct sink *sink;
        const char *log;
        uint64_t written, failed;
    } rows[] = {{j->querylog, "query", querylog_written(), querylog_failed()},
                {j->dnstap, "dnstap", dnstap_written(), dnstap_failed()}};
    exposition_family(
        out, name, "counter",
        "Records for the query log and dnstap: written, dropped (the writer was behind), failed.");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct {
            const char *outcome;
            uint64_t n;
        } outcomes[] = {{"written", rows[i].written},
                        {"dropped", sink_dropped(rows[i].sink)},
                        {"failed", rows[i].failed}};
        for (size_t k = 0; rows[i].sink && k < ARRAY_LEN(outcomes); k++) {
            exposition_begin(out, name);
            exposition_label(out, "log", rows[i].log);
            exposition_label(out, "outcome", outcomes[k].outcome);
            exposition_value(out, (double)outcomes[k].n);
        }
    }
}
