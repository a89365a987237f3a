// SPDX-License-Identifier: Apache-2.0
// Digests of what clients see, on the wire; see digest_page.h.
#include "replication/digest_page.h"

#include "base/err.h"
#include "replication/cursor.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_VERSION 1

// --- asking ---

// Names hold no byte that a query would escape.
int digest_ask_format(const struct digest_ask *ask, struct buf *out)
{
    char name[SHOWN_NAME_SIZE];
    buf_printf(out, "/replication/v1/digests?registry=%s", ask->registry);
    if (!ask->repository) {
        if (ask->after_name)
            buf_printf(out, "&after=%s", ask->after_name);
        return out->err;
    }
    buf_printf(out, "&repository=%s", ask->repository);
    if (ask->subject)
        buf_printf(out, "&subject=%s", shown_subject_format(ask->subject, name));
    if (ask->after)
        buf_printf(out, "&after=%s", shown_subject_format(ask->after, name));
    if (ask->sums)
        buf_str(out, "&sums=1");
    return out->err;
}

// --- writing: names of registries, repositories, tags and regions hold no byte to escape ---

static void head_write(const struct digest_ask *ask, struct buf *out)
{
    buf_printf(out, "{\"digests\":%d,\"registry\":\"%s\"", TEXT_VERSION, ask->registry);
    if (ask->repository)
        buf_printf(out, ",\"repository\":\"%s\"", ask->repository);
}

static const char *hex_of(const uint8_t b[SHA256_BYTES], char out[SHOWN_SUM_TEXT_SIZE])
{
    hex_format(b, SHA256_BYTES, out);
    return out;
}

int digest_repositories_format(const struct digest_ask *ask, const struct digest_repositories *r,
                               struct buf *out)
{
    char hex[SHOWN_SUM_TEXT_SIZE];
    head_write(ask, out);
    buf_str(out, ",\"repositories\":[");
    for (size_t i = 0; i < r->n; i++) {
        const struct digest_repository *x = &r->list[i];
        const char *sum = x->whole ? hex_of(x->sum.b, hex) : "";
        buf_printf(out, "%s[\"%s\",%" PRIu64 ",\"%s\"]", i ? "," : "", x->name, x->sum.n, sum);
    }
    buf_printf(out, "],\"next\":\"%s\"}\n", r->next);
    return out->err;
}

int digest_subjects_format(const struct digest_ask *ask, const struct digest_subjects *s,
                           struct buf *out)
{
    char hex[SHOWN_SUM_TEXT_SIZE], name[SHOWN_NAME_SIZE] = "";
    head_write(ask, out);
    if (ask->sums)
        buf_printf(out, ",\"count\":%" PRIu64 ",\"digest\":\"%s\"", s->sum.n,
                   hex_of(s->sum.b, hex));
    else
        buf_str(out, ",\"subjects\":[");
    for (size_t i = 0; !ask->sums && i < s->n; i++)
        buf_printf(out, "%s[\"%s\",\"%s\"]", i ? "," : "",
                   shown_subject_format(&s->list[i].subject, name), hex_of(s->list[i].hash, hex));
    if (!ask->sums)
        buf_str(out, "]");
    name[0] = '\0';
    if (!s->at_end)
        shown_subject_format(&s->next, name);
    buf_printf(out, ",\"next\":\"%s\"}\n", name);
    return out->err;
}

static json_t *places_json(const struct differ_told *told)
{
    json_t *list = json_array();
    char cursor[CURSOR_TEXT_SIZE];
    for (size_t i = 0; list && i < told->n_places; i++)
        json_array_append_new(list, json_pack("[s, s]", told->places[i].origin,
                                              cursor_format(&told->places[i].applied, cursor)));
    return list;
}

int digest_subject_format(const struct digest_ask *ask, const struct differ_told *told,
                          struct buf *out)
{
    char name[SHOWN_NAME_SIZE], floor[24];
    const struct differ_look *l = &told->look;
    snprintf(floor, sizeof floor, "%" PRIu64, told->floor);
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:o, s:I}", "digests",
                          TEXT_VERSION, "registry", ask->registry, "repository", ask->repository,
                          "subject", shown_subject_format(ask->subject, name), "text", l->text,
                          "open", l->open, "agrees", l->agrees, "floor", floor, "places",
                          places_json(told), "entries", (json_int_t)l->n);
    char *text = NULL;
    if (o)
        text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text)
        return ERR_NOMEM;
    buf_printf(out, "%s\n", text);
    free(text);
    int rc = out->err;
    for (size_t i = 0; !rc && i < l->n; i++)
        rc = entry_format(&l->entries[i], out);
    return rc;
}

// --- reading ---

static const char *text_of(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static bool same_text(const json_t *o, const char *name, const char *want)
{
    const char *is = text_of(o, name);
    return is && strcmp(is, want) == 0;
}

static bool count_of(const json_t *j, uint64_t most, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return false;
    *out = (uint64_t)json_integer_value(j);
    return *out <= most;
}

static bool hash_of(const char *text, uint8_t out[SHA256_BYTES])
{
    if (!text || strlen(text) != 2 * SHA256_BYTES)
        return false;
    if (strspn(text, "0123456789abcdef") != 2 * SHA256_BYTES)
        return false;
    return hex_parse(text, strlen(text), out, SHA256_BYTES) == 0;
}

// The head of an answer, to be given up by json_decref; NULL: it is none of what was asked for.
static json_t *head_read(const struct digest_ask *ask, struct bytes text, const char **why)
{
    json_t *o = NULL;
    *why = "not an object of JSON";
    if (text.n <= DIGEST_TEXT_MAX)
        o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    *why = "an answer of a later form";
    const json_t *version = json_object_get(o, "digests");
    bool ok = json_is_integer(version) && json_integer_value(version) == TEXT_VERSION;
    if (ok) {
        *why = "an answer about something else than was asked for";
        ok = same_text(o, "registry", ask->registry) &&
             (!ask->repository || same_text(o, "repository", ask->repository));
    }
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

// --- repositories ---

static int repository_read(const json_t *row, const char *after, struct arena *a,
                           struct digest_repository *out)
{
    const char *name = json_string_value(json_array_get(row, 0));
    const char *sum = json_string_value(json_array_get(row, 2));
    struct digest_repository r = {0};
    if (json_array_size(row) != 3 || !name || !sum || !entry_repository_ok(name))
        return ERR_PROTO;
    if (after && strcmp(name, after) <= 0)
        return ERR_PROTO;
    if (!count_of(json_array_get(row, 1), INT64_MAX, &r.sum.n))
        return ERR_PROTO;
    r.whole = *sum != '\0';
    if (r.whole && !hash_of(sum, r.sum.b))
        return ERR_PROTO;
    r.name = arena_strdup(a, name);
    if (!r.name)
        return ERR_NOMEM;
    *out = r;
    return 0;
}

static int repositories_read(const struct digest_ask *ask, const json_t *o, struct arena *a,
                             struct digest_repositories *out, const char **why)
{
    const json_t *list = json_object_get(o, "repositories");
    const char *next = text_of(o, "next"), *after = ask->after_name;
    size_t n = json_array_size(list);
    *why = "a malformed list of repositories";
    if (!json_is_array(list) || n > DIGEST_LIST_MAX || !next)
        return ERR_PROTO;
    struct digest_repositories r = {.list = arena_array(a, n + 1, sizeof *r.list), .n = n};
    if (!r.list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        int rc = repository_read(json_array_get(list, i), after, a, &r.list[i]);
        if (rc)
            return rc;
        after = r.list[i].name;
    }
    *why = "what comes next is not behind what came";
    if (*next && (!entry_repository_ok(next) || (after && strcmp(next, after) < 0) ||
                  (ask->after_name && strcmp(next, ask->after_name) <= 0)))
        return ERR_PROTO;
    r.next = arena_strdup(a, next);
    if (!r.next)
        return ERR_NOMEM;
    *out = r;
    return 0;
}

int digest_repositories_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                              struct digest_repositories *out, const char **out_why)
{
    json_t *o = head_read(ask, text, out_why);
    if (!o)
        return ERR_PROTO;
    int rc = repositories_read(ask, o, a, out, out_why);
    json_decref(o);
    return rc;
}

// --- subjects ---

static bool is_behind(const struct shown_subject *s, const struct shown_subject *after)
{
    return !after || shown_subject_order(s, after) > 0;
}

static bool item_read(const json_t *row, const struct shown_subject *after, struct shown_item *out)
{
    const char *name = json_string_value(json_array_get(row, 0));
    const char *hash = json_string_value(json_array_get(row, 1));
    if (json_array_size(row) != 2 || !name || shown_subject_parse(name, &out->subject))
        return false;
    return is_behind(&out->subject, after) && hash_of(hash, out->hash);
}

static int items_read(const struct digest_ask *ask, const json_t *o, struct arena *a,
                      struct digest_subjects *out)
{
    const json_t *list = json_object_get(o, "subjects");
    const struct shown_subject *after = ask->after;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > DIGEST_LIST_MAX)
        return ERR_PROTO;
    out->list = arena_array(a, n + 1, sizeof *out->list);
    if (!out->list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!item_read(json_array_get(list, i), after, &out->list[i]))
            return ERR_PROTO;
        after = &out->list[i].subject;
    }
    out->n = n;
    return 0;
}

static int subjects_read(const struct digest_ask *ask, const json_t *o, struct arena *a,
                         struct digest_subjects *out, const char **why)
{
    const char *next = text_of(o, "next");
    struct digest_subjects s = {0};
    int rc = 0;
    *why = "a malformed list of subjects, or a malformed sum of them";
    if (!next)
        return ERR_PROTO;
    if (!ask->sums)
        rc = items_read(ask, o, a, &s);
    else if (!count_of(json_object_get(o, "count"), DIGEST_LOOKS_MAX, &s.sum.n) ||
             !hash_of(text_of(o, "digest"), s.sum.b))
        rc = ERR_PROTO;
    if (rc)
        return rc;
    *why = "what comes next is not behind what came";
    s.at_end = *next == '\0';
    if (!s.at_end && (shown_subject_parse(next, &s.next) || !is_behind(&s.next, ask->after)))
        return ERR_PROTO;
    if (!s.at_end && s.n && shown_subject_order(&s.next, &s.list[s.n - 1].subject) < 0)
        return ERR_PROTO;
    *out = s;
    return 0;
}

int digest_subjects_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                          struct digest_subjects *out, const char **out_why)
{
    json_t *o = head_read(ask, text, out_why);
    if (!o)
        return ERR_PROTO;
    int rc = subjects_read(ask, o, a, out, out_why);
    json_decref(o);
    return rc;
}

// --- one subject ---

static bool number_of(const char *text, uint64_t *out)
{
    return text && !entry_decimal_parse(bytes_str(text), out);
}

static int places_read(const json_t *list, struct arena *a, struct differ_told *out)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > DIGEST_PLACES_MAX)
        return ERR_PROTO;
    struct differ_place *places = arena_array(a, n + 1, sizeof *places);
    if (!places)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(list, i);
        const char *origin = json_string_value(json_array_get(row, 0));
        const char *cursor = json_string_value(json_array_get(row, 1));
        if (json_array_size(row) != 2 || !origin || !cursor ||
            cursor_parse(cursor, &places[i].applied))
            return ERR_PROTO;
        places[i].origin = arena_strdup(a, origin);
        if (!places[i].origin)
            return ERR_NOMEM;
    }
    out->places = places;
    out->n_places = n;
    return 0;
}

static int told_read(const struct digest_ask *ask, const json_t *o, struct arena *a,
                     struct differ_told *out, size_t *out_n)
{
    char name[SHOWN_NAME_SIZE];
    const char *text = text_of(o, "text");
    const json_t *open = json_object_get(o, "open"), *agrees = json_object_get(o, "agrees");
    uint64_t n;
    if (!same_text(o, "subject", shown_subject_format(ask->subject, name)) || !text)
        return ERR_PROTO;
    if (!json_is_boolean(open) || !json_is_boolean(agrees))
        return ERR_PROTO;
    if (!number_of(text_of(o, "floor"), &out->floor))
        return ERR_PROTO;
    if (!count_of(json_object_get(o, "entries"), DIFFER_ENTRIES_MAX, &n))
        return ERR_PROTO;
    out->look.text = arena_strdup(a, text);
    out->look.open = json_is_true(open);
    out->look.agrees = json_is_true(agrees);
    *out_n = n;
    if (!out->look.text)
        return ERR_NOMEM;
    return places_read(json_object_get(o, "places"), a, out);
}

// A line up to its line feed; `text` goes on behind it.
static bool line_take(struct bytes *text, struct bytes *out)
{
    const uint8_t *nl = NULL;
    if (text->n)
        nl = memchr(text->p, '\n', text->n);
    if (!nl)
        return false;
    size_t n = (size_t)(nl - text->p);
    *out = bytes_of(text->p, n);
    *text = bytes_of(nl + 1, text->n - n - 1);
    return true;
}

static int entries_read(const struct digest_ask *ask, struct bytes text, size_t n, struct arena *a,
                        struct differ_told *out)
{
    struct feed_entry *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct bytes line;
        if (!line_take(&text, &line) || line.n > ENTRY_LINE_MAX)
            return ERR_PROTO;
        int rc = entry_parse(line, a, &list[i]);
        if (rc)
            return rc == ERR_NOMEM ? rc : ERR_PROTO;
        if (strcmp(list[i].registry, ask->registry) != 0 ||
            strcmp(list[i].repository, ask->repository) != 0 || list[i].partition)
            return ERR_PROTO;
    }
    out->look.entries = list;
    out->look.n = n;
    return text.n ? ERR_PROTO : 0;
}

int digest_subject_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                         struct differ_told *out, const char **out_why)
{
    struct differ_told told = {0};
    struct bytes head;
    size_t n = 0;
    *out_why = "no line of JSON";
    if (text.n > DIGEST_TEXT_MAX || !line_take(&text, &head))
        return ERR_PROTO;
    json_t *o = head_read(ask, head, out_why);
    if (!o)
        return ERR_PROTO;
    *out_why = "a malformed answer about one subject";
    int rc = told_read(ask, o, a, &told, &n);
    json_decref(o);
    if (rc)
        return rc;
    *out_why = "malformed entries of a subject, or of another repository";
    rc = entries_read(ask, text, n, a, &told);
    if (!rc)
        *out = told;
    return rc;
}
