// SPDX-License-Identifier: Apache-2.0
// The CA at hand, on the one node that has it: all issue by it here, while another one may take its
// place. `ca_lock` guards which one it is. Any thread; see certs.h.
#include "certs/certs_priv.h"

#include "base/err.h"

#include <string.h>

int cert_issue(struct certs *c, const struct cert_plan *plan, struct bytes csr_pem,
               struct diag *diag, struct buf *out_pem)
{
    pthread_rwlock_rdlock(&c->ca_lock);
    int rc = ca_issue(c->ca, plan, csr_pem, 0, diag, out_pem);
    pthread_rwlock_unlock(&c->ca_lock);
    return rc;
}

int certs_ca_change(struct certs *c, int (*change)(void *ctx, struct diag *diag), void *ctx,
                    struct diag *diag)
{
    struct ca *now = NULL, *was = NULL;
    if (!c->ca_dir)
        return ERR_UNSUPPORTED;
    pthread_rwlock_wrlock(&c->ca_lock);
    int rc = change(ctx, diag);
    if (!rc)
        rc = ca_open(c->ca_dir, diag, &now);
    if (!rc) {
        was = c->ca;
        c->ca = now;
    }
    pthread_rwlock_unlock(&c->ca_lock);
    ca_close(was);
    return rc;
}

static int as_it_is(void *ctx, struct diag *diag)
{
    (void)ctx, (void)diag;
    return 0;
}

int certs_ca_follow(struct certs *c, const char *fingerprint, struct diag *diag)
{
    if (!c->ca_dir)
        return ERR_UNSUPPORTED;
    pthread_rwlock_rdlock(&c->ca_lock);
    bool same = !strcmp(ca_fingerprint(c->ca), fingerprint);
    pthread_rwlock_unlock(&c->ca_lock);
    if (same)
        return 0;
    return certs_ca_change(c, as_it_is, NULL, diag);
}
