// SPDX-License-Identifier: Apache-2.0
// The grammar of names; see hostname.h. Text and wire form are both cut into the labels in front of
// the domain (spans into the caller's bytes), and one classifier reads those. Nothing allocates:
// the resolver calls this for every query. Any thread.
#include "config/hostname.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define LABEL_MAX 63
#define NAME_TEXT_MAX 253 // RFC 1035 section 2.3.4: 255 octets on the wire
#define NAME_WIRE_MAX 255
#define DEPTH_MAX 4          // L.<region>.geo.privatelink
#define LONGEST_PREFIX_N 113 // 63 "." 31 ".data.privatelink." in front of D

struct label {
    const uint8_t *p;
    size_t n;
};

struct prefix { // the labels in front of D, leftmost first
    struct label l[DEPTH_MAX];
    size_t n;
    // an empty, overlong or surplus label: under D, but nothing of ours
    bool broken;
};

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c | ((uint8_t)(c - 'A') < 26) << 5);
}

static bool is_alpha(uint8_t c)
{
    return (uint8_t)(c - 'a') < 26;
}

static bool word_equal(struct label l, const char *word)
{
    size_t n = strlen(word);
    if (l.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(l.p[i]) != (uint8_t)word[i])
            return false;
    return true;
}

// Letters and digits in lower case, 0 for all else.
#define LETTER(c) [c] = (c), [(c) - 'a' + 'A'] = (c)
static const uint8_t alnum[256] = {
    LETTER('a'), LETTER('b'), LETTER('c'), LETTER('d'), LETTER('e'), LETTER('f'),
    LETTER('g'), LETTER('h'), LETTER('i'), LETTER('j'), LETTER('k'), LETTER('l'),
    LETTER('m'), LETTER('n'), LETTER('o'), LETTER('p'), LETTER('q'), LETTER('r'),
    LETTER('s'), LETTER('t'), LETTER('u'), LETTER('v'), LETTER('w'), LETTER('x'),
    LETTER('y'), LETTER('z'), ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3',
    ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9'};

// Copies in lower case into a field of n_to bytes when there are least..most letters and digits.
static bool take_alnum(struct label l, size_t least, size_t most, char *to)
{
    bool good = true;
    if (l.n < least || l.n > most)
        return false;
    for (size_t i = 0; i < l.n; i++) { // without a branch per byte: every query comes through here
        uint8_t c = alnum[l.p[i]];
        good &= c != 0;
        to[i] = (char)c;
    }
    to[l.n] = 0;
    return good;
}

static bool reserved(const char *label, size_t n)
{
    static const struct {
        size_t n;
        const char *text;
    } words[] = {{11, "privatelink"}, {3, "geo"}, {4, "data"},   {2, "fe"},
                 {2, "ns"},           {3, "www"}, {6, "_route"}, {15, "_acme-challenge"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (n == words[i].n && !memcmp(label, words[i].text, n))
            return true;
    return false;
}

bool hostname_reserved(const char *label)
{
    return reserved(label, strlen(label));
}

static bool take_label(struct label l, struct hostname *h)
{
    struct label name = l;
    if (l.n > LABEL_MAX)
        return false;
    const uint8_t *dash = memchr(l.p, '-', l.n);
    if (dash) {
        name.n = (size_t)(dash - l.p);
        struct label hash = {dash + 1, l.n - name.n - 1};
        if (!take_alnum(hash, HOSTNAME_HASH_SIZE - 1, HOSTNAME_HASH_SIZE - 1, h->hash))
            return false;
    }
    if (!take_alnum(name, 5, HOSTNAME_REGISTRY_SIZE - 1, h->registry) ||
        reserved(h->registry, name.n))
        return false;
    memcpy(h->label, h->registry, name.n + 1);
    if (dash) {
        h->label[name.n] = '-';
        memcpy(h->label + name.n + 1, h->hash, HOSTNAME_HASH_SIZE);
    }
    return true;
}

static bool take_region(struct label l, struct hostname *h)
{
    return l.n && is_alpha(lower(l.p[0])) && take_alnum(l, 1, HOSTNAME_REGION_SIZE - 1, h->region);
}

static bool take_stamp(struct label l, struct hostname *h)
{
    if (!l.n || l.n > LABEL_MAX || l.p[0] == '-' || l.p[l.n - 1] == '-')
        return false;
    for (size_t i = 0; i < l.n; i++) {
        uint8_t c = '-';
        if (l.p[i] != '-')
            c = alnum[l.p[i]];
        if (!c)
            return false;
        h->stamp[i] = (char)c;
    }
    h->stamp[l.n] = 0;
    return true;
}

// `[L.]<region>.` in front of geo or data (n labels are left of that word).
static enum name_kind classify_in_region(const struct label *l, size_t n, enum name_kind kind,
                                         struct hostname *h)
{
    if (n == 0)
        return NAME_ENT;
    if (n > 2 || !take_region(l[n - 1], h))
        return NAME_INVALID;
    if (n == 1)
        return NAME_ENT;
    bool ok;
    if (kind == NAME_FRONTEND)
        ok = take_stamp(l[0], h);
    else
        ok = take_label(l[0], h);
    if (ok)
        return kind;
    return NAME_INVALID;
}

static enum name_kind classify_private(const struct label *l, size_t n, struct hostname *h)
{
    if (n == 0)
        return NAME_ENT;
    if (word_equal(l[n - 1], "geo"))
        return classify_in_region(l, n - 1, NAME_REGIONAL_PRIVATE, h);
    if (word_equal(l[n - 1], "data"))
        return classify_in_region(l, n - 1, NAME_DATA_PRIVATE, h);
    if (n == 1 && take_label(l[0], h))
        return NAME_GLOBAL_PRIVATE;
    return NAME_INVALID;
}

static enum name_kind classify(const struct prefix *p, struct hostname *h)
{
    const struct label *l = p->l;
    size_t n = p->n;
    if (p->broken)
        return NAME_INVALID;
    if (n == 0)
        return NAME_APEX;
    if (word_equal(l[n - 1], "geo"))
        return classify_in_region(l, n - 1, NAME_REGIONAL, h);
    if (word_equal(l[n - 1], "data"))
        return classify_in_region(l, n - 1, NAME_DATA, h);
    if (word_equal(l[n - 1], "fe"))
        return classify_in_region(l, n - 1, NAME_FRONTEND, h);
    if (word_equal(l[n - 1], "privatelink"))
        return classify_private(l, n - 1, h);
    if (n == 1) {
        if (take_label(l[0], h))
            return NAME_GLOBAL;
        return NAME_INVALID;
    }
    if (n == 2 && word_equal(l[0], "_route")) {
        if (take_label(l[1], h))
            return NAME_ROUTE;
        return NAME_INVALID;
    }
    return NAME_INVALID;
}

static enum name_kind finish(const struct prefix *p, struct hostname *out)
{
    memset(out, 0, sizeof *out);
    enum name_kind kind = classify(p, out);
    if (kind == NAME_INVALID)
        memset(out, 0, sizeof *out); // parts that were read before the flaw
    out->kind = kind;
    return kind;
}

static enum name_kind finish_foreign(struct hostname *out)
{
    memset(out, 0, sizeof *out);
    return out->kind = NAME_FOREIGN;
}

static void prefix_add(struct prefix *p, const uint8_t *at, size_t n)
{
    if (n == 0 || n > LABEL_MAX || p->n == DEPTH_MAX)
        p->broken = true;
    else
        p->l[p->n++] = (struct label){at, n};
}

static enum name_kind parse_text(const uint8_t *s, size_t n, const char *domain,
                                 struct hostname *out)
{
    struct prefix p = {.n = 0};
    size_t dn = strlen(domain);
    if (n && s[n - 1] == '.')
        n--;
    while (n && s[n - 1] == '.') { // more than one final dot: an empty label
        n--;
        p.broken = true;
    }
    if (dn == 0 || n < dn || (n > dn && s[n - dn - 1] != '.'))
        return finish_foreign(out);
    for (size_t i = 0; i < dn; i++)
        if (lower(s[n - dn + i]) != (uint8_t)domain[i])
            return finish_foreign(out);
    if (n > NAME_TEXT_MAX)
        p.broken = true;
    if (n > dn) {
        const uint8_t *at = s, *end = s + (n - dn - 1);
        for (const uint8_t *dot; !p.broken && (dot = memchr(at, '.', (size_t)(end - at)));
             at = dot + 1)
            prefix_add(&p, at, (size_t)(dot - at));
        if (!p.broken)
            prefix_add(&p, at, (size_t)(end - at));
    }
    return finish(&p, out);
}

enum name_kind hostname_parse(const char *text, const char *domain, struct hostname *out)
{
    return parse_text((const uint8_t *)text, strlen(text), domain, out);
}

// Do the labels at w (the tail of a name, with the root, dn + 2 bytes) spell the domain?
static bool tail_is_domain(const uint8_t *w, const char *domain, size_t dn)
{
    for (size_t i = 0; i < dn;) {
        size_t n = *w++;
        if (n == 0 || n > LABEL_MAX || n > dn - i || (i + n < dn && domain[i + n] != '.'))
            return false;
        for (size_t k = 0; k < n; k++, i++)
            if (domain[i] == '.' || lower(*w++) != (uint8_t)domain[i])
                return false;
        i++; // the dot
    }
    return *w == 0;
}

enum name_kind hostname_parse_wire(const uint8_t *wire, size_t n, const char *domain,
                                   struct hostname *out)
{
    struct prefix p = {.n = 0};
    size_t dn = strlen(domain);
    if (dn == 0 || n > NAME_WIRE_MAX || n < dn + 2 ||
        !tail_is_domain(wire + (n - dn - 2), domain, dn))
        return finish_foreign(out);
    const uint8_t *at = wire, *end = wire + (n - dn - 2);
    while (at < end) {
        size_t len = *at++;
        if (len == 0 || len > LABEL_MAX || len > (size_t)(end - at))
            // the labels do not meet the domain: its bytes lie inside one of them
            return finish_foreign(out);
        prefix_add(&p, at, len);
        at += len;
    }
    return finish(&p, out);
}

enum name_kind hostname_parse_http_host(const char *host, const char *domain, struct hostname *out)
{
    size_t n = strcspn(host, ":");
    enum name_kind kind = parse_text((const uint8_t *)host, n, domain, out);
    if (kind == NAME_FOREIGN || !host[n])
        return kind;
    unsigned long port = 0;
    const char *s = host + n + 1; // may be empty: RFC 3986 section 3.2.3
    for (; *s >= '0' && *s <= '9' && port <= 65535; s++)
        port = port * 10 + (unsigned long)(*s - '0');
    if (*s || port > 65535) {
        memset(out, 0, sizeof *out);
        out->kind = NAME_INVALID;
    }
    return out->kind;
}

static struct label label_of(const char *s)
{
    return (struct label){(const uint8_t *)s, strlen(s)};
}

static bool is_lower(const char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            return false;
    return true;
}

bool hostname_registry_ok(const char *s)
{
    struct hostname h;
    return is_lower(s) && !strchr(s, '-') && take_label(label_of(s), &h);
}

bool hostname_hash_ok(const char *s)
{
    char hash[HOSTNAME_HASH_SIZE];
    return is_lower(s) &&
           take_alnum(label_of(s), HOSTNAME_HASH_SIZE - 1, HOSTNAME_HASH_SIZE - 1, hash);
}

bool hostname_region_ok(const char *s)
{
    struct hostname h;
    return is_lower(s) && take_region(label_of(s), &h);
}

bool hostname_stamp_ok(const char *s)
{
    struct hostname h;
    return is_lower(s) && take_stamp(label_of(s), &h);
}

static bool domain_spelled_ok(const char *s)
{
    struct hostname h;
    size_t n_labels = 0;
    if (!is_lower(s))
        return false;
    for (;; s++) {
        size_t n = strcspn(s, ".");
        if (!take_stamp((struct label){(const uint8_t *)s, n}, &h)) // the same letters
            return false;
        n_labels++;
        s += n;
        if (!*s)
            return n_labels >= 2;
    }
}

bool hostname_domain_ok(const char *s)
{
    return strlen(s) <= NAME_TEXT_MAX - LONGEST_PREFIX_N && domain_spelled_ok(s);
}

// A row per kind: its name in the test vectors, which parts it has, and the words between them and
// D.
static const struct {
    const char *name, *infix;
    bool label, region, stamp, prefix_route, formats;
} kinds[] = {
    [NAME_GLOBAL] = {"global", "", .label = true, .formats = true},
    [NAME_REGIONAL] = {"regional", "geo.", .label = true, .region = true, .formats = true},
    [NAME_DATA] = {"data", "data.", .label = true, .region = true, .formats = true},
    [NAME_GLOBAL_PRIVATE] = {"global_private", "privatelink.", .label = true, .formats = true},
    [NAME_REGIONAL_PRIVATE] = {"regional_private", "geo.privatelink.", .label = true,
                               .region = true, .formats = true},
    [NAME_DATA_PRIVATE] = {"data_private", "data.privatelink.", .label = true, .region = true,
                           .formats = true},
    [NAME_FRONTEND] = {"frontend", "fe.", .region = true, .stamp = true, .formats = true},
    [NAME_ROUTE] = {"route", "", .label = true, .prefix_route = true, .formats = true},
    [NAME_APEX] = {"apex", "", .formats = true},
    [NAME_ENT] = {"ent", ""},
    [NAME_FOREIGN] = {"foreign", ""},
    [NAME_INVALID] = {"invalid", ""},
};

const char *hostname_kind_name(enum name_kind kind)
{
    if ((size_t)kind < ARRAY_LEN(kinds))
        return kinds[kind].name;
    return "invalid";
}

int hostname_format(enum name_kind kind, const char *domain, const char *label, const char *region,
                    const char *stamp, char out[HOSTNAME_TEXT_SIZE])
{
    struct hostname h;
    if ((size_t)kind >= ARRAY_LEN(kinds) || !kinds[kind].formats || !domain ||
        !domain_spelled_ok(domain))
        return ERR_INVAL;
    if (kinds[kind].label && (!label || !is_lower(label) || !take_label(label_of(label), &h)))
        return ERR_INVAL;
    if (kinds[kind].region && (!region || !hostname_region_ok(region)))
        return ERR_INVAL;
    if (kinds[kind].stamp && (!stamp || !hostname_stamp_ok(stamp)))
        return ERR_INVAL;
    const char *parts[] = {
        kinds[kind].prefix_route ? "_route." : "",
        kinds[kind].label   ? label
        : kinds[kind].stamp ? stamp
                            : "",
        kinds[kind].label || kinds[kind].stamp ? "." : "",
        kinds[kind].region ? region : "",
        kinds[kind].region ? "." : "",
        kinds[kind].infix,
        domain,
    };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        n += strlen(parts[i]);
    if (n > NAME_TEXT_MAX)
        return ERR_TOOBIG;
    char *to = out;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t len = strlen(parts[i]);
        memcpy(to, parts[i], len);
        to += len;
    }
    *to = 0;
    return 0;
}

enum name_kind hostname_private_of(enum name_kind kind)
{
    switch (kind) {
    case NAME_GLOBAL:
        return NAME_GLOBAL_PRIVATE;
    case NAME_REGIONAL:
        return NAME_REGIONAL_PRIVATE;
    case NAME_DATA:
        return NAME_DATA_PRIVATE;
    default:
        return kind;
    }
}

enum name_kind hostname_public_of(enum name_kind kind)
{
    switch (kind) {
    case NAME_GLOBAL_PRIVATE:
        return NAME_GLOBAL;
    case NAME_REGIONAL_PRIVATE:
        return NAME_REGIONAL;
    case NAME_DATA_PRIVATE:
        return NAME_DATA;
    default:
        return kind;
    }
}
