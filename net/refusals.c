// SPDX-License-Identifier: Apache-2.0
// Refused requests in the log; see refusals.h. The accounts are a table of fixed size under one
// lock, found by a keyed hash, so that no client can choose networks that collide. Two that collide
// by chance share an account while both are busy.
#include "net/refusals.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "net/fair.h"
#include "net/http_priv.h"
#include "net/refuse.h"

#include <pthread.h>
#include <string.h>

#define ACCOUNTS 512 // a power of two

struct budget { // a line costs 1000
    int64_t at_ms, left;
};

struct account {
    bool used, ordinary;
    struct ip network;
    struct budget budget;
    uint64_t left_out;
};

struct refusals {
    pthread_mutex_t lock;
    struct siphash_key key;
    struct budget all;
    int64_t told_ms;
    uint64_t left_out;
    struct account accounts[ACCOUNTS];
};

struct refusals *refusals_new(void)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    struct refusals *r = NULL;
    if (!random_bytes(secret, sizeof secret))
        r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->key = siphash_key_of(secret);
    r->all = (struct budget){.at_ms = INT64_MIN};
    r->told_ms = INT64_MIN;
    return r;
}

void refusals_free(struct refusals *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void budget_fill(struct budget *b, int64_t now_ms, int64_t burst, int64_t per_s)
{
    int64_t full = burst * 1000, most_ms = full / per_s;
    bool first = b->at_ms == INT64_MIN || now_ms - b->at_ms >= most_ms;
    if (first)
        b->left = full;
    else
        b->left = b->left + (now_ms - b->at_ms) * per_s;
    b->at_ms = now_ms;
    if (b->left > full)
        b->left = full;
}

static struct account *account_of(struct refusals *r, const struct ip *network, bool ordinary,
                                  int64_t now_ms)
{
    uint8_t key[sizeof network->b + 1];
    memcpy(key, network->b, sizeof network->b);
    key[sizeof network->b] = ordinary;
    struct account *a = &r->accounts[siphash24(&r->key, key, sizeof key) & (ACCOUNTS - 1)];
    budget_fill(&a->budget, now_ms, REFUSALS_BURST, REFUSALS_PER_S);
    bool idle = !a->used || (a->budget.left == REFUSALS_BURST * 1000 && !a->left_out);
    if (!idle)
        return a;
    *a = (struct account){
        .used = true, .ordinary = ordinary, .network = *network, .budget = {.at_ms = INT64_MIN}};
    budget_fill(&a->budget, now_ms, REFUSALS_BURST, REFUSALS_PER_S);
    return a;
}

bool refusals_admit(struct refusals *r, const struct ip *client, bool ordinary, int64_t now_ms)
{
    struct ip network = fair_network(client);
    pthread_mutex_lock(&r->lock);
    struct account *a = account_of(r, &network, ordinary, now_ms);
    budget_fill(&r->all, now_ms, REFUSALS_ALL_BURST, REFUSALS_ALL_PER_S);
    bool may = a->budget.left >= 1000 && r->all.left >= 1000;
    if (may) {
        a->budget.left -= 1000;
        r->all.left -= 1000;
    } else {
        a->left_out++;
        r->left_out++;
    }
    pthread_mutex_unlock(&r->lock);
    return may;
}

static void take_locked(struct refusals *r, struct refusals_left_out *out)
{
    for (size_t i = 0; i < ACCOUNTS; i++) {
        struct account *a = &r->accounts[i];
        if (!a->left_out)
            continue;
        out->n_networks++;
        if (a->left_out > out->n_most) {
            out->n_most = a->left_out;
            out->most = a->network;
        }
        a->left_out = 0;
    }
    out->n = r->left_out;
    r->left_out = 0;
}

bool refusals_take(struct refusals *r, int64_t now_ms, struct refusals_left_out *out)
{
    *out = (struct refusals_left_out){0};
    pthread_mutex_lock(&r->lock);
    bool soon = r->told_ms != INT64_MIN && now_ms - r->told_ms < REFUSALS_TELL_MS;
    bool tell = r->left_out && !soon;
    if (tell) {
        r->told_ms = now_ms;
        take_locked(r, out);
    }
    pthread_mutex_unlock(&r->lock);
    return tell;
}

// ---- the process's own ----

static struct refusals *ours;

static void ours_make(void)
{
    ours = refusals_new(); // for as long as the process lives
}

static struct refusals *ours_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ours_make);
    return ours;
}

// What a client meets in the ordinary course: it is told to fetch a token, or looks whether
// something is there.
static bool is_ordinary(const struct http_request *req, int status)
{
    return status == 404 || (status == 401 && !http_header_get(req, "Authorization"));
}

static const char *given(const char *s, const char *otherwise)
{
    if (s && *s)
        return s;
    return otherwise;
}

void refusals_log(const struct http_request *req, int status)
{
    struct refusals *r = ours_get();
    char client[IP_TEXT_SIZE];
    if (status < 400 || !r || (req->path && !strcmp(req->path, "/healthz")))
        return;
    refusals_tell();
    if (!refusals_admit(r, &req->client, is_ordinary(req, status), clock_mono_ms()))
        return;
    const char *more = given(req->refused_detail, "");
    log_write(
        status >= 500 ? LOG_WARN : LOG_INFO,
        "http: refused %d %s: %s%s%s%s (request %s, %.16s %.255s%.512s, client %s, principal %s)",
        status, given(req->refused_code, "-"), given(req->refused_why, "no reason given"),
        *more ? " [" : "", more, *more ? "]" : "", req->request_id, given(req->method_text, "-"),
        given(req->host, "-"), given(req->path, "-"), ip_format(&req->client, client),
        given(req->principal, "-"));
}

void refusals_log_late(const struct http_request *req)
{
    struct http_request known = {.method_text = req->method_text,
                                 .path = req->path,
                                 .host = req->host,
                                 .client = req->client,
                                 .refused_code = http_words_of(req)->code(REFUSED_FAILED),
                                 .refused_why = "the work took too long; it goes on"};
    memcpy(known.request_id, req->request_id, sizeof known.request_id);
    refusals_log(&known, 504);
}

void refusals_tell(void)
{
    struct refusals *r = ours_get();
    struct refusals_left_out n;
    char most[IP_TEXT_SIZE];
    if (!r || !refusals_take(r, clock_mono_ms(), &n))
        return;
    log_warn("http: %llu more refused requests of %u client networks have no line here (of %s and "
             "its neighbours: "
             "%llu); the edge's access log has them",
             (unsigned long long)n.n, n.n_networks, ip_format(&n.most, most),
             (unsigned long long)n.n_most);
}
