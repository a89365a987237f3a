// SPDX-License-Identifier: Apache-2.0
// What meta_shown.c and meta_differ.c share.
#ifndef MERIDIAN_STORE_META_SHOWN_PRIV_H
#define MERIDIAN_STORE_META_SHOWN_PRIV_H

#include "store/backend.h"
#include "store/meta_shown.h"

// The text of a subject. ERR_NOTFOUND with an empty buffer: it is not shown.
int shown_text(struct tx *tx, int64_t repo, const struct shown_subject *s, struct buf *out);

#endif
