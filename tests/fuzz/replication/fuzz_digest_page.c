// SPDX-License-Identifier: Apache-2.0
// Answers to a question about digests, as the region that asked sees them. The first byte chooses
// what was asked for: 'r' repositories, 's' subjects, 'd' sums, 'o' one subject. What is taken is in
// order, behind what was asked for and within its bounds, and says the same when it is written again.
#include "base/err.h"
#include "replication/digest_page.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void repositories_check(struct bytes text, struct arena *a)
{
    const struct digest_ask ask = {.registry = "contoso", .after_name = "b"};
    struct digest_repositories r, again;
    AUTO_BUF struct buf b;
    const char *why = NULL;
    buf_init(&b, 0);
    if (digest_repositories_parse(&ask, text, a, &r, &why)) {
        if (!why)
            abort();
        return;
    }
    for (size_t i = 0; i < r.n; i++)
        if (strcmp(i ? r.list[i - 1].name : "b", r.list[i].name) >= 0)
            abort();
    if (r.n > DIGEST_LIST_MAX || digest_repositories_format(&ask, &r, &b))
        abort();
    if (digest_repositories_parse(&ask, bytes_of(b.p, b.n), a, &again, &why) || again.n != r.n)
        abort();
    for (size_t i = 0; i < r.n; i++)
        if (again.list[i].whole != r.list[i].whole || again.list[i].sum.n != r.list[i].sum.n)
            abort();
}

static void subjects_check(struct bytes text, bool sums, struct arena *a)
{
    const struct shown_subject after = {.kind = SUBJECT_TAG, .tag = "a"};
    const struct digest_ask ask = {
        .registry = "contoso", .repository = "app", .after = &after, .sums = sums};
    struct digest_subjects s, again;
    AUTO_BUF struct buf b;
    const char *why = NULL;
    buf_init(&b, 0);
    if (digest_subjects_parse(&ask, text, a, &s, &why)) {
        if (!why)
            abort();
        return;
    }
    const struct shown_subject *last = &after;
    for (size_t i = 0; i < s.n; i++) {
        if (shown_subject_order(last, &s.list[i].subject) >= 0)
            abort();
        last = &s.list[i].subject;
    }
    if (!s.at_end &&
        (shown_subject_order(&s.next, last) < 0 || shown_subject_order(&s.next, &after) <= 0))
        abort();
    if (s.n > DIGEST_LIST_MAX || digest_subjects_format(&ask, &s, &b))
        abort();
    if (digest_subjects_parse(&ask, bytes_of(b.p, b.n), a, &again, &why) || again.n != s.n)
        abort();
    if (again.at_end != s.at_end || !shown_sum_equal(&again.sum, &s.sum))
        abort();
}

static void subject_check(struct bytes text, struct arena *a)
{
    const struct shown_subject subject = {.kind = SUBJECT_TAG, .tag = "v1"};
    const struct digest_ask ask = {.registry = "contoso", .repository = "app", .subject = &subject};
    struct differ_told told, again;
    AUTO_BUF struct buf b;
    const char *why = NULL;
    buf_init(&b, 0);
    if (digest_subject_parse(&ask, text, a, &told, &why)) {
        if (!why)
            abort();
        return;
    }
    if (told.look.n > DIFFER_ENTRIES_MAX || told.n_places > DIGEST_PLACES_MAX)
        abort();
    for (size_t i = 0; i < told.look.n; i++)
        if (strcmp(told.look.entries[i].repository, "app") != 0)
            abort();
    if (digest_subject_format(&ask, &told, &b))
        return; // a malformed entry of version 1 is read and not written
    if (digest_subject_parse(&ask, bytes_of(b.p, b.n), a, &again, &why))
        abort();
    if (again.look.open != told.look.open || strcmp(again.look.text, told.look.text) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size < 1)
        return 0;
    const struct bytes text = bytes_of(data + 1, size - 1);
    arena_init(&a, 16 << 20);
    if (data[0] == 'r')
        repositories_check(text, &a);
    if (data[0] == 's' || data[0] == 'd')
        subjects_check(text, data[0] == 'd', &a);
    if (data[0] == 'o')
        subject_check(text, &a);
    arena_done(&a);
    return 0;
}
