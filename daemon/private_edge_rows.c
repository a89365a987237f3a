// SPDX-License-Identifier: Apache-2.0
// The rows of private addresses that the edge is to serve: the file that the worker leaves, and the
// supervisor's reading of it; see private_edge.h.
#include "daemon/private_edge.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "daemon/frame_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- rows, as the worker knows them ----

struct row_list {
    struct private_edge_row *list;
    size_t n, cap;
};

static int row_add(struct row_list *l, const struct private_edge_row *row)
{
    if (l->n >= PRIVATE_EDGE_ROWS_MAX)
        return ERR_TOOBIG;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct private_edge_row *more = realloc(l->list, cap * sizeof *more);
        if (!more)
            return ERR_NOMEM;
        l->list = more;
        l->cap = cap;
    }
    l->list[l->n++] = *row;
    return 0;
}

static int row_order(const void *a, const void *b)
{
    const struct private_edge_row *x = a, *y = b;
    int c = memcmp(&x->ip, &y->ip, sizeof x->ip);
    if (c)
        return c;
    return strcmp(x->endpoint, y->endpoint);
}

static bool belongs(const struct private_member *m, const struct catalogue_registry *r,
                    const struct region *here)
{
    if (m->region != REGION_NONE)
        return m->region == here->index;
    return r->replicas >> here->index & 1;
}

static int rows_of_registry(const struct topology *t, const struct catalogue_registry *r,
                            const struct region *here, struct row_list *out)
{
    const struct private_endpoint *const *list;
    size_t n = catalogue_private_endpoints(t->catalogue, r, &list);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        const struct private_endpoint *pe = list[i];
        for (size_t k = 0; k < pe->n_members && !rc; k++) {
            if (pe->answered_by != ANSWERED_BY_EDGE || !belongs(&pe->members[k], r, here))
                continue;
            struct private_edge_row row = {.ip = pe->members[k].ip};
            snprintf(row.endpoint, sizeof row.endpoint, "%s", pe->name);
            snprintf(row.label, sizeof row.label, "%.*s", (int)r->label_n,
                     (const char *)catalogue_label(r));
            rc = row_add(out, &row);
        }
    }
    return rc;
}

static int rows_of(const struct topology *t, const char *region, struct row_list *out)
{
    const struct region *here = topology_region(t, region);
    struct catalogue_iter it = {0};
    const struct catalogue_registry *r;
    int rc = 0;
    if (!here)
        return 0;
    while (!rc && (r = catalogue_next_private(t->catalogue, &it)))
        rc = rows_of_registry(t, r, here, out);
    if (!rc && out->n)
        qsort(out->list, out->n, sizeof *out->list, row_order);
    return rc;
}

int private_edge_write(const char *path, const struct topology *t, const char *region,
                       bool *out_changed)
{
    struct row_list rows = {0};
    char ip[IP_TEXT_SIZE];
    AUTO_BUF struct buf text, before;
    buf_init(&text, 0);
    buf_init(&before, 0);
    int rc = rows_of(t, region, &rows);
    for (size_t i = 0; i < rows.n; i++)
        buf_printf(&text, "%s %s %s\n", ip_format(&rows.list[i].ip, ip), rows.list[i].endpoint,
                   rows.list[i].label);
    free(rows.list);
    if (rc || text.err)
        return rc ? rc : text.err;
    bool same = !file_read(path, FRAME_FILE_MAX_BYTES, &before) && before.n == text.n &&
                (!text.n || !memcmp(before.p, text.p, text.n));
    if (!same)
        rc = file_write_atomic(path, text.p, text.n, 0600);
    if (!rc)
        *out_changed = !same;
    return rc;
}

// ---- rows, as the supervisor reads them ----

static bool word_ok(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n < HOSTNAME_LABEL_SIZE && !s[n];
}

static bool row_parse(char *line, struct private_edge_row *out)
{
    char *save = NULL;
    const char *ip = strtok_r(line, " ", &save), *endpoint = strtok_r(NULL, " ", &save),
               *label = strtok_r(NULL, " ", &save);
    if (!label || strtok_r(NULL, " ", &save) || ip_parse(ip, &out->ip))
        return false;
    if (!word_ok(endpoint) || !word_ok(label))
        return false;
    snprintf(out->endpoint, sizeof out->endpoint, "%s", endpoint);
    snprintf(out->label, sizeof out->label, "%s", label);
    return true;
}

static int rows_parse(char *text, size_t n, struct row_list *out)
{
    char *save = NULL;
    int rc = 0;
    if (strlen(text) != n || (n && text[n - 1] != '\n'))
        return ERR_INVAL;
    for (char *l = strtok_r(text, "\n", &save); l && !rc; l = strtok_r(NULL, "\n", &save)) {
        struct private_edge_row row = {0};
        if (!row_parse(l, &row) || (out->n && row_order(&out->list[out->n - 1], &row) > 0))
            return ERR_INVAL;
        rc = row_add(out, &row);
    }
    return rc;
}

static void rows_drop(struct private_edge *p)
{
    free(p->rows);
    free(p->served);
    p->rows = NULL;
    p->served = NULL;
    p->n_rows = p->n_served = 0;
}

int private_edge_load(struct private_edge *p, const char *path, uid_t owner)
{
    struct row_list rows = {0};
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = frame_file_read(path, owner, &text);
    if (rc)
        return rc;
    AUTO_FREE char *copy = mem_strdup(buf_cstr(&text));
    rc = ERR_NOMEM;
    if (copy)
        rc = rows_parse(copy, text.n, &rows);
    if (rc) {
        free(rows.list);
        return rc;
    }
    rows_drop(p);
    p->rows = rows.list;
    p->n_rows = rows.n;
    return 0;
}

void private_edge_done(struct private_edge *p)
{
    rows_drop(p);
    edge_sockets_forget(&p->bound);
}
