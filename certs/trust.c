// SPDX-License-Identifier: Apache-2.0
// The CAs that a node trusts; see trust.h. No state.
#include "certs/trust.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs_priv.h"

#include <openssl/crypto.h>
#include <string.h>

// --- judging one ---

static int refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the certificate is not that of a private CA of this fleet: %s", why);
    return ERR_DENIED;
}

// Permitted: that domain, and nothing else.
static bool constrained_to(const X509 *x, const char *domain)
{
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(x, NID_name_constraints, NULL, NULL);
    bool good = nc && !nc->excludedSubtrees && sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) == 1;
    const GENERAL_NAME *base = NULL;
    if (good)
        base = sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, 0)->base;
    good = base && base->type == GEN_DNS &&
           (size_t)ASN1_STRING_length(base->d.dNSName) == strlen(domain) &&
           !memcmp(ASN1_STRING_get0_data(base->d.dNSName), domain, strlen(domain));
    NAME_CONSTRAINTS_free(nc);
    return good;
}

int trust_judge(struct bytes pem, const char *domain, int64_t now_ms, struct diag *diag,
                char out_fingerprint[65])
{
    AUTO_AUTHORITIES pem_authorities *all = pem_parse_authorities(pem);
    if (!all || sk_X509_num(all) != 1)
        return refuse(diag, "it is not one certificate of a CA");
    X509 *x = sk_X509_value(all, 0);
    EVP_PKEY *key = X509_get0_pubkey(x);
    if (!pem_key_is_p256(key))
        return refuse(diag, "its key is not P-256");
    if (X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) ||
        X509_verify(x, key) != 1)
        return refuse(diag, "it is not signed by itself");
    if (!constrained_to(x, domain))
        return refuse(diag, "it may issue names of other domains than the fleet's");
    if (pem_time_ms(X509_get0_notAfter(x)) <= now_ms)
        return refuse(diag, "it has expired");
    pem_fingerprint(x, out_fingerprint);
    if (*out_fingerprint)
        return 0;
    return ERR_NOMEM;
}

int64_t trust_ends_ms(struct bytes pem)
{
    AUTO_X509 X509 *x = pem_parse_x509(pem);
    if (!x)
        return INT64_MIN;
    return pem_time_ms(X509_get0_notAfter(x));
}

// --- the file ---

static int list_of(pem_authorities *cas, char out[TRUST_MAX][65], size_t *out_n)
{
    if (sk_X509_num(cas) > TRUST_MAX)
        return ERR_TOOBIG;
    for (int i = 0; i < sk_X509_num(cas); i++)
        pem_fingerprint(sk_X509_value(cas, i), out[i]);
    *out_n = (size_t)sk_X509_num(cas);
    return 0;
}

int trust_list(const char *ca_file, char out[TRUST_MAX][65], size_t *out_n)
{
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    int rc = file_read(ca_file, PEM_MAX_BYTES, &b);
    if (rc)
        return rc;
    AUTO_AUTHORITIES pem_authorities *cas = pem_parse_authorities(bytes_of(b.p, b.n));
    if (!cas)
        return ERR_CRYPTO;
    return list_of(cas, out, out_n);
}

static int write_all(const char *certs_dir, const struct buf *pem, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/ca.pem", certs_dir);
    int rc = pem->err;
    if (!rc && !path)
        rc = ERR_NOMEM;
    if (!rc)
        rc = file_write_atomic(path, pem->p, pem->n, 0644);
    if (!rc)
        return 1;
    diag_add(diag, path, 0, "cannot be written: %s", err_text(rc));
    return rc;
}

static int find(pem_authorities *cas, const char *fingerprint)
{
    char one[65];
    for (int i = 0; i < sk_X509_num(cas); i++) {
        pem_fingerprint(sk_X509_value(cas, i), one);
        if (!strcmp(one, fingerprint))
            return i;
    }
    return -1;
}

// All but the one at `but` (-1: all).
static int pem_of(pem_authorities *cas, int but, struct buf *out)
{
    int rc = 0;
    for (int i = 0; i < sk_X509_num(cas) && !rc; i++)
        if (i != but)
            rc = pem_add_x509(out, sk_X509_value(cas, i));
    return rc;
}

static int add(const char *certs_dir, struct bytes pem, bool first, struct diag *diag)
{
    AUTO_AUTHORITIES pem_authorities *cas = cert_ca_of(certs_dir, diag);
    AUTO_X509 X509 *x = pem_parse_x509(pem);
    AUTO_BUF struct buf all;
    char fingerprint[65];
    buf_init(&all, PEM_MAX_BYTES);
    if (!cas)
        return ERR_NOTFOUND;
    if (!x) {
        diag_add(diag, NULL, 0, "what is to be trusted is no certificate");
        return ERR_INVAL;
    }
    pem_fingerprint(x, fingerprint);
    int at = find(cas, fingerprint);
    if (at == 0 || (at > 0 && !first))
        return 0;
    if (at < 0 && sk_X509_num(cas) >= TRUST_MAX) {
        diag_add(diag, certs_dir, 0, "ca.pem holds %d CAs already", TRUST_MAX);
        return ERR_FULL;
    }
    int rc = 0;
    if (first)
        rc = pem_add_x509(&all, x);
    if (!rc)
        rc = pem_of(cas, at, &all);
    if (!rc && !first)
        rc = pem_add_x509(&all, x);
    if (rc)
        return rc;
    return write_all(certs_dir, &all, diag);
}

int trust_add(const char *certs_dir, struct bytes pem, struct diag *diag)
{
    return add(certs_dir, pem, false, diag);
}

int trust_first(const char *certs_dir, struct bytes pem, struct diag *diag)
{
    return add(certs_dir, pem, true, diag);
}

int trust_remove(const char *certs_dir, const char *fingerprint, struct diag *diag)
{
    AUTO_AUTHORITIES pem_authorities *cas = cert_ca_of(certs_dir, diag);
    AUTO_BUF struct buf all;
    buf_init(&all, PEM_MAX_BYTES);
    if (!cas)
        return ERR_NOTFOUND;
    int i = find(cas, fingerprint);
    if (i < 0)
        return 0;
    if (sk_X509_num(cas) == 1) {
        diag_add(diag, certs_dir, 0, "the CA that is to go is the only one that ca.pem holds");
        return ERR_CONFLICT;
    }
    int rc = pem_of(cas, i, &all);
    if (rc)
        return rc;
    return write_all(certs_dir, &all, diag);
}

// --- who has issued what ---

static int issuer_of(const char *path, pem_authorities *cas)
{
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    if (file_read(path, PEM_MAX_BYTES, &b))
        return -1;
    AUTO_X509 X509 *x = pem_parse_x509(bytes_of(b.p, b.n));
    OPENSSL_cleanse(b.p, b.n);
    if (!x)
        return -1;
    return pem_issuer(x, cas);
}

int trust_issuers(const char *certs_dir, char out[TRUST_MAX][65], size_t *out_n)
{
    static const char *const files[] = {"region.pem", "shared.pem", "peer.pem", PEER_NEXT_FILE};
    bool has[TRUST_MAX] = {false};
    char all[TRUST_MAX][65];
    size_t n_all, n = 0;
    AUTO_AUTHORITIES pem_authorities *cas = cert_ca_of(certs_dir, NULL);
    if (!cas)
        return ERR_NOTFOUND;
    int rc = list_of(cas, all, &n_all);
    if (rc)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", certs_dir, files[i]);
        if (!path)
            return ERR_NOMEM;
        int k = issuer_of(path, cas);
        if (k >= 0)
            has[k] = true;
    }
    for (size_t i = 0; i < n_all; i++)
        if (has[i])
            memcpy(out[n++], all[i], 65);
    *out_n = n;
    return 0;
}
