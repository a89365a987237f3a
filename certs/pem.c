// SPDX-License-Identifier: Apache-2.0
// OpenSSL objects and PEM files, for the files of certs/ alone; see pem_priv.h. No state; any
// thread.
#include "certs/pem_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define AUTHORITIES_MAX 8
#include <unistd.h>

void pem_auto_pkey(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

void pem_auto_x509(X509 **p)
{
    X509_free(*p);
}

void pem_auto_req(X509_REQ **p)
{
    X509_REQ_free(*p);
}

void pem_auto_bio(BIO **p)
{
    BIO_free(*p);
}

int pem_crypto_failed(struct diag *diag, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    diag_add(diag, NULL, 0, "%s: %s", what, why ? why : "OpenSSL refused");
    ERR_clear_error();
    return ERR_CRYPTO;
}

EVP_PKEY *pem_key_p256(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
}

bool pem_key_is_p256(const EVP_PKEY *k)
{
    char group[32];
    size_t n = 0;
    return k && EVP_PKEY_is_a(k, "EC") &&
           EVP_PKEY_get_group_name((EVP_PKEY *)k, group, sizeof group, &n) == 1 &&
           !strcmp(group, "prime256v1");
}

int pem_read_secret(const char *path, struct diag *diag, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int e = errno;
        diag_add(diag, path, 0, "cannot be read: %s", strerror(e));
        return err_from_errno(e);
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077)) {
        diag_add(diag, path, 0, "holds a secret that others may read (mode %04o): chmod 600",
                 st.st_mode & 07777);
        return ERR_DENIED;
    }
    if (st.st_size > PEM_MAX_BYTES) {
        diag_add(diag, path, 0, "is larger than %u bytes", PEM_MAX_BYTES);
        return ERR_TOOBIG;
    }
    size_t left = (size_t)st.st_size;
    char *to = buf_room(out, left);
    if (!to)
        return out->err;
    while (left) {
        ssize_t n = read(fd, to, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            diag_add(diag, path, 0, "cannot be read whole");
            return ERR_IO;
        }
        to += n;
        out->n += (size_t)n;
        left -= (size_t)n;
    }
    out->p[out->n] = 0;
    return 0;
}

static int pem_add_bio(struct buf *b, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_add(b, p, n > 0 ? (size_t)n : 0);
    OPENSSL_cleanse(p, n > 0 ? (size_t)n : 0);
    if (n > 0)
        return b->err;
    return ERR_CRYPTO;
}

int pem_add_key(struct buf *b, const EVP_PKEY *key)
{
    AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        return ERR_CRYPTO;
    return pem_add_bio(b, bio);
}

int pem_add_x509(struct buf *b, X509 *x)
{
    AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_X509(bio, x))
        return ERR_CRYPTO;
    return pem_add_bio(b, bio);
}

int pem_no_pass_phrase(char *to, int cap, int rwflag, void *u)
{
    (void)to, (void)cap, (void)rwflag, (void)u;
    return 0;
}

X509 *pem_parse_x509(struct bytes pem)
{
    if (!pem.n || pem.n > PEM_MAX_BYTES)
        return NULL;
    AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = NULL;
    if (bio)
        x = PEM_read_bio_X509(bio, NULL, pem_no_pass_phrase, NULL);
    ERR_clear_error();
    return x;
}

void pem_auto_authorities(pem_authorities **p)
{
    sk_X509_pop_free(*p, X509_free);
}

pem_authorities *pem_parse_authorities(struct bytes pem)
{
    if (!pem.n || pem.n > PEM_MAX_BYTES)
        return NULL;
    AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    AUTO_AUTHORITIES pem_authorities *list = sk_X509_new_null();
    bool good = bio && list;
    while (good) {
        X509 *x = PEM_read_bio_X509(bio, NULL, pem_no_pass_phrase, NULL);
        if (!x)
            break;
        good =
            X509_check_ca(x) == 1 && sk_X509_num(list) < AUTHORITIES_MAX && sk_X509_push(list, x);
        if (!good)
            X509_free(x);
    }
    ERR_clear_error();
    if (good && sk_X509_num(list))
        return take_ptr(list);
    return NULL;
}

EVP_PKEY *pem_parse_key(struct bytes pem)
{
    if (!pem.n || pem.n > PEM_MAX_BYTES)
        return NULL;
    AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *k = NULL;
    if (bio)
        k = PEM_read_bio_PrivateKey(bio, NULL, pem_no_pass_phrase, NULL);
    ERR_clear_error();
    return k;
}

int pem_read_key(const char *path, struct diag *diag, EVP_PKEY **out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    int rc = pem_read_secret(path, diag, &b);
    if (rc)
        return rc;
    *out = pem_parse_key(bytes_of(b.p, b.n));
    if (b.n)
        OPENSSL_cleanse(b.p, b.n);
    return 0;
}

int pem_write_key(const char *path, const EVP_PKEY *key, struct diag *diag)
{
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    if (!key || pem_add_key(&b, key))
        return pem_crypto_failed(diag, path);
    int rc = file_write_atomic(path, b.p, b.n, 0600);
    if (rc)
        diag_add(diag, path, 0, "cannot be written: %s", err_text(rc));
    OPENSSL_cleanse(b.p, b.n);
    return rc;
}

void pem_fingerprint(const X509 *x, char out[65])
{
    uint8_t d[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    out[0] = 0;
    if (X509_digest(x, EVP_sha256(), d, &n) && n == 32)
        hex_format(d, n, out);
}

int64_t pem_time_ms(const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return INT64_MIN;
    return (int64_t)timegm(&tm) * 1000;
}

int pem_names(const STACK_OF(GENERAL_NAME) * names, struct buf *out)
{
    int n = 0;
    if (names)
        n = sk_GENERAL_NAME_num(names);
    if (n > 64)
        return ERR_TOOBIG;
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type != GEN_DNS && g->type != GEN_URI)
            return ERR_INVAL;
        const ASN1_IA5STRING *s;
        if (g->type == GEN_DNS)
            s = g->d.dNSName;
        else
            s = g->d.uniformResourceIdentifier;
        const unsigned char *p = ASN1_STRING_get0_data(s);
        int len = ASN1_STRING_length(s);
        for (int k = 0; k < len; k++)
            // an embedded NUL or blank must not make it look like another name
            if (p[k] <= ' ' || p[k] > '~')
                return ERR_INVAL;
        // The kinds cannot be mistaken for each other: a DNS name of ours has no ':' and a URI
        // always has one.
        if (!len || (g->type == GEN_URI) != (memchr(p, ':', (size_t)len) != NULL))
            return ERR_INVAL;
        if (out->n)
            buf_u8(out, ' ');
        buf_add(out, p, (size_t)len);
    }
    return out->err;
}

bool pem_name_listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; *p;) {
        size_t k = strcspn(p, " ");
        if (k == n && !memcmp(p, name, n))
            return true;
        p += k;
        p += *p == ' ';
    }
    return false;
}

static bool store_fill(X509_STORE *store, pem_authorities *cas)
{
    for (int i = 0; i < sk_X509_num(cas); i++)
        if (!X509_STORE_add_cert(store, sk_X509_value(cas, i)))
            return false;
    return sk_X509_num(cas) > 0;
}

int pem_verify_any(X509 *leaf, pem_authorities *cas, int64_t now_ms, struct diag *diag)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc = ERR_NOMEM;
    if (store && ctx && store_fill(store, cas) && X509_STORE_CTX_init(ctx, store, leaf, NULL)) {
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)(now_ms / 1000));
        if (X509_verify_cert(ctx) == 1)
            rc = 0;
        else
            rc = ERR_CRYPTO;
        if (rc)
            diag_add(diag, NULL, 0, "the certificate does not verify: %s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

int pem_verify(X509 *leaf, X509 *ca, int64_t now_ms, struct diag *diag)
{
    pem_authorities *one = sk_X509_new_null();
    int rc = ERR_NOMEM;
    if (one && sk_X509_push(one, ca))
        rc = pem_verify_any(leaf, one, now_ms, diag);
    sk_X509_free(one);
    return rc;
}

int pem_issuer(X509 *leaf, pem_authorities *cas)
{
    int found = -1;
    for (int i = 0; i < sk_X509_num(cas) && found < 0; i++)
        if (X509_verify(leaf, X509_get0_pubkey(sk_X509_value(cas, i))) == 1)
            found = i;
    ERR_clear_error();
    return found;
}
