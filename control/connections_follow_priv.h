// SPDX-License-Identifier: Apache-2.0
// Shared by three files: which connections an entry touches and what becomes of them
// (connections_follow.c), of rows that get another name (connections_handover.c), and of addresses
// (connections_rest.c).
#ifndef MERIDIAN_CONTROL_CONNECTIONS_FOLLOW_PRIV_H
#define MERIDIAN_CONTROL_CONNECTIONS_FOLLOW_PRIV_H

#include "base/htab.h"
#include "control/change.h"
#include "control/connections_follow.h"

struct link { // a connection that the entry touches, with its row
    const char *name;
    // the change gives a row of it; it takes the row away
    const struct spec_private *given;
    bool goes;
    // in force and as they will be; NULL: there is none
    const struct spec_private *row_before, *row_after;
    // keys of the registries that they lead to
    const char *registry_before, *registry_after;
    bool had_record, has_record;
    struct connection before, after;
    // the entry has a record of it by itself: its place among those, plus one
    size_t own;
    // its row leads to another registry, or stands in another view
    bool moved;
};

struct following {
    const struct connections_change *c;
    const struct ledger_look *l;
    struct arena *arena;
    struct diag *diag;
    // as the document says it; zero without one
    struct change change;
    // of rows in force: name to their registry; made when it is needed
    struct htab *owners;
    struct htab *by_name;
    struct link **links;
    size_t n_links, cap_links;
    struct control_record *out;
    size_t n_out, cap_out;
};

int follow_add(struct following *f, const struct control_record *r);
// Is the row in DNS?
bool row_in_dns(const struct spec_private *row);
// An address of a view, as a key of tables: "corp/10.4.0.9".
struct address_key {
    char text[64 + IP_TEXT_SIZE];
};
struct address_key address_key(const char *view, const struct ip *ip);
// connections_handover.c: after all links are complete.
int follow_handed_over(struct following *f);
// connections_rest.c: likewise, and after that.
int follow_addresses(struct following *f);
int follow_old_rests(struct following *f);

#endif
