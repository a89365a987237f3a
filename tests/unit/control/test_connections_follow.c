// SPDX-License-Identifier: Apache-2.0
// What entries make of connections and addresses (row 28 of the hard histories), path by path: rows
// that come and go by hand, by a verb, with a replica, with a registry; and no address that caches
// may still have is another's for a day.
#include "control/rollback.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/ledger_world.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400
#define TTL 10
#define HOLD "86410" // a day and the private TTL

#define FRAME                                                                                     \
    "version: 1\ndomain: example.io\nregions:\n"                                                  \
    "  - { name: eastus, peer: 10.0.0.1:1, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"          \
    "  - { name: westus, peer: 10.0.0.2:1, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n"          \
    "name_servers: [s.eastus]\nviews:\n"                                                          \
    "  - { name: corp, sources: [10.4.0.0/16], pools: [{ name: corp-pool, subnet: 10.4.0.0/27 }]" \
    " }\n  - { name: lab, sources: [10.5.0.0/16] }\n"                                             \
    "registries:\n"                                                                               \
    "  - { name: contoso, data_endpoints: enabled, regional_endpoints: enabled, replicas: [{ "    \
    "region: eastus }, { region: westus }] }\n"                                                   \
    "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"

#define ROW(name, registry, more, addresses)                                                   \
    "  - { name: " name ", registry: " registry ", view: corp, " more "addresses: {" addresses \
    "} }\n"
#define PE(more, addresses) "private_endpoints:\n" ROW("pe", "contoso", more, addresses)
#define FOUR "registry: 10.4.0.4, registry_data_eastus: 10.4.0.5"
#define GONE "remove_private_endpoints: [pe]\n"

// A record of a connection, as a verb writes it.
static struct arena made;
static struct control_record record_of(const char *name, enum connection_state state,
                                       const char *members)
{
    struct connection c = {.name = name,
                           .registry = "contoso",
                           .view = "corp",
                           .pool = "corp-pool",
                           .error = "",
                           .answered_by = ANSWERED_BY_EDGE};
    struct control_record r;
    c.members = arena_array(&made, 16, sizeof *c.members);
    for (const char *p = members; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " "), key_n = strcspn(p, "=");
        struct ip *ip = arena_alloc(&made, sizeof *ip);
        ck_assert_int_eq(ip_parse(arena_strndup(&made, p + key_n + 1, n - key_n - 1), ip), 0);
        c.members[c.n_members++] = (struct spec_member){arena_strndup(&made, p, key_n), ip, 1};
        p += n;
    }
    connection_move(&c, state, "operator:ada", "", world.now_ms);
    ck_assert_int_eq(connection_record(&c, &made, &r), 0);
    return r;
}

static void begin(void)
{
    arena_init(&made, 0);
    world_begin(FRAME);
}

static void end(void)
{
    world_end();
    arena_done(&made);
}

static void verb(const char *change, const char *name, enum connection_state state,
                 const char *members)
{
    const struct control_record own[] = {record_of(name, state, members), {NULL, NULL}};
    world_entry(change, own);
}

static void forget(const char *change, const char *name)
{
    const struct control_record own[] = {{arena_printf(&made, CONNECTION_PREFIX "%s", name), NULL},
                                         {NULL, NULL}};
    world_entry(change, own);
}

static void refused(const char *change, const char *why)
{
    ck_assert(!world_try(change, NULL));
    ck_assert_msg(strstr(world.why, why) != NULL, "%s", world.why);
}

static const struct connection_move *last_move(const char *name)
{
    static struct connection c;
    ck_assert_int_eq(connection_get(&world.look, name, &made, &c), 0);
    return &c.moves[c.n_moves - 1];
}

// ---- by hand ----

START_TEST(a_row_by_hand_gets_a_connection)
{
    begin();
    world_entry(PE("answered_by: balancer, ", FOUR), NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    struct connection c;
    ck_assert_int_eq(connection_get(&world.look, "pe", &made, &c), 0);
    ck_assert(c.is_static && !*c.pool && c.answered_by == ANSWERED_BY_BALANCER);
    ck_assert_str_eq(c.registry, "contoso");
    ck_assert_str_eq(last_move("pe")->by, "operator:ada");
    ck_assert_str_eq(last_move("pe")->text, "given in the document by operator:ada");
    // one that is at the edge alone is nobody's answer
    world_entry(
        "private_endpoints:\n" ROW("edge", "fabrikam", "stage: edge, ", "registry: 10.4.0.8"),
        NULL);
    ck_assert_str_eq(world_connection("edge"), "Pending registry=10.4.0.8");
    // members by hand
    world_entry(PE("", "registry: 10.4.0.4, registry_westus: 10.4.0.6"), NULL);
    ck_assert_str_eq(world_connection("pe"), "Approved registry=10.4.0.4 registry_westus=10.4.0.6");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.5 " HOLD);
    end();
}
END_TEST

START_TEST(a_row_that_is_taken_out_leaves_a_rejected_connection)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    world_pass(100 * DAY);
    world_entry(GONE, NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Rejected registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    ck_assert_str_eq(last_move("pe")->text, "taken out of the document by operator:ada");
    ck_assert_str_eq(world_rests(), ""); // the connection holds them
    ck_assert_str_eq(world_held("corp"), "4 5");
    refused("private_endpoints:\n" ROW("other", "fabrikam", "", "registry: 10.4.0.4"),
            "10.4.0.4 (view corp) is held for private endpoint pe");
    // another view's 10.4.0.4 is another address
    world_entry("private_endpoints:\n  - { name: lab-pe, registry: fabrikam, view: lab, addresses: "
                "{ registry: 10.4.0.4 } }\n",
                NULL);
    world_pass(DAY + TTL - 1);
    refused("private_endpoints:\n" ROW("other", "fabrikam", "", "registry: 10.4.0.4"), "is held");
    world_pass(1);
    ck_assert_str_eq(world_held("corp"), "");
    world_entry("private_endpoints:\n" ROW("other", "fabrikam", "", "registry: 10.4.0.4"), NULL);
    end();
}
END_TEST

START_TEST(a_row_that_leaves_dns_first_rests_from_then_on)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    world_entry(PE("stage: edge, ", FOUR), NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Rejected registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    world_pass(70);
    world_entry(GONE, NULL);
    world_pass(DAY + TTL - 71);
    ck_assert_str_eq(world_held("corp"), "4 5");
    world_pass(1);
    ck_assert_str_eq(world_held("corp"), "");
    end();
}
END_TEST

START_TEST(given_again_it_has_its_addresses_back)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    world_entry(GONE, NULL);
    world_pass(60);
    world_entry(PE("", FOUR), NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    // others: what it had rests
    world_entry(GONE, NULL);
    world_entry(PE("", "registry: 10.4.0.4, registry_data_eastus: 10.4.0.9"), NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.9");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.5 " HOLD);
    refused("private_endpoints:\n" ROW("other", "fabrikam", "", "registry: 10.4.0.5"),
            "10.4.0.5 (view corp) was private endpoint pe's, and caches may lead there: it is free "
            "from 2026-");
    // the same one may have it back, also for a name of another region
    world_entry(PE("", "registry: 10.4.0.4, registry_data_westus: 10.4.0.5"), NULL);
    ck_assert_str_eq(world_rests(), "corp/10.4.0.9 " HOLD);
    end();
}
END_TEST

START_TEST(an_address_changes_hands_only_where_caches_do_no_harm)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    // to another registry, or to another name, in one entry
    refused(GONE "private_endpoints:\n" ROW("new", "fabrikam", "", "registry: 10.4.0.4"),
            "10.4.0.4 (view corp) was private endpoint pe's");
    refused(GONE "private_endpoints:\n" ROW("new", "contoso", "", "registry: 10.4.0.5"),
            "10.4.0.5 (view corp) was private endpoint pe's");
    // another name of the row for the same names
    world_entry(GONE "private_endpoints:\n" ROW("new", "contoso", "", FOUR), NULL);
    ck_assert_str_eq(world_connection("new"),
                     "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

START_TEST(a_row_that_leads_elsewhere_is_another_connection)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    world_entry("private_endpoints:\n  - { name: pe, registry: fabrikam, view: lab, addresses: { "
                "registry: 10.5.0.4 } }\n",
                NULL);
    ck_assert_str_eq(world_connection("pe"), "Approved registry=10.5.0.4");
    struct connection c;
    ck_assert_int_eq(connection_get(&world.look, "pe", &made, &c), 0);
    ck_assert_str_eq(c.registry, "fabrikam");
    ck_assert_str_eq(c.view, "lab");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.4 " HOLD ", corp/10.4.0.5 " HOLD);
    end();
}
END_TEST

// What caches have leads the clients of one registry to another, whatever the row is called.
START_TEST(another_registry_gets_no_address_under_the_same_name)
{
    static const char elsewhere[] =
        "private_endpoints:\n" ROW("pe", "fabrikam", "", "registry: 10.4.0.4");
    static const char why[] = "10.4.0.4 (view corp) was private endpoint pe's";
    begin();
    world_entry(PE("", FOUR), NULL);
    refused(elsewhere, why);
    world_entry(GONE, NULL);
    refused(elsewhere, why); // the connection holds it
    forget(NULL, "pe");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.4 " HOLD ", corp/10.4.0.5 " HOLD);
    refused(elsewhere, why);
    world_entry(PE("", "registry: 10.4.0.4"), NULL); // its own registry has it back
    world_entry(GONE, NULL);
    world_pass(DAY + TTL);
    world_entry(elsewhere, NULL);
    ck_assert_str_eq(world_connection("pe"), "Approved registry=10.4.0.4");
    world_entry(GONE, NULL);
    // what was never answered rests nowhere
    verb(NULL, "late", CONNECTION_PENDING, "registry=10.4.0.8");
    world_entry("private_endpoints:\n" ROW("late", "fabrikam", "", "registry: 10.4.0.8"), NULL);
    end();
}
END_TEST

// ---- by verbs ----

#define MEMBERS "registry=10.4.0.4 registry_data_eastus=10.4.0.5"

START_TEST(a_stranger_holds_addresses_and_leads_nobody_to_them)
{
    begin();
    verb(NULL, "pe", CONNECTION_PENDING, MEMBERS);
    ck_assert_str_eq(world_held("corp"), "4 5");
    refused("private_endpoints:\n" ROW("other", "fabrikam", "", "registry: 10.4.0.4"),
            "10.4.0.4 (view corp) is held for private endpoint pe");
    const struct control_record second[] = {
        record_of("second", CONNECTION_PENDING, "registry=10.4.0.6 registry_data_eastus=10.4.0.5"),
        {NULL, NULL}};
    ck_assert(!world_try(NULL, second));
    // never answered: rejected or gone, they are free at once
    verb(NULL, "pe", CONNECTION_REJECTED, MEMBERS);
    ck_assert_str_eq(world_held("corp"), "");
    world_entry(NULL, second);
    verb(NULL, "pe", CONNECTION_PENDING, "registry=10.4.0.4");
    forget(NULL, "pe");
    ck_assert_str_eq(world_held("corp"), "5 6");
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

// Approved → Rejected → deleted: whoever asks next does not get an address that is cached.
START_TEST(gone_after_a_rejection_its_addresses_rest_all_the_same)
{
    begin();
    verb(NULL, "pe", CONNECTION_PENDING, MEMBERS);
    verb(PE("stage: edge, answered_by: edge, ", FOUR), "pe", CONNECTION_PENDING, MEMBERS);
    verb(PE("answered_by: edge, ", FOUR), "pe", CONNECTION_APPROVED, MEMBERS);
    world_pass(DAY);
    verb(PE("stage: edge, answered_by: edge, ", FOUR), "pe", CONNECTION_REJECTED, MEMBERS);
    world_pass(70);
    verb(GONE, "pe", CONNECTION_REJECTED, MEMBERS);
    ck_assert_str_eq(world_rests(), "");
    world_pass(3600);
    forget(NULL, "pe");
    ck_assert_str_eq(world_connection("pe"), "");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.4 82740, corp/10.4.0.5 82740");
    ck_assert_str_eq(world_held("corp"), "4 5");
    // a connection of the same name takes them, one of another does not
    verb(NULL, "pe", CONNECTION_PENDING, "registry=10.4.0.4");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.5 82740");
    const struct control_record other[] = {
        record_of("other", CONNECTION_PENDING, "registry=10.4.0.5"), {NULL, NULL}};
    ck_assert(!world_try(NULL, other));
    ck_assert_msg(strstr(world.why, "10.4.0.5 (view corp) was private endpoint pe's"), "%s",
                  world.why);
    world_pass(82740);
    world_entry(NULL, other);
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

START_TEST(an_approval_that_never_reached_dns_rests_nothing)
{
    begin();
    verb(NULL, "pe", CONNECTION_PENDING, MEMBERS);
    verb(PE("stage: edge, answered_by: edge, ", FOUR), "pe", CONNECTION_PENDING, MEMBERS);
    verb(GONE, "pe", CONNECTION_PENDING, MEMBERS);
    ck_assert_str_eq(world_connection("pe"),
                     "Pending registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    forget(NULL, "pe");
    ck_assert_str_eq(world_held("corp"), "");
    end();
}
END_TEST

START_TEST(consumer_deletes_and_now_ends_both_at_once)
{
    begin();
    verb(PE("answered_by: edge, ", FOUR), "pe", CONNECTION_APPROVED, MEMBERS);
    forget(GONE, "pe");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.4 " HOLD ", corp/10.4.0.5 " HOLD);
    end();
}
END_TEST

// Addresses of names that come are held from the first entry on, before the row has them.
START_TEST(members_on_their_way_are_held)
{
    begin();
    verb(PE("answered_by: edge, ", FOUR), "pe", CONNECTION_APPROVED, MEMBERS);
    verb(NULL, "pe", CONNECTION_APPROVED, MEMBERS " registry_eastus=10.4.0.6");
    ck_assert_str_eq(world_held("corp"), "4 5 6");
    // something else of the row changes meanwhile
    world_entry(PE("answered_by: balancer, ", FOUR), NULL);
    ck_assert_str_eq(world_connection("pe"), "Approved registry=10.4.0.4 "
                                             "registry_data_eastus=10.4.0.5 "
                                             "registry_eastus=10.4.0.6");
    world_entry(PE("answered_by: edge, ", FOUR ", registry_eastus: 10.4.0.6"), NULL);
    // given up again before anybody was led there: they do not rest
    verb(NULL, "pe", CONNECTION_APPROVED,
         MEMBERS " registry_eastus=10.4.0.6 registry_westus=10.4.0.7");
    verb(NULL, "pe", CONNECTION_APPROVED, MEMBERS " registry_eastus=10.4.0.6");
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

// ---- with a replica, with a registry ----

START_TEST(a_replica_takes_its_members_along)
{
    begin();
    world_entry(PE("", FOUR ", registry_data_westus: 10.4.0.6, registry_westus: 10.4.0.7"), NULL);
    world_entry("registries:\n  - { name: contoso, data_endpoints: enabled, regional_endpoints: "
                "enabled, replicas: [{ region: eastus }] }\n" PE("", FOUR),
                NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    ck_assert_str_eq(world_rests(), "corp/10.4.0.6 " HOLD ", corp/10.4.0.7 " HOLD);
    end();
}
END_TEST

START_TEST(a_registry_disconnects_all_of_its_connections)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    verb(NULL, "asked", CONNECTION_PENDING, "registry=10.4.0.6");
    verb(NULL, "refused", CONNECTION_REJECTED, "registry=10.4.0.7");
    world_entry("private_endpoints:\n" ROW("others", "fabrikam", "", "registry: 10.4.0.8"), NULL);
    world_pass(5);
    world_entry("remove: [contoso]\n" GONE, NULL);
    ck_assert_str_eq(world_connection("pe"),
                     "Disconnected registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    ck_assert_str_eq(last_move("pe")->text, "the registry was deleted");
    ck_assert_str_eq(world_connection("asked"), "Disconnected registry=10.4.0.6");
    ck_assert_str_eq(world_connection("refused"), "Disconnected registry=10.4.0.7");
    ck_assert_str_eq(world_connection("others"), "Approved registry=10.4.0.8");
    ck_assert_str_eq(world_held("corp"), "4 5 8");
    // another registry of its name is not theirs
    world_entry("registries:\n  - { name: contoso, replicas: [{ region: eastus }] }\n", NULL);
    world_entry("remove: [contoso]\n", NULL);
    ck_assert_int_eq(last_move("asked")->at_ms, world.now_ms);
    world_pass(DAY + TTL);
    ck_assert_str_eq(world_held("corp"), "8");
    forget(NULL, "pe");
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

// ---- back ----

static char told[1024];

static void go_back(const struct topology *old)
{
    struct topology_rollback r;
    size_t n = 0;
    ck_assert_int_eq(topology_rollback(world.t, old, &world.look, world.now_ms, &r), 0);
    told[0] = 0;
    for (size_t i = 0; i < r.n_kept; i++)
        n += (size_t)snprintf(told + n, sizeof told - n, "%s: %s\n", r.kept[i].what, r.kept[i].why);
    if (r.change.n) {
        AUTO_FREE char *change = mem_strndup(r.change.p, r.change.n);
        world_entry(change, NULL);
    }
    topology_rollback_done(&r);
}

START_TEST(a_rollback_brings_no_row_back_that_is_not_approved)
{
    begin();
    world_entry(PE("", FOUR), NULL);
    world_entry("private_endpoints:\n" ROW("dropped", "fabrikam", "", "registry: 10.4.0.8") //
                "  - { name: lab-pe, registry: fabrikam, view: lab, addresses: { registry: "
                "10.5.0.4 } }\n",
                NULL);
    struct topology *old = snapshot_ref(world.t);
    world_entry(GONE, NULL); // Rejected
    world_entry(
        "private_endpoints:\n" ROW("dropped", "fabrikam", "stage: edge, ", "registry: 10.4.0.9"),
        NULL);                                                // Rejected, its row still there
    forget("remove_private_endpoints: [lab-pe]\n", "lab-pe"); // gone
    go_back(old);
    ck_assert_str_eq(world_connection("pe"),
                     "Rejected registry=10.4.0.4 registry_data_eastus=10.4.0.5");
    ck_assert_str_eq(world_connection("dropped"), "Rejected registry=10.4.0.9");
    ck_assert_str_eq(world_connection("lab-pe"), "");
    ck_assert_ptr_null(topology_private_endpoint(world.t, "lab-pe", NULL));
    ck_assert_msg(strstr(told, "private/pe: it was taken away since"), "%s", told);
    ck_assert_msg(strstr(told, "private/dropped: its connection is not approved any more"), "%s",
                  told);
    snapshot_unref(old);
    end();
}
END_TEST

START_TEST(a_rollback_goes_round_what_is_held_by_others)
{
    begin();
    world_entry(PE("", FOUR ", registry_westus: 10.4.0.6, registry_data_westus: 10.4.0.7"), NULL);
    world_entry("private_endpoints:\n  - { name: lab-pe, registry: fabrikam, view: lab, addresses: "
                "{ registry: 10.5.0.4 } }\n",
                NULL);
    struct topology *old = snapshot_ref(world.t);
    world_entry(PE("", FOUR), NULL);
    world_entry("remove_private_endpoints: [lab-pe]\n", NULL);
    world_entry(
        "private_endpoints:\n  - { name: since, registry: fabrikam, view: lab, addresses: { "
        "registry: 10.5.0.9 } }\n",
        NULL);
    world_pass(2 * DAY);
    verb(NULL, "asked", CONNECTION_PENDING, "registry=10.4.0.6");
    go_back(old);
    // 10.4.0.6 is held for somebody else by now, 10.4.0.7 is free
    ck_assert_str_eq(world_connection("pe"), "Approved registry=10.4.0.4 "
                                             "registry_data_eastus=10.4.0.5 "
                                             "registry_data_westus=10.4.0.7");
    ck_assert_str_eq(world_connection("asked"), "Pending registry=10.4.0.6");
    // what was taken away stays so, what was given since goes
    ck_assert_str_eq(world_connection("lab-pe"), "Rejected registry=10.5.0.4");
    ck_assert_str_eq(world_connection("since"), "Rejected registry=10.5.0.9");
    ck_assert_msg(strstr(told, "private/lab-pe: it was taken away since"), "%s", told);
    ck_assert_msg(strstr(told, "private/pe/10.4.0.6: the address is held for another"), "%s", told);
    snapshot_unref(old);
    end();
}
END_TEST

// ---- what is over ----

START_TEST(what_has_rested_is_forgotten_some_at_a_time)
{
    begin();
    for (int i = 0; i < 20; i++) {
        char change[256];
        snprintf(
            change, sizeof change,
            "private_endpoints:\n  - { name: p%d, registry: fabrikam, view: corp, addresses: { "
            "registry: 10.4.1.%d } }\n",
            i, i);
        world_entry(change, NULL);
        snprintf(change, sizeof change, "remove_private_endpoints: [p%d]\n", i);
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        forget(change, name);
    }
    world_pass(DAY + TTL - 1);
    const struct control_record any[] = {{"operation/x", "{}"}, {NULL, NULL}};
    world_entry(NULL, any);
    ck_assert_str_eq(world_held("corp") + strlen(world_held("corp")) - 2, "19");
    world_pass(1);
    ck_assert_str_eq(world_held("corp"), "");
    world_entry(NULL, any);
    size_t left = 0;
    for (const char *p = world_rests(); (p = strstr(p, "corp/")); p++)
        left++;
    ck_assert_uint_eq(left, 4);
    world_entry(NULL, any);
    ck_assert_str_eq(world_rests(), "");
    end();
}
END_TEST

CHECK_MAIN("control/connections_follow", a_row_by_hand_gets_a_connection,
           a_row_that_is_taken_out_leaves_a_rejected_connection,
           a_row_that_leaves_dns_first_rests_from_then_on, given_again_it_has_its_addresses_back,
           an_address_changes_hands_only_where_caches_do_no_harm,
           a_row_that_leads_elsewhere_is_another_connection,
           another_registry_gets_no_address_under_the_same_name,
           a_stranger_holds_addresses_and_leads_nobody_to_them,
           gone_after_a_rejection_its_addresses_rest_all_the_same,
           an_approval_that_never_reached_dns_rests_nothing,
           consumer_deletes_and_now_ends_both_at_once, members_on_their_way_are_held,
           a_replica_takes_its_members_along, a_registry_disconnects_all_of_its_connections,
           a_rollback_brings_no_row_back_that_is_not_approved,
           a_rollback_goes_round_what_is_held_by_others,
           what_has_rested_is_forgotten_some_at_a_time)
