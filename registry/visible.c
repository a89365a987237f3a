// SPDX-License-Identifier: Apache-2.0
// What a list of repositories shows to its caller; see visible.h.
#include "registry/visible.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

struct stretch { // of names in byte order, all that one pattern matches
    // what they begin with; "" for "*". Of a name: the name.
    const char *begins;
    bool name;
};

static bool stretch_has(const struct stretch *s, const char *name)
{
    if (s->name)
        return !strcmp(s->begins, name);
    return !strncmp(s->begins, name, strlen(s->begins));
}

static int stretch_order(const void *a, const void *b)
{
    const struct stretch *x = a, *y = b;
    return strcmp(x->begins, y->begins);
}

// Sorted, so that the names come in order.
static int stretches_make(const struct access *a, struct arena *arena, struct stretch **out)
{
    struct stretch *list = arena_array(arena, a->n_visible + 1, sizeof *list);
    for (size_t i = 0; list && i < a->n_visible; i++) {
        const char *pattern = a->visible[i];
        size_t n = strlen(pattern);
        bool prefix = pattern[n - 1] == '*';
        // "a/*" begins with "a/", "*" with nothing
        list[i].begins = arena_strndup(arena, pattern, n - prefix);
        list[i].name = !prefix;
        if (!list[i].begins)
            return ERR_NOMEM;
    }
    if (!list)
        return ERR_NOMEM;
    qsort(list, a->n_visible, sizeof *list, stretch_order);
    *out = list;
    return 0;
}

// A text behind which the stretch's first name is the next of all possible names. Of a prefix that is
// the prefix itself, since no name ends in "/"; of a name, one that is before it and behind all other
// names before it: no byte of a name is as high as 0x7f. NULL: no memory, or (of "") from the start.
static const char *stretch_before(const struct stretch *s, struct arena *arena)
{
    size_t n = strlen(s->begins);
    if (!s->name)
        return s->begins;
    return arena_printf(arena, "%.*s%c\x7f", (int)(n - 1), s->begins, s->begins[n - 1] - 1);
}

struct pages {
    const struct visible_list *list;
    // the last name that was taken, or the page's begin; NULL: none yet
    const char *last;
    // still wanted
    size_t n;
    struct arena *arena;
};

// Takes what of the entries read is in the stretch. False: that is at its end.
static bool entries_take(struct pages *p, const struct stretch *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = p->list->name(p->list->ctx, i);
        if (!stretch_has(s, name))
            return false;
        p->list->take(p->list->ctx, i);
        p->last = name;
        p->n--;
    }
    return true;
}

static size_t step_of(const struct pages *p, const struct stretch *s)
{
    if (s->name)
        return 1;
    if (p->n < VISIBLE_STEP || !*s->begins)
        return p->n;
    return VISIBLE_STEP;
}

static int stretch_read(struct pages *p, const struct stretch *s)
{
    const char *from = stretch_before(s, p->arena);
    if (!from)
        return ERR_NOMEM;
    if (p->last && strcmp(p->last, from) > 0)
        from = p->last;
    while (p->n) {
        size_t step = step_of(p, s), n;
        int rc = p->list->read(p->list->ctx, *from ? from : NULL, step, &n);
        if (rc)
            return rc;
        bool more = entries_take(p, s, n);
        if (!more || n < step || s->name)
            return 0;
        from = p->last;
    }
    return 0;
}

int visible_page(const struct access *a, const char *last, size_t n, struct arena *arena,
                 const struct visible_list *list)
{
    struct stretch *stretches;
    struct pages p = {.list = list, .last = last, .n = n, .arena = arena};
    int rc = stretches_make(a, arena, &stretches);
    for (size_t i = 0; !rc && p.n && i < a->n_visible; i++)
        rc = stretch_read(&p, &stretches[i]);
    return rc;
}
