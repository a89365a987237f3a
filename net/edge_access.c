// SPDX-License-Identifier: Apache-2.0
// Lines of the access log and their file; see edge_access.h. In the reader of nginx's pipe, which
// has one thread and, once the file is open, may open nothing more. Allocates nothing.
#include "net/edge_access.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CUT "[cut]"

// ---- lines ----

enum field {
    F_TIME,
    F_STATUS,
    F_SENT,
    F_RECEIVED,
    F_SECONDS,
    F_CLIENT,
    F_BY,
    F_ID,
    F_REASON,
    F_PRINCIPAL,
    F_REGION,
    F_STAMP,
    F_METHOD,
    F_HOST,
    F_PATH,
    // workers that began with an earlier release leave it out
    F_PRIVATE,
    N_FIELDS,
};

struct text {
    const char *p;
    size_t n;
};

struct line {
    char *out;
    size_t n;
};

static bool fields_split(const uint8_t *record, size_t n, struct text out[N_FIELDS])
{
    const char *p = (const char *)record, *end = p + n;
    for (size_t i = 0; i < N_FIELDS; i++) {
        out[i] = (struct text){end, 0};
        if (p == end && i == F_PRIVATE)
            return true;
        if (p >= end || *p != EDGE_ACCESS_MARK)
            return false;
        const char *from = ++p;
        while (p < end && *p != EDGE_ACCESS_MARK)
            p++;
        out[i] = (struct text){from, (size_t)(p - from)};
    }
    return p == end;
}

static void put(struct line *l, const char *s, size_t n)
{
    if (l->n + n + 1 > EDGE_ACCESS_LINE_MAX)
        return; // the bounds of the fields rule it out
    memcpy(l->out + l->n, s, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static bool empty(struct text t)
{
    return !t.n || (t.n == 1 && *t.p == '-');
}

// What paths of ours, host names, user names and words are made of: nothing that JSON would have to
// escape. No '?', '=' or '%', so no query, also none that was escaped.
static bool plain(char c)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return word || (c && strchr("/._:-~+@[]", c));
}

// Words before a secret, wherever a client put them.
static bool secret_at(const char *p, size_t left)
{
    static const char *const words[] = {"eyJ", "sig="};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if (left >= n && !strncmp(p, words[i], n))
            return true;
    }
    return false;
}

static void put_text(struct line *l, const char *name, struct text t, size_t max)
{
    if (empty(t))
        return;
    size_t keep = 0;
    while (keep < t.n && keep < max && plain(t.p[keep]) && !secret_at(t.p + keep, t.n - keep))
        keep++;
    put_str(l, ",\"");
    put_str(l, name);
    put_str(l, "\":\"");
    put(l, t.p, keep);
    put_str(l, keep < t.n ? CUT "\"" : "\"");
}

// A target "https://user:password@host/…" is a path behind the first '/' of the password, when that
// is where nginx ends the host and port. No path of ours holds '@', so all is cut.
static void put_path(struct line *l, struct text t)
{
    if (t.n && memchr(t.p, '@', t.n))
        t = (struct text){"?", 1};
    put_text(l, "path", t, 512);
}

// Digits, and at most one point between them.
static bool is_number(struct text t)
{
    size_t points = 0;
    if (!t.n || t.n > 20)
        return false;
    if (t.p[0] == '.' || t.p[t.n - 1] == '.')
        return false;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '.')
            points++;
        else if (t.p[i] < '0' || t.p[i] > '9')
            return false;
    }
    return points <= 1;
}

// "0.004", "512". Anything else is left out.
static void put_number(struct line *l, const char *name, struct text t)
{
    if (!is_number(t))
        return;
    while (t.n > 1 && t.p[0] == '0' && t.p[1] != '.') // JSON has no leading zeros
        t.p++, t.n--;
    put_str(l, ",\"");
    put_str(l, name);
    put_str(l, "\":");
    put(l, t.p, t.n);
}

static void put_time(struct line *l, struct text t) // "1795392000.123"
{
    char digits[24] = "", when[CLOCK_TEXT_SIZE];
    size_t n = 0;
    for (size_t i = 0; i < t.n && n < sizeof digits - 1; i++)
        if (t.p[i] >= '0' && t.p[i] <= '9')
            digits[n++] = t.p[i];
    put_str(l, "{\"time\":\"");
    put_str(l, clock_format(n <= 14 ? strtoll(digits, NULL, 10) : 0, when));
    put_str(l, "\"");
}

static void put_reason(struct line *l, const struct text *f)
{
    int status = (int)strtol(f[F_STATUS].p, NULL, 10); // ends at the mark behind it
    bool edge = f[F_BY].n == 4 && !strncmp(f[F_BY].p, "edge", 4);
    const char *own = NULL;
    if (edge)
        own = edge_own_reason(status);
    put_text(l, "reason", own ? (struct text){own, strlen(own)} : f[F_REASON], 64);
}

bool edge_access_format(const uint8_t *record, size_t n, char out[EDGE_ACCESS_LINE_MAX],
                        size_t *out_n)
{
    struct text f[N_FIELDS];
    struct line l = {.out = out};
    while (n && record[n - 1] == '\n')
        n--;
    if (!fields_split(record, n, f))
        return false;
    put_time(&l, f[F_TIME]);
    put_text(&l, "id", f[F_ID], 64);
    put_number(&l, "status", f[F_STATUS]);
    put_reason(&l, f);
    put_text(&l, "by", f[F_BY], 16);
    put_text(&l, "method", f[F_METHOD], 16);
    put_text(&l, "host", f[F_HOST], 255);
    put_path(&l, f[F_PATH]);
    put_text(&l, "client", f[F_CLIENT], 64);
    put_text(&l, "principal", f[F_PRINCIPAL], 128);
    put_text(&l, "private_endpoint", f[F_PRIVATE], 63);
    put_text(&l, "region", f[F_REGION], 32);
    put_text(&l, "stamp", f[F_STAMP], 64);
    put_number(&l, "sent", f[F_SENT]);
    put_number(&l, "received", f[F_RECEIVED]);
    put_number(&l, "seconds", f[F_SECONDS]);
    put_str(&l, "}\n");
    *out_n = l.n;
    return true;
}

// ---- the file ----

// A file that has grown to its bound makes room for another; where that cannot be, it is begun anew
// in its place, so that the bound holds.
static void make_room(struct edge_access_file *f)
{
    struct stat st;
    char old[1024];
    if (!f->max_bytes || stat(f->path, &st) || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < f->max_bytes)
        return;
    snprintf(old, sizeof old, "%s.1", f->path);
    if (!rename(f->path, old))
        return;
    log_error("edge: %s: is full and cannot be renamed to %s: %s; it is emptied", f->path, old,
              strerror(errno));
    if (truncate(f->path, 0))
        log_error("edge: %s: cannot be emptied: %s", f->path, strerror(errno));
}

void edge_access_open(struct edge_access_file *f, const char *path, uint64_t max_bytes)
{
    struct stat st;
    f->path = path;
    f->max_bytes = max_bytes;
    f->fd = -1;
    f->torn = false;
    f->bytes = f->n = f->n_lines = 0;
    if (!path)
        return;
    make_room(f);
    f->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (f->fd < 0)
        log_error("edge: edge.access_log.file: %s: %s; requests are not logged until it can be "
                  "opened (SIGHUP tries "
                  "again)",
                  path, strerror(errno));
    else if (!fstat(f->fd, &st) && S_ISREG(st.st_mode))
        f->bytes = (uint64_t)st.st_size;
}

void edge_access_add(struct edge_access_file *f, const char *line, size_t n)
{
    if (f->fd < 0)
        return;
    if (f->n + n > sizeof f->buf)
        edge_access_flush(f);
    memcpy(f->buf + f->n, line, n);
    f->n += n;
    f->n_lines++;
}

void edge_access_flush(struct edge_access_file *f)
{
    static struct log_limit lim = LOG_LIMIT(10000);
    size_t at = 0;
    if (f->fd < 0 || !f->n)
        return;
    if (f->torn && write(f->fd, "\n", 1) == 1)
        f->torn = false;
    while (!f->torn && at < f->n) {
        ssize_t n = write(f->fd, f->buf + at, f->n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    int rc = errno;
    unsigned whole = 0; // lines that are in the file
    for (size_t i = 0; i < at; i++)
        whole += f->buf[i] == '\n';
    if (at < f->n) {
        log_limited(&lim, LOG_WARN, "edge: %s: %u requests are not logged: %s", f->path,
                    f->n_lines - whole, strerror(rc));
        f->torn = f->torn || (at && f->buf[at - 1] != '\n');
    }
    f->bytes += at;
    f->n = 0;
    f->n_lines = 0;
}

bool edge_access_full(const struct edge_access_file *f)
{
    return f->fd >= 0 && f->max_bytes && f->bytes >= f->max_bytes;
}
