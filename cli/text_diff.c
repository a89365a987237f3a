// SPDX-License-Identifier: Apache-2.0
// Two texts line by line; see text_diff.h. The longest common sequence of lines, by the usual table.
#include "cli/text_diff.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

// Beyond so many lines on a side the table would be large: all lines go, and all come.
#define LINES_MAX 1000
#define AROUND 3

struct lines {
    const char **at;
    size_t *len;
    size_t n;
};

struct mark { // one line of what is printed
    char sign;
    const char *at;
    size_t len;
};

struct marks {
    struct mark *list;
    size_t n;
};

static int split(const char *text, struct lines *out)
{
    size_t n = 0;
    if (!text)
        text = "";
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
        n++;
    out->at = mem_zalloc_array(n + 1, sizeof *out->at);
    out->len = mem_zalloc_array(n + 1, sizeof *out->len);
    if (!out->at || !out->len)
        return ERR_NOMEM;
    for (const char *at = text; *at; at += *at == '\n') {
        size_t len = strcspn(at, "\n");
        out->at[out->n] = at;
        out->len[out->n++] = len;
        at += len;
    }
    return 0;
}

static void lines_done(struct lines *x)
{
    free(x->at);
    free(x->len);
}

static bool same(const struct lines *a, size_t i, const struct lines *b, size_t k)
{
    return a->len[i] == b->len[k] && !memcmp(a->at[i], b->at[k], a->len[i]);
}

static void mark(struct marks *m, char sign, const struct lines *x, size_t i)
{
    m->list[m->n++] = (struct mark){sign, x->at[i], x->len[i]};
}

// table[i][k]: how many lines the rests from i and k have in common.
static void fill_table(uint16_t *table, const struct lines *a, const struct lines *b)
{
    size_t w = b->n + 1;
    for (size_t i = a->n; i-- > 0;)
        for (size_t k = b->n; k-- > 0;) {
            uint16_t down = table[(i + 1) * w + k], right = table[i * w + k + 1];
            uint16_t *here = &table[i * w + k];
            *here = down > right ? down : right;
            if (same(a, i, b, k))
                *here = (uint16_t)(table[(i + 1) * w + k + 1] + 1);
        }
}

static void walk(const uint16_t *table, const struct lines *a, const struct lines *b,
                 struct marks *m)
{
    size_t w = b->n + 1, i = 0, k = 0;
    while (i < a->n && k < b->n) {
        if (same(a, i, b, k)) {
            mark(m, ' ', a, i++);
            k++;
        } else if (table[(i + 1) * w + k] >= table[i * w + k + 1]) {
            mark(m, '-', a, i++);
        } else {
            mark(m, '+', b, k++);
        }
    }
    while (i < a->n)
        mark(m, '-', a, i++);
    while (k < b->n)
        mark(m, '+', b, k++);
}

static int compare(const struct lines *a, const struct lines *b, struct marks *m)
{
    m->list = mem_zalloc_array(a->n + b->n + 1, sizeof *m->list);
    if (!m->list)
        return ERR_NOMEM;
    if (a->n > LINES_MAX || b->n > LINES_MAX) {
        for (size_t i = 0; i < a->n; i++)
            mark(m, '-', a, i);
        for (size_t k = 0; k < b->n; k++)
            mark(m, '+', b, k);
        return 0;
    }
    AUTO_FREE uint16_t *table = mem_zalloc_array((a->n + 1) * (b->n + 1), sizeof *table);
    if (!table)
        return ERR_NOMEM;
    fill_table(table, a, b);
    walk(table, a, b, m);
    return 0;
}

static bool is_near(const struct marks *m, size_t i)
{
    size_t from = i > AROUND ? i - AROUND : 0;
    for (size_t k = from; k < m->n && k <= i + AROUND; k++)
        if (m->list[k].sign != ' ')
            return true;
    return false;
}

static void put(struct buf *out, const struct marks *m)
{
    bool skipped = false;
    for (size_t i = 0; i < m->n; i++) {
        if (!is_near(m, i)) {
            if (!skipped)
                buf_str(out, " ...\n");
            skipped = true;
            continue;
        }
        skipped = false;
        buf_u8(out, (uint8_t)m->list[i].sign);
        buf_add(out, m->list[i].at, m->list[i].len);
        buf_str(out, "\n");
    }
}

int text_diff(struct buf *out, const char *name, const char *before, const char *after)
{
    struct lines a = {0}, b = {0};
    struct marks m = {0};
    int rc = split(before, &a);
    if (!rc)
        rc = split(after, &b);
    if (!rc)
        rc = compare(&a, &b, &m);
    if (!rc) {
        buf_printf(out, "--- %s%s\n", before ? name : "(none)", before ? " (in force)" : "");
        buf_printf(out, "+++ %s%s\n", after ? name : "(none)", after ? " (as it would be)" : "");
        put(out, &m);
        rc = out->err;
    }
    lines_done(&a);
    lines_done(&b);
    free(m.list);
    return rc;
}
