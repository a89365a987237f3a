// SPDX-License-Identifier: Apache-2.0
// Small histories for tests of the metadata: entries made by hand, and all orders of them.
#ifndef MERIDIAN_TESTS_META_HISTORIES_H
#define MERIDIAN_TESTS_META_HISTORIES_H

#include "tests/unit/store/meta_support.h"

// An entry that a region signed somewhere: its place is `seq` of `epoch`.
static inline struct feed_entry entry(const char *origin, uint64_t epoch, uint64_t seq,
                                      uint64_t stamp, enum entry_kind kind, const char *repo,
                                      const char *text)
{
    struct feed_entry e = {.origin = origin,
                           .epoch = epoch,
                           .seq = seq,
                           .stamp = stamp,
                           .kind = kind,
                           .registry = REG,
                           .repository = repo,
                           .tag = kind == ENTRY_TAG ? "t" : "",
                           .digest = digest_str(text),
                           .media_type = kind == ENTRY_TAG ? "" : TYPE,
                           .key = "k"};
    if (kind == ENTRY_MANIFEST) {
        e.content = bytes_str(text);
        e.size = e.content.n;
    }
    sha256(text, strlen(text), e.hash);
    return e;
}

// The next permutation of n places in lexical order; false after the last.
static inline bool permute(size_t *p, size_t n)
{
    size_t i = n - 1, k = n - 1;
    while (i > 0 && p[i - 1] >= p[i])
        i--;
    if (i == 0)
        return false;
    while (p[k] <= p[i - 1])
        k--;
    size_t t = p[i - 1];
    p[i - 1] = p[k];
    p[k] = t;
    for (k = n - 1; i < k; i++, k--) {
        t = p[i];
        p[i] = p[k];
        p[k] = t;
    }
    return true;
}

#endif
