// SPDX-License-Identifier: Apache-2.0
// Requests: header and form access, and requests made by tests without a socket; see http.h. Pure,
// on whatever thread owns the request.
#include "net/http.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "net/http_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *text;
    enum http_method method;
} methods[] = {{"GET", HTTP_GET},        {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},
               {"PUT", HTTP_PUT},        {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE},
               {"OPTIONS", HTTP_OPTIONS}};

enum http_method http_method_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (!strcmp(text, methods[i].text))
            return methods[i].method;
    return HTTP_OTHER;
}

const char *http_method_text(enum http_method method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].method == method)
            return methods[i].text;
    return "";
}

const char *http_header_get(const struct http_request *req, const char *name)
{
    for (const struct http_header *h = req->headers; h; h = h->next)
        if (!strcasecmp(h->name, name))
            return h->value;
    return NULL;
}

static bool is_tchar(unsigned char c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-')
        return true;
    return (c >= '0' && c <= '9') || strchr("!#$%&'*+.^_`|~", c);
}

bool http_token_ok(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (!is_tchar((unsigned char)*s))
            return false;
    return true;
}

// Decodes percent escapes, and '+' when asked; NULL on a malformed escape, a NUL byte, or no room.
static char *percent_decode(struct arena *a, const char *raw, size_t n, bool plus)
{
    char *out = arena_alloc(a, n + 1), *w = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)raw[i];
        if (c == '%') {
            if (n - i < 3 || hex_parse(raw + i + 1, 2, &c, 1))
                return NULL;
            i += 2;
        } else if (plus && c == '+')
            c = ' ';
        if (!c)
            return NULL;
        *w++ = (char)c;
    }
    *w = 0;
    return out;
}

const char *http_path_decode(struct arena *a, const char *raw, size_t n)
{
    return percent_decode(a, raw, n, false);
}

// Does the raw key decode to `key`? Compared on the fly, so that looking up allocates only for the
// value.
static bool key_matches(const char *raw, size_t n, const char *key)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++, at++) {
        uint8_t c = (uint8_t)raw[i];
        if (c == '%') {
            if (n - i < 3 || hex_parse(raw + i + 1, 2, &c, 1))
                return false;
            i += 2;
        } else if (c == '+')
            c = ' ';
        if (!c || (uint8_t)key[at] != c)
            return false;
    }
    return !key[at];
}

const char *http_form_get(struct http_request *req, struct bytes from, const char *key, size_t nth)
{
    const char *p = (const char *)from.p, *end = p ? p + from.n : NULL;
    while (p && p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        const char *stop = amp;
        if (!stop)
            stop = end;
        const char *eq = memchr(p, '=', (size_t)(stop - p));
        const char *key_end = eq;
        if (!key_end)
            key_end = stop;
        if (key_matches(p, (size_t)(key_end - p), key) && nth-- == 0) {
            if (eq)
                return percent_decode(&req->arena, eq + 1, (size_t)(stop - eq - 1), true);
            return "";
        }
        p = stop + 1;
    }
    return NULL;
}

const char *http_query_get(struct http_request *req, const char *key, size_t nth)
{
    return http_form_get(req, bytes_str(req->query), key, nth);
}

// The bytes that `plain` takes at p, as it is or as a percent escape with this second digit; 0: it
// is not there.
static size_t escaped_at(const char *p, char plain, char digit)
{
    if (*p == plain)
        return 1;
    if (p[0] == '%' && p[1] == '2' && (p[2] | 0x20) == digit)
        return 3;
    return 0;
}

// A segment that is "." or "..", also when escaped: between the edge, which resolves them to choose
// a location, and us, who do not, they would make two paths of one.
bool http_dot_segments(const char *path)
{
    for (const char *p = path; *p;) {
        size_t dots = 0, n;
        p++; // the slash
        while ((n = escaped_at(p, '.', 'e'))) {
            p += n;
            dots++;
        }
        bool ends = !*p || escaped_at(p, '/', 'f');
        if (ends && (dots == 1 || dots == 2))
            return true;
        while (*p && *p != '/')
            p++;
    }
    return false;
}

int http_request_target(struct http_request *req, const char *target)
{
    // origin-form only (RFC 9112 section 3.2.1); visible ASCII and raw bytes above it, no fragment
    if (target[0] != '/')
        return ERR_INVAL;
    for (const char *p = target; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 127 || *p == '#')
            return ERR_INVAL;
    const char *q = strchr(target, '?');
    char *path = arena_strndup(&req->arena, target, q ? (size_t)(q - target) : strlen(target));
    char *query = arena_strdup(&req->arena, q ? q + 1 : "");
    if (!path || !query)
        return ERR_NOMEM;
    req->path = path;
    req->query = query;
    return 0;
}

int http_request_add_header(struct http_request *req, const char *name, size_t n_name,
                            const char *value, size_t n_value)
{
    struct http_header *h = arena_alloc(&req->arena, sizeof *h);
    char *n = arena_strndup(&req->arena, name, n_name),
         *v = arena_strndup(&req->arena, value, n_value);
    if (!h || !n || !v)
        return ERR_NOMEM;
    *h = (struct http_header){.name = n, .value = v};
    const struct http_header **at = &req->headers;
    while (*at)
        at = (const struct http_header **)&((struct http_header *)*at)->next;
    *at = h;
    return 0;
}

// Ids are unique, and nobody can tell one from another: a counter under a secret of the process. To
// draw each from the system's generator would cost more than reading the request.
static struct siphash_key id_secret;
static int id_error;

static void id_secret_make(void)
{
    uint8_t b[SIPHASH_KEY_BYTES];
    id_error = random_bytes(b, sizeof b);
    id_secret = siphash_key_of(b);
}

static int id_make(char out[33])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Atomic uint64_t n_ids;
    pthread_once(&once, id_secret_make);
    uint64_t n = 2 * atomic_fetch_add(&n_ids, 1), half[2];
    for (size_t i = 0; i < 2; i++, n++)
        half[i] = siphash24(&id_secret, &n, sizeof n);
    hex_format(half, sizeof half, out);
    return id_error;
}

int http_request_init(struct http_request *req)
{
    *req = (struct http_request){.path = "/",
                                 .query = "",
                                 .host = "",
                                 .method_text = "GET",
                                 .content_length = -1,
                                 .arrived_ms = clock_mono_ms()};
    arena_init(&req->arena, 1 << 20);
    return id_make(req->request_id);
}

void http_request_refused(struct http_request *req, const char *code, const char *why)
{
    // without memory: a line without its reason
    req->refused_code = arena_strdup(&req->arena, code);
    req->refused_why = arena_strdup(&req->arena, why);
}

void http_request_detail(struct http_request *req, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    req->refused_detail = arena_strdup(&req->arena, text);
}
