// SPDX-License-Identifier: Apache-2.0
// Reserved names in the compiled form, written, read and judged; see compiled_priv.h. What is judged
// here is what config/topology_reserved.c judges in a document.
#include "control/compiled_priv.h"

#include "base/arena.h"
#include "base/err.h"
#include "config/reserved.h"

#include <string.h>

#define ENTRY_BYTES_MIN 26

static void put_text(struct buf *b, const char *s)
{
    compiled_put(b, strlen(s), 1);
    buf_str(b, s);
}

void compiled_put_reserved(struct buf *b, const struct topology *t)
{
    size_t n = topology_reserved_count(t);
    compiled_put(b, n, 8);
    for (size_t i = 0; i < n; i++) {
        const struct reserved_name *x = topology_reserved_at(t, i);
        put_text(b, x->label);
        put_text(b, x->owner);
        compiled_put(b, (uint64_t)x->since_s, 8);
        compiled_put(b, (uint64_t)x->until_s, 8);
        compiled_put(b, x->incarnation, 8);
    }
}

// "" when it is cut off, too long or has a NUL: then the cursor has failed too.
static const char *take_text(struct cursor *c, struct arena *a, size_t max)
{
    size_t n = cursor_u8(c);
    struct bytes b = cursor_take(c, n);
    if (!n)
        return "";
    const char *s = NULL;
    if (b.n == n && n <= max && !memchr(b.p, 0, n))
        s = arena_printf(a, "%.*s", (int)n, (const char *)b.p);
    if (s)
        return s;
    c->failed = true;
    return "";
}

static const char *name_of(const char *label, struct arena *a)
{
    return arena_printf(a, "%.*s", (int)catalogue_name_bytes(label, strlen(label)), label);
}

static bool times_ok(const struct reserved_name *x)
{
    return x->since_s > 0 && x->since_s <= x->until_s && x->until_s <= MOVE_SINCE_MAX_S;
}

static const char *wrong_with(const struct topology *t, const struct reserved_name *x,
                              const struct reserved_name *before)
{
    if (!hostname_registry_ok(x->name) || !registry_label_of(x->label, x->name))
        return "its name is none";
    if (before && strcmp(before->name, x->name) >= 0)
        return "given twice, or out of order";
    if (*x->owner && !registry_owner_ok(x->owner))
        return "its owner cannot be";
    if (!times_ok(x))
        return "its times cannot be";
    if (x->incarnation > t->version)
        return "made by a later version than this one";
    if (catalogue_find_name(t->catalogue, x->name))
        return "there is a registry of that name";
    return NULL;
}

static int damaged(const char *source, struct diag *diag, size_t i, const char *why)
{
    diag_add(diag, source, 0, "a damaged compiled topology: reserved name number %zu: %s", i + 1,
             why);
    return ERR_CORRUPT;
}

static int take_all(struct cursor *c, struct topology *t, const char *source, struct diag *diag,
                    struct arena *a, struct reserved_name *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct reserved_name *x = &list[i];
        x->label = take_text(c, a, HOSTNAME_LABEL_SIZE - 1);
        x->owner = take_text(c, a, UINT8_MAX);
        x->since_s = (int64_t)cursor_u64(c);
        x->until_s = (int64_t)cursor_u64(c);
        x->incarnation = cursor_u64(c);
        x->name = name_of(x->label, a);
        if (!x->name)
            return ERR_NOMEM;
        const char *why = "it ends too early";
        if (!c->failed)
            why = wrong_with(t, x, i ? x - 1 : NULL);
        if (why)
            return damaged(source, diag, i, why);
    }
    return topology_set_reserved(t, list, n);
}

int compiled_take_reserved(struct cursor *c, struct topology *t, const char *source,
                           struct diag *diag)
{
    uint64_t n = cursor_u64(c);
    if (c->failed || n > RESERVED_NAMES_MAX || n > cursor_left(c) / ENTRY_BYTES_MIN) {
        diag_add(diag, source, 0,
                 "a damaged compiled topology: its reserved names are missing, or too many");
        return ERR_CORRUPT;
    }
    struct arena a;
    arena_init(&a, 0);
    struct reserved_name *list = arena_array(&a, n + 1, sizeof *list);
    int rc = ERR_NOMEM;
    if (list)
        rc = take_all(c, t, source, diag, &a, list, n);
    arena_done(&a);
    return rc;
}
