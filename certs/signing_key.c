// SPDX-License-Identifier: Apache-2.0
// Keys of people on disk; see signing_key.h.
#include "certs/signing_key.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#define SPKI_DER_MAX 128 // of an Ed25519 key: 44

struct signing_key {
    EVP_PKEY *pkey;
    char spki[b64_size(SPKI_DER_MAX)];
};

int signing_key_create(const char *path, struct diag *diag)
{
    if (!access(path, F_OK)) {
        diag_add(diag, path, 0,
                 "is there already, and a key is never replaced: name another file, or move it "
                 "away first");
        return ERR_EXISTS;
    }
    AUTO_PKEY EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return pem_write_key(path, k, diag);
}

static int spki_set(struct signing_key *k)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(k->pkey, &der);
    bool good = n > 0 && n <= SPKI_DER_MAX;
    if (good)
        b64_format(der, (size_t)n, k->spki);
    OPENSSL_free(der);
    if (good)
        return 0;
    return ERR_CRYPTO;
}

int signing_key_open(const char *path, struct diag *diag, struct signing_key **out)
{
    struct signing_key *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    int rc = pem_read_key(path, diag, &k->pkey);
    if (!rc && !(k->pkey && EVP_PKEY_is_a(k->pkey, "ED25519"))) {
        diag_add(diag, path, 0, "does not hold an Ed25519 private key");
        rc = ERR_CRYPTO;
    }
    if (!rc)
        rc = spki_set(k);
    if (rc) {
        signing_key_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

int signing_key_of_seed(const uint8_t seed[32], struct signing_key **out)
{
    struct signing_key *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    k->pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, 32);
    int rc = ERR_CRYPTO;
    if (k->pkey)
        rc = spki_set(k);
    if (rc) {
        signing_key_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

void signing_key_free(struct signing_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

const char *signing_key_spki(const struct signing_key *k)
{
    return k->spki;
}

int signing_key_sign(const struct signing_key *k, const void *p, size_t n, uint8_t out[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[64];
    size_t n_sig = sizeof sig;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, sig, &n_sig, p, n) == 1 && n_sig == sizeof sig;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return ERR_CRYPTO;
    memcpy(out, sig, sizeof sig);
    return 0;
}

int signing_key_fingerprint(const char *spki_b64, char out[65])
{
    uint8_t der[SPKI_DER_MAX], sum[SHA256_BYTES];
    size_t n = 0;
    if (b64_parse(spki_b64, strlen(spki_b64), der, sizeof der, &n) || !n)
        return ERR_INVAL;
    sha256(der, n, sum);
    hex_format(sum, sizeof sum, out);
    return 0;
}
