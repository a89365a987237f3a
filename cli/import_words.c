// SPDX-License-Identifier: Apache-2.0
// Headers and fields of a foreign registry; see import_words.h.
#include "cli/import_words.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/repository.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define SAYS_NOTHING_BEFORE_S (365 * 86400) // 1971
#define DIGITS "0123456789"

// ---- challenges ----

static const char token_chars[] =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

struct word { // of the header, or with quotes undone
    const char *p;
    size_t n;
};

// A quoted string or a token, copied without its quotes; false when it does not fit or never ends.
static bool value_read(const char **at, char *out, size_t cap)
{
    const char *p = *at;
    size_t n = 0;
    if (*p != '"') {
        // not only a token's letters: some write bare URLs
        for (; *p && !strchr(", \t", *p); p++) {
            if (n + 1 >= cap)
                return false;
            out[n++] = *p;
        }
        out[n] = 0;
        *at = p;
        return true;
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        if (n + 1 >= cap || !isprint((unsigned char)*p))
            return false;
        out[n++] = *p;
    }
    if (*p != '"')
        return false;
    out[n] = 0;
    *at = p + 1;
    return true;
}

static bool word_is(struct word w, const char *text)
{
    return strlen(text) == w.n && !strncasecmp(w.p, text, w.n);
}

static enum challenge_kind kind_of(struct word scheme)
{
    if (word_is(scheme, "bearer"))
        return CHALLENGE_BEARER;
    if (word_is(scheme, "basic"))
        return CHALLENGE_BASIC;
    return CHALLENGE_NONE;
}

static bool url_chars_ok(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || strchr("\"<>\\^`{|}#", *s))
            return false;
    return true;
}

// The one that is finished goes before what was kept, if it is better.
static void challenge_keep(struct challenge *kept, const struct challenge *one)
{
    if (one->kind <= kept->kind)
        return;
    if (one->kind == CHALLENGE_BEARER &&
        (strncasecmp(one->realm, "https://", 8) != 0 || !url_chars_ok(one->realm)))
        return;
    *kept = *one;
}

static bool parameter_read(struct challenge *one, struct word name, const char **at)
{
    char other[1024];
    if (word_is(name, "realm"))
        return value_read(at, one->realm, sizeof one->realm);
    if (word_is(name, "service"))
        return value_read(at, one->service, sizeof one->service);
    if (word_is(name, "scope"))
        return value_read(at, one->scope, sizeof one->scope);
    return value_read(at, other, sizeof other);
}

struct challenge challenge_parse(const char *value)
{
    struct challenge kept = {0}, one = {0};
    const char *p = value;
    while (*p) {
        p += strspn(p, ", \t");
        struct word w = {p, strspn(p, token_chars)};
        if (!w.n)
            break;
        p += w.n;
        const char *after = p + strspn(p, " \t");
        if (*after != '=') { // a scheme begins
            challenge_keep(&kept, &one);
            one = (struct challenge){.kind = kind_of(w)};
            continue;
        }
        p = after + 1;
        p += strspn(p, " \t");
        if (!parameter_read(&one, w, &p)) {
            one.kind = CHALLENGE_NONE;
            break;
        }
    }
    challenge_keep(&kept, &one);
    return kept;
}

// ---- words for people ----

void words_clean(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    for (; text[n] && n + 1 < cap; n++) {
        out[n] = text[n];
        if (text[n] < ' ' || text[n] > '~')
            out[n] = '?';
    }
    out[n] = 0;
}

// ---- links ----

static bool rel_is_next(const char *params)
{
    for (const char *p = params; (p = strcasestr(p, "rel")); p += 3) {
        const char *v = p + 3;
        v += strspn(v, " \t");
        if (*v++ != '=')
            continue;
        v += strspn(v, " \t\"");
        if (!strncasecmp(v, "next", 4))
            return true;
    }
    return false;
}

int link_next_parse(const char *value, char *out, size_t cap)
{
    const char *open = strchr(value, '<'), *close = open ? strchr(open, '>') : NULL;
    if (!open || !close)
        return ERR_NOTFOUND;
    if (!rel_is_next(close))
        return ERR_NOTFOUND;
    const char *path = open + 1;
    if (!strncasecmp(path, "https://", 8) || !strncasecmp(path, "http://", 7)) {
        path = strchr(path, ':') + 3;
        while (path < close && *path != '/')
            path++;
    }
    size_t n = (size_t)(close - path);
    if (n < 4 || strncmp(path, "/v2/", 4) != 0 || n >= cap)
        return ERR_INVAL;
    memcpy(out, path, n);
    out[n] = 0;
    if (url_chars_ok(out) && !strstr(out, "/../"))
        return 0;
    return ERR_INVAL;
}

// ---- times ----

static int64_t seconds_of(struct tm *tm)
{
    return (int64_t)timegm(tm);
}

int64_t retry_after_parse(const char *value, int64_t wall_ms)
{
    size_t n = strspn(value, DIGITS);
    if (n && !value[n] && n <= 9)
        return strtol(value, NULL, 10);
    if (n && !value[n])
        return INT32_MAX;
    struct tm tm = {0};
    const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return -1;
    int64_t left = seconds_of(&tm) - wall_ms / 1000;
    if (left < 0)
        return 0;
    if (left > INT32_MAX)
        return INT32_MAX;
    return left;
}

static int number(const char *p, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)p[i]))
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

// "Z", "+02:00". In seconds east; false: malformed.
static bool offset_parse(const char *p, int64_t *out_s)
{
    if ((*p == 'Z' || *p == 'z') && !p[1]) {
        *out_s = 0;
        return true;
    }
    if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':')
        return false;
    int hours = number(p + 1, 2), minutes = number(p + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *out_s = (hours * 60 + minutes) * 60;
    if (*p == '-')
        *out_s = -*out_s;
    return true;
}

static bool day_time_parse(const char *s, struct tm *out)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd' && !isdigit((unsigned char)s[i]))
            return false;
        if (form[i] != 'd' && toupper((unsigned char)s[i]) != form[i])
            return false;
    }
    *out = (struct tm){.tm_year = number(s, 4) - 1900,
                       .tm_mon = number(s + 5, 2) - 1,
                       .tm_mday = number(s + 8, 2),
                       .tm_hour = number(s + 11, 2),
                       .tm_min = number(s + 14, 2),
                       .tm_sec = number(s + 17, 2)};
    return out->tm_mon >= 0 && out->tm_mon <= 11 && out->tm_mday >= 1 && out->tm_mday <= 31 &&
           out->tm_hour <= 23 && out->tm_min <= 59 && out->tm_sec <= 60;
}

int created_parse(const char *text, int64_t *out_ms)
{
    struct tm tm;
    int64_t east_s, ms = 0;
    if (!day_time_parse(text, &tm))
        return ERR_INVAL;
    const char *p = text + 19;
    if (*p == '.') {
        size_t n = strspn(++p, DIGITS);
        if (!n)
            return ERR_INVAL;
        for (size_t i = 0; i < 3; i++)
            ms = ms * 10 + (i < n ? p[i] - '0' : 0);
        p += n;
    }
    if (!offset_parse(p, &east_s))
        return ERR_INVAL;
    int64_t s = seconds_of(&tm) - east_s;
    if (s < SAYS_NOTHING_BEFORE_S)
        return ERR_NOTFOUND;
    *out_ms = s * 1000 + ms;
    return 0;
}

// ---- tags ----

bool tag_name_ok(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 128 || !(isalnum((unsigned char)*s) || *s == '_'))
        return false;
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return true;
}

#define SCHEMA_DIGITS 64

void tag_schema_format(const struct digest *subject, char out[TAG_SCHEMA_SIZE])
{
    char text[DIGEST_TEXT_SIZE];
    const char *hex = strchr(digest_format(subject, text), ':') + 1;
    snprintf(out, TAG_SCHEMA_SIZE, "%s-%.*s", digest_alg_name(subject->alg), SCHEMA_DIGITS, hex);
}

bool tag_schema_ok(const char *tag)
{
    enum digest_alg alg;
    const char *dash = strchr(tag, '-');
    if (!dash || !digest_alg_parse(tag, (size_t)(dash - tag), &alg))
        return false;
    size_t n = strspn(dash + 1, DIGITS "abcdef");
    return n == SCHEMA_DIGITS && !dash[1 + n];
}

// ---- words of the command ----

static bool host_ok(const char *s, size_t n)
{
    size_t name = 0;
    while (name < n && (isalnum((unsigned char)s[name]) || strchr(".-", s[name])))
        name++;
    if (!name || name > 253 || s[0] == '-' || s[0] == '.')
        return false;
    if (name == n)
        return true;
    if (s[name] != ':' || n - name < 2 || n - name > 6)
        return false;
    int port = number(s + name + 1, n - name - 1);
    return port > 0 && port < 65536;
}

int import_place_parse(const char *word, struct import_place *out)
{
    struct import_place at = {0};
    if (!strncmp(word, "https://", 8))
        word += 8;
    size_t n = strcspn(word, "/");
    if (n >= sizeof at.host || !host_ok(word, n))
        return ERR_INVAL;
    const char *name = word + n;
    if (*name)
        name++;
    if (*name && !repository_name_ok(name, strlen(name)))
        return ERR_INVAL;
    snprintf(at.host, sizeof at.host, "%.*s", (int)n, word);
    snprintf(at.repository, sizeof at.repository, "%s", name);
    bool hub = !strcmp(at.host, "docker.io") || !strcmp(at.host, "index.docker.io");
    if (hub)
        snprintf(at.host, sizeof at.host, "registry-1.docker.io");
    if (hub && *name && !strchr(name, '/')) {
        if (strlen(name) + 8 > REPOSITORY_NAME_MAX)
            return ERR_INVAL;
        snprintf(at.repository, sizeof at.repository, "library/%.247s", name);
    }
    *out = at;
    return 0;
}

bool globs_match(const char *list, const char *name)
{
    char pattern[512];
    if (!list)
        return true;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        if (n && n < sizeof pattern) {
            memcpy(pattern, p, n);
            pattern[n] = 0;
            if (!fnmatch(pattern, name, 0))
                return true;
        }
        p += n;
        if (*p)
            p++;
    }
    return false;
}
