// SPDX-License-Identifier: Apache-2.0
// The table of sinks, and one query told to each; see journal.h.
#include "resolver/log/journal.h"

#include "base/exposition.h"
#include "base/mem.h"
#include "resolver/log/dnstap.h"
#include "resolver/log/querylog.h"

static const struct sink_kind *const kinds[JOURNAL_SINKS] = {
    [JOURNAL_QUERYLOG] = &querylog_kind,
    [JOURNAL_DNSTAP] = &dnstap_kind,
};

int journal_start(const struct node_dns *settings, const struct metrics_names *names,
                  unsigned n_workers, struct diag *diag, struct journal *out)
{
    struct journal j = {0};
    for (size_t i = 0; settings && i < JOURNAL_SINKS; i++) {
        int rc = kinds[i]->start(settings, names, n_workers, diag, &j.sinks[i]);
        if (rc) {
            journal_stop(&j);
            return rc;
        }
    }
    *out = j;
    return 0;
}

void journal_writer_init(const struct journal *j, const struct node_dns *settings, unsigned worker,
                         struct journal_writer *out)
{
    *out = (struct journal_writer){0};
    for (size_t i = 0; i < JOURNAL_SINKS; i++) {
        out->sinks[i].ring = sink_ring(j->sinks[i], worker);
        out->sinks[i].every = kinds[i]->every(settings);
        if (out->sinks[i].ring)
            out->writes = true;
    }
}

void journal_note(struct journal_writer *writer, const struct log_event *e)
{
    for (size_t i = 0; i < JOURNAL_SINKS; i++) {
        if (!writer->sinks[i].ring || ++writer->sinks[i].turn < writer->sinks[i].every)
            continue;
        writer->sinks[i].turn = 0;
        kinds[i]->note(writer->sinks[i].ring, e);
    }
}

void journal_stop(struct journal *j)
{
    for (size_t i = 0; i < JOURNAL_SINKS; i++)
        sink_stop(j->sinks[i]);
    *j = (struct journal){0};
}

void journal_reopen(struct journal *j)
{
    for (size_t i = 0; i < JOURNAL_SINKS; i++)
        sink_reopen(j->sinks[i]);
}

static void write_outcome(const char *family, const char *log, const char *outcome, uint64_t n,
                          struct buf *out)
{
    exposition_begin(out, family);
    exposition_label(out, "log", log);
    exposition_label(out, "outcome", outcome);
    exposition_value(out, (double)n);
}

void journal_metrics(const struct journal *j, struct buf *out)
{
    static const char family[] = "meridian_dns_log_records_total";
    exposition_family(
        out, family, "counter",
        "Records for the query log and dnstap: written, dropped (the writer was behind), failed.");
    for (size_t i = 0; i < JOURNAL_SINKS; i++) {
        if (!j->sinks[i])
            continue;
        write_outcome(family, kinds[i]->name, "written", kinds[i]->written(), out);
        write_outcome(family, kinds[i]->name, "dropped", sink_dropped(j->sinks[i]), out);
        write_outcome(family, kinds[i]->name, "failed", kinds[i]->failed(), out);
    }
}
