// SPDX-License-Identifier: Apache-2.0
// nginx's sockets by its configuration; see edge_sockets.h.
#include "daemon/edge_sockets.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LISTEN "listen "

static int order(const void *a, const void *b)
{
    const struct endpoint *x = a, *y = b;
    int c = memcmp(&x->ip, &y->ip, sizeof x->ip);
    if (c)
        return c;
    return (x->port > y->port) - (x->port < y->port);
}

// `p`: after "listen ". False: it is no address with TLS.
static bool address_parse(const char *p, struct endpoint *out)
{
    char text[ENDPOINT_TEXT_SIZE];
    size_t n = strcspn(p, " ;\n");
    if (n >= sizeof text || strncmp(p + n, " ssl", 4) != 0)
        return false;
    memcpy(text, p, n);
    text[n] = 0;
    return !endpoint_parse(text, 0, out);
}

static const char *next_listen(const char *p)
{
    p = strstr(p, LISTEN);
    if (p)
        p += strlen(LISTEN);
    return p;
}

int edge_sockets_read(struct edge_sockets *s, const char *conf)
{
    size_t n = 0;
    for (const char *p = conf; (p = next_listen(p));)
        n++;
    struct endpoint *list = mem_zalloc_array(n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    n = 0;
    for (const char *p = conf; (p = next_listen(p));)
        if (address_parse(p, &list[n]))
            n++;
    qsort(list, n, sizeof *list, order);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || order(&list[kept - 1], &list[i]) != 0)
            list[kept++] = list[i];
    edge_sockets_forget(s);
    *s = (struct edge_sockets){.known = true, .list = list, .n = kept};
    return 0;
}

bool edge_sockets_has(const struct edge_sockets *s, const struct endpoint *at)
{
    return s->n && bsearch(at, s->list, s->n, sizeof *s->list, order);
}

void edge_sockets_forget(struct edge_sockets *s)
{
    free(s->list);
    *s = (struct edge_sockets){.known = false};
}
