// SPDX-License-Identifier: Apache-2.0
// The opaque cursor of a feed: a place in one origin's log, as text. Readers echo it and never look
// inside; only this file makes and reads it. Base64url of "1.<epoch>.<partition>.<seq>.<hash in
// hex>"; "" is the start of the feed. Strict: one text per place, anything else is ERR_INVAL, an
// unknown version ERR_VERSION. Pure.
#ifndef MERIDIAN_REPLICATION_CURSOR_H
#define MERIDIAN_REPLICATION_CURSOR_H

#include "store/entry.h"

#define CURSOR_TEXT_SIZE 192

// "" for the zero mark
const char *cursor_format(const struct feed_mark *m, char out[CURSOR_TEXT_SIZE]);
int cursor_parse(const char *text, struct feed_mark *out);

// Order of places in one feed: epoch, then seq. The hash takes no part.
static inline int mark_order(const struct feed_mark *a, const struct feed_mark *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return 0;
}
bool mark_equal(const struct feed_mark *a, const struct feed_mark *b);
bool mark_is_zero(const struct feed_mark *m); // before the first entry
void mark_of_entry(const struct feed_entry *e, struct feed_mark *out);

#endif
