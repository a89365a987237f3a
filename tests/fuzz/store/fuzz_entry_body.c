// SPDX-License-Identifier: Apache-2.0
// Bodies of entries of version 2, as other regions sign them. What is accepted must say what it is
// when it is minted again, and, when it is known, when it is made from its members.
#include "base/err.h"
#include "store/entry.h"
#include "store/entry_kind.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void same(const struct feed_entry *x, const struct feed_entry *y)
{
    require(x->kind == y->kind && x->seq == y->seq && x->stamp == y->stamp);
    require(x->subject == y->subject && strcmp(x->attribute, y->attribute) == 0);
    require(strcmp(x->tag, y->tag) == 0 && digest_equal(&x->digest, &y->digest));
    require(strcmp(x->media_type, y->media_type) == 0 && x->size == y->size);
    require(bytes_equal(x->absent, y->absent));
    require(x->create_only == y->create_only && x->generation == y->generation);
    require(x->judged == y->judged && x->judged_stamp == y->judged_stamp);
    require(x->judged_epoch == y->judged_epoch);
    require(strcmp(x->judged_origin, y->judged_origin) == 0);
    require(strcmp(x->rule, y->rule) == 0 && strcmp(x->by, y->by) == 0);
    require(x->lock_write == y->lock_write && x->lock_delete == y->lock_delete);
}

static void made_again(struct feed_entry e, struct arena *a, bool keep)
{
    struct buf b;
    struct feed_entry back;
    buf_init(&b, 0);
    if (!keep)
        e.body = (struct bytes){0};
    require(entry_body_make(&e, &b) == 0);
    require(entry_body_parse(bytes_of(b.p, b.n), a, &back) == 0);
    same(&e, &back);
    if (keep)
        require(bytes_equal(e.body, back.body));
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct feed_entry e;
    arena_init(&a, 16 << 20);
    int rc = entry_body_parse(bytes_of(data, size), &a, &e);
    require(rc == 0 || rc == ERR_PROTO || rc == ERR_NOMEM);
    if (!rc) {
        made_again(e, &a, true);
        if (entry_form(e.kind) && !entry_malformed(&e))
            made_again(e, &a, false);
    }
    arena_done(&a);
    return 0;
}
