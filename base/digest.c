// SPDX-License-Identifier: Apache-2.0
// Digests, encodings and randomness over OpenSSL's libcrypto; see digest.h.
#include "base/digest.h"

#include "base/err.h"
#include "base/mem.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

// In the order of their numbers.
static const struct algorithm {
    const char *name;
    size_t n_bytes;
    const EVP_MD *(*md)(void);
} algorithms[] = {
    [DIGEST_SHA256] = {"sha256", SHA256_BYTES, EVP_sha256},
    [DIGEST_SHA512] = {"sha512", SHA512_BYTES, EVP_sha512},
};

struct hasher {
    EVP_MD_CTX *ctx;
    enum digest_alg alg;
    bool failed;
};

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool one_of(const char *set, char c)
{
    return c && strchr(set, c);
}

static const struct algorithm *algorithm_of(enum digest_alg alg)
{
    if ((size_t)alg < ARRAY_LEN(algorithms) && algorithms[alg].name)
        return &algorithms[alg];
    return NULL;
}

bool digest_alg_parse(const char *name, size_t n, enum digest_alg *out)
{
    for (size_t i = DIGEST_SHA256; i < ARRAY_LEN(algorithms); i++) {
        if (strlen(algorithms[i].name) != n || memcmp(algorithms[i].name, name, n) != 0)
            continue;
        *out = (enum digest_alg)i;
        return true;
    }
    return false;
}

int digest_parse(const char *text, size_t n, struct digest *out)
{
    const char *colon = NULL;
    if (n)
        colon = memchr(text, ':', n);
    if (!colon || colon == text)
        return ERR_INVAL;
    size_t n_alg = (size_t)(colon - text), n_hex = n - n_alg - 1;
    bool was_sep = true;
    for (size_t i = 0; i < n_alg; i++) { // algorithm ::= component (separator component)*
        bool sep = one_of("+._-", text[i]);
        if ((sep && was_sep) ||
            (!sep && (!is_alnum(text[i]) || (text[i] >= 'A' && text[i] <= 'Z'))))
            return ERR_INVAL;
        was_sep = sep;
    }
    if (was_sep || !n_hex)
        return ERR_INVAL;
    for (size_t i = 0; i < n_hex; i++) // encoded ::= [a-zA-Z0-9=_-]+
        if (!is_alnum(colon[1 + i]) && !one_of("=_-", colon[1 + i]))
            return ERR_INVAL;
    enum digest_alg alg;
    if (!digest_alg_parse(text, n_alg, &alg))
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < n_hex; i++)
        if (colon[1 + i] >= 'A' && colon[1 + i] <= 'F')
            return ERR_INVAL; // lower case only, so that one digest has one text
    struct digest d = {.alg = (uint8_t)alg, .n = (uint8_t)digest_alg_bytes(alg)};
    if (hex_parse(colon + 1, n_hex, d.b, d.n))
        return ERR_INVAL;
    *out = d;
    return 0;
}

const char *digest_alg_name(enum digest_alg alg)
{
    const struct algorithm *a = algorithm_of(alg);
    if (a)
        return a->name;
    return "unknown";
}

size_t digest_alg_bytes(enum digest_alg alg)
{
    const struct algorithm *a = algorithm_of(alg);
    if (a)
        return a->n_bytes;
    return 0;
}

bool digest_ok(const struct digest *d)
{
    return d->n && d->n == digest_alg_bytes((enum digest_alg)d->alg);
}

const char *digest_format(const struct digest *d, char buf[DIGEST_TEXT_SIZE])
{
    size_t n = strlen(digest_alg_name((enum digest_alg)d->alg));
    memcpy(buf, digest_alg_name((enum digest_alg)d->alg), n);
    buf[n] = ':';
    hex_format(d->b, d->n, buf + n + 1);
    return buf;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->alg == b->alg && a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

struct hasher *hasher_new(enum digest_alg alg)
{
    struct hasher *h = mem_zalloc(sizeof *h);
    if (!h)
        return NULL;
    h->alg = alg;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx) {
        free(h);
        return NULL;
    }
    const struct algorithm *a = algorithm_of(alg);
    h->failed = !a || !EVP_DigestInit_ex(h->ctx, a->md(), NULL);
    return h;
}

enum digest_alg hasher_alg(const struct hasher *h)
{
    return h->alg;
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void hasher_update(struct hasher *h, const void *p, size_t n)
{
    if (!h->failed && !EVP_DigestUpdate(h->ctx, p, n))
        h->failed = true;
}

int hasher_final(struct hasher *h, struct digest *out)
{
    struct digest d = {.alg = (uint8_t)h->alg};
    unsigned len = 0;
    if (h->failed || !EVP_DigestFinal_ex(h->ctx, d.b, &len))
        return ERR_CRYPTO;
    h->failed = true; // used up
    d.n = (uint8_t)len;
    *out = d;
    return 0;
}

int digest_of(enum digest_alg alg, const void *p, size_t n, struct digest *out)
{
    struct hasher *h = hasher_new(alg);
    if (!h)
        return ERR_NOMEM;
    hasher_update(h, p, n);
    int rc = hasher_final(h, out);
    hasher_free(h);
    return rc;
}

void sha256(const void *p, size_t n, uint8_t out[SHA256_BYTES])
{
    SHA256(p, n, out);
}

int hmac_sha256(const void *key, size_t nk, const void *p, size_t n, uint8_t out[SHA256_BYTES])
{
    if (nk > INT_MAX)
        return ERR_RANGE;
    unsigned len = 0;
    if (HMAC(EVP_sha256(), key, (int)nk, p, n, out, &len) && len == SHA256_BYTES)
        return 0;
    return ERR_CRYPTO;
}

void hex_format(const void *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[b[i] >> 4];
        *out++ = digits[b[i] & 15];
    }
    *out = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_parse(const char *text, size_t n, uint8_t *out, size_t out_bytes)
{
    if (n != out_bytes * 2)
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++)
        if (hex_digit(text[i]) < 0)
            return ERR_INVAL;
    for (size_t i = 0; i < out_bytes; i++)
        out[i] =
            (uint8_t)((unsigned)hex_digit(text[2 * i]) << 4 | (unsigned)hex_digit(text[2 * i + 1]));
    return 0;
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode(const char *alphabet, bool pad, const uint8_t *p, size_t n, char *out)
{
    char *o = out;
    for (size_t i = 0; i < n; i += 3) {
        size_t k = 3;
        if (n - i < 3)
            k = n - i;
        uint32_t v =
            (uint32_t)p[i] << 16 | (k > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (k > 2 ? p[i + 2] : 0);
        for (size_t j = 0; j < 4; j++) {
            if (j <= k)
                *o++ = alphabet[v >> (18 - 6 * j) & 63];
            else if (pad)
                *o++ = '=';
        }
    }
    *o = 0;
    return (size_t)(o - out);
}

// The value of a letter of the alphabet whose last two letters these are; above 63: it is none.
static unsigned b64_value(const char last[2], char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return (unsigned)(letter - 'A');
    if (letter >= 'a' && letter <= 'z')
        return (unsigned)(letter - 'a') + 26;
    if (letter >= '0' && letter <= '9')
        return (unsigned)(letter - '0') + 52;
    if (letter == last[0])
        return 62;
    if (letter == last[1])
        return 63;
    return 64;
}

// Strict: the unused low bits of the last group must be zero, so that one value has one text.
static int decode(const char *alphabet, const char *s, size_t n, uint8_t *out, size_t cap,
                  size_t *out_n)
{
    if (n % 4 == 1 || n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0) > cap) {
        if (n % 4 == 1)
            return ERR_INVAL;
        return ERR_TOOBIG;
    }
    uint32_t v = 0;
    size_t bits = 0, w = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned value = b64_value(alphabet + 62, s[i]);
        if (value > 63)
            return ERR_INVAL;
        v = v << 6 | value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[w++] = (uint8_t)(v >> bits);
        }
    }
    if (v & ((1u << bits) - 1))
        return ERR_INVAL;
    *out_n = w;
    return 0;
}

size_t b64url_format(const void *p, size_t n, char *out)
{
    return encode(b64_url, false, p, n, out);
}

int b64url_parse(const char *text, size_t n, uint8_t *out, size_t cap, size_t *out_n)
{
    return decode(b64_url, text, n, out, cap, out_n);
}

size_t b64_format(const void *p, size_t n, char *out)
{
    return encode(b64_std, true, p, n, out);
}

int b64_parse(const char *text, size_t n, uint8_t *out, size_t cap, size_t *out_n)
{
    if (n % 4)
        return ERR_INVAL;
    if (n && text[n - 1] == '=') {
        if (text[n - 2] == '=')
            n -= 2;
        else
            n--;
    }
    return decode(b64_std, text, n, out, cap, out_n);
}

int random_bytes(void *p, size_t n)
{
    if (n > INT_MAX)
        return ERR_RANGE;
    if (RAND_bytes(p, (int)n) == 1)
        return 0;
    return ERR_CRYPTO;
}

int random_hex(char *out, size_t n_bytes)
{
    uint8_t b[64];
    if (n_bytes > sizeof b)
        return ERR_RANGE;
    int rc = random_bytes(b, n_bytes);
    if (!rc)
        hex_format(b, n_bytes, out);
    return rc;
}
