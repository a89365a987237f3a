// SPDX-License-Identifier: Apache-2.0
// Any bytes as an htpasswd file: lines are numbered upwards, what is taken is a name that a user may
// have and a bcrypt hash, and what is refused says why without its hash.
#include "cli/htpasswd.h"
#include "config/password.h"
#include "config/principals.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    struct htpasswd h = htpasswd_begin(text, size);
    struct htpasswd_line l;
    unsigned before = 0;
    while (htpasswd_next(&h, &l)) {
        if (l.number <= before)
            abort();
        before = l.number;
        if (!*l.why && (!principal_name_ok(l.name) || !password_hash_ok(l.hash)))
            abort();
        if (*l.why && strlen(l.hash) > 12 && strstr(l.why, l.hash))
            abort();
    }
    free(text);
    return 0;
}
