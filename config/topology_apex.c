// SPDX-License-Identifier: Apache-2.0
// The `apex:` section: records that stand in the topology word for word, at D and at the names of
// ACME challenges (RFC 8555 section 8.4). Its rows, and their way into wire form. See
// topology_priv.h.
#include "config/topology_priv.h"

#include "base/addr.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "dns/rdata.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TXT_MAX 4000 // octets of one record; all of a name's fit into one response
#define CAA_VALUE_MAX 1024
#define NAME_RDATA_MAX 16000
#define CHALLENGE "_acme-challenge"

static bool v4_ok(const char *s)
{
    return !strchr(s, ':');
}

static bool v6_ok(const char *s)
{
    return !v4_ok(s) && strncasecmp(s, "::ffff:", 7);
}

static bool host_ok(const char *s)
{
    return !strcmp(s, ".") || hostname_domain_ok(s); // "." says that no mail is taken: RFC 7505
}

static bool txt_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= TXT_MAX;
}

static bool tag_ok(const char *s)
{
    size_t n = strlen(s);
    // RFC 8659 section 4.1
    return n >= 1 && n <= 15 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

static bool printable_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < ' ' || s[i] > '~')
            return false;
    return n <= CAA_VALUE_MAX;
}

static const struct option mx_rows[] = {
    {"preference", OPT_INT, OPT_AT(struct spec_mx, preference), .def = "10", .max = 65535,
     .help = "the lowest is tried first"},
    {"host", OPT_STRING, OPT_AT(struct spec_mx, host), .required = true, .check = host_ok,
     .expect = "a host's name in lower case without a final dot, or \".\" for none",
     .example = "mail.example.net",
     .help = "the mail server; \".\" with preference 0 says that there is no mail here"},
};
static const struct option_set mx_set = {mx_rows, ARRAY_LEN(mx_rows), sizeof(struct spec_mx),
                                         offsetof(struct spec_mx, node)};

static const struct option caa_rows[] = {
    {"tag", OPT_STRING, OPT_AT(struct spec_caa, tag), .required = true, .check = tag_ok,
     .expect = "1 to 15 lower-case letters and digits, as in issue, issuewild, iodef",
     .example = "issue", .help = "what the value is about"},
    {"value", OPT_STRING, OPT_AT(struct spec_caa, value), .required = true, .check = printable_ok,
     .expect = "at most 1024 printable characters", .example = "letsencrypt.org",
     .help = "the CA, or a URL for iodef"},
    {"critical", OPT_BOOL, OPT_AT(struct spec_caa, critical), .def = "false",
     .help = "whether a CA that does not know the tag must refuse"},
};
static const struct option_set caa_set = {caa_rows, ARRAY_LEN(caa_rows), sizeof(struct spec_caa),
                                          offsetof(struct spec_caa, node)};

static const struct option challenge_rows[] = {
    {"at", OPT_STRING, OPT_AT(struct spec_challenge, at), .max = 255,
     .help = "which name is proved: REGION.geo, REGION.data, REGION.fe, privatelink, "
             "REGION.geo.privatelink, "
             "REGION.data.privatelink; the domain when not given"},
    {"txt", OPT_STRINGS, OPT_ARRAY_AT(struct spec_challenge, txt, n_txt), .required = true,
     .min = 1, .max = 16, .one_ok = true, .check = txt_ok, .expect = "1 to 4000 bytes",
     .example = "gfj9Xq...Rg85nM", .help = "what the CA gave"},
};
static const struct option_set challenge_set = {challenge_rows, ARRAY_LEN(challenge_rows),
                                                sizeof(struct spec_challenge),
                                                offsetof(struct spec_challenge, node)};

#define APEX_ARRAY(member) OPT_ARRAY_AT(struct spec_apex, member, n_##member)
static const struct option apex_rows[] = {
    {"ttl", OPT_DURATION, OPT_AT(struct spec_apex, ttl), .def = "300s", .min = 1000,
     .max = 86400000, .unit_ms = 1000, .help = "TTL of these records"},
    {"ipv4", OPT_IPS, APEX_ARRAY(ipv4), .max = 32, .check = v4_ok, .expect = "an IPv4 address",
     .one_ok = true, .help = "A records of the domain"},
    {"ipv6", OPT_IPS, APEX_ARRAY(ipv6), .max = 32, .check = v6_ok, .expect = "an IPv6 address",
     .one_ok = true, .help = "AAAA records of the domain"},
    {"mx", OPT_LIST, APEX_ARRAY(mx), .max = 32, .sub = &mx_set, .help = "who takes its mail"},
    {"txt", OPT_STRINGS, APEX_ARRAY(txt), .max = 32, .one_ok = true, .check = txt_ok,
     .expect = "1 to 4000 bytes",
     .help = "TXT records; what is longer than 255 bytes goes into several strings of one record"},
    {"caa", OPT_LIST, APEX_ARRAY(caa), .max = 32, .sub = &caa_set,
     .help = "which CAs may issue certificates for the domain and all below it (RFC 8659)"},
    {"acme_challenge", OPT_LIST, OPT_ARRAY_AT(struct spec_apex, challenges, n_challenges),
     .max = 6 * TOPOLOGY_MAX_REGIONS + 2, .sub = &challenge_set,
     .help = "TXT records at _acme-challenge, which prove a name to a CA"},
};
const struct option_set spec_apex_set = {apex_rows, ARRAY_LEN(apex_rows), sizeof(struct spec_apex),
                                         offsetof(struct spec_apex, node)};

// ---- records ----

struct records { // of one name, on their way
    struct topology_build *b;
    struct static_record *list;
    size_t n, bytes;
};

static void add(struct records *r, enum dns_type type, const uint8_t *rdata, size_t n, int line)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    rdata_text(type, rdata, n, &text);
    if (text.err) {
        r->b->ctx->nomem = true;
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct static_record *had = &r->list[i];
        if (had->type == type && had->rdata_n == n && !memcmp(had->rdata, rdata, n)) {
            options_error(r->b->ctx, line, "apex: the record %.200s is given twice",
                          buf_cstr(&text));
            return;
        }
    }
    r->bytes += n + 12;
    r->list[r->n++] =
        (struct static_record){build_copy(r->b, rdata, n, 1), build_string(r->b, buf_cstr(&text)),
                               (uint16_t)n, (uint16_t)type};
}

static void add_ips(struct records *r, const char *key, const struct ip *ips, size_t n)
{
    char text[IP_TEXT_SIZE];
    const struct doc_node *node = r->b->s->apex.node;
    for (size_t i = 0; i < n; i++) {
        int line = doc_item_line(node, key, i);
        if (!memcmp(&ips[i], &(struct ip){{0}}, sizeof ips[i]))
            continue; // was no address; said already
        ip_format(&ips[i], text);
        if (!topology_ip_sensible(&ips[i]))
            options_error(r->b->ctx, line, "apex.%s: %s cannot be a host's address", key, text);
        if (ip_is_v4(&ips[i]))
            add(r, DNS_A, ips[i].b + 12, 4, line);
        else
            add(r, DNS_AAAA, ips[i].b, 16, line);
    }
}

// Does it lie in our domain, and not at its apex?
static bool is_below(const char *host, const char *domain)
{
    size_t n = strlen(host), d = strlen(domain);
    return n > d + 1 && host[n - d - 1] == '.' && !strcmp(host + n - d, domain);
}

static void add_mx(struct records *r, const struct spec_mx *in)
{
    uint8_t rdata[RDATA_MX_MAX];
    struct hostname h;
    if (!in->host)
        return;
    int line = doc_key_line(in->node, "host");
    bool none = !strcmp(in->host, ".");
    if (none && (in->preference || r->b->s->apex.n_mx > 1))
        options_error(
            r->b->ctx, line,
            "apex.mx: \".\" means that there is no mail: preference 0, and no other host");
    if (r->b->t->domain && is_below(in->host, r->b->t->domain) &&
        hostname_parse(in->host, r->b->t->domain, &h) != NAME_FRONTEND)
        options_error(r->b->ctx, line, "apex.mx: %s lies below the domain and is no host there",
                      in->host);
    size_t n = rdata_mx((uint16_t)in->preference, in->host, rdata);
    if (n)
        add(r, DNS_MX, rdata, n, line);
}

static void add_txt(struct records *r, const char *s, int line)
{
    uint8_t rdata[RDATA_TXT_MAX(TXT_MAX)];
    size_t n = 0;
    if (s)
        n = rdata_txt(s, strlen(s), rdata);
    if (n)
        add(r, DNS_TXT, rdata, n, line);
}

static void add_caa(struct records *r, const struct spec_caa *in)
{
    uint8_t rdata[RDATA_CAA_MAX(CAA_VALUE_MAX)];
    if (!in->tag || !in->value)
        return;
    size_t n = rdata_caa(in->critical, in->tag, in->value, rdata);
    add(r, DNS_CAA, rdata, n, doc_key_line(in->node, "tag"));
}

// ---- names ----

static void finish_name(struct records *r, const char *what, int line, struct static_name *out)
{
    if (r->bytes > NAME_RDATA_MAX)
        options_error(r->b->ctx, line,
                      "apex: the records of %s take %zu bytes; at most %d go into a response", what,
                      r->bytes, NAME_RDATA_MAX);
    out->records = r->list;
    out->n_records = r->n;
}

static void build_apex(struct topology_build *b, struct static_name *out)
{
    const struct spec_apex *s = &b->s->apex;
    size_t n = s->n_ipv4 + s->n_mx + s->n_txt + s->n_ipv6 + s->n_caa;
    struct records r = {b, build_array(b, n, sizeof *r.list), 0, 0};
    if (!r.list)
        return;
    add_ips(&r, "ipv4", s->ipv4, s->n_ipv4); // in the order of their types
    for (size_t i = 0; i < s->n_mx; i++)
        add_mx(&r, &s->mx[i]);
    for (size_t i = 0; i < s->n_txt; i++)
        add_txt(&r, s->txt[i], doc_item_line(s->node, "txt", i));
    add_ips(&r, "ipv6", s->ipv6, s->n_ipv6);
    for (size_t i = 0; i < s->n_caa; i++)
        add_caa(&r, &s->caa[i]);
    finish_name(&r, "the domain", s->node ? s->node->line : 0, out);
}

// Is it a name that a certificate's wildcard stands for? See certs/plan.h.
static bool place_ok(struct topology_build *b, const struct spec_challenge *in, const char *at,
                     bool *out_frontend)
{
    static const char *const kinds[] = {"geo", "data", "fe", "geo.privatelink", "data.privatelink"};
    int line = doc_key_line(in->node, "at");
    const char *dot = strchr(at, '.');
    char region[HOSTNAME_REGION_SIZE];
    size_t n = dot ? (size_t)(dot - at) : 0, kind = 0;
    *out_frontend = dot && !strcmp(dot + 1, "fe");
    if (!*at || !strcmp(at, "privatelink"))
        return true;
    while (dot && kind < ARRAY_LEN(kinds) && strcmp(dot + 1, kinds[kind]))
        kind++;
    if (!dot || kind == ARRAY_LEN(kinds) || n >= sizeof region) {
        options_error(b->ctx, line,
                      "apex.acme_challenge: \"%.80s\" is no name that certificates are made for",
                      at);
        return false;
    }
    memcpy(region, at, n);
    region[n] = 0;
    return build_find_region(b, line, "apex.acme_challenge", region) >= 0;
}

static bool build_challenge(struct topology_build *b, const struct spec_challenge *in,
                            struct static_name *out)
{
    uint8_t labels[sizeof CHALLENGE + DNS_NAME_MAX];
    const char *at = in->at;
    if (!at)
        at = "";
    struct records r = {b, build_array(b, in->n_txt, sizeof *r.list), 0, 0};
    if (!r.list || !place_ok(b, in, at, &out->in_frontend))
        return false;
    labels[0] = sizeof CHALLENGE - 1;
    memcpy(labels + 1, CHALLENGE, sizeof CHALLENGE - 1);
    out->labels_n = sizeof CHALLENGE + dns_name_from_text(at, labels + sizeof CHALLENGE) - 1;
    out->labels = build_copy(b, labels, out->labels_n, 1);
    for (size_t i = 0; i < in->n_txt; i++)
        add_txt(&r, in->txt[i], doc_item_line(in->node, "txt", i));
    finish_name(&r, CHALLENGE, in->node->line, out);
    return out->labels != NULL;
}

void topology_build_apex(struct topology_build *b)
{
    const struct spec_apex *s = &b->s->apex;
    struct static_name *all = build_array(b, s->n_challenges + 1, sizeof *all);
    size_t n = 0;
    if (!all)
        return;
    b->t->static_ttl = s->ttl;
    build_apex(b, &all[0]);
    n = all[0].n_records > 0;
    for (size_t i = 0; i < s->n_challenges; i++) {
        all[n] = (struct static_name){0};
        if (!build_challenge(b, &s->challenges[i], &all[n]))
            continue;
        for (size_t k = 0; k < n; k++)
            if (all[k].labels_n == all[n].labels_n &&
                !memcmp(all[k].labels, all[n].labels, all[n].labels_n)) {
                options_error(b->ctx, s->challenges[i].node->line,
                              "apex.acme_challenge: the same name is given twice; list all of its "
                              "txt in one entry");
                break;
            }
        n++;
    }
    b->t->statics = all;
    b->t->n_statics = n;
}

// ---- lookups ----

static bool labels_equal(const uint8_t *a, const uint8_t *lower, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((a[i] | ((uint8_t)(a[i] - 'A') < 26) << 5) != lower[i])
            return false;
    return true;
}

const struct static_name *topology_static(const struct topology *t, const uint8_t *labels, size_t n)
{
    for (size_t i = 0; i < t->n_statics; i++)
        if (t->statics[i].labels_n == n && labels_equal(labels, t->statics[i].labels, n))
            return &t->statics[i];
    return NULL;
}

size_t static_records(const struct static_name *s, uint16_t type, const struct static_record **out)
{
    size_t at = 0, n = 0;
    while (at < s->n_records && s->records[at].type < type)
        at++;
    while (at + n < s->n_records && s->records[at + n].type == type)
        n++;
    *out = s->records + at;
    return n;
}
