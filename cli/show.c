// SPDX-License-Identifier: Apache-2.0
// Cells and progress; see show.h.
#include "cli/show.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
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
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fflush(stderr);
}
