// SPDX-License-Identifier: Apache-2.0
// A region's own keys on disk: made at enrolment by `meridian init`, opened by the daemon at start,
// then immutable and shared by all threads; see keys.h.
#include "certs/keys.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

#define KEY_ID_SIZE (HOSTNAME_REGION_SIZE + 16)
#define URL_KEY_BYTES 32

struct key_half { // private key, and what the topology says of its public half
    EVP_PKEY *pkey;
    char id[KEY_ID_SIZE];
    char *spki_b64;
};

struct region_keys {
    // control: empty where there is none
    struct key_half token, feed, control;
    uint8_t url_key[URL_KEY_BYTES];
};

static int url_key_write(const char *path, struct diag *diag)
{
    uint8_t k[URL_KEY_BYTES];
    int rc = random_bytes(k, sizeof k);
    if (!rc)
        rc = file_write_atomic(path, k, sizeof k, 0600);
    OPENSSL_cleanse(k, sizeof k);
    if (rc)
        diag_add(diag, path, 0, "cannot be written: %s", err_text(rc));
    return rc;
}

static int ed25519_key_write(const char *path, struct diag *diag)
{
    AUTO_PKEY EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return pem_write_key(path, k, diag);
}

int region_keys_create(const char *dir, const char *region, struct diag *diag)
{
    AUTO_FREE char *token = mem_printf("%s/token.pem", dir);
    AUTO_FREE char *feed = mem_printf("%s/feed.pem", dir);
    AUTO_FREE char *control = mem_printf("%s/control.pem", dir);
    AUTO_FREE char *url = mem_printf("%s/url.key", dir);
    if (!token || !feed || !control || !url)
        return ERR_NOMEM;
    if (!hostname_region_ok(region)) {
        diag_add(diag, NULL, 0, "\"%s\" is not a region's name", region);
        return ERR_INVAL;
    }
    int rc = dir_make(dir, 0700);
    if (rc) {
        diag_add(diag, dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    if (access(token, F_OK)) {
        AUTO_PKEY EVP_PKEY *k = pem_key_p256();
        rc = pem_write_key(token, k, diag);
    }
    if (!rc && access(feed, F_OK))
        rc = ed25519_key_write(feed, diag);
    if (!rc && access(control, F_OK))
        rc = ed25519_key_write(control, diag);
    if (!rc && access(url, F_OK))
        rc = url_key_write(url, diag);
    return rc;
}

static int half_describe(struct key_half *h, const char *region, const char *use)
{
    uint8_t *der = NULL, sum[SHA256_BYTES];
    int n = i2d_PUBKEY(h->pkey, &der);
    if (n <= 0)
        return ERR_CRYPTO;
    char hex[9];
    sha256(der, (size_t)n, sum);
    hex_format(sum, 4, hex);
    snprintf(h->id, sizeof h->id, "%s-%s-%s", region, use, hex);
    h->spki_b64 = mem_alloc(b64_size((size_t)n));
    if (h->spki_b64)
        b64_format(der, (size_t)n, h->spki_b64);
    OPENSSL_free(der);
    if (h->spki_b64)
        return 0;
    return ERR_NOMEM;
}

// `file` without its ending; `use` as it stands in the key's id.
static int half_open(const char *dir, const char *region, const char *file, const char *use,
                     struct key_half *h, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/%s.pem", dir, file);
    if (!path)
        return ERR_NOMEM;
    int rc = pem_read_key(path, diag, &h->pkey);
    if (rc)
        return rc;
    bool right;
    if (!strcmp(use, "token"))
        right = pem_key_is_p256(h->pkey);
    else
        right = h->pkey && EVP_PKEY_is_a(h->pkey, "ED25519");
    if (!right) {
        diag_add(diag, path, 0, "does not hold %s private key",
                 !strcmp(use, "token") ? "a P-256" : "an Ed25519");
        return ERR_CRYPTO;
    }
    return half_describe(h, region, use);
}

// One that is not there is none: a folder that an earlier release made has none.
static int control_open(const char *dir, const char *region, struct key_half *h, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/control.pem", dir);
    if (!path)
        return ERR_NOMEM;
    if (access(path, F_OK) && errno == ENOENT)
        return 0;
    return half_open(dir, region, "control", "ctl", h, diag);
}

static int url_key_open(const char *dir, uint8_t out[URL_KEY_BYTES], struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/url.key", dir);
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    if (!path)
        return ERR_NOMEM;
    int rc = pem_read_secret(path, diag, &b);
    if (rc)
        return rc;
    if (b.n != URL_KEY_BYTES) {
        diag_add(diag, path, 0, "must be exactly %d bytes", URL_KEY_BYTES);
        return ERR_CRYPTO;
    }
    memcpy(out, b.p, URL_KEY_BYTES);
    OPENSSL_cleanse(b.p, b.n);
    return 0;
}

int region_keys_open(const char *dir, const char *region, struct diag *diag,
                     struct region_keys **out)
{
    if (!hostname_region_ok(region))
        return ERR_INVAL;
    struct region_keys *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    int rc = half_open(dir, region, "token", "token", &k->token, diag);
    if (!rc)
        rc = half_open(dir, region, "feed", "feed", &k->feed, diag);
    if (!rc)
        rc = control_open(dir, region, &k->control, diag);
    if (!rc)
        rc = url_key_open(dir, k->url_key, diag);
    if (rc) {
        region_keys_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

void region_keys_free(struct region_keys *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->token.pkey);
    EVP_PKEY_free(k->feed.pkey);
    EVP_PKEY_free(k->control.pkey);
    free(k->token.spki_b64);
    free(k->control.spki_b64);
    free(k->feed.spki_b64);
    OPENSSL_cleanse(k->url_key, sizeof k->url_key);
    free(k);
}

const char *region_keys_token_id(const struct region_keys *k)
{
    return k->token.id;
}

const char *region_keys_feed_id(const struct region_keys *k)
{
    return k->feed.id;
}

const char *region_keys_control_id(const struct region_keys *k)
{
    if (k->control.pkey)
        return k->control.id;
    return NULL;
}

const char *region_keys_control_spki(const struct region_keys *k)
{
    return k->control.spki_b64;
}

const char *region_keys_token_spki(const struct region_keys *k)
{
    return k->token.spki_b64;
}

const char *region_keys_feed_spki(const struct region_keys *k)
{
    return k->feed.spki_b64;
}

const uint8_t *region_keys_url_key(const struct region_keys *k)
{
    return k->url_key;
}

static int sign(EVP_PKEY *key, const EVP_MD *md, const void *p, size_t n, uint8_t *out,
                size_t *n_out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
             EVP_DigestSign(ctx, out, n_out, p, n) == 1;
    EVP_MD_CTX_free(ctx);
    if (ok)
        return 0;
    return ERR_CRYPTO;
}

// (r, s) and (r, n - s) sign the same message (SEC 1, section 4.1.4). We make the one with the
// lower s only, so that each signature of ours has one form; n is the order of P-256 (FIPS 186-5;
// SP 800-186, section 3.2.1.3).
static void lower_s(uint8_t s[32])
{
    static const uint8_t n[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint8_t other[32];
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int d = n[i] - s[i] - borrow;
        borrow = d < 0;
        other[i] = (uint8_t)d;
    }
    if (memcmp(other, s, sizeof other) < 0)
        memcpy(s, other, sizeof other);
}

int region_keys_sign_token(const struct region_keys *k, const void *p, size_t n, uint8_t out[64])
{
    uint8_t der[80]; // two integers of at most 33 bytes, and their framing
    size_t n_der = sizeof der;
    int rc = sign(k->token.pkey, EVP_sha256(), p, n, der, &n_der);
    if (rc)
        return rc;
    const uint8_t *at = der;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)n_der);
    uint8_t jose[64];
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), jose, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), jose + 32, 32) == 32;
    ECDSA_SIG_free(s);
    if (!ok)
        return ERR_CRYPTO;
    lower_s(jose + 32);
    memcpy(out, jose, sizeof jose);
    return 0;
}

static int sign_ed25519(EVP_PKEY *key, const void *p, size_t n, uint8_t out[64])
{
    uint8_t sig[64];
    size_t n_sig = sizeof sig;
    int rc = sign(key, NULL, p, n, sig, &n_sig);
    if (rc || n_sig != sizeof sig)
        return ERR_CRYPTO;
    memcpy(out, sig, sizeof sig);
    return 0;
}

int region_keys_sign_feed(void *ctx, const void *p, size_t n, uint8_t out[64])
{
    return sign_ed25519(((const struct region_keys *)ctx)->feed.pkey, p, n, out);
}

int region_keys_sign_control(const struct region_keys *k, const void *p, size_t n, uint8_t out[64])
{
    if (!k->control.pkey)
        return ERR_NOTFOUND;
    return sign_ed25519(k->control.pkey, p, n, out);
}
