// SPDX-License-Identifier: Apache-2.0
// See dropper_state.h.
//   {"v":1,"registries":{"contoso":{"ready":"STAMP","steps":[["STAMP",WALL_MS],…]}}}
#include "replication/dropper_state.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/word_page.h"

#include <stdlib.h>
#include <string.h>

#define STATE_MAX_BYTES (64u << 20)

static char *state_path(const char *state_dir)
{
    return mem_printf("%s/kept.json", state_dir);
}

static json_t *registries_of(struct buf *text)
{
    json_t *root = json_loadb(buf_cstr(text), text->n, JSON_REJECT_DUPLICATES, NULL);
    json_t *all = NULL;
    if (root && json_integer_value(json_object_get(root, "v")) == 1)
        all = json_incref(json_object_get(root, "registries"));
    json_decref(root);
    if (json_is_object(all))
        return all;
    json_decref(all);
    return NULL;
}

int dropper_state_load(const char *state_dir, json_t **out)
{
    AUTO_FREE char *path = state_path(state_dir);
    AUTO_BUF struct buf text;
    buf_init(&text, STATE_MAX_BYTES);
    json_t *all = NULL;
    int rc = path ? file_read(path, STATE_MAX_BYTES, &text) : ERR_NOMEM;
    if (!rc)
        all = registries_of(&text);
    if (!all && path && rc != ERR_NOTFOUND)
        log_warn("replication: %s is damaged (%s): what was deleted is kept for "
                 "replication.feed_keep once more",
                 path, rc ? err_text(rc) : "not the document it should be");
    if (!all)
        all = json_object();
    if (!all || !path) {
        json_decref(all);
        return ERR_NOMEM;
    }
    *out = all;
    return 0;
}

static bool step_read(const json_t *j, struct settle_mark *out)
{
    const json_t *wall = json_array_get(j, 1);
    out->wall_ms = json_integer_value(wall);
    return json_is_integer(wall) && word_stamp_parse(json_array_get(j, 0), &out->stamp);
}

void dropper_state_get(const json_t *all, const char *key, struct settle_steps *out)
{
    const json_t *j = json_object_get(all, key), *steps = json_object_get(j, "steps");
    struct settle_steps k = {0};
    *out = k;
    if (!word_stamp_parse(json_object_get(j, "ready"), &k.ready) ||
        json_array_size(steps) > SETTLE_STEPS)
        return;
    for (; k.n < json_array_size(steps); k.n++)
        if (!step_read(json_array_get(steps, k.n), &k.steps[k.n]))
            return;
    *out = k;
}

int dropper_state_set(json_t *all, const char *key, const struct settle_steps *k)
{
    json_t *steps = json_array();
    int failed = !steps;
    for (size_t i = 0; !failed && i < k->n; i++)
        failed =
            json_array_append_new(steps, json_pack("[o, I]", word_stamp_json(k->steps[i].stamp),
                                                   (json_int_t)k->steps[i].wall_ms));
    json_t *row = json_pack("{s:o, s:o}", "ready", word_stamp_json(k->ready), "steps", steps);
    if (failed) {
        json_decref(row);
        return ERR_NOMEM;
    }
    return json_object_set_new(all, key, row) ? ERR_NOMEM : 0;
}

int dropper_state_save(const char *state_dir, json_t *all)
{
    AUTO_FREE char *path = state_path(state_dir);
    json_t *root = json_pack("{s:i, s:O}", "v", 1, "registries", all);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int rc = ERR_NOMEM;
    json_decref(root);
    if (path && text)
        rc = file_write_atomic(path, text, strlen(text), 0600);
    free(text);
    return rc;
}
