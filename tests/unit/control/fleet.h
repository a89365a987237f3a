// SPDX-License-Identifier: Apache-2.0
// Nodes of a small fleet on the control feed, without what is between them: each has a folder, keys
// and a feed; tests hand lines from one to another.
//
//   struct small_fleet *fl = small_fleet_new(3);       // eastus (the writer), westus, asia
//   small_fleet_start(fl, 0);
//   small_fleet_change(fl, 0, "registries: [{ name: contoso, replicas: [{ region: eastus }] }]\n");
//   small_fleet_pass(fl, 0, 1);                         // from node 0 to node 1, all there is
//   small_fleet_free(fl);
#ifndef MERIDIAN_TESTS_CONTROL_FLEET_H
#define MERIDIAN_TESTS_CONTROL_FLEET_H

#include "certs/keys.h"
#include "certs/signing_key.h"
#include "control/feed.h"

#include <stdbool.h>

#define SMALL_FLEET_MAX 4
#define SMALL_FLEET_HASH "$2b$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

struct small_node {
    const char *region;
    char dir[128], state[160], topology[160], principals[160];
    struct region_keys *keys;
    struct snapshot tcell, pcell;
    // NULL: stopped
    struct control_feed *feed;
    struct diag diag;
    // what is thought of its clock, and why
    _Atomic enum control_clock clock;
    const char *_Atomic clock_why;
    // calls of on_change, and of them with a new frame
    _Atomic int n_changes, n_frames;
};

struct small_fleet {
    char dir[64];
    size_t n;
    struct signing_key *root;
    struct small_node nodes[SMALL_FLEET_MAX];
    // of the feeds; may be changed before they start
    struct control_feed_options how;
    // no thread beside the feeds: tests take its turns
    bool no_keeper;
};

struct small_fleet *small_fleet_new(size_t n);
void small_fleet_free(struct small_fleet *fl);
// The document of the fleet, as every node begins with it: `more` is appended.
char *small_fleet_document(const struct small_fleet *fl, unsigned version, const char *more);
// Opens, loads, follows and owns. The writer is confirmed.
void small_fleet_start(struct small_fleet *fl, size_t i);
int small_fleet_try_start(struct small_fleet *fl, size_t i);
void small_fleet_stop(struct small_fleet *fl, size_t i);
// Appends at that node; asserts that it works.
struct control_place small_fleet_change(struct small_fleet *fl, size_t i, const char *change);
int small_fleet_try_change(struct small_fleet *fl, size_t i, const char *change);
// What `from` has after the place of `to`, until there is nothing more.
int small_fleet_pass(struct small_fleet *fl, size_t from, size_t to);
// The root key lets region i of the fleet write, drafted and taken at node `at`.
int small_fleet_takeover(struct small_fleet *fl, size_t at, size_t i);
struct control_place small_fleet_place(struct small_fleet *fl, size_t i);
uint64_t small_fleet_version(struct small_fleet *fl, size_t i); // published
bool small_fleet_has(struct small_fleet *fl, size_t i, const char *registry);
// Has the node's alarm that in it? NULL: has it none?
bool small_fleet_alarm(struct small_fleet *fl, size_t i, const char *part);
bool small_fleet_said(struct small_node *n, const char *part); // and forgets what was said

#endif
