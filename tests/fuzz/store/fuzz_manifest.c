// SPDX-License-Identifier: Apache-2.0
// Manifests from anybody who may push. The first line chooses the Content-Type ("-": none), the
// rest is the body. What is accepted must hold what manifest.h promises.
#include "store/manifest.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
    size_t n_type = nl ? (size_t)(nl - data) : 0;
    char type[256] = "";
    if (!nl || n_type >= sizeof type)
        return 0;
    memcpy(type, data, n_type);
    struct arena a;
    struct diag d;
    struct manifest m;
    arena_init(&a, 16 << 20);
    diag_init(&d);
    struct bytes body = bytes_of(nl + 1, size - n_type - 1);
    int rc = manifest_parse(body, strcmp(type, "-") ? type : NULL, &a, &d, &m);
    require(rc == 0 || rc == ERR_INVAL || rc == ERR_UNSUPPORTED || rc == ERR_NOMEM);
    require(rc == 0 || rc == ERR_NOMEM || diag_count(&d) > 0);
    if (!rc) {
        require(media_type_ok(m.media_type) &&
                (!m.artifact_type || media_type_ok(m.artifact_type)));
        require(m.n_refs <= MANIFEST_MAX_REFS);
        for (size_t i = 0; i < m.n_refs; i++) {
            struct digest is = m.refs[i].digest, again;
            char text[DIGEST_TEXT_SIZE];
            digest_format(&is, text);
            require(digest_parse(text, strlen(text), &again) == 0 && digest_equal(&is, &again));
            require(m.refs[i].size <= INT64_MAX);
            require(m.is_index || m.refs[i].kind != REF_MANIFEST);
        }
    }
    diag_done(&d);
    arena_done(&a);
    return 0;
}
