// SPDX-License-Identifier: Apache-2.0
// `meridian dns keys`: the signing keys of D and fe.D through their life (RFC 6781 section 4.1, RFC
// 7583). Private keys are files in a folder that is copied to every resolver by the operator;
// public halves and states stand in the topology's `dnssec` section, which these commands rewrite,
// with the document's version one higher.
//
//   generate  a private key in a file; nothing uses it yet
//   publish   into the topology: state published, or active when the zone has none of its role
//   roll      published → active, and the active one of its role → retired, once caches know the
//             key
//   retire    active → retired, when another active key of its role is there
//   remove    a retired key leaves the topology, once caches have forgotten what it signed; one
//             that the parent of D has named in a DS, only after the operator has seen the new DS
//             there
//   ds        the DS records for the parent
//   withdraw  all of them leave it, and the zones go unsigned
#include "cli/edit.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/dns_keys.h"
#include "config/catalogue.h"
#include "config/frontend.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT_DIR "/var/lib/meridian/keys/dns"
#define MARGIN_S 300 // until every resolver has taken a new topology over
// a signature in a cache is older than that at most: two periods of fe.D
#define SIGNATURE_S 1209600
#define PARENT_DS_TTL_S 172800 // what most parents use

struct keys { // the section as it will be
    struct cli *cli;
    struct dnskey list[DNSKEY_KEYS_MAX];
    size_t n;
    int64_t now_s;
};

static int keys_begin(struct cli *c, struct keys *k)
{
    int rc = edit_begin(c);
    if (rc)
        return rc;
    const struct dnssec_settings *d = &c->topo->dnssec;
    k->cli = c;
    k->n = d->n_keys;
    k->now_s = clock_wall_ms() / 1000;
    if (d->n_keys)
        memcpy(k->list, d->keys, d->n_keys * sizeof *d->keys);
    return 0;
}

static struct dnskey *keys_find(struct keys *k, const char *id)
{
    for (size_t i = 0; i < k->n; i++)
        if (!strcmp(k->list[i].id, id))
            return &k->list[i];
    cli_complain("%s has no key %s; `meridian dns keys list` shows them", k->cli->topology, id);
    return NULL;
}

static const char *time_text(struct keys *k, int64_t s)
{
    struct tm tm;
    time_t t = (time_t)s;
    char text[32];
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return arena_strdup(&k->cli->arena, text);
}

static const char *section_text(struct keys *k)
{
    char b64[b64_size(DNSKEY_PUBLIC_MAX)];
    const char *out = ""; // no key: no section, and no signatures
    if (k->n)
        out = arena_printf(&k->cli->arena, "dnssec:\n  ttl: %us\n  keys:\n",
                           (unsigned)k->cli->topo->dnssec.ttl);
    for (size_t i = 0; i < k->n && out; i++) {
        const struct dnskey *d = &k->list[i];
        b64_format(d->public, d->public_n, b64);
        out = arena_printf(&k->cli->arena,
                           "%s    - id: %s # %u\n      zone: %s\n      role: %s\n      algorithm: "
                           "%s\n      state: %s\n"
                           "      since: \"%s\"\n      key: %s\n",
                           out, d->id, d->tag, dnskey_zone_name(d->zone), dnskey_role_name(d->role),
                           dnskey_algorithm_name(d->algorithm), dnskey_state_name(d->state),
                           time_text(k, d->since_s), b64);
    }
    return out;
}

static bool has_keys(const struct topology *t, const void *ctx)
{
    const struct keys *k = ctx;
    return t->dnssec.n_keys == k->n;
}

// `more`: another section to go with it, or NULL.
static int keys_commit_with(struct keys *k, const struct edit_section *more)
{
    struct edit_section list[2] = {{"dnssec", section_text(k)}};
    if (more)
        list[1] = *more;
    if (!list[0].text || (more && !more->text))
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", k->cli->topology,
                        err_text(ERR_NOMEM));
    return edit_commit(k->cli, list, more ? 2 : 1, has_keys, k);
}

static int keys_commit(struct keys *k)
{
    return keys_commit_with(k, NULL);
}

// ---- waiting times ----

static bool due(int64_t now, int64_t since, int64_t wait)
{
    return now >= since + wait;
}

static int too_early(struct keys *k, const struct dnskey *d, int64_t wait, const char *why)
{
    return cli_fail(EXIT_NOT_YET, "%s is %s since %s; wait until %s: %s (--force does it now)",
                    d->id, dnskey_state_name(d->state), time_text(k, d->since_s),
                    time_text(k, d->since_s + wait), why);
}

// Until all who serve the zone have what the topology says (Dprp of RFC 7583): a secondary of fe.D
// that missed its NOTIFY asks by itself.
static int64_t spread_wait(const struct keys *k, const struct dnskey *d)
{
    const struct transfer_settings *t = &k->cli->topo->transfer;
    bool secondaries = d->zone == DNSKEY_ZONE_FRONTEND && (t->n_allow || t->n_keys);
    return MARGIN_S + (secondaries ? SOA_REFRESH_S : 0);
}

// Until everyone who holds the zone's keys holds this one too.
static int64_t publish_wait(const struct keys *k, const struct dnskey *d)
{
    return (int64_t)k->cli->topo->dnssec.ttl + spread_wait(k, d);
}

static int64_t longest_ttl(const struct keys *k)
{
    const struct topology *t = k->cli->topo;
    const struct ttls *ttl = &t->ttl;
    const uint32_t all[] = {ttl->global, ttl->regional, ttl->data,     ttl->frontend, ttl->private_,
                            ttl->soa,    ttl->ns,       ttl->negative, t->static_ttl};
    int64_t longest = t->dnssec.ttl;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i] > longest)
            longest = all[i];
    }
    return longest;
}

// Until nobody holds a signature of it, or fe.D's DS that names it.
static int64_t remove_wait(const struct keys *k, const struct dnskey *d)
{
    return longest_ttl(k) + spread_wait(k, d);
}

// ---- commands ----

struct words {
    const char *dir, *zone, *role, *algorithm, *ds_changed;
    int64_t parent_ttl_s;
    bool force;
};

static int word_of(const char *what, const char *given, const char *const *words, size_t n,
                   unsigned *out)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(given, words[i])) {
            *out = (unsigned)i;
            return 0;
        }
    return cli_fail(EXIT_USAGE, "dns keys: --%s %s: expected one of %s, %s%s%s", what, given,
                    words[0], words[1], n > 2 ? ", " : "", n > 2 ? words[2] : "");
}

static int generate_one(struct cli *c, const char *dir, enum dnskey_zone zone,
                        enum dnskey_role role, enum dnskey_algorithm algorithm)
{
    struct diag diag;
    struct dnskey d;
    char id[65];
    diag_init(&diag);
    int rc = dns_key_create(dir, zone, role, algorithm, &diag, id, &d);
    diag_print(&diag, stderr);
    diag_done(&diag);
    if (rc)
        return cli_fail(EXIT_FAILED, "no key was made: %s", err_text(rc));
    cli_tell(c, json_pack("{s:s}", "id", id), "%s", id);
    return EXIT_DONE;
}

static int keys_generate(struct cli *c, int argc, char **argv)
{
    static const char *const zones[] = {"D", "fe"}, *const roles[] = {"ksk", "zsk", "csk"},
                             *const algorithms[] = {"ecdsap256sha256", "ed25519"};
    struct words w = {.dir = DEFAULT_DIR, .algorithm = algorithms[0]};
    const struct opt rows[] = {
        {0, "dir", "DIR", "where private keys are (default " DEFAULT_DIR ")", &w.dir, NULL},
        {0, "zone", "ZONE", "D or fe (default: both)", &w.zone, NULL},
        {0, "role", "ROLE", "ksk, zsk or csk (default: ksk and zsk)", &w.role, NULL},
        {0, "algorithm", "NAME", "ecdsap256sha256 (default) or ed25519", &w.algorithm, NULL},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc != 1)
        rc = cli_fail(EXIT_USAGE, "dns keys generate takes no words");
    unsigned zone = 0, role = 0, algorithm = 0;
    if (!rc && w.zone)
        rc = word_of("zone", w.zone, zones, 2, &zone);
    if (!rc && w.role)
        rc = word_of("role", w.role, roles, 3, &role);
    if (!rc)
        rc = word_of("algorithm", w.algorithm, algorithms, 2, &algorithm);
    if (rc)
        return rc;
    // Those that are named, else both zones, and a ksk and a zsk.
    unsigned last_zone = zone, last_role = role;
    if (!w.zone)
        last_zone = 1;
    if (!w.role)
        last_role = 1;
    for (unsigned z = zone; !rc && z <= last_zone; z++)
        for (unsigned r = role; !rc && r <= last_role; r++)
            rc = generate_one(c, w.dir, (enum dnskey_zone)z, (enum dnskey_role)r,
                              algorithm ? DNSKEY_ED25519 : DNSKEY_ECDSAP256);
    return rc;
}

// What a key of this kind does: a csk stands in for either.
static bool same_work(const struct dnskey *a, const struct dnskey *b)
{
    return a->zone == b->zone &&
           (a->role == b->role || a->role == DNSKEY_CSK || b->role == DNSKEY_CSK);
}

static bool has_active(const struct keys *k, const struct dnskey *of)
{
    for (size_t i = 0; i < k->n; i++)
        if (&k->list[i] != of && k->list[i].state == DNSKEY_ACTIVE && same_work(&k->list[i], of))
            return true;
    return false;
}

static int publish_one(struct keys *k, const char *dir, const char *id)
{
    struct diag diag;
    struct dnskey d;
    for (size_t i = 0; i < k->n; i++)
        if (!strcmp(k->list[i].id, id))
            return cli_fail(EXIT_FAILED, "%s stands in the topology already", id);
    if (k->n == DNSKEY_KEYS_MAX)
        return cli_fail(EXIT_FAILED, "the topology has %d keys, which is all it may have",
                        DNSKEY_KEYS_MAX);
    diag_init(&diag);
    int rc = dns_key_describe(dir, id, &diag, &d);
    diag_print(&diag, stderr);
    diag_done(&diag);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s cannot be published: %s", id, err_text(rc));
    if (has_active(k, &d))
        d.state = DNSKEY_PUBLISHED;
    else
        d.state = DNSKEY_ACTIVE;
    d.since_s = k->now_s;
    k->list[k->n++] = d;
    return 0;
}

static int keys_publish(struct cli *c, int argc, char **argv)
{
    struct words w = {.dir = DEFAULT_DIR};
    struct keys k;
    const struct opt rows[] = {
        {0, "dir", "DIR", "where private keys are (default " DEFAULT_DIR ")", &w.dir, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc < 2)
        rc = cli_fail(EXIT_USAGE, "dns keys publish: name the keys");
    if (!rc)
        rc = keys_begin(c, &k);
    for (int i = 1; !rc && i < argc; i++)
        rc = publish_one(&k, w.dir, argv[i]);
    if (rc)
        return rc;
    return keys_commit(&k);
}

static void print_ds(const struct keys *k, const struct dnskey *d)
{
    const struct catalogue *c = k->cli->topo->catalogue;
    uint8_t apex[260], ds[DNSKEY_DS_BYTES];
    size_t n = 0;
    bool fe = d->zone == DNSKEY_ZONE_FRONTEND;
    if (fe)
        memcpy(apex, "\2fe", n = 3);
    memcpy(apex + n, c->apex, c->apex_n);
    dnskey_ds(d, apex, n + c->apex_n, ds);
    char hex[2 * SHA256_BYTES + 1];
    hex_format(ds + 4, SHA256_BYTES, hex);
    const char *owner =
        arena_printf(&k->cli->arena, "%s%s.", fe ? "fe." : "", k->cli->topo->domain);
    cli_tell(k->cli,
             json_pack("{s:s, s:i, s:i, s:i, s:s}", "name", owner, "keyTag", (int)d->tag,
                       "algorithm", (int)ds[2], "digestType", (int)ds[3], "digest", hex),
             "%s IN DS %u %u %u %s", owner, d->tag, ds[2], ds[3], hex);
}

static int change_begin(struct cli *c, struct words *w, int argc, char **argv, struct keys *k,
                        struct dnskey **out)
{
    const struct opt rows[] = {
        {0, "force", NULL, "do not wait for caches", NULL, &w->force},
        {0, "ds-changed", "TIME",
         "since when D's parent shows the new DS and not this key's, as in 2026-11-23T19:58:50Z",
         &w->ds_changed, NULL},
        {0, "parent-ttl", "SECONDS", "TTL of the DS at D's parent (default 172800)",
         .number = &w->parent_ttl_s, .max = SIGNATURE_S},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc != 2)
        rc = cli_fail(EXIT_USAGE, "dns keys %s: name one key", c->row->name);
    if (!rc)
        rc = keys_begin(c, k);
    if (rc)
        return rc;
    *out = keys_find(k, argv[1]);
    if (*out)
        return 0;
    return EXIT_FAILED;
}

static int keys_roll(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    struct keys k;
    struct dnskey *d;
    int rc = change_begin(c, &w, argc, argv, &k, &d);
    if (rc)
        return rc;
    if (d->state != DNSKEY_PUBLISHED)
        return cli_fail(EXIT_FAILED, "%s is %s; only a published key can take over", d->id,
                        dnskey_state_name(d->state));
    if (!w.force && !due(k.now_s, d->since_s, publish_wait(&k, d)))
        return too_early(&k, d, publish_wait(&k, d),
                         "caches may hold the zone's keys without this one");
    for (size_t i = 0; i < k.n; i++)
        if (k.list[i].state == DNSKEY_ACTIVE && same_work(&k.list[i], d)) {
            k.list[i].state = DNSKEY_RETIRED;
            k.list[i].since_s = k.now_s;
        }
    d->state = DNSKEY_ACTIVE;
    d->since_s = k.now_s;
    rc = keys_commit(&k);
    if (!rc && dnskey_has_ds(d) && d->zone == DNSKEY_ZONE_MAIN) {
        fprintf(stderr, "give this DS to the parent, or let it read CDS; when it shows there, and "
                        "the old one does not, note "
                        "the time: remove asks for it\n");
        print_ds(&k, d);
    }
    return rc;
}

static int keys_retire(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    struct keys k;
    struct dnskey *d;
    int rc = change_begin(c, &w, argc, argv, &k, &d);
    if (rc)
        return rc;
    if (d->state != DNSKEY_ACTIVE)
        return cli_fail(EXIT_FAILED, "%s is %s; only an active key can be retired", d->id,
                        dnskey_state_name(d->state));
    d->state = DNSKEY_RETIRED;
    d->since_s = k.now_s;
    return keys_commit(&k); // which refuses a zone without an active key
}

// When D's parent changed what it shows is not ours to know: the time that was given (-1: none),
// and the TTL there.
static int parent_said(const struct keys *k, const char *command, const struct words *w,
                       int64_t *out_changed, int64_t *out_ttl)
{
    int64_t changed = -1;
    if (w->ds_changed)
        changed = dnskey_time_parse(w->ds_changed);
    if (w->ds_changed && (changed < 0 || changed > k->now_s))
        return cli_fail(EXIT_USAGE,
                        "dns keys %s: --ds-changed is a time in UTC, as in 2026-11-23T19:58:50Z",
                        command);
    *out_changed = changed;
    *out_ttl = w->parent_ttl_s;
    return 0;
}

// Of a key that D's parent has a DS of: nobody validates D while that is the only one that is
// known.
static int parent_wait(struct keys *k, const struct dnskey *d, const struct words *w, int64_t *out)
{
    int64_t changed = 0, ttl = 0;
    int rc = parent_said(k, "remove", w, &changed, &ttl);
    if (rc || d->zone != DNSKEY_ZONE_MAIN || d->role == DNSKEY_ZSK || d->state != DNSKEY_RETIRED ||
        w->force)
        return rc;
    if (changed < 0)
        return cli_fail(
            EXIT_FAILED,
            "%s may be what D's parent has a DS of, and without it nobody could validate D; say "
            "since when "
            "the parent shows the new DS and not this one: --ds-changed TIME (--force: do not ask)",
            d->id);
    *out = changed + ttl + MARGIN_S - d->since_s;
    return 0;
}

static int keys_remove(struct cli *c, int argc, char **argv)
{
    struct words w = {.parent_ttl_s = PARENT_DS_TTL_S};
    struct keys k;
    struct dnskey *d;
    int rc = change_begin(c, &w, argc, argv, &k, &d);
    if (rc)
        return rc;
    int64_t wait = d->state == DNSKEY_RETIRED ? remove_wait(&k, d) : 0, parent = 0;
    if (d->state == DNSKEY_ACTIVE)
        return cli_fail(EXIT_FAILED, "%s is active; retire it first", d->id);
    rc = parent_wait(&k, d, &w, &parent);
    if (rc)
        return rc;
    if (parent > wait)
        wait = parent;
    if (!w.force && !due(k.now_s, d->since_s, wait))
        return too_early(&k, d, wait, "caches may hold what it signed, or a DS that names it");
    memmove(d, d + 1, (size_t)(k.list + k.n - (d + 1)) * sizeof *d);
    k.n--;
    return keys_commit(&k);
}

// To who holds a DS, of D or of fe.D, an unsigned zone is forged.
static int withdraw_wait(struct keys *k, const struct words *w)
{
    int64_t gone = 0, ttl = 0;
    int rc = parent_said(k, "withdraw", w, &gone, &ttl);
    if (rc || w->force)
        return rc;
    if (gone < 0)
        return cli_fail(
            EXIT_FAILED,
            "nobody who holds the DS of D could use it without signatures; let its parent take it "
            "away, and say since when it shows none: --ds-changed TIME (--force: do not ask)");
    int64_t until = gone + ttl + longest_ttl(k) + MARGIN_S;
    if (k->now_s >= until)
        return 0;
    return cli_fail(EXIT_NOT_YET, "wait until %s: caches may hold a DS (--force does it now)",
                    time_text(k, until));
}

// The serial of fe.D loses the number of the signing period: the topology keeps that as an offset,
// with a few more for nodes that sign on until the topology reaches them.
static int keys_withdraw(struct cli *c, int argc, char **argv)
{
    struct words w = {.parent_ttl_s = PARENT_DS_TTL_S};
    struct keys k;
    const struct opt rows[] = {
        {0, "force", NULL, "do not wait for caches", NULL, &w.force},
        {0, "ds-changed", "TIME", "since when D's parent shows no DS, as in 2026-11-23T19:58:50Z",
         &w.ds_changed, NULL},
        {0, "parent-ttl", "SECONDS", "TTL that it had there (default 172800)",
         .number = &w.parent_ttl_s, .max = SIGNATURE_S},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc != 1)
        rc = cli_fail(EXIT_USAGE, "dns keys withdraw takes no words");
    if (!rc)
        rc = keys_begin(c, &k);
    if (!rc && !k.n)
        rc = cli_fail(EXIT_FAILED, "%s has no keys", c->topology);
    if (!rc)
        rc = withdraw_wait(&k, &w);
    if (rc)
        return rc;
    const struct zone_serial *s = &c->topo->frame->serial;
    uint32_t periods = (uint32_t)(k.now_s / FRONTEND_PERIOD_S) + FRONTEND_SPARE_PERIODS;
    const struct edit_section serial = {
        "zone_serial", edit_zone_serial(c, s->pin, s->pin_of, s->offset + periods)};
    k.n = 0;
    return keys_commit_with(&k, &serial);
}

static int keys_list(struct cli *c, int argc, char **argv)
{
    struct keys k;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc && argc != 1)
        rc = cli_fail(EXIT_USAGE, "dns keys list takes no words");
    if (!rc)
        rc = keys_begin(c, &k);
    if (rc)
        return rc;
    if (cli_json(c)) {
        json_t *all = json_array();
        for (size_t i = 0; i < k.n; i++) {
            const struct dnskey *d = &k.list[i];
            json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s,s:i,s:s,s:s}", "id", d->id,
                                                 "zone", dnskey_zone_name(d->zone), "role",
                                                 dnskey_role_name(d->role), "algorithm",
                                                 dnskey_algorithm_name(d->algorithm), "tag",
                                                 (int)d->tag, "state", dnskey_state_name(d->state),
                                                 "since", time_text(&k, d->since_s)));
        }
        return cli_print_json(c, all);
    }
    const char *cells[(DNSKEY_KEYS_MAX + 1) * 7] = {"id",  "zone",  "role", "algorithm",
                                                    "tag", "state", "since"};
    for (size_t i = 0; i < k.n; i++) {
        const struct dnskey *d = &k.list[i];
        const char **row = cells + 7 * (i + 1);
        row[0] = d->id;
        row[1] = dnskey_zone_name(d->zone);
        row[2] = dnskey_role_name(d->role);
        row[3] = dnskey_algorithm_name(d->algorithm);
        row[4] = arena_printf(&c->arena, "%u", d->tag);
        row[5] = dnskey_state_name(d->state);
        row[6] = time_text(&k, d->since_s);
    }
    cli_table(cells, k.n + 1, 7);
    return EXIT_DONE;
}

static int keys_ds(struct cli *c, int argc, char **argv)
{
    struct words w = {.zone = "D"};
    struct keys k;
    const struct opt rows[] = {{0, "zone", "ZONE", "D (default) or fe", &w.zone, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    static const char *const zones[] = {"D", "fe"};
    unsigned zone = 0, n = 0;
    if (!rc && argc != 1)
        rc = cli_fail(EXIT_USAGE, "dns keys ds takes no words");
    if (!rc)
        rc = word_of("zone", w.zone, zones, 2, &zone);
    if (!rc)
        rc = keys_begin(c, &k);
    if (rc)
        return rc;
    for (size_t i = 0; i < k.n; i++)
        if (k.list[i].zone == zone && dnskey_has_ds(&k.list[i])) {
            print_ds(&k, &k.list[i]);
            n++;
        }
    if (n)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%s has no key for a DS", c->topology);
}

static const struct command key_cmds[] = {
    {"generate",
     "make private keys; copy them to every resolver",
     "[--zone D|fe] [--role ksk|zsk|csk] [--dir DIR]",
     keys_generate,
     USES_TOPOLOGY,
     0,
     0,
     {"meridian dns keys generate --dir keys",
      "meridian dns keys generate --zone D --role zsk --dir keys"}},
    {"publish",
     "put keys into the topology",
     "ID... [--dir DIR]",
     keys_publish,
     USES_CHANGE | USES_TOPOLOGY,
     1,
     WORDS_ANY,
     {"meridian dns keys publish d-ksk-4711 --dir keys",
      "meridian dns keys publish d-ksk-4711 d-zsk-812 --dir keys"}},
    {"roll",
     "let a published key take over from the active one",
     "ID [--force]",
     keys_roll,
     USES_CHANGE | USES_TOPOLOGY,
     1,
     1,
     {"meridian dns keys roll d-zsk-812", "meridian dns keys roll d-zsk-812 --force"}},
    {"retire",
     "let an active key sign no more",
     "ID",
     keys_retire,
     USES_CHANGE | USES_TOPOLOGY,
     1,
     1,
     {"meridian dns keys retire d-zsk-811",
      "meridian dns keys retire fe-zsk-93 --topology topology.yaml"}},
    {"remove",
     "take a retired key out of the topology",
     "ID [--ds-changed TIME] [--parent-ttl SECONDS] [--force]",
     keys_remove,
     USES_CHANGE | USES_TOPOLOGY | TAKES_AWAY,
     1,
     1,
     {"meridian dns keys remove d-zsk-811",
      "meridian dns keys remove d-ksk-4710 --ds-changed 2026-11-23T19:58:50Z --yes"}},
    {"list",
     "the topology's keys and their states",
     "",
     keys_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian dns keys list",
      "meridian dns keys list -o json --query \"[?state=='active'].id\""}},
    {"ds",
     "DS records for the parent",
     "[--zone D|fe]",
     keys_ds,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian dns keys ds", "meridian dns keys ds --zone fe"}},
    {"withdraw",
     "take all keys out of the topology: D and fe.D go unsigned",
     "--ds-changed TIME [--parent-ttl SECONDS] [--force]",
     keys_withdraw,
     USES_CHANGE | USES_TOPOLOGY | TAKES_AWAY,
     0,
     0,
     {"meridian dns keys withdraw --ds-changed 2026-11-23T19:58:50Z",
      "meridian dns keys withdraw --ds-changed 2026-11-23T19:58:50Z --parent-ttl 3600 --yes"}},
};

int cmd_dns_keys(struct cli *c, int argc, char **argv)
{
    return command_group(c, key_cmds, ARRAY_LEN(key_cmds), argc, argv);
}
