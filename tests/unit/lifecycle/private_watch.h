// SPDX-License-Identifier: Apache-2.0
// Looks at every entry of a toy fleet's feed, for what has to hold of private addresses whatever the
// entry came by:
//
//   1. no address of a view is of two connections at once, in rows or in records that hold it
//   2. an address that DNS has answered comes to no other connection, and to no other registry, before
//      the private TTL and a day are over; unless the same name of the same registry goes on with it
//   3. a row is in DNS exactly while its connection is Approved
//
// It reads rows and the records' JSON by itself, so that it shares no mistake with what it watches.
// Fails the test, with the seed that it was given. One at a time.
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_PRIVATE_WATCH_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_PRIVATE_WATCH_H

#include "tests/unit/lifecycle/asked.h"

#define WATCH_NAME 40
#define WATCH_USES_MAX 400

struct address_use { // of one connection
    uint32_t ip;
    char view[WATCH_NAME], name[WATCH_NAME], registry[WATCH_NAME], member[WATCH_NAME];
    bool in_row, in_dns;
    // Pending, Approved, or with a rest that is not over
    bool is_held;
};

struct address_past { // the last time that DNS answered it
    struct address_use use;
    int64_t last_ms;
};

struct private_watch {
    unsigned long seed;
    struct address_use uses[WATCH_USES_MAX];
    size_t n_uses;
    struct address_past past[WATCH_USES_MAX];
    size_t n_past;
    unsigned n_entries, n_answered, n_rested;
};

// Looks from now on.
void private_watch_begin(struct private_watch *w, struct asked *a, unsigned long seed);
// Is the address somebody's, or does it rest? What is `but`'s at that time is not held against it
// (NULL: nobody's); what has left `but` and rests is.
bool private_watch_held(const struct private_watch *w, const struct asked *a, const char *view,
                        uint32_t ip, const char *but);
// Has DNS answered it for that connection so lately that caches may?
bool private_watch_rests(const struct private_watch *w, const struct asked *a, const char *view,
                         uint32_t ip, const char *name);
// "10.1.0.4"
uint32_t watch_ip(const char *text);
// The record of a connection (new reference), or NULL.
json_t *watch_record(const struct asked *a, const char *name);

#endif
