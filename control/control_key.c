// SPDX-License-Identifier: Apache-2.0
// See control_key.h.
#include "control/control_key.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signing_key.h"
#include "control/identity_list.h"
#include "control/sections.h"

#include <stdlib.h>
#include <string.h>

int control_key_id(const char *region, const char *spki, char out[CONTROL_KEY_ID_SIZE])
{
    char hex[65];
    if (strpbrk(spki, "\"\\\n") || signing_key_fingerprint(spki, hex))
        return ERR_INVAL;
    snprintf(out, CONTROL_KEY_ID_SIZE, "%s-ctl-%.8s", region, hex);
    return 0;
}

static int one_key(struct identity_list *l, const char *region, const char *spki, struct arena *a)
{
    struct identity *x = identity_of_region(l, region);
    char id[CONTROL_KEY_ID_SIZE];
    int rc = control_key_id(region, spki, id);
    if (rc)
        return rc;
    if (x)
        x->n[IDENTITY_CONTROL_KEY] = 0;
    const struct identity_item item = {.id = arena_strdup(a, id), .key = spki};
    if (!item.id)
        return ERR_NOMEM;
    rc = identity_add(l, region, IDENTITY_CONTROL_KEY, item);
    if (rc < 0)
        return rc;
    return 0;
}

static int section(struct identity_list *l, const struct topology *t, const char *region,
                   const char *spki, struct arena *a, const char **out)
{
    identity_list_init(l);
    int rc = identity_list_add_all(l, t);
    if (!rc)
        rc = one_key(l, region, spki, a);
    if (rc)
        return rc;
    *out = identity_list_text(l, a);
    if (*out)
        return 0;
    return ERR_NOMEM;
}

int control_key_only(const char *frame, size_t n, const struct topology *t, const char *region,
                     const char *spki, struct arena *a, struct diag *diag, struct buf *out)
{
    struct edit_section s = {.key = "identities"};
    struct identity_list *l = mem_zalloc(sizeof *l); // it is large
    const char *text = arena_strndup(a, frame, n);
    int rc = ERR_NOMEM;
    if (l && text)
        rc = section(l, t, region, spki, a, &s.text);
    free(l);
    if (rc == ERR_INVAL)
        diag_add(diag, NULL, 0,
                 "the control key: base64 of the SubjectPublicKeyInfo of an Ed25519 public key");
    if (rc)
        return rc;
    edit_sections(text, &s, 1, 0, out);
    return out->err;
}
