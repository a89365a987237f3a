// SPDX-License-Identifier: Apache-2.0
// The engine's memory of operations, and reading them; see lifecycle.h.
#include "lifecycle/lifecycle.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/lifecycle_priv.h"

#include <stdlib.h>
#include <string.h>

struct lifecycle *lifecycle_new(const struct lifecycle_deps *deps)
{
    struct lifecycle *l = mem_zalloc(sizeof *l);
    if (!l)
        return NULL;
    l->deps = *deps;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

static void operation_free(struct operation *o)
{
    json_decref(o->record);
    free(o);
}

static void forget_all(struct lifecycle *l)
{
    for (size_t i = 0; i < l->n_running; i++)
        operation_free(l->running[i]);
    l->n_running = 0;
    l->n_ended = 0;
    l->ttls_upto = 0;
    l->loaded = false;
}

void lifecycle_free(struct lifecycle *l)
{
    if (!l)
        return;
    forget_all(l);
    free(l->running);
    free(l->ended);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct clocks lifecycle_clocks(const struct lifecycle *l)
{
    int64_t wall = l->deps.now_ms(l->deps.ctx), sure = wall;
    if (l->deps.sure_ms)
        sure = l->deps.sure_ms(l->deps.ctx);
    if (sure > wall)
        return (struct clocks){.now_ms = sure, .sure_ms = wall};
    return (struct clocks){.now_ms = wall, .sure_ms = sure};
}

bool operation_id_ok(const char *id)
{
    return strlen(id) == OPERATION_ID_SIZE - 1 &&
           strspn(id, "0123456789abcdef") == OPERATION_ID_SIZE - 1;
}

const char *operation_key(const char *id, char out[OPERATION_KEY_SIZE])
{
    snprintf(out, OPERATION_KEY_SIZE, "operation/%.16s", id);
    return out;
}

// ---- memory ----

static void *grown(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t next = *cap ? *cap * 2 : 16;
    void *p = mem_realloc(array, next * size);
    if (p)
        *cap = next;
    return p;
}

static int ended_add(struct lifecycle *l, const char *id, int64_t updated_ms)
{
    struct ended *list = grown(l->ended, l->n_ended, &l->cap_ended, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    l->ended = list;
    struct ended *e = &list[l->n_ended++];
    snprintf(e->id, sizeof e->id, "%.16s", id);
    e->updated_ms = updated_ms;
    return 0;
}

struct operation *lifecycle_add(struct lifecycle *l, json_t *record)
{
    struct operation *o = mem_zalloc(sizeof *o);
    struct operation **list = grown(l->running, l->n_running, &l->cap_running, sizeof(void *));
    if (list)
        l->running = list;
    if (!o || !list) {
        free(o);
        json_decref(record);
        return NULL;
    }
    snprintf(o->id, sizeof o->id, "%.16s", record_text(record, "id"));
    o->record = record;
    o->verb = verb_find(record_text(record, "verb"));
    l->running[l->n_running++] = o;
    return o;
}

void lifecycle_ended(struct lifecycle *l, size_t at)
{
    struct operation *o = l->running[at];
    // out of memory: it stays in the ledger until the next start
    (void)ended_add(l, o->id, record_number(o->record, "updated"));
    memmove(&l->running[at], &l->running[at + 1], (l->n_running - at - 1) * sizeof(void *));
    l->n_running--;
    operation_free(o);
}

int lifecycle_record(const json_t *record, struct arena *a, struct control_record *out)
{
    char key[OPERATION_KEY_SIZE];
    char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return ERR_NOMEM;
    *out = (struct control_record){
        .key = arena_strdup(a, operation_key(record_text(record, "id"), key)),
        .value = arena_strdup(a, text)};
    free(text);
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

// ---- what is kept of those that have ended ----

size_t lifecycle_old(const struct lifecycle *l, int64_t now_ms, struct arena *a,
                     struct control_record *out, size_t max)
{
    size_t n = 0;
    while (n < max && n < l->n_ended) {
        bool too_many = l->n_ended - n > OPERATIONS_KEPT;
        if (!too_many && now_ms - l->ended[n].updated_ms <= OPERATION_KEPT_MS)
            break;
        char key[OPERATION_KEY_SIZE];
        out[n] =
            (struct control_record){.key = arena_strdup(a, operation_key(l->ended[n].id, key))};
        if (!out[n].key)
            break;
        n++;
    }
    return n;
}

void lifecycle_forget(struct lifecycle *l, size_t n)
{
    if (!n)
        return;
    memmove(l->ended, l->ended + n, (l->n_ended - n) * sizeof *l->ended);
    l->n_ended -= n;
}

// ---- loading ----

struct loading {
    struct lifecycle *l;
    int rc;
};

static bool load_one(void *v, const char *key, const char *value)
{
    struct loading *x = v;
    json_t *record = json_loads(value, 0, NULL);
    (void)key;
    if (!record || !record_whole(record) || !operation_id_ok(record_text(record, "id"))) {
        // of a release that writes them otherwise: it is not touched
        json_decref(record);
        return true;
    }
    if (!record_ended(record)) {
        if (!lifecycle_add(x->l, record))
            x->rc = ERR_NOMEM;
        return !x->rc;
    }
    x->rc = ended_add(x->l, record_text(record, "id"), record_number(record, "updated"));
    json_decref(record);
    return !x->rc;
}

static int by_end(const void *a, const void *b)
{
    const struct ended *x = a, *y = b;
    if (x->updated_ms != y->updated_ms)
        return x->updated_ms < y->updated_ms ? -1 : 1;
    return strcmp(x->id, y->id);
}

static int by_start(const void *a, const void *b)
{
    const struct operation *x = *(struct operation *const *)a, *y = *(struct operation *const *)b;
    int64_t m = record_number(x->record, "created"), n = record_number(y->record, "created");
    if (m != n)
        return m < n ? -1 : 1;
    return strcmp(x->id, y->id);
}

int lifecycle_load(struct lifecycle *l, struct diag *diag)
{
    uint64_t epoch = 0;
    int rc = l->deps.writer(l->deps.ctx, &epoch, diag);
    if (rc) {
        l->loaded = false;
        l->writes_since_ms = 0;
        return rc;
    }
    if (!l->writes_since_ms || l->epoch != epoch)
        l->writes_since_ms = l->deps.now_ms(l->deps.ctx);
    if (l->loaded && l->epoch == epoch)
        return 0;
    forget_all(l);
    struct loading x = {.l = l};
    l->deps.records(l->deps.ctx, "operation/", load_one, &x);
    if (x.rc) {
        forget_all(l);
        return x.rc;
    }
    if (l->n_ended)
        qsort(l->ended, l->n_ended, sizeof *l->ended, by_end);
    if (l->n_running)
        qsort(l->running, l->n_running, sizeof *l->running, by_start);
    l->epoch = epoch;
    l->loaded = true;
    return 0;
}

// ---- reading ----

// With what it waits for just now, which the ledger does not say.
static json_t *shown_running(struct lifecycle *l, const char *id)
{
    json_t *shown = NULL;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; l->loaded && i < l->n_running && !shown; i++)
        if (!strcmp(l->running[i]->id, id))
            shown = record_shown(l->running[i]->record);
    pthread_mutex_unlock(&l->lock);
    return shown;
}

int lifecycle_operation(struct lifecycle *l, const char *id, json_t **out)
{
    char key[OPERATION_KEY_SIZE];
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!operation_id_ok(id))
        return ERR_NOTFOUND;
    json_t *shown = shown_running(l, id);
    if (shown) {
        *out = shown;
        return 0;
    }
    int rc = l->deps.record(l->deps.ctx, operation_key(id, key), &text);
    if (rc)
        return rc;
    json_t *record = json_loads(buf_cstr(&text), 0, NULL);
    shown = record_shown(record);
    json_decref(record);
    if (!shown)
        return ERR_NOMEM;
    *out = shown;
    return 0;
}

struct listing {
    const char *object, *state;
    json_t **list;
    size_t n, cap;
    bool failed;
};

static bool list_one(void *v, const char *key, const char *value)
{
    struct listing *x = v;
    json_t *record = json_loads(value, 0, NULL);
    (void)key;
    bool wanted = record && (!x->object || !strcmp(record_text(record, "object"), x->object)) &&
                  (!x->state || !strcasecmp(record_text(record, "state"), x->state));
    json_t **list = NULL;
    if (wanted)
        list = grown(x->list, x->n, &x->cap, sizeof *list);
    if (list) {
        x->list = list;
        list[x->n++] = json_incref(record);
    }
    json_decref(record);
    x->failed = wanted && !list;
    return !x->failed;
}

static int latest_first(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int64_t m = record_number(x, "created"), n = record_number(y, "created");
    if (m != n)
        return m < n ? 1 : -1;
    return strcmp(record_text(x, "id"), record_text(y, "id"));
}

json_t *lifecycle_operations(struct lifecycle *l, const char *object, const char *state, size_t max)
{
    struct listing x = {.object = object, .state = state};
    l->deps.records(l->deps.ctx, "operation/", list_one, &x);
    if (x.n)
        qsort(x.list, x.n, sizeof *x.list, latest_first);
    json_t *list = json_array();
    for (size_t i = 0; i < x.n; i++) {
        if (list && i < max)
            json_array_append_new(list, record_shown(x.list[i]));
        json_decref(x.list[i]);
    }
    free(x.list);
    if (!x.failed && list)
        return json_pack("{s:o}", "operations", list);
    json_decref(list);
    return NULL;
}
