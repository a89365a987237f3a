// SPDX-License-Identifier: Apache-2.0
// The public side of certificates in a PEM text; see certs_public_json in certs.h. No state; any
// thread.
#include "certs/certs.h"

#include "base/clock.h"
#include "base/mem.h"
#include "certs/pem_priv.h"

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define CERTIFICATES_MAX 32

static json_t *time_json(const ASN1_TIME *t)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t ms = pem_time_ms(t);
    if (ms == INT64_MIN)
        return json_null();
    return json_string(clock_format_s(ms / 1000, text));
}

static json_t *name_json(const X509_NAME *name)
{
    char text[512] = "";
    X509_NAME_oneline(name, text, sizeof text);
    return json_string(text);
}

static json_t *names_json(X509 *x)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    if (pem_names(list, &names))
        buf_clear(&names);
    GENERAL_NAMES_free(list);
    return json_string(buf_cstr(&names));
}

static json_t *serial_json(X509 *x)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = NULL;
    if (n)
        hex = BN_bn2hex(n);
    json_t *out = json_string(hex ? hex : "");
    OPENSSL_free(hex);
    BN_free(n);
    return out;
}

static json_t *certificate_json(X509 *x)
{
    char fingerprint[65];
    pem_fingerprint(x, fingerprint);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "subject", name_json(X509_get_subject_name(x)),
        "issuer", name_json(X509_get_issuer_name(x)), "serial", serial_json(x), "notBefore",
        time_json(X509_get0_notBefore(x)), "notAfter", time_json(X509_get0_notAfter(x)), "names",
        names_json(x), "fingerprint", fingerprint);
}

void *certs_public_json(struct bytes pem)
{
    json_t *all = json_array();
    AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (!all || !bio) {
        json_decref(all);
        return NULL;
    }
    // a block of another kind is passed over
    for (int i = 0; i < CERTIFICATES_MAX; i++) {
        AUTO_X509 X509 *x = PEM_read_bio_X509(bio, NULL, pem_no_pass_phrase, NULL);
        if (!x)
            break;
        json_array_append_new(all, certificate_json(x));
    }
    ERR_clear_error();
    return all;
}
