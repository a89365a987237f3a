// SPDX-License-Identifier: Apache-2.0
// A page of a snapshot as a joining region sees it: lines, each held against the rules. The first
// byte chooses whether signatures count ('s') and whether it is the first page ('f', and 's'). What
// is taken is of the origin, registry and place that were asked for; a page is whole by its foot
// alone; and what a foot says for the next page reads back the same, if it can be read at all.
#include "replication/cursor.h"
#include "replication/snapshot_page.h"
#include "tests/unit/replication/feed_fixture.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int verify_any(const char *spki, const void *p, size_t n, const uint8_t sig[64])
{
    (void)spki, (void)p, (void)n, (void)sig;
    return 0;
}

static void next_check(const char *next, struct arena *a)
{
    struct snapshot_at at;
    char again[SNAPSHOT_NEXT_SIZE];
    if (!snapshot_next_ok(next))
        abort();
    if (snapshot_next_parse(next, a, &at))
        return;
    if (at.nth >= SNAPSHOT_KINDS || snapshot_next_format(&at, again))
        abort();
    struct snapshot_at back;
    if (snapshot_next_parse(again, a, &back) || strcmp(back.repository, at.repository) != 0)
        abort();
    if (back.epoch != at.epoch || back.seq != at.seq || !digest_equal(&back.digest, &at.digest))
        abort();
}

static void check(const struct page_rules *ru, const struct page_line *l, struct arena *a)
{
    if (!ru->begun || ru->n_entries > SNAPSHOT_ENTRIES_MAX)
        abort();
    if (l->kind == SNAPSHOT_FOOT) {
        if (!ru->ended || l->foot.n_entries != ru->n_entries)
            abort();
        next_check(l->foot.next, a);
    }
    if (l->kind != SNAPSHOT_ENTRY)
        return;
    const struct feed_mark place = entry_mark(&l->entry);
    if (strcmp(l->entry.origin, "eastus") != 0 || strcmp(l->entry.registry, "contoso") != 0)
        abort();
    if (feed_mark_order(&place, &ru->upto) > 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct topology *t;
    if (!t && !(t = fixture_topology()))
        abort();
    if (size < 1)
        return 0;
    struct page_rules ru = {.registry = "contoso", .first = data[0] == 'f' || data[0] == 's'};
    fixture_rules(t, &ru.feed);
    if (data[0] != 's')
        ru.feed.verify = verify_any;
    const uint8_t *p = data + 1, *end = data + size;
    while (p < end) {
        const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            nl = end;
        struct arena a;
        arena_init(&a, 4 << 20);
        struct page_line l;
        const char *why = NULL;
        bool ended = ru.ended;
        uint64_t n = ru.n_entries;
        int rc = snapshot_line_accept(&ru, bytes_of(p, (size_t)(nl - p)), &a, &l, &why);
        if (rc == 0)
            check(&ru, &l, &a);
        else if (!why || ru.n_entries != n || ru.ended != ended)
            abort();
        if (ended && rc == 0)
            abort();
        arena_done(&a);
        p = nl < end ? nl + 1 : end;
    }
    return 0;
}
