// SPDX-License-Identifier: Apache-2.0
// Any bytes as kubelet's question: a host that is taken has letters of hosts alone.
#include "cli/credential_request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credential_request q;
    if (credential_request_parse((const char *)data, size, &q))
        return 0;
    if (!*q.host || strpbrk(q.host, "/\"\\ \n,") || !q.api_version)
        abort();
    return 0;
}
