// SPDX-License-Identifier: Apache-2.0
// Content that comes with a replica, and would go with one: global traffic waits for the one, and
// the last step of a deletion for the other; who cannot be reached, what takes too long, what is
// called off, and a writer that starts anew meanwhile.
#include "lifecycle/content.h"

#include "base/mem.h"
#include "config/endpoints.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/asked.h"

#include <string.h>

#define EAST 1
#define WEST 2
#define NORTH 4
#define ROWS                                                                                      \
    "registries:\n  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: eastus " \
    "}, { region: westus }] }\n"

static struct asked a;

static char *begun(const char *verb, const char *object, const char *arguments)
{
    json_t *body;
    int status = asked(&a, verb, object, arguments, &body);
    ck_assert_msg(status == 202, "%s", json_dumps(body, 0));
    char *id = mem_strdup(record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
    return id;
}

static const struct replica *replica(uint8_t region)
{
    return registry_replica(topology_registry(a.fleet.t, "contoso"), region);
}

static json_t *shown(const char *id)
{
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(a.l, id, &o), 0);
    return o;
}

static void ends(char *id, const char *state, const char *not_copied)
{
    asked_settle(&a, 3 * 3600);
    ck_assert_str_eq(asked_state(&a, id), state);
    json_t *o = shown(id);
    const json_t *list = json_object_get(o, "notCopied");
    ck_assert_msg(json_array_size(list) == (not_copied != NULL), "%s", json_dumps(o, 0));
    if (not_copied)
        ck_assert_msg(strstr(record_text_at(list, 0), not_copied) != NULL, "%s",
                      record_text_at(list, 0));
    json_decref(o);
    free(id);
}

// The region that the running phase waits for; "" for none.
static const char *waits_for(const char *id)
{
    static char name[64];
    json_t *o = shown(id);
    const json_t *phases = json_object_get(o, "phases"), *list = NULL;
    for (size_t i = 0; i < json_array_size(phases); i++)
        if (json_object_get(json_array_get(phases, i), "waitsFor"))
            list = json_object_get(json_array_get(phases, i), "waitsFor");
    snprintf(name, sizeof name, "%s", record_text_at(list, 0));
    json_decref(o);
    return name;
}

START_TEST(a_replica_takes_global_traffic_once_it_is_whole)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = NORTH;
    char *id = begun("replication create", "contoso/north", "{}");
    ck_assert(!replica(2)->global_routing);
    asked_pass(&a, 7200);
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public r.eastus:public r.westus:public r.north:public");
    ck_assert(!replica(2)->global_routing);
    ck_assert_str_eq(asked_state(&a, id), "Creating");
    ck_assert_str_eq(waits_for(id), "north");
    asked_restart(&a);
    asked_pass(&a, 3600);
    ck_assert(!replica(2)->global_routing);
    a.fleet.without_content = 0;
    ends(id, "Succeeded", NULL);
    ck_assert(replica(2)->global_routing);
    asked_done(&a);
}
END_TEST

START_TEST(early_or_not_at_all)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = NORTH;
    ends(begun("replication create", "contoso/north", "{'early':true}"), "Succeeded", NULL);
    ck_assert(replica(2)->global_routing);
    a.fleet.without_content = 0;
    ends(begun("replication delete", "contoso/north", "{}"), "Succeeded", NULL);
    a.fleet.without_content = NORTH;
    ends(begun("replication create", "contoso/north", "{'globalEndpointRouting':false}"),
         "Succeeded", NULL);
    ck_assert(!replica(2)->global_routing);
    asked_done(&a);
}
END_TEST

// Nobody knows what a region has that cannot be reached, and it takes no traffic before that.
START_TEST(regions_that_are_away_while_a_replica_comes)
{
    asked_init(&a, ROWS);
    asked_pass(&a, 10);
    a.fleet.up[2] = false;
    char *id = begun("replication create", "contoso/north", "{}");
    asked_pass(&a, 7200);
    ck_assert(!replica(2)->global_routing);
    ck_assert_str_eq(waits_for(id), "north");
    ck_assert_uint_eq(a.fleet.n_content, 0); // it would take the place of one that goes on
    a.fleet.without_content = NORTH;
    a.fleet.up[2] = true;
    asked_pass(&a, 2);
    a.fleet.up[1] = false;
    a.fleet.without_content = 0;
    ends(id, "Succeeded",
         "westus could not be reached: what it alone wrote of contoso is not in north");
    ck_assert(replica(2)->global_routing);
    asked_done(&a);
}
END_TEST

START_TEST(a_replica_that_is_called_off_while_it_waits)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = NORTH;
    char *id = begun("replication create", "contoso/north", "{}");
    asked_pass(&a, 600);
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    ends(id, "Canceled", NULL);
    ck_assert_ptr_null(replica(2));
    asked_done(&a);
}
END_TEST

// ---- a replica that goes ----

START_TEST(what_a_replica_wrote_is_copied_before_it_goes)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = EAST;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_pass(&a, 355);
    ck_assert(!replica_is_leaving(replica(1))); // caches lead there
    ck_assert_uint_eq(a.fleet.n_content, 0);
    asked_pass(&a, 30);
    ck_assert(replica_is_leaving(replica(1)));
    ck_assert_uint_eq(a.fleet.n_content, 0); // writes that began before may still end
    asked_pass(&a, 1800);
    ck_assert_uint_gt(a.fleet.n_content, 0);
    ck_assert(replica_is_leaving(replica(1)));
    ck_assert_str_eq(waits_for(id), "eastus");
    asked_restart(&a);
    asked_pass(&a, 600);
    ck_assert_ptr_nonnull(replica(1));
    a.fleet.without_content = 0;
    ends(id, "Succeeded", NULL);
    ck_assert_ptr_null(replica(1));
    asked_done(&a);
}
END_TEST

START_TEST(what_nobody_copies_stays)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = EAST;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_settle(&a, 2 * 3600);
    json_t *o = shown(id);
    const json_t *error = json_object_get(o, "error");
    ck_assert_str_eq(record_text(error, "code"), "ContentNotCopied");
    ck_assert_ptr_nonnull(strstr(record_text(error, "message"), "eastus has not had all"));
    ck_assert_ptr_nonnull(strstr(record_text(error, "message"),
                                 ". team/app:0, which westus wrote, is not in eastus; team/app:1"));
    ck_assert_ptr_nonnull(strstr(record_text(error, "message"), "and more, in notCopied"));
    const json_t *list = json_object_get(o, "notCopied");
    ck_assert_uint_eq(json_array_size(list), 5);
    ck_assert_str_eq(record_text_at(list, 4), "team/app:4, which westus wrote, is not in eastus");
    json_decref(o);
    ck_assert_str_eq(asked_state(&a, id), "Failed");
    free(id);
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public r.eastus:public r.westus:public");
    ck_assert(!replica(1)->drained && replica(1)->global_routing);
    // and goes all the same where that is said
    ends(begun("replication delete", "contoso/westus", "{'waitForContent':false}"), "Succeeded",
         NULL);
    ck_assert_ptr_null(replica(1));
    asked_done(&a);
}
END_TEST

// What a lost region wrote may be nowhere but where the replica goes. One that comes waits for nobody
// who is lost.
START_TEST(the_last_copy_of_what_a_lost_region_wrote)
{
    asked_init(&a, ROWS);
    a.fleet.orphaned = EAST | NORTH;
    ends(begun("replication create", "contoso/north", "{}"), "Succeeded", NULL);
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_pass(&a, 1800);
    ck_assert_ptr_nonnull(replica(1));
    ck_assert_str_eq(waits_for(id), "eastus");
    a.fleet.orphaned = 0;
    ends(id, "Succeeded", NULL);
    ck_assert_ptr_null(replica(1));
    asked_done(&a);
}
END_TEST

// As many as can be asked about wait for ever, for a region that is gone: this one has its end all the
// same.
START_TEST(nobody_is_asked_in_time)
{
    asked_init(&a, ROWS);
    a.fleet.content_busy = true;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_settle(&a, 2 * 3600);
    json_t *o = shown(id);
    const json_t *error = json_object_get(o, "error");
    ck_assert_str_eq(record_text(error, "code"), "ContentNotCopied");
    ck_assert_ptr_nonnull(strstr(record_text(error, "message"), "eastus has not had all"));
    json_decref(o);
    ends(id, "Failed", NULL);
    ck_assert(!replica(1)->drained && replica(1)->stage == STAGE_PUBLIC);
    asked_done(&a);
}
END_TEST

START_TEST(regions_that_are_away_while_a_replica_goes)
{
    asked_init(&a,
               "registries:\n  - { name: contoso, replicas: [{ region: eastus }, { region: westus "
               "}, { region: north }] }\n");
    asked_pass(&a, 10);
    a.fleet.up[2] = false;
    ends(begun("replication delete", "contoso/westus", "{}"), "Succeeded",
         "north could not be reached: whether it has all that westus wrote");
    ends(begun("replication delete", "contoso/north", "{}"), "Succeeded",
         "north could not be reached: what it alone wrote of contoso stays on its disk");
    ck_assert_uint_eq(topology_registry(a.fleet.t, "contoso")->n_replicas, 1);
    asked_done(&a);
}
END_TEST

// One that somebody had drained is not closed while caches lead there, and is drained again when its
// deletion comes to nothing.
// Who is away would have no way to what a forgotten region wrote, once its replica is gone.
START_TEST(what_a_forgotten_region_wrote_is_everywhere_before_its_replica_goes)
{
    asked_init(&a,
               "registries:\n  - { name: contoso, replicas: [{ region: eastus }, { region: westus "
               "}, { region: north }] }\n"
               "identities:\n  westus: { sealed: { epoch: 0, seq: 0, hash: "
               "\"0000000000000000000000000000000000000000000000000000000000000000\" } }\n");
    a.fleet.up[2] = false;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_pass(&a, 2000);
    ck_assert_str_eq(asked_state(&a, id), "Deleting");
    ck_assert_str_eq(waits_for(id), "north");
    ck_assert_ptr_nonnull(replica(1));
    a.fleet.up[2] = true;
    ends(id, "Succeeded", NULL);
    ck_assert_ptr_null(replica(1));
    asked_done(&a);
}
END_TEST

START_TEST(one_that_was_drained_before)
{
    asked_init(&a, ROWS);
    json_decref(
        asked_to_end(&a, "replication update", "contoso/westus", "{'drained':true}", "Succeeded"));
    a.fleet.without_content = EAST;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_pass(&a, 300);
    ck_assert(!replica_is_leaving(replica(1)));
    ck_assert_int_eq(asked(&a, "operation cancel", id, "{}", NULL), 202);
    ends(id, "Canceled", NULL);
    ck_assert(replica(1)->drained);
    asked_done(&a);
}
END_TEST

START_TEST(one_that_comes_back_takes_writes_again)
{
    asked_init(&a, ROWS);
    a.fleet.without_content = EAST;
    char *id = begun("replication delete", "contoso/westus", "{}");
    asked_pass(&a, 1000);
    ck_assert(replica_is_leaving(replica(1)));
    char *again = begun("replication create", "contoso/westus", "{}");
    ends(again, "Succeeded", NULL);
    ck_assert_str_eq(asked_state(&a, id), "Canceled");
    ck_assert(!replica(1)->drained && replica(1)->stage == STAGE_PUBLIC);
    ck_assert(replica(1)->global_routing);
    free(id);
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/content", a_replica_takes_global_traffic_once_it_is_whole,
           early_or_not_at_all, regions_that_are_away_while_a_replica_comes,
           a_replica_that_is_called_off_while_it_waits,
           what_a_replica_wrote_is_copied_before_it_goes, what_nobody_copies_stays,
           nobody_is_asked_in_time, the_last_copy_of_what_a_lost_region_wrote,
           regions_that_are_away_while_a_replica_goes,
           what_a_forgotten_region_wrote_is_everywhere_before_its_replica_goes,
           one_that_was_drained_before, one_that_comes_back_takes_writes_again)
