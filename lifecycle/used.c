// SPDX-License-Identifier: Apache-2.0
// See used.h.
#include "lifecycle/used.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/sweep.h"
#include "lifecycle/lifecycle_priv.h"

// A record of the ledger. ERR_NOTFOUND; *out NULL with 0: it is there, and cannot be read.
static int recorded(const struct lifecycle_deps *deps, const char *key, json_t **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    *out = NULL;
    int rc = deps->record(deps->ctx, key, &text);
    if (!rc)
        *out = json_loads(buf_cstr(&text), 0, NULL);
    return rc;
}

static enum request_used used_for(const struct lifecycle_deps *deps, const char *id,
                                  struct request_use *out)
{
    char key[OPERATION_KEY_SIZE];
    snprintf(out->id, sizeof out->id, "%.16s", id);
    int rc = recorded(deps, operation_key(id, key), &out->record);
    if (rc && rc != ERR_NOTFOUND)
        return REQUEST_UNKNOWN;
    if (out->record)
        return REQUEST_USED;
    return REQUEST_FORGOTTEN;
}

// Root's at the writer's own socket is nobody else's to hand in again.
static enum request_used maybe_forgotten(const struct lifecycle_deps *deps,
                                         const struct lifecycle_request *r)
{
    json_t *upto = NULL;
    if (r->bare)
        return REQUEST_NEW;
    int rc = recorded(deps, SWEEP_REQUESTS_UPTO, &upto);
    bool is_late = r->expires_ms <= record_number(upto, "expires");
    json_decref(upto);
    if (rc && rc != ERR_NOTFOUND)
        return REQUEST_UNKNOWN;
    if (is_late)
        return REQUEST_TOO_LATE;
    return REQUEST_NEW;
}

enum request_used request_used(const struct lifecycle_deps *deps, const struct lifecycle_request *r,
                               const char *own_id, struct request_use *out)
{
    json_t *use = NULL;
    *out = (struct request_use){0};
    AUTO_FREE char *key = mem_printf(SWEEP_REQUESTS "%s", r->nonce);
    if (!key)
        return REQUEST_UNKNOWN;
    int rc = recorded(deps, key, &use);
    if (rc && rc != ERR_NOTFOUND)
        return REQUEST_UNKNOWN;
    if (!rc) {
        enum request_used found = used_for(deps, record_text(use, "operation"), out);
        json_decref(use);
        return found;
    }
    enum request_used own = used_for(deps, own_id, out);
    if (own != REQUEST_FORGOTTEN) // there is none of that id, as of most requests
        return own;
    return maybe_forgotten(deps, r);
}

void request_use_done(struct request_use *u)
{
    json_decref(u->record);
    u->record = NULL;
}
