// SPDX-License-Identifier: Apache-2.0
// libcurl's callbacks of a transfer, and what its outcome means. On the fetcher's thread.
#include "net/fetch_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t fetch_on_write(char *p, size_t one, size_t n, void *arg)
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

// The end of a head: of the response, or of an interim one.
static void head_ends(struct fetch *h)
{
    long status = 0;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || h->result.status)
        return;
    h->result.status = (int)status;
    if (h->on_headers)
        h->on_headers(h->ctx, h, (int)status);
}

static uint8_t lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c + 32);
    return (uint8_t)c;
}

// Kept as "name: value\n", the name in lower case.
int fetch_header_keep(struct buf *to, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n), *end = line + n;
    if (!colon)
        return 0;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    for (const char *p = line; p < colon; p++)
        buf_u8(to, lower(*p));
    buf_str(to, ": ");
    buf_add(to, value, (size_t)(end - value));
    buf_u8(to, '\n');
    return to->err;
}

size_t fetch_on_header(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *h = arg;
    n *= one;
    h->last_byte_ms = clock_mono_ms();
    size_t line = n;
    while (line && (p[line - 1] == '\r' || p[line - 1] == '\n'))
        line--;
    if (!line) {
        head_ends(h);
        return n;
    }
    if (line > 5 && !memcmp(p, "HTTP/", 5)) {
        if (h->pins && !pin_holds(h)) { // invariant 3
            h->why = ERR_DENIED;
            return 0;
        }
        buf_clear(&h->result.headers); // an interim response's headers are dropped
        return n;
    }
    h->why = fetch_header_keep(&h->result.headers, p, line);
    if (h->why)
        return 0;
    return n;
}

size_t fetch_on_read(char *to, size_t one, size_t n, void *arg)
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
int fetch_on_progress(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
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

int fetch_error_of(CURLcode code, const char *message)
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

// Why we ended it ourselves; NULL: the error's own text says it.
static const char *own_reason(const struct fetch *h)
{
    if (h->why == ERR_TOOBIG)
        return "the response is larger than its limit";
    if (h->why == ERR_DENIED && h->pins)
        return "its certificate is not the one that the topology pins";
    return NULL;
}

int fetch_outcome(struct fetch *h, CURLcode code, char *out, size_t cap, const char **out_message)
{
    *out_message = NULL;
    if (!code)
        return 0;
    const char *text = curl_easy_strerror(code);
    if (*h->curl_message)
        text = h->curl_message;
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        text = dates_message(h, text, out, cap);
    if (h->why) {
        *out_message = own_reason(h);
        return h->why;
    }
    *out_message = text;
    return fetch_error_of(code, text);
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
