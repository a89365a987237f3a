// SPDX-License-Identifier: Apache-2.0
// The private CA on disk, and issuing from a request; see ca.h. Used by `meridian init`, and on the
// one node that answers renewals on its pool threads: a `struct ca` is not changed after ca_open,
// so any number may issue at once.
#include "certs/ca.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca_next.h"
#include "certs/pem_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#define CA_LIFETIME_S (10u * 365 * 86400)
#define BACKDATE_S 300 // notBefore lies so far in the past, for clients whose clocks are behind
#define REQUEST_MAX_BYTES (16u << 10)

struct ca {
    char *dir, *pem;
    X509 *cert;
    EVP_PKEY *key;
    char fingerprint[65];
};

static bool extension_add(X509 *x, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

// 128 random bits, the top one clear so that the integer is positive in 16 bytes (RFC 5280 section
// 4.1.2.2).
static bool serial_set(X509 *x)
{
    uint8_t b[16];
    if (random_bytes(b, sizeof b))
        return false;
    b[0] = (uint8_t)((b[0] & 0x7f) | 0x40);
    BIGNUM *n = BN_bin2bn(b, sizeof b, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

static bool times_set(X509 *x, int64_t from_s, int64_t to_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from_s) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to_s);
}

static bool subject_set(X509 *x, const char *cn)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                      (const unsigned char *)cn, -1, -1, 0);
}

static X509 *root_make(EVP_PKEY *key, const char *domain)
{
    char cn[65], permitted[300];
    // a CN ends at 64
    // a name of its own, so that clients that trust two of them tell them apart
    uint8_t b[4] = {0};
    char id[2 * sizeof b + 1];
    if (random_bytes(b, sizeof b))
        return NULL;
    hex_format(b, sizeof b, id);
    if (snprintf(cn, sizeof cn, "Meridian private CA %s (%s)", id, domain) >= (int)sizeof cn)
        snprintf(cn, sizeof cn, "Meridian private CA %s", id);
    snprintf(permitted, sizeof permitted, "critical,permitted;DNS:%s", domain);
    X509 *x = X509_new();
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    int64_t now = clock_wall_ms() / 1000;
    bool ok = x && X509_set_version(x, X509_VERSION_3) && serial_set(x) && subject_set(x, cn) &&
              X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_set_pubkey(x, key) &&
              times_set(x, now - BACKDATE_S, now + CA_LIFETIME_S) &&
              extension_add(x, &ctx, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extension_add(x, &ctx, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extension_add(x, &ctx, NID_subject_key_identifier, "hash") &&
              extension_add(x, &ctx, NID_name_constraints, permitted) &&
              X509_sign(x, key, EVP_sha256());
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

int ca_create(const char *dir, const char *domain, struct diag *diag)
{
    AUTO_FREE char *cert_path = mem_printf("%s/ca.pem", dir);
    AUTO_FREE char *key_path = mem_printf("%s/ca.key", dir);
    if (!cert_path || !key_path)
        return ERR_NOMEM;
    if (!hostname_domain_ok(domain)) {
        diag_add(diag, NULL, 0, "\"%s\" is not a domain", domain);
        return ERR_INVAL;
    }
    if (!access(cert_path, F_OK)) {
        diag_add(diag, dir, 0, "holds a CA already");
        return ERR_EXISTS;
    }
    int rc = dir_make(dir, 0700);
    if (rc) {
        diag_add(diag, dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    AUTO_BUF struct buf key_pem, cert_pem;
    buf_init(&key_pem, PEM_MAX_BYTES);
    buf_init(&cert_pem, PEM_MAX_BYTES);
    AUTO_PKEY EVP_PKEY *key = pem_key_p256();
    AUTO_X509 X509 *x = NULL;
    if (key)
        x = root_make(key, domain);
    if (!x || pem_add_key(&key_pem, key) || pem_add_x509(&cert_pem, x))
        rc = pem_crypto_failed(diag, "making the CA");
    // The certificate comes last: it is what says that there is a CA, so a crash between the two is
    // no half CA.
    if (!rc)
        rc = file_write_atomic(key_path, key_pem.p, key_pem.n, 0600);
    if (!rc)
        rc = file_write_atomic(cert_path, cert_pem.p, cert_pem.n, 0644);
    if (key_pem.p)
        OPENSSL_cleanse(key_pem.p, key_pem.n);
    if (rc && rc != ERR_CRYPTO)
        diag_add(diag, dir, 0, "cannot be written: %s", err_text(rc));
    return rc;
}

static int ca_load(struct ca *ca, struct diag *diag)
{
    AUTO_FREE char *cert_path = mem_printf("%s/ca.pem", ca->dir);
    AUTO_FREE char *key_path = mem_printf("%s/ca.key", ca->dir);
    AUTO_BUF struct buf cert_pem, key_pem;
    buf_init(&cert_pem, 0);
    buf_init(&key_pem, PEM_MAX_BYTES);
    if (!cert_path || !key_path)
        return ERR_NOMEM;
    int rc = ca_next_recover(ca->dir, diag);
    if (rc)
        return rc;
    rc = file_read(cert_path, PEM_MAX_BYTES, &cert_pem);
    if (rc) {
        diag_add(diag, cert_path, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    rc = pem_read_secret(key_path, diag, &key_pem);
    if (rc)
        return rc;
    ca->cert = pem_parse_x509(bytes_of(cert_pem.p, cert_pem.n));
    ca->key = pem_parse_key(bytes_of(key_pem.p, key_pem.n));
    OPENSSL_cleanse(key_pem.p, key_pem.n);
    if (!ca->cert || X509_check_ca(ca->cert) != 1) {
        diag_add(diag, cert_path, 0, "is not a CA's certificate");
        return ERR_CRYPTO;
    }
    if (!pem_key_is_p256(ca->key) || X509_check_private_key(ca->cert, ca->key) != 1) {
        diag_add(diag, key_path, 0, "is not the P-256 key of ca.pem");
        return ERR_CRYPTO;
    }
    pem_fingerprint(ca->cert, ca->fingerprint);
    ca->pem = buf_take(&cert_pem);
    if (ca->pem)
        return 0;
    return ERR_NOMEM;
}

int ca_open(const char *dir, struct diag *diag, struct ca **out)
{
    struct ca *ca = mem_zalloc(sizeof *ca);
    if (!ca)
        return ERR_NOMEM;
    ca->dir = mem_strdup(dir);
    int rc = ERR_NOMEM;
    if (ca->dir)
        rc = ca_load(ca, diag);
    if (rc) {
        ca_close(ca);
        return rc;
    }
    *out = ca;
    return 0;
}

void ca_close(struct ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca->pem);
    free(ca->dir);
    free(ca);
}

const char *ca_certificate_pem(const struct ca *ca)
{
    return ca->pem;
}

const char *ca_fingerprint(const struct ca *ca)
{
    return ca->fingerprint;
}

static int refuse(struct diag *diag, const char *why)
{
    diag_add(diag, NULL, 0, "the certificate request is refused: %s", why);
    return ERR_DENIED;
}

static bool plan_has(const struct cert_plan *plan, const char *name, size_t n)
{
    for (size_t i = 0; i < plan->n_dns; i++)
        if (strlen(plan->dns[i]) == n && !memcmp(plan->dns[i], name, n))
            return true;
    return plan->uri && strlen(plan->uri) == n && !memcmp(plan->uri, name, n);
}

// The request's names into `san` as OpenSSL's configuration text ("DNS:a,URI:b"), each one of the
// plan's.
static int names_judge(X509_REQ *req, const struct cert_plan *plan, struct buf *san,
                       struct diag *diag)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    int rc = 0, n = exts ? sk_X509_EXTENSION_num(exts) : 0;
    if (n != 1 || OBJ_obj2nid(X509_EXTENSION_get_object(sk_X509_EXTENSION_value(exts, 0))) !=
                      NID_subject_alt_name)
        rc = refuse(diag, "it must ask for alternative names, and for no other extension");
    if (!rc) {
        STACK_OF(GENERAL_NAME) *got = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
        if (!got || !sk_GENERAL_NAME_num(got) || pem_names(got, &names))
            rc = refuse(diag, "its alternative names are malformed, or of a kind that no plan has");
        GENERAL_NAMES_free(got);
    }
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    for (const char *p = rc ? "" : buf_cstr(&names); *p;) {
        size_t k = strcspn(p, " ");
        if (!plan_has(plan, p, k)) {
            diag_add(diag, NULL, 0,
                     "the certificate request is refused: \"%.*s\" is not in the %s plan of %s",
                     (int)k, p, cert_kind_name(plan->kind), plan->region);
            return ERR_DENIED;
        }
        buf_printf(san, "%s%s:%.*s", san->n ? "," : "", memchr(p, ':', k) ? "URI" : "DNS", (int)k,
                   p);
        p += k;
        p += *p == ' ';
    }
    if (rc)
        return rc;
    return san->err;
}

static int request_judge(struct bytes pem, const struct cert_plan *plan, X509_REQ **out,
                         struct buf *san, struct diag *diag)
{
    if (!pem.n || pem.n > REQUEST_MAX_BYTES)
        return refuse(diag, "it is empty or too large");
    AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    AUTO_REQ X509_REQ *req = NULL;
    if (bio)
        req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    if (!req)
        return refuse(diag, "it is not PEM of a PKCS#10 request");
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!pem_key_is_p256(key))
        return refuse(diag, "its key is not P-256");
    if (X509_REQ_get_signature_nid(req) != NID_ecdsa_with_SHA256 || X509_REQ_verify(req, key) != 1)
        return refuse(diag, "its signature does not prove that the asker holds the key");
    if (X509_NAME_entry_count(X509_REQ_get_subject_name(req)))
        return refuse(diag, "its subject must be empty, names are alternative names");
    int rc = names_judge(req, plan, san, diag);
    if (!rc)
        *out = take_ptr(req);
    return rc;
}

static X509 *leaf_make(struct ca *ca, const struct cert_plan *plan, X509_REQ *req, const char *san,
                       int64_t from_s, int64_t to_s)
{
    char cn[65];
    snprintf(cn, sizeof cn, "Meridian %s %s", plan->kind == CERT_SHARED ? "all" : plan->region,
             cert_kind_name(plan->kind));
    X509 *x = X509_new();
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca->cert, x, NULL, NULL, 0);
    bool ok = x && X509_set_version(x, X509_VERSION_3) && serial_set(x) && subject_set(x, cn) &&
              X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) &&
              times_set(x, from_s, to_s) && X509_set_pubkey(x, X509_REQ_get0_pubkey(req)) &&
              extension_add(x, &ctx, NID_basic_constraints, "critical,CA:FALSE") &&
              extension_add(x, &ctx, NID_key_usage, "critical,digitalSignature") &&
              extension_add(x, &ctx, NID_ext_key_usage,
                            plan->client_auth ? "serverAuth,clientAuth" : "serverAuth") &&
              extension_add(x, &ctx, NID_subject_key_identifier, "hash") &&
              extension_add(x, &ctx, NID_authority_key_identifier, "keyid:always") &&
              extension_add(x, &ctx, NID_subject_alt_name, san) &&
              X509_sign(x, ca->key, EVP_sha256());
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

// One line per certificate, appended before it is handed out: what the CA ever signed can be told.
static int issued_record(struct ca *ca, const struct cert_plan *plan, const X509 *x, int64_t to_s)
{
    char now[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE], fingerprint[65];
    pem_fingerprint(x, fingerprint);
    AUTO_FREE char *path = mem_printf("%s/issued", ca->dir);
    AUTO_FREE char *line =
        mem_printf("%s %s %s %s until %s\n", clock_format(clock_wall_ms(), now), plan->region,
                   cert_kind_name(plan->kind), fingerprint, clock_format(to_s * 1000, until));
    if (!path || !line)
        return ERR_NOMEM;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    off_t whole = lseek(fd, 0, SEEK_END);
    int rc;
    if (whole < 0)
        rc = err_from_errno(errno);
    else
        rc = fd_write_all(fd, line, strlen(line));
    if (rc && whole >= 0) // a disk that is full took a part of it: the next line begins a line
        (void)!ftruncate(fd, whole);
    return rc;
}

int ca_issue(struct ca *ca, const struct cert_plan *plan, struct bytes csr_pem, unsigned lifetime_s,
             struct diag *diag, struct buf *out_pem)
{
    AUTO_BUF struct buf san;
    buf_init(&san, 8192);
    X509_REQ *judged = NULL;
    int rc = request_judge(csr_pem, plan, &judged, &san, diag);
    AUTO_REQ X509_REQ *req = judged;
    if (rc)
        return rc;
    int64_t now = clock_wall_ms(), to_s = now / 1000 + (lifetime_s ? lifetime_s : plan->lifetime_s);
    int64_t ca_ends_ms = pem_time_ms(X509_get0_notAfter(ca->cert));
    if (ca_ends_ms <= now) {
        diag_add(diag, ca->dir, 0, "the CA itself has expired");
        return ERR_EXPIRED;
    }
    if (to_s > ca_ends_ms / 1000)
        to_s = ca_ends_ms / 1000;
    AUTO_X509 X509 *x = leaf_make(ca, plan, req, san.p, now / 1000 - BACKDATE_S, to_s);
    if (!x)
        return pem_crypto_failed(diag, "issuing a certificate");
    rc = pem_verify(x, ca->cert, now, diag); // a plan of another domain than the CA's ends here
    if (rc)
        return ERR_DENIED;
    rc = issued_record(ca, plan, x, to_s);
    if (rc) {
        diag_add(diag, ca->dir, 0, "cannot record what it issues: %s", err_text(rc));
        return rc;
    }
    return pem_add_x509(out_pem, x);
}
