// SPDX-License-Identifier: Apache-2.0
// A whole stream as its reader sees it: lines, each held against the rules. The first byte chooses
// whether signatures count, so that what lies behind them is reached too. Places must only go up,
// and only shared registries come through.
#include "replication/cursor.h"
#include "tests/unit/replication/feed_fixture.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int verify_any(const char *spki, const void *p, size_t n, const uint8_t sig[64])
{
    (void)spki, (void)p, (void)n, (void)sig;
    return 0;
}

static void check(const struct feed_rules *ru, const struct feed_mark *before,
                  const struct feed_line *l)
{
    if (mark_order(before, &ru->last) > 0)
        abort();
    if (l->kind == FEED_PROGRESS)
        return;
    if (mark_order(before, &ru->last) == 0 || strcmp(l->entry.origin, "eastus") != 0)
        abort();
    if (!entry_repository_ok(l->entry.repository))
        abort();
    if (l->kind == FEED_ENTRY && strcmp(l->entry.registry, "contoso") != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct topology *t;
    if (!t && !(t = fixture_topology()))
        abort();
    if (size < 1)
        return 0;
    struct feed_rules ru;
    fixture_rules(t, &ru);
    ru.their_topology = 0;
    if (data[0] != 's')
        ru.verify = verify_any;
    struct feed_heads *said = NULL, *held = NULL;
    if (feed_heads_new(&said) || feed_heads_new(&held) ||
        feed_heads_set(held, &(struct head_row){.registry = "contoso"}))
        abort();
    if (data[0] == 'h') { // as a reader of version 2
        ru.said = said;
        ru.held = held;
    }
    const uint8_t *p = data + 1, *end = data + size;
    while (p < end) {
        const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            nl = end;
        struct arena a;
        arena_init(&a, 4 << 20);
        struct feed_line l;
        const char *why = NULL;
        struct feed_mark before = ru.last;
        int rc = feed_line_accept(&ru, bytes_of(p, (size_t)(nl - p)), &a, &l, &why);
        if (rc == 0)
            check(&ru, &before, &l);
        else if (!why || mark_order(&before, &ru.last) != 0)
            abort();
        if (mark_order(&ru.proven, &ru.last) > 0)
            abort();
        arena_done(&a);
        p = nl < end ? nl + 1 : end;
    }
    feed_heads_free(said);
    feed_heads_free(held);
    return 0;
}
