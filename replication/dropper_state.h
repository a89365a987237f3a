// SPDX-License-Identifier: Apache-2.0
// Since when the members of registries have applied all up to some stamps (struct settle_steps), over a
// restart: <state_dir>/kept.json. A lost or damaged file only means that what was deleted is kept for
// replication.feed_keep once more.
//
//   rc = dropper_state_load(state_dir, &all);        // {key: steps}; the caller's
//   dropper_state_get(all, "contoso", &steps);
//   rc = dropper_state_set(all, "contoso", &steps);
//   rc = dropper_state_save(state_dir, all);
//
// Of the dropper's thread alone.
#ifndef MERIDIAN_REPLICATION_DROPPER_STATE_H
#define MERIDIAN_REPLICATION_DROPPER_STATE_H

#include "replication/settle.h"

#include <jansson.h>

// ERR_NOMEM. A file that is not there, or is damaged, is an empty one.
int dropper_state_load(const char *state_dir, json_t **out);
// What is not there, or is no steps, is {0}.
void dropper_state_get(const json_t *all, const char *key, struct settle_steps *out);
int dropper_state_set(json_t *all, const char *key, const struct settle_steps *steps);
// Durable on 0.
int dropper_state_save(const char *state_dir, json_t *all);

#endif
