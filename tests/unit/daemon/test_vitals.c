// SPDX-License-Identifier: Apache-2.0
// daemon/headroom and daemon/impairment: what a node says of itself in the deep document.
#include "daemon/headroom.h"
#include "daemon/impairment.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

START_TEST(headroom_is_the_least_of_all)
{
    static const struct {
        struct load l;
        unsigned percent;
    } rows[] = {
        {{.load_average = -1}, 100}, // nothing is known
        {{.load_average = 2, .n_cores = 2}, 100},
        {{.load_average = 5, .n_cores = 2}, 55},
        {{.load_average = 80, .n_cores = 2}, 10}, // load alone refuses nobody
        {{.load_average = 0, .n_cores = 2, .waiting = 64, .waiting_max = 256}, 75},
        {{.load_average = 0, .n_cores = 2, .waiting = 256, .waiting_max = 256}, 0},
        {{.load_average = 0, .n_cores = 2, .active = 2048, .active_max = 4096}, 50},
        {{.load_average = -1, .disk_room_bytes = 500, .disk_bytes = 1000}, 100},
        {{.load_average = -1, .disk_room_bytes = 25, .disk_bytes = 1000}, 55},
        // being short is told by itself
        {{.load_average = -1, .disk_room_bytes = 0, .disk_bytes = 1000}, 10},
        {{.load_average = 5, .n_cores = 2, .waiting = 192, .waiting_max = 256}, 25},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(headroom_percent(&rows[i].l), rows[i].percent);
}
END_TEST

START_TEST(this_machine_can_be_measured)
{
    struct load l = {0};
    headroom_measure(&l);
    ck_assert_uint_ge(l.n_cores, 1);
    ck_assert_uint_le(headroom_percent(&l), 100);
}
END_TEST

static struct impairment m;
static char labels[IMPAIRMENT_MAX][HOSTNAME_LABEL_SIZE];

static void faults(const char *label, int64_t now, int n)
{
    while (n--)
        impairment_fault(&m, label, now);
}

START_TEST(several_faults_within_a_minute_impair)
{
    impairment_init(&m);
    faults("contoso", 1000, 2);
    faults("contoso", 70000, 2); // a minute later the count starts anew
    ck_assert_uint_eq(impairment_list(&m, 70000, labels), 0);
    faults("contoso", 80000, 1);
    ck_assert_uint_eq(impairment_list(&m, 80000, labels), 1);
    ck_assert_str_eq(labels[0], "contoso");
    faults("contoso", 81000, 5); // while it is impaired they say nothing new
    ck_assert_uint_eq(impairment_list(&m, 139999, labels), 1);
    ck_assert_uint_eq(impairment_list(&m, 140000, labels), 0); // tried again
    faults("contoso", 150000, 3);
    ck_assert_uint_eq(impairment_list(&m, 150000 + 119999, labels), 1); // twice as long
    ck_assert_uint_eq(impairment_list(&m, 150000 + 120000, labels), 0);
    for (int64_t i = 0, at = 300000; i < 8; i++, at += 1000000)
        faults("contoso", at, 3);
    ck_assert_uint_eq(impairment_list(&m, 7300000 + 16 * 60000 - 1, labels), 1);
    ck_assert_uint_eq(impairment_list(&m, 7300000 + 16 * 60000, labels), 0); // never longer
    ck_assert_uint_eq(impairment_list(&m, 7300000 + 30 * 60000 + 1, labels), 0);
    ck_assert_uint_eq(m.n, 0); // forgotten
}
END_TEST

START_TEST(the_table_is_bounded)
{
    impairment_init(&m);
    for (int i = 0; i < 2 * IMPAIRMENT_MAX; i++) {
        char label[16];
        snprintf(label, sizeof label, "reg%05d", i);
        faults(label, 1000, 3);
    }
    ck_assert_uint_eq(impairment_list(&m, 1000, labels), IMPAIRMENT_MAX);
    faults("contoso", 31 * 60000, 3); // the old ones made room
    ck_assert_uint_eq(impairment_list(&m, 31 * 60000, labels), 1);
    ck_assert_str_eq(labels[0], "contoso");
}
END_TEST

CHECK_MAIN("daemon/vitals", headroom_is_the_least_of_all, this_machine_can_be_measured,
           several_faults_within_a_minute_impair, the_table_is_bounded)
