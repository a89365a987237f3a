// SPDX-License-Identifier: Apache-2.0
// What the service manager hears; see service_manager.h.
#include "daemon/service_manager.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EDGE_WAIT_MS 30000
#define ASKS_PER_INTERVAL 4
#define STOP_MARGIN_MS 5000

static void tell(struct service_manager *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void tell(struct service_manager *m, const char *fmt, ...)
{
    char lines[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(lines, sizeof lines, fmt, ap);
    va_end(ap);
    int rc = notify_send(&m->to, lines);
    static struct log_limit limit = LOG_LIMIT(60000);
    if (rc)
        log_limited(&limit, LOG_WARN, "daemon: the service manager cannot be told: %s",
                    err_text(rc));
}

static void status_set(struct service_manager *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void status_set(struct service_manager *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->status, sizeof m->status, fmt, ap);
    va_end(ap);
    notify_text(m->status);
}

void service_manager_init(struct service_manager *m, bool restarted)
{
    *m = (struct service_manager){.reloading = restarted, .told_ready = restarted};
    int rc = notify_from_env(&m->to);
    if (rc)
        log_warn("daemon: NOTIFY_SOCKET: %s; the service manager is told nothing", err_text(rc));
}

static bool all_is_served(const struct service_state *s)
{
    return s->edge_runs || !s->edge_wanted;
}

static void describe(struct service_manager *m, const struct service_state *s)
{
    if (s->phase == SERVICE_STARTING)
        status_set(m, "region %s, stamp %s: starting", s->region, s->stamp);
    else if (s->phase == SERVICE_RESTARTING)
        status_set(m, "region %s, stamp %s: another program takes over", s->region, s->stamp);
    else if (all_is_served(s))
        status_set(m, "region %s, stamp %s: serving", s->region, s->stamp);
    else
        status_set(m, "region %s, stamp %s: names are answered, the edge does not run%s%s",
                   s->region, s->stamp, *s->edge_error ? ": " : "", s->edge_error);
}

// Ready for the manager, which may be less than all.
static bool is_ready(struct service_manager *m, const struct service_state *s, int64_t now_ms)
{
    if (s->phase != SERVICE_SERVING)
        return false;
    if (!m->serving_ms)
        m->serving_ms = now_ms;
    // what a reload leaves broken is told, and waits for nothing
    if (m->told_ready || all_is_served(s))
        return true;
    return now_ms - m->serving_ms >= EDGE_WAIT_MS;
}

void service_manager_turn(struct service_manager *m, const struct service_state *s, int64_t now_ms)
{
    if (!m->to.on)
        return;
    if (s->phase == SERVICE_RESTARTING && !m->reloading)
        service_manager_reloading(m, "another program takes over");
    char before[sizeof m->status];
    memcpy(before, m->status, sizeof before);
    describe(m, s);
    if ((!m->told_ready || m->reloading) && is_ready(m, s, now_ms)) {
        m->told_ready = true;
        m->reloading = false;
        tell(m, "READY=1\nSTATUS=%s", m->status);
    } else if (strcmp(before, m->status) != 0) {
        tell(m, "STATUS=%s", m->status);
    }
}

void service_manager_reloading(struct service_manager *m, const char *what)
{
    // told before it is up, it would have the manager take the end of that reload for the start's
    if (!m->to.on || !m->told_ready)
        return;
    m->reloading = true;
    status_set(m, "%s", what);
    tell(m, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=%s", (long long)clock_kernel_mono_us(),
         m->status);
}

void service_manager_stopping(struct service_manager *m, const char *why, int64_t within_ms)
{
    if (!m->to.on)
        return;
    if (why)
        status_set(m, "stopping: %s", why);
    else
        status_set(m, "stopping: requests in flight end, within %lld s",
                   (long long)(within_ms / 1000));
    tell(m, "STOPPING=1\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%lld", m->status,
         (long long)(within_ms + STOP_MARGIN_MS) * 1000);
}

void service_manager_failed(struct service_manager *m, const char *why)
{
    if (!m->to.on)
        return;
    status_set(m, "cannot start: %s", why);
    tell(m, "STATUS=%s", m->status);
}

static bool watchdog_due(struct service_manager *m, int64_t now_ms)
{
    if (!m->to.watchdog_ms || now_ms < m->ask_ms)
        return false;
    m->ask_ms = now_ms + m->to.watchdog_ms / ASKS_PER_INTERVAL;
    return true;
}

bool service_manager_ask(struct service_manager *m, int64_t now_ms)
{
    if (!watchdog_due(m, now_ms))
        return false;
    if (!m->answers)
        tell(m, "WATCHDOG=1");
    return true;
}

void service_manager_answered(struct service_manager *m)
{
    m->answers = true;
    if (m->to.watchdog_ms)
        tell(m, "WATCHDOG=1");
}

void service_manager_vouch(struct service_manager *m, int64_t now_ms)
{
    if (watchdog_due(m, now_ms))
        tell(m, "WATCHDOG=1");
}

void service_manager_other_worker(struct service_manager *m)
{
    m->answers = false;
}
