// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PROXY protocol header: refused, or one whose length lies within what was given and
// within its ceiling; and what is cut short may only become what the whole is.
#include "base/err.h"
#include "resolver/packet/proxied.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxied who, part;
    int rc = proxied_parse(data, size, &who);
    must(rc == 0 || rc == ERR_TRUNC || rc == ERR_PROTO);
    must(rc == ERR_PROTO || proxied_begins(data, size));
    if (rc)
        return 0;
    must(who.n >= 16 && who.n <= size && who.n <= PROXIED_MAX);
    for (size_t i = 0; i < who.n; i++)
        must(proxied_parse(data, i, &part) == ERR_TRUNC);
    must(proxied_parse(data, who.n, &part) == 0 && part.n == who.n && part.local == who.local);
    return 0;
}
