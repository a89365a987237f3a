// SPDX-License-Identifier: Apache-2.0
// URLs that the guard takes: https, a host, perhaps a port, path and query, and nothing that two
// programs might read in two ways. Pure; any thread. See outbound_priv.h.
#include "net/outbound_priv.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LABEL_MAX_BYTES 63

static bool letters_ok(const char *text, size_t *out_n)
{
    size_t n = strnlen(text, OUTBOUND_URL_MAX_BYTES + 1);
    if (n > OUTBOUND_URL_MAX_BYTES)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] >= 127 || text[i] == '\\')
            return false;
    *out_n = n;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// One label of a name: letters, digits, inner hyphens, and the underscores that some names have.
static bool label_ok(const char *p, size_t n)
{
    if (!n || n > LABEL_MAX_BYTES || p[0] == '-' || p[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_letter(p[i]) && !is_digit(p[i]) && p[i] != '-' && p[i] != '_')
            return false;
    return true;
}

// "0x7f.1", "2130706433" and the like: numbers that some programs read as an address. A last label
// that begins with a digit is no top-level domain.
static bool looks_numeric(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = name;
    if (dot)
        last = dot + 1;
    return is_digit(*last);
}

static bool name_ok(const char *name)
{
    for (const char *p = name;;) {
        size_t n = strcspn(p, ".");
        if (!label_ok(p, n))
            return false;
        if (!p[n])
            return !looks_numeric(name);
        p += n + 1;
    }
}

static int host_take(const char *p, size_t n, bool bracketed, struct outbound_url *out)
{
    if (!n || n >= sizeof out->host)
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            out->host[i] = (char)(p[i] + 32);
        else
            out->host[i] = p[i];
    out->host[n] = 0;
    bool colon = strchr(out->host, ':');
    if (bracketed != colon)
        return ERR_INVAL;
    char text[IP_TEXT_SIZE];
    out->is_address = !ip_parse(out->host, &out->ip);
    if (out->is_address)
        snprintf(out->host, sizeof out->host, "%s", ip_format(&out->ip, text));
    else if (bracketed || !name_ok(out->host))
        return ERR_INVAL;
    return 0;
}

static int port_take(const char *p, size_t n, uint16_t *out)
{
    unsigned v = 0;
    if (!n || n > 5)
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(p[i]))
            return ERR_INVAL;
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    if (!v || v > UINT16_MAX)
        return ERR_INVAL;
    *out = (uint16_t)v;
    return 0;
}

// host, host:port, [address], [address]:port
static int authority_take(const char *p, size_t n, struct outbound_url *out)
{
    const char *host = p, *end = p + n, *rest;
    bool bracketed = n && *p == '[';
    if (bracketed) {
        host++;
        rest = memchr(host, ']', n - 1);
        if (!rest)
            return ERR_INVAL;
    } else {
        rest = memchr(host, ':', n);
        if (!rest)
            rest = end;
    }
    int rc = host_take(host, (size_t)(rest - host), bracketed, out);
    if (rc)
        return rc;
    if (bracketed)
        rest++;
    if (rest == end)
        return 0;
    if (*rest != ':')
        return ERR_INVAL;
    return port_take(rest + 1, (size_t)(end - rest - 1), &out->port);
}

static void text_write(struct outbound_url *u, const char *rest, size_t n_rest)
{
    const char *open = "", *close = "", *slash = "";
    char port[8] = "";
    if (u->is_address && strchr(u->host, ':')) {
        open = "[";
        close = "]";
    }
    if (u->port != 443)
        snprintf(port, sizeof port, ":%u", u->port);
    if (!n_rest || *rest != '/')
        slash = "/";
    snprintf(u->text, sizeof u->text, "https://%s%s%s%s%s%.*s", open, u->host, close, port, slash,
             (int)n_rest, rest);
}

int outbound_url_parse(const char *text, struct outbound_url *out, const char **why)
{
    struct outbound_url u = {.port = 443};
    size_t n;
    if (!letters_ok(text, &n)) {
        *why = "it is too long, or has letters that a URL does not have";
        return ERR_INVAL;
    }
    if (n < 8 || strncasecmp(text, "https://", 8)) {
        *why = "only https:// is called";
        return ERR_INVAL;
    }
    const char *authority = text + 8;
    size_t n_authority = strcspn(authority, "/?#");
    if (memchr(authority, '@', n_authority)) {
        *why = "it must not hold a user";
        return ERR_INVAL;
    }
    if (authority_take(authority, n_authority, &u)) {
        *why = "its host or port is not written as it must be";
        return ERR_INVAL;
    }
    const char *rest = authority + n_authority;
    text_write(&u, rest, strcspn(rest, "#"));
    *out = u;
    return 0;
}

static int merge(CURLU *u, const char *from, const char *location, struct outbound_url *out,
                 const char **why)
{
    char *text = NULL;
    if (curl_url_set(u, CURLUPART_URL, from, 0) || curl_url_set(u, CURLUPART_URL, location, 0) ||
        curl_url_get(u, CURLUPART_URL, &text, 0)) {
        *why = "its Location cannot be read";
        return ERR_INVAL;
    }
    int rc = outbound_url_parse(text, out, why);
    curl_free(text);
    return rc;
}

int outbound_url_follow(const struct outbound_url *from, const char *location,
                        struct outbound_url *out, const char **why)
{
    size_t n;
    if (!letters_ok(location, &n) || !n) {
        *why = "its Location is too long, or has letters that a URL does not have";
        return ERR_INVAL;
    }
    if (!strncasecmp(location, "https://", 8))
        return outbound_url_parse(location, out, why);
    CURLU *u = curl_url();
    if (!u)
        return ERR_NOMEM;
    int rc = merge(u, from->text, location, out, why);
    curl_url_cleanup(u);
    return rc;
}

bool outbound_proxy_ok(const char *text)
{
    struct outbound_url u = {0};
    size_t n;
    if (!letters_ok(text, &n) || strncmp(text, "http://", 7))
        return false;
    n -= 7;
    if (n && text[7 + n - 1] == '/')
        n--;
    return !authority_take(text + 7, n, &u) && u.port;
}
