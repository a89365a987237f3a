// SPDX-License-Identifier: Apache-2.0
// A region's peer certificate, judged by another region; see peer_judge.h. No state.
#include "certs/peer_judge.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs_priv.h"

#include <openssl/crypto.h>
#include <string.h>

#define JUDGE_ARENA_BYTES (64u << 10)

static int refuse(struct diag *diag, const char *region, const char *why)
{
    diag_add(diag, NULL, 0, "the certificate is no peer certificate of %s: %s", region, why);
    return ERR_DENIED;
}

static int names_judge(X509 *x, const struct cert_plan *plan, struct diag *diag)
{
    struct diag own;
    diag_init(&own);
    int rc = cert_names_judge(x, plan, &own);
    AUTO_FREE char *text = diag_text(&own);
    diag_done(&own);
    if (!rc)
        return 0;
    if (rc == ERR_NOMEM)
        return rc;
    return refuse(diag, plan->region, text ? text : err_text(rc));
}

static int chain_judge(X509 *x, pem_authorities *cas, const char *region, int64_t now_ms,
                       struct diag *diag)
{
    if (pem_time_ms(X509_get0_notBefore(x)) > now_ms)
        return refuse(diag, region, "it is not valid yet; compare the clocks");
    if (pem_time_ms(X509_get0_notAfter(x)) <= now_ms)
        return refuse(diag, region, "it has expired");
    if (pem_verify_any(x, cas, now_ms, NULL))
        return refuse(diag, region, "the fleet's CA has not issued it");
    return 0;
}

int cert_peer_judge(struct bytes ca_pem, const struct topology *t, const char *region,
                    struct bytes pem, int64_t now_ms, struct diag *diag, char out_fingerprint[65],
                    int64_t *out_until_ms)
{
    AUTO_X509 X509 *x = pem_parse_x509(pem);
    AUTO_AUTHORITIES pem_authorities *cas = pem_parse_authorities(ca_pem);
    if (!cas) {
        diag_add(diag, NULL, 0, "the CA's certificate cannot be read here");
        return ERR_DENIED;
    }
    if (!x)
        return refuse(diag, region, "it cannot be read");
    struct arena a;
    arena_init(&a, JUDGE_ARENA_BYTES);
    struct cert_plan plan;
    int rc = cert_plan(t, region, CERT_PEER, &a, &plan);
    if (!rc)
        rc = names_judge(x, &plan, diag);
    if (!rc)
        rc = chain_judge(x, cas, region, now_ms, diag);
    arena_done(&a);
    char fingerprint[65];
    pem_fingerprint(x, fingerprint);
    if (!rc && !*fingerprint)
        rc = ERR_NOMEM;
    if (rc)
        return rc;
    memcpy(out_fingerprint, fingerprint, sizeof fingerprint);
    *out_until_ms = pem_time_ms(X509_get0_notAfter(x));
    return 0;
}

int cert_peer_next_public(const char *certs_dir, struct buf *out_pem)
{
    AUTO_FREE char *path = mem_printf("%s/%s", certs_dir, PEER_NEXT_FILE);
    AUTO_BUF struct buf both;
    buf_init(&both, PEM_MAX_BYTES);
    if (!path)
        return ERR_NOMEM;
    int rc = file_read(path, PEM_MAX_BYTES, &both);
    if (rc)
        return rc;
    AUTO_X509 X509 *x = pem_parse_x509(bytes_of(both.p, both.n));
    OPENSSL_cleanse(both.p, both.n);
    if (!x)
        return ERR_NOTFOUND;
    return pem_add_x509(out_pem, x);
}
