// SPDX-License-Identifier: Apache-2.0
// A word as another region may send it. What is read keeps to its bounds: rows of good keys, stamps
// that read back the same, and a promise that can be signed again.
#include "replication/word_page.h"

#include "config/registry_key.h"
#include "config/topology.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stamp_check(const json_t *text)
{
    uint64_t stamp, again;
    if (!word_stamp_parse(text, &stamp) || stamp > INT64_MAX)
        abort();
    json_t *back = word_stamp_json(stamp);
    if (!word_stamp_parse(back, &again) || again != stamp ||
        strcmp(json_string_value(back), json_string_value(text)) != 0)
        abort();
    json_decref(back);
}

static void row_check(const char *key, json_t *row)
{
    const char *origin;
    json_t *value, *applied = json_object_get(row, "applied");
    if (!registry_key_ok(key) || json_object_size(applied) > TOPOLOGY_MAX_REGIONS)
        abort();
    stamp_check(json_object_get(row, "floor"));
    json_object_foreach(applied, origin, value)
    {
        if (!hostname_region_ok(origin))
            abort();
        stamp_check(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct word_page page;
    const char *key;
    json_t *row;
    if (word_page_read(bytes_of(data, size), &page))
        return 0;
    if (json_object_size(page.rows) > WORDS_ROWS_MAX)
        abort();
    json_object_foreach(page.rows, key, row)
    {
        row_check(key, row);
    }
    if (page.promises) {
        struct buf text;
        buf_init(&text, 4096);
        if (!*page.key || word_text("eastus", &page.promise, &text))
            abort();
        buf_done(&text);
    }
    word_page_done(&page);
    return 0;
}
