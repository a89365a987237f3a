// SPDX-License-Identifier: Apache-2.0
// net/fair: who is served in which order, and who loses a place. The order is all there is to a
// fair queue, so it is tested as such, without threads or clocks; the last case compares long
// random runs with the rules themselves.
#include "net/fair_test.h"

#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define N_MAX 4096

struct waiting {
    // first: an item is its waiting
    struct fair_item item;
    // "network/name/number"
    char text[64];
    int network, name;
    // in the order of pushes
    size_t number;
    bool queued;
};

static struct waiting all[N_MAX];
static size_t n_pushed;

static struct ip address(int network, int host)
{
    struct ip ip;
    char text[64];
    snprintf(text, sizeof text, "10.%d.%d.%d", network / 256, network % 256, host);
    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ip;
}

static struct fair *queue(size_t total, size_t per_network)
{
    n_pushed = 0;
    struct fair *f = fair_new(&(struct fair_limits){.total = total, .per_network = per_network});
    ck_assert_ptr_nonnull(f);
    return f;
}

// Pushes one more; NULL, or what has no place now.
static struct waiting *push(struct fair *f, int network, int name)
{
    ck_assert_uint_lt(n_pushed, N_MAX);
    struct waiting *w = &all[n_pushed];
    *w = (struct waiting){.network = network, .name = name, .number = n_pushed, .queued = true};
    snprintf(w->text, sizeof w->text, "%d/%d/%zu", network, name, n_pushed++);
    char text[32];
    snprintf(text, sizeof text, "name-%d", name);
    struct ip ip = address(network, (int)(w->number % 250));
    struct waiting *out = (struct waiting *)fair_push(f, &ip, text, &w->item);
    if (out)
        out->queued = false;
    return out;
}

static struct waiting *pop(struct fair *f)
{
    struct waiting *w = (struct waiting *)fair_pop(f);
    if (w) {
        ck_assert(w->queued);
        w->queued = false;
    }
    return w;
}

static void expect(struct fair *f, const char *order) // "1/0/4 2/0/5 …", in full
{
    char got[2048] = "";
    for (struct waiting *w; (w = pop(f));) {
        if (*got)
            strcat(got, " ");
        strcat(got, w->text);
    }
    ck_assert_str_eq(got, order);
    ck_assert_uint_eq(fair_count(f), 0);
    ck_assert_uint_eq(fair_networks(f), 0);
}

START_TEST(networks_are_served_in_turn_not_as_they_came)
{
    struct fair *f = queue(100, 100);
    for (int i = 0; i < 4; i++)
        push(f, 1, 0);
    push(f, 2, 0);
    push(f, 3, 0);
    push(f, 2, 0);
    expect(f, "1/0/0 2/0/4 3/0/5 1/0/1 2/0/6 1/0/2 1/0/3");
    fair_free(f);
}
END_TEST

// 200 of one network wait; one of another comes: it has the next turn but one.
START_TEST(one_network_keeps_nobody_else_waiting)
{
    struct fair *f = queue(512, 512);
    for (int i = 0; i < 200; i++)
        ck_assert_ptr_null(push(f, 1, i));
    ck_assert_int_eq(pop(f)->network, 1);
    push(f, 2, 0);
    int before = 0;
    while (pop(f)->network != 2)
        before++;
    ck_assert_int_le(before, 1);
    fair_free(f);
}
END_TEST

START_TEST(names_of_a_network_are_served_in_turn)
{
    struct fair *f = queue(100, 100);
    for (int i = 0; i < 3; i++)
        push(f, 1, 7);
    push(f, 1, 8);
    push(f, 1, 9);
    expect(f, "1/7/0 1/8/3 1/9/4 1/7/1 1/7/2");
    fair_free(f);
}
END_TEST

// Who tries ada's name from a hundred networks takes no turn from the network where ada is.
START_TEST(a_name_has_no_bound_over_all_networks)
{
    struct fair *f = queue(512, 64);
    for (int network = 10; network < 110; network++)
        for (int i = 0; i < 3; i++)
            push(f, network, 1);
    for (int i = 0; i < 3; i++)
        push(f, 1, 1);
    size_t served = 0, ada = 0;
    for (struct waiting *w; (w = pop(f)); served++)
        if (w->network == 1) {
            ada++;
            ck_assert_uint_le(served + 1, ada * 101); // one turn in each round
        }
    ck_assert_uint_eq(ada, 3);
    ck_assert_uint_eq(served, 303);
    fair_free(f);
}
END_TEST

START_TEST(a_network_is_a_24_or_a_56)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {{"192.0.2.1", "192.0.2.254", true},
                {"192.0.2.1", "192.0.3.1", false},
                {"2001:db8:0:1200::1", "2001:db8:0:12ff:ffff::", true},
                {"2001:db8:0:1200::1", "2001:db8:0:1300::1", false},
                {"::ffff:192.0.2.1", "192.0.2.9", true},
                {"::1", "127.0.0.1", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip a, b;
        ck_assert_int_eq(ip_parse(rows[i].a, &a), 0);
        ck_assert_int_eq(ip_parse(rows[i].b, &b), 0);
        struct ip na = fair_network(&a), nb = fair_network(&b);
        ck_assert_msg(ip_equal(&na, &nb) == rows[i].same, "%s %s", rows[i].a, rows[i].b);
    }
}
END_TEST

START_TEST(when_full_the_longest_loses_its_newest)
{
    struct fair *f = queue(8, 8);
    for (int i = 0; i < 6; i++) // 0 to 5
        ck_assert_ptr_null(push(f, 1, i % 2));
    push(f, 2, 0);                       // 6
    push(f, 2, 0);                       // 7
    struct waiting *out = push(f, 3, 0); // 8 comes in, the newest of the longest goes
    ck_assert_ptr_nonnull(out);
    ck_assert_str_eq(out->text, "1/0/4");
    out = push(f, 3, 0);
    ck_assert_str_eq(out->text, "1/1/5");
    // its own network is the longest: a name of its own with more than one pays
    out = push(f, 1, 9);
    ck_assert_str_eq(out->text, "1/0/2");
    out = push(f, 1, 1);
    // the longest name of the longest network: the newcomer itself
    ck_assert_str_eq(out->text, "1/1/11");
    ck_assert_uint_eq(fair_count(f), 8);
    expect(f, "1/0/0 2/0/6 3/0/8 1/1/1 2/0/7 3/0/9 1/9/10 1/1/3");
    fair_free(f);
}
END_TEST

START_TEST(the_bound_of_a_network_costs_that_network_only)
{
    struct fair *f = queue(100, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_null(push(f, 1, 0));
    push(f, 2, 0);
    struct waiting *out = push(f, 1, 0);
    ck_assert_str_eq(out->text, "1/0/5"); // itself: it is the newest of the longest
    out = push(f, 1, 1);
    ck_assert_str_eq(out->text, "1/0/3"); // another name comes in for it
    ck_assert_uint_eq(fair_count(f), 5);
    ck_assert_uint_eq(fair_networks(f), 2);
    expect(f, "1/0/0 2/0/4 1/1/6 1/0/1 1/0/2");
    fair_free(f);
}
END_TEST

// As many networks as there are places, one each: a newcomer gets in, and what is known stays
// bounded.
START_TEST(networks_are_bounded)
{
    struct fair *f = queue(50, 8);
    for (int i = 0; i < 2000; i++) {
        struct waiting *out = push(f, i, 0);
        ck_assert(!out == (i < 50));
        ck_assert(!out || out->number != (size_t)i);
        ck_assert_uint_le(fair_networks(f), 50);
    }
    size_t n = 0;
    while (pop(f))
        n++;
    ck_assert_uint_eq(n, 50);
    fair_free(f);
}
END_TEST

START_TEST(limits_out_of_range_and_no_memory_make_no_queue)
{
    ck_assert_ptr_null(fair_new(&(struct fair_limits){.total = 0, .per_network = 1}));
    ck_assert_ptr_null(fair_new(&(struct fair_limits){.total = 1, .per_network = 0}));
    ck_assert_ptr_null(fair_new(&(struct fair_limits){.total = 1, .per_network = 2}));
    ck_assert_ptr_null(fair_new(&(struct fair_limits){.total = 65537, .per_network = 1}));
    for (long n = 1; n <= 6; n++) {
        mem_fault_after(n);
        struct fair *f = fair_new(&(struct fair_limits){.total = 16, .per_network = 4});
        mem_fault_after(0);
        ck_assert_ptr_null(f);
    }
    fair_free(NULL);
    struct fair *f = queue(1, 1); // the smallest
    push(f, 1, 0);
    ck_assert_str_eq(push(f, 2, 0)->text, "1/0/0");
    expect(f, "2/0/1");
    fair_free(f);
}
END_TEST

// --- the rules, over random runs ---

static unsigned state;
static int dice(int n)
{
    state = state * 1103515245 + 12345;
    return (int)((state >> 16) % (unsigned)n);
}

#define NETWORKS 6
#define NAMES 4

static size_t count(int network, int name) // -1: any
{
    size_t n = 0;
    for (size_t i = 0; i < n_pushed; i++)
        n += all[i].queued && (network < 0 || all[i].network == network) &&
             (name < 0 || all[i].name == name);
    return n;
}

static void judge_loss(const struct waiting *out, const struct waiting *pushed, size_t per_network)
{
    size_t own = count(pushed->network, -1) + (out->network == pushed->network);
    size_t lost = count(out->network, -1) + 1;
    if (own > per_network)
        ck_assert_int_eq(out->network, pushed->network); // the bound of a network is its own matter
    else
        for (int w = 0; w < NETWORKS; w++)
            ck_assert_uint_le(count(w, -1), lost); // none was longer
    for (int m = 0; m < NAMES; m++)
        ck_assert_uint_le(count(out->network, m), count(out->network, out->name) + 1);
    for (size_t i = out->number + 1; i < n_pushed; i++) // it was the newest of its name
        ck_assert(!all[i].queued || all[i].network != out->network || all[i].name != out->name);
}

// For each network that waits: how many others were served since it was last. None is passed over
// twice by one of them.
static void judge_turn(const struct waiting *w, size_t passed[NETWORKS][NETWORKS])
{
    for (int other = 0; other < NETWORKS; other++) {
        if (other == w->network || !count(other, -1))
            memset(passed[other], 0, sizeof passed[other]);
        else
            ck_assert_uint_le(++passed[other][w->network], 1);
    }
}

static void random_run(unsigned seed)
{
    size_t total = 1 + (size_t)(seed % 37), per_network = 1 + (seed % total),
           passed[NETWORKS][NETWORKS] = {0};
    struct fair *f = queue(total, per_network);
    state = seed;
    while (n_pushed < 200) {
        if (dice(100) < 60) {
            int network = dice(3) ? 0 : dice(NETWORKS); // one of them floods
            struct waiting *out = push(f, network, dice(NAMES));
            if (out)
                judge_loss(out, &all[n_pushed - 1], per_network);
        } else {
            bool any = count(-1, -1) > 0;
            struct waiting *w = pop(f);
            ck_assert(!w == !any); // work conserving
            for (size_t i = 0; w && i < w->number; i++)
                // the oldest
                ck_assert(!all[i].queued || all[i].network != w->network || all[i].name != w->name);
            if (w)
                judge_turn(w, passed);
        }
        ck_assert_uint_eq(fair_count(f), count(-1, -1));
        ck_assert_uint_le(fair_count(f), total);
        for (int w = 0; w < NETWORKS; w++) {
            ck_assert_uint_le(count(w, -1), per_network);
            if (!count(w, -1))
                memset(passed[w], 0, sizeof passed[w]);
        }
    }
    while (pop(f))
        ;
    ck_assert_uint_eq(count(-1, -1), 0); // nobody was forgotten
    ck_assert_uint_eq(fair_networks(f), 0);
    fair_free(f);
}

START_TEST(the_rules_hold_over_random_runs)
{
    for (unsigned seed = 1; seed <= 50; seed++)
        random_run(seed);
}
END_TEST

CHECK_MAIN("net/fair", networks_are_served_in_turn_not_as_they_came,
           one_network_keeps_nobody_else_waiting, names_of_a_network_are_served_in_turn,
           a_name_has_no_bound_over_all_networks, a_network_is_a_24_or_a_56,
           when_full_the_longest_loses_its_newest, the_bound_of_a_network_costs_that_network_only,
           networks_are_bounded, limits_out_of_range_and_no_memory_make_no_queue,
           the_rules_hold_over_random_runs)
