// SPDX-License-Identifier: Apache-2.0
// Fetching shared secrets from other regions, and writing them where they are used; see secrets.h.
// Blocks.
#include "fleet/secrets.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/dns_keys.h"
#include "config/topology_control.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_TIMEOUT_MS 10000
#define ASK_ARENA_BYTES (1u << 20)
#define TSIG_MAX_BYTES_TEXT 1024

struct take {
    const struct secrets_asker *by;
    const struct topology *t;
    const struct secrets_want *want;
    const char *cookies_sha256;
    struct diag *diag;
    size_t n;
};

static bool wanted(const struct secrets_want *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (!strcmp(w->names[i], name))
            return true;
    return false;
}

static bool is_text(struct bytes b, size_t max)
{
    for (size_t i = 0; i < b.n; i++)
        if ((b.p[i] < ' ' || b.p[i] > '~') && b.p[i] != '\n')
            return false;
    return b.n <= max;
}

static int write_secret(const char *dir, const char *path, struct bytes data)
{
    int rc = 0;
    if (dir)
        rc = dir_make(dir, 0700);
    if (!rc)
        rc = file_write_atomic(path, data.p, data.n, 0600);
    return rc;
}

// A key that is not the topology's is of no use, and must not stand where the right one is looked
// for.
static int dns_take(struct take *x, const char *id, struct bytes data)
{
    const struct dnskey *k = NULL;
    for (size_t i = 0; i < x->t->dnssec.n_keys; i++)
        if (!strcmp(x->t->dnssec.keys[i].id, id))
            k = &x->t->dnssec.keys[i];
    AUTO_FREE char *path = mem_printf("%s/%s.pem", x->by->at->dns_dir, id);
    if (!k)
        return ERR_NOTFOUND;
    if (!path)
        return ERR_NOMEM;
    int rc = write_secret(x->by->at->dns_dir, path, data);
    struct dns_key *opened = NULL;
    if (!rc)
        rc = dns_key_open(x->by->at->dns_dir, k, x->diag, &opened);
    dns_key_free(opened);
    if (rc)
        unlink(path);
    return rc;
}

static int tsig_take(struct take *x, const char *name, struct bytes data)
{
    AUTO_FREE char *path = mem_printf("%s/%s.key", x->by->at->tsig_dir, name);
    if (!path)
        return ERR_NOMEM;
    if (!is_text(data, TSIG_MAX_BYTES_TEXT))
        return ERR_PROTO;
    return write_secret(x->by->at->tsig_dir, path, data);
}

static int cookies_take(struct take *x, struct bytes data)
{
    uint8_t sum[SHA256_BYTES];
    char hex[65];
    sha256(data.p, data.n, sum);
    hex_format(sum, sizeof sum, hex);
    if (!is_text(data, TSIG_MAX_BYTES_TEXT))
        return ERR_PROTO;
    if (x->cookies_sha256 && strcmp(hex, x->cookies_sha256) != 0)
        return 0; // it has not been rotated there yet
    int rc = write_secret(NULL, x->by->at->cookies, data);
    if (!rc)
        x->n++;
    return rc;
}

static int one_take(void *ctx, const char *name, struct bytes data)
{
    struct take *x = ctx;
    int rc = 0;
    if (!wanted(x->want, name))
        return 0; // nobody asked
    if (!strcmp(name, "cookies"))
        return cookies_take(x, data);
    if (!strncmp(name, "dns/", 4))
        rc = dns_take(x, name + 4, data);
    else
        rc = tsig_take(x, name + 5, data);
    if (rc)
        diag_add(x->diag, NULL, 0, "the secret %s that came cannot be used or written: %s", name,
                 err_text(rc));
    else
        x->n++;
    return rc;
}

static int run(const struct secrets_asker *by, const struct topology *t, const char *region,
               struct bytes body, struct diag *diag, struct buf *out)
{
    struct fleet_call call;
    int rc = fleet_call_make(by->caller, t, region, SECRETS_PATH, &call);
    if (rc)
        return rc;
    static const char *const headers[] = {"Content-Type: application/json"};
    call.q.method = "POST";
    call.q.body = body;
    call.q.headers = headers;
    call.q.n_headers = ARRAY_LEN(headers);
    call.q.timeout_ms = ASK_TIMEOUT_MS;
    call.q.max_bytes = SECRETS_ANSWER_MAX_BYTES;
    call.q.fresh_connection = true; // our certificate may be new
    struct fetch_result r;
    rc = fetch_run(by->caller->fetcher, &call.q, &r);
    if (rc)
        diag_add(diag, NULL, 0, "asking %s for shared secrets: %s", region, r.message);
    if (!rc && r.status != 200) {
        diag_add(diag, NULL, 0, "%s gives no shared secrets (status %d): %.300s", region, r.status,
                 buf_cstr(&r.body));
        rc = ERR_NOTFOUND;
        if (r.status == 403)
            rc = ERR_DENIED;
    }
    if (!rc)
        buf_add(out, r.body.p, r.body.n);
    fetch_result_done(&r);
    if (rc)
        return rc;
    return out->err;
}

int secrets_ask(const struct secrets_asker *by, const struct topology *t, const char *region,
                const struct secrets_want *want, const char *cookies_sha256, struct diag *diag,
                size_t *out_n)
{
    struct sealed_box *box = NULL;
    AUTO_BUF struct buf body, answer;
    buf_init(&body, SECRETS_REQUEST_MAX_BYTES);
    buf_init(&answer, SECRETS_ANSWER_MAX_BYTES);
    char hash[65];
    struct take x = {by, t, want, cookies_sha256, diag, 0};
    int rc = sealed_box_new(&box);
    if (!rc)
        rc =
            secrets_request_format(t, by->keys, by->caller->region, region, box, want, hash, &body);
    if (!rc)
        rc = run(by, t, region, bytes_of(body.p, body.n), diag, &answer);
    if (!rc)
        rc = secrets_open(t, by->caller->region, region, box, hash, bytes_of(answer.p, answer.n),
                          diag, one_take, &x);
    sealed_box_free(box);
    *out_n = x.n;
    return rc;
}

// The i-th region to ask: the writer, then the others.
static const char *region_to_ask(const struct topology *t, size_t i)
{
    const struct region *writer = topology_writer(t);
    if (!writer)
        return t->regions[i].name;
    if (!i)
        return writer->name;
    if (i <= writer->index)
        i--;
    return t->regions[i].name;
}

static int still_missing(const struct secrets_want *w, struct diag *diag)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 1024);
    for (size_t i = 0; i < w->n; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", w->names[i]);
    diag_add(diag, NULL, 0, "shared secrets that no region which could be asked has: %s",
             buf_cstr(&names));
    return ERR_NOTFOUND;
}

int secrets_fetch(const struct secrets_asker *by, const struct topology *t,
                  const char *cookies_sha256, struct diag *diag, size_t *out_n)
{
    struct arena a;
    arena_init(&a, ASK_ARENA_BYTES);
    struct secrets_want want;
    size_t got = 0;
    int rc = secrets_missing(by->at, t, cookies_sha256, &a, &want);
    for (size_t i = 0; !rc && want.n && i < t->n_regions; i++) {
        size_t n = 0;
        const char *region = region_to_ask(t, i);
        if (!strcmp(region, by->caller->region))
            continue;
        secrets_ask(by, t, region, &want, cookies_sha256, diag, &n);
        got += n;
        rc = secrets_missing(by->at, t, cookies_sha256, &a, &want);
    }
    if (!rc && want.n)
        rc = still_missing(&want, diag);
    *out_n = got;
    arena_done(&a);
    return rc;
}
