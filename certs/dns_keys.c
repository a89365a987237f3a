// SPDX-License-Identifier: Apache-2.0
// Private signing keys of zones; see dns_keys.h.
#include "certs/dns_keys.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

struct dns_key {
    EVP_PKEY *pkey;
    enum dnskey_algorithm algorithm;
};

// The public half as DNS has it: the point without its first octet (RFC 6605 section 4), or the key
// (RFC 8080).
static size_t public_of(const EVP_PKEY *k, enum dnskey_algorithm *out_algorithm,
                        uint8_t out[DNSKEY_PUBLIC_MAX])
{
    uint8_t point[65];
    size_t n = 0;
    if (k && EVP_PKEY_is_a(k, "ED25519")) {
        n = DNSKEY_PUBLIC_MAX;
        *out_algorithm = DNSKEY_ED25519;
        if (EVP_PKEY_get_raw_public_key(k, out, &n) == 1)
            return n;
        return 0;
    }
    if (!pem_key_is_p256(k) ||
        EVP_PKEY_get_octet_string_param(k, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) != 1 ||
        n != 65 || point[0] != 4)
        return 0;
    *out_algorithm = DNSKEY_ECDSAP256;
    memcpy(out, point + 1, 64);
    return 64;
}

static int describe(const EVP_PKEY *k, struct dnskey *out)
{
    uint8_t rdata[DNSKEY_RDATA_MAX];
    size_t n = public_of(k, &out->algorithm, out->public);
    if (n == 0)
        return ERR_CRYPTO;
    out->public_n = (uint8_t)n;
    out->tag = dnskey_tag(rdata, dnskey_rdata(out, rdata));
    return 0;
}

int dns_key_create(const char *dir, enum dnskey_zone zone, enum dnskey_role role,
                   enum dnskey_algorithm algorithm, struct diag *diag, char id[65],
                   struct dnskey *out)
{
    int rc = dir_make(dir, 0700);
    if (rc) {
        diag_add(diag, dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    AUTO_PKEY EVP_PKEY *k;
    if (algorithm == DNSKEY_ED25519)
        k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        k = pem_key_p256();
    struct dnskey d = {.zone = zone, .role = role};
    if (!k || describe(k, &d))
        return pem_crypto_failed(diag, "a new key");
    uint8_t sum[SHA256_BYTES];
    char hex[9];
    sha256(d.public, d.public_n, sum);
    hex_format(sum, 4, hex);
    snprintf(id, 65, "%s-%s-%s", zone == DNSKEY_ZONE_MAIN ? "d" : "fe", dnskey_role_name(role),
             hex);
    AUTO_FREE char *path = mem_printf("%s/%s.pem", dir, id);
    if (path)
        rc = pem_write_key(path, k, diag);
    else
        rc = ERR_NOMEM;
    if (rc)
        return rc;
    d.id = id;
    *out = d;
    return 0;
}

static int key_read(const char *dir, const char *id, struct diag *diag, EVP_PKEY **out)
{
    AUTO_FREE char *path = mem_printf("%s/%s.pem", dir, id);
    if (!path)
        return ERR_NOMEM;
    EVP_PKEY *k = NULL;
    int rc = pem_read_key(path, diag, &k);
    if (rc)
        return rc;
    if (!k) {
        diag_add(diag, path, 0, "does not hold a private key");
        return ERR_CRYPTO;
    }
    *out = k;
    return 0;
}

int dns_key_describe(const char *dir, const char *id, struct diag *diag, struct dnskey *out)
{
    static const char *const roles[] = {"ksk", "zsk", "csk"};
    struct dnskey d = {.id = id,
                       .zone = strncmp(id, "fe-", 3) ? DNSKEY_ZONE_MAIN : DNSKEY_ZONE_FRONTEND};
    const char *role = strchr(id, '-');
    size_t i = 0;
    while (role && i < ARRAY_LEN(roles) && strncmp(role + 1, roles[i], 3))
        i++;
    if (!dnskey_id_ok(id) || !role || i == ARRAY_LEN(roles)) {
        diag_add(diag, NULL, 0,
                 "%s is not the id of a key: it begins with d- or fe-, then ksk-, zsk- or csk-",
                 id);
        return ERR_INVAL;
    }
    d.role = (enum dnskey_role)i;
    AUTO_PKEY EVP_PKEY *k = NULL;
    int rc = key_read(dir, id, diag, &k);
    if (rc)
        return rc;
    rc = describe(k, &d);
    if (rc) {
        diag_add(diag, NULL, 0, "%s/%s.pem holds neither a P-256 nor an Ed25519 key", dir, id);
        return rc;
    }
    *out = d;
    return 0;
}

int dns_key_open(const char *dir, const struct dnskey *k, struct diag *diag, struct dns_key **out)
{
    struct dnskey d = {.zone = k->zone, .role = k->role};
    struct dns_key *key = mem_zalloc(sizeof *key);
    int rc = ERR_NOMEM;
    if (key)
        rc = key_read(dir, k->id, diag, &key->pkey);
    if (!rc)
        rc = describe(key->pkey, &d);
    if (!rc && (d.algorithm != k->algorithm || d.public_n != k->public_n ||
                memcmp(d.public, k->public, d.public_n)))
        rc = ERR_CRYPTO;
    if (rc == ERR_CRYPTO)
        diag_add(diag, NULL, 0, "%s/%s.pem does not hold the private half of the topology's key %s",
                 dir, k->id, k->id);
    if (rc) {
        dns_key_free(key);
        return rc;
    }
    key->algorithm = k->algorithm;
    *out = key;
    return 0;
}

void dns_key_free(struct dns_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

// DER to r || s of fixed size (RFC 6605 section 4).
static int raw_of(const uint8_t *der, size_t n, uint8_t out[DNS_SIGNATURE_BYTES])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    if (good)
        return 0;
    return ERR_CRYPTO;
}

int dns_key_sign(const struct dns_key *k, const void *p, size_t n, uint8_t out[DNS_SIGNATURE_BYTES])
{
    uint8_t sig[80];
    size_t n_sig = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return ERR_NOMEM;
    bool ec = k->algorithm == DNSKEY_ECDSAP256;
    bool done = EVP_DigestSignInit(ctx, NULL, ec ? EVP_sha256() : NULL, NULL, k->pkey) == 1 &&
                EVP_DigestSign(ctx, sig, &n_sig, p, n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!done || (!ec && n_sig != DNS_SIGNATURE_BYTES))
        return ERR_CRYPTO;
    if (ec)
        return raw_of(sig, n_sig, out);
    memcpy(out, sig, DNS_SIGNATURE_BYTES);
    return 0;
}
