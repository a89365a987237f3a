// SPDX-License-Identifier: Apache-2.0
// A joiner's first certificate; see joiner.h.
#include "certs/joiner.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "certs/certs_priv.h"

#include <stdio.h>
#include <unistd.h>

#define JOIN_ARENA_BYTES (64u << 10)

// The plan of a region that is in no topology yet.
static int plan_of(const char *domain, const char *region, struct arena *a, struct cert_plan *out)
{
    const struct topology t = {.domain = domain};
    return cert_plan(&t, region, CERT_PEER, a, out);
}

static int request_make(const char *key_path, const char *csr_path, const struct cert_plan *plan,
                        struct diag *diag, struct buf *out_csr)
{
    AUTO_BUF struct buf csr;
    buf_init(&csr, CERT_REQUEST_MAX_BYTES);
    EVP_PKEY *made = NULL;
    int rc = cert_request(plan, diag, &made, &csr);
    AUTO_PKEY EVP_PKEY *key = made;
    if (!rc)
        rc = pem_write_key(key_path, key, diag);
    if (rc)
        return rc;
    rc = file_write_atomic(csr_path, csr.p, csr.n, 0600);
    if (rc) {
        diag_add(diag, csr_path, 0, "cannot be written: %s", err_text(rc));
        return rc;
    }
    buf_add(out_csr, csr.p, csr.n);
    return out_csr->err;
}

int certs_join_request(const char *dir, const char *domain, const char *region, struct diag *diag,
                       struct buf *out_csr)
{
    AUTO_FREE char *key = mem_printf("%s/join.key", dir);
    AUTO_FREE char *csr = mem_printf("%s/join.csr", dir);
    if (!key || !csr)
        return ERR_NOMEM;
    int rc = dir_make(dir, 0700);
    if (rc) {
        diag_add(diag, dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    if (!access(key, F_OK) && !file_read_secret(csr, CERT_REQUEST_MAX_BYTES, out_csr))
        return 0;
    struct arena a;
    arena_init(&a, JOIN_ARENA_BYTES);
    struct cert_plan plan;
    rc = plan_of(domain, region, &a, &plan);
    if (!rc)
        rc = request_make(key, csr, &plan, diag, out_csr);
    arena_done(&a);
    return rc;
}

int certs_join_install(const char *dir, const char *domain, const char *region, struct bytes ca_pem,
                       struct bytes cert_pem, struct diag *diag)
{
    AUTO_FREE char *key_path = mem_printf("%s/join.key", dir);
    AUTO_FREE char *ca_path = mem_printf("%s/ca.pem", dir);
    if (!key_path || !ca_path)
        return ERR_NOMEM;
    EVP_PKEY *read = NULL;
    int rc = pem_read_key(key_path, diag, &read);
    AUTO_PKEY EVP_PKEY *key = read;
    AUTO_AUTHORITIES pem_authorities *ca = pem_parse_authorities(ca_pem);
    if (!rc && (!key || !ca)) {
        diag_add(diag, NULL, 0, "what came with the answer is no CA certificate");
        rc = ERR_PROTO;
    }
    if (rc)
        return rc;
    struct arena a;
    arena_init(&a, JOIN_ARENA_BYTES);
    struct cert_plan plan;
    rc = plan_of(domain, region, &a, &plan);
    if (!rc)
        rc = file_write_atomic(ca_path, ca_pem.p, ca_pem.n, 0644);
    if (!rc)
        rc = cert_install(dir, plan.file, cert_pem, key, &plan, ca, NULL, diag);
    arena_done(&a);
    return rc;
}

void certs_join_done(const char *dir)
{
    static const char *const files[] = {"join.key", "join.csr"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, files[i]);
        if (path)
            unlink(path);
    }
}

int certs_fingerprint(struct bytes pem, char out[65])
{
    AUTO_X509 X509 *x = pem_parse_x509(pem);
    if (!x)
        return ERR_INVAL;
    pem_fingerprint(x, out);
    if (*out)
        return 0;
    return ERR_CRYPTO;
}

bool certs_has_ca(const struct certs *c)
{
    return c && c->ca_dir;
}

int certs_issue_joiner(struct certs *c, const struct topology *t, const char *region,
                       struct bytes csr_pem, struct diag *diag, struct buf *out_pem)
{
    if (!certs_has_ca(c)) {
        diag_add(diag, NULL, 0, "this node does not answer for the CA");
        return ERR_UNSUPPORTED;
    }
    int rc = cert_clock_judge(c, diag);
    if (rc)
        return rc;
    struct arena a;
    arena_init(&a, JOIN_ARENA_BYTES);
    struct cert_plan plan;
    rc = cert_plan(t, region, CERT_PEER, &a, &plan);
    if (!rc)
        rc = cert_issue(c, &plan, csr_pem, diag, out_pem);
    arena_done(&a);
    if (!rc)
        log_info("certs: issued the first peer certificate of %s, which joins", region);
    return rc;
}
