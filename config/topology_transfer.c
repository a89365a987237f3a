// SPDX-License-Identifier: Apache-2.0
// The `transfer:` section: secondaries of fe.D. Its rows, and what they are checked for. See
// topology_priv.h.
#include "config/topology_priv.h"

#include "base/mem.h"

#include <string.h>

#define KEYS_MAX 16

// A name of DNS and of a file at once.
static bool key_name_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 200 && s[0] != '.' && s[n - 1] != '.' && !strstr(s, "..") &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

#define KEY_WORDS "a key's name: lower-case letters, digits, hyphens, underscores and inner dots"
static const struct option notify_rows[] = {
    {"address", OPT_ENDPOINT, OPT_AT(struct spec_notify, to), .required = true, .port = 53,
     .example = "192.0.2.53", .help = "the secondary's address, with a port if it is not 53"},
    {"key", OPT_STRING, OPT_AT(struct spec_notify, key), .max = 255,
     .help = "which of tsig_keys signs the message; the first when not given"},
};
static const struct option_set notify_set = {notify_rows, ARRAY_LEN(notify_rows),
                                             sizeof(struct spec_notify),
                                             offsetof(struct spec_notify, node)};

static const struct option transfer_rows[] = {
    {"allow", OPT_CIDRS, OPT_ARRAY_AT(struct spec_transfer, allow, n_allow), .max = 1024,
     .one_ok = true,
     .help = "networks that may transfer fe.D; with tsig_keys and none given, from anywhere"},
    {"tsig_keys", OPT_STRINGS, OPT_ARRAY_AT(struct spec_transfer, keys, n_keys), .max = KEYS_MAX,
     .one_ok = true, .check = key_name_ok, .expect = KEY_WORDS,
     .help = "keys of which one must sign the request; the secret of NAME is in NAME.key on each "
             "node (dns.tsig_dir)"},
    {"notify", OPT_LIST, OPT_ARRAY_AT(struct spec_transfer, notify, n_notify), .max = 64,
     .sub = &notify_set, .help = "secondaries that are told when fe.D changes"},
    {"secondaries", OPT_ENDPOINTS, OPT_ARRAY_AT(struct spec_transfer, secondaries, n_secondaries),
     .max = 64, .port = 53, .one_ok = true,
     .help = "others that answer for fe.D, neither told nor name servers of the topology (and "
             "those behind one anycast "
             "address, each by its own): meridian replication rebind asks them too before names "
             "lead to a new stamp"},
};
const struct option_set spec_transfer_set = {transfer_rows, ARRAY_LEN(transfer_rows),
                                             sizeof(struct spec_transfer),
                                             offsetof(struct spec_transfer, node)};

static const char *const *build_keys(struct topology_build *b, const struct spec_transfer *s)
{
    const char **keys = build_array(b, s->n_keys, sizeof *keys);
    for (size_t i = 0; keys && i < s->n_keys; i++) {
        keys[i] = build_string(b, s->keys[i]);
        for (size_t k = 0; k < i; k++)
            if (*keys[i] && !strcmp(keys[i], keys[k])) {
                options_error(b->ctx, doc_item_line(s->node, "tsig_keys", i),
                              "transfer.tsig_keys: %s is given twice", keys[i]);
                break;
            }
    }
    return keys;
}

static const char *find_key(const struct transfer_settings *t, const char *name)
{
    for (size_t i = 0; i < t->n_keys; i++)
        if (!strcmp(t->keys[i], name))
            return t->keys[i];
    return NULL;
}

static const struct notify_target *build_notify(struct topology_build *b,
                                                const struct spec_transfer *s,
                                                const struct transfer_settings *t)
{
    struct notify_target *out = build_array(b, s->n_notify, sizeof *out);
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; out && i < s->n_notify; i++) {
        const struct spec_notify *in = &s->notify[i];
        out[i].to = in->to;
        if (in->key)
            out[i].key = find_key(t, in->key);
        else if (t->n_keys)
            out[i].key = t->keys[0];
        else
            out[i].key = NULL;
        if (in->key && !out[i].key)
            options_error(b->ctx, doc_key_line(in->node, "key"),
                          "transfer.notify: key \"%.80s\" is not in tsig_keys", in->key);
        if (in->to.port && !topology_ip_sensible(&in->to.ip))
            options_error(b->ctx, doc_key_line(in->node, "address"),
                          "transfer.notify: %s cannot be a host's address",
                          endpoint_format(&in->to, text));
    }
    return out;
}

static void build_secondaries(struct topology_build *b, const struct spec_transfer *s)
{
    char text[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < s->n_secondaries; i++)
        if (s->secondaries[i].port && !topology_ip_sensible(&s->secondaries[i].ip))
            options_error(b->ctx, doc_item_line(s->node, "secondaries", i),
                          "transfer.secondaries: %s cannot be a host's address",
                          endpoint_format(&s->secondaries[i], text));
}

void topology_build_transfer(struct topology_build *b)
{
    const struct spec_transfer *s = &b->s->transfer;
    struct transfer_settings *t = &b->t->transfer;
    t->allow = build_copy(b, s->allow, s->n_allow, sizeof *s->allow);
    t->n_allow = s->n_allow;
    t->keys = build_keys(b, s);
    if (t->keys)
        t->n_keys = s->n_keys;
    else
        t->n_keys = 0;
    t->notify = build_notify(b, s, t);
    if (t->notify)
        t->n_notify = s->n_notify;
    else
        t->n_notify = 0;
    t->secondaries = build_copy(b, s->secondaries, s->n_secondaries, sizeof *s->secondaries);
    if (t->secondaries)
        t->n_secondaries = s->n_secondaries;
    else
        t->n_secondaries = 0;
    build_secondaries(b, s);
}
