// SPDX-License-Identifier: Apache-2.0
// One request to one judged address, by libcurl, on the thread that asked; see outbound_priv.h.
#include "net/fetch_priv.h"
#include "net/outbound_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX_BYTES (64u << 10)
#define BODY_MAX_BYTES (1u << 20)
#define CONNECT_MAX_MS 10000u
#define LOOK_MS 100   // at `stop` and at idle time
#define CA_KEPT_S 60L // a file of authorities that was replaced counts after so long

struct transfer {
    const struct outbound_hop *hop;
    struct fetch_result *out;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    // of the response's body, so far and at most
    uint64_t n_body, max_bytes;
    int64_t last_byte_ms;
    curl_off_t moved;
    // our own reason for an aborted transfer, and its words
    int why;
    const char *why_text;
    // on_headers was told
    bool told;
    char message[CURL_ERROR_SIZE];
};

bool outbound_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// --- callbacks ---

static bool gives_way(const struct transfer *x)
{
    return x->hop->may_follow && outbound_is_redirect(x->out->status);
}

static int tell_headers(struct transfer *x)
{
    const struct outbound_request *q = x->hop->q;
    if (x->told || !q->on_headers || gives_way(x))
        return 0;
    x->told = true;
    return q->on_headers(q->ctx, x->out);
}

static bool streams(const struct transfer *x)
{
    return x->hop->q->on_data && x->out->status >= 200 && x->out->status < 300;
}

// The caller bounds what he asked for, which may be a few bytes: not the words of a redirect, nor
// those of an error in place of a stream.
static uint64_t body_limit(const struct transfer *x)
{
    if (gives_way(x) || (x->hop->q->on_data && !streams(x)))
        return BODY_MAX_BYTES;
    return x->max_bytes;
}

static int take_body(struct transfer *x, const uint8_t *p, size_t n)
{
    const struct outbound_request *q = x->hop->q;
    if (n > body_limit(x) - x->n_body) {
        x->why_text = "the response is larger than its limit";
        return ERR_TOOBIG;
    }
    x->n_body += n;
    if (gives_way(x))
        return 0;
    if (streams(x))
        return q->on_data(q->ctx, p, n);
    buf_add(&x->out->body, p, n);
    return x->out->body.err;
}

static size_t on_write(char *p, size_t one, size_t n, void *arg)
{
    struct transfer *x = arg;
    n *= one;
    x->why = take_body(x, (const uint8_t *)p, n);
    x->last_byte_ms = clock_mono_ms();
    if (x->why)
        return CURL_WRITEFUNC_ERROR;
    return n;
}

static int head_ends(struct transfer *x)
{
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || x->out->status)
        return 0;
    x->out->status = (int)status;
    return tell_headers(x);
}

// The target of a redirect asks nobody for a credential: who redirects there chose it, not the
// caller, and what it names (a realm) is where a caller would send his.
static bool asks_in_vain(const struct transfer *x, const char *line, size_t n)
{
    static const char name[] = "WWW-Authenticate";
    return !x->hop->first && n >= sizeof name - 1 && !strncasecmp(line, name, sizeof name - 1);
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
    struct transfer *x = arg;
    n *= one;
    size_t line = n;
    while (line && (p[line - 1] == '\r' || p[line - 1] == '\n'))
        line--;
    if (!line)
        x->why = head_ends(x);
    else if (line > 5 && !memcmp(p, "HTTP/", 5))
        buf_clear(&x->out->headers);                       // an interim response's are dropped
    else if (!x->out->status && !asks_in_vain(x, p, line)) // else a trailer
        x->why = fetch_header_keep(&x->out->headers, p, line);
    x->last_byte_ms = clock_mono_ms();
    if (x->why)
        return 0;
    return n;
}

static size_t on_read(char *to, size_t one, size_t n, void *arg)
{
    struct transfer *x = arg;
    const struct outbound_request *q = x->hop->q;
    size_t given = 0;
    x->why = q->on_body(q->ctx, (uint8_t *)to, one * n, &given);
    x->last_byte_ms = clock_mono_ms();
    if (!x->why && given > one * n)
        x->why = ERR_INVAL;
    if (x->why)
        return CURL_READFUNC_ABORT;
    return given;
}

// Called by libcurl while bytes move.
static int on_progress(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
                       curl_off_t ul)
{
    struct transfer *x = arg;
    (void)dl_total, (void)ul_total;
    if (dl + ul == x->moved)
        return 0;
    x->moved = dl + ul;
    x->last_byte_ms = clock_mono_ms();
    return 0;
}

// --- options ---

#define SET(option, value)                                              \
    do {                                                                \
        CURLcode set_ = curl_easy_setopt(x->easy, option, value);       \
        if (set_)                                                       \
            return set_ == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVAL; \
    } while (0)

static int header_add(struct transfer *x, const char *line)
{
    struct curl_slist *l = curl_slist_append(x->headers, line);
    if (!l)
        return ERR_NOMEM;
    x->headers = l;
    return 0;
}

static bool header_is(const char *line, const char *name)
{
    size_t n = strlen(name);
    return !strncasecmp(line, name, n) && line[n] == ':';
}

static bool header_is_one_of(const char *line, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (header_is(line, names[i]))
            return true;
    return false;
}

static bool header_ok(const char *line)
{
    static const char *const credentials[] = {"Authorization", "Cookie", "Proxy-Authorization"};
    const char *colon = strchr(line, ':');
    if (!colon || colon == line || strpbrk(line, "\r\n"))
        return false;
    return !header_is_one_of(line, credentials, ARRAY_LEN(credentials));
}

static int set_authorization(struct transfer *x)
{
    const char *value = x->hop->q->authorization;
    if (!value || !x->hop->first)
        return 0;
    if (strpbrk(value, "\r\n"))
        return ERR_INVAL;
    AUTO_FREE char *line = mem_printf("Authorization: %s", value);
    if (!line)
        return ERR_NOMEM;
    int rc = header_add(x, line);
    explicit_bzero(line, strlen(line));
    return rc;
}

static int set_headers(struct transfer *x)
{
    static const char *const go_on[] = {"Accept", "Range", "If-None-Match", "User-Agent"};
    const struct outbound_request *q = x->hop->q;
    bool typed = false, agent = false;
    int rc = header_add(x, "Expect:"); // no waiting for 100 Continue
    for (size_t i = 0; i < q->n_headers && !rc; i++) {
        const char *line = q->headers[i];
        if (!header_ok(line))
            return ERR_INVAL;
        if (!x->hop->first && !header_is_one_of(line, go_on, ARRAY_LEN(go_on)))
            continue;
        typed = typed || header_is(line, "Content-Type");
        agent = agent || header_is(line, "User-Agent");
        rc = header_add(x, line);
    }
    if (!rc && !typed)
        rc = header_add(x, "Content-Type:"); // libcurl would claim a form
    if (!rc && !agent)
        rc = header_add(x, "User-Agent: meridian");
    if (!rc)
        rc = set_authorization(x);
    if (rc)
        return rc;
    SET(CURLOPT_HTTPHEADER, x->headers);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); // a proxy gets none of them
    return 0;
}

static int set_streamed_body(struct transfer *x)
{
    const struct outbound_request *q = x->hop->q;
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, x);
    SET(CURLOPT_FRESH_CONNECT, 1L); // one that just closed would ask for the bytes again
    if (q->body_bytes != OUTBOUND_BODY_UNKNOWN) {
        if (q->body_bytes > INT64_MAX)
            return ERR_INVAL;
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_bytes);
        return 0;
    }
    int rc = header_add(x, "Transfer-Encoding: chunked");
    if (rc)
        return rc;
    SET(CURLOPT_HTTPHEADER, x->headers);
    return 0;
}

static int set_body(struct transfer *x)
{
    const struct outbound_request *q = x->hop->q;
    const char *method = q->method;
    if (!method)
        method = "GET";
    if (!strcmp(method, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
        return 0;
    }
    if (q->on_body) {
        int rc = set_streamed_body(x);
        if (rc)
            return rc;
    } else if (q->body.p || !strcmp(method, "POST") || !strcmp(method, "PUT") ||
               !strcmp(method, "PATCH")) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, q->body.p ? (const char *)q->body.p : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

static int set_tls(struct transfer *x)
{
    const struct outbound_request *q = x->hop->q;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (q->ca_pem.p) {
        struct curl_blob blob = {
            .data = (void *)q->ca_pem.p, .len = q->ca_pem.n, .flags = CURL_BLOB_COPY};
        SET(CURLOPT_CAPATH, NULL); // that authority alone, not the system's as well
        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAINFO_BLOB, &blob);
    } else if (q->ca_file) {
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_CAINFO, q->ca_file);
    }
    SET(CURLOPT_CA_CACHE_TIMEOUT, CA_KEPT_S);
    return 0;
}

static int set_callbacks(struct transfer *x)
{
    SET(CURLOPT_ERRORBUFFER, x->message);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, x);
    SET(CURLOPT_NOPROGRESS, 0L);
    return 0;
}

// Invariants 1 and 2. An empty proxy, and nothing exempt from a proxy, also keep libcurl from the
// environment.
static int set_place(struct transfer *x, const struct outbound *o)
{
    const struct outbound_hop *hop = x->hop;
    const char *proxy = "";
    if (o->proxy)
        proxy = o->proxy;
    SET(CURLOPT_URL, hop->url->text);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_PROXY, proxy);
    SET(CURLOPT_HTTPPROXYTUNNEL, o->proxy ? 1L : 0L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (!hop->ip)
        return 0;
    struct endpoint e = {*hop->ip, hop->port};
    char at[ENDPOINT_TEXT_SIZE], line[ENDPOINT_TEXT_SIZE + 2];
    snprintf(line, sizeof line, "::%s", endpoint_format(&e, at)); // any host, any port: there
    x->connect_to = curl_slist_append(NULL, line);
    if (!x->connect_to)
        return ERR_NOMEM;
    SET(CURLOPT_CONNECT_TO, x->connect_to);
    return 0;
}

static int set_times(struct transfer *x)
{
    const struct outbound_hop *hop = x->hop;
    uint32_t connect_ms = CONNECT_MAX_MS;
    if (hop->connect_timeout_ms && hop->connect_timeout_ms < connect_ms)
        connect_ms = hop->connect_timeout_ms;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (!hop->deadline_ms)
        return 0;
    int64_t left = hop->deadline_ms - clock_mono_ms();
    if (left < 1)
        left = 1;
    SET(CURLOPT_TIMEOUT_MS, (long)left);
    return 0;
}

static int set_all(struct transfer *x, const struct outbound *o)
{
    static int (*const steps[])(struct transfer * x) = {set_callbacks, set_headers, set_body,
                                                        set_tls, set_times};
    int rc = set_place(x, o);
    for (size_t i = 0; i < ARRAY_LEN(steps) && !rc; i++)
        rc = steps[i](x);
    return rc;
}

// --- handles ---

static struct outbound_handle *handle_new(void)
{
    struct outbound_handle *h = mem_zalloc(sizeof *h);
    if (!h)
        return NULL;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (h->multi && h->easy)
        return h;
    outbound_handle_free(h);
    return NULL;
}

void outbound_handle_free(struct outbound_handle *h)
{
    if (h->easy)
        curl_easy_cleanup(h->easy);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    free(h);
}

static struct outbound_handle *handle_get(struct outbound *o)
{
    struct outbound_handle *h = NULL;
    pthread_mutex_lock(&o->lock);
    if (o->n_idle)
        h = o->idle[--o->n_idle];
    pthread_mutex_unlock(&o->lock);
    if (h)
        return h;
    return handle_new();
}

static void handle_put(struct outbound *o, struct outbound_handle *h)
{
    curl_easy_reset(h->easy);
    pthread_mutex_lock(&o->lock);
    bool room = o->n_idle < OUTBOUND_IDLE_HANDLES;
    if (room)
        o->idle[o->n_idle++] = h;
    pthread_mutex_unlock(&o->lock);
    if (!room)
        outbound_handle_free(h);
}

// --- the transfer ---

// Whether it goes on: not when it was told to stop, or nothing moves.
static bool goes_on(struct transfer *x)
{
    const struct outbound_request *q = x->hop->q;
    if (q->stop && atomic_load(q->stop)) {
        x->why = ERR_CANCELED;
        return false;
    }
    if (!q->idle_timeout_ms || clock_mono_ms() - x->last_byte_ms < q->idle_timeout_ms)
        return true;
    x->why = ERR_TIMEOUT;
    x->why_text = "nothing came for too long";
    return false;
}

static CURLcode code_of(CURLM *multi)
{
    int left;
    CURLMsg *m = curl_multi_info_read(multi, &left);
    if (m && m->msg == CURLMSG_DONE)
        return m->data.result;
    return CURLE_OUT_OF_MEMORY;
}

static CURLcode perform(struct transfer *x, CURLM *multi)
{
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_add_handle(multi, x->easy))
        return CURLE_OUT_OF_MEMORY;
    for (int running = 1; running && goes_on(x);) {
        if (curl_multi_perform(multi, &running))
            break;
        if (running)
            curl_multi_poll(multi, NULL, 0, LOOK_MS, NULL);
        else
            code = code_of(multi);
    }
    curl_multi_remove_handle(multi, x->easy);
    return code;
}

static void describe(const struct transfer *x, int rc, const char *text)
{
    char at[ENDPOINT_TEXT_SIZE] = "the proxy";
    if (x->hop->ip) {
        struct endpoint e = {*x->hop->ip, x->hop->port};
        endpoint_format(&e, at);
    }
    if (!text || !*text)
        text = err_text(rc);
    snprintf(x->out->message, sizeof x->out->message, "%.200s (at %s): %.200s", x->hop->url->host,
             at, text);
}

static int outcome(struct transfer *x, CURLcode code)
{
    if (!code)
        return tell_headers(x); // an answer without a body
    const char *text = curl_easy_strerror(code);
    if (*x->message)
        text = x->message;
    int rc = x->why;
    if (rc)
        text = x->why_text;
    else
        rc = fetch_error_of(code, text);
    describe(x, rc, text);
    return rc;
}

int outbound_transfer(struct outbound *o, const struct outbound_hop *hop, struct fetch_result *out,
                      bool *out_sent)
{
    struct transfer x = {.hop = hop, .out = out, .max_bytes = BODY_MAX_BYTES};
    if (hop->q->max_bytes)
        x.max_bytes = hop->q->max_bytes;
    *out_sent = false;
    out->status = 0;
    buf_done(&out->body);
    buf_done(&out->headers);
    buf_init(&out->body, 0);
    buf_init(&out->headers, HEADERS_MAX_BYTES);
    struct outbound_handle *handle = handle_get(o);
    if (!handle)
        return ERR_NOMEM;
    x.easy = handle->easy;
    x.last_byte_ms = clock_mono_ms();
    int rc = set_all(&x, o);
    if (rc) {
        describe(&x, rc, rc == ERR_INVAL ? "the request is not one that can be made" : NULL);
    } else {
        curl_off_t began_us = 0;
        CURLcode code = perform(&x, handle->multi);
        curl_easy_getinfo(x.easy, CURLINFO_PRETRANSFER_TIME_T, &began_us);
        *out_sent = began_us > 0;
        rc = outcome(&x, code);
    }
    handle_put(o, handle);
    curl_slist_free_all(x.headers);
    curl_slist_free_all(x.connect_to);
    return rc;
}
