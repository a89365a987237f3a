// SPDX-License-Identifier: Apache-2.0
// HTTP client over one libcurl multi loop; see fetch.h. Other threads only append to the inbox, set
// flags of a running fetch, and wake the loop; every libcurl call on a handle happens on the
// fetcher's thread.
#include "net/fetch.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FETCH_HEADERS_MAX (64 << 10)
#define SILENT "the region went silent"
#define KEEPALIVE_AFTER_S 4 // of a connection to a peer on which nothing moves
#define KEEPALIVE_EVERY_S 2
#define CONNECTION_AGE_MAX_S 118 // libcurl's own: it reuses none that was idle for longer

struct fetch {
    struct fetcher *fetcher;
    // inbox (next only) or the running list
    struct fetch *prev, *next;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    uint8_t *body;
    // of a chunked body
    size_t n_body, sent;
    // as libcurl counts
    curl_off_t uploaded;
    size_t max_bytes;
    uint32_t idle_timeout_ms;
    int64_t started_ms, last_byte_ms;
    int (*on_data)(void *ctx, struct fetch *f, const uint8_t *p, size_t n);
    void (*on_headers)(void *ctx, struct fetch *f, int status);
    void *ctx;
    void (*done)(void *ctx, struct fetch_result *r);
    char *peer;
    bool looks_for_peer;
    // lost_mono of its peer when it began
    int64_t lost_seen;
    // blank-separated; NULL: any certificate that verifies
    char *pins;
    // our own reason for an aborted transfer
    int why;
    bool paused;
    _Atomic bool cancel, resume;
    char curl_message[CURL_ERROR_SIZE];
    struct fetch_result result;
};

struct peer_loss { // a peer was found silent
    char *peer;
    // the last time
    int64_t lost_mono;
    struct peer_loss *next;
};

struct fetcher {
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock;
    // under the lock
    struct fetch *inbox;
    // under the lock
    bool stop;
    // under the lock; one for each region that was ever lost
    struct peer_loss *losses;
    // grows with each fetcher_peer_lost
    _Atomic unsigned n_losses;
    // the loop's own
    unsigned n_losses_seen;
    struct fetch *running;
    void (*suspect)(void *ctx, const char *peer, char *out, size_t cap);
    void *suspect_ctx;
};

// --- libcurl's callbacks ---

static size_t on_write(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *h = arg;
    n *= one;
    h->last_byte_ms = clock_mono_ms();
    if (h->on_data && h->result.status >= 200 && h->result.status < 300) {
        int rc = h->on_data(h->ctx, h, (const uint8_t *)p, n);
        if (rc == ERR_BUSY) {
            h->paused = true;
            return CURL_WRITEFUNC_PAUSE;
        }
        h->why = rc;
        if (rc)
            return CURL_WRITEFUNC_ERROR;
        return n;
    }
    if (n > h->max_bytes - h->result.body.n)
        h->why = ERR_TOOBIG;
    else {
        buf_add(&h->result.body, p, n);
        h->why = h->result.body.err;
    }
    if (h->why)
        return CURL_WRITEFUNC_ERROR;
    return n;
}

// Is the certificate that the server showed on this connection one of the pinned ones? Requests to
// peers carry nothing that an impostor would want, so that it is early enough to look before the
// first byte of the response is believed.
static bool pin_holds(const struct fetch *h)
{
    struct curl_tlssessioninfo *tls = NULL;
    if (curl_easy_getinfo(h->easy, CURLINFO_TLS_SSL_PTR, &tls) || !tls ||
        tls->backend != CURLSSLBACKEND_OPENSSL || !tls->internals)
        return false;
    X509 *x = SSL_get1_peer_certificate(tls->internals);
    uint8_t sum[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned n = 0;
    bool ok = x && X509_digest(x, EVP_sha256(), sum, &n) && n == SHA256_BYTES;
    X509_free(x);
    if (ok)
        hex_format(sum, n, hex);
    return ok && strstr(h->pins, hex); // all of one length, blanks between
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *h = arg;
    n *= one;
    h->last_byte_ms = clock_mono_ms();
    size_t line = n;
    while (line && (p[line - 1] == '\r' || p[line - 1] == '\n'))
        line--;
    if (line > 5 && !memcmp(p, "HTTP/", 5) && h->pins && !pin_holds(h)) {
        h->why = ERR_DENIED;
        return 0;
    }
    if (line > 5 && !memcmp(p, "HTTP/", 5)) { // an interim response's headers are dropped
        buf_clear(&h->result.headers);
        return n;
    }
    if (!line) {
        long status = 0;
        curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && !h->result.status) {
            h->result.status = (int)status;
            if (h->on_headers)
                h->on_headers(h->ctx, h, (int)status);
        }
        return n;
    }
    const char *colon = memchr(p, ':', line);
    if (!colon)
        return n;
    size_t name = (size_t)(colon - p);
    for (size_t i = 0; i < name; i++)
        buf_u8(&h->result.headers, (uint8_t)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]));
    buf_str(&h->result.headers, ": ");
    const char *v = colon + 1;
    while (v < p + line && (*v == ' ' || *v == '\t'))
        v++;
    buf_add(&h->result.headers, v, (size_t)(p + line - v));
    buf_u8(&h->result.headers, '\n');
    h->why = h->result.headers.err;
    if (h->why)
        return 0;
    return n;
}

static size_t on_read(char *to, size_t one, size_t n, void *arg)
{
    struct fetch *h = arg;
    n *= one;
    if (n > h->n_body - h->sent)
        n = h->n_body - h->sent;
    memcpy(to, h->body + h->sent, n);
    h->sent += n;
    h->last_byte_ms = clock_mono_ms();
    return n;
}

// Sending large bodies counts as life too; called often by libcurl while data moves either way.
static int on_progress(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
                       curl_off_t ul)
{
    struct fetch *h = arg;
    (void)dl_total, (void)dl, (void)ul_total;
    if (ul > h->uploaded) {
        h->uploaded = ul;
        h->last_byte_ms = clock_mono_ms();
    }
    return 0;
}

// --- one request ---

static void fetch_free(struct fetch *h)
{
    if (!h)
        return;
    if (h->easy)
        curl_easy_cleanup(h->easy);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->connect_to);
    fetch_result_done(&h->result);
    free(h->body);
    free(h->pins);
    free(h->peer);
    free(h);
}

static int header_add(struct fetch *h, const char *line)
{
    struct curl_slist *l = curl_slist_append(h->headers, line);
    if (!l)
        return ERR_NOMEM;
    h->headers = l;
    return 0;
}

static int setup_headers(struct fetch *h, const struct fetch_request *q)
{
    bool typed = false;
    int rc = header_add(h, "Expect:"); // no waiting for 100 Continue
    for (size_t i = 0; i < q->n_headers && !rc; i++) {
        if (strpbrk(q->headers[i], "\r\n"))
            return ERR_INVAL;
        typed = typed || !strncasecmp(q->headers[i], "Content-Type:", 13);
        rc = header_add(h, q->headers[i]);
    }
    if (!rc && !typed)
        rc = header_add(h, "Content-Type:"); // libcurl would claim a form
    if (!rc && q->chunked)
        rc = header_add(h, "Transfer-Encoding: chunked");
    return rc;
}

#define SET(option, value)                                              \
    do {                                                                \
        CURLcode set_ = curl_easy_setopt(h->easy, option, value);       \
        if (set_)                                                       \
            return set_ == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVAL; \
    } while (0)

static int setup_body(struct fetch *h, const struct fetch_request *q)
{
    const char *method = q->method;
    if (!method)
        method = "GET";
    if (q->body.p) {
        h->body = mem_alloc(q->body.n);
        if (!h->body)
            return ERR_NOMEM;
        memcpy(h->body, q->body.p, q->body.n);
        h->n_body = q->body.n;
    }
    if (!strcmp(method, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
        return 0;
    }
    if (q->chunked) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, on_read);
        SET(CURLOPT_READDATA, h);
    } else if (h->body || !strcmp(method, "POST") || !strcmp(method, "PUT") ||
               !strcmp(method, "PATCH")) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, h->body ? (char *)h->body : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->n_body);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

static int setup_tls(struct fetch *h, const struct fetch_request *q)
{
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (q->ca_file) {
        SET(CURLOPT_CAPATH, NULL); // the named authority only, not the system's as well
        SET(CURLOPT_CAINFO, q->ca_file);
    }
    if (q->client_pem) {
        SET(CURLOPT_SSLCERT, q->client_pem);
        SET(CURLOPT_SSLKEY, q->client_pem);
    }
    if (q->pinned) {
        AUTO_BUF struct buf pins;
        buf_init(&pins, 0);
        for (size_t i = 0; i < q->n_pins; i++)
            buf_printf(&pins, "%s ", q->pins[i]);
        if (pins.err)
            h->pins = NULL;
        else
            h->pins = mem_strdup(buf_cstr(&pins));
        if (!h->pins)
            return ERR_NOMEM;
    }
    return 0;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg, (void)purpose;
    unsigned limit_ms = FETCH_PEER_SILENCE_MS;
    // no TCP on a unix socket
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
    return CURL_SOCKOPT_OK;
}

// Under the lock. 0: never lost.
static int64_t lost_mono(const struct fetcher *f, const char *peer)
{
    const struct peer_loss *l = f->losses;
    while (l && strcmp(l->peer, peer) != 0)
        l = l->next;
    if (l)
        return l->lost_mono;
    return 0;
}

// A connection of before the loss would be waited on for as long as TCP hopes. libcurl counts their
// idle time in whole seconds.
static int setup_peer(struct fetch *h, const struct fetch_request *q)
{
    if (!q->peer)
        return 0;
    h->peer = mem_strdup(q->peer);
    h->looks_for_peer = q->looks_for_peer;
    if (!h->peer)
        return ERR_NOMEM;
    pthread_mutex_lock(&h->fetcher->lock);
    h->lost_seen = lost_mono(h->fetcher, q->peer);
    pthread_mutex_unlock(&h->fetcher->lock);
    int64_t age_s = CONNECTION_AGE_MAX_S;
    if (h->lost_seen)
        age_s = (clock_mono_ms() - h->lost_seen) / 1000 - 1;
    if (age_s < 1)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    else if (age_s < CONNECTION_AGE_MAX_S)
        SET(CURLOPT_MAXAGE_CONN, (long)age_s);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_AFTER_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_EVERY_S);
    return 0;
}

static int setup(struct fetch *h, const struct fetch_request *q)
{
    int rc = setup_headers(h, q);
    if (rc)
        return rc;
    SET(CURLOPT_ERRORBUFFER, h->curl_message);
    SET(CURLOPT_URL, q->url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, q->unix_socket || q->connect_only ? "http,https" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTPHEADER, h->headers);
    SET(CURLOPT_PRIVATE, h);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, h);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, h);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(q->connect_timeout_ms ? q->connect_timeout_ms : 5000));
    SET(CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    if (q->connect_only)
        SET(CURLOPT_CONNECT_ONLY, 1L);
    if (q->fresh_connection || q->connect_only) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    if (q->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
    if (q->connect_to) {
        char at[ENDPOINT_TEXT_SIZE], line[ENDPOINT_TEXT_SIZE + 2];
        // any host, any port → there
        snprintf(line, sizeof line, "::%s", endpoint_format(q->connect_to, at));
        h->connect_to = curl_slist_append(NULL, line);
        if (!h->connect_to)
            return ERR_NOMEM;
        SET(CURLOPT_CONNECT_TO, h->connect_to);
    }
    if (q->user) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, q->user);
        SET(CURLOPT_PASSWORD, q->password ? q->password : "");
    }
    rc = setup_tls(h, q);
    if (!rc)
        rc = setup_peer(h, q);
    if (rc)
        return rc;
    return setup_body(h, q);
}

static int error_of(CURLcode code, const char *message)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR: // also what a connection reset in mid-handshake is called
        if (strstr(message, "SYSCALL") || strstr(message, "reset"))
            return ERR_UNREACHABLE;
        return ERR_CRYPTO;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
        return ERR_CRYPTO;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_INVAL;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERR_PROTO;
    default:
        return ERR_UNREACHABLE;
    }
}

// A certificate whose dates do not fit says nothing yet of whose clock is wrong.
static const char *dates_message(struct fetch *h, const char *text, char *out, size_t cap)
{
    char now[CLOCK_TEXT_SIZE], why[320] = "";
    long verify = X509_V_OK;
    curl_easy_getinfo(h->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    if (verify != X509_V_ERR_CERT_NOT_YET_VALID && verify != X509_V_ERR_CERT_HAS_EXPIRED)
        return text;
    if (h->fetcher->suspect)
        h->fetcher->suspect(h->fetcher->suspect_ctx, h->peer, why, sizeof why);
    else if (verify == X509_V_ERR_CERT_NOT_YET_VALID)
        snprintf(why, sizeof why,
                 "is that right? If not, set this machine's clock; else that of the other side was "
                 "wrong");
    snprintf(out, cap, "%.120s (by this machine's clock it is %s)%s%s", text,
             clock_format(clock_wall_ms(), now), *why ? "; " : "", why);
    return out;
}

static void fetch_finish(struct fetch *h, int err, const char *message)
{
    struct fetcher *f = h->fetcher;
    assert((f->running == h) == !h->prev);
    if (h->prev)
        h->prev->next = h->next;
    else
        f->running = h->next;
    if (h->next)
        h->next->prev = h->prev;
    curl_multi_remove_handle(f->multi, h->easy);
    struct fetch_result *r = &h->result;
    r->err = err;
    if (err)
        snprintf(r->message, sizeof r->message, "%s",
                 message && *message ? message : err_text(err));
    r->elapsed_ms = clock_mono_ms() - h->started_ms;
    h->done(h->ctx, r);
    fetch_free(h);
}

// --- the loop ---

static void loop_completed(struct fetcher *f)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct fetch *h = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&h);
        char dated[sizeof h->result.message];
        const char *text;
        if (*h->curl_message)
            text = h->curl_message;
        else
            text = curl_easy_strerror(code);
        if (code == CURLE_PEER_FAILED_VERIFICATION)
            text = dates_message(h, text, dated, sizeof dated);
        if (!code)
            fetch_finish(h, 0, NULL);
        else if (h->why)
            fetch_finish(h, h->why,
                         h->why == ERR_TOOBIG ? "the response is larger than its limit"
                         : h->why == ERR_DENIED && h->pins
                             ? "its certificate is not the one that the topology pins"
                             : NULL);
        else
            fetch_finish(h, error_of(code, text), text);
    }
}

// Was its peer lost since it began?
static bool fetch_lost(struct fetcher *f, const struct fetch *h)
{
    if (!h->peer || h->looks_for_peer)
        return false;
    pthread_mutex_lock(&f->lock);
    bool lost = lost_mono(f, h->peer) > h->lost_seen;
    pthread_mutex_unlock(&f->lock);
    return lost;
}

static void loop_losses(struct fetcher *f)
{
    unsigned n = atomic_load(&f->n_losses);
    if (n == f->n_losses_seen)
        return;
    f->n_losses_seen = n;
    for (struct fetch *h = f->running, *next; h; h = next) {
        next = h->next;
        if (fetch_lost(f, h))
            fetch_finish(h, ERR_UNREACHABLE, SILENT);
    }
}

// Flags set by other threads, and idle time. Returns how long the loop may sleep.
static int loop_attend(struct fetcher *f)
{
    int64_t now = clock_mono_ms(), wait = 1000;
    for (struct fetch *h = f->running, *next; h; h = next) {
        next = h->next;
        if (atomic_load(&h->cancel)) {
            fetch_finish(h, ERR_CANCELED, NULL);
            continue;
        }
        if (h->paused && atomic_exchange(&h->resume, false)) {
            h->paused = false;
            h->last_byte_ms = now;
            curl_easy_pause(h->easy, CURLPAUSE_CONT); // may deliver at once, and pause again
            wait = 0;
        }
        if (!h->idle_timeout_ms || h->paused)
            continue;
        int64_t left = h->last_byte_ms + h->idle_timeout_ms - now;
        if (left <= 0)
            fetch_finish(h, ERR_TIMEOUT, "nothing came for too long");
        else if (left < wait)
            wait = left;
    }
    return (int)wait;
}

static void loop_accept(struct fetcher *f, struct fetch *h)
{
    while (h) {
        struct fetch *next = h->next;
        h->prev = NULL;
        h->next = f->running;
        // The analyser thinks that curl's calls may put back what fetch_finish took out of the list.
        if (h->next)
            h->next->prev = h; // NOLINT(clang-analyzer-unix.Malloc)
        f->running = h;
        h->last_byte_ms = clock_mono_ms();
        if (curl_multi_add_handle(f->multi, h->easy))
            fetch_finish(h, ERR_NOMEM, NULL);
        else if (fetch_lost(f, h))
            fetch_finish(h, ERR_UNREACHABLE, SILENT);
        h = next;
    }
}

static void *loop_thread(void *arg)
{
    struct fetcher *f = arg;
    pthread_setname_np(pthread_self(), "fetch");
    for (;;) {
        pthread_mutex_lock(&f->lock);
        struct fetch *news = take_ptr(f->inbox);
        bool stop = f->stop;
        pthread_mutex_unlock(&f->lock);
        loop_accept(f, news);
        if (stop)
            break;
        int running;
        curl_multi_perform(f->multi, &running);
        loop_completed(f);
        loop_losses(f);
        int wait = loop_attend(f);
        curl_multi_poll(f->multi, NULL, 0, wait, NULL);
    }
    while (f->running)
        // As above. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        fetch_finish(f->running, ERR_CANCELED, NULL);
    return NULL;
}

// --- what callers use ---

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int fetcher_new(struct fetcher **out)
{
    pthread_once(&curl_once, curl_start);
    struct fetcher *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->multi = curl_multi_init();
    pthread_mutex_init(&f->lock, NULL);
    if (!f->multi || pthread_create(&f->thread, NULL, loop_thread, f)) {
        if (f->multi)
            curl_multi_cleanup(f->multi);
        pthread_mutex_destroy(&f->lock);
        free(f);
        return ERR_NOMEM;
    }
    *out = f;
    return 0;
}

void fetcher_set_suspect(struct fetcher *f,
                         void (*suspect)(void *ctx, const char *peer, char *out, size_t cap),
                         void *ctx)
{
    f->suspect = suspect;
    f->suspect_ctx = ctx;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    curl_multi_wakeup(f->multi);
    pthread_join(f->thread, NULL);
    curl_multi_cleanup(f->multi);
    for (struct peer_loss *l = f->losses, *next; l; l = next) {
        next = l->next;
        free(l->peer);
        free(l);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void fetcher_peer_lost(struct fetcher *f, const char *peer)
{
    pthread_mutex_lock(&f->lock);
    struct peer_loss *l = f->losses;
    while (l && strcmp(l->peer, peer) != 0)
        l = l->next;
    if (!l && (l = mem_zalloc(sizeof *l)) && (l->peer = mem_strdup(peer))) {
        l->next = f->losses;
        f->losses = l;
    }
    if (l && l->peer)
        l->lost_mono = clock_mono_ms();
    else
        free(l); // out of memory: their own limits end them
    pthread_mutex_unlock(&f->lock);
    atomic_fetch_add(&f->n_losses, 1);
    curl_multi_wakeup(f->multi);
}

static bool url_ok(const struct fetch_request *q)
{
    return q->url && (!strncmp(q->url, "https://", 8) ||
                      ((q->unix_socket || q->connect_only) && !strncmp(q->url, "http://", 7)));
}

int fetch_start(struct fetcher *f, const struct fetch_request *q,
                void (*done)(void *ctx, struct fetch_result *r), struct fetch **out_handle)
{
    if (!url_ok(q) || (!q->timeout_ms && !q->idle_timeout_ms))
        return ERR_INVAL;
    struct fetch *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    h->fetcher = f;
    if (q->max_bytes)
        h->max_bytes = q->max_bytes;
    else
        h->max_bytes = 1 << 20;
    h->idle_timeout_ms = q->idle_timeout_ms;
    h->on_data = q->on_data;
    h->on_headers = q->on_headers;
    h->ctx = q->ctx;
    h->done = done;
    h->started_ms = clock_mono_ms();
    buf_init(&h->result.body, 0);
    buf_init(&h->result.headers, FETCH_HEADERS_MAX);
    h->easy = curl_easy_init();
    int rc = ERR_NOMEM;
    if (h->easy)
        rc = setup(h, q);
    if (rc) {
        fetch_free(h);
        return rc;
    }
    if (out_handle)
        *out_handle = h; // before the loop can see it: done may come at once
    pthread_mutex_lock(&f->lock);
    bool stopped = f->stop;
    if (!stopped) {
        h->next = f->inbox;
        f->inbox = h;
    }
    pthread_mutex_unlock(&f->lock);
    if (stopped) {
        fetch_free(h);
        return ERR_CLOSED;
    }
    curl_multi_wakeup(f->multi);
    return 0;
}

void fetch_cancel(struct fetcher *f, struct fetch *h)
{
    atomic_store(&h->cancel, true);
    curl_multi_wakeup(f->multi);
}

void fetch_resume(struct fetcher *f, struct fetch *h)
{
    atomic_store(&h->resume, true);
    curl_multi_wakeup(f->multi);
}

#define STOP_LOOK_MS 100

struct fetch_wait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    struct fetch_result *out;
    const struct fetch_request *q;
};

static int wait_data(void *arg, struct fetch *h, const uint8_t *p, size_t n)
{
    struct fetch_wait *w = arg;
    return w->q->on_data(w->q->ctx, h, p, n);
}

static void wait_headers(void *arg, struct fetch *h, int status)
{
    struct fetch_wait *w = arg;
    w->q->on_headers(w->q->ctx, h, status);
}

static void wait_done(void *arg, struct fetch_result *r)
{
    struct fetch_wait *w = arg;
    pthread_mutex_lock(&w->lock);
    *w->out = *r;
    *r = (struct fetch_result){0}; // moved
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

// Under w->lock, which wait_done needs too: while it has not been there the handle is valid.
static void wait_or_cancel(struct fetch_wait *w, struct fetcher *f, struct fetch *h)
{
    int64_t at_ms = clock_mono_ms() + STOP_LOOK_MS;
    const struct timespec at = {at_ms / 1000, at_ms % 1000 * 1000000};
    if (!w->q->stop) {
        pthread_cond_wait(&w->cond, &w->lock);
        return;
    }
    if (atomic_load(w->q->stop))
        fetch_cancel(f, h);
    pthread_cond_timedwait(&w->cond, &w->lock, &at);
}

int fetch_run(struct fetcher *f, const struct fetch_request *q, struct fetch_result *out)
{
    struct fetch_wait w = {.lock = PTHREAD_MUTEX_INITIALIZER, .out = out, .q = q};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w.cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct fetch_request mine = *q;
    mine.ctx = &w;
    if (q->on_data)
        mine.on_data = wait_data;
    else
        mine.on_data = NULL;
    if (q->on_headers)
        mine.on_headers = wait_headers;
    else
        mine.on_headers = NULL;
    *out = (struct fetch_result){0};
    struct fetch *h;
    int rc = fetch_start(f, &mine, wait_done, &h);
    if (rc) {
        out->err = rc;
        snprintf(out->message, sizeof out->message, "%s", err_text(rc));
        pthread_cond_destroy(&w.cond);
        return rc;
    }
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        wait_or_cancel(&w, f, h);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    return out->err;
}

void fetch_result_done(struct fetch_result *r)
{
    buf_done(&r->body);
    buf_done(&r->headers);
}

const char *fetch_result_header(const struct fetch_result *r, const char *name, char *out,
                                size_t cap)
{
    size_t n = strlen(name);
    for (const char *l = buf_cstr(&r->headers); *l;) {
        const char *end = strchr(l, '\n');
        if (!end)
            break;
        if ((size_t)(end - l) > n + 1 && !strncasecmp(l, name, n) && l[n] == ':') {
            size_t len = (size_t)(end - l) - n - 2;
            if (len >= cap)
                return NULL;
            memcpy(out, l + n + 2, len);
            out[len] = 0;
            return out;
        }
        l = end + 1;
    }
    return NULL;
}
