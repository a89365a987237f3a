// SPDX-License-Identifier: Apache-2.0
// The record of an operation, as it stands in the ledger under `operation/<id>` and as people see
// it:
//
//   {"id":"0123456789abcdef","verb":"registry update","object":"registry/contoso",
//    "by":"operator:ada","from":41,"to":44,"state":"Updating",
//    "phases":[{"name":"edge","state":"done","version":42,"started":ms,"ended":ms}, …,
//              {"name":"wait","state":"running","started":ms,"waitUntil":ms,
//               "waitSeconds":s}, …],
//    "created":ms,"updated":ms,"error":null,"later":["westus"],"request":"nonce",
//    "quorum":true,                                     // where it was asked for
//    "notCopied":["sentence", …]}                       // what content is not where it should be
//
// and for the engine alone: goal, before, turned ("undo", "cancel"), locks, arguments (a digest),
// rights (that it needed, enum control_right).
// Phase states: pending, running, done, undone, failed. Functions that fail do so for want of memory
// alone, and leave a record that is whole.
#ifndef MERIDIAN_LIFECYCLE_RECORD_H
#define MERIDIAN_LIFECYCLE_RECORD_H

#include "config/topology.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

const char *record_text(const json_t *record, const char *key); // "" when it is not there
const char *record_text_at(const json_t *list, size_t i);       // likewise
int64_t record_number(const json_t *record, const char *key);   // 0 likewise

// Succeeded, Failed or Canceled?
bool record_ended(const json_t *record);
// Has it all that the engine needs of it? Other releases may have written it.
bool record_whole(const json_t *record);
// A copy without what is for the engine alone. NULL: out of memory.
json_t *record_shown(const json_t *record);

// The phase that runs, or NULL; of several that one document carries the last.
json_t *record_running(const json_t *record);
// All that run have ended.
void record_end_running(json_t *record, const char *state, int64_t now_ms);
// Lists a phase that will come.
int record_expect(json_t *record, const char *name);
// The first that was expected by that name, else a new one before those that are expected, runs from
// now on.
int record_start(json_t *record, const char *name, uint64_t version, int64_t now_ms);
// What was expected will not come, and what was done is undone once the operation ends.
void record_turn(json_t *record, const char *why, int64_t now_ms);
void record_end(json_t *record, const char *state, int64_t now_ms);
void record_fail(json_t *record, const char *code, const char *message);

// Names of regions, as a list. NULL: out of memory.
json_t *region_names(const struct topology *t, region_set set);

#endif
