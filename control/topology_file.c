// SPDX-License-Identifier: Apache-2.0
// Topologies in either form; see topology_file.h.
#include "control/topology_file.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "control/compiled.h"

int topology_file_parse(enum topology_form form, const char *text, size_t n, const char *source,
                        struct diag *diag, struct topology **out)
{
    if (n > TOPOLOGY_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", TOPOLOGY_MAX_BYTES);
        return ERR_TOOBIG;
    }
    if (compiled_is(text, n))
        return compiled_parse(form, text, n, source, diag, out);
    return topology_parse_as(form, text, n, source, diag, out);
}

int topology_file_load(const char *path, struct diag *diag, struct topology **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = file_read(path, TOPOLOGY_MAX_BYTES, &text);
    if (rc) {
        diag_add(diag, path, 0, "cannot read the topology: %s", err_text(rc));
        return rc;
    }
    return topology_file_parse(TOPOLOGY_FULL, buf_cstr(&text), text.n, path, diag, out);
}
