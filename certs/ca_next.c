// SPDX-License-Identifier: Apache-2.0
// The CA that is to take over, on disk; see ca_next.h. No state.
#include "certs/ca_next.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "certs/pem_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *file_of(const char *ca_dir, const char *name)
{
    return mem_printf("%s/%s", ca_dir, name);
}

static bool there(const char *path)
{
    return !access(path, F_OK);
}

int ca_next_make(const char *ca_dir, const char *domain, struct diag *diag)
{
    AUTO_FREE char *dir = file_of(ca_dir, "next");
    if (!dir)
        return ERR_NOMEM;
    return ca_create(dir, domain, diag);
}

static int certificate_read(const char *path, X509 **out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    int rc = file_read(path, PEM_MAX_BYTES, &b);
    if (rc)
        return rc;
    X509 *x = pem_parse_x509(bytes_of(b.p, b.n));
    if (!x)
        return ERR_CRYPTO;
    *out = x;
    return 0;
}

// A pair that does not fit would leave no CA at all once it was taken.
static int pair_open(const char *ca_dir, struct diag *diag, struct ca **out)
{
    AUTO_FREE char *dir = file_of(ca_dir, "next");
    AUTO_FREE char *cert = file_of(ca_dir, "next/ca.pem");
    AUTO_FREE char *key = file_of(ca_dir, "next/ca.key");
    if (!dir || !cert || !key)
        return ERR_NOMEM;
    if (!there(cert) || !there(key))
        return ERR_NOTFOUND;
    return ca_open(dir, diag, out);
}

int ca_next_look(const char *ca_dir, char out_fingerprint[65], struct buf *out_pem)
{
    struct ca *ca = NULL;
    int rc = pair_open(ca_dir, NULL, &ca);
    if (!rc && out_pem) {
        buf_str(out_pem, ca_certificate_pem(ca));
        rc = out_pem->err;
    }
    if (!rc)
        memcpy(out_fingerprint, ca_fingerprint(ca), 65);
    ca_close(ca);
    return rc;
}

static int in_use_read(const char *ca_dir, X509 **out)
{
    AUTO_FREE char *cert = file_of(ca_dir, "ca.pem");
    if (!cert)
        return ERR_NOMEM;
    return certificate_read(cert, out);
}

int ca_in_use_look(const char *ca_dir, struct ca_in_use *out)
{
    X509 *read = NULL;
    int rc = in_use_read(ca_dir, &read);
    AUTO_X509 X509 *x = read;
    if (rc)
        return rc;
    pem_fingerprint(x, out->fingerprint);
    out->from_ms = pem_time_ms(X509_get0_notBefore(x));
    out->until_ms = pem_time_ms(X509_get0_notAfter(x));
    return 0;
}

int ca_in_use_certificate(const char *ca_dir, struct buf *out_pem)
{
    X509 *read = NULL;
    int rc = in_use_read(ca_dir, &read);
    AUTO_X509 X509 *x = read;
    if (rc)
        return rc;
    return pem_add_x509(out_pem, x);
}

static int move(const char *from, const char *to, struct diag *diag)
{
    if (!rename(from, to))
        return 0;
    int e = errno;
    diag_add(diag, to, 0, "cannot be replaced by the next CA's: %s", strerror(e));
    return err_from_errno(e);
}

static int certificate_take(const char *ca_dir, const char *from, struct diag *diag)
{
    AUTO_FREE char *to = file_of(ca_dir, "ca.pem");
    AUTO_FREE char *dir = file_of(ca_dir, "next");
    if (!to || !dir)
        return ERR_NOMEM;
    int rc = move(from, to, diag);
    if (!rc)
        rc = dir_sync(ca_dir);
    if (!rc)
        (void)!rmdir(dir); // what else lies there is not ours
    return rc;
}

// Is the key in ca_dir that of the next certificate? If not, the next one's key is lost or kept
// elsewhere, and the CA in use stays.
static bool key_was_taken(const char *ca_dir, const char *next_cert)
{
    AUTO_FREE char *path = file_of(ca_dir, "ca.key");
    EVP_PKEY *read_key = NULL;
    X509 *read = NULL;
    bool read_both =
        path && !certificate_read(next_cert, &read) && !pem_read_key(path, NULL, &read_key);
    AUTO_X509 X509 *x = read;
    AUTO_PKEY EVP_PKEY *key = read_key;
    return read_both && X509_check_private_key(x, key) == 1;
}

int ca_next_recover(const char *ca_dir, struct diag *diag)
{
    AUTO_FREE char *cert = file_of(ca_dir, "next/ca.pem");
    AUTO_FREE char *key = file_of(ca_dir, "next/ca.key");
    if (!cert || !key)
        return ERR_NOMEM;
    if (!there(cert) || there(key) || !key_was_taken(ca_dir, cert))
        return 0;
    return certificate_take(ca_dir, cert, diag);
}

int ca_next_take(const char *ca_dir, struct diag *diag)
{
    AUTO_FREE char *cert = file_of(ca_dir, "next/ca.pem");
    AUTO_FREE char *from = file_of(ca_dir, "next/ca.key");
    AUTO_FREE char *to = file_of(ca_dir, "ca.key");
    if (!cert || !from || !to)
        return ERR_NOMEM;
    if (!there(cert))
        return ERR_NOTFOUND;
    int rc = 0;
    if (there(from)) {
        struct ca *whole = NULL;
        rc = pair_open(ca_dir, diag, &whole);
        ca_close(whole);
        if (!rc)
            rc = move(from, to, diag);
    } else if (!key_was_taken(ca_dir, cert)) {
        return ERR_NOTFOUND;
    }
    if (!rc)
        rc = dir_sync(ca_dir);
    if (rc)
        return rc;
    return certificate_take(ca_dir, cert, diag);
}

int ca_next_discard(const char *ca_dir)
{
    static const char *const files[] = {"next/ca.pem", "next/ca.key", "next/issued"};
    AUTO_FREE char *dir = file_of(ca_dir, "next");
    if (!dir)
        return ERR_NOMEM;
    // the certificate first and durably: without its key it would look like a take that is half done
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_FREE char *path = file_of(ca_dir, files[i]);
        if (!path)
            return ERR_NOMEM;
        if (unlink(path) && errno != ENOENT)
            return err_from_errno(errno);
        if (there(dir) && dir_sync(dir))
            return ERR_IO;
    }
    (void)!rmdir(dir);
    return 0;
}
