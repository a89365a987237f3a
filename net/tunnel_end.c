// SPDX-License-Identifier: Apache-2.0
// The end of a tunnel: its connections closed, and an answer of our own where one is owed
// (invariants 3 and 4 of tunnel_priv.h). On the loop's thread.
#include "net/tunnel_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/refuse.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void end_close(struct tunnel_end *e)
{
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
    e->watched = false;
}

void tunnel_far_close(struct tunnel *t)
{
    if (t->ssl && t->state == TUNNEL_OPEN)
        SSL_shutdown(t->ssl); // says so if there is room, and waits for nothing
    SSL_free(t->ssl);
    ERR_clear_error();
    t->ssl = NULL;
    if (t->far.fd >= 0)
        t->all->n_far--;
    end_close(&t->far);
    t->far_over = true;
}

void tunnel_end_now(struct tunnel *t)
{
    struct tunnels *all = t->all;
    if (t->state == TUNNEL_DEAD)
        return;
    tunnel_far_close(t);
    end_close(&t->near);
    t->state = TUNNEL_DEAD;
    if (t->prev)
        t->prev->next = t->next;
    else
        all->open = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = NULL;
    t->next = all->dead; // events of this turn may still name it
    all->dead = t;
    all->n_open--;
}

static const char *status_text(int status)
{
    if (status == 504)
        return "Gateway Timeout";
    return "Service Unavailable";
}

// The body in the words of the service; without memory the bare one.
static void body_form(const struct tunnel *t, const char *reason, struct buf *out)
{
    const struct http_words *words = http_words_or_plain(t->all->o.words);
    const char *region = "(none)";
    char sentence[512];
    if (*t->region)
        region = t->region;
    snprintf(sentence, sizeof sentence,
             "this upload began in region %s and goes on only there; that region %s; try again, or "
             "begin the upload anew",
             region, reason);
    if (!words->form(out, words->code(REFUSED_UNAVAILABLE), sentence))
        return;
    buf_clear(out);
    buf_str(out, words->bare);
}

static void answer_put(struct tunnel *t, int status, const char *reason)
{
    const struct tunnels_options *o = &t->all->o;
    const struct http_words *words = http_words_or_plain(o->words);
    char id[33];
    if (random_hex(id, 16))
        memset(id, '0', sizeof id - 1);
    id[32] = '\0';
    AUTO_BUF struct buf body;
    buf_init(&body, 1024);
    body_form(t, reason, &body);
    int n = snprintf((char *)t->down.p, TUNNEL_BUFFER_BYTES,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nRetry-After: "
                     "5\r\nConnection: close\r\nX-Meridian-Region: %s\r\nX-Meridian-Stamp: %s\r\n"
                     "X-Meridian-Request-Id: %s\r\n\r\n%s",
                     status, status_text(status), words->content_type, body.n, o->region, o->stamp,
                     id, buf_cstr(&body));
    assert(n > 0 && (size_t)n < TUNNEL_BUFFER_BYTES);
    t->down.from = 0;
    t->down.n = (size_t)n;
}

// As if it were new: what the edge asks next is looked at from its first line on.
static void tunnel_rest(struct tunnel *t)
{
    t->state = TUNNEL_HEAD;
    t->talk = TUNNEL_RESTS;
    t->until_mono = 0;
    t->up.n = 0;
    t->far_broken = t->write_wants_read = t->read_wants_write = false;
    t->more = true;
}

void tunnel_fail(struct tunnel *t, int status, const char *reason)
{
    if (t->state == TUNNEL_DEAD || t->state == TUNNEL_LINGER)
        return;
    tunnel_far_close(t);
    if (t->talk == TUNNEL_RESTS && !t->down.n) {
        tunnel_rest(t); // 4
        return;
    }
    if (t->talk != TUNNEL_ASKED || t->down.n) { // 3
        tunnel_end_now(t);
        return;
    }
    answer_put(t, status, reason);
    t->up.n = 0;
    t->state = TUNNEL_LINGER;
    t->until_mono = clock_mono_ms() + t->all->o.linger_ms;
    t->more = true;
}

void tunnel_expired(struct tunnel *t)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (t->state == TUNNEL_CONNECT || t->state == TUNNEL_HANDSHAKE) {
        log_limited(&limit, LOG_WARN,
                    "edge: region %s: no connection within %u ms for an upload that is passed on",
                    t->region, t->all->o.connect_ms);
        tunnel_fail(t, 504, "did not take a connection in time");
        return;
    }
    tunnel_end_now(t);
}
