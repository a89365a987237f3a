// SPDX-License-Identifier: Apache-2.0
// Reports of other regions: whatever is taken has no control characters in it and is not deep.
#include "fleet/reports.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const json_t *v, unsigned depth)
{
    const char *key;
    json_t *one;
    size_t i;
    if (depth > REPORT_DEPTH_MAX)
        abort();
    if (json_is_string(v))
        for (i = 0; i < json_string_length(v); i++)
            if ((unsigned char)json_string_value(v)[i] < ' ')
                abort();
    json_object_foreach((json_t *)v, key, one) look(one, depth + 1);
    json_array_foreach((json_t *)v, i, one) look(one, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *doc = NULL;
    struct drift_report d;
    if (report_parse(bytes_of(data, size), "eastus", &doc, &d))
        return 0;
    look(doc, 0);
    json_decref(doc);
    return 0;
}
