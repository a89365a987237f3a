// SPDX-License-Identifier: Apache-2.0
// What was read without a gap; see backfill_state.h.
//   {"v":1,"origins":{"eastus":["contoso","fabrikam"]}}
#include "replication/backfill_state.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

#define STATE_MAX_BYTES (16u << 20)

static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;

static char *state_path(struct replicator *r)
{
    return mem_printf("%s/replication.json", r->o.state_dir);
}

bool name_in(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

// The origins object, or a new empty one when there is no usable file. NULL when out of memory.
static json_t *state_load(const char *path)
{
    struct buf text;
    buf_init(&text, STATE_MAX_BYTES);
    json_t *root = NULL, *origins = NULL;
    int rc = file_read(path, STATE_MAX_BYTES, &text);
    if (!rc)
        root = json_loadb(buf_cstr(&text), text.n, JSON_REJECT_DUPLICATES, NULL);
    buf_done(&text);
    if (root && json_integer_value(json_object_get(root, "v")) == 1)
        origins = json_incref(json_object_get(root, "origins"));
    json_decref(root);
    if (origins && !json_is_object(origins)) {
        json_decref(origins);
        origins = NULL;
    }
    // costs reading the feeds again from their start, and loses nothing
    if (!origins && rc != ERR_NOTFOUND)
        log_warn("replication: %s is damaged (%s): feeds are read again from their start", path,
                 rc ? err_text(rc) : "not the document it should be");
    if (origins)
        return origins;
    return json_object();
}

int backfill_state_get(struct replicator *r, const char *origin, struct arena *a, const char ***out,
                       size_t *out_n)
{
    AUTO_FREE char *path = state_path(r);
    if (!path)
        return ERR_NOMEM;
    pthread_mutex_lock(&state_lock);
    json_t *origins = state_load(path);
    pthread_mutex_unlock(&state_lock);
    json_t *list = json_object_get(origins, origin);
    size_t n = json_array_size(list), n_out = 0;
    const char **names = arena_array(a, n + 1, sizeof *names);
    int rc = ERR_NOMEM;
    if (origins && names)
        rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (s && !(names[n_out++] = arena_strdup(a, s)))
            rc = ERR_NOMEM;
    }
    json_decref(origins);
    if (rc)
        return rc;
    *out = names;
    *out_n = n_out;
    return 0;
}

static int state_write(const char *path, json_t *origins)
{
    json_t *root = json_pack("{s:i, s:O}", "v", 1, "origins", origins);
    char *text = NULL;
    if (root)
        text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    if (!text)
        return ERR_NOMEM;
    int rc = file_write_atomic(path, text, strlen(text), 0600);
    free(text);
    return rc;
}

int backfill_state_set(struct replicator *r, const char *origin, const char *const *names, size_t n)
{
    AUTO_FREE char *path = state_path(r);
    json_t *list = json_array();
    int rc = ERR_NOMEM;
    if (path && list)
        rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        if (json_array_append_new(list, json_string(names[i])))
            rc = ERR_NOMEM;
    if (rc) {
        json_decref(list);
        return rc;
    }
    pthread_mutex_lock(&state_lock);
    json_t *origins = state_load(path);
    // takes the list, also when it fails
    if (!origins || json_object_set_new(origins, origin, list))
        rc = ERR_NOMEM;
    else
        rc = state_write(path, origins);
    pthread_mutex_unlock(&state_lock);
    json_decref(origins);
    return rc;
}
