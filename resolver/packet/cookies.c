// SPDX-License-Identifier: Apache-2.0
// Server cookies; see cookies.h.
#include "resolver/packet/cookies.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define CLIENT_BYTES 8
#define SERVER_AT CLIENT_BYTES          // version, three reserved octets, time, hash
#define HASHED_BYTES (CLIENT_BYTES + 8) // all of the cookie before the hash
#define VERSION 1
#define FILE_MAX 4096

static void cookies_free(void *self)
{
    struct cookies *c = self;
    explicit_bzero(c->secrets, sizeof c->secrets);
    free(c);
}

static struct cookies *cookies_new(void)
{
    struct cookies *c = mem_zalloc(sizeof *c);
    if (c)
        snapshot_head_init(&c->head, cookies_free);
    return c;
}

int cookies_new_random(struct cookies **out)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return err_from_errno(errno);
    struct cookies *c = cookies_new();
    if (!c)
        return ERR_NOMEM;
    c->secrets[c->n++] = siphash_key_of(secret);
    explicit_bzero(secret, sizeof secret);
    *out = c;
    return 0;
}

static bool parse_secret(struct bytes line, struct siphash_key *out)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    if (hex_parse((const char *)line.p, line.n, secret, sizeof secret))
        return false;
    *out = siphash_key_of(secret);
    explicit_bzero(secret, sizeof secret);
    return true;
}

static struct bytes trimmed(const uint8_t *p, const uint8_t *end)
{
    while (p < end && isspace(*p))
        p++;
    while (end > p && isspace(end[-1]))
        end--;
    return bytes_of(p, (size_t)(end - p));
}

static int parse_lines(struct bytes text, const char *source, struct diag *diag, struct cookies *c)
{
    const uint8_t *p = text.p, *end = text.p + text.n, *stop;
    for (int line = 1; p < end; line++, p = stop + 1) {
        stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop)
            stop = end;
        struct bytes word = trimmed(p, stop);
        if (word.n == 0 || *word.p == '#')
            continue;
        if (c->n == COOKIE_SECRETS_MAX || !parse_secret(word, &c->secrets[c->n])) {
            diag_add(diag, source, line,
                     c->n == COOKIE_SECRETS_MAX ? "more than two secrets"
                                                : "expected 32 hexadecimal digits");
            return ERR_INVAL;
        }
        c->n++;
    }
    if (c->n)
        return 0;
    diag_add(diag, source, 0, "no secret: expected a line of 32 hexadecimal digits");
    return ERR_INVAL;
}

int cookies_parse(struct bytes text, const char *source, struct diag *diag, struct cookies **out)
{
    struct cookies *c = cookies_new();
    int rc = ERR_NOMEM;
    if (c)
        rc = parse_lines(text, source, diag, c);
    if (rc)
        snapshot_unref(c);
    else
        *out = c;
    return rc;
}

int cookies_load(const char *path, struct diag *diag, struct cookies **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FILE_MAX);
    int rc = file_read_secret(path, FILE_MAX, &text);
    if (rc == ERR_DENIED)
        diag_add(diag, path, 0,
                 "cannot be read, or others can read it: a secret is a file with mode 0600");
    else if (rc)
        diag_add(diag, path, 0, "cannot read the cookie secret: %s", err_text(rc));
    else
        rc = cookies_parse(bytes_of(text.p, text.n), path, diag, out);
    if (text.p)
        explicit_bzero(text.p, text.n);
    return rc;
}

// RFC 9018 section 4.4: the client's cookie, version, reserved, time, and its address in its own
// family.
static void cookie_hash(const struct siphash_key *k, const uint8_t cookie[HASHED_BYTES],
                        const struct ip *client, uint8_t out[8])
{
    uint8_t in[HASHED_BYTES + 16];
    size_t n = 16;
    if (ip_is_v4(client))
        n = 4;
    memcpy(in, cookie, HASHED_BYTES);
    memcpy(in + HASHED_BYTES, client->b + 16 - n, n);
    siphash_put(siphash24(k, in, HASHED_BYTES + n), out);
}

static uint32_t cookie_time(const uint8_t *cookie)
{
    const uint8_t *p = cookie + SERVER_AT + 4;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void make(const struct cookies *c, const uint8_t *client_cookie, const struct ip *client,
                 uint32_t now, uint8_t out[EDNS_COOKIE_BYTES])
{
    memcpy(out, client_cookie, CLIENT_BYTES);
    const uint8_t head[8] = {
        VERSION,     0, 0, 0, (uint8_t)(now >> 24), (uint8_t)(now >> 16), (uint8_t)(now >> 8),
        (uint8_t)now};
    memcpy(out + SERVER_AT, head, sizeof head);
    cookie_hash(&c->secrets[0], out, client, out + HASHED_BYTES);
}

// Which of our secrets made it; -1: none, or not in its time. Times wrap (RFC 1982).
static int made_with(const struct cookies *c, const struct dns_query *q, const struct ip *client,
                     uint32_t now)
{
    if (q->cookie_n != EDNS_COOKIE_BYTES || q->cookie[SERVER_AT] != VERSION)
        return -1;
    int32_t age = (int32_t)(now - cookie_time(q->cookie));
    if (age > COOKIE_LIFE_S || age < -COOKIE_FUTURE_S)
        return -1;
    for (unsigned i = 0; i < c->n; i++) {
        uint8_t hash[8];
        cookie_hash(&c->secrets[i], q->cookie, client, hash);
        if (secret_equal(hash, sizeof hash, q->cookie + HASHED_BYTES, sizeof hash))
            return (int)i;
    }
    return -1;
}

bool cookies_check(const struct cookies *c, const struct dns_query *q, const struct ip *client,
                   int64_t now_s, uint8_t out[EDNS_COOKIE_BYTES])
{
    uint32_t now = (uint32_t)now_s;
    int secret = made_with(c, q, client, now);
    if (secret == 0 && (int32_t)(now - cookie_time(q->cookie)) <= COOKIE_FRESH_S)
        memcpy(out, q->cookie, EDNS_COOKIE_BYTES);
    else
        make(c, q->cookie, client, now, out);
    return secret >= 0;
}
