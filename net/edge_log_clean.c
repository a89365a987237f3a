// SPDX-License-Identifier: Apache-2.0
// One record of nginx's error log → one line without secrets; see edge_log.h. Pure: called in the
// reader's process, by tests and by a fuzzer. A record is (ngx_log_error_core,
// ngx_http_log_error_handler):
//
//   2026/11/29 09:20:55 [error] 7#7: *45 text "quoted" text, client: 10.0.0.1, server: name,
//   request: "PUT /v2/…?sig=… HTTP/1.1", upstream: "http://…?sig=…", host: "…", referrer: "…"
//
// or "nginx: [emerg] text", or what a library wrote to stderr. nginx quotes without escaping, so
// that a client's own quote looks like the end of one: after a cut nothing is shown again before a
// field that nginx is known to write.
#include "net/edge_log.h"

#include "base/mem.h"

#include <string.h>
#include <strings.h>

#define CUT "[cut]"

struct text { // what is still to be read, and what was written
    const uint8_t *p, *start, *end;
    char *out;
    size_t n;
    bool full;
    // an [emerg] is about the configuration, and its quotes are ours: until nginx's fields come
    bool trusted;
};

static bool at(const struct text *t, const uint8_t *p, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(t->end - p) >= n && !strncasecmp((const char *)p, word, n);
}

// ---- writing ----

static void put(struct text *t, const char *s, size_t n)
{
    static const char more[] = "...";
    if (t->full)
        return;
    if (t->n + n + sizeof more > EDGE_LOG_LINE_MAX) {
        memcpy(t->out + t->n, more, sizeof more - 1);
        t->n += sizeof more - 1;
        t->full = true;
        return;
    }
    memcpy(t->out + t->n, s, n);
    t->n += n;
}

static void put_byte(struct text *t, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    const char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
    if (c < 0x20 || c >= 0x7f || c == '\\')
        put(t, escaped, sizeof escaped);
    else
        put(t, (const char *)&c, 1);
}

// ---- cutting ----

// A field that nginx adds behind its text, at its comma.
static bool is_field(const struct text *t, const uint8_t *p)
{
    static const char *const fields[] = {"client: ",       "server: ",     "request: \"",
                                         "subrequest: \"", "upstream: \"", "host: \"",
                                         "referrer: \""};
    if (!at(t, p, ", "))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (at(t, p + 2, fields[i]))
            return true;
    return false;
}

// Goes on at the next field, or nowhere.
static void cut(struct text *t, bool *quoted)
{
    put(t, CUT, sizeof CUT - 1);
    while (t->p < t->end && !is_field(t, t->p))
        t->p++;
    if (*quoted)
        put(t, "\"", 1);
    *quoted = false;
}

static bool shown_in_quotes(uint8_t c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (c && strchr("/._:-~+@[] ", c));
}

// Words that stand before a secret, or are one.
static bool is_secret(const struct text *t)
{
    static const char *const words[] = {
        "authorization", "bearer ", "basic ", "cookie:", "peer-cert", "eyJ", "sig="};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (at(t, t->p, words[i]))
            return true;
    return false;
}

// May a quote that opens here be shown in part? What stands behind "header" is a client's or
// upstream's whole line.
static bool opens_secret(const struct text *t)
{
    static const char *const before[] = {
        "referrer: ", "header: ", "header line: ", "header name: ", "header value: "};
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        size_t n = strlen(before[i]);
        if ((size_t)(t->p - t->start) >= n && at(t, t->p - n, before[i]))
            return true;
    }
    return false;
}

// nginx closes its quote before a comma, a blank, a bracket or the end.
static bool closes(const struct text *t)
{
    const uint8_t *next = t->p + 1;
    return next == t->end || (*next && strchr(", ):;", *next));
}

// Cuts the part of "://user:password@host" before the last '@'. A password that was not escaped may
// hold any byte, also the one that begins a query; then all is cut.
static void cut_userinfo(struct text *t, bool *quoted)
{
    const uint8_t *last = NULL, *query = NULL, *p = t->p;
    for (; p < t->end && *p && *p != '"' && *p != ' '; p++) {
        if (*p == '@')
            last = p;
        if (*p == '?' && !query)
            query = p;
    }
    if (!last)
        return;
    if (query && query < last) {
        cut(t, quoted);
        return;
    }
    put(t, CUT, sizeof CUT - 1);
    t->p = last;
}

static void copy(struct text *t)
{
    bool quoted = false;
    while (t->p < t->end && !t->full) {
        uint8_t c = *t->p;
        bool opens = c == '"' && !quoted, ends = c == '"' && quoted && closes(t);
        t->trusted = t->trusted && !is_field(t, t->p);
        bool strict = quoted && !t->trusted;
        if (is_secret(t) || c == '?' || (strict && !ends && !shown_in_quotes(c))) {
            cut(t, &quoted);
            continue;
        }
        bool hidden = opens && opens_secret(t);
        if (at(t, t->p, "://")) {
            put(t, "://", 3);
            t->p += 3;
            cut_userinfo(t, &quoted);
            continue;
        }
        put_byte(t, c);
        t->p++;
        if (c == '"')
            quoted = opens;
        if (hidden)
            cut(t, &quoted);
    }
}

// ---- the front ----

static bool has_time(const struct text *t) // "2026/11/29 09:20:55 "
{
    static const char form[] = "dddd/dd/dd dd:dd:dd ";
    if ((size_t)(t->end - t->p) < sizeof form - 1)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++) {
        bool digit = t->p[i] >= '0' && t->p[i] <= '9';
        if (form[i] == 'd' ? !digit : t->p[i] != (uint8_t)form[i])
            return false;
    }
    return true;
}

// "7#7: " behind the level.
static void skip_pid(struct text *t)
{
    const uint8_t *p = t->p;
    while (p < t->end && ((*p >= '0' && *p <= '9') || *p == '#'))
        p++;
    if (p > t->p && at(t, p, ": "))
        t->p = p + 2;
}

static enum log_level take_level(struct text *t)
{
    static const struct {
        const char *word;
        enum log_level level;
    } levels[] = {{"[emerg] ", LOG_ERROR}, {"[alert] ", LOG_ERROR}, {"[crit] ", LOG_ERROR},
                  {"[error] ", LOG_WARN},  {"[warn] ", LOG_WARN},   {"[notice] ", LOG_INFO},
                  {"[info] ", LOG_INFO},   {"[debug] ", LOG_DEBUG}};
    if (has_time(t))
        t->p += 20;
    else if (at(t, t->p, "nginx: "))
        t->p += 7;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (at(t, t->p, levels[i].word)) {
            put(t, levels[i].word, strlen(levels[i].word));
            t->p += strlen(levels[i].word);
            skip_pid(t);
            return levels[i].level;
        }
    return LOG_WARN;
}

enum log_level edge_log_clean(const uint8_t *record, size_t n, char out[EDGE_LOG_LINE_MAX])
{
    while (n && (record[n - 1] == '\n' || record[n - 1] == '\r'))
        n--;
    struct text t = {.p = record, .start = record, .end = record + n, .out = out};
    enum log_level level = take_level(&t);
    t.trusted = t.n && !memcmp(out, "[emerg]", 7);
    copy(&t);
    out[t.n] = 0;
    return level;
}
