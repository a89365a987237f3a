// SPDX-License-Identifier: Apache-2.0
// Collected sentences; see diag.h.
#include "base/diag.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void diag_init(struct diag *d)
{
    if (d)
        *d = (struct diag){0};
}

void diag_done(struct diag *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        free(d->lines[i]);
    free(d->lines);
    *d = (struct diag){0};
}

// "file:line: sentence", with what there is of it (heap).
static char *sentence(const char *file, int line, const char *text)
{
    if (!file)
        return mem_strdup(text);
    if (line > 0)
        return mem_printf("%s:%d: %s", file, line, text);
    return mem_printf("%s: %s", file, text);
}

void diag_add(struct diag *d, const char *file, int line, const char *fmt, ...)
{
    if (!d)
        return;
    if (!d->lines)
        d->lines = mem_zalloc_array(DIAG_MAX, sizeof *d->lines);
    if (!d->lines || d->n == DIAG_MAX) {
        d->n_dropped++;
        return;
    }
    assert(d->n < DIAG_MAX);
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *s = sentence(file, line, text);
    if (s)
        d->lines[d->n++] = s;
    else
        d->n_dropped++;
}

size_t diag_count(const struct diag *d)
{
    if (d)
        return d->n + d->n_dropped;
    return 0;
}

void diag_print(const struct diag *d, FILE *out)
{
    for (size_t i = 0; d && i < d->n; i++)
        fprintf(out, "%s\n", d->lines[i]);
    if (d && d->n_dropped)
        fprintf(out, "… and %zu more\n", d->n_dropped);
}

char *diag_text(const struct diag *d)
{
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; d && i < d->n; i++)
        buf_printf(&b, "%s%s", i ? "\n" : "", d->lines[i]);
    if (d && d->n_dropped)
        buf_printf(&b, "%s… and %zu more", d->n ? "\n" : "", d->n_dropped);
    char *s = buf_take(&b); // NULL if any of it did not fit in memory
    buf_done(&b);
    return s;
}

// Optimal string alignment distance (insert, delete, replace, swap of neighbours), words up to 63
// letters.
static size_t distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > 63 || nb > 63)
        return 64;
    unsigned char row[3][64];
    for (size_t j = 0; j <= nb; j++)
        row[1][j] = (unsigned char)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned char *cur = row[(i + 1) % 3], *prev = row[i % 3], *prev2 = row[(i + 2) % 3];
        cur[0] = (unsigned char)i;
        for (size_t j = 1; j <= nb; j++) {
            size_t v = prev[j - 1] + (a[i - 1] != b[j - 1]);
            if (prev[j] + 1u < v)
                v = prev[j] + 1u;
            if (cur[j - 1] + 1u < v)
                v = cur[j - 1] + 1u;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && prev2[j - 2] + 1u < v)
                v = prev2[j - 2] + 1u;
            cur[j] = (unsigned char)v;
        }
    }
    return row[(na + 1) % 3][nb];
}

const char *diag_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t len = strlen(word);
    size_t best_d = 3; // never more than half the word
    if (len < 4)
        best_d = len / 2;
    else if (len < 5)
        best_d = 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidates[i]);
        int prefix = len >= 3 && strncasecmp(word, candidates[i], len) == 0;
        if (prefix && d > 1)
            d = 1;
        if (d <= best_d && (!best || d < best_d)) {
            best = candidates[i];
            best_d = d;
        }
    }
    return best;
}
