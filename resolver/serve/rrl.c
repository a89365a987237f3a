// SPDX-License-Identifier: Apache-2.0
// Response rate limiting; see rrl.h.
#include "resolver/serve/rrl.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "resolver/packet/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define SETS 4096 // of WAYS accounts each: a quarter of a megabyte per worker
#define WAYS 4
#define MILLI 1000 // of an answer

enum kind { KIND_ANSWER, KIND_ABSENT, KIND_ERROR };

struct account {
    // of whom and what; 0: free
    uint32_t tag;
    uint32_t at_ms;
    // in thousandths of an answer
    int32_t credit;
    uint32_t n_over;
};

struct rrl {
    const struct node_dns_rrl *settings;
    // so that nobody can choose whom to share an account with
    struct siphash_key key;
    struct account accounts[SETS][WAYS];
};

int rrl_new(const struct node_dns_rrl *settings, struct rrl **out)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    *out = NULL;
    if (!settings->answers && !settings->absent && !settings->errors)
        return 0;
    struct rrl *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    if (getrandom(secret, sizeof secret, 0) != sizeof secret) {
        free(r);
        return err_from_errno(errno);
    }
    r->settings = settings;
    r->key = siphash_key_of(secret);
    *out = r;
    return 0;
}

void rrl_free(struct rrl *r)
{
    free(r);
}

// Aliases that lead to no record of the type end in a SOA as every denial does: any of 65,000 types
// gets them.
static enum kind kind_of(const struct answer_info *info, const uint8_t *response)
{
    if (info->rcode != DNS_NOERROR && info->rcode != DNS_NXDOMAIN)
        return KIND_ERROR;
    bool answers = response[6] || response[7], denies = response[8] || response[9];
    if (info->rcode == DNS_NOERROR && answers && !denies)
        return KIND_ANSWER;
    return KIND_ABSENT;
}

static unsigned rate_of(const struct node_dns_rrl *s, enum kind kind)
{
    if (kind == KIND_ANSWER)
        return s->answers;
    if (kind == KIND_ABSENT)
        return s->absent;
    return s->errors;
}

// Network, kind and, for answers, the question without regard to case.
static uint64_t hash_of(const struct rrl *r, const struct ip *client, enum kind kind,
                        const uint8_t *question, size_t n)
{
    uint8_t in[1 + 16 + DNS_NAME_MAX + 4] = {(uint8_t)kind};
    size_t n_net = ip_is_v4(client) ? 15 : 7, at = 1 + n_net; // a mapped /24, a /56
    memcpy(in + 1, client->b, n_net);
    if (kind != KIND_ANSWER)
        return siphash24(&r->key, in, at);
    for (size_t i = 0; i < n; i++, at++) {
        if (question[i] >= 'A' && question[i] <= 'Z')
            in[at] = question[i] | 0x20;
        else
            in[at] = question[i];
    }
    return siphash24(&r->key, in, at);
}

static struct account *account_of(struct rrl *r, uint64_t hash, uint32_t now_ms, int32_t full)
{
    struct account *set = r->accounts[hash % SETS], *oldest = set;
    uint32_t tag = (uint32_t)(hash >> 32) | 1;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
        if (!set[i].tag || (oldest->tag && now_ms - set[i].at_ms > now_ms - oldest->at_ms))
            oldest = &set[i];
    }
    *oldest = (struct account){tag, now_ms, full, 0};
    return oldest;
}

static bool is_exempt(const struct node_dns_rrl *s, const struct ip *client)
{
    for (size_t i = 0; i < s->n_exempt; i++)
        if (cidr_contains(&s->exempt[i], client))
            return true;
    return false;
}

// Is one more within the rate? Takes it from the account.
static bool spend(struct account *a, unsigned rate, int64_t full, uint32_t now_ms)
{
    // a thousandth per millisecond and answer per second
    int64_t credit = a->credit + (int64_t)(now_ms - a->at_ms) * rate;
    a->at_ms = now_ms;
    if (credit > full)
        credit = full;
    bool ok = credit >= MILLI;
    a->credit = (int32_t)(ok ? credit - MILLI : credit);
    return ok;
}

enum rrl_verdict rrl_judge(struct rrl *r, const struct ip *client, const struct answer_info *info,
                           const uint8_t *response, size_t n, int64_t now_ms)
{
    const struct node_dns_rrl *s = r->settings;
    if (n < DNS_HEADER_BYTES || (info->truncated && !response[6] && !response[7]))
        return RRL_SEND; // what a limit would make of it
    enum kind kind = kind_of(info, response);
    unsigned rate = rate_of(s, kind);
    if (!rate)
        return RRL_SEND;
    int64_t full = (int64_t)rate * s->burst_s * MILLI;
    if (full > INT32_MAX)
        full = INT32_MAX;
    uint64_t hash = hash_of(r, client, kind, response + DNS_HEADER_BYTES, info->question_n);
    struct account *a = account_of(r, hash, (uint32_t)now_ms, (int32_t)full);
    if (spend(a, rate, full, (uint32_t)now_ms) || is_exempt(s, client))
        return RRL_SEND;
    if (s->slip && ++a->n_over % s->slip == 0)
        return RRL_SLIP;
    return RRL_DROP;
}

size_t rrl_slip(uint8_t *response, const struct answer_info *info)
{
    size_t n = DNS_HEADER_BYTES + info->question_n;
    response[2] |= 0x02;
    memset(response + 6, 0, 6);
    if (!info->opt_n)
        return n;
    // with the cookie that opens the way
    memmove(response + n, response + info->opt_at, info->opt_n);
    response[11] = 1;
    return n + info->opt_n;
}
