// SPDX-License-Identifier: Apache-2.0
// Records of connections, read and written; see connections.h. Addresses that are held are in
// connection_addresses.c.
#include "control/connections.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

static const char *const state_words[] = {"Pending", "Approved", "Rejected", "Disconnected"};
static const char *const provisioning_words[] = {"Succeeded", "Updating", "Failed"};

const char *connection_state_word(enum connection_state s)
{
    return state_words[s];
}

const char *connection_provisioning_word(enum connection_provisioning p)
{
    return provisioning_words[p];
}

// ---- reading ----

// Index of the word, or -1.
static int word_of(const json_t *v, const char *const *words, size_t n)
{
    const char *s = json_string_value(v);
    for (size_t i = 0; s && i < n; i++)
        if (!strcmp(words[i], s))
            return (int)i;
    return -1;
}

struct reading {
    const json_t *from;
    struct arena *arena;
    int rc;
};

static void latch(struct reading *r, int rc)
{
    if (!r->rc)
        r->rc = rc;
}

static const char *text(struct reading *r, const json_t *of, const char *key)
{
    const char *s = json_string_value(json_object_get(of, key));
    if (!s) {
        latch(r, ERR_INVAL);
        return "";
    }
    const char *copy = arena_strdup(r->arena, s);
    if (!copy)
        latch(r, ERR_NOMEM);
    return copy ? copy : "";
}

static int64_t number(struct reading *r, const json_t *of, const char *key)
{
    const json_t *v = json_object_get(of, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        latch(r, ERR_INVAL);
    return json_integer_value(v);
}

static unsigned word(struct reading *r, const json_t *of, const char *key, const char *const *words,
                     size_t n)
{
    int i = word_of(json_object_get(of, key), words, n);
    if (i >= 0)
        return (unsigned)i;
    latch(r, ERR_INVAL);
    return 0;
}

static void read_member(struct reading *r, const char *key, const json_t *list,
                        struct spec_member *out)
{
    size_t n = json_array_size(list);
    struct ip *ips = arena_array(r->arena, n ? n : 1, sizeof *ips);
    out->key = arena_strdup(r->arena, key);
    out->ips = ips;
    out->n_ips = n;
    if (!ips || !out->key) {
        latch(r, ERR_NOMEM);
        return;
    }
    if (!n || n > PRIVATE_ADDRESSES_MAX)
        latch(r, ERR_INVAL);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || ip_parse(s, &ips[i]))
            latch(r, ERR_INVAL);
    }
}

static void read_members(struct reading *r, struct connection *out)
{
    json_t *members = json_object_get(r->from, "members");
    const char *key;
    json_t *list;
    if (!json_is_object(members)) {
        latch(r, ERR_INVAL);
        return;
    }
    out->members = arena_array(r->arena, json_object_size(members) + 1, sizeof *out->members);
    if (!out->members) {
        latch(r, ERR_NOMEM);
        return;
    }
    json_object_foreach(members, key, list)
    {
        read_member(r, key, list, &out->members[out->n_members++]);
    }
    if (!r->rc)
        members_sort(out->members, out->n_members);
}

static void read_moves(struct reading *r, struct connection *out)
{
    const json_t *list = json_object_get(r->from, "moves");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > CONNECTION_MOVES_MAX) {
        latch(r, ERR_INVAL);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        struct connection_move *m = &out->moves[out->n_moves++];
        m->state = word(r, v, "state", state_words, ARRAY_LEN(state_words));
        m->by = text(r, v, "by");
        m->text = text(r, v, "text");
        m->at_ms = number(r, v, "at");
    }
}

static enum answered_by read_answered_by(struct reading *r)
{
    const char *s = json_string_value(json_object_get(r->from, "answeredBy"));
    for (size_t i = 0; s && i < ARRAY_LEN(spec_answered_by_words); i++)
        if (!strcmp(spec_answered_by_words[i].word, s))
            return (enum answered_by)spec_answered_by_words[i].value;
    latch(r, ERR_INVAL);
    return ANSWERED_BY_NONE;
}

static int read_all(const char *name, const json_t *from, struct arena *arena,
                    struct connection *out)
{
    struct reading r = {.from = from, .arena = arena};
    struct connection c = {.name = arena_strdup(arena, name)};
    if (!c.name)
        return ERR_NOMEM;
    if (!topology_name_ok(name))
        return ERR_INVAL;
    c.registry = text(&r, from, "registry");
    c.view = text(&r, from, "view");
    c.pool = text(&r, from, "pool");
    c.error = text(&r, from, "error");
    c.automatic = json_is_true(json_object_get(from, "auto"));
    c.is_static = json_is_true(json_object_get(from, "static"));
    c.state = word(&r, from, "state", state_words, ARRAY_LEN(state_words));
    c.provisioning =
        word(&r, from, "provisioning", provisioning_words, ARRAY_LEN(provisioning_words));
    c.answered_by = read_answered_by(&r);
    c.answered_ms = number(&r, from, "answeredMs");
    c.rest_ms = number(&r, from, "restMs");
    read_members(&r, &c);
    read_moves(&r, &c);
    if (!r.rc)
        *out = c;
    return r.rc;
}

int connection_parse(const char *name, const char *text_of, struct arena *arena,
                     struct connection *out)
{
    json_t *from = json_loads(text_of, 0, NULL);
    if (!from)
        return ERR_INVAL;
    int rc = read_all(name, from, arena, out);
    json_decref(from);
    return rc;
}

// ---- writing ----

static json_t *members_json(const struct connection *c)
{
    json_t *members = json_object();
    char text_of[IP_TEXT_SIZE];
    for (size_t i = 0; members && i < c->n_members; i++) {
        json_t *list = json_array();
        for (size_t k = 0; list && k < c->members[i].n_ips; k++)
            json_array_append_new(list, json_string(ip_format(&c->members[i].ips[k], text_of)));
        json_object_set_new(members, c->members[i].key, list);
    }
    return members;
}

static json_t *moves_json(const struct connection *c, size_t first)
{
    json_t *moves = json_array();
    for (size_t i = first; moves && i < c->n_moves; i++) {
        const struct connection_move *m = &c->moves[i];
        json_array_append_new(moves,
                              json_pack("{s:s, s:s, s:I, s:s}", "state", state_words[m->state],
                                        "by", m->by, "at", (json_int_t)m->at_ms, "text", m->text));
    }
    return moves;
}

static json_t *connection_json(const struct connection *c, size_t first_move)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o, s:b, s:s, s:I, s:I, s:o}",
                     "registry", c->registry, "view", c->view, "pool", c->pool, "auto",
                     (int)c->automatic, "state", state_words[c->state], "provisioning",
                     provisioning_words[c->provisioning], "error", c->error, "members",
                     members_json(c), "static", (int)c->is_static, "answeredBy",
                     answered_by_word(c->answered_by), "answeredMs", (json_int_t)c->answered_ms,
                     "restMs", (json_int_t)c->rest_ms, "moves", moves_json(c, first_move));
}

// Heap; NULL: out of memory.
static char *connection_text(const struct connection *c, size_t first_move)
{
    json_t *j = connection_json(c, first_move);
    char *s = control_record_text(j);
    json_decref(j);
    return s;
}

int connection_record(const struct connection *c, struct arena *arena, struct control_record *out)
{
    for (size_t first = 0; first <= c->n_moves; first++) {
        AUTO_FREE char *s = connection_text(c, first);
        if (!s)
            return ERR_NOMEM;
        if (strlen(s) > CONNECTION_MAX_BYTES)
            continue;
        *out = (struct control_record){arena_printf(arena, CONNECTION_PREFIX "%s", c->name),
                                       arena_strdup(arena, s)};
        return out->key && out->value ? 0 : ERR_NOMEM;
    }
    return ERR_TOOBIG;
}

// ---- looking up ----

int connection_get(const struct ledger_look *l, const char *name, struct arena *arena,
                   struct connection *out)
{
    AUTO_BUF struct buf text_of;
    AUTO_FREE char *key = mem_printf(CONNECTION_PREFIX "%s", name);
    buf_init(&text_of, 0);
    if (!key)
        return ERR_NOMEM;
    int rc = l->record(l->ctx, key, &text_of);
    if (rc)
        return rc;
    return connection_parse(name, buf_cstr(&text_of), arena, out);
}

struct gathering {
    const char *registry;
    struct arena *arena;
    struct connection *list;
    size_t n, cap;
    int rc;
};

static int gather_one(struct gathering *g, const struct connection *c)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 16;
        struct connection *list = arena_array(g->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (g->n)
            memcpy(list, g->list, g->n * sizeof *list);
        g->list = list;
        g->cap = cap;
    }
    g->list[g->n++] = *c;
    return 0;
}

static bool gather(void *ctx, const char *key, const char *value)
{
    struct gathering *g = ctx;
    struct connection c;
    // most are another registry's, and need not be read
    if (g->registry && !strstr(value, g->registry))
        return true;
    int rc = connection_parse(key + strlen(CONNECTION_PREFIX), value, g->arena, &c);
    if (!rc && (!g->registry || !strcmp(c.registry, g->registry)))
        rc = gather_one(g, &c);
    if (rc == ERR_NOMEM)
        g->rc = rc;
    return !g->rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct connection *)a)->name, ((const struct connection *)b)->name);
}

int connections_of(const struct ledger_look *l, const char *registry, struct arena *arena,
                   struct connection **out, size_t *out_n)
{
    struct gathering g = {.registry = registry, .arena = arena};
    l->records(l->ctx, CONNECTION_PREFIX, gather, &g);
    if (g.rc)
        return g.rc;
    if (g.n)
        qsort(g.list, g.n, sizeof *g.list, by_name);
    *out = g.list;
    *out_n = g.n;
    return 0;
}

// ---- what it says ----

void connection_move(struct connection *c, enum connection_state to, const char *by,
                     const char *text_of, int64_t at_ms)
{
    if (c->n_moves == CONNECTION_MOVES_MAX) {
        memmove(c->moves, c->moves + 1, (CONNECTION_MOVES_MAX - 1) * sizeof *c->moves);
        c->n_moves--;
    }
    c->state = to;
    c->moves[c->n_moves++] = (struct connection_move){to, by, text_of, at_ms};
}

bool connection_holds(const struct connection *c, int64_t now_ms)
{
    if (c->state == CONNECTION_PENDING || c->state == CONNECTION_APPROVED)
        return true;
    return c->rest_ms > now_ms;
}

// Bytes below 0x20, DEL, and U+0080 to U+009F.
static bool has_controls(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            return true;
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            return true;
    }
    return false;
}

bool connection_text_ok(const char *s)
{
    size_t n = 0;
    json_t *valid = json_string(s); // NULL: not UTF-8
    bool ok = valid && !has_controls(s);
    json_decref(valid);
    for (const char *p = s; *p; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    return ok && n <= CONNECTION_TEXT_MAX;
}

// ---- members ----

const struct spec_member *members_find(const struct spec_member *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].key, key))
            return &list[i];
    return NULL;
}

bool members_have(const struct spec_member *list, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_ips; k++)
            if (ip_equal(&list[i].ips[k], ip))
                return true;
    return false;
}

#define DATA_FORM "registry_data_"
#define REGIONAL_FORM "registry_"

static const char *region_of(const char *key)
{
    if (!strncmp(key, DATA_FORM, strlen(DATA_FORM)))
        return key + strlen(DATA_FORM);
    if (!strncmp(key, REGIONAL_FORM, strlen(REGIONAL_FORM)))
        return key + strlen(REGIONAL_FORM);
    return "";
}

static int by_member(const void *a, const void *b)
{
    const struct spec_member *x = a, *y = b;
    int c = strcmp(region_of(x->key), region_of(y->key));
    if (c)
        return c;
    bool first = !strncmp(x->key, DATA_FORM, strlen(DATA_FORM));
    bool second = !strncmp(y->key, DATA_FORM, strlen(DATA_FORM));
    return (int)second - (int)first;
}

void members_sort(struct spec_member *list, size_t n)
{
    if (n)
        qsort(list, n, sizeof *list, by_member);
}
