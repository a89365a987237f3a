// SPDX-License-Identifier: Apache-2.0
// DNS over TLS; see dot.h. OpenSSL's error queue is the thread's: emptied before each call, so that
// an old error is not taken for a new one.
#include "resolver/serve/dot.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define PEM_MAX_BYTES (1u << 20)

// Of the socket, for one call: two for a record. What a handshake takes at a time, and little more.
#define READS_PER_CALL 8

struct dot_identity { // frozen
    struct snapshot_head head;
    SSL_CTX *ctx;
};

struct dot_session {
    SSL *ssl;
    // of this call
    unsigned n_reads;
    bool wants_write, broken;
};

static void identity_free(void *self)
{
    struct dot_identity *id = self;
    SSL_CTX_free(id->ctx);
    free(id);
}

// RFC 7301 section 3.2: who offers protocols, but not this one, is told so. A browser's request
// must not be mistaken for a query.
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned int n, void *arg)
{
    static const unsigned char ours[] = "\3dot";
    unsigned char *got;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&got, out_n, ours, sizeof ours - 1, in, n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = got;
    return SSL_TLSEXT_ERR_OK;
}

static int no_password(char *p, int n, int writes, void *arg)
{
    (void)p, (void)n, (void)writes, (void)arg;
    return -1; // else OpenSSL would ask whoever sits at the terminal
}

// Certificate, chain and key, in any order as far as the key is concerned.
static bool use_pem(SSL_CTX *ctx, struct bytes pem)
{
    BIO *certs = BIO_new_mem_buf(pem.p, (int)pem.n), *keys = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = NULL, *link;
    if (certs)
        x = PEM_read_bio_X509(certs, NULL, no_password, NULL);
    EVP_PKEY *key = NULL;
    if (keys)
        key = PEM_read_bio_PrivateKey(keys, NULL, no_password, NULL);
    bool ok = x && key && SSL_CTX_use_certificate(ctx, x) == 1;
    while (ok && (link = PEM_read_bio_X509(certs, NULL, no_password, NULL)))
        if (SSL_CTX_add0_chain_cert(ctx, link) != 1) {
            X509_free(link);
            ok = false;
        }
    unsigned long end = ERR_peek_last_error(); // the end of the file, or a certificate that is none
    ok = ok && ERR_GET_LIB(end) == ERR_LIB_PEM && ERR_GET_REASON(end) == PEM_R_NO_START_LINE;
    if (ok)
        ERR_clear_error();
    ok = ok && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(certs);
    BIO_free(keys);
    return ok;
}

static SSL_CTX *make_context(const char *pem_path, struct bytes pem, struct diag *diag)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return NULL;
    // A client that just closes has said all that frames say: their lengths show whether one is
    // whole.
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    // tickets only: clients keep their sessions themselves
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0); // could be replayed
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 && use_pem(ctx, pem))
        return ctx;
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    diag_add(diag, pem_path, 0, "no certificate, chain and key: %s", why ? why : "unknown reason");
    SSL_CTX_free(ctx);
    return NULL;
}

int dot_identity_load(const char *pem_path, struct diag *diag, struct dot_identity **out)
{
    AUTO_BUF struct buf pem;
    buf_init(&pem, PEM_MAX_BYTES);
    int rc = file_read_secret(pem_path, PEM_MAX_BYTES, &pem);
    if (rc) {
        diag_add(diag, pem_path, 0, "%s",
                 rc == ERR_DENIED ? "cannot be read, or others can read the key in it (chmod 600)"
                                  : err_text(rc));
        return rc;
    }
    struct dot_identity *id = mem_zalloc(sizeof *id);
    if (!id)
        return ERR_NOMEM;
    ERR_clear_error();
    id->ctx = make_context(pem_path, bytes_of(pem.p, pem.n), diag);
    OPENSSL_cleanse(pem.p, pem.n);
    ERR_clear_error();
    if (!id->ctx) {
        free(id);
        return ERR_CRYPTO;
    }
    snapshot_head_init(&id->head, identity_free);
    *out = id;
    return 0;
}

// A record without data leads OpenSSL on to the next one, within the same call: who sends nothing
// else (key updates, wishes to renegotiate) faster than they are read would never let the worker
// go. Here the socket runs dry instead; it is still readable, so the session has another turn.
static long bound_reads(BIO *b, int op, const char *p, size_t n, int i, long l, int rc,
                        size_t *done)
{
    struct dot_session *s = (struct dot_session *)(void *)BIO_get_callback_arg(b);
    (void)p, (void)n, (void)i, (void)l, (void)done;
    if (op != BIO_CB_READ || s->n_reads++ < READS_PER_CALL)
        return rc;
    BIO_set_retry_read(b);
    return -1;
}

struct dot_session *dot_session_new(struct dot_identity *id, int fd)
{
    struct dot_session *s = mem_zalloc(sizeof *s);
    ERR_clear_error();
    if (s)
        s->ssl = SSL_new(id->ctx); // holds a reference to what it needs of it
    if (!s || !s->ssl || SSL_set_fd(s->ssl, fd) != 1) {
        if (s)
            SSL_free(s->ssl);
        free(s);
        return NULL;
    }
    BIO_set_callback_ex(SSL_get_rbio(s->ssl), bound_reads);
    BIO_set_callback_arg(SSL_get_rbio(s->ssl), (char *)s);
    SSL_set_accept_state(s->ssl);
    return s;
}

void dot_session_free(struct dot_session *s)
{
    if (!s)
        return;
    ERR_clear_error();
    if (!s->broken && SSL_is_init_finished(s->ssl))
        // one close_notify, if there is room for it; nobody waits for the other's
        (void)SSL_shutdown(s->ssl);
    SSL_free(s->ssl);
    ERR_clear_error();
    free(s);
}

bool dot_is_open(const struct dot_session *s)
{
    return SSL_is_init_finished(s->ssl);
}

static ssize_t outcome(struct dot_session *s, int rc)
{
    int e = SSL_get_error(s->ssl, rc);
    s->wants_write = e == SSL_ERROR_WANT_WRITE;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return DOT_WAIT;
    if (e == SSL_ERROR_ZERO_RETURN)
        return 0;
    s->broken = true;
    return DOT_BROKEN;
}

ssize_t dot_read(struct dot_session *s, void *p, size_t n)
{
    size_t got;
    if (s->broken)
        return DOT_BROKEN;
    ERR_clear_error();
    s->n_reads = 0;
    int rc = SSL_read_ex(s->ssl, p, n, &got);
    s->wants_write = false;
    if (rc == 1)
        return (ssize_t)got;
    return outcome(s, rc);
}

ssize_t dot_write(struct dot_session *s, const void *p, size_t n)
{
    size_t sent;
    if (s->broken)
        return DOT_BROKEN;
    ERR_clear_error();
    s->n_reads = 0;
    int rc = SSL_write_ex(s->ssl, p, n, &sent);
    s->wants_write = false;
    ssize_t got;
    if (rc == 1)
        got = (ssize_t)sent;
    else
        got = outcome(s, rc);
    if (got == 0) // the other side said goodbye to our direction
        return DOT_BROKEN;
    return got;
}

bool dot_wants_write(const struct dot_session *s)
{
    return s->wants_write;
}

bool dot_has_more(const struct dot_session *s)
{
    // not SSL_has_pending, which counts half a record: that must be waited for
    return SSL_pending(s->ssl) > 0;
}
