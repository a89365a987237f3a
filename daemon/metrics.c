// SPDX-License-Identifier: Apache-2.0
// The node's metrics as one text for Prometheus: `GET /metrics` on a listener of its own
// (metrics.listen, off by default) and `GET /v1/metrics` on the admin socket. Gathers what the
// rooms count; see docs/metrics.md for the table. begin runs on an HTTP thread, the gathering on
// the pool.
#include "daemon/metrics.h"

#include "base/bytes.h"
#include "base/exposition.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/source.h"
#include "daemon/admin_collect.h"
#include "daemon/admin_tasks.h"
#include "daemon/auditing.h"
#include "daemon/collector.h"
#include "daemon/limiting.h"
#include "daemon/scrub.h"
#include "daemon/served.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define METRICS_MAX_BYTES (16u << 20)

static void write_process(const struct app *app, struct buf *b)
{
    struct rusage u;
    struct rlimit l;
    unsigned long long pages = 0, resident = 0, open_fds = 0;
    AUTO_BUF struct buf statm;
    buf_init(&statm, 256);
    if (!file_read("/proc/self/statm", 256, &statm)) {
        char *end;
        pages = strtoull(buf_cstr(&statm), &end, 10);
        resident = strtoull(end, NULL, 10);
    }
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        open_fds += e->d_name[0] != '.';
    if (d)
        closedir(d);
    double page = (double)sysconf(_SC_PAGESIZE);
    exposition_single(b, "process_start_time_seconds", "gauge", "Start of the worker, Unix time.",
                      (double)app->started_ms / 1000);
    if (!getrusage(RUSAGE_SELF, &u))
        exposition_single(b, "process_cpu_seconds_total", "counter",
                          "User and system time of the worker.",
                          (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                              (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    exposition_single(b, "process_virtual_memory_bytes", "gauge", "Address space of the worker.",
                      (double)pages * page);
    exposition_single(b, "process_resident_memory_bytes", "gauge", "Resident memory of the worker.",
                      (double)resident * page);
    exposition_single(b, "process_open_fds", "gauge", "Open descriptors of the worker.",
                      open_fds ? (double)(open_fds - 1) : 0); // the folder itself was one
    if (!getrlimit(RLIMIT_NOFILE, &l))
        exposition_single(b, "process_max_fds", "gauge", "Most descriptors that may be open.",
                          (double)l.rlim_cur);
}

static void write_config(const struct app *app, struct buf *b)
{
    struct topology *t = snapshot_get(app->topology);
    struct topology_status topology = {0}, principals = {0};
    topology_source_status(app->source, &topology, &principals);
    if (t) {
        exposition_single(b, "meridian_topology_version", "gauge",
                          "Version of the topology in force.", (double)t->version);
        exposition_single(b, "meridian_topology_registries", "gauge",
                          "Registries in the catalogue.", (double)t->n_registries);
        exposition_single(b, "meridian_topology_regions", "gauge", "Regions in the topology.",
                          (double)t->n_regions);
    }
    exposition_family(b, "meridian_topology_source", "gauge",
                      "Where topology and principals come from: files or feed; always 1.");
    exposition_begin(b, "meridian_topology_source");
    exposition_label(b, "source", app->feed ? "feed" : "files");
    exposition_value(b, 1);
    exposition_single(b, "meridian_topology_loaded_timestamp_seconds", "gauge",
                      "When it came into force, Unix time.", (double)topology.loaded_at_ms / 1000);
    exposition_single(b, "meridian_topology_refused_edits_total", "counter",
                      "Edits that were refused.", (double)topology.refused);
    exposition_single(b, "meridian_principals_refused_edits_total", "counter",
                      "Edits that were refused.", (double)principals.refused);
    free(topology.refused_why);
    free(topology.changes_why);
    free(principals.refused_why);
    snapshot_unref(t);
}

static void target_begin(struct buf *b, const char *name, const struct health_target *target)
{
    exposition_begin(b, name);
    exposition_label(b, "region", target->region);
    exposition_label(b, "stamp", target->stamp);
}

static void write_exceptions(const struct health_verdicts *v, struct buf *b)
{
    static const char *const kinds[] = {
        [HEALTH_DRAINED] = "drained", [HEALTH_IMPAIRED] = "impaired", [HEALTH_DRILLED] = "drilled"};
    exposition_family(b, "meridian_health_exceptions", "gauge",
                      "Registries that a region does not serve for now.");
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t n = 0;
        for (size_t i = 0; i < v->n_exceptions; i++)
            n += v->exceptions[i].kind == k;
        exposition_begin(b, "meridian_health_exceptions");
        exposition_label(b, "kind", kinds[k]);
        exposition_value(b, (double)n);
    }
}

// Which region, and for which registry (its login label; "*" all of them).
static void write_each_exception(const struct health_verdicts *v, struct buf *b)
{
    static const char name[] = "meridian_health_exception";
    static const char *const kinds[] = {
        [HEALTH_DRAINED] = "drained", [HEALTH_IMPAIRED] = "impaired", [HEALTH_DRILLED] = "drilled"};
    exposition_family(b, name, "gauge",
                      "A region does not serve a registry's global name for now; always 1.");
    for (size_t i = 0; i < v->n_exceptions; i++) {
        const struct health_exception *x = &v->exceptions[i];
        if ((size_t)x->kind >= ARRAY_LEN(kinds))
            continue;
        exposition_begin(b, name);
        exposition_label(b, "kind", kinds[x->kind]);
        exposition_label(b, "region", x->region);
        exposition_label(b, "registry", x->label[0] ? x->label : "*");
        exposition_value(b, 1);
    }
}

static void write_health(const struct app *app, struct buf *b)
{
    struct health_verdicts *v = snapshot_get(app->verdicts);
    if (!v)
        return;
    exposition_family(b, "meridian_health_up", "gauge",
                      "The verdict in force on a stamp: 1 up, 0 down.");
    for (size_t i = 0; i < v->n_targets; i++) {
        target_begin(b, "meridian_health_up", &v->targets[i]);
        exposition_value(b, health_target_up(&v->targets[i]));
    }
    exposition_family(b, "meridian_health_seen_up", "gauge",
                      "What this resolver's own probes say: 1 up, 0 down.");
    for (size_t i = 0; i < v->n_targets; i++) {
        target_begin(b, "meridian_health_seen_up", &v->targets[i]);
        exposition_value(b, v->targets[i].seen_up);
    }
    exposition_family(b, "meridian_health_short", "gauge",
                      "1: the stamp takes no new content for want of space.");
    for (size_t i = 0; i < v->n_targets; i++) {
        target_begin(b, "meridian_health_short", &v->targets[i]);
        exposition_value(b, health_target_short(&v->targets[i]));
    }
    exposition_family(b, "meridian_health_headroom_ratio", "gauge",
                      "Free share of its capacity, as the stamp says.");
    for (size_t i = 0; i < v->n_targets; i++) {
        target_begin(b, "meridian_health_headroom_ratio", &v->targets[i]);
        exposition_value(b, (double)v->targets[i].headroom / HEALTH_HEADROOM_FULL);
    }
    exposition_family(b, "meridian_health_forced", "gauge",
                      "An operator forced it: 1 up, -1 down, 0 not.");
    for (size_t i = 0; i < v->n_targets; i++) {
        enum health_force f = v->targets[i].force;
        target_begin(b, "meridian_health_forced", &v->targets[i]);
        exposition_value(b, (f == HEALTH_FORCE_UP) - (f == HEALTH_FORCE_DOWN));
    }
    exposition_family(b, "meridian_health_changed_timestamp_seconds", "gauge",
                      "When the verdict changed, Unix time.");
    for (size_t i = 0; i < v->n_targets; i++) {
        target_begin(b, "meridian_health_changed_timestamp_seconds", &v->targets[i]);
        exposition_value(b, (double)v->targets[i].changed_ms / 1000);
    }
    write_exceptions(v, b);
    write_each_exception(v, b);
    snapshot_unref(v);
    if (app->health)
        health_metrics(app->health, b);
}

static void write_disk(const struct app *app, struct buf *b)
{
    struct space_view v;
    app_disk_get(app, &v);
    exposition_single(b, "meridian_store_free_bytes", "gauge", "Free disk of the blob store.",
                      (double)v.disk.free_bytes);
    exposition_single(b, "meridian_store_reserve_bytes", "gauge",
                      "Of it, what content may not use (disk.reserve).", (double)v.reserve_bytes);
    exposition_single(b, "meridian_store_promised_bytes", "gauge",
                      "Promised to uploads and copies, not written yet.",
                      (double)v.outstanding_bytes);
    exposition_single(b, "meridian_store_short", "gauge", "The disk takes no new content.",
                      v.is_short);
    exposition_single(b, "meridian_store_refused_total", "counter",
                      "Content refused for want of space.", (double)v.n_refused);
}

static void write_commits(const struct app *app, struct buf *b)
{
    struct meta_commits c;
    if (!app->meta)
        return;
    meta_commits_get(app->meta, &c);
    exposition_single(b, "meridian_store_writes_total", "counter", "Changes of the metadata.",
                      (double)c.n_writes);
    exposition_single(b, "meridian_store_commits_total", "counter", "Commits that they took.",
                      (double)c.n_commits);
}

static void write_node(const struct app *app, struct buf *b)
{
    exposition_family(b, "meridian_build_info", "gauge",
                      "Version and place of this node; always 1.");
    exposition_begin(b, "meridian_build_info");
    exposition_label(b, "version", MERIDIAN_VERSION);
    exposition_label(b, "region", app->node->region);
    exposition_label(b, "stamp", app->node->stamp);
    exposition_value(b, 1);
    pthread_mutex_lock(&app->vitals->lock);
    struct edge_status e = app->vitals->edge;
    pthread_mutex_unlock(&app->vitals->lock);
    if (app->node->roles & (ROLE_REGISTRY | ROLE_AUTH | ROLE_REPLICATOR)) {
        exposition_single(b, "meridian_edge_up", "gauge", "nginx runs.", e.state == EDGE_RUNNING);
        exposition_single(b, "meridian_edge_restarts_total", "counter",
                          "Starts of nginx after it ended.", e.n_restarts);
        exposition_single(b, "meridian_store_writable", "gauge",
                          "The store took its last probe write.",
                          !condition_holds(&app->vitals->conditions, CONDITION_METADATA) &&
                              !condition_holds(&app->vitals->conditions, CONDITION_STORE));
        write_disk(app, b);
        write_commits(app, b);
    }
}

static void write_gates(const struct app *app, struct buf *b)
{
    static const char *const reasons[META_N_GATES] = {[META_GATE_RECOVERY] = "recovery",
                                                      [META_GATE_CLOCK] = "clock",
                                                      [META_GATE_KEY] = "key",
                                                      [META_GATE_SEALED] = "sealed",
                                                      [META_GATE_STAMPS] = "stamps"};
    _Static_assert(META_N_GATES == 5, "each gate has its word here");
    if (!app->meta)
        return;
    exposition_family(b, "meridian_writes_closed", "gauge",
                      "Writes are closed for this reason: 1 or 0.");
    for (size_t g = 0; g < ARRAY_LEN(reasons); g++) {
        exposition_begin(b, "meridian_writes_closed");
        exposition_label(b, "reason", reasons[g]);
        exposition_value(b, meta_gate_is_closed(app->meta, (enum meta_gate)g));
    }
}

// All families; out has a ceiling.
static void metrics_text(const struct app *app, struct buf *out)
{
    write_node(app, out);
    write_process(app, out);
    write_config(app, out);
    write_health(app, out);
    app_judge_writes((struct app *)app);
    conditions_metrics(&app->vitals->conditions, out);
    write_gates(app, out);
    tasks_metrics(app, out);
    usage_metrics(app, out);
    auditing_metrics(app, out);
    limiting_metrics(app, out);
    served_metrics(app, out);
    collector_metrics(app->collector, out);
    scrub_metrics(app->scrub, out);
    replication_metrics(app->replicator, out);
    fleet_metrics(app->fleet, out);
    if (app->resolver)
        resolver_metrics_write(app->resolver, out);
}

// ---- the answer: larger than a request's arena may be, so it is pulled from memory of its own
// ----

struct page {
    struct buf text;
    size_t at;
};

static ssize_t page_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    struct page *p = ctx;
    size_t n = cap;
    if (p->text.n - p->at < cap)
        n = p->text.n - p->at;
    (void)s;
    memcpy(to, buf_cstr(&p->text) + p->at, n);
    p->at += n;
    if (n)
        return (ssize_t)n;
    return HTTP_STREAM_END;
}

static void page_close(void *ctx)
{
    struct page *p = ctx;
    buf_done(&p->text);
    free(p);
}

void metrics_reply(const struct app *app, struct http_request *req, struct http_response *resp)
{
    static const struct http_stream_ops ops = {.read = page_read, .close = page_close};
    struct page *p = mem_zalloc(sizeof *p);
    if (p) {
        buf_init(&p->text, METRICS_MAX_BYTES);
        metrics_text(app, &p->text);
        if (!p->text.err &&
            !http_response_stream(resp, 200, EXPOSITION_CONTENT_TYPE, &ops, p, NULL))
            return;
        page_close(p);
    }
    http_response_text(req, resp, 500, "the metrics do not fit in memory\n");
}

static void metrics_run(struct http_request *req, struct http_response *resp)
{
    metrics_reply(req->ctx, req, resp);
}

void app_begin_metrics(void *ctx, struct http_request *req, struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    if (strcmp(req->path, "/metrics") != 0) {
        http_response_text(req, &plan->response, 404, "here is only /metrics\n");
    } else if (req->method != HTTP_GET && req->method != HTTP_HEAD) {
        http_response_text(req, &plan->response, 405, "/metrics takes GET and HEAD\n");
        http_response_header(req, &plan->response, "Allow", "GET, HEAD");
    } else {
        *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = metrics_run, .ctx = ctx};
    }
}
