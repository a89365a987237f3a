// SPDX-License-Identifier: Apache-2.0
// Scopes from a query: whatever comes, the list stays bounded and holds valid names only.
#include "auth/token_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct scopes s = {0};
    char *text = mem_strndup((const char *)data, size);
    if (text && !scopes_add(&s, text, &a))
        scopes_add(&s, text, &a); // repeated, as skopeo does: joins
    for (size_t i = 0; i < s.n; i++)
        if (s.items[i].actions & ACTIONS_OF_REGISTRY
                ? strcmp(s.items[i].repository, "*") != 0
                : !repository_name_ok(s.items[i].repository, strlen(s.items[i].repository)))
            abort();
    if (s.n > SCOPE_MAX_COUNT)
        abort();
    free(text);
    arena_done(&a);
    return 0;
}
