// SPDX-License-Identifier: Apache-2.0
// Log lines; see log.h. Control bytes in a line are replaced, so that what a client sent cannot
// forge lines.
#include "base/log.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/plain.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static _Atomic int least_level = LOG_INFO;
static char line_tag[32] = "meridian";
static const char *const names[] = {"debug", "info", "warn", "error"};

// The last lines, in a ring. Lines are written into it one after the other; the oldest one may be
// overwritten in part.
static struct {
    pthread_mutex_t lock;
    // NULL: none are kept
    char *p;
    size_t size;
    // where the next byte goes
    size_t at;
    // it has come round at least once
    bool full;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_setup(enum log_level least, const char *tag)
{
    atomic_store(&least_level, (int)least);
    snprintf(line_tag, sizeof line_tag, "%s", tag);
}

int log_keep(size_t bytes)
{
    if (kept.p)
        return 0;
    kept.p = mem_zalloc(bytes);
    if (!kept.p)
        return ERR_NOMEM;
    kept.size = bytes;
    return 0;
}

static void keep(const char *line, size_t n)
{
    if (!kept.p || n > kept.size)
        return;
    pthread_mutex_lock(&kept.lock);
    size_t first = kept.size - kept.at;
    if (first > n)
        first = n;
    memcpy(kept.p + kept.at, line, first);
    memcpy(kept.p, line + first, n - first);
    kept.full = kept.full || kept.at + n >= kept.size;
    kept.at = (kept.at + n) % kept.size;
    pthread_mutex_unlock(&kept.lock);
}

void log_recent(struct buf *out)
{
    if (!kept.p)
        return;
    pthread_mutex_lock(&kept.lock);
    size_t begin = out->n;
    if (kept.full)
        buf_add(out, kept.p + kept.at, kept.size - kept.at);
    size_t n_old = out->n - begin;
    buf_add(out, kept.p, kept.at);
    pthread_mutex_unlock(&kept.lock);
    if (out->err || !n_old)
        return;
    // the first line has lost its beginning
    char *end = memchr(out->p + begin, '\n', out->n - begin);
    size_t torn = out->n - begin;
    if (end)
        torn = (size_t)(end + 1 - (out->p + begin));
    memmove(out->p + begin, out->p + begin + torn, out->n - begin - torn);
    out->n -= torn;
    out->p[out->n] = 0;
}

static int shown(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static void write_line(enum log_level level, const char *suffix, const char *fmt, va_list ap)
{
    char line[LINE_MAX_BYTES], when[CLOCK_TEXT_SIZE];
    int head = snprintf(line, sizeof line, "%s %s %s ", clock_format(clock_wall_ms(), when),
                        names[level], line_tag);
    int n = vsnprintf(line + head, sizeof line - (size_t)head, fmt, ap);
    size_t len = (size_t)head + (n > 0 ? (size_t)n : 0);
    if (len > sizeof line - 64)
        len = sizeof line - 64;
    len += (size_t)snprintf(line + len, sizeof line - len, "%s", suffix);
    text_plain(line + head, len - (size_t)head);
    line[len++] = '\n';
    keep(line, len);
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (!shown(level))
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line(level, "", fmt, ap);
    va_end(ap);
}

void log_limited(struct log_limit *lim, enum log_level level, const char *fmt, ...)
{
    if (!shown(level))
        return; // and leave the turn to a line that is shown
    int64_t now = clock_mono_ms(), next = atomic_load(&lim->next_ms);
    if (now < next || !atomic_compare_exchange_strong(&lim->next_ms, &next, now + lim->every_ms)) {
        atomic_fetch_add(&lim->swallowed, 1);
        return;
    }
    uint32_t swallowed = atomic_exchange(&lim->swallowed, 0);
    char suffix[48] = "";
    if (swallowed)
        snprintf(suffix, sizeof suffix, " (%u like it not shown)", swallowed);
    va_list ap;
    va_start(ap, fmt);
    write_line(level, suffix, fmt, ap);
    va_end(ap);
}
