// SPDX-License-Identifier: Apache-2.0
// Any bytes as a line of the control feed: refused with a sentence, or an entry that is written as
// one line, reads the same again and keeps the bytes of its body.
#include "base/err.h"
#include "control/entry.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct control_entry *e)
{
    struct arena a;
    struct control_entry again;
    AUTO_BUF struct buf line;
    buf_init(&line, 0);
    arena_init(&a, 0);
    control_entry_format(e, &line);
    must(!line.err && line.p[line.n - 1] == '\n' && !memchr(line.p, '\n', line.n - 1));
    must(!control_entry_parse(bytes_of(line.p, line.n), &a, NULL, &again));
    must(control_place_same(&e->place, &again.place) && bytes_equal(e->text, again.text) &&
         !strcmp(e->key, again.key) && again.body.kind == e->body.kind &&
         again.body.n_records == e->body.n_records);
    for (size_t i = 0; i < e->body.n_records; i++)
        must(control_record_key_ok(e->body.records[i].key));
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct diag d;
    struct control_entry e;
    diag_init(&d);
    arena_init(&a, 64 << 20);
    int rc = control_entry_parse(bytes_of(data, size), &a, &d, &e);
    must(rc == ERR_NOMEM || (rc == 0) == (diag_count(&d) == 0));
    if (!rc)
        check(&e);
    struct control_body b;
    if (!control_body_parse(bytes_of(data, size), &a, NULL, &b) && b.kind != CONTROL_UNKNOWN) {
        AUTO_BUF struct buf text;
        buf_init(&text, 0);
        must(!control_body_format(&b, &text));
    }
    arena_done(&a);
    diag_done(&d);
    return 0;
}
