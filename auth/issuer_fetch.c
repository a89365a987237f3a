// SPDX-License-Identifier: Apache-2.0
// One issuer's keys from where they are: its document here, a file, or its own discovery document
// and JWK set over the guard. Blocks; on the threads of issuer_keys.c.
#include "auth/issuer_fetch_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PEM_LINE 64

static int say(char why[KEYS_WHY_SIZE], int rc, const char *text)
{
    snprintf(why, KEYS_WHY_SIZE, "%s", text);
    return rc;
}

// --- without a call ---

static int from_text(const char *text, size_t n, struct jwks **out, char why[KEYS_WHY_SIZE])
{
    const char *reason = NULL;
    int rc = jwks_parse(text, n, out, &reason);
    if (!rc)
        return 0;
    return say(why, rc, reason ? reason : err_text(rc));
}

static int from_file(const char *path, struct jwks **out, char why[KEYS_WHY_SIZE])
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = file_read(path, JWKS_MAX_BYTES, &text);
    if (!rc)
        return from_text(buf_cstr(&text), text.n, out, why);
    snprintf(why, KEYS_WHY_SIZE, "its keys_file %.300s cannot be read: %s", path, err_text(rc));
    return rc;
}

// --- with two ---

struct place { // what both calls share
    struct outbound *o;
    const struct issuer *issuer;
    struct buf ca_pem;
    const _Atomic bool *stop;
};

static void ca_format(const char *b64, struct buf *out)
{
    buf_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (size_t n = strlen(b64); n;) {
        size_t line = n;
        if (line > PEM_LINE)
            line = PEM_LINE;
        buf_add(out, b64, line);
        buf_u8(out, '\n');
        b64 += line;
        n -= line;
    }
    buf_str(out, "-----END CERTIFICATE-----\n");
}

// scheme, host and port are the same: the address that is given for the issuer stands for both.
static bool same_place(const char *a, const char *b)
{
    size_t n = strcspn(a + 8, "/");
    return strlen(b) >= 8 && strcspn(b + 8, "/?#") == n && !strncasecmp(a, b, 8 + n);
}

static int call(const struct place *p, const char *url, size_t max_bytes, struct fetch_result *out,
                char why[KEYS_WHY_SIZE])
{
    static const char *const accept[] = {"Accept: application/json"};
    const struct issuer *i = p->issuer;
    struct outbound_request q = {.url = url,
                                 .headers = accept,
                                 .n_headers = 1,
                                 .ca_file = i->ca_file,
                                 .redirects_max = OUTBOUND_REDIRECTS_MAX,
                                 .timeout_ms = KEYS_FETCH_MS,
                                 .max_bytes = max_bytes,
                                 .stop = p->stop};
    if (i->ca)
        q.ca_pem = bytes_of(p->ca_pem.p, p->ca_pem.n);
    if (i->address.port && same_place(i->url, url))
        q.address = &i->address;
    int rc = outbound_run(p->o, &q, out);
    if (rc)
        return say(why, rc, out->message);
    if (out->status == 200)
        return 0;
    snprintf(why, KEYS_WHY_SIZE, "%.300s answered with status %d", url, out->status);
    return ERR_PROTO;
}

static int from_document(const struct place *p, struct arena *a, const char **out_uri,
                         char why[KEYS_WHY_SIZE])
{
    struct fetch_result r = {0};
    const char *reason = NULL, *url = discovery_url(p->issuer->url, a);
    if (!url)
        return ERR_NOMEM;
    int rc = call(p, url, DISCOVERY_MAX_BYTES, &r, why);
    if (!rc) {
        rc = discovery_parse(buf_cstr(&r.body), r.body.n, p->issuer->url, a, out_uri, &reason);
        if (rc)
            say(why, rc, reason ? reason : err_text(rc));
    }
    fetch_result_done(&r);
    return rc;
}

static int from_issuer(const struct place *p, struct jwks **out, char why[KEYS_WHY_SIZE])
{
    struct arena a;
    struct fetch_result r = {0};
    const char *uri;
    arena_init(&a, 1 << 20);
    int rc = from_document(p, &a, &uri, why);
    if (!rc)
        rc = call(p, uri, JWKS_MAX_BYTES, &r, why);
    if (!rc)
        rc = from_text(buf_cstr(&r.body), r.body.n, out, why);
    fetch_result_done(&r);
    arena_done(&a);
    return rc;
}

int issuer_fetch(struct outbound *o, const struct issuer *i, const _Atomic bool *stop,
                 struct jwks **out, char why[KEYS_WHY_SIZE])
{
    if (i->keys)
        return from_text(i->keys, strlen(i->keys), out, why);
    if (i->keys_file)
        return from_file(i->keys_file, out, why);
    if (!o)
        return say(why, ERR_UNSUPPORTED, "nothing is fetched here");
    struct place p = {.o = o, .issuer = i, .stop = stop};
    buf_init(&p.ca_pem, 0);
    if (i->ca)
        ca_format(i->ca, &p.ca_pem);
    int rc = p.ca_pem.err;
    if (!rc)
        rc = from_issuer(&p, out, why);
    buf_done(&p.ca_pem);
    return rc;
}
