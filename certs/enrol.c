// SPDX-License-Identifier: Apache-2.0
// Requests, enrolment with a CA at hand, and judging what lies on disk; see certs.h. Called by
// `meridian init` and `certs show`, by the renewal thread and the admin socket. No state of its
// own.
#include "certs/certs_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define ENROL_ARENA_BYTES (256u << 10)

static bool request_names(X509_REQ *req, const struct cert_plan *plan)
{
    AUTO_BUF struct buf san;
    buf_init(&san, 8192);
    for (size_t i = 0; i < plan->n_dns; i++)
        buf_printf(&san, "%sDNS:%s", i ? "," : "", plan->dns[i]);
    if (plan->uri)
        buf_printf(&san, ",URI:%s", plan->uri);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *e = NULL;
    if (!san.err)
        e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san.p);
    bool pushed = e && exts && sk_X509_EXTENSION_push(exts, e);
    if (!pushed)
        X509_EXTENSION_free(e);
    bool ok = pushed && X509_REQ_add_extensions(req, exts);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok;
}

int cert_request(const struct cert_plan *plan, struct diag *diag, EVP_PKEY **out_key,
                 struct buf *out_csr)
{
    AUTO_PKEY EVP_PKEY *key = pem_key_p256();
    AUTO_REQ X509_REQ *req = X509_REQ_new();
    AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
    if (!key || !req || !bio || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !X509_REQ_set_pubkey(req, key) || !request_names(req, plan) ||
        !X509_REQ_sign(req, key, EVP_sha256()) || !PEM_write_bio_X509_REQ(bio, req))
        return pem_crypto_failed(diag, "making a certificate request");
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_add(out_csr, p, (size_t)n);
    if (out_csr->err)
        return out_csr->err;
    *out_key = take_ptr(key);
    return 0;
}

static int names_of(const X509 *x, struct buf *out)
{
    STACK_OF(GENERAL_NAME) *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int rc = pem_names(names, out);
    GENERAL_NAMES_free(names);
    return rc;
}

// The first name of the plan that is not among `names`, or NULL.
static const char *plan_missing(const struct cert_plan *plan, const char *names)
{
    for (size_t i = 0; i < plan->n_dns; i++)
        if (!pem_name_listed(names, plan->dns[i]))
            return plan->dns[i];
    if (plan->uri && !pem_name_listed(names, plan->uri))
        return plan->uri;
    return NULL;
}

static int dates_judge(const X509 *x, int64_t now_ms, const char *suspect, struct diag *diag)
{
    char now[CLOCK_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    int64_t begins_ms = pem_time_ms(X509_get0_notBefore(x)),
            ends_ms = pem_time_ms(X509_get0_notAfter(x));
    if (begins_ms <= now_ms && ends_ms > now_ms)
        return 0;
    bool early = begins_ms > now_ms;
    diag_add(
        diag, NULL, 0, "the new certificate is not valid now: it %s at %s, and here it is %s%s%s",
        early ? "begins" : "ended", clock_format(early ? begins_ms : ends_ms, at),
        clock_format(now_ms, now), suspect ? "; " : "; compare the clocks", suspect ? suspect : "");
    return ERR_EXPIRED;
}

int cert_names_judge(X509 *x, const struct cert_plan *plan, struct diag *diag)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    if (names_of(x, &names)) {
        diag_add(diag, NULL, 0, "the new certificate's names cannot be read");
        return ERR_PROTO;
    }
    const char *missing = plan_missing(plan, buf_cstr(&names));
    size_t n = 0;
    if (names.n)
        n = 1;
    for (size_t i = 0; i < names.n; i++)
        n += names.p[i] == ' ';
    if (missing) {
        diag_add(diag, NULL, 0, "the new certificate lacks %s", missing);
        return ERR_PROTO;
    }
    if (n != plan->n_dns + (plan->uri != NULL)) {
        diag_add(diag, NULL, 0, "the new certificate has more names than its plan");
        return ERR_PROTO;
    }
    return 0;
}

// What a CA gave for our request: the plan's names exactly, our key, dates, chain. A sentence in
// diag when not; when the dates do not fit, with `suspect` (a clause on whose clock is, or NULL).
static int cert_accept(X509 *x, EVP_PKEY *key, const struct cert_plan *plan, pem_authorities *cas,
                       int64_t now_ms, const char *suspect, struct diag *diag)
{
    if (X509_check_private_key(x, key) != 1) {
        diag_add(diag, NULL, 0, "the new certificate is not for our key");
        return ERR_PROTO;
    }
    int rc = cert_names_judge(x, plan, diag);
    if (!rc)
        rc = dates_judge(x, now_ms, suspect, diag);
    if (rc)
        return rc;
    return pem_verify_any(x, cas, now_ms, diag);
}

int cert_install(const char *certs_dir, const char *file, struct bytes cert_pem, EVP_PKEY *key,
                 const struct cert_plan *plan, pem_authorities *cas, const char *suspect,
                 struct diag *diag)
{
    AUTO_X509 X509 *x = pem_parse_x509(cert_pem);
    if (!x) {
        diag_add(diag, NULL, 0, "what the CA gave is not a certificate");
        return ERR_PROTO;
    }
    int rc = cert_accept(x, key, plan, cas, clock_wall_ms(), suspect, diag);
    if (rc)
        return rc;
    AUTO_FREE char *path = mem_printf("%s/%s", certs_dir, file);
    AUTO_BUF struct buf both; // certificate first: what nginx and curl read it for
    buf_init(&both, PEM_MAX_BYTES);
    if (!path || pem_add_x509(&both, x) || pem_add_key(&both, key)) {
        if (path)
            return pem_crypto_failed(diag, file);
        return ERR_NOMEM;
    }
    rc = file_write_atomic(path, both.p, both.n, 0600);
    OPENSSL_cleanse(both.p, both.n);
    if (rc)
        diag_add(diag, path, 0, "cannot be written: %s", err_text(rc));
    return rc;
}

pem_authorities *cert_ca_of(const char *certs_dir, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s/ca.pem", certs_dir);
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    int rc = ERR_NOMEM;
    if (path)
        rc = file_read(path, PEM_MAX_BYTES, &b);
    pem_authorities *ca = NULL;
    if (!rc)
        ca = pem_parse_authorities(bytes_of(b.p, b.n));
    if (!ca)
        diag_add(diag, path, 0, "cannot be used: %s",
                 rc ? err_text(rc) : "it holds no certificate of a CA, or others besides");
    return ca;
}

static int enrol_one(const char *certs_dir, struct ca *ca, pem_authorities *ca_cert,
                     const struct cert_plan *plan, unsigned lifetime_s, struct diag *diag)
{
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, CERT_REQUEST_MAX_BYTES);
    buf_init(&pem, PEM_MAX_BYTES);
    EVP_PKEY *made = NULL;
    int rc = cert_request(plan, diag, &made, &csr);
    AUTO_PKEY EVP_PKEY *key = made;
    if (!rc)
        rc = ca_issue(ca, plan, bytes_of(csr.p, csr.n), lifetime_s, diag, &pem);
    if (rc)
        return rc;
    return cert_install(certs_dir, plan->file, bytes_of(pem.p, pem.n), key, plan, ca_cert, NULL,
                        diag);
}

int certs_enrol(const char *certs_dir, struct ca *ca, const struct topology *t, const char *region,
                bool all, unsigned lifetime_s, struct diag *diag)
{
    const char *pem = ca_certificate_pem(ca);
    AUTO_AUTHORITIES pem_authorities *ca_cert = pem_parse_authorities(bytes_str(pem));
    AUTO_FREE char *ca_path = mem_printf("%s/ca.pem", certs_dir);
    if (!ca_cert || !ca_path)
        return ERR_NOMEM;
    int rc = dir_make(certs_dir, 0700);
    if (!rc)
        rc = file_write_atomic(ca_path, pem, strlen(pem), 0644);
    if (rc) {
        diag_add(diag, certs_dir, 0, "cannot be written: %s", err_text(rc));
        return rc;
    }
    struct arena a;
    arena_init(&a, ENROL_ARENA_BYTES);
    for (int kind = 0; kind < N_CERT_KINDS && !rc; kind++) {
        struct cert_plan plan;
        struct cert_info info = {0};
        rc = cert_plan(t, region, (enum cert_kind)kind, &a, &plan);
        if (rc)
            diag_add(diag, NULL, 0, "no certificate plan for region \"%s\"", region);
        else if (all || cert_inspect_file(certs_dir, plan.file, &plan, &info) || info.problem[0])
            rc = enrol_one(certs_dir, ca, ca_cert, &plan, lifetime_s, diag);
    }
    arena_done(&a);
    return rc;
}

// The text of `names`, cut at a name so that a long list never shows half of one.
static void names_keep(struct cert_info *out, const char *names)
{
    size_t n = strlen(names);
    if (n >= sizeof out->names) {
        n = sizeof out->names - 1;
        while (n && names[n] != ' ')
            n--;
    }
    memcpy(out->names, names, n);
    out->names[n] = 0;
}

static void fault_set(struct cert_info *out, enum cert_fault fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fault_set(struct cert_info *out, enum cert_fault fault, const char *fmt, ...)
{
    va_list ap;
    out->fault = fault;
    va_start(ap, fmt);
    vsnprintf(out->problem, sizeof out->problem, fmt, ap);
    va_end(ap);
}

static void inspect_parsed(X509 *x, EVP_PKEY *key, pem_authorities *cas,
                           const struct cert_plan *plan, struct cert_info *out)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    int64_t now = clock_wall_ms();
    out->present = true;
    out->not_before_ms = pem_time_ms(X509_get0_notBefore(x));
    out->not_after_ms = pem_time_ms(X509_get0_notAfter(x));
    out->renew_at_ms = out->not_before_ms + (out->not_after_ms - out->not_before_ms) / 3 * 2;
    pem_fingerprint(x, out->fingerprint);
    X509_NAME_get_text_by_NID(X509_get_issuer_name(x), NID_commonName, out->issuer,
                              sizeof out->issuer);
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = NULL;
    if (n)
        hex = BN_bn2hex(n);
    snprintf(out->serial, sizeof out->serial, "%s", hex ? hex : "");
    OPENSSL_free(hex);
    BN_free(n);
    bool named = names_of(x, &names) == 0;
    names_keep(out, buf_cstr(&names));
    const char *missing = NULL;
    if (named)
        missing = plan_missing(plan, buf_cstr(&names));
    int by = -1;
    if (cas)
        by = pem_issuer(x, cas);
    if (by >= 0)
        pem_fingerprint(sk_X509_value(cas, by), out->authority);
    if (!key || X509_check_private_key(x, key) != 1)
        fault_set(out, CERT_KEY_DIFFERS, "the key in the file does not match the certificate");
    else if (out->not_after_ms <= now)
        fault_set(out, CERT_EXPIRED, "expired");
    else if (out->not_before_ms > now)
        fault_set(out, CERT_NOT_VALID_YET, "not valid yet");
    else if (!named || missing)
        fault_set(out, CERT_LACKS_NAME, "lacks the name %s",
                  missing ? missing : "list it should have");
    else if (!cas)
        fault_set(out, CERT_NO_CA, "ca.pem cannot be read");
    else if (pem_verify_any(x, cas, now, NULL))
        fault_set(out, CERT_FOREIGN, "was not issued by the CA in ca.pem");
}

static void read_failed(struct cert_info *out, int rc)
{
    out->present = rc != ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND)
        fault_set(out, CERT_MISSING, "missing");
    else if (rc == ERR_DENIED)
        fault_set(out, CERT_UNREADABLE, "others may read its key: chmod 600");
    else
        fault_set(out, CERT_UNREADABLE, "%s", err_text(rc));
}

int cert_inspect_file(const char *certs_dir, const char *file, const struct cert_plan *plan,
                      struct cert_info *out)
{
    struct cert_info info = {.kind = plan->kind};
    if (snprintf(info.path, sizeof info.path, "%s/%s", certs_dir, file) >= (int)sizeof info.path)
        return ERR_TOOBIG;
    AUTO_BUF struct buf b;
    buf_init(&b, PEM_MAX_BYTES);
    int rc = pem_read_secret(info.path, NULL, &b);
    // says nothing of the certificate, and is no reason for a new one
    if (rc == ERR_NOMEM || rc == ERR_NOFILES)
        return rc;
    if (rc) {
        read_failed(&info, rc);
        *out = info;
        return 0;
    }
    AUTO_X509 X509 *x = pem_parse_x509(bytes_of(b.p, b.n));
    AUTO_PKEY EVP_PKEY *key = pem_parse_key(bytes_of(b.p, b.n));
    AUTO_AUTHORITIES pem_authorities *cas = cert_ca_of(certs_dir, NULL);
    OPENSSL_cleanse(b.p, b.n);
    info.present = true;
    if (x)
        inspect_parsed(x, key, cas, plan, &info);
    else
        fault_set(&info, CERT_UNREADABLE, "holds no certificate");
    *out = info;
    return 0;
}

int certs_inspect(const char *certs_dir, const struct topology *t, const char *region,
                  enum cert_kind kind, struct cert_info *out)
{
    struct arena a;
    arena_init(&a, ENROL_ARENA_BYTES);
    struct cert_plan plan;
    struct cert_info info, next;
    int rc = cert_plan(t, region, kind, &a, &plan);
    if (!rc)
        rc = cert_inspect_file(certs_dir, plan.file, &plan, &info);
    if (!rc && kind == CERT_PEER && !cert_inspect_file(certs_dir, PEER_NEXT_FILE, &plan, &next) &&
        !next.problem[0])
        memcpy(info.next_fingerprint, next.fingerprint, sizeof info.next_fingerprint);
    arena_done(&a);
    if (!rc)
        *out = info;
    return rc;
}

static json_t *text_or_null(const char *s)
{
    if (s[0])
        return json_string(s);
    return json_null();
}

static json_t *time_json(int64_t ms)
{
    char buf[CLOCK_TEXT_SIZE];
    if (ms)
        return json_string(clock_format(ms, buf));
    return json_null();
}

void *certs_info_json(const struct cert_info *info)
{
    json_t *names = json_array();
    for (const char *p = info->names; names && *p;) {
        size_t k = strcspn(p, " ");
        json_array_append_new(names, json_stringn(p, k));
        p += k;
        p += *p == ' ';
    }
    return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                     cert_kind_name(info->kind), "path", info->path, "present", (int)info->present,
                     "notBefore", time_json(info->not_before_ms), "notAfter",
                     time_json(info->not_after_ms), "renewAt", time_json(info->renew_at_ms),
                     "fingerprint", text_or_null(info->fingerprint), "nextFingerprint",
                     text_or_null(info->next_fingerprint), "issuer", text_or_null(info->issuer),
                     "serial", text_or_null(info->serial), "names", names, "problem",
                     text_or_null(info->problem));
}
