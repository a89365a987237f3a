// SPDX-License-Identifier: Apache-2.0
// Cells and progress; see show.h.
#include "cli/show.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_MS 200

const char *size_text(struct cli *c, const json_t *bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (!json_is_integer(bytes))
        return "-";
    double n = (double)json_integer_value(bytes);
    size_t unit = 0;
    while (n >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        n /= 1024;
        unit++;
    }
    return arena_printf(&c->arena, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

// ---- what others say ----

static void text_said(json_t *v)
{
    size_t n = json_string_length(v);
    if (text_is_plain_lines(json_string_value(v), n))
        return;
    char *copy = strndup(json_string_value(v), n);
    if (copy)
        text_plain_lines(copy, n);
    // what cannot be made plain is not shown
    json_string_setn_nocheck(v, copy ? copy : "", copy ? n : 0);
    free(copy);
}

static void all_said(json_t *v)
{
    const char *key;
    json_t *one;
    size_t i;
    if (json_is_string(v))
        text_said(v);
    json_object_foreach(v, key, one) all_said(one);
    json_array_foreach(v, i, one) all_said(one);
}

json_t *json_said(const struct buf *body, size_t flags)
{
    json_t *doc = json_loadb(buf_cstr(body), body->n, flags, NULL);
    all_said(doc);
    return doc;
}

// ---- cells ----

const char *json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (s)
        return s;
    return "";
}

const char *json_count(struct cli *c, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v))
        return arena_printf(&c->arena, "%lld", (long long)json_integer_value(v));
    return "-";
}

const char *lock_text(const json_t *lock)
{
    bool write = json_is_true(json_object_get(lock, "write")),
         delete = json_is_true(json_object_get(lock, "delete"));
    if (write && delete)
        return "write, delete";
    if (write)
        return "write";
    if (delete)
        return "delete";
    return "";
}

static struct {
    int64_t shown_mono;
    bool there;
} progress;

void progress_end(void)
{
    if (progress.there)
        fputs("\r\033[K", stderr);
    progress.there = false;
}

void progress_show(const char *fmt, ...)
{
    int64_t now = clock_mono_ms();
    if (!isatty(STDERR_FILENO) || now - progress.shown_mono < PROGRESS_MS)
        return;
    progress_end();
    progress.there = true;
    progress.shown_mono = now;
    va_list ap;
    va_start(ap, fmt);
    char *said = cli_plain(fmt, ap);
    va_end(ap);
    fputs(said ? said : "", stderr);
    free(said);
    fflush(stderr);
}
