// SPDX-License-Identifier: Apache-2.0
// Sealed bytes; see sealed.h. No state.
#include "certs/sealed.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define AES_KEY_BYTES 32
#define GCM_NONCE_BYTES 12

struct sealed_box {
    EVP_PKEY *pkey;
    uint8_t key[SEALED_KEY_BYTES];
};

static int crypto_failed(void)
{
    ERR_clear_error();
    return ERR_CRYPTO;
}

int sealed_box_new(struct sealed_box **out)
{
    struct sealed_box *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    size_t n = sizeof b->key;
    b->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    if (!b->pkey || EVP_PKEY_get_raw_public_key(b->pkey, b->key, &n) != 1 || n != sizeof b->key) {
        sealed_box_free(b);
        return crypto_failed();
    }
    *out = b;
    return 0;
}

void sealed_box_free(struct sealed_box *b)
{
    if (!b)
        return;
    EVP_PKEY_free(b->pkey);
    free(b);
}

const uint8_t *sealed_box_key(const struct sealed_box *b)
{
    return b->key;
}

// The secret of both: our private key with their public one.
static int agree(EVP_PKEY *ours, const uint8_t theirs[SEALED_KEY_BYTES], uint8_t out[32])
{
    AUTO_PKEY EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, theirs, SEALED_KEY_BYTES);
    EVP_PKEY_CTX *ctx = NULL;
    if (peer)
        ctx = EVP_PKEY_CTX_new(ours, NULL);
    size_t n = 32;
    // a key of small order gives zeros, which OpenSSL refuses (RFC 7748 section 6.1)
    bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
              EVP_PKEY_derive(ctx, out, &n) == 1 && n == 32;
    EVP_PKEY_CTX_free(ctx);
    if (ok)
        return 0;
    return crypto_failed();
}

static int expand(const uint8_t shared[32], const uint8_t salt[2 * SEALED_KEY_BYTES],
                  struct bytes context, uint8_t out[AES_KEY_BYTES])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = NULL;
    if (kdf)
        ctx = EVP_KDF_CTX_new(kdf);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)shared, 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, 2 * SEALED_KEY_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)context.p, context.n),
        OSSL_PARAM_construct_end()};
    bool ok = ctx && EVP_KDF_derive(ctx, out, AES_KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (ok)
        return 0;
    return crypto_failed();
}

// `asker` and `sealer`: the public keys, in the order in which they were made.
static int key_of(EVP_PKEY *ours, const uint8_t *theirs, const uint8_t *asker,
                  const uint8_t *sealer, struct bytes context, uint8_t out[AES_KEY_BYTES])
{
    uint8_t shared[32], salt[2 * SEALED_KEY_BYTES];
    int rc = agree(ours, theirs, shared);
    if (rc)
        return rc;
    memcpy(salt, asker, SEALED_KEY_BYTES);
    memcpy(salt + SEALED_KEY_BYTES, sealer, SEALED_KEY_BYTES);
    rc = expand(shared, salt, context, out);
    OPENSSL_cleanse(shared, sizeof shared);
    return rc;
}

static const uint8_t nonce[GCM_NONCE_BYTES]; // a key seals once

static int encrypt(const uint8_t key[AES_KEY_BYTES], struct bytes plain, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, more = 0;
    bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, plain.p, (int)plain.n) == 1 &&
              EVP_EncryptFinal_ex(ctx, out + n, &more) == 1 && (size_t)(n + more) == plain.n &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, SEALED_MORE_BYTES, out + plain.n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (ok)
        return 0;
    return crypto_failed();
}

static int decrypt(const uint8_t key[AES_KEY_BYTES], struct bytes sealed, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    size_t n_plain = sealed.n - SEALED_MORE_BYTES;
    int n = 0, more = 0;
    bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_DecryptUpdate(ctx, out, &n, sealed.p, (int)n_plain) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, SEALED_MORE_BYTES,
                                  (void *)(sealed.p + n_plain)) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + n, &more) == 1 && (size_t)(n + more) == n_plain;
    EVP_CIPHER_CTX_free(ctx);
    if (ok)
        return 0;
    ERR_clear_error();
    return ERR_AUTH;
}

int sealed_seal(const uint8_t to[SEALED_KEY_BYTES], struct bytes context, struct bytes plain,
                uint8_t out_key[SEALED_KEY_BYTES], struct buf *out)
{
    if (plain.n > SEALED_MAX_BYTES)
        return ERR_TOOBIG;
    struct sealed_box *own = NULL;
    uint8_t key[AES_KEY_BYTES];
    int rc = sealed_box_new(&own);
    if (rc)
        return rc;
    rc = key_of(own->pkey, to, to, own->key, context, key);
    char *room = NULL;
    if (!rc)
        room = buf_room(out, plain.n + SEALED_MORE_BYTES);
    if (!rc && !room)
        rc = out->err;
    if (!rc)
        rc = encrypt(key, plain, (uint8_t *)room);
    if (!rc) {
        out->n += plain.n + SEALED_MORE_BYTES;
        memcpy(out_key, own->key, SEALED_KEY_BYTES);
    }
    OPENSSL_cleanse(key, sizeof key);
    sealed_box_free(own);
    return rc;
}

int sealed_open(const struct sealed_box *b, const uint8_t from[SEALED_KEY_BYTES],
                struct bytes context, struct bytes sealed, struct buf *out)
{
    if (sealed.n < SEALED_MORE_BYTES || sealed.n > SEALED_MAX_BYTES + SEALED_MORE_BYTES)
        return ERR_AUTH;
    uint8_t key[AES_KEY_BYTES];
    int rc = key_of(b->pkey, from, b->key, from, context, key);
    if (rc)
        return rc;
    char *room = buf_room(out, sealed.n - SEALED_MORE_BYTES);
    if (room)
        rc = decrypt(key, sealed, (uint8_t *)room);
    else
        rc = out->err;
    if (!rc)
        out->n += sealed.n - SEALED_MORE_BYTES;
    else if (room)
        OPENSSL_cleanse(room, sealed.n - SEALED_MORE_BYTES);
    OPENSSL_cleanse(key, sizeof key);
    return rc;
}
