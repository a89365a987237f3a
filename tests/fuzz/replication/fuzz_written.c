// SPDX-License-Identifier: Apache-2.0
// What a region asks of another one's disk (POST …/stored): whatever is read is written and read again
// as the same.
#include "replication/written.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const struct buf *text, struct arena *a, struct written **list, size_t *n)
{
    return written_parse(bytes_of(text->p, text->n), a, list, n);
}

static void write_all(const struct written *list, size_t n, struct buf *out)
{
    buf_init(out, WRITTEN_TEXT_MAX);
    if (written_format(list, n, out))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct written *list = NULL, *again = NULL;
    struct arena a;
    struct buf first, second;
    size_t n = 0, n_again = 0;
    arena_init(&a, 4 << 20);
    if (!written_parse(bytes_of(data, size), &a, &list, &n)) {
        write_all(list, n, &first);
        if (read_all(&first, &a, &again, &n_again) || n_again != n)
            abort();
        write_all(again, n, &second);
        if (first.n != second.n || memcmp(first.p, second.p, first.n) != 0)
            abort();
        buf_done(&first);
        buf_done(&second);
    }
    arena_done(&a);
    return 0;
}
