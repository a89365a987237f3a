// SPDX-License-Identifier: Apache-2.0
// Feed lines from peers. What is accepted must format, read back as the same entry, and have a
// signed text.
#include "store/entry.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void round_trip(const struct feed_entry *e, struct arena *a)
{
    struct buf line, again, text, text_again;
    struct feed_entry back;
    buf_init(&line, 0);
    buf_init(&again, 0);
    buf_init(&text, 0);
    buf_init(&text_again, 0);
    if (e->version != 2 && entry_malformed(e)) { // read, and never written
        require(entry_format(e, &line) == ERR_INVAL);
        return;
    }
    require(entry_format(e, &line) == 0);
    require(line.n && line.p[line.n - 1] == '\n');
    require(entry_parse(bytes_of(line.p, line.n), a, &back) == 0);
    require(entry_format(&back, &again) == 0);
    require(line.n == again.n && memcmp(line.p, again.p, line.n) == 0);
    require(entry_sign_input(e, &text) == 0 && entry_sign_input(&back, &text_again) == 0);
    require(text.n == text_again.n && memcmp(text.p, text_again.p, text.n) == 0);
    buf_done(&line);
    buf_done(&again);
    buf_done(&text);
    buf_done(&text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct feed_entry e;
    arena_init(&a, 16 << 20);
    int rc = entry_parse(bytes_of(data, size), &a, &e);
    require(rc == 0 || rc == ERR_PROTO || rc == ERR_NOMEM);
    if (!rc)
        round_trip(&e, &a);
    arena_done(&a);
    return 0;
}
