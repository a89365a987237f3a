// SPDX-License-Identifier: Apache-2.0
// Keys of transaction signatures, from files; see tsig.h. On the zone maintainer's thread.
#include "resolver/packet/tsig.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "resolver/packet/tsig_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEY_FILE_MAX 4096
#define SECRET_LEAST 16
#define SECRET_MAX 256

#define ALGORITHM(name, digest, mac_n)                                \
    {                                                                 \
        name, digest, (const uint8_t *)"\13" name, sizeof "\13" name, \
            mac_n /* 11 octets and the root */                        \
    }
static const struct tsig_algorithm algorithms[] = {
    ALGORITHM("hmac-sha256", "SHA256", 32),
    ALGORITHM("hmac-sha384", "SHA384", 48),
    ALGORITHM("hmac-sha512", "SHA512", 64),
};

void tsig_key_free(struct tsig_key *k)
{
    if (!k)
        return;
    EVP_MAC_CTX_free(k->ctx); // cleanses the secret
    free(k);
}

static int key_init(struct tsig_key *k, const uint8_t *secret, size_t n)
{
    char digest[16];
    snprintf(digest, sizeof digest, "%s", k->algorithm->digest);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (hmac)
        k->ctx = EVP_MAC_CTX_new(hmac);
    else
        k->ctx = NULL;
    EVP_MAC_free(hmac); // the context holds it
    if (k->ctx && EVP_MAC_init(k->ctx, secret, n, params) == 1)
        return 0;
    return ERR_CRYPTO;
}

static const struct tsig_algorithm *algorithm_of(const char *text, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        if (strlen(algorithms[i].name) == n && !strncasecmp(algorithms[i].name, text, n))
            return &algorithms[i];
    return NULL;
}

int tsig_key_parse(const char *text, size_t n, const char *name, struct tsig_key **out)
{
    uint8_t secret[SECRET_MAX];
    size_t secret_n = 0, name_n = strlen(name);
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    const char *end = text + n, *first = memchr(text, ':', n), *second = NULL;
    if (first)
        second = memchr(first + 1, ':', (size_t)(end - first - 1));
    if (!second)
        return ERR_INVAL;
    const struct tsig_algorithm *algorithm = algorithm_of(text, (size_t)(first - text));
    size_t given_n = (size_t)(second - first - 1);
    if (!algorithm)
        return ERR_UNSUPPORTED;
    if (given_n && first[given_n] == '.')
        given_n--;
    if (given_n != name_n || strncasecmp(first + 1, name, name_n))
        return ERR_INVAL; // another key's file
    struct tsig_key *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    k->algorithm = algorithm;
    k->name_n = dns_name_from_text(name, k->name);
    int rc = ERR_INVAL;
    if (k->name_n && name_n < sizeof k->text)
        rc = 0;
    if (!rc)
        memcpy(k->text, name, name_n + 1);
    if (!rc && b64_parse(second + 1, (size_t)(end - second - 1), secret, sizeof secret, &secret_n))
        rc = ERR_INVAL;
    if (!rc) {
        if (secret_n < SECRET_LEAST)
            rc = ERR_RANGE;
        else
            rc = key_init(k, secret, secret_n);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    if (rc)
        tsig_key_free(k);
    else
        *out = k;
    return rc;
}

static int key_load(const char *dir, const char *name, struct diag *diag, struct tsig_key **out)
{
    AUTO_FREE char *path = mem_printf("%s/%s.key", dir, name);
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    if (!path)
        return ERR_NOMEM;
    int rc = file_read_secret(path, KEY_FILE_MAX, &text);
    if (rc == ERR_DENIED)
        diag_add(diag, path, 0,
                 "the key %s cannot be read, or others can read it; it is not used (chmod 600)",
                 name);
    else if (rc)
        diag_add(diag, path, 0, "cannot read the key %s: %s", name, err_text(rc));
    else if ((rc = tsig_key_parse(buf_cstr(&text), text.n, name, out)))
        diag_add(diag, path, 0,
                 "no key: expected one line, ALGORITHM:%s:SECRET, with hmac-sha256, hmac-sha384 or "
                 "hmac-sha512 and "
                 "at least %d bytes in base64: %s",
                 name, SECRET_LEAST, err_text(rc));
    if (text.n)
        OPENSSL_cleanse(text.p, text.n);
    if (rc == ERR_NOMEM || rc == ERR_CRYPTO)
        return rc;
    return 0;
}

static void keys_free(void *self)
{
    struct tsig_keys *k = self;
    for (size_t i = 0; i < k->n; i++)
        tsig_key_free(k->keys[i]);
    free((void *)k->keys);
    free(k);
}

int tsig_keys_load(const char *dir, const char *const *names, size_t n, struct diag *diag,
                   struct tsig_keys **out)
{
    struct tsig_keys *k = mem_zalloc(sizeof *k);
    struct tsig_key **keys = mem_zalloc_array(n, sizeof *keys);
    if (!k || !keys) {
        free(k);
        free(keys);
        return ERR_NOMEM;
    }
    snapshot_head_init(&k->head, keys_free);
    k->keys = keys;
    int rc = 0;
    for (; k->n < n && !rc; k->n++)
        rc = key_load(dir, names[k->n], diag, &keys[k->n]);
    if (rc)
        snapshot_unref(k);
    else
        *out = k;
    return rc;
}

const struct tsig_key *tsig_key_find(const struct tsig_keys *k, const char *name)
{
    for (size_t i = 0; k && i < k->n; i++)
        if (k->keys[i] && !strcmp(k->keys[i]->text, name))
            return k->keys[i];
    return NULL;
}
