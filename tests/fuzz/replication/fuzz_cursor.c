// SPDX-License-Identifier: Apache-2.0
// Cursors that peers echo: whatever parses formats to the very same text.
#include "replication/cursor.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct feed_mark m;
    if (cursor_parse(text, &m) == 0) {
        char again[CURSOR_TEXT_SIZE];
        if (strcmp(cursor_format(&m, again), text) != 0)
            abort();
    }
    free(text);
    return 0;
}
